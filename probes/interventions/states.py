"""Checks and small conversions of what the edits of hidden states are given."""

from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from probes import checks


def check_states(hidden: Any, features: int, name: str = "hidden") -> None:
    """Refuses states with another number of features, and integers."""
    shape = np.shape(hidden)
    if not shape or shape[-1] != features:
        raise ValueError(
            f"{name} must have {features} features on its last axis, got shape {shape}."
        )
    if hidden.dtype.kind in "biu":
        raise ValueError(
            f"{name} must hold floating-point numbers, got {hidden.dtype}."
        )


def matrix(name: str, values: ArrayLike, axes: str) -> Float64[np.ndarray, "_ _"]:
    """Returns the values as a float64 matrix, neither empty nor with NaN."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have axes {axes}, got shape {array.shape}.")
    checks.finite(name, array)
    return array


def indices(name: str, values: Any, low: int, high: int) -> np.ndarray:
    """Returns the values as an array of integers in [low, high)."""
    array = np.asarray(values)
    whole = array.size == 0 or np.issubdtype(array.dtype, np.integer)
    if not whole or (array < low).any() or (array >= high).any():
        raise ValueError(f"{name} must be integers in [{low}, {high}), got {values!r}.")
    return array.astype(int)


def covariance_root(
    covariance: ArrayLike, features: int
) -> Float64[np.ndarray, "features features"]:
    """Returns a matrix R with R @ R.T = covariance."""
    values = matrix("covariance", covariance, "(features, features)")
    if values.shape != (features, features):
        raise ValueError(
            f"covariance must have shape ({features}, {features}), got {values.shape}."
        )
    eigenvalues, vectors = np.linalg.eigh(values)
    # Computed in float32, some may lie a little below 0.
    positive = -eigenvalues[0] < 1e-5 * eigenvalues[-1]
    if not np.allclose(values, values.T) or not positive:
        raise ValueError(
            "covariance must be symmetric with eigenvalues >= 0, not all 0, got some "
            f"from {eigenvalues[0]:.3g} to {eigenvalues[-1]:.3g}; np.cov(states.T) "
            "gives one."
        )
    return vectors * np.sqrt(np.maximum(eigenvalues, 0))


def row(vector: np.ndarray, like: Any) -> np.ndarray:
    """Returns the vector with the dtype of states and as many axes as they have."""
    return vector.reshape((1,) * (like.ndim - 1) + (-1,)).astype(like.dtype)
