"""Resampled means over prompts, and intervals of anything computed from them.

A Dataset of per-prompt values becomes means by context (or medians), and the same for
every bootstrap resample of the prompts. A statistic written once, on named dimensions,
then gives the estimate and its draws alike. Values that are compared with each other
come from the same resamples, so that what the prompts share cancels.

Several models that differ in their seed are resampled too, each time as many as there
are, if they are three or more. Few seeds make a narrow interval: where seeds differ
more than prompts do, that of three reaches from the least seed to the largest, which
covers what the mean of many seeds would be three times in four, not in 95 % of cases.
A claim then holds only if it holds for each of the three by itself.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from experiments.engine.claims.statistics import Statistic
from icl.compare import bootstrap, interval

FEWEST_SEEDS = 3
"""Of fewer, an interval over prompts alone is given: two say nothing about a spread."""


class Resampled(NamedTuple):
    """Means (or medians) over prompts, and those of every resample.

    Attributes:
        means: the estimates, without a dimension of prompts or seeds.
        draws: the same with a first dimension "draw".
    """

    means: xr.Dataset
    draws: xr.Dataset

    def at(self, contexts: Sequence[int] | np.ndarray) -> "Resampled":
        """Returns the means and draws at some context lengths only."""
        return Resampled(*(part.sel(context=contexts) for part in self))

    def band(self, statistic: Statistic) -> tuple[xr.DataArray, ...]:
        """Returns a statistic with the two ends of its 95 % interval."""
        value = statistic(self.means)
        low, high = interval(statistic(self.draws).transpose("draw", ...).values)
        return value, value.copy(data=low), value.copy(data=high)


def resample(
    per_prompt: xr.Dataset,
    prompts: Sequence[str],
    *,
    resamples: int,
    seed: int = 0,
    seeds: str | None = None,
    statistic: Literal["mean", "median"] = "mean",
) -> Resampled:
    """Averages over prompts and seeds, once as they are and once for every resample.

    Variables with the same number of prompts share their resamples, and all seeds of a
    variable do: they were asked the same prompts.

    Args:
        per_prompt: variables that each have one of the dimensions `prompts`. Where a
            value is missing for every prompt, as that of a model whose training failed,
            means and draws are NaN.
        prompts: names of these dimensions.
        resamples: number of bootstrap resamples.
        seed: of the bootstrap.
        seeds: the dimension of models that differ in their seed. A variable that has it
            is averaged over it, after the prompts; the seeds are resampled too where
            there are three or more, and the interval is over prompts alone otherwise.
        statistic: "mean" or "median", over prompts; over seeds it is always the mean.
    """
    means, draws = {}, {}
    for name, array in per_prompt.data_vars.items():
        (over,) = (dim for dim in prompts if dim in array.dims)
        array = array.transpose(over, ...).astype(float)
        missing = array.isnull().all(over)
        resampled = bootstrap(
            array.where(~missing, 0).values,
            statistic=statistic,
            resamples=resamples,
            seed=seed,
        )
        average = array.median if statistic == "median" else array.mean
        estimate = average(over, skipna=False)
        drawn = estimate.expand_dims(draw=resamples).copy(data=resampled)
        drawn = drawn.where(~missing)
        if seeds in array.dims:
            shares = _shares(array.sizes[seeds], resamples, seed)
            estimate = estimate.mean(seeds, skipna=False)
            drawn = drawn.dot(xr.DataArray(shares, dims=("draw", seeds)), dim=seeds)
        means[name], draws[name] = estimate, drawn
    return Resampled(xr.Dataset(means), xr.Dataset(draws))


def _shares(count: int, resamples: int, seed: int) -> np.ndarray:
    """Returns the share of each seed in every resample, (resamples, count)."""
    equal = np.full(count, 1 / count)
    if count < FEWEST_SEEDS:
        return np.tile(equal, (resamples, 1))
    generator = np.random.default_rng([seed, count])  # not the one that draws prompts
    return generator.multinomial(count, equal, size=resamples) / count
