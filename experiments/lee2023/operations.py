"""How well do models learn other operations, by how these are written?

Claim: what a model learns of multiplication hangs on the format: a detailed scratchpad
makes it possible, and reversed answers do not.

Paper: section 5 of Lee et al. 2023, on other operations (claim L21).

Run: python -m experiments.lee2023.operations quick

How to read it: there is a group of points for each operation, with one for each way to
write it: the share of unseen lines whose answer is right, whatever the working before
it. Crosses are the shares whose whole scratchpad is right as well; faint points are
single seeds, and bars are 95 % intervals over lines, and over seeds if there are
several. Answers are greedy. The released accuracies, of 3,000 examples of numbers of up
to two digits for models with 10.6M parameters and a temperature of 0.8, are 4.6 %
(plain), 8.3 % (reverse) and 95.8 % (detailed) for multiplication.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Statistic
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation, check_unseen
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLUE,
    GREEN,
    PURPLE,
    SHARES,
    VERMILLION,
    canvas,
    legend_below,
)
from experiments.lee2023.formats import PRESETS as FORMATS
from experiments.reference_models import SUMS
from icl import ModelConfig, TrainConfig, checks, sweeps
from icl.arithmetic.operations import OPERATIONS, layouts_of
from icl.codecs import Lines
from icl.generation import generate
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Operation

TIMES = {
    "tiny": "1 min",
    "quick": "30 min, 5 min once the models are trained",
    "paper": "11 models, 2.1e16 floating-point operations each: a GPU",
}
LAYOUTS = ("plain", "reverse", "simplified", "detailed")
LEARNT = 0.1
"""If no format has a larger share of right answers, their order says nothing."""


@dataclass(frozen=True)
class Config:
    """Settings of the operations and of the models.

    Attributes:
        task: its operation is each of `operations`, and its layout each that this has.
        model: the shape of all models.
        train: their training.
        operations: names in `icl.arithmetic.operations.OPERATIONS`.
        seeds: the number of models of each kind, with the seeds 0, 1, ...
        evaluation: the unseen lines.
    """

    task: Operation
    model: ModelConfig
    train: TrainConfig
    operations: tuple[str, ...] = ("multiplication",)
    seeds: int = 3
    evaluation: Evaluation = Evaluation(prompts=500)

    def __post_init__(self) -> None:
        checks.of_kind("task", self.task, Operation, "an Operation")
        checks.positive_int("seeds", self.seeds)
        checks.each_of("operations", self.operations, OPERATIONS)
        for task in tasks(self).values():
            check_unseen(task, self.evaluation.prompts)


def tasks(config: Config) -> dict[tuple[str, str], Operation]:
    """Returns the task of every operation and layout, by both names."""
    changes: list[Any] = [
        {"operation": name, "layout": layout}
        for name in config.operations
        for layout in LAYOUTS
        if layout in layouts_of(name)  # pyrefly: ignore[bad-argument-type]
    ]
    return {tuple(each.values()): replace(config.task, **each) for each in changes}


def settings(config: Config) -> list[Setting]:
    """Returns all models, seed by seed."""
    return [
        Setting(task, config.model, config.train, seed)
        for seed in range(config.seeds)
        for task in tasks(config).values()
    ]


PRESETS = {
    "tiny": Config(
        Operation(digits=1, examples=60),
        FORMATS["tiny"].model,
        replace(FORMATS["tiny"].train, steps=20, evaluate_every=20),
        operations=("subtraction",),
        seeds=1,
        evaluation=Evaluation(prompts=20, resamples=100),
    ),
    "quick": Config(
        Operation(digits=2), SUMS.model, replace(SUMS.train, steps=1_500, batch=32)
    ),
    "paper": Config(
        Operation(digits=2, loss_on="all"),
        FORMATS["paper"].model,
        replace(FORMATS["paper"].train, batch=32, steps=20_000, warmup=0.0),
        operations=OPERATIONS,
        seeds=1,
        evaluation=Evaluation(prompts=5_000),
    ),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and asks them: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns which unseen lines are answered rightly.

    Returns:
        A Dataset with `exact`, whether the number that a line ends in is right, and
        `whole`, whether all that was written is, over (seed, operation, layout,
        prompt), 0 or 1; NaN where an operation has no such layout.
    """
    names, count = list(config.operations), config.evaluation.prompts
    shape = (config.seeds, len(names), len(LAYOUTS), count)
    exact, whole = np.full((2, *shape), np.nan, np.float32)
    for (name, layout), task in tasks(config).items():
        lines = task.test(count, seed=config.evaluation.seed)
        for seed in range(config.seeds):
            model = models(Setting(task, config.model, config.train, seed)).model
            at = seed, names.index(name), LAYOUTS.index(layout)
            exact[at], whole[at] = right(task, lines, generate(model, lines))
    of_model = ("seed", "operation", "layout", "prompt")
    return xr.Dataset(
        {"exact": (of_model, exact), "whole": (of_model, whole)},
        coords={
            "seed": range(config.seeds),
            "operation": names,
            "layout": list(LAYOUTS),
        },
        attrs={
            "examples": config.task.examples,
            "steps": config.train.steps,
            "resamples": config.evaluation.resamples,
        },
    )


