"""Trained layers of linear attention beside steps of gradient descent and of GD++.

Claim: a layer of linear self-attention that is applied twice, and trained on linear
regression, takes two steps of GD++: gradient descent that also evens out the curvature
of its inputs between steps. Its two numbers, eta and gamma, are those that are best for
the spectrum of X'X.

Paper: Figure 3 of von Oswald et al. 2023, with its d = 10 and n = 10 pairs. The
comparison of weights with the optimum is ours.

Run: python -m experiments.vonoswald2023.layers quick

How to read it: on the left is the loss while models learn, of one layer that is applied
K times (tied) and of layers of their own (untied), with a line for each seed; dashed
lines are losses in closed form. The second panel shows in which direction a tied model
answers while it learns: the cosine of its derivatives by the query to those of GD and
of GD++. In the third are the two numbers that each tied model has learnt, beside the
optimum (cross). On the right is the loss on inputs of a larger or smaller range than in
training; dashed lines are GD and GD++ in closed form, from the eigenvalues of X'X of
the same contexts. Bands are 95 % intervals over prompts and seeds. Losses are mean
squared errors at the query, which the paper halves; eta is that of the paper, twice our
rate.
"""

import sys
from dataclasses import replace

import matplotlib.figure
import xarray as xr
from matplotlib.axes import Axes

from experiments.engine.figures.checkpoints import with_checkpoints
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    VERMILLION,
    canvas,
    draw_band,
    legend_below,
)
from experiments.vonoswald2023.layers_claims import claims, resample
from experiments.vonoswald2023.layers_measure import Config, measure, settings
from icl import TrainConfig, sweeps
from icl.sweeps.store import Models

TIMES = {
    "tiny": "20 s",
    "quick": "20 min, 1 min once the models are trained",
    "paper": "1 hour on one H100, an estimate",
}

LONG = TrainConfig(
    steps=5_000,
    batch=512,
    learning_rate=2e-3,
    evaluate_every=250,
    held_out=4_096,
    checkpoint_every=5_000,
)

SHORT = TrainConfig(
    steps=40,
    batch=32,
    evaluate_every=20,
    held_out=32,
    chunk=20,
    checkpoint_every=40,
)
PRESETS = {
    "tiny": Config(
        dim=2,
        pairs=4,
        tied=2,
        untied=2,
        train=replace(SHORT, checkpoints_per_decade=4),
        train_untied=SHORT,
        seeds=2,
        contexts=500,
        evaluation=Evaluation(prompts=64, seed=1, resamples=100),
    ),
    "quick": Config(
        dim=10,
        pairs=10,
        tied=2,
        untied=3,
        train=replace(LONG, checkpoints_per_decade=8),
        # At the rate of tied layers, some models of untied ones leave their minimum.
        train_untied=replace(
            LONG, steps=15_000, learning_rate=1e-3, checkpoint_every=15_000
        ),
    ),
    "paper": Config(
        dim=10,
        pairs=10,
        tied=2,
        untied=5,
        train=TrainConfig(
            steps=20_000,
            batch=2_048,
            learning_rate=1e-3,
            held_out=8_192,
            checkpoint_every=20_000,
            checkpoints_per_decade=8,
        ),
        train_untied=TrainConfig(
            steps=50_000,
            batch=2_048,
            learning_rate=5e-4,
            held_out=8_192,
            checkpoint_every=50_000,
        ),
        contexts=100_000,
        evaluation=Evaluation(prompts=50_000, seed=1, resamples=500),
    ),
}


@with_checkpoints
def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `layers_measure.measure`.

    It reads checkpoints of tied models on their way.
    """
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


STEPS = {"GD": ORANGE, "GD++": GREEN}
CURVES = {"tied": BLACK, "untied": VERMILLION}
LINES = {
    "tied GD": (ORANGE, "--"),
    "tied GD++": (BLUE, "--"),
    "untied GD, own steps": (ORANGE, ":"),
    "untied GD++, own steps": (BLUE, ":"),
}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws losses by step, what was learnt, and losses by the range of the inputs."""
    resampled = resample(dataset)
    with canvas(15, 4.2) as figure:
        loss, way, learnt, shifted = figure.subplots(1, 4)
        _draw_losses(loss, dataset)
        for learner, color in STEPS.items():
            band = resampled.band(
                lambda means, learner=learner: means.cosine_way.sel(learner=learner)
            )
            label = f"to {learner}"
            draw_band(way, "look", band, color=color, marker="s", label=label)
        way.set(title="direction while tied models learn", xscale="log")
        way.set(xlabel="updates", ylabel="cosine of derivatives")
        scalar, optimum = dataset.scalar, dataset.attrs
        eta, gamma = (scalar.sel(what=name).values for name in ("eta", "gamma"))
        learnt.plot(eta, gamma, "o", color=BLACK, label="learnt, one for each seed")
        best = optimum["eta"], optimum["gamma"]
        learnt.plot(*best, "x", color=BLUE, markersize=10, label="best for X'X")
        learnt.set(title="learnt steps", xlabel="eta", ylabel="gamma")
        learnt.margins(0.4)
        learnt.locator_params(axis="x", nbins=4)
        own = resampled.band(lambda means: means.error_width)
        style = {"color": BLACK, "marker": "o", "label": "tied, trained"}
        draw_band(shifted, "width", own, **style)
        for learner, color in STEPS.items():
            found = resampled.band(
                lambda means, learner=learner: means.descent_width.sel(learner=learner)
            )
            style = {"color": color, "marker": "s", "label": learner}
            draw_band(shifted, "width", found, **style)
            theory = resampled.means.theory_width.sel(learner=learner)
            label = f"{learner} in closed form"
            shifted.plot(theory.width, theory, "--", color=color, label=label, lw=0.9)
        shifted.set(title="inputs of another range", yscale="log", ylabel="loss")
        shifted.set_xlabel("range / range in training")
        for axes in (way, learnt, shifted):
            axes.legend(fontsize=8)
        legend_below(figure, loss, side="left", ncols=3)
    return figure


def _draw_losses(axes: Axes, dataset: xr.Dataset) -> None:
    for body, color in CURVES.items():
        steps = dataset[f"step_{body}"].values
        for seed, losses in enumerate(dataset[f"history_{body}"].values):
            label = f"{dataset.attrs[body]} layers, {body}" if not seed else None
            axes.plot(steps, losses, color=color, linewidth=0.9, label=label)
    for name, (color, style) in LINES.items():
        risk = dataset.attrs[f"risk of {name}"]
        kind, _, rest = name.partition(" ")
        label = f"{dataset.attrs[kind]} steps of {rest}"
        axes.axhline(risk, color=color, linestyle=style, label=label)
    axes.set(title="loss while models learn", xlabel="updates", ylabel="loss")
    axes.set_yscale("log")


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
