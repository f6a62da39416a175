"""Every curve of the project in one plane: linearity and breakthroughness.

Claim: most curves are steeper than noise, and of the same outputs a metric that must be
right about everything at once makes a less linear curve than a smooth one.

Paper: after the figure of high linearity and high breakthroughness of Srivastava et al.
2022, on learners and models of this project. The claims are ours.

Run: python -m experiments.emergence.plane quick, or with --sweeps FOLDER

How to read it: on the left, every point is a curve, that is a task with a metric; to
the right it is more linear (a straight line is at 1), above it most of the curve is
flat. Ellipses are what curves of noise stay in, in 95 % of cases by L and in 99 % by B,
for several numbers n of points: a curve inside that of its own n says nothing. Crosses
mark a B that is its floor. A negative L is inverse scaling. On the right are curves by
depth or width, of models of linear regression that are otherwise alike but for their
seed. They lie in the folder of results, where other figures leave them, such as
experiments.akyurek2023.fig3, or in a folder of your own, which --sweeps names. Models
that add are shown where those of experiments.emergence.arithmetic lie in the folder of
results. A run is kept: if models have been added since, delete its folder to see them.
"""

import sys
from typing import Literal

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from experiments.emergence.plane_measure import Config, measure
from experiments.engine.claims.claim import Claim, Interval
from experiments.engine.claims.judge import Judge
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    canvas,
)
from experiments.reference_models import SHIPPED
from icl.emergence import null_quantiles
from icl.skills import wilson_interval
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {"tiny": "10 s", "quick": "30 s", "paper": "2 min, not measured"}

PRESETS = {
    "tiny": Config(models=("d4",), prompts=400),
    "quick": Config(),
    "paper": Config(prompts=20_000),
}

SHARP = ("all of", "solved", "exact match", "grade")
SMOOTH = ("log nmse", "log p")
"""How the names of metrics with a threshold begin; and those of smooth ones."""

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
ELLIPSES = (5, 9, 13)
LISTED = 12
"""The most curves that a legend names; a folder may have many sweeps."""


def settings(config: Config) -> list[Setting]:
    """Returns the models whose training is looked at."""
    return [SHIPPED[name] for name in config.models]


def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns the numbers of every curve: see `plane_measure.measure`."""
    return measure(config, models)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what is claimed of all curves together, and of those of sweeps."""
    judge = Judge("emergence", "plane", "Ours, after Srivastava et al. 2022")
    beyond = (abs(dataset.linear) > dataset.null_95) | (
        abs(dataset.breaks) > dataset.null_99
    )
    pairs = less_linear(dataset)
    by_size = [pair for task, pair in pairs if task.startswith(("layers", "width"))]
    over = "curves, as if they were independent"
    return [
        judge(
            "plane",
            "Most curves are beyond noise, by L or by B: more than nine in ten.",
            _share(beyond.values.tolist()),
            ">",
            0.9,
            unit="share of curves",
            bar="ours",
            interval_over=over,
            subject="theory",
        ),
        judge(
            "sharp",
            "Of the same outputs, a metric with a threshold makes a less linear curve "
            "than a logarithm does, in more than half of the pairs.",
            _share([pair for _, pair in pairs]),
            ">",
            0.5,
            unit="share of pairs with L(sharp) < L(smooth)",
            bar="ours",
            interval_over=over.replace("curves", "pairs"),
            subject="theory",
        ),
        judge(
            "sizes",
            "So it is by depth and width, in more than half of the pairs.",
            _share(by_size),
            ">",
            0.5,
            unit="share of pairs with L(sharp) < L(smooth)",
            bar="ours",
            interval_over=over.replace("curves", "pairs"),
            missing=""
            if by_size
            else "There are no sweeps by depth or width in this folder of results; "
            "--sweeps FOLDER names another.",
        ),
    ]


