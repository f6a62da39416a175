"""The learner that a transformer is nearest to, by its depth and by its width.

Claim: without noise, a transformer of one layer predicts as a step of gradient descent
does, one of two or four layers as ridge regression does, and a deeper one as least
squares (OLS) does; as the width grows, the nearest learner changes in the same order.

Paper: Figure 3 of Akyürek et al. 2023 (claims 14-20).

Run: python -m experiments.akyurek2023.fig3 quick

How to read it: each curve is the distance to one learner: the mean over n = 1 .. d-1 of
(prediction - prediction)^2 / d. The lowest curve is the learner that models of this
size resemble. The background shows its family, and the strip below names it: with a
question mark where its family is not separated from the next, with an asterisk where
predicting 0 is nearer than any learner, so that the model has learnt next to nothing.
The run of each size was chosen by its validation loss. Where there were several to
choose from, a dotted curve is the distance of the run that is nearest to the learner of
that colour, which may be another run for each learner. Sizes are evenly spaced.

The paper's learners are few: a model may lie between them, or nearer to one that is not
plotted. The lower panels give a continuous answer: the ridge alpha that fits best, and
the amount of gradient descent, which is the time of gradient flow counted in steps of
rate 0.01. Thin black curves in the upper panel show how far away these two are. An
arrow marks the last value that was tried, so that the best may lie beyond it. Bands and
bars are 95 % intervals over prompts; where there are several seeds, the bands are over
prompts and seeds, and the lower panels show each seed as a point of its own. The claims
about one and two layers at the smallest d are over more seeds than the curves, which
are of the first.
"""

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.akyurek2023 import fig3_claims, size_claims, size_sweep
from experiments.akyurek2023.fig3_claims import claims
from experiments.akyurek2023.learners import (
    BACKGROUNDS,
    FAMILIES,
    PREDICTS_ZERO,
    STYLES,
)
from experiments.akyurek2023.size_sweep import SWEEPS, Sweep
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import GREY, canvas, draw_band
from icl import checks, inference, sweeps
from icl.baselines import GradientFlow, Ridge
from icl.compare import effective, rank
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "1 min",
    "quick": "26 min, 1.5 min once the models are trained",
    "longer": "75 min, an estimate",
    "paper": "1,728 models, 80 days of one H100, an estimate",
}

SMALL_STEP = 0.01
"""The rate of the steps in which the time of gradient flow is counted."""

BOUNDS = ("value", "low", "high", "distance", "at_end")
"""What is kept of a fit: its value, the interval, the distance and the end it is at."""

NOUNS = {"layers": "depth", "width": "width"}

MARKS = {
    "?": "the family is not separated from the next",
    "*": "predicting 0 is nearer than any learner",
}
"""What the marks beside the name of the nearest learner mean."""


@dataclass(frozen=True)
class Config:
    """Settings of Figure 3.

    Attributes:
        sweep: the models, and the prompts on which they are compared.
        fitted: the number of these prompts to which alpha and the number of steps are
            fitted.
        shallow_seeds: the number of seeds of the models of one and of two layers at the
            smallest dimension, which cost little; the claims about these use them all.
            They are the numbers from the sweep's first seed on. 1: the seeds of the
            sweep.
    """

    sweep: Sweep
    fitted: int = 1_000
    shallow_seeds: int = 1

    def __post_init__(self) -> None:
        self.sweep.evaluation.require_part("fitted", self.fitted)
        checks.positive_int("shallow_seeds", self.shallow_seeds)

    @property
    def shallow(self) -> Sweep | None:
        """The sweep of the shallow models over many seeds, if there is one."""
        sweep, layers = self.sweep, tuple(n for n in self.sweep.layers if n <= 2)
        if self.shallow_seeds == 1 or not layers:
            return None
        return replace(
            sweep,
            dims=sweep.dims[:1],
            steps=None if sweep.steps is None else sweep.steps[:1],
            layers=layers,
            widths=(sweep.model.width,),
            heads=(sweep.model.heads,),
            model=replace(sweep.model, layers=layers[0]),
            seeds=tuple(sweep.seeds[0] + more for more in range(self.shallow_seeds)),
            full_grid=False,
        )


PRESETS = {
    "tiny": Config(SWEEPS["tiny"], fitted=64),
    "quick": Config(SWEEPS["quick"], shallow_seeds=5),
    "longer": Config(SWEEPS["longer"]),
    "paper": Config(SWEEPS["paper"]),
}


