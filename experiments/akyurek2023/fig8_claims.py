"""Which sizes suffice to resemble OLS? The claims of Figure 8: claims 21-23.

The claims are about distances for n < d, which `size_sweep` measures. A size suffices
where OLS is nearer to the model than Ridge(0.1) is.
"""

from collections.abc import Sequence

import xarray as xr

from experiments.akyurek2023.size_claims import dimensions, judge_of, points, values
from experiments.engine.claims.claim import Bar, Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Largest, Positive, Smallest

NOUNS = {"width": "width", "layers": "depth"}
SIZES_ON_GRID = "It takes few values, for only sizes on the grid can be needed."


def excess(means: xr.Dataset) -> xr.DataArray:
    """Returns how much further away OLS is than Ridge(0.1); below 0, OLS is nearer."""
    return means.distance.sel(learner="OLS") - means.distance.sel(learner="Ridge(0.1)")


def first_below(excess: xr.DataArray, size: str, values: Sequence[int]) -> xr.DataArray:
    """Returns the smallest of these values at which the excess is below 0.

    Where there is none, or where all runs failed, it is twice the largest of them,
    which stands for "not reached".
    """
    below = excess.sel(point=points(size, values)) < 0
    sizes = xr.DataArray(list(values), dims="point")
    return sizes.where(below, 2 * values[-1]).min("point")


def comparable(means: xr.Dataset) -> list[int]:
    """Returns the dimensions that have an n < d, which d = 1 has not."""
    return [dim for dim in dimensions(means) if dim > 1]


def construction(dim: int) -> int:
    """Returns the width of the paper's Theorem 2, which grows with the square of d."""
    return 3 + 5 * dim + 3 * dim**2


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 21-23 of the paper, for n < d."""
    judge, dims = judge_of(dataset, "fig8"), dimensions(dataset)
    every, largest = f"d = {', '.join(map(str, dims))}", dims[-1]
    width = construction(largest)
    return [
        _suffices(judge, "21", f"One head suffices for {every}:", "heads", 1, dims),
        _suffices(
            judge,
            "22a",
            f"A width of at most 32 suffices for {every}:",
            "width",
            32,
            dims,
        ),
        _suffices(
            judge, "22b", f"At most 8 layers suffice for {every}:", "layers", 8, dims
        ),
        _never_falls(judge, "22c", "width"),
        _never_falls(judge, "22d", "layers"),
        _suffices(
            judge,
            "23",
            f"d = {largest}: far less width is needed than the {width} of the paper's "
            "construction, 3 + 5d + 3d^2; a quarter suffices:",
            "width",
            width / 4,
            [largest],
            bar="ours",
        ),
    ]


def _suffices(
    judge: Judge,
    id: str,
    text: str,
    size: str,
    limit: float,
    dims: list[int],
    bar: Bar = "paper",
) -> Claim:
    """Returns the claim that at each d some value of a size, up to a limit, suffices.

    The difference of the two distances is in units of the distance between the two
    predictors: it is -1 for OLS and 1 for Ridge(0.1). Their ratio would say little of a
    model that predicts 0, which is about as far from the one as from the other.
    """
    tried = values(judge.resampled.means, size)
    small = points(size, [value for value in tried if value <= limit])

    def side(means: xr.Dataset) -> xr.DataArray:
        """Returns on which side each model is, over (dim, point)."""
        chosen = means.sel(dim=dims)
        between = chosen.apart.sel(learner="Ridge(0.1)")
        return excess(chosen.sel(point=small)) / between

    return judge(
        id,
        f"{text} SPD to OLS is below SPD to Ridge(0.1).",
        Largest(Smallest(side, over="point"), over="dim"),
        "<",
        0.0,
        unit="difference of the two MSPD (n < d) / MSPD between OLS and Ridge(0.1), "
        "the least of these sizes, the largest over d",
        bar=bar,
        missing="" if small else f"This run has no {size} up to {limit:g}.",
    )


def _never_falls(judge: Judge, id: str, size: str) -> Claim:
    """Returns the claim that what is needed never falls from one d to the next."""
    means, noun = judge.resampled.means, NOUNS[size]
    tried, dims = values(means, size), comparable(means)

    def fall(means: xr.Dataset) -> xr.DataArray:
        """Returns by which factor what is needed falls to the next d."""
        needed = first_below(excess(means.sel(dim=dims)), size, tried)
        return (needed.shift(dim=1) / needed).isel(dim=slice(1, None))

    return judge(
        id,
        f"The smallest such {noun} never falls as d grows "
        f"(d = {', '.join(map(str, dims))}).",
        Largest(Positive(fall), over="dim"),
        "<=",
        1.0,
        unit=f"largest ratio of the {noun} needed at one d and at the next; what is "
        f"not reached counts as {2 * tried[-1]}",
        note=f"{SIZES_ON_GRID} {judge.note}".strip(),
        missing=_why_not_compared(means, size),
    )


def _why_not_compared(means: xr.Dataset, size: str) -> str:
    """Returns why what is needed cannot be compared between dimensions, or ""."""
    dims = comparable(means)
    if len(dims) < 2:
        return "This run has one dimension only, beside d = 1."
    tried = values(means, size)
    needed = first_below(excess(means.sel(dim=dims)), size, tried)
    reached = (needed <= tried[-1]).any()
    return "" if reached else f"This run has no {size} that suffices at any d."
