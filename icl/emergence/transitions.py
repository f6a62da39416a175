"""Where on the axis of scale does a curve rise, and from where on is it above chance?

`transition` answers the first question for a curve that goes from a poor score to an
excellent one: where it has covered 10, 50 and 90 % of the way. `onset` answers the
second: from which scale on do the items show that a score is above chance. Both look
at the whole curve, and their intervals are over items.

Shapes: values (n,), draws (resamples, n).
"""

import numpy as np
import xarray as xr
from jaxtyping import Float

from icl import checks
from icl.arrays import real, shown
from icl.emergence.curves import Curve
from icl.resampling import interval, simultaneous_band

LEVELS = {"x10": 0.1, "x50": 0.5, "x90": 0.9}


def transition(
    curve: Curve,
    *,
    low: float | None = None,
    high: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Returns where a curve has covered 10, 50 and 90 % of its way, and its width.

    With z = (score - low) / (high - low), these are the first crossings of .1, .5 and
    .9, by linear interpolation in the logarithm of scale between neighbours.

    Args:
        curve: scores by scale, and all scales must be above 0.
        low: the score that counts as 0 %, such as chance, in the unit of the scores (so
            that for a loss it is larger than `high`); None: the worst of the curve.
        high: the score that counts as 100 %; None: the best of the curve.
        resamples: bootstrap resamples of the items.
        seed: seed of the resamples.

    Returns:
        A Dataset of numbers: `x10`, `x50`, `x90` in the unit of scale, and `width`,
        log10(x90 / x10), each with `_low` and `_high`, a 95 % interval over items, NaN
        where there are none or where some resamples do not cross. A number is NaN if
        the level is not crossed: never reached, or passed at the first point already.
        `monotone` says whether z never falls, by more than two standard errors where
        there are items.

    Raises:
        ValueError: a scale is 0 or below, or `low` is not worse than `high`.

    Example:
        >>> found = transition(Curve([1, 10, 100], [0.0, 0.5, 1.0]))
        >>> found.x50.item(), round(found.width.item(), 3), found.monotone.item()
        (10.0, 1.6, True)
    """
    checks.of_kind("curve", curve, Curve, "an icl.emergence.Curve")
    if curve.scale[0] <= 0:
        raise ValueError(
            "curve must have scales above 0 for a logarithmic axis, got "
            f"{curve.scale[0]:g}; leave that point out, or count from 1."
        )
    checks.positive_int("resamples", resamples, maximum=1_000_000)
    checks.positive_int("seed", seed, minimum=0)
    bottom = None if low is None else _level("low", low, curve)
    top = None if high is None else _level("high", high, curve)
    if bottom is not None and top is not None and bottom >= top:
        worse = "below" if curve.higher_is_better else "above"
        raise ValueError(
            f"low must be {worse} high, as it is the worse score, got low="
            f"{shown(low)} and high={shown(high)}."
        )
    values = curve.values
    z = _relative(values, bottom, top)
    crossed = _crossings(curve.scale, z)
    found = {name: float(value) for name, value in crossed.items()}
    ends = dict.fromkeys(crossed, (np.nan, np.nan))
    error = np.zeros_like(values)
    if curve.items >= 2:
        draws = _relative(curve.draws(resamples=resamples, seed=seed), bottom, top)
        drawn = _crossings(curve.scale, draws)
        ends = {name: interval(value) for name, value in drawn.items()}
        best = _running_best(z)
        error = np.std(draws[:, best] - draws, axis=0)
    for name, (lower, upper) in ends.items():
        found[f"{name}_low"], found[f"{name}_high"] = float(lower), float(upper)
    falls = np.maximum.accumulate(z) - z > 2 * error
    return xr.Dataset(
        found | {"monotone": not falls.any()},
        attrs={"n": len(values), "items": curve.items},
    )


def onset(
    curve: Curve,
    *,
    chance: float,
    margin: float = 0.05,
    resamples: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Returns the scale from which on a score is above chance, with its interval.

    The interval comes from a band that holds for all scales at once
    (`icl.resampling.simultaneous_band`), as in `probes.onset`: the score is above the
    line, chance + margin, no earlier than where the upper end of the band first is, and
    surely is from where the lower end first is. Intervals of one scale each would not
    do: of twenty scales at chance, one would be above it.

    Args:
        curve: scores of at least two items by scale.
        chance: the score without any ability, in the unit of the scores.
        margin: how much better than chance the score must be, at least 0; for a curve
            in logarithms, in decades.
        resamples: bootstrap resamples of the items.
        seed: seed of the resamples.

    Returns:
        A Dataset of scales: `onset`, the first at which the score itself is above the
        line, `onset_low` and `onset_high`. Each is infinite where there is none.

    Raises:
        ValueError: fewer than two items, or a chance or margin that is no number.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> right = rng.random((4, 1000)) < np.array([[0.5], [0.5], [0.57], [0.9]])
        >>> found = onset(Curve([1, 2, 4, 8], right), chance=0.5)
        >>> found.onset.item(), found.onset_low.item(), found.onset_high.item()
        (4.0, 2.0, 4.0)
    """
    checks.of_kind("curve", curve, Curve, "an icl.emergence.Curve")
    line = _level("chance", chance, curve) + checks.finite_number("margin", margin)
    draws = curve.draws(resamples=resamples, seed=seed)
    values = curve.values
    low, high = simultaneous_band(values, draws)
    found = {
        "onset": _first(curve.scale, values > line),
        "onset_low": _first(curve.scale, high > line),
        "onset_high": _first(curve.scale, low > line),
    }
    return xr.Dataset(found, attrs={"line": line, "n": len(values)})


def _level(name: str, score: float, curve: Curve) -> float:
    """Returns a score as `Curve.values` has it; it may have either sign."""
    found = np.asarray(real(name, score))
    if found.ndim or found.dtype == bool or not np.isfinite(found):
        raise ValueError(f"{name} must be a finite number, got {shown(score)}.")
    level = float(curve.oriented(found))
    if not np.isfinite(level):
        raise ValueError(
            f"{name} must be above 0 for a curve in logarithms, got {shown(score)}."
        )
    return level


def _first(scale: Float[np.ndarray, " n"], above: np.ndarray) -> float:
    """Returns the first scale that is above, or infinity."""
    return float(scale[np.argmax(above)]) if above.any() else np.inf


def _running_best(z: Float[np.ndarray, " n"]) -> np.ndarray:
    """Returns, for each point, the index of the best point until there."""
    best = np.maximum.accumulate(z)
    return np.maximum.accumulate(np.where(z == best, np.arange(len(z)), 0))


def _relative(
    values: Float[np.ndarray, "*curves n"], low: float | None, high: float | None
) -> Float[np.ndarray, "*curves n"]:
    """Returns z, which is 0 at `low` and 1 at `high`; NaN where the two are equal.

    Raises:
        ValueError: the curve's best score is not above `low`, or its worst not below
            `high`, and the other one was left out.
    """
    bottom = values.min(axis=-1, keepdims=True) if low is None else np.asarray(low)
    top = values.max(axis=-1, keepdims=True) if high is None else np.asarray(high)
    way = top - bottom
    if values.ndim == 1 and (low is None) != (high is None) and way.min() <= 0:
        name = "low" if high is None else "high"
        raise ValueError(
            f"{name} must be on the other side of all scores, got one that none of "
            f"them has passed; give both low and high."
        )
    return (values - bottom) / np.where(way > 0, way, np.nan)


def _crossings(
    scale: Float[np.ndarray, " n"], z: Float[np.ndarray, "*curves n"]
) -> dict[str, Float[np.ndarray, "*curves"]]:
    """Returns x10, x50, x90 and the width of each curve."""
    places = {name: crossing(scale, z, level) for name, level in LEVELS.items()}
    return places | {"width": np.log10(places["x90"] / places["x10"])}


def crossing(
    scale: Float[np.ndarray, " n"], values: Float[np.ndarray, "*curves n"], level: float
) -> Float[np.ndarray, "*curves"]:
    """Returns the first scale at which each curve has come up to a level, or NaN.

    It is interpolated linearly in the logarithm of scale. A curve that is there at the
    first point already does not cross.

    Args:
        scale: in increasing order, above 0.
        values: the last axis is that of scale.
        level: in the unit of the values.
    """
    logs = np.log10(scale)
    above = values >= level
    after = np.argmax(above, axis=-1)[..., None]
    before = np.maximum(after - 1, 0)
    low, high = (
        np.take_along_axis(values, at, axis=-1)[..., 0] for at in (before, after)
    )
    crossed = above.any(axis=-1) & ~above[..., 0]
    part = (level - low) / np.where(crossed, high - low, 1.0)
    left, right = logs[before[..., 0]], logs[after[..., 0]]
    return np.where(crossed, 10 ** (left + part * (right - left)), np.nan)
