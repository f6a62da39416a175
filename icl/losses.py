"""How wrong is a prediction? Every loss gives one number for each prompt and slot.

A loss takes what the model predicts at the slots, and what would have been right there.
Training averages over prompts and slots; until then losses are (batch, slots), so that
any other reduction can be made of them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from icl import checks
from icl.arrays import floating, real


def squared_error(
    predictions: Float[Array, "batch slots"], targets: Float[Array, "batch slots"]
) -> Float[Array, "batch slots"]:
    """Returns the squared error of each prediction, not halved.

    $$(ŷ - y)²$$

    Here ŷ is the prediction, and y is the target.

    Raises:
        ValueError: the two are no arrays of real numbers, or differ in shape.
    """
    predictions = floating("predictions", predictions)
    targets = real("targets", targets)
    checks.shape_of("targets", targets, predictions.shape, "as predictions")
    return jnp.square(predictions - targets)


def logistic(
    predictions: Float[Array, "batch slots"], targets: Float[Array, "batch slots"]
) -> Float[Array, "batch slots"]:
    """Returns -log p(target) in nats for targets of -1 and 1; predictions are log-odds.

    $$ln(1 + exp(-y z))$$

    Here z is the prediction, of which p(1) is the sigmoid, and y is the target.

    Raises:
        ValueError: the two are no arrays of real numbers, or differ in shape; or
            targets are others than -1 and 1 (not looked at inside jit).
    """
    predictions = floating("predictions", predictions)
    targets = real("targets", targets)
    checks.shape_of("targets", targets, predictions.shape, "as predictions")
    if not isinstance(targets, jax.core.Tracer):
        others = np.asarray(targets)[np.abs(np.asarray(targets)) != 1]
        if others.size:
            raise ValueError(f"targets must be -1 or 1, got {others.flat[0]}.")
    return jax.nn.softplus(-(targets * predictions))  # -1 is 255 in uint8


def cross_entropy(
    predictions: Float[Array, "batch slots vocabulary"],
    targets: Int[Array, "batch slots"],
) -> Float[Array, "batch slots"]:
    """Returns -log p(target) in nats, where p is the softmax of the predictions.

    $$-z_y + ln ∑_v exp(z_v)$$

    Here z_v is the prediction for the entry v of the vocabulary, and y is the target.

    Raises:
        ValueError: targets are no integers, or differ from predictions in shape; or
            they are no entries of the vocabulary (not looked at inside jit).
    """
    predictions = floating("predictions", predictions)
    targets = real("targets", targets)
    if predictions.ndim < 2:
        raise ValueError(
            "predictions must have axes (..., slots, vocabulary), got shape "
            f"{predictions.shape}."
        )
    checks.shape_of("targets", targets, predictions.shape[:-1], "as predictions")
    vocabulary = predictions.shape[-1]
    targets = checks.indices("targets", targets, vocabulary, "entries of predictions")
    logs = jax.nn.log_softmax(predictions, axis=-1)
    return -jnp.take_along_axis(logs, targets[..., None], axis=-1)[..., 0]
