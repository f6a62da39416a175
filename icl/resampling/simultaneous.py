"""Intervals of what is said of many numbers at once: for every n, for most n.

The largest of noisy numbers is larger than the largest of their expectations, in every
resample again. So the percentiles of a resampled extreme do not cover it: where twenty
numbers are about equal, the "95 % interval" of their largest covers the truth in 5 to
10 % of cases. Two arguments give ends that do, whatever the numbers are:

- *Intersection-union*: the largest lies below a line if every number does. The largest
  of the ordinary upper ends is its upper end, without any correction.
- *Union-intersection*: the largest lies above a line if some number does. Its lower end
  is the largest of lower ends that hold for all numbers together: value - c * spread,
  where c is a quantile of the largest standardised deviation in a resample ("max-t").

Numbers that are positive and skewed, such as distances and their ratios, belong in
logarithms: order does not change, and max-t is right where spreads are alike.

Shapes: values (n,), draws (resamples, n). A NaN makes both ends NaN; where a number is
infinite, nothing is said (-inf, inf).
"""

from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import ArrayLike, Bool, Float

from icl import checks
from icl.arrays import real, shown
from icl.resampling.draws import TAIL, drawn

Kind = Literal["max", "min"]
Values = Float[np.ndarray, " n"]
Draws = Float[np.ndarray, "resamples n"]
Ends = tuple[float, float]


def extreme_interval(
    values: Values, draws: Draws, kind: Kind, *, tail: float = TAIL
) -> Ends:
    """Returns the interval of the largest or smallest of several numbers, (low, high).

    It covers the largest *expectation* in 95 % of cases or more: in 96 to 99 % where
    all are about equal, and in 95 % where one is far from the others.

    Args:
        values: the estimates.
        draws: the same in every resample.
        kind: "max" or "min".
        tail: the probability with which either end may miss.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> draws = rng.normal(size=(1000, 20))
        >>> low, high = extreme_interval(np.zeros(20), draws, "max")
        >>> bool(low < 0 < high), bool(draws.max(axis=1).mean() > 1.5)
        (True, True)
    """
    checks.one_of("kind", kind, get_args(Kind))
    values, draws = _fitting(values, draws, tail)
    if kind == "min":
        low, high = extreme_interval(-values, -draws, "max", tail=tail)
        return -high, 0.0 - low  # which is no -0.0
    if unknown := _unknown(values, draws):
        return unknown
    low = float((values - _max_t(values, draws, tail)).max())
    high = float(np.quantile(draws, 1 - tail, axis=0).max())
    estimate = float(values.max())
    return min(low, estimate), max(high, estimate)


def largest_size_interval(values: Values, draws: Draws, *, tail: float = TAIL) -> Ends:
    """Returns the interval of the largest absolute value of several numbers.

    Its lower end is 0 where nothing shows that a number differs from 0. The percentiles
    of resampled absolute values never reach 0, also where that is the truth.

    Args:
        values: the estimates, with their signs.
        draws: the same in every resample.
        tail: the probability with which either end may miss.
    """
    values, draws = _fitting(values, draws, tail)
    both = np.concatenate([values, -values])
    folded = np.concatenate([draws, -draws], axis=1)
    low, high = extreme_interval(both, folded, "max", tail=tail)
    return max(low, 0.0), high


def nested_extreme_interval(
    values: Float[np.ndarray, "outer inner"],
    draws: Float[np.ndarray, "resamples outer inner"],
    kind: Kind,
    *,
    tail: float = TAIL,
) -> Ends:
    """Returns the interval of a largest of smallest numbers, or the other way round.

    "For every d some size suffices" is about such a number: the largest over d of the
    smallest over sizes.

    Args:
        values: the estimates.
        draws: the same in every resample.
        kind: of the outer axis. "max": the largest of the smallest along the inner
            axis; "min": the smallest of the largest.
        tail: the probability with which either end may miss.
    """
    checks.one_of("kind", kind, get_args(Kind))
    values, draws = _fitting(values, draws, tail, ndim=2)
    if kind == "min":
        low, high = nested_extreme_interval(-values, -draws, "max", tail=tail)
        return -high, -low
    flat = values.ravel(), draws.reshape(len(draws), -1)
    if unknown := _unknown(*flat):
        return unknown
    rows = zip(values, draws.swapaxes(0, 1), strict=True)
    high = max(extreme_interval(*row, "min", tail=tail)[1] for row in rows)
    lows = (flat[0] - _max_t(*flat, tail)).reshape(values.shape)
    estimate = float(values.min(axis=1).max())
    low = float(lows.min(axis=1).max())
    return min(low, estimate), max(high, estimate)


