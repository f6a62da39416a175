"""Is a layer that is applied again still a gradient step? Claims O6b, O8, O9 and O15.

Losses are those at the query, of a trained layer and of gradient descent on the same
prompts.
"""

from typing import Any

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import LargestSize, Ratio, Statistic

APPLIED = (1, 2, 3, 5, 10, 20, 50)
"""The numbers of times that a layer is applied."""

DAMPINGS = (1.0, 0.75)
WIDTHS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""The ranges of the inputs, as shares of that of training."""

LEARNERS = ("trained", "GD")
UNIT = "largest relative difference, same prompts"


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts and those of every resample.

    `tamed` is `applied` where gradient descent with damping converges, and else 0.
    """
    tamed = dataset.applied * dataset.converges
    return intervals.resample(dataset.assign(tamed=tamed), ("prompt",))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the paper says of a layer that is applied again, and elsewhere."""
    judge = Judge(
        "vonoswald2023",
        "one_layer",
        "von Oswald et al. 2023, Figs. 1, 2, 6 and 10",
        resampled=resample(dataset),
    )
    left_out = int((1 - dataset.converges).sum())
    return [*_applied(judge, left_out), *_elsewhere(judge)]


def _of(name: str, learner: str, **at: Any) -> Statistic:
    return lambda means: means[name].sel(learner=learner, **at)


def _apart(name: str, **at: Any) -> Statistic:
    """Returns the loss of the trained layer over that of gradient descent, less 1."""

    def excess(means: xr.Dataset) -> xr.DataArray:
        own, step = (_of(name, learner, **at)(means) for learner in LEARNERS)
        return own / step - 1

    return excess


def _applied(judge: Judge, left_out: int) -> list[Claim]:
    """Returns what is said of a layer that is applied several times.

    Args:
        judge: what judges.
        left_out: the number of contexts on which damped gradient descent diverges.
    """
    longest = APPLIED[-1]
    return [
        judge(
            "O8a",
            f"Applied {longest} times with damping 0.75, a trained layer does better "
            "than a quarter of the loss of a single application, on contexts where "
            "gradient descent with this damping converges.",
            Ratio(
                _of("tamed", "trained", damping=0.75, times=longest),
                _of("tamed", "trained", damping=1.0, times=1),
            ),
            "<",
            0.25,
            unit="loss / loss of one application",
            bar="ours",
            note=f"It does not converge on {left_out} of the contexts.",
        ),
        judge(
            "O8b",
            "Up to 20 applications it has the loss of as many damped steps of gradient "
            "descent, to 10 %.",
            LargestSize(
                _apart("applied", damping=0.75, times=[k for k in APPLIED if k <= 20]),
                over="times",
            ),
            "<",
            0.1,
            unit=UNIT,
            bar="ours",
        ),
        judge(
            "O9",
            "Without damping it diverges: its loss after 20 applications is larger "
            "than after one.",
            Ratio(
                _of("applied", "trained", damping=1.0, times=20),
                _of("applied", "trained", damping=1.0, times=1),
            ),
            ">",
            1.0,
            unit="loss / loss of one application",
        ),
    ]


def _elsewhere(judge: Judge) -> list[Claim]:
    """Returns what is said of other inputs and of wrong labels."""
    return [
        judge(
            "O6b",
            "On inputs of half to one and a half times the range of training it has "
            "the loss of the gradient step, to 5 %.",
            LargestSize(
                _apart("wider", width=[a for a in WIDTHS if a <= 1.5]), over="width"
            ),
            "<",
            0.05,
            unit=UNIT,
            bar="ours",
        ),
        judge(
            "O15",
            "With any number of wrong labels it has the loss of the gradient step, to "
            "5 %.",
            LargestSize(_apart("wrong"), over="corrupted"),
            "<",
            0.05,
            unit=UNIT,
            bar="ours",
        ),
    ]
