"""The pictures of the explorer: figures of Matplotlib, of the width of a column."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    canvas,
    count_examples,
)
from experiments.explorer.moves import TRANSFORMER
from icl import token_names
from probes.plot import heatmap, thinned

LOOKS = {
    TRANSFORMER: (BLACK, "o"),
    "least squares": (BLUE, "s"),
    "ridge": (GREEN, "^"),
    "gradient descent": (ORANGE, "v"),
}
"""The colour and the marker of each learner."""

WIDTH = 5.2


def by_context(
    answers: Mapping[str, np.ndarray],
    before: Mapping[str, np.ndarray],
    labels: np.ndarray,
    dim: int,
) -> Figure:
    """Draws what learners predict after each number of examples.

    Args:
        answers: what they predict, (length,) by name.
        before: the same before the move, drawn dotted.
        labels: the labels of the prompt, (length,), which are to be predicted.
        dim: the number of coordinates of x.
    """
    with canvas(WIDTH, 3.6) as figure:
        axes = figure.subplots()
        contexts = np.arange(len(labels))
        axes.plot(
            contexts, labels, "_", color=VERMILLION, ms=16, mew=2, label="the label"
        )
        for name, values in answers.items():
            colour, marker = LOOKS[name]
            axes.plot(contexts, before[name], ":", color=colour, alpha=0.6)
            axes.plot(contexts, values, color=colour, marker=marker, label=name)
        axes.plot([], [], ":", color=GREY, label="before the move")
        count_examples(axes, dim)
        axes.set_ylabel("prediction at the next x")
        axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))
        return figure


def along_input(
    answers: Mapping[str, np.ndarray], values: np.ndarray, *, context: int, name: str
) -> Figure:
    """Draws what learners predict while one coordinate of the new x varies."""
    with canvas(WIDTH, 3.0) as figure:
        axes = figure.subplots()
        for learner, found in answers.items():
            axes.plot(values, found, color=LOOKS[learner][0], label=learner)
        axes.set_xlabel(f"{name} of the new x")
        axes.set_ylabel(f"prediction from {context} examples")
        axes.legend(fontsize=8)
        return figure


def lens(found: np.ndarray, labels: np.ndarray, least_squares: np.ndarray) -> Figure:
    """Draws what each layer would predict if it were the last, (layers, length)."""
    with canvas(WIDTH, 3.6) as figure:
        axes = figure.subplots()
        limit = float(np.abs(labels).max()) * 1.2 + 1e-6
        shown = np.vstack([found, least_squares, labels])
        image = axes.imshow(
            shown, aspect="auto", origin="lower", cmap="RdBu", vmin=-limit, vmax=limit
        )
        axes.axhline(len(found) - 0.5, color=BLACK)
        places = thinned(len(found), 8)
        rows = [*places, len(found), len(found) + 1]
        names = [*map(str, places), "least squares", "the label"]
        axes.set_yticks(rows, names)
        axes.grid(False)
        axes.set_xlabel("number of examples n")
        axes.set_ylabel("layer")
        figure.colorbar(image, ax=axes, label="prediction")
        return figure


def attention(pattern: np.ndarray, length: int) -> Figure:
    """Draws how much each token looks at each, (tokens, tokens)."""
    with canvas(WIDTH, 5.0) as figure:
        axes = figure.subplots()
        largest = max(float(np.abs(pattern).max()), 1e-9)
        low = 0 if pattern.min() >= 0 else -largest
        image = axes.imshow(
            pattern, cmap="viridis" if low == 0 else "RdBu", vmin=low, vmax=largest
        )
        names = token_names(length)
        for axis in (axes.xaxis, axes.yaxis):
            places = thinned(len(names), 24)
            axis.set_ticks(places, [names[place] for place in places])
        axes.tick_params(axis="x", rotation=90)
        axes.grid(False)
        axes.set_xlabel("token that is looked at")
        axes.set_ylabel("token that looks")
        figure.colorbar(image, ax=axes, label="weight")
        return figure


def probed(grid: xr.Dataset, target: str) -> Figure:
    """Draws R2 of every layer and token, and the best layer under the ceiling."""
    with canvas(WIDTH, 5.6) as figure:
        upper, lower = figure.subplots(2, 1, height_ratios=(3, 2))
        heatmap(grid[["r2"]], target=target, ax=upper)
        upper.grid(False)
        _under_ceiling(lower, grid.sel(target=target))
        return figure


def _under_ceiling(axes: Axes, cells: xr.Dataset) -> None:
    tokens = np.arange(cells.sizes["token"])
    best = cells.r2.max("layer").values
    axes.plot(tokens, best, color=BLUE, marker="o", label="best layer")
    axes.plot(tokens, cells.control_r2.max("layer"), "--", color=GREY, label="control")
    if cells.ceiling.notnull().any():
        axes.plot(tokens, cells.ceiling, ":", color=BLACK, label="ceiling")
    places = thinned(len(tokens), 24)
    axes.set_xticks(places, cells.token.values[places], rotation=90)
    axes.set_ylim(-0.25, 1.05)
    axes.set_ylabel("R2")
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.3))


def edits(found: Mapping[str, np.ndarray], example: int) -> Figure:
    """Draws predictions after each number of examples, unedited and edited."""
    with canvas(WIDTH, 3.2) as figure:
        axes = figure.subplots()
        looks = zip((GREY, BLUE, VERMILLION), ("o-", "s--", "D-"), strict=True)
        for (name, values), (colour, line) in zip(found.items(), looks, strict=True):
            axes.plot(values, line, color=colour, label=name)
        axes.axvline(example + 1, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel("number of examples n; the edit counts from the dotted line on")
        axes.set_ylabel("prediction at the next x")
        axes.legend(fontsize=8)
        return figure
