"""How much of an addition table must be seen until the rest of it follows?

Claim: a transformer learns addition when about O(n) cells of the n x n table have been
shown, as many as completing a matrix of low rank takes. The rule that was compared with
fills in other numbers than the sums, and takes n^2 / ln n cells; the rule that is least
squares takes n ln n.

Paper: section 4 and Figure 3 of Lee et al. 2023 (claims L7, L8 and L9). No model is
trained.

Run: python -m experiments.lee2023.completion quick

How to read it: on the left, the share of cells that are not shown and that a rule fills
in, by the number of cells that are shown, and as broken lines the share that it gets
right. The released rule (the ratio of neighbours) fills in as much as the one of
differences, and nearly all of it is wrong; so is much of what the best matrix of rank 2
says, where few cells are shown. Least squares on the digits of both operands needs a
number of cells that hardly depends on the table. On the right, the number of shown
cells from which all are known in half of all random orders, by the size n of the table,
with the laws for large n as thin lines. Bands are 95 % intervals over random orders.
"""

import math
import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.ticker import NullLocator

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Statistic
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    canvas,
    draw_band,
    legend_below,
)
from icl import checks
from icl.arithmetic.completion import (
    LARGEST,
    LARGEST_CUBED,
    Rule,
    addition_table,
    complete,
    one_hot_features,
    random_cells,
)
from icl.arithmetic.thresholds import MOST_TRIALS, law, thresholds
from icl.resampling.draws import MOST
from icl.sweeps.store import Models

TIMES = {"tiny": "10 s", "quick": "3 min", "paper": "15 min"}
RULES: tuple[Rule, ...] = ("additive", "contiguous", "ratio", "digits", "rank 2")
COUNTED: tuple[Rule, ...] = ("additive", "contiguous", "digits")
"""The rules whose thresholds are found."""

LAWS: tuple[Rule, ...] = ("additive", "contiguous")
"""Those of them that grow by a known law."""


@dataclass(frozen=True)
class Config:
    """Settings of the completion of addition tables.

    Attributes:
        sizes: the sizes n of tables whose thresholds are found, ascending.
        table: the size of the table that is filled in.
        points: the number of numbers of shown cells, evenly spaced up to half of it.
        trials: the number of random orders of cells.
        seed: the first order's; the others have the numbers after it.
        resamples: bootstrap resamples of the orders.
    """

    sizes: tuple[int, ...] = (20, 35, 50, 70, 100)
    table: int = 20
    points: int = 14
    trials: int = 40
    seed: int = 0
    resamples: int = 1_000

    def __post_init__(self) -> None:
        for size in self.sizes:
            checks.positive_int("sizes", size, minimum=4, maximum=LARGEST)
        checks.positive_int("table", self.table, minimum=4, maximum=LARGEST_CUBED)
        if len(self.sizes) < 2 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(
                f"sizes must be two or more, ascending, none twice, got {self.sizes}."
            )
        checks.positive_int("points", self.points, minimum=2, maximum=LARGEST)
        checks.positive_int("trials", self.trials, minimum=2, maximum=MOST_TRIALS)
        checks.positive_int("seed", self.seed, minimum=0)
        checks.positive_int("resamples", self.resamples, maximum=MOST)

    @property
    def shown(self) -> list[int]:
        """The numbers of cells that are shown of the table, ascending."""
        cells = self.table**2
        return sorted({round(x) for x in np.linspace(1, cells / 2, self.points)})


