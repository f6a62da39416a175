"""Tasks as users write them: one of pairs, and one of integer tokens."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from icl import Codec, Prompts, Task, checks
from icl.losses import cross_entropy


@dataclass(frozen=True)
class Sparse(Task):
    """As the README has it, and no line more."""

    dim: int = 4
    length: int = 5
    k: int = 2

    def sample_inputs(self, key, shape):
        return jax.random.normal(key, (*shape, self.dim))

    def sample(self, key, *, batch):
        a, b = jax.random.split(key)
        active = jnp.arange(self.dim) < self.k
        w = jax.random.normal(a, (batch, self.dim)) * active[None]
        xs = self.sample_inputs(b, (batch, self.length))
        return Prompts(xs, (xs * w[:, None]).sum(-1), w)


class Lines(NamedTuple):
    """Sums modulo a number, written as tokens: a, b, a + b."""

    ids: jax.Array
    weights: jax.Array


@dataclass(frozen=True)
class Digits(Codec):
    """Integer tokens, tied logits, cross-entropy where the answer stands."""

    modulus: int

    discrete = True
    tied = True
    slot = "character"

    @property
    def entries(self):
        return self.modulus

    @property
    def count(self):
        return 3

    @property
    def read_at(self):
        return slice(0, 2)  # the tokens that predict the next one

    @property
    def slots(self):
        return ["b", "sum"]

    def check(self, batch):
        checks.shape_of("ids", batch.ids, (None, 3), "(batch, tokens)")
        return batch

    def encode(self, batch):
        return batch.ids

    def losses(self, predictions, batch):
        return cross_entropy(predictions, batch.ids[:, 1:])

    def slot_weights(self, batch):
        return batch.weights


@dataclass(frozen=True)
class ModularSum(Task):
    """The last of three tokens is the sum of the others; the second is random."""

    modulus: int = 5

    @property
    def codec(self):
        return Digits(self.modulus)

    def sample(self, key, *, batch):
        a, b = jax.random.randint(key, (2, batch), 0, self.modulus)
        ids = jnp.stack([a, b, (a + b) % self.modulus], axis=1)
        return Lines(ids, jnp.tile(jnp.array([[0.0, 1.0]]), (batch, 1)))