def settings(config: Config) -> list[Setting]:
    """Returns all runs of both sweeps, each once."""
    runs = size_sweep.settings(config.sweep)
    if config.shallow is not None:
        runs += size_sweep.settings(config.shallow)
    return list(dict.fromkeys(runs))


def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns the distances of every point to every learner, and the best fits.

    Returns:
        What `size_sweep.measure` returns for n < d, and `effective` over
        (dim, point, seed, path, bound). For each path, "alpha" and "steps", it holds
        the value that fits best, the ends "low" and "high" of its interval, the
        "distance" there, and "at_end": -1 or 1 where the value is the first or the last
        that was tried, and 0 elsewhere. Of the shallow models of many seeds there is
        what `fig3_claims.of_shallow` undoes.
    """
    learners = [
        *itertools.chain(*fig3_claims.FAMILIES.values()),
        fig3_claims.PREDICTS_ZERO,
    ]
    sweep, regions = config.sweep, ["n < d"]
    sweeps.train_missing(settings(config), models)
    dataset = size_sweep.measure(sweep, models, learners, regions, pooled=False)
    dataset = dataset.assign(effective=_effective(config, models, dataset))
    if config.shallow is None:
        return dataset
    shallow = size_sweep.measure(
        config.shallow, models, learners, regions, pooled=False
    )
    return fig3_claims.with_shallow(dataset, shallow)


def _effective(config: Config, models: Models, dataset: xr.Dataset) -> xr.DataArray:
    """Returns `effective` for the chosen runs; NaN where all failed."""
    grid = np.geomspace(1e-3, 1e2, 51)
    paths = [
        ([Ridge(float(alpha)) for alpha in grid], grid),
        ([GradientFlow(float(time)) for time in grid], grid / SMALL_STEP),
    ]

    resamples = config.sweep.evaluation.resamples

    @cache
    def fit(run: Setting) -> np.ndarray:
        """Returns the best fits of a run over (path, bound)."""
        prompts = size_sweep.evaluated(config.sweep, run.task.dim)
        prompts = inference.first(prompts, config.fitted)
        predicted = inference.predictions(models(run).model, prompts)
        fits = []
        for path, values in paths:
            best = effective(predicted, prompts, path, values, resamples=resamples)
            side = 1 if best.value > values[len(values) // 2] else -1
            fits.append([*best[:4], best.at_edge * side])
        return np.array(fits)

    shape = (*dataset.best_shape.shape, len(paths), len(BOUNDS))
    fitted = np.full(shape, np.nan)
    for index, run in size_sweep.chosen(config.sweep, dataset):
        fitted[index] = fit(run)
    return xr.DataArray(
        fitted,
        dims=(*dataset.best_shape.dims, "path", "bound"),
        coords={"path": ["alpha", "steps"], "bound": list(BOUNDS)},
    )


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws distances, the nearest learner and the fits, by depth and by width."""
    dataset = dataset.sel(region="n < d")
    bands = size_claims.resample(dataset).band(lambda means: means.distance)
    columns = [(int(d), size) for d in dataset.dim for size in ("layers", "width")]
    # Room for a title above the only size, and for the legend below the fewest sizes.
    widths = [max(2, len(size_claims.values(dataset, size))) for _, size in columns]
    with canvas(max(10.5, 0.62 * sum(widths) + 1.2), 8.6) as figure:
        grid = figure.subplots(
            4,
            len(columns),
            sharex="col",
            sharey="row",
            squeeze=False,
            width_ratios=widths,
            height_ratios=(5, 0.8, 1.6, 1.6),
        )
        for (d, size), axes in zip(columns, grid.T, strict=True):
            sizes = size_claims.values(dataset, size)
            at = {"dim": d, "point": size_claims.points(size, sizes)}
            _draw_distances(axes[0], [band.sel(at) for band in bands], dataset.sel(at))
            _draw_nearest(axes[:2], dataset.sel(at))
            _draw_fits(axes[2:], dataset.effective.sel(at))
            axes[0].set_title(f"d = {d}, by {NOUNS[size]}")
            axes[3].set_xlabel(size)
            axes[3].set_xticks(range(len(sizes)), [str(value) for value in sizes])
            axes[3].set_xlim(-0.5, len(sizes) - 0.5)
        grid[0, 0].set_ylabel("distance to each learner\n(mean of SPD / d over n < d)")
        grid[1, 0].set_ylabel("nearest\nlearner", rotation=0, ha="right", va="center")
        grid[2, 0].set_ylabel("best penalty\nof ridge")
        grid[3, 0].set_ylabel(f"best number of\nGD steps ({SMALL_STEP})")
        figure.legend(
            *_explained(grid, _chooses(dataset)), loc="outside lower center", ncols=4
        )
    return figure


