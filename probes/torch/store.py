"""The states of all layers, filled in batch by batch, in memory or in a file.

Shapes: (layers, prompts, tokens, features), in float32. A file appears under its name
once it is complete.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32


class Collected:
    """The states of all layers, filled in batch by batch, in memory or in a file.

    A file appears under its name once it is complete.

    Args:
        prompts: the number of prompts that there will be.
        file: the file, whose name ends in ".npy"; None stands for memory.
    """

    def __init__(self, prompts: int, file: Path | None):
        if file is not None and file.suffix != ".npy":
            raise ValueError(f"file must end in '.npy', got {str(file)!r}.")
        if file is not None and (file.is_dir() or not file.parent.is_dir()):
            raise ValueError(
                "file must be the name of a file in a folder that there is, got "
                f"{str(file)!r}."
            )
        self.prompts, self.file = prompts, file
        self.states: np.ndarray | None = None

    def add(
        self,
        rows: slice,
        layers: Sequence[Float32[np.ndarray, "batch tokens features"]],
    ) -> None:
        """Puts the states of some prompts into their place.

        Raises:
            ValueError: states of other shapes than those before them.
        """
        count, axes = rows.stop - rows.start, layers[0].shape[1:]
        if self.states is None:
            self.states = self._empty((len(layers), self.prompts, *axes))
        expected = (count, *self.states.shape[2:])
        for layer, state in enumerate(layers):
            if state.shape != expected:
                raise ValueError(
                    f"layer {layer} has states of shape {state.shape}, where "
                    f"{expected} (prompts, tokens, features) was expected. All must be "
                    "one stream whose first axis is that of the inputs (in PyTorch's "
                    "own transformers that is batch_first=True), and all prompts must "
                    "have one length."
                )
            self.states[layer, rows] = state

    def finish(self) -> Float32[np.ndarray, "layers prompts tokens features"]:
        """Returns all states; those in a file cannot be written."""
        if self.states is None:
            raise ValueError("there are no prompts.")
        if self.file is None:
            return self.states
        if isinstance(self.states, np.memmap):
            self.states.flush()
        self.states = None
        self._draft().replace(self.file)
        return np.load(self.file, mmap_mode="r")

    def discard(self) -> None:
        """Deletes what is left of a file that was not completed."""
        if self.file is not None:
            self.states = None
            self._draft().unlink(missing_ok=True)

    def _draft(self) -> Path:
        """Returns the name of the file while it is being filled."""
        assert self.file is not None
        return self.file.with_name(f".{self.file.name}.part")

    def _empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns an array to be filled."""
        if self.file is None:
            return np.empty(shape, np.float32)
        # A file of its own, and not one that a link of this name leads to.
        self._draft().unlink(missing_ok=True)
        self._draft().touch(exist_ok=False)
        states = np.lib.format.open_memmap(self._draft(), "w+", np.float32, shape)
        _reserve(self._draft())
        return states


def _reserve(file: Path) -> None:
    """Reserves the space of a file that is going to be filled in memory.

    Where a disk is full by then, the system ends the process.

    Raises:
        OSError: there is not enough space.
    """
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
