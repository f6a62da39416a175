"""Which learner is the nearest, by depth and width? The claims of Figure 3: 14-20.

The claims are about distances for n < d, which `size_sweep.measure` measures. The paper
states them for d = 8 and d = 16; here they are about the smallest and the largest
dimension of a run, and widths scale with d: the paper's "16 at d = 8, and 32 at d = 16"
is a width of 2d.

A family is the nearest where a ratio is below 1: the distance to its nearest member, in
units of the distance to each member of all other families, of the few learners that the
paper plots. With one layer, a ridge regression with an alpha much larger than 0.1 and
0.5 may be nearer than any of them; Figure 3 shows it beside them. A model that predicts
next to nothing is nearest to the smallest step, and claims about it are empty. Where
the paper gives no number, the threshold is ours.
"""

from collections.abc import Iterable, Sequence

import xarray as xr

from experiments.akyurek2023.learners import FAMILIES, PREDICTS_ZERO
from experiments.akyurek2023.size_claims import (
    dimensions,
    judge_of,
    missing_sizes,
    points,
    values,
)
from experiments.akyurek2023.size_sweep import Point
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import (
    Largest,
    Positive,
    Ratio,
    Smallest,
    Statistic,
)

POOR = 0.03
"""The distance above which a fit is called poor."""

RISE = 1.25
"""The factor by which what falls "up to noise" may rise to the next size."""

COUNTED = "It is counted, and takes few values."

