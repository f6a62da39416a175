"""Pictures of a grid of scores: all cells at once, or curves along one axis.

`heatmap` shows where something can be read; `curves` shows how sure that is, and what
the score has to be held against: the interval, the control, the ceiling of R2, and what
guessing reaches without features. Both draw one score of one target, into axes that you
give or into new ones, and return the axes, so that a picture can be changed and saved
(`ax.figure.savefig`).

Matplotlib is an optional extra, `pip install "icl-probes[plot]"`, and is imported when
a function is called.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from probes import checks
from probes.arrays import shown

__all__ = ["curves", "heatmap"]

SHARES = (
    "r2",
    "control_r2",
    "cosine",
    "accuracy",
    "balanced_accuracy",
    "auroc",
)
"""The scores that are drawn from 0, or a bit below, to 1."""

GUESSES = {
    "accuracy": ("majority", "the most frequent label"),
    "log_loss": ("prior_log_loss", "shares of the labels"),
    "auroc": (0.5, "chance"),
}
"""What is reached without features: a variable or a number, and its name."""

LOWEST = -0.25
"""The lowest share that curves show: R2 has no lower end, and a wild cell would flatten
all others."""

MOST_LABELS = {"layer": 12, "token": 24}
MOST_CURVES = 8


def heatmap(
    grid: xr.Dataset,
    score: str = "r2",
    *,
    target: str | None = None,
    ax: Any = None,
) -> Any:
    """Draws a score of every layer and token as a colour.

    Args:
        grid: what `probe_grid` returns.
        score: the variable to draw, such as "r2", "mse" or "accuracy".
        target: which target; not needed where there is only one.
        ax: axes of Matplotlib to draw into; None for new ones.

    Returns:
        The axes: layers upwards, tokens to the right, cells without a score in grey.
        The colours of scores that end at 1 go from 0 to 1, and scores below 0 have the
        colour of 0.

    Raises:
        ValueError: no such score or target, several targets of which none is chosen,
            other axes than layer and token.
        ImportError: Matplotlib is not installed.
    """
    pyplot = _pyplot()
    _check_axes(ax)
    chosen = _of_target(grid, score, target)
    values = _along(chosen[score], ("layer", "token"))
    layers, tokens = values.shape
    if ax is None:
        size = (np.clip(0.16 * tokens, 3, 12) + 1.6, np.clip(0.16 * layers, 2, 8) + 1.2)
        ax = pyplot.subplots(figsize=size, layout="constrained")[1]
    limits = {"vmin": 0, "vmax": 1} if score in SHARES else {}
    colours = pyplot.get_cmap("viridis").with_extremes(bad="lightgrey")
    image = ax.imshow(
        values,
        origin="lower",
        aspect="auto",
        cmap=colours,
        interpolation="none",
        **limits,
    )
    for axis, name in ((ax.xaxis, "token"), (ax.yaxis, "layer")):
        _label(axis, name, values[name].values)
    below = score in SHARES and bool((values < 0).any())
    ax.figure.colorbar(
        image, ax=ax, label=_title(score), extend="min" if below else "neither"
    )
    ax.set_title(_name(chosen))
    return ax


def curves(
    grid: xr.Dataset,
    score: str = "r2",
    *,
    token: Any = None,
    layer: Any = None,
    target: str | None = None,
    ax: Any = None,
) -> Any:
    """Draws a score with its interval along layers, or along tokens.

    Args:
        grid: what `probe_grid` returns.
        score: the variable to draw, such as "r2", "mse" or "accuracy".
        token: the token, or tokens, for each of which a curve along layers is drawn.
        layer: the layer, or layers, for each of which a curve along tokens is drawn.
            Give one of these two. Without both there is a curve along layers for every
            token, if there are at most eight of them.
        target: which target; not needed where there is only one.
        ax: axes of Matplotlib to draw into; None for new ones.

    Returns:
        The axes. A band is the 95 % interval of each cell by itself; a dashed curve in
        the same colour is the control, a dotted one the ceiling, and grey is what
        guessing reaches without features. Shares far below 0 are cut off.

    Raises:
        ValueError: no such score, target, token or layer, or too many curves; a grid
            with other axes.
        ImportError: Matplotlib is not installed.
    """
    pyplot = _pyplot()
    _check_axes(ax)
    chosen = _of_target(grid, score, target)
    _along(chosen[score], ("layer", "token"))
    if token is not None and layer is not None:
        raise ValueError("give token= or layer=, not both.")
    along, each = ("layer", "token") if layer is None else ("token", "layer")
    labels = _selected(chosen, each, token if layer is None else layer)
    if ax is None:
        ax = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")[1]
    shades = pyplot.get_cmap("viridis")(np.linspace(0, 0.85, len(labels)))
    for label, colour in zip(labels, shades, strict=True):
        _curve(ax, chosen.sel({each: label}), score, along, f"{each} {label}", colour)
    _lines_of_guesses(ax, chosen.sel({each: labels}), score, along)
    places = chosen[along].values
    _label(ax.xaxis, along, places)
    ax.set_xlim(-0.5, len(places) - 0.5)
    if score in SHARES:
        low, _ = ax.get_ylim()
        ax.set_ylim(max(low, LOWEST), 1.03)
    ax.set_ylabel(_title(score))
    ax.set_title(_name(chosen))
    ax.legend(fontsize="small", ncols=1 + (len(labels) > 4))
    return ax


def _curve(
    ax: Any, cells: xr.Dataset, score: str, along: str, label: str, colour: Any
) -> None:
    """Draws one curve with its band, its control and its ceiling."""
    x = np.arange(cells.sizes[along])
    marker = {"marker": "o", "markersize": 3} if len(x) <= 40 else {}
    ax.plot(x, cells[score].values, color=colour, label=label, **marker)
    if f"{score}_low" in cells:
        low, high = cells[f"{score}_low"].values, cells[f"{score}_high"].values
        ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    control = f"control_{score}"
    if control in cells:
        ax.plot(x, cells[control].values, "--", color=colour, linewidth=1, alpha=0.7)
    if score == "r2" and "ceiling" in cells:
        ceiling = np.broadcast_to(cells.ceiling.values, x.shape)
        ax.plot(x, ceiling, ":", color=colour, linewidth=1.5)


def _lines_of_guesses(ax: Any, cells: xr.Dataset, score: str, along: str) -> None:
    """Draws what is reached without features, and explains the kinds of lines."""
    if f"control_{score}" in cells:
        ax.plot([], [], "--", color="black", linewidth=1, label="control")
    if score == "r2" and "ceiling" in cells and cells.ceiling.notnull().any():
        ax.plot([], [], ":", color="black", linewidth=1.5, label="ceiling")
    guess, name = GUESSES.get(score, (None, ""))
    if isinstance(guess, str) and guess in cells:
        values = cells[guess]
        values = values.mean([dim for dim in values.dims if dim != along])
        values = np.broadcast_to(values.values, cells.sizes[along])
        ax.plot(values, color="grey", linewidth=1, label=name)
    elif isinstance(guess, float):
        ax.axhline(guess, color="grey", linewidth=1, label=name)


def _pyplot() -> Any:
    """Returns Matplotlib's interface for pictures."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "probes.plot needs Matplotlib: pip install 'icl-probes[plot]'."
        ) from error
    return pyplot


