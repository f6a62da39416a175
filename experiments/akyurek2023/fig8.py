"""The size that a transformer needs to predict as least squares does, by dimension.

Claim: a width of 16 or 32, at most 8 layers and a single head suffice for predictions
that are nearer to least squares (OLS) than to Ridge(0.1), for every d up to 20.

Paper: Figure 8 of Akyürek et al. 2023 (claims 21-23).

Run: python -m experiments.akyurek2023.fig8 quick

How to read it: a point is, for each dimension d, the smallest of the tried sizes at
which the mean of SPD(OLS, ICL) is below that of SPD(Ridge(0.1), ICL), where ICL is the
transformer: the run with the lowest validation loss among all that have this size. A
bar reaches from the smallest size at which the 95 % interval of the difference includes
values below 0 to the smallest at which it is wholly below 0. The solid curve is for
n < d, as in Figure 3 (n = 1 where d = 1); the dashed one is for all n up to 2d. A point
at the top says that no tried size has reached it. The dotted curve is the width of the
paper's construction of ridge regression (Theorem 2).
"""

import sys
from dataclasses import replace

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.akyurek2023 import size_claims, size_sweep
from experiments.akyurek2023.fig8_claims import (
    claims,
    construction,
    excess,
    first_below,
)
from experiments.akyurek2023.size_sweep import SWEEPS, Sweep, settings
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import GREY, canvas, legend_below
from icl.baselines import LeastSquares, Ridge
from icl.sweeps.store import Models

TIMES = {
    "tiny": "1 min, 10 s after fig3",
    "quick": "8 min after fig3, 1.5 min once the models are trained",
    "longer": "30 min after fig3, an estimate",
    "paper": "6,048 models, 290 days of one H100, an estimate",
}

MORE_DIMS = (1, 2, 4, 8)
PRESETS = {
    "tiny": SWEEPS["tiny"],
    # The models of the last two dimensions are those of Figure 3.
    "quick": replace(
        SWEEPS["quick"], dims=MORE_DIMS, steps=(4_000, 4_000, 4_000, 6_000)
    ),
    "longer": replace(
        SWEEPS["longer"], dims=MORE_DIMS, steps=(12_000, 12_000, 12_000, 18_000)
    ),
    "paper": replace(SWEEPS["paper"], dims=(1, 2, 4, 8, 12, 16, 20)),
}

PANELS = {
    "width": ("(a) width", "smallest width"),
    "layers": ("(b) depth", "smallest number of layers"),
    "heads": ("(c) heads", "smallest number of heads"),
}
"""The title of each panel, and what its axis says."""

REGION_STYLES = {
    "n < d": {"color": "#0072B2", "marker": "o", "linestyle": "-", "shift": -0.06},
    "n <= 2d": {"color": "#D55E00", "marker": "s", "linestyle": "--", "shift": 0.06},
}


def compute(config: Sweep, models: Models) -> xr.Dataset:
    """Returns distances of all points to OLS and Ridge(0.1): `size_sweep.measure`."""
    learners, regions = [LeastSquares(), Ridge(0.1)], list(size_sweep.REGIONS)
    return size_sweep.measure(config, models, learners, regions, pooled=True)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the smallest width, depth and number of heads by dimension."""
    bands = size_claims.resample(dataset).band(excess)
    dims = dataset.dim.values
    with canvas(10, 4) as figure:
        panels = figure.subplots(1, len(PANELS))
        for axes, (size, (title, axis)) in zip(panels, PANELS.items(), strict=True):
            values = size_claims.values(dataset, size)
            for region, style in REGION_STYLES.items():
                at = {"region": region}
                found, sure, allowed = (
                    # A size surely suffices where the upper end is below 0.
                    first_below(band, size, values).sel(at).values
                    for band in (bands[0], bands[2], bands[1])
                )
                _draw_steps(
                    axes, allowed, found, sure, label=_labelled(region), **style
                )
            above = 2 * values[-1]
            axes.set_yscale("log", base=2)
            axes.set_yticks([*values, above], [*map(str, values), "not reached"])
            axes.set_ylim(values[0] / 1.5, above * 1.5)
            axes.set_xticks(range(len(dims)), [str(d) for d in dims])
            axes.set(title=title, xlabel="dimension d", ylabel=axis)
        widths = [construction(int(d)) for d in dims]
        panels[0].plot(
            widths, ":", color=GREY, label="(width of the construction, 3 + 5d + 3d²)"
        )
        legend_below(
            figure,
            panels[0],
            ncols=3,
            title="smallest size nearer to OLS than to Ridge(0.1), judged at",
        )
    return figure


def _labelled(region: str) -> str:
    """Returns what the legend says of some numbers of examples."""
    return f"{region.replace('<=', '≤')} examples"


def _draw_steps(
    axes: Axes,
    allowed: np.ndarray,
    found: np.ndarray,
    sure: np.ndarray,
    *,
    label: str,
    color: str,
    marker: str,
    linestyle: str,
    shift: float,
) -> None:
    """Draws a step curve with bars from what may be enough to what surely is."""
    x = np.arange(len(found)) + shift
    axes.step(x, found, where="mid", color=color, linestyle=linestyle, alpha=0.6)
    axes.errorbar(
        x,
        found,
        (found - allowed, sure - found),
        fmt=marker,
        color=color,
        linestyle="",
        capsize=3,
        label=label,
    )


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
