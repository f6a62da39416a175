"""What a model of a pool of functions predicts like while it is trained.

Claim: a transformer that is trained on a middling number of functions predicts first as
ridge regression does, and then ever more as the Bayes predictor for its pool: learning
to learn any function is transient. At every step its predictions are nearly a mixture
of those of the two learners.

Paper: Figure 4 of Raventós et al. 2023, Carroll et al. 2025 and Wurgaft et al. 2025
(claims 14 and 15).

Run: python -m experiments.raventos2023.over_training quick

How to read it: there is a column for each number M of functions. Above are the
distances of the model to the Bayes predictor for its pool and to ridge regression, mean
squared differences over d, on functions of the pool. Below is the share p of the
mixture p x ridge + (1 - p) x Bayes that the predictions are nearest to: 1 is ridge
regression, 0 the memory of the pool; and what no mixture explains, in units of the
variance of a label. Bands are 95 % intervals over prompts, and over seeds if there are
several.
"""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Largest, Ratio, Smallest, Statistic
from experiments.engine.figures.checkpoints import model_after, with_checkpoints
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    canvas,
    draw_band,
)
from experiments.raventos2023.pools import PRESETS as POOLS
from experiments.raventos2023.pools_claims import distance, resample
from experiments.raventos2023.pools_measure import (
    LAWS,
    PAIRS,
    Config,
    distances,
    task_of,
)
from icl import LinearRegression, ModelConfig, TrainConfig, sweeps
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "20 s",
    "quick": "30 min, 2 min once the models are trained",
    "paper": "4 models, 2 hours of one H100, an estimate",
}
PRESETS = {
    "tiny": Config(
        POOLS["tiny"].task,
        POOLS["tiny"].model,
        replace(
            POOLS["tiny"].train,
            checkpoint_every=TrainConfig.checkpoint_every,
            checkpoints_per_decade=1,
        ),
        sizes=(4,),
        seeds=1,
        evaluation=Evaluation(prompts=64, resamples=200),
    ),
    "quick": Config(
        LinearRegression(dim=4, length=8, noise_std=0.5),
        ModelConfig(layers=4, width=32),
        TrainConfig(
            steps=20_000, batch=64, learning_rate=2e-3, checkpoints_per_decade=4
        ),
        sizes=(4, 8, 16, 64),
        seeds=3,
        evaluation=Evaluation(prompts=2_000),
    ),
    "paper": Config(
        LinearRegression(dim=8, length=16, noise_std=0.5),
        ModelConfig(layers=8, width=128, heads=2),
        TrainConfig(
            steps=500_000,
            batch=256,
            learning_rate=1e-3,
            warmup=0.5,
            schedule="linear",
            checkpoints_per_decade=6,
        ),
        sizes=(2**6, 2**10, 2**13, 2**16),
        seeds=1,
    ),
}


def settings(config: Config) -> list[Setting]:
    """Returns the models, seed by seed; there is none without a pool."""
    return [_setting(config, *each) for each in _each(config)]


def _each(config: Config) -> Iterator[tuple[int, int]]:
    return itertools.product(range(config.seeds), config.sizes)


def _setting(config: Config, seed: int, size: int) -> Setting:
    task = task_of(config, size, seed)
    return Setting(task, config.model, config.train, seed)


