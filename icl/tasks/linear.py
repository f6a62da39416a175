"""Linear regression in the context: which weights, inputs and noise are drawn?

A prompt is one regression problem: `length` pairs (x_i, y_i) that share one unknown
weight vector w.

Shapes: `xs` (batch, length, dim), `ys` (batch, length), `weights` (batch, dim).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from icl import checks
from icl.arrays import real
from icl.tasks.base import Task
from icl.tasks.function_class import (
    FunctionClass,
    Functions,
    NoiseLaw,
    check_noise,
    linear_values,
)

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


@dataclass(frozen=True)
class LinearRegression(FunctionClass):
    """The task y = w.x + noise, with a new w for each prompt (Akyürek et al. 2023).

    With `fixed_weights` all prompts have the same w. Then nothing about w needs to be
    learnt in the context, and a model trained on such a task is the control of probing
    (section 5, Figure 5, with w = 1).

    Attributes:
        dim: the dimension d of x.
        length: the number n of pairs in a prompt.
        noise_std: the standard deviation of the noise, which is drawn anew for every y,
            both for labels in the context and for those to be predicted.
        weight_std: the standard deviation of each coordinate of
            w ~ N(0, weight_std^2 I).
        inputs: the law of x before `covariance` is applied; both laws have mean 0 and
            variance 1 per coordinate ("uniform" is on (-sqrt 3, sqrt 3)).
        covariance: the covariance of x, (dim, dim), or (dim,) for a diagonal one; None
            is the identity. Any array-like is accepted and kept as nested tuples, so
            that a task can be compared, hashed and written to JSON.
        fixed_weights: the w of every prompt, (dim,), or one number for all of its
            coordinates; it is kept as a tuple. None draws w; otherwise `weight_std` has
            no effect on what is sampled.
        noise_law: the law of the noise; see `FunctionClass`.

    Raises:
        ValueError: a size is below 1, a deviation is negative or not finite, `inputs`
            is unknown, the covariance is not symmetric positive semi-definite, or fixed
            weights have another length or are not finite.

    Example:
        >>> task = LinearRegression(dim=3, length=5)
        >>> prompts = task.sample(jax.random.key(0), batch=2)
        >>> prompts.xs.shape, prompts.ys.shape, prompts.weights.shape
        ((2, 5, 3), (2, 5), (2, 3))
        >>> LinearRegression(dim=3, fixed_weights=1.0).fixed_weights
        (1.0, 1.0, 1.0)
    """

    scales: ClassVar[tuple[str, ...]] = ("noise_std", "weight_std")
    linear: ClassVar[bool] = True

    dim: int = 8
    length: int = 40
    noise_std: float = 0.0
    weight_std: float = 1.0
    inputs: Literal["normal", "uniform"] = "normal"
    covariance: Matrix | None = None
    fixed_weights: float | Vector | None = None
    noise_law: NoiseLaw = "normal"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "length")
        check_noise(self)
        checks.normalise(self, checks.finite_number, "weight_std", positive=True)
        checks.one_of("inputs", self.inputs, ("normal", "uniform"))
        if self.covariance is not None:
            matrix = _check_covariance(self.covariance, self.dim)
            object.__setattr__(self, "covariance", matrix)
        if self.fixed_weights is not None:
            vector = _check_fixed_weights(self.fixed_weights, self.dim)
            object.__setattr__(self, "fixed_weights", vector)

    def functions(self, key: Key[Array, ""], count: int) -> Functions:
        """Draws weights, (count, dim); they are all the same if they are fixed."""
        if self.fixed_weights is not None:
            return {"weights": jnp.tile(jnp.asarray(self.fixed_weights), (count, 1))}
        normal = jax.random.normal(key, (count, self.dim))
        return {"weights": self.weight_std * normal}

    def values(
        self, functions: Functions, xs: Float[Array, "batch length dim"]
    ) -> Float[Array, "batch length"]:
        """Returns w.x."""
        return linear_values(functions["weights"], xs)

    @property
    def normaliser(self) -> float:
        """The mean square of w.x: |C^(1/2) w|^2, averaged over w; d by default."""
        covariance = np.eye(self.dim) if self.covariance is None else self.covariance
        if self.fixed_weights is not None:
            w = np.asarray(self.fixed_weights)
            return float(w @ np.asarray(covariance) @ w)
        return float(self.weight_std**2 * np.trace(covariance))

    def sample_inputs(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> Float[Array, "... dim"]:
        """Draws inputs x from the task's law, of shape `(*shape, dim)`."""
        checks.typed_key("key", key)
        checks.of_kind("shape", shape, tuple | list, "a tuple of sizes")
        sizes = [checks.positive_int("shape", size, minimum=0) for size in shape]
        shape = (*sizes, self.dim)
        if self.inputs == "normal":
            xs = jax.random.normal(key, shape)
        else:
            bound = 3.0**0.5
            xs = jax.random.uniform(key, shape, minval=-bound, maxval=bound)
        if self.covariance is not None:
            root = jnp.asarray(_square_root(np.asarray(self.covariance)), xs.dtype)
            xs = jnp.matmul(xs, root, precision="highest")
        return self.mask_inputs(xs)


def as_linear(task: Task) -> LinearRegression:
    """Returns the task, which must be a linear regression.

    Raises:
        ValueError: the task is of another kind.
    """
    if not isinstance(task, LinearRegression):
        raise ValueError(
            f"task.kind must be LinearRegression, whose weights and noise this is "
            f"about, got {type(task).__name__}."
        )
    return task


def _check_covariance(covariance: object, dim: int) -> Matrix:
    matrix = np.asarray(real("covariance", covariance), dtype=float)
    if matrix.ndim == 1:
        matrix = np.diag(matrix)
    checks.shape_of("covariance", matrix, (dim, dim), "(dim, dim) or (dim,)")
    checks.all_finite("covariance", matrix)
    if not np.array_equal(matrix, matrix.T):
        raise ValueError("covariance must be symmetric; use (C + C.T) / 2.")
    smallest = float(np.linalg.eigvalsh(matrix).min())
    if smallest < -1e-9 * np.abs(matrix).max():
        raise ValueError(
            "covariance must be positive semi-definite, "
            f"but its smallest eigenvalue is {smallest:.3g}."
        )
    return tuple(tuple(row) for row in matrix.tolist())


def _check_fixed_weights(weights: object, dim: int) -> Vector:
    vector = np.asarray(real("fixed_weights", weights), dtype=float)
    if vector.ndim == 0:
        vector = np.full(dim, vector)
    checks.shape_of("fixed_weights", vector, (dim,), "(dim,), or be one number,")
    checks.all_finite("fixed_weights", vector)
    return tuple(vector.tolist())


def _square_root(covariance: np.ndarray) -> np.ndarray:
    """Returns the symmetric square root, which a singular covariance also has."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
