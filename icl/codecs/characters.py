"""How does a text become tokens? Each character is one, a place in an alphabet.

A model reads all characters of a line and predicts, at each of them, the next one; its
read-out is the transposed table of its read-in, and its loss the cross-entropy of the
characters that count.

Shapes: `ids` (batch, tokens). A slot is a character that is predicted, at the token
before it: predictions are (batch, slots, alphabet).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from icl import checks
from icl.arrays import real, shown
from icl.codecs.base import Codec
from icl.losses import cross_entropy


class Lines(NamedTuple):
    """A batch of lines of text.

    Attributes:
        ids: the characters, as places in an alphabet.
        weights: how much each character counts in training, as one that is predicted.
        answers: which characters must be right for a line to be right.
        positions: each character's row in the table of positions; None is 0, 1, 2, ...
        latents: what the lines say, such as the operands of a sum, by name: arrays with
            a first axis of lines.
    """

    ids: Int[Array, "batch tokens"]
    weights: Float[Array, "batch tokens"]
    answers: Bool[Array, "batch tokens"]
    positions: Int[Array, "batch tokens"] | None = None
    latents: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Characters(Codec):
    """The codec of lines of text, whose tokens are characters.

    Attributes:
        alphabet: the characters, each only once.
        tokens: the number of characters of a line.
        start: the first token at which the next character is predicted. Prompts that
            all have so many characters need no predictions before their end.
        rows: the number of rows of the table of positions; None is one for each token.
        labels: a name for every token; () is its number.

    Raises:
        ValueError: a character stands twice in the alphabet, or a size is out of its
            range.

    Example:
        >>> codec = Characters("abc", tokens=4)
        >>> codec.text(codec.ids("cab"))
        'cab'
    """

    discrete: ClassVar[bool] = True
    tied: ClassVar[bool] = True
    slot: ClassVar[str] = "character"

    alphabet: str
    tokens: int
    start: int = 0
    rows: int | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks.of_kind("alphabet", self.alphabet, str, "text")
        twice = [c for c in self.alphabet if self.alphabet.count(c) > 1]
        if twice or not self.alphabet:
            what = f"{twice[0]!r} twice" if twice else "none"
            raise ValueError(f"alphabet must hold characters once each, got {what}.")
        checks.normalise(self, checks.positive_int, "tokens", minimum=2)
        most = {"maximum": self.tokens - 2}
        checks.normalise(self, checks.positive_int, "start", minimum=0, **most)
        if self.rows is not None:
            checks.normalise(self, checks.positive_int, "rows")
        several = isinstance(self.labels, tuple | list)
        if not several or not all(isinstance(name, str) for name in self.labels):
            raise ValueError(
                f"labels must be a tuple of names, got {shown(self.labels)}."
            )
        if self.labels and len(self.labels) != self.tokens:
            raise ValueError(
                f"labels must be {self.tokens} names, one for each token, got "
                f"{len(self.labels)}."
            )
        object.__setattr__(self, "labels", tuple(self.labels))

    @property
    def entries(self) -> int:
        """The number of characters of the alphabet."""
        return len(self.alphabet)

    @property
    def count(self) -> int:
        """The number of characters of a line."""
        return self.tokens

    @property
    def places(self) -> int:
        """The number of rows of the table of positions."""
        return self.tokens if self.rows is None else self.rows

    @property
    def read_at(self) -> slice:
        """The tokens that predict the next one: from `start` to the last but one."""
        return slice(self.start, self.tokens - 1)

    @property
    def slots(self) -> np.ndarray:
        """The number of the character that each slot predicts."""
        return np.arange(self.start + 1, self.tokens)

    @property
    def names(self) -> Sequence[str]:
        """The names of the tokens."""
        return list(self.labels) or super().names

    @property
    def loss_name(self) -> str:
        """The name of the loss."""
        return "mean cross-entropy of the characters that count, in nats"

    def ids(self, text: str) -> Int[np.ndarray, " characters"]:
        """Returns the places of characters in the alphabet.

        Raises:
            ValueError: the text has another character; the message names the first.
        """
        checks.of_kind("text", text, str, "text")
        for place, character in enumerate(text):
            if character not in self.alphabet:
                raise ValueError(
                    f"text must have characters of {self.alphabet!r} only, got "
                    f"{character!r} at position {place} of {shown(text)}."
                )
        return np.array([self.alphabet.index(c) for c in text], np.int32)

    def text(self, ids: Any) -> str:
        """Returns the text of one line.

        Raises:
            ValueError: these are no places in the alphabet, in one axis.
        """
        places = np.asarray(self._checked_ids(ids))
        checks.shape_of("ids", places, (None,), "(characters,)")
        return "".join(self.alphabet[place] for place in places)

    def check(self, batch: Any) -> Lines:
        """Returns lines as JAX arrays.

        Raises:
            ValueError: these are no lines, or other characters or another number of
                them; weights are no finite numbers from 0 on, or answers no booleans;
                answers begin before `start`, or positions are no rows of the table.
                Numbers are not looked at inside jit.
        """
        batch = _lines(batch)
        # They are looked at before JAX, which cuts off large ones, has them.
        ids = jnp.asarray(self._checked_ids(batch.ids))
        sizes = (None, self.tokens)
        checks.shape_of("ids", ids, sizes, "(batch, tokens)")
        weights = _checked_weights(batch.weights)
        checks.shape_of("weights", weights, ids.shape, "(batch, tokens)")
        answers = jnp.asarray(answer_flags(batch.answers))
        checks.shape_of("answers", answers, ids.shape, "(batch, tokens)")
        early = answers[:, : self.start + 1]
        if not isinstance(early, jax.core.Tracer) and np.asarray(early).any():
            raise ValueError(
                f"answers must begin after token {self.start}, the first at which this "
                "model predicts; its own lines have longer prompts."
            )
        positions = batch.positions
        if positions is not None:
            what = "the rows of the table of positions"
            positions = checks.indices("positions", positions, self.places, what)
            positions = jnp.asarray(positions)
            checks.shape_of("positions", positions, ids.shape, "(batch, tokens)")
        return Lines(ids, weights, answers, positions, batch.latents)

    def encode(self, batch: Lines) -> Int[Array, "batch tokens"]:
        """Returns the characters."""
        return _lines(batch).ids

    def positions(self, batch: Lines) -> Int[Array, "batch tokens"] | None:
        """Returns each character's row in the table of positions, if lines say so."""
        return _lines(batch).positions

    def losses(
        self, predictions: Float[Array, "batch slots alphabet"], batch: Lines
    ) -> Float[Array, "batch slots"]:
        """Returns the cross-entropy of every character that is predicted."""
        ids = real("ids", _lines(batch).ids)
        return cross_entropy(predictions, ids[:, self.start + 1 :])

    def slot_weights(self, batch: Lines) -> Float[Array, "batch slots"]:
        """Returns how much each character counts."""
        return real("weights", _lines(batch).weights)[:, self.start + 1 :]

    def _checked_ids(self, ids: Any) -> Any:
        return checks.indices("ids", ids, self.entries, "the places in the alphabet")


def answer_flags(answers: Any) -> Any:
    """Returns which characters are part of an answer, as an array.

    Raises:
        ValueError: these are no booleans. NaN and 0.3 would count as True.
    """
    flags = real("answers", answers)
    if flags.dtype != bool:
        raise ValueError(
            f"answers must hold True and False, got an array of {flags.dtype}."
        )
    return flags


def _checked_weights(weights: Any) -> Array:
    """Returns how much characters count, and refuses numbers below 0, NaN and inf."""
    found = jnp.asarray(checks.floats("weights", weights))
    checks.all_finite("weights", found)
    if not isinstance(found, jax.core.Tracer) and (found < 0).any():
        raise ValueError(f"weights must not be negative, got {found.min():.3g}.")
    return found


def _lines(batch: Any) -> Lines:
    """Returns lines of text, and refuses what is none."""
    checks.of_kind("batch", batch, Lines, "lines of text, icl.codecs.Lines")
    return batch