@with_checkpoints
def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns the distances between all learners at every checkpoint.

    Returns:
        A Dataset with `distance` over (seed, size, step, law, pair, prompt).
    """
    sweeps.train_missing(settings(config), models)
    steps = config.train.kept_steps
    shape = (config.seeds, len(config.sizes), len(steps))
    inner = (len(LAWS), len(PAIRS), config.evaluation.prompts)
    found = np.full((*shape, *inner), np.nan, np.float32)
    for seed, size in _each(config):
        setting = _setting(config, seed, size)
        for place, step in enumerate(steps):
            model = model_after(models, setting, step)
            at = seed, config.sizes.index(size), place
            found[at] = distances(config, setting.task, model)
    return xr.Dataset(
        {"distance": (("seed", "size", "step", "law", "pair", "prompt"), found)},
        coords={
            "seed": range(config.seeds),
            "size": list(config.sizes),
            "step": steps,
            "law": list(LAWS),
            "pair": PAIRS,
        },
        attrs={"dim": config.task.dim, "resamples": config.evaluation.resamples},
    )


# --- claims ---

TO_RIDGE = distance("seen", "model", "ridge")
TO_POSTERIOR = distance("seen", "model", "posterior")


def share_of_ridge(means: xr.Dataset) -> xr.DataArray:
    """Returns p, with which p x ridge + (1 - p) x Bayes is nearest to the model.

    The three learners are the corners of a triangle, of which all sides are known.
    """
    apart = distance("seen", "posterior", "ridge")(means)
    along = TO_POSTERIOR(means) + apart - TO_RIDGE(means)
    return along / (2 * apart)


def unexplained(means: xr.Dataset) -> xr.DataArray:
    """Returns the distance of the model to the nearest mixture of the two learners.

    It is a mean square over d, which is the variance of a label without noise.
    """
    apart = distance("seen", "posterior", "ridge")(means)
    return TO_POSTERIOR(means) - share_of_ridge(means) ** 2 * apart


def _over_last(values: Statistic) -> Ratio:
    """Returns values by step over their value at the last one."""
    return Ratio(values, lambda means: values(means).isel(step=-1))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 14, on transience, and 15, on mixtures of the two learners."""
    judge = Judge(
        "raventos2023",
        "over_training",
        "Carroll et al. 2025; Wurgaft et al. 2025",
        resampled=resample(dataset),
    )
    last = int(dataset.step[-1])
    return [
        judge(
            "14",
            "For some number of functions, the distance to ridge regression on "
            "functions of the pool has a minimum in training that is below half of its "
            "value at the end.",
            Smallest(_over_last(TO_RIDGE), over=("size", "step")),
            "<",
            0.5,
            unit="smallest distance / distance at the end",
            bar="ours",
        ),
        judge(
            "15",
            f"After {last:,} steps, what no mixture of the two learners explains of "
            "the predictions is less than 10 % of the variance of a label, for each "
            "number of functions.",
            Largest(lambda means: unexplained(means).isel(step=-1), over="size"),
            "<",
            0.1,
            unit="mean square / variance of a label",
            bar="ours",
        ),
    ]


# --- the picture ---


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws distances and shares by step, a column for each number of functions."""
    resampled, sizes = resample(dataset), dataset["size"].values
    with canvas(3.2 * len(sizes), 4.8) as figure:
        rows = figure.subplots(2, len(sizes), sharex=True, sharey="row", squeeze=False)
        above = {
            "to the Bayes predictor for the pool": (TO_POSTERIOR, GREEN),
            "to ridge regression": (TO_RIDGE, BLUE),
        }
        below = {
            "share p of ridge": (share_of_ridge, BLACK),
            "unexplained": (unexplained, ORANGE),
        }
        for axes_of, curves in zip(rows, (above, below), strict=True):
            for label, (statistic, color) in curves.items():
                band = resampled.band(statistic)
                for axes, size in zip(axes_of, sizes, strict=True):
                    own = [part.sel(size=size) for part in band]
                    draw_band(axes, "step", own, color=color, label=label)
        known = [part for row in rows for part in row[0].get_lines()]
        figure.legend(handles=known, loc="outside lower center", ncols=4)
        for axes, size in zip(rows[0], sizes, strict=True):
            axes.set(title=f"M = {size:,}", yscale="log", xscale="log")
        for axes in rows[1]:
            axes.set(xlabel="step", ylim=(-0.1, 1.3))
        rows[0][0].set_ylabel("distance / d, functions of the pool")
        rows[1][0].set_ylabel("share")
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
