"""Jumps that only a metric makes, by the number of parameters, in closed form.

Claim: a cross-entropy that falls as a power of the number of parameters looks like a
jump by exact match of many tokens and by the grade of multiple choice, and does not by
edit distance and Brier's score. No model is involved.

Paper: Figure 2 of Schaeffer et al. 2023, with the number of parameters from 1e5 to 1e11
(claims 8 and 12).

Run: python -m experiments.emergence.mirage quick

How to read it: panels (a) to (f) have the number N of parameters on a logarithmic axis:
the cross-entropy of a token, the probability p of a right token, exact match of T
tokens (p^T), the grade of multiple choice, the number of wrong tokens of T, and Brier's
score of the same choices. Legends give L / (n - 1), which is 1 for a straight line, and
B / (n - 1); a B of 8.3 is the floor of 13 points, not a measurement. (g) is how often a
test set of M items has no hit, in closed form and by drawing them; (h) is the loss of
many skills that are each learnt at once (Michaud et al. 2023), beside a power law.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.emergence.numbers import MEANING
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILLION,
    canvas,
)
from icl import checks
from icl.emergence import mirage, shape_of
from icl.sweeps.store import Models

TIMES = {"tiny": "4 s", "quick": "5 s", "paper": "10 s"}
TOKENS = (1, 2, 4, 5, 8, 16)
RATES = np.logspace(-4, -1, 13)
ALPHA = 0.4
"""The exponent with which the use of skills falls."""


@dataclass(frozen=True)
class Config:
    """Settings of the figure. No model is trained.

    Attributes:
        points: the number of sizes, from 1e5 to 1e11 parameters.
        items: the number of questions of multiple choice.
        size: the number M of items of a test set.
        sets: how many test sets are drawn.
        quanta: the number of skills.
        seed: the seed of questions and test sets.
    """

    points: int = 13
    items: int = 20_000
    size: int = 100
    sets: int = 20_000
    quanta: int = 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        checks.positive_int("points", self.points, minimum=3, maximum=1_000)
        checks.positive_int("items", self.items, maximum=1_000_000)
        checks.positive_int("size", self.size, minimum=2, maximum=1_000_000)
        checks.positive_int("sets", self.sets, minimum=2, maximum=10_000_000)
        checks.positive_int("quanta", self.quanta, minimum=10_000, maximum=10_000_000)
        checks.positive_int("seed", self.seed, minimum=0)


PRESETS = {
    "tiny": Config(items=2_000, sets=2_000),
    "quick": Config(),
    "paper": Config(items=100_000, sets=200_000),
}


def compute(config: Config, _: Models) -> xr.Dataset:
    """Computes every metric by the number of parameters.

    Returns:
        A Dataset over N of `entropy`, `p`, `grade` and `brier`, of `exact` and
        `distance` over (tokens, N), of `empty` (drawn) and `empty_exact` over the rate
        p, and of `loss` over the number of learnt skills.
    """
    n = np.logspace(5, 11, config.points)
    p = mirage.token_accuracy(n)
    choices = mirage.sample_choices(n, items=config.items, seed=config.seed)
    generator = np.random.default_rng(config.seed)
    rates = np.unique(np.append(RATES, 1 / config.size).round(9))
    hits = generator.binomial(config.size, rates, size=(config.sets, len(rates)))
    learnt = np.unique(np.logspace(1, 3, 41).round())
    return xr.Dataset(
        {
            "entropy": ("N", mirage.cross_entropy(n)),
            "p": ("N", p),
            "grade": ("N", choices.accuracy().values),
            "brier": ("N", choices.brier().average),
            "exact": (("tokens", "N"), [mirage.exact_match(p, t) for t in TOKENS]),
            "distance": (("tokens", "N"), [mirage.edit_distance(p, t) for t in TOKENS]),
            "empty": ("rate", (hits == 0).mean(axis=0)),
            "empty_exact": ("rate", mirage.no_hit(rates, config.size)),
            "loss": (
                "learnt",
                mirage.quanta_loss(learnt, exponent=ALPHA, quanta=config.quanta),
            ),
        },
        coords={"N": n, "tokens": list(TOKENS), "rate": rates, "learnt": learnt},
        attrs={"size": config.size, "sets": config.sets},
    )


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 8 and 12, which are computed."""
    judge = Judge("emergence", "mirage", "Schaeffer et al. 2023", subject="theory")
    size, sets = int(dataset.attrs["size"]), int(dataset.attrs["sets"])
    at = dataset.sel(rate=1 / size, method="nearest")
    exact = float(at.empty_exact)
    error = np.sqrt(exact * (1 - exact) / sets)
    return [
        judge(
            "8",
            f"A score of zero is resolution: of test sets of {size} items, at a rate "
            f"of 1 / {size}, the share (1 - p)^M has no hit, to 3 standard errors.",
            float(abs(at.empty - exact)) / error,
            "<",
            3,
            unit=f"standard errors of {sets:,} test sets",
            bar="ours",
            source="Schaeffer et al. 2023, prediction 2",
            note="An identity, which checks what is drawn.",
        ),
        judge(
            "12",
            "Many sharp steps make a smooth curve: the loss of skills that are learnt "
            "one by one falls as a power of their number, the exponent of their use, "
            "to 5 %.",
            slope(dataset) / -ALPHA - 1,
            "within",
            0.05,
            unit="relative difference of exponents, n = 10 to 1,000",
            bar="ours",
            source="Michaud et al. 2023",
        ),
    ]


