"""Is the jump in the learner or in the metric? Claims 1, 2, 3 and 5."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from experiments.emergence.numbers import linearity
from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.crossings import crossed
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Positive

SHARED = "prompts; gradient descent in closed form, no model"


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt", "shuffle"))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the literature says of metrics, judged on gradient descent."""
    judge = Judge(
        "emergence",
        "gradient_descent",
        "Schaeffer et al. 2023",
        resampled=resample(dataset),
        subject="theory",
    )
    most = int(dataset.queries[-1])
    steps = dataset.k.values
    return [
        judge(
            "1",
            f"The same predictions, scored by whether {most} queries are all right, "
            "make a less linear curve than by the share of right ones, by 0.05.",
            lambda means: (
                linearity(means.all_of.sel(queries=most), "k")
                - linearity(means.hit, "k")
            ),
            "<",
            -0.05,
            unit="difference of L / (n - 1)",
            bar="ours",
            source="Schaeffer et al. 2023, prediction 1",
            interval_over=SHARED,
        ),
        judge(
            "2",
            "The number of steps at which half of the prompts are solved is the "
            "threshold's: it is more than 5 times larger at the smallest than at the "
            "largest.",
            Positive(_moved),
            ">",
            5,
            unit="ratio of x50, thresholds a factor of 1,000 apart",
            bar="ours",
            source="Schaeffer et al. 2023, section 5 and Eq. 2",
            interval_over=SHARED,
            missing=_not_crossed(dataset, steps),
        ),
        *_products(judge, dataset, most),
        _options(judge, steps),
    ]


def _moved(means: xr.Dataset) -> xr.DataArray:
    """Returns x50 at the smallest threshold over that at the largest."""
    x50 = crossed(means.solved, "k")
    return x50.isel(threshold=-1) / x50.isel(threshold=0)


def _not_crossed(dataset: xr.Dataset, steps: np.ndarray) -> str:
    """Returns why x50 is not known, if some threshold is not passed."""
    x50 = crossed(dataset.solved.mean("prompt"), "k")
    if bool(x50.notnull().all()):
        return ""
    return f"After {steps[-1]} steps some thresholds are not passed."


def _products(judge: Judge, dataset: xr.Dataset, most: int) -> Sequence[Claim]:
    """Returns claims 3 and 3b: is an exact match the product of its parts?"""
    rates = dataset.hit.mean("prompt").values
    at = int(np.argmin(abs(rates - 0.5)))
    k, rate = int(dataset.k[at]), float(rates[at])

    def together(means: xr.Dataset) -> xr.DataArray:
        means = means.isel(k=at)
        exact = np.log10(means.all_of.sel(queries=most))
        return abs(exact - most * np.log10(means.hit))

    def dealt(means: xr.Dataset) -> xr.DataArray:
        # All deals are of these prompts, and so is the rate that they are held against.
        return abs(np.log10(means.apart.isel(k=at)) - most * np.log10(rate))

    where = f"after {k} steps, where {rate:.0%} of the queries are right"
    return [
        judge(
            "3",
            f"The share of prompts with {most} right queries is the {most}th power of "
            f"the share of right queries, within a factor of 2 ({where}).",
            together,
            "<",
            0.3,
            unit="decades",
            bar="ours",
            source="Schaeffer et al. 2023, prediction 3",
            note="Queries of a prompt share its w and its conditioning, so that they "
            "are right together.",
            interval_over=SHARED,
        ),
        judge(
            "3b",
            f"So it is, within 0.1 decades, if the {most} queries are of different "
            f"prompts ({where}).",
            dealt,
            "<",
            0.1,
            unit="decades",
            bar="ours",
            source="Schaeffer et al. 2023, prediction 3",
            note="It holds by construction, and shows what claim 3 lacks.",
            interval_over="deals of these prompts into groups",
        ),
    ]


def _options(judge: Judge, steps: np.ndarray) -> Claim:
    """Returns claim 5: do log-probabilities of wrong options rise at first?"""
    third = int(np.searchsorted(np.log2(steps), np.log2(steps[-1]) / 3, side="right"))
    last = max(third - 1, 1)
    return judge(
        "5",
        "The log-probability of wrong options rises with that of the right one, before "
        "the two part.",
        lambda means: means.wrong.isel(k=last) - means.wrong.isel(k=0),
        ">",
        0,
        unit=f"change of mean log p, from 1 to {steps[last]} steps",
        source="Srivastava et al. 2022, on emergence in multiple choice",
        note="Judged on gradient descent alone, where wrong options fall from the "
        "start; on the axis of training steps it is open.",
        interval_over=SHARED,
    )
