"""Which models? A grid: the product of some axes over the fields of a setting.

A grid is a list of settings and nothing more: sum lists, or leave some out.
"""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from icl.sweeps.setting import Setting

if TYPE_CHECKING:
    pass


Axes = Mapping[str, Sequence[Any]]


def grid(base: Setting, axes: Axes) -> list[Setting]:
    """The product of some axes, the last one fastest.

    Args:
        base: what does not change.
        axes: values by field, `{"model.layers": (1, 2), "seed": (0, 1)}`; or by several
            fields that change together, `{"task.noise_std,task.weight_std": ((0, 1),
            (0.5, 1.5))}`.

    Raises:
        ValueError: no axes, an axis without values, no such field, a field on two axes,
            a value twice; or a config that refuses a value.

    Example:
        >>> from icl import LinearRegression, ModelConfig, TrainConfig
        >>> base = Setting(LinearRegression(dim=2), ModelConfig(), TrainConfig())
        >>> made = grid(base, {"model.layers": (1, 2), "seed": (0, 1, 2)})
        >>> [(setting.model.layers, setting.seed) for setting in made]
        [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    """
    points = columns(base, axes)
    return [
        _changed(base, dict(itertools.chain(*point)))
        for point in itertools.product(*points)
    ]


def columns(base: Setting, axes: Axes) -> list[list[list[tuple[str, Any]]]]:
    """For each axis, for each of its values: pairs of field and value."""
    if not axes:
        raise ValueError('The grid has no axes; give one, such as {"seed": (0, 1)}.')
    known, seen, made = leaves(base), set(), []
    for axis, values in axes.items():
        names = axis.split(",")
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1, cutoff=0.4)
                meant = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"Settings have no field {name!r}.{meant}")
            if name in seen:
                raise ValueError(f"The field {name!r} is on two axes; keep one.")
            seen.add(name)
        if isinstance(values, str) or len(values) == 0:
            raise ValueError(
                f"The axis {axis!r} needs a sequence of values, got {values!r}."
            )
        column = []
        for value in values:
            parts = tuple(value) if len(names) > 1 else (value,)
            if len(parts) != len(names):
                raise ValueError(
                    f"The axis {axis!r} needs {len(names)} values at each point, "
                    f"got {value!r}."
                )
            pairs = list(zip(names, parts, strict=True))
            if pairs in column:
                raise ValueError(f"The axis {axis!r} has the value {value!r} twice.")
            column.append(pairs)
        made.append(column)
    return made


def leaves(config: Any, prefix: str = "") -> list[str]:
    """The dotted names of all fields, those of nested configs included."""
    names = []
    for each in fields(config):
        value = getattr(config, each.name)
        nested = is_dataclass(value)
        name = prefix + each.name
        names += leaves(value, f"{name}.") if nested else [name]
    return names


def read(config: Any, name: str) -> Any:
    """The value of a field by its dotted name."""
    return attrgetter(name)(config)


def _changed(config: Any, changes: Mapping[str, Any]) -> Any:
    """A config with other values in some fields, all of one part at once."""
    parts: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    for name, value in changes.items():
        part, dot, field = name.partition(".")
        if dot:
            parts.setdefault(part, {})[field] = value
        else:
            own[name] = value
    nested = {p: _changed(getattr(config, p), inside) for p, inside in parts.items()}
    return replace(config, **own, **nested)


# --- what is there, before anything is computed ---


# --- what came of it ---
