"""Exact match, its digits, and formats: models that learn to add, step by step.

Claim: whole answers appear late and suddenly while their characters improve for long;
digits appear one after the other; the way in which sums are written moves the jump; and
seeds of one training lie on two sides of it.

Paper: after Figures 3 and 4 of Schaeffer et al. 2023, the sub-tasks of Srivastava et
al. 2022 and the formats of Wei et al. 2022 (claims 4, 5b, 9, 10, 11 and 13), on sums
written as Lee et al. 2023 do (whose claims L1b and L15 are about these curves).

Run: python -m experiments.emergence.arithmetic quick

How to read it: every panel has the step of training on a logarithmic axis; the sums are
unseen ones, the same at all steps. Thick lines are means over seeds, thin lines single
seeds. Top: the same outputs by exact match, by the share of right characters, by the
number of wrong ones and by the log-probability of the whole answer; legends give L / (n
- 1) and B / (n - 1) of the mean. Bottom: the digits of plain and of reversed answers
one by one (s0: units); the log-probability of the right and of a wrong digit among ten;
and the L of exact match beside that of the log-probability of each run: below the
diagonal the sharper metric is the less linear one.
"""

import sys
from functools import partial

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.emergence.arithmetic_claims import claims, late
from experiments.emergence.arithmetic_measure import Config, measure, settings
from experiments.emergence.numbers import breakthroughness, linearity
from experiments.engine.figures.checkpoints import model_after, with_checkpoints
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLUE,
    COLOR_CYCLE,
    GREEN,
    GREY,
    MARKER_CYCLE,
    VERMILLION,
    canvas,
)
from experiments.reference_models import ADDITION
from icl import sweeps
from icl.sweeps.store import Models

TIMES = {
    "tiny": "1 min",
    "quick": "15 min, 2 min once the models are trained",
    "paper": "30 min, 48 models, not measured",
}

PRESETS = {
    "tiny": Config(
        ADDITION["tiny"],
        formats=("plain", "reverse"),
        seeds=1,
        evaluation=Evaluation(prompts=64, resamples=200),
    ),
    "quick": Config(ADDITION["quick"]),
    "paper": Config(ADDITION["quick"], seeds=16, evaluation=Evaluation(prompts=10_000)),
}


@with_checkpoints
def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models, and asks them at every checkpoint.

    Returns:
        The Dataset of `arithmetic_measure.measure`.
    """
    sweeps.train_missing(settings(config), models)
    return measure(config, partial(model_after, models))


# --- the picture ---

COLOURS = {"plain": VERMILLION, "reverse": BLUE, "scratchpad": GREEN}
MARKERS = {"plain": "o", "reverse": "s", "scratchpad": "D"}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws every metric by training step, digits one by one, and L of every run."""
    means = dataset.mean("prompt")
    with canvas(14, 6.4) as figure:
        panels = figure.subplots(2, 4)
        metrics = {
            "exact match": means.exact,
            "share of right characters": means.characters,
            "-number of wrong characters": -means.wrong_characters,
            "log p of the answer": means.log_p,
        }
        for axes, (title, scores) in zip(panels[0], metrics.items(), strict=True):
            _metric(axes, scores)
            axes.set_title(title)
        for axes, name in zip(panels[1], ("plain", "reverse"), strict=False):
            _places(axes, means, name)
        _choice(panels[1, 2], means)
        for axes in figure.axes[:7]:
            axes.set(xscale="log", xlabel="step of training")
        _runs(panels[1, 3], dataset)
    return figure


def _metric(axes: Axes, scores: xr.DataArray) -> None:
    for name in scores.format.values.tolist():
        own = scores.sel(format=name)
        style = {"color": COLOURS[name]}
        axes.plot(own.step, own.transpose("step", "seed"), lw=0.5, alpha=0.4, **style)
        mean = own.mean("seed")
        numbers = float(linearity(mean, "step")), float(breakthroughness(mean, "step"))
        label = f"{name}: L {numbers[0]:.2f}, B {numbers[1]:.2f}"
        axes.plot(mean.step, mean, marker=MARKERS[name], ms=3, label=label, **style)
    axes.legend(fontsize=7)


def _places(axes: Axes, means: xr.Dataset, name: str) -> None:
    """Draws the share of right digits of a format, one by one."""
    axes.set_title(f"digits of {name} answers")
    if name not in means.format.values:
        axes.text(0.5, 0.5, "not in this run", ha="center", transform=axes.transAxes)
        return
    places = means.at_place.sel(format=name).isel(place=slice(-1)).mean("seed")
    for index, column in enumerate(places.transpose("place", "step").values):
        style = {"color": COLOR_CYCLE[index], "marker": MARKER_CYCLE[index]}
        axes.plot(means.step, column, ms=3, label=f"s{index}", **style)
    exact = means.exact.sel(format=name).mean("seed")
    axes.plot(means.step, exact, color=GREY, ls="--", label="all")
    axes.legend(fontsize=7)


def _choice(axes: Axes, means: xr.Dataset) -> None:
    """Draws the log-probability of right and of wrong digits, among ten."""
    for name in means.format.values.tolist():
        own = means.sel(format=name).mean("seed")
        if own.right.notnull().all():
            axes.plot(
                means.step, own.right, color=COLOURS[name], label=f"{name}, right"
            )
            style = {"color": COLOURS[name], "ls": "--", "label": f"{name}, wrong"}
            axes.plot(means.step, own.wrong, **style)
    axes.set_title("log p of a digit among ten")
    axes.legend(fontsize=7)


def _runs(axes: Axes, dataset: xr.Dataset) -> None:
    """Draws L of exact match by L of the log-probability, a point for each run."""
    means = late(dataset).mean("prompt")
    x, y = (linearity(means[name], "step") for name in ("log_p", "exact"))
    for name in dataset.format.values.tolist():
        style = {"color": COLOURS[name], "marker": MARKERS[name], "ls": ""}
        axes.plot(x.sel(format=name), y.sel(format=name), label=name, **style)
    both = np.concatenate([x.values.ravel(), y.values.ravel()])
    ends = [float(both.min()), float(both.max())]
    axes.plot(ends, ends, color=GREY, ls="--", lw=1)
    axes.set(title=f"runs, from step {int(means.step[0])} on")
    axes.set(xlabel="L / (n - 1) of log p", ylabel="L / (n - 1) of exact match")
    axes.legend(fontsize=7)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
