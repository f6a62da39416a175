"""Does a transformer learn the functions that it saw, or to learn any function?

Claim: trained on a few weight vectors only, a transformer predicts as the Bayes
predictor for these does, and fails on new ones. From some number of them on, it
predicts new functions as ridge regression does, which is the Bayes predictor for
weights of any kind, although the other one would be better on what it was trained on.

Paper: Figures 2 and 3 of Raventós et al. 2023 (claims 1-6 and 13).

Run: python -m experiments.raventos2023.pools quick

How to read it: each point is a model that was trained on a pool of so many functions;
"all", behind the dotted line, draws new ones for every prompt. On the left is the risk,
the mean squared difference to the label without noise over d, on functions of the pool
and on new ones; both are averaged over all contexts. On the right are the distances of
the model to the Bayes predictor for the pool and to ridge regression, on new functions;
where they cross, the model is as near to one as to the other. Bands are 95 % intervals
over prompts, and over seeds if there are several; each seed has a pool of its own.
"""

import sys
from dataclasses import replace

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    canvas,
    draw_band,
    legend_below,
)
from experiments.raventos2023.pools_claims import claims, distance, resample
from experiments.raventos2023.pools_measure import Config, measure, settings
from experiments.reference_models import SETTINGS
from icl import LinearRegression, ModelConfig, TrainConfig, sweeps
from icl.sweeps.store import Models

TIMES = {
    "tiny": "1 min",
    "quick": "20 min, 1 min once the models are trained",
    "paper": "21 models, 9 hours of one H100, an estimate",
}
PRESETS = {
    "tiny": Config(
        LinearRegression(dim=2, length=4, noise_std=0.5),
        ModelConfig(layers=2, width=16),
        replace(SETTINGS["tiny"].train, checkpoint_every=60),
        sizes=(1, 4),
        seeds=1,
        evaluation=Evaluation(prompts=64, resamples=200),
    ),
    "quick": Config(
        LinearRegression(dim=4, length=8, noise_std=0.5),
        ModelConfig(layers=4, width=32),
        TrainConfig(steps=10_000, batch=64, learning_rate=2e-3),
        sizes=(2, 4, 8, 16, 32, 64, 256),
        seeds=3,
    ),
    "paper": Config(
        LinearRegression(dim=8, length=16, noise_std=0.5),
        ModelConfig(layers=8, width=128, heads=2),
        TrainConfig(
            steps=500_000, batch=256, learning_rate=1e-3, warmup=0.5, schedule="linear"
        ),
        sizes=tuple(2**power for power in range(1, 21)),
        seeds=1,
    ),
}
TITLES = {"seen": "functions of the pool", "new": "new functions"}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `pools_measure.measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


# --- the picture ---

STYLES = {
    "model": {"color": BLACK, "marker": "o"},
    "posterior": {"color": GREEN, "marker": "s"},
    "ridge": {"color": BLUE, "marker": "D"},
}
NAMES = {
    "model": "transformer",
    "posterior": "Bayes predictor for the pool",
    "ridge": "ridge regression (Bayes for any)",
}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws risks and distances by the size of the pool."""
    resampled = resample(dataset)
    with canvas(11, 4.2) as figure:
        panels = figure.subplots(1, 3)
        for axes, law in zip(panels, TITLES, strict=False):
            for learner, style in STYLES.items():
                band = resampled.band(distance(law, learner, "truth"))
                _curve(axes, band, label=NAMES[learner], **style)
            axes.set_title(f"risk on {TITLES[law]}")
            axes.set_ylabel("mean squared error / d")
        for learner in ("posterior", "ridge"):
            band = resampled.band(distance("new", "model", learner))
            label = f"transformer to {NAMES[learner].partition(' (')[0]}"
            _curve(panels[2], band, label=label, linestyle="--", **STYLES[learner])
        panels[2].set(yscale="log", ylabel="mean squared difference / d")
        panels[2].set_title("distances on new functions")
        for axes in panels:
            count_functions(axes, dataset)
        legend_below(figure, *panels, ncols=3)
    return figure


def _curve(axes: Axes, band: tuple[xr.DataArray, ...], **style) -> None:
    """Draws one value for each size with its interval."""
    own = [part.mean("seed") if "seed" in part.dims else part for part in band]
    draw_band(axes, np.arange(own[0].sizes["size"]), own, **style)


def count_functions(axes: Axes, dataset: xr.Dataset) -> None:
    """Makes the x-axis one of numbers of functions, the last of them without end."""
    sizes = [
        f"{int(size):,}" if np.isfinite(size) else "all"
        for size in dataset["size"].values
    ]
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set_xlabel("number M of functions in training")
    axes.axvline(len(sizes) - 1.5, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)))


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
