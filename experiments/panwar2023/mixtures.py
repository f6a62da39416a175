"""Does a model that is trained on several laws first ask which of them a prompt has?

Claim: a transformer that is trained on a mixture of laws predicts as the Bayes
predictor for the mixture does: it finds out the component, and regresses towards its
mean. Where the inputs of a prompt look like another component than its labels, the
error first rises with more examples, and then falls. Two families of functions are
learnt by one model nearly as well as by a specialist for each.

Paper: Panwar et al. 2023, Figures 3 and 5; Lin and Lee 2024 (claims 1-3).

Run: python -m experiments.panwar2023.mixtures quick

How to read it: the error is the mean squared difference to w.x, over its mean square.
On the left, weights of a prompt lie around one of two centres; dotted lines know the
right centre, or trust the wrong one. In the middle, inputs and labels of every prompt
point to different components, and inputs are the first to be believed: on the dotted
line nothing would have been gained over n = 0. On the right, solid lines are the model
of both families, and dashed ones a model of one family alone. Bands are 95 % intervals
over prompts, and over seeds if there are several.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    canvas,
    count_examples,
    draw_band,
)
from experiments.panwar2023.mixtures_claims import claims, of, resample
from experiments.reference_models import PROBING
from icl import (
    LinearRegression,
    ModelConfig,
    Prompts,
    TrainConfig,
    checks,
    inference,
    sweeps,
)
from icl.baselines import MixturePosterior
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Mixture, SparseLinear, Task

TIMES = {
    "tiny": "30 s",
    "quick": "15 min, 30 s once the models are trained",
    "paper": "5 models, 10 hours of one H100, an estimate",
}
RARE = 0.05
"""The probability of the component that inputs point to in the middle panel."""


@dataclass(frozen=True)
class Config:
    """Settings of the models, and of the prompts on which they are compared.

    Attributes:
        dim: the dimension d of all tasks, at least 2; prompts have 2d + 1 pairs.
        model: the shape of all models.
        train: their training.
        seeds: the number of models of each kind; their seeds are 0, 1, ...
        evaluation: the prompts of each panel.
    """

    dim: int
    model: ModelConfig
    train: TrainConfig
    seeds: int = 3
    evaluation: Evaluation = Evaluation()

    def __post_init__(self) -> None:
        checks.positive_int("dim", self.dim, minimum=2)
        checks.positive_int("seeds", self.seeds)


def centres(config: Config) -> Mixture:
    """Returns the two laws of weights of Panwar et al.: around 3 e_1 and -3 e_1.

    The first coordinate is that of the centre, and the others are N(0, 1).
    """
    others = tuple(1.0 - entry for entry in _along(0, 1.0, config.dim))
    return Mixture(
        tuple(
            LinearRegression(
                config.dim,
                2 * config.dim + 1,
                weight_mean=_along(0, at, config.dim),
                weight_covariance=others,
            )
            for at in (3.0, -3.0)
        )
    )


def groups(config: Config) -> Mixture:
    """Returns a rare and a frequent component, which differ in their inputs as well."""
    rare, frequent = (_group(config, sign, sign) for sign in (1.0, -1.0))
    return Mixture((rare, frequent), (RARE, 1 - RARE))


def mismatched(config: Config) -> LinearRegression:
    """Returns a task with the inputs of the rare component and the frequent weights."""
    return _group(config, 1.0, -1.0)


def _group(config: Config, inputs: float, weights: float) -> LinearRegression:
    return LinearRegression(
        config.dim,
        2 * config.dim + 1,
        noise_std=0.25,
        weight_std=0.25,
        weight_mean=_along(0, 0.5 * weights, config.dim),
        mean=_along(1, inputs, config.dim),
    )


def _along(axis: int, value: float, dim: int) -> tuple[float, ...]:
    return tuple(value if i == axis else 0.0 for i in range(dim))


def families(config: Config) -> Mapping[str, Task]:
    """Returns the two families of functions, by name."""
    length = 2 * config.dim + 1
    return {
        "dense": LinearRegression(config.dim, length),
        "sparse": SparseLinear(config.dim, length, k=1),
    }


def _models(config: Config) -> Iterator[tuple[int, str, Setting]]:
    """Yields every model with its seed and the name of what it is trained on."""
    each = families(config)
    tasks = {"centres": centres(config), "groups": groups(config)}
    tasks |= {"both": Mixture(tuple(each.values())), **each}
    for seed in range(config.seeds):
        for name, task in tasks.items():
            yield seed, name, Setting(task, config.model, config.train, seed)


def settings(config: Config) -> list[Setting]:
    """Returns the models, seed by seed."""
    return [setting for _, _, setting in _models(config)]


PRESETS = {
    "tiny": Config(
        2,
        PROBING["tiny"].model,
        replace(PROBING["tiny"].train, steps=20, evaluate_every=20),
        seeds=1,
        evaluation=Evaluation(prompts=32, resamples=200),
    ),
    "quick": Config(4, PROBING["quick"].model, PROBING["quick"].train),
    "paper": Config(
        10,
        ModelConfig(layers=12, width=256, heads=8),
        TrainConfig(steps=500_000, batch=64, learning_rate=1e-4),
        seeds=1,
    ),
}


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the risks of models and learners on the prompts of each panel.

    Returns:
        A Dataset with `risk` over (seed, case, learner, context, prompt), the squared
        difference to w.x over its mean square. Cases are "centres", "mismatched",
        "dense" and "sparse"; learners are "model", "Bayes" (of the mixture), "right"
        and "wrong" (Bayes for one component) and "specialist", and NaN where a case has
        no such learner. `to_bayes` over (seed, context, prompt) is the difference of
        model and Bayes predictor on "centres", in the same unit.
    """
    contexts, prompts = 2 * config.dim + 1, config.evaluation.prompts
    learners = ["model", "Bayes", "right", "wrong", "specialist"]
    shape = (config.seeds, len(CASES), len(learners), contexts, prompts)
    risk = xr.DataArray(
        np.full(shape, np.nan),
        coords={
            "seed": range(config.seeds),
            "case": list(CASES),
            "learner": learners,
            "context": range(contexts),
        },
        dims=("seed", "case", "learner", "context", "prompt"),
    )
    to_bayes = risk.sel(case="centres", learner="model", drop=True).copy()
    for case in CASES:
        asked, said = _predictions(config, models, case)
        truth = np.asarray(inference.true_labels(asked), float)
        unit = _asked_of(config, case).normaliser
        for (seed, name), predicted in said.items():
            at = {"case": case, "learner": name}
            at |= {} if seed is None else {"seed": seed}
            risk.loc[at] = np.square(predicted - truth).T / unit
            if case == "centres" and name == "model":
                apart = predicted - said[None, "Bayes"]
                to_bayes.loc[{"seed": seed}] = np.square(apart).T / unit
    return xr.Dataset(
        {"risk": risk, "to_bayes": to_bayes},
        attrs={"dim": config.dim, "resamples": config.evaluation.resamples},
    )


