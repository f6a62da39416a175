"""The threads of the ridge engine: each takes a layer, or a cell."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_info, threadpool_limits

# Calls a function with each of some numbers.
Each = Callable[[Callable[[int], None], Iterable[int]], object]


class CellThreads:
    """A pool of threads that share the cores with BLAS.

    There are as many as BLAS would use for a single product of matrices, or as there
    are tasks if these are fewer; BLAS has what is left. Threads that share matrices as
    small as these slow each other down.

    Args:
        tasks: for how many tasks there is work.
    """

    def __init__(self, tasks: int):
        self.tasks = tasks

    def __enter__(self) -> Each:
        threads = [
            library["num_threads"]
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ]
        cores = max(threads, default=1)
        workers = max(1, min(cores, self.tasks))
        self.pool = ThreadPoolExecutor(workers)
        self.limits = threadpool_limits(cores // workers, user_api="blas")
        return lambda function, items: list(self.pool.map(function, items))

    def __exit__(self, *_: object) -> None:
        self.limits.restore_original_limits()
        self.pool.shutdown(cancel_futures=True)
