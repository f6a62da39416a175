"""How much of a target does a probe explain, and how sure is that?

Four measures of guesses against the truth, over prompts that the probe has not seen.
None of them tells everything:

- R2 = 1 - sum of squared errors / sum of squared deviations from the mean of the test
  prompts, both summed over coordinates ("variance-weighted"; per coordinate it is
  `sklearn.metrics.r2_score`). Comparable between targets of different scale. It sees
  only the variance of *these* prompts: the same error scores lower where the target
  varies less, and pooled over coordinates it is ruled by those that vary most.
- MSE, the mean squared error per coordinate, is in the target's own units. It is what
  papers plot, and cannot be compared between targets, nor between context lengths for
  one that grows with them, such as X'y. 1 - R2 is MSE over variance.
- Cosine between guess and truth, by prompt. Blind to scale: a probe that has the
  direction of w and half its length scores 1, and one of a target that is nearly the
  same for all prompts scores 1 by repeating the mean.
- Behavioural error E_x (x.(guess - truth))^2 is what a wrong weight vector costs in
  predictions at x ~ N(0, C): (guess - truth)' C (guess - truth). It forgives errors in
  directions in which x does not vary; for C = I it is q times MSE.

Prompts carry weights, so that a bootstrap resample is a row of weights and a thousand
resamples are one matrix product. Resampled sums are float32, estimates float64.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Float64, Int
from numpy.typing import ArrayLike

from probes import checks
from probes.columns import Columns
from probes.splits import Split

CONFIDENCE = 0.95


def mean_squared_error(
    truth: ArrayLike, guess: ArrayLike
) -> Float64[np.ndarray, " prompts"]:
    """Squared error of each prompt, averaged over coordinates; both (prompts, q).

    Raises:
        ValueError: shapes that differ, NaN or infinity; likewise in the others here.
    """
    truth, guess = _pair(truth, guess)
    return np.square(guess - truth).mean(axis=1)


def cosine(truth: ArrayLike, guess: ArrayLike) -> Float64[np.ndarray, " prompts"]:
    """Cosine of each prompt's guess and truth, both (prompts, q); 0 for a zero vector.

    Example:
        >>> cosine([[1.0, 0.0], [1.0, 0.0]], [[3.0, 0.0], [0.0, 2.0]]).tolist()
        [1.0, 0.0]
    """
    truth, guess = _pair(truth, guess)
    dot, own, other = (
        (a * b).sum(axis=1) for a, b in ((truth, guess), (truth, truth), (guess, guess))
    )
    return _cosine(dot, own, other)


def behavioural_error(
    truth: ArrayLike, guess: ArrayLike, covariance: ArrayLike | None = None
) -> Float64[np.ndarray, " prompts"]:
    """E_x (x.(guess - truth))^2 of each prompt, for x of this covariance, (q, q).

    Args:
        truth: weight vectors, (prompts, q).
        guess: decoded weight vectors, (prompts, q).
        covariance: of x; None is the identity.

    Raises:
        ValueError: shapes that differ, NaN or infinity.

    Example:
        >>> behavioural_error([[1.0, 0.0]], [[1.0, 2.0]], [[1, 0], [0, 0.25]]).tolist()
        [1.0]
    """
    truth, guess = _pair(truth, guess)
    size = truth.shape[1]
    spread = np.eye(size) if covariance is None else np.asarray(covariance, float)
    if spread.shape != (size, size):
        raise ValueError(
            f"covariance must have shape ({size}, {size}), as x has {size} "
            f"coordinates, got {spread.shape}."
        )
    difference = guess - truth
    return np.einsum("pi,ij,pj->p", difference, spread, difference)


class Scoreboard:
    """Sums over test prompts, from which all scores of a grid follow.

    Guesses may come in batches of test prompts; nothing is kept but sums: of squared
    errors, of the control's, and of cosines, each by target.

    Args:
        layers: number of layers.
        columns: the targets, and the tokens that are probed.
        split: the test prompts, and their weights in each resample.
    """

    def __init__(self, layers: int, columns: Columns, split: Split):
        self.columns, self.split = columns, split
        self.starts = np.asarray(columns.starts[:-1])
        self.width, tokens = columns.starts[-1], len(columns.tokens)
        kinds, resamples = 3 * len(self.starts), len(split.weights)
        self.sums = np.zeros((layers, tokens, kinds))
        self.draws = np.zeros((layers, resamples, tokens, kinds), np.float32)
        self.by_coordinate = np.zeros((layers, tokens, self.width))
        # Sums the columns of each target, the control's apart.
        sizes = np.tile(np.diff(columns.starts), columns.width // self.width)
        self.pool = np.repeat(np.eye(len(sizes)), sizes, axis=0)

    def lengths(self, truths: list[np.ndarray]) -> list[np.ndarray]:
        """Squared lengths of the targets of each token, (prompts, targets), for `add`.

        Apart, since they are the same for all layers.
        """
        pool = self.pool[: self.width, : len(self.starts)]
        return [np.square(truth[:, : self.width]) @ pool for truth in truths]

    def add(
        self,
        layer: int,
        truths: list[np.ndarray],
        lengths: list[np.ndarray],
        guesses: Iterable[np.ndarray],
        prompts: Int[np.ndarray, " batch"],
    ) -> None:
        """Counts the guesses of one layer in.

        Args:
            layer: which.
            truths: for every token (batch, columns).
            lengths: of these.
            guesses: for every token (batch, columns).
            prompts: which of the test prompts these are, counted from 0.
        """
        width, n = self.width, len(self.starts)
        values = np.zeros((len(prompts), *self.sums.shape[1:]))
        for token, guess in enumerate(guesses):
            squares = np.square(guess - truths[token])
            self.by_coordinate[layer, token] += squares[:, :width].sum(axis=0)
            errors = squares @ self.pool
            values[:, token, : errors.shape[1]] = errors
            guess = guess[:, :width]
            own, other = lengths[token], np.square(guess) @ self.pool[:width, :n]
            # Law of cosines, for speed: right to 1e-16 |truth| / |guess|.
            dot = (own + other - errors[:, :n]) / 2
            values[:, token, 2 * n :] = _cosine(dot, own, other)
        self.sums[layer] += values.sum(axis=0)
        flat = values.reshape(len(prompts), -1).astype(np.float32)
        resampled = self.split.weights[:, prompts].astype(np.float32) @ flat
        self.draws[layer] += resampled.reshape(self.draws.shape[1:])

    def scores(self) -> dict[str, np.ndarray]:
        """Every score of the grid, (layers, tokens, targets), with its interval.

        Also `r2_per_coordinate`, with one more axis, and `r2_resampled`, likewise.
        """
        n = len(self.starts)
        self._weights = self.split.weights.astype(np.float32)
        counts = np.append(len(self.split.test), self._weights.sum(axis=1, dtype=float))
        pooled, each = self._spreads(counts[1:])
        # Estimates first, then resamples, as one axis: what follows is done to both.
        sums = np.concatenate([self.sums[:, None], self.draws], axis=1)
        error, control, cosines = np.split(sums, 3, axis=-1)
        counts, sizes = counts[:, None, None], np.diff(self.columns.starts)
        measures = {
            "r2": explained(error, pooled[..., :n]),
            "mse": error / (counts * sizes),
            "cosine": cosines / counts,
        }
        if pooled.shape[-1] > n:
            measures["control_r2"] = explained(control, pooled[..., n:])
        found = {"r2_resampled": np.moveaxis(measures["r2"][:, 1:], 1, -1)}
        for name, values in measures.items():
            low, high = interval(np.moveaxis(values[:, 1:], 1, -1))
            found |= {name: values[:, 0], f"{name}_low": low, f"{name}_high": high}
        each = explained(self.by_coordinate, each[:, : self.width])
        found["r2_per_coordinate"] = self.by_target(each)
        return found

    def by_target(self, columns: Float[np.ndarray, "*axes columns"]) -> np.ndarray:
        """Columns as (..., targets, coordinates), padded with NaN."""
        parts = np.split(columns, self.starts[1:], axis=-1)
        longest = max(part.shape[-1] for part in parts)
        padded = np.full((*columns.shape[:-1], len(parts), longest), np.nan)
        for target, part in enumerate(parts):
            padded[..., target, : part.shape[-1]] = part
        return padded

    def _spreads(
        self, counts: Float64[np.ndarray, " resamples"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squared deviations from the mean of the test prompts.

        By target, for the estimate and every resample, (1 + resamples, tokens,
        targets), the control's last; and by column, for the estimate, (tokens,
        columns). Exactly 0 where rounding is all that varies.
        """
        known: dict[tuple[int, ...], tuple] = {}  # many tokens share their slots
        for token in self.columns.tokens:
            slots = self.columns.slots(token)
            if slots not in known:
                truth = self.columns.at(token, self.split.test)
                known[slots] = self._spread(truth, counts)
        tokens = [known[self.columns.slots(token)] for token in self.columns.tokens]
        pooled, each = zip(*tokens, strict=True)
        return np.stack(pooled, axis=1), np.stack(each)

    def _spread(
        self, truth: Float[np.ndarray, "test columns"], counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        centred = truth - truth[:1]  # a constant is now 0, and not its rounding
        centred -= centred.mean(axis=0)
        squares = centred**2
        each = squares.sum(axis=0)
        each[each <= 1e-28 * np.square(truth).sum(axis=0)] = 0
        pooled = squares @ self.pool
        sums = self._weights @ np.hstack([pooled, centred]).astype(np.float32)
        around, means = np.split(sums.astype(float), [pooled.shape[1]], axis=1)
        left = around - (means**2 / counts[:, None]) @ self.pool
        # A resample of few groups may hold one value of the target only.
        left[(left <= 1e-5 * around) | (each @ self.pool == 0)] = 0
        return np.vstack([each @ self.pool, left]), each


def explained(errors: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """1 - errors / spread; NaN where nothing varies."""
    spread = np.broadcast_to(spread, errors.shape)
    share = np.full(errors.shape, np.nan)
    np.divide(errors, spread, out=share, where=spread > 0)
    return 1 - share


def interval(
    draws: Float[np.ndarray, "*axes resamples"],
) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % percentile interval of resampled values; NaN if there are none."""
    if not draws.shape[-1]:
        nothing = np.full(draws.shape[:-1], np.nan)
        return nothing, nothing
    tail = (1 - CONFIDENCE) / 2
    ends = np.quantile(draws, [tail, 1 - tail], axis=-1)
    return ends[0, ...], ends[1, ...]  # arrays, also of no axis


def _cosine(dot: np.ndarray, truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Of vectors given by their products: with each other, and with themselves."""
    lengths = np.sqrt(truth * guess)
    return np.divide(dot, lengths, out=np.zeros_like(dot), where=lengths > 0)


def _pair(truth: ArrayLike, guess: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, guess = np.asarray(truth, float), np.asarray(guess, float)
    if truth.ndim != 2 or truth.shape != guess.shape or 0 in truth.shape:
        raise ValueError(
            "truth and guess must both have shape (prompts, q), got "
            f"{truth.shape} and {guess.shape}."
        )
    checks.finite("truth", truth)
    checks.finite("guess", guess)
    return truth, guess
