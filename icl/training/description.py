"""How are the configs of a run written as JSON, and read again?

The description of a run is kept with its checkpoints, and a model is found by the hash
of its description.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from icl.model.config import ModelConfig
from icl.tasks.linear import LinearRegression
from icl.training.checkpoint import CheckpointError
from icl.training.config import TrainConfig

TASKS = {task.__name__: task for task in (LinearRegression,)}


def describe(
    task: LinearRegression, model_config: ModelConfig, train_config: TrainConfig
) -> dict[str, Any]:
    """The configs of a run as they come back from JSON, with lists for tuples."""
    described: dict[str, dict[str, Any]] = {
        "task": {"kind": type(task).__name__, **asdict(task)},
        "model": asdict(model_config),
        "train": asdict(train_config),
    }
    # As if these fields did not exist, which they did not when the first models were
    # saved: experiments find a model by the hash of this description.
    if task.fixed_weights is None:
        del described["task"]["fixed_weights"]
    if train_config.precision == "default":
        del described["train"]["precision"]
    return json.loads(json.dumps(described))


def configs(
    about: Mapping[str, Any],
) -> tuple[LinearRegression, ModelConfig, TrainConfig]:
    """The configs that `describe` wrote.

    Raises:
        CheckpointError: a task, field or value that this version does not know.
    """
    try:
        task = {name: _as_tuples(value) for name, value in about["task"].items()}
        return (
            TASKS[task.pop("kind")](**task),
            ModelConfig(**about["model"]),
            TrainConfig(**about["train"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint's configs are of another version of icl: {error}."
        ) from error


def _as_tuples(value: Any) -> Any:
    """JSON's lists, nested or not, as the tuples that a task holds."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def fingerprint(described: Mapping[str, Any]) -> str:
    """A short hash of what can be written as JSON, whatever the order of its fields."""
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
