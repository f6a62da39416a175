"""How many functions, prompts and parameters it takes to learn linear functions.

Claim: from some thousand weight vectors on, a transformer is more accurate on new ones
than if it answered by the best of those it saw, and with 10,000 it is nearly as good as
with ever new ones. The error falls with the size of the model and rises with d.

Paper: Figures 6 and 8 of Garg et al. 2022 (claims 19-21).

Run: python -m experiments.garg2022.conditions quick

How to read it: each point is a trained model; the vertical axis is the error on new
functions at n = d and n = 2d, the mean squared difference to w.x over the mean square
of w.x. From left to right training has so many weight vectors, so many whole prompts,
a model of so many layers, and another dimension; "all" draws new ones for every prompt.
The dotted line is the error of the weight vector of the pool that is nearest to the
right one: whoever remembers the pool cannot do better. Bands are 95 % intervals over
prompts, for one model each.
"""

import sys
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Float

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import BLACK, BLUE, GREY, canvas, draw_band
from experiments.garg2022.conditions_claims import (
    DIMENSION,
    FUNCTIONS,
    LAYERS,
    PROMPTS,
    claims,
    of,
    resample,
)
from experiments.reference_models import PROBING, RELEASED
from icl import (
    LinearRegression,
    ModelConfig,
    TrainConfig,
    checks,
    inference,
    sweeps,
)
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Pool, PromptPool, Task

TIMES = {
    "tiny": "30 s",
    "quick": "20 min, 1 min once the models are trained",
    "paper": "14 models, 11 hours of one H100, an estimate",
}
TOGETHER = 4096
"""How many functions of a pool are compared at a time."""


@dataclass(frozen=True)
class Config:
    """Settings of the model that all others differ from in one thing.

    Attributes:
        task: what it is trained on: a linear regression without noise.
        model: its shape.
        train: its training.
        functions: the numbers of weight vectors in training.
        prompts: the numbers of prompts in training.
        layers: the numbers of layers of smaller models.
        dims: other dimensions; their prompts have 2d + 1 pairs.
        seed: the seed of the models.
        evaluation: the prompts on which they are compared.
    """

    task: LinearRegression
    model: ModelConfig
    train: TrainConfig
    functions: tuple[int, ...]
    prompts: tuple[int, ...]
    layers: tuple[int, ...]
    dims: tuple[int, ...]
    seed: int = 0
    evaluation: Evaluation = Evaluation(prompts=2_000)

    def __post_init__(self) -> None:
        longest = 2 * self.task.dim + 1
        checks.positive_int("task.length", self.task.length, minimum=longest)
        if self.task.noise_std or not self.task.standard_weights:
            raise ValueError(
                "task must have no noise and weights N(0, weight_std^2 I), for which "
                f"errors are compared; got {self.task}."
            )
        for name in ("functions", "prompts", "layers", "dims"):
            values = getattr(self, name)
            for value in values:
                checks.positive_int(name, value)
            if list(values) != sorted(set(values)) or not values:
                raise ValueError(
                    f"{name} must be ascending, at least one and none of them twice; "
                    f"got {values}."
                )


class Point(NamedTuple):
    """A model of the figure, and where it stands."""

    group: str
    value: float
    setting: Setting


def points(config: Config) -> list[Point]:
    """Returns all models; the one that others differ from stands in every group."""
    task, model = config.task, config.model

    def made(task: Task, model: ModelConfig = model) -> Setting:
        return Setting(task, model, config.train, config.seed)

    whole = made(task)
    found = [
        *(Point(FUNCTIONS, n, made(Pool(task, n))) for n in config.functions),
        Point(FUNCTIONS, np.inf, whole),
        *(Point(PROMPTS, n, made(PromptPool(task, n))) for n in config.prompts),
        Point(PROMPTS, np.inf, whole),
        *(
            Point(LAYERS, n, made(task, replace(model, layers=n)))
            for n in config.layers
        ),
        Point(LAYERS, model.layers, whole),
    ]
    for dim in sorted({*config.dims, task.dim}):
        other = replace(task, dim=dim, length=2 * dim + 1)
        found.append(Point(DIMENSION, dim, whole if dim == task.dim else made(other)))
    return found


def settings(config: Config) -> list[Setting]:
    """Returns the models, each once."""
    return list(dict.fromkeys(point.setting for point in points(config)))


