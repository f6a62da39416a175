"""The copying layer: x and y apart, a first layer brings them together.

Claim: where x and y are tokens of their own, a first layer learns to copy each y to its
x, as the first half of an induction head does, and at that moment the loss falls to
that of one step of gradient descent, which the second layer takes.

Paper: Figure 5 of von Oswald et al. 2023 (claims O12-O14).

Run: python -m experiments.vonoswald2023.copying quick

How to read it: on the left is the loss while models learn, a line for each seed, with
that of predicting 0 and that of one gradient step in closed form. On the right is how
much the first layer puts at an x of its own token, of the next one, which is its y, and
of any other: the size of the mean derivative of its output by each token. Losses are
mean squared errors at the query, which the paper halves.
"""

import sys

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Ratio, Statistic
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import BLACK, BLUE, GREY, ORANGE, canvas
from experiments.vonoswald2023.copying_measure import WHERE, Config, measure
from experiments.vonoswald2023.own_training import Training
from icl.sweeps.store import Models

TIMES = {
    "tiny": "10 s",
    "quick": "15 min",
    "paper": "20 min on one H100, an estimate",
}
PRESETS = {
    "tiny": Config(
        Training(steps=20, batch=8, looks=4),
        dim=2,
        pairs=3,
        positions=4,
        keys=4,
        seeds=2,
        evaluation=Evaluation(prompts=48, seed=1, resamples=100),
    ),
    "quick": Config(Training(steps=8_000)),
    "paper": Config(Training(steps=10_000, batch=2_048)),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the models: see `copying_measure.measure`."""
    del models  # these are of a kind of their own
    return measure(config)


# --- claims ---


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts and those of every resample, with what was seen."""
    found = intervals.resample(dataset[["error"]], ("prompt",))
    seen = dataset[["loss", "share"]]

    def joined(part: xr.Dataset) -> xr.Dataset:
        return part.merge(seen.expand_dims(draw=part.sizes["draw"]))

    without = None if found.without is None else joined(found.without)
    return Resampled(found.means.merge(seen), joined(found.draws), without)


def times_apart(means: xr.Dataset, zero: float, one_step: float) -> xr.DataArray:
    """Returns how much later the loss falls than the share of the next token rises.

    It is a share of the run, of the first looks at which the share is above half of its
    last value, and the loss below the middle of predicting 0 and of one step. A loss
    that never falls so far has not fallen at the end.
    """
    share = means.share.sel(where="next")
    risen = (share > share.isel(step=-1) / 2).argmax("step")
    below = means.loss < (zero + one_step) / 2
    last = below.sizes["step"] - 1
    fallen = below.argmax("step").where(below.any("step"), last)
    return (fallen - risen) / last


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the paper says of the copying layer."""
    judge = Judge(
        "vonoswald2023",
        "copying",
        "von Oswald et al. 2023, Fig. 5",
        note=f"{dataset.step.values[-1]:,} updates; the paper's figure goes beyond "
        "40,000.",
        resampled=resample(dataset),
    )
    one_step, zero = dataset.attrs["step_loss"], dataset.attrs["zero_loss"]

    def at_end(where: str) -> Statistic:
        return lambda means: means.share.sel(where=where).isel(step=-1)

    return [
        judge(
            "O12a",
            "At the end the first layer puts at an x more than twice as much of the "
            "next token, its y, as of its own.",
            Ratio(at_end("next"), at_end("own")),
            ">",
            2.0,
            unit="size of the derivative / that by its own token",
            bar="ours",
            interval_over="seeds",
        ),
        judge(
            "O12b",
            "It puts there more than five times as much of it as of any other token.",
            Ratio(at_end("next"), at_end("others")),
            ">",
            5.0,
            unit="size of the derivative / mean of those by others",
            bar="ours",
            interval_over="seeds",
        ),
        judge(
            "O13",
            f"Two layers reach the loss of one step of gradient descent, "
            f"{one_step:.4f}, to 5 %.",
            Ratio(lambda means: means.error, lambda _: xr.DataArray(one_step)),
            "<",
            1.05,
            unit="loss / loss of one step",
            bar="ours",
        ),
        judge(
            "O14",
            "The loss falls when the share of the next token rises: the two times "
            "differ by less than a tenth of the run.",
            lambda means: times_apart(means, zero, one_step),
            "within",
            0.1,
            unit="difference of times / length of the run",
            bar="ours",
            interval_over="seeds",
        ),
    ]


# --- the picture ---


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws losses and shares by step."""
    with canvas(10, 4) as figure:
        losses, shares = figure.subplots(1, 2)
        steps = dataset.step.values
        losses.plot(steps, dataset.loss.values.T, color=BLACK, linewidth=0.9)
        for name, color in (("zero_loss", GREY), ("step_loss", BLUE)):
            label = {"zero_loss": "predicting 0", "step_loss": "one gradient step"}[
                name
            ]
            losses.axhline(dataset.attrs[name], color=color, ls="--", label=label)
        losses.set(xlabel="updates", ylabel="mean squared error at the query")
        losses.legend()
        for where, color in zip(WHERE, (BLACK, ORANGE, GREY), strict=True):
            values = dataset.share.sel(where=where).values
            shares.plot(steps, values.T, color=color, linewidth=0.9)
            shares.plot([], [], color=color, label=where)
        shares.set(xlabel="updates", ylabel="size of the derivative, first layer at x")
        shares.set_ylim(0, max(1.05 * float(np.max(dataset.share)), 0.01))
        shares.legend(title="by which token")
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
