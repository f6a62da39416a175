"""From how many cells is a table learnt, and from how many completed? Claim L10.

Half of the unseen cells are right from a number of shown ones on that lies on a line
between two of those that were tried, in their logarithm. A rule completes a table from
so many that in half of all random orders every cell follows from them.
"""

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.crossings import crossed
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import LargestSize, Statistic

HALF = 0.5

NAMES = {
    "contiguous": "blocks of neighbours",
    "additive": "any rectangle",
    "digits": "least squares on one-hot digits",
}
"""What a reader is told of the rules of `icl.arithmetic.completion`."""


def resampled(dataset: xr.Dataset) -> Resampled:
    """Returns shares of right cells and median thresholds, with their resamples."""
    settings = {"resamples": int(dataset.attrs["resamples"])}
    shares = intervals.resample(dataset[["exact"]], ("prompt",), **settings)
    medians = dataset[["threshold"]]
    halves = intervals.resample(medians, ("order",), statistic="median", **settings)
    return Resampled(shares.means.merge(halves.means), shares.draws.merge(halves.draws))


def exact(means: xr.Dataset) -> xr.DataArray:
    """Returns the share of unseen cells that a model gets right."""
    return means.exact


def cells_to_half(means: xr.Dataset) -> xr.DataArray:
    """Returns the number of shown cells from which half of the others are right."""
    return crossed(means.exact, "factor", HALF) * means.table


def apart(rule: str) -> Statistic:
    """Returns how many octaves a model's number of cells is above that of a rule."""

    def octaves(means: xr.Dataset) -> xr.DataArray:
        ratio = cells_to_half(means) / means.threshold.sel(rule=rule, drop=True)
        return ratio.copy(data=np.log2(ratio.values))

    return octaves


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim L10 for every rule of completion."""
    judge = Judge(
        "lee2023",
        "tables",
        "Lee et al. 2023, section 4",
        note=f"{dataset.attrs['steps']:,} steps. The paper has one n, 100.",
        resampled=resampled(dataset),
    )
    steps = cells_to_half(judge.resampled.means)
    never = "Some model has not learnt half of a table at the sizes of this run, or "
    never += "at the smallest already."
    sizes = " and ".join(str(n) for n in dataset.table.values)
    return [
        judge(
            f"L10{letter}",
            f"A transformer learns half of the unseen cells of a table of n = {sizes} "
            f"numbers from as many as complete it by {NAMES[rule]}, to a factor of 2.",
            LargestSize(apart(rule), over="table"),
            "<",
            1.0,
            unit="largest |log2 of cells for the model / cells for the rule|",
            bar="ours",
            source=source,
            missing="" if steps.notnull().all() else never,
        )
        for letter, rule, source in (
            ("a", "contiguous", None),
            ("b", "additive", "ours: this rule is least squares"),
            ("c", "digits", "ours: the characters that a transformer reads"),
        )
    ]
