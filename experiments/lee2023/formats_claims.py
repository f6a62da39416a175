"""Which format is learnt from fewer sums? Claims L1, L3, L14 and L20.

Intervals are over unseen sums and seeds: seeds differ by whole transitions.
"""

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import LargestSize, Statistic


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns shares of right answers over sums, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def exact(name: str, examples: int | None = None) -> Statistic:
    """Returns the share of right answers of a format, by the size of training sets."""

    def share(means: xr.Dataset) -> xr.DataArray:
        found = means.exact.sel(format=name)
        return found if examples is None else found.sel(examples=examples)

    return share


def _product(means: xr.Dataset) -> xr.DataArray:
    """Returns exact match minus the product of the shares of right digits."""
    padded = [name for name in means.format.values if "unpadded" not in name]
    padded = [name for name in padded if name not in ("simplified", "detailed")]
    part = means.sel(format=padded)
    return part.exact - part.digit.prod("column", skipna=False)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the claims about formats; those of formats not there are undecided."""
    judge = Judge(
        "lee2023",
        "formats",
        "Lee et al. 2023, sections 3 and 4",
        note=f"{dataset.attrs['steps']:,} steps; greedy answers.",
        resampled=resample(dataset),
    )
    formats, sizes = dataset.format.values, dataset.examples.values
    most = int(sizes[-1])
    both = "" if {"plain", "reverse"} <= set(formats) else "This run lacks a format."
    few = int(sizes[abs(sizes - 1_000).argmin()])
    pads = {"simplified", "reverse"} <= set(formats)
    return [
        judge(
            "L1",
            f"Trained on {most:,} sums for as many steps, more unseen sums are right "
            "with reversed answers than with plain ones, by over 2 %.",
            lambda means: exact("reverse", most)(means) - exact("plain", most)(means),
            ">",
            0.02,
            unit="difference of shares of right answers",
            bar="ours",
            missing=both,
        ),
        judge(
            "L3",
            f"A simplified scratchpad needs fewer examples: with {few:,} of them, 20 % "
            "more sums are right than with reversed answers alone.",
            lambda means: (
                exact("simplified", few)(means) - exact("reverse", few)(means)
            ),
            ">",
            0.2,
            unit="difference of shares of right answers",
            bar="ours",
            missing="" if pads else "This run has no scratchpads.",
        ),
        judge(
            "L14",
            "Whether a whole answer is right is nearly as probable as if its digits "
            "were right or wrong independently: to 10 %.",
            LargestSize(_product, over=("format", "examples")),
            "<",
            0.1,
            unit="share of right answers - product of shares of right digits",
            bar="ours",
            missing="" if "reverse" in formats else "This run has no padded lines.",
        ),
        judge(
            "L20",
            f"Scale is not required: of a model this small, over 95 % of unseen sums "
            f"are right with reversed answers, after {most:,} examples.",
            exact("reverse", most),
            ">",
            0.95,
            unit="share of right answers",
            bar="ours",
            missing="" if "reverse" in formats else "This run has no reversed answers.",
        ),
    ]
