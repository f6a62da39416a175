"""The settings of pooled probes: their shape and their training."""

from typing import Any, NamedTuple

import numpy as np

from probes import checks

MOST_UNITS = 1_000_000
LONGEST = 2**31 - 1  # epochs are counted in int32


class ProbeConfig(NamedTuple):
    """The shape of pooled probes, and how Adam trains them.

    Attributes:
        units: width of the hidden layer of an MLP head; None for a linear head.
        learning_rate: the learning rate of Adam.
        weight_decay: decoupled weight decay, times the learning rate (optax.adamw). It
            acts on weights in standardised units, not on biases or scores.
        batch_size: number of prompts in a minibatch.
        max_iter: the largest number of epochs.
        n_iter_no_change: a probe is done after this many epochs in a row without a
            lower validation loss.
    """

    units: int | None = None
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    batch_size: int = 128
    max_iter: int = 300
    n_iter_no_change: int = 10


def checked(config: Any, of: str = "config.") -> ProbeConfig:
    """Returns the settings as plain numbers; `of` is in front of names in messages.

    Raises:
        ValueError: they are no settings, or one is not what it should be.
    """
    checks.of_kind("config", config, ProbeConfig, "a ProbeConfig")
    counts = {
        name: checks.positive_int(of + name, getattr(config, name), LONGEST)
        for name in ("batch_size", "max_iter", "n_iter_no_change")
    }
    units = config.units
    if units is not None:
        units = checks.positive_int(f"{of}units", units, MOST_UNITS)
    rate, decay = (
        checks.number(of + name, getattr(config, name))
        for name in ("learning_rate", "weight_decay")
    )
    largest = float(np.finfo(np.float32).max)
    if not 0 < rate <= largest or not 0 <= decay <= largest:
        raise ValueError(
            f"{of}learning_rate must be above 0 and {of}weight_decay at least 0, and "
            f"float32 must hold them, got {rate:g} and {decay:g}."
        )
    return ProbeConfig(units, rate, decay, **counts)
