"""Draws the pictures of `docs/constructed.md`, from the constructions themselves.

Run: python -m docs.construction_pictures

It writes figures/construction-tokens.png, -layer.png and -sgd.png. The rows and states
that they show are computed by the compiled transformer for d = 2, on one prompt.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from experiments.engine.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILLION,
    canvas,
)
from icl import Prompts
from icl.constructed import sgd_step
from icl.constructed.layers import Layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[1] / "figures"
RATE, ALPHA, START = 0.1, 0.1, np.array([0.4, 0.4])
PROMPT = Prompts(jnp.array([[[1.0, -0.5], [0.5, 1.0]]]), jnp.array([[1.5, 0.0]]))
TOKENS = ("x1", "y1", "x2")
NUMBER = {"ha": "center", "va": "center", "fontsize": 7.5}


def tokens() -> "Figure":
    """Draws what each row of each token holds before the first layer."""
    constructed = sgd_step(2, RATE, alpha=ALPHA, weights=START)
    rows = Layout.of(constructed.program)
    state = np.asarray(constructed(PROMPT).hidden)[0, 0]
    parts = {
        "y": range(0, 1),
        "x": range(1, 3),
        "program's own rows": range(3, rows.work),
        "one, label, count": rows.constants,
        "key: where I am": rows.query("self"),
        "query: my x": rows.query("input"),
        "query: the y before": rows.query("label"),
        "pads": rows.pads,
        "scratch": rows.scratch,
    }
    colors = (VERMILLION, BLUE, GREEN, ORANGE, *[PURPLE] * 3, GREY, GREY)
    with canvas(9, 3.0) as figure:
        axes = figure.subplots()
        for (name, part), color in zip(parts.items(), colors, strict=True):
            if not len(part):
                continue
            for row in part:
                for line in range(len(TOKENS)):
                    _box(axes, row, -line, 0.92, 0.8, color, f"{state[line, row]:.2g}")
            middle = (part[0] + part[-1]) / 2
            axes.text(
                middle, 0.6, name, rotation=35, ha="left", color=color, fontsize=9
            )
        for line, name in enumerate(TOKENS):
            axes.text(-1.0, -line, name, ha="right", va="center", fontsize=10)
        axes.set(xlim=(-2, rows.width + 2), ylim=(-2.6, 2.6))
        axes.axis("off")
    return figure


def layer() -> "Figure":
    """Draws one layer: attention moves and adds, the MLP multiplies."""
    boxes: list[tuple[float, float, float, str, str, str]] = [
        (0.0, 0, 2.2, "state h", GREY, "all rows of\nthis token"),
        (
            3.2,
            1.15,
            3.4,
            "head 1",
            PURPLE,
            "reads the tokens\nwhose key fits\nmy query",
        ),
        (3.2, -1.15, 3.4, "head 2", PURPLE, "reads me"),
        (
            7.6,
            0,
            3.4,
            "add",
            BLUE,
            "first factors → scratch\n- old scratch\npads: ±N - sum/2",
        ),
        (12.0, 0, 3.0, "LayerNorm", ORANGE, "divides by N√(2/L),\na known constant"),
        (
            16.0,
            0,
            4.0,
            "MLP",
            GREEN,
            "K²√(π/2) [ g((t+s)/K)\n- g(t/K) - g(s/K) ] = t·s\n- old target",
        ),
        (21.0, 0, 2.2, "state h'", GREY, "target =\nproduct"),
    ]
    with canvas(11, 3.3) as figure:
        axes = figure.subplots()
        for x, y, width, name, color, text in boxes:
            _box(axes, x + width / 2, y, width, 1.6, color, text)
            axes.text(x, y + 0.86, name, color=color, fontsize=9, weight="bold")
        arrows = [
            ((2.2, 0.2), (3.2, 1.15)),
            ((2.2, -0.2), (3.2, -1.15)),
            ((6.6, 1.15), (7.6, 0.3)),
            ((6.6, -1.15), (7.6, -0.3)),
            ((11.0, 0), (12.0, 0)),
            ((15.0, 0), (16.0, 0)),
            ((20.0, 0), (21.0, 0)),
        ]
        for start, end in arrows:
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "lw": 1.2})
        for start, end, drop, text in (
            (1.1, 9.3, -2.5, "residual: h itself"),
            (9.9, 22.1, -1.7, "residual: past LayerNorm and MLP, unchanged"),
        ):
            foot = -0.8
            axes.plot([start, start, end], [foot, drop, drop], color=GREY, lw=1)
            axes.annotate(
                "",
                (end, foot),
                (end, drop),
                arrowprops={"arrowstyle": "->", "color": GREY},
            )
            axes.text(
                (start + end) / 2,
                drop - 0.08,
                text,
                ha="center",
                va="top",
                fontsize=8,
                color=GREY,
            )
        axes.set(xlim=(-0.3, 23.5), ylim=(-3.0, 2.4))
        axes.axis("off")
    return figure


def sgd() -> "Figure":
    """Draws the states of y1 and x2 through the nine layers of an SGD step."""
    constructed = sgd_step(2, RATE, alpha=ALPHA, weights=START)
    program = constructed.program
    hidden = np.asarray(constructed(PROMPT).hidden)[:, 0]
    names = list(program.rows)
    with canvas(12, 5.6) as figure:
        for axes, token in zip(
            figure.subplots(1, 2, width_ratios=(3, 2)), (1, 2), strict=True
        ):
            for line in range(len(hidden)):
                written = program.steps[line - 1].targets if line else ("y", "x")
                for name in names:
                    for row in program.rows[name]:
                        value = hidden[line, token, row]
                        new = name in written
                        text = f"{value:.2f}" if new or abs(value) > 1e-6 else ""
                        _box(axes, row, -line, 0.94, 0.84, BLUE if new else GREY, text)
            for name in names:
                rows = program.rows[name]
                axes.text(
                    (rows[0] + rows[-1]) / 2 - 0.2,
                    0.65,
                    name,
                    rotation=40,
                    ha="left",
                    fontsize=8,
                )
            if token == 1:
                for line in range(len(hidden)):
                    step = str(program.steps[line - 1]) if line else "tokens"
                    axes.text(
                        -0.9,
                        -line,
                        f"{line}  {step}",
                        ha="right",
                        va="center",
                        fontsize=8,
                    )
            axes.set_title(f"token {TOKENS[token]}")
            axes.set(xlim=(-7.5 if token == 1 else -1, program.work), ylim=(-9.6, 2.2))
            axes.axis("off")
    return figure


def _box(
    axes: "Axes", x: float, y: float, width: float, height: float, color: str, text: str
) -> None:
    """Draws a box around a point, with text in it."""
    from matplotlib.patches import Rectangle

    corner = (x - width / 2, y - height / 2)
    look: dict[str, Any] = {"facecolor": color, "alpha": 0.14, "linewidth": 0}
    axes.add_patch(Rectangle(corner, width, height, **look))
    axes.text(x, y, text, **NUMBER)


def main() -> None:
    """Draws all three pictures."""
    for draw in (tokens, layer, sgd):
        path = FOLDER / f"construction-{draw.__name__}.png"
        draw().savefig(path)
        print(path)


if __name__ == "__main__":
    main()