PRESETS = {
    "tiny": Config(
        LinearRegression(dim=2, length=5),
        PROBING["tiny"].model,
        PROBING["tiny"].train,
        functions=(1, 4),
        prompts=(4,),
        layers=(1,),
        dims=(1,),
        evaluation=Evaluation(prompts=32, resamples=200),
    ),
    "quick": Config(
        LinearRegression(dim=4, length=9),
        PROBING["quick"].model,
        PROBING["quick"].train,
        functions=(10, 100, 1_000, 10_000),
        prompts=(1_000, 10_000, 100_000),
        layers=(4, 8),
        dims=(2, 6),
    ),
    "paper": Config(
        LinearRegression(dim=20, length=41),
        RELEASED.model,
        RELEASED.train,
        functions=(100, 1_000, 10_000, 100_000),
        prompts=(10_000, 100_000, 1_000_000),
        layers=(3, 6),
        dims=(10, 30, 40, 50),
    ),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the errors of all models on new functions, for every prompt.

    Returns:
        A Dataset with `error` over (point, at, prompt), where `at` is n / d, 1 or 2;
        and `remembered`, that of the nearest weight vector of the pool, over (point,
        prompt), which is NaN but for pools of functions.
    """
    found, remembered = [], []
    for point in points(config):
        task = point.setting.task
        fresh = task.task if isinstance(task, Pool | PromptPool) else task
        prompts, _ = config.evaluation.sample(fresh)
        said = inference.predictions(models(point.setting).model, prompts)
        off = np.square(said.astype(float) - np.asarray(prompts.ys, float))
        found.append(off[:, [fresh.dim, 2 * fresh.dim]].T / fresh.normaliser)
        nearest = np.full(len(off), np.nan)
        if isinstance(task, Pool):
            nearest = nearest_of_pool(task, np.asarray(prompts.weights, float))
        remembered.append(nearest)
    return xr.Dataset(
        {
            "error": (("point", "at", "prompt"), np.stack(found)),
            "remembered": (("point", "prompt"), np.stack(remembered)),
        },
        coords={
            "at": [1, 2],
            "group": ("point", [point.group for point in points(config)]),
            "value": ("point", [float(point.value) for point in points(config)]),
        },
        attrs={"dim": config.task.dim, "resamples": config.evaluation.resamples},
    )


def nearest_of_pool(
    pool: Pool, weights: Float[np.ndarray, "prompts dim"]
) -> Float[np.ndarray, " prompts"]:
    """Returns the least |w - w_i|^2 over the functions of a pool, over E |w|^2.

    It is the error of the best answer by a single function of the pool, for x ~ N(0,
    I).
    """
    least = np.full(len(weights), np.inf)
    for start in range(0, pool.size, TOGETHER):
        index = jnp.arange(start, min(start + TOGETHER, pool.size))
        some = np.asarray(pool.members(index)["weights"], float)
        apart = np.square(weights).sum(axis=1)[:, None] - 2 * weights @ some.T
        least = np.minimum(least, (apart + np.square(some).sum(axis=1)).min(axis=1))
    return least / pool.normaliser


# --- the picture ---


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws a panel for each thing that differs."""
    resampled = resample(dataset)
    with canvas(12, 3.6) as figure:
        panels = figure.subplots(1, 4, sharey=True)
        for axes, group in zip(
            panels, (FUNCTIONS, PROMPTS, LAYERS, DIMENSION), strict=True
        ):
            for at, color in ((1, BLUE), (2, BLACK)):
                band = resampled.band(of(group, at))
                label = "n = d" if at == 1 else "n = 2d"
                style = {"color": color, "marker": "o", "label": label}
                draw_band(axes, np.arange(band[0].size), band, **style)
            values = dataset["value"].values[dataset["group"].values == group]
            names = [f"{v:,.0f}" if np.isfinite(v) else "all" for v in values]
            axes.set_xticks(range(len(names)), names)
            axes.set_xlabel(group)
            if group == FUNCTIONS:
                own = resampled.means.remembered[dataset["group"].values == group]
                axes.plot(range(own.size), own, ":", color=GREY, label="best of pool")
        panels[0].set(yscale="log", ylabel="squared error / E (w.x)²")
        panels[0].legend(loc="best")
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
