"""How do time and memory of a training step grow with the batch and the model?

One of batch, pairs, dimension and layers is varied at a time around a base shape, each
point in a fresh process, whose peak memory is its own. Memory is the peak of resident
bytes during the first step less what was resident before it, when the program was
compiled and the state in place; on an accelerator, the peak of its allocator likewise.
Small points read low: their steps fit into memory that compiling has freed.

Exponents are slopes of a line in logarithms, with the standard error of least squares,
over the upper half of the range (on the logarithmic axis): below it fixed costs bend
the curve. `figures/growth.png` shows points and lines.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks import limits, steps
from benchmarks.measure import Row, Work, alternate, device, row
from benchmarks.steps import Shape
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BASE = Shape(dim=8, pairs=17, layers=4, width=64)
AXES = {
    "batch": (8, 16, 32, 64, 128, 256, 512),
    "pairs": (5, 9, 17, 33, 65, 129),
    "dim": (2, 4, 8, 16, 32, 64, 128),
    "layers": (1, 2, 4, 8, 16, 32),
}
QUANTITIES = ("seconds", "bytes")
PICTURE = Path("figures/growth.png")


class Power(NamedTuple):
    """y = factor * x^exponent, fitted from `start` on.

    Attributes:
        exponent: slope in logarithms.
        error: its standard error.
        factor: of the line.
        start: the smallest x that was fitted.
    """

    exponent: float
    error: float
    factor: float
    start: float


def main(turns: int) -> Iterator[Row]:
    """A row for each point, and one with the exponents for each axis."""
    points: dict[Shape, dict[str, float]] = {}
    for axis, values in AXES.items():
        for value in values:
            shape = BASE._replace(**{axis: value})
            if shape not in points:
                made, points[shape] = measured(shape, turns)
                yield made
        curves = curves_of(axis, points)
        yield exponents(axis, curves)
    draw({axis: curves_of(axis, points) for axis in AXES}, PICTURE)


def measured(shape: Shape, turns: int) -> tuple[Row, dict[str, float]]:
    """One point, in a process of its own: its row, and its seconds and bytes."""
    with Worker("benchmarks.growth:point", shape, turns) as worker:
        value = worker()
    found = {name: np.array(numbers) for name, numbers in value["found"].items()}
    made = row(
        "growth",
        str(shape),
        found,
        work=Work(shape.flops, "float32 matmul, FLOP/s"),
        note=f"at the peak {value['bytes'] / 1e6:.1f} MB beside program and state",
    )
    return made, {"seconds": float(made.ours_s or 0), "bytes": float(value["bytes"])}


def curves_of(
    axis: str, points: dict[Shape, dict[str, float]]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By quantity: x, and what was measured there."""
    along = [points[BASE._replace(**{axis: value})] for value in AXES[axis]]
    x = np.array(AXES[axis], float)
    return {name: (x, np.array([p[name] for p in along])) for name in QUANTITIES}


def exponents(axis: str, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> Row:
    """The row of one axis; its seconds are those of the last point."""
    fits = {name: power(*curves[name]) for name in QUANTITIES}
    text = ", ".join(
        f"{name} as {axis}^{fit.exponent:.2f} (standard error {fit.error:.2f})"
        for name, fit in fits.items()
    )
    x, seconds = curves["seconds"]
    made = row(
        "growth",
        f"{axis} {x[0]:.0f} to {x[-1]:.0f} around {BASE}",
        {"ours": seconds[-1:]},
        work="no limit: see the points",
        note=f"{text}; fitted from {fits['seconds'].start:.0f} on",
    )
    return made


def power(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> Power:
    """The power law of the upper half of a range.

    Of the positive points there, of which three are needed; with less it is NaN.
    """
    from scipy.stats import linregress

    x, y = np.asarray(x, float), np.asarray(y, float)
    upper = (x >= (x[0] * x[-1]) ** 0.5 * (1 - 1e-9)) & (y > 0)
    if upper.sum() < 3:
        return Power(*[float("nan")] * 4)
    line: Any = linregress(np.log(x[upper]), np.log(y[upper]))
    return Power(line.slope, line.stderr, float(np.exp(line.intercept)), x[upper][0])


def draw(
    curves: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]], path: Path
) -> None:
    """A column for each axis: time above, memory below."""
    from experiments.engine.figures.style import canvas

    with canvas(9, 4.6) as figure:
        panels = figure.subplots(2, len(curves), sharex="col", sharey="row")
        for column, (axis, by_quantity) in enumerate(curves.items()):
            for panel, (x, y) in zip(
                panels[:, column], by_quantity.values(), strict=True
            ):
                _panel(panel, x, y)
            panels[1, column].set_xlabel(axis)
        panels[0, 0].set_ylabel("seconds a step")
        panels[1, 0].set_ylabel("bytes at the peak")
        figure.suptitle(f"A training step around {BASE}; {device()}", fontsize=10)
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path)


def _panel(panel: "Axes", x: np.ndarray, y: np.ndarray) -> None:
    from experiments.engine.figures.style import BLUE, GREY

    fit = power(x, y)
    panel.loglog(x, y, "o", color=BLUE)
    upper = x[x >= fit.start]
    panel.loglog(upper, fit.factor * upper**fit.exponent, color=GREY)
    label = f"slope {fit.exponent:.2f} ± {fit.error:.2f}"
    panel.annotate(label, (0.05, 0.9), xycoords="axes fraction")


# --- in the worker ---


def point(shape: list[int], turns: int) -> Callable[[], dict[str, Any]]:
    """What a fresh process measures at one shape."""
    run = steps.ours(Shape(*shape))

    def measure() -> dict[str, Any]:
        run(0)  # compiles
        before = resident()
        run(1)
        extra = peak() - before
        sides = {"ours": steps.seconds_per_step(run), "limit": limits.matmul()}
        found = alternate(sides, turns)
        return {
            "bytes": extra,
            "found": {name: values.tolist() for name, values in found.items()},
        }

    return measure


def resident() -> int:
    """Bytes in use now, from where on the peak counts."""
    statistics = _accelerator()
    if statistics:
        return statistics["bytes_in_use"]
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    return _status("VmRSS")


def peak() -> int:
    """The most bytes in use since `resident` was called (since the start on a GPU)."""
    statistics = _accelerator()
    return statistics["peak_bytes_in_use"] if statistics else _status("VmHWM")


def _accelerator() -> dict[str, int] | None:
    import jax

    return jax.devices()[0].memory_stats()


def _status(name: str) -> int:
    """A number of /proc/self/status, which are in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
