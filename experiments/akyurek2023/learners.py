"""The learners that the paper compares with, and how each looks in a figure."""

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


def _look(color: str, marker: str, *, hollow: bool = False) -> dict[str, Any]:
    face = "white" if hollow else color
    return {"color": color, "marker": marker, "markerfacecolor": face}


LOOKS: Mapping[str, Mapping[str, Any]] = {
    "ICL": _look(BLACK, "o"),
    "OLS": _look(BLUE, "o"),
    "Ridge(0.1)": _look(GREEN, "s"),
    "Ridge(0.5)": _look(GREEN, "D", hollow=True),
    "GD(0.01)": _look(ORANGE, "v"),
    "GD(0.02)": _look(ORANGE, "^"),
    "GD(optimal)": _look(ORANGE, "D", hollow=True),
    "SGD(0.01)": _look(VERMILLION, "<", hollow=True),
    "SGD(0.03)": _look(VERMILLION, ">", hollow=True),
    "3-NN weighted": _look(PURPLE, "P"),
    "3-NN uniform": _look(PURPLE, "X"),
}


# Tints of the families' colours, to be drawn behind curves, each with its own hatching.
BACKGROUNDS: Mapping[str, Mapping[str, Any]] = {
    "GD/SGD": {"facecolor": "#fdf0d5", "edgecolor": "#f0d08a", "hatch": "////"},
    "ridge": {"facecolor": "#d9f2e8", "edgecolor": "#8fcfb6", "hatch": "...."},
    "OLS": {"facecolor": "#dbeaf5", "edgecolor": "#dbeaf5", "hatch": ""},
    "k-NN": {"facecolor": "#f7e6ef", "edgecolor": "#deb0ca", "hatch": "xxxx"},
}


def textbook(task: LinearRegression) -> list[Learner]:
    """Returns the learners of the paper's Figure 1, and the best single step."""
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

A model that grows passes the first three families in turn."""

NOTHING = GradientDescent(0, 0.01)
"""Takes no step and predicts 0, as a model does that has learnt nothing. It belongs to
no family."""

KNN = ("3-NN weighted", "3-NN uniform")
"""Names of the learners that look at the nearest examples only."""

LINEAR = ("OLS", "GD(0.01)")
"""Names of two linear learners, whose weights are known, to check the measures with."""

GD_AND_SGD = ("GD(0.01)", "GD(0.02)", "SGD(0.01)", "SGD(0.03)")
"""Names of the learners that follow the gradient, once or pair by pair."""