def right(task: Operation, lines: Lines, ids: np.ndarray) -> np.ndarray:
    """Returns which lines have the right number, and are right as a whole, (2, lines).

    Args:
        task: what the lines are about.
        lines: the lines as they should be.
        ids: the lines as a model has written them.
    """
    rows, answers = np.asarray(lines.ids), np.asarray(lines.answers)
    text = task.codec.text
    said = [task.parse(text(each)) for each in ids]
    wanted = [task.parse(text(each)) for each in rows]
    number = [one == other for one, other in zip(said, wanted, strict=True)]
    whole = ((ids == rows) | ~answers).all(axis=1)
    return np.array([number, whole], np.float32)


# --- claims ---


def resampled(dataset: xr.Dataset) -> Resampled:
    """Returns shares of right lines, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def share(operation: str, layout: str) -> Statistic:
    """Returns the share of right answers of an operation and a layout."""
    at = {"operation": operation, "layout": layout}
    return lambda means: means.exact.sel(at, drop=True)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim L21, on multiplication."""
    judge = Judge(
        "lee2023",
        "operations",
        "Lee et al. 2023, section 5",
        note=f"{dataset.attrs['steps']:,} steps; greedy answers. Released, of two "
        "digits: 4.6 % plain, 8.3 % reversed, 95.8 % detailed.",
        resampled=resampled(dataset),
    )
    name, examples = "multiplication", int(dataset.attrs["examples"])
    there = name in dataset.operation.values
    plain, reverse, detailed = (
        share(name, layout) for layout in ("plain", "reverse", "detailed")
    )
    best = 1.0
    if there:
        best = float(dataset.exact.sel(operation=name).mean(("seed", "prompt")).max())
    alike = "" if best >= LEARNT else "No format is learnt at all in this run."
    return [
        judge(
            id,
            f"Trained on {examples:,} products, {text}",
            lambda means, more=more: more(means) - plain(means),
            relation,
            bar,
            unit="difference of shares of right answers",
            bar="ours",
            missing=alike if there else "This run has no multiplication.",
        )
        for id, more, relation, bar, text in (
            (
                "L21a",
                detailed,
                ">",
                0.5,
                "a model that writes a detailed scratchpad gets over 50 % more unseen "
                "ones right than one that writes the answer alone.",
            ),
            (
                "L21b",
                reverse,
                "<",
                0.1,
                "a model that writes answers from their units on gets at most 10 % "
                "more right.",
            ),
        )
    ]


# --- the picture ---

STYLES: Mapping[str, dict[str, Any]] = {
    "plain": {"color": VERMILLION, "marker": "o"},
    "reverse": {"color": BLUE, "marker": "s"},
    "simplified": {"color": PURPLE, "marker": "D"},
    "detailed": {"color": GREEN, "marker": "^"},
}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws shares of right answers, a group of points for each operation."""
    parts, names = resampled(dataset), dataset.operation.values.tolist()
    with canvas(2.5 + 1.5 * len(names), 3.8) as figure:
        axes = figure.subplots()
        for layout in LAYOUTS:
            _points(axes, parts, names, layout)
        axes.set_xticks(range(len(names)), names)
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=SHARES)
        axes.set_ylabel("share that is right, unseen lines")
        legend_below(figure, axes, ncols=4)
    return figure


def _points(axes: Axes, parts: Resampled, names: list[str], layout: str) -> None:
    """Draws the shares of one layout, for every operation that has it."""
    style, label = STYLES[layout], layout
    for number, name in enumerate(names):
        place = number + 0.15 * (LAYOUTS.index(layout) - 1.5)
        single = parts.means.sel(operation=name, layout=layout)
        if single.exact.isnull().any():
            continue
        value, low, high = (float(part) for part in parts.band(share(name, layout)))
        axes.errorbar(
            place, value, yerr=[[value - low], [high - value]], label=label, **style
        )
        faint: dict[str, Any] = style | {
            "linestyle": "none",
            "alpha": 0.35,
            "markersize": 3,
        }
        axes.plot([place] * single.exact.size, single.exact.values.ravel(), **faint)
        if layout in ("simplified", "detailed"):
            axes.plot(place, float(single.whole.mean()), "x", color=style["color"])
        label = "_" + layout  # once in the legend


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
