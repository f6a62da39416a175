"""Which sums does a model get wrong? The columns of an addition are its skills.

Claim: the failures of a model that learns to add stay under the bound and far below the
worst case at their own failure rate, all through its training.

Paper: Arora and Goyal 2023 test no model in this way. The experiment is ours, and so
are its thresholds.

Run: python -m experiments.arora2023.sums quick, or shipped for a model of the package

How to read it: a sum is a piece, and each of its columns is a skill: the two digits and
the carry into them, 200 skills in all. The model is asked for sums that it was not
trained on, at checkpoints of its training. Left: the failure rate that all but a share
alpha of the skills stay at or below, at the checkpoint named in the title, beside the
bound, the exact worst case of a large graph, an adversary in this one, and failures at
random. Middle: the failure rate of all sums by step, that of the skill at nine tenths,
and the worst case of it. Right: how often each skill was seen in training, and its
competence. Skills meet each other nearly independently here, but for the carry: the
chi-square of their pairs, per degree of freedom, stands in the middle panel.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.arora2023.sums_claims import (
    ALPHAS,
    cell,
    chosen_step,
    claims,
    failing,
    quiet,
)
from experiments.engine.figures.checkpoints import model_after, with_checkpoints
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import check_unseen
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    canvas,
)
from experiments.reference_models import ADDITION, SHIPPED
from icl import checks, inference
from icl.arithmetic import carries, digits_of
from icl.arithmetic.pairs import training_pairs
from icl.codecs.matching import exact_match
from icl.skills import (
    adversary,
    bound,
    competence,
    failure_quantiles,
    pair_dependence,
    random_failures,
    worst_case,
)
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Addition

TIMES = {
    "tiny": "30 s",
    "quick": "2 min, 1 min once the model is trained",
    "shipped": "1 min, an estimate",
    "paper": "5 min, not measured",
}

SKILLS = 200
"""10 x 10 pairs of digits, without and with a carry into the column."""


@dataclass(frozen=True)
class Config:
    """Settings of the model, and of the sums that it is asked for.

    Attributes:
        setting: the model, whose training has a set of sums and keeps checkpoints.
        first_step: checkpoints before this step are left out.
        sums: the number of unseen sums.
        resamples: of the sums, for intervals.
        some: checkpoints with a smaller share of failing sums are not judged.
    """

    setting: Setting
    first_step: int = 100
    sums: int = 20_000
    resamples: int = 100
    some: float = 0.01

    def __post_init__(self) -> None:
        task = self.setting.task
        checks.of_kind("task", task, Addition, "an Addition")
        if task.examples is None or task.lines > 1:
            raise ValueError(
                "task must have a training set, and one sum in a sequence, got "
                f"examples={task.examples} and lines={task.lines}."
            )
        checks.positive_int("first_step", self.first_step)
        checks.positive_int("sums", self.sums, minimum=100, maximum=1_000_000)
        checks.positive_int("resamples", self.resamples, maximum=10_000)
        checks.finite_number("some", self.some, positive=True)
        check_unseen(task, self.sums, "sums")

    @property
    def steps(self) -> list[int]:
        """The steps after which the model is asked; the last one is always there."""
        train = self.setting.train
        kept = [step for step in train.kept_steps if step >= self.first_step]
        return sorted({*kept, train.steps})


PRESETS = {
    "tiny": Config(ADDITION["tiny"], first_step=30, sums=400, resamples=20),
    "quick": Config(ADDITION["quick"]),
    "shipped": Config(SHIPPED["add3"], sums=100_000, some=1e-4),
    "paper": Config(ADDITION["quick"], sums=200_000, resamples=500),
}


@with_checkpoints
def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the model if it is missing, and asks it at its checkpoints."""
    return measure(config, partial(model_after, models))


