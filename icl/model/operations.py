"""How are the parts of a layer computed so that training does not wait for memory?

These are the functions of the textbook, written so that little has to be kept for the
backward pass, because arithmetic is fast, and a step takes as long as its arrays take
to travel. Where a function has a rule for its derivative, it is a rule of forward mode,
which JAX transposes. So it works for `jax.grad`, `jax.jvp`, `jax.vmap` and second
derivatives alike.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def product(
    x: Float[Array, "rows inputs"],
    kernel: Float[Array, "inputs outputs"],
    *args: Any,
    **settings: Any,
) -> Float[Array, "rows outputs"]:
    """Returns `jax.lax.dot_general`, with a gradient that is fast on CPU.

    The kernel's gradient is a product over all rows, for which XLA transposes one
    operand. That takes half the time if this is the narrower operand, which it is if a
    kernel with more inputs than outputs is transposed here first.
    """
    if kernel.shape[0] > kernel.shape[1]:
        kernel = jax.lax.optimization_barrier(kernel.T).T
    return jax.lax.dot_general(x, kernel, *args, **settings)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def standardise(
    x: Float[Array, "rows width"], epsilon: float
) -> Float[Array, "rows width"]:
    """Applies LayerNorm without parameters (Ba et al. 2016).

    This is (x - mean) / sqrt(variance + epsilon) of each row. The variance is computed
    as the mean square of x - mean, because the mean of squares less the square of the
    mean cancels in float32.
    """
    return _standardise(x, epsilon)[0]


@standardise.defjvp
def _standardise_jvp(
    epsilon: float, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (x,), (x_dot,) = primals, tangents
    rows, inverse = _standardise(x, epsilon)
    mean = x_dot.mean(axis=-1, keepdims=True)
    along = (x_dot * rows).mean(axis=-1, keepdims=True)
    return rows, inverse * (x_dot - mean - rows * along)


def _standardise(x: Array, epsilon: float) -> tuple[Array, Array]:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    inverse = jax.lax.rsqrt(variance + epsilon)
    return centred * inverse, inverse


@jax.custom_jvp
def gelu_tanh(x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Returns the "tanh" approximation of GELU (Hendrycks and Gimpel 2016, sec. 2)."""
    return jax.nn.gelu(x, approximate=True)


@gelu_tanh.defjvp
def _gelu_tanh_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    # The gate (1 + tanh z) / 2 is the logistic function of 2 z. In this form the slope
    # is made from x in the backward pass; from tanh, XLA would keep that array for it.
    (x,), (x_dot,) = primals, tangents
    scale, cubic = 2 * (2 / jnp.pi) ** 0.5, 0.044715
    square = jnp.square(x)
    gate = jax.nn.sigmoid(scale * x * (1 + cubic * square))
    slope_of_gate = scale * gate * (1 - gate) * (1 + 3 * cubic * square)
    return gelu_tanh(x), (gate + x * slope_of_gate) * x_dot


def masked_softmax_mean(
    scores: Float[Array, "batch queries keys"],
    values: Float[Array, "batch keys size"],
    mask: Bool[Array, "queries keys"],
) -> Float[Array, "batch queries size"]:
    """Returns means of values by the softmax of the scores that the mask allows.

    The means are divided by the sum of their weights, and not every weight by it, which
    takes fewer passes over the largest array, forward and backward. A query without any
    key gets NaN.
    """
    scores = jnp.where(mask[None], scores, -jnp.inf)
    largest = jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
    weights = jnp.exp(scores - largest)
    return jnp.einsum("bqk,bkc->bqc", weights, values) / weights.sum(-1, keepdims=True)
