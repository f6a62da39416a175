"""The progress of each layer's read-out along gradient descent or Newton's iteration.

Claim: layers refine an answer as the steps of an iteration do, and a deeper layer is
further along; they follow Newton's iteration rather than gradient descent.

Paper: not in Akyürek et al. 2023; Fu et al. (2024, arXiv 2310.17086) found it in such
models. The thresholds are ours. It is the regression analogue of the logit lens.

Run: python -m experiments.fu2024.lens quick

How to read it: the state of a layer at x_i passes the final norm, and a head reads a
prediction out of it. This is either the model's final head (hollow markers, dashed) or
the layer's own head (filled markers), which is fitted to the labels of other prompts.
Early layers may hold an answer where the final head does not look for it, and Fu et al.
fit a head too; but a fitted head shrinks an uncertain answer, as an iteration that
stops early does. Each read-out is compared with gradient descent (GD) and with Newton's
iteration after k steps, on contexts of 1 to 2d pairs. The upper panels show the
distance at the best k, and this distance as a share of the read-out's mean square;
where the share is 1 or more nothing is explained, and the best k means nothing. The
lower panels show the best k, with markers only where half or more is explained. Bands
are 95 % intervals over prompts, and over seeds if there are several. GD needs a rate,
and gets the one of four that fits best over all layers. Three of them are constant, and
one is 1 / (2 lambda_max) of each context, which is the scale that Newton starts from;
so no difference is left that is due to the rate alone. GD after 0 steps predicts 0,
whereas Newton's start, which takes X'X / lambda_max^2 for the inverse, is an answer.

What a distance can show, and what it cannot: every iterate of Newton's iteration is
near to some number of steps of GD, because both learn the directions with the largest
eigenvalues first. Being near to one of them therefore does not tell it from the other;
how fast the best k grows with the layer does (`experiments.fu2024.layers`).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from sklearn.linear_model import LinearRegression

from experiments.engine.claims.intervals import Resampled, Statistic
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import mean_over_seeds, over_seeds
from experiments.engine.figures.style import (
    GREY,
    ORANGE,
    SKY,
    canvas,
    draw_band,
    legend_below,
)
from experiments.fu2024.lens_claims import (
    best_k,
    claims,
    nearest,
    resample,
    unexplained,
)
from experiments.reference_models import SETTINGS
from icl import Prompts, Transformer, checks, inference
from icl.baselines import GradientDescent, Newton, Spectrum, decompose, optimal_rate
from icl.codecs.pairs import at_inputs
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "30 s",
    "quick": "6 min, 1 min once the model is trained",
    "shipped": "1 min",
    "paper": "3 hours on one H100, an estimate",
}

STEPS = (0, 1, 2, 3, *(2**i * half // 2 for i in range(2, 12) for half in (2, 3)), 4096)
"""The numbers of steps of gradient descent, about geometric."""

ITERATIONS = tuple(range(21))
"""The numbers of Newton iterations; 20 of them learn 2/3 of a direction whose
eigenvalue is 1/1000 of the largest."""

RATES = (0.25, 0.5, 1.0)
"""The constant rates, in units of the best rate of a single step after the longest
context. Lower rates only need more steps to the same place; higher ones diverge in many
prompts."""

FAR = 1e6
"""The bound at which differences of predictions are cut off, so that means stay finite
where a step diverges."""

READERS = {"own": "a head fitted to the layer", "final": "the model's final head"}
HEADS = tuple(READERS)
FAMILIES = ("GD", "Newton")


@dataclass(frozen=True)
class Config:
    """Settings of the lens.

    Attributes:
        setting: the model, or the first of several.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
        evaluation: the prompts on which read-outs and learners are compared.
        fitted: the number of further prompts, to which each layer's own head is fitted.
            Hidden states take (layers + 1) x (prompts + fitted) x tokens x width x 4
            bytes.
    """

    setting: Setting
    evaluation: Evaluation = Evaluation(prompts=1_000)
    fitted: int = 1_000
    seeds: int = 1

    def __post_init__(self) -> None:
        checks.positive_int("seeds", self.seeds)
        checks.positive_int("fitted", self.fitted, minimum=2)
        checks.positive_int("task.length", self.setting.task.length, minimum=2)


PRESETS = {
    "tiny": Config(SETTINGS["tiny"], Evaluation(prompts=64, resamples=200), fitted=64),
    "quick": Config(SETTINGS["quick"], seeds=3),
    "shipped": Config(SETTINGS["shipped"]),
    "paper": Config(SETTINGS["paper"]),
}


@over_seeds
def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns the distances of all read-outs from every learner: see `measure`."""
    model, evaluation = models(config.setting).model, config.evaluation
    prompts, _ = evaluation.sample(config.setting.task, more=config.fitted)
    outputs = read_outs(model, prompts, evaluation.prompts)
    dataset = measure(outputs, inference.first(prompts, evaluation.prompts))
    return dataset.assign_attrs(resamples=evaluation.resamples)