def simultaneous_band(
    values: Values, draws: Draws, *, tail: float = TAIL
) -> tuple[Values, Values]:
    """Returns ends that hold for all numbers together, (low, high), each (n,).

    All lower ends are below their numbers with probability 1 - tail, and so are all
    upper ends above them.

    Args:
        values: the estimates, which must be finite.
        draws: the same in every resample.
        tail: the probability with which any end of one side may miss.
    """
    values, draws = _fitting(values, draws, tail)
    below = np.maximum(_max_t(values, draws, tail), 0)
    above = np.maximum(_max_t(-values, -draws, tail), 0)
    return values - below, values + above


def share_interval(
    values: Values, draws: Draws, bound: float, *, above: bool, tail: float = TAIL
) -> Ends:
    """Returns the interval of the share of several numbers that lie beyond a bound.

    It runs from the share of those that surely do to the share of those that may, by
    `simultaneous_band`. A resampled share takes few values and often does not vary.

    Args:
        values: the estimates.
        draws: the same in every resample.
        bound: which the numbers are compared with.
        above: whether the share above the bound is meant, or else the one below.
        tail: the probability with which either end may miss.

    Example:
        >>> draws = np.array([[0.0, 0.9, 2.0], [0.2, 1.1, 2.2], [0.1, 1.0, 2.1]])
        >>> low, high = share_interval(draws[2], draws, 1.05, above=False)
        >>> round(low, 2), round(high, 2)
        (0.33, 0.67)
    """
    values, draws = _fitting(values, draws, tail)
    if np.isnan(limit := np.asarray(real("bound", bound), float)).any() or limit.ndim:
        raise ValueError(f"bound must be one number, got {shown(bound)}.")
    bound = float(limit)
    if checks.flag("above", above):
        return share_interval(-values, -draws, -bound, above=False, tail=tail)
    if np.isnan(values).any() or np.isnan(draws).any():
        return np.nan, np.nan
    if _unknown(values, draws):
        return 0.0, 1.0
    low, high = simultaneous_band(values, draws, tail=tail)
    return float((high < bound).mean()), float((low < bound).mean())


def contenders(
    values: Values, draws: Draws, *, tail: float = 2 * TAIL
) -> Bool[np.ndarray, " n"]:
    """Returns which of several numbers may be the smallest, for all that is known.

    Each is compared with every other in the same resamples, by max-t: the truly
    smallest is left out with a probability of `tail`, 5 %, or less. It is not compared
    with the smallest *found*, which is smaller by chance.

    Args:
        values: the estimates.
        draws: the same in every resample.
        tail: the probability with which the smallest may be left out.
    """
    values, draws = _fitting(values, draws, tail)
    if len(values) == 1:
        return np.ones(1, bool)
    may_be = np.ones(len(values), bool)
    for i in range(len(values)):
        others = np.arange(len(values)) != i
        excess, drawn = values[i] - values[others], draws[:, [i]] - draws[:, others]
        low, _ = extreme_interval(excess, drawn, "max", tail=tail)
        may_be[i] = not low > 0
    may_be[np.argmin(values)] = True
    return may_be


def _fitting(
    values: ArrayLike, draws: ArrayLike, tail: float, ndim: int = 1
) -> tuple[Any, Any]:
    """Returns estimates and their resamples as floats, with as many of each."""
    values, draws = drawn(values, draws, ndim, tail)
    if draws.shape[1:] != values.shape:
        raise ValueError(
            f"draws must have shape (resamples, *{values.shape}), as values has, got "
            f"{draws.shape}."
        )
    return values, draws


def _max_t(values: Values, draws: Draws, tail: float) -> Values:
    """Returns how far each estimate may exceed its number, all of them together.

    Numbers that do not vary between resamples are known, and have no say. Where numbers
    are whole, a distance that a resample has is met exactly, because distances have
    twelve digits: (1 / s) * s is not always 1, and round-off would decide a verdict.
    """
    spread = draws.std(axis=0)
    moves = spread > 1e-12 * np.abs(values)
    if not moves.any():
        return np.zeros_like(values)
    largest = ((draws - values)[:, moves] / spread[moves]).max(axis=1)
    far = np.quantile(largest, 1 - tail) * np.where(moves, spread, 0.0)
    return np.array([float(f"{each:.12g}") for each in far])


def _unknown(values: Values, draws: Draws) -> Ends | None:
    """Returns the ends where numbers are not finite, and None where all are."""
    if np.isnan(values).any() or np.isnan(draws).any():
        return np.nan, np.nan
    if not (np.isfinite(values).all() and np.isfinite(draws).all()):
        return -np.inf, np.inf
    return None
