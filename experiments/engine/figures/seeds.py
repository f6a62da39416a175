"""Which models does a figure look at, if they differ in their seed alone?

One trained model says little of models of its kind: another seed moves a result further
than other prompts do. A configuration therefore has `seeds`, the number of its models.
Each is measured as if it were alone, on the same prompts, and the Datasets are joined
along the dimension `SEED`; intervals are then over prompts and seeds
(`experiments.engine.claims.estimates`).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Protocol, runtime_checkable

import xarray as xr

from experiments.engine.claims.statistics import SEED
from experiments.engine.figures.side_by_side import side_by_side
from icl import sweeps
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

Compute = Callable[[Any, Models], xr.Dataset]


@runtime_checkable
class HasSetting(Protocol):
    """A configuration that says which model is looked at.

    It may also have `seeds`, the number of models that are looked at: their seeds are
    that of the setting and the numbers after it.
    """

    @property
    def setting(self) -> Setting:
        """The model, or the first of several."""
        ...


def with_seeds(config: Any, count: int) -> Any:
    """Returns a configuration of `count` models, if it may name several."""
    several = isinstance(config, HasSetting) and hasattr(config, "seeds")
    return replace(config, seeds=count) if several else config


def own_settings(config: object) -> list[Setting]:
    """Returns the models that a configuration names: one for each seed, or none."""
    if not isinstance(config, HasSetting):
        return []
    first = config.setting
    seeds = range(first.seed, first.seed + getattr(config, "seeds", 1))
    return [replace(first, seed=seed) for seed in seeds]


def each_alone(config: Any) -> list[Any]:
    """Returns a configuration for each of the models, as if there were no other."""
    settings = own_settings(config)
    return [with_seeds(replace(config, setting=one), 1) for one in settings]


def over_seeds(compute: Compute) -> Compute:
    """Makes a function that measures one model measure all that its figure names.

    What is missing is trained side by side first. Where there are several seeds, the
    Dataset has a dimension `SEED`.
    """

    @wraps(compute)
    def computed(config: Any, models: Models) -> xr.Dataset:
        settings = own_settings(config)
        if len(settings) == 1:
            return compute(config, models)
        sweeps.train_missing(settings, models)
        calls = [(alone,) for alone in each_alone(config)]
        return joined(side_by_side(computed, calls, models), config)

    return computed


def joined(parts: list[xr.Dataset], config: Any) -> xr.Dataset:
    """Returns what was measured of each model, along `SEED` if there are several."""
    if len(parts) == 1:
        return parts[0]
    seeds = [setting.seed for setting in own_settings(config)]
    return xr.concat(
        parts,
        xr.Variable(SEED, seeds),
        data_vars="all",
        coords="minimal",
        compat="override",
        combine_attrs="override",
    )


def mean_over_seeds(values: xr.DataArray) -> xr.DataArray:
    """Returns the average of several models, or the values of the only one."""
    return values.mean(SEED) if SEED in values.dims else values


def named_layers(chosen: xr.DataArray) -> str:
    """Returns the layer that was chosen for each model in words.

    Example:
        >>> named_layers(xr.DataArray(8)), named_layers(xr.DataArray([8, 7, 8]))
        ('layer 8', 'layers 7, 8')
    """
    layers = sorted({int(layer) for layer in chosen.values.ravel()})
    return f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}"
