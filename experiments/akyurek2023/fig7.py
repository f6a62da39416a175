"""The square of a number by units of a transformer: GELU, tanh and ReLU.

Claim: differences of GELUs approximate x^2 on [-0.1, 0.1], and so do differences of
other smooth functions; ReLUs can only put it together piece by piece.

Paper: Figure 7 and appendix G of Akyürek et al. 2023 (claim 33).

Run: python -m experiments.akyurek2023.fig7 quick

How to read it: the left panel shows the three approximations beside x^2, the right one
how far they are from it, as shares of x^2. The dotted curve is the GELU's error,
-(7/6) x^2. All constructions rest on the GELU: a product x y is what is left of
g(x + y) - g(x) - g(y), here with y = x.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr
from scipy.special import erf

from experiments.akyurek2023.fig7_claims import claims, relative_error
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import BLACK, BLUE, GREEN, ORANGE, canvas
from icl import checks
from icl.sweeps.store import Models

TIMES = {"tiny": "3 s", "quick": "3 s", "shipped": "3 s", "paper": "3 s"}


@dataclass(frozen=True)
class Config:
    """Settings of Figure 7. No model is trained.

    Attributes:
        bound: x runs over [-bound, bound].
        points: the number of x; it is odd, so that 0 is among them.
        delta: the step of the finite difference of tanh, which has no second
            derivative at 0.
        pieces: the number of linear pieces of the ReLU sum.
    """

    bound: float = 0.1
    points: int = 401
    delta: float = 0.01
    pieces: int = 6

    def __post_init__(self) -> None:
        for name in ("bound", "delta"):
            checks.finite_number(name, getattr(self, name), positive=True)
        if not 1e-100 <= self.bound <= 1e100:  # its square is a number too
            raise ValueError(f"bound must be 1e-100 to 1e100, got {self.bound!r}.")
        checks.positive_int("pieces", self.pieces)
        if checks.positive_int("points", self.points, minimum=5) % 2 == 0:
            raise ValueError(f"points must be odd, got {self.points}; add one.")


PRESETS = {
    "tiny": Config(points=41),
    "quick": Config(),
    "shipped": Config(),
    "paper": Config(),
}


def compute(config: Config, _: Models) -> xr.Dataset:
    """Approximates x^2 by each kind of unit.

    Returns:
        A Dataset with `square` over (unit, x).
    """
    x = np.linspace(-config.bound, config.bound, config.points)
    x[config.points // 2] = 0  # exactly
    square = [by_gelu(x), by_tanh(x, config.delta), by_relu(x, config.pieces)]
    return xr.Dataset(
        {"square": (("unit", "x"), np.stack(square))},
        coords={"unit": ["GELU", "tanh", "ReLU"], "x": x},
    )


def by_gelu(x: np.ndarray) -> np.ndarray:
    """Returns sqrt(pi/2) (g(2x) - 2 g(x)): Lemma 4's multiplier with both factors x."""

    def gelu(z: np.ndarray) -> np.ndarray:
        return z / 2 * (1 + erf(z / np.sqrt(2)))

    return np.sqrt(np.pi / 2) * (gelu(2 * x) - 2 * gelu(x))


def by_tanh(x: np.ndarray, delta: float) -> np.ndarray:
    """Returns the square by a finite difference of tanh, from 0 to delta.

    It is the difference of Lemma 4 with tanh for the GELU. As tanh z = z - z^3/3 + ...,
    what is left of it is -2 delta x y.
    """

    def mixed(shift: float) -> np.ndarray:
        return np.tanh(2 * x + shift) - 2 * np.tanh(x + shift) + np.tanh(shift)

    return (mixed(delta) - mixed(0.0)) / (-2 * delta)


def by_relu(x: np.ndarray, pieces: int) -> np.ndarray:
    """Returns a sum of ReLUs that meets x^2 at the ends of its pieces.

    The slope of a piece from a to b is a + b. It grows by twice the length of a piece
    from one piece to the next.
    """
    knots = np.linspace(x[0], x[-1], pieces + 1)
    step = knots[1] - knots[0]
    line = knots[0] ** 2 + (knots[0] + knots[1]) * (x - knots[0])
    bends = np.maximum(x[:, None] - knots[None, 1:-1], 0)
    return line + 2 * step * bends.sum(axis=1)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the approximations, and their relative errors."""
    x = dataset.x.values
    with canvas(8, 3.4) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(x, x**2, color=BLACK, linewidth=5, alpha=0.2, label="x²")
        styles = {"GELU": (BLUE, "-"), "tanh": (ORANGE, "--"), "ReLU": (GREEN, "-.")}
        for unit, (color, line) in styles.items():
            left.plot(
                x,
                dataset.square.sel(unit=unit),
                color=color,
                linestyle=line,
                label=unit,
            )
            right.plot(
                x, relative_error(dataset).sel(unit=unit), color=color, linestyle=line
            )
        right.plot(
            x,
            -7 / 6 * x**2,
            color=BLACK,
            linestyle=":",
            label="-(7/6) x², the law of the GELU",
        )
        # Near 0 x² vanishes and ReLU's error does not, so that the ratio has no bound.
        right.set_ylim(-0.06, 0.06)
        left.set_title("x² from units of a transformer")
        left.set_ylabel("approximation of x²")
        right.set_title("how far they are from x²")
        right.set_ylabel("error / x²")
        for axes in (left, right):
            axes.set_xlabel("x")
        right.legend(loc="lower center")
        left.legend(loc="upper center")
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
