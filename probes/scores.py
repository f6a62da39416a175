"""Scores of guesses against the truth, and their intervals.

How much of a target does a probe explain, and how sure is that? There are four measures
over prompts that the probe has not seen, and none of them tells everything:

- R2 = 1 - sum of squared errors / sum of squared deviations from the mean of the test
  prompts, both summed over coordinates ("variance-weighted"; per coordinate it is
  `sklearn.metrics.r2_score`). It can be compared between targets of
  different scale. It sees only the variance of *these* prompts: the same error scores
  lower where the target varies less, and pooled over coordinates it is ruled by those
  that vary most.
- MSE, the mean squared error per coordinate, is in the target's own units. It is what
  papers plot, and cannot be compared between targets, nor between context lengths for
  one that grows with them, such as X'y. 1 - R2 is MSE over variance.
- Cosine between guess and truth, by prompt, is blind to scale: a probe that has the
  direction of w and half its length scores 1, and so does a probe that repeats the mean
  of a target that is nearly the same for all prompts.
- Behavioural error E_x (x.(guess - truth))^2 is what a wrong weight vector costs in
  predictions at x ~ N(0, C): (guess - truth)' C (guess - truth). It forgives errors in
  directions in which x does not vary; for C = I it is q times MSE.

Prompts carry weights, so that a bootstrap resample is a row of weights and a thousand
resamples are one matrix product. Resampled sums are float32, estimates float64.
"""

import numpy as np
import xarray as xr
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from probes import checks
from probes.arrays import real, unit_size

CONFIDENCE = 0.95


def mean_squared_error(
    truth: ArrayLike, guess: ArrayLike
) -> Float64[np.ndarray, " prompts"]:
    """Returns each prompt's squared error, averaged over coordinates.

    Args:
        truth: the target, (prompts, q).
        guess: what the probe reads, (prompts, q).

    Raises:
        ValueError: shapes that differ, NaN or infinity.
    """
    truth, guess = _pair(truth, guess)
    with np.errstate(over="ignore"):
        return _held(np.square(guess - truth).mean(axis=1))


def cosine(truth: ArrayLike, guess: ArrayLike) -> Float64[np.ndarray, " prompts"]:
    """Returns the cosine of each prompt's guess and truth; 0 for a zero vector.

    Args:
        truth: the target, (prompts, q).
        guess: what the probe reads, (prompts, q).

    Raises:
        ValueError: shapes that differ, NaN or infinity.

    Example:
        >>> cosine([[1.0, 0.0], [1.0, 0.0]], [[3.0, 0.0], [0.0, 2.0]]).tolist()
        [1.0, 0.0]
    """
    truth, guess = _pair(truth, guess)
    # Squares of numbers of unit size neither overflow nor vanish.
    (truth, _), (guess, _) = (unit_size(each, axis=1) for each in (truth, guess))
    dot, own, other = (
        (a * b).sum(axis=1) for a, b in ((truth, guess), (truth, truth), (guess, guess))
    )
    return cosines_of(dot, own, other)