RATIO = "ratio of MSPD to the nearest of these and to the nearest of all others"


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 14-20 of the paper, about the region n < d."""
    judge, dims = judge_of(dataset, "fig3"), dimensions(dataset)
    shallow = of_shallow(dataset)
    seeded = judge if shallow is None else judge_of(shallow, "fig3")
    small, large = dims[0], dims[-1]
    alone = "This run has one dimension only." if small == large else ""
    found = []
    for d, one, letters, missing in (
        (small, seeded, "ac", ""),
        (large, judge, "bd", alone),
    ):
        first, second = letters
        found += [
            *_one_layer(one, d, f"14{first}", f"15{first}", missing),
            _further_than_deepest(judge, d, f"15{second}", missing),
            _eight_layers(judge, d, f"17{first}", missing),
        ]
    found += [
        _few_layers(seeded, small, 2, "16a", ""),
        _few_layers(judge, small, 4, "16b", ""),
        _few_layers(judge, large, 2, "16c", alone),
        _few_layers(judge, large, 4, "16d", alone),
        _width_suffices(judge, small, "18a", ""),
        _width_suffices(judge, large, "18b", alone),
        _width_does_not_suffice(judge, large, "18c", alone),
        *_order_of_widths(judge, large, alone),
        *_falls_with(judge, "layers", "depth", "20a", "20c"),
        *_falls_with(judge, "width", "width", "20b", "20d"),
    ]
    return sorted(found, key=lambda claim: claim.id)


# --- the shallow models of many seeds, in one Dataset with the sweep ---

SHALLOW = "shallow_"
_KEPT = ("distance", "failed")
_DIMS = ("dim", "point", "seed", "shape", "rate")


def with_shallow(dataset: xr.Dataset, shallow: xr.Dataset) -> xr.Dataset:
    """Returns the measured sweep with that of the shallow models beside it."""
    kept = shallow[[*_KEPT]].rename(
        {name: SHALLOW + name for name in (*_KEPT, *_DIMS, "varied", "value")}
    )
    return dataset.merge(kept)


def of_shallow(dataset: xr.Dataset) -> xr.Dataset | None:
    """Returns the sweep of the shallow models, if there is one."""
    if SHALLOW + "distance" not in dataset:
        return None
    kept = dataset[[SHALLOW + name for name in _KEPT]]
    names = [name for name in kept.variables if str(name).startswith(SHALLOW)]
    shallow = kept.rename({name: str(name).removeprefix(SHALLOW) for name in names})
    return shallow.assign(apart=dataset.apart.sel(dim=shallow.dim))


# --- claims by depth, at one dimension; `alone` says why a run lacks a dimension ---


def _one_layer(
    judge: Judge, d: int, nearest: str, poor: str, alone: str
) -> list[Claim]:
    """Returns claims 14 and 15: one gradient step is nearest, and its fit is poor."""
    means = judge.resampled.means
    missing = alone or missing_sizes(means, "layers", [1])
    empty = "" if missing else _learnt_nothing(means, d, Point("layers", 1))
    return [
        judge(
            nearest,
            f"d = {d}: with 1 layer, one step of gradient descent or one pass of SGD "
            "is the nearest of the learners that the paper plots.",
            _worst_ratio(d, "layers", [1], "GD/SGD"),
            "<",
            1.0,
            unit=RATIO,
            empty=empty,
            missing=missing,
        ),
        judge(
            poor,
            f"d = {d}: with 1 layer even the nearest GD or SGD fits poorly, with an "
            f"MSPD above {POOR}.",
            Smallest(_at(d, Point("layers", 1), "GD/SGD"), over="learner"),
            ">",
            POOR,
            unit="MSPD",
            bar="ours",
            empty=empty,
            missing=missing,
        ),
    ]


def _further_than_deepest(judge: Judge, d: int, id: str, alone: str) -> Claim:
    """Returns claim 15, relative to a deep model."""
    deep = _deep(judge)
    return judge(
        id,
        f"d = {d}: with 1 layer the nearest GD or SGD is further away than OLS is "
        "from the deepest model (of 8 layers or more).",
        Smallest(
            Ratio(
                _at(d, Point("layers", 1), "GD/SGD"),
                lambda means: _at(d, Point("layers", deep[-1]), "OLS")(means).squeeze(
                    "learner", drop=True
                ),
            ),
            over="learner",
        ),
        ">",
        1.0,
        unit="ratio of MSPD",
        missing=alone or missing_sizes(judge.resampled.means, "layers", [1, deep[-1]]),
    )


def _few_layers(judge: Judge, d: int, layers: int, id: str, alone: str) -> Claim:
    """Returns claim 16: with two and four layers, ridge regression is the nearest."""
    return judge(
        id,
        f"d = {d}: with {layers} layers, ridge regression is the nearest of "
        "the learners that the paper plots.",
        _worst_ratio(d, "layers", [layers], "ridge"),
        "<",
        1.0,
        unit=RATIO,
        missing=alone or missing_sizes(judge.resampled.means, "layers", [layers]),
    )


def _eight_layers(judge: Judge, d: int, id: str, alone: str) -> Claim:
    """Returns claim 17: with eight layers or more, OLS is the nearest."""
    deep = _deep(judge)
    return judge(
        id,
        f"d = {d}: with 8 layers or more, OLS is the nearest of the learners "
        "that the paper plots.",
        _worst_ratio(d, "layers", deep, "OLS"),
        "<",
        1.0,
        unit=f"largest over depths of the {RATIO}",
        missing=alone or missing_sizes(judge.resampled.means, "layers", deep),
    )


def _deep(judge: Judge) -> list[int]:
    """Returns the depths of 8 layers and more that were tried, or 8 if none was."""
    tried = values(judge.resampled.means, "layers")
    return [layers for layers in tried if layers >= 8] or [8]


# --- claims by width ---


def _width_suffices(judge: Judge, d: int, id: str, alone: str) -> Claim:
    """Returns claim 18, that a width of 2d and more is enough."""
    means = judge.resampled.means
    wide = [width for width in values(means, "width") if width >= 2 * d]
    return judge(
        id,
        f"d = {d}: a width of 2d = {2 * d} and every larger one give a fit that "
        "is ridge or better: nearest is ridge or OLS. (The paper: 16 at d = 8, 32 "
        "at d = 16.)",
        _worst_ratio(d, "width", wide, "ridge", "OLS"),
        "<",
        1.0,
        unit=f"largest over widths of the {RATIO}",
        missing=alone or missing_sizes(means, "width", [2 * d]),
    )


def _width_does_not_suffice(judge: Judge, d: int, id: str, alone: str) -> Claim:
    """Returns claim 18, that a width of d is not enough."""
    means = judge.resampled.means
    missing = alone or missing_sizes(means, "width", [d])
    return judge(
        id,
        f"d = {d}: a width of d = {d} gives no such fit: nearest is "
        "neither ridge nor OLS. (The paper: 16 at d = 16.)",
        _worst_ratio(d, "width", [d], "ridge", "OLS"),
        ">",
        1.0,
        unit=RATIO,
        missing=missing,
        empty="" if missing else _learnt_nothing(means, d, Point("width", d)),
    )


def _order_of_widths(judge: Judge, d: int, alone: str) -> list[Claim]:
    """Returns claim 19: gradient step, ridge and OLS are nearest in this order."""
    widths = values(judge.resampled.means, "width")
    few = "" if len(widths) > 2 else "This run has fewer than three widths."

    def ranks(means: xr.Dataset) -> xr.DataArray:
        """Returns the nearest family at each width, as a number."""
        return _rank(means, d, "width", widths)

    return [
        judge(
            "19a",
            f"d = {d}: as width grows the nearest of GD/SGD, ridge and OLS, in "
            "this order, never goes back.",
            Largest(lambda means: (-ranks(means)).diff("point"), over="point"),
            "<=",
            0.0,
            unit="largest step back, in families",
            note=f"{COUNTED} {judge.note}".strip(),
            missing=alone or few,
        ),
        judge(
            "19b",
            f"d = {d}: as width grows each of GD/SGD, ridge and OLS is the nearest "
            "of the three in its turn.",
            lambda means: _count_distinct(ranks(means)),
            ">=",
            3.0,
            unit="number of families that are nearest at some width",
            note=f"{COUNTED} {judge.note}".strip(),
            missing=alone or few,
        ),
    ]


def _falls_with(
    judge: Judge, size: str, noun: str, step: str, ends: str
) -> list[Claim]:
    """Returns claim 20: the distance to OLS falls as this size grows."""
    tried = values(judge.resampled.means, size)
    few = "" if len(tried) > 1 else f"This run has one {noun} only."
    return [
        judge(
            step,
            f"MSPD to OLS falls with {noun} up to noise: from one size to the next "
            f"it rises nowhere by more than a factor of {RISE}.",
            _largest_rise(size, tried),
            "<=",
            RISE,
            unit="largest ratio of MSPD at neighbouring sizes, over dimensions",
            bar="ours, set after a first look",
            missing=few,
        ),
        judge(
            ends,
            f"MSPD to OLS is smaller at the largest {noun} than at the smallest.",
            _largest_rise(size, [tried[0], tried[-1]]),
            "<",
            1.0,
            unit="ratio of MSPD, the larger of the dimensions",
            missing=few,
        ),
    ]


# --- statistics of the means ---


def by_family(distance: xr.DataArray) -> xr.DataArray:
    """Returns the distance to the nearest member of each family, (..., family)."""
    nearest = [
        distance.sel(learner=[learner.name for learner in members]).min("learner")
        for members in FAMILIES.values()
    ]
    names = xr.DataArray(list(FAMILIES), dims="family", name="family")
    return xr.concat(nearest, names)


def _near(
    means: xr.Dataset, d: int, size: str, values: Sequence[int], *families: str
) -> xr.DataArray:
    """Returns the distance to the nearest of these families, (..., point)."""
    near = by_family(means.distance.sel(dim=d, point=points(size, values)))
    return near.sel(family=list(families)).min("family")


def _learnt_nothing(means: xr.Dataset, d: int, point: Point) -> str:
    """Returns why claims about a model are empty: it is nearer to 0 than to learners.

    It is "" if one of the learners is nearer.
    """
    at = means.distance.sel(dim=d, point=str(point)).mean("seed")
    to_zero = float(at.sel(learner=PREDICTS_ZERO.name))
    least = float(by_family(at).min())
    if not to_zero < least:
        return ""
    return (
        f"predicting 0 is nearer to the model (MSPD {to_zero:.2g}) than any learner is "
        f"({least:.2g}): it has learnt next to nothing, and the learner nearest to "
        "that is the smallest step."
    )


def _at(d: int, point: Point, *families: str) -> Statistic:
    """Returns the distances to all members of some families, over `learner`."""
    names = _members(families)
    return Positive(
        lambda means: means.distance.sel(dim=d, point=str(point), learner=names)
    )


def _members(families: Iterable[str]) -> list[str]:
    """Returns the names of the learners of some families."""
    return [learner.name for family in families for learner in FAMILIES[family]]


def _worst_ratio(d: int, size: str, values: Sequence[int], *claimed: str) -> Largest:
    """Returns the largest ratio of distances, to the claimed families and to others.

    It is the largest, over points and other learners, of the smallest over the claimed
    ones.
    """
    others = [family for family in FAMILIES if family not in claimed]

    def ratios(means: xr.Dataset) -> xr.DataArray:
        """Returns the ratios over (point, claimed, other)."""
        distance = means.distance.sel(dim=d, point=points(size, values))
        near, far = (
            distance.sel(learner=_members(families))
            .drop_vars("learner")
            .rename(learner=name)
            for families, name in ((claimed, "claimed"), (others, "other"))
        )
        return near / far

    return Largest(Smallest(Positive(ratios), over="claimed"), over=("point", "other"))


def _rank(means: xr.Dataset, d: int, size: str, values: Sequence[int]) -> xr.DataArray:
    """Returns which of GD/SGD, ridge and OLS is nearest: 0, 1 or 2; NaN stays NaN."""
    order = list(FAMILIES)[:3]
    parts = [_near(means, d, size, values, family) for family in order]
    near = xr.concat(parts, "family")
    return near.fillna(0).argmin("family").where(near.notnull().all("family"))


def _count_distinct(ranks: xr.DataArray) -> xr.DataArray:
    """Returns how many of the three ranks occur; NaN if a rank is unknown."""
    met = [(ranks == rank).any("point") for rank in range(3)]
    return xr.concat(met, "family").sum("family").where(ranks.notnull().all("point"))


def _largest_rise(size: str, values: Sequence[int]) -> Largest:
    """Returns the largest ratio of a size's MSPD to OLS and that of the size before."""

    def ratios(means: xr.Dataset) -> xr.DataArray:
        """Returns the ratios of MSPD at neighbouring sizes."""
        distance = means.distance.sel(point=points(size, values), learner="OLS")
        return (distance / distance.shift(point=1)).isel(point=slice(1, None))

    return Largest(Positive(ratios), over=("point", "dim"))
