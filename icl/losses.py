"""How wrong is a prediction? Every loss gives one number for each prompt and slot.

A loss takes what the model predicts at the slots, and what would have been right there.
Training averages over prompts and slots; until then losses are (batch, slots), so that
any other reduction can be made of them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def squared_error(
    predictions: Float[Array, "batch slots"], targets: Float[Array, "batch slots"]
) -> Float[Array, "batch slots"]:
    """Returns (prediction - target)^2, not halved."""
    return jnp.square(predictions - targets)


def cross_entropy(
    predictions: Float[Array, "batch slots vocabulary"],
    targets: Int[Array, "batch slots"],
) -> Float[Array, "batch slots"]:
    """Returns -log p(target) in nats, where p is the softmax of the predictions."""
    logs = jax.nn.log_softmax(predictions, axis=-1)
    return -jnp.take_along_axis(logs, targets[..., None], axis=-1)[..., 0]