def read_outs(model: Transformer, prompts: Prompts, measured: int) -> np.ndarray:
    """Returns what each layer predicts at x_i, by its own head and by the final one.

    A layer's own head is the affine map of the normed state that fits the labels best,
    with the same weight for all contexts, as in the training of the final head.

    Args:
        model: the transformer.
        prompts: the prompts; own heads are fitted to those after the first `measured`.
        measured: the number of prompts whose read-outs are returned.

    Returns:
        The predictions, (head, layer, measured, length), with the heads of `HEADS`.
    """
    own, final = [], []
    labels = np.asarray(prompts.ys[measured:], float).ravel()
    for state in map(jnp.asarray, inference.hidden_states(model, prompts)):
        with jax.default_matmul_precision("highest"):
            final.append(np.asarray(model.read_out(state[:measured])))
        normed = model.normalised(at_inputs(state))
        read, fitted = np.split(np.asarray(normed, float), [measured])
        head: Any = LinearRegression()
        head.fit(fitted.reshape(len(labels), -1), labels)
        own.append(read @ head.coef_ + head.intercept_)
    return np.stack([own, final])


def measure(outputs: np.ndarray, prompts: Prompts) -> xr.Dataset:
    """Measures how far read-outs, (head, layer, prompt, length), are from the learners.

    Returns:
        A Dataset with

        - `distance` over (head, layer, learner, prompt): the squared difference of the
          predictions, averaged over contexts of one pair and more, not divided by d;
        - `power` over (head, layer, prompt): the mean square of the read-out, averaged
          in the same way;
        - `unexplained` over (rate,): the distance of GD at its best k over the power,
          averaged over layers and heads;
        - `chosen_rate`: the rate with the lowest, which is that of GD in `distance`.

        The coordinates `family` and `k` say which learner each one is.
    """
    spectrum = decompose(prompts)
    read = outputs[..., 1:].astype(float)
    power = (read**2).mean(axis=-1)
    descended = {
        label: _distances(read, [GradientDescent(k, rate) for k in STEPS], scaled)
        for label, (rate, scaled) in _rates(spectrum).items()
    }
    left = {
        label: _share_left(distance, power) for label, distance in descended.items()
    }
    chosen = min(left, key=left.__getitem__)
    iterated = _distances(read, [Newton(k) for k in ITERATIONS], spectrum)
    distance = np.concatenate([descended[chosen], iterated], axis=2)
    learners = [("GD", k) for k in STEPS] + [("Newton", k) for k in ITERATIONS]
    return xr.Dataset(
        {
            "distance": (("head", "layer", "learner", "prompt"), distance),
            "power": (("head", "layer", "prompt"), power),
            "unexplained": (("rate",), list(left.values())),
            "chosen_rate": chosen,
        },
        coords={
            "head": list(HEADS),
            "layer": np.arange(outputs.shape[1]),
            "learner": [f"{family} x {k}" for family, k in learners],
            "family": ("learner", [family for family, _ in learners]),
            "k": ("learner", [k for _, k in learners]),
            "rate": list(left),
        },
        attrs={"dim": prompts.xs.shape[-1]},
    )


def _distances(
    read: np.ndarray, learners: Sequence[Any], spectrum: Spectrum
) -> np.ndarray:
    """Returns squared differences of read-outs and learners, averaged over contexts.

    Args:
        read: the read-outs, (head, layer, prompt, context).
        learners: the learners, which are run on `spectrum`.
        spectrum: the decomposed prompts.

    Returns:
        The distances, (head, layer, learner, prompt).
    """
    parts = []
    for learner in learners:
        predicted = np.asarray(learner(spectrum).predictions, float)[:, 1:]
        difference = np.clip(read - predicted, -FAR, FAR)
        parts.append((difference**2).mean(axis=-1))
    return np.stack(parts, axis=2)


