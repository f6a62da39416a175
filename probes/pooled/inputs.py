"""Checks of what pooled probes are given, which need no JAX."""

from typing import Any

import numpy as np
from jaxtyping import Bool

from probes import checks
from probes.arrays import real, real_or_jax

SMALLEST, LARGEST = 1e-30, 1e30
"""Sizes that leave float32 room for the parameters."""


def states_of(hidden: Any) -> Any:
    """Returns hidden states as an array of NumPy or JAX with four full axes."""
    states = real_or_jax("hidden", hidden)
    if states.ndim != 4 or 0 in states.shape:
        raise ValueError(
            f"hidden must have axes {checks.AXES}, none of them empty, got shape "
            f"{states.shape}."
        )
    return states


def reads_of(
    reads: Any, expected: tuple[int, int]
) -> Bool[np.ndarray, "probes tokens"]:
    """Returns which tokens each probe reads, at least one."""
    found = real("reads", reads)
    if found.dtype != bool or found.shape != expected or not found.any(axis=1).all():
        raise ValueError(
            f"reads must be booleans of shape (probes, tokens) = {expected} and let "
            f"each probe read a token, got {found.dtype} of shape {found.shape} with "
            f"{int(np.count_nonzero(found))} that are True."
        )
    return found


def refuse_beyond_float32(name: str, values: Any, axis: int | None = None) -> None:
    """Refuses NaN and infinity, and sizes for which float32 has no parameters.

    Args:
        name: what a message calls them.
        values: numbers of NumPy or JAX.
        axis: the axis of which each part has a size; None stands for one size of all.
    """
    largest = np.maximum(
        np.asarray(values.max(axis=axis), float),
        -np.asarray(values.min(axis=axis), float),
    )
    if not np.isfinite(largest).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity.")
    bad = largest[(largest > LARGEST) | ((largest > 0) & (largest < SMALLEST))]
    if bad.size:
        raise ValueError(
            f"{name} must hold numbers of which the largest lies between {SMALLEST:g} "
            f"and {LARGEST:g}, as pooled probes are computed in float32, got "
            f"{bad.flat[0]:.3g}; multiply them by a constant."
        )
