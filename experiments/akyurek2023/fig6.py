"""The linearity of the transformer's predictions in the input, by number of examples.

Claim: with few examples the transformer is not a linear function of the new input x';
it becomes one as examples are added, and from n = d on it is one.

Paper: Figure 6 of Akyürek et al. 2023 (claim 9).

Run: python -m experiments.akyurek2023.fig6 quick

How to read it: after n examples the transformer is asked at many new inputs, and a
linear function is fitted to its answers; R2 is the share of their variance that the
function explains. OLS is linear by construction, so that its R2 is 1; k-NN shows the R2
of a learner that is not linear. Bands are 95 % intervals over prompts, and over seeds
if there are several. At n = 0 there is nothing to fit.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.akyurek2023.fig6_claims import claims, r2, resample
from experiments.akyurek2023.learners import STYLES
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import (
    Evaluation,
    check_queries,
    linear_task,
)
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import over_seeds
from experiments.engine.figures.style import canvas, count_examples, draw_band
from experiments.reference_models import SETTINGS
from icl import checks
from icl.baselines import LeastSquares, NearestNeighbors
from icl.compare import fitted_weights
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
    """Settings of Figure 6.

    Attributes:
        setting: the model, or the first of several.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
        evaluation: the prompts; learners are asked after each of their prefixes.
        queries: the number of new inputs after each prefix; None is max(20 d, 64).
    """

    setting: Setting
    evaluation: Evaluation = Evaluation(prompts=500)
    queries: int | None = None
    seeds: int = 1

    def __post_init__(self) -> None:
        task = linear_task(self.setting)
        checks.positive_int("seeds", self.seeds)
        check_queries(self.queries, task)
        checks.positive_int("task.length", task.length, minimum=2)


PRESETS = {
    "tiny": Config(SETTINGS["tiny"], Evaluation(prompts=32, resamples=200)),
    "quick": Config(SETTINGS["quick"], seeds=3),
    "shipped": Config(SETTINGS["shipped"]),
    "paper": Config(SETTINGS["paper"]),
}


@over_seeds
def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns what a linear fit leaves unexplained, for every prompt.

    Returns:
        A Dataset with `residual` and `total` over (learner, prompt, context), n >= 1:
        the mean squares around the fit, and those of the predictions themselves.
    """
    task, model = linear_task(config.setting), models(config.setting).model
    prompts, key = config.evaluation.sample(task)
    learners = [
        LeastSquares(),
        NearestNeighbors(3, "distance"),
        NearestNeighbors(3, "uniform"),
    ]
    fits = fitted_weights([model, *learners], task, prompts, config.queries, key)
    names = ["ICL", *(learner.name for learner in learners)]
    residual = np.stack([fit.residual[:, 1:] for fit in fits])
    total = np.stack([fit.total[:, 1:] for fit in fits])
    dims = ("learner", "prompt", "context")
    return xr.Dataset(
        {
            "residual": (dims, residual.astype("float32")),
            "total": (dims, total.astype("float32")),
        },
        coords={"learner": names, "context": np.arange(1, prompts.ys.shape[1])},
        attrs={"dim": task.dim, "resamples": config.evaluation.resamples},
    )


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws R2 of the linear fit by number of examples."""
    value, low, high = resample(dataset).band(r2)
    n = dataset.context.values
    with canvas(7, 4) as figure:
        axes = figure.subplots()
        for learner in dataset.learner.values:
            at, style = {"learner": learner}, dict(STYLES[str(learner)])
            if (
                learner == "OLS"
            ):  # a broad band, in front of which the transformer is seen
                style |= {"linewidth": 5, "alpha": 0.35, "marker": "", "zorder": 1.5}
            label = "ICL (the transformer)" if learner == "ICL" else learner
            own = [part.sel(at) for part in (value, low, high)]
            draw_band(axes, n, own, label=label, **style)
        axes.set_title("how linear the predictions at new inputs are")
        axes.set_ylabel("R² of the best linear fit")
        axes.set_ylim(min(-0.05, float(low.min())), 1.03)
        count_examples(axes, dataset.attrs["dim"], low=True)
        figure.legend(loc="outside right center")
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
