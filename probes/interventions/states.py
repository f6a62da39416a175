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
from probes.arrays import is_float, is_jax, real, real_or_jax, unit_size


def opened(name: str, hidden: Any, features: int | None = None) -> Any:
    """Returns states as an array of NumPy or JAX, in float32 or better.

    Raises:
        ValueError: they have another number of features, or are no floating-point
            numbers.
    """
    states = real_or_jax(name, hidden)
    shape = states.shape
    if not shape or not shape[-1] or features not in (None, shape[-1]):
        wanted = "" if features is None else f"{features} "
        raise ValueError(
            f"{name} must have {wanted}features on its last axis, got shape {shape}."
        )
    if not is_float(states.dtype):
        raise ValueError(
            f"{name} must hold floating-point numbers, got {states.dtype}."
        )
    return states.astype(np.result_type(states.dtype, np.float32))


def closed(name: str, edited: Any, hidden: Any) -> Any:
    """Returns edited states in the dtype, and of the library, of those before the edit.

    Raises:
        ValueError: the dtype cannot hold them.
    """
    before = real_or_jax(name, hidden)
    with np.errstate(over="ignore"):
        found = edited.astype(before.dtype)
    if is_traced(found):
        return found
    kept = _finite(found) | ~_finite(before)
    of_torch = hasattr(hidden, "new_tensor")
    if of_torch:
        # NumPy has no bfloat16 or float8, and some of the latter cut off what is larger
        # than they hold.
        kept &= ~(np.abs(found) > _largest(hidden.dtype)).any(axis=-1)
    if not kept.all():
        dtype = hidden.dtype if of_torch else before.dtype
        raise ValueError(
            f"{name} does not fit into {dtype} once it is changed: "
            f"{int((~kept).sum())} states would be infinite; give {name} in "
            "float32 or float64, or smaller changes."
        )
    # A tensor of PyTorch makes one of its own kind, on its own device.
    return hidden.new_tensor(found) if of_torch else found


def _largest(dtype: Any) -> float:
    """Returns the largest number that a dtype of PyTorch holds."""
    floating = getattr(dtype, "is_floating_point", False)
    return sys.modules["torch"].finfo(dtype).max if floating else np.inf


def _finite(states: Any) -> Any:
    """Returns for each state whether all of it is finite."""
    library = sys.modules["jax"].numpy if is_jax(states) else np
    return library.isfinite(states).all(axis=-1)


def lengths(states: Any) -> Any:
    """Returns the Euclidean length of each state, with the axis of features kept.

    They are computed in units of the largest feature, so that no square overflows or
    vanishes; the units are powers of 2, by which nothing is rounded.
    """
    library = sys.modules["jax"].numpy if is_jax(states) else np
    _, exponents = library.frexp(abs(states).max(axis=-1, keepdims=True))
    squares = library.ldexp(states, -exponents) ** 2
    return library.ldexp(squares.sum(axis=-1, keepdims=True) ** 0.5, exponents)


def is_traced(states: Any) -> bool:
    """Returns whether JAX is tracing these states, whose numbers are not known yet."""
    return is_jax(states) and isinstance(states, sys.modules["jax"].core.Tracer)


def numbers(name: str, values: Any) -> Any:
    """Returns finite numbers as an array of NumPy or JAX, which may be traced."""
    array = real_or_jax(name, values)
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


def covariance_root(
    covariance: ArrayLike, features: int
) -> Float64[np.ndarray, "features features"]:
    """Returns a matrix R with R @ R.T = covariance."""
    values = matrix("covariance", covariance, "(features, features)")
    if values.shape != (features, features):
        raise ValueError(
            f"covariance must have shape ({features}, {features}), got {values.shape}."
        )
    scaled, _ = unit_size(values)
    eigenvalues, vectors = np.linalg.eigh(values)
    # Computed in float32, some may lie a little below 0.
    positive = -eigenvalues[0] < 1e-5 * eigenvalues[-1]
    if not np.allclose(scaled, scaled.T) or not positive:
        raise ValueError(
            "covariance must be symmetric with eigenvalues >= 0, not all 0, got some "
            f"from {eigenvalues[0]:.3g} to {eigenvalues[-1]:.3g}; np.cov(states.T) "
            "gives one."
        )
    return vectors * np.sqrt(np.maximum(eigenvalues, 0))


def row(vector: np.ndarray, like: Any) -> np.ndarray:
    """Returns the vector with the dtype of states and as many axes as they have."""
    return vector.reshape((1,) * (like.ndim - 1) + (-1,)).astype(like.dtype)
