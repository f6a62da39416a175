"""The distance of the transformer from each textbook learner, by number of examples.

Claim: without noise, a trained transformer predicts what minimum-norm least squares
(OLS) predicts from the same examples, and no other textbook learner comes as close.

Paper: Figure 1 of Akyürek et al. 2023 (claims 1-8). One curve is ours: GD(optimal), one
gradient step at the best rate for each number of examples. The panels with a
logarithmic axis are ours too, because the curves nearest to zero cannot be told apart
on the paper's linear axis.

Run: python -m experiments.akyurek2023.fig1 quick

How to read it: each curve is the distance between the transformer, which the legend
calls ICL, and one learner, so the lowest curve is the learner that the transformer
resembles. In (a) the distance is between predictions: SPD / d, the mean over prompts of
(prediction - prediction)^2 / d. In (b) it is between weight vectors: ILWD / d, the mean
of |w - w|^2 / d. The transformer's weights are fitted to its predictions at many new
inputs. The weights of k-NN are fitted in the same way, because k-NN has none of its
own; its curves in (b) are drawn thin. The dashed curves in (a) are distances to the
true label Y: with fewer than d examples nobody can know it, and OLS misses it by 1 -
n/d. Bands are 95 % intervals over prompts, and over seeds if there are several.
"""

import itertools
import sys
from dataclasses import dataclass
from typing import Any

import jax
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.akyurek2023.fig1_claims import claims, resample
from experiments.akyurek2023.learners import (
    KNN,
    LINEAR_PAIR,
    STYLES,
    pair_name,
    textbook,
)
from experiments.engine.claims.intervals import Resampled
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import (
    Evaluation,
    check_queries,
    linear_task,
)
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import over_seeds
from experiments.engine.figures.style import (
    canvas,
    count_examples,
    draw_band,
    legend_below,
)
from experiments.reference_models import SETTINGS
from icl import Prompts, Transformer, checks, inference
from icl.baselines import Learner, solve
from icl.compare import (
    fitted_weights,
    implied_weight_difference,
    squared_prediction_difference,
)
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "30 s",
    "quick": "6 min, 1 min once the model is trained",
    "shipped": "1 min",
    "paper": "3 hours on one H100, an estimate",
}


@dataclass(frozen=True)
class Config:
    """Settings of Figure 1.

    Attributes:
        setting: the model, or the first of several.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
        evaluation: the prompts on which predictions are compared.
        queried: the number of these prompts at which learners are also asked to
            predict new inputs, so that their implied weights can be fitted.
        queries: the number of new inputs after each prefix; None is max(20 d, 64).
    """

    setting: Setting
    evaluation: Evaluation = Evaluation()
    queried: int = 500
    queries: int | None = None
    seeds: int = 1

    def __post_init__(self) -> None:
        task = linear_task(self.setting)
        checks.positive_int("seeds", self.seeds)
        self.evaluation.require_part("queried", self.queried)
        check_queries(self.queries, task)
        checks.positive_int("task.length", task.length, minimum=2)


PRESETS = {
    "tiny": Config(SETTINGS["tiny"], Evaluation(prompts=64, resamples=200), queried=32),
    "quick": Config(
        SETTINGS["quick"], Evaluation(prompts=20_000), queried=1_000, seeds=3
    ),
    "shipped": Config(SETTINGS["shipped"], Evaluation(prompts=20_000)),
    "paper": Config(SETTINGS["paper"]),
}


