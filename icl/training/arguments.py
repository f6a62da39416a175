"""What do `train` and `train_ensemble` share? What they refuse, and float32."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax

from icl.arrays import shown
from icl.model.config import ModelConfig
from icl.tasks.base import check_is_task
from icl.training.config import TrainConfig

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def in_float32(
    function: Callable[Parameters, Result],
) -> Callable[Parameters, Result]:
    """Returns the function with float64 switched off while it runs.

    The same key draws other numbers where float64 is on, and parameters would be of
    both dtypes.
    """

    @functools.wraps(function)
    def pinned(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with jax.enable_x64(False):
            return function(*args, **kwargs)

    return pinned


def check_configs(task: Any, model_config: Any, train_config: Any) -> None:
    """Refuses what is no task and what are no configs.

    Raises:
        ValueError: says which argument is of another kind.
    """
    check_is_task(task)
    wanted = {
        "model_config": (model_config, ModelConfig),
        "train_config": (train_config, TrainConfig),
    }
    for name, (config, kind) in wanted.items():
        if not isinstance(config, kind):
            raise ValueError(
                f"{name} must be a {kind.__name__}, got {shown(config)}; the order is "
                "train(task, model_config, train_config, key=...)."
            )


def check_callback(callback: Any) -> None:
    """Refuses what cannot be called once per chunk.

    Raises:
        ValueError: callback is neither None nor a function.
    """
    if callback is not None and (isinstance(callback, type) or not callable(callback)):
        raise ValueError(
            f"callback must be a function of a step and means, got {shown(callback)}."
        )
