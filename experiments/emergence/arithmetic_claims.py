"""Exact match of sums: claims 4, 5b, 9, 10, 11 and 13; L1b and L15 of Lee et al."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from experiments.emergence.numbers import linearity
from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim, Interval
from experiments.engine.claims.crossings import crossed
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import LargestSize
from icl.resampling import interval
from icl.skills import wilson_interval

LATE, ENOUGH = 100, 10
"""Claim 13 is about steps from here on, of which it needs so many."""

LEAST_SEEDS = 5
"""The fewest seeds from which a ratio of thresholds is judged."""

FORMATS = ("plain", "reverse")
"""The formats that Lee et al. compare, of which the second one reverses answers."""

MOST_SEEDS = 8
"""From so many seeds on their spread is judged."""


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over sums, and those of every resample."""
    kept = dataset[["exact", "at_place", "wrong"]]
    kept = kept.sel(format=padded(dataset))
    return intervals.resample(kept, ("prompt",))


def padded(dataset: xr.Dataset) -> list[str]:
    """Returns the formats whose digits have fixed places."""
    known = dataset.at_place.notnull().all(("seed", "step", "place", "prompt"))
    return [str(name) for name in dataset.format.values[known.values]]


def late(dataset: xr.Dataset) -> xr.Dataset:
    """Returns the checkpoints that claim 13 is about, or all if they are too few."""
    chosen = dataset.sel(step=dataset.step >= LATE)
    return chosen if chosen.sizes["step"] >= 3 else dataset


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the literature says of exact match, judged on sums."""
    judge = Judge(
        "emergence",
        "arithmetic",
        "Schaeffer et al. 2023",
        note=f"Sums of {dataset.attrs['digits']} digits.",
        resampled=resample(dataset),
    )
    return [
        *_products(judge),
        _options(judge, dataset.step.values),
        _digits(judge, dataset),
        *_formats(judge, dataset),
        _spread(judge, dataset),
        _less_linear(judge, dataset),
        *_of_lee(judge, dataset),
    ]


def _products(judge: Judge) -> list[Claim]:
    """Returns claims 4 and 4b: is an exact match the product of its parts?"""

    def gap(means: xr.Dataset) -> xr.DataArray:
        return means.exact - means.at_place.prod("place", skipna=False)

    def power_gap(means: xr.Dataset) -> xr.DataArray:
        parts = means.at_place.mean("place", skipna=False) ** means.sizes["place"]
        return means.exact - parts

    shared: dict[str, Any] = {
        "unit": "largest difference of shares, over steps",
        "bar": "ours",
    }
    source = "Schaeffer et al. 2023, section 2"
    return [
        judge(
            "4",
            "The share of right answers is the product of the shares of its right "
            "digits, place by place, to 0.05 at every step.",
            LargestSize(gap, over=("format", "step")),
            "<",
            0.05,
            source=source,
            **shared,
        ),
        judge(
            "4b",
            "It is the power p^T of the mean share p of right places, to 0.05.",
            LargestSize(power_gap, over=("format", "step")),
            "<",
            0.05,
            source=source,
            **shared,
        ),
    ]


def _options(judge: Judge, steps: np.ndarray) -> Claim:
    """Returns claim 5b: do log-probabilities of wrong digits rise at first?"""
    logs = np.log(steps / steps[0])
    last = max(int(np.searchsorted(logs, logs[-1] / 3, side="right")) - 1, 1)
    return judge(
        "5b",
        "The log-probability of wrong digits rises with that of the right one, before "
        "the two part.",
        lambda means: (
            means.wrong.isel(step=last).mean("format")
            - means.wrong.isel(step=0).mean("format")
        ),
        ">",
        0,
        unit=f"change of mean log p, from step {steps[0]} to {steps[last]}",
        source="Srivastava et al. 2022, on emergence in multiple choice",
        note="The options are the ten digits at a place of the answer.",
    )


def _digits(judge: Judge, dataset: xr.Dataset) -> Claim:
    """Returns claim 9: sub-tasks emerge one after the other."""
    missing = "" if "plain" in dataset.format else "This run lacks plain answers."
    measured = Interval(*(3 * [float("nan")]))
    if not missing:
        place = dataset.at_place.sel(format="plain").mean("prompt")
        first = int(dataset.attrs["digits"])  # the most significant digit comes first
        measured, missing = of_seeds(
            place,
            lambda mean: (
                crossed(mean.isel(place=0), "step")
                / crossed(mean.isel(place=first), "step")
            ),
        )
    return judge(
        "9",
        "Digits emerge at different steps: in plain answers the last digit, the units, "
        "is right half of the time after more than 1.3 times as many steps as the "
        "first.",
        measured,
        ">",
        1.3,
        unit="ratio of x50, mean over seeds",
        bar="ours",
        note=f"{judge.note} {budget(dataset)}",
        source="Srivastava et al. 2022, sub-tasks; Schaeffer et al. 2023, section 6",
        interval_over="resampled seeds, on the same sums",
        missing=missing,
    )


def _formats(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 10 and 10b: formats move the threshold."""
    found = []
    for id, name, what in (
        ("10", "reverse", "Writing the units first moves the jump to fewer steps"),
        ("10b", "scratchpad", "Working written out moves the jump to fewer steps"),
    ):
        missing = ""
        measured = Interval(*(3 * [float("nan")]))
        if not {"plain", name} <= set(dataset.format.values.tolist()):
            missing = "This run lacks a format."
        elif dataset.sizes["seed"] < LEAST_SEEDS:
            missing = f"Fewer than {LEAST_SEEDS} seeds."
        else:
            exact = dataset.exact.mean("prompt")
            measured, missing = of_seeds(
                exact,
                lambda mean, name=name: (
                    crossed(mean.sel(format="plain"), "step")
                    / crossed(mean.sel(format=name), "step")
                ),
            )
        found.append(
            judge(
                id,
                f"{what}: half of the plain answers are right after more than 1.1 "
                "times as many.",
                measured,
                ">",
                1.1,
                unit=f"x50 of plain / x50 of {name}, mean over seeds",
                bar="ours",
                note=f"{judge.note} {budget(dataset)}",
                source="Wei et al. 2022, section 4",
                interval_over="resampled seeds, on the same sums",
                missing=missing,
            )
        )
    return found


