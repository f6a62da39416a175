"""Does one model choose its ridge penalty by the noise of the prompt?

Claim: a transformer that is trained on prompts of several noise levels, and is never
told which, does for each of them what ridge regression with the right penalty does. No
single penalty does as well on all levels together, nor does a model that was trained on
one of them.

Paper: Section 4.1 and Figure 2 of Bai et al. 2023 (claims B1-B4).

Run: python -m experiments.bai2023.selection quick

How to read it: there is a panel for each noise level. The error is the mean squared
difference to the label without noise, whose variance is 1. Black is the model of all
levels, dashed the exact Bayes predictor for their mixture, which must find out the
level as well; blue is ridge regression with the penalty for the level of the panel, and
orange the model that was trained on one level only. The last panel shows which penalty
each model's predictions are nearest to; on the dotted line they would be right. Bands
are 95 % intervals over prompts, and over seeds if there are several.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.bai2023.selection_claims import (
    claims,
    of_learner,
    penalty,
    resample,
)
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    canvas,
    draw_band,
    legend_below,
)
from experiments.reference_models import PROBING
from icl import LinearRegression, ModelConfig, TrainConfig, checks, inference, sweeps
from icl.baselines import Learner, MixturePosterior, PosteriorMean, Ridge
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Mixture

TIMES = {
    "tiny": "20 s",
    "quick": "8 min, 30 s once the models are trained",
    "paper": "2 models, 5 hours of one H100, an estimate",
}
PENALTIES = np.geomspace(1e-3, 1e2, 51)
"""The ridge penalties that models are compared with, ten to a decade."""


@dataclass(frozen=True)
class Config:
    """Settings of the models, and of the prompts on which they are compared.

    Attributes:
        task: a linear regression without noise, whose weights are normal; prompts have
            at least 2d + 1 pairs.
        model: the shape of all models.
        train: their training.
        noises: the noise levels of the mixture, ascending and equally probable.
        single: the noise level of the model that is trained on one, which is one of
            them.
        seeds: the number of models of each kind; their seeds are 0, 1, ...
        evaluation: the prompts of each noise level.
    """

    task: LinearRegression
    model: ModelConfig
    train: TrainConfig
    noises: tuple[float, ...]
    single: float
    seeds: int = 3
    evaluation: Evaluation = Evaluation()

    def __post_init__(self) -> None:
        checks.positive_int("seeds", self.seeds)
        least = 2 * self.task.dim + 1
        checks.positive_int("task.length", self.task.length, minimum=least)
        if self.task.noise_std or not self.task.standard_weights:
            raise ValueError(
                "task must have no noise of its own, and weights N(0, weight_std^2 I); "
                f"got {self.task}."
            )
        for noise in self.noises:
            checks.finite_number("noises", noise)
        if len(self.noises) < 2 or list(self.noises) != sorted(set(self.noises)):
            raise ValueError(
                "noises must be ascending, at least two and none of them twice; got "
                f"{self.noises}."
            )
        if self.single not in self.noises or not self.single:
            raise ValueError(
                f"single must be one of noises={self.noises} and above 0, got "
                f"{self.single}."
            )


def level(config: Config, noise: float) -> LinearRegression:
    """Returns the task of one noise level."""
    return replace(config.task, noise_std=noise)


def mixture(config: Config) -> Mixture:
    """Returns the task of all noise levels, of which every prompt has one."""
    return Mixture(tuple(level(config, noise) for noise in config.noises))


def _models(config: Config) -> Iterator[tuple[int, str, Setting]]:
    """Yields every model with its seed and its name in the Dataset."""
    tasks = {"model": mixture(config), "single": level(config, config.single)}
    for seed in range(config.seeds):
        for name, task in tasks.items():
            yield seed, name, Setting(task, config.model, config.train, seed)


def settings(config: Config) -> list[Setting]:
    """Returns the models, seed by seed."""
    return [setting for _, _, setting in _models(config)]


PRESETS = {
    "tiny": Config(
        LinearRegression(dim=2, length=5, weight_std=2**-0.5),
        PROBING["tiny"].model,
        PROBING["tiny"].train,
        noises=(0.0, 0.5),
        single=0.5,
        seeds=1,
        evaluation=Evaluation(prompts=32, resamples=200),
    ),
    "quick": Config(
        LinearRegression(dim=4, length=9, weight_std=0.5),
        PROBING["quick"].model,
        PROBING["quick"].train,
        noises=(0.0, 0.1, 0.25, 0.5, 1.0),
        single=0.25,
    ),
    "paper": Config(
        LinearRegression(dim=20, length=41, weight_std=20**-0.5),
        ModelConfig(layers=12, width=64),
        TrainConfig(steps=300_000, batch=64, learning_rate=1e-4),
        noises=(0.0, 0.1, 0.25, 0.5, 1.0),
        single=0.25,
        seeds=1,
    ),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the risks of all learners at every noise level, for every prompt.

    Returns:
        A Dataset with `risk` over (seed, noise, learner, context, prompt), the squared
        difference to the label without noise over its variance, where learners are
        "model", "single", "Bayes" and one ridge regression for each level above 0, such
        as "ridge(0.25)"; and `to_ridge` over (seed, noise, penalty, prompt), the mean
        squared difference of the model to ridge regression over n = 1 .. 2d.
    """
    task, last = config.task, 2 * config.task.dim
    learners = _learners(config)
    names = ["model", "single", *learners]
    path = [Ridge(float(alpha)) for alpha in PENALTIES]
    prompts = config.evaluation.prompts
    outer = config.seeds, len(config.noises)
    risk = np.empty((*outer, len(names), last + 1, prompts))
    to_ridge = np.empty((*outer, len(PENALTIES), prompts))
    for at, noise in enumerate(config.noises):
        asked, _ = config.evaluation.sample(level(config, noise))
        truth = np.asarray(inference.true_labels(asked), float)

        def off(said: np.ndarray, truth: np.ndarray = truth) -> np.ndarray:
            return np.square(said - truth).T[: last + 1] / task.normaliser

        for name, learner in learners.items():
            found = off(inference.predictions(learner, asked).astype(float))
            risk[:, at, names.index(name)] = found
        along = np.stack([inference.predictions(learner, asked) for learner in path])
        for seed, name, setting in _models(config):
            said = inference.predictions(models(setting).model, asked).astype(float)
            risk[seed, at, names.index(name)] = off(said)
            if name == "model":
                apart = np.square(said - along)[..., 1 : last + 1]
                to_ridge[seed, at] = apart.mean(axis=-1)
    return xr.Dataset(
        {
            "risk": (("seed", "noise", "learner", "context", "prompt"), risk),
            "to_ridge": (("seed", "noise", "penalty", "prompt"), to_ridge),
        },
        coords={
            "seed": range(config.seeds),
            "noise": list(config.noises),
            "learner": names,
            "context": range(last + 1),
            "penalty": PENALTIES,
        },
        attrs={
            "dim": task.dim,
            "single": config.single,
            "weight_std": task.weight_std,
            "resamples": config.evaluation.resamples,
        },
    )


