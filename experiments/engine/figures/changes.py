"""How is a configuration changed, by names that are those of its flags?"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any

KIND = "--task.kind"
"""The flag that takes a task of another class."""

UNPREFIXED = ("setting", "sweep")
"""Fields of a configuration whose own fields are flags as they are: `--task.dim`."""

MADE_ONCE = ("task", "model", "train")
"""Fields of a setting that say what is trained, whatever the seed."""


def changed(config: Any, changes: Mapping[str, Any]) -> Any:
    """Returns a configuration with other values, which are named as their flags are.

    Args:
        config: such as `PRESETS["quick"]` of a figure.
        changes: values by name, {"task.dim": 4, "evaluation.prompts": 100}; a name may
            also be that of a part, {"task": LinearRegression(dim=4)}.

    Raises:
        ValueError: there is no field of that name, or the configuration refuses it.
    """
    parts: dict[str, dict[str, Any]] = {}
    own, known = {}, {each.name for each in fields(config)}
    for name, value in changes.items():
        part, dot, rest = name.partition(".")
        if part not in known:
            wrapped = [inner for inner in UNPREFIXED if inner in known]
            if not wrapped:
                raise ValueError(f"{type(config).__name__} has no field {part!r}.")
            parts.setdefault(wrapped[0], {})[name] = value
        elif dot:
            parts.setdefault(part, {})[rest] = value
        else:
            own[name] = value
    inside = {name: changed(getattr(config, name), c) for name, c in parts.items()}
    return replace(config, **own, **inside)


def reseeded(config: Any, shift: int) -> Any:
    """Returns a configuration whose every seed is larger by `shift`.

    Seeds are the fields `seed`, those that end in `_seed`, and each of a tuple `seeds`;
    of models, of prompts and of probes alike. What a task draws once and for all, as a
    pool, stays as it is.
    """
    moved: dict[str, Any] = {}
    for name in (each.name for each in fields(config)):
        value = getattr(config, name)
        if name == "seed" or name.endswith("_seed"):
            moved[name] = value + shift
        elif name == "seeds" and isinstance(value, tuple):
            moved[name] = tuple(seed + shift for seed in value)
        elif is_dataclass(value) and name not in MADE_ONCE:
            moved[name] = reseeded(value, shift)
    return replace(config, **moved)


def flag_values(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a described configuration by the names of their flags.

    Example:
        >>> flag_values({"setting": {"task": {"dim": 2}}, "evaluation": {"seed": 0}})
        {'task.dim': 2, 'evaluation.seed': 0}
    """
    named = {}
    for name, value in tree.items():
        if not isinstance(value, Mapping):
            named[name] = value
            continue
        prefix = "" if name in UNPREFIXED else f"{name}."
        named |= {prefix + leaf: held for leaf, held in flag_values(value).items()}
    return named


def task_of(config: Any) -> Any:
    """Returns the task of a configuration or of its setting; None if it has none."""
    return getattr(getattr(config, "setting", config), "task", None)


def with_task(config: Any, kind: type) -> Any:
    """Returns the configuration with a task of another class, for fields of both.

    The task is not checked: its other fields have their defaults, which may not suit
    these until flags have changed them.

    Raises:
        ValueError: an experiment that needs tasks of another class refuses it; or a
            field of the class has no default, and flags cannot give it.
    """
    if hasattr(config, "setting"):
        return replace(config, setting=with_task(config.setting, kind))
    known = {each.name for each in fields(config.task)}
    task = object.__new__(kind)
    for each in fields(kind):
        if each.init and each.name in known:
            value = getattr(config.task, each.name)
        elif each.default is not MISSING:
            value = each.default
        elif each.default_factory is not MISSING:
            value = each.default_factory()
        else:
            raise ValueError(
                f"{KIND} {kind.__name__} needs a value for {each.name!r}, which no "
                "flag gives; make such a task in Python."
            )
        object.__setattr__(task, each.name, value)
    return replace(config, task=task)
