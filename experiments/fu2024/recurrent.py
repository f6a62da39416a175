"""LSTMs in the place of transformers: do they learn in the context as online descent?

Claim: an LSTM that was trained on linear regression errs as one pass of gradient
descent over the pairs does, and not as least squares does, which a transformer does;
and more layers do not help it.

Paper: section 4.4 of Fu et al. 2024 (claims F10 and F11). The released code has no
LSTM, and starts online descent at random weights; here it starts at 0.

Run: python -m experiments.fu2024.recurrent quick

How to read it: on the left is the error by number of examples over the variance of a
label, of LSTMs and of a transformer, with least squares and one pass of gradient
descent (OGD) at the rate at which it is most similar to the smaller LSTMs. On the right
is the similarity of their errors with those of the two learners (SimE, with contexts of
0 to 2d pairs), each beside OGD at the rate that is best for it, and the floor, that of
predicting 0 with the same learner. Bars are means over prompts and seeds, with 95 %
intervals.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Ratio, Statistic
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation, linear_task
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    canvas,
    count_examples,
    draw_band,
)
from experiments.reference_models import RELEASED, SETTINGS
from icl import ModelConfig, TrainConfig, checks, inference, sweeps
from icl.baselines import LeastSquares, OnePassSGD
from icl.compare import error_similarity
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "20 s",
    "quick": "30 min, 1 min once the models are trained",
    "shipped": "30 min, 1 min once the LSTMs are trained",
    "paper": "2 hours on one H100, an estimate",
}

RATES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""The rates of online descent, in units of 1 / (2 (d + 2)), the best one of the first
step."""

MODELS = ("LSTM", "deeper LSTM", "transformer")
LEARNERS = ("OGD", "OLS")


@dataclass(frozen=True)
class Config:
    """Settings of the LSTMs and of the transformer beside them.

    Attributes:
        setting: the transformer; LSTMs are trained on its task.
        layers: the number of layers of the smaller LSTMs; the others have twice as
            many.
        width: the width of all LSTMs.
        training: that of the LSTMs; `setting.train` is that of the transformer.
        seeds: the number of LSTMs of each depth, with seeds 0, 1, ...
        evaluation: the prompts.
    """

    setting: Setting
    layers: int
    width: int
    training: TrainConfig
    seeds: int = 2
    evaluation: Evaluation = Evaluation(prompts=2_000)

    def __post_init__(self) -> None:
        task = linear_task(self.setting, own_weights=True)
        checks.positive_int("task.length", task.length, minimum=task.dim + 1)
        checks.normalise(self, checks.positive_int, "layers", "width", "seeds")


ADAM = TrainConfig(steps=12_000, batch=64, learning_rate=2e-3)

PRESETS = {
    "tiny": Config(
        SETTINGS["tiny"],
        layers=1,
        width=8,
        training=SETTINGS["tiny"].train,
        seeds=1,
        evaluation=Evaluation(prompts=48, resamples=100),
    ),
    "quick": Config(SETTINGS["quick"], layers=2, width=64, training=ADAM),
    "shipped": Config(SETTINGS["shipped"], layers=2, width=64, training=ADAM),
    "paper": Config(
        RELEASED,
        layers=10,
        width=256,
        training=replace(ADAM, steps=500_000, learning_rate=1e-4),
        seeds=1,
    ),
}


