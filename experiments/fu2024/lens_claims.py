"""The claims of the lens: layers as steps of an iteration (Fu et al. 2024).

They are about distances of read-outs from learners, which `lens.measure` measures: for
each layer and each family of learners the distance at the best number of steps k.
"""

from typing import Any

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled, Statistic


def nearest(means: xr.Dataset, family: str) -> xr.DataArray:
    """The distance at the best k, over (head, layer)."""
    return _of(means, family).min("learner")


def best_k(means: xr.Dataset, family: str) -> xr.DataArray:
    """The k of the smallest distance, over (head, layer)."""
    of_family = _of(means, family)
    return of_family.k.isel(learner=of_family.argmin("learner")).astype(float)


def unexplained(means: xr.Dataset, family: str) -> xr.DataArray:
    """The distance at the best k as a share of the read-out's mean square."""
    return nearest(means, family) / means.power.where(means.power > 0)


def _of(means: xr.Dataset, family: str) -> xr.DataArray:
    return means.distance.isel(learner=(means.family == family).values)


def resample(dataset: xr.Dataset) -> Resampled:
    """Means of distances and powers over prompts, and those of every resample."""
    resamples = int(dataset.attrs["resamples"])
    return intervals.resample(
        dataset[["distance", "power"]], ("prompt",), resamples=resamples
    )


def claims(dataset: xr.Dataset) -> list[Claim]:
    """What Fu et al. say of layers, as three numbers; for each layer's own head."""
    means, draws = (part.sel(head="own") for part in resample(dataset))
    last = int(dataset.layer[-1])
    deep = slice(last // 2 + 1, last)
    half = f"over layers {deep.start} to {deep.stop}"

    def claim(number: int, text: str, statistic: Statistic, **judged: Any) -> Claim:
        return Claim.from_resamples(
            f"lens.{number}",
            text,
            "Fu et al. 2024 (arXiv 2310.17086); thresholds ours",
            value=statistic(means).values,
            resamples=statistic(draws).values,
            figure="lens",
            **judged,
        )

    def slope(means: xr.Dataset) -> xr.DataArray:
        line = best_k(means, "Newton").polyfit("layer", 1)
        return line.polyfit_coefficients.sel(degree=1)

    def over_deep(values: xr.DataArray) -> xr.DataArray:
        return values.sel(layer=deep).mean("layer")

    return [
        claim(
            1,
            "A deeper layer is further along: the best number of Newton iterations "
            "grows by more than one in ten layers.",
            slope,
            relation=">",
            threshold=0.1,
            unit="slope, iterations per layer",
        ),
        claim(
            2,
            f"Layers follow Newton's iteration rather than gradient descent: averaged "
            f"{half}, each at its best k, they are closer to it.",
            lambda means: (
                over_deep(nearest(means, "Newton")) / over_deep(nearest(means, "GD"))
            ),
            relation="<",
            threshold=1,
            unit="ratio of mean SPD to Newton and to GD",
        ),
        claim(
            3,
            f"And closely: averaged {half}, Newton at its best k leaves less than a "
            "tenth of what is read out unexplained.",
            lambda means: over_deep(unexplained(means, "Newton")),
            relation="<",
            threshold=0.1,
            unit="SPD / mean square of the read-out",
        ),
    ]
