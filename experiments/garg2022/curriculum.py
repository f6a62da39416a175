"""How much sooner a model leaves the plateau if training begins with fewer dimensions.

Claim: a transformer that first sees few coordinates and short prompts, and ever more of
both, learns linear functions in fewer steps than one that sees all from the start.

Paper: Figure 7 and Appendix B of Garg et al. 2022 (claim 18).

Run: python -m experiments.garg2022.curriculum quick

How to read it: the vertical axis is the loss on held-out prompts of full length and
dimension over d, averaged over contexts, so that it is 1 on the plateau, where 0 is
predicted; the dotted line is what least squares would leave. There is a panel for each
dimension, and a thin line for each seed. Where a line ends above one half, the model
has not left the plateau in these steps: the claim then takes the last step in its
place, which favours training without a curriculum.
"""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Float

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Ratio
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import BLUE, GREY, ORANGE, canvas, legend_below
from experiments.reference_models import RELEASED, SETTINGS
from icl import Curriculum, LinearRegression, ModelConfig, TrainConfig, checks, sweeps
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "20 s",
    "quick": "15 min, 10 s once the models are trained",
    "paper": "12 models, 9 hours of one H100, an estimate",
}
WAYS = ("with", "without")
HALF = 0.5
"""The share of the plateau's loss at which a model has left it."""


@dataclass(frozen=True)
class Config:
    """Settings of the models, which differ in dimension, curriculum and seed.

    Attributes:
        model: the shape of all models.
        train: their training; its curriculum is that of the models that have one.
        dims: the dimensions; a prompt has 2d + 1 pairs.
        seeds: the number of models of each dimension and way.
    """

    model: ModelConfig
    train: TrainConfig
    dims: tuple[int, ...]
    seeds: int = 3

    def __post_init__(self) -> None:
        checks.positive_int("seeds", self.seeds)
        for dim in self.dims:
            checks.positive_int("dims", dim)
        if not self.dims or len(set(self.dims)) < len(self.dims):
            raise ValueError(f"dims must name each dimension once, got {self.dims}.")
        if self.train.curriculum == Curriculum():
            raise ValueError(
                "train.curriculum must be one, such as Curriculum.garg(): models "
                "without it are trained in any case."
            )


PRESETS = {
    "tiny": Config(
        SETTINGS["tiny"].model,
        replace(
            SETTINGS["tiny"].train,
            curriculum=Curriculum(dims=1, dims_every=20, pairs=2, pairs_every=20),
        ),
        dims=(2,),
        seeds=2,
    ),
    "quick": Config(
        SETTINGS["quick"].model,
        TrainConfig(
            steps=6_000,
            learning_rate=1e-3,
            schedule="constant",
            evaluations_per_decade=20,
            curriculum=Curriculum(dims=2, dims_every=100, pairs=5, pairs_every=100),
        ),
        dims=(8,),
    ),
    "paper": Config(
        RELEASED.model,
        replace(RELEASED.train, evaluations_per_decade=20),
        dims=(10, 20),
    ),
}


def _each(config: Config) -> Iterator[tuple[int, str, int]]:
    return itertools.product(config.dims, WAYS, range(config.seeds))


def _setting(config: Config, dim: int, way: str, seed: int) -> Setting:
    train = config.train
    if way == "without":
        train = replace(train, curriculum=Curriculum())
    return Setting(LinearRegression(dim, 2 * dim + 1), config.model, train, seed)


def settings(config: Config) -> list[Setting]:
    """Returns the models."""
    return [_setting(config, *each) for each in _each(config)]


