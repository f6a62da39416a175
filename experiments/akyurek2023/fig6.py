"""How linear the transformer's predictions are in the input, by number of examples.

Claim: with few examples the transformer is not a linear function of the new input x';
it becomes one as examples are added, and from n = d on it is one.

Paper: Figure 6 of Akyürek et al. 2023 (claim 9).

Run: python -m experiments.akyurek2023.fig6 quick

How to read it: after n examples the transformer is asked at many new inputs, and a
linear function is fitted to its answers; R2 is the share of their variance that the
function explains. OLS is linear by construction, so 1; k-NN shows where a learner lies
that is not. Bands are 95 % intervals over prompts. At n = 0 there is nothing to fit.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.akyurek2023.fig6_claims import claims as claims
from experiments.akyurek2023.fig6_claims import r2, resample
from experiments.reference_models import SETTINGS
from icl import checks
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

TIMES = {
    "tiny": "30 s",
    "quick": "6 min, 1 min once the model is trained",
    "paper": "3 hours on one H100, an estimate",
}


@dataclass(frozen=True)
class Config(Setting):
    """Settings of Figure 6.

    Attributes:
        prompts: prompts after each prefix of which learners are asked.
        queries: new inputs per prefix; None is max(20 d, 64).
        evaluation_seed: of the prompts and queries; none of them occur in training.
        resamples: bootstrap resamples of the prompts.
    """

    prompts: int = 500
    queries: int | None = None
    evaluation_seed: int = 0
    resamples: int = 1_000

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive_int("prompts", self.prompts, minimum=2)
        if self.queries is not None:
            checks.positive_int("queries", self.queries, minimum=self.task.dim + 1)
        checks.positive_int("task.length", self.task.length, minimum=2)
        checks.positive_int("evaluation_seed", self.evaluation_seed, minimum=0)
        checks.positive_int("resamples", self.resamples)


PRESETS = {
    "tiny": Config(**vars(SETTINGS["tiny"]), prompts=32, resamples=200),
    "quick": Config(**vars(SETTINGS["quick"]), prompts=250),
    "paper": Config(**vars(SETTINGS["paper"])),
}


def compute(config: Config, models: Models) -> "xr.Dataset":
    """What a linear fit leaves unexplained, for every prompt.

    Returns:
        A Dataset with `residual` and `total` over (learner, prompt, context): mean
        squares around the fit and of the predictions themselves. For n >= 1.
    """
    import numpy as np
    import xarray as xr

    from icl import inference
    from icl.baselines import LeastSquares, NearestNeighbors

    model = models(config).model
    prompts, key = inference.sample(config.task, config.prompts, config.evaluation_seed)
    learners = [
        LeastSquares(),
        NearestNeighbors(3, "distance"),
        NearestNeighbors(3, "uniform"),
    ]
    fits = inference.implied(
        [model, *learners], config.task, prompts, config.queries, key
    )
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
        attrs={"dim": config.task.dim, "resamples": config.resamples},
    )


def plot(dataset: "xr.Dataset") -> "Figure":
    """R2 of the linear fit by number of examples."""
    from experiments.akyurek2023.learners import LOOKS
    from experiments.engine.figures.style import canvas, count_examples

    value, low, high = resample(dataset).band(r2)
    n = dataset.context.values
    with canvas(7, 4) as figure:
        axes = figure.subplots()
        for learner in dataset.learner.values:
            at, look = {"learner": learner}, dict(LOOKS[str(learner)])
            if learner == "OLS":  # a broad band, on which the transformer can be seen
                look |= {"linewidth": 5, "alpha": 0.35, "marker": "", "zorder": 1.5}
            axes.plot(n, value.sel(at), label=learner, **look)
            axes.fill_between(
                n, low.sel(at), high.sel(at), color=look["color"], alpha=0.15, lw=0
            )
        axes.set_title("R² of the best linear fit to predictions at new inputs")
        axes.set_ylim(min(-0.05, float(low.min())), 1.03)
        count_examples(axes, dataset.attrs["dim"], low=True)
        figure.legend(loc="outside right center")
    return figure


if __name__ == "__main__":
    from experiments.engine.figures.command import main

    sys.exit(main("experiments.akyurek2023.fig6"))