def less_linear(dataset: xr.Dataset) -> list[tuple[str, bool]]:
    """Returns for each task and pair of a sharp and a smooth metric which is steeper.

    A pair is True where the sharp one is the less linear.
    """
    of = {
        (str(task), str(metric)): float(value)
        for task, metric, value in zip(
            dataset.task.values,
            dataset.metric.values,
            dataset.linear.values,
            strict=True,
        )
    }
    return [
        (task, value < of[task, smooth])
        for (task, metric), value in of.items()
        for smooth in SMOOTH
        if metric.startswith(SHARP) and (task, smooth) in of
    ]


def _share(found: list[bool]) -> Interval:
    """Returns a share with Wilson's interval."""
    if not found:
        return Interval(*(3 * [float("nan")]))
    share = float(np.mean(found))
    low, high = wilson_interval(np.array([share]), np.array([float(len(found))]))
    return Interval(share, min(float(low[0]), share), max(float(high[0]), share))


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the plane, and the curves of sweeps."""
    with canvas(13, 5.4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _plane(left, dataset)
        _sweeps(right, dataset)
    return figure


def _plane(axes: Axes, dataset: xr.Dataset) -> None:
    tasks = list(dict.fromkeys(dataset.task.values.tolist()))
    for index, task in enumerate(tasks):
        own = dataset.isel(curve=dataset.task.values == task)
        colour = COLOURS[index % len(COLOURS)]
        marker = "os^vDP"[index // len(COLOURS) % 6]
        y = np.sign(own.breaks) * np.log10(1 + abs(own.breaks))
        axes.plot(own.linear, y, marker, color=colour, label=task, ms=4)
        floor = own.floored.values > 0
        axes.plot(own.linear[floor], y[floor], "x", color=BLACK, ms=4)
    for n in ELLIPSES:
        size = (
            null_quantiles(n, level=0.95).linearity,
            null_quantiles(n).breakthroughness,
        )
        patch = Ellipse((0, 0), 2 * size[0], 2 * np.log10(1 + size[1]), fill=False)
        patch.set(edgecolor=GREY, linestyle="--")
        axes.add_patch(patch)
        axes.annotate(f"n = {n}", (0, np.log10(1 + size[1])), color=GREY, fontsize=7)
    ticks = np.array([-10, -3, -1, 0, 1, 3, 10])
    axes.set_yticks(np.sign(ticks) * np.log10(1 + abs(ticks)), [str(t) for t in ticks])
    axes.set(xlabel="linearity L / (n - 1)", ylabel="breakthroughness B / (n - 1)")
    axes.set(
        title=f"{dataset.sizes['curve']} curves; crosses: a floor", xlim=(-1.05, 1.05)
    )
    _legend(axes, "lower left")


def _sweeps(axes: Axes, dataset: xr.Dataset) -> None:
    """Draws shares by depth and width."""
    axes.set(title="sweeps by size: share solved, and all queries right")
    chosen = [
        (index, str(task), str(metric))
        for index, (task, metric) in enumerate(
            zip(dataset.task.values, dataset.metric.values, strict=True)
        )
        if str(task).startswith(("layers", "width")) and metric in ("solved", "all of")
    ]
    if not chosen:
        axes.text(
            0.5, 0.5, "no sweep in this folder", ha="center", transform=axes.transAxes
        )
    tasks = list(dict.fromkeys(task for _, task, _ in chosen))
    for index, task, metric in chosen:
        style = {"color": COLOURS[tasks.index(task) % len(COLOURS)], "marker": "o"}
        style["ls"] = "-" if metric == "solved" else "--"
        one = dataset.isel(curve=index)
        axes.plot(one.scale, one.scores, label=f"{task}: {metric}", **style)
    if chosen:
        axes.set(xscale="log", xlabel="layers or width")
        axes.set_ylim(-0.03, 1.65)  # the legend stands above the curves
        axes.set_yticks(np.linspace(0, 1, 6))
        _legend(axes, "upper left")


def _legend(axes: Axes, place: Literal["upper left", "lower left"]) -> None:
    """Names the first curves, and says how many more there are."""
    handles, labels = axes.get_legend_handles_labels()
    more = len(labels) - LISTED
    title = f"the first {LISTED}, and {more} more" if more > 0 else None
    shown = handles[:LISTED], labels[:LISTED]
    axes.legend(*shown, fontsize=7, loc=place, title=title, title_fontsize=7)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
