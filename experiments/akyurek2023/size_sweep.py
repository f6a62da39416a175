"""How do models of many depths, widths and numbers of heads predict? Figures 3 and 8.

A `Sweep` says which shapes are trained: every combination, as the paper did, or only
those on lines through one shape, which two cores can afford. Each is trained at several
learning rates, for every dimension d, without noise.

A *point* of the figures is one size with a value, such as "layers=4". Its run is the
one of lowest validation loss among all rates and, of a full grid, all other sizes. On
lines Figure 3 compares the models of one line with each other, and Figure 8, which asks
what suffices, takes the best of all models that have the value. The distance that is
plotted has no say in the choice; what one by distance would have given is kept beside
it. Each seed repeats the whole sweep, the choice included.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from experiments.engine.figures.evaluation import Evaluation
from experiments.reference_models import SETTINGS
from icl import (
    LinearRegression,
    ModelConfig,
    Prompts,
    TrainConfig,
    checks,
    inference,
    sweeps,
)
from icl.baselines import solve
from icl.baselines.base import Learner
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

SIZES = {"layers": "layers", "width": "widths", "heads": "heads"}
"""Sizes of a model, and the field of a sweep that lists their values."""

REGIONS = {"n < d": lambda dim: max(dim - 1, 1), "n <= 2d": lambda dim: 2 * dim}
"""Where distances are averaged: the last context length of each, from 1 on."""


class Shape(NamedTuple):
    """Sizes of one model."""

    layers: int
    width: int
    heads: int

    def __str__(self) -> str:
        return f"{self.layers} x {self.width}, {self.heads} heads"


@dataclass(frozen=True)
class Sweep:
    """Which models are trained, and on what they are compared.

    Attributes:
        dims: dimensions of x, ascending.
        layers: depths.
        widths: widths of the residual stream.
        heads: numbers of attention heads.
        rates: learning rates.
        seeds: each repeats the whole sweep.
        full_grid: every combination of depth, width and heads that exists; otherwise
            one of the three is varied at a time, the others being those of `model`.
        model: the shape that is varied, and the variant of all.
        train: of all runs, but for learning rate and `steps`.
        steps: updates for each of `dims`; None is `train.steps` for all.
        pairs: in a prompt; None is 2d + 1.
        evaluation: prompts on which predictions are compared, the same for all models
            of a dimension.

    Raises:
        ValueError: an empty list, values twice or below 1, another number of `steps`
            than of `dims`, heads that divide none of the widths, prompts without a
            context of d - 1 pairs.
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
        """All that are trained."""
        if self.full_grid:
            combined = itertools.product(self.layers, self.widths, self.heads)
            every = itertools.starmap(Shape, combined)
            return [shape for shape in every if shape.width % shape.heads == 0]
        lines = (self._on_line(size, value) for size, value in self._values())
        return list(dict.fromkeys(lines))

    def points(self, *, pooled: bool) -> dict[str, list[Shape]]:
        """The shapes among which the run of each point is chosen.

        Args:
            pooled: among all that are trained and have this value; otherwise, and
                unless the grid is full, only the shape on the line.
        """
        return {
            f"{size}={value}": [s for s in self.shapes if getattr(s, size) == value]
            if pooled or self.full_grid
            else [self._on_line(size, value)]
            for size, value in self._values()
        }

    def _values(self) -> Iterator[tuple[str, int]]:
        for size, field in SIZES.items():
            for value in getattr(self, field):
                yield size, value

    def _on_line(self, size: str, value: int) -> Shape:
        """The shape of `model` with another value of one size."""
        centre = Shape(self.model.layers, self.model.width, self.model.heads)
        return centre._replace(**{size: value})

    def runs(self, dim: int) -> list[Setting]:
        """The runs of one dimension: by shape, then by rate, then by seed."""
        return sweeps.grid(self._base(dim), self.axes)

    @property
    def axes(self) -> dict[str, Sequence[Any]]:
        """What differs between the runs of one dimension."""
        sizes = ",".join(f"model.{size}" for size in SIZES)
        rates = {"train.learning_rate": self.rates, "seed": self.seeds}
        return {sizes: self.shapes, **rates}

    def _base(self, dim: int) -> Setting:
        """A run of this dimension, before its shape, rate and seed are set."""
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
        rates=(2e-3,),
        model=ModelConfig(layers=8, width=32, heads=1),
        train=TrainConfig(steps=12_000, batch=64, learning_rate=2e-3),
        steps=(8_000, 12_000),
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
"""Of Figure 3; Figure 8 has more dimensions.

At `quick` one learning rate must do for all: 2e-3, that of `reference_models.SETTINGS`.
It is not what keeps one layer at d = 8 from learning anything: 4e-3 gave the same loss,
that of predicting 0.
"""


