"""By which optimiser are parameters updated? By one of optax, found by its name.

An optimiser here turns gradients into updates of size about 1; the learning rate is
multiplied at the end, with a minus sign. So the learning rate can be an axis: an
ensemble over learning rates is the same compiled program as one run.

    OPTIMIZERS["sgd"] = lambda settings: optax.identity()
    TrainConfig(optimizer="sgd", learning_rate=0.1)
"""

from collections.abc import Callable
from typing import Any

import optax

from icl.training.muon import scale_by_muon


def adam(settings: Any) -> optax.GradientTransformation:
    """Returns Adam, or AdamW if `settings.weight_decay` is not 0, after clipping."""
    return _clipped_and_decayed(_adam(settings), settings)


def muon(settings: Any) -> optax.GradientTransformation:
    """Returns Muon for the matrices of the body, and Adam for the rest, as `adam` does.

    The momentum is `settings.b1`.
    """
    return _clipped_and_decayed(scale_by_muon(settings.b1, _adam(settings)), settings)


def _adam(settings: Any) -> optax.GradientTransformation:
    return optax.scale_by_adam(settings.b1, settings.b2, settings.eps)


def _clipped_and_decayed(
    inner: optax.GradientTransformation, settings: Any
) -> optax.GradientTransformation:
    clip = settings.clip
    return optax.chain(
        optax.clip_by_global_norm(clip) if clip else optax.identity(),
        inner,
        optax.add_decayed_weights(settings.weight_decay),
    )


OPTIMIZERS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "adam": adam,
    "muon": muon,
}
"""The functions that make an optimiser from a `TrainConfig`, by name."""
