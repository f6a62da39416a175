"""How is a small model that is no `icl.Transformer` trained, several seeds at once?

The two figures that need it (`copying`, `sine`) have layers of different kinds in one
model, which `ModelConfig` does not offer. Their parameters are a dictionary, and their
loss a function of it and of a key: step s draws its prompts from `fold_in(key, s)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

from icl import checks

Weights = dict[str, Array]
Loss = Callable[[Weights, Key[Array, ""]], Array]


@dataclass(frozen=True)
class Training:
    """Settings of the training.

    Attributes:
        steps: the number of updates of Adam.
        batch: the number of prompts per update, all of them fresh.
        learning_rate: the learning rate, which is constant.
        clip: the global norm to which larger gradients are scaled down.
        looks: how often the models are looked at, evenly spread, after the beginning.
    """

    steps: int
    batch: int = 512
    learning_rate: float = 1e-3
    clip: float = 10.0
    looks: int = 40

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "steps", "batch", "looks")
        positive = ("learning_rate", "clip")
        checks.normalise(self, checks.finite_number, *positive, positive=True)
        if self.looks > self.steps:
            raise ValueError(
                f"looks must be at most {self.steps}, the number of steps, got "
                f"{self.looks}."
            )

    @property
    def seen(self) -> np.ndarray:
        """The numbers of updates after which models are looked at, from 0 on."""
        return np.linspace(0, self.steps, self.looks + 1).round().astype(int)


def train(
    training: Training,
    start: Callable[[np.random.Generator], Mapping[str, np.ndarray]],
    loss: Loss,
    look: Callable[[Weights], Any],
    seeds: int,
) -> Any:
    """Trains models with seeds 0, 1, ... side by side, and returns what looks saw.

    Args:
        training: the settings.
        start: what draws the initial weights.
        loss: the loss of weights, on prompts that it draws.
        look: what is measured of the weights of one model, a pytree of arrays.
        seeds: the number of models.

    Returns:
        The pytree of `look`, each array with axes (seeds, looks + 1) in front; the last
        look is at the final weights.
    """
    adam = optax.chain(
        optax.clip_by_global_norm(training.clip), optax.adam(training.learning_rate)
    )

    def update(key, step, state):
        weights, moments = state
        slopes = jax.grad(loss)(weights, jax.random.fold_in(key, step))
        change, moments = adam.update(slopes, moments)
        return optax.apply_updates(weights, change), moments

    @jax.jit
    def advance(keys, states, first, last):
        def several(step, states):
            return jax.vmap(update, in_axes=(0, None, 0))(keys, step, states)

        return jax.lax.fori_loop(first, last, several, states)

    keys = jax.random.split(jax.random.key(0), seeds)
    drawn = [start(np.random.default_rng(seed)) for seed in range(seeds)]
    weights = {
        name: jnp.asarray(np.stack([each[name] for each in drawn]), jnp.float32)
        for name in drawn[0]
    }
    states = weights, jax.jit(jax.vmap(adam.init))(weights)
    watch, seen, done = jax.jit(jax.vmap(look)), [], 0
    for until in training.seen.tolist():
        states, done = advance(keys, states, done, until), until
        seen.append(jax.tree.map(np.asarray, watch(states[0])))
    return jax.tree.map(lambda *parts: np.stack(parts, axis=1), *seen)