def _check_axes(ax: Any) -> None:
    """Refuses what cannot be drawn into."""
    from matplotlib.axes import Axes

    if ax is not None:
        checks.of_kind("ax", ax, Axes, "axes of Matplotlib, or None for new ones")


def _of_target(grid: xr.Dataset, score: str, target: str | None) -> xr.Dataset:
    """Returns the grid of one target."""
    checks.of_kind("score", score, str, "the name of a variable")
    if not isinstance(grid, xr.Dataset) or score not in grid:
        scores = [n for n in getattr(grid, "data_vars", ()) if f"{n}_low" in grid]
        raise ValueError(
            f"grid must be a Dataset of probe_grid that holds the score {score!r}; it "
            f"holds {', '.join(map(str, scores)) or 'none'}."
        )
    names = np.atleast_1d(grid.target.values).tolist() if "target" in grid else []
    if target is None and len(names) > 1:
        raise ValueError(
            f"grid has the targets {names}; choose one, target={names[0]!r}."
        )
    if target is not None and not (isinstance(target, str) and target in names):
        raise ValueError(f"target must be one of {names}, got {shown(target)}.")
    if "target" not in grid.dims:
        return grid
    return grid.sel(target=names[0] if target is None else target)


def _along(values: xr.DataArray, axes: tuple[str, ...]) -> xr.DataArray:
    """Returns the values with these axes and no others."""
    more = [str(dim) for dim in values.dims if dim not in axes]
    if more:
        raise ValueError(
            f"the score has more axes than {axes}, {more}; choose with "
            f"grid.sel({more[0]}=...) or average over them."
        )
    missing = [axis for axis in axes if axis not in values.dims]
    if missing:
        raise ValueError(
            f"the score has no axis {missing[0]!r} any more; select with a list, "
            f"grid.sel({missing[0]}=[...]), which keeps it."
        )
    return values.transpose(*axes)


def _selected(grid: xr.Dataset, each: str, wanted: Any) -> list[Any]:
    """Returns the labels along an axis for which there are curves."""
    known = grid[each].values.tolist()
    several = isinstance(wanted, Sequence) and not isinstance(wanted, str)
    if isinstance(wanted, np.ndarray):
        wanted, several = wanted.tolist(), wanted.ndim > 0
    labels = known if wanted is None else list(wanted) if several else [wanted]
    if not labels or any(
        not isinstance(label, str | int | float)
        or isinstance(label, bool)
        or label not in known
        for label in labels
    ):
        raise ValueError(f"{each} must be among {known}, got {shown(wanted)}.")
    if len(labels) > MOST_CURVES:
        raise ValueError(
            f"{len(labels)} curves cannot be told apart; choose at most {MOST_CURVES}, "
            f"such as {each}={[known[0], known[-1]]!r}."
        )
    return labels


def _label(axis: Any, name: str, labels: np.ndarray) -> None:
    """Labels an axis with as many of the labels as can be read."""
    places = thinned(len(labels), MOST_LABELS[name])
    shown = [str(labels[place]) for place in places]
    upright = axis.axis_name == "x" and max(map(len, shown)) > 3
    axis.set_ticks(places, shown, rotation=90 if upright else 0)
    axis.set_label_text(name)


def thinned(count: int, most: int) -> list[int]:
    """Returns evenly spaced places, from the first on, at most so many.

    Example:
        >>> thinned(33, 12)
        [0, 4, 8, 12, 16, 20, 24, 28, 32]
    """
    # Of tokens x1, y1, x2, ... an even step shows those of one kind.
    steps = (unit * 10**power for power in range(9) for unit in (1, 2, 4))
    step = next(step for step in steps if -(-count // step) <= most)
    return list(range(0, count, step))


def _title(score: str) -> str:
    """Returns a score as it stands on an axis."""
    words = {"r2": "R2", "mse": "MSE", "auroc": "AUROC", "log_loss": "log-loss (bits)"}
    return words.get(score, score.replace("_", " "))


def _name(grid: xr.Dataset) -> str:
    """Returns the name of the target."""
    return str(grid.target.item()) if "target" in grid.coords else ""
