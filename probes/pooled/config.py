"""The settings of pooled probes: their shape and their training."""

from typing import NamedTuple


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