def slope(dataset: xr.Dataset) -> float:
    """Returns the slope of the log loss by the logarithm of the number of skills."""
    logs = np.log(dataset.learnt.values), np.log(dataset.loss.values)
    return float(np.polyfit(*logs, 1)[0])


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws each metric by the number of parameters."""
    tokens = dataset.tokens.values.tolist()
    some = [t for t in tokens if t != 5]
    with canvas(14, 6.4) as figure:
        top, bottom = figure.subplots(2, 4)
        line(top[0], dataset.N, -dataset.entropy, "-cross-entropy", 0)
        top[0].set(title="(a) -cross-entropy of a token, log p")
        line(top[1], dataset.N, dataset.p, "p", 0)
        top[1].set(title="(b) probability of a right token")
        for index, t in enumerate(some):
            line(top[2], dataset.N, dataset.exact.sel(tokens=t), f"T = {t}", index)
            distance = -dataset.distance.sel(tokens=t)
            line(bottom[0], dataset.N, distance, f"T = {t}", index)
        top[2].set(title="(c) exact match of T tokens")
        line(top[3], dataset.N, dataset.grade, "grade", 0)
        top[3].set(title="(d) multiple choice: grade")
        bottom[0].set(title="(e) -number of wrong tokens of T")
        line(bottom[1], dataset.N, -dataset.brier, "-Brier", 0)
        bottom[1].set(title="(f) multiple choice: -Brier's score")
        empty_panel(bottom[2], dataset)
        skills_panel(bottom[3], dataset)
        for axes in (*top, *bottom[:2]):
            axes.set(xscale="log", xlabel="parameters N")
            axes.legend(fontsize=7, loc="upper left" if axes is top[3] else "best")
        top[3].set_ylim(top=1.2)
        figure.supxlabel(MEANING, fontsize=8, color=GREY)
    return figure


LOOKS = ((BLACK, "o"), (BLUE, "s"), (GREEN, "D"), (ORANGE, "^"), (VERMILLION, "v"))
LOOKS += ((PURPLE, "P"),)


def line(axes: Axes, n: xr.DataArray, scores: xr.DataArray, label: str, index: int):
    """Draws a score, with its linearity and breakthroughness in the legend."""
    found, (colour, marker) = shape_of(scores.values), LOOKS[index]
    numbers = found.normalised_linearity, found.normalised_breakthroughness
    text = f"{label}: L {numbers[0]:.2f}, B {numbers[1]:.2f}"
    text += " (floor)" if found.floored else ""
    axes.plot(n, scores, color=colour, marker=marker, label=text)


def empty_panel(axes: Axes, dataset: xr.Dataset) -> None:
    """Draws how often a test set has no hit."""
    size = dataset.attrs["size"]
    axes.plot(dataset.rate, dataset.empty_exact, color=BLUE, label="(1 - p)^M")
    style = {"color": BLACK, "marker": "o", "ls": "", "label": "drawn"}
    axes.plot(dataset.rate, dataset.empty, **style)
    axes.set(xscale="log", xlabel="rate p of a hit")
    axes.set(title=f"(g) test sets of {size} items without a hit")
    axes.legend(fontsize=7)


def skills_panel(axes: Axes, dataset: xr.Dataset) -> None:
    """Draws the loss of many skills, beside the power law that they follow."""
    label = f"mean loss, slope {slope(dataset):.3f}"
    axes.loglog(
        dataset.learnt, dataset.loss, color=BLACK, marker="o", ms=3, label=label
    )
    law = (dataset.learnt / dataset.learnt[0]) ** -ALPHA * dataset.loss[0]
    axes.loglog(dataset.learnt, law, color=GREY, ls="--", label=f"slope {-ALPHA:g}")
    axes.set(title="(h) skills that are learnt at once", xlabel="skills learnt")
    axes.legend(fontsize=7)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
