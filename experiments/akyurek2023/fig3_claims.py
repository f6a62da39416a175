"""Does the nearest learner shift with depth and width? Claims 14-20, as numbers.

They are about distances for n < d, which `capacity.measure` measures. The paper states
them for d = 8 and d = 16; here they are about the smallest and the largest dimension of
a run, and widths scale with d: its "16 at d = 8, and 32 at d = 16" is a width of 2d.

That a family is nearest is a ratio below 1: the distance to its nearest member, in
units of that to the nearest of all other families. Members are chosen anew in every
resample. They are the few that the paper plots: at 1 layer a ridge regression of much
larger alpha than its 0.1 and 0.5 may be nearer than any of them, which Figure 3 shows
beside it; and a model that predicts next to nothing is nearest to the smallest step,
which the notes of claims 14 and 15 then say. Where the paper gives no number, the
threshold is ours.
"""

from collections.abc import Sequence

import xarray as xr

from experiments.akyurek2023.learners import FAMILIES, NOTHING
from experiments.akyurek2023.size_claims import Judge
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Statistic

POOR = 0.03
"""A fit with a larger distance is called poor."""

RISE = 1.25
"""What falls "up to noise" may rise by this factor from one size to the next."""

RATIO = "ratio of MSPD to the nearest of these and to the nearest of all others"


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Claims 14-20 of the paper, about the region n < d."""
    judge = Judge.of(dataset, "fig3")
    small, large = judge.dims[0], judge.dims[-1]
    alone = "This run has one dimension only." if small == large else ""
    found = [
        *_by_depth(judge, small, ["14a", "15a", "15c", "16a", "16b", "17a"], ""),
        *_by_depth(judge, large, ["14b", "15b", "15d", "16c", "16d", "17b"], alone),
        *_by_width(judge, small, large, alone),
        *_monotone(judge),
    ]
    return sorted(found, key=lambda claim: claim.id)


def _by_depth(judge: Judge, d: int, ids: list[str], alone: str) -> list[Claim]:
    """Claims 14-17 at one dimension; `alone` says why there is no such dimension."""
    deep = [layers for layers in judge.values("layers") if layers >= 8]
    one_layer = alone or judge.missing("layers", [1])
    beyond = alone or judge.missing("layers", deep or [8])
    idle = "" if one_layer else _predicts_nothing(judge.resampled.means, d)

    def shallow(means: xr.Dataset) -> xr.DataArray:
        return _near(means, d, "layers", [1], "GD/SGD").squeeze("point")

    def deepest(means: xr.Dataset) -> xr.DataArray:
        return _near(means, d, "layers", deep[-1:], "OLS").squeeze("point")

    return [
        judge(
            ids[0],
            f"d = {d}: with 1 layer, one step of gradient descent or one pass of SGD "
            "is the nearest of the learners that the paper plots.",
            _worst_ratio(d, "layers", [1], "GD/SGD"),
            "<",
            1.0,
            RATIO,
            missing=one_layer,
            remark=idle,
        ),
        judge(
            ids[1],
            f"d = {d}: with 1 layer even the nearest GD or SGD fits poorly, with an "
            f"MSPD above {POOR}.",
            shallow,
            ">",
            POOR,
            "MSPD",
            missing=one_layer,
            remark=idle,
        ),
        judge(
            ids[2],
            f"d = {d}: with 1 layer the nearest GD or SGD is further away than OLS is "
            "from the deepest model (of 8 layers or more).",
            lambda means: shallow(means) / deepest(means),
            ">",
            1.0,
            "ratio of MSPD",
            missing=one_layer or beyond,
        ),
        *(
            judge(
                id,
                f"d = {d}: with {layers} layers, ridge regression is the nearest of "
                "the learners that the paper plots.",
                _worst_ratio(d, "layers", [layers], "ridge"),
                "<",
                1.0,
                RATIO,
                missing=alone or judge.missing("layers", [layers]),
            )
            for id, layers in zip(ids[3:5], (2, 4), strict=True)
        ),
        judge(
            ids[5],
            f"d = {d}: with 8 layers or more, OLS is the nearest of the learners "
            "that the paper plots.",
            _worst_ratio(d, "layers", deep, "OLS"),
            "<",
            1.0,
            f"largest over depths of the {RATIO}",
            missing=beyond,
        ),
    ]


def _by_width(judge: Judge, small: int, large: int, alone: str) -> list[Claim]:
    """Claims 18 and 19."""
    widths = judge.values("width")

    def enough(id: str, d: int, alone: str) -> Claim:
        wide = [width for width in widths if width >= 2 * d]
        return judge(
            id,
            f"d = {d}: a width of 2d = {2 * d} and every larger one give a fit that "
            "is ridge or better: nearest is ridge or OLS. (The paper: 16 at d = 8, 32 "
            "at d = 16.)",
            _worst_ratio(d, "width", wide, "ridge", "OLS"),
            "<",
            1.0,
            f"largest over widths of the {RATIO}",
            missing=alone or judge.missing("width", [2 * d]),
        )

    def ranks(means: xr.Dataset) -> xr.DataArray:
        return _rank(means, large, "width", widths)

    few = "" if len(widths) > 2 else "This run has fewer than three widths."
    return [
        enough("18a", small, ""),
        enough("18b", large, alone),
        judge(
            "18c",
            f"d = {large}: a width of d = {large} gives no such fit: nearest is "
            "neither ridge nor OLS. (The paper: 16 at d = 16.)",
            _worst_ratio(large, "width", [large], "ridge", "OLS"),
            ">",
            1.0,
            RATIO,
            missing=alone or judge.missing("width", [large]),
        ),
        judge(
            "19a",
            f"d = {large}: as width grows the nearest of GD/SGD, ridge and OLS, in "
            "this order, never goes back.",
            lambda means: (-ranks(means)).diff("point").max("point", skipna=False),
            "<=",
            0.0,
            "largest step back, in families",
            missing=alone or few,
        ),
        judge(
            "19b",
            f"d = {large}: as width grows each of GD/SGD, ridge and OLS is the nearest "
            "of the three in its turn.",
            lambda means: _distinct(ranks(means)),
            ">=",
            3.0,
            "number of families that are nearest at some width",
            missing=alone or few,
        ),
    ]


def _monotone(judge: Judge) -> list[Claim]:
    """Claim 20."""
    found = []
    for size, noun, step, ends in (
        ("layers", "depth", "20a", "20c"),
        ("width", "width", "20b", "20d"),
    ):
        values = judge.values(size)
        few = "" if len(values) > 1 else f"This run has one {noun} only."
        found += [
            judge(
                step,
                f"MSPD to OLS falls with {noun} up to noise: from one size to the next "
                f"it rises nowhere by more than a factor of {RISE}.",
                _largest_rise(size, values),
                "<=",
                RISE,
                "largest ratio of MSPD at neighbouring sizes, over dimensions",
                missing=few,
            ),
            judge(
                ends,
                f"MSPD to OLS is smaller at the largest {noun} than at the smallest.",
                _largest_rise(size, [values[0], values[-1]]),
                "<",
                1.0,
                "ratio of MSPD, the larger of the dimensions",
                missing=few,
            ),
        ]
    return found


# --- statistics of the means ---


def by_family(distance: xr.DataArray) -> xr.DataArray:
    """Distance to the nearest member of each family, over (..., family)."""
    nearest = [
        distance.sel(learner=[learner.name for learner in members]).min("learner")
        for members in FAMILIES.values()
    ]
    names = xr.DataArray(list(FAMILIES), dims="family", name="family")
    return xr.concat(nearest, names)


def _near(
    means: xr.Dataset, d: int, size: str, values: Sequence[int], *families: str
) -> xr.DataArray:
    """Distance to the nearest of these families at some points, (..., point)."""
    points = [f"{size}={value}" for value in values]
    near = by_family(means.distance.sel(dim=d, point=points))
    return near.sel(family=list(families)).min("family")


def _predicts_nothing(means: xr.Dataset, d: int) -> str:
    """A remark if the model of one layer is nearer to 0 than to any learner."""
    at = means.distance.sel(dim=d, point="layers=1")
    nothing, least = float(at.sel(learner=NOTHING.name)), float(by_family(at).min())
    if not nothing < least:
        return ""
    return (
        f"Predicting 0 is nearer than any learner (MSPD {nothing:.2g}): the model has "
        "learnt next to nothing, and the learner nearest to that is the smallest step."
    )


def _worst_ratio(d: int, size: str, values: Sequence[int], *claimed: str) -> Statistic:
    """Distance to the claimed families in units of that to all others, the largest."""
    others = [family for family in FAMILIES if family not in claimed]

    def statistic(means: xr.Dataset) -> xr.DataArray:
        near = _near(means, d, size, values, *claimed)
        ratios = near / _near(means, d, size, values, *others)
        return ratios.max("point", skipna=False)

    return statistic


def _rank(means: xr.Dataset, d: int, size: str, values: Sequence[int]) -> xr.DataArray:
    """0, 1 or 2 where GD/SGD, ridge or OLS is the nearest of them; NaN stays NaN."""
    order = list(FAMILIES)[:3]
    parts = [_near(means, d, size, values, family) for family in order]
    near = xr.concat(parts, "family")
    return near.fillna(0).argmin("family").where(near.notnull().all("family"))


def _distinct(ranks: xr.DataArray) -> xr.DataArray:
    """How many of the three ranks occur among the points; NaN if one is unknown."""
    met = [(ranks == rank).any("point") for rank in range(3)]
    return xr.concat(met, "family").sum("family").where(ranks.notnull().all("point"))


def _largest_rise(size: str, values: Sequence[int]) -> Statistic:
    """The largest ratio of a value's MSPD to OLS and that of the value before it."""

    def statistic(means: xr.Dataset) -> xr.DataArray:
        points = [f"{size}={value}" for value in values]
        distance = means.distance.sel(point=points, learner="OLS")
        before = distance.shift(point=1)
        ratios = (distance / before).isel(point=slice(1, None))
        return ratios.max(["point", "dim"], skipna=False)

    return statistic
