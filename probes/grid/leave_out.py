"""The error on each training prompt of a ridge probe that was fitted without it.

For least squares with a quadratic penalty nothing is fitted again: with the hat matrix
H, whose product with y is what the probe guesses on its training prompts, the residuals
that a group g of prompts has when it is left out are

    (I - H_gg)^-1 e_g,

where e_g are its ordinary residuals (for one prompt e_i / (1 - h_ii), Allen's PRESS).
Prompts with weights w are rows that are multiplied by their roots, as in any weighted
least squares, and so is the column of ones, whose share of H is 1/n without weights and
sqrt(w w') / sum(w) with them; the residuals that are squared are then multiplied, too.

A prompt is its own group, or shares its group with the others of one label, which then
all are left out together. The centre and the scales of the features are those of all
training prompts, as in scikit-learn's `RidgeCV` behind a `StandardScaler`.

Where there are thousands of training prompts a part of them is left out, whole groups
at a time: the best penalty is known well enough from them, and all prompts are fitted.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

MOST = 2_000
"""About so many training prompts are left out, one group at a time."""

SATURATED = 1e-12
"""A prompt that keeps no more than this share of its residual decides its own guess."""


class LeftOut(NamedTuple):
    """The training prompts that are left out.

    Attributes:
        rows: their indices among all prompts, ascending.
        groups: a label for each.
    """

    rows: Int[np.ndarray, " rows"]
    groups: Int[np.ndarray, " rows"]

    @classmethod
    def of(
        cls, rows: Int[np.ndarray, " all"], groups: np.ndarray, seed: int
    ) -> "LeftOut":
        """Chooses whole groups at random, until there are about `MOST` prompts.

        Args:
            rows: indices of the training prompts, ascending.
            groups: their labels.
            seed: decides which groups.
        """
        _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        if len(rows) > MOST:
            order = np.random.default_rng([seed, 1]).permutation(len(sizes))
            enough = np.searchsorted(np.cumsum(sizes[order]), MOST) + 1
            kept = np.isin(member, order[:enough])
            rows, member = rows[kept], member[kept]
        return cls(rows, member)

    def some(self, kept: Bool[np.ndarray, " rows"] | None) -> "LeftOut":
        """Returns the prompts that are kept; None stands for all."""
        return self if kept is None else LeftOut(self.rows[kept], self.groups[kept])

    def batches(self, size: int) -> list["LeftOut"]:
        """Returns parts of about `size` prompts, none of which divides a group."""
        order = np.argsort(self.groups, kind="stable")
        ends = np.flatnonzero(np.diff(self.groups[order])) + 1
        starts = np.concatenate([[0], ends])
        parts = np.split(order, starts[np.flatnonzero(np.diff(starts // size)) + 1])
        ascending = map(np.sort, parts)
        return [LeftOut(self.rows[part], self.groups[part]) for part in ascending]

    def blocks(self) -> list[Int[np.ndarray, "_ _"]]:
        """Returns the places of each group's prompts: an array for each size."""
        order = np.argsort(self.groups, kind="stable")
        _, starts, sizes = np.unique(
            self.groups[order], return_index=True, return_counts=True
        )
        return [
            order[starts[sizes == size][:, None] + np.arange(size)]
            for size in np.unique(sizes)
        ]


class Residual(NamedTuple):
    """What is left of I - H on some prompts, for every penalty.

    With the eigenvectors of X'X it is I - 11'/n - R F R', where R has a row for each
    prompt, in their basis, and F = 1 / (L + alpha) is diagonal. With those of XX', of
    which R holds rows, it is R F R' with F = alpha / (L + alpha), and no digit is lost
    by subtraction.

    Attributes:
        basis: R.
        filters: the diagonals of F.
        count: the number n of prompts, or the sum of their weights, for the form with
            a difference; 0 for the other.
        ones: the column of ones, or the roots of the weights, for that form.
    """

    basis: Float64[np.ndarray, "rows directions"]
    filters: Float64[np.ndarray, "directions alphas"]
    count: float = 0.0
    ones: Float64[np.ndarray, " rows"] | None = None

    def errors(
        self,
        residuals: Float64[np.ndarray, "rows alphas columns"],
        blocks: list[Int[np.ndarray, "_ _"]],
    ) -> Float64[np.ndarray, "alphas columns"]:
        """Returns the summed squares of the residuals that left-out prompts have.

        It is infinite for a penalty at which some prompts decide their own guess.

        Args:
            residuals: those of the probe that was fitted to all.
            blocks: the places of each group's prompts, from `LeftOut.blocks`.
        """
        total = np.zeros(residuals.shape[1:])
        for block in blocks:
            if block.shape[1] == 1:
                total += self._alone(block[:, 0], residuals)
                continue
            for alpha in range(self.filters.shape[1]):
                kept = self._within(block, alpha)
                if np.diagonal(kept, axis1=1, axis2=2).min() > SATURATED:
                    left = np.linalg.solve(kept, residuals[block, alpha])
                    total[alpha] += np.square(left).sum(axis=(0, 1))
                else:
                    total[alpha] = np.inf
        return total

    def _alone(
        self, rows: Int[np.ndarray, " groups"], residuals: np.ndarray
    ) -> Float64[np.ndarray, "alphas columns"]:
        """Returns the sums for groups of one prompt each."""
        # Indexing copies, which is slow; if these are all prompts, it changes nothing.
        some = slice(None) if len(rows) == len(residuals) else rows
        kept = np.square(self.basis[some]) @ self.filters
        if self.ones is not None:
            kept = 1 - (self.ones[some] ** 2 / self.count)[:, None] - kept
        decided = kept.min(axis=0) <= SATURATED
        left = residuals[some] / np.where(decided, 1.0, kept)[:, :, None]
        sums = np.square(left, out=left).sum(axis=0)
        return np.where(decided[:, None], np.inf, sums)

    def _within(
        self, block: Int[np.ndarray, "groups size"], alpha: int
    ) -> Float64[np.ndarray, "groups size size"]:
        """Returns I - H within each group of one size."""
        rows = self.basis[block]
        within = (rows * self.filters[:, alpha]) @ rows.transpose(0, 2, 1)
        if self.ones is None:
            return within
        ones = self.ones[block]
        shared = ones[:, :, None] * ones[:, None, :] / self.count
        return np.eye(block.shape[1]) - shared - within