def budget(dataset: xr.Dataset) -> str:
    """Returns what must be known of a ratio of training steps: that training ends."""
    return (
        f"Training ends after {dataset.attrs['steps']:,} steps, and its learning rate "
        "depends on that: longer training may give another ratio."
    )


def of_seeds(
    scores: xr.DataArray,
    statistic: Callable[[xr.DataArray], xr.DataArray],
    resamples: int = 1_000,
) -> tuple[Interval, str]:
    """Returns a statistic of the mean over seeds, resampled; or why there is none.

    Args:
        scores: over seed, step and other dimensions.
        statistic: of the mean over seeds; it may have more dimensions before.
        resamples: how often seeds are drawn with replacement.
    """
    seeds = scores.sizes["seed"]
    counts = np.random.default_rng(0).multinomial(seeds, [1 / seeds] * seeds, resamples)
    weights = xr.DataArray(counts / seeds, dims=("draw", "seed"))
    value = float(statistic(scores.mean("seed")))
    drawn = statistic(xr.dot(weights, scores.astype(float), dim="seed"))
    nothing = Interval(*(3 * [float("nan")]))
    if np.isnan(value) or float(drawn.isnull().mean()) > 0.025:
        first, last = scores.step.values[[0, -1]]
        return nothing, (
            f"Between steps {first:,.0f} and {last:,.0f} of training, the mean over "
            "seeds does not rise past one half, or in too few resamples of the seeds: "
            "training is too short for this (--train.steps), or the first checkpoint "
            "too late (--first-step)."
        )
    low, high = interval(drawn.dropna("draw").values)
    return Interval(value, min(float(low), value), max(float(high), value)), ""


