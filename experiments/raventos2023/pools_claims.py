"""Which Bayes predictor is a model like, by how many functions it saw? Claims 1-6, 13.

r is the model's distance to ridge regression over its distance to the Bayes predictor
for its pool, on new functions: above 1 it remembers, below 1 it generalises.
"""

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import (
    Largest,
    Ratio,
    Smallest,
    Statistic,
)
from experiments.raventos2023.pools_measure import LEARNERS

FEW = 16
"""Pools of up to so many functions are small."""


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns mean distances over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def distance(law: str, one: str, other: str) -> Statistic:
    """Returns the distance of two learners by the size of the pool."""
    pair = ", ".join(sorted((one, other), key=LEARNERS.index))
    return lambda means: means.distance.sel(law=law, pair=pair)


REMEMBERS = Ratio(
    distance("new", "model", "ridge"), distance("new", "model", "posterior")
)
"""r, by the size of the pool."""


def _rise(finite: np.ndarray) -> Ratio:
    """Returns r over the r of the next smaller pool."""

    def before(means: xr.Dataset) -> xr.DataArray:
        return REMEMBERS(means).sel(size=finite[:-1]).assign_coords(size=finite[1:])

    return Ratio(lambda means: REMEMBERS(means).sel(size=finite[1:]), before)


def threshold_size(means: xr.Dataset) -> xr.DataArray:
    """Returns log2 of the number of functions where r falls below 1.

    It lies between the last pool whose r is above 1 before the first below it and that
    one, on a straight line in logarithms; it is NaN where there are no such two.
    """
    r = REMEMBERS(means)
    sizes = r["size"].values[np.isfinite(r["size"].values)]
    logs = np.log(r.sel(size=sizes))
    places = np.log2(sizes)

    def crossing(r: np.ndarray) -> float:
        for i in range(len(r) - 1):
            if r[i] >= 0 > r[i + 1]:
                share = r[i] / (r[i] - r[i + 1])
                return float(places[i] + share * (places[i + 1] - places[i]))
        return float("nan")

    return xr.apply_ufunc(crossing, logs, input_core_dims=[["size"]], vectorize=True)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 1-6 about the models, and 13 about the learners."""
    judge = Judge(
        "raventos2023",
        "pools",
        "Raventós et al. 2023, Figs. 2 and 3",
        note=str(dataset.attrs.get("training", "")),
        resampled=resample(dataset),
    )
    sizes = dataset["size"].values
    finite = sizes[np.isfinite(sizes)]
    few = finite[finite <= FEW]
    return [*_few(judge, few), *_many(judge, finite), _pythagoras(judge, finite)]


def _few(judge: Judge, few: np.ndarray) -> list[Claim]:
    missing = "" if len(few) else f"This run has no pool of {FEW} functions or fewer."
    words = f"pools of at most {FEW} functions"
    near = Ratio(
        distance("seen", "model", "posterior"), distance("seen", "posterior", "ridge")
    )
    risk = Ratio(distance("new", "model", "truth"), distance("new", "ridge", "truth"))
    return [
        judge(
            "1",
            f"On {words}, the model is nearer to the Bayes predictor for the pool than "
            "a tenth of that predictor's distance to ridge regression.",
            Largest(near.at(size=few), over="size"),
            "<",
            0.1,
            unit="distance / distance of Bayes for the pool to ridge",
            bar="ours",
            missing=missing,
        ),
        judge(
            "2a",
            f"Trained on {words}, the model is nearer to the Bayes predictor for the "
            "pool than to ridge regression on new functions, too.",
            Smallest(REMEMBERS.at(size=few), over="size"),
            ">",
            1.0,
            unit="r, ratio of distances",
            missing=missing,
        ),
        judge(
            "2b",
            f"Trained on {words}, its risk on new functions is more than 1.5 times "
            "that of ridge regression.",
            Smallest(risk.at(size=few), over="size"),
            ">",
            1.5,
            unit="risk / risk of ridge",
            bar="ours",
            missing=missing,
        ),
    ]


def _many(judge: Judge, finite: np.ndarray) -> list[Claim]:
    largest = finite[-1]
    risk = Ratio(distance("new", "model", "truth"), distance("new", "ridge", "truth"))
    several = "" if len(finite) > 1 else "This run has one size of pools only."
    return [
        judge(
            "3",
            "Trained on ever new functions, its risk is below 1.1 times that of ridge "
            "regression.",
            risk.at(size=np.inf),
            "<",
            1.1,
            unit="risk / risk of ridge",
            bar="ours",
        ),
        judge(
            "4",
            f"Trained on {int(largest):,} functions, it is nearer to ridge regression "
            "on new ones, although the Bayes predictor for the pool is best for what "
            "it saw.",
            REMEMBERS.at(size=largest),
            "<",
            1.0,
            unit="r, ratio of distances",
        ),
        judge(
            "5",
            "r falls with the number of functions: between neighbours it rises by less "
            "than a quarter.",
            Largest(_rise(finite), over="size"),
            "<",
            1.25,
            unit="largest r / r of the next smaller pool",
            bar="ours",
            missing=several,
        ),
        judge(
            "6",
            f"r crosses 1 at a number of functions inside the grid, below {largest:g}.",
            threshold_size,
            "<",
            float(np.log2(largest)),
            unit="log2 of the number of functions where r = 1",
            note=f"{judge.note} Published: 14 to 15 at d = 8, 11.5 for a smaller "
            "model; 3 to 6 in a re-implementation (see `thresholds`).",
            missing=several,
        ),
    ]


def _pythagoras(judge: Judge, finite: np.ndarray) -> Claim:
    def relative(means: xr.Dataset) -> xr.DataArray:
        ridge = distance("seen", "ridge", "truth")(means)
        bayes = distance("seen", "posterior", "truth")(means)
        apart = distance("seen", "posterior", "ridge")(means)
        return ((ridge - bayes - apart) / ridge).sel(size=finite).mean("size")

    return judge(
        "13",
        "On functions of the pool, the risk of ridge regression is that of the Bayes "
        "predictor plus their distance, to 3 %.",
        relative,
        "within",
        0.03,
        unit="relative difference, averaged over pools",
        bar="ours",
        note="",
        subject="theory",
    )
