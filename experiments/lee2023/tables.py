"""From how many cells of the addition table does a transformer learn the others?

Claim: a transformer learns an n x n table of sums from about as many cells as it takes
to complete a matrix of low rank.

Paper: section 4 and Figure 3 of Lee et al. 2023 (claim L10).

Run: python -m experiments.lee2023.tables quick

How to read it: there is a panel for each n, with the number of cells that are shown on
a logarithmic axis. Black is the share of the other cells that a transformer gets right
after training on the shown ones; faint points are single seeds. Coloured curves are the
shares of the other cells that follow by rules of completion, averaged over random
choices of cells; dotted lines are the numbers of cells from which all follow, in half
of all random orders. The rule of neighbours is the released one with differences in
place of ratios (see `completion`); any rectangle is least squares on one-hot operands,
and digits are what a transformer reads of them. Bands are 95 %
intervals over cells, and over seeds if there are several; all seeds are trained on the
same cells.
"""

import math
import sys
from dataclasses import dataclass, replace

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.engine.claims.intervals import Resampled
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    SHARES,
    canvas,
    draw_band,
    legend_below,
)
from experiments.lee2023.formats import PRESETS as FORMATS
from experiments.lee2023.tables_claims import NAMES, claims, exact, resampled
from experiments.reference_models import SUMS
from icl import ModelConfig, TrainConfig, checks, inference, sweeps
from icl.arithmetic.completion import Rule, addition_table, complete, random_cells
from icl.arithmetic.thresholds import MOST_TRIALS, thresholds
from icl.codecs import Lines
from icl.codecs.matching import exact_match
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Addition

TIMES = {
    "tiny": "1 min",
    "quick": "20 min, 1 min once the models are trained",
    "paper": "40 models, 2.1e16 floating-point operations each: a GPU",
}
RULES: tuple[Rule, ...] = ("additive", "contiguous", "digits")


def shown_cells(n: int, factor: float) -> int:
    """Returns the number of cells that are shown of an n x n table."""
    return math.ceil(factor * n)


@dataclass(frozen=True)
class Config:
    """Settings of the tables, of the models and of completion.

    Attributes:
        task: how sums are written; its operands are below 10^digits.
        model: the shape of all models.
        train: their training.
        tables: the numbers n of operands, ascending, at most 10^digits.
        factors: how many cells are shown, in units of n, ascending.
        seeds: the number of models of each, with the seeds 0, 1, ...
        trials: the number of random orders of cells, for the rules.
        evaluation: the cells that are asked for, which no model has seen.
    """

    task: Addition
    model: ModelConfig
    train: TrainConfig
    tables: tuple[int, ...] = (50, 100)
    factors: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0, 12.0, 16.0)
    seeds: int = 5
    trials: int = 40
    evaluation: Evaluation = Evaluation(prompts=1_000)

    def __post_init__(self) -> None:
        checks.of_kind("task", self.task, Addition, "an Addition")
        checks.positive_int("seeds", self.seeds)
        checks.positive_int("trials", self.trials, minimum=2, maximum=MOST_TRIALS)
        for n in self.tables:
            checks.positive_int("tables", n, minimum=4, maximum=10**self.task.digits)
        for factor in self.factors:
            checks.finite_number("factors", factor, positive=True)
        for name in ("tables", "factors"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)) or not values:
                raise ValueError(
                    f"{name} must be ascending, one or more, none twice, got {values}."
                )
        n, factor = self.tables[0], self.factors[-1]
        cells = shown_cells(n, factor)
        if cells >= n * n:
            raise ValueError(
                f"factors must be below n = {n}, so that cells are left of the n x n "
                f"table, got {factor:g}, for {cells:,} cells of {n * n:,}."
            )
        if n * n - cells < self.evaluation.prompts:
            raise ValueError(
                f"evaluation.prompts must be at most {n * n - cells:,}, the cells that "
                f"are left of {n} x {n} if {factor:g} x {n} are shown, got "
                f"{self.evaluation.prompts:,}."
            )


PRESETS = {
    "tiny": Config(
        Addition(digits=1),
        FORMATS["tiny"].model,
        FORMATS["tiny"].train,
        tables=(6, 10),
        factors=(1.0, 2.0),
        seeds=1,
        trials=4,
        evaluation=Evaluation(prompts=20, resamples=100),
    ),
    "quick": Config(Addition(digits=2), SUMS.model, SUMS.train),
    "paper": Config(
        Addition(digits=2, padded=False, lines=20, loss_on="all"),
        FORMATS["paper"].model,
        FORMATS["paper"].train,
        factors=(2.0, 4.0, 8.0, 12.0),
    ),
}


