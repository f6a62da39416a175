"""The ridge regression that the transformer resembles, by how noisy the labels are.

Claim: trained on noisy labels, the transformer predicts as the Bayes-optimal learner
does: ridge regression with lambda = sigma^2 / tau^2, the variance of the noise over
that of the weights. Without noise that is OLS.

Paper: Figure 2 of Akyürek et al. 2023 (claims 10-13). The order of its values can be
compared with ours, the values themselves cannot: they are not what the paper says that
they are (claim noise.published).

Run: python -m experiments.akyurek2023.fig2 quick

How to read it: in each table a column is a level of noise, in training and in test, and
a cell is the distance to one learner: (prediction - prediction)^2 / d is averaged over
n = 1 .. d-1 examples, and the median over prompts is taken, because the expectation for
OLS is infinite with noise. A box marks the learner that the paper claims, a star the
nearest of the column: they should coincide. Darker cells are nearer, by the logarithm
of the distance as a share of the column's largest. The left table is of trained
transformers, averaged over seeds; the middle one of the Bayes predictor, which is the
ideal case; the right one holds the paper's own numbers. The lower left panel shows the
lambda of the ridge regression that fits best, and a dashed line where it should be.
Bars are 95 % intervals over prompts, and over seeds if there are three or more; hollow
markers are single seeds. The lower right panel shows why the paper's numbers cannot be
right: it compares how far OLS and ridge regression are apart without noise at d = 8
with how far they may be apart if both are as near to one transformer as the first
column of the paper says.
"""

import math
import sys
from collections.abc import Mapping
from typing import Any

import matplotlib
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from experiments.akyurek2023 import fig2_claims
from experiments.akyurek2023.fig2_claims import (
    allowed,
    best_penalty,
    claims,
    fraction,
    predictor,
)
from experiments.akyurek2023.fig2_measure import Config, measure, settings
from experiments.engine.claims.intervals import Resampled
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import BLACK, BLUE, GREY, VERMILLION, canvas
from experiments.reference_models import PROBING, SETTINGS
from icl import sweeps
from icl.sweeps.store import Models

TIMES = {
    "tiny": "1 min",
    "quick": "22 min, 1 min once the models are trained",
    "longer": "15 min, an estimate",
    "paper": "2 days on one H100, an estimate",
}
PRESETS = {
    "tiny": Config(SETTINGS["tiny"], Evaluation(prompts=64, resamples=200), seeds=1),
    "quick": Config(PROBING["quick"]),
    "longer": Config(PROBING["shipped"], seeds=1),
    "paper": Config(SETTINGS["paper"]),
}
SMALLEST_SHARE = 0.01
"""Cells below this share of a column's largest distance have the darkest colour."""

STAR: Mapping[str, Any] = {
    "marker": "*",
    "markersize": 9,
    "color": "black",
    "markeredgecolor": "white",
    "markeredgewidth": 0.7,
    "linestyle": "",
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `fig2_measure.measure`.

    The cells of a model whose training failed are NaN.
    """
    finished = sweeps.train_missing(settings(config), models)
    return measure(config, {setting: models(setting).model for setting in finished})


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws three tables, the best lambda, and what the paper's table allows."""
    resampled, dim = fig2_claims.resample(dataset), dataset.attrs["dim"]
    averaged = resampled.means.distance.mean("seed", skipna=False)
    tables = {
        f"trained transformers, d = {dim}": averaged,
        f"the Bayes predictor, d = {dim}": resampled.means.bayes,
        "the paper's table, d = 8": dataset.published,
    }
    with canvas(11, 7.2) as figure:
        grid = figure.add_gridspec(2, 6, height_ratios=[1.15, 1])
        above = [figure.add_subplot(grid[0, 2 * i : 2 * i + 2]) for i in range(3)]
        for axes, (title, table) in zip(above, tables.items(), strict=True):
            image = _table(axes, table.transpose("alpha", "noise"))
            axes.set_title(title)
        for axes in above[1:]:
            axes.tick_params(labelleft=False)
        bar = figure.colorbar(image, ax=above, pad=0.01, aspect=30)
        bar.set_label("distance / largest of the column")
        bar.set_ticks([-2, -1, 0], labels=["≤ 0.01", "0.1", "1"])
        _penalties(figure.add_subplot(grid[1, :3]), dataset, resampled)
        _bounds(figure.add_subplot(grid[1, 3:]), dataset, resampled)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=2)
    return figure


