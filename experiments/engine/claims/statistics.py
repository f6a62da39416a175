"""Statistics of means: what a claim says about them, such as the largest over contexts.

A statistic takes a Dataset of means and returns one number, or one for each resample if
the Dataset has them. Any function of this kind is a statistic. Those below say what
they are, so that an interval can be chosen that suits them: the largest of noisy values
needs another one than their mean. They can be put into each other:

    Ratio(Mean(distance), Smallest(Mean(distances), over="learner"))

None of them passes over a value that is not a number: one NaN makes the result NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr

from experiments.engine.claims.claim import COMPARE, Relation

Statistic = Callable[[xr.Dataset], xr.DataArray]


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
    """The largest of some values along a dimension."""

    values: Statistic
    over: str = "context"

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the largest value."""
        return self.values(means).max(self.over, skipna=False)


@dataclass(frozen=True)
class Smallest:
    """The smallest of some values along a dimension."""

    values: Statistic
    over: str = "context"

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the smallest value."""
        return self.values(means).min(self.over, skipna=False)


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
    over: str = "context"

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the share, from 0 to 1."""
        values = self.values(means)
        inside = COMPARE[self.relation](values, self.bound).astype(float)
        return inside.where(values.notnull()).mean(self.over, skipna=False)


@dataclass(frozen=True)
class Ratio:
    """One statistic in units of another; NaN where both are 0."""

    numerator: Statistic
    denominator: Statistic

    def __call__(self, means: xr.Dataset) -> xr.DataArray:
        """Returns the ratio."""
        return self.numerator(means) / self.denominator(means)