PRESETS = {
    "tiny": Config(sizes=(6, 10), table=10, points=4, trials=4, resamples=100),
    "quick": Config(),
    "paper": Config(trials=200),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Fills in tables and finds thresholds; no models are asked for.

    Returns:
        A Dataset with `threshold` over (rule, size, order); `filled` and `right` over
        (rule, shown, order), shares of the cells that are not shown; and `differing`
        over (order), the number of cells that follow by least squares on one-hot rows
        and columns and not by the additive rule, or the other way round.
    """
    del models
    orders = range(config.seed, config.seed + config.trials)
    trials = {"trials": config.trials, "seed": config.seed}
    found = [[thresholds(n, rule, **trials) for n in config.sizes] for rule in COUNTED]
    shape = (len(RULES), len(config.shown), len(orders))
    filled, right = np.zeros(shape), np.zeros(shape)
    table = addition_table(config.table)
    for row, rule in enumerate(RULES):
        for place, m in enumerate(config.shown):
            for column, order in enumerate(orders):
                shown = random_cells(config.table, m, order)
                completed = complete(table, shown, rule)
                correct = np.isclose(completed.values, table, rtol=0, atol=1e-6)
                filled[row, place, column] = completed.known[~shown].mean()
                right[row, place, column] = correct[~shown].mean()
    dims = ("rule", "shown", "order")
    return xr.Dataset(
        {
            "threshold": (("law", "size", "order"), np.array(found, float)),
            "filled": (dims, filled),
            "right": (dims, right),
            "differing": ("order", [_differing(table, order) for order in orders]),
        },
        coords={
            "rule": list(RULES),
            "law": list(COUNTED),
            "size": list(config.sizes),
            "shown": config.shown,
            "order": list(orders),
        },
        attrs={"table": config.table, "resamples": config.resamples},
    )


def _differing(table: np.ndarray, order: int) -> float:
    """Returns how many cells differ between least squares and the additive rule.

    A cell follows by least squares if its features are among what those of the shown
    cells span. (The solution of least norm may be right elsewhere, by chance.)
    """
    n = len(table)
    shown = random_cells(n, 3 * n, order)
    features = one_hot_features(n)
    inverse = np.linalg.pinv(features[shown.ravel()])
    spanned = features @ inverse @ features[shown.ravel()]
    follows = np.isclose(spanned, features, rtol=0, atol=1e-8).all(axis=1)
    solved = features @ inverse @ table[shown]
    wrong = follows & ~np.isclose(solved, table.ravel(), rtol=0, atol=1e-8)
    return float((wrong | (follows != complete(table, shown).known.ravel())).sum())


# --- claims ---


def resampled(dataset: xr.Dataset) -> Resampled:
    """Returns means over orders (thresholds: medians), and those of all resamples."""
    settings = {"resamples": int(dataset.attrs["resamples"])}
    shares = dataset[["filled", "right", "differing"]]
    means = intervals.resample(shares, ("order",), **settings)
    medians = dataset[["threshold"]]
    halves = intervals.resample(medians, ("order",), statistic="median", **settings)
    return Resampled(means.means.merge(halves.means), means.draws.merge(halves.draws))


def slope(rule: str) -> Statistic:
    """Returns the exponent of a power law of n through the thresholds of a rule."""

    def fitted(means: xr.Dataset) -> xr.DataArray:
        logs = np.log(means.threshold.sel(law=rule))
        place = np.log(logs["size"] / logs["size"].mean())
        place = place - place.mean()
        return (logs * place).sum("size") / (place**2).sum()

    return fitted


def right_share(rule: str) -> Statistic:
    """Returns the share that is right of the cells that a rule fills in, over all m."""

    def share(means: xr.Dataset) -> xr.DataArray:
        part = means.sel(rule=rule)
        left = means.attrs.get("cells", 1) - part.shown
        return (part.right * left).sum("shown") / (part.filled * left).sum("shown")

    return share


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims L7, L8 and L9 about rules of completion."""
    cells = dataset.attrs["table"] ** 2
    judge = Judge(
        "lee2023",
        "completion",
        "Lee et al. 2023, section 4, and its released notebook",
        resampled=resampled(dataset).map(lambda part: part.assign_attrs(cells=cells)),
        subject="theory",
    )
    over = {"interval_over": "random orders of cells; no model is involved"}
    return [
        judge(
            "L7",
            "Completing a table of sums by any rectangle is least squares on one-hot "
            "operands: no cell differs.",
            lambda means: means.differing,
            "<=",
            0.0,
            unit=f"cells of {cells} that differ, 3 n of them shown",
            bar="ours",
            **over,
        ),
        judge(
            "L8a",
            "The released rule fills in what is wrong: less than 5 % of its cells are "
            "sums.",
            right_share("ratio"),
            "<",
            0.05,
            unit="share of the cells that are filled in",
            bar="ours",
            **over,
        ),
        judge(
            "L8b",
            "With differences in place of ratios, it fills in the same cells, all of "
            "them rightly.",
            right_share("contiguous"),
            ">=",
            1.0,
            unit="share of the cells that are filled in",
            bar="ours",
            **over,
        ),
        *(
            judge(
                f"L9{letter}",
                f"The number of cells that the rule {rule!r} needs is O(n): it grows "
                "with n to a power below 1.2.",
                slope(rule),
                "<",
                1.2,
                unit="slope of log cells by log n",
                note="n ln n has a slope of 1 + 1 / ln n, 1.2 to 1.3 at these n.",
                **over,
            )
            for letter, rule in (("a", "contiguous"), ("b", "additive"))
        ),
    ]


# --- the picture ---

STYLES = {
    "additive": {"color": BLUE, "marker": "o", "label": "any rectangle"},
    "contiguous": {"color": GREEN, "marker": "s", "label": "neighbours, differences"},
    "ratio": {
        "color": VERMILLION,
        "marker": "^",
        "label": "neighbours, ratios (released)",
    },
    "digits": {"color": ORANGE, "marker": "D", "label": "least squares on digits"},
    "rank 2": {"color": GREY, "marker": "v", "label": "best matrix of rank 2"},
}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws shares by the number of shown cells, and thresholds by the table's size."""
    parts = resampled(dataset)
    with canvas(9, 4) as figure:
        left, right = figure.subplots(1, 2)
        for rule, style in STYLES.items():
            filled = parts.band(lambda means, rule=rule: means.filled.sel(rule=rule))
            correct = parts.band(lambda means, rule=rule: means.right.sel(rule=rule))
            draw_band(left, "shown", filled, **style)
            dashed = style | {"label": None, "ls": "--"}
            draw_band(left, "shown", correct, **dashed)
        left.set(xlabel="cells that are shown", ylabel="share of the other cells")
        left.set_title(f"n = {dataset.attrs['table']}: filled in (right: broken lines)")
        for rule in COUNTED:
            found = parts.band(lambda means, rule=rule: means.threshold.sel(law=rule))
            style = STYLES[rule]
            draw_band(right, "size", found, **style | {"label": None})
            if rule in LAWS:
                sizes = np.geomspace(*dataset["size"].values[[0, -1]])
                laws = [law(math.ceil(size), rule) for size in sizes]
                right.plot(sizes, laws, color=style["color"], lw=0.8, ls=":")
        right.set(xscale="log", yscale="log", xlabel="size n of the table")
        right.set_ylabel("shown cells until all are known (median)")
        right.set_xticks(
            dataset["size"].values, [f"{n}" for n in dataset["size"].values]
        )
        right.xaxis.set_minor_locator(NullLocator())
        right.set_title("dotted: n ln(2n / ln 2) and 0.65 n² / ln n")
        legend_below(figure, left, ncols=3)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
