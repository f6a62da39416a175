"""Which models does a sweep have? A grid: the product of axes over a setting's fields.

A grid is a list of settings and nothing more: join lists, or leave some settings out.
"""

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from operator import attrgetter
from typing import Any

from icl import checks
from icl.arrays import shown
from icl.sweeps.setting import Setting

Axes = Mapping[str, Sequence[Any]]
Point = list[tuple[str, Any]]  # a field and its value, for each field that changes
Column = list[Point]


def grid(base: Setting, axes: Axes) -> list[Setting]:
    """Returns the settings of a grid; the last axis varies fastest.

    Args:
        base: the setting that all others are made from.
        axes: the values by field, `{"model.layers": (1, 2), "seed": (0, 1)}`; or by
            several fields that change together, `{"task.noise_std,task.weight_std":
            ((0, 1), (0.5, 1.5))}`.

    Raises:
        ValueError: there are no axes, an axis has no values or one value twice, there
            is no such field, a field is on two axes, or a config refuses a value.

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


def columns(base: Setting, axes: Axes) -> list[Column]:
    """Returns a column for each axis: the fields that change there, with their values.

    Raises:
        ValueError: `grid` would refuse the axes.
    """
    checks.of_kind("base", base, Setting, "an icl.sweeps.Setting")
    wanted = 'a dictionary of values by field, such as {"seed": (0, 1)}'
    checks.of_kind("axes", axes, Mapping, wanted)
    if not axes:
        raise ValueError('The grid has no axes; give one, such as {"seed": (0, 1)}.')
    for axis in axes:
        checks.of_kind("axes", axis, str, "by field, such as 'seed', whose name")
    fields_by_axis = {axis: axis.split(",") for axis in axes}
    _check_fields(itertools.chain(*fields_by_axis.values()), leaves(base))
    return [_column(axis, fields_by_axis[axis], axes[axis]) for axis in axes]


def _check_fields(names: Iterable[str], known: Sequence[str]) -> None:
    """Refuses a field that no setting has, and a field that is on two axes."""
    seen = set()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, cutoff=0.4)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"Settings have no field {name!r}.{meant} Each of the axes is a field, "
                "or several with commas between."
            )
        if name in seen:
            raise ValueError(f"The field {name!r} is on two axes; keep one.")
        seen.add(name)


def _column(axis: str, names: Sequence[str], values: Sequence[Any]) -> Column:
    """Returns the points of one axis, each as pairs of field and value."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(
            f"The axis {axis!r} needs a sequence of values, got {shown(values)}."
        )
    column: Column = []
    for value in values:
        parts = tuple(value) if len(names) > 1 else (value,)
        if len(parts) != len(names):
            raise ValueError(
                f"The axis {axis!r} needs {len(names)} values at each point, "
                f"got {value!r}."
            )
        point = list(zip(names, parts, strict=True))
        if point in column:
            raise ValueError(f"The axis {axis!r} has the value {value!r} twice.")
        column.append(point)
    return column


def leaves(config: Any, prefix: str = "") -> list[str]:
    """Returns the dotted names of all fields, those of nested configs included."""
    names = []
    for each in fields(config):
        value = getattr(config, each.name)
        nested = is_dataclass(value)
        name = prefix + each.name
        names += leaves(value, f"{name}.") if nested else [name]
    return names


def read(config: Any, name: str) -> Any:
    """Returns the value of a field by its dotted name."""
    return attrgetter(name)(config)


def _changed(config: Any, changes: Mapping[str, Any]) -> Any:
    """Returns a config with other values in some fields.

    All fields of one part change at once, since one value may be allowed only with
    the other.
    """
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
