"""Performance curves: how often most skills may fail, given how often pieces do.

Claim: if a model fails on a share theta of the pieces, and a piece needs k skills, then
most skills fail little more often, whichever pieces they are; the more so, the larger
k is.

Paper: Theorem 8 and section 4 of Arora and Goyal 2023 (arXiv 2307.15936). Which axes
its own plots have was not verified. The exact worst case is ours.

Run: python -m experiments.arora2023.curves quick

How to read it: a point says that so large a share of the skills fails at most so
often. The paper's bound is dashed, and it ends where the inequality has no solution.
The solid curve is the exact worst case in a large graph. Dots are an adversary who
picks skills in a simulated graph and fails the pieces that need most of them; crosses
are pieces that fail at random. The right panel is also that of tuples: at theta = 0.05
two skills together are where single skills are at 0.1, and four where they are at 0.2.
Expect a wide gap: a model that does not choose its failures stays far below.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from experiments.arora2023.curves_claims import claims
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    canvas,
)
from icl import checks
from icl.skills import (
    SkillGraph,
    adversary,
    failure_quantiles,
    glue,
    glued_failure,
    performance_curve,
    random_failures,
    worst_case,
)
from icl.sweeps.store import Models

TIMES = {"tiny": "10 s", "quick": "20 s", "paper": "2 min"}

CELLS = ((0.05, 2), (0.05, 4), (0.05, 8), (0.05, 16), (0.1, 8), (0.2, 8))
"""Each theta and k of a curve."""

MARKED = (0.05, 0.1, 0.2, 0.3, 0.5)
"""The shares of skills at which failures are simulated."""

GLUED = (1, 2, 4)
"""The numbers of pieces that are glued together."""

GLUED_THETA = 0.0125
"""How often one of them fails."""


@dataclass(frozen=True)
class Config:
    """Settings of the curves. No model is trained.

    Attributes:
        pieces: the number of pieces of each simulated graph.
        skills: the number of its skills.
        seed: of the graphs and failures.
    """

    pieces: int = 200_000
    skills: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        checks.positive_int("pieces", self.pieces, minimum=1_000, maximum=10_000_000)
        checks.positive_int("skills", self.skills, minimum=20, maximum=100_000)
        checks.positive_int("seed", self.seed, minimum=0)


PRESETS = {
    "tiny": Config(pieces=20_000),
    "quick": Config(),
    "paper": Config(pieces=1_000_000),
}


def compute(config: Config, _: Models) -> xr.Dataset:
    """Computes curves, and simulates failures.

    Returns:
        A Dataset with failure rates `bound` and `worst_case` over (cell, alpha), those
        that were simulated, `adversary` and `random`, over (cell, marked), the exact
        worst case `exact` for the skills that the adversary picked, and, over `glued`,
        the failure rate `composite` of so many pieces together, what it `should` be,
        and its `standard_error`.
    """
    curves = [performance_curve(theta, k) for theta, k in CELLS]
    simulated = [_simulate(config, theta, k) for theta, k in CELLS]
    shape = ("cell", "marked")
    rng = np.random.default_rng(config.seed)
    success = rng.random(config.pieces) >= GLUED_THETA
    composites = [~glue(success, size, seed=config.seed) for size in GLUED]
    should = np.array([glued_failure(GLUED_THETA, size) for size in GLUED])
    counts = np.array([len(composite) for composite in composites])
    return xr.Dataset(
        {
            "bound": (("cell", "alpha"), np.stack([c.bound for c in curves])),
            "worst_case": (("cell", "alpha"), np.stack([c.worst_case for c in curves])),
            "adversary": (shape, np.array([one[0] for one in simulated])),
            "exact": (shape, np.array([one[1] for one in simulated])),
            "random": (shape, np.array([one[2] for one in simulated])),
            "composite": ("glued", np.array([c.mean() for c in composites])),
            "should": ("glued", should),
            "standard_error": ("glued", np.sqrt(should * (1 - should) / counts)),
        },
        coords={
            "theta": ("cell", [theta for theta, _ in CELLS]),
            "k": ("cell", [k for _, k in CELLS]),
            "alpha": curves[0].alpha.values,
            "marked": list(MARKED),
            "glued": list(GLUED),
        },
    )


def _simulate(
    config: Config, theta: float, k: int
) -> tuple[list[float], list[float], np.ndarray]:
    """Returns failure rates of the adversary, what they should be, and of chance."""
    graph = SkillGraph.sample(config.pieces, k, config.skills, seed=config.seed)
    attacks, exact = [], []
    for alpha in MARKED:
        attack = adversary(graph, theta, alpha, seed=config.seed)
        measure = float(graph.skill_measure[attack.targets].sum())
        attacks.append(theta * attack.beta)
        exact.append(theta * worst_case(theta, k, measure))
    chance = random_failures(graph, theta, seed=config.seed)
    return attacks, exact, failure_quantiles(graph, chance, np.array(MARKED))


COLORS = (ORANGE, GREEN, BLUE, VERMILLION)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws curves by k on the left, and by theta on the right."""
    with canvas(9, 4.4) as figure:
        left, right = figure.subplots(1, 2)
        by_k = [("k = {k:.0f}", cell) for cell in range(4)]
        by_theta = [("theta = {theta:g}", cell) for cell in (2, 4, 5)]
        for axes, chosen in ((left, by_k), (right, by_theta)):
            handles = []
            for color, (label, cell) in zip(COLORS, chosen, strict=False):
                one = dataset.isel(cell=cell)
                _draw(axes, one, color)
                name = label.format(k=float(one.k), theta=float(one.theta))
                handles.append(Line2D([], [], color=color, label=name))
            axes.set(xlabel="share of skills, 1 - alpha", xlim=(0.4, 1), ylim=(0, None))
            axes.legend(handles=handles, loc="upper left")
        left.set_title("by skills per piece, at theta = 0.05")
        right.set_title("by share theta of failing pieces, at k = 8")
        left.set_ylim(0, 0.6)
        right.set_ylim(0, 1)
        left.set_ylabel("these skills fail at most so often")
        kinds = [
            Line2D([], [], color=GREY, linestyle="--", label="bound of the paper"),
            Line2D([], [], color=GREY, label="exact worst case"),
            Line2D([], [], color=GREY, marker="o", linestyle="", label="adversary"),
            Line2D(
                [], [], color=GREY, marker="x", linestyle="", label="random failures"
            ),
        ]
        figure.legend(handles=kinds, loc="outside lower center", ncols=4)
    return figure


def _draw(axes: Axes, cell: xr.Dataset, color: str) -> None:
    """Draws the curves and the simulated failures of one theta and k."""
    share = 1 - cell.alpha.values
    axes.plot(share, cell.bound, "--", color=color)
    axes.plot(share, cell.worst_case, color=color)
    marked = 1 - cell.marked.values
    axes.plot(marked, cell.adversary, "o", color=color, clip_on=False)
    axes.plot(marked, cell.random, "x", color=color, clip_on=False)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
