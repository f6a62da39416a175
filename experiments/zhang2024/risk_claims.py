"""Is a trained layer what the closed form says? Claims Z0-Z6."""

from functools import partial

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import (
    Largest,
    LargestSize,
    Mean,
    Ratio,
    Smallest,
)

SAMPLED = ("error", "shifted", "transformer")
LEARNT = ("apart", "rest", "risk", "limit", "risk_shifted", "risk_transformer")
"""The variables that do not depend on the contexts."""


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over contexts and those of every resample, with what was learnt."""
    sampled = dataset[list(SAMPLED)]
    found = intervals.resample(sampled, ("prompt", "asked"))
    learnt = dataset[list(LEARNT)]

    def joined(part: xr.Dataset) -> xr.Dataset:
        return part.merge(learnt.expand_dims(draw=part.sizes["draw"]))

    without = found.without
    return Resampled(
        found.means.merge(learnt),
        joined(found.draws),
        None if without is None else joined(without),
    )


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the theorem says of trained layers, and what it implies."""
    judge = Judge(
        "zhang2024",
        "risk",
        "Zhang, Frei and Bartlett 2024, Theorems 4.1 and 4.2",
        resampled=resample(dataset),
    )
    return [*_lengths(judge), *_shifts(judge), *_preconditioner(judge)]


def _excess(means: xr.Dataset, name: str) -> xr.DataArray:
    """Returns by how much the trained layers exceed the closed form, relative to it."""
    values = means[name]
    return values.sel(learner="model") / values.sel(learner="closed form") - 1


def _lengths(judge: Judge) -> list[Claim]:
    def closed_form(means: xr.Dataset) -> xr.DataArray:
        found = means.error.sel(learner="closed form").isel(seed=0, drop=True)
        return found / means.risk - 1

    return [
        judge(
            "Z0",
            "The closed form of the risk is that of its layer on these contexts, to "
            "3 %, at each length.",
            LargestSize(closed_form, over=("inputs", "longer")),
            "<",
            0.03,
            unit="largest relative difference",
            bar="ours",
            subject="theory",
            interval_over="contexts; no trained model is involved",
        ),
        judge(
            "Z1",
            "Trained layers have the risk of the closed form, to 2 %, on contexts of "
            "1, 2, 4 and 32 times the length of training.",
            LargestSize(partial(_excess, name="error"), over=("inputs", "longer")),
            "<",
            0.02,
            unit="largest relative difference, same contexts",
            bar="ours",
        ),
        judge(
            "Z2",
            "Longer contexts do not bring the error to 0: with 32 times as many pairs "
            "it is above 0.95 of that of infinitely many.",
            Smallest(
                lambda means: means.error.sel(learner="model", longer=32) / means.limit,
                over="inputs",
            ),
            ">",
            0.95,
            unit="smallest error / error with infinitely many pairs",
            bar="ours",
        ),
    ]


def _shifts(judge: Judge) -> list[Claim]:
    def both(means: xr.Dataset, shift: float) -> xr.DataArray:
        return means.shifted.sel(learner="model", shift=shift)

    return [
        judge(
            "Z1b",
            "They have the risk of the closed form also where the covariance of inputs "
            "is multiplied by 1/4 to 4, to 3 %.",
            LargestSize(partial(_excess, name="shifted"), over="shift"),
            "<",
            0.03,
            unit="largest relative difference, same contexts",
            bar="ours",
        ),
        judge(
            "Z4",
            "Twice the covariance makes a layer as bad as predicting 0 or worse: more "
            "than 0.95 of its error.",
            Ratio(partial(both, shift=2.0), lambda means: xr.DataArray(1.0)),
            ">",
            0.95,
            unit="error / error of predicting 0",
            bar="ours",
        ),
        judge(
            "Z6",
            "A transformer with softmax attention suffers less from it: its error on "
            "inputs of twice the covariance is less than half of that of a layer with "
            "its d and n, in units of predicting 0.",
            Ratio(
                lambda means: means.transformer.sel(shift=2.0),
                lambda means: means.risk_transformer.sel(shift=2.0),
            ),
            "<",
            0.5,
            unit="error / error of the layer",
            bar="ours",
            interval_over="contexts, for one trained model",
        ),
    ]


def _preconditioner(judge: Judge) -> list[Claim]:
    return [
        judge(
            "Z5a",
            "What layers have learnt is the preconditioner of the closed form, for "
            "isotropic and for uneven inputs, to 5 %.",
            Largest(lambda means: means.apart, over="inputs"),
            "<",
            0.05,
            unit="relative distance of matrices",
            bar="ours",
            interval_over="seeds",
        ),
        judge(
            "Z5b",
            "All else that they could do is small: entries below 0.05.",
            Mean(lambda means: means.rest, over="inputs"),
            "<",
            0.05,
            unit="largest other entry, relative",
            bar="ours",
            interval_over="seeds",
        ),
    ]
