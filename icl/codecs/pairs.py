"""How does a regression problem become a sequence, and which token predicts which y?

The paper's interleaved encoding (Akyürek et al. 2023, 1.2): every pair gives two
tokens of width dim + 1, the x-token [0, x] and the y-token [y, 0]. The prediction of
y_i is made *at the token of x_i*, from the i pairs before it.

The last label is never fed: nothing is predicted after it, so its position would
never be trained. A prompt of n pairs is 2n - 1 tokens: x1, y1, x2, y2, ..., xn.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from icl import checks
from icl.tasks.base import Prompts

INPUTS = slice(None, None, 2)
"""Which tokens are x-tokens."""


def token_count(length: int) -> int:
    """Number of tokens of a prompt of `length` pairs: 2 length - 1."""
    return 2 * checks.positive_int("length", length) - 1


def token_names(length: int) -> list[str]:
    """The tokens' names, in order.

    Example:
        >>> token_names(3)
        ['x1', 'y1', 'x2', 'y2', 'x3']
    """
    names = [f"{kind}{i + 1}" for i in range(length) for kind in "xy"]
    return names[: token_count(length)]


def token_contexts(length: int) -> Int[np.ndarray, " tokens"]:
    """How many complete pairs each token has seen, itself included.

    The x-token of pair i (counting from 0) has seen i pairs, its y-token i + 1. This
    is the index into anything that has an axis of context lengths.

    Example:
        >>> token_contexts(3).tolist()
        [0, 1, 1, 2, 2]
    """
    return (np.arange(token_count(length)) + 1) // 2


def encode(prompts: Prompts) -> Float[Array, "batch tokens entries"]:
    """Prompts as tokens, the slot of y first: [0, x1], [y1, 0], [0, x2], ...

    Shape (batch, 2 length - 1, dim + 1).
    """
    batch, length, dim = prompts.xs.shape
    pairs = jnp.stack(
        [
            encode_inputs(prompts.xs),
            jnp.pad(prompts.ys[..., None], ((0, 0), (0, 0), (0, dim))),
        ],
        axis=2,
    )
    return pairs.reshape(batch, 2 * length, dim + 1)[:, :-1]


def encode_inputs(xs: Float[Array, "*axes dim"]) -> Float[Array, "*axes dim+1"]:
    """x-tokens: the inputs behind an empty slot for y."""
    return jnp.pad(xs, [(0, 0)] * (xs.ndim - 1) + [(1, 0)])


def at_inputs(array: Float[Array, "*axes tokens width"]) -> Float[Array, "..."]:
    """The x-tokens' rows of a per-token array: (..., tokens, :) to (..., length, :)."""
    return array[..., INPUTS, :]
