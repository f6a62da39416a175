"""How long is a training step, beside GPT-2 of the same shape in PyTorch?

Four shapes: that of the `quick` preset, and three of the sizes of Garg et al. 2022 at
d = 20 and 41 pairs. Theirs is GPT-2 with Adam on fresh batches (`benchmarks.steps`), in
three ways: eager attention, sdpa attention, and `torch.compile`; one more row holds
ours against the fastest of them. Each side is a process of its own with the same number
of threads. The share is of the rate of float32 products in JAX, FLOPs being those of
the matrix products of a step.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

import numpy as np

from benchmarks import steps
from benchmarks.measure import Row, Seconds, Work, alternate, device, row
from benchmarks.steps import Shape
from benchmarks.worker import warm
from experiments.reference_models import SETTINGS

SHAPES = (
    Shape.of(SETTINGS["quick"]),
    Shape(20, 41, 3, 64, 2),
    Shape(20, 41, 6, 128, 4),
    Shape(20, 41, 12, 256, 8),
)
WAYS = {
    "eager": "PyTorch GPT-2 + Adam, eager attention",
    "sdpa": "PyTorch GPT-2 + Adam, sdpa attention",
    "compile": "PyTorch GPT-2 + Adam, torch.compile",
}
EXTRA = "skipped: pip install '.[bench]'"
COMPILER = "skipped: torch.compile needs a C++ compiler, g++ or what CXX names"
HOST_ONLY = "skipped: JAX has an accelerator here, and PyTorch finds none"


def main(turns: int) -> Iterator[Row]:
    """For each shape a row per way of theirs, and one for the best."""
    reasons = skipped()
    ways = [way for way in WAYS if way not in reasons]
    for shape in SHAPES:
        if ways:
            yield from rows(shape, ways, measured(shape, ways, turns))
        for way, reason in reasons.items():
            yield Row("training", str(shape), WAYS[way], note=reason)


def skipped() -> dict[str, str]:
    """Which ways of theirs cannot run here, and why."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        return dict.fromkeys(WAYS, EXTRA)
    if device() != "cpu":
        import torch

        if not torch.cuda.is_available():
            return dict.fromkeys(WAYS, HOST_ONLY)
    if not shutil.which(os.environ.get("CXX", "g++")):
        return {"compile": COMPILER}
    return {}


def measured(shape: Shape, ways: Sequence[str], turns: int) -> Seconds:
    """Seconds a step of ours and of theirs, and the rate of products of both."""
    factories = {
        "ours": ("benchmarks.training:ours", shape),
        **{way: ("benchmarks.training:theirs", shape, way) for way in ways},
        "limit": ("benchmarks.limits:matmul",),
        "PyTorch's limit": ("benchmarks.limits:torch_matmul",),
    }
    with warm(factories) as workers:
        return alternate(workers, turns)


def rows(shape: Shape, ways: Sequence[str], found: Seconds) -> Iterator[Row]:
    """A row for each way, and for the way with the least median."""
    work = Work(shape.flops, "float32 matmul, FLOP/s")
    rate = np.median(found["PyTorch's limit"]) / 1e9
    for way in ways:
        note = f"PyTorch's own products: {rate:.0f} GFLOP/s"
        yield row("training", str(shape), found, way, WAYS[way], work=work, note=note)
    best = min(ways, key=lambda way: np.median(found[way]))
    note = f"the fastest of {', '.join(ways)}"
    usual = f"best of PyTorch: {best}"
    yield row("training", str(shape), found, best, usual, work=work, note=note)


# --- in the workers ---


def ours(shape: list[int]) -> Callable[[], float]:
    """A turn of ours."""
    return steps.seconds_per_step(steps.ours(Shape(*shape)))


def theirs(shape: list[int], way: str) -> Callable[[], float]:
    """A turn of theirs."""
    return steps.seconds_per_step(steps.theirs(Shape(*shape), way))
