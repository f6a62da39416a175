"""What helps a model to add, and to which sums does it carry over what it has learnt?

Claim: training sets that are balanced by carries and lines with all their digits help;
operands that were left out are no harder; longer numbers are beyond a model unless
digits of equal significance share a position; one worked line helps.

Paper: sections 3 to 6 of Lee et al. 2023 (claims L5, L11 to L13 and L19), with the
positions of Cho et al. 2024 and McLeish et al. 2024.

Run: python -m experiments.lee2023.variants quick

How to read it: on the left, the share of right answers of each way to train, by what is
asked: unseen sums as in training, sums with an operand that was left out, sums of a
digit more, sums after one or three worked lines; faint points are single seeds. On the
right, unseen sums by their number of carries, for training sets that are balanced by
carries or uniform. Bands and bars are 95 % intervals over sums, and over seeds if there
are several. Answers are greedy. The released accuracies, sampled at a temperature of
0.8 from models with 10.6M parameters, of plain lines: 88 % without padding, 98 % with
it; by 0, 1, 2 and 3 carries 76, 88, 92 and 96 % before anything was balanced.
"""

import sys
from typing import Any

import matplotlib.figure
import xarray as xr
from matplotlib.axes import Axes

from experiments.engine.claims.intervals import Resampled
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SHARES,
    VERMILLION,
    canvas,
    draw_band,
)
from experiments.lee2023 import formats
from experiments.lee2023.formats_measure import setting_of
from experiments.lee2023.variants_claims import by_carries, claims, resampled, share
from experiments.lee2023.variants_measure import (
    QUESTIONS,
    Config,
    measure,
    settings,
)
from experiments.reference_models import SUMS
from icl import sweeps
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "2 min",
    "quick": "25 min, 1 min once the models are trained",
    "paper": "40 models, 2.1e16 floating-point operations each: a GPU",
}
PRESETS = {
    "tiny": Config(
        setting_of(formats.PRESETS["tiny"], "reverse", 500, 0),
        variants=("uniform", "coupled"),
        seeds=1,
        evaluation=Evaluation(prompts=64, resamples=200),
    ),
    "quick": Config(SUMS),
    "paper": Config(
        Setting(
            SUMS.task, formats.PRESETS["paper"].model, formats.PRESETS["paper"].train
        ),
        evaluation=Evaluation(prompts=10_000),
    ),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and asks them: see `variants_measure.measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


# --- the picture ---

COLOURS = dict(zip(QUESTIONS, (BLUE, ORANGE, VERMILLION, GREEN, PURPLE), strict=True))
MARKERS = dict(zip(QUESTIONS, "osD^v", strict=True))


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws shares of right answers by variant and question, and by carries."""
    sampled = resampled(dataset)
    with canvas(9, 4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for question in QUESTIONS:
            _answers(left, dataset, sampled, question)
        left.set_xticks(range(dataset.sizes["variant"]), dataset.variant.values)
        left.tick_params(axis="x", rotation=30)
        left.set(ylabel="share that is right", ylim=SHARES)
        for name, colour in (("balanced", BLUE), ("uniform", VERMILLION)):
            if name in dataset.variant.values:
                band = sampled.band(by_carries(name))
                style = {"color": colour, "label": name}
                draw_band(right, "carries", band, "o-", **style)
                right.legend(title="training set")
        right.set(xlabel="carries of an unseen sum", ylim=SHARES)
        right.set_xticks(range(int(dataset.attrs["digits"]) + 1))
        left.legend()
    return figure


def _answers(
    axes: Axes, dataset: xr.Dataset, sampled: Resampled, question: str
) -> None:
    """Draws the answers to one question, of every variant that has any."""
    place = 0.12 * (QUESTIONS.index(question) - 2)
    style: dict[str, Any] = {"color": COLOURS[question], "marker": MARKERS[question]}
    label = question
    for number, name in enumerate(dataset.variant.values.tolist()):
        single = dataset.exact.sel(variant=name, question=question).mean("prompt")
        if single.isnull().any():
            continue
        value, low, high = sampled.band(share(name, question))
        bar = [[float(value - low)], [float(high - value)]]
        axes.errorbar([number + place], [float(value)], yerr=bar, label=label, **style)
        faint = style | {"linestyle": "none", "alpha": 0.35, "markersize": 3}
        axes.plot([number + place] * single.size, single.values.ravel(), **faint)
        label = "_" + question  # once in the legend


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
