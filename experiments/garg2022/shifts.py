"""The error of a linear-regression model on prompts that it was not trained on.

Claim: a transformer that was trained on linear functions of normal inputs predicts
almost as well as least squares where the inputs lie in a subspace, have a skewed
covariance or lie in one orthant, and where the query is one of the inputs of the
context. Larger inputs or weights than in training are where it breaks down.

Paper: Figures 2 and 4 and section 4 of Garg et al. 2022 (claims 1-3 and 5-12).

Run: python -m experiments.garg2022.shifts shipped

How to read it: there is one panel for each shift of the prompts, with the error by
number of examples: the mean squared difference to the right answer over the variance of
a label, so that predicting 0 has the error 1. The vertical axis is logarithmic and ends
at 0.0001: the error of least squares is 0 from n = d on, unless labels are noisy. An
orthogonal query is asked for n < d, where there are such. Noisy labels are scaled to
the variance that they have without noise. Bands are 95 % intervals over prompts, and
over seeds if there are several. Every prompt has a rotation, subspace or orthant of its
own.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation, linear_task
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import over_seeds
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    canvas,
    count_examples,
    draw_band,
    legend_below,
)
from experiments.garg2022.shifts_claims import claims, error, resample
from experiments.reference_models import RELEASED, SETTINGS
from icl import checks, inference
from icl.baselines import Average, LeastSquares, NearestNeighbors, Ridge
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks.shifts import SHIFTS

TIMES = {
    "tiny": "30 s",
    "quick": "15 min, 1 min once the models are trained",
    "shipped": "1 min, without any training",
    "paper": "35 min of training on one H100, an estimate",
}


@dataclass(frozen=True)
class Config:
    """Settings of the suite of shifts.

    Attributes:
        setting: the model, or the first of several.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
        evaluation: the prompts that are shifted.
    """

    setting: Setting
    evaluation: Evaluation = Evaluation()
    seeds: int = 1

    def __post_init__(self) -> None:
        task = linear_task(self.setting, own_weights=True)
        checks.positive_int("seeds", self.seeds)
        checks.positive_int("task.dim", task.dim, minimum=2)
        checks.positive_int("task.length", task.length, minimum=task.dim + 1)


PRESETS = {
    "tiny": Config(SETTINGS["tiny"], Evaluation(prompts=64, resamples=200)),
    "quick": Config(SETTINGS["quick"], seeds=3),
    "shipped": Config(SETTINGS["shipped"]),
    "paper": Config(RELEASED),
}
LEARNERS = [LeastSquares(), Ridge(1.0), Average(), NearestNeighbors(3)]


@over_seeds
def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns the squared errors of all learners on all shifts, for every prompt.

    Returns:
        A Dataset with `error` over (learner, shift, prompt, context), divided by the
        variance of a label; NaN where a query is orthogonal to d inputs or more.
    """
    task, model = linear_task(config.setting), models(config.setting).model
    prompts, key = config.evaluation.sample(task)
    batch, length = prompts.ys.shape
    learners = [model, *LEARNERS]
    found = np.full((len(learners), len(SHIFTS), batch, length), np.nan, np.float32)
    for place, shift in enumerate(SHIFTS.values()):
        shifted = shift(prompts, jax.random.fold_in(key, place))
        for row, learner in enumerate(learners):
            errors = shifted.errors(inference.answers(learner, shifted))
            found[row, place, :, : errors.shape[1]] = errors
    names = ["ICL", *(learner.name for learner in LEARNERS)]
    return xr.Dataset(
        {"error": (("learner", "shift", "prompt", "context"), found)},
        coords={"learner": names, "shift": list(SHIFTS), "context": np.arange(length)},
        attrs={"dim": task.dim, "resamples": config.evaluation.resamples},
    )


# --- the picture ---

FACTORS = {"0.333": SKY, "0.5": GREEN, "2": ORANGE, "3": VERMILLION}
"""The colour of each factor by which inputs or weights are multiplied."""

CURVES: Mapping[str, Mapping[str, Any]] = {
    "ICL": {"color": BLACK, "marker": "o", "label": "transformer (ICL)"},
    "OLS": {"color": BLUE, "linestyle": "--", "label": "least squares"},
    "3-NN uniform": {
        "color": PURPLE,
        "linestyle": ":",
        "label": "3 nearest neighbours",
    },
    "Average": {"color": ORANGE, "linestyle": ":", "label": "averaging, mean of y x"},
    "Ridge(1)": {"color": GREEN, "linestyle": "-.", "label": "ridge, λ = 1"},
}
PANELS: Mapping[str, tuple[str, ...]] = {
    "none": ("ICL", "OLS", "3-NN uniform", "Average"),
    "half subspace": ("ICL", "OLS"),
    "skewed": ("ICL", "OLS"),
    "random quadrants": ("ICL", "OLS"),
    "opposite quadrants": ("ICL", "OLS"),
    "orthogonal query": ("ICL", "OLS"),
    "query in the context": ("ICL",),
    "noisy labels": ("ICL", "OLS", "Ridge(1)"),
}
TITLES = {"none": "as in training", "half subspace": "x in a half of the space"}
LEAST, MOST = 1e-4, 20.0


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws a panel for each shift, the factors of x and of w together."""
    value, low, high = resample(dataset).band(error)
    bands = xr.Dataset({"value": value, "low": low, "high": high})
    dim = int(dataset.attrs["dim"])
    with canvas(12, 5.6) as figure:
        panels = figure.subplots(2, 5, sharex=True, sharey=True).ravel()
        for axes, (shift, learners) in zip(panels, PANELS.items(), strict=False):
            for learner in learners:
                part = bands.sel(shift=shift, learner=learner)
                _curve(axes, part, **CURVES[learner])
            axes.set_title(TITLES.get(shift, shift))
        for axes, what in zip(panels[len(PANELS) :], "xw", strict=True):
            _curve(axes, bands.sel(shift="none", learner="ICL"), **CURVES["ICL"])
            for factor, color in FACTORS.items():
                part = bands.sel(shift=f"{what} times {factor}", learner="ICL")
                label = f"transformer, times {float(factor):.2g}"
                _curve(axes, part, color=color, label=label)
            axes.set_title(f"{what} larger or smaller")
        for axes in panels:
            count_examples(axes, dim)
            axes.label_outer()
        panels[0].set(yscale="log", ylim=(LEAST, MOST))
        for axes in panels[::5]:
            axes.set_ylabel("squared error / variance of y")
        legend_below(figure, *panels, ncols=4)
    return figure


def _curve(axes: Axes, part: xr.Dataset, **style: Any) -> None:
    """Draws errors with their band; what is below the axis is left out."""
    shown = part.clip(LEAST).where(part.value > LEAST)
    band = [shown[name] for name in ("value", "low", "high")]
    draw_band(axes, "context", band, **style)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
