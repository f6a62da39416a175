"""How are the models of `copying` and `sine` trained, several seeds at once?

They have layers of different kinds in one model, which `ModelConfig` does not offer, so
that they are small models of their own (`experiments.small_models`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

from experiments import small_models
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
        loss: the loss of weights, on prompts that are drawn with a key.
        look: what is measured of the weights of one model, a pytree of arrays.
        seeds: the number of models.

    Returns:
        The pytree of `look`, each array with axes (seeds, looks + 1) in front; the last
        look is at the final weights.
    """
    drawn = [start(np.random.default_rng(seed)) for seed in range(seeds)]
    weights = {
        name: jnp.asarray(np.stack([each[name] for each in drawn]), jnp.float32)
        for name in drawn[0]
    }
    return small_models.train(
        loss,
        look,
        weights,
        jax.random.split(jax.random.key(0), seeds),
        optimizer=optax.chain(
            optax.clip_by_global_norm(training.clip), optax.adam(training.learning_rate)
        ),
        stops=training.seen.tolist(),
    )
