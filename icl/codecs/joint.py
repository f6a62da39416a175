"""How do x and y share a token, and what may then see what?

Linear attention as an optimiser (von Oswald et al. 2023; Zhang, Frei and Bartlett 2024)
reads joint tokens (y, x), one for each pair. The last pair is the query: its y is 0 in
the sequence and is what is predicted, once for a prompt. Every token sees the pairs of
the context, those after it too, and none sees the query: under a causal mask a second
step of gradient descent is not possible, because the residual of an early pair would
follow from the pairs before it only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from icl import checks
from icl.arrays import real
from icl.codecs.base import Codec
from icl.losses import squared_error
from icl.prompts import Prompts, check_prompts


def joint_tokens(prompts: Prompts) -> Float[Array, "batch length entries"]:
    """Returns tokens (y, x), one for each pair; the last one's y is 0."""
    ys = prompts.ys.at[:, -1].set(0.0)
    return jnp.concatenate([ys[..., None], prompts.xs], axis=-1)


def context_mask(length: int) -> Bool[Array, "length length"]:
    """Returns the mask by which all tokens see all but the last, the query."""
    return jnp.tile(jnp.arange(length) < length - 1, (length, 1))


@dataclass(frozen=True)
class JointPairs(Codec):
    """The codec of joint tokens (y, x), whose last one is the query.

    Attributes:
        dim: the dimension d of x; a token has dim + 1 entries.
        length: the number of pairs of the longest prompt, with the query.
        loss: a function of predictions and labels, (batch, 1) each, that returns
            losses, (batch, 1).

    Raises:
        ValueError: dim is below 1, or length below 2.

    Example:
        >>> codec = JointPairs(dim=3, length=5)
        >>> codec.entries, codec.count, codec.slots.tolist()
        (4, 5, [4])
    """

    dim: int
    length: int
    loss: Callable[..., Array] = squared_error

    slot: ClassVar[str] = "context"
    causal: ClassVar[bool] = False

    @property
    def loss_name(self) -> str:
        """The name of the loss: by default the mean squared error, not halved."""
        if self.loss is squared_error:
            return "mean squared error at the query, not halved"
        return f"mean at the query of {self.loss.__name__}"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim")
        checks.normalise(self, checks.positive_int, "length", minimum=2)
        checks.of_kind("loss", self.loss, Callable, "a function, as in icl.losses")

    @property
    def entries(self) -> int:
        """The width of a token, dim + 1."""
        return self.dim + 1

    @property
    def count(self) -> int:
        """The number of tokens of the longest prompt, its number of pairs."""
        return self.length

    @property
    def read_at(self) -> slice:
        """The last token, the query."""
        return slice(-1, None)

    @property
    def slots(self) -> np.ndarray:
        """The context length at the query."""
        return np.array([self.length - 1])

    @property
    def names(self) -> list[str]:
        """The names of the tokens: pair1, pair2, ..., query."""
        return [*(f"pair{i + 1}" for i in range(self.length - 1)), "query"]

    def mask(self, tokens: int) -> Bool[Array, "tokens tokens"]:
        """Returns which token (row) sees which (column): all see all but the query."""
        return context_mask(checks.positive_int("tokens", tokens))

    def check(self, batch: Prompts) -> Prompts:
        """Returns the prompts as JAX arrays.

        Raises:
            ValueError: the prompts have another dimension, have no context, are longer
                than the codec's, have shapes that disagree, or hold NaN or infinity.
        """
        prompts = check_prompts(batch)
        _, length, dim = prompts.xs.shape
        if dim != self.dim:
            raise ValueError(
                f"batch must have prompts of dim {self.dim} as the model does, got "
                f"{dim}."
            )
        if not 2 <= length <= self.length:
            raise ValueError(
                f"batch must have prompts of 2 to {self.length} pairs, the query among "
                f"them, got {length}; icl.model.building.reading has a model without "
                "positions read longer ones."
            )
        return prompts

    def encode(self, batch: Prompts) -> Float[Array, "batch tokens entries"]:
        """Returns the tokens of the prompts, as the function `joint_tokens` does."""
        return joint_tokens(check_prompts(batch))

    def losses(
        self, predictions: Float[Array, "batch slots"], batch: Prompts
    ) -> Float[Array, "batch slots"]:
        """Returns how far each prediction is from the label of the query.

        Raises:
            ValueError: these are no prompts, or as many predictions as prompts.
        """
        checks.of_kind("batch", batch, Prompts, "prompts, icl.Prompts(xs, ys)")
        return self.loss(predictions, real("ys", batch.ys)[:, -1:])
