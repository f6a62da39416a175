"""The error of a model on functions that are not linear, beside learners made for them.

Claim: a transformer that was trained on sparse linear functions is nearly as good as
the Lasso; on decision trees it is better than greedy trees and boosting; on two-layer
networks it is as good as a network trained by gradient descent on the context, and it
has learnt linear functions as well.

Paper: Figure 5 of Garg et al. 2022 (claims 13-17).

Run: python -m experiments.garg2022.classes quick

How to read it: there is a panel for each class, with the error by number of examples:
the mean squared difference to the label over the mean square of a function, so that
predicting 0 has the error 1. The Gaussian process with the arc-cosine kernel is the
Bayes predictor of networks of many units. The straight line has an intercept, which
least squares has not. Points at the end are learners that were fitted to the longest
context only, on fewer prompts. Bands are 95 % intervals over prompts, for one model
each. Where the curve of the model stays near 1, or near that of the straight line, it
has not left its plateau in these steps.
"""

import sys
from dataclasses import replace

import matplotlib.figure
import xarray as xr

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
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
    count_examples,
    draw_band,
)
from experiments.garg2022.classes_claims import claims, of, resample
from experiments.garg2022.classes_measure import (
    BOOSTING,
    CLASSES,
    DESCENT,
    LINE,
    MEAN,
    MODEL,
    NEIGHBOURS,
    PROCESS,
    SIGNS,
    Config,
    measure,
    settings,
)
from experiments.reference_models import RELEASED, SETTINGS
from icl import Curriculum, sweeps
from icl.sweeps.store import Models

TIMES = {
    "tiny": "1 min",
    "quick": "25 min, 4 min once the models are trained",
    "paper": "4 h of training on one H100, an estimate",
}
PRESETS = {
    "tiny": Config(
        SETTINGS["tiny"].model,
        SETTINGS["tiny"].train,
        dim=5,
        k=1,
        hidden=4,
        depth=2,
        pairs=8,
        longer=9,
        few=3,
        epochs=5,
        evaluation=Evaluation(prompts=16, resamples=100),
    ),
    "quick": Config(
        SETTINGS["quick"].model,
        SETTINGS["quick"].train,
        dim=8,
        k=2,
        hidden=32,
        depth=3,
        pairs=17,
        longer=33,
    ),
    "paper": Config(
        RELEASED.model,
        replace(RELEASED.train, curriculum=Curriculum.garg()),
    ),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `classes_measure.measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


# --- the picture ---

COLORS = {
    MODEL: BLACK,
    "least squares": BLUE,
    "Lasso(0.01)": GREEN,
    "Lasso(0.1)": SKY,
    LINE: SKY,
    PROCESS: GREEN,
    "greedy": ORANGE,
    "greedy, depth 4": VERMILLION,
    MEAN: GREY,
    NEIGHBOURS: PURPLE,
}
POINTS = {
    BOOSTING: ("s", GREEN),
    BOOSTING + SIGNS: ("D", GREEN),
    DESCENT: ("s", VERMILLION),
}
HIGHEST = 2.0


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws a panel for each class."""
    resampled, dim = resample(dataset), int(dataset.attrs["dim"])
    with canvas(13, 5.6) as figure:
        panels = figure.subplots(1, len(CLASSES), sharey=True)
        for axes, name in zip(panels, CLASSES, strict=True):
            for learner, color in COLORS.items():
                band = [
                    part.dropna("context") for part in resampled.band(of(name, learner))
                ]
                if band[0].size:
                    draw_band(axes, "context", band, color=color, label=learner)
            for learner, (marker, color) in POINTS.items():
                at = {"class": name, "regressor": learner}
                found = float(resampled.means["last"].sel(at))
                end = int(dataset.attrs["longer"]) - 1
                if found == found:  # it is a number
                    axes.plot(end, found, marker, color=color, label=learner)
            axes.set_title(name.replace(", ", ",\n"))
            count_examples(axes, dim)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
        panels[0].set(ylim=(0, HIGHEST), ylabel="squared error / mean square of f(x)")
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
