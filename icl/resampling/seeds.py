"""Intervals over prompts and seeds together: what would another training give?

Models that differ in their seed are asked the same prompts, so that their results
share the noise of the prompts and each has a noise of its own. Resampling a few seeds
is not enough: where seeds differ more than prompts do, it covers the truth in 5 % of
cases with two seeds and in 72 % with three.

Here each of the two variances gets the quantile that its own degrees of freedom ask
for, and the squares of the half-widths add up (Graybill & Wang 1980, "Confidence
intervals on nonnegative linear combinations of variances"). That covers the truth in 95
to 99 % of cases, from two seeds on and whatever the ratio of the two variances is.
Student's t with Satterthwaite's degrees of freedom is a little narrower, but covers it
in 87 % only where two seeds differ five times as much as the prompts' error.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtrit

from icl.resampling.draws import TAIL, drawn


def seed_interval(
    values: Float[np.ndarray, "seeds *rest"],
    draws: Float[np.ndarray, "resamples seeds *rest"],
    *,
    tail: float = TAIL,
) -> tuple[Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"]]:
    """Returns the interval of a mean over seeds, for new seeds and new prompts.

    The variance of the mean has two parts: that of the seeds' values over their number,
    which is known as well as few seeds allow (Student's t), and that of the seeds' mean
    over resamples of the prompts, which all seeds share and hundreds of prompts tell.

    Args:
        values: a number for each seed, or an array of them; ratios in logarithms.
        draws: the same in every resample of the prompts.
        tail: the probability with which either end may miss. For several numbers at
            once, divide it by their number.

    Raises:
        ValueError: there are fewer than two seeds, or draws have another shape.

    Example:
        >>> values = np.array([0.85, 0.83, 0.82, 0.91, 0.93])
        >>> noise = np.random.default_rng(0).normal(0, 0.027, size=(1000, 1))
        >>> low, high = seed_interval(values, values + noise)
        >>> f"[{low:.2f}, {high:.2f}]"
        '[0.79, 0.95]'
    """
    values, draws = drawn(values, draws, None, tail)
    count, one_for_all = len(values), (len(draws), 1, *values.shape[1:])
    if draws.shape not in ((len(draws), *values.shape), one_for_all):
        raise ValueError(
            f"draws must have shape (resamples, *{values.shape}), as values has, got "
            f"{draws.shape}."
        )
    if count < 2:
        raise ValueError(
            f"values must hold at least 2 seeds, got {count}; one says nothing about "
            "another training."
        )
    mean = values.mean(axis=0)
    of_seeds = values.var(axis=0, ddof=1) / count
    of_prompts = draws.mean(axis=1).var(axis=0)
    student, normal = stdtrit(count - 1.0, 1 - tail), ndtri(1 - tail)
    half = np.sqrt(student**2 * of_seeds + normal**2 * of_prompts)
    return np.asarray(mean - half), np.asarray(mean + half)
