"""A task of sums modulo p, of which only a part is trained on (Power et al. 2022).

A small network can answer all pairs (a, b) of its training set long before it answers
the others, which is called grokking. Nanda et al. (2023) found that it then computes
cosines and sines of a + b, which are targets of probes (`icl.targets.modular_phase`).

Shapes: `Lines` of the four tokens a, b, = and c, where c = a + b modulo p; the latents
"a" and "b" are (batch, 1).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from icl import checks
from icl.codecs import Characters, Lines
from icl.tasks.base import Task

SYMBOLS = "".join(c for c in map(chr, range(0x250)) if c.isdecimal() or c.isalpha())
"""The characters of 0, 1, 2, ...: 0-9, A-Z, a-z, and then other Latin letters."""

NAMES = ("a", "b", "=", "c")
"""The names of the four tokens."""


@dataclass(frozen=True)
class ModularAddition(Task):
    """A task of sums a + b modulo p, of numbers from 0 to p - 1.

    A fixed part of the p^2 pairs, drawn from `seed`, is trained on; `test` has all
    others. The held-out loss in the history of a run is one of pairs of the training
    set, as is the loss of a step: what the model makes of the others, `test` says.

    Attributes:
        p: the modulus, 2 to 463; the vocabulary is p numbers and "=".
        fraction: the share of the pairs that is trained on, above 0 and below 1. With
            the same p and seed, a larger share has all pairs of a smaller one.
        seed: the training set is drawn from it.

    Raises:
        ValueError: a field is out of its range, or one of the two sets has no pairs.

    Example:
        >>> task = ModularAddition(5, fraction=0.6)
        >>> task.training().ids.shape, task.test().ids.shape
        ((15, 4), (10, 4))
        >>> [task.codec.text(ids) for ids in task.every_sum().ids[-3:]]
        ['42=1', '43=2', '44=3']
    """

    p: int = 41
    fraction: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        most = {"minimum": 2, "maximum": len(SYMBOLS)}
        checks.normalise(self, checks.positive_int, "p", **most)
        checks.normalise(self, checks.finite_number, "fraction", positive=True)
        checks.normalise(self, checks.positive_int, "seed", minimum=0)
        if self.fraction >= 1 or not 0 < self._count < self.p**2:
            raise ValueError(
                f"fraction must leave some of the {self.p**2:,} pairs for training and "
                f"some for a test, got {self.fraction}; choose one between 0 and 1."
            )

    @property
    def length(self) -> int:
        """The number of tokens of a line, 4."""
        return len(NAMES)

    @property
    def codec(self) -> Characters:
        """The codec of the lines, in which a number is one character.

        The only slot is "=", where c is predicted.
        """
        alphabet = SYMBOLS[: self.p] + "="
        return Characters(alphabet, self.length, NAMES.index("="), labels=NAMES)

    def sample(self, key: Key[Array, ""], *, batch: int) -> Lines:
        """Draws lines of the training set, as a pure function of the key."""
        checks.typed_key("key", key)
        batch = checks.positive_int("batch", batch)
        row = jax.random.randint(key, (batch,), 0, self._count)
        return self._lines(jnp.asarray(self._shuffled[: self._count])[row])

    def training(self) -> Lines:
        """Returns all pairs of the training set."""
        return self._lines(self._shuffled[: self._count])

    def test(self, count: int | None = None) -> Lines:
        """Returns pairs that no training has seen, the same ones at every call.

        Args:
            count: how many of them; None is all.

        Raises:
            ValueError: there are not so many.
        """
        others = self._shuffled[self._count :]
        if count is not None:
            count = checks.positive_int("count", count, maximum=len(others))
        return self._lines(others[:count])

    def every_sum(self) -> Lines:
        """Returns all pairs; that of a and b is in row a p + b."""
        return self._lines(np.arange(self.p**2, dtype=np.int32))

    @property
    def _count(self) -> int:
        """The number of pairs in the training set."""
        return round(self.fraction * self.p**2)

    @property
    def _shuffled(self) -> Int[np.ndarray, " pairs"]:
        """All pairs, as numbers a p + b: those of the training set come first."""
        return _shuffled(self.p, self.seed)

    def _lines(self, pairs: Any) -> Lines:
        a, b = jnp.divmod(jnp.asarray(pairs), self.p)
        ids = jnp.stack([a, b, jnp.full_like(a, self.p), (a + b) % self.p], axis=1)
        answers = jnp.broadcast_to(
            jnp.array([name == "c" for name in NAMES]), ids.shape
        )
        latents = {"a": a[:, None], "b": b[:, None]}
        return Lines(ids, answers.astype(jnp.float32), answers, None, latents)


@lru_cache(maxsize=16)
def _shuffled(p: int, seed: int) -> Int[np.ndarray, " pairs"]:
    pairs = np.random.default_rng(seed).permutation(p**2).astype(np.int32)
    pairs.flags.writeable = False  # all tasks of this p and seed share them
    return pairs
