"""All curves that the project has, with their linearity and breakthroughness.

- "gradient descent" by steps, without a model;
- "parameters", the mirage in closed form;
- "least squares" by examples, with noise: inverse scaling;
- "training d8" and others: losses of the models that come with the package, by step;
- sweeps by depth and width, and sums by training step, where finished models of other
  figures lie in the folder of results; or sweeps that lie in a folder of your own.
  Nothing is trained.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from experiments.emergence import arithmetic, arithmetic_measure, found_sweeps
from experiments.emergence import gradient_descent_measure as descent
from experiments.emergence.inverse import least_squares_risk
from experiments.engine.figures.checkpoints import model_after
from experiments.engine.figures.evaluation import Evaluation
from experiments.reference_models import SHIPPED
from icl import checks
from icl.emergence import Curve, log_spaced_means, mirage, null_quantiles, shape_of
from icl.files import expanded
from icl.sweeps.store import Models
from icl.tasks.linear import as_linear

Name = Literal["d8", "d4", "d4-control"]
Found = tuple[str, str, Any, Any]
"""The task and the metric of a curve, its scales and its scores; higher is better."""

NOISES = (0.5, 1.0)
SIZES = np.logspace(5, 11, 13)
EVALUATED = 13


@dataclass(frozen=True)
class Config:
    """Settings of the plane.

    Attributes:
        models: models that come with the package, whose training is looked at.
        prompts: the number of prompts, or sums, that learners are asked.
        sweeps: a folder of models of linear regression that differ in their layers or
            width alone, whose curves are shown; None is the folder of results.
    """

    models: tuple[Name, ...] = ("d8", "d4")
    prompts: int = 2_000
    sweeps: str | None = None

    def __post_init__(self) -> None:
        for name in self.models:
            checks.one_of("models", name, get_args(Name))
        if self.sweeps is not None:
            checks.of_kind("sweeps", self.sweeps, str, "the name of a folder")
        checks.positive_int("prompts", self.prompts, minimum=20, maximum=1_000_000)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the numbers of every curve.

    Returns:
        A Dataset over `curve`, with coordinates `task` and `metric`: `linear` and
        `breaks`, which are L / (n - 1) and B / (n - 1); `floored`; what curves of noise
        of as many points stay below, `null_95` by L and `null_99` by B; and `scale` and
        `scores` over (curve, point), NaN behind the last point.
    """
    by_size = of_sweeps(config, models)  # first, as it may refuse a folder
    curves = [
        *of_descent(config),
        *of_parameters(),
        *of_examples(),
        *of_training(config, models),
        *of_sums(config, models),
        *by_size,
    ]
    return table(curves)


def table(curves: list[Found]) -> xr.Dataset:
    """Returns the Dataset of `measure` for given curves."""
    most = max(len(scores) for *_, scores in curves)
    rows = []
    for _, _, scale, scores in curves:
        y = np.asarray(scores, dtype=float)
        found, null = shape_of(y), null_quantiles(len(y))
        rows.append(
            {
                "linear": float(found.normalised_linearity),
                "breaks": float(found.normalised_breakthroughness),
                "floored": bool(found.floored),
                "null_95": null_quantiles(len(y), level=0.95).linearity,
                "null_99": null.breakthroughness,
                "scale": _filled(scale, most),
                "scores": _filled(y, most),
            }
        )
    axes = {"scale": ("curve", "point"), "scores": ("curve", "point")}
    return xr.Dataset(
        {
            name: (axes.get(name, ("curve",)), np.array([row[name] for row in rows]))
            for name in rows[0]
        },
        coords={
            "task": ("curve", [task for task, *_ in curves]),
            "metric": ("curve", [metric for _, metric, *_ in curves]),
        },
    )


def _filled(values: Any, length: int) -> np.ndarray:
    found = np.asarray(values, dtype=float)
    return np.pad(found, (0, length - len(found)), constant_values=np.nan)


