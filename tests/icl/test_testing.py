"""check_task: what is right passes, and each broken task gets one clear sentence."""

import itertools
import random
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_tasks import Digits, Lines, ModularSum, Sparse

from icl import LinearRegression, Prompts, Task
from icl.testing import check_task

frozen = dataclass(frozen=True)
COUNTER = itertools.count()


@pytest.mark.parametrize(
    "task",
    [
        Sparse(),
        Sparse(k=3),
        ModularSum(),
        LinearRegression(dim=2, length=3),
        LinearRegression(
            dim=2,
            length=3,
            noise_std=0.5,
            inputs="uniform",
            covariance=((1.0, 0.0), (0.0, 0.5)),
        ),
        LinearRegression(dim=2, length=3, fixed_weights=(1.0, -1.0)),
    ],
    ids=repr,
)
def test_tasks_that_are_right_pass(task):
    check_task(task)


class Stranger:
    """Derives from nothing."""


class Thawed(Sparse.__mro__[1]):  # Task
    def sample(self, key, *, batch):
        return Sparse().sample(key, batch=batch)


@frozen
class Unhashable(Sparse):
    bias: object = None

    def __post_init__(self):
        object.__setattr__(self, "bias", np.zeros(2))


@dataclass(frozen=True, eq=False)
class Unequal(Task):
    dim: int = 2
    length: int = 3

    def sample(self, key, *, batch):
        return Sparse(dim=2, length=3, k=1).sample(key, batch=batch)


@frozen
class NotJson(Sparse):
    law: complex = 1j


@frozen
class Drifting(Sparse):
    """Its constructor changes what it is given."""

    def __post_init__(self):
        object.__setattr__(self, "k", self.k + 1)


@frozen
class Impure(Sparse):
    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return prompts._replace(ys=prompts.ys + random.random())


@frozen
class Stateful(Sparse):
    def sample(self, key, *, batch):
        return super().sample(jax.random.fold_in(key, next(COUNTER)), batch=batch)


@frozen
class Deaf(Sparse):
    """Does not listen to its key."""

    def sample(self, key, *, batch):
        return super().sample(jax.random.key(3), batch=batch)


@frozen
class InNumpy(Sparse):
    """Seeds NumPy with the key, which has no number while it is traced."""

    def sample(self, key, *, batch):
        seed = np.asarray(jax.random.key_data(key))
        xs = np.random.default_rng(seed).normal(size=(batch, self.length, self.dim))
        return Prompts(jnp.float32(xs), jnp.float32(xs[..., 0]))


@frozen
class Branching(Sparse):
    """Decides by a value that is not known while it is compiled."""

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return prompts if prompts.ys[0, 0] > 0 else prompts._replace(ys=-prompts.ys)


@frozen
class Positional(Sparse):
    def sample(self, key, count):
        return super().sample(key, batch=count)


@frozen
class FixedBatch(Sparse):
    def sample(self, key, *, batch):
        return super().sample(key, batch=7)


@frozen
class TooShort(Sparse):
    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return Prompts(prompts.xs[:, 1:], prompts.ys[:, 1:])


@frozen
class Ragged(Sparse):
    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return prompts._replace(ys=prompts.ys[:, 1:])


@frozen
class Bare(Sparse):
    """Returns arrays in place of prompts."""

    def sample(self, key, *, batch):
        return tuple(super().sample(key, batch=batch)[:2])


@frozen
class NaNs(Sparse):
    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return prompts._replace(ys=jnp.log(-jnp.abs(prompts.ys)))


@frozen
class Sizeless(Task):
    length: int = 5

    def sample(self, key, *, batch):
        return Sparse().sample(key, batch=batch)


@frozen
class Misnamed(Sparse):
    scales = ("noise",)


@frozen
class Wordy(Sparse):
    scales = ("law",)
    law: str = "normal"


@frozen
class Gated(LinearRegression):
    """Its scales cannot be traced."""

    def sample(self, key, *, batch):
        return super().sample(key, batch=batch) if self.noise_std >= 0 else None