def _spread(judge: Judge, dataset: xr.Dataset) -> Claim:
    """Returns claim 11: seeds lie far apart at a fixed budget."""
    enough = dataset.sizes["seed"] >= MOST_SEEDS
    resampled = intervals.resample(
        dataset[["exact"]], ("prompt",), resamples=int(dataset.attrs["resamples"])
    )
    middle = abs(dataset.exact.mean(("prompt", "seed")) - 0.5).argmin("step")

    def spread(means: xr.Dataset) -> xr.DataArray:
        own = means.exact.isel(step=middle)
        return (own.max("seed") - own.min("seed")).max("format")

    value, low, high = resampled.band(spread) if enough else (np.nan, np.nan, np.nan)
    return judge(
        "11",
        "Sharpness is partly between seeds: at the step where their mean is nearest to "
        "one half, the best and the worst seed of some format differ by more than 0.3.",
        Interval(float(value), float(low), float(high)),
        ">",
        0.3,
        unit="largest less smallest share of right answers",
        bar="ours",
        source="Zhao et al. 2025",
        interval_over="sums, for these seeds",
        missing="" if enough else f"Fewer than {MOST_SEEDS} seeds.",
    )


def _less_linear(judge: Judge, dataset: xr.Dataset) -> Claim:
    """Returns claim 13: is exact match less linear than the log-probability?"""
    chosen = late(dataset)
    means = chosen.mean("prompt")
    enough = chosen.sizes["step"] >= ENOUGH and int(chosen.step[0]) >= LATE
    less = linearity(means.exact, "step") < linearity(means.log_p, "step")
    runs, share = less.size, float(less.mean())
    low, high = wilson_interval(np.array([share]), np.array([float(runs)]))
    return judge(
        "13",
        f"From step {LATE} on, exact match is less linear than the log-probability of "
        "the same outputs, in more than 0.8 of the runs.",
        Interval(share, min(float(low[0]), share), max(float(high[0]), share)),
        ">",
        0.8,
        unit="share of runs with L(exact match) < L(log p)",
        bar="ours",
        source="the usual reading of Srivastava et al. 2022 and Schaeffer et al. 2023",
        interval_over=f"{runs} runs",
        missing="" if enough else f"Fewer than {ENOUGH} checkpoints from {LATE} on.",
    )


def _of_lee(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claims L1b and L15 of Lee et al. 2023, on the course of training."""
    judge = replace(judge, series="lee2023", source="Lee et al. 2023, section 3")
    seeds, formats = dataset.sizes["seed"], set(dataset.format.values.tolist())
    few = "" if seeds >= LEAST_SEEDS else f"Fewer than {LEAST_SEEDS} seeds."
    lacking = "" if {"plain", "reverse"} <= formats else "This run lacks a format."
    ratio, never = Interval(*(3 * [float("nan")])), lacking
    if "plain" in formats:
        guessed = int(dataset.attrs["digits"])  # the place of the highest digit
        digits = dataset.at_place.sel(format="plain").isel(place=slice(guessed))
        ratio, never = of_seeds(digits.mean("prompt"), _last_over_first)

    def area(means: xr.Dataset) -> xr.DataArray:
        both = (means.exact.sel(format=name, drop=True) for name in FORMATS)
        plain, reverse = (each.mean("step") for each in both)
        return reverse - plain

    return [
        judge(
            "L1b",
            "Reversed answers are learnt earlier: averaged over the checkpoints, more "
            "unseen sums are right than with plain ones.",
            area,
            ">",
            0.0,
            unit="difference of shares of right answers, mean over checkpoints",
            note="Checkpoints are evenly spaced in the logarithm of the step.",
            missing=lacking or few,
        ),
        judge(
            "L15",
            "Digits are learnt one by one: in plain answers, the place that is learnt "
            "last is right half of the time after more than 1.3 times as many steps as "
            "the one that is learnt first.",
            ratio,
            ">",
            1.3,
            unit="largest x50 of a place / smallest, mean over seeds",
            bar="ours",
            note="Without the highest digit, 0 or 1, of which a guess gets half.",
            interval_over="resampled seeds, on the same sums",
            missing=never or few,
        ),
    ]


def _last_over_first(mean: xr.DataArray) -> xr.DataArray:
    """Returns the step at which the last place passes one half, over the first's."""
    steps = crossed(mean, "step")
    return steps.max("place", skipna=False) / steps.min("place", skipna=False)
