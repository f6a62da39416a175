"""What can this machine do? Rates that others are held against.

Each function prepares, and returns a function that measures the rate once: the square
product of matrices, in the runtime and with the threads of what it bounds, at the
smallest size that saturates; and the copy of an array that no cache holds, whose bytes
count twice, as read and as written.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from joblib import cpu_count

Rate = Callable[[], float]

SIZES = (512, 1024, 2048, 4096, 8192, 16384)
GAIN = 1.05
"""A size saturates if twice that size is not faster by this factor."""
LEAST_SECONDS = 0.2
COPIED = 2**29
"""Bytes."""


def matmul(dtype: str = "float32", precision: str = "default") -> Rate:
    """FLOP/s of a square product in JAX, at a precision of training's products."""
    import jax
    import jax.numpy as jnp

    from icl.training.precision import products

    @jax.jit
    def multiply(a: jax.Array, b: jax.Array) -> jax.Array:
        with products(precision):
            return a @ b

    double = dtype == "float64"

    def product(size: int) -> Callable[[int], None]:
        with jax.enable_x64(double):
            a = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), dtype)

        def run(times: int) -> None:
            with jax.enable_x64(double):
                last = a
                for _ in range(times):
                    last = multiply(a, a)
                last.block_until_ready()

        return run

    return _saturated(product)


def torch_matmul() -> Rate:
    """FLOP/s of a square float32 product in PyTorch."""
    import torch

    from benchmarks.steps import set_up_torch

    device = set_up_torch()

    def product(size: int) -> Callable[[int], None]:
        a = torch.randn(size, size, device=device)

        def run(times: int) -> None:
            last = a
            for _ in range(times):
                last = a @ a
            last[0, 0].item()  # waits

        return run

    return _saturated(product)


def copy() -> Rate:
    """Bytes/s of a copy on JAX's device: NumPy on all cores, or a jitted x + 1."""
    import jax
    import jax.numpy as jnp

    if jax.default_backend() == "cpu":
        return _host_copy()
    array = jnp.zeros(COPIED // 4, jnp.float32)
    add = jax.jit(lambda x: x + 1)

    def run(times: int) -> None:
        moved = array
        for _ in range(times):
            moved = add(moved)
        moved.block_until_ready()

    return _repeated(run, 2 * COPIED)


def _host_copy() -> Rate:
    threads = cpu_count()
    source, target = np.ones(COPIED, np.uint8), np.ones(COPIED, np.uint8)
    parts = (np.array_split(array, threads) for array in (target, source))
    to, come = map(list, parts)
    pool = ThreadPoolExecutor(threads)

    def run(times: int) -> None:
        for _ in range(times):
            list(pool.map(np.copyto, to, come))

    return _repeated(run, 2 * COPIED)


def _saturated(product: Callable[[int], Callable[[int], None]]) -> Rate:
    """The rate at the first size that twice that size does not beat."""
    best, best_rate = None, 0.0
    for size in SIZES:
        rate = _repeated(product(size), 2.0 * size**3)
        found = max(rate() for _ in range(3))  # one may have been disturbed
        if found < GAIN * best_rate:
            break
        best, best_rate = rate, found
    assert best is not None  # the first size beats 0
    return best


def _repeated(run: Callable[[int], Any], amount: float) -> Rate:
    """The rate of as many calls as take long enough to be timed; warmed up."""

    def seconds(times: int) -> float:
        start = time.perf_counter()
        run(times)
        return time.perf_counter() - start

    seconds(1)
    times = max(1, round(LEAST_SECONDS / seconds(1)))
    return lambda: times * amount / seconds(times)