def measure(config: Config, model_at: Callable[[Setting, int], Any]) -> xr.Dataset:
    """Asks the model for unseen sums at its checkpoints.

    Args:
        config: which model and sums.
        model_at: a function that returns the model of a setting after so many steps.

    Returns:
        A Dataset with `success` over (step, sum), 0 or 1; `skill` over (sum, column),
        the number of the skill of each column; and `seen` over `skill_number`, how
        often the training set has each skill.
    """
    task = config.setting.task
    assert isinstance(task, Addition) and task.examples is not None
    lines = task.test(config.sums)
    success = [
        exact_match(
            inference.predictions(model_at(config.setting, step), lines),
            lines,
            task.codec,
        )[:, -1]
        for step in config.steps
    ]
    latents = lines.latents or {}
    a, b = (np.asarray(latents[name])[:, 0] for name in "ab")
    shown = training_pairs(
        task.digits, task.examples, task.law, task.left_out, task.seed
    )
    in_training = skills_of(np.asarray(shown.a), np.asarray(shown.b), task.digits)
    return xr.Dataset(
        {
            "success": (("step", "sum"), np.stack(success).astype(np.int8)),
            "skill": (("sum", "column"), skills_of(a, b, task.digits)),
            "seen": ("number", np.bincount(in_training.ravel(), minlength=SKILLS)),
        },
        coords={"step": config.steps},
        attrs={
            "resamples": config.resamples,
            "digits": task.digits,
            "some": config.some,
        },
    )


def skills_of(a: np.ndarray, b: np.ndarray, digits: int) -> np.ndarray:
    """Returns the number of the skill of each column, (sums, digits), units first.

    Example:
        >>> skills_of(np.array([28]), np.array([35]), 2).tolist()
        [[85, 123]]
    """
    into = np.pad(np.asarray(carries(a, b, digits)), ((0, 0), (1, 0)))[:, :-1]
    pairs = 10 * np.asarray(digits_of(a, digits)) + np.asarray(digits_of(b, digits))
    return 100 * into + pairs


# --- the picture ---


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws failures of skills at one step, by step, and by exposures."""
    with canvas(13, 4) as figure, quiet():
        left, middle, right = figure.subplots(1, 3)
        step = chosen_step(dataset)
        _curves(left, dataset, step)
        _by_step(middle, dataset)
        graph, success = cell(dataset, step)
        competent = competence(graph, success).competence
        right.plot(dataset.seen, competent, "o", ms=3, color=BLUE)
        right.set(title=f"skills, after {step} steps", ylabel="competence")
        right.set(xlabel="times in the training set", xscale="symlog")
    return figure


def _curves(axes, dataset: xr.Dataset, step: int) -> None:
    graph, success = cell(dataset, step)
    theta = float((~success).mean())
    axes.set(title=f"after {step} steps, {theta:.0%} of the sums fail")
    axes.set(xlabel="share alpha of skills", ylabel="failure rate of the others")
    alphas = np.linspace(0.02, 0.6, 30)
    axes.plot(
        alphas, failure_quantiles(graph, success, alphas), color=BLACK, label="model"
    )
    if 0 < theta < 1:
        chance = failure_quantiles(graph, random_failures(graph, theta), alphas)
        axes.plot(alphas, chance, color=GREY, ls=":", label="at random")
        worst = [min(1, theta * worst_case(theta, graph.k, a)) for a in alphas]
        axes.plot(alphas, worst, color=VERMILLION, label="worst case")
        limits = [bound(theta, graph.k, a) for a in alphas]
        known = [
            (a, limit.failure) for a, limit in zip(alphas, limits, strict=True) if limit
        ]
        if known:
            axes.plot(*np.transpose(known), color=VERMILLION, ls="--", label="bound")
        beta = [adversary(graph, theta, a).beta for a in ALPHAS]
        axes.plot(ALPHAS, np.minimum(1, theta * np.array(beta)), "v", color=GREEN,
                  label="adversary here")  # fmt: skip
    axes.set_ylim(0, 1.05)
    axes.legend(fontsize=7)


def _by_step(axes, dataset: xr.Dataset) -> None:
    steps, theta = dataset.step.values, failing(dataset)
    k = dataset.sizes["column"]
    tenth = [
        failure_quantiles(*cell(dataset, step), np.array([0.1]))[0] for step in steps
    ]
    worst = [min(1, t * worst_case(t, k, 0.1)) if 0 < t < 1 else t for t in theta]
    axes.plot(steps, theta, color=GREY, marker="s", label="all sums")
    axes.plot(steps, tenth, color=BLACK, marker="o", label="nine tenths of the skills")
    axes.plot(steps, worst, color=VERMILLION, marker="v", label="worst case of these")
    graph, _ = cell(dataset, int(steps[-1]))
    axes.set(title=f"failure rates; chi-square of pairs {pair_dependence(graph):.2g}")
    axes.set(xscale="log", xlabel="step of training")
    axes.legend(fontsize=7)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
