"""What is a row of a benchmark, and how is a ratio measured?

A row holds ours against the usual way of doing the same work: seconds of both, their
ratio (usual over ours, so that above 1 ours is faster), and how much of what the
machine can do is used: FLOP/s over the measured rate of matrix products, or bytes/s
over the measured bandwidth of a copy (`benchmarks.limits`). Where neither means
anything, such as at start-up, the row says why.

The sides take turns, and every other turn goes backwards, so that a machine that slows
down favours nobody. A ratio is that of one turn, whose sides are neighbours in time;
reported is the median over the turns, with the least and the greatest. A ratio of two
medians, or of two best times, would hold one side's quiet moments against the other's
busy ones. The share of the limit is measured in the same turns.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from joblib import cpu_count

Seconds = Mapping[str, np.ndarray]


class Row(NamedTuple):
    """One line of the table, and of `results.csv`.

    Attributes:
        case: name of the benchmark.
        shape: what was worked on.
        usual_way: what ours is held against; "" if against nothing.
        ours_s: seconds, the median; None if the row was skipped (the note says why).
        usual_s: seconds of the usual way.
        ratio: usual_s / ours_s in one turn, the median over the turns.
        ratio_min: the least over the turns.
        ratio_max: the greatest.
        share: of the machine's limit that ours reaches, 0 to 1.
        limit: which limit that is; or why there is none.
        limit_rate: the measured limit, in FLOP/s or bytes/s.
        device: "cpu", or the kind of the accelerator.
        threads: that either side may use on the host.
        note: what else was seen.
    """

    case: str
    shape: str
    usual_way: str
    ours_s: float | None = None
    usual_s: float | None = None
    ratio: float | None = None
    ratio_min: float | None = None
    ratio_max: float | None = None
    share: float | None = None
    limit: str = ""
    limit_rate: float | None = None
    device: str = ""
    threads: int | None = None
    note: str = ""


class Work(NamedTuple):
    """What a side must do at the least, for the limit.

    Attributes:
        amount: FLOPs, or bytes read and written.
        limit: what bounds it, and in which unit: "float32 matmul, FLOP/s".
    """

    amount: float
    limit: str


def alternate(sides: Mapping[str, Callable[[], float]], turns: int) -> Seconds:
    """What each side returns in each turn, (turns,): seconds, or a limit's rate."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            found[name].append(sides[name]())
    return {name: np.array(values) for name, values in found.items()}


def timed(function: Callable[..., Any], *arguments: Any) -> Callable[[], float]:
    """A side: seconds of one call, whose result is waited for and dropped."""

    def seconds() -> float:
        start = time.perf_counter()
        result = function(*arguments)
        getattr(result, "block_until_ready", lambda: None)()
        return time.perf_counter() - start

    return seconds


def row(
    case: str,
    shape: str,
    found: Seconds,
    usual: str | None = None,
    usual_way: str = "",
    *,
    work: Work | str,
    note: str = "",
) -> Row:
    """The row of `found["ours"]` beside `found[usual]`.

    Args:
        case: name of the benchmark.
        shape: what was worked on.
        found: from `alternate`; "limit", if there, is a rate.
        usual: which side is the usual way; None if there is none.
        usual_way: what that is.
        work: what `found["limit"]` bounds; or a sentence on why nothing does.
        note: what else was seen.
    """
    ours = found["ours"]
    made = Row(case, shape, usual_way, float(np.median(ours)), note=note)
    made = made._replace(device=device(), threads=cpu_count())
    if usual is not None:
        theirs, ratios = found[usual], found[usual] / ours
        made = made._replace(
            usual_s=float(np.median(theirs)),
            ratio=float(np.median(ratios)),
            ratio_min=float(ratios.min()),
            ratio_max=float(ratios.max()),
        )
    if isinstance(work, str):
        return made._replace(limit=work)
    rates = found["limit"]
    return made._replace(
        share=float(np.median(work.amount / ours / rates)),
        limit=work.limit,
        limit_rate=float(np.median(rates)),
    )


def device() -> str:
    """What JAX computes on here."""
    import jax

    first = jax.devices()[0]
    return "cpu" if first.platform == "cpu" else first.device_kind