def of_descent(config: Config) -> list[Found]:
    """Returns every metric of gradient descent by its steps."""
    evaluation = Evaluation(prompts=config.prompts, seed=0, resamples=1)
    found = descent.measure(descent.Config(evaluation=evaluation)).mean("prompt")
    scores = {
        "nmse": -found.nmse,
        "log nmse": -np.log10(found.nmse),
        "hit": found.hit,
        "grade": found.grade,
        "-Brier": -found.brier,
        "log p of the right option": found.right,
        "log p of wrong options": found.wrong,
    }
    scores |= {
        f"all of {q}": found.all_of.sel(queries=q)
        for q in found.queries.values.tolist()
        if q > 1
    }
    scores["solved"] = found.solved.sel(threshold=0.01)
    return [
        ("gradient descent", metric, found.k.values, values.values)
        for metric, values in scores.items()
    ]


def of_parameters() -> list[Found]:
    """Returns exact match and log p by the number of parameters, in closed form."""
    p = mirage.token_accuracy(SIZES)
    scores = {f"exact match of {t}": mirage.exact_match(p, t) for t in (2, 4, 8, 16)}
    scores |= {"log p": np.log(p), "-edit distance": -mirage.edit_distance(p, 8)}
    return [("parameters", metric, SIZES, values) for metric, values in scores.items()]


def of_examples() -> list[Found]:
    """Returns -risk of least squares by the number of examples, up to d - 2."""
    counts = np.arange(1, 7)
    return [
        (
            "least squares",
            f"-risk, noise {noise:g}",
            counts,
            [-least_squares_risk(8, n, noise) for n in counts.tolist()],
        )
        for noise in NOISES
    ]


def of_training(config: Config, models: Models) -> list[Found]:
    """Returns losses of the models of the package, by step."""
    found = []
    for name in config.models:
        task, history = as_linear(SHIPPED[name].task), models(SHIPPED[name]).history
        variance = task.dim * task.weight_std**2 + task.noise_std**2
        losses = history.loss.values.astype(float) / variance
        steps, means = log_spaced_means(losses, points=EVALUATED)
        curve = Curve(steps, means, higher_is_better=False, logarithm=True)
        found.append((f"training {name}", "log loss", steps, curve.values))
        found.append((f"training {name}", "loss", steps, -means))
    return found


def of_sweeps(config: Config, models: Models) -> list[Found]:
    """Returns every metric by depth and by width, of the sweeps that are there.

    Raises:
        ValueError: a folder was named, and it holds no sweep.
    """
    own = None if config.sweeps is None else expanded(config.sweeps, "sweeps")
    sweeps = found_sweeps.found_sweeps(own or models.results)
    if own and not sweeps:
        raise ValueError(
            f"sweeps must be a folder with at least {found_sweeps.LEAST} finished "
            "models of linear regression that differ in their layers or width alone, "
            f"got {str(own)!r}, which has none; train them with "
            "icl.sweeps.train_all(settings, Models(folder)), or in folders beside each "
            "other with icl.train(..., directory=)."
        )
    seen: Counter[str] = Counter()
    found = []
    for sweep in sweeps:
        seen[sweep.name] += 1
        again = f" ({seen[sweep.name]})" if seen[sweep.name] > 1 else ""
        found += [
            (sweep.name + again, metric, curve.scale, curve.values)
            for metric, curve in found_sweeps.curves(sweep, config.prompts).items()
        ]
    return found


def of_sums(config: Config, models: Models) -> list[Found]:
    """Returns metrics of sums by training step, of the models that are there."""
    whole = arithmetic.PRESETS["quick"]
    evaluation = replace(whole.evaluation, prompts=min(config.prompts, 1_000))
    first = replace(whole, seeds=1, first_step=100, evaluation=evaluation)
    names = [
        name
        for name in whole.formats
        if models.results is not None
        and models.status(arithmetic_measure.setting_of(first, name, 0)).state == "done"
    ]
    found = []
    for name in names:
        own = replace(first, formats=(name,))
        scores = arithmetic_measure.measure(own, partial(model_after, models))
        means = scores.mean("prompt").squeeze(("format", "seed"))
        metrics = {
            "exact match": means.exact,
            "right characters": means.characters,
            "log p": means.log_p,
        }
        found += [
            (f"sums, {name}", metric, own.steps, values.values)
            for metric, values in metrics.items()
        ]
    return found
