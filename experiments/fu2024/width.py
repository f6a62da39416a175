"""The error of transformers by their width, beside the dimension of the inputs.

Claim: to learn linear regression in its context a transformer needs a width of the
order of d. One of half of d is not enough, and one of twice d is.

Paper: the figure of Fu et al. 2024 that varies the hidden size (claim F12). At d = 20
the paper needs a hidden size of 32 to 64. The widths here, and the bar, are ours.

Run: python -m experiments.fu2024.width quick

How to read it: on the left is the error by number of examples over the variance of a
label, of transformers that differ in their width alone, beside least squares (OLS). On
the right is the error after 2d examples by width, in units of d. Bands are 95 %
intervals over prompts, and over seeds if there are several.
"""

import sys
from dataclasses import dataclass, replace

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Ratio, Statistic
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation, linear_task
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import own_settings
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    VERMILLION,
    canvas,
    count_examples,
    draw_band,
)
from experiments.reference_models import RELEASED, SETTINGS
from icl import checks, inference, sweeps
from icl.baselines import LeastSquares
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "20 s",
    "quick": "20 min, 1 min once the models are trained",
    "paper": "2 hours on one H100, an estimate",
}

MULTIPLES = (0.5, 1.0, 2.0, 4.0)
"""The widths of the models, in units of d."""

NARROW, WIDE = 0.5, 2.0
"""The widths that the claim compares."""


@dataclass(frozen=True)
class Config:
    """Settings of the models and of their comparison.

    Attributes:
        setting: a model; the others are the same but for their width.
        seeds: the number of models of each width; their seeds are that of the setting
            and the numbers after it.
        evaluation: the prompts.
    """

    setting: Setting
    seeds: int = 1
    evaluation: Evaluation = Evaluation()

    def __post_init__(self) -> None:
        task = linear_task(self.setting, own_weights=True)
        checks.positive_int("task.dim", task.dim, minimum=2)
        checks.positive_int("task.length", task.length, minimum=2)
        checks.normalise(self, checks.positive_int, "seeds")
        settings(self)  # which refuses heads that do not divide a width


def settings(config: Config) -> list[Setting]:
    """Returns all models, the narrowest first."""
    dim = linear_task(config.setting).dim
    return [
        replace(one, model=replace(one.model, width=round(times * dim)))
        for times in MULTIPLES
        for one in own_settings(config)
    ]


PRESETS = {
    "tiny": Config(
        SETTINGS["tiny"], seeds=2, evaluation=Evaluation(prompts=48, resamples=100)
    ),
    "quick": Config(SETTINGS["quick"], seeds=3),
    "paper": Config(replace(RELEASED, model=replace(RELEASED.model, heads=2))),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models, and measures all: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the errors of all models on the same prompts.

    Returns:
        A Dataset with `error` over (times, seed, prompt, context), squared errors over
        the variance of a label, where `times` is the width in units of d; and
        `least_squares` over (prompt, context).
    """
    task = linear_task(config.setting)
    prompts, _ = config.evaluation.sample(task)
    ys = np.asarray(prompts.ys, float)
    said = [inference.predictions(models(s).model, prompts) for s in settings(config)]
    shape = (len(MULTIPLES), config.seeds, *ys.shape)
    predicted = np.stack(said).astype(float).reshape(shape)
    ols = np.asarray(LeastSquares()(prompts).predictions, float)
    found = {
        "error": (
            ("times", "seed", "prompt", "context"),
            np.square(predicted - ys) / task.normaliser,
        ),
        "least_squares": (("prompt", "context"), np.square(ols - ys) / task.normaliser),
    }
    coords = {"times": list(MULTIPLES), "seed": range(config.seeds)}
    about = {"dim": task.dim, "resamples": config.evaluation.resamples}
    return xr.Dataset(found, coords | {"context": np.arange(ys.shape[1])}, about)


# --- claims ---


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def at_end(times: float) -> Statistic:
    """Returns the error after the longest context of models of one width."""
    return lambda means: means.error.sel(times=times).isel(context=-1)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the paper says of the hidden size."""
    judge = Judge(
        "fu2024",
        "width",
        "Fu et al. 2024, on the hidden size; threshold ours",
        resampled=resample(dataset),
    )
    d, n = int(dataset.attrs["dim"]), int(dataset.context[-1])
    return [
        judge(
            "F12",
            f"A width of half of d = {d} is not enough: after {n} examples the error "
            "is more than ten times that of a width of 2d.",
            Ratio(at_end(NARROW), at_end(WIDE)),
            ">",
            10.0,
            unit="error / error at a width of 2d",
            bar="ours",
        )
    ]


# --- the picture ---

COLORS = dict(zip(MULTIPLES, (VERMILLION, ORANGE, GREEN, BLACK), strict=True))


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws errors by number of examples, and at the end by width."""
    resampled = resample(dataset)
    with canvas(10, 4) as figure:
        errors, last = figure.subplots(1, 2)
        for times, color in COLORS.items():
            band = resampled.band(
                lambda means, times=times: means.error.sel(times=times)
            )
            style = {"color": color, "label": f"width {times:g} d", "ms": 3}
            draw_band(errors, "context", band, "o-", **style)
        ols = resampled.means.least_squares
        errors.plot(ols.context, ols.where(ols > 1e-6), "--", color=BLUE, label="OLS")
        count_examples(errors, int(dataset.attrs["dim"]))
        errors.set_ylabel("squared error / variance of y")
        band = resampled.band(lambda means: means.error.isel(context=-1))
        draw_band(last, "times", band, "o-", color=BLACK)
        last.set_xscale("log", base=2)
        last.set_xticks(MULTIPLES, [f"{times:g}" for times in MULTIPLES])
        last.set(xlabel="width / d", ylabel=f"error after {int(ols.context[-1])} pairs")
        for axes in (errors, last):
            axes.set_yscale("log")
        errors.legend(fontsize=8)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
