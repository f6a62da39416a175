"""How are the configs of a run written as JSON, and read again?

The complete description of a run is kept with its checkpoints. A model is found by the
hash of what differs from the defaults, so that a field that is added later changes no
hash. A task is written with the name of its class, its `kind`; nothing is imported
because a description says so (`icl.tasks.registry`).
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np

from icl import checks
from icl.model.config import ModelConfig
from icl.tasks.base import Task
from icl.tasks.drawing import redrawn
from icl.tasks.registry import task_kind
from icl.terminal import printable
from icl.training.checkpoint import CheckpointError
from icl.training.config import TrainConfig
from icl.training.curriculum import Curriculum
from icl.training.manifest import DRAWN

Configs = tuple[Task, ModelConfig, TrainConfig]
PARTS = ("task", "model", "train")
PARAMETERS = "state.params."  # how a checkpoint's names of parameters begin
LAYERS = f"{PARAMETERS}body."
ROWS = ("covariance", "fixed_weights", "mean", "weight_mean", "weight_covariance")
"""Fields of a task that may have `dim` rows."""

FREE = ("chunk", "checkpoint_every")
"""Settings of training that change no number, with which a run may go on otherwise."""

LONGEST = 300
"""The number of characters after which a reason is cut off."""

SPARE = 128
"""A size up to which nothing takes long, whatever the arrays are."""


def describe(
    task: Task, model_config: ModelConfig, train_config: TrainConfig
) -> dict[str, Any]:
    """Returns the configs of a run as JSON: {"task": ..., "model": ..., "train": ...}.

    Raises:
        ValueError: JSON cannot hold a field of the task.
    """
    parts = (task, model_config, train_config)
    return {name: described(part) for name, part in zip(PARTS, parts, strict=True)}


def changed(config: Any) -> dict[str, Any]:
    """Returns the fields of a config that differ from their defaults, as JSON.

    Configs inside it are described in the same way; tuples become lists, as in JSON.

    Raises:
        ValueError: JSON cannot hold a field; the message names it.

    Example:
        >>> changed(ModelConfig(layers=2))
        {'layers': 2}
    """
    names = [
        field.name
        for field in _fields(config)
        if getattr(config, field.name) != _default(field)
    ]
    return _kind(config) | {name: _as_json(config, name, changed) for name in names}


def differences(about: Mapping[str, Any], made_of: Configs) -> list[str]:
    """Returns where a description differs from configs, one entry for each field.

    A field that the description lacks had its default, and what is `FREE` may differ.
    There is one more entry if the task draws other batches than when the description
    was written (`DRAWN`).
    """
    have = {
        name: _kind(part) | _defaults(part) | dict(about.get(name) or {})
        for name, part in zip(PARTS, made_of, strict=True)
    }
    want = describe(*made_of)
    for name in FREE:
        have["train"].pop(name, None)
        want["train"].pop(name, None)
    apart = checks.differences(have, want)
    return apart or redrawn_since(about, made_of[0])


def redrawn_since(about: Mapping[str, Any], task: Task) -> list[str]:
    """Returns that the code of a task has changed since a description, if it has."""
    names = redrawn(about.get(DRAWN), task)
    if not names:
        return []
    return [
        f"{type(task).__name__} draws other {', '.join(names)} than it did then, so "
        "that its code has changed, or this is another class of that name"
    ]


def described(config: Any) -> dict[str, Any]:
    """Returns all fields of a config as JSON, and of a task its kind."""
    names = [field.name for field in _fields(config)]
    return _kind(config) | {name: _as_json(config, name, described) for name in names}


def _fields(config: Any) -> list[dataclasses.Field]:
    """The fields that make a config; others follow from them in `__post_init__`."""
    return [field for field in dataclasses.fields(config) if field.init]


def _plain(value: Any) -> Any:
    """Returns a number of NumPy's as one of Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a number.")


def _kind(config: Any) -> dict[str, str]:
    return {"kind": type(config).__name__} if isinstance(config, Task) else {}


def _defaults(config: Any) -> dict[str, Any]:
    """Returns the defaults of those fields of a config that have one, as JSON."""
    plain = {}
    for field in _fields(config):
        value = _default(field)
        if dataclasses.is_dataclass(value):
            plain[field.name] = described(value)
        elif value is not dataclasses.MISSING:
            plain[field.name] = json.loads(json.dumps(value, default=_plain))
    return plain


