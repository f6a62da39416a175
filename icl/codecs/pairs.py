"""How does a regression problem become a sequence, and which token predicts which y?

The paper's interleaved encoding (Akyürek et al. 2023, 1.2): every pair gives two
tokens of width dim + 1, the x-token [0, x] and the y-token [y, 0]. The prediction of
y_i is made *at the token of x_i*, from the i pairs before it.

The last label is never fed to the model: nothing is predicted after it, so that its
position would never be trained. A prompt of n pairs has 2n - 1 tokens: x1, y1, x2, y2,
..., xn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from icl import checks
from icl.codecs.base import Codec
from icl.losses import squared_error
from icl.prompts import Prompts, check_prompts

LONGEST = 10_000_000
"""The largest number of pairs whose tokens are named or numbered."""

INPUTS = slice(None, None, 2)
"""The x-tokens among all tokens."""


def token_count(length: int) -> int:
    """Returns the number of tokens of a prompt of `length` pairs, 2 length - 1."""
    return 2 * checks.positive_int("length", length) - 1


def token_names(length: int) -> list[str]:
    """Returns the tokens' names, in order.

    Example:
        >>> token_names(3)
        ['x1', 'y1', 'x2', 'y2', 'x3']
    """
    length = checks.positive_int("length", length, maximum=LONGEST)
    names = [f"{kind}{i + 1}" for i in range(length) for kind in "xy"]
    return names[: token_count(length)]


def token_contexts(length: int) -> Int[np.ndarray, " tokens"]:
    """Returns how many complete pairs each token has seen, with its own if complete.

    The x-token of pair i (counting from 0) has seen i pairs, its y-token i + 1. This
    is the index into anything that has an axis of context lengths.

    Example:
        >>> token_contexts(3).tolist()
        [0, 1, 1, 2, 2]
    """
    length = checks.positive_int("length", length, maximum=LONGEST)
    return (np.arange(token_count(length)) + 1) // 2


def encode(prompts: Prompts) -> Float[Array, "batch tokens entries"]:
    """Returns prompts as tokens [0, x1], [y1, 0], [0, x2], ..., with y in front.

    Their shape is (batch, 2 length - 1, dim + 1).
    """
    prompts = check_prompts(prompts)
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
    """Returns x-tokens: the inputs behind a 0 in the place of y."""
    return jnp.pad(xs, [(0, 0)] * (xs.ndim - 1) + [(1, 0)])


def at_inputs(array: Float[Array, "*axes tokens width"]) -> Float[Array, "..."]:
    """Returns the x-tokens of (..., tokens, :), which are (..., length, :)."""
    return array[..., INPUTS, :]


@dataclass(frozen=True)
class Pairs(Codec):
    """The codec of prompts: x-tokens and y-tokens in turn, read at the x-tokens.

    Attributes:
        dim: the dimension d of x; a token has dim + 1 entries.
        length: the number n of pairs of the longest prompt, which has 2 n - 1 tokens.
        loss: a function of predictions and labels, (batch, length) each, that returns
            losses, (batch, length).

    Raises:
        ValueError: a size is below 1.

    Example:
        >>> codec = Pairs(dim=3, length=5)
        >>> codec.entries, codec.count, codec.slots.tolist()
        (4, 9, [0, 1, 2, 3, 4])
    """

    dim: int
    length: int
    loss: Callable[..., Array] = squared_error

    slot: ClassVar[str] = "context"

    @property
    def loss_name(self) -> str:
        """The name of the loss: by default the mean squared error, not halved."""
        if self.loss is squared_error:
            return "mean squared error over prompts and contexts, not halved"
        return f"mean over prompts and contexts of {self.loss.__name__}"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "length")
        checks.of_kind("loss", self.loss, Callable, "a function, as in icl.losses")

    @property
    def entries(self) -> int:
        """The width of a token, dim + 1."""
        return self.dim + 1

    @property
    def count(self) -> int:
        """The number of tokens of the longest prompt, 2 length - 1."""
        return token_count(self.length)

    @property
    def read_at(self) -> slice:
        """The x-tokens, where predictions are read."""
        return INPUTS

    @property
    def slots(self) -> np.ndarray:
        """The context length at every x-token: 0 to length - 1."""
        return np.arange(self.length)

    @property
    def names(self) -> list[str]:
        """The names of the tokens: x1, y1, x2, ..."""
        return token_names(self.length)

    def check(self, batch: Prompts) -> Prompts:
        """Returns the prompts as JAX arrays.

        Raises:
            ValueError: the prompts have another dimension, are longer than the codec's,
                have shapes that disagree, or hold NaN or infinity.
        """
        prompts = check_prompts(batch)
        _, length, dim = prompts.xs.shape
        if dim != self.dim:
            raise ValueError(
                f"prompts must have dim {self.dim} as the model does, got {dim}."
            )
        if length > self.length:
            raise ValueError(
                f"prompts must have at most {self.length} pairs, the length of the "
                f"model's table of positions, got {length}; cut them or train longer."
            )
        return prompts

    def encode(self, batch: Prompts) -> Float[Array, "batch tokens entries"]:
        """Returns the tokens of the prompts, as the function `encode` does."""
        return encode(batch)

    def losses(
        self, predictions: Float[Array, "batch length"], batch: Prompts
    ) -> Float[Array, "batch length"]:
        """Returns how far each prediction is from its label.

        Raises:
            ValueError: these are no prompts, or as many predictions as labels.
        """
        checks.of_kind("batch", batch, Prompts, "prompts, icl.Prompts(xs, ys)")
        return self.loss(predictions, batch.ys)
