"""How long does one learner alone take, beside the field's own batched least squares?

Least squares after every prefix, in two shapes, and averaging in one. The usual way is
that of Garg et al. 2022: a loop over prefixes, each with one `torch.linalg.lstsq` for
all prompts, in float32; without PyTorch, a batched `numpy.linalg.pinv`. Ours computes
in float64.

Each side is a process of its own on a single thread, and a turn is the least of several
calls, because other work on the machine only ever adds time. The note says how far the
weights of either side are off those of NumPy's `lstsq` in float64.
"""

import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.measure import Row, alternate, row
from benchmarks.worker import warm

SHAPES = ((128, 20, 41), (512, 8, 17))
"""Prompts, dimension and pairs."""
CALLS = 5
CHECKED = 32
"""The number of prompts whose weights are compared with those in float64."""
PURPOSE = "no limit: latency of small factorisations, one after the other"


def main(turns: int) -> Iterator[Row]:
    """A row for each shape of least squares, and one for averaging."""
    for shape in SHAPES:
        yield measured("least squares", shape, turns)
    yield measured("average", SHAPES[0], turns)


def measured(learner: str, shape: tuple[int, int, int], turns: int) -> Row:
    """The row of one learner at one shape."""
    way = "torch" if find_spec("torch") else "numpy"
    here = "benchmarks.least_squares"
    factories = {
        "ours": (f"{here}:ours", learner, *shape),
        "theirs": (f"{here}:theirs", learner, way, *shape),
    }
    with warm(factories) as workers:
        errors = [workers[name]()["error"] for name in ("ours", "theirs")]
        sides = {
            name: lambda worker=worker: worker()["seconds"]
            for name, worker in workers.items()
        }
        found = alternate(sides, turns)
    prompts, dim, length = shape
    usual = {
        "torch": "a loop over prefixes, torch.linalg.lstsq for all prompts",
        "numpy": "a loop over prefixes, numpy.linalg.pinv for all prompts",
    }[way]
    if learner == "average":
        usual = f"a loop over prefixes, X'y / n in {way}"
    made = row(
        "least_squares",
        f"{learner}, {prompts} prompts, d = {dim}, {length} pairs",
        found,
        "theirs",
        usual,
        work=PURPOSE,
        note=f"each the least of {CALLS} calls, on one thread; weights off those in "
        f"float64 by {errors[0]:.0e} and {errors[1]:.0e} at worst",
    )
    return made._replace(threads=1)


# --- in the workers ---


def ours(learner: str, prompts: int, dim: int, length: int) -> Callable[[], Any]:
    """Seconds of ours, and its error."""
    single_threaded()
    import jax

    from icl.baselines import Average, LeastSquares
    from icl.prompts import Prompts

    xs, ys = drawn(prompts, dim, length)
    batch = Prompts(jax.numpy.asarray(xs), jax.numpy.asarray(ys))
    solve = LeastSquares() if learner == "least squares" else Average()
    return timed_with_error(
        lambda: np.asarray(jax.block_until_ready(solve(batch)).weights),
        reference(learner, xs, ys),
    )


def theirs(
    learner: str, way: str, prompts: int, dim: int, length: int
) -> Callable[[], Any]:
    """Seconds of theirs, and its error."""
    single_threaded()
    xs, ys = drawn(prompts, dim, length)
    run = _by_torch if way == "torch" else _by_numpy
    return timed_with_error(run(learner, xs, ys), reference(learner, xs, ys))


def _by_torch(
    learner: str, xs: np.ndarray, ys: np.ndarray
) -> Callable[[], list[np.ndarray]]:
    import torch

    torch.set_num_threads(1)
    x, y = torch.tensor(xs), torch.tensor(ys)[..., None]

    def run() -> Any:
        found = [torch.zeros_like(x[:, 0])]
        for n in range(1, x.shape[1]):
            if learner == "average":
                w = x[:, :n].transpose(1, 2) @ y[:, :n] / n
            else:
                w = torch.linalg.lstsq(x[:, :n], y[:, :n]).solution
            found.append(w[..., 0])
        return torch.stack(found, dim=1).numpy()

    return run


def _by_numpy(
    learner: str, xs: np.ndarray, ys: np.ndarray
) -> Callable[[], list[np.ndarray]]:
    def run() -> Any:
        found = [np.zeros_like(xs[:, 0])]
        for n in range(1, xs.shape[1]):
            x, y = xs[:, :n], ys[:, :n, None]
            if learner == "average":
                found.append((x.swapaxes(1, 2) @ y / n)[..., 0])
            else:
                found.append((np.linalg.pinv(x) @ y)[..., 0])
        return np.stack(found, axis=1)

    return run


def drawn(prompts: int, dim: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels without noise, in float32; the same in each process."""
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(prompts, length, dim)).astype(np.float32)
    ys = np.einsum("bld,bd->bl", xs, rng.normal(size=(prompts, dim)))
    return xs, ys.astype(np.float32)


def reference(learner: str, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """The weights of the first prompts in float64, by a loop."""
    xs, ys = xs[:CHECKED].astype(float), ys[:CHECKED].astype(float)
    weights = np.zeros(xs.shape)
    for prompt, n in np.ndindex(*ys.shape):
        x, y = xs[prompt, :n], ys[prompt, :n]
        if learner == "average":
            weights[prompt, n] = x.T @ y / max(n, 1)
        else:
            weights[prompt, n] = np.linalg.lstsq(x, y, rcond=None)[0]
    return weights


def timed_with_error(
    run: Callable[[], Any], weights: np.ndarray
) -> Callable[[], dict[str, float]]:
    """A turn: the least seconds of several calls, and the largest relative error."""

    def turn() -> dict[str, float]:
        seconds = []
        for _ in range(CALLS):
            start = time.perf_counter()
            found = run()
            seconds.append(time.perf_counter() - start)
        apart = np.linalg.norm(found[: len(weights)] - weights, axis=-1)[:, 1:]
        sizes = np.linalg.norm(weights, axis=-1)[:, 1:]
        return {"seconds": min(seconds), "error": float((apart / sizes).max())}

    return turn


def single_threaded() -> None:
    """Leaves one thread to XLA, and to libraries that are loaded from here on."""
    from threadpoolctl import threadpool_limits

    from icl.sweeps.runtime import limit_threads

    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    limit_threads(1)
    threadpool_limits(1)  # of what is loaded already