@over_seeds
def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns the squared differences between learners, for every pair and prompt.

    Returns:
        A Dataset with, not divided by d,

        - `spd` over (pair, prompt, context): (prediction - prediction)^2;
        - `ilwd` over (pair, queried, context): |weights - weights|^2, less what the
          finite number of queries adds;
        - `ilwd_exact` over (prompt, context): |weights - weights|^2 of OLS and
          GD(0.01), which have weights of their own, on all prompts.

        The coordinates `learner` and `other` name the two of each pair: "ICL" is the
        transformer, "Y" the truth. `pair` is both names in one, such as "OLS, ICL".
    """
    task, model = linear_task(config.setting), models(config.setting).model
    prompts, key = config.evaluation.sample(task)
    predicted, own = _ask(model, prompts, textbook(task))
    linear_fits = _fit_weights(config, model, prompts, key)
    weights = {name: w[: config.queried] for name, w in own.items()} | linear_fits

    pairs = [(learner.name, "ICL") for learner in textbook(task)]
    pairs += [("OLS", "Y"), ("Ridge(0.1)", "Y"), ("ICL", "Y"), LINEAR_PAIR]
    spd = [
        squared_prediction_difference(predicted[a], predicted[b], resamples=1)
        for a, b in pairs
    ]
    ilwd = [
        implied_weight_difference(weights[a], weights[b], resamples=1) for a, b in pairs
    ]
    exact = implied_weight_difference(*(own[name] for name in LINEAR_PAIR), resamples=1)

    def stack(estimates: list) -> np.ndarray:
        return np.stack([estimate.per_prompt for estimate in estimates]).astype("f4")

    return xr.Dataset(
        {
            "spd": (("pair", "prompt", "context"), stack(spd)),
            "ilwd": (("pair", "queried", "context"), stack(ilwd)),
            "ilwd_exact": (("prompt", "context"), stack([exact])[0]),
        },
        coords={
            "pair": list(itertools.starmap(pair_name, pairs)),
            "learner": ("pair", [learner for learner, _ in pairs]),
            "other": ("pair", [other for _, other in pairs]),
            "context": np.arange(prompts.ys.shape[1]),
        },
        attrs={
            "dim": task.dim,
            "noise_std": task.noise_std,
            "resamples": config.evaluation.resamples,
            "unit": "squared difference, not divided by d",
        },
    )


def _ask(
    model: Transformer, prompts: Prompts, learners: list[Learner]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns all predictions, and the weights of those that have some, by name."""
    solved = list(zip(learners, solve(learners, prompts), strict=True))
    predicted: dict[str, Any] = {learner.name: s.predictions for learner, s in solved}
    predicted["ICL"] = inference.predictions(model, prompts)
    predicted["Y"] = inference.true_labels(prompts)
    own: dict[str, Any] = {
        learner.name: s.weights for learner, s in solved if s.weights is not None
    }
    own["Y"] = inference.true_weights(prompts)
    return predicted, own


def _fit_weights(
    config: Config, model: Transformer, prompts: Prompts, key: jax.Array
) -> dict[str, Any]:
    """Returns weights fitted to the predictions of learners that have none, by name."""
    task = linear_task(config.setting)
    nearest = [learner for learner in textbook(task) if learner.name in KNN]
    few = inference.first(prompts, config.queried)
    fits = fitted_weights([model, *nearest], task, few, config.queries, key)
    return dict(zip(["ICL", *KNN], fits, strict=True))


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the paper's two panels, and both again on a logarithmic axis."""
    resampled = resample(dataset).at(dataset.context[1:])
    with canvas(10, 9) as figure:
        grid = figure.subplots(2, 2, sharex=True)
        for row, scale in zip(grid, ("linear", "log"), strict=True):
            for axes, distance in zip(row, ("spd", "ilwd"), strict=True):
                _draw(axes, resampled, distance, dataset.attrs["dim"])
                axes.set_yscale(scale)
                bottom = 0 if scale == "linear" else _floor(resampled.means[distance])
                axes.set_ylim(bottom=bottom)
        for axes in grid[0]:
            axes.set_xlabel("")
        for axes in grid[:, 0]:
            axes.set_ylabel("distance of predictions (SPD / d)")
        for axes in grid[:, 1]:
            axes.set_ylabel("distance of weights (ILWD / d)")
        grid[0, 0].set_title("(a) predictions")
        grid[0, 1].set_title("(b) implied weights")
        grid[1, 0].set_title("(a) on a logarithmic axis")
        grid[1, 1].set_title("(b) on a logarithmic axis")
        legend_below(
            figure,
            grid[0, 0],
            ncols=4,
            title="distance between two learners; ICL is the transformer, Y the true "
            "label",
        )
    return figure


def _floor(means: xr.DataArray) -> float:
    """Returns where a logarithmic axis begins: below the nearest learner.

    It does not begin at round-off, to which some pairs come down.
    """
    to_model = means.isel(pair=(means.other == "ICL").values)
    return max(float(to_model.min()), 2e-5) / 2


def _draw(axes: Axes, resampled: Resampled, distance: str, dim: int) -> None:
    """Draws all curves of one panel, with the nearest on top."""
    band = resampled.band(lambda means: means[distance])
    pairs = zip(band[0].learner.values, band[0].other.values, strict=True)
    for rank, (learner, other) in enumerate(pairs):
        style = dict(STYLES[learner])
        if other == "Y" and distance == "spd":
            style |= {"linestyle": "--", "marker": "", "linewidth": 1.0}
            style |= {"linewidth": 3.5, "alpha": 0.35} if learner == "OLS" else {}
        elif other != "ICL":
            continue
        elif learner in KNN and distance == "ilwd":
            style |= {"linewidth": 0.6, "markersize": 3}
        pair = pair_name(learner, other)
        curve = {"pair": pair}
        own = [part.sel(curve) for part in band]
        style |= {"label": f"({pair})", "zorder": 3 - rank / 100}
        draw_band(axes, "context", own, **style)
    count_examples(axes, dim)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
