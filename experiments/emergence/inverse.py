"""Scores that fall with scale: least squares on noisy labels near n = d.

Claim: with noise, the error of least squares *rises* with the number of examples up to
n = d, an inverse scaling that needs no language model; ridge regression with the right
penalty has none of it.

Paper: after the inverse scaling of Srivastava et al. 2022 and Wei et al. 2022 (claim
7). The risk of least squares is in closed form.

Run: python -m experiments.emergence.inverse quick

How to read it: both panels have the number n of examples, in dimension d, and the risk
|w_hat - w|^2 / d at several levels of noise. Left is least squares (lines: closed form;
dots: median over prompts, because the mean is infinite near n = d), right is ridge
regression with alpha = sigma^2, with the mean over prompts. Legends give L / (n - 1) of
-risk over n = 1 to d - 2, negative where more examples make it worse. Bands are 95 %
intervals over prompts.
"""

import sys
from dataclasses import dataclass

import jax
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.emergence.numbers import linearity
from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    canvas,
    count_examples,
    draw_band,
)
from icl import LinearRegression, checks
from icl.baselines import LeastSquares, Ridge
from icl.sweeps.store import Models

TIMES = {"tiny": "6 s", "quick": "15 s", "paper": "1 min, an estimate"}


@dataclass(frozen=True)
class Config:
    """Settings of the figure. No model is trained.

    Attributes:
        dim: the dimension d, at least 5: the claims are about n = 1 to d - 2.
        examples: the largest number n of examples, at least 2d.
        noises: the standard deviations of the noise, in increasing order; the claims
            are about the one that is 1.
        evaluation: the prompts, and the resamples of intervals.
    """

    dim: int = 8
    examples: int = 24
    noises: tuple[float, ...] = (0.25, 0.5, 1.0)
    evaluation: Evaluation = Evaluation(prompts=4_000, seed=0, resamples=500)

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", minimum=5)
        checks.positive_int("examples", self.examples, minimum=2 * self.dim)
        for noise in self.noises:
            checks.finite_number("noises", noise, positive=True)
        if not self.noises or list(self.noises) != sorted(set(self.noises)):
            raise ValueError(f"noises must increase, got {self.noises}.")


PRESETS = {
    "tiny": Config(
        examples=16, evaluation=Evaluation(prompts=400, seed=0, resamples=200)
    ),
    "quick": Config(),
    "paper": Config(evaluation=Evaluation(prompts=20_000, seed=0, resamples=500)),
}


def least_squares_risk(dim: int, examples: int, noise: float) -> float:
    """Returns E|w_hat - w|^2 / d of minimum-norm least squares, x and w ~ N(0, I).

    It is 1 - n / d + sigma^2 n / (d (d - n - 1)) for n < d - 1, sigma^2 / (n - d - 1)
    for n > d + 1, and infinite in between. The noise of a new label is left out.

    Example:
        >>> [round(least_squares_risk(8, n, 1.0), 4) for n in (1, 4, 5, 6, 8, 10, 16)]
        [0.8958, 0.6667, 0.6875, 1.0, inf, 1.0, 0.1429]
    """
    if examples < dim - 1:
        share = examples / dim
        return 1 - share + noise**2 * share / (dim - examples - 1)
    if examples > dim + 1:
        return noise**2 / (examples - dim - 1)
    return np.inf if noise else max(1 - examples / dim, 0.0)


