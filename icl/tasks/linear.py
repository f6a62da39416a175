"""Linear regression in the context: which weights, inputs and noise are drawn?

One prompt is one regression problem: `length` pairs (x_i, y_i) that share one unknown
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
from icl.prompts import Prompts
from icl.tasks.base import Task

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


@dataclass(frozen=True)
class LinearRegression(Task):
    """y = w.x + noise, with a fresh w for every prompt (Akyürek et al. 2023, 1.1).

    Or, with `fixed_weights`, with one w for all prompts. Nothing about w need then be
    learnt in the context, and a model trained on such a task is the control of probing
    (section 5, Figure 5, with w = 1).

    Attributes:
        dim: d, the dimension of x.
        length: n, the number of pairs in a prompt.
        noise_std: standard deviation of the noise, drawn anew for every y, for labels
            in the context and for those to be predicted alike.
        weight_std: standard deviation of each coordinate of w ~ N(0, weight_std^2 I).
        inputs: law of x before `covariance` is applied; both have mean 0 and variance
            1 per coordinate ("uniform" is on (-sqrt 3, sqrt 3)).
        covariance: covariance of x, (dim, dim), or (dim,) for a diagonal one; None is
            the identity. Any array-like is taken and kept as nested tuples, so that a
            task can be compared, hashed and written to JSON.
        fixed_weights: the w of every prompt, (dim,), or one number for all of its
            coordinates; kept as a tuple. None draws w; otherwise `weight_std` has no
            effect on what is sampled.

    Raises:
        ValueError: a size below 1, a negative or non-finite deviation, an unknown
            `inputs`, a covariance that is not symmetric positive semi-definite, fixed
            weights of another length or not finite.

    Example:
        >>> task = LinearRegression(dim=3, length=5)
        >>> prompts = task.sample(jax.random.key(0), batch=2)
        >>> prompts.xs.shape, prompts.ys.shape, prompts.weights.shape
        ((2, 5, 3), (2, 5), (2, 3))
        >>> LinearRegression(dim=3, fixed_weights=1.0).fixed_weights
        (1.0, 1.0, 1.0)
    """

    scales: ClassVar[tuple[str, ...]] = ("noise_std", "weight_std")

    dim: int = 8
    length: int = 40
    noise_std: float = 0.0
    weight_std: float = 1.0
    inputs: Literal["normal", "uniform"] = "normal"
    covariance: Matrix | None = None
    fixed_weights: float | Vector | None = None

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "length")
        checks.normalise(self, checks.finite_number, "noise_std")
        checks.normalise(self, checks.finite_number, "weight_std", positive=True)
        checks.one_of("inputs", self.inputs, ("normal", "uniform"))
        if self.covariance is not None:
            matrix = _check_covariance(self.covariance, self.dim)
            object.__setattr__(self, "covariance", matrix)
        if self.fixed_weights is not None:
            vector = _check_fixed_weights(self.fixed_weights, self.dim)
            object.__setattr__(self, "fixed_weights", vector)

    def sample(self, key: Key[Array, ""], *, batch: int) -> Prompts:
        """Draws a batch of prompts on the device; a pure function of the key."""
        checks.positive_int("batch", batch)
        weights_key, inputs_key, noise_key = jax.random.split(key, 3)
        if self.fixed_weights is None:
            normal = jax.random.normal(weights_key, (batch, self.dim))
            weights = self.weight_std * normal
        else:  # the other keys stay as they are: x and noise are the same in both cases
            weights = jnp.tile(jnp.asarray(self.fixed_weights), (batch, 1))
        xs = self.sample_inputs(inputs_key, (batch, self.length))
        # A sum of products, not a matmul: TF32 would put 1e-3 of noise on the labels.
        ys = jnp.sum(xs * weights[:, None, :], axis=-1)
        ys = ys + self.noise_std * jax.random.normal(noise_key, ys.shape)
        return Prompts(xs, ys, weights)

    def sample_inputs(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> Float[Array, "... dim"]:
        """Draws inputs x of the task's law, of shape `(*shape, dim)`."""
        shape = (*shape, self.dim)
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
    """Returns the task itself, for whoever needs linear functions of x.

    Raises:
        ValueError: it is of another kind.
    """
    if not isinstance(task, LinearRegression):
        raise ValueError(
            f"task.kind must be LinearRegression, whose weights and noise this is "
            f"about, got {type(task).__name__}."
        )
    return task


def _check_covariance(covariance: object, dim: int) -> Matrix:
    matrix = np.asarray(covariance, dtype=float)
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
    vector = np.asarray(weights, dtype=float)
    if vector.ndim == 0:
        vector = np.full(dim, vector)
    checks.shape_of("fixed_weights", vector, (dim,), "(dim,), or be one number,")
    checks.all_finite("fixed_weights", vector)
    return tuple(vector.tolist())


def _square_root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root, which a singular covariance also has."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
