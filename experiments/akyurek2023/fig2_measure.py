"""How do models trained at several levels of noise predict? For Figure 2.

A column of the figure is a level of noise, sigma^2 / tau^2: the variance of the noise
on y over that of the weights. It is also the lambda of the ridge regression that is
Bayes optimal there. Each column has a model for every seed, and all of them are asked
the same prompts of the column's own level. The prompts of all columns have the same x,
and the same w and noise except for their scale, so that columns do not differ by luck.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from experiments.engine.figures.evaluation import Evaluation, linear_task
from icl import LinearRegression, Prompts, Transformer, checks, inference, sweeps
from icl.baselines import Learner, LeastSquares, PosteriorMean, Ridge
from icl.compare import family_distances
from icl.sweeps.setting import Setting
from icl.tasks.base import Task

NOISE = ((0.0, 1.0), (0.25, 1.0), (0.5, 1.5), (0.5, 1.0), (0.5, 0.75))
"""Sigma and tau of the paper's columns: deviations of the noise and of the weights."""

ALPHAS = tuple((sigma / tau) ** 2 for sigma, tau in NOISE)
"""The lambda of the Bayes predictor of each column, and of each row; 0 is OLS."""

PENALTIES = tuple(2.0 ** (k / 2) for k in range(-20, 5))
"""A finer grid of lambda, with two values to each doubling."""

SIGMAS = (1 / 16, 1 / 32, 1 / 64, 1 / 128)
"""Small values of sigma, for the limit of the Bayes predictor."""

PAPER_DIM = 8
"""The dimension of x in the published table."""

PUBLISHED = (
    (1.25e-5, 1.34e-4, 3.96e-4, 1.51e-3, 4.13e-3),
    (1.10e-4, 3.29e-5, 1.12e-4, 8.24e-4, 2.92e-3),
    (3.49e-4, 9.65e-5, 3.86e-5, 4.50e-4, 2.15e-3),
    (1.69e-3, 8.64e-4, 4.39e-4, 3.30e-5, 6.81e-4),
    (4.83e-3, 3.09e-3, 2.21e-3, 7.52e-4, 6.10e-5),
)
"""The paper's Figure 2: a row for each predictor, a column for each level of noise."""


@dataclass(frozen=True)
class Config:
    """Settings of Figure 2.

    Attributes:
        setting: the model of each column, except for the noise and the scale of the
            weights, which are those of the columns; its seed is the seed of the first
            model of each column.
        evaluation: the prompts on which predictions are compared, in each column; three
            seeds or more are resampled with them.
        seeds: the number of models in each column; their seeds are `seed`, `seed` + 1,
            and so on.
    """

    setting: Setting
    evaluation: Evaluation = Evaluation(prompts=2_000)
    seeds: int = 3

    def __post_init__(self) -> None:
        task = linear_task(self.setting)
        checks.positive_int("seeds", self.seeds)
        # The longest context that is looked at has d - 1 pairs, or one.
        checks.positive_int("task.length", task.length, minimum=max(2, task.dim))


def settings(config: Config) -> list[Setting]:
    """Returns the models of all columns, column by column."""
    base = replace(config.setting, seed=0)
    seeds = range(config.setting.seed, config.setting.seed + config.seeds)
    return sweeps.grid(base, {"task.noise_std,task.weight_std": NOISE, "seed": seeds})


def measure(
    config: Config, found: Mapping[Setting, Transformer | Learner]
) -> xr.Dataset:
    """Measures how far the models of `settings` are from the learners, by prompt.

    Args:
        config: the settings.
        found: the models whose training did not fail.

    Returns:
        A Dataset over `noise`, sigma^2 / tau^2 of the columns, and `prompt`, with the
        mean over n = 1 .. d-1 of (prediction - prediction)^2 / d between

        - `distance`, (noise, seed, alpha, prompt): a model and Ridge(alpha);
        - `distance_by_penalty`, (noise, seed, penalty, prompt): a model and
          Ridge(penalty), on a finer grid;
        - `bayes`, (noise, alpha, prompt): the Bayes predictor and Ridge(alpha);
        - `bayes_to_ols`, (sigma, prompt): OLS and the Bayes predictor of little noise,
          at tau = 1, on the prompts of the first column;
        - `ols_to_ridge`, (alpha, prompt): OLS and Ridge(alpha), at the paper's d = 8
          and without noise;

        and `early_distance`, (noise, seed, alpha, prompt), which is `distance` over
        n = 1 .. d-3. Values are NaN where there is no model or no such n.
        `published`, (alpha, noise), is the paper's table.
    """

    def ask(task: Task) -> Prompts:
        return config.evaluation.sample(task)[0]

    runs, columns = settings(config), []
    for start in range(0, len(runs), config.seeds):
        column = runs[start : start + config.seeds]
        task, prompts = column[0].task, ask(column[0].task)
        models = [_of_model(found.get(run), prompts) for run in column]
        bayes = PosteriorMean(task.noise_std, task.weight_std)
        columns.append(xr.concat(models, "seed").assign(bayes=_to(bayes, prompts)))
    clean = ask(runs[0].task)
    limit = [_to(PosteriorMean(sigma), clean).isel(alpha=0) for sigma in SIGMAS]
    published = ask(LinearRegression(dim=PAPER_DIM, length=PAPER_DIM))
    dataset = xr.concat(columns, "noise").assign(
        bayes_to_ols=xr.concat(limit, "sigma"),
        ols_to_ridge=_to(LeastSquares(), published),
        published=(("alpha", "noise"), [list(row) for row in PUBLISHED]),
    )
    return dataset.assign_coords(
        noise=list(ALPHAS),
        seed=[setting.seed for setting in runs[: config.seeds]],
        alpha=list(ALPHAS),
        penalty=list(PENALTIES),
        sigma=list(SIGMAS),
    ).assign_attrs(
        dim=linear_task(config.setting).dim, resamples=config.evaluation.resamples
    )


def _of_model(model: Transformer | Learner | None, prompts: Prompts) -> xr.Dataset:
    """Returns the distances of one model, all of them NaN if there is no model."""
    dim = prompts.xs.shape[-1]
    predicted = np.zeros(prompts.ys.shape)
    if model is not None:
        predicted = inference.predictions(model, prompts)
    distance = _to(predicted, prompts)
    early = xr.full_like(distance, np.nan)
    if dim > 3:
        early = _to(predicted, prompts, contexts=range(1, dim - 2))
    path = _to(predicted, prompts, PENALTIES).rename(alpha="penalty")
    measured = xr.Dataset(
        {"distance": distance, "distance_by_penalty": path, "early_distance": early}
    )
    return xr.full_like(measured, np.nan) if model is None else measured


def _to(
    learner: Learner | np.ndarray,
    prompts: Prompts,
    alphas: tuple[float, ...] = ALPHAS,
    **how: Any,
) -> xr.DataArray:
    """Returns the distances to ridge predictors for every prompt, (alpha, prompt)."""
    ridges = {"ridge": [Ridge(alpha) for alpha in alphas]}
    distances = family_distances(learner, prompts, ridges, **how)
    return xr.DataArray(distances.T.astype("float32"), dims=("alpha", "prompt"))