def compute(config: Config, _: Models) -> xr.Dataset:
    """Measures the risk of both learners on the same prompts, by noise and examples.

    Returns:
        A Dataset of `ridge` and `ols` over (noise, examples, prompt), and `exact`, the
        closed form for least squares over (noise, examples).
    """
    counts = np.arange(1, config.examples + 1)
    evaluation = config.evaluation
    risks: dict[str, list] = {"ols": [], "ridge": []}
    for noise in config.noises:
        task = LinearRegression(
            dim=config.dim, length=config.examples + 1, noise_std=noise
        )
        key = jax.random.key(evaluation.seed)
        prompts = task.sample(key, batch=evaluation.prompts)
        truth = np.asarray(prompts.weights, float)[:, None]
        for name, learner in (("ols", LeastSquares()), ("ridge", Ridge(noise**2))):
            found = np.asarray(learner(prompts).weights, float)[:, 1:]
            risks[name].append(((found - truth) ** 2).mean(axis=2).T)
    exact = [
        [least_squares_risk(config.dim, n, noise) for n in counts.tolist()]
        for noise in config.noises
    ]
    axes = ("noise", "examples", "prompt")
    return xr.Dataset(
        {name: (axes, np.stack(risk)) for name, risk in risks.items()}
        | {"exact": (axes[:2], np.array(exact))},
        coords={"noise": list(config.noises), "examples": counts},
        attrs={"dim": config.dim, "resamples": evaluation.resamples},
    )


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns mean risks of ridge regression, and those of every resample."""
    return intervals.resample(dataset[["ridge"]], ("prompt",))


def few(dataset: xr.Dataset, risk: xr.DataArray) -> xr.DataArray:
    """Returns L / (n - 1) of -risk over n = 1 to d - 2."""
    return linearity(-risk.sel(examples=slice(1, dataset.attrs["dim"] - 2)), "examples")


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 7 and 7b, about noise with the deviation of a weight, 1."""
    judge = Judge(
        "emergence",
        "inverse",
        "Srivastava et al. 2022 and Wei et al. 2022, inverse scaling",
        resampled=resample(dataset),
        subject="theory",
    )
    last = dataset.attrs["dim"] - 2
    known = 1.0 in dataset.noise
    missing = "" if known else "There is no noise of 1 in this run."
    exact = few(dataset, dataset.exact.sel(noise=1.0)) if known else np.nan
    return [
        judge(
            "7",
            f"The score of least squares falls from 1 to {last} examples, with noise "
            "of 1.",
            float(exact),
            "<",
            -0.2,
            unit="L / (n - 1) of -risk, closed form",
            bar="ours",
            missing=missing,
        ),
        judge(
            "7b",
            "Ridge regression with alpha = sigma^2 takes that away: its score rises.",
            lambda means: few(dataset, means.ridge.sel(noise=1.0)),
            ">",
            0.5,
            unit="L / (n - 1) of -risk",
            bar="ours",
            interval_over="prompts; no model",
            missing=missing,
        ),
    ]


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the risk of both learners by the number of examples."""
    counts, (value, low, high) = (
        dataset.examples,
        resample(dataset).band(lambda m: m.ridge),
    )
    median, dim = dataset.ols.median("prompt"), int(dataset.attrs["dim"])
    looks = ((BLUE, "o", "-"), (GREEN, "s", "--"), (VERMILLION, "^", "-."))
    with canvas(9.5, 3.8) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for index, noise in enumerate(dataset.noise.values.tolist()):
            colour, marker, line = looks[index % len(looks)]
            at = {"noise": noise}
            exact = dataset.exact.sel(at)
            known = counts[np.isfinite(exact.values)]
            for part in (known < dim, known > dim):  # infinite in between
                n = known[part.values]
                shown = exact.sel(examples=n)
                label = f"noise {noise:g}: L {float(few(dataset, exact)):.2f}"
                label = label if int(n[0]) < dim else None
                left.plot(n, shown, color=colour, linestyle=line, label=label)
            left.plot(counts, median.sel(at), color=colour, marker=marker, ls="", ms=3)
            label = f"noise {noise:g}: L {float(few(dataset, value.sel(at))):.2f}"
            style = {"color": colour, "marker": marker, "ms": 3, "label": label}
            band = value.sel(at), low.sel(at), high.sel(at)
            draw_band(right, counts, band, **style)
        left.set(title="least squares (dots: median)", ylabel="|ŵ - w|² / d")
        right.set(title="ridge regression, alpha = noise²")
        left.set_ylim(0, 1.1 * max(float(median.max()), 1.0))
        for axes in (left, right):
            count_examples(axes, dim)
            axes.legend(fontsize=8, loc="upper right")
        what = "L is the linearity of the fall over n < d - 1: 1 is a steady one"
        figure.supxlabel(what, fontsize=8, color=GREY)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
