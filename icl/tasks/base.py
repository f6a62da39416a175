"""What does every task hand over? Prompts: regression problems, one per prompt.

Shapes: `xs` (batch, length, dim), `ys` (batch, length), `weights` (batch, dim).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from icl import checks


class Prompts(NamedTuple):
    """A batch of regression problems, one per prompt.

    Attributes:
        xs: inputs, (batch, length, dim).
        ys: labels, (batch, length), noise included.
        weights: the w that made the labels, (batch, dim); None where it is unknown,
            as for data of your own.
    """

    xs: Float[Array, "batch length dim"]
    ys: Float[Array, "batch length"]
    weights: Float[Array, "batch dim"] | None = None


def check_prompts(prompts: Prompts) -> Prompts:
    """The prompts as float JAX arrays, or a `ValueError` that says what is wrong.

    Refuses wrong ranks, sizes that do not agree, empty axes, NaN and infinity.

    Example:
        >>> import numpy as np
        >>> check_prompts(Prompts(np.zeros((2, 5, 3)), np.zeros((2, 4))))
        Traceback (most recent call last):
        ...
        ValueError: ys must have axes (batch, length) of sizes (2, 5), got shape (2, 4).
    """
    checks.shape_of("xs", prompts.xs, (None, None, None), "(batch, length, dim)")
    batch, length, dim = np.shape(prompts.xs)
    if 0 in (batch, length, dim):
        raise ValueError(f"xs must not be empty, got shape {np.shape(prompts.xs)}.")
    checks.shape_of("ys", prompts.ys, (batch, length), "(batch, length)")
    if prompts.weights is not None:
        checks.shape_of("weights", prompts.weights, (batch, dim), "(batch, dim)")
    given = {name: a for name, a in prompts._asdict().items() if a is not None}
    arrays = {name: _as_float(array) for name, array in given.items()}
    for name, array in arrays.items():  # as floats: 1e300 is infinite in float32
        checks.all_finite(name, array)
    return Prompts(**arrays)


def _as_float(array: object) -> Array:
    """A float JAX array; integers are promoted, float32 and float64 stay."""
    array = jnp.asarray(array)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)