def settings(config: Config) -> list[Setting]:
    """Returns the LSTMs, the smaller ones first, and the transformer."""
    found = [
        Setting(
            config.setting.task,
            ModelConfig(layers=times * config.layers, width=config.width, body="lstm"),
            config.training,
            seed,
        )
        for times in (1, 2)
        for seed in range(config.seeds)
    ]
    return [*found, config.setting]


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models, and measures all: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the errors of all models, and what these are similar to.

    Returns:
        A Dataset with `error` over (model, seed, prompt, context), squared errors over
        the variance of a label, and `similarity` over (model, seed, learner, prompt);
        the transformer is the same for every seed. `learner_error` (learner, prompt,
        context), `floor` (learner, prompt), SimE with predicting 0, and the rate of
        OGD beside each kind of model; errors are those at the rate of the first.
    """
    wanted = settings(config)
    task = linear_task(config.setting)
    prompts, _ = config.evaluation.sample(task)
    ys = np.asarray(prompts.ys, float)
    ols = np.asarray(LeastSquares()(prompts).predictions)
    unit = 1 / (2 * (task.dim + 2))
    passes = np.stack(
        [np.asarray(OnePassSGD(r * unit)(prompts).predictions) for r in RATES]
    )
    said = [inference.predictions(models(each).model, prompts) for each in wanted]
    small, deep = said[: config.seeds], said[config.seeds : -1]
    predicted = np.stack([small, deep, [said[-1]] * config.seeds]).astype(float)
    alike = error_similarity(predicted, passes, ys)
    best = alike.mean(axis=(1, 3)).argmax(axis=1)  # of each kind of model
    to_passes = np.stack([own[:, rate] for own, rate in zip(alike, best, strict=True)])
    to_ols = error_similarity(predicted, ols[None], ys)[:, :, 0]
    learners = np.stack([passes[best[0]], ols])
    context = np.arange(ys.shape[1])
    found: dict[str, Any] = {
        "error": (
            ("model", "seed", "prompt", "context"),
            np.square(predicted - ys) / task.normaliser,
        ),
        "similarity": (
            ("model", "seed", "learner", "prompt"),
            np.stack([to_passes, to_ols], axis=2),
        ),
        "learner_error": (
            ("learner", "prompt", "context"),
            np.square(learners - ys) / task.normaliser,
        ),
        "floor": (("learner", "prompt"), error_similarity(learners, 0 * ys, ys)),
    }
    coords = {"model": list(MODELS), "learner": list(LEARNERS), "context": context}
    about = {"dim": task.dim, "resamples": config.evaluation.resamples}
    about |= {"layers": config.layers, "rate": [RATES[at] * unit for at in best]}
    return xr.Dataset(found, coords | {"seed": range(config.seeds)}, about)


# --- claims ---


def _in_words(names: Sequence[str], rates: Sequence[float]) -> str:
    """Returns the rate of each model in words."""
    return ", ".join(
        f"{rate:.3g} beside the {name}" for name, rate in zip(names, rates, strict=True)
    )


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the paper says of LSTMs."""
    rates = _in_words(dataset.model.values, dataset.attrs["rate"])
    judge = Judge(
        "fu2024",
        "recurrent",
        "Fu et al. 2024, section 4.4",
        note=f"OGD has the most similar of {len(RATES)} rates: {rates}.",
        resampled=resample(dataset),
    )
    n, layers = int(dataset.context[-1]), dataset.attrs["layers"]
    unit = "difference of similarities"

    def towards_descent(model: str) -> Statistic:
        def difference(means: xr.Dataset) -> xr.DataArray:
            alike = means.similarity.sel(model=model)
            return alike.sel(learner="OGD") - alike.sel(learner="OLS")

        return difference

    def end(model: str) -> Statistic:
        return lambda means: means.error.sel(model=model).isel(context=-1)

    return [
        judge(
            "F10a",
            "An LSTM errs as one pass of gradient descent at its best rate rather than "
            "as least squares.",
            towards_descent("LSTM"),
            ">",
            0.0,
            unit=unit,
        ),
        judge(
            "F10b",
            "A transformer errs as least squares rather than as one pass of gradient "
            "descent.",
            lambda means: towards_descent("transformer")(means).isel(seed=0, drop=True),
            "<",
            0.0,
            unit=unit,
            interval_over="prompts, for one trained model",
        ),
        judge(
            "F11",
            f"{2 * layers} layers of an LSTM in place of {layers} lower its error "
            f"after {n} pairs by less than 20 %.",
            Ratio(end("deeper LSTM"), end("LSTM")),
            ">",
            0.8,
            unit="error / error of the smaller LSTM",
            bar="ours",
        ),
    ]


# --- the picture ---

COLORS = {"LSTM": ORANGE, "deeper LSTM": VERMILLION, "transformer": BLACK}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws errors by number of examples, and similarities as bars."""
    resampled, dim = resample(dataset), int(dataset.attrs["dim"])
    with canvas(10, 4) as figure:
        errors, bars = figure.subplots(1, 2)
        for model, color in COLORS.items():
            band = resampled.band(
                lambda means, model=model: means.error.sel(model=model)
            )
            draw_band(errors, "context", band, color=color, label=model)
        for learner, style in (("OGD", ":"), ("OLS", "--")):
            level = resampled.means.learner_error.sel(learner=learner)
            level = level.where(level > 1e-4)
            errors.plot(level.context, level, style, color=BLUE, label=learner)
        errors.set(yscale="log", ylabel="squared error / variance of y")
        count_examples(errors, dim)
        errors.legend()
        bars.set_axisbelow(True)
        value, low, high = resampled.band(lambda means: means.similarity)
        for place, (model, color) in enumerate(COLORS.items()):
            at = np.arange(len(LEARNERS)) + 0.25 * (place - 1)
            height = value.sel(model=model)
            around = [height - low.sel(model=model), high.sel(model=model) - height]
            bars.bar(at, height, 0.22, color=color, yerr=np.abs(around))
        for place, floor in enumerate(resampled.means.floor.values):
            ends = [place - 0.4, place + 0.4]
            bars.plot(ends, [floor, floor], color=GREY, linestyle="--")
        last = float(resampled.means.floor[-1])
        bars.text(len(LEARNERS) - 0.57, last, "predicting 0", va="center", fontsize=8)
        bars.set_xticks(range(len(LEARNERS)), LEARNERS)
        bars.set(ylabel="similarity of errors with", ylim=(0, 1.02), xlim=(-0.6, 2.0))
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