@frozen
class Caching(LinearRegression):
    """Remembers by its class what it has first made of a scale."""

    def sample(self, key, *, batch):
        known = type(self).__dict__.get("known")
        if known is None:
            type(self).known = known = float(self.noise_std) + 1.0
        prompts = super().sample(key, batch=batch)
        own = jnp.where(jnp.asarray(self.weight_std) == 1.0, 1.0, known)
        is_traced = isinstance(self.weight_std, jax.core.Tracer)
        return prompts._replace(ys=prompts.ys * (known if is_traced else own))


@frozen
class LongCodec(ModularSum):
    """Its lines are longer than its codec says."""

    def sample(self, key, *, batch):
        ids = jax.random.randint(key, (batch, 4), 0, self.modulus)
        return Lines(ids, jnp.ones((batch, 2)))


@frozen
class Loose(Digits):
    """Means what should be left unaveraged."""

    def losses(self, predictions, batch):
        return super().losses(predictions, batch).mean(axis=1)


@frozen
class LooseTask(ModularSum):
    @property
    def codec(self):
        return Loose(self.modulus)


@frozen
class Weightless(ModularSum):
    def sample(self, key, *, batch):
        return super().sample(key, batch=batch)._replace(weights=jnp.zeros((batch, 2)))


@frozen
class Kind(Sparse):
    """Has a field that stands for something else in a checkpoint."""

    kind: str = "normal"


BROKEN = {
    "Kind": (Kind(), "Kind has a field `kind`, which is how"),
    "Sparse class": (Sparse, "must be an instance, got the class; write Sparse()"),
    "Stranger": (Stranger(), "must derive from icl.Task, and Stranger does not"),
    "Thawed": (Thawed(), "Thawed must be a frozen dataclass"),
    "Unhashable": (Unhashable(), "Unhashable cannot be compared and hashed"),
    "Unequal": (Unequal(), "Unequal differs from a copy of itself"),
    "NotJson": (NotJson(), "law of NotJson cannot be kept as JSON: 1j"),
    "Drifting": (Drifting(), "Drifting differs from a copy of itself"),
    "Impure": (Impure(), "sample of Impure returns another batch for the same key"),
    "Stateful": (Stateful(), "sample of Stateful returns another batch for the same"),
    "Deaf": (Deaf(), "sample of Deaf returns the same batch for two keys"),
    "InNumpy": (InNumpy(), "sample of InNumpy cannot be compiled by jax.jit"),
    "Branching": (Branching(), "sample of Branching cannot be compiled by jax.jit"),
    "Positional": (Positional(), "sample of Positional failed"),
    "FixedBatch": (FixedBatch(), "was asked for 4 prompts, but xs has shape (7, 5, 4)"),
    "TooShort": (TooShort(), "xs of TooShort must have axes (batch, length, dim)"),
    "Ragged": (Ragged(), "sample of Ragged is not as its codec says: ys must have"),
    "Bare": (Bare(), "sample of Bare must return icl.Prompts(xs, ys), got tuple"),
    "NaNs": (NaNs(), "sample of NaNs is not as its codec says: ys must be finite"),
    "Sizeless": (Sizeless(), "Sizeless has no field dim; add it"),
    "Misnamed": (Misnamed(), "scales of Misnamed names 'noise', which must be a field"),
    "Wordy": (Wordy(), "scales of Wordy names 'law', which must be a field that is a"),
    "Gated": (
        Gated(dim=2, length=3),
        "sample of Gated cannot be compiled for any",
    ),
    "Caching": (
        Caching(dim=2, length=3, noise_std=0.5),
        "Caching is trained on other data",
    ),
    "LongCodec": (LongCodec(), "sample of LongCodec is not as its codec says: ids"),
    "LooseTask": (LooseTask(), "losses of LooseTask must have axes (batch, slots)"),
    "Weightless": (
        Weightless(),
        "slot_weights of Weightless must not be negative",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_task_gets_one_sentence(name, untyped):
    task, said = BROKEN[name]
    with pytest.raises(ValueError) as caught:
        check_task(task)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message and message.endswith((".", ")."))