def _share_left(distance: np.ndarray, power: np.ndarray) -> float:
    """Returns the share of read-outs that the best learner leaves unexplained.

    It is averaged over heads and layers.
    """
    # GD after no step explains a read-out that is 0 throughout: a share of 0 is left.
    total = np.maximum(power.mean(axis=-1), np.finfo(float).tiny)
    return float((distance.mean(axis=-1).min(axis=2) / total).mean())


def _rates(spectrum: Spectrum) -> dict[str, tuple[float, Spectrum]]:
    """Returns the rates that GD is tried at, each with the spectrum to step on.

    With X and y divided by the largest singular value of X, a rate of 1/2 is a rate of
    1 / (2 lambda_max) in each context, the largest at which no direction overshoots.
    """
    unit = float(optimal_rate(spectrum.inputs.shape[1] - 1, spectrum.inputs.shape[2]))
    rates = {f"{share * unit:.3g}": (share * unit, spectrum) for share in RATES}
    with jax.enable_x64(True):  # spectra are float64
        largest = spectrum.eigenvalues[..., -1:]
        largest = jnp.where(largest > 0, largest, 1.0)
        scaled = spectrum._replace(
            eigenvalues=spectrum.eigenvalues / largest,
            moments=spectrum.moments / largest,
        )
    return rates | {"1 / (2 λmax)": (0.5, scaled)}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws distances and their shares above, and the best k of each family below."""
    resampled, d = resample(dataset), dataset.attrs["dim"]
    with canvas(10, 7.5) as figure:
        grid = figure.subplots(2, 2, sharex=True)
        distance, share, steps, iterations = grid.flat
        for family in FAMILIES:
            _draw(distance, resampled, family, lambda m, f=family: nearest(m, f) / d)
            _draw(share, resampled, family, lambda m, f=family: unexplained(m, f))
        distance.set_title("distance to the nearest iteration")
        distance.set_ylabel("distance at the best k (SPD / d)")
        share.set_title("share of the read-out that it leaves unexplained")
        share.set_ylabel("distance / mean square of the read-out")
        steps.set_ylabel("k, steps of GD")
        iterations.set_ylabel("k, iterations of Newton")
        share.axhline(1, color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.5)
        share.text(
            1,
            1,
            "nothing is explained above",
            transform=share.get_yaxis_transform(),
            color=GREY,
            fontsize=8,
            ha="right",
            va="bottom",
        )
        distance.set_yscale("log")
        share.set_yscale("log")
        for axes, family in ((steps, "GD"), (iterations, "Newton")):
            fits = mean_over_seeds(unexplained(resampled.means, family)) <= 0.5
            _draw(axes, resampled, family, lambda m, f=family: best_k(m, f), fits)
            axes.set_xlabel("layer (0 = embedding)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        rates = ", ".join(dict.fromkeys(dataset.chosen_rate.values.ravel().tolist()))
        steps.set_title(f"best number of GD steps (rate {rates})")
        steps.set_yscale("symlog", base=2, linthresh=1)
        steps.set_yticks(shown := [0, *(4**i for i in range(7))], map(str, shown))
        steps.set_ylim(-0.3, 1.5 * STEPS[-1])
        iterations.set_title("best number of Newton iterations")
        iterations.set_yticks(ITERATIONS[::4])
        iterations.set_ylim(-1, ITERATIONS[-1] + 1)
        legend_below(figure, distance, ncols=2)
    return figure


def _draw(
    axes: Axes,
    resampled: Resampled,
    family: str,
    statistic: Statistic,
    marked: xr.DataArray | None = None,
) -> None:
    """Draws one family's curves by layer, with markers where `marked` (None: all)."""
    color, marker = {"GD": (ORANGE, "v"), "Newton": (SKY, "o")}[family]
    band = resampled.band(statistic)
    for head, line in zip(HEADS, ("-", "--"), strict=True):
        at = {"head": head}
        shown = None if marked is None else marked.sel(at).values.tolist()
        draw_band(
            axes,
            "layer",
            [part.sel(at) for part in band],
            line,
            color=color,
            marker=marker,
            markerfacecolor=color if head == "own" else "white",
            markevery=shown,
            label=f"{family}, read by {READERS[head]}",
        )


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
