"""Does one model choose its penalty by the noise of the prompt? Claims B1-B4.

Risks are those against the label without noise, over its variance. Noise levels above
0 are compared with their own ridge regression; the level 0 has none.
"""

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import (
    Largest,
    LargestSize,
    Ratio,
    Smallest,
    Statistic,
)
from icl.compare import lowest

NEAR = 1.1
"""A risk is that of another learner if it is at most so many times as large."""


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def of_learner(name: str) -> Statistic:
    """Returns the risk of a learner by noise and context."""
    return lambda means: means.risk.sel(learner=name, drop=True)


def penalty(means: xr.Dataset) -> xr.DataArray:
    """Returns the ridge penalty that the model's predictions are nearest to.

    It is the lowest point of a parabola in the logarithm of the penalty, by noise level
    above 0.
    """
    curves = means.to_ridge.sel(noise=_noisy(means)).transpose(..., "penalty")
    logs = np.log(curves["penalty"].values)
    found = np.exp(lowest(logs, curves.values)[0])
    return curves.isel(penalty=0, drop=True).copy(data=found)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 1-4, at n = d and n = 2d."""
    dim = int(dataset.attrs["dim"])
    judge = Judge(
        "bai2023",
        "selection",
        "Bai et al. 2023, Section 4.1",
        resampled=resample(dataset).at([dim, 2 * dim]),
    )
    return [
        *_near(judge),
        _no_single_ridge(judge, dataset),
        *_penalties(judge, dataset),
        _alone(judge, dataset),
    ]


def _noisy(means: xr.Dataset) -> np.ndarray:
    noises = means["noise"].values
    return noises[noises > 0]


def _matching(means: xr.Dataset) -> xr.DataArray:
    """Returns the risk of ridge regression with the penalty for each noise level."""
    each = [
        means.risk.sel(learner=f"ridge({noise:g})", noise=noise, drop=True)
        for noise in _noisy(means)
    ]
    return xr.concat(each, dim=xr.IndexVariable("noise", _noisy(means)))


def _of_noisy(name: str) -> Statistic:
    return lambda means: of_learner(name)(means).sel(noise=_noisy(means))


def _near(judge: Judge) -> list[Claim]:
    over = ("noise", "context")
    return [
        judge(
            "1a",
            "At n = d and n = 2d, and at every noise level above 0, the model's risk "
            "is within 10 % of that of ridge regression with the right penalty.",
            Largest(Ratio(_of_noisy("model"), _matching), over=over),
            "<",
            NEAR,
            unit="risk / risk of ridge with the right penalty",
            bar="ours",
            note="The exact Bayes predictor, which must find out the level too, cannot "
            "always do so: see 1c.",
        ),
        judge(
            "1b",
            "There its risk is within 10 % of that of the Bayes predictor for the "
            "mixture.",
            Largest(Ratio(_of_noisy("model"), _of_noisy("Bayes")), over=over),
            "<",
            NEAR,
            unit="risk / risk of the Bayes predictor",
            bar="ours",
        ),
        judge(
            "1c",
            "The Bayes predictor itself is within 10 % of ridge regression with the "
            "right penalty there.",
            Largest(Ratio(_of_noisy("Bayes"), _matching), over=over),
            "<",
            NEAR,
            unit="risk / risk of ridge with the right penalty",
            bar="ours",
            subject="theory",
        ),
    ]


def _no_single_ridge(judge: Judge, dataset: xr.Dataset) -> Claim:
    ridges = [n for n in dataset["learner"].values if n.startswith("ridge")]

    def model(means: xr.Dataset) -> xr.DataArray:
        return of_learner("model")(means).mean("noise")

    def single(means: xr.Dataset) -> xr.DataArray:
        return means.risk.sel(learner=ridges).mean("noise")

    return judge(
        "2",
        "Averaged over noise levels, the model's risk at n = d and n = 2d is below "
        "that of ridge regression with any one of the penalties.",
        Largest(Ratio(model, single), over=("learner", "context")),
        "<",
        1.0,
        unit="risk / risk of a single ridge regression",
    )


def _penalties(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    noises = _noisy(dataset)
    right = xr.DataArray(
        np.square(noises / dataset.attrs["weight_std"]), {"noise": noises}
    )

    def part(rows: slice) -> Statistic:
        return lambda means: penalty(means).isel(noise=rows).drop_vars("noise")

    def off(means: xr.Dataset) -> xr.DataArray:
        ratio = penalty(means) / right
        return ratio.copy(data=np.log2(ratio.values))

    return [
        judge(
            "3a",
            "The penalty that its predictions are nearest to rises with each larger "
            "noise level.",
            Smallest(Ratio(part(slice(1, None)), part(slice(None, -1))), over="noise"),
            ">",
            1.0,
            unit="penalty / penalty of the next lower level",
            missing="" if len(noises) > 1 else "This run has one level above 0.",
        ),
        judge(
            "3b",
            "That penalty is within a factor of 1.5 of the right one, noise^2 over the "
            "variance of weights, at every noise level above 0.",
            LargestSize(off, over="noise"),
            "<",
            float(np.log2(1.5)),
            unit="|log2 of penalty / right penalty|",
            bar="ours",
        ),
    ]


def _alone(judge: Judge, dataset: xr.Dataset) -> Claim:
    single = dataset.attrs["single"]
    others = [noise for noise in _noisy(dataset) if noise != single]

    def at_others(risk: Statistic) -> Statistic:
        return lambda means: risk(means).sel(noise=others)

    return judge(
        "4",
        f"A model that was trained on the noise level {single:g} alone is more than "
        "10 % above the right ridge regression at some other level.",
        Largest(
            Ratio(at_others(_of_noisy("single")), at_others(_matching)),
            over=("noise", "context"),
        ),
        ">",
        NEAR,
        unit="largest risk / risk of ridge with the right penalty",
        bar="ours",
        missing="" if others else "This run has no other level above 0.",
    )
