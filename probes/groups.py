"""Labels of prompts: those of their groups, and those that are read out.

Prompts of one group stay on one side of every split, as copies of one prompt should.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from probes import cautions, checks
from probes.label_checks import LABELS, given_labels

MANY = 0.05
"""The share of prompts from which on copies may matter: a probe that remembers the
prompts of its training has about this R2 for any target."""


def group_labels(
    groups: Any,
    prompts: int,
    test_fraction: float,
    among: Int[np.ndarray, " some"] | None = None,
) -> Shaped[np.ndarray, " prompts"]:
    """Returns one label for each prompt, with groups enough to train and to test.

    Args:
        groups: the labels that the user gave; None where each prompt is its own group.
        prompts: the number of prompts.
        test_fraction: share of the groups that is held out.
        among: the prompts that count; None stands for all.
    """
    labels = one_label_each(groups, prompts)
    count = len(np.unique(labels if among is None else labels[among]))
    if count < 2:
        raise ValueError(
            "at least 2 groups of prompts are needed, one to train and one to test on, "
            f"got {count}."
        )
    test_fraction = checks.share("test_fraction", test_fraction)
    if math.ceil(test_fraction * count) >= count:
        raise ValueError(
            "test_fraction must leave a group to train on, got "
            f"{test_fraction!r} with {count} groups."
        )
    return labels


def one_label_each(groups: Any, prompts: int) -> Shaped[np.ndarray, " prompts"]:
    """Returns one label for each prompt; by default each is its own group."""
    found = np.arange(prompts) if groups is None else given_labels("groups", groups)
    if found.shape != (prompts,):
        raise ValueError(
            f"groups must hold one label for each of the {prompts} prompts, got shape "
            f"{found.shape}."
        )
    return found


def target_labels(
    name: str, values: Any, prompts: int, sizes: dict[str, int]
) -> Shaped[np.ndarray, "prompts ..."]:
    """Returns a target of labels, (prompts,) or (prompts, slots)."""
    array = given_labels(f"target {name!r}", values)
    if array.dtype.kind not in LABELS:
        raise ValueError(
            f"target {name!r} must hold labels (integers, booleans or strings) for a "
            f"classifier, got {array.dtype}; use values.astype(int) if they are "
            "labels, or a regressor as the probe if they are numbers."
        )
    fits = array.ndim in (1, 2) and array.shape[0] == prompts and array.size
    if not fits or (array.ndim == 2 and array.shape[1] not in sizes.values()):
        slots = " or ".join(f"(prompts={prompts}, {k}={n})" for k, n in sizes.items())
        raise ValueError(
            f"target {name!r} must hold one label for each prompt, (prompts={prompts},)"
            f", or {slots}, got shape {array.shape}."
        )
    if array.dtype.kind == "O" and not all(isinstance(x, str) for x in array.flat):
        raise ValueError(f"target {name!r} must hold strings or integers, not objects.")
    if len(np.unique(array)) < 2:
        raise ValueError(f"target {name!r} has the same label for all prompts.")
    return array


def repeated_rows(targets: Mapping[str, np.ndarray]) -> None:
    """Refuses prompts half of which are copies, and warns of fewer (`MANY`).

    It is for prompts without groups.
    """
    for name, values in targets.items():
        rows = values.reshape(len(values), -1)
        different = len({row.tobytes() for row in rows})
        copies = len(rows) - different
        if 1 < different <= len(rows) // 2:
            raise ValueError(
                f"target {name!r} has only {different} different rows among "
                f"{len(rows)} prompts. Rows that share a target, such as the tokens of "
                "one prompt, must not be on both sides of a split: give `groups`, a "
                "label for each row (np.arange(rows) if they are unrelated after all)."
            )
        if 1 < different and copies >= MANY * len(rows):
            cautions.warn(
                f"{copies} of the {len(rows)} rows of target {name!r} repeat another: "
                "if they are copies of prompts, a probe meets them on both sides of "
                "the split and scores too high; give `groups`, a label for each row "
                "that copies share (np.arange(rows) if they are unrelated after all)."
            )
