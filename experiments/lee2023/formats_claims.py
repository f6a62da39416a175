"""Which format is learnt from fewer sums? Claims L1 to L4, L6, L14 and L20.

Intervals are over unseen sums and seeds: seeds differ by whole transitions. The number
of sums at which a share is passed lies on a line between two sizes of training sets, in
the logarithm of the size.
"""

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.crossings import crossed
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import (
    LargestSize,
    Ratio,
    Smallest,
    Statistic,
)

DIFFERENCE = "difference of shares of right answers"
RANDOM = ("simplified, random digits", "simplified, random carries")
BOTH_RANDOM = "simplified, both random"
OCTAVES = 3
"""Claim L2: from 10 to 90 % in fewer doublings of the number of sums than these."""


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
    padded = [n for n in padded if not n.startswith(("simplified", "detailed"))]
    part = means.sel(format=padded)
    return part.exact - part.digit.prod("column", skipna=False)


def passing(name: str, level: float) -> Statistic:
    """Returns the number of sums from which on a share of answers is right, or NaN."""

    def sums(means: xr.Dataset) -> xr.DataArray:
        return crossed(means.exact.sel(format=name, drop=True), "examples", level)

    return sums


def _released(judge: Judge, text: str) -> str:
    """Returns the note of all claims with what was released, of unpadded lines."""
    return f"{judge.note} Released: {text}"


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the claims about formats; those of formats not there are undecided."""
    judge = Judge(
        "lee2023",
        "formats",
        "Lee et al. 2023, sections 3 and 4",
        note=f"{dataset.attrs['steps']:,} steps; greedy answers.",
        resampled=resample(dataset),
    )
    return [
        *_of_reversal(judge, dataset),
        *_of_scratchpads(judge, dataset),
        *_of_answers(judge, dataset),
    ]


def _lacking(dataset: xr.Dataset, *formats: str) -> str:
    """Returns which of the formats this run lacks, in words."""
    lacking = [name for name in formats if name not in dataset.format.values]
    return f"This run lacks {' and '.join(map(repr, lacking))}." if lacking else ""


def _own(dataset: xr.Dataset, name: str) -> str:
    """Returns the name of a format in a run, whose lines may all be unpadded."""
    unpadded = f"{name}, unpadded"
    there = dataset.format.values
    return unpadded if name not in there and unpadded in there else name


def _never(judge: Judge, name: str, *levels: float) -> str:
    """Returns that some seed of a format does not pass a share within these sizes."""
    means = judge.resampled.means
    if all(passing(name, level)(means).notnull().all() for level in levels):
        return ""
    shares = " and ".join(f"{100 * level:.0f} %" for level in levels)
    return f"Not every seed of {name!r} passes {shares} between these sizes."


def _of_reversal(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    sizes, digits = dataset.examples.values, int(dataset.attrs["digits"])
    few, most = int(sizes[0]), int(sizes[-1])
    plain, reverse = _own(dataset, "plain"), _own(dataset, "reverse")
    lacking = _lacking(dataset, plain, reverse)
    sudden = _lacking(dataset, reverse) or _never(judge, reverse, 0.1, 0.9)
    small = "" if digits == 2 else f"Sums of this run have {digits} digits, not two."
    large = "" if digits > 2 else "Sums of this run have few digits: see L1c."

    def lead(size: int) -> Statistic:
        return lambda means: exact(reverse, size)(means) - exact(plain, size)(means)

    return [
        judge(
            "L1",
            f"Trained on {most:,} sums for as many steps, more unseen sums are right "
            "with reversed answers than with plain ones, by over 2 %.",
            lead(most),
            ">",
            0.02,
            unit=DIFFERENCE,
            bar="ours",
            note=_released(judge, "81 and 99.8 % after 5,000 sums."),
            missing=lacking or large,
        ),
        judge(
            "L1c",
            f"That is so for small tables, too: of sums of two digits, trained on "
            f"{few:,} of them, more are right with reversed answers.",
            lead(few),
            ">",
            0.0,
            unit=DIFFERENCE,
            missing=lacking or small,
        ),
        judge(
            "L2",
            "Reversed answers are learnt suddenly: from 10 to 90 % right in less than "
            f"{OCTAVES} doublings of the number of sums.",
            Ratio(passing(reverse, 0.9), passing(reverse, 0.1)),
            "<",
            2.0**OCTAVES,
            unit="sums for 90 % / sums for 10 %",
            bar="ours",
            note=_released(judge, "10 % at about 1,290 sums, 90 % at 3,570."),
            missing=sudden,
        ),
    ]


def _of_scratchpads(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    sizes = dataset.examples.values
    few, twice = (int(sizes[abs(sizes - n).argmin()]) for n in (1_000, 2_000))
    reverse = _own(dataset, "reverse")
    pads = _lacking(dataset, "simplified", reverse)
    late = pads or _never(judge, "simplified", 0.5) or _never(judge, reverse, 0.5)

    def characters(name: str) -> Statistic:
        each = int(dataset.characters.sel(format=name))
        return lambda means: each * passing(name, 0.5)(means)

    def octaves(means: xr.Dataset) -> xr.DataArray:
        ratio = characters("simplified")(means) / characters(reverse)(means)
        return ratio.copy(data=np.log2(ratio.values))

    def either(means: xr.Dataset) -> xr.DataArray:
        both = means.exact.sel(format=BOTH_RANDOM, examples=twice, drop=True)
        return means.exact.sel(format=list(RANDOM), examples=twice, drop=True) - both

    return [
        judge(
            "L3",
            f"A simplified scratchpad needs fewer examples: with {few:,} of them, 20 % "
            "more sums are right than with reversed answers alone.",
            lambda means: exact("simplified", few)(means) - exact(reverse, few)(means),
            ">",
            0.2,
            unit=DIFFERENCE,
            bar="ours",
            note=_released(judge, "85 and 2 % after 1,000 sums."),
            missing=pads,
        ),
        judge(
            "L4",
            "It does not need fewer characters: up to half of the answers are right, "
            "it takes as many as reversed answers do, to a factor of 2.",
            octaves,
            "within",
            1.0,
            unit="log2 of a ratio of characters in training sets",
            bar="ours",
            note=_released(judge, "a ratio of 1.4, 51,000 to 36,000."),
            missing=late,
        ),
        judge(
            "L6",
            "Working with random digits and random carries costs more than working "
            f"with either: with {twice:,} examples, over 5 % more sums are right after "
            "either.",
            Smallest(either, over="format"),
            ">",
            0.05,
            unit=DIFFERENCE,
            bar="ours",
            note=_released(judge, "97 and 99 % against 79 % after 2,000 sums."),
            missing=_lacking(dataset, *RANDOM, BOTH_RANDOM),
        ),
    ]


def _of_answers(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    most, size = int(dataset.examples.values[-1]), int(dataset.attrs["parameters"])
    lacking = _lacking(dataset, "reverse")
    return [
        judge(
            "L14",
            "Whether a whole answer is right is nearly as probable as if its digits "
            "were right or wrong independently: to 10 %.",
            LargestSize(_product, over=("format", "examples")),
            "<",
            0.1,
            unit="share of right answers - product of shares of right digits",
            bar="ours",
            missing=lacking,
        ),
        judge(
            "L20",
            f"Scale is not required: a model of {size:,} parameters gets over 95 % of "
            f"unseen sums right with reversed answers, after {most:,} examples.",
            exact("reverse", most),
            ">",
            0.95,
            unit="share of right answers",
            bar="ours",
            missing=lacking,
        ),
    ]
