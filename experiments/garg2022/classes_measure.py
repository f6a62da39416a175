"""How well are functions learnt that are not linear, by a model and by others?

Three models are trained, each on one class of functions: sparse linear ones, two-layer
networks and decision trees. They are compared with learners that are made for the class
on the same prompts, after every prefix; and with those that take long (boosting, a
network by gradient descent) on fewer prompts after the longest one. The model of
networks is asked linear functions, too.

An *error* is the squared difference to the label over the normaliser of the class.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.tree import DecisionTreeRegressor

from experiments.engine.figures.evaluation import Evaluation
from icl import (
    LinearRegression,
    ModelConfig,
    Prompts,
    TrainConfig,
    checks,
    inference,
)
from icl.baselines import (
    GaussianProcess,
    Lasso,
    LeastSquares,
    NearestNeighbors,
    ScikitLearner,
    WithIntercept,
)
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import DecisionTree, FunctionClass, ReluNetwork, SparseLinear

LASSOS = {f"Lasso({10.0**-p:g})": Lasso(10.0**-p) for p in range(5)}
GREEDY = {"greedy, depth 2": 2, "greedy, depth 4": 4, "greedy": None}
MODEL = "transformer"
NEIGHBOURS = "3 nearest neighbours"
MEAN = "mean label"
LINE, PROCESS, BOOSTING, DESCENT = (
    "straight line",
    "Gaussian process",
    "boosting",
    "network by gradient descent",
)
SIGNS = " of signs"
"""What follows the name of a learner that sees the signs of inputs only."""

CLASSES = ("sparse", "network", "tree", "linear, asked of the model of networks")


@dataclass(frozen=True)
class Config:
    """Settings of the classes, of the models and of the prompts.

    Attributes:
        model: the shape of all models.
        train: their training.
        dim: the dimension of x.
        k: the number of coordinates that a sparse function has.
        hidden: the number of hidden units of a network.
        depth: the depth of a tree.
        pairs: the number of pairs of a prompt of sparse functions.
        longer: the number of pairs of a prompt of networks and trees.
        longer_start: where training has a curriculum of pairs, how many of them prompts
            of networks and trees have at the first step.
        longer_by: how many of them each growth adds.
        seed: the seed of the models.
        few: the number of prompts for learners that take long.
        epochs: how often a network by gradient descent goes through its pairs.
        evaluation: the prompts for all others.
    """

    model: ModelConfig
    train: TrainConfig
    dim: int = 20
    k: int = 3
    hidden: int = 100
    depth: int = 4
    pairs: int = 41
    longer: int = 101
    longer_start: int = 26
    longer_by: int = 5
    seed: int = 0
    few: int = 100
    epochs: int = 500
    evaluation: Evaluation = Evaluation(prompts=1_000)

    def __post_init__(self) -> None:
        for name in ("longer_start", "longer_by"):
            checks.positive_int(name, getattr(self, name))
        for name in ("dim", "pairs", "longer", "epochs"):
            checks.positive_int(name, getattr(self, name), minimum=2)
        self.evaluation.require_part("few", self.few)
        if not self.k + 4 <= self.dim < min(self.pairs, self.longer):
            raise ValueError(
                "k must be below dim - 3, and dim below pairs and longer; got "
                f"k={self.k}, dim={self.dim}, pairs={self.pairs}, "
                f"longer={self.longer}."
            )


def tasks(config: Config) -> dict[str, FunctionClass]:
    """Returns the tasks that prompts are drawn from, by class."""
    dim, longer = config.dim, config.longer
    found = (
        SparseLinear(dim, config.pairs, config.k),
        ReluNetwork(dim, longer, config.hidden),
        DecisionTree(dim, longer, config.depth),
        LinearRegression(dim, longer),
    )
    return dict(zip(CLASSES, found, strict=True))


def settings(config: Config) -> list[Setting]:
    """Returns the three models, whose curricula are as long as their prompts."""
    sparse, *others = list(tasks(config).values())[:3]
    train, longer = config.train, config.train
    if train.curriculum.pairs:
        sizes = {"pairs": config.longer_start, "pairs_by": config.longer_by}
        longer = replace(train, curriculum=replace(train.curriculum, **sizes))
    trained_on = [(sparse, train), *((task, longer) for task in others)]
    return [Setting(task, config.model, own, config.seed) for task, own in trained_on]


def mean_label(prompts: Prompts) -> np.ndarray:
    """Returns the mean of the labels of every context, 0 where there is none."""
    ys = np.asarray(prompts.ys, float)
    before = np.cumsum(ys, axis=1) - ys
    return before / np.maximum(np.arange(ys.shape[1]), 1)


def learners(config: Config) -> dict[str, Mapping[str, Any]]:
    """Returns the learners that answer all prompts, by class."""
    straight, near = LeastSquares(), NearestNeighbors(3)
    trees = {
        name: ScikitLearner(DecisionTreeRegressor(max_depth=depth, random_state=0))
        for name, depth in GREEDY.items()
    }
    found = (
        {"least squares": straight, **LASSOS, NEIGHBOURS: near},
        {
            "least squares": straight,
            LINE: WithIntercept(straight),
            PROCESS: GaussianProcess(),
            NEIGHBOURS: near,
        },
        {**trees, MEAN: mean_label, NEIGHBOURS: near},
        {"least squares": straight},
    )
    return dict(zip(CLASSES, found, strict=True))


def slow(config: Config) -> dict[str, Mapping[str, Any]]:
    """Returns regressors that are fitted to the longest context only, by class."""
    trees = {
        name: DecisionTreeRegressor(max_depth=depth, random_state=0)
        for name, depth in GREEDY.items()
    }
    regressors = {**trees, BOOSTING: GradientBoostingRegressor(random_state=0)}
    net = MLPRegressor(
        hidden_layer_sizes=(config.hidden,),
        learning_rate_init=5e-3,
        batch_size=min(10, config.longer - 1),
        max_iter=config.epochs,
        n_iter_no_change=config.epochs,
        alpha=0.0,
        random_state=0,
    )
    return {
        "network": {DESCENT: net},
        "tree": {
            name + signs: regressor
            for signs in ("", SIGNS)
            for name, regressor in regressors.items()
        },
    }


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns the errors of all learners, for every prompt.

    Returns:
        A Dataset with `error` over (class, learner, prompt, context), and `last` over
        (class, learner, few) after the longest context; NaN where a class has no such
        learner or context.
    """
    trained = dict(zip(CLASSES, settings(config), strict=False))
    trained[CLASSES[3]] = trained["network"]
    all_tasks, quick, long = tasks(config), learners(config), slow(config)
    names = [MODEL, *dict.fromkeys(n for of in quick.values() for n in of)]
    more = [MODEL, *dict.fromkeys(n for of in long.values() for n in of)]
    longest = max(config.pairs, config.longer)
    prompts_of = config.evaluation.prompts
    error = np.full((len(CLASSES), len(names), prompts_of, longest), np.nan, np.float32)
    last = np.full((len(CLASSES), len(more), config.few), np.nan, np.float32)
    for row, (name, task) in enumerate(all_tasks.items()):
        prompts, _ = config.evaluation.sample(task, whole=True)
        model = models(trained[name]).model
        for learner_name, learner in {MODEL: model, **quick[name]}.items():
            found = _errors(learner, prompts, task.normaliser)
            error[row, names.index(learner_name), :, : task.length] = found
        few = inference.first(prompts, config.few)
        last[row, 0] = error[row, 0, : config.few, task.length - 1]
        for learner_name, regressor in long.get(name, {}).items():
            seen = _signs(few) if learner_name.endswith(SIGNS) else few
            learner = ScikitLearner(regressor, least_pairs=task.length - 1)
            found = _errors(learner, seen, task.normaliser)[:, -1]
            last[row, more.index(learner_name)] = found
    return xr.Dataset(
        {
            "error": (("class", "learner", "prompt", "context"), error),
            "last": (("class", "regressor", "few"), last),
        },
        coords={
            "class": list(CLASSES),
            "learner": names,
            "regressor": more,
            "context": np.arange(longest),
        },
        attrs={
            "dim": config.dim,
            "k": config.k,
            "pairs": config.pairs,
            "longer": config.longer,
            "resamples": config.evaluation.resamples,
        },
    )


def _errors(learner: Any, prompts: Prompts, normaliser: float) -> np.ndarray:
    with warnings.catch_warnings():  # a number of epochs is all that is asked for
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = inference.predictions(learner, prompts)
    return np.square(found.astype(float) - np.asarray(prompts.ys, float)) / normaliser


def _signs(prompts: Prompts) -> Prompts:
    return prompts._replace(xs=jnp.sign(prompts.xs), latents=None)
