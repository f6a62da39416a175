"""Tuples by order of magnitude: what ten times the scale does to combinations.

Claim: ten times the parameters and tokens halve the excess loss, and thereby double the
number of skills that are combined as well as single skills were before.

Paper: sections 3 and 5 of Arora and Goyal 2023. The constants of the scaling law are
Chinchilla's as we recall them, and were not checked. That the share of failing pieces
falls in proportion to the loss is an assumption, and so is where it starts.

Run: python -m experiments.arora2023.scale quick

How to read it: on the left, the excess loss falls by half with each tenfold of
parameters and tokens, and the share of wrong two-way answers that Pinsker's inequality
allows falls with its square root. Above 1/2, where guessing is, it says nothing; the
theory's own step from loss to failures begins to speak only far to the right. On the
right, failures are assumed to fall as the loss does, from a share of 0.1. Each curve is
the worst case for nine of ten tuples, which is that of single skills moved to the right
by one order of magnitude for each doubling.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    canvas,
)
from icl import checks
from icl.skills import CHINCHILLA, bound, cloze_failure, worst_case
from icl.sweeps.store import Models

TIMES = {"tiny": "5 s", "quick": "5 s", "paper": "5 s"}

PARAMETERS, TOKENS = 7e10, 1.4e12
"""The size of Chinchilla, where a scale of 1 is."""

SIZES = (1, 2, 4, 8)
"""The numbers of skills of a tuple."""

ALPHA = 0.1
"""The share of tuples that may do worse."""


@dataclass(frozen=True)
class Config:
    """Settings of the scales. No model is trained.

    Attributes:
        decades: the orders of magnitude that are shown.
        points: the number of scales within each.
        k: the number of skills of a piece.
        theta: the share of pieces that fail at a scale of 1, by assumption.
    """

    decades: int = 8
    points: int = 20
    k: int = 8
    theta: float = 0.1

    def __post_init__(self) -> None:
        checks.positive_int("decades", self.decades, minimum=2, maximum=50)
        checks.positive_int("points", self.points, minimum=2, maximum=1_000)
        checks.positive_int("k", self.k, maximum=1_000)
        if not 0 < checks.finite_number("theta", self.theta) < 1 / max(SIZES):
            raise ValueError(
                f"theta must lie between 0 and {1 / max(SIZES)}, so that tuples of "
                f"{max(SIZES)} can be right, got {self.theta!r}."
            )


PRESETS = {"tiny": Config(points=4), "quick": Config(), "paper": Config()}


def compute(config: Config, _: Models) -> xr.Dataset:
    """Computes losses and failure rates by scale.

    Returns:
        A Dataset with, over `decade`, the `excess` loss and the failure rates `pinsker`
        and `variation` that it allows; over (size, decade) the failure rates
        `worst_case` and `bound` of all but a share ALPHA of the tuples, NaN where
        nothing is said; and over `decade` the bound `honest` for single skills at the
        failure rate that Pinsker's inequality allows.
    """
    decades = np.linspace(0, config.decades, config.decades * config.points + 1)
    losses = [CHINCHILLA(PARAMETERS * 10**d, TOKENS * 10**d) for d in decades.tolist()]
    excess = np.array(losses)
    allowed = np.array([cloze_failure(loss) for loss in losses])
    thetas = config.theta * excess / excess[0]
    worst = [[_worst(t * theta, config.k) for theta in thetas] for t in SIZES]
    bounds = [[_bound(t * theta, config.k) for theta in thetas] for t in SIZES]
    return xr.Dataset(
        {
            "excess": ("decade", excess),
            "pinsker": ("decade", allowed),
            "variation": ("decade", allowed / 2),
            "worst_case": (("size", "decade"), np.array(worst)),
            "bound": (("size", "decade"), np.array(bounds)),
            "honest": ("decade", np.array([_bound(t, config.k) for t in allowed])),
        },
        coords={"decade": decades, "size": list(SIZES)},
        attrs={"k": config.k, "theta": config.theta, "points": config.points},
    )


def _worst(theta: float, k: int) -> float:
    return theta * worst_case(theta, k, ALPHA)


def _bound(theta: float, k: int) -> float:
    """Returns the bound on the failure rate, or 1 where it says nothing."""
    found = bound(theta, k, ALPHA) if theta < 1 else None
    return 1.0 if found is None else min(1.0, found.failure)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what an order of magnitude does, and whether the theory speaks."""
    judge = Judge(
        "arora2023",
        "scale",
        "Arora and Goyal 2023, sections 3 and 5",
        note="The constants of the scaling law are recalled.",
        subject="theory",
    )
    each = int(dataset.attrs["points"])
    excess = dataset.excess.values
    halved = excess[each:] / excess[:-each] - 0.5
    shifted = dataset.worst_case.sel(size=2).values[each:]
    before = dataset.worst_case.sel(size=1).values[:-each]
    return [
        judge(
            "decade",
            "From Chinchilla's size on, ten times the parameters and tokens halve the "
            "excess loss, to 5 %.",
            float(abs(halved[0]) / 0.5),
            "<",
            0.05,
            unit="relative difference from a half",
            bar="ours",
        ),
        judge(
            "decades",
            "So does every further order of magnitude that is shown, to 5 %.",
            float(abs(halved).max() / 0.5),
            "<",
            0.05,
            unit="largest relative difference from a half",
            bar="ours",
        ),
        judge(
            "doubling",
            "One order of magnitude later pairs of skills are where single skills "
            "were: the failure rate of nine in ten, to 5 %.",
            float(abs(shifted / before - 1).max()),
            "<",
            0.05,
            unit="largest relative difference",
            bar="ours",
            note="It assumes that failures fall in proportion to the loss.",
        ),
        judge(
            "speaks",
            "At Chinchilla's size the failures that its loss allows leave the bound "
            "something to say: nine of ten skills fail less than always.",
            float(dataset.honest[0]),
            "<",
            1,
            unit="failure rate, by Pinsker's inequality and the bound",
            bar="ours",
        ),
    ]


COLORS = (BLUE, GREEN, ORANGE, VERMILLION)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws losses on the left, and failures of tuples on the right."""
    decade = dataset.decade.values
    with canvas(9, 4) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(decade, dataset.excess, color=BLUE, label="excess loss, nats a token")
        left.plot(
            decade,
            dataset.pinsker,
            "--",
            color=ORANGE,
            label="√(2ε): failures it allows",
        )
        left.plot(
            decade, dataset.variation, ":", color=SKY, label="√(ε/2): total variation"
        )
        left.axhline(0.5, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.5)
        left.text(
            decade[-1],
            0.52,
            "guessing",
            color=GREY,
            fontsize=8,
            ha="right",
            va="bottom",
        )
        left.set_yscale("log")
        left.set_title("from scale to failures")
        left.legend(loc="lower left")
        for color, size in zip(COLORS, dataset.size.values, strict=True):
            one = dataset.sel(size=size)
            name = "single skills" if size == 1 else f"{size} skills together"
            right.plot(decade, one.worst_case, color=color, label=name)
            said = one.bound.where(one.bound < 1)
            right.plot(decade, said, "--", color=color)
        right.set(ylim=(0, 1), title="nine of ten tuples fail at most so often")
        right.plot([], [], "--", color=GREY, label="bound of the paper (dashed)")
        right.legend(loc="upper right")
        for axes in (left, right):
            axes.set_xlabel("scale over Chinchilla's, powers of ten")
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
