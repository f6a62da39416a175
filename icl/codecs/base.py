"""How does a batch become tokens, and at which of them are predictions read?

A codec is the only thing that knows what the tokens of a task mean. The model asks it
how wide a token is (or how many different ones there are) and which tokens are read;
training asks it how wrong the predictions are. The body of the transformer, the
trainer, the checkpoints and the probes know nothing of it.

Shapes: tokens are vectors, (batch, tokens, entries), or integers, (batch, tokens), if
the codec is `discrete`. A *slot* is a place at which something is predicted: losses are
(batch, slots).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from icl import checks


class Codec(ABC):
    """The tokens of a task: what they are, which are read, and what is right there.

    Subclasses are frozen dataclasses, so that models and compiled programs can be found
    by them.

    Attributes:
        discrete: whether tokens are integers from 0 to entries - 1, which are looked up
            in a table; otherwise they are vectors of this many entries.
        tied: whether the read-out is the transposed table of a discrete codec: the
            predictions are then logits, one for each different token.
        slot: the name of the axis of slots in a run's history.
        causal: whether a token sees itself and those before it, and no others.
    """

    discrete: ClassVar[bool] = False
    tied: ClassVar[bool] = False
    slot: ClassVar[str] = "slot"
    causal: ClassVar[bool] = True

    @property
    @abstractmethod
    def entries(self) -> int:
        """The width of a token; for a discrete codec the number of different tokens."""

    @property
    @abstractmethod
    def count(self) -> int:
        """The number of tokens of the longest sequence."""

    @property
    def places(self) -> int:
        """The number of rows of the table of positions; by default one for a token."""
        return self.count

    @property
    def loss_name(self) -> str:
        """The name of the loss and its unit, in words for the history."""
        return "mean loss over the batch and its slots"

    @property
    def outputs(self) -> int:
        """The number of values that are read out at a slot; 1 gives an axis less."""
        return 1

    @property
    def read_at(self) -> slice:
        """The tokens that are slots; all of them by default."""
        return slice(None)

    @property
    def slots(self) -> Sequence[Any] | np.ndarray:
        """A label for every slot, such as the context length there."""
        return np.arange(self.count)[self.read_at]

    @property
    def names(self) -> Sequence[str]:
        """A name for every token."""
        return [f"token {i}" for i in range(self.count)]

    def mask(self, tokens: int) -> Bool[Array, "tokens tokens"]:
        """Returns which token (row) sees which (column); one that is not `causal` says.

        It is what `Transformer` attends by.
        """
        tokens = checks.positive_int("tokens", tokens)
        return jnp.tri(tokens, dtype=bool)

    @abstractmethod
    def check(self, batch: Any) -> Any:
        """Returns the batch as JAX arrays, or raises a `ValueError` that says why."""

    @abstractmethod
    def encode(self, batch: Any) -> Array:
        """Returns the tokens of a batch, vectors or integers."""

    def positions(self, batch: Any) -> Int[Array, "batch tokens"] | None:
        """Returns each token's row in the table of positions; None is 0, 1, 2, ..."""
        return None

    @abstractmethod
    def losses(self, predictions: Array, batch: Any) -> Float[Array, "batch slots"]:
        """Returns how wrong each prediction is, for example by one of `icl.losses`."""

    def slot_weights(self, batch: Any) -> Float[Array, "batch slots"] | None:
        """Returns how much each slot counts in training; None if all count the same.

        The loss of a step is the sum of weight times loss over the sum of weights.
        """
        return None
