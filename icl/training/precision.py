"""How exact are the products of a training step, and is that exact enough?

Accelerators multiply matrices several times faster when operands are rounded: to 11
significant bits (TensorFloat-32) or to 8 (bfloat16) instead of 24. Only products in
training steps are rounded; sums and all else are float32. The loss on held-out prompts,
baselines and probes are always at the highest precision. CPUs compute in float32.

A model that was trained with rounded products has parameters like any other, but
rounding hides from training how good they are. So the loss of a finished model on fresh
prompts is computed twice, with products as in training and with exact ones. If rounding
raises the loss by more than 1 %, beyond chance, the products are coarser than what the
model has learned, and a `PrecisionWarning` says so.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import ArrayLike, Float

from icl import cautions
from icl.model.transformer import Transformer
from icl.resampling import bootstrap_means, interval
from icl.training.config import ProductPrecision

# JAX's names for products of rounded operands that are summed up in float32.
PRODUCTS = {
    "float32": "highest",
    "tensorfloat32": "TF32_TF32_F32",
    "bfloat16": "BF16_BF16_F32",
}


TOLERATED = 0.01
"""The share by which rounded products may raise a loss."""


class PrecisionWarning(UserWarning):
    """The warning that products of training steps were too coarse for a model."""


class Rounding(NamedTuple):
    """The effect of rounded products on the loss of a model.

    Attributes:
        rounded: the mean loss over prompts and slots with products as in training.
        exact: the mean loss over the same prompts with exact products.
        low: the lower end of the 95 % bootstrap interval, over prompts, of the increase
            rounded - exact.
        high: its upper end.
    """

    rounded: float
    exact: float
    low: float
    high: float

    @property
    def matters(self) -> bool:
        """Whether the loss is raised by more than 1 %, by all of the interval."""
        return self.low > TOLERATED * self.exact


def products(precision: str) -> AbstractContextManager:
    """Returns a context in which functions are traced with such products."""
    if precision == "default":
        return nullcontext()
    return jax.default_matmul_precision(PRODUCTS[precision])


def rounds(precision: str, device: jax.Device) -> bool:
    """Returns whether products in training steps may be coarser than float32."""
    return device.platform != "cpu" and precision != "float32"


def check_device(precision: str, device: jax.Device) -> None:
    """Refuses rounded products on a CPU, which would not round.

    Raises:
        ValueError: the device is a CPU, and `precision` neither its own nor "default".
    """
    if device.platform == "cpu" and precision in ("tensorfloat32", "bfloat16"):
        raise ValueError(
            f"precision {precision!r} needs an accelerator, and this is a CPU, which "
            "computes in float32; leave it at 'default'."
        )


def rounding(
    rounded: Float[ArrayLike, "batch slots"], exact: Float[ArrayLike, "batch slots"]
) -> Rounding:
    """Compares the losses of a model by rounded and by exact products."""
    first, second = (np.asarray(a, float).mean(axis=1) for a in (rounded, exact))
    low, high = map(float, interval(bootstrap_means(first - second)))
    return Rounding(float(first.mean()), float(second.mean()), low, high)


def judge(model: Transformer, precision: ProductPrecision, batch: Any) -> Rounding:
    """Warns if the products that a model was trained with are too coarse for it.

    It must be called on the kind of device that the model was trained on.

    Args:
        model: the trained model.
        precision: the precision of products in its training.
        batch: two or more prompts, or the like, that it was not trained on.
    """
    losses = []
    for name in (precision, "float32"):
        with products(name):
            predictions = model.predict(batch)
        losses.append(model.codec.losses(predictions, batch))
    found = rounding(*losses)
    if found.matters:
        cautions.warn(
            f"Products in {precision!r} precision are too coarse for this model: its "
            f"loss on fresh prompts is {found.rounded:.4g} with them and "
            f"{found.exact:.4g} with exact ones (higher by {found.low:.2g} to "
            f"{found.high:.2g}). Training with precision='float32' may get further.",
            PrecisionWarning,
        )
    return found
