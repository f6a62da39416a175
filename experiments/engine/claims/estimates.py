"""Which interval suits a statistic? One over prompts, or over prompts and seeds.

A number that is no extreme has its percentile interval over prompts. The largest, the
smallest and a share of several numbers have the simultaneous intervals of
`icl.resampling`. Where several models differ in their seed, each has its statistic, and
`icl.resampling.seed_interval` joins prompts and seeds.

Numbers that cannot be negative, distances and ratios of them, are taken in logarithms:
they are skewed, and their order stays. Over seeds their mean is then the geometric one.
A statistic says that it is such a number (`Positive`, `Ratio`): that all of its values
*happen* to be positive tells nothing, and an interval in logarithms never reaches 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Interval
from experiments.engine.claims.statistics import (
    SEED,
    Largest,
    LargestSize,
    Positive,
    Ratio,
    Share,
    Smallest,
    Statistic,
    named,
)
from icl.resampling import (
    TAIL,
    extreme_interval,
    interval,
    largest_size_interval,
    nested_extreme_interval,
    seed_interval,
    share_interval,
)

SIMULTANEOUS = Largest | Smallest | LargestSize | Share
Ends = tuple[float, float]
Arrays = tuple[np.ndarray, np.ndarray]


def estimate(statistic: Statistic, means: xr.Dataset, draws: xr.Dataset) -> Interval:
    """Returns a statistic of means with its 95 % interval.

    Args:
        statistic: what is claimed to compare with a threshold.
        means: the estimates, which may have a dimension of seeds.
        draws: the same with a dimension "draw".

    Raises:
        ValueError: the statistic leaves other dimensions than draws and seeds.
    """
    if isinstance(statistic, SIMULTANEOUS):
        inner = statistic.values
        nested = isinstance(statistic, Largest | Smallest) and isinstance(
            inner, Smallest | Largest
        )
        if nested and type(inner) is not type(statistic):
            return _nested(statistic, inner, means, draws)
        return _simultaneous(statistic, means, draws)
    values, drawn = _arrays(statistic(means), statistic(draws), [])
    if len(values) == 1:
        low, high = interval(drawn[:, 0])
        return Interval(float(values[0]), float(low), float(high))
    values, drawn, back = _scaled(statistic, values, drawn)
    low, high = seed_interval(values, drawn)
    return _ordered(back(values.mean()), float(back(low)), float(back(high)))


def band(value: xr.DataArray, draws: xr.DataArray) -> tuple[xr.DataArray, ...]:
    """Returns values, averaged over seeds, with the ends of their intervals.

    There may be none, as of layers in which nothing can be read.
    """
    if value.sizes.get(SEED, 1) == 1:
        one = value.squeeze(SEED, drop=True) if SEED in value.dims else value
        drawn = draws.squeeze(SEED, drop=True) if SEED in draws.dims else draws
        low, high = interval(drawn.transpose("draw", ...).values)
        return one, one.copy(data=low), one.copy(data=high)
    value = value.transpose(SEED, ...)
    values, drawn = value.values, draws.transpose("draw", *value.dims).values
    one = value.isel({SEED: 0}, drop=True)
    if not one.size:
        return one, one, one
    ends = (values.mean(axis=0), *seed_interval(values, drawn))
    return tuple(one.copy(data=end) for end in ends)


def _arrays(value: xr.DataArray, draws: xr.DataArray, cells: list) -> Arrays:
    """Returns values (seeds, *cells) and draws (resamples, seeds, *cells)."""
    if SEED not in value.dims:
        value, draws = value.expand_dims(SEED), draws.expand_dims(SEED)
    left = set(value.dims) - {SEED, *cells}
    known = {"draw", SEED, *cells}
    if left or set(draws.dims) - known or not draws.sizes.get("draw", 0):
        shapes = value.isel({SEED: 0}).shape, draws.isel({SEED: 0}).shape
        raise ValueError(
            "a claim needs one number, and one for each resample, got shapes "
            f"{shapes[0]} and {shapes[1]}; pass a statistic that leaves no dimension "
            "but that of resamples."
        )
    values = value.transpose(SEED, *cells).values.astype(float)
    return values, draws.transpose("draw", SEED, *cells).values.astype(float)


def _cannot_be_negative(statistic: Statistic) -> bool:
    """Whether a statistic says that its values cannot be negative."""
    if isinstance(statistic, Positive | Ratio):
        return True
    return isinstance(statistic, SIMULTANEOUS) and _cannot_be_negative(statistic.values)


def _scaled(
    statistic: Statistic, values: np.ndarray, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Callable[[Any], Any]]:
    """Returns values and draws, in logarithms where these suit, and what undoes it.

    Where one of them is 0 there are no logarithms.
    """
    with np.errstate(invalid="ignore"):
        zero = (values <= 0).any() or (draws <= 0).any()
    if _cannot_be_negative(statistic) and not zero:
        return np.log(values), np.log(draws), np.exp
    return values, draws, lambda ends: ends


def _ordered(value: float, low: float, high: float) -> Interval:
    """Returns the interval; rounding may not put the estimate outside."""
    value, low, high = float(value), float(low), float(high)
    return Interval(value, min(low, value), max(high, value))


def _simultaneous(
    statistic: Largest | Smallest | LargestSize | Share,
    means: xr.Dataset,
    draws: xr.Dataset,
) -> Interval:
    """Returns the interval of an extreme or a share of several numbers."""
    cells = named(statistic.over)
    inner = statistic.values
    values, drawn = _arrays(inner(means), inner(draws), cells)
    values = values.reshape(len(values), -1)
    drawn = drawn.reshape(*drawn.shape[:2], -1)
    back = _same
    if isinstance(statistic, Largest | Smallest):
        values, drawn, back = _scaled(statistic, values, drawn)
    if len(values) > 1:
        value, (low, high) = _over_seeds(statistic, values, drawn)
    else:
        value = float(statistic(means).squeeze())
        low, high = map(back, _over_prompts(statistic, values[0], drawn[:, 0]))
        return _ordered(value, low, high)
    return _ordered(back(value), back(low), back(high))


def _same(end: float) -> float:
    return end


def _over_prompts(statistic, values: np.ndarray, draws: np.ndarray) -> Ends:
    """Returns the ends for one model; values (n,), draws (resamples, n)."""
    if isinstance(statistic, LargestSize):
        return largest_size_interval(values, draws)
    if isinstance(statistic, Share):
        above, bound = statistic.relation in (">", ">="), float(statistic.bound)
        values, draws, back = _scaled(statistic, values, draws)
        bound = bound if back(0.0) == 0 else float(np.log(bound))
        return share_interval(values, draws, bound, above=above)
    kind = "max" if isinstance(statistic, Largest) else "min"
    return extreme_interval(values, draws, kind)


def _over_seeds(statistic, values: np.ndarray, draws: np.ndarray) -> tuple[float, Ends]:
    """Returns the estimate and the ends for several models, by Bonferroni."""
    means, count = values.mean(axis=0), values.shape[1]
    low, high = seed_interval(values, draws)
    lows, highs = seed_interval(values, draws, tail=TAIL / count)
    if isinstance(statistic, Largest):
        return means.max(), (lows.max(), high.max())
    if isinstance(statistic, Smallest):
        return means.min(), (low.min(), highs.min())
    if isinstance(statistic, LargestSize):
        lows, highs = seed_interval(values, draws, tail=TAIL / (2 * count))
        surely = max(lows.max(), (-highs).max(), 0.0)
        return abs(means).max(), (surely, max(high.max(), (-low).max()))
    above = statistic.relation in (">", ">=")
    beyond = (
        (lambda ends: ends > statistic.bound)
        if above
        else (lambda ends: ends < statistic.bound)
    )
    surely, perhaps = (lows, highs) if above else (highs, lows)
    if np.isnan(lows).any():
        return np.nan, (np.nan, np.nan)
    return beyond(means).mean(), (beyond(surely).mean(), beyond(perhaps).mean())


def _nested(
    statistic: Largest | Smallest,
    inner: Largest | Smallest,
    means: xr.Dataset,
    draws: xr.Dataset,
) -> Interval:
    """Returns the interval of a largest of smallest numbers, or the other way round."""
    rows, columns = named(statistic.over), named(inner.over)
    found = inner.values(means), inner.values(draws)
    values, drawn, back = _scaled(statistic, *_arrays(*found, [*rows, *columns]))
    outer = int(np.prod(values.shape[1 : 1 + len(rows)]))
    values = values.reshape(len(values), outer, -1)
    drawn = drawn.reshape(*drawn.shape[:2], outer, -1)
    kind = "max" if isinstance(statistic, Largest) else "min"
    if kind == "min":
        values, drawn = -values, -drawn
    if len(values) == 1:
        low, high = nested_extreme_interval(values[0], drawn[:, 0], "max")
    else:
        tails = TAIL / values.shape[2], TAIL / outer
        highs = seed_interval(values, drawn, tail=tails[0])[1]
        lows = seed_interval(values, drawn, tail=tails[1])[0]
        low, high = lows.min(axis=1).max(), highs.min(axis=1).max()
    value = values.mean(axis=0).min(axis=1).max()
    if kind == "min":
        low, value, high = -high, -value, -low
    return _ordered(*map(back, (value, low, high)))
