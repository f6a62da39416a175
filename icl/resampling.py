"""How sure is a mean or a median over prompts?

As many prompts as there are are drawn with replacement, and the statistic is computed
again; the middle 95 % of the results is the interval. A resample is described by how
often each prompt occurs in it, so that the same seed and number of prompts always give
the same resamples: differences and ratios of two calls are paired.

Shapes: `per_prompt` (batch, *rest), resampled statistics (resamples, *rest).
"""

import math
from typing import Literal

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from icl import checks

LEVEL = 0.95

Statistic = Literal["mean", "median"]
STATISTICS = {"mean": np.mean, "median": np.median}


def bootstrap(
    per_prompt: Float[ArrayLike, "batch *rest"],
    *,
    statistic: Statistic = "mean",
    resamples: int = 1000,
    seed: int = 0,
) -> Float[np.ndarray, "resamples *rest"]:
    """Returns a statistic over prompts drawn with replacement, once per resample.

    Take the median where a few prompts decide the mean, as with squared errors of least
    squares: with noisy labels their expectation is infinite near n = d.

    Args:
        per_prompt: a value, or an array of them, for every prompt.
        statistic: "mean" or "median", over the prompts; of an even number of prompts
            the median is the mean of the middle two, as `numpy.median` has it.
        resamples: number of resamples.
        seed: seed of the resamples.

    Raises:
        ValueError: there are fewer than two prompts, a value is NaN or infinite,
            resamples is below 1, or the statistic is another one.

    Example:
        >>> values = np.array([1.0, 2.0, 90.0])
        >>> draws = bootstrap(values, statistic="median", resamples=5)
        >>> draws.shape, set(draws.tolist()) <= {1.0, 2.0, 90.0}
        ((5,), True)
    """
    checks.one_of("statistic", statistic, STATISTICS)
    values = np.asarray(per_prompt, dtype=float)
    checks.positive_int("resamples", resamples)
    batch = values.shape[0] if values.ndim else 0
    if batch < 2:
        raise ValueError(f"per_prompt must hold at least 2 prompts, got {batch}.")
    checks.all_finite("per_prompt", values)
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(batch, np.full(batch, 1 / batch), size=resamples)
    columns = values.reshape(batch, -1)
    resampled = (
        (counts / batch) @ columns if statistic == "mean" else _medians(columns, counts)
    )
    return resampled.reshape(resamples, *values.shape[1:])


def bootstrap_means(
    per_prompt: Float[ArrayLike, "batch *rest"], *, resamples: int = 1000, seed: int = 0
) -> Float[np.ndarray, "resamples *rest"]:
    """Returns the `bootstrap` of the mean: all resamples are one matrix product.

    Raises:
        ValueError: as for `bootstrap`.
    """
    return bootstrap(per_prompt, resamples=resamples, seed=seed)


def interval(
    resampled: Float[ArrayLike, "resamples *rest"],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the 95 % percentile interval of resampled values, (low, high).

    Its ends are interpolated between two values, unless some are infinite: then they
    are the outer one of the two, which is a number or infinite, and never NaN.
    """
    values, tail = np.asarray(resampled), (1 - LEVEL) / 2
    low, high = ("lower", "higher") if np.isinf(values).any() else ("linear", "linear")
    return (
        np.asarray(np.quantile(values, tail, axis=0, method=low)),
        np.asarray(np.quantile(values, 1 - tail, axis=0, method=high)),
    )


def _medians(
    columns: Float[np.ndarray, "batch n"], counts: Int[np.ndarray, "resamples batch"]
) -> Float[np.ndarray, "resamples n"]:
    """Returns the median of each column; counts say how often each value occurs."""
    batch = len(columns)
    order = np.argsort(columns, axis=0)
    # Only the middle of the order is looked at. How many draws fall below a value is
    # binomial, so that the median of a resample lies 5 sqrt(batch) ranks from that of
    # all with a probability below 2 exp(-50) (Hoeffding).
    reach = math.ceil(5 * math.sqrt(batch))
    start, stop = max(batch // 2 - reach, 0), batch // 2 + reach
    smallest = np.zeros(columns.shape)
    np.put_along_axis(smallest, order[:start], 1.0, axis=0)
    below = (counts @ smallest).astype(np.int32)
    by_prompt = counts.T.astype(np.int32, order="C")
    medians = np.empty((len(counts), columns.shape[1]))
    for column, values in enumerate(columns.T):  # one at a time, to save memory
        window = order[start:stop, column]
        within = np.cumsum(by_prompt[window], axis=0, dtype=np.int32)
        seen = below[:, column] + within
        middle = ((batch - 1) // 2, batch // 2)
        at = np.stack([np.sum(seen <= rank, axis=0) for rank in middle])
        medians[:, column] = values[window].take(at, mode="clip").mean(axis=0)
    return medians