CASES = {
    "centres": "centres",
    "mismatched": "groups",
    "dense": "both",
    "sparse": "both",
}
"""The prompts that are asked, and what the model that is asked was trained on."""


def _asked_of(config: Config, case: str) -> Any:
    """Returns the task that the prompts of a case are drawn from."""
    if case == "centres":
        return centres(config).tasks[0]
    return mismatched(config) if case == "mismatched" else families(config)[case]


def _predictions(
    config: Config, models: Models, case: str
) -> tuple[Prompts, Mapping[tuple[int | None, str], np.ndarray]]:
    """Returns the prompts of a case, and what is predicted by seed and learner.

    Learners that are not trained have None in place of a seed.
    """
    asked, _ = config.evaluation.sample(_asked_of(config, case))
    said: dict[tuple[int | None, str], np.ndarray] = {
        (None, name): inference.predictions(learner, asked).astype(float)
        for name, learner in _learners(config, case).items()
    }
    roles = {case: "specialist", CASES[case]: "model"}
    for seed, name, setting in _models(config):
        if name in roles:
            predicted = inference.predictions(models(setting).model, asked)
            said[seed, roles[name]] = predicted.astype(float)
    return asked, said


def _learners(config: Config, case: str) -> Mapping[str, MixturePosterior]:
    """Returns the exact learners of a case, by name."""
    if case == "centres":
        both = centres(config)
        right, wrong = (
            task for task in both.tasks if isinstance(task, LinearRegression)
        )
        named = {"Bayes": both, "right": right, "wrong": wrong}
        return {name: MixturePosterior(task) for name, task in named.items()}
    if case == "mismatched":
        return {"Bayes": MixturePosterior(groups(config))}
    return {}


# --- the picture ---

STYLES = {
    "model": ("model", BLACK, "-"),
    "Bayes": ("Bayes, mixture", GREEN, "--"),
    "right": ("Bayes, right centre", BLUE, ":"),
    "wrong": ("Bayes, wrong centre", ORANGE, ":"),
}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the three panels."""
    resampled, dim = resample(dataset), dataset.attrs["dim"]

    def draw(axes, case: str, learner: str, label: str, color: str, style: str) -> None:
        band = resampled.band(of(case, learner))
        draw_band(axes, "context", band, style, color=color, label=label)

    with canvas(12, 4) as figure:
        left, middle, right = figure.subplots(1, 3)
        for learner, style in STYLES.items():
            draw(left, "centres", learner, *style)
            if learner in ("model", "Bayes"):
                draw(middle, "mismatched", learner, *style)
        for case, color in (("dense", BLUE), ("sparse", ORANGE)):
            draw(right, case, "model", f"{case}, model of both", color, "-")
            draw(right, case, "specialist", f"{case}, specialist", color, "--")
        start = float(of("mismatched", "Bayes")(resampled.means)[..., 0].mean())
        middle.axhline(start, color=GREY, linestyle=":", linewidth=0.9)
        left.set(yscale="log", ylabel="squared error / E (w.x)²", ylim=(1e-4, None))
        right.set(yscale="log", ylim=(1e-4, None))
        left.set_title("weights around one of two centres")
        middle.set_title("inputs of one component, weights of another")
        right.set_title("two families of functions")
        for axes in (left, middle, right):
            count_examples(axes, dim)
            axes.legend(loc="best", fontsize=8)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
