"""The claims of Figure 8: which sizes suffice to resemble OLS? Claims 21-23.

They are about distances for n < d, which `size_sweep` measures.
"""

from collections.abc import Sequence

import xarray as xr

from experiments.akyurek2023.size_claims import Judge
from experiments.engine.claims.claim import Claim


def excess(means: xr.Dataset) -> xr.DataArray:
    """How much further away OLS is than Ridge(0.1); below 0 is what is looked for."""
    return means.distance.sel(learner="OLS") - means.distance.sel(learner="Ridge(0.1)")


def first_below(excess: xr.DataArray, size: str, values: Sequence[int]) -> xr.DataArray:
    """The smallest of these values at which the excess is below 0.

    Where there is none, or all runs failed, twice the largest of them, which stands for
    "not reached".
    """
    points = [f"{size}={value}" for value in values]
    sizes = xr.DataArray(list(values), dims="point")
    return sizes.where(excess.sel(point=points) < 0, 2 * values[-1]).min("point")


def construction(dim: int) -> int:
    """The width of the paper's Theorem 2, which grows with the square of d."""
    return 3 + 5 * dim + 3 * dim**2


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Claims 21-23 of the paper, for n < d."""
    judge = Judge.of(dataset, "fig8")
    dims = judge.dims
    largest = dims[-1]
    every = f"d = {', '.join(map(str, dims))}"
    alone = "" if len(dims) > 1 else "This run has one dimension only."

    def suffices(id: str, text: str, size: str, limit: float, dims: list[int]) -> Claim:
        """At each of these d some value of this size, up to the limit, is enough.

        Which one is chosen anew in every resample, as the least ratio: a little kindly,
        where several are about equal.
        """
        small = [value for value in judge.values(size) if value <= limit]
        points = [f"{size}={value}" for value in small]

        def statistic(means: xr.Dataset) -> xr.DataArray:
            distance = means.distance.sel(dim=dims, point=points)
            ratio = distance.sel(learner="OLS") / distance.sel(learner="Ridge(0.1)")
            return ratio.min("point").max("dim", skipna=False)

        return judge(
            id,
            f"{text} SPD to OLS is below SPD to Ridge(0.1).",
            statistic,
            "<",
            1.0,
            "ratio of MSPD (n < d), the least of these sizes, the largest over d",
            missing="" if small else f"This run has no {size} up to {limit:g}.",
        )

    def rises(id: str, size: str, noun: str) -> Claim:
        """What is needed never falls from one d to the next."""
        values = judge.values(size)

        def statistic(means: xr.Dataset) -> xr.DataArray:
            needed = first_below(excess(means), size, values)
            return (needed.shift(dim=1) / needed).isel(dim=slice(1, None)).max("dim")

        return judge(
            id,
            f"The smallest such {noun} never falls as d grows ({every}).",
            statistic,
            "<=",
            1.0,
            f"largest ratio of the {noun} needed at one d and at the next; what is not "
            f"reached counts as {2 * values[-1]}",
            missing=alone or _never_reached(judge, size),
        )

    width = construction(largest)
    return [
        suffices("21", f"One head suffices for {every}:", "heads", 1, dims),
        suffices(
            "22a", f"A width of at most 32 suffices for {every}:", "width", 32, dims
        ),
        suffices("22b", f"At most 8 layers suffice for {every}:", "layers", 8, dims),
        rises("22c", "width", "width"),
        rises("22d", "layers", "depth"),
        suffices(
            "23",
            f"d = {largest}: far less width is needed than the {width} of the paper's "
            "construction, 3 + 5d + 3d^2; a quarter suffices:",
            "width",
            width / 4,
            [largest],
        ),
    ]


def _never_reached(judge: Judge, size: str) -> str:
    """Says that no value of a size suffices at any d, so that none can be compared."""
    values = judge.values(size)
    needed = first_below(excess(judge.resampled.means), size, values)
    reached = (needed <= values[-1]).any()
    return "" if reached else f"This run has no {size} that suffices at any d."
