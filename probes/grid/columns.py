"""All targets side by side: which columns does the token at hand ask for?

A target has one value for each prompt and slot; a token reads the slot that belongs to
it (its own position, its context length, or the only one there is). The columns of a
token are the coordinates of all targets, and once more those of other prompts, the
control.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from probes import checks


class Slotted(NamedTuple):
    """A target with an axis of slots, and the slot that belongs to each token."""

    values: Float[np.ndarray, "prompts slots coordinates"]
    slots: Int[np.ndarray, " tokens"]


class Columns:
    """The targets of a grid.

    Attributes:
        starts: for each target the first of its columns, then the number of columns.
        width: number of columns, the control's included.
        ends: where a target's columns end, the last one's left out, the control's
            included: what `numpy.split` wants.

    Args:
        targets: by name.
        tokens: positions of the tokens that are probed.
        donors: for each prompt the one whose targets are its control, (prompts,);
            None for no control.
    """

    def __init__(
        self,
        targets: Mapping[str, Slotted],
        tokens: Sequence[int],
        donors: Int[np.ndarray, " prompts"] | None,
    ):
        self.targets, self.tokens, self.donors = targets, list(tokens), donors
        sizes = [target.values.shape[2] for target in targets.values()]
        self.starts = [0, *np.cumsum(sizes).tolist()]
        sides = 1 if donors is None else 2
        self.width = self.starts[-1] * sides
        self.ends = np.cumsum(sizes * sides)[:-1].tolist()

    def slots(self, token: int) -> tuple[int, ...]:
        """The slot of each target that the token reads."""
        return tuple(int(target.slots[token]) for target in self.targets.values())

    def of(
        self, rows: Int[np.ndarray, " rows"]
    ) -> list[Float[np.ndarray, "rows columns"]]:
        """The columns of every token for some prompts."""
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
        """The same of one token, given by position."""
        parts = [
            target.values[source, target.slots[token]]
            for source in self._sources(rows)
            for target in self.targets.values()
        ]
        return np.concatenate(parts, axis=1)

    def _sources(self, rows: Int[np.ndarray, " rows"]) -> list[np.ndarray]:
        """Whose targets stand side by side: the prompts' own, and their donors'."""
        return [rows] if self.donors is None else [rows, self.donors[rows]]


def slots_of(contexts: ArrayLike | None, tokens: int) -> dict[str, np.ndarray]:
    """The ways in which an axis of slots can be read, by its name, best first."""
    each = {"tokens": np.arange(tokens)}
    if contexts is None:
        return each
    return {"contexts": checks.context_indices(contexts, tokens)} | each


def slotted(
    name: str, values: ArrayLike, prompts: int, slots: dict[str, np.ndarray]
) -> Slotted:
    """A target as the user gave it, with the slot that belongs to each token."""
    sizes = _sizes(slots)
    array = checks.target(name, values, prompts, sizes)
    if array.ndim == 2:
        return Slotted(array[:, None], np.zeros_like(slots["tokens"]))
    return Slotted(array, slots[_kind(array.shape[1], sizes)])


def ceilings_of(
    ceilings: Mapping[str, ArrayLike | float],
    targets: Sequence[str],
    slots: dict[str, np.ndarray],
) -> Float[np.ndarray, "tokens targets"]:
    """The ceiling of each target at each token, NaN where none is given."""
    sizes = _sizes(slots)
    limits = np.full((sizes["tokens"], len(targets)), np.nan)
    for name, values in ceilings.items():
        array = checks.ceiling(name, values, list(targets), sizes)
        if array.ndim:
            array = array[slots[_kind(len(array), sizes)]]
        limits[:, list(targets).index(name)] = array
    return limits


def _sizes(slots: dict[str, np.ndarray]) -> dict[str, int]:
    return {kind: int(index.max()) + 1 for kind, index in slots.items()}


def _kind(size: int, sizes: dict[str, int]) -> str:
    return next(kind for kind, expected in sizes.items() if expected == size)
