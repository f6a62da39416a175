"""How exact are the products of a training step, and is that exact enough?

Accelerators multiply matrices several times faster when operands are rounded: to 11
significant bits (TensorFloat-32) or to 8 (bfloat16) instead of 24. Only products in
training steps are rounded, sums and all else are float32; the loss on held-out prompts,
baselines and probes are always at the highest precision. CPUs compute in float32.

A model that was trained with rounded products has parameters like any other, but they
are only as good as rounded products can tell. So a finished model is asked twice, with
products as in training and with exact ones: if its squared distance from least squares
by the first is above the 95 % interval (over prompts) of the second, its products are
coarser than what it has learned, and a `PrecisionWarning` says so.
"""

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import ArrayLike, Float

from icl.baselines import LeastSquares
from icl.compare import bootstrap_means, interval
from icl.tasks.base import Prompts
from icl.training.trained import Trained

# How JAX calls products of so rounded operands that are summed up in float32.
PRODUCTS = {
    "float32": "highest",
    "tensorfloat32": "TF32_TF32_F32",
    "bfloat16": "BF16_BF16_F32",
}


class PrecisionWarning(UserWarning):
    """Products of training steps were too coarse for the model that came out."""


class Rounding(NamedTuple):
    """What rounded products do to a model's distance from least squares.

    Attributes:
        rounded: SPD / d to least squares with products as in training, averaged over
            prompts and contexts of one pair and more.
        exact: the same with exact products.
        low: lower end of its 95 % bootstrap interval over prompts.
        high: upper end.
    """

    rounded: float
    exact: float
    low: float
    high: float

    @property
    def matters(self) -> bool:
        """Whether the one is above the interval of the other."""
        return self.rounded > self.high


def products(precision: str) -> AbstractContextManager:
    """Within it, functions are traced with products of this precision."""
    if precision == "default":
        return nullcontext()
    return jax.default_matmul_precision(PRODUCTS[precision])


def rounds(precision: str, device: jax.Device) -> bool:
    """Whether products in training steps are, or may be, coarser than float32."""
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
    rounded: Float[ArrayLike, "batch length"],
    exact: Float[ArrayLike, "batch length"],
    prompts: Prompts,
) -> Rounding:
    """Compares a model's predictions by rounded and by exact products."""
    reference = np.asarray(LeastSquares()(prompts).predictions)
    dim = prompts.xs.shape[-1]

    def distances(predictions: Float[ArrayLike, "batch length"]) -> np.ndarray:
        squares = (np.asarray(predictions, float) - reference) ** 2
        return squares[:, 1:].mean(axis=1) / dim  # one number for each prompt

    far = distances(exact)
    low, high = map(float, interval(bootstrap_means(far)))
    return Rounding(float(distances(rounded).mean()), float(far.mean()), low, high)


def judge(trained: Trained, prompts: Prompts) -> Rounding:
    """Warns if the products that a model was trained with are too coarse for it.

    To be called on the kind of device that it was trained on.

    Args:
        trained: the model.
        prompts: some that it was not trained on, two pairs or more.
    """
    precision = trained.train_config.precision
    with products(precision):
        rounded = trained.model.predict(prompts)
    with products("float32"):
        exact = trained.model.predict(prompts)
    found = rounding(rounded, exact, prompts)
    if found.matters:
        warnings.warn(
            f"Products in {precision!r} precision are too coarse for this model: its "
            f"SPD / d to least squares is {found.rounded:.2g} with them and "
            f"{found.exact:.2g} [{found.low:.2g}, {found.high:.2g}] with exact ones. "
            "Training with precision='float32' may get further.",
            PrecisionWarning,
            stacklevel=3,
        )
    return found
