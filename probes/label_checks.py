"""Checks of labels: numbers, text or booleans, none of them missing."""

from numbers import Number
from typing import Any

import numpy as np
from jaxtyping import Shaped

from probes import checks
from probes.arrays import native, real, shown

LABELS = "biuUSO"
"""The kinds of arrays that hold labels: booleans, integers and strings."""


def given_labels(name: str, values: Any) -> Shaped[np.ndarray, "..."]:
    """Returns labels, which are numbers or text; none is missing."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must hold a label for each prompt; some are masked.")
    given = values.detach().cpu() if hasattr(values, "detach") else values
    # In a list, NumPy would take a number for text if there is some beside it.
    kind = object if isinstance(given, list | tuple) else None
    try:
        array = np.asarray(given, kind)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a list of labels, got {shown(values)}."
        ) from error
    if array.dtype == object and array.ndim:
        array = _of_objects(name, array)
    kind = array.dtype.kind
    if kind == "V":
        array = native(real(name, array))
    elif kind == "c" or not _sorted(array):
        raise ValueError(
            f"{name} must hold labels that can be sorted, such as integers or strings, "
            f"got {shown(values)}."
        )
    if array.dtype.kind == "f":
        checks.finite(name, array)
    return array


def _sorted(array: Shaped[np.ndarray, "..."]) -> bool:
    """Returns whether labels can be sorted, as all but some Python objects can."""
    if array.dtype == object:
        try:
            np.unique(array)
        except TypeError:
            return False
    return True


def _of_objects(
    name: str, array: Shaped[np.ndarray, "..."]
) -> Shaped[np.ndarray, "..."]:
    """Returns labels that are Python objects in a dtype of NumPy, if there is one."""
    for where, label in np.ndenumerate(array):
        same = label == label  # which NaN and the missing values of pandas are not
        if label is None or not (isinstance(same, bool | np.bool_) and same):
            raise ValueError(
                f"{name} must hold a label for each prompt, got {shown(label)} for "
                f"prompt {where[0]}."
            )
    kinds = {_kind(label) for label in array.flat}
    if len(kinds) > 1:
        raise ValueError(
            f"{name} must hold labels of one kind, got {' and '.join(sorted(kinds))}."
        )
    return np.asarray(array.tolist()) if kinds <= {"text", "numbers"} else array


def _kind(label: Any) -> str:
    if isinstance(label, str):
        return "text"
    is_number = isinstance(label, Number | np.number | np.bool_)
    return "numbers" if is_number else type(label).__name__


def real_labels(name: str, values: object) -> Shaped[np.ndarray, "..."]:
    """Returns an array of labels: integers, booleans or strings."""
    found = given_labels(name, values)
    if found.dtype.kind not in LABELS or not all(
        isinstance(label, str) for label in found.flat if found.dtype.kind == "O"
    ):
        raise ValueError(
            f"{name} must hold labels (integers, booleans or strings), got "
            f"{found.dtype}; values.astype(int) makes integers of whole numbers."
        )
    return found
