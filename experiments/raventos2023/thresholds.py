"""What moves the number of functions from which on a model generalises?

Claim: the threshold is a property of the training as much as of the task. It moves with
the number of steps and with the schedule of the learning rate; width and depth raise
it, weight decay lowers it, and it does not fall with the dimension.

Paper: Figures 5 and 6 of Raventós et al. 2023 (claims 7 and 9-12). The paper finds 2^14
to 2^15 functions. A re-implementation (Effiezal Aswadi et al. 2026) finds 8 to 64: its
rate is three times as high and constant after a warm-up, and its MLPs are as wide as
the model, not four times. Rows change each of these, and all three.

Run: python -m experiments.raventos2023.thresholds quick

How to read it: r is the distance of a model to ridge regression over that to the Bayes
predictor for its pool, on new functions; below 1, below the dashed line, it
generalises. There is a curve for each way of training, which differs from the first one
in one thing, or, if it is the re-implementation's, in three. On the right is the number
M* of functions where r crosses 1, on a line between two pools, with a 95 % interval
over prompts, and over seeds if there are several; nothing is drawn where r does not
cross 1 inside the grid.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import matplotlib
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    GREY,
    canvas,
    draw_band,
    legend_below,
)
from experiments.raventos2023 import pools_measure
from experiments.raventos2023.pools import PRESETS as POOLS
from experiments.raventos2023.pools_claims import REMEMBERS, resample, threshold_size
from experiments.raventos2023.pools_measure import LAWS, PAIRS, distances, task_of
from experiments.raventos2023.thresholds_claims import claims
from icl import LinearRegression, ModelConfig, TrainConfig, checks, sweeps
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "1 min",
    "quick": "35 min, 3 min once the models are trained",
    "paper": "88 models, 30 hours of one H100, an estimate",
}


@dataclass(frozen=True)
class Config:
    """Settings of the models of the first row, and of what other rows change.

    Attributes:
        task: the task whose functions are put into pools; its noise is above 0 and its
            weights are N(0, I).
        model: the shape of the models.
        train: their training, by a schedule that falls.
        sizes: the numbers of functions in a pool, ascending.
        seeds: the number of models of each size.
        evaluation: the prompts, as many of the pool as of the task.
        weight_decay: that of one row.
        muon_rate: the peak rate of the row that is trained by Muon.
        other_dim: the dimension of one row, whose prompts have as many pairs for each
            dimension, and as much noise for each label's variance.
    """

    task: LinearRegression
    model: ModelConfig
    train: TrainConfig
    sizes: tuple[int, ...]
    seeds: int = 1
    evaluation: Evaluation = Evaluation()
    weight_decay: float = 0.1
    muon_rate: float = 1e-2
    other_dim: int = 2

    def __post_init__(self) -> None:
        checks.positive_int("other_dim", self.other_dim)
        checks.finite_number("weight_decay", self.weight_decay, positive=True)
        checks.finite_number("muon_rate", self.muon_rate, positive=True)
        if len(self.sizes) < 2 or self.other_dim == self.task.dim:
            raise ValueError(
                "a threshold needs sizes of two pools, and other_dim another dimension "
                f"than the task's; got sizes={self.sizes}, other_dim={self.other_dim}."
            )
        rows(self)  # refuses what cannot be compared


def rows(config: Config) -> Mapping[str, pools_measure.Config]:
    """Returns the ways of training by name, each with its task, models and pools."""
    task, model, train = config.task, config.model, config.train
    first = pools_measure.Config(
        task, model, train, config.sizes, config.seeds, config.evaluation
    )
    dim, ratio = config.other_dim, config.other_dim / task.dim
    other = replace(
        task,
        dim=dim,
        length=max(round(ratio * task.length), 1),
        noise_std=task.noise_std * ratio**0.5,
    )
    constant = replace(train, schedule="constant")
    high = {"learning_rate": 3 * train.learning_rate}
    narrow = replace(model, mlp_width=model.width)
    muon = replace(train, optimizer="muon", learning_rate=config.muon_rate)
    return {
        "first": first,
        "half the steps": replace(first, train=replace(train, steps=train.steps // 2)),
        "constant rate": replace(first, train=constant),
        "high rate": replace(first, train=replace(train, **high)),
        "narrow MLP": replace(first, model=narrow),
        "re-implemented": replace(
            first, model=narrow, train=replace(constant, **high, warmup=0.1)
        ),
        "Muon": replace(first, train=muon),
        "wide": replace(first, model=replace(model, width=2 * model.width)),
        "deep": replace(first, model=replace(model, layers=2 * model.layers)),
        "weight decay": replace(
            first, train=replace(train, weight_decay=config.weight_decay)
        ),
        "other dimension": replace(first, task=other),
    }


PRESETS = {
    "tiny": Config(
        POOLS["tiny"].task,
        ModelConfig(layers=1, width=8),
        replace(POOLS["tiny"].train, steps=20, evaluate_every=20, checkpoint_every=20),
        sizes=(1, 4),
        evaluation=Evaluation(prompts=32, resamples=200),
        other_dim=1,
    ),
    "quick": Config(
        POOLS["quick"].task,
        POOLS["quick"].model,
        replace(POOLS["quick"].train, steps=5_000),
        sizes=(2, 8, 32, 128),
        evaluation=Evaluation(prompts=2_000),
    ),
    "paper": Config(
        POOLS["paper"].task,
        ModelConfig(layers=4, width=64, heads=2),
        POOLS["paper"].train,
        sizes=tuple(2**power for power in range(4, 20, 2)),
        other_dim=16,
    ),
}


def _each(config: Config) -> Iterator[tuple[tuple[int, int, int], Setting]]:
    """Yields the place of every model, by row, seed and size, and the model."""
    for row, one in enumerate(rows(config).values()):
        for seed in range(one.seeds):
            for place, size in enumerate(one.sizes):
                task = task_of(one, size, seed)
                setting = Setting(task, one.model, one.train, seed)
                yield (row, seed, place), setting


def settings(config: Config) -> list[Setting]:
    """Returns the models of all rows."""
    return [setting for _, setting in _each(config)]


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the distances between all learners, for every prompt.

    Returns:
        A Dataset with `distance` over (row, seed, size, law, pair, prompt).
    """
    named = rows(config)
    shape = (len(named), config.seeds, len(config.sizes), len(LAWS), len(PAIRS))
    found = np.full((*shape, config.evaluation.prompts), np.nan, np.float32)
    each = list(named.values())
    for place, setting in _each(config):
        one = each[place[0]]
        found[place] = distances(one, setting.task, models(setting).model)
    return xr.Dataset(
        {"distance": (("row", "seed", "size", "law", "pair", "prompt"), found)},
        coords={
            "row": list(named),
            "seed": range(config.seeds),
            "size": [float(size) for size in config.sizes],
            "law": list(LAWS),
            "pair": PAIRS,
        },
        attrs={
            "dim": config.task.dim,
            "other_dim": config.other_dim,
            "steps": config.train.steps,
            "training": pools_measure.in_words(config.train),
            "resamples": config.evaluation.resamples,
        },
    )


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws r by the number of functions for each row, and the thresholds."""
    resampled, names = resample(dataset), [str(row) for row in dataset.row.values]
    named = [
        f"d = {dataset.attrs['other_dim']}" if name == "other dimension" else name
        for name in names
    ]
    colors = [BLACK, *map(matplotlib.colormaps["tab10"], range(10))]
    with canvas(10, 4.6) as figure:
        ratios, thresholds = figure.subplots(1, 2)
        band = resampled.band(REMEMBERS)
        for color, name, label in zip(colors, names, named, strict=False):
            own = [part.sel(row=name) for part in band]
            style = {"color": color, "marker": "o", "label": label}
            draw_band(ratios, "size", own, **style)
        ratios.axhline(1.0, color=GREY, linestyle="--", linewidth=0.9)
        ratios.set(xscale="log", yscale="log", ylabel="r, ratio of distances")
        ratios.set_xlabel("number M of functions in training")
        ratios.set_xticks(dataset["size"].values, [f"{s:g}" for s in dataset["size"]])
        legend_below(figure, ratios, ncols=4)
        value, low, high = resampled.band(threshold_size)
        for place, (color, name) in enumerate(zip(colors, names, strict=False)):
            at = [2.0 ** float(part.sel(row=name)) for part in (low, value, high)]
            thresholds.plot([at[0], at[2]], [place, place], color=color)
            thresholds.plot(at[1], place, color=color, marker="o")
        thresholds.set(xscale="log", xlabel="M*, where r = 1")
        thresholds.set_yticks(range(len(names)), named)
        thresholds.invert_yaxis()
        thresholds.set_xlim(dataset["size"].values[0], dataset["size"].values[-1])
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
