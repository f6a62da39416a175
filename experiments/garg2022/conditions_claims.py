"""What does it take to learn linear functions in the context? Claims 19-21."""

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Largest, Ratio, Smallest, Statistic
from experiments.garg2022.plateau import on_the_plateau

FUNCTIONS, PROMPTS = "weight vectors in training", "prompts in training"
LAYERS, DIMENSION = "layers", "dimension d"
MANY, MOST = 1_000, 10_000
"""Pools from which on, and of which, claims 20 and 21 speak."""


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns mean errors over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def of(group: str, at: int = 2) -> Statistic:
    """Returns the errors of the models of a group, in their order, at n = `at` d."""

    def errors(means: xr.Dataset) -> xr.DataArray:
        rows = np.flatnonzero(means["group"].values == group)
        return means.error.sel(at=at, drop=True).isel(point=rows)

    return errors


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 19-21; the last two need pools of 1,000 functions and more."""
    judge = Judge(
        "garg2022",
        "conditions",
        "Garg et al. 2022, Figs. 6 and 8",
        resampled=resample(dataset),
    )
    in_pools = dataset["group"].values == FUNCTIONS
    values = dataset["value"].values
    many = np.flatnonzero(in_pools & (values >= MANY) & np.isfinite(values))
    most, whole = (np.flatnonzero(in_pools & (values == n)) for n in (MOST, np.inf))
    unit = "error / error of the neighbour"
    return [
        judge(
            "19a",
            "The error at n = 2d falls with each larger number of layers.",
            Largest(_steps(LAYERS), over="point"),
            "<",
            1.0,
            unit=unit,
            missing=_on_the_plateau(judge, LAYERS),
        ),
        judge(
            "19b",
            "The error at n = 2d rises with each larger dimension.",
            Smallest(_steps(DIMENSION), over="point"),
            ">",
            1.0,
            unit=unit,
            missing=_on_the_plateau(judge, DIMENSION),
        ),
        judge(
            "20",
            "From 1,000 weight vectors in training on, the error at n = 2d is below "
            "that of the nearest of them.",
            Largest(_over_remembered(many), over="point"),
            "<",
            1.0,
            unit="error / error of the nearest weight vector",
            note="The paper: more than memory from 1,000 on.",
            missing="" if many.size else "This run has no pool of 1,000 or more.",
        ),
        judge(
            "21",
            "With 10,000 weight vectors in training, the error at n = 2d is below "
            "twice that with ever new ones.",
            Ratio(_at(most), _at(whole)),
            "<",
            2.0,
            unit="error / error with new weights for every prompt",
            bar="ours",
            note="The paper: nearly the full accuracy at 10,000.",
            missing="" if most.size else "This run has no pool of 10,000.",
        ),
    ]


def _at(rows: np.ndarray) -> Statistic:
    """Returns the error at n = 2d of one model."""
    return lambda means: means.error.sel(at=2, drop=True).isel(point=rows[0], drop=True)


def _on_the_plateau(judge: Judge, group: str) -> str:
    """Returns that a model of a group has not left the plateau, if that is so."""
    return on_the_plateau(float(of(group)(judge.resampled.means).max()))


def _steps(group: str) -> Ratio:
    """Returns the error of each model over that of the one before it."""
    values = of(group)

    def part(rows: slice) -> Statistic:
        return lambda means: (
            values(means).isel(point=rows).drop_vars(("group", "value"))
        )

    return Ratio(part(slice(1, None)), part(slice(None, -1)))


def _over_remembered(rows: np.ndarray) -> Ratio:
    return Ratio(
        lambda means: means.error.sel(at=2, drop=True).isel(point=rows),
        lambda means: means.remembered.isel(point=rows),
    )
