"""Do mean states of a function say which function it is? Claims T1-T4."""

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.movements import products, toward
from experiments.engine.claims.statistics import (
    Largest,
    Ratio,
    Smallest,
    Statistic,
)
from experiments.raventos2023.pools_claims import FEW

FEWEST = 4
"""The smallest pool of claim T1; it goes up to `FEW`."""

NO_POOL = f"This run has no pool of {FEWEST} to {FEW} functions."


EVERY = f"each pool of {FEWEST} to {FEW}"
HALF = "predictions move more than half of the way to what it says, at some layer."


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts, and those of every resample."""
    found = products(dataset.wanted, dataset.before, after=dataset.after)
    found = found.assign(dataset[["inside", "whole", "apart"]])
    return intervals.resample(found.assign_attrs(dataset.attrs), ("prompt",))


def moved(edit: str) -> Statistic:
    """Returns how far predictions move toward the donor's function after an edit."""
    return lambda means: toward(means, "after").sel(edit=edit, drop=True)


def share(vectors: str, source: str) -> Ratio:
    """Returns the share of the variance of states that lies in a span of vectors."""
    return Ratio(
        lambda means: means.inside.sel(vectors=vectors, source=source, drop=True),
        lambda means: means.whole.sel(source=source, drop=True),
    )


def outside(source: str) -> Statistic:
    """Returns the share that lies outside of the span of vectors of training."""
    return lambda means: 1 - share("seen", source)(means)


def apart(learner: str) -> Statistic:
    """Returns the distance of the model to a learner on labels that say nothing."""
    return lambda means: means.apart.sel(learner=learner, drop=True)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims T1-T4."""
    judge = Judge(
        "raventos2023",
        "vectors",
        "Hendel et al. 2023, Yang et al. 2025",
        resampled=resample(dataset),
    )
    return [
        *_moves(judge, dataset),
        *_in_span(judge, dataset),
        *_on_random_labels(judge, dataset),
    ]


def _pools(dataset: xr.Dataset) -> np.ndarray:
    """Returns the sizes of the pools that the claims speak of."""
    sizes = dataset["size"].values
    return sizes[(sizes >= FEWEST) & (sizes <= FEW)]


def _moves(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claims T1 and T2: how far written vectors move predictions."""
    few, unit = _pools(dataset), "toward, at the best layer"
    missing = "" if len(few) else NO_POOL

    def at_best(edit: str, sizes) -> Largest:
        return Largest(lambda means: moved(edit)(means).sel(size=sizes), over="layer")

    def at_least(edit: str) -> Smallest:
        return Smallest(at_best(edit, few), over="size")

    def unlimited(means: xr.Dataset) -> xr.DataArray:
        return toward(means, "after").sel(size=np.inf)

    smallest = few[0] if len(few) else FEWEST
    said = "vectors of another function of the pool are written"
    return [
        judge(
            "T1a",
            f"In a pool of {smallest:g} functions, task vectors say which function it "
            f"is: where {said} at all labels, {HALF}",
            at_best("labels", smallest),
            ">",
            0.5,
            unit=unit,
            bar="ours",
            missing=missing,
        ),
        judge(
            "T1b",
            f"So it is in {EVERY}: where {said} at all labels, {HALF}",
            at_least("labels"),
            ">",
            0.5,
            unit=f"{unit}, of the pool where it is smallest",
            bar="ours",
            missing=missing,
        ),
        judge(
            "T1c",
            f"In {EVERY}, where the difference to the vector of another function is "
            f"added at the x that is asked about, {HALF}",
            at_least("query"),
            ">",
            0.5,
            unit=f"{unit}, of the pool where it is smallest",
            bar="ours",
            missing=missing,
        ),
        judge(
            "T2",
            "In a model of all functions neither edit moves predictions by a tenth of "
            "the way, at any layer.",
            Largest(unlimited, over=("edit", "layer")),
            "<",
            0.1,
            unit="toward, where it is largest",
            bar="ours",
        ),
    ]


def _in_span(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claim T3: whether states lie between the vectors of the functions."""
    few = _pools(dataset)
    missing = "" if len(few) else NO_POOL
    at = {"size": few, "layer": dataset.layer.values[1:]}
    over = ("size", "layer")
    where = f"In {EVERY} and at every layer above the embedding"

    def least(ratio: Ratio) -> Smallest:
        return Smallest(ratio.at(**at), over=over)

    seen = share("seen", "seen")
    return [
        judge(
            "T3a",
            f"{where}, more than 0.8 of the variance of states at the last label lies "
            "between the vectors of the functions of the pool.",
            least(seen),
            ">",
            0.8,
            unit="share of the variance between prompts",
            bar="ours",
            missing=missing,
        ),
        judge(
            "T3b",
            f"{where}, a larger share lies outside of their span on new functions.",
            least(Ratio(outside("new"), outside("seen"))),
            ">",
            1.0,
            unit="share outside, on new functions / on those of the pool",
            missing=missing,
        ),
        judge(
            "T3c",
            f"{where}, more of the variance lies between these vectors than between "
            "those of as many functions that the model has not seen.",
            least(Ratio(seen, share("new", "seen"))),
            ">",
            1.0,
            unit="share / share between vectors of new functions",
            missing=missing,
        ),
    ]


def _on_random_labels(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claim T4: what a model makes of labels that say nothing."""
    few = _pools(dataset)
    return [
        judge(
            "T4",
            f"Where each label is of a function of its own, a model of {EVERY} stays "
            "with the functions of the pool: it is nearer to the Bayes predictor for "
            "the pool than to ridge regression.",
            Largest(
                Ratio(apart("posterior"), apart("ridge")).at(size=few),
                over="size",
            ),
            "<",
            1.0,
            unit="distance / distance to ridge, of the pool where it is largest",
            source="Min et al. 2022",
            missing="" if len(few) else NO_POOL,
        ),
    ]
