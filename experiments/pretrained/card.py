"""What does the card of a trained model say, and how is each number measured?

Numbers come from prompts that the model never saw (`icl.inference.sample`). They are
kept as JSON too, for the tests. "By context" means after 0, 1, ... pairs. The text is
in `card.md.jinja`.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jinja2
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

from experiments.engine.claims.claim import format_number
from experiments.engine.figures.changes import flag_values
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREY,
    canvas,
    count_examples,
    draw_band,
)
from experiments.engine.provenance import processor, provenance
from icl import LinearRegression, Prompts, Trained, inference
from icl.baselines import LeastSquares
from icl.compare import (
    bootstrap_means,
    interval,
    nearest,
    squared_prediction_difference,
)
from icl.sweeps.notes import training_seconds
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks.linear import as_linear
from icl.training.description import changed

TEMPLATE = Path(__file__).with_name("card.md.jinja")

GOLDEN = 16
"""The number of prompts whose predictions are kept."""

SIZES = ("dim", "length", "layers", "width", "heads", "steps", "batch")
"""The fields of a configuration that the card always shows."""


def measure(trained: Trained, count: int) -> dict[str, Any]:
    """Measures how near a model is to its rule (`rule`) and to other learners.

    Args:
        trained: the model.
        count: the number of prompts.

    Returns:
        The measurements as JSON. By context there are `spd`, the squared difference
        from what the rule predicts divided by d, with its interval, and the squared
        `errors` of both. Over contexts of one pair and more there are `mean`, the mean
        of spd; `nearest`, the best learner of each family with its distance (none for a
        model that has nothing to learn in context); `separated`, whether the first is
        separated from the next; and `elsewhere`, the `relative_errors` on each of
        `tasks`.
    """
    task = as_linear(trained.task)
    others = tasks(task)
    drawn = [inference.sample(other, count, seed=0)[0] for other in others.values()]
    together = jax.tree.map(lambda *parts: jnp.concatenate(parts), *drawn)
    ours = np.split(inference.predictions(trained.model, together), len(drawn))
    theirs = [rule(task, part) for part in drawn]
    truth = [np.asarray(inference.true_labels(part)) for part in drawn]
    spd = squared_prediction_difference(ours[0], theirs[0], divide_by=task.dim)
    means = spd.per_prompt[:, 1:].mean(axis=1)
    low, high = map(float, interval(bootstrap_means(means)))
    ranking, separated = _ranking(ours[0], drawn[0], task)
    return {
        "prompts": count,
        "mean": {"value": float(means.mean()), "low": low, "high": high},
        "spd": {
            "value": spd.value.tolist(),
            "low": spd.low.tolist(),
            "high": spd.high.tolist(),
        },
        "errors": [
            ((said[0] - truth[0]) ** 2).mean(axis=0).tolist() for said in (ours, theirs)
        ],
        "nearest": ranking,
        "separated": separated,
        "elsewhere": {
            name: relative_errors(a, b, right, contexts_of_finite_risk(others[name]))
            for name, a, b, right in zip(others, ours, theirs, truth, strict=True)
        },
    }


def rule(task: LinearRegression, prompts: Prompts) -> np.ndarray:
    """Returns what the best rule for a task predicts, (batch, length).

    It is minimum-norm least squares; or w.x, for a task that always has the same w.
    """
    if task.fixed_weights is not None:
        return np.asarray(prompts.xs) @ np.asarray(task.fixed_weights, np.float32)
    return np.asarray(LeastSquares()(prompts).predictions)


def tasks(task: LinearRegression) -> dict[str, LinearRegression]:
    """Returns a model's own task, and then tasks that it was not trained on."""
    if task.fixed_weights is not None:
        anew = replace(task, fixed_weights=None)
        return {"as in training": task, "w drawn for each prompt": anew}

    return {
        "as in training": task,
        "weights twice as large": replace(task, weight_std=2 * task.weight_std),
        "weights half as large": replace(task, weight_std=task.weight_std / 2),
        "inputs twice as large": replace(task, covariance=task.dim * (4.0,)),
        "inputs half as large": replace(task, covariance=task.dim * (0.25,)),
        "inputs uniform in a cube": replace(task, inputs="uniform"),
        "labels with noise of deviation 0.5": replace(task, noise_std=0.5),
    }


def contexts_of_finite_risk(task: LinearRegression) -> np.ndarray:
    """Returns the contexts of one pair and more where least squares has a finite risk.

    With noise and normal inputs its risk is infinite at d - 1, d and d + 1 examples.
    """
    contexts = np.arange(1, task.length)
    return contexts[(abs(contexts - task.dim) > 1) | (task.noise_std == 0)]


def relative_errors(
    ours: np.ndarray, theirs: np.ndarray, truth: np.ndarray, contexts: np.ndarray
) -> dict[str, float]:
    """Returns mean squares divided by the mean square of the noise-free labels.

    They are those of the difference between our predictions and those of the rule, and
    those of the errors of both. All arrays are (prompts, length).
    """
    ours, theirs, truth = (each[:, contexts] for each in (ours, theirs, truth))
    power = (truth**2).mean()
    differences = {
        "difference": ours - theirs,
        "error": ours - truth,
        "rule": theirs - truth,
    }
    return {
        name: float((difference**2).mean() / power)
        for name, difference in differences.items()
    }


