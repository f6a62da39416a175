"""What helps a model to add, and what does it carry over? Claims L5, L11-L13 and L19.

Intervals are over unseen sums and seeds.
"""

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Smallest, Statistic


def resampled(dataset: xr.Dataset) -> Resampled:
    """Returns shares of right answers, all and by number of carries, with resamples.

    `right` and `there` are over carries: the shares of sums that have so many and are
    right, and that have so many.
    """
    counts = xr.Variable("carries", range(int(dataset.attrs["digits"]) + 1))
    there = (dataset.carried == xr.DataArray(counts)).astype(float)
    there = there.where(dataset.exact.notnull())
    parts = xr.Dataset(
        {"exact": dataset.exact, "right": there * dataset.exact, "there": there}
    ).assign_coords(carries=counts)
    return intervals.resample(
        parts, ("prompt",), resamples=int(dataset.attrs["resamples"])
    )


def share(variant: str, question: str = "unseen") -> Statistic:
    """Returns the share of right answers of a variant to a question."""
    return lambda means: means.exact.sel(variant=variant, question=question, drop=True)


def by_carries(variant: str) -> Statistic:
    """Returns the share of right answers by the number of carries."""

    def found(means: xr.Dataset) -> xr.DataArray:
        at = {"variant": variant, "question": "unseen"}
        return (means.right / means.there).sel(at, drop=True)

    return found


def difference(more: Statistic, less: Statistic) -> Statistic:
    """Returns one statistic minus another."""
    return lambda means: more(means) - less(means)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the claims about variants; those of variants not there are undecided."""
    judge = Judge(
        "lee2023",
        "variants",
        "Lee et al. 2023, sections 3 to 6",
        note=f"{dataset.attrs['steps']:,} steps; greedy answers.",
        resampled=resampled(dataset),
    )
    return [*_of_training(judge, dataset), *_of_lengths(judge, dataset)]


def _missing(dataset: xr.Dataset, *variants: str) -> str:
    """Returns which of the variants this run lacks, in words."""
    lacking = [name for name in variants if name not in dataset.variant.values]
    return f"This run lacks {' and '.join(lacking)}." if lacking else ""


UNIT = "difference of shares of right answers"


def _of_training(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    rarest = [Smallest(by_carries(name), "carries") for name in ("balanced", "uniform")]
    outside = share("left out", "left-out operand")
    one, three = share("lines", "1 shot"), share("lines", "3 shots")
    return [
        judge(
            "L5",
            "Training sets that are balanced by carries lift the worst of the groups "
            "of sums with 0, 1, 2, ... carries.",
            difference(*rarest),
            ">",
            0.0,
            unit=UNIT,
            note=f"{judge.note} Released, of plain lines: from 75.5 to 97.4 % of sums "
            "without carries, where lines were padded as well.",
            missing=_missing(dataset, "balanced", "uniform"),
        ),
        judge(
            "L11",
            "Sums with an operand that no sum of training had are no harder: at most "
            "5 % fewer of them are right.",
            difference(outside, share("left out")),
            ">",
            -0.05,
            unit=UNIT,
            bar="ours",
            note=f"{judge.note} Released, of plain lines: 91 to 93 %, and 87 % of "
            "other sums.",
            missing=_missing(dataset, "left out"),
        ),
        judge(
            "L13",
            "Zero padding helps: after as many steps, 10 % more unseen sums are right "
            "than of lines without it.",
            difference(share("balanced"), share("unpadded")),
            ">",
            0.1,
            unit=UNIT,
            bar="ours",
            note=f"{judge.note} Released, of plain lines: 98 and 88 %.",
            missing=_missing(dataset, "balanced", "unpadded"),
        ),
        judge(
            "L19a",
            "One worked line in front helps a model that was trained on packed lines, "
            "by over 2 %.",
            difference(one, share("lines")),
            ">",
            0.02,
            unit=UNIT,
            bar="ours",
            missing=_missing(dataset, "lines"),
        ),
        judge(
            "L19b",
            "Three worked lines help little more than one, by under 2 %.",
            difference(three, one),
            "<",
            0.02,
            unit=UNIT,
            bar="ours",
            missing=_missing(dataset, "lines"),
        ),
    ]


def _of_lengths(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    longer = "one digit more"
    return [
        judge(
            "L12",
            "With absolute positions, a model adds no numbers that are a digit longer "
            "than those of its training: under 5 % are right.",
            share("absolute", longer),
            "<",
            0.05,
            unit="share of right answers",
            bar="ours",
            note=f"{judge.note} Released: none of eight digits, after one to seven.",
            missing=_missing(dataset, "absolute"),
        ),
        *(
            judge(
                id,
                f"With {positions} positions, it adds over 30 % more of them.",
                difference(share(positions, longer), share("absolute", longer)),
                ">",
                0.3,
                unit=UNIT,
                bar="ours",
                source=source,
                missing=_missing(dataset, "absolute", positions),
            )
            for id, positions, source in (
                ("L12b", "coupled", "Cho et al. 2024"),
                ("L12c", "abacus", "McLeish et al. 2024"),
            )
        ),
    ]