def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns the held-out losses of all models while they were trained.

    Returns:
        A Dataset with `loss` over (dim, way, seed, step), divided by d.
    """
    sweeps.train_missing(settings(config), models)
    steps = config.train.evaluation_steps
    shape = (len(config.dims), len(WAYS), config.seeds, len(steps))
    found = np.full(shape, np.nan)
    for place, (dim, way, seed) in enumerate(_each(config)):
        history = models(_setting(config, dim, way, seed)).history
        losses = history.held_out_loss.values.mean(axis=1) / dim
        found.reshape(-1, len(steps))[place] = losses
    coords = {"dim": list(config.dims), "way": list(WAYS), "seed": range(config.seeds)}
    return xr.Dataset(
        {"loss": (("dim", "way", "seed", "step"), found)},
        coords=coords | {"step": steps},
    )


def steps_to_half(dataset: xr.Dataset) -> xr.DataArray:
    """Returns the step at which the loss falls below half of its plateau.

    It lies on a line between two evaluations, in the logarithm of the step; where the
    loss stays above, it is the last step.
    """
    steps = np.maximum(dataset.step.values.astype(float), 1.0)

    def of_one(losses: Float[np.ndarray, " steps"]) -> float:
        below = np.flatnonzero(losses < HALF)
        if not below.size or not below[0]:
            return float(steps[-1] if not below.size else steps[0])
        i = below[0]
        share = (losses[i - 1] - HALF) / (losses[i - 1] - losses[i])
        return float(steps[i - 1] * (steps[i] / steps[i - 1]) ** share)

    return xr.apply_ufunc(
        of_one, dataset.loss, input_core_dims=[["step"]], vectorize=True
    )


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 18 for each dimension, over seeds."""
    both = dataset.expand_dims(draw=2)  # no prompts are resampled
    judge = Judge(
        "garg2022",
        "curriculum",
        "Garg et al. 2022, Fig. 7",
        resampled=Resampled(dataset, both),
    )
    seeds = dataset.sizes["seed"]
    one = "One seed says nothing about another training." if seeds < 2 else ""

    def of(dim: int, way: str, means: xr.Dataset) -> xr.DataArray:
        return steps_to_half(means).sel(dim=dim, way=way, drop=True)

    return [
        judge(
            f"18{letter}",
            f"At d = {dim}, a curriculum takes the loss to half of its plateau in "
            "fewer steps.",
            Ratio(
                lambda means, dim=dim: of(dim, "with", means),
                lambda means, dim=dim: of(dim, "without", means),
            ),
            "<",
            1.0,
            unit="steps with a curriculum / steps without",
            interval_over=f"{seeds} seeds",
            missing=one or _on_the_plateau(dataset, int(dim)),
        )
        for letter, dim in zip("abcdefgh", dataset.dim.values, strict=False)
    ]


def _on_the_plateau(dataset: xr.Dataset, dim: int) -> str:
    """Returns that no model of a dimension has left the plateau, if that is so."""
    least = float(dataset.loss.sel(dim=dim).min())
    return "" if least < HALF else f"No model at d = {dim} left the plateau."


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the losses by step, a panel for each dimension."""
    dims = dataset.dim.values
    with canvas(4.5 * len(dims), 3.6) as figure:
        panels = figure.subplots(1, len(dims), sharey=True, squeeze=False)[0]
        for axes, dim in zip(panels, dims, strict=True):
            for color, way in zip((ORANGE, BLUE), WAYS, strict=True):
                part = dataset.loss.sel(dim=dim, way=way)
                for seed, losses in enumerate(part.values):
                    label = None if seed else f"{way} a curriculum"
                    steps = np.maximum(part.step.values, 1)
                    axes.plot(steps, losses, color=color, linewidth=0.9, label=label)
            contexts = np.arange(2 * dim + 1)
            least = np.maximum(1 - contexts / dim, 0).mean()
            for level, style, label in (
                (HALF, "--", "the plateau is left"),
                (least, ":", "least squares"),
            ):
                axes.axhline(
                    level, color=GREY, linestyle=style, linewidth=0.9, label=label
                )
            axes.set(title=f"d = {dim}", xscale="log", yscale="log", xlabel="step")
        panels[0].set_ylabel("held-out loss / d")
        legend_below(figure, panels[0], ncols=2)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
