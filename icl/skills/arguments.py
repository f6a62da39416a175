"""How is bad input of `icl.skills` refused? By what all of its functions share."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize

from icl import checks
from icl.arrays import real, shown

MOST = 1_000_000
"""The largest number of skills that one piece may have."""


def fraction(name: str, value: Any) -> float:
    """Returns a number that lies strictly between 0 and 1."""
    number = checks.finite_number(name, value)
    if not 0 < number < 1:
        raise ValueError(
            f"{name} must lie strictly between 0 and 1, got {shown(value)}; a share in "
            "per cent must be divided by 100."
        )
    return number


def probability(name: str, value: Any) -> float:
    """Returns a number from 0 to 1, both included."""
    number = checks.finite_number(name, value)
    if number > 1:
        raise ValueError(
            f"{name} must be a probability, at most 1, got {shown(value)}; a share in "
            "per cent must be divided by 100."
        )
    return number


def probabilities(name: str, values: Any, count: int, axis: str) -> np.ndarray:
    """Returns `count` numbers from 0 to 1 as floats; `axis` names them in a message."""
    array = np.asarray(checks.array(name, values, (count,), axis), dtype=float)
    if array.size and not 0 <= array.min() <= array.max() <= 1:
        raise ValueError(
            f"{name} must hold probabilities from 0 to 1, got numbers from "
            f"{array.min():g} to {array.max():g}."
        )
    return array


def law(name: str, values: Any, count: int, axis: str) -> np.ndarray:
    """Returns `count` weights, none of them negative, divided by their sum."""
    array = np.asarray(checks.array(name, values, (count,), axis), dtype=float)
    largest = float(array.max(initial=0.0))
    if array.min(initial=0.0) < 0 or not largest:
        raise ValueError(
            f"{name} must hold weights >= 0 that are not all 0, got a smallest of "
            f"{array.min(initial=0.0):g} and a largest of {largest:g}."
        )
    array = array / largest  # so that no sum is too large for a float
    return array / array.sum()


def pieces_per_skill(value: Any) -> float:
    """Returns N1 / N2, which may be infinite."""
    if isinstance(value, float) and value == math.inf:
        return value
    return checks.finite_number("pieces_per_skill", value, positive=True)


def booleans(name: str, values: Any, count: int) -> np.ndarray:
    """Returns one boolean for each of `count` pieces."""
    array = np.asarray(real(name, values))
    if array.dtype != bool:
        raise ValueError(
            f"{name} must hold True or False for each piece, got {shown(values)}; "
            "compare errors with a threshold first, such as error < 0.1."
        )
    checks.shape_of(name, array, (count,), "(pieces,)")
    return array


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Returns where a function that rises through 0 between two numbers is 0."""
    found: Any = scipy.optimize.brentq(function, low, high, xtol=1e-14, rtol=1e-13)
    return float(found)
