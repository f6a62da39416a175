"""Models in the middle of their training, for figures that have steps on an axis.

A setting whose training has `checkpoints_per_decade` keeps checkpoints at log-spaced
steps. They lie in the results folder, beside the model.
"""

import tempfile
from collections.abc import Callable
from functools import wraps
from typing import Any

import xarray as xr

from icl.model.transformer import Transformer
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.training.trained import load

Compute = Callable[[Any, Models], xr.Dataset]

ModelAt = Callable[[Setting, int], Any]
"""Returns the model of a setting after so many steps, or what stands in for it."""


def with_checkpoints(compute: Compute) -> Compute:
    """Makes a figure that reads checkpoints work without a folder of results, too.

    Where there is none, checkpoints lie in one that is deleted afterwards.
    """

    @wraps(compute)
    def computed(config: Any, models: Models) -> xr.Dataset:
        if models.results is not None:
            return compute(config, models)
        with tempfile.TemporaryDirectory() as folder:
            return compute(config, Models(folder, jobs=1))

    return computed


def model_after(models: Models, setting: Setting, step: int) -> Transformer:
    """Returns the model of a setting after so many steps, trained now if need be.

    Args:
        models: where models are kept; it must have a folder of results.
        setting: which model.
        step: the last step, or one whose checkpoint is kept.
    """
    trained = models(setting)
    if step == setting.train.steps:
        return trained.model
    return load(models.folder(setting) / f"step_{step:08d}").model