def task_of(config: Config, n: int, factor: float) -> Addition:
    """Returns the task of some cells of the table of the numbers below n."""
    left_out = tuple(range(n, 10**config.task.digits))
    cells = shown_cells(n, factor)
    return replace(config.task, left_out=left_out, examples=cells, law="uniform")


def setting_of(config: Config, n: int, factor: float, seed: int) -> Setting:
    """Returns the model of a table, a number of cells and a seed."""
    return Setting(task_of(config, n, factor), config.model, config.train, seed)


def settings(config: Config) -> list[Setting]:
    """Returns all models, seed by seed."""
    return [
        setting_of(config, n, factor, seed)
        for seed in range(config.seeds)
        for n in config.tables
        for factor in config.factors
    ]


def asked(config: Config, n: int) -> Lines:
    """Returns lines of cells that none of the models of a table has seen.

    The cells of a smaller training set are among those of a larger one.
    """
    task = task_of(config, n, config.factors[-1])
    evaluation = config.evaluation
    return task.test(evaluation.prompts, seed=evaluation.seed, with_left_out=False)


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models, asks them and completes the tables: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns which unseen cells are right, and what follows by rules of completion.

    Returns:
        A Dataset with `exact` over (seed, table, factor, prompt), 0 or 1; `known`, the
        share of the cells that are not shown and follow by a rule, over (rule, table,
        factor, order); and `threshold`, the number of cells from which all follow, over
        (rule, table, order).
    """
    tables, factors = config.tables, config.factors
    shape = (config.seeds, len(tables), len(factors), config.evaluation.prompts)
    exact = np.zeros(shape, np.float32)
    for row, n in enumerate(tables):
        lines, codec = asked(config, n), task_of(config, n, factors[0]).codec
        for seed, column in np.ndindex(config.seeds, len(factors)):
            model = models(setting_of(config, n, factors[column], seed)).model
            said = inference.predictions(model, lines)
            exact[seed, row, column] = exact_match(said, lines, codec)[:, -1]
    orders = range(config.trials)
    found = [
        [thresholds(n, rule, trials=config.trials) for n in tables] for rule in RULES
    ]
    known = [
        [[[_known(n, f, rule, o) for o in orders] for f in factors] for n in tables]
        for rule in RULES
    ]
    return xr.Dataset(
        {
            "exact": (("seed", "table", "factor", "prompt"), exact),
            "known": (("rule", "table", "factor", "order"), np.array(known)),
            "threshold": (("rule", "table", "order"), np.array(found, float)),
        },
        coords={
            "seed": range(config.seeds),
            "table": list(tables),
            "factor": list(factors),
            "rule": list(RULES),
            "order": list(orders),
        },
        attrs={
            "resamples": config.evaluation.resamples,
            "steps": config.train.steps,
        },
    )


def _known(n: int, factor: float, rule: Rule, order: int) -> float:
    """Returns the share of the cells that are not shown and follow by a rule."""
    shown = random_cells(n, shown_cells(n, factor), order)
    completed = complete(addition_table(n), shown, rule)
    return float(completed.known[~shown].mean())


# --- the picture ---

COLOURS = {"additive": BLUE, "contiguous": GREEN, "digits": ORANGE}
MARKERS = {"additive": "s", "contiguous": "^", "digits": "D"}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws shares of unseen cells by the number of shown ones, a panel for each n."""
    parts, tables = resampled(dataset), dataset.table.values.tolist()
    with canvas(4.5 * len(tables), 3.8) as figure:
        panels = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        for axes, n in zip(panels, tables, strict=True):
            _panel(axes, dataset, parts, n)
        panels[0].set(ylabel="share of the other cells", ylim=SHARES)
        legend_below(figure, panels[0], ncols=2)
    return figure


def _panel(axes: Axes, dataset: xr.Dataset, parts: Resampled, n: int) -> None:
    """Draws the table of the numbers below n."""
    cells = n * dataset.factor
    band = [part.sel(table=n) for part in parts.band(exact)]
    draw_band(axes, cells, band, "o-", color=BLACK, label="transformer: right")
    single = parts.means.exact.sel(table=n).transpose("factor", "seed")
    axes.plot(cells, single, "o", color=BLACK, alpha=0.35, ms=3)
    for rule in dataset.rule.values.tolist():
        own = dataset.known.sel(rule=rule, table=n).mean("order")
        style = {"color": COLOURS[rule], "marker": MARKERS[rule]}
        axes.plot(cells, own, "-", label=f"{NAMES[rule]}: known", **style)
        half = float(parts.means.threshold.sel(rule=rule, table=n))
        axes.axvline(half, color=COLOURS[rule], linestyle=":")
    axes.set(xscale="log", xlabel="cells that are shown", title=f"n = {n}")
    axes.set_xticks(cells.values, [f"{round(float(each)):,}" for each in cells])
    axes.tick_params(axis="x", rotation=45)
    axes.minorticks_off()


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
