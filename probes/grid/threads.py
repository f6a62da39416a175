"""The threads of the ridge engine: one layer each."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_info, threadpool_limits

# Calls a function with each of some layers.
Each = Callable[[Callable[[int], None], Iterable[int]], object]


class LayerThreads:
    """A pool of threads that each take a layer, while BLAS itself uses one thread.

    There are as many as BLAS would use for a single product of matrices. Threads that
    share matrices as small as these slow each other down.
    """

    def __enter__(self) -> Each:
        threads = [
            library["num_threads"]
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ]
        self.pool = ThreadPoolExecutor(max(threads, default=1))
        self.limits = threadpool_limits(1, user_api="blas")
        return lambda function, items: list(self.pool.map(function, items))

    def __exit__(self, *_: object) -> None:
        self.limits.restore_original_limits()
        self.pool.shutdown(cancel_futures=True)
