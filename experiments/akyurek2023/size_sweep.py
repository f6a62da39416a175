"""How do models of many depths, widths and numbers of heads predict? Figures 3 and 8.

A `Sweep` says which shapes are trained: every combination, as in the paper, or only
those on lines through one shape, which two cores can afford. Each shape is trained at
several learning rates, for every dimension d, without noise.

A *point* of the figures is a value of one size, such as 4 layers. Its run is the one
with the lowest validation loss among all learning rates and, in a full grid, among all
values of the other sizes. Where the shapes lie on lines, Figure 3 compares the models
of one line with each other, and Figure 8, which asks what suffices, takes the best of
all models that have the value. The distance that is plotted has no say in the choice;
the distance that a choice by distance would have given is kept beside it. Each seed
repeats the whole sweep, including the choice.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from experiments.engine.figures.evaluation import Evaluation
from experiments.reference_models import PROBING, SETTINGS
from icl import (
    LinearRegression,
    ModelConfig,
    Prompts,
    TrainConfig,
    checks,
    inference,
    sweeps,
)
from icl.baselines import LeastSquares, solve
from icl.baselines.base import Learner
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

SIZES = {"layers": "layers", "width": "widths", "heads": "heads"}
"""The sizes of a model, each with the field of a sweep that lists its values."""

REGIONS = {"n < d": lambda dim: max(dim - 1, 1), "n <= 2d": lambda dim: 2 * dim}
"""The regions over which distances are averaged, from n = 1 to this length."""


class Shape(NamedTuple):
    """The sizes of one model."""

    layers: int
    width: int
    heads: int

    def __str__(self) -> str:
        return f"{self.layers} x {self.width}, {self.heads} heads"


class Point(NamedTuple):
    """A value of one size, which is a point on the x-axis of a figure."""

    size: str
    value: int

    def __str__(self) -> str:
        return f"{self.size}={self.value}"


@dataclass(frozen=True)
class Sweep:
    """The models that are trained, and the prompts on which they are compared.

    Attributes:
        dims: the dimensions of x, ascending.
        layers: the depths.
        widths: the widths of the residual stream.
        heads: the numbers of attention heads.
        rates: the learning rates.
        seeds: the seeds, each of which repeats the whole sweep.
        full_grid: whether every possible combination of depth, width and heads is
            trained; otherwise one of the three is varied at a time, and the others are
            those of `model`.
        model: the shape that is varied, and the variant of all models.
        train: the training settings of all runs, except for the learning rate and
            `steps`.
        steps: the number of updates for each of `dims`; None is `train.steps` for all.
        pairs: the number of pairs in a prompt; None is 2d + 1.
        evaluation: the prompts on which predictions are compared, the same for all
            models of a dimension.

    Raises:
        ValueError: a list is empty, or holds a value twice or below 1; there are not as
            many `steps` as `dims`; some heads divide none of the widths; or a prompt
            has no context of d - 1 pairs.
    """

    dims: tuple[int, ...]
    layers: tuple[int, ...]
    widths: tuple[int, ...]
    heads: tuple[int, ...]
    rates: tuple[float, ...]
    model: ModelConfig
    train: TrainConfig
    seeds: tuple[int, ...] = (0,)
    full_grid: bool = False
    steps: tuple[int, ...] | None = None
    pairs: int | None = None
    evaluation: Evaluation = Evaluation()

    def __post_init__(self) -> None:
        for name in ("dims", *SIZES.values(), "rates", "seeds"):
            values = getattr(self, name)
            for value in () if name == "rates" else values:
                checks.positive_int(name, value, minimum=int(name != "seeds"))
            if list(values) != sorted(set(values)) or not values:
                raise ValueError(
                    f"{name} must be ascending, at least one and none of them twice; "
                    f"got {values}."
                )
        if self.steps is not None and len(self.steps) != len(self.dims):
            raise ValueError(
                f"steps must be one number for each of the {len(self.dims)} dims, got "
                f"{self.steps}; leave it out to use train.steps for all."
            )
        if self.pairs is not None:
            checks.positive_int("pairs", self.pairs, minimum=max(self.dims[-1], 2))
        for point, shapes in self.points(pooled=False).items():
            if not shapes:
                raise ValueError(
                    f"{point} is part of no shape: width must be divisible by heads, "
                    f"and widths are {self.widths}, heads {self.heads}."
                )

    @property
    def shapes(self) -> list[Shape]:
        """The shapes that are trained."""
        if self.full_grid:
            combined = itertools.product(self.layers, self.widths, self.heads)
            every = itertools.starmap(Shape, combined)
            return [shape for shape in every if shape.width % shape.heads == 0]
        lines = (self._on_line(size, value) for size, value in self._values())
        return list(dict.fromkeys(lines))

    def points(self, *, pooled: bool) -> dict[Point, list[Shape]]:
        """Returns the shapes among which the run of each point is chosen.

        Args:
            pooled: choose among all trained shapes that have this value; otherwise, and
                unless the grid is full, take the shape on the line.
        """
        return {
            Point(size, value): [s for s in self.shapes if getattr(s, size) == value]
            if pooled or self.full_grid
            else [self._on_line(size, value)]
            for size, value in self._values()
        }

    def _values(self) -> Iterator[tuple[str, int]]:
        for size, field in SIZES.items():
            for value in getattr(self, field):
                yield size, value

    def _on_line(self, size: str, value: int) -> Shape:
        """Returns the shape of `model` with another value of one size."""
        centre = Shape(self.model.layers, self.model.width, self.model.heads)
        return centre._replace(**{size: value})

    def runs(self, dim: int) -> list[Setting]:
        """Returns the runs of one dimension: by shape, then by rate, then by seed."""
        return sweeps.grid(self._base(dim), self.axes)

    @property
    def axes(self) -> dict[str, Sequence[Any]]:
        """The axes along which the runs of one dimension differ."""
        sizes = ",".join(f"model.{size}" for size in SIZES)
        rates = {"train.learning_rate": self.rates, "seed": self.seeds}
        return {sizes: self.shapes, **rates}

    def _base(self, dim: int) -> Setting:
        """Returns a run of this dimension, before its shape, rate and seed are set."""
        steps = (
            self.train.steps if self.steps is None else self.steps[self.dims.index(dim)]
        )
        return Setting(
            task=LinearRegression(dim=dim, length=self.pairs or 2 * dim + 1),
            model=self.model,
            train=replace(self.train, steps=steps),
        )


SWEEPS = {
    "tiny": Sweep(
        dims=(1, 2),
        layers=(1, 2),
        widths=(16,),
        heads=(1,),
        rates=(3e-3,),
        model=SETTINGS["tiny"].model,
        train=SETTINGS["tiny"].train,
        evaluation=Evaluation(prompts=64, resamples=200),
    ),
    "quick": Sweep(
        dims=(4, 8),
        layers=(1, 2, 4, 8, 12),
        widths=(8, 16, 32, 64),
        heads=(1,),
        rates=(SETTINGS["quick"].train.learning_rate,),
        model=ModelConfig(layers=8, width=32, heads=1),
        train=SETTINGS["quick"].train,
        steps=(PROBING["quick"].train.steps, SETTINGS["quick"].train.steps),
        evaluation=Evaluation(prompts=20_000),
    ),
    "paper": Sweep(
        dims=(8, 16),
        layers=(1, 2, 4, 8, 12, 16),
        widths=(16, 32, 64, 256, 512, 1024),
        heads=(1, 2, 4, 8),
        rates=(1e-4, 2.5e-4),
        seeds=(0, 1, 2),
        full_grid=True,
        model=ModelConfig.paper(),
        train=TrainConfig.paper(),
        pairs=40,
    ),
}
SWEEPS["longer"] = replace(SWEEPS["quick"], steps=(12_000, 18_000))
"""The sweeps of Figure 3, by preset; those of Figure 8 have more dimensions.