def golden_predictions(trained: Trained) -> dict[str, np.ndarray]:
    """Returns a few prompts, and what the model predicts in float64.

    `rounding` is the largest difference from what it predicts in float32 on this
    machine; float64 has next to no rounding error.
    """
    prompts, _ = inference.sample(trained.task, GOLDEN, seed=1, whole=True)
    single = inference.predictions(trained.model, prompts)
    graphdef, params = nnx.split(trained.model)
    xs, ys = np.asarray(prompts.xs), np.asarray(prompts.ys)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda array: array.astype(jnp.float64), params)
        wide = Prompts(jnp.asarray(xs, float), jnp.asarray(ys, float))
        double = np.asarray(nnx.merge(graphdef, params)(wide).predictions)
    rounding = abs(single - double).max()
    return {"xs": xs, "ys": ys, "predictions": double, "rounding": rounding}


def training_record(
    setting: Setting, models: Models, hardware: str | None
) -> dict[str, Any]:
    """Returns where, how long and with what a model was trained.

    Args:
        setting: the model.
        models: the store where it was trained, perhaps in several sessions.
        hardware: the hardware that it was trained on; None is this machine.
    """
    about = provenance()
    taken = training_seconds(setting, models.folder(setting))
    return {
        "seed": setting.seed,
        "hours": None if taken is None else taken / 3600,
        "hardware": hardware or f"{processor()}, {about['cores']} cores",
        "versions": about["versions"],
        "date": about["date"][:10],
    }


def card(
    name: str,
    trained: Trained,
    scores: Mapping[str, Any],
    about: Mapping[str, Any],
    template: Path = TEMPLATE,
) -> str:
    """Returns the card in Markdown.

    Args:
        name: the name of the model.
        trained: the model.
        scores: what was measured of it.
        about: where, how long and with what it was trained.
        template: the text, in which these numbers are filled in.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = format_number
    task, model, train = trained.task, trained.model_config, trained.train_config
    arrays = jax.tree.leaves(nnx.state(trained.model))
    return environment.get_template(template.name).render(
        name=name,
        task=task,
        model=model,
        train=train,
        calls=[_call(config) for config in (task, model, train)],
        settings=flag_values(asdict(model) | asdict(train)),
        parameters=sum(array.size for array in arrays),
        held_out=trained.history.held_out_loss.values[-1].tolist(),
        evaluated=train.held_out,
        scores=scores,
        about=about,
    )


def _call(config: Any) -> str:
    """Returns the call that makes a configuration.

    It names the sizes, and whatever is not the default.
    """
    named = {*SIZES, *changed(config)}
    typed = [
        f"{field.name}={getattr(config, field.name)!r}"
        for field in fields(config)
        if field.name in named
    ]
    return f"{type(config).__name__}({', '.join(typed)})"


def _ranking(
    ours: np.ndarray, prompts: Prompts, task: LinearRegression
) -> tuple[list[dict[str, Any]], bool]:
    """Returns the best learner of each family, as JSON, and if the first is separated.

    There are none for a task that always has the same w.
    """
    if task.fixed_weights is not None:
        return [], False
    found = nearest(ours, prompts, contexts=range(1, ours.shape[1]))
    fits = [
        {
            "family": fit.family,
            "learner": fit.learner.name,
            "distance": fit.distance,
            "low": fit.low,
            "high": fit.high,
        }
        for fit in found.fits
    ]
    return fits, found.separated


def draw(trained: Trained, scores: Mapping[str, Any]) -> Figure:
    """Draws losses by step, and the distance from the rule by examples."""
    history, dim = trained.history, trained.task.dim
    spd = {end: np.array(values) for end, values in scores["spd"].items()}
    examples = np.arange(len(spd["value"]))
    every = history.held_out_loss.mean("context")
    known = history.held_out_loss.where(history.context >= dim).mean("context")
    window = max(1, trained.steps // 200)
    smooth = history.loss.rolling(step=window, center=True).mean()
    with canvas(8, 3) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(history.step, smooth, color=GREY, lw=0.8, label="training, all n")
        for curve, color, label in ((every, BLACK, "all n"), (known, BLUE, "n ≥ d")):
            style = {"color": color, "marker": ".", "label": f"held out, {label}"}
            left.plot(history.evaluation, curve, **style)
        left.set_yscale("log")
        left.set_xlabel("step")
        left.set_title("loss: squared error, mean over n")
        left.legend()
        band = [spd[name] for name in ("value", "low", "high")]
        draw_band(right, examples, band, color=BLUE, marker="o")
        right.set_yscale("log")
        fixed = trained.task.fixed_weights is not None
        right.set_title(f"SPD / d to {'w.x' if fixed else 'least squares'}")
        count_examples(right, dim)
    return figure
