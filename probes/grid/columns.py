"""The targets of a grid side by side, as the columns that each token asks for.

A target has one value for each prompt and slot; a token reads the slot that belongs to
it (its own position, its context length, or the only one there is). The columns of a
token are the coordinates of all targets, and once more those of other prompts, the
control.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Shaped


class Slotted(NamedTuple):
    """A target with an axis of slots, and the slot that each token reads."""

    values: Shaped[np.ndarray, "prompts slots coordinates"]
    slots: Int[np.ndarray, " tokens"]


class Columns:
    """The targets of a grid, and their controls.

    Attributes:
        starts: the first column of each target, then the number of columns without
            the controls.
        width: number of columns, with the controls.
        ends: the columns at which `numpy.split` parts the targets and the controls.
        sample_weight: how much each prompt counts, (prompts,); None where all count
            alike.

    Args:
        targets: the targets by name.
        tokens: positions of the tokens that are probed.
        donors: for each prompt the prompt whose targets are its control, (prompts,);
            None for no control.
        valid: whether a prompt has each of these tokens, (prompts, tokens); None where
            all prompts have all of them.
        sample_weight: how much each prompt counts, (prompts,); None where all count
            alike.
    """

    def __init__(
        self,
        targets: Mapping[str, Slotted],
        tokens: Sequence[int],
        donors: Int[np.ndarray, " prompts"] | None,
        valid: Bool[np.ndarray, "prompts tokens"] | None = None,
        sample_weight: Float64[np.ndarray, " prompts"] | None = None,
    ):
        self.targets, self.tokens, self.donors = targets, list(tokens), donors
        self.valid, self.sample_weight = valid, sample_weight
        sizes = [target.values.shape[2] for target in targets.values()]
        self.starts = [0, *np.cumsum(sizes).tolist()]
        sides = 1 if donors is None else 2
        self.width = self.starts[-1] * sides
        self.ends = np.cumsum(sizes * sides)[:-1].tolist()

    def kept(
        self, place: int, rows: Int[np.ndarray, " rows"]
    ) -> Bool[np.ndarray, " rows"] | None:
        """Returns which prompts have a token; None if all of them do.

        Args:
            place: which of the probed tokens.
            rows: the prompts.
        """
        if self.valid is None:
            return None
        kept = self.valid[rows, place]
        return None if kept.all() else kept

    def having(
        self, place: int, rows: Int[np.ndarray, " rows"]
    ) -> Int[np.ndarray, " some"]:
        """Returns those prompts that have a token."""
        kept = self.kept(place, rows)
        return rows if kept is None else rows[kept]

    def weighing(
        self, rows: Int[np.ndarray, " rows"]
    ) -> Float64[np.ndarray, " rows"] | None:
        """Returns how much some prompts count; None where all count alike."""
        return None if self.sample_weight is None else self.sample_weight[rows]

    def slots(self, token: int) -> tuple[int, ...]:
        """Returns the slot of each target that the token reads."""
        return tuple(int(target.slots[token]) for target in self.targets.values())

    def of(
        self, rows: Int[np.ndarray, " rows"]
    ) -> list[Float[np.ndarray, "rows columns"]]:
        """Returns the columns of every token for some prompts."""
        # Prompts first, then slots: the other way is several times slower.
        parts = [
            (target.slots, target.values[source])
            for source in self._sources(rows)
            for target in self.targets.values()
        ]
        return [
            np.concatenate([some[:, slots[token]] for slots, some in parts], axis=1)
            for token in self.tokens
        ]

    def at(
        self, token: int, rows: Int[np.ndarray, " rows"]
    ) -> Float[np.ndarray, "rows columns"]:
        """Returns the columns of one token, given by position, for some prompts."""
        parts = [
            target.values[source, target.slots[token]]
            for source in self._sources(rows)
            for target in self.targets.values()
        ]
        return np.concatenate(parts, axis=1)

    def by_target(self, columns: Float[np.ndarray, "*axes columns"]) -> np.ndarray:
        """Returns columns as (..., targets, coordinates), padded with NaN."""
        parts = np.split(columns, self.starts[1:-1], axis=-1)
        longest = max(part.shape[-1] for part in parts)
        padded = np.full((*columns.shape[:-1], len(parts), longest), np.nan)
        for target, part in enumerate(parts):
            padded[..., target, : part.shape[-1]] = part
        return padded

    def _sources(self, rows: Int[np.ndarray, " rows"]) -> list[np.ndarray]:
        """Returns the rows whose targets stand side by side: prompts, then donors."""
        return [rows] if self.donors is None else [rows, self.donors[rows]]