def _table(axes: Axes, table: xr.DataArray) -> AxesImage:
    """Draws a heat map of distances with their numbers, (alpha, noise)."""
    share = (table / table.max("alpha")).clip(SMALLEST_SHARE)
    shade = np.log10(share.values)
    colours = matplotlib.colormaps["Blues_r"].with_extremes(bad="#dddddd")
    image = axes.imshow(
        shade, vmin=np.log10(SMALLEST_SHARE), vmax=0, cmap=colours, aspect="auto"
    )
    for (row, column), distance in np.ndenumerate(table.values):
        dark = shade[row, column] < np.log10(SMALLEST_SHARE) / 2
        axes.text(
            column,
            row,
            _short(distance),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else BLACK,
        )
    for i, column in enumerate(table.values.T):
        box = {"fill": False, "edgecolor": VERMILLION, "linewidth": 2}
        axes.add_patch(Rectangle((i - 0.46, i - 0.46), 0.92, 0.92, **box))
        if not np.isnan(column).any():
            axes.plot(i + 0.33, column.argmin() - 0.29, **STAR)
    axes.grid(False)
    axes.set_xticks(range(table.sizes["noise"]), map(fraction, table.noise.values))
    axes.set_yticks(range(table.sizes["alpha"]), map(predictor, table.alpha.values))
    axes.set_xlabel("noise σ²/τ²")
    return image


def _short(distance: float) -> str:
    """Returns a number in two digits and as few characters as possible.

    It is NaN where a run of the column failed.

    Example:
        >>> _short(0.00124), _short(0.0)
        ('1.2e-3', '0')
    """
    if math.isnan(distance):
        return "run\nfailed"
    return f"{distance:.1e}".replace("e-0", "e-") if distance else "0"


def _penalties(axes: Axes, dataset: xr.Dataset, resampled: Resampled) -> None:
    """Draws the best lambda by noise.

    On the logarithmic axis, no noise stands at a quarter of the least noise.
    """
    noise = dataset.noise.values
    x = np.where(noise > 0, noise, noise[1] / 4)
    value, low, high = resampled.band(
        lambda means: best_penalty(means.distance_by_penalty)
    )
    seeds = best_penalty(dataset.distance_by_penalty.median("prompt", skipna=False))
    axes.plot(noise[1:], noise[1:], "--", color=GREY, label="λ = σ²/τ²")
    for seed in dataset.seed.values if dataset.sizes["seed"] > 1 else ():
        hollow = {"markerfacecolor": "none", "markersize": 7, "zorder": 3}
        axes.plot(x, seeds.sel(seed=seed), "o", color=GREY, **hollow)
    errors = [value - low, high - value]
    axes.errorbar(
        x, value, np.maximum(errors, 0), fmt="o", color=BLUE, capsize=4, zorder=4
    )
    axes.set(xscale="log", yscale="log", xlabel="noise σ²/τ² (0 at the left edge)")
    axes.set_xticks(x, map(fraction, noise))
    ends = dataset.penalty.values[[0, -1]]
    ticks = np.array([1 / 1024, 1 / 256, 1 / 64, 1 / 16, 1 / 4, 1, 4])
    axes.set_yticks(ticks, ["≤ 1/1024", *map(fraction, ticks[1:-1]), "≥ 4"])
    axes.set_ylim(ends[0] / 1.3, ends[1] * 1.3)
    axes.minorticks_off()
    axes.set_title("λ of the ridge regression that fits best")
    axes.legend(loc="lower right")


def _bounds(axes: Axes, dataset: xr.Dataset, resampled: Resampled) -> None:
    """Draws the distances of OLS to ridge predictors, and the paper's bounds.

    They are without noise and at d = 8.
    """
    ridge = {"alpha": slice(1, None)}
    value, low, high = resampled.band(lambda means: means.ols_to_ridge.isel(ridge))
    bound = allowed(dataset.published.isel(noise=0)).isel(ridge)
    x = range(value.size)
    axes.errorbar(
        x,
        value,
        [value - low, high - value],
        fmt="o",
        color=BLUE,
        capsize=4,
        label="distance of the two predictors",
    )
    axes.plot(
        x, bound, "v", color=VERMILLION, label="largest that the paper's table allows"
    )
    for i, (true, most) in enumerate(zip(value.values, bound.values, strict=True)):
        axes.annotate(f"{true / most:.1f} times", (i + 0.08, (true * most) ** 0.5))
        axes.vlines(i, most, true, color="black", linewidth=0.8, linestyle=":")
    axes.set_xticks(x, map(predictor, value.alpha.values))
    axes.set(yscale="log", xlim=(-0.4, value.size - 0.2))
    axes.set_ylim(float(bound.min()) / 2, float(value.max()) * 8)
    axes.set_title("SPD / d from OLS to ridge: d = 8, no noise")
    axes.legend(loc="upper left")


def _legend() -> list:
    """Returns the legend of the box and the star."""
    claimed = "claimed by the paper: λ = σ²/τ²"
    return [
        Patch(fill=False, edgecolor=VERMILLION, linewidth=2, label=claimed),
        Line2D([], [], label="nearest learner of the column", **STAR),
    ]


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