def settings(config: Sweep) -> list[Setting]:
    """All runs that a sweep needs."""
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
        models: where its models come from.
        learners: what the models are compared with.
        regions: where, of `REGIONS`.
        pooled: as for `Sweep.points`.

    Returns:
        A Dataset with

        - `distance` over (dim, point, seed, region, learner, prompt): mean over the
          contexts of a region of (prediction - prediction)^2 / d, for the run of
          lowest validation loss; NaN where all runs of a point failed, as `best_loss`;
        - `smallest` over (dim, point, seed, region, learner): its mean over prompts for
          the run that is nearest to that learner, which may be another for each;
        - `best_shape`, `best_rate`, `best_loss` over (dim, point, seed): which run was
          chosen;
        - `validation_loss`, `failed` over (dim, shape, rate, seed): of all runs.
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
    """Validation losses and distances of all runs of one dimension."""
    runs = config.runs(dim)
    prompts = evaluated(config, dim)
    textbook = np.stack([s.predictions for s in solve(learners, prompts)])
    history = sweeps.history(runs, models, config.axes)
    failed = history.failed.values

    def distances(run: Setting, failed: bool) -> np.ndarray:
        """(region, learner, prompt)."""
        if failed:
            return np.full((len(regions), *textbook.shape[:2]), np.nan)
        predicted = inference.predictions(models(run).model, prompts)
        squares = (predicted - textbook) ** 2 / dim
        ends = [REGIONS[region](dim) + 1 for region in regions]
        return np.stack([squares[..., 1:end].mean(axis=-1) for end in ends])

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
    """The prompts that all models of a dimension are compared on."""
    return config.evaluation.sample(config.runs(dim)[0].task)[0]


def chosen(
    config: Sweep, dataset: xr.Dataset
) -> Iterator[tuple[tuple[int, ...], Setting]]:
    """Indices (dim, point, seed) and the run that was chosen there, if any was."""
    for i, dim in enumerate(config.dims):
        names = itertools.product(map(str, config.shapes), config.rates, config.seeds)
        by_name = dict(zip(names, config.runs(dim), strict=True))
        for point, seed in np.ndindex(*dataset.best_loss.shape[1:]):
            best = dataset.isel(dim=i, point=point, seed=seed)
            if best.best_loss.notnull():
                name = best.best_shape.item(), best.best_rate.item(), best.seed.item()
                yield (i, point, seed), by_name[name]


def _choose(every: xr.Dataset, points: Mapping[str, Sequence[Shape]]) -> xr.Dataset:
    """Of each point the run chosen by validation loss, and the least distances."""
    over, parts = ["shape", "rate"], []
    for shapes in points.values():
        runs = every.sel(shape=list(map(str, shapes)))
        any_left = runs.validation_loss.notnull().any(over)
        # Where all failed there is nothing to choose: the first, whose distance is NaN.
        losses = runs.validation_loss.where(any_left, 0.0)
        best = sweeps.best(runs.assign(validation_loss=losses), over)
        part = best[["distance", "best_shape", "best_rate"]].assign(
            best_loss=best.validation_loss.where(any_left),
            smallest=runs.distance.mean("prompt").min(over),
        )
        parts.append(part)
    chosen = xr.concat(parts, xr.DataArray(list(points), dims="point", name="point"))
    return xr.merge([chosen, every[["validation_loss", "failed"]]])
