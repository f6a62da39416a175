"""How do models of pools of functions predict, on functions they saw and on new ones?

Three learners answer the same prompts: the trained transformer, the Bayes predictor for
the functions of its pool (`icl.baselines.DiscretePosterior`) and ridge regression with
the penalty noise^2, the Bayes predictor for w ~ N(0, I). "Truth" is the label without
noise. Distances are mean squared differences over d, averaged over all contexts.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from experiments.engine.figures.evaluation import Evaluation
from icl import LinearRegression, ModelConfig, Prompts, TrainConfig, checks, inference
from icl.baselines import DiscretePosterior, PosteriorMean
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Pool, Task

LAWS = ("seen", "new")
LEARNERS = ("model", "posterior", "ridge", "truth")
PAIRS = [f"{a}, {b}" for a, b in itertools.combinations(LEARNERS, 2)]


@dataclass(frozen=True)
class Config:
    """Settings of the models and of the prompts on which they are compared.

    Attributes:
        task: the task whose functions are put into pools; its noise is above 0 and its
            weights are N(0, I).
        model: the shape of all models.
        train: their training.
        sizes: the numbers of functions in a pool, ascending; models without a pool come
            on top.
        seeds: the number of models of each size. Their seeds, and those of their pools,
            are 0, 1, ...
        evaluation: the prompts, as many of the pool as of the task.
    """

    task: LinearRegression
    model: ModelConfig
    train: TrainConfig
    sizes: tuple[int, ...]
    seeds: int = 3
    evaluation: Evaluation = Evaluation()

    def __post_init__(self) -> None:
        checks.positive_int("seeds", self.seeds)
        checks.finite_number("task.noise_std", self.task.noise_std, positive=True)
        if self.task.weight_std != 1 or not self.task.standard_weights:
            raise ValueError(
                "task must have weights N(0, I), for which ridge regression is the "
                f"Bayes predictor, got {self.task}."
            )
        for size in self.sizes:
            checks.positive_int("sizes", size)
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(
                f"sizes must be ascending, at least one and none of them twice; got "
                f"{self.sizes}."
            )


@dataclass(frozen=True)
class Several(Config):
    """The same, where every pool has another function to go to: two or more of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sizes[0] < 2:
            raise ValueError(
                "sizes must be 2 or more, because a pool of one function has no other; "
                f"got {self.sizes}."
            )

    @classmethod
    def of(cls, config: Config) -> Self:
        """Returns these settings without pools of one function."""
        sizes = tuple(size for size in config.sizes if size > 1)
        own: dict[str, Any] = {**vars(config), "sizes": sizes}
        return cls(**own)


def task_of(config: Config, size: int | None, seed: int) -> Task:
    """Returns what a model is trained on: a pool, or the task itself for None."""
    return config.task if size is None else Pool(config.task, size, seed)


def prompts_of(
    task: LinearRegression,
    key: jax.Array,
    xs: Float[jax.Array, "batch length dim"],
    weights: Float[jax.Array | np.ndarray, "batch dim"],
) -> Prompts:
    """Returns prompts of given inputs and weights, with noise that the key draws."""
    functions = {"weights": jnp.asarray(weights)}
    ys = task.labels(key, task.values(functions, xs))
    return Prompts(xs, ys, functions["weights"])


def settings(config: Config) -> list[Setting]:
    """Returns all models, seed by seed."""
    return [
        Setting(task_of(config, size, seed), config.model, config.train, seed)
        for seed, size in itertools.product(range(config.seeds), (*config.sizes, None))
    ]


def in_words(train: TrainConfig) -> str:
    """Returns what a threshold hangs on, besides the functions: how it was trained.

    Example:
        >>> in_words(TrainConfig(steps=10_000, learning_rate=2e-3))
        '10,000 steps of 64 prompts; adam, peak rate 0.002, schedule cosine.'
    """
    return (
        f"{train.steps:,} steps of {train.batch} prompts; {train.optimizer}, peak rate "
        f"{train.learning_rate:g}, schedule {train.schedule}."
    )


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the distances between all learners, for every prompt.

    Returns:
        A Dataset with `distance` over (seed, size, law, pair, prompt). The size is
        infinite where there is no pool; what is about the posterior is then NaN. A pair
        is such as "model, ridge".
    """
    sizes = (*config.sizes, None)
    shape = (config.seeds, len(sizes), len(LAWS), len(PAIRS), config.evaluation.prompts)
    found = np.full(shape, np.nan, np.float32)
    for seed, (place, size) in itertools.product(range(config.seeds), enumerate(sizes)):
        task = task_of(config, size, seed)
        setting = Setting(task, config.model, config.train, seed)
        found[seed, place] = distances(config, task, models(setting).model)
    return xr.Dataset(
        {"distance": (("seed", "size", "law", "pair", "prompt"), found)},
        coords={
            "seed": range(config.seeds),
            "size": [np.inf if size is None else float(size) for size in sizes],
            "law": list(LAWS),
            "pair": PAIRS,
        },
        attrs={
            "dim": config.task.dim,
            "resamples": config.evaluation.resamples,
            "training": in_words(config.train),
        },
    )


def distances(
    config: Config, task: Task, model: object
) -> Float[np.ndarray, "laws pairs prompts"]:
    """Returns the distances between all learners on functions seen and on new ones."""
    found = []
    for law in (task, config.task):
        prompts, _ = config.evaluation.sample(law, whole=True)
        said = _answers(config, task, model, prompts)
        found.append(_distances(said, config.task.dim))
    return np.stack(found)


def _answers(
    config: Config, task: Task, model: object, prompts: Prompts
) -> Mapping[str, np.ndarray]:
    """Returns what every learner predicts, (prompts, contexts)."""
    noise_std = config.task.noise_std
    said = {
        "model": inference.predictions(model, prompts),
        "ridge": inference.predictions(PosteriorMean(noise_std), prompts),
        "truth": np.asarray(inference.true_labels(prompts)),
        "posterior": np.full(prompts.ys.shape, np.nan),
    }
    if isinstance(task, Pool):
        learner = DiscretePosterior(task)
        said["posterior"] = inference.predictions(learner, prompts)
    return said


def _distances(said: Mapping[str, np.ndarray], dim: int) -> np.ndarray:
    """Returns the distance of every pair for each prompt, (pairs, prompts)."""
    return np.stack(
        [
            np.square(said[a].astype(float) - said[b]).mean(axis=1) / dim
            for a, b in itertools.combinations(LEARNERS, 2)
        ]
    )
