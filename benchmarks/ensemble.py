"""How much does training together save? Eight models as one program, and as eight runs.

Ours: an ensemble of eight small models (eight seeds) as one vectorised program in one
process, which is what a sweep does on an accelerator. The other ways: the same eight
(a) one after the other in one process, each split over all cores, and (b) each in a
process of its own with one thread, as many at a time as there are cores, which is what
a sweep does on CPU. (On an accelerator only (a) is measured.) Times are per step of all
eight, without compilation.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from joblib import cpu_count

from benchmarks import steps
from benchmarks.measure import Row, Work, alternate, device, row, timed
from benchmarks.steps import Shape
from benchmarks.worker import Worker, warm

STEPS, MEMBERS = 50, 8
SHAPE = Shape(dim=4, pairs=9, layers=4, width=32)


def main(turns: int) -> Iterator[Row]:
    """A row for each of the other two ways."""
    cores = min(cpu_count(), MEMBERS) if device() == "cpu" else 1
    names = [f"core {i}" for i in range(cores)] if cores > 1 else []
    here = "benchmarks.ensemble"
    factories = {
        "ours": (f"{here}:trainer", MEMBERS),
        "alone": (f"{here}:trainer", None),
        "limit": ("benchmarks.limits:matmul",),
        **{name: (f"{here}:single_threaded",) for name in names},
    }
    with warm(factories) as workers:
        sides: dict[str, Callable[[], float]] = {
            "ours": workers["ours"],
            "alone": lambda: seconds_for_all([workers["alone"]]),
            "limit": workers["limit"],
        }
        if names:
            sides["cores"] = lambda: seconds_for_all([workers[n] for n in names])
        found = alternate(sides, turns)
    ways = {"alone": f"{MEMBERS} runs, one after the other"}
    if names:
        ways["cores"] = f"{MEMBERS} runs, a single-threaded process per core"
    for side, way in ways.items():
        yield row(
            "ensemble",
            f"{MEMBERS} models of {SHAPE}",
            found,
            side,
            way,
            work=Work(MEMBERS * SHAPE.flops, "float32 matmul, FLOP/s"),
            note="a step of all of them",
        )


def seconds_for_all(workers: Sequence[Worker]) -> float:
    """Seconds until these have made a step of every model, all at work at once."""
    rounds = MEMBERS // len(workers)
    start = time.perf_counter()
    for _ in range(rounds):
        for worker in workers:
            worker.ask()
        for worker in workers:
            worker.answer()
    trained = rounds * len(workers)
    return (time.perf_counter() - start) / STEPS * MEMBERS / trained


# --- in the workers ---


def trainer(members: int | None, devices: int | None = None) -> Callable[[], float]:
    """Seconds a step of an ensemble, or of one run, from some steps."""
    seconds = timed(steps.ours(SHAPE, members, devices), STEPS)
    return lambda: seconds() / STEPS


def single_threaded() -> Callable[[], float]:
    """The same of one run on one thread, as a sweep's worker trains."""
    from icl.sweeps.runtime import limit_threads

    limit_threads(1)
    return trainer(None, devices=1)
