"""The direction in which a model's prediction grows as its query moves.

Claim: the prediction of a transformer that was trained on linear functions grows along
the part of w that the context tells, as that of least squares does: its gradient by the
query is nearly the projection of w on the span of the inputs.

Paper: Figure 3 and section 4 of Garg et al. 2022 (claim 4).

Run: python -m experiments.garg2022.gradient shipped

How to read it: on the left is the cosine between the gradient of the prediction by the
query, taken at x_n, and the projection of w on the n inputs of the context, averaged
over prompts; and that between the gradient and w itself, with what it would be for the
projection. In the middle is how steep the prediction is along the projection, over how
steep w.x is: 1 is right. On the right the query is moved along the projection: t times
the unit vector is asked, and the right answer is t |Pw|, the dashed line; inputs have a
length of about sqrt(d) in training. Bands are 95 % intervals over prompts, and over
seeds if there are several.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Float

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Smallest, Statistic
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation, linear_task
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import over_seeds
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    canvas,
    count_examples,
    draw_band,
)
from experiments.reference_models import RELEASED, SETTINGS
from icl import checks, inference
from icl.baselines import LeastSquares
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "20 s",
    "quick": "15 min, 1 min once the models are trained",
    "shipped": "1 min, without any training",
    "paper": "the model of shifts",
}
STEPS = np.linspace(-4.0, 4.0, 17)
"""How far the query is moved, in units of sqrt(d), the length of an input."""


@dataclass(frozen=True)
class Config:
    """Settings of the look at gradients.

    Attributes:
        setting: the model, or the first of several.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
        evaluation: the prompts.
    """

    setting: Setting
    evaluation: Evaluation = Evaluation(prompts=1_000)
    seeds: int = 1

    def __post_init__(self) -> None:
        task = linear_task(self.setting, own_weights=True)
        checks.positive_int("seeds", self.seeds)
        checks.positive_int("task.length", task.length, minimum=task.dim + 1)


PRESETS = {
    "tiny": Config(SETTINGS["tiny"], Evaluation(prompts=32, resamples=200)),
    "quick": Config(SETTINGS["quick"], seeds=3),
    "shipped": Config(SETTINGS["shipped"]),
    "paper": Config(RELEASED),
}


@over_seeds
def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns cosines, slopes and answers to moved queries, for every prompt.

    Returns:
        A Dataset with `cosine`, `cosine_w`, `cosine_projection` (of the projection to
        w) and `slope` over (prompt, context), from one example on, and `answer` over
        (prompt, after, step), where `after` is d/2, d and the longest context.
    """
    task, model = linear_task(config.setting), models(config.setting).model
    prompts, _ = config.evaluation.sample(task)
    projection = np.asarray(LeastSquares()(prompts).weights, float)[:, 1:]
    gradient = np.asarray(inference.gradients(model, prompts), float)[:, 1:]
    w = np.asarray(prompts.weights, float)[:, None]
    sizes = np.square(projection).sum(axis=-1)
    unit = projection / np.sqrt(sizes)[..., None]
    n = np.arange(1, prompts.ys.shape[1])
    after = sorted({max(task.dim // 2, 1), task.dim, int(n[-1])})
    moved = STEPS[None, None, :, None] * task.dim**0.5 * unit[:, :, None]
    moved = np.concatenate([np.zeros_like(moved[:, :1]), moved], axis=1)
    answers = np.concatenate(list(inference.predictions_at(model, prompts, moved)))
    scale = np.sqrt(task.dim * sizes)[..., None]
    over = ("prompt", "context")
    return xr.Dataset(
        {
            "cosine": (over, _cosine(gradient, projection)),
            "cosine_w": (over, _cosine(gradient, w)),
            "cosine_projection": (over, _cosine(projection, w)),
            "slope": (over, (gradient * projection).sum(axis=-1) / sizes),
            "answer": (
                ("prompt", "after", "step"),
                (answers[:, 1:] / scale)[:, np.array(after) - 1],
            ),
        },
        coords={"context": n, "after": after, "step": STEPS},
        attrs={"dim": task.dim, "resamples": config.evaluation.resamples},
    )


def _cosine(
    one: Float[np.ndarray, "prompt context dim"],
    other: Float[np.ndarray, "prompt #context dim"],
) -> Float[np.ndarray, "prompt context"]:
    sizes = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return (one * other).sum(axis=-1) / sizes


# --- claims ---


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def of(name: str) -> Statistic:
    """Returns one of the curves by context length."""
    return lambda means: means[name]


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 4, up to n = d and at n = 2d, which needs prompts that long."""
    judge = Judge(
        "garg2022",
        "gradient",
        "Garg et al. 2022, Fig. 3",
        resampled=resample(dataset),
    )
    d, n = int(dataset.attrs["dim"]), dataset.context.values
    short = f"Prompts of this run end at n = {n[-1]}." if n[-1] < 2 * d else ""
    unit = "cosine, averaged over prompts"
    text = (
        "The gradient of the prediction by the query points along the projection of w "
        "on the inputs of the context: the mean cosine is above "
    )
    return [
        judge(
            "4a",
            f"{text}0.9 at each n up to d = {d}.",
            Smallest(of("cosine")),
            ">",
            0.9,
            over=n[n <= d],
            unit=unit,
            bar="ours",
        ),
        judge(
            "4b",
            f"{text}0.99 at n = 2d = {2 * d}.",
            lambda means: means.cosine.sel(context=2 * d),
            ">",
            0.99,
            unit=unit,
            bar="ours",
            missing=short,
        ),
    ]


# --- the picture ---

CURVES = {
    "cosine": (BLACK, "gradient and Pw"),
    "cosine_w": (ORANGE, "gradient and w"),
    "cosine_projection": (BLUE, "Pw and w"),
}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws cosines, slopes and answers to moved queries."""
    resampled, dim = resample(dataset), int(dataset.attrs["dim"])
    with canvas(11, 3.6) as figure:
        cosines, slopes, line = figure.subplots(1, 3)
        for name, (color, label) in CURVES.items():
            _curve(cosines, resampled.band(of(name)), color, label)
        cosines.set(ylabel="cosine, averaged over prompts", ylim=(0, 1.02))
        cosines.legend(loc="lower right")
        _curve(slopes, resampled.band(of("slope")), BLACK, None)
        slopes.axhline(1.0, color=GREY, linestyle="--", linewidth=0.9)
        slopes.set(ylabel="slope along Pw / |Pw|", ylim=(0, None))
        for axes in (cosines, slopes):
            count_examples(axes, dim, low=True)
        for color, after in zip(
            (BLUE, ORANGE, BLACK), dataset.after.values, strict=False
        ):
            band = [part.sel(after=after) for part in resampled.band(of("answer"))]
            _curve(line, band, color, f"after {after} examples")
        line.plot(STEPS, STEPS, color=GREY, linestyle="--", linewidth=0.9)
        line.set(xlabel="length of the query / √d", ylabel="prediction / (√d |Pw|)")
        line.legend(loc="upper left")
    return figure


def _curve(axes, band, color: str, label: str | None) -> None:
    draw_band(axes, band[0].dims[0], band, color=color, label=label)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
