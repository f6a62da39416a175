"""What moves the threshold M*? Claims 7 and 9-12.

M* is the number of functions where the model is as near to ridge regression as to the
Bayes predictor for its pool, on new functions (`pools_claims.threshold_size`). Numbers
of functions are compared by their log2.
"""

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Largest, Ratio, Statistic
from experiments.raventos2023.pools_claims import distance, resample, threshold_size

SIZES = "Published: 2^11.5 for 4 layers of width 64, 2^14 to 2^15 for 8 of width 128."


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 7 and 9-12; where r crosses 1 nowhere they are undecided."""
    judge = Judge(
        "raventos2023",
        "thresholds",
        "Raventós et al. 2023, Figs. 5 and 6",
        note=str(dataset.attrs.get("training", "")),
        resampled=resample(dataset),
    )
    unit = "log2 of a ratio of M*"
    crossings = threshold_size(judge.resampled.means)
    dims = int(dataset.attrs["dim"]), int(dataset.attrs["other_dim"])
    larger = ("first", "other dimension")
    if dims[1] > dims[0]:
        larger = ("other dimension", "first")

    def at_least(id: str, text: str, rows: tuple[str, str], known: str = "") -> Claim:
        note = f"{judge.note} {known}".strip()
        missing = _no_crossing(crossings, rows)
        statistic = _moved(*rows)
        return judge(
            id, text, statistic, ">=", 0.0, unit=unit, note=note, missing=missing
        )

    return [
        *_of_budget(judge, dataset),
        *_of_training(judge, crossings),
        at_least(
            "10a",
            "M* of models twice as wide is not lower.",
            ("wide", "first"),
            SIZES,
        ),
        at_least(
            "10b",
            "M* of models twice as deep is not lower.",
            ("deep", "first"),
            SIZES,
        ),
        at_least(
            "11",
            "M* with weight decay is not higher than without.",
            ("first", "weight decay"),
        ),
        at_least(
            "12",
            f"M* at d = {max(dims)} is not lower than at d = {min(dims)}.",
            larger,
            "Published: about 2^14, 2^15 and 2^16 at d = 8, 16 and 32.",
        ),
    ]


def _of_training(judge: Judge, crossings: xr.DataArray) -> list[Claim]:
    """Returns claim 9: what of the training moves M*, between the published ones."""
    found = (
        f"{judge.note} Published, at d = 8: 2^14 to 2^15 with a rate that rises and "
        "falls, 8 to 64 in a re-implementation that differs in all three."
    )
    unit = "|log2 of a ratio of M*|"
    return [
        judge(
            f"9{letter}",
            f"{text} M* is another one, by a factor of more than 4.",
            lambda means, row=row: abs(_moved(row, "first")(means)),
            ">",
            2.0,
            unit=unit,
            bar="ours",
            note=found,
            source=None if letter == "a" else "ours",
            missing=_no_crossing(crossings, (row, "first")),
        )
        for letter, row, text in (
            ("a", "constant rate", "With a constant learning rate"),
            ("b", "high rate", "With three times the peak rate"),
            ("c", "narrow MLP", "With MLPs as wide as the model, a quarter of before,"),
            ("d", "re-implemented", "With all three at once"),
            ("e", "Muon", "With Muon in place of Adam"),
        )
    ]


def _no_crossing(crossings: xr.DataArray, rows: tuple[str, str]) -> str:
    """Returns why two rows cannot be compared, or "" if they can."""
    none = [row for row in rows if np.isnan(crossings.sel(row=row)).all()]
    what = " and ".join(f"{row!r}" for row in none)
    return f"r crosses 1 nowhere in this grid for the row {what}." if none else ""


def _moved(one: str, other: str) -> Statistic:
    """Returns log2 of the M* of one row over that of another."""

    def apart(means: xr.Dataset) -> xr.DataArray:
        found = threshold_size(means)
        return found.sel(row=one, drop=True) - found.sel(row=other, drop=True)

    return apart


def _of_budget(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 7: above M*, longer training leads to ridge, below to memory."""
    sizes, means = dataset["size"].values, judge.resampled.means
    found = threshold_size(means.sel(row="first"))
    middle = float(found.mean("seed")) if "seed" in found.dims else float(found)
    above, below = sizes[np.log2(sizes) > middle], sizes[np.log2(sizes) < middle]
    steps = int(dataset.attrs["steps"])
    words = f"trained for {steps:,} steps and not for half as many, the model is nearer"
    none = "" if np.isfinite(middle) else "r does not cross 1 inside this grid."
    return [
        judge(
            "7a",
            f"With more functions than M*, {words} to ridge regression on new ones.",
            Largest(_over_half("new", "ridge", above), over="size"),
            "<",
            1.0,
            unit="distance / distance after half the steps",
            missing=none,
        ),
        judge(
            "7b",
            f"With fewer functions than M*, {words} to the Bayes predictor for the "
            "pool, on its functions.",
            Largest(_over_half("seen", "posterior", below), over="size"),
            "<",
            1.0,
            unit="distance / distance after half the steps",
            missing=none,
        ),
    ]


def _over_half(law: str, learner: str, sizes: np.ndarray) -> Ratio:
    values = distance(law, "model", learner)

    def of(row: str) -> Statistic:
        return lambda means: values(means).sel(row=row, size=sizes, drop=True)

    return Ratio(of("first"), of("half the steps"))
