"""The tokens of a grid: their names, which are probed, and what each reads of a target.

A target may have an axis of slots, with one entry for each token or for each context
length. The token axis knows which slot belongs to each token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from probes import checks
from probes.grid.columns import Slotted
from probes.groups import target_labels


@dataclass(frozen=True, eq=False)
class TokenAxis:
    """The tokens of a grid.

    Attributes:
        names: labels of all tokens.
        places: positions of the tokens that are probed.
        slots: for each way in which an axis of slots can be read, "contexts" before
            "tokens", the slot that belongs to each token.
    """

    names: list[Any]
    places: list[int]
    slots: dict[str, np.ndarray]

    @classmethod
    def of(
        cls,
        count: int,
        *,
        names: Sequence[str] | None,
        at: Sequence[Any] | None,
        contexts: ArrayLike | None,
    ) -> "TokenAxis":
        """Makes the axis from the arguments `tokens`, `at` and `contexts` of a grid."""
        labels = checks.token_names(names, count)
        places = checks.positions(at, labels)
        slots = {"tokens": np.arange(count)}
        if contexts is not None:
            slots = {"contexts": checks.context_indices(contexts, count)} | slots
        return cls(labels, places, slots)

    def slotted(
        self, targets: Mapping[str, ArrayLike], prompts: int
    ) -> dict[str, Slotted]:
        """Returns the targets with the slot that each token reads."""
        return {
            name: self._slotted(checks.target(name, values, prompts, self._sizes))
            for name, values in targets.items()
        }

    def labelled(
        self, targets: Mapping[str, ArrayLike], prompts: int
    ) -> dict[str, Slotted]:
        """Returns targets of labels, with one coordinate, as `slotted` does."""
        checked = {
            name: target_labels(name, values, prompts, self._sizes)
            for name, values in targets.items()
        }
        return {
            name: self._slotted(array[..., None]) for name, array in checked.items()
        }

    def ceilings(
        self, ceilings: Mapping[str, ArrayLike | float] | None, targets: Sequence[str]
    ) -> Float[np.ndarray, "tokens targets"]:
        """Returns the ceiling of each target at each probed token, NaN for none."""
        given = {} if ceilings is None else checks.named("ceilings", ceilings, fewest=0)
        limits = np.full((len(self.names), len(targets)), np.nan)
        for name, values in given.items():
            array = checks.ceiling(name, values, list(targets), self._sizes)
            if array.ndim:
                array = array[self._slots_of(len(array))]
            limits[:, list(targets).index(name)] = array
        return limits[self.places]

    def coords(self) -> dict[str, Any]:
        """Returns the labels of the axis, as coordinates of a Dataset."""
        found: dict[str, Any] = {"token": [self.names[place] for place in self.places]}
        if "contexts" in self.slots:
            found["context"] = "token", self.slots["contexts"][self.places]
        return found

    def _slotted(self, array: np.ndarray) -> Slotted:
        """Returns a checked target with its slots; all tokens share a single one."""
        if array.ndim == 2:
            return Slotted(array[:, None], np.zeros_like(self.slots["tokens"]))
        return Slotted(array, self._slots_of(array.shape[1]))

    @property
    def _sizes(self) -> dict[str, int]:
        """The number of slots for each way of reading them."""
        return {kind: int(index.max()) + 1 for kind, index in self.slots.items()}

    def _slots_of(self, size: int) -> np.ndarray:
        """Returns the slot of each token on an axis of this size."""
        kinds = (kind for kind, expected in self._sizes.items() if expected == size)
        return self.slots[next(kinds)]
