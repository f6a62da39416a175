"""From which laws are inputs, weights and noise drawn?

`standard` draws numbers of mean 0 and variance 1 under several laws, of which all else
is made: noise is a multiple of them, and inputs and weights get a covariance and a mean
(`stretched`, `moved`). Weights may come from a part of a sphere instead (`Cap`), and
inputs may be rotated, those of each prompt in their own way (`rotated`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from icl import checks
from icl.arrays import real

Law = Literal["normal", "uniform", "laplace", "student"]
Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]
Covariance = Matrix | Vector
"""A covariance, or the diagonal of one. Tasks keep the whole matrix of either."""

LAWS = get_args(Law)
DEGREES = 5.0
"""The degrees of freedom of Student's law, whose kurtosis is then finite."""

LARGEST = 1e18
"""The largest deviation, mean or weight: float32 holds products of two of them."""

ANGLES = 4097
"""The number of angles between which the law of a cap is a straight line."""


def standard(
    key: Key[Array, ""], shape: tuple[int, ...], law: Law
) -> Float[Array, "..."]:
    """Returns independent draws of mean 0 and variance 1.

    "uniform" is on (-sqrt 3, sqrt 3); "student" is Student's t with 5 degrees of
    freedom, divided by its deviation.
    """
    if law == "uniform":
        return jax.random.uniform(key, shape, minval=-(3.0**0.5), maxval=3.0**0.5)
    if law == "laplace":
        return jax.random.laplace(key, shape) / 2.0**0.5
    if law == "student":
        return jax.random.t(key, DEGREES, shape) * (1 - 2 / DEGREES) ** 0.5
    return jax.random.normal(key, shape)


def stretched(
    draws: Float[Array, "*shape dim"], covariance: Covariance | None
) -> Float[Array, "*shape dim"]:
    """Returns draws of the identity covariance with this one; None is the identity."""
    if covariance is None:
        return draws
    root = square_root(matrix_of(covariance, draws.shape[-1]))
    return jnp.matmul(draws, jnp.asarray(root, draws.dtype), precision="highest")


def moved(
    draws: Float[Array, "*shape dim"], mean: float | Vector | None
) -> Float[Array, "*shape dim"]:
    """Returns draws with a mean added; None is 0."""
    if mean is None:
        return draws
    by = jnp.asarray(mean, draws.dtype)
    return draws + by.reshape((1,) * (draws.ndim - 1) + (-1,))


def rotated(
    key: Key[Array, ""], draws: Float[Array, "*shape dim"]
) -> Float[Array, "*shape dim"]:
    """Returns draws after random rotations, one for each entry of the first axis."""
    if draws.ndim == 1:  # a single draw
        return rotated(key, draws[None])[0]
    count, dim = draws.shape[0], draws.shape[-1]
    flat = draws.reshape(count, -1, dim)
    turned = jnp.einsum(
        "bnd,bde->bne", flat, rotations(key, count, dim), precision="highest"
    )
    return turned.reshape(draws.shape)


def rotations(key: Key[Array, ""], count: int, dim: int) -> Float[Array, "count d d"]:
    """Returns random orthonormal bases, as the columns of matrices."""
    return jax.random.orthogonal(key, dim, (count,))


