"""One learner, many metrics: gradient descent by the number of its steps.

Claim: the same predictions make a smooth curve or a jump, as the metric has it: the
more queries must be right at once, and the smaller the error that counts as solved, the
later and the less linear it is. No model is trained or run.

Paper: after Figures 3 and 7 of Schaeffer et al. 2023, on in-context regression (claims
1, 2, 3 and 5).

Run: python -m experiments.emergence.gradient_descent quick

How to read it: every panel has the number k of steps on a logarithmic axis, and all
curves are of the same predictions. Legends give L / (n - 1), which is 1 for a straight
line, and B / (n - 1), which noise keeps below 1.01 in 99 % of cases. Top: the mean and
median squared error, the share of queries within 0.1 deviations and of solved prompts,
and all of 1 to 8 queries; dotted is the power of the share of one query, which would be
right if the queries of a prompt were independent. Bottom: where half of the prompts are
solved, by the threshold; the grade, Brier's score and log-probabilities of a choice
among four. Bands are 95 % intervals over prompts.
"""

import sys

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter

from experiments.emergence import gradient_descent_measure
from experiments.emergence.gradient_descent_claims import claims, resample
from experiments.emergence.gradient_descent_measure import Config
from experiments.emergence.numbers import (
    MEANING,
    breakthroughness,
    linearity,
)
from experiments.engine.claims.crossings import crossed
from experiments.engine.claims.intervals import Resampled
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    COLOR_CYCLE,
    GREY,
    MARKER_CYCLE,
    canvas,
    draw_band,
)
from icl.sweeps.store import Models

TIMES = {"tiny": "4 s", "quick": "10 s", "paper": "40 s, an estimate"}

PRESETS = {
    "tiny": Config(
        doublings=6, evaluation=Evaluation(prompts=500, seed=0, resamples=200)
    ),
    "quick": Config(),
    "paper": Config(evaluation=Evaluation(prompts=20_000, seed=0, resamples=1_000)),
}


def compute(config: Config, _: Models) -> xr.Dataset:
    """Scores gradient descent after 1, 2, 4, ... steps by every metric.

    Returns:
        The Dataset of `gradient_descent_measure.measure`.
    """
    return gradient_descent_measure.measure(config)


def draw(axes: Axes, resampled: Resampled, score, label: str, index: int) -> None:
    """Draws a score with its interval; `score` takes means, and higher is better."""
    band, own = resampled.band(score), score(resampled.means)
    k = own.k.values
    numbers = float(linearity(own, "k")), float(breakthroughness(own, "k"))
    text = f"{label}: L {numbers[0]:.2f}, B {numbers[1]:.2f}"
    style = {"color": COLOR_CYCLE[index], "marker": MARKER_CYCLE[index]}
    draw_band(axes, k, band, label=text, **style)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws every metric by the number of steps."""
    resampled, median = resample(dataset), dataset.nmse.median("prompt")
    with canvas(14, 6.4) as figure:
        top, bottom = figure.subplots(2, 4, gridspec_kw={"wspace": 0.06})
        smooth, share, all_of, thresholds = top[0], top[1], top[2], bottom[0]
        draw(smooth, resampled, lambda m: -np.log10(m.nmse), "mean", 0)
        smooth.plot(dataset.k, -np.log10(median), color=GREY, ls="--", label="median")
        smooth.set(title="-log10 of the squared error / d")
        name = f"hit, error < {dataset.attrs['epsilon']:g} √d"
        draw(share, resampled, lambda m: m.hit, name, 0)
        for index, limit in enumerate((0.1, 0.01, 0.001), start=1):
            draw(
                share,
                resampled,
                lambda m, limit=limit: m.solved.sel(threshold=limit),
                f"solved, mse/d < {limit:g}",
                index,
            )
        share.set(title="share of queries or prompts")
        for index, count in enumerate(dataset.queries.values.tolist()):
            draw(
                all_of,
                resampled,
                lambda m, count=count: m.all_of.sel(queries=count),
                f"all of {count}",
                index,
            )
            if count > 1:
                power = resampled.means.hit**count
                all_of.plot(dataset.k, power, color=COLOR_CYCLE[index], ls=":", lw=1)
        all_of.set(title="all of Q queries right (dotted: hit^Q)")
        thresholds_panel(thresholds, resampled)
        draw(top[3], resampled, lambda m: m.grade, "grade", 0)
        top[3].set(title="multiple choice: share of right choices")
        draw(bottom[1], resampled, lambda m: -m.brier, "-Brier", 0)
        bottom[1].set(title="multiple choice: -Brier's score")
        draw(bottom[2], resampled, lambda m: m.right, "right option", 0)
        bottom[2].set(title="multiple choice: mean log p, right")
        draw(bottom[3], resampled, lambda m: m.wrong, "wrong options", 4)
        bottom[3].set(title="multiple choice: mean log p, wrong")
        for axes in figure.axes:
            if axes is not thresholds:
                axes.set_xscale("log", base=2)
                axes.xaxis.set_major_formatter(ScalarFormatter())
                axes.set_xlabel("steps k of gradient descent")
            low = axes is bottom[3]
            axes.legend(fontsize=7, loc="upper right" if low else "best")
        for axes in (share, all_of, top[3]):
            axes.set_ylim(-0.05, 1.45)
            axes.set_yticks(np.linspace(0, 1, 6))
            axes.legend(fontsize=7, loc="upper left")
        figure.supxlabel(MEANING, fontsize=8, color=GREY)
    return figure


def thresholds_panel(axes: Axes, resampled: Resampled) -> None:
    """Draws where half of the prompts are solved, by the threshold."""
    limits = resampled.means.threshold.values
    x50 = resampled.band(lambda m: crossed(m.solved, "k"))
    style = {"color": BLACK, "marker": "o", "label": "half of the prompts solved"}
    draw_band(axes, limits, x50, **style)
    axes.set(xscale="log", title="where the jump is, by its threshold")
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set(xlabel="threshold of mse / d", ylabel="steps k")
    axes.invert_xaxis()


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
