"""Statistics of means: what a claim says about them, such as the largest over contexts.

A statistic takes a Dataset of means and returns one number, or one for each resample
and each seed if the Dataset has them. Any function of this kind is a statistic. Those
below say what they are, so that an interval can be chosen that suits them
(`estimates`): the largest of noisy values needs another one than their mean. What is
largest or smallest must stand outside, so that it is seen: the distance to one learner
in units of the distance to the nearest of others is the largest of the ratios,

    Largest(Ratio(distance, distances), over=("context", "learner")).

None of them passes over a value that is not a number: one NaN makes the result NaN.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import xarray as xr

from experiments.engine.claims.claim import COMPARE, Relation

Statistic = Callable[[xr.Dataset], xr.DataArray]
Dims = str | tuple[str, ...]

SEED = "seed"
"""The dimension of models that differ in their seed."""


def named(over: Dims) -> list[Hashable]:
    """Returns the dimensions, of which there may be one."""
    return [over] if isinstance(over, str) else list(over)


@dataclass(frozen=True)
class Mean:
    """The mean of some values along a dimension."""

    values: Statistic
    over: str = "context"

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the mean."""
        return self.values(means).mean(self.over, skipna=False)


@dataclass(frozen=True)
class Largest:
    """The largest of some values along one dimension or several.

    The values may be `Smallest` along others: the largest of the smallest.
    """

    values: Statistic
    over: Dims = "context"

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the largest value."""
        return self.values(means).max(named(self.over), skipna=False)


@dataclass(frozen=True)
class Smallest:
    """The smallest of some values along one dimension or several."""

    values: Statistic
    over: Dims = "context"

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the smallest value."""
        return self.values(means).min(named(self.over), skipna=False)


@dataclass(frozen=True)
class LargestSize:
    """The largest absolute value of some values, which have signs."""

    values: Statistic
    over: Dims = "context"

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the largest absolute value."""
        return abs(self.values(means)).max(named(self.over), skipna=False)


@dataclass(frozen=True)
class Share:
    """The share of a dimension along which values compare so with a bound.

    Example:
        >>> means = xr.Dataset({"spd": ("context", [0.001, 0.02, 0.003, 0.004])})
        >>> float(Share(lambda means: means.spd, "<", 0.01)(means))
        0.75
    """

    values: Statistic
    relation: Relation
    bound: float
    over: Dims = "context"

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the share, from 0 to 1."""
        values = self.values(means)
        inside = COMPARE[self.relation](values, self.bound).astype(float)
        return inside.where(values.notnull()).mean(named(self.over), skipna=False)


@dataclass(frozen=True)
class Positive:
    """Values that cannot be negative, such as distances: logarithms suit them."""

    values: Statistic

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the values."""
        return self.values(means)


@dataclass(frozen=True)
class Ratio:
    """One positive statistic in units of another; NaN where both are 0."""

    numerator: Statistic
    denominator: Statistic

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the ratio."""
        return self.numerator(means) / self.denominator(means)

    def at(self, **where: Any) -> "Ratio":
        """Returns the ratio at these values of dimensions that both parts have."""
        parts = self.numerator, self.denominator
        return Ratio(*(lambda means, one=one: one(means).sel(where) for one in parts))
