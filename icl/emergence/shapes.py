"""Two numbers for the shape of a curve: linearity and breakthroughness, with signs.

With the differences D_i = y_{i+1} - y_i of neighbouring scores, and the improvement

    I = sign(argmax y - argmin y) (max y - min y),

    linearity         L = I / sqrt(mean D^2)
    breakthroughness  B = I / sqrt(median D^2)

(BIG-bench, Srivastava et al. 2022, appendix B; Schaeffer et al. 2023, Eq. 1, where B is
called the emergence score). Both are negative where the score falls with scale. Divided
by n - 1, the number of differences, they can be compared between curves of different
length: L / (n - 1) is 1 for a straight line and never more. `icl.compare.linearity` is
another number, the R2 of a linear fit to predictions.

Four things to know before a B is believed:

- Scale counts by its order alone. The points should be evenly spaced on the axis that
  is meant, usually a logarithmic one.
- The median difference of a clean step is 0 and B infinite. So the denominator of the
  normalised B is at least `floor` |I|, and a B of 1 / (floor (n - 1)) is that floor,
  not a measurement; `floored` says so.
- Noise alone has a large B: see `null_quantiles`.
- B is large where most of the curve is flat. It is no measure of discontinuity: the
  smooth log p of a sigmoid has a larger one than p. Rank curves by L.

Shapes: values (..., n), results (...).
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import ArrayLike, Bool, Float, Shaped

from icl import checks
from icl.arrays import real, shown
from icl.emergence.curves import LEAST, Curve
from icl.resampling import interval

FLOOR = 0.01
TIE = 1e-12
"""Scores that differ by less than this share of the improvement are equal."""

NULL_DRAWS, NULL_NUMBERS = 20_000, 4_000_000
"""Curves of noise for a null quantile, and the most numbers drawn for it."""


class Shape(NamedTuple):
    """The numbers of one curve, or of many, each an array over the leading axes.

    Attributes:
        improvement: I, the difference of the extremes with its sign.
        linearity: L.
        breakthroughness: B; infinite where the median difference is 0.
        normalised_linearity: L / (n - 1), from -1 to 1.
        normalised_breakthroughness: B / (n - 1), where the denominator of B is at least
            `floor` |I|.
        floored: whether that floor was what counted.
        sign_ambiguous: whether the sign hangs on which of two equal extremes is taken,
            as in a U.
    """

    improvement: Float[np.ndarray, "..."]
    linearity: Float[np.ndarray, "..."]
    breakthroughness: Float[np.ndarray, "..."]
    normalised_linearity: Float[np.ndarray, "..."]
    normalised_breakthroughness: Float[np.ndarray, "..."]
    floored: Bool[np.ndarray, "..."]
    sign_ambiguous: Bool[np.ndarray, "..."]


class Null(NamedTuple):
    """Quantiles of |L| / (n - 1) and |B| / (n - 1) of curves that are noise."""

    linearity: float
    breakthroughness: float


NUMBERS = Shape._fields[:5]


def shape(
    curve: Curve, *, floor: float = FLOOR, resamples: int = 1000, seed: int = 0
) -> xr.Dataset:
    """Returns linearity and breakthroughness of a curve, with intervals and flags.

    $$L = I / √(mean D²),  B = I / √(median D²)$$

    D are the differences of neighbouring scores, and the improvement I is the
    difference of the largest and the smallest score, with a minus sign if the largest
    comes first. The function is called `shape` and not `linearity`, which is another
    one of this project (`icl.compare.linearity`, the R2 of a linear fit).

    Args:
        curve: scores by scale.
        floor: the least denominator of the normalised B, as a share of |I|.
        resamples: bootstrap resamples of the items.
        seed: seed of the resamples; curves of the same items share them.

    Returns:
        A Dataset of numbers. `improvement`, `linearity`, `breakthroughness`,
        `normalised_linearity` and `normalised_breakthroughness`, as in `Shape`, each
        with the ends `_low` and `_high` of an interval over items, which are NaN where
        a curve has fewer than two. That of L covers it in 88 to 99 % of cases and that
        of B in 95 to 100 % (lines, sigmoids, steps and constants of 9 points, 100 and
        1,000 items). That of I may miss where scores are shares of nearly 0 or 1, which
        so few items do not tell from them. `floored` and `sign_ambiguous` are flags.
        `resolved` says whether the median step is larger than what resampling alone
        makes of it: where it is False, B is that of the items' noise. `null_95` and
        `null_99` are what |B| / (n - 1) of pure noise stays below (`null_quantiles`);
        `null_linearity_95` is the same of |L| / (n - 1).

    Example:
        >>> found = shape(Curve([1, 2, 4, 8], [0.1, 0.2, 0.3, 0.4]))
        >>> round(found.normalised_linearity.item(), 6), found.floored.item()
        (1.0, False)
    """
    checks.of_kind("curve", curve, Curve, "an icl.emergence.Curve")
    values, steps = curve.values, len(curve.scale) - 1
    estimate = shape_of(values, floor=floor)
    found: dict[str, float | bool] = {}
    ends = dict.fromkeys(NUMBERS, (np.nan, np.nan))
    resolved = bool(np.median(np.diff(values) ** 2) > 0)
    checks.positive_int("resamples", resamples, maximum=1_000_000)
    checks.positive_int("seed", seed, minimum=0)
    if curve.items >= 2:
        draws = curve.draws(resamples=resamples, seed=seed)
        ends = _ends(estimate, shape_of(draws, floor=floor, finite=False), steps, floor)
        moved = np.diff(draws - values, axis=1) ** 2
        resolved &= bool(
            np.median(np.diff(values) ** 2) > 4 * np.median(moved.mean(axis=0))
        )
    for name in NUMBERS:
        found[name] = float(getattr(estimate, name))
        found[f"{name}_low"], found[f"{name}_high"] = map(float, ends[name])
    null_95 = null_quantiles(len(values), level=0.95, floor=floor)
    null_99 = null_quantiles(len(values), level=0.99, floor=floor)
    return xr.Dataset(
        found
        | {
            "floored": bool(estimate.floored),
            "sign_ambiguous": bool(estimate.sign_ambiguous),
            "resolved": resolved,
            "null_95": null_95.breakthroughness,
            "null_99": null_99.breakthroughness,
            "null_linearity_95": null_95.linearity,
        },
        attrs={"n": len(values), "items": curve.items, "floor": float(floor)},
    )


def _ends(estimate: Shape, draws: Shape, steps: int, floor: float) -> dict[str, tuple]:
    """Returns the interval of each number.

    Noise makes a curve less linear, and that of resampling does so once more: the
    percentiles of resampled L lie below L, and for a straight line they never reach
    it. The basic interval, which turns them about the estimate, corrects that, but does
    not cover where the sign is open. The outer ends of both are taken. B is infinite
    for a step, so that its interval is turned about in 1 / B.
    """
    found = {}
    for name in NUMBERS:
        value, drawn = float(getattr(estimate, name)), getattr(draws, name)
        low, high = map(float, interval(drawn))
        if name.endswith("breakthroughness") and value:
            sign = np.sign(value)
            with np.errstate(divide="ignore"):
                start, end = interval(1 / (sign * drawn))
            least = 0.0 if name == "breakthroughness" else floor * steps
            turned = [max(2 / abs(value) - x, least) for x in (start, end)]
            other = [sign / x if x else sign * np.inf for x in turned]
        else:
            other = [2 * value - high, 2 * value - low]
        if name.endswith("linearity"):
            most = 1.0 if name.startswith("normalised") else steps
            other = [min(max(x, -most), most) for x in other]
        found[name] = min(low, *other), max(high, *other)
    return found


def shape_of(
    values: Shaped[ArrayLike, "*curves n"], *, floor: float = FLOOR, finite: bool = True
) -> Shape:
    """Returns the numbers of `Shape` of many curves at once, where higher is better.

    Args:
        values: scores in the order of scale, which is the last axis.
        floor: the least denominator of the normalised B, as a share of |I|.
        finite: whether NaN and infinity are refused. If not, the numbers of a curve
            that has some are NaN.

    Raises:
        ValueError: fewer than three points, or a floor outside (0, 1].

    Example:
        >>> found = shape_of([0, 1, 0, 1, 0, 1, 0, 1, 0])
        >>> found.linearity.item(), found.breakthroughness.item()
        (1.0, 1.0)
    """
    y = np.asarray(real("values", values), dtype=float)
    if checks.flag("finite", finite):
        checks.all_finite("values", y)
    if not y.ndim or y.shape[-1] < LEAST:
        raise ValueError(
            f"values must have a last axis of at least {LEAST} points, got shape "
            f"{y.shape}."
        )
    if checks.finite_number("floor", floor, positive=True) > 1:
        raise ValueError(f"floor must be above 0 and at most 1, got {shown(floor)}.")
    last, first = y.argmax(axis=-1), y.argmin(axis=-1)
    with np.errstate(all="ignore"):
        size = y.max(axis=-1) - y.min(axis=-1)
        relative = (np.diff(y) / np.where(size > 0, size, 1.0)[..., None]) ** 2
        sign = np.sign(last - first)
        rms = np.sqrt(relative.mean(axis=-1))
        median = np.sqrt(np.median(relative, axis=-1))
        constant = size == 0
        linearity = np.where(constant, 0.0, sign / rms)
        breakthroughness = np.where(constant, 0.0, sign / median)
        floored = (median < floor) & ~constant
        bounded = np.where(constant, 0.0, sign / np.maximum(median, floor))
    steps = y.shape[-1] - 1
    return Shape(
        np.asarray(sign * size),
        np.asarray(linearity),
        np.asarray(breakthroughness),
        np.asarray(linearity / steps),
        np.asarray(bounded / steps),
        np.asarray(floored),
        _ambiguous(y, np.asarray(size)),
    )


def _ambiguous(
    y: Float[np.ndarray, "*curves n"], size: Float[np.ndarray, "*curves"]
) -> Bool[np.ndarray, "*curves"]:
    """Returns whether equal extremes lie on both sides of the other extreme."""
    tie = (TIE * size)[..., None]
    high = y >= y.max(axis=-1, keepdims=True) - tie
    low = y <= y.min(axis=-1, keepdims=True) + tie
    place = np.arange(y.shape[-1])

    def ends(which):
        return (
            np.where(which, place, y.shape[-1]).min(axis=-1),
            np.where(which, place, -1).max(axis=-1),
        )

    (first_high, last_high), (first_low, last_low) = ends(high), ends(low)
    both = (last_high > first_low) & (last_low > first_high)
    return np.asarray(both & (size > 0))


def null_quantiles(points: int, *, level: float = 0.99, floor: float = FLOOR) -> Null:
    """Returns what |L| / (n - 1) and |B| / (n - 1) of noise stay below, in most draws.

    The scores of the noise are independent and normal. A B below this says nothing: a
    curve that does not depend on scale at all would have it. It is simulated, from
    20,000 curves or, where n is large, as many as have 4 million points, and is right
    to 2 % or so.

    Args:
        points: the number n of points of the curve.
        level: the probability to stay below.
        floor: that of the normalised B.

    Raises:
        ValueError: fewer than three points or more than 100,000, a level that is not
            between 0 and 1, a floor outside (0, 1].

    Example:
        >>> round(null_quantiles(9).breakthroughness, 1)
        1.0
    """
    n = checks.positive_int("points", points, minimum=LEAST, maximum=100_000)
    if checks.finite_number("level", level, positive=True) >= 1:
        raise ValueError(f"level must be between 0 and 1, got {shown(level)}.")
    if checks.finite_number("floor", floor, positive=True) > 1:
        raise ValueError(f"floor must be above 0 and at most 1, got {shown(floor)}.")
    found = null_shapes(n, float(floor))
    return Null(*(float(np.quantile(np.abs(one), level)) for one in found))


@cache
def null_shapes(
    points: int, floor: float = FLOOR
) -> tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]]:
    """Returns L / (n - 1) and B / (n - 1) of many curves of normal noise."""
    generator = np.random.default_rng(0)
    count = min(NULL_DRAWS, max(NULL_NUMBERS // points, 200))
    parts, left = [], count
    while left:
        rows = min(left, max(1_000_000 // points, 1))
        drawn = shape_of(generator.standard_normal((rows, points)), floor=floor)
        parts.append((drawn.normalised_linearity, drawn.normalised_breakthroughness))
        left -= rows
    linearity, breakthroughness = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    return linearity, breakthroughness
