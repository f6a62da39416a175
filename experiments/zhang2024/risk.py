"""The risk of one trained layer of linear attention, on contexts unlike its own.

Claim: a layer of linear self-attention that was trained on contexts of N pairs answers
x_q' G (1/M) X'y with a matrix G that follows from N and the covariance of inputs alone.
So its error on contexts of any length and covariance is known beforehand: longer
contexts do not bring it to 0, and inputs of twice the covariance make it as bad as
predicting 0.

Paper: Zhang, Frei and Bartlett 2024, Theorems 4.1 and 4.2 (claims Z1-Z6).

Run: python -m experiments.zhang2024.risk quick

How to read it: crosses are closed forms, and circles trained layers, of which there are
several with different seeds; errors are in units of that of predicting 0. On the left
is the error by the length of the context, with dotted lines for infinitely long ones.
In the middle is the error where the covariance of inputs, of the context and the query
alike, is multiplied by a factor, beside that of a transformer with softmax attention
and of the layer that would have its d and n. On the right is the distance of the learnt
G to the closed form, with the largest entry of all else. Errors are averaged over
queries exactly; that a shift of the query alone changes nothing (Z3) is therefore not a
claim here: it holds for every learner that is linear in the query.
"""

import sys

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    canvas,
)
from experiments.reference_models import SETTINGS
from experiments.zhang2024.risk_claims import claims, resample
from experiments.zhang2024.risk_measure import INPUTS, Config, measure, settings
from icl import TrainConfig, sweeps
from icl.sweeps.store import Models

TIMES = {
    "tiny": "20 s",
    "quick": "8 min, 1 min once the layers are trained",
    "paper": "30 min on one H100, an estimate",
}

LONG = TrainConfig(
    steps=4_000,
    batch=256,
    learning_rate=3e-3,
    evaluate_every=1_000,
    held_out=2_048,
    checkpoint_every=4_000,
)

SHORT = TrainConfig(
    steps=40,
    batch=32,
    evaluate_every=40,
    held_out=32,
    chunk=20,
    checkpoint_every=40,
)
PRESETS = {
    "tiny": Config(
        dim=2,
        pairs=4,
        train=SHORT,
        transformer=SETTINGS["tiny"],
        seeds=2,
        evaluation=Evaluation(prompts=64, seed=1, resamples=100),
    ),
    "quick": Config(dim=10, pairs=40, train=LONG, transformer=SETTINGS["shipped"]),
    "paper": Config(
        dim=10,
        pairs=40,
        train=TrainConfig(
            steps=40_000,
            batch=2_048,
            learning_rate=1e-3,
            held_out=8_192,
            checkpoint_every=40_000,
        ),
        transformer=SETTINGS["shipped"],
        evaluation=Evaluation(prompts=50_000, seed=1, resamples=500),
    ),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing layers and measures all: see `risk_measure.measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


COLORS = {"isotropic": BLACK, "uneven": BLUE}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws errors by length and by shift, and how far G is from the closed form."""
    means = resample(dataset).means
    with canvas(12, 4) as figure:
        lengths, shifts, apart = figure.subplots(1, 3)
        for inputs, color in COLORS.items():
            part = means.sel(inputs=inputs)
            own = part.error.sel(learner="model").transpose("longer", "seed")
            label = f"trained, {inputs} inputs"
            lengths.plot(own.longer, own, "o", color=color, markerfacecolor="none")
            lengths.plot([], [], "o", color=color, markerfacecolor="none", label=label)
            lengths.plot(part.longer, part.risk, "x--", color=color, lw=0.6)
            lengths.axhline(
                float(part.limit), color=color, linestyle=":", linewidth=0.9
            )
        lengths.set(xscale="log", yscale="log", title="longer contexts")
        _name_ticks(lengths, means.longer.values)
        lengths.set(xlabel="pairs / pairs in training", ylabel="error / that of 0")
        own = means.shifted.sel(learner="model").transpose("shift", "seed")
        shifts.plot(own["shift"], own, "o", color=BLACK, markerfacecolor="none")
        shifts.plot(own["shift"], means.risk_shifted, "x--", color=BLACK, label="layer")
        shifts.plot(
            own["shift"], means.transformer, "s-", color=ORANGE, label="transformer"
        )
        label = "layer with its d and n"
        shifts.plot(
            own["shift"], means.risk_transformer, "x:", color=GREEN, label=label
        )
        shifts.axhline(1, color=GREY, linewidth=0.9)
        shifts.set(xscale="log", yscale="log", title="inputs of another covariance")
        _name_ticks(shifts, own["shift"].values)
        shifts.set(xlabel="covariance / that in training")
        for place, inputs in enumerate(INPUTS):
            for name, marker in (("apart", "o"), ("rest", "^")):
                values = means[name].sel(inputs=inputs).values
                at = place + np.linspace(-0.15, 0.15, len(values))
                apart.plot(at, values, marker, color=COLORS[inputs])
        apart.set_xticks(range(len(INPUTS)), INPUTS)
        apart.plot([], [], "o", color=GREY, label="G: relative distance")
        apart.plot([], [], "^", color=GREY, label="largest other entry")
        apart.set(yscale="log", title="what was learnt and the closed form")
        for axes in (lengths, shifts, apart):
            axes.legend(fontsize=8)
    return figure


def _name_ticks(axes: Axes, places: np.ndarray) -> None:
    """Puts ticks at these places alone."""
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.xaxis.minorticks_off()


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