def _chooses(part: xr.Dataset) -> bool:
    """Returns whether another run than the chosen one is nearer to some learner."""
    nearer = part.distance.mean("prompt") - part.least_distance
    return bool((nearer > 1e-6 * part.least_distance).any())


def _explained(grid: np.ndarray, several: bool) -> tuple[list[Any], list[str]]:
    """Returns the legend: all curves, and the backgrounds and marks that are drawn."""
    handles, labels = grid[0, 0].get_legend_handles_labels()
    if several:
        handles.append(Line2D([], [], color="black", linestyle=":", linewidth=1))
        labels.append("the run nearest to the learner")
    drawn = {patch.get_facecolor() for axes in grid[1] for patch in axes.patches}
    for family, style in BACKGROUNDS.items():
        patch = Patch(**style)
        if patch.get_facecolor() in drawn:
            handles.append(patch)
            labels.append(f"{family} is nearest")
    names = "".join(text.get_text() for axes in grid[1] for text in axes.texts)
    for mark, meaning in MARKS.items():
        if mark in names:
            handles.append(Line2D([], [], ls="", marker=f"${mark}$", color="black"))
            labels.append(meaning)
    return handles, labels


def _draw_distances(axes: Axes, band: Sequence[xr.DataArray], part: xr.Dataset) -> None:
    """Draws one curve for each learner."""
    styles: dict[str, Mapping[str, Any]] = dict(STYLES)
    styles[PREDICTS_ZERO.name] = {"color": GREY, "linewidth": 1}
    x, several = range(part.sizes["point"]), _chooses(part)
    for learner in part.learner.values:
        style, at = styles[learner], {"learner": learner}
        label = "predicting 0" if learner == PREDICTS_ZERO.name else learner
        draw_band(axes, x, [each.sel(at) for each in band], label=label, **style)
        if several:
            others = part.least_distance.sel(at).mean("seed")
            axes.plot(x, others, color=style["color"], linestyle=":", linewidth=1)
    thin = {"color": "black", "linewidth": 1}
    for path, line, label in (
        ("alpha", "--", "ridge regression of the best alpha"),
        ("steps", "-.", "gradient flow of the best time"),
    ):
        fitted = part.effective.sel(path=path, bound="distance").mean("seed")
        axes.plot(x, fitted, linestyle=line, label=label, **thin)
    axes.set_yscale("log")


def _draw_nearest(axes: Sequence[Axes], part: xr.Dataset) -> None:
    """Draws the background of the curves, and the names in the strip below them."""
    resamples = int(part.attrs["resamples"])
    by_point = part.distance.mean("seed", skipna=False)
    by_point = by_point.transpose("point", "prompt", "learner")
    of_zero = by_point.sel(learner=PREDICTS_ZERO.name).mean("prompt").values
    by_point = by_point.drop_sel(learner=PREDICTS_ZERO.name)
    for x, distance in enumerate(by_point.values):
        if np.isnan(distance).any():
            continue
        nearest = rank(distance, FAMILIES, resamples=resamples)
        for each in axes:
            each.axvspan(
                x - 0.5, x + 0.5, lw=0, zorder=0, **BACKGROUNDS[nearest.winner.family]
            )
        name = nearest.winner.learner.name.replace("(", "\n(").replace(" ", "\n")
        name += "" if nearest.separated else "?"
        name += "*" if of_zero[x] < nearest.winner.distance else ""
        axes[1].text(x, 0.5, name, ha="center", va="center", fontsize=7)
    axes[1].set(ylim=(0, 1), yticks=[])
    axes[1].grid(visible=False)


def _draw_fits(axes: Sequence[Axes], effective: xr.DataArray) -> None:
    """Draws the effective alpha and number of steps, each seed beside the other."""
    shifts = np.linspace(-0.2, 0.2, effective.sizes["seed"] + 2)[1:-1]
    for each, path in zip(axes, effective.path.values, strict=True):
        for shift, seed in zip(shifts, effective.seed.values, strict=True):
            fit = effective.sel(path=path, seed=seed)
            value, low, high, at_end = (
                fit.sel(bound=bound).values
                for bound in ("value", "low", "high", "at_end")
            )
            x = np.arange(len(value)) + shift
            errors = np.maximum((value - low, high - value), 0)
            each.errorbar(x, value, errors, fmt="o", color="black", ms=4)
            for marker, beyond in (("v", -1), ("^", 1)):
                at = at_end == beyond
                each.plot(x[at], value[at], marker, color="black", ms=8)
        each.set_yscale("log")


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
