"""What is a figure? Presets, a slow part, a picture and claims.

A figure's module ends in a `Figure`, which is all that the command line and the report
know of it:

    FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

    if __name__ == "__main__":
        sys.exit(main(FIGURE))
"""

import importlib
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from typing import Any, Generic, TypeVar

import matplotlib.figure
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.figures import catalogue
from experiments.engine.figures.changes import (
    MADE_ONCE,
    changed,
    flag_values,
    task_of,
    with_task,
)
from experiments.engine.figures.seeds import own_settings
from experiments.engine.provenance import described
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

Config = TypeVar("Config")


@dataclass(frozen=True, eq=False)
class Figure(Generic[Config]):
    """A figure, as the command line and the report see it.

    Attributes:
        spec: the `__spec__` of its module, which knows the module's name also where it
            runs as a program.
        presets: configurations by name.
        compute: the slow part, (config, models) -> Dataset.
        plot: draws the picture from the Dataset alone.
        claims: judges the claims from the Dataset alone.
        settings: config -> the models that `compute` asks for, so that they can be
            listed and trained side by side.
    """

    spec: ModuleSpec | None
    presets: Mapping[str, Config]
    compute: Callable[[Config, Models], xr.Dataset]
    plot: Callable[[xr.Dataset], matplotlib.figure.Figure]
    claims: Callable[[xr.Dataset], list[Claim]]
    settings: Callable[[Config], list[Setting]] = own_settings

    @property
    def name(self) -> str:
        """The name of its module, such as "experiments.akyurek2023.fig1"."""
        return module_name(self.spec)

    @property
    def about(self) -> catalogue.Entry:
        """The entry of the catalogue that its docstring makes."""
        return catalogue.entry(self.name)


def module_name(spec: ModuleSpec | None) -> str:
    """Returns the name that `python -m` takes for a module.

    Raises:
        ValueError: the module was run as a file, and has no name.
    """
    if spec is None:
        raise ValueError("run it as a module: python -m experiments.PAPER.FIGURE.")
    return spec.name.removesuffix(".__main__")


def load_figure(name: str) -> Figure[Any]:
    """Returns the `FIGURE` of a module that is only known by name.

    A report may show the figure of another paper, whose module it does not import:
    papers are independent of each other.

    Raises:
        TypeError: the module has no such value.
    """
    found = vars(importlib.import_module(name)).get("FIGURE")
    if not isinstance(found, Figure):
        raise TypeError(f"{name} must end in FIGURE = Figure(...), got {found!r}.")
    return found


def check_effects(figure: Figure[Any], preset: str, config: Any) -> None:
    """Refuses a change of a model's fields that changes none of the figure's models.

    A figure that compares, say, several noise levels sets the noise of each model.

    Raises:
        ValueError: the message names the flags, and says why they have no effect.
    """
    models = figure.settings(config)
    if not models:
        return
    values, before = flag_values(described(config)), _unchanged(figure, preset, config)
    idle = []
    for name in values:
        part, dot, _ = name.partition(".")
        if not dot or part not in MADE_ONCE or values[name] == before[name]:
            continue
        with suppress(ValueError):  # what cannot be undone alone goes with another
            if figure.settings(changed(config, {name: before[name]})) == models:
                idle.append(name)
    if idle:
        flags = " and ".join("--" + name.replace("_", "-") for name in idle)
        them = "it itself" if len(idle) == 1 else "them itself"
        have = "has" if len(idle) == 1 else "have"
        raise ValueError(
            f"{flags} {have} no effect here: {figure.name} sets {them}, for each of "
            "its models. Leave the flag out; --help after the preset has the others."
        )


def _unchanged(figure: Figure[Any], preset: str, config: Any) -> dict[str, Any]:
    """Returns the values of a preset by flag, with a task of a configuration's kind."""
    default = figure.presets[preset]
    before = flag_values(described(default))
    kind = flag_values(described(config)).get("task.kind")
    if kind == before.get("task.kind"):
        return before
    return flag_values(described(with_task(default, type(task_of(config)))))


def command_line(figure: Figure[Any], preset: str, config: Any) -> str:
    """Returns the command of a run: the preset, and the flags that change it."""
    values, before = flag_values(described(config)), _unchanged(figure, preset, config)
    words = ["python", "-m", figure.name, preset]
    kind = values.get("task.kind")
    if kind != flag_values(described(figure.presets[preset])).get("task.kind"):
        words += ["--task.kind", str(kind)]
    for name, value in values.items():
        if name == "task.kind" or value == before[name]:
            continue
        parent, _, leaf = name.rpartition(".")
        if isinstance(value, bool) and not value:
            leaf = f"no-{leaf}"
        flag = f"--{parent}.{leaf}" if parent else f"--{leaf}"
        words.append(flag.replace("_", "-"))
        if not isinstance(value, bool):
            words.append(_word(value))
    return shlex.join(words)


def _word(value: Any) -> str:
    """Returns a value as it is typed, such as "1,0.5" or, a matrix, "2,0.5;0.5,1"."""
    if not isinstance(value, tuple):
        return str(value)
    separator = ";" if any(isinstance(part, tuple) for part in value) else ","
    return separator.join(map(_word, value))
