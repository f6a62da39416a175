"""Read-outs of layers beside iterates of Newton's iteration and of gradient descent.

Claim: from layer to layer a transformer advances along Newton's iteration by the same
number of iterations, and so exponentially along gradient descent, as a second-order
method does. What the similarity of errors says of it is the same for both.

Paper: Figures 1 and 3 of Fu et al. 2024 (claims F1-F7). Claims F6 and F13, on what the
similarity cannot tell, are ours.

Run: python -m experiments.fu2024.layers shipped

How to read it: an answer is read out of each layer at x_i by a head of its own, ridge
regression on other prompts. Above is the similarity of its errors with those of each
iterate (SimE: the mean over prompts of the cosine, over contexts of 0 to 2d pairs), for
Newton's iteration and for gradient descent (GD); circles mark the most similar one.
Below on the left are these best steps, with 95 % intervals over prompts, and over seeds
if there are several: iterations of Newton on the left axis, steps of GD on a logarithm
on the right. Steady progress is a line; grey marks the middle half of the layers, to
which lines are fitted. Below on the right is the similarity at the best step of each
family, with least squares (OLS), and with predicting 0, which is the floor: learners
share most of their errors where contexts are short. Dashed curves are of contexts of
more than d pairs alone. A similarity as high for GD as for Newton says nothing of which
of the two a model runs; the growth of the best step does. Models of the GPT-2 form that
other programs have trained are read with --weights FILE --heads N.
"""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation, linear_task
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import over_seeds, own_settings
from experiments.fu2024.layers_claims import claims
from experiments.fu2024.layers_measure import (
    FAMILIES,
    fit_heads,
    iterates,
    read_outs,
    similarities,
    steps_dataset,
    weight_similarities,
)
from experiments.fu2024.layers_plot import plot
from experiments.reference_models import RELEASED, SETTINGS
from icl import LinearRegression, Pairs, Transformer, checks, import_model, inference
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "20 s",
    "quick": "15 min, 2 min once the models are trained",
    "shipped": "1 min, without any training",
    "paper": "3 hours on one H100, an estimate",
}


@dataclass(frozen=True)
class Config:
    """Settings of the comparison of layers with iterates.

    Attributes:
        setting: the model, or the first of several.
        weights: a file with the weights of a model that another program has trained, as
            `icl.import_model` reads it; it is looked at in place of the setting's
            model, on linear regression of its own dimension and length. "" is none.
        heads: the number of attention heads of that model.
        evaluation: the prompts on which read-outs and iterates are compared.
        fitted: the number of further prompts, to which heads are fitted.
        implied: the number of prompts whose implied weights are compared.
        queries: the number of new inputs that are asked after each of their contexts;
            None is four for each dimension.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
    """

    setting: Setting
    weights: str = ""
    heads: int = 1
    evaluation: Evaluation = Evaluation(prompts=1_000)
    fitted: int = 2_000
    implied: int = 40
    queries: int | None = None
    seeds: int = 1

    def __post_init__(self) -> None:
        checks.positive_int("heads", self.heads)
        checks.positive_int("seeds", self.seeds, maximum=1 if self.weights else 10_000)
        checks.positive_int("fitted", self.fitted, minimum=2)
        self.evaluation.require_part("implied", self.implied)
        if self.queries is not None:
            checks.positive_int("queries", self.queries, minimum=2)
        if not self.weights:
            task = linear_task(self.setting, own_weights=True)
            checks.positive_int("task.length", task.length, minimum=task.dim + 2)


PRESETS = {
    "tiny": Config(
        SETTINGS["tiny"],
        evaluation=Evaluation(prompts=48, resamples=100),
        fitted=48,
        implied=6,
    ),
    "quick": Config(SETTINGS["quick"], seeds=3),
    "shipped": Config(SETTINGS["shipped"]),
    "paper": Config(RELEASED, fitted=16_000),
}


def settings(config: Config) -> list[Setting]:
    """Returns the models that are trained; none where weights are read from a file."""
    return [] if config.weights else own_settings(config)


def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns similarities of read-outs with iterates: see `measure`."""
    if not config.weights:
        return _of_settings(config, models)
    model = import_model(config.weights, heads=config.heads)
    codec = model.codec
    assert isinstance(codec, Pairs)  # which weights are read for
    task = LinearRegression(codec.dim, codec.length)
    digest = hashlib.sha256(Path(config.weights).expanduser().read_bytes())
    found = measure(config, model, task)
    return found.assign_attrs(weights_sha256=digest.hexdigest())


@over_seeds
def _of_settings(config: Config, models: Models) -> xr.Dataset:
    return measure(config, models(config.setting).model, linear_task(config.setting))


def measure(config: Config, model: Transformer, task: LinearRegression) -> xr.Dataset:
    """Measures how similar the read-outs of layers are to iterates.

    Returns:
        A Dataset with, for each family, SimE over (layer, step, prompt), `errors_*`
        over all contexts and `late_*` over those of more than d pairs, and SimW,
        `weights_*`, over (layer, step, few); `ols` and `floor`, SimE with least squares
        and with predicting 0, over (layer, prompt); and `error`, squared errors over d,
        (layer, prompt).
    """
    evaluation, count = config.evaluation, config.evaluation.prompts
    drawn, key = evaluation.sample(task, more=config.fitted)
    prompts = inference.first(drawn, count)
    heads = fit_heads(model, jax.tree.map(lambda a: a[count:], drawn))
    outputs, solved = read_outs(model, heads, prompts), iterates(prompts)
    length, dim = prompts.ys.shape[1], prompts.xs.shape[2]
    few, contexts = inference.first(prompts, config.implied), _contexts(dim, length)
    shape = (config.implied, len(contexts), config.queries or 4 * dim)
    queries = np.asarray(task.sample_inputs(key, shape))
    ols = similarities(outputs, solved["OLS"], prompts.ys)[:, 0]
    zero = [solved["GD"][0]]
    found: dict[str, Any] = {
        "ols": (("layer", "prompt"), ols),
        "floor": (("layer", "prompt"), similarities(outputs, zero, prompts.ys)[:, 0]),
        "error": (
            ("layer", "prompt"),
            np.square(outputs - np.asarray(prompts.ys)).mean(axis=2) / dim,
        ),
    }
    late = np.arange(dim + 1, length)
    for family in FAMILIES:
        axes = ("layer", f"step_{family}", "prompt")
        learners = solved[family]
        found[f"errors_{family}"] = axes, similarities(outputs, learners, prompts.ys)
        found[f"late_{family}"] = (
            axes,
            similarities(outputs, learners, prompts.ys, late),
        )
        part = [inference.first(each, config.implied) for each in learners]
        alike = weight_similarities(model, heads, few, part, queries, contexts)
        found[f"weights_{family}"] = (*axes[:2], "few"), alike
    about = {"dim": dim, "resamples": evaluation.resamples}
    return steps_dataset(found).assign_attrs(about)


def _contexts(dim: int, length: int) -> list[int]:
    """Returns the context lengths after which weights are compared."""
    return sorted({max(dim // 2, 1), dim, length - 1})


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
