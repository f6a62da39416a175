"""Failures of least squares and of a trained transformer on sparse linear prompts.

Claim: the failures of a model that nobody chose stay under the bound, far below the
worst case, and are spread over skills almost as failures at random are.

Paper: Arora and Goyal 2023 test no model in this way. The experiment is ours, and so
are its thresholds.

Run: python -m experiments.arora2023.failures quick

How to read it: in each prompt some coordinates of w are active, and these are its
skills; the prompt is right if the squared error at the next x is below a tenth of the
labels' variance. Each panel shows one learner, on inputs of equal and of unequal
variance, after several numbers of examples. The bar is the share of prompts that fail,
dots are the failure rates of the single coordinates with their 95 % intervals, and the
triangle is what an adversary, who fails as many prompts, does to one coordinate. Where
no prompt fails there is nothing to see: least squares is exact from n = d on.
Coordinates are drawn without repetition, and there are few of them, so that the curves
of a large graph are not about these prompts; the adversary is.
"""

import sys
from dataclasses import dataclass
from typing import Literal, get_args

import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.arora2023.failures_claims import attacked, claims
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import BLUE, GREY, ORANGE, VERMILLION, canvas
from experiments.reference_models import SHIPPED
from icl import Prompts, checks, inference
from icl.baselines import LeastSquares
from icl.skills import SkillGraph, competence
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {"tiny": "15 s", "quick": "40 s", "paper": "5 min, not measured"}

Name = Literal["d8", "d4"]
SPREAD = 2.0
"""How much larger the first coordinate of unequal inputs is than the average."""

INPUTS = ("equal", "unequal")


@dataclass(frozen=True)
class Config:
    """Settings of the failures. A model that comes with the package is looked at.

    Attributes:
        model: "d8" or "d4".
        active: the number of active coordinates of a prompt.
        prompts: the number of prompts.
        tolerance: a prompt is right if its squared error is below this share of the
            labels' variance.
        resamples: of the prompts, for intervals.
        seed: of the prompts.
    """

    model: Name = "d8"
    active: int = 3
    prompts: int = 4_000
    tolerance: float = 0.1
    resamples: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        checks.one_of("model", self.model, get_args(Name))
        checks.finite_number("tolerance", self.tolerance, positive=True)
        checks.positive_int("prompts", self.prompts, minimum=100, maximum=1_000_000)
        checks.positive_int("resamples", self.resamples, maximum=100_000)
        checks.positive_int("seed", self.seed, minimum=0)
        checks.positive_int("active", self.active, minimum=2, maximum=self.dim - 1)

    @property
    def dim(self) -> int:
        """The dimension of x."""
        return SHIPPED[self.model].task.dim


PRESETS = {
    "tiny": Config(model="d4", active=2, prompts=400, resamples=50),
    "quick": Config(),
    "paper": Config(prompts=40_000, resamples=1_000),
}


def settings(config: Config) -> list[Setting]:
    """Returns the model that is looked at."""
    return [SHIPPED[config.model]]


def compute(config: Config, models: Models) -> xr.Dataset:
    """Asks both learners, and notes which prompts they get right.

    Returns:
        A Dataset with `success` over (learner, inputs, context, prompt), 0 or 1, and
        `active` over (prompt, place), the active coordinates of each prompt.
    """
    model = models(SHIPPED[config.model]).model
    rng = np.random.default_rng(config.seed)
    active = np.argsort(rng.random((config.prompts, config.dim)), axis=1)
    active = active[:, : config.active]
    success = []
    for inputs in INPUTS:
        prompts = sparse_prompts(config, active, inputs, rng)
        learners = (LeastSquares(), model)
        found = np.stack([inference.predictions(one, prompts) for one in learners])
        wrong = (found.astype(float) - np.asarray(prompts.ys)) ** 2
        success.append(wrong < config.tolerance * config.dim)
    right = np.stack(success, axis=1)
    kept = np.unique(np.linspace(1, 2 * config.dim, 6).round().astype(int))
    kept = np.union1d(kept, [config.dim - 1])
    return xr.Dataset(
        {
            "success": (
                ("learner", "inputs", "context", "prompt"),
                np.moveaxis(right[..., kept], -1, 2).astype(np.int8),
            ),
            "active": (("prompt", "place"), active),
        },
        coords={
            "learner": ["least squares", f"transformer {config.model}"],
            "inputs": list(INPUTS),
            "context": kept,
        },
        attrs={
            "dim": config.dim,
            "resamples": config.resamples,
            "seed": config.seed,
        },
    )


def sparse_prompts(
    config: Config, active: np.ndarray, inputs: str, rng: np.random.Generator
) -> Prompts:
    """Draws prompts whose weights are 0 but at the active coordinates.

    Labels have the variance of the training's, d, on average.
    """
    count, dim = config.prompts, config.dim
    scale = (
        np.geomspace(SPREAD, 1 / SPREAD, dim) if inputs == "unequal" else np.ones(dim)
    )
    scale = scale / np.sqrt((scale**2).mean())
    weights = np.zeros((count, dim))
    drawn = rng.normal(size=active.shape) * np.sqrt(dim / config.active)
    np.put_along_axis(weights, active, drawn, axis=1)
    xs = rng.normal(size=(count, 2 * dim + 1, dim)) * scale
    ys = np.einsum("pid,pd->pi", xs, weights)
    xs, ys, weights = (jnp.asarray(array, "float32") for array in (xs, ys, weights))
    return Prompts(xs, ys, weights)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws failure rates of prompts and of coordinates, beside the adversary's."""
    contexts = dataset.context.values
    with canvas(10, 4) as figure:
        panels = figure.subplots(1, len(dataset.learner), sharey=True)
        for axes, learner in zip(panels, dataset.learner.values, strict=True):
            for number, inputs in enumerate(dataset.inputs.values):
                color = (BLUE, ORANGE)[number]
                for place, context in enumerate(contexts):
                    one = dataset.sel(learner=learner, inputs=inputs, context=context)
                    _draw(axes, one, place + 0.4 * number - 0.2, color)
                axes.plot(
                    [], [], "o", color=color, label=f"coordinates, {inputs} inputs"
                )
            axes.plot([], [], "_", color=GREY, label="all prompts", markersize=12)
            axes.plot(
                [], [], "v", color=VERMILLION, label="one coordinate, by adversary"
            )
            axes.set_xticks(range(len(contexts)), [str(n) for n in contexts])
            axes.set(title=learner, xlabel="number of examples n", ylim=(-0.02, 1.02))
        panels[0].set_ylabel("failure rate")
        panels[0].legend(loc="upper right", fontsize=8)
    return figure


def _draw(axes, one: xr.Dataset, x: float, color: str) -> None:
    """Draws one cell: all coordinates, all prompts, and the adversary."""
    graph = SkillGraph(one.active.values, int(one.attrs["dim"]))
    success = one.success.values > 0
    found = competence(graph, success)
    rates = 1 - found.competence.values
    spread = np.linspace(-0.12, 0.12, len(rates)) + x
    ends = np.stack([rates - (1 - found.high), (1 - found.low) - rates]).clip(0)
    axes.errorbar(
        spread, rates, ends, fmt="o", color=color, markersize=2.5, elinewidth=0.8
    )
    theta = float(graph.weights[~success].sum())
    axes.plot([x - 0.17, x + 0.17], [theta, theta], color=GREY, linewidth=2, zorder=0.5)
    if theta > 0:
        axes.plot(x, attacked(graph, success), "v", color=VERMILLION)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
