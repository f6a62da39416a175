"""What classifiers guess in one cell, in the form that a board of labels takes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from probes.grid.cells import Cell


class Guesses(NamedTuple):
    """What the probes of one cell guess for the test prompts: see `LabelBoard.put`."""

    codes: np.ndarray
    values: np.ndarray
    chances: np.ndarray | None

    @classmethod
    def joined(
        cls, probes: Sequence["Guesses"], targets: int, width: int, cell: Cell
    ) -> "Guesses":
        """Joins those of each target's probe, and then of each control's.

        Args:
            probes: guesses for the test prompts that have the token, probe by probe.
            targets: the number of targets, whose values and chances are kept.
            width: the number of their columns.
            cell: the cell.
        """
        codes = np.stack([one.codes for one in probes], axis=1)
        values = np.hstack([one.values for one in probes])[:, :width]
        own = [one.chances for one in probes[:targets] if one.chances is not None]
        chances = cell.for_all(np.hstack(own)) if len(own) == targets else None
        return cls(cell.for_all(codes), cell.for_all(values), chances)


def known_classes(
    codes: Int[np.ndarray, " train"], name: str, token: int
) -> Int[np.ndarray, " known"]:
    """Returns the labels among the training prompts.

    Raises:
        ValueError: there is one only.
    """
    known = np.unique(codes)
    if len(known) == 1:
        raise ValueError(
            f"target {name!r} has one label only among the training prompts at token "
            f"{token}; leave this token out (at=...), or give more prompts of the "
            "other labels."
        )
    return known


def by_class(
    values: Float[np.ndarray, "prompts known"],
    known: Int[np.ndarray, " known"],
    size: int,
    unknown: float,
) -> Float[np.ndarray, "prompts columns"]:
    """Returns values of the known labels with a column for each, or that of the second.

    Args:
        values: a column for each known label.
        known: the labels among the training prompts.
        size: the number of columns: 1 for two labels.
        unknown: the value of labels that are not known.
    """
    every = np.full((len(values), max(size, 2)), unknown)
    every[:, known] = values
    return every[:, 1:] if size == 1 else every
