"""The sums over test prompts from which estimates and intervals of a grid follow.

The shapes are those of `probe_grid`'s cells: (targets, ...).
"""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int

from probes.grid.columns import Columns
from probes.grid.splits import Split
from probes.scores import cosines_of, explained, interval


@runtime_checkable
class Board(Protocol):
    """What an engine needs of a board of numbers or of labels: see `Scoreboard`."""

    columns: Columns
    width: int

    def lengths(self, truths: list[np.ndarray]) -> list[Any]:
        """Returns what `add` needs of the truth, and is the same for all layers."""
        ...

    def add(
        self,
        layer: int,
        truths: list[np.ndarray],
        lengths: list[Any],
        guesses: Iterable[np.ndarray],
        prompts: Int[np.ndarray, " batch"],
    ) -> None:
        """Counts the guesses of one layer in."""
        ...

    def variables(self, keep_resamples: bool) -> dict[str, tuple]:
        """Returns every score with the names of its axes."""
        ...


class Scoreboard:
    """The sums over test prompts, from which all scores of a grid follow.

    Guesses may come in batches of test prompts; nothing is kept but sums: of squared
    errors, of the control's, and of cosines, each by target.

    Args:
        layers: number of layers.
        columns: the targets, and the tokens that are probed.
        split: the test prompts, and their weights in each resample.
    """

    def __init__(self, layers: int, columns: Columns, split: Split):
        self.columns, self.split = columns, split
        self.shares = shares_of(columns, split)
        self.starts = np.asarray(columns.starts[:-1])
        self.width, tokens = columns.starts[-1], len(columns.tokens)
        kinds, resamples = 3 * len(self.starts), len(split.weights)
        self.sums = np.zeros((layers, tokens, kinds))
        self.draws = np.zeros((layers, resamples, tokens, kinds), np.float32)
        self.by_coordinate = np.zeros((layers, tokens, self.width))
        # Sums the columns of each target, the control's apart.
        sizes = np.tile(np.diff(columns.starts), columns.width // self.width)
        self.pool = np.repeat(np.eye(len(sizes)), sizes, axis=0)
        # What is resampled is float32, which ends at 1e38, and so in units of its own:
        # powers of 2 near the size of each target, which round nothing.
        largest = [np.abs(each.values).max() for each in columns.targets.values()]
        self.units = np.tile(np.exp2(-np.frexp(largest)[1]), len(sizes) // len(largest))
        squared = np.ones(kinds)
        squared[: len(self.units)] = self.units**2
        self.squared_units = squared

    def lengths(self, truths: list[np.ndarray]) -> list[np.ndarray]:
        """Returns the targets' squared lengths at each token, (prompts, targets).

        `add` needs them, and they are the same for all layers.
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
            layer: index of the layer.
            truths: the columns of every token, (batch, columns).
            lengths: their squared lengths, from `lengths`.
            guesses: guesses of these columns for every token, (batch, columns).
            prompts: which of the test prompts these are, counted from 0.
        """
        width, n = self.width, len(self.starts)
        values = np.zeros((len(prompts), *self.sums.shape[1:]))
        rows = self.split.test[prompts]
        for token, guess in enumerate(guesses):
            squares = np.square(guess - truths[token])
            kept = self.columns.kept(token, rows)
            if kept is not None:
                squares[~kept] = 0
            counted = squares[:, :width]
            if self.shares is not None:
                counted = counted * self.shares[prompts, None]
            self.by_coordinate[layer, token] += counted.sum(axis=0)
            errors = squares @ self.pool
            values[:, token, : errors.shape[1]] = errors
            guess = guess[:, :width]
            own, other = lengths[token], np.square(guess) @ self.pool[:width, :n]
            # Law of cosines, for speed: right to 1e-16 |truth| / |guess|.
            dot = (own + other - errors[:, :n]) / 2
            values[:, token, 2 * n :] = cosines_of(dot, own, other)
            if kept is not None:
                values[~kept, token] = 0
        if self.shares is not None:
            values *= self.shares[prompts, None, None]
        self.sums[layer] += values.sum(axis=0)
        values *= self.squared_units
        flat = values.reshape(len(prompts), -1).astype(np.float32)
        resampled = self.split.weights[:, prompts].astype(np.float32) @ flat
        self.draws[layer] += resampled.reshape(self.draws.shape[1:])

    def scores(self) -> dict[str, np.ndarray]:
        """Returns every score of the grid with its interval, (layers, tokens, targets).

        `r2_per_coordinate` and `r2_resampled` have one more axis.
        """
        n = len(self.starts)
        self._weights = self.split.weights.astype(np.float32)
        if self.shares is not None:
            self._weights *= self.shares.astype(np.float32)
        pooled, each = self._spreads()
        # Estimates first, then resamples, as one axis: what follows is done to both.
        sums = np.concatenate([self.sums[:, None], self.draws], axis=1)
        sums[:, 1:] /= self.squared_units
        error, control, cosines = np.split(sums, 3, axis=-1)
        counts, sizes = self._counts()[:, :, None], np.diff(self.columns.starts)
        measures = {
            "r2": explained(error, pooled[..., :n]),
            "mse": error / (_or_1(counts) * sizes),
            "cosine": cosines / _or_1(counts),
        }
        if pooled.shape[-1] > n:
            measures["control_r2"] = explained(control, pooled[..., n:])
        found = {"r2_resampled": np.moveaxis(measures["r2"][:, 1:], 1, -1)}
        for name, values in measures.items():
            low, high = interval(np.moveaxis(values[:, 1:], 1, -1))
            found |= {name: values[:, 0], f"{name}_low": low, f"{name}_high": high}
        each = explained(self.by_coordinate, each[:, : self.width])
        found["r2_per_coordinate"] = self.columns.by_target(each)
        return found

    def variables(self, keep_resamples: bool) -> dict[str, tuple]:
        """Returns every score with the names of its axes."""
        measured = self.scores()
        resampled = measured.pop("r2_resampled")
        axes = ("layer", "token", "target", "coordinate")
        found = {name: (axes[: a.ndim], a) for name, a in measured.items()}
        if keep_resamples:
            found["r2_resampled"] = (*axes[:3], "resample"), resampled
        return found

    def _counts(self) -> Float64[np.ndarray, "draws tokens"]:
        """Returns the numbers of tested prompts that have each token, or their shares.

        The first row is that of the estimate, the others those of the resamples.
        """
        test = self.split.test
        valid = self.columns.valid
        have = np.ones((len(test), 1)) if valid is None else valid[test].astype(float)
        if self.shares is not None:
            have = have * self.shares[:, None]
        return np.vstack([have.sum(axis=0), self.split.weights @ have])

    def _spreads(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the sums of squared deviations from the mean of the test prompts.

        The first array holds them by target, for the estimate and every resample,
        (1 + resamples, tokens, targets), with the controls last; the second holds them
        by column, for the estimate, (tokens, columns). They are exactly 0 where
        rounding is all that varies.
        """
        known: dict[tuple[int, ...], tuple] = {}  # many tokens share their slots
        tokens, test = [], self.split.test
        for place, token in enumerate(self.columns.tokens):
            slots = self.columns.slots(token)
            kept = self.columns.kept(place, test)
            if kept is not None:
                truth = self.columns.at(token, test[kept])
                shares = None if self.shares is None else self.shares[kept]
                tokens.append(self._spread(truth, self._weights[:, kept], shares))
                continue
            if slots not in known:
                truth = self.columns.at(token, test)
                known[slots] = self._spread(truth, self._weights, self.shares)
            tokens.append(known[slots])
        pooled, each = zip(*tokens, strict=True)
        return np.stack(pooled, axis=1), np.stack(each)

    def _spread(
        self,
        truth: Float[np.ndarray, "test columns"],
        weights: Float[np.ndarray, "resamples test"],
        shares: Float64[np.ndarray, " test"] | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the two sums of `_spreads` for one token."""
        counts = weights.sum(axis=1, dtype=float)
        centred = truth - truth[:1]  # a constant is now 0, and not its rounding
        if shares is None:
            centred -= centred.mean(axis=0)
            squares = centred**2
            each, about_0 = squares.sum(axis=0), np.square(truth).sum(axis=0)
        else:
            centred -= shares @ centred / shares.sum()
            squares = centred**2
            each, about_0 = shares @ squares, shares @ np.square(truth)
        each[each <= 1e-28 * about_0] = 0
        pooled, of_column = squares @ self.pool, self.pool @ self.units
        scaled = [pooled * self.units**2, centred * of_column]
        sums = weights @ np.hstack(scaled).astype(np.float32)
        around, means = np.split(sums.astype(float), [pooled.shape[1]], axis=1)
        around, means = around / self.units**2, means / of_column
        # A resample may have none of the prompts that have the token.
        counts = _or_1(counts)[:, None]
        left = around - (means**2 / counts) @ self.pool
        # A resample of few groups may hold one value of the target only.
        left[(left <= 1e-5 * around) | (each @ self.pool == 0)] = 0
        return np.vstack([each @ self.pool, left]), each


def shares_of(columns: Columns, split: Split) -> Float64[np.ndarray, " test"] | None:
    """Returns how much each test prompt counts, 1 on average.

    None stands for prompts that all count alike.
    """
    weights = columns.weighing(split.test)
    return None if weights is None else weights / weights.mean()


def _or_1(counts: np.ndarray) -> np.ndarray:
    """Returns counts to divide by, 1 in place of 0."""
    return np.where(counts > 0, counts, 1)
