"""Resampled means over prompts, for one model or for several that differ in their seed.

A Dataset of per-prompt values becomes means by context (or medians), and the same for
every bootstrap resample of the prompts. A statistic written once, on named dimensions,
then gives the estimate and its draws alike. Values that are compared with each other
come from the same resamples, so that what the prompts share cancels.

Models that differ in their seed keep a dimension of their own, `SEED`: a statistic is
taken of each, and `estimates` joins them.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from experiments.engine.claims.estimates import band
from experiments.engine.claims.statistics import Statistic
from icl.resampling import HEAVY, bootstrap

MOST_LEFT_OUT = 200
"""So many heavy prompts are left out at most, each alone, to see what they carry."""


class Resampled(NamedTuple):
    """Means (or medians) over prompts, and those of every resample.

    Attributes:
        means: the estimates, without a dimension of prompts.
        draws: the same with a first dimension "draw".
        without: the means without one prompt, with a first dimension "draw": once for
            each prompt that has more than 1 % of some sum. None where there is none.
    """

    means: xr.Dataset
    draws: xr.Dataset
    without: xr.Dataset | None = None

    def at(self, contexts: Sequence[int] | np.ndarray) -> "Resampled":
        """Returns the means and draws at some context lengths only."""
        return self.map(lambda part: part.sel(context=contexts))

    def map(self, change: Callable[[xr.Dataset], xr.Dataset]) -> "Resampled":
        """Returns all parts after a change of each."""
        without = None if self.without is None else change(self.without)
        return Resampled(change(self.means), change(self.draws), without)

    def band(self, statistic: Statistic) -> tuple[xr.DataArray, ...]:
        """Returns a statistic with the two ends of its 95 % intervals, one by one."""
        return band(statistic(self.means), statistic(self.draws))


def resample(
    per_prompt: xr.Dataset,
    prompts: Sequence[str],
    *,
    resamples: int | None = None,
    seed: int = 0,
    statistic: Literal["mean", "median"] = "mean",
) -> Resampled:
    """Averages over prompts, once as they are and once for every resample.

    Variables with the same number of prompts share their resamples, and all seeds of a
    variable do: they were asked the same prompts.

    Args:
        per_prompt: variables that each have one of the dimensions `prompts`. Where a
            value is missing for every prompt, as that of a model whose training failed,
            means and draws are NaN.
        prompts: names of these dimensions.
        resamples: number of bootstrap resamples. None: what the Dataset says under
            this name, as those of figures do.
        seed: of the bootstrap.
        statistic: "mean" or "median", over prompts.
    """
    if resamples is None:
        resamples = int(per_prompt.attrs["resamples"])
    means, draws = {}, {}
    for name, array in per_prompt.data_vars.items():
        over = _prompts_of(array, prompts)
        array = array.transpose(over, ...).astype(float)
        missing = array.isnull().all(over)
        resampled = bootstrap(
            array.where(~missing, 0).values,
            statistic=statistic,
            resamples=resamples,
            seed=seed,
        )
        average = array.median if statistic == "median" else array.mean
        means[name] = average(over, skipna=False)
        drawn = means[name].expand_dims(draw=resamples).copy(data=resampled)
        draws[name] = drawn.where(~missing)
    without = _without(per_prompt, prompts) if statistic == "mean" else None
    return Resampled(xr.Dataset(means), xr.Dataset(draws), without)


def _prompts_of(array: xr.DataArray, prompts: Sequence[str]) -> str:
    (over,) = (dim for dim in prompts if dim in array.dims)
    return over


def _without(per_prompt: xr.Dataset, prompts: Sequence[str]) -> xr.Dataset | None:
    """Returns the means without each prompt that carries much of some sum."""
    parts = []
    for over in prompts:
        heavy = xr.DataArray(_heavy(per_prompt, over), dims="draw")
        if heavy.size:
            arrays = per_prompt.astype(float).data_vars.items()
            kept = {
                name: _without_each(array, _prompts_of(array, prompts), over, heavy)
                for name, array in arrays
            }
            parts.append(xr.Dataset(kept))
    return xr.concat(parts, "draw") if parts else None


def _without_each(
    array: xr.DataArray, own: str, over: str, heavy: xr.DataArray
) -> xr.DataArray:
    """Returns the means of one variable without each heavy prompt of `over`.

    They are all the mean over its `own` prompts, where these are others.
    """
    mean = array.mean(own, skipna=False)
    if own != over:
        return mean.expand_dims(draw=heavy.size)
    count, left_out = (
        array.sizes[over],
        array.isel({over: heavy}).drop_vars(over, errors="ignore"),
    )
    return ((count * mean - left_out) / (count - 1)).transpose("draw", ...)


def _heavy(per_prompt: xr.Dataset, over: str) -> np.ndarray:
    """Returns the prompts that have more than 1 % of some sum, the heaviest first."""
    shares = []
    for array in per_prompt.data_vars.values():
        if over in array.dims:
            sizes = abs(array.transpose(over, ...).astype(float).values)
            sizes = sizes.reshape(len(sizes), -1)
            total = np.nansum(sizes, axis=0)
            parts = np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0)
            shares.append(np.nanmax(parts, axis=1))
    if not shares:
        return np.array([], int)
    share = np.max(shares, axis=0)
    order = np.argsort(-share, kind="stable")[:MOST_LEFT_OUT]
    return order[share[order] > HEAVY]