def behavioural_error(
    truth: ArrayLike, guess: ArrayLike, covariance: ArrayLike | None = None
) -> Float64[np.ndarray, " prompts"]:
    """Returns what each prompt's guess of a weight vector costs in predictions.

    $$E[(x·(ŵ - w))²] = (ŵ - w)ᵀ C (ŵ - w)$$

    It is the squared error at a new x with the covariance C; ŵ is the guess, and w is
    the truth.

    Args:
        truth: weight vectors, (prompts, q).
        guess: decoded weight vectors, (prompts, q).
        covariance: covariance C of x, (q, q); None stands for the identity.

    Raises:
        ValueError: shapes that differ, NaN or infinity.

    Example:
        >>> behavioural_error([[1.0, 0.0]], [[1.0, 2.0]], [[1, 0], [0, 0.25]]).tolist()
        [1.0]
    """
    truth, guess = _pair(truth, guess)
    size = truth.shape[1]
    spread = np.eye(size)
    if covariance is not None:
        spread = checks.floats("covariance", covariance)
    if spread.shape != (size, size):
        raise ValueError(
            f"covariance must have shape ({size}, {size}), as x has {size} "
            f"coordinates, got {spread.shape}."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        difference = guess - truth
        return _held(np.einsum("pi,ij,pj->p", difference, spread, difference))


def _held(errors: np.ndarray) -> np.ndarray:
    """Returns errors, and refuses those that are larger than float64 holds."""
    if not np.isfinite(errors).all():
        raise ValueError(
            "truth and guess must differ by numbers whose squares float64 holds (times "
            "the covariance, if one is given); divide them by a constant."
        )
    return errors


def explained(errors: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Returns 1 - errors / spread; NaN where nothing varies."""
    spread = np.broadcast_to(spread, errors.shape)
    share = np.full(errors.shape, np.nan)
    np.divide(errors, spread, out=share, where=spread > 0)
    return 1 - share


def interval(
    draws: Float[np.ndarray, "*axes resamples"],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the 95 % percentile interval of resampled values; NaN without any."""
    if not draws.shape[-1]:
        nothing = np.full(draws.shape[:-1], np.nan)
        return nothing, nothing
    tail = (1 - CONFIDENCE) / 2
    ends = np.quantile(draws, [tail, 1 - tail], axis=-1)
    return ends[0, ...], ends[1, ...]  # arrays, also of no axis


def simultaneous(
    value: xr.DataArray, draws: xr.DataArray, along: str
) -> tuple[xr.DataArray, xr.DataArray]:
    """Returns a band that holds for all places along an axis at once, (low, high).

    All lower ends are below the truth in 97.5 % of cases, and so are all upper ends
    above it: each is as many standard deviations away as the largest deviation of a
    resample is ("max-t"). With an axis "seed" the band is for the mean of new seeds and
    new prompts: the variance between seeds has the quantile of Student's t, that over
    prompts the normal one, each for its share of the places (Bonferroni).

    Args:
        value: scores; NaN, or infinite, where there is none, or none is in doubt.
        draws: the same with one more axis, "resample".
        along: the axis of the places.
    """
    tail = (1 - CONFIDENCE) / 2
    if value.sizes.get("seed", 1) > 1:
        tail, count = tail / value.sizes[along], value.sizes["seed"]
        with np.errstate(invalid="ignore"):
            of_seeds = value.var("seed", ddof=1, skipna=False) / count
            of_prompts = draws.mean("seed", skipna=False).var("resample", skipna=False)
        squares = stdtrit(count - 1.0, tail) ** 2 * of_seeds
        half = (squares + ndtri(tail) ** 2 * of_prompts) ** 0.5
        mean = value.mean("seed", skipna=False)
        half = half.where(np.isfinite(mean), 0.0)
        return mean - half, mean + half
    if "seed" in value.dims:
        value, draws = value.squeeze("seed"), draws.squeeze("seed")
    finite = value.where(np.isfinite(value))
    spread = draws.where(np.isfinite(draws)).std("resample")
    away = ((draws - finite) / spread.where(spread > 1e-9)).fillna(0.0)
    below = away.max(along).quantile(1 - tail, "resample").drop_vars("quantile")
    above = -away.min(along).quantile(tail, "resample").drop_vars("quantile")
    spread = spread.fillna(0.0)
    return value - below.clip(min=0) * spread, value + above.clip(min=0) * spread


def cosines_of(dot: np.ndarray, truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Returns cosines of vectors given by their products.

    `dot` is the product with each other, `truth` and `guess` those with themselves.
    """
    lengths = np.sqrt(truth * guess)
    return np.divide(dot, lengths, out=np.zeros_like(dot), where=lengths > 0)


def _pair(truth: ArrayLike, guess: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as arrays of one shape, (prompts, q), of finite numbers."""
    truth, guess = (
        real(name, values).astype(float)
        for name, values in (("truth", truth), ("guess", guess))
    )
    if truth.ndim != 2 or truth.shape != guess.shape or 0 in truth.shape:
        raise ValueError(
            "truth and guess must both have shape (prompts, q), got "
            f"{truth.shape} and {guess.shape}."
        )
    checks.finite("truth", truth)
    checks.finite("guess", guess)
    return truth, guess
