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


def adam(settings: Any) -> optax.GradientTransformation:
    """Returns Adam, or AdamW if `settings.weight_decay` is not 0, after clipping."""
    clip = settings.clip
    return optax.chain(
        optax.clip_by_global_norm(clip) if clip else optax.identity(),
        optax.scale_by_adam(settings.b1, settings.b2, settings.eps),
        optax.add_decayed_weights(settings.weight_decay),
    )


OPTIMIZERS: dict[str, Callable[[Any], optax.GradientTransformation]] = {"adam": adam}
"""The functions that make an optimiser from a `TrainConfig`, by name."""
