"""What is a prompt? A regression problem: pairs (x_i, y_i) that share one function.

All that reads the pairs (models, textbook learners, targets of probes) takes `Prompts`,
and knows nothing else about the task that drew them.

Shapes: `xs` (batch, length, dim), `ys` (batch, length), `weights` (batch, dim).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from icl import checks
from icl.arrays import real, shown


class Prompts(NamedTuple):
    """A batch of regression problems, one per prompt.

    Attributes:
        xs: the inputs, (batch, length, dim).
        ys: the labels with their noise, (batch, length).
        weights: the w that made the labels, (batch, dim), if they are a linear function
            of x; None where it is unknown, as for data of your own.
        latents: all else that made the labels (a tree, the weights of a network, an
            index into a pool of tasks), by name: arrays with a first axis of prompts.
    """

    xs: Float[Array, "batch length dim"]
    ys: Float[Array, "batch length"]
    weights: Float[Array, "batch dim"] | None = None
    latents: Mapping[str, Any] | None = None


def check_prompts(prompts: Prompts) -> Prompts:
    """Returns the prompts as JAX arrays, or raises a `ValueError`.

    Refuses wrong ranks, sizes that do not agree, empty axes, NaN and infinity. Latents
    keep their dtype; all else becomes float32, or stays float64.

    Example:
        >>> import numpy as np
        >>> check_prompts(Prompts(np.zeros((2, 5, 3)), np.zeros((2, 4))))
        Traceback (most recent call last):
        ...
        ValueError: ys must have axes (batch, length) of sizes (2, 5), got shape (2, 4).
    """
    checks.of_kind("prompts", prompts, Prompts, "a batch, icl.Prompts(xs, ys)")
    xs = jnp.asarray(checks.floats("xs", prompts.xs))
    checks.shape_of("xs", xs, (None, None, None), "(batch, length, dim)")
    batch, length, dim = xs.shape
    if 0 in (batch, length, dim):
        raise ValueError(f"xs must not be empty, got shape {xs.shape}.")
    ys, weights = jnp.asarray(checks.floats("ys", prompts.ys)), prompts.weights
    checks.shape_of("ys", ys, (batch, length), "(batch, length)")
    if weights is not None:
        weights = jnp.asarray(checks.floats("weights", weights))
        checks.shape_of("weights", weights, (batch, dim), "(batch, dim)")
        checks.all_finite("weights", weights)
    checks.all_finite("xs", xs)
    checks.all_finite("ys", ys)
    return Prompts(xs, ys, weights, _checked_latents(prompts.latents, batch))


def _checked_latents(latents: Any, batch: int) -> Mapping[str, Array] | None:
    if latents is None:
        return None
    if not isinstance(latents, Mapping):
        raise ValueError(
            "latents must be a dictionary of arrays by name, such as "
            f'{{"index": index}}, got {shown(latents)}.'
        )
    checked = {}
    for name, values in latents.items():
        array = _in_jax(f"latents[{name!r}]", values)
        if array.ndim == 0 or array.shape[0] != batch:
            raise ValueError(
                f"latents[{name!r}] must have a first axis of {batch} prompts, got "
                f"shape {array.shape}."
            )
        checks.all_finite(f"latents[{name!r}]", array)
        checked[name] = array
    return checked


def _in_jax(name: str, values: Any) -> Array:
    """Returns a JAX array, and refuses integers that its dtype does not hold."""
    array = real(name, values)
    found = jnp.asarray(array)
    if found.dtype != array.dtype and jnp.issubdtype(found.dtype, jnp.integer):
        if not np.array_equal(np.asarray(found), array):
            raise ValueError(
                f"{name} must hold integers that {found.dtype} does, got some up to "
                f"{abs(array).max()}; switch jax_enable_x64 on, or give floats."
            )
    return found
