"""Which learners does the paper compare with, and how is each drawn in a figure?"""

from collections.abc import Mapping
from typing import Any

from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    VERMILLION,
)
from icl import LinearRegression
from icl.baselines import (
    GradientDescent,
    Learner,
    LeastSquares,
    NearestNeighbors,
    OnePassSGD,
    Ridge,
)


def _style(color: str, marker: str, *, hollow: bool = False) -> dict[str, Any]:
    """Returns how a learner's curve is drawn, as arguments of matplotlib's `plot`."""
    face = "white" if hollow else color
    return {"color": color, "marker": marker, "markerfacecolor": face}


STYLES: Mapping[str, Mapping[str, Any]] = {
    "ICL": _style(BLACK, "o"),
    "OLS": _style(BLUE, "o"),
    "Ridge(0.1)": _style(GREEN, "s"),
    "Ridge(0.5)": _style(GREEN, "D", hollow=True),
    "GD(0.01)": _style(ORANGE, "v"),
    "GD(0.02)": _style(ORANGE, "^"),
    "GD(optimal)": _style(ORANGE, "D", hollow=True),
    "SGD(0.01)": _style(VERMILLION, "<", hollow=True),
    "SGD(0.03)": _style(VERMILLION, ">", hollow=True),
    "3-NN weighted": _style(PURPLE, "P"),
    "3-NN uniform": _style(PURPLE, "X"),
}
"""How the curve of each learner is drawn, by the learner's name."""

BACKGROUNDS: Mapping[str, Mapping[str, Any]] = {
    "GD/SGD": {"facecolor": "#fdf0d5", "edgecolor": "#f0d08a", "hatch": "////"},
    "ridge": {"facecolor": "#d9f2e8", "edgecolor": "#8fcfb6", "hatch": "...."},
    "OLS": {"facecolor": "#dbeaf5", "edgecolor": "#dbeaf5", "hatch": ""},
    "k-NN": {"facecolor": "#f7e6ef", "edgecolor": "#deb0ca", "hatch": "xxxx"},
}
"""The tint of each family's colour and its hatching, to draw behind curves."""


def textbook(task: LinearRegression) -> list[Learner]:
    """Returns the learners of the paper's Figure 1, and the best gradient step."""
    prior = {"noise_std": task.noise_std, "weight_std": task.weight_std}
    return [
        LeastSquares(),
        Ridge(0.1),
        GradientDescent(1, 0.01),
        GradientDescent(1, 0.02),
        GradientDescent(1, None, **prior),
        OnePassSGD(0.01),
        OnePassSGD(0.03),
        NearestNeighbors(3, "distance"),
        NearestNeighbors(3, "uniform"),
    ]


FAMILIES: dict[str, list[Learner]] = {
    "GD/SGD": [
        GradientDescent(1, 0.01),
        GradientDescent(1, 0.02),
        OnePassSGD(0.01),
        OnePassSGD(0.03),
    ],
    "ridge": [Ridge(0.1), Ridge(0.5)],
    "OLS": [LeastSquares()],
    "k-NN": [NearestNeighbors(3, "distance"), NearestNeighbors(3, "uniform")],
}
"""The learners in the paper's legend, by family.

In the paper, a model that grows resembles the first three families in turn."""

PREDICTS_ZERO = GradientDescent(0, 0.01)
"""The learner that takes no step and predicts 0, as a model does that has learnt
nothing. It belongs to no family."""

KNN = ("3-NN weighted", "3-NN uniform")
"""Names of the learners that use the nearest examples only."""

LINEAR_PAIR = ("OLS", "GD(0.01)")
"""Names of two linear learners, whose weights are known: they check the measures."""

GD_AND_SGD = ("GD(0.01)", "GD(0.02)", "SGD(0.01)", "SGD(0.03)")
"""Names of the learners that follow the gradient, once or pair by pair."""


def pair_name(learner: str, other: str) -> str:
    """Returns the name of a pair of learners, such as "OLS, ICL"."""
    return f"{learner}, {other}"
