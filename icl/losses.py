"""How wrong is a prediction? One number for each prompt and place, never averaged here.

Every loss takes what the model says at the places that are read, and what was right
there. Training averages over prompts and places; outcomes stay (batch, slots) until
then, so that any other reduction can be made of them.
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
    """Returns -log p(target) in nats; p is the softmax of the predictions."""
    logs = jax.nn.log_softmax(predictions, axis=-1)
    return -jnp.take_along_axis(logs, targets[..., None], axis=-1)[..., 0]
