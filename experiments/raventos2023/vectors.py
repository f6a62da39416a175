"""Task vectors: does the mean state of a function say which function it is?

Claim: a model of few functions keeps in the states of its examples which of them it
sees, and mean states that are written there make it predict another one. A model of all
functions has no such vector.

Paper: Hendel et al. 2023 and Yang et al. 2025, on the models of `pools` (claims T1-T3);
labels that say nothing are those of Min et al. 2022 (claim T4).

Run: python -m experiments.raventos2023.vectors quick

How to read it: the task vector of a function is the mean of hidden states over many
prompts with this function, at a layer and a token. Above, vectors of another function
are written at one layer, on the left at all labels, and on the right as a difference
that is added at the x that is asked about; the vertical axis is how far predictions
move to what the other function says (1 is all of the way). There is a curve for each
number M of functions in training. Below on the left is the share of the variance of
states at the last label that lies between the vectors of the functions of a pool, on
prompts of these functions (solid) and on new ones (dashed); dotted is the share between
vectors of as many new functions. Below on the right each label is of a function of its
own, so that labels say nothing, and the vertical axis is the mean squared difference of
the model, over d, to three learners. Bands are 95 % intervals over prompts, and over
seeds if there are several.
"""

import sys
from dataclasses import replace

import matplotlib
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.engine.claims.intervals import Resampled
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLUE,
    GREEN,
    GREY,
    SHARES,
    canvas,
    draw_band,
    legend_below,
)
from experiments.raventos2023.pools import PRESETS as POOLS
from experiments.raventos2023.pools import count_functions
from experiments.raventos2023.pools_claims import FEW
from experiments.raventos2023.pools_measure import Several, settings
from experiments.raventos2023.vectors_claims import (
    apart,
    claims,
    moved,
    resample,
    share,
)
from experiments.raventos2023.vectors_measure import measure
from icl import sweeps
from icl.sweeps.store import Models


def fewer_prompts(config: Several) -> Several:
    """Returns the settings with at most 1,000 prompts, whose states are all kept."""
    evaluation = config.evaluation
    count = min(evaluation.prompts, 1_000)
    return replace(config, evaluation=replace(evaluation, prompts=count))


TIMES = {
    "tiny": "1 min",
    "quick": "20 min, 2 min once the models of `pools` are trained",
    "paper": "21 models, those of `pools`",
}
PRESETS = {name: fewer_prompts(Several.of(config)) for name, config in POOLS.items()}
TITLES = {
    "labels": "vectors written at all labels",
    "query": "difference added at the x that is asked",
}
LEARNERS = {
    "posterior": ("to the Bayes predictor for the pool", GREEN, "s"),
    "ridge": ("to ridge regression (Bayes for any)", BLUE, "D"),
    "zero": ("to 0", GREY, "v"),
}


def compute(config: Several, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `vectors_measure.measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws movements above, shares of the variance and random labels below."""
    resampled, sizes = resample(dataset), dataset["size"].values
    colors = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, len(sizes)))
    with canvas(10, 7) as figure:
        (labels, query, spans, random) = figure.subplots(2, 2).ravel()
        for axes, (edit, title) in zip((labels, query), TITLES.items(), strict=True):
            band = resampled.band(moved(edit))
            for color, size in zip(colors, sizes, strict=True):
                own = [part.sel(size=size) for part in band]
                name = f"M = {size:,.0f}" if np.isfinite(size) else "all functions"
                draw_band(axes, "layer", own, "o-", color=color, label=name)
            axes.set(title=title, ylabel="movement toward the other function")
        labels.sharey(query)
        _draw_spans(spans, resampled, dict(zip(sizes, colors, strict=True)))
        _draw_random(random, resampled, dataset)
        for axes in (labels, query, spans):
            axes.set_xlabel("layer (0 = embedding)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, labels, ncols=4)
    return figure


def _draw_spans(axes: Axes, resampled: Resampled, colors: dict) -> None:
    """Draws which share of the states' variance lies between vectors, by layer."""
    for vectors, source, style, name in (
        ("seen", "seen", "-", "functions of the pool"),
        ("seen", "new", "--", "new functions"),
        ("new", "seen", ":", "between vectors of new functions"),
    ):
        band = resampled.band(share(vectors, source))
        for size, color in colors.items():
            if size <= FEW:
                own = [part.sel(size=size).isel(layer=slice(1, None)) for part in band]
                draw_band(axes, "layer", own, style, color=color)
        axes.plot([], [], style, color=GREY, label=name)
    axes.set_title("variance of states between task vectors")
    axes.set(ylabel="share", ylim=SHARES)
    axes.legend(fontsize=8)


def _draw_random(axes: Axes, resampled: Resampled, dataset: xr.Dataset) -> None:
    """Draws the distances to learners where labels say nothing, by the pool's size."""
    for learner, (name, color, marker) in LEARNERS.items():
        band = resampled.band(apart(learner))
        draw_band(
            axes,
            np.arange(dataset.sizes["size"]),
            band,
            marker=marker,
            color=color,
            label=name,
        )
    axes.set(title="labels that say nothing", ylabel="mean squared difference / d")
    count_functions(axes, dataset)
    axes.legend(fontsize=8)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
