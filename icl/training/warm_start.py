"""How does a run begin with the parameters of another, or with a caller's optimiser?

Both are noted in the run's checkpoints, beside its configs, as its `origin`.
"""

import hashlib
from dataclasses import asdict
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from icl import checks
from icl.arrays import shown
from icl.model.building import sizes
from icl.model.config import ModelConfig
from icl.model.transformer import Transformer
from icl.pytrees import named
from icl.tasks.base import Task
from icl.training.description import fingerprint
from icl.training.trained import Trained


def start_of(init: Trained | Transformer, task: Task, model_config: ModelConfig) -> Any:
    """Returns the parameters of a model that a run begins with, as NumPy's.

    Raises:
        ValueError: the model has another shape than the run's.
    """
    if not isinstance(init, Trained | Transformer):
        raise ValueError(
            "init must be a trained model, such as load(...) returns, got "
            f"{shown(init)}."
        )
    model = init if isinstance(init, Transformer) else init.model
    have = asdict(model.config) | sizes(model.codec)
    want = asdict(model_config) | sizes(task.codec)
    apart = checks.differences(have, want)
    if apart:
        raise ValueError(
            "init must be a model of the shape that is trained, but "
            f"{'; '.join(apart)}."
        )
    return jax.tree.map(np.asarray, nnx.state(model))


def origin_of(
    start: Any, optimizer: optax.GradientTransformation | None
) -> dict[str, Any]:
    """Returns what a checkpoint says of a warm start and a caller's optimiser."""
    about = {}
    if optimizer is not None and not isinstance(
        optimizer, optax.GradientTransformation
    ):
        raise ValueError(
            "optimizer must be an optax transformation, such as optax.adam(1e-3), got "
            f"{shown(optimizer)}; one by name is TrainConfig(optimizer=...)."
        )
    if start is not None:
        arrays = named(start).items()
        sums = {name: hashlib.sha256(a.tobytes()).hexdigest() for name, a in arrays}
        about["init"] = fingerprint(sums)
    if optimizer is not None:
        about["optimizer"] = "the caller's"
    return about
