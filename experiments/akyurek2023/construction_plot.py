"""How are the errors and sizes of the constructions drawn?

The panels of `construction`, whose docstring says how to read them.
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.engine.figures.style import (
    BLUE,
    GREY,
    VERMILLION,
    canvas,
    legend_below,
)

STYLES: dict[str, dict[str, Any]] = {
    "SGD": {"color": "#0072B2", "marker": "o"},
    "GD, all pairs": {"color": "#E69F00", "marker": "^"},
    "ridge, one pair": {"color": "#009E73", "marker": "s"},
    "ridge, n pairs": {"color": "#CC79A7", "marker": "D"},
}
"""How each construction is drawn."""


def draw(dataset: xr.Dataset) -> Figure:
    """Draws errors above, and sizes and flaws below."""
    with canvas(12, 6.2) as figure:
        grid = figure.add_gridspec(2, 4)
        by_dim, by_steps, by_scale, by_pad = (
            figure.add_subplot(grid[0, i]) for i in range(4)
        )
        by_steps.sharey(by_dim)
        _draw_errors(dataset, by_dim, by_steps)
        _draw_scales(dataset, by_scale, by_pad)
        _draw_depths(dataset, figure.add_subplot(grid[1, 0]))
        _draw_widths(dataset, figure.add_subplot(grid[1, 1]))
        _draw_flaws(dataset, figure.add_subplot(grid[1, 2:]))
        legend_below(figure, by_dim, ncols=6)
    return figure


def _draw_errors(dataset: xr.Dataset, by_dim: Axes, by_steps: Axes) -> None:
    """Draws errors by dimension, and by number of steps."""
    for dtype, line in (("float64", "-"), ("float32", ":")):
        for name in dataset.algorithm.values:
            error = dataset.error.sel(algorithm=name, dtype=dtype)
            label = name if dtype == "float64" else None
            by_dim.plot(dataset.dim, error, ls=line, label=label, **STYLES[name])
        for name in dataset.iterated.values:
            error = dataset.error_by_steps.sel(iterated=name, dtype=dtype)
            by_steps.plot(dataset.steps, error, linestyle=line, **STYLES[name])
    by_dim.plot([], [], color="black", linestyle="-", label="float64")
    by_dim.plot([], [], color="black", linestyle=":", label="float32")
    d = dataset.attrs["sweep_dim"]
    for axes, ticks in ((by_dim, dataset.dim), (by_steps, dataset.steps)):
        axes.set_yscale("log")
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks.values])
    by_dim.set(title="one step", xlabel="dimension d", ylabel="largest error")
    by_steps.set(title=f"n steps, d = {d}", xlabel="steps n")


def _draw_scales(dataset: xr.Dataset, by_scale: Axes, by_pad: Axes) -> None:
    """Draws errors by the scale of the multiplier, and by the pads."""
    by_scale.loglog(dataset.multiplier, dataset.error_by_multiplier, "o-", color=BLUE)
    _guide(by_scale, dataset.multiplier, dataset.error_by_multiplier, -2, GREY)
    by_scale.set(title="scale of the multiplier", xlabel="scale K", ylabel="error")
    for kind, color, marker, slope in (
        ("symmetric", BLUE, "o", -2),
        ("paper", VERMILLION, "s", -1),
    ):
        error = dataset.error_by_pad.sel(pads=kind)
        by_pad.loglog(dataset.pad_scale, error, marker=marker, color=color, label=kind)
        _guide(by_pad, dataset.pad_scale, error, slope, GREY)
    by_pad.set(title="size of the pads", xlabel="size N", ylabel="error")
    by_pad.legend(title="pads")


def _guide(
    axes: Axes, x: xr.DataArray, y: xr.DataArray, slope: int, color: str
) -> None:
    """Draws a thin line of this slope through the second point, for three decades."""
    ends = float(x[1]), 1e3 * float(x[1])
    values = [float(y[1]) * (end / ends[0]) ** slope for end in ends]
    axes.plot(ends, values, color=color, linewidth=0.8, linestyle="--", zorder=3)
    above = slope == -1  # where the other line does not run
    axes.annotate(
        f"slope {slope}",
        (float(x[4 if above else 2]), float(y[4 if above else 2])),
        color=color,
        fontsize=8,
        ha="left" if above else "right",
        va="bottom" if above else "top",
        xytext=(5, 3) if above else (-5, -3),
        textcoords="offset points",
    )


def _draw_depths(dataset: xr.Dataset, depth: Axes) -> None:
    """Draws numbers of layers by number of steps, with their formulas."""
    n = np.array([1, int(dataset.steps.max())])
    laws = {"SGD": (7, 2), "ridge, n pairs": (11, 3)}
    for name, (slope, first) in laws.items():
        style = STYLES[name]
        depth.plot(n, slope * n + first, color=style["color"], linewidth=0.9)
        depth.plot(
            dataset.steps, dataset.layers.sel(iterated=name), **(style | {"ls": ""})
        )
        depth.annotate(
            f"{slope}n + {first}",
            (n[1], slope * n[1] + first),
            ha="right",
            va="bottom",
            xytext=(-6, 2),
            textcoords="offset points",
            color=style["color"],
            fontsize=8,
        )
    depth.set(title="depth", xlabel="steps n", ylim=(0, 12 * n[1] + 5))
    depth.set_ylabel("number of layers")
    depth.set_xticks(dataset.steps)


def _draw_widths(dataset: xr.Dataset, width: Axes) -> None:
    """Draws widths by dimension, with the formulas of the theorems."""
    d = np.linspace(1, int(dataset.dim.max()), 50)
    theorems = {
        "SGD": ("15 + 5d", 15 + 5 * d),
        "ridge, one pair": ("14 + 5d + 4d²\n(ours: 4d for 5d)", 14 + 5 * d + 4 * d**2),
    }
    for name, (formula, law) in theorems.items():
        color = STYLES[name]["color"]
        width.plot(d, law, color=color, linewidth=0.9)
        width.annotate(
            formula,
            (d[-1], law[-1]),
            ha="right",
            va="bottom" if name == "SGD" else "top",
            xytext=(-14, 2),
            textcoords="offset points",
            color=color,
            fontsize=8,
        )
    for name in dataset.algorithm.values:
        width.plot(
            dataset.dim,
            dataset.width.sel(algorithm=name),
            **(STYLES[name] | {"ls": ""}),
        )
    width.set(title="width", xlabel="dimension d", ylim=(0, None))
    width.set_ylabel("width of the states")
    width.set_xticks(dataset.dim)


def _draw_flaws(dataset: xr.Dataset, axes: Axes) -> None:
    """Draws the errors of the printed proofs beside those of the corrected ones."""
    names = dataset.flaw.values[::-1]
    for version, color, marker in (
        ("printed", VERMILLION, "X"),
        ("corrected", BLUE, "o"),
    ):
        error = dataset.flaws.sel(version=version, flaw=names)
        # A difference of exactly 0 is drawn where float64 ends.
        axes.plot(
            error.clip(1e-17), range(len(names)), marker, color=color, label=version
        )
    axes.set_yticks(range(len(names)), names)
    axes.set(xscale="log", xlim=(1e-18, 100), ylim=(-0.5, len(names) - 0.5))
    axes.set(
        title="the proofs, followed to the letter", xlabel="error of the prediction"
    )
    axes.legend(loc="center")
