"""Checks and small conversions of what the edits of hidden states are given.

Edits are computed in float32 or better, also where states are float16 or bfloat16, and
rounded to the dtype of the states at the end (`opened`, `closed`).
"""

import sys
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from probes import checks
from probes.arrays import is_jax, real


def opened(name: str, hidden: Any, features: int | None = None) -> Any:
    """Returns states as an array of NumPy or JAX, in float32 or better.

    Raises:
        ValueError: they have another number of features, or are no floating-point
            numbers.
    """
    states = hidden if is_jax(hidden) else real(name, hidden)
    shape = states.shape
    if not shape or not shape[-1] or features not in (None, shape[-1]):
        wanted = "" if features is None else f"{features} "
        raise ValueError(
            f"{name} must have {wanted}features on its last axis, got shape {shape}."
        )
    if states.dtype.kind in "biuc":
        raise ValueError(
            f"{name} must hold floating-point numbers, got {states.dtype}."
        )
    return states.astype(np.result_type(states.dtype, np.float32))


def closed(name: str, edited: Any, hidden: Any) -> Any:
    """Returns edited states in the dtype, and of the library, of those before the edit.

    Raises:
        ValueError: the dtype cannot hold them.
    """
    before = hidden if is_jax(hidden) else real(name, hidden)
    with np.errstate(over="ignore"):
        found = edited.astype(before.dtype)
    if not is_traced(found):
        kept = _finite(found) | ~_finite(before)
        if not kept.all():
            raise ValueError(
                f"{name} does not fit into {before.dtype} once it is changed: "
                f"{int((~kept).sum())} states would be infinite; give {name} in "
                "float32 or float64, or smaller changes."
            )
    # A tensor of PyTorch makes one of its own kind, on its own device.
    return hidden.new_tensor(found) if hasattr(hidden, "new_tensor") else found


def _finite(states: Any) -> Any:
    """Returns for each state whether all of it is finite."""
    library = sys.modules["jax"].numpy if is_jax(states) else np
    return library.isfinite(states).all(axis=-1)


def is_traced(states: Any) -> bool:
    """Returns whether JAX is tracing these states, whose numbers are not known yet."""
    return is_jax(states) and isinstance(states, sys.modules["jax"].core.Tracer)


def numbers(name: str, values: Any) -> Any:
    """Returns finite numbers as an array of NumPy or JAX, which may be traced."""
    array = values if is_jax(values) else real(name, values)
    if array.dtype.kind == "c":
        raise ValueError(f"{name} must hold real numbers, got {array.dtype}.")
    if not is_traced(array):
        checks.finite(name, array)
    return array


def matrix(name: str, values: ArrayLike, axes: str) -> Float64[np.ndarray, "_ _"]:
    """Returns the values as a float64 matrix, neither empty nor with NaN."""
    array = real(name, values).astype(float)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have axes {axes}, got shape {array.shape}.")
    checks.finite(name, array)
    return array


def intercept_of(intercept: ArrayLike, q: int) -> Float64[np.ndarray, " q"]:
    """Returns the intercept as an array of q finite numbers."""
    intercept = checks.floats("intercept", intercept)
    if intercept.shape != (q,):
        raise ValueError(
            f"intercept must hold one number for each of the {q} rows of coef, got "
            f"shape {intercept.shape}."
        )
    return intercept


def indices(name: str, values: Any, low: int, high: int) -> np.ndarray:
    """Returns the values as an array of integers in [low, high)."""
    array = real(name, values)
    whole = array.size == 0 or array.dtype.kind in "iu"
    if not whole or (array < low).any() or (array >= high).any():
        raise ValueError(
            f"{name} must be integers in [{low}, {high}), got {checks.shown(values)}."
        )
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
