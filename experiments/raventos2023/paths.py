"""How a model predicts on functions that lie between two of those it was trained on.

Claim: a transformer that was trained on few functions fails half way between two of
them, as the Bayes predictor for its pool does; one that was trained on many predicts
there as ridge regression does.

Paper: Figure 3 and Appendix of Raventós et al. 2023 (claim 8).

Run: python -m experiments.raventos2023.paths quick

How to read it: two weight vectors of the pool are joined by a path, whose points have
the mean of their lengths: at 0 is the one, at 1 the other. The vertical axis is the
mean squared difference to the label without noise over that of ridge regression, on
prompts of these weights, over many pairs; it is logarithmic. There is a curve for each
number M of functions in training. Bands are 95 % intervals over prompts, each with a
pair of its own, and over seeds if there are several.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Largest, Ratio, Smallest
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import GREY, canvas, draw_band, legend_below
from experiments.raventos2023.pools import PRESETS as POOLS
from experiments.raventos2023.pools_claims import FEW, resample
from experiments.raventos2023.pools_measure import (
    Several,
    prompts_of,
    settings,
    task_of,
)
from icl import Prompts, inference, sweeps
from icl.baselines import DiscretePosterior, PosteriorMean
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Pool

TIMES = {
    "tiny": "1 min",
    "quick": "20 min, 1 min once the models of `pools` are trained",
    "paper": "20 models, those of `pools`",
}
PRESETS = {name: Several.of(config) for name, config in POOLS.items()}
ALONG = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
LEARNERS = ("model", "posterior", "ridge")


def of_pools(config: Several) -> list[Setting]:
    """Returns the models that were trained on a pool."""
    return [each for each in settings(config) if isinstance(each.task, Pool)]


def on_path(
    one: Float[Array, "batch dim"], other: Float[Array, "batch dim"], along: float
) -> Float[Array, "batch dim"]:
    """Returns weights between two, of the mean of their lengths; the first at 0."""
    between = (1 - along) * one + along * other

    def size(w: Float[Array, "batch dim"]) -> Float[Array, "batch 1"]:
        return jnp.linalg.norm(w, axis=1, keepdims=True)

    return between / size(between) * (size(one) + size(other)) / 2


def prompts_between(config: Several, pool: Pool, along: float) -> Prompts:
    """Returns prompts of weights between two functions of a pool, never one twice."""
    prompts, key = config.evaluation.sample(config.task, whole=True)
    first_key, step_key, noise_key = jax.random.split(key, 3)
    count = (len(prompts.ys),)
    first = jax.random.randint(first_key, count, 0, pool.size)
    second = (first + jax.random.randint(step_key, count, 1, pool.size)) % pool.size
    one, other = (pool.members(index)["weights"] for index in (first, second))
    between = on_path(one, other, along)
    return prompts_of(config.task, noise_key, prompts.xs, between)


def compute(config: Several, models: Models) -> xr.Dataset:
    """Trains the missing models and measures all: see `measure`."""
    sweeps.train_missing(of_pools(config), models)
    return measure(config, models)


def measure(config: Several, models: Models) -> xr.Dataset:
    """Returns risks of the learners on paths, for every prompt.

    Returns:
        A Dataset with `risk` over (seed, size, along, learner, prompt): the mean over
        contexts of the squared difference to the label without noise, over d.
    """
    shape = (config.seeds, len(config.sizes), len(ALONG), len(LEARNERS))
    found = np.full((*shape, config.evaluation.prompts), np.nan, np.float32)
    for seed in range(config.seeds):
        for place, size in enumerate(config.sizes):
            task = task_of(config, size, seed)
            assert isinstance(task, Pool)
            setting = Setting(task, config.model, config.train, seed)
            learners = (
                models(setting).model,
                DiscretePosterior(task),
                PosteriorMean(config.task.noise_std),
            )
            for step, along in enumerate(ALONG):
                prompts = prompts_between(config, task, along)
                truth = np.asarray(inference.true_labels(prompts), float)
                for row, learner in enumerate(learners):
                    off = inference.predictions(learner, prompts) - truth
                    risk = np.square(off).mean(axis=1) / config.task.dim
                    found[seed, place, step, row] = risk
    return xr.Dataset(
        {"risk": (("seed", "size", "along", "learner", "prompt"), found)},
        coords={
            "seed": range(config.seeds),
            "size": list(config.sizes),
            "along": list(ALONG),
            "learner": list(LEARNERS),
        },
        attrs={"dim": config.task.dim, "resamples": config.evaluation.resamples},
    )


def relative(learner: str) -> Ratio:
    """Returns the risk of a learner over that of ridge regression."""
    return Ratio(
        lambda means: means.risk.sel(learner=learner),
        lambda means: means.risk.sel(learner="ridge"),
    )


def _in_the_middle(sizes: np.ndarray, learner: str = "model") -> Ratio:
    return relative(learner).at(along=0.5, size=sizes)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 8, on few functions and on the most of the run."""
    judge = Judge(
        "raventos2023",
        "paths",
        "Raventós et al. 2023, Fig. 3",
        resampled=resample(dataset),
    )
    sizes = dataset["size"].values
    few, most = sizes[sizes <= FEW], sizes[-1:]
    unit = "risk / risk of ridge, half way"
    return [
        judge(
            "8a",
            f"Half way between two functions of a pool of at most {FEW}, the risk is "
            "more than twice that of ridge regression.",
            Smallest(_in_the_middle(few), over="size"),
            ">",
            2.0,
            unit=unit,
            bar="ours",
            note=_of_the_posterior(judge, few),
            missing="" if len(few) else f"This run has no pool of {FEW} or fewer.",
        ),
        judge(
            "8b",
            f"Half way between two functions of a pool of {most[0]:,}, the risk is "
            "within 1.2 times that of ridge regression.",
            Largest(_in_the_middle(most), over="size"),
            "<",
            1.2,
            unit=unit,
            bar="ours",
        ),
    ]


def _of_the_posterior(judge: Judge, sizes: np.ndarray) -> str:
    """Returns what the Bayes predictor for a pool has, which the model may follow."""
    if not len(sizes):
        return ""
    ratio = _in_the_middle(sizes, "posterior")(judge.resampled.means)
    least = float(ratio.min("size").mean())
    return f"The Bayes predictor for the pool has {least:.2g}."


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the risk of model and posterior along the path, by the size of the pool."""
    resampled, sizes = resample(dataset), dataset["size"].values
    colors = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, len(sizes)))
    titles = {"model": "transformer", "posterior": "Bayes predictor for the pool"}
    with canvas(9, 3.8) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (learner, title) in zip(panels, titles.items(), strict=True):
            band = resampled.band(relative(learner))
            for color, size in zip(colors, sizes, strict=True):
                own = [part.sel(size=size) for part in band]
                draw_band(axes, ALONG, own, color=color, label=f"M = {size:,}")
            axes.axhline(1.0, color=GREY, linestyle="--", linewidth=0.9)
            axes.set(title=title, xlabel="from one function to the other")
        panels[0].set(yscale="log", ylabel="risk / risk of ridge regression")
        legend_below(figure, panels[1], ncols=7)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, of_pools)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
