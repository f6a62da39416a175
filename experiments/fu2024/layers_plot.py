"""The picture of layers beside iterates: two maps, best steps and similarities."""

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.engine.claims.intervals import Resampled
from experiments.engine.figures.seeds import mean_over_seeds
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    canvas,
    draw_band,
    legend_below,
)
from experiments.fu2024.layers_claims import at_best, best_step, resample
from experiments.fu2024.layers_measure import FAMILIES
from icl.compare import middle_layers

COLORS = {"Newton": BLUE, "GD": ORANGE}
NAMES = {"Newton": "Newton iterations", "GD": "steps of gradient descent"}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws maps of similarities above, best steps and their similarities below."""
    resampled = resample(dataset)
    with canvas(10.5, 8) as figure:
        (*maps, steps, similarity) = figure.subplots(2, 2).ravel()
        for axes, family in zip(maps, FAMILIES, strict=True):
            _draw_map(figure, axes, resampled.means, family)
        _draw_steps(steps, resampled)
        _draw_similarities(similarity, resampled)
        for axes in (steps, similarity):
            among = dataset.layer.values[middle_layers(dataset.sizes["layer"])]
            axes.axvspan(among[0], among[-1], color=GREY, alpha=0.12, lw=0)
            axes.set_xlabel("layer (0 = embedding)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, similarity, ncols=3)
    return figure


def _draw_map(
    figure: matplotlib.figure.Figure, axes: Axes, means: xr.Dataset, family: str
) -> None:
    """Draws SimE of layers (columns) with steps (rows), the best ones marked."""
    name = f"step_{family}"
    values = mean_over_seeds(means[f"errors_{family}"]).transpose(name, "layer")
    layers, steps = values.layer.values, values[name].values
    rows = np.arange(len(steps))
    drawn = axes.pcolormesh(
        layers, rows, values.values, vmin=0, vmax=1, rasterized=True
    )
    axes.grid(False)
    marked = values.fillna(-1).argmax(name)
    axes.plot(layers, marked, "o", color="white", markeredgecolor=BLACK, markersize=5)
    shown = rows[:: max(len(rows) // 8, 1)]
    axes.set_yticks(shown, [f"{steps[row]:,}" for row in shown])
    axes.set(title=f"SimE with {NAMES[family]}", xlabel="layer", ylabel=NAMES[family])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(drawn, ax=axes)


def _draw_steps(axes: Axes, resampled: Resampled) -> None:
    right = axes.twinx()
    for own, family, style in ((axes, "Newton", "o-"), (right, "GD", "v-")):
        band = resampled.band(lambda means, f=family: best_step(means, f))
        _curve(own, band, style, COLORS[family], f"best number of {NAMES[family]}")
        own.set_ylabel(f"best number of {NAMES[family]}", color=COLORS[family])
    right.set_yscale("symlog", base=2, linthresh=1)
    right.set_ylim(bottom=-0.3)
    axes.set_ylim(bottom=-1)
    axes.set_title("the most similar step")


def _draw_similarities(axes: Axes, resampled: Resampled) -> None:
    for family, marker in (("Newton", "o"), ("GD", "v")):
        for kind, line in (("errors", "-"), ("late", "--")):
            band = resampled.band(
                lambda means, f=family, kind=kind: at_best(means, f, kind)
            )
            where = ", more than d pairs" if kind == "late" else ""
            label = f"the best of {NAMES[family]}{where}"
            _curve(axes, band, f"{marker}{line}", COLORS[family], label)
    ols = resampled.band(lambda means: means.ols)
    _curve(axes, ols, "s-", GREEN, "least squares")
    floor = resampled.band(lambda means: means.floor)
    _curve(axes, floor, ":", GREY, "predicting 0 (floor)")
    axes.set(title="similarity of errors", ylabel="SimE", ylim=(-0.05, 1.02))


def _curve(
    axes: Axes, band: tuple[xr.DataArray, ...], style: str, color: str, label: str
) -> None:
    draw_band(axes, "layer", band, style, color=color, label=label, markersize=4)
