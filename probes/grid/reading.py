"""What does a grid read? Hidden states, targets, and the tokens that prompts have."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike

from probes import checks
from probes.arrays import real
from probes.grid.columns import Slotted
from probes.grid.labels import classes_of, columns_of
from probes.grid.sources import comes_in_order, comes_when_asked
from probes.grid.splits import Split
from probes.grid.tokens import TokenAxis
from probes.label_checks import LABELS


def states_of(
    hidden: Any, valid: ArrayLike | None
) -> tuple[Any, ArrayLike | None, bool]:
    """Returns hidden states, which tokens there are, and whether they come but once.

    Raises:
        ValueError: a mask that does not mask whole tokens, or a second mask beside it.
    """
    if isinstance(hidden, np.ma.MaskedArray):
        if valid is not None:
            raise ValueError("give valid or a masked array of hidden states, not both.")
        hidden, valid = checks.unmasked(hidden)
    if comes_when_asked(hidden) or comes_in_order(hidden):
        return hidden, valid, True
    return real("hidden", hidden), valid, False


def read_targets(
    axis: TokenAxis,
    targets: Mapping[str, ArrayLike],
    valid: Bool[np.ndarray, "prompts tokens"] | None,
    prompts: int,
    *,
    classifies: bool,
) -> tuple[dict[str, Slotted], dict[str, str]]:
    """Returns the targets as columns, and which labels there are."""
    targets = {name: _filled(values, valid) for name, values in targets.items()}
    if not classifies:
        return axis.slotted(targets, prompts), {}
    found = axis.labelled(targets, prompts)
    classes = classes_of({name: one.values for name, one in found.items()})
    named = {
        f"classes of {name}": ", ".join(map(str, known.tolist()))
        for name, known in classes.items()
    }
    return columns_of(found, classes), named


def _filled(values: ArrayLike, valid: np.ndarray | None) -> ArrayLike:
    """Returns a target with the value of the token before, where there is no token.

    Only controls look there, which give a prompt the target of another one. Where there
    is no token before, the first after it lends its value, and to a prompt without any
    token another prompt does.
    """
    array = np.asarray(values)
    if valid is None or array.shape[:2] != valid.shape:
        return values
    places = np.where(valid, np.arange(valid.shape[1]), -1)
    last = np.maximum.accumulate(places, axis=1)
    first = np.where(valid.any(axis=1), valid.argmax(axis=1), 0)
    source = np.where(last < 0, first[:, None], last)
    prompts = np.where(
        valid.any(axis=1), np.arange(len(array)), valid.any(axis=1).argmax()
    )
    return array[prompts[:, None], source[prompts]]


def strata_of(
    targets: Mapping[str, ArrayLike], prompts: int, *, classifies: bool
) -> np.ndarray | None:
    """Returns the labels that a split balances: those of the first target."""
    if not classifies:
        return None
    first = np.asarray(next(iter(targets.values())))
    one_each = first.shape == (prompts,) and first.dtype.kind in LABELS
    return first.astype(str) if one_each else None


def refuse_too_few(parts: Split, labels: np.ndarray) -> None:
    """Refuses a split with nobody to choose a penalty or to stop the training."""
    if len(np.unique(labels[parts.train])) < 2:
        raise ValueError(
            "3 groups of prompts are needed where a probe is chosen or stopped on "
            f"others than it is fitted to, got {len(np.unique(labels))}; or give one "
            "alpha."
        )
