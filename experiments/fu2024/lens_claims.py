"""What does the lens claim about layers as steps of an iteration (Fu et al. 2024)?

The claims are about distances of read-outs from learners, which `lens.measure`
measures: for each layer and each family of learners, the distance at the best number of
steps k.
"""

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Mean, Ratio, Statistic

WHOLE = "The best k is a whole number, so that a slope takes few values."


def nearest(means: xr.Dataset, family: str) -> xr.DataArray:
    """Returns the distance at the best k, over (head, layer)."""
    return _of_family(means, family).min("learner")


def best_k(means: xr.Dataset, family: str) -> xr.DataArray:
    """Returns the k of the smallest distance, over (head, layer)."""
    distance = _of_family(means, family)
    return distance.k.isel(learner=distance.argmin("learner")).astype(float)


def unexplained(means: xr.Dataset, family: str) -> xr.DataArray:
    """Returns the distance at the best k as a share of the read-out's mean square."""
    return nearest(means, family) / means.power.where(means.power > 0)


def _of_family(means: xr.Dataset, family: str) -> xr.DataArray:
    """Returns the distances from the learners of one family."""
    return means.distance.isel(learner=(means.family == family).values)


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means of distances and powers over prompts, and their resamples."""
    return intervals.resample(
        dataset[["distance", "power"]],
        ("prompt",),
        resamples=int(dataset.attrs["resamples"]),
    )


def _slope(means: xr.Dataset) -> xr.DataArray:
    """Returns by how many Newton iterations a layer is ahead of the one before."""
    line = best_k(means, "Newton").polyfit("layer", 1)
    return line.polyfit_coefficients.sel(degree=1)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns three claims of Fu et al., about each layer's own head."""
    own = resample(dataset).map(lambda part: part.sel(head="own"))
    judge = Judge(
        "lens",
        "lens",
        "Fu et al. 2024 (arXiv 2310.17086); thresholds ours",
        resampled=own,
    )
    last = int(dataset.layer[-1])
    deep = slice(last // 2 + 1, last)
    return [_deeper_is_further(judge), *_follow_newton(judge, deep)]


def _deeper_is_further(judge: Judge) -> Claim:
    """Returns claim 1: the best number of Newton iterations grows with the layer."""
    return judge(
        "1",
        "A deeper layer is further along: the best number of Newton iterations "
        "grows by more than one in ten layers.",
        _slope,
        ">",
        0.1,
        unit="slope, iterations per layer",
        bar="ours, set after a first look",
        note=WHOLE,
    )


def _follow_newton(judge: Judge, deep: slice) -> list[Claim]:
    """Returns claims 2 and 3, about the mean over the deeper half of the layers."""
    half = f"over layers {deep.start} to {deep.stop}"

    def over_deep(values: Statistic) -> Mean:
        """Returns the mean of some values over the deeper layers."""
        return Mean(lambda means: values(means).sel(layer=deep), over="layer")

    return [
        judge(
            "2",
            f"Layers follow Newton's iteration rather than gradient descent: averaged "
            f"{half}, each at its best k, they are closer to it.",
            Ratio(
                over_deep(lambda means: nearest(means, "Newton")),
                over_deep(lambda means: nearest(means, "GD")),
            ),
            "<",
            1,
            unit="ratio of mean SPD to Newton and to GD",
        ),
        judge(
            "3",
            f"They follow it closely: averaged {half}, Newton at its best k leaves "
            "less than a tenth of what is read out unexplained.",
            over_deep(lambda means: unexplained(means, "Newton")),
            "<",
            0.1,
            unit="SPD / mean square of the read-out",
            bar="ours, set after a first look",
        ),
    ]
