"""Ill-conditioned inputs: where gradient descent needs many more steps than Newton.

Claim: a transformer that was trained on ill-conditioned inputs answers as well as
Newton's iteration, which needs few more iterations there, and far better than gradient
descent with as many steps as the model has layers, or a hundred.

Paper: section 4.3 of Fu et al. 2024 (claims F8 and F9). In the paper and here every
prompt has a rotation of its own; the released code has one for a whole batch.

Run: python -m experiments.fu2024.conditioning quick

How to read it: half of the eigenvalues of the covariance of inputs are 100 times the
others, in random directions that each prompt has for itself. On the left is the error
of what is read out of each layer by its own head, at the longest context and as a share
of that of predicting 0, on such inputs (black) and for a model on isotropic inputs
(grey); dashed lines are gradient descent after 96, 512 and 2,048 steps on the
ill-conditioned ones, at the rate 1 / (2 lambda_max) of each prompt. (Near the usual
best rate, 1 / (lambda_max + lambda_min), steps swing along the largest eigenvector,
which carries most of the error, and after a hundred of them it is ten times as large.)
The error is that of predictions: half of the directions carry 1/101 of the variance, so
that a few hundred steps suffice, where w itself needs thousands. On the right is the
number of Newton iterations that each layer is most similar to. Bands are 95 % intervals
over prompts, and over seeds if there are several. At `shipped` there is one model,
which was trained on isotropic inputs alone.
"""

import sys
from dataclasses import dataclass, replace

import jax
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Ratio
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation, linear_task
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import own_settings
from experiments.engine.figures.style import BLACK, GREY, ORANGE, canvas, draw_band
from experiments.fu2024.layers_measure import (
    DESCENT,
    NEWTON,
    fit_heads,
    iterates,
    read_outs,
    similarities,
)
from experiments.reference_models import RELEASED, SETTINGS
from icl import LinearRegression, checks, inference, sweeps
from icl.compare import best_match
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "20 s",
    "quick": "40 min, 2 min once the models are trained",
    "shipped": "1 min, without any training",
    "paper": "3 hours on one H100, an estimate",
}

INPUTS = ("isotropic", "ill-conditioned")
SHOWN = (96, 512, 2_048)
"""The numbers of steps of gradient descent whose errors are shown."""


@dataclass(frozen=True)
class Config:
    """Settings of the comparison of isotropic and ill-conditioned inputs.

    Attributes:
        setting: the model of isotropic inputs, or the first of several; the others are
            the same but for the covariance of their inputs.
        condition: the larger eigenvalues of that covariance over the smaller ones.
        trained: whether there are models that were trained on such inputs; if not, the
            models of isotropic inputs are shown them.
        evaluation: the prompts.
        fitted: the number of further prompts, to which heads are fitted.
        seeds: the number of models of each kind.
    """

    setting: Setting
    condition: float = 100.0
    trained: bool = True
    evaluation: Evaluation = Evaluation(prompts=1_000)
    fitted: int = 2_000
    seeds: int = 1

    def __post_init__(self) -> None:
        task = linear_task(self.setting, own_weights=True)
        checks.positive_int("task.dim", task.dim, minimum=2)
        checks.positive_int("task.length", task.length, minimum=2)
        checks.normalise(self, checks.finite_number, "condition", positive=True)
        checks.normalise(self, checks.flag, "trained")
        checks.normalise(self, checks.positive_int, "seeds")
        checks.positive_int("fitted", self.fitted, minimum=2)


PRESETS = {
    "tiny": Config(
        SETTINGS["tiny"], evaluation=Evaluation(prompts=48, resamples=100), fitted=48
    ),
    "quick": Config(
        replace(
            SETTINGS["quick"], train=replace(SETTINGS["quick"].train, steps=12_000)
        ),
        seeds=1,
    ),
    "shipped": Config(SETTINGS["shipped"], trained=False),
    "paper": Config(RELEASED, fitted=16_000),
}