def _learners(config: Config) -> Mapping[str, Learner]:
    """Returns the learners that are not trained, by their names in the Dataset."""
    ridges = {
        f"ridge({noise:g})": PosteriorMean(noise, config.task.weight_std)
        for noise in config.noises
        if noise
    }
    return {"Bayes": MixturePosterior(mixture(config)), **ridges}


# --- the picture ---


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws a panel of errors for each noise level, and one of penalties."""
    resampled, noises = resample(dataset), dataset["noise"].values
    with canvas(3.1 * (len(noises) + 1), 3.6) as figure:
        *panels, chosen = figure.subplots(1, len(noises) + 1)
        for axes, noise in zip(panels, noises, strict=True):
            lines = {
                "model": ("model of all levels", BLACK, "-"),
                "single": (f"model of {dataset.attrs['single']:g} alone", ORANGE, "-"),
                "Bayes": ("Bayes, mixture", GREY, "--"),
                f"ridge({noise:g})": ("ridge, right penalty", BLUE, "-"),
            }
            for learner, (label, color, style) in lines.items():
                if learner not in dataset["learner"].values:
                    continue  # without noise, ridge regression is least squares
                band = resampled.band(of_learner(learner))
                own = [part.sel(noise=noise) for part in band]
                draw_band(axes, "context", own, style, color=color, label=label)
            axes.set(yscale="log", xlabel="examples in the context, n")
            axes.set_title(f"noise {noise:g}")
        panels[0].set_ylim(bottom=1e-4)
        panels[0].set_ylabel("squared error / variance of w.x")
        legend_below(figure, panels[-1], ncols=4)
        _draw_penalties(chosen, dataset, resampled.band(penalty))
    return figure


def _draw_penalties(axes, dataset: xr.Dataset, band) -> None:
    noises = band[0]["noise"].values
    draw_band(axes, noises, band, color=BLACK, marker="o")
    right = np.square(noises / dataset.attrs["weight_std"])
    axes.plot(noises, right, ":", color=GREY, label="the right penalty")
    axes.set(xscale="log", yscale="log", xlabel="standard deviation of the noise")
    axes.set_ylabel("ridge penalty that fits best")
    axes.set_xticks(noises, [f"{noise:g}" for noise in noises])
    axes.minorticks_off()
    axes.legend(loc="best")


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
