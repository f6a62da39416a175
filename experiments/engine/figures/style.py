"""What do all figures look like? A palette, the rules of the house, and an x-axis.

The colours are Okabe and Ito's, made for colour-blind readers; nothing is told by
colour alone. Which learner has which colour is said in the folder of its paper.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLACK, BLUE, SKY, GREEN = "#000000", "#0072B2", "#56B4E9", "#009E73"
ORANGE, VERMILLION, PURPLE, GREY = "#E69F00", "#D55E00", "#CC79A7", "#777777"

COLOR_CYCLE = (BLACK, BLUE, GREEN, ORANGE, VERMILLION, PURPLE, SKY)
MARKER_CYCLE = "osD^vPX"
"""The colours and markers of curves that have a number and no colour of their own."""

SHARES = (-0.03, 1.03)
"""The limits of an axis of shares; intervals of few seeds may reach beyond 0 and 1."""

Side = Literal["left", "center", "right"]
PLACES: Mapping[Side, Any] = {
    "left": "outside lower left",
    "center": "outside lower center",
    "right": "outside lower right",
}
"""Where a legend below all panels stands, in matplotlib's words."""

RULES: Mapping[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
}


@contextmanager
def usual_settings() -> Iterator[None]:
    """Draws with the settings that matplotlib comes with, and not with the user's."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Yields an empty figure of this size in inches, in the house style."""
    with usual_settings(), matplotlib.rc_context(dict(RULES)):
        yield Figure(figsize=(width, height), layout="constrained")


def draw_band(
    axes: Axes, x: Any, band: Sequence[Any], *form: str, **style: Any
) -> None:
    """Draws a curve over `x` and its interval, which is a band in the curve's colour.

    Args:
        axes: where it is drawn.
        x: the places of the values, or the name of their coordinate.
        band: the values, and the lower and upper ends of their intervals.
        form: matplotlib's short form of markers and lines, such as "o-".
        style: properties of the curve, with `color`.
    """
    value, low, high = band
    x = value[x] if isinstance(x, str) else x
    axes.plot(x, value, *form, **style)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.15, lw=0)


def legend_below(
    figure: Figure,
    *panels: Axes,
    side: Side = "center",
    **style: Any,
) -> None:
    """Draws one legend below all panels, so that no curve runs through it.

    Args:
        figure: what is drawn.
        panels: those whose curves it names; what has one label is named once.
        side: where it stands.
        style: properties of the legend, such as `ncols` and `title`.
    """
    known: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    figure.legend(known.values(), known, loc=PLACES[side], **style)


def count_examples(axes: Axes, dim: int, *, low: bool = False) -> None:
    """Makes the x-axis one of numbers of examples, with a line at n = d.

    The line's label stands at its upper end, or at the lower where data fill the top.
    """
    axes.set_xlabel("number of examples n")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.axvline(dim, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.5)
    axes.annotate(
        "n = d",
        (dim, 0 if low else 1),
        xycoords=("data", "axes fraction"),
        xytext=(2, 2 if low else -2),
        textcoords="offset points",
        va="bottom" if low else "top",
        color=GREY,
        fontsize=8,
    )