def ill_conditioned(config: Config) -> LinearRegression:
    """Returns the task whose inputs are so, with coordinates of mean square 1."""
    task = linear_task(config.setting)
    values = np.where(np.arange(task.dim) < task.dim // 2, config.condition, 1.0)
    values = values * task.dim / values.sum()
    return replace(task, covariance=tuple(values.tolist()), rotated=True)


def settings(config: Config) -> list[Setting]:
    """Returns the models of isotropic inputs, and then the others."""
    first = own_settings(config)
    if not config.trained:
        return first
    return first + [replace(each, task=ill_conditioned(config)) for each in first]


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models, and measures all: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Measures the read-outs of all models, each on its inputs.

    Returns:
        A Dataset with `error` over (inputs, seed, layer, prompt), squared errors at the
        longest context over the mean square of a label; `similarity` over (inputs,
        seed, layer, step_Newton, prompt); `descent` over (steps, prompt) and `newton`,
        errors of iterates on ill-conditioned inputs; and `condition` (inputs), the
        median condition number of X'X.
    """
    wanted, parts = settings(config), []
    for inputs in INPUTS:
        ill = inputs == "ill-conditioned"
        task = ill_conditioned(config) if ill else linear_task(config.setting)
        own = wanted[-config.seeds :] if ill else wanted[: config.seeds]
        seeds = [_measured(config, task, models, setting) for setting in own]
        parts.append(xr.concat(seeds, "seed"))
    found = xr.concat(parts, xr.Variable("inputs", list(INPUTS)))
    iterated = _iterates(config)
    about = {"dim": wanted[0].task.dim, "trained": int(config.trained)}
    about["resamples"] = config.evaluation.resamples
    about["depth"] = config.setting.model.layers
    return found.merge(iterated).assign_attrs(about)


def _measured(
    config: Config, task: LinearRegression, models: Models, setting: Setting
) -> xr.Dataset:
    """Returns the errors of read-outs, and what they are similar to."""
    model, count = models(setting).model, config.evaluation.prompts
    drawn, _ = config.evaluation.sample(task, more=config.fitted)
    prompts = inference.first(drawn, count)
    heads = fit_heads(model, jax.tree.map(lambda a: a[count:], drawn))
    outputs, ys = read_outs(model, heads, prompts), np.asarray(prompts.ys)
    errors = np.square(outputs - ys)[..., -1] / task.normaliser
    alike = similarities(outputs, iterates(prompts)["Newton"], ys)
    numbers = np.linalg.cond(np.asarray(prompts.xs, float)[:, :-1]) ** 2
    return xr.Dataset(
        {
            "error": (("layer", "prompt"), errors),
            "similarity": (("layer", "step_Newton", "prompt"), alike),
            "condition": np.median(numbers),
        },
        coords={"layer": np.arange(len(outputs)), "step_Newton": list(NEWTON)},
    )


def _iterates(config: Config) -> xr.Dataset:
    """Returns the errors of gradient descent on ill-conditioned inputs."""
    task = ill_conditioned(config)
    prompts, _ = config.evaluation.sample(task, more=config.fitted)
    prompts = inference.first(prompts, config.evaluation.prompts)
    solved = iterates(prompts)
    errors = {
        "descent": [np.asarray(each.predictions)[:, -1] for each in solved["GD"]],
        "newton": [np.asarray(each.predictions)[:, -1] for each in solved["Newton"]],
    }
    right = np.asarray(prompts.ys)[:, -1]
    return xr.Dataset(
        {
            name: ((f"step_{family}", "prompt"), np.square(a - right) / task.normaliser)
            for (name, a), family in zip(errors.items(), ("GD", "Newton"), strict=True)
        },
        coords={"step_GD": list(DESCENT), "step_Newton": list(NEWTON)},
    )


# --- claims ---


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts and those of every resample."""
    sampled = dataset.drop_vars("condition")
    return intervals.resample(sampled, ("prompt",))


def best_iterations(means: xr.Dataset) -> xr.DataArray:
    """Returns the number of Newton iterations that each layer is most similar to."""
    return xr.apply_ufunc(
        lambda values: best_match(values, means.step_Newton.values).step,
        means.similarity,
        input_core_dims=[["layer", "step_Newton"]],
        output_core_dims=[["layer"]],
    )


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the paper says of ill-conditioned inputs."""
    judge = Judge(
        "fu2024",
        "conditioning",
        "Fu et al. 2024, section 4.3; thresholds ours",
        note=""
        if dataset.attrs["trained"]
        else "This model was trained on isotropic inputs alone.",
        resampled=resample(dataset),
    )
    numbers = dataset.condition.mean("seed")
    ratio = float(numbers.sel(inputs=INPUTS[1]) / numbers.sel(inputs=INPUTS[0]))
    more = 2 * np.log2(ratio) + 2

    def last(means: xr.Dataset) -> xr.DataArray:
        return means.error.isel(layer=-1).sel(inputs="ill-conditioned")

    def ahead(means: xr.Dataset) -> xr.DataArray:
        best = best_iterations(means).isel(layer=-1)
        return best.sel(inputs=INPUTS[1]) - best.sel(inputs=INPUTS[0])

    return [
        judge(
            "F8",
            f"On ill-conditioned inputs the model has a smaller error than {SHOWN[0]} "
            "steps of gradient descent, at the rate 1 / (2 lambda_max) of each prompt.",
            Ratio(last, lambda means: means.descent.sel(step_GD=SHOWN[0])),
            "<",
            1.0,
            unit="error / error of gradient descent",
            bar="ours",
        ),
        judge(
            "F9",
            f"Its last layer is at most {more:.1f} Newton iterations further than on "
            f"isotropic inputs: 2 log2 r + 2, where r = {ratio:.3g} is the ratio of "
            "median condition numbers of X'X.",
            ahead,
            "<",
            more,
            unit="iterations",
            bar="ours",
        ),
    ]


# --- the picture ---


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws errors and best iterations by layer, on both kinds of inputs."""
    resampled = resample(dataset)
    with canvas(10, 4) as figure:
        errors, steps = figure.subplots(1, 2)
        for inputs, color in zip(INPUTS, (GREY, BLACK), strict=True):
            at = {"inputs": inputs}
            band = resampled.band(lambda means, at=at: means.error.sel(at))
            draw_band(errors, "layer", band, "o-", color=color, label=inputs)
            band = resampled.band(lambda means, at=at: best_iterations(means).sel(at))
            draw_band(steps, "layer", band, "o-", color=color, label=inputs)
        for count in SHOWN:
            level = float(resampled.means.descent.sel(step_GD=count))
            errors.axhline(level, color=ORANGE, linestyle="--", linewidth=0.9)
            errors.annotate(
                f"GD x {count:,}",
                (0, level),
                xytext=(0, 3),
                textcoords="offset points",
                color=ORANGE,
                fontsize=8,
            )
        errors.set(yscale="log", ylabel="squared error / that of predicting 0")
        steps.set_ylabel("best number of Newton iterations")
        for axes in (errors, steps):
            axes.set_xlabel("layer (0 = embedding)")
            axes.legend()
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