@dataclass(frozen=True)
class Cap:
    """The uniform law on a part of the sphere of radius sqrt(d): a cap.

    It holds all points whose angle to the first axis is at most `angle`, in degrees;
    180 is the whole sphere. Its mean is not 0, unless it is the whole sphere.
    """

    dim: int
    angle: float

    def draw(self, key: Key[Array, ""], count: int) -> Float[Array, "count dim"]:
        """Returns independent draws."""
        angle_key, around_key = jax.random.split(key)
        angles, _, below = self._table
        share = jax.random.uniform(angle_key, (count, 1))
        turn = jnp.interp(
            share, jnp.asarray(below, share.dtype), jnp.asarray(angles, share.dtype)
        )
        around = jax.random.normal(around_key, (count, self.dim - 1))
        around = around / jnp.linalg.norm(around, axis=1, keepdims=True)
        drawn = jnp.concatenate([jnp.cos(turn), jnp.sin(turn) * around], axis=1)
        return drawn * self.dim**0.5

    @property
    def mean(self) -> Float[np.ndarray, " dim"]:
        """The mean of the law, along the first axis."""
        mean = np.zeros(self.dim)
        mean[0] = self.dim**0.5 * self._average(np.cos)
        return mean

    @property
    def moment(self) -> Float[np.ndarray, "dim dim"]:
        """The mean of the outer products, whose trace is d."""
        along = self._average(lambda angle: np.cos(angle) ** 2)
        others = np.full(self.dim - 1, (1 - along) / (self.dim - 1))
        return self.dim * np.diag([along, *others])

    def _average(self, function: Callable[[np.ndarray], np.ndarray]) -> float:
        """Returns the mean of a function of the angle to the first axis."""
        angles, density, _ = self._table
        return float(np.trapezoid(function(angles) * density, angles))

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Angles to the first axis, their density and the probability below each."""
        angles = np.linspace(0.0, np.radians(self.angle), ANGLES)
        density = np.sin(angles) ** (self.dim - 2)
        steps = np.diff(angles) * (density[1:] + density[:-1]) / 2
        below = np.concatenate([[0.0], np.cumsum(steps)])
        return angles, density / below[-1], below / below[-1]


def check_scale(name: str, value: object, *, positive: bool = False) -> float:
    """Returns a deviation as a float.

    Raises:
        ValueError: it is negative, not finite or too large, or (`positive`) 0.
    """
    number = checks.finite_number(name, value, positive=positive)
    _refuse_large(name, number, LARGEST)
    return number


def _refuse_large(name: str, values: float | np.ndarray, most: float) -> None:
    largest = np.abs(values).max()
    if largest > most:
        raise ValueError(
            f"{name} must be at most {most:g} in size, as float32 holds what is drawn "
            f"with it, got {largest:g}."
        )


def check_covariance(name: str, covariance: object, dim: int) -> Matrix:
    """Returns a covariance as nested tuples; a vector is the diagonal of one.

    Raises:
        ValueError: it has another size, is not symmetric positive semi-definite, or has
            numbers that are not finite or too large.
    """
    matrix = matrix_of(real(name, covariance), dim)
    checks.shape_of(name, matrix, (dim, dim), "(dim, dim) or (dim,)")
    checks.all_finite(name, matrix)
    _refuse_large(name, matrix, LARGEST**2)
    if not np.array_equal(matrix, matrix.T):
        raise ValueError(f"{name} must be symmetric; use (C + C.T) / 2.")
    smallest = float(np.linalg.eigvalsh(matrix).min())
    if smallest < -1e-9 * np.abs(matrix).max():
        raise ValueError(
            f"{name} must be positive semi-definite, "
            f"but its smallest eigenvalue is {smallest:.3g}."
        )
    return tuple(tuple(row) for row in matrix.tolist())


def check_vector(name: str, vector: object, dim: int) -> Vector:
    """Returns a vector as a tuple; one number stands for all coordinates.

    Raises:
        ValueError: it has another length, or numbers that are not finite or too large.
    """
    found = np.asarray(real(name, vector), dtype=float)
    if found.ndim == 0:
        found = np.full(dim, found)
    checks.shape_of(name, found, (dim,), "(dim,), or be one number,")
    checks.all_finite(name, found)
    _refuse_large(name, found, LARGEST)
    return tuple(found.tolist())


def check_cap(angle: object, dim: int, law: str) -> float:
    """Returns the half-angle of a cap in degrees.

    Raises:
        ValueError: it is not above 0 and at most 180, there is one dimension only, or
            the weights have another law as well.
    """
    found = checks.finite_number("cap", angle, positive=True)
    if found > 180:
        raise ValueError(f"cap must be an angle of at most 180 degrees, got {angle}.")
    if dim < 2:
        raise ValueError("cap needs weights of at least 2 dimensions, got dim=1.")
    if law != "normal":
        raise ValueError(
            f"cap and weight_law={law!r} are two laws of the weights; give one of them."
        )
    return found


def matrix_of(covariance: Covariance | np.ndarray | None, dim: int) -> np.ndarray:
    """Returns a covariance as a matrix; None is the identity, a vector its diagonal."""
    if covariance is None:
        return np.eye(dim)
    found = np.asarray(covariance, dtype=float)
    return np.diag(found) if found.ndim == 1 else found


def square_root(covariance: np.ndarray) -> np.ndarray:
    """Returns the symmetric square root, which a singular covariance also has."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
