"""What is a figure? Presets, a slow part, a picture and claims.

Also the command that makes a run of it: the preset, and what was changed of it.
"""

import importlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from experiments.engine.claims.claim import Claim
from experiments.engine.figures import catalogue

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from icl.sweeps.setting import Setting
    from icl.sweeps.store import Models


@dataclass(frozen=True)
class Experiment:
    """A figure module, as the command line and the report see it.

    Attributes:
        name: its module, such as "experiments.akyurek2023.fig1".
        presets: configurations by name.
        compute: the slow part, (config, models) -> Dataset.
        plot: Dataset -> Figure.
        claims: Dataset -> claims.
        settings: config -> the models that `compute` asks for, so that they can be
            listed and trained side by side.
    """

    name: str
    presets: Mapping[str, Any]
    compute: Callable[[Any, "Models"], "xr.Dataset"]
    plot: Callable[["xr.Dataset"], "Figure"]
    claims: Callable[["xr.Dataset"], list[Claim]]
    settings: Callable[[Any], "list[Setting]"]

    @classmethod
    def of(cls, name: str) -> "Experiment":
        """The experiment of a module."""
        module = importlib.import_module(name)
        settings = getattr(module, "settings", _own_setting)
        return cls(
            name,
            module.PRESETS,
            module.compute,
            module.plot,
            module.claims,
            settings,
        )

    @property
    def about(self) -> catalogue.Entry:
        """What its docstring says."""
        return catalogue.entry(self.name)


def _own_setting(config: Any) -> "list[Setting]":
    """The one model of a module without `settings`, if its configuration names one."""
    from icl.sweeps.setting import Setting

    if not isinstance(config, Setting):
        return []
    return [Setting(config.task, config.model, config.train, config.seed)]


def command_line(experiment: "Experiment", preset: str, config: Any) -> str:
    """The command that makes this run: the preset and what was changed of it."""
    default = leaves(asdict(experiment.presets[preset]))
    words = ["python", "-m", experiment.name, preset]
    for name, value in leaves(asdict(config)).items():
        if value == default[name]:
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
    """A value as it is typed: "1,0.5" is a vector, "2,0.5;0.5,1" a matrix."""
    if not isinstance(value, tuple):
        return str(value)
    separator = ";" if any(isinstance(part, tuple) for part in value) else ","
    return separator.join(map(_word, value))


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a nested configuration by dotted name, as flags call them."""
    flat = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= leaves(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