At `quick` all models are trained as those of `reference_models` are, and at `longer`
for three times as many steps.
"""


def settings(config: Sweep) -> list[Setting]:
    """Returns all runs that a sweep needs."""
    return [setting for dim in config.dims for setting in config.runs(dim)]


def measure(
    config: Sweep,
    models: Models,
    learners: Sequence[Learner],
    regions: Sequence[str],
    *,
    pooled: bool,
) -> xr.Dataset:
    """Trains what is missing, chooses the run of each point, compares it with learners.

    Args:
        config: the sweep.
        models: the store of its models.
        learners: the learners that the models are compared with.
        regions: the names, in `REGIONS`, of the regions where they are compared.
        pooled: whether runs are pooled, as for `Sweep.points`.

    Returns:
        A Dataset with

        - `distance` over (dim, point, seed, region, learner, prompt): the mean over the
          contexts of a region of (prediction - prediction)^2 / d, for the run with the
          lowest validation loss; NaN, like `best_loss`, where all runs of a point
          failed;
        - `apart` over (dim, region, learner, prompt): the same between least squares
          and each learner, whatever the models do;
        - `least_distance` over (dim, point, seed, region, learner): the mean of that
          distance over prompts for the run that is nearest to the learner, which may be
          another run for each learner;
        - `best_shape`, `best_rate`, `best_loss` over (dim, point, seed): the run that
          was chosen;
        - `validation_loss`, `failed` over (dim, shape, rate, seed): for all runs.

        The coordinates `varied` and `value` of a point say which size has which value.
    """
    sweeps.train_missing(settings(config), models)
    every = [_distances(config, dim, models, learners, regions) for dim in config.dims]
    parts = [_choose(runs, config.points(pooled=pooled)) for runs in every]
    dims = xr.DataArray(list(config.dims), dims="dim", name="dim")
    return xr.concat(parts, dims).assign_attrs(
        resamples=config.evaluation.resamples, unit="squared difference / d"
    )


def _distances(
    config: Sweep,
    dim: int,
    models: Models,
    learners: Sequence[Learner],
    regions: Sequence[str],
) -> xr.Dataset:
    """Returns the validation losses and distances of all runs of one dimension."""
    runs = config.runs(dim)
    prompts = evaluated(config, dim)
    textbook = np.stack([s.predictions for s in solve(learners, prompts)])
    history = sweeps.history(runs, models, config.axes)
    failed = history.failed.values

    def distances(run: Setting, failed: bool) -> np.ndarray:
        """Returns the distances of a run over (region, learner, prompt)."""
        if failed:
            return np.full((len(regions), *textbook.shape[:2]), np.nan)
        predicted = inference.predictions(models(run).model, prompts)
        return averaged((predicted - textbook) ** 2 / dim)

    def averaged(squares: np.ndarray) -> np.ndarray:
        """Returns means over the contexts of each region, (region, ...)."""
        ends = [REGIONS[region](dim) + 1 for region in regions]
        return np.stack([squares[..., 1:end].mean(axis=-1) for end in ends])

    ols = inference.predictions(LeastSquares(), prompts)
    measured = np.stack(list(map(distances, runs, failed.ravel())))
    axes = ("shape", "rate", "seed")
    return xr.Dataset(
        {
            "validation_loss": (axes, history.validation_loss.values),
            "failed": (axes, failed),
            "distance": (
                (*axes, "region", "learner", "prompt"),
                measured.reshape(*failed.shape, *measured.shape[1:]).astype("f4"),
            ),
            "apart": (
                ("region", "learner", "prompt"),
                averaged((ols - textbook) ** 2 / dim).astype("f4"),
            ),
        },
        coords={
            "shape": [str(shape) for shape in config.shapes],
            "rate": list(config.rates),
            "seed": list(config.seeds),
            "region": list(regions),
            "learner": [learner.name for learner in learners],
        },
    )


def evaluated(config: Sweep, dim: int) -> Prompts:
    """Returns the prompts on which all models of a dimension are compared."""
    return config.evaluation.sample(config.runs(dim)[0].task)[0]


def chosen(
    config: Sweep, dataset: xr.Dataset
) -> Iterator[tuple[tuple[int, ...], Setting]]:
    """Yields the indices (dim, point, seed) of every chosen run, and the run."""
    for i, dim in enumerate(config.dims):
        names = itertools.product(map(str, config.shapes), config.rates, config.seeds)
        by_name = dict(zip(names, config.runs(dim), strict=True))
        for point, seed in np.ndindex(*dataset.best_loss.shape[1:]):
            best = dataset.isel(dim=i, point=point, seed=seed)
            if best.best_loss.notnull():
                name = best.best_shape.item(), best.best_rate.item(), best.seed.item()
                yield (i, point, seed), by_name[name]


def _choose(every: xr.Dataset, points: Mapping[Point, Sequence[Shape]]) -> xr.Dataset:
    """Returns, for each point, the run of lowest loss and the least distances."""
    over, parts = ["shape", "rate"], []
    for shapes in points.values():
        runs = every.sel(shape=list(map(str, shapes)))
        any_left = runs.validation_loss.notnull().any(over)
        # Where all failed, the first is taken, whose distance is NaN.
        losses = runs.validation_loss.where(any_left, 0.0)
        best = sweeps.best(runs.assign(validation_loss=losses), over)
        part = best[["distance", "best_shape", "best_rate"]].assign(
            best_loss=best.validation_loss.where(any_left),
            least_distance=runs.distance.mean("prompt").min(over),
        )
        parts.append(part)
    names = xr.DataArray(list(map(str, points)), dims="point", name="point")
    chosen = xr.concat(parts, names).assign_coords(
        varied=("point", [point.size for point in points]),
        value=("point", [point.value for point in points]),
    )
    return xr.merge([chosen, every[["validation_loss", "failed", "apart"]]])