def _default(field: dataclasses.Field) -> Any:
    # By type: a class that was pickled by value, as those of a script are for the
    # workers of a sweep, brings a copy of MISSING with it.
    missing = type(dataclasses.MISSING)
    if not isinstance(field.default_factory, missing):
        return field.default_factory()
    return dataclasses.MISSING if isinstance(field.default, missing) else field.default


def _as_json(config: Any, name: str, nested: Callable[[Any], Any]) -> Any:
    value = getattr(config, name)
    if dataclasses.is_dataclass(value):
        return nested(value)
    if isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value)):
        return [nested(each) for each in value]
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=_plain))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} of {type(config).__name__} cannot be kept as JSON: {value!r}; use "
            "numbers, strings, None, and tuples of them."
        ) from error


def fingerprint(description: Mapping[str, Any]) -> str:
    """Returns a short hash of JSON.

    It does not depend on the order of fields, and is the same for numbers that are
    equal, such as 2 and 2.0.
    """
    text = json.dumps(_canonical(description), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _canonical(value: Any) -> Any:
    """Returns JSON with an integer in place of each number that equals one."""
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return value


def configs(about: Mapping[str, Any], tasks: Iterable[type[Task]] = ()) -> Configs:
    """Returns the configs that `describe` wrote.

    Args:
        about: the description.
        tasks: the classes of tasks that may appear in it, besides registered ones.

    Raises:
        CheckpointError: a task, field or value is not known.
    """
    try:
        train = dict(about["train"])
        curriculum = Curriculum(**train.pop("curriculum", {}))
        return (
            _task(about["task"], list(tasks)),
            ModelConfig(**about["model"]),
            TrainConfig(**train, curriculum=curriculum),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(error) from error
    except (ArithmeticError, RecursionError, MemoryError) as error:
        raise _unreadable(type(error).__name__) from error


def check_sizes(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuses configs that ask for more than the arrays of their model are.

    A config is made, and its model traced, only after this: either would take hours or
    all memory where a size is a lie.

    Args:
        about: the description.
        arrays: the arrays of the checkpoint.

    Raises:
        CheckpointError: names the size that no array has.
    """
    shapes = [a.shape for name, a in arrays.items() if name.startswith(PARAMETERS)]
    longest = max((size for shape in shapes for size in shape), default=0)
    layers = len({name.split(".")[3] for name in arrays if name.startswith(LAYERS)})
    sizes = list(dict(about.get("model") or {}).items())
    for task in _with_inner(about.get("task") or {}):
        sizes.append(("dim", task.get("dim")))
        sizes += [(n, task[n]) for n in ROWS if isinstance(task.get(n), list)]
    for name, value in sizes:
        size = len(value) if isinstance(value, list) else value
        most = SPARE + (layers if name == "layers" else longest)
        if isinstance(size, int) and size > most:
            raise _unreadable(
                f"{name} cannot be {size} in a model with {layers} layers and at most "
                f"{longest} entries along an axis"
            )


def _with_inner(task: Any) -> list[Mapping[str, Any]]:
    """Returns the description of a task, with those of the tasks in its fields."""
    found = [task] if isinstance(task, Mapping) else []
    parts = task.values() if found else task if isinstance(task, list) else []
    return found + [inner for part in parts for inner in _with_inner(part)]


def _unreadable(why: object) -> CheckpointError:
    text = printable(" ".join(str(why).split()))[:LONGEST]
    return CheckpointError(f"The configs in the checkpoint cannot be read: {text}")


def _task(described: Mapping[str, Any], tasks: list[type[Task]]) -> Task:
    fields = {name: _read(value, tasks) for name, value in described.items()}
    return cast(Any, task_kind(fields.pop("kind"), tasks))(**fields)


def _read(value: Any, tasks: list[type[Task]]) -> Any:
    """Returns the value of a task's field, with lists as tuples and tasks as tasks."""
    if isinstance(value, list):
        return tuple(_read(item, tasks) for item in value)
    if isinstance(value, Mapping) and "kind" in value:
        return _task(value, tasks)
    return value
