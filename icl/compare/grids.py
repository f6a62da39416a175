"""Which members does each family of textbook learners have by default?

A family is a list of learners that differ in their hyper-parameters; families are a
dictionary of them by name. Add your own, or leave some out:

    families(8) | {"average": [Average()]}

The grids suit inputs of about unit variance in each coordinate, such as those of
`LinearRegression`. Scale yours, or give families of your own: alpha and 1 / rate are in
units of the eigenvalues of X'X, so they grow with the square of x.
"""

import math

from sklearn.tree import DecisionTreeRegressor

from icl import checks
from icl.baselines import (
    DiscretePosterior,
    GaussianProcess,
    GradientDescent,
    Lasso,
    Learner,
    LeastSquares,
    MixturePosterior,
    NearestNeighbors,
    Newton,
    OnePassSGD,
    OnSquares,
    PosteriorMean,
    Ridge,
    ScikitLearner,
    WithIntercept,
)
from icl.baselines.mixture import refusal
from icl.codecs import Pairs
from icl.losses import logistic
from icl.tasks import (
    DecisionTree,
    FunctionClass,
    LinearRegression,
    Mixture,
    Pool,
    PromptPool,
    Quadratic,
    ReluNetwork,
    SparseLinear,
    Task,
)

STEPS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
PER_DECADE = 10
SMOOTHING = (0.03, 0.1, 0.3, 1.0)


def families(dim: int | Task) -> dict[str, list[Learner]]:
    """Returns the textbook families that `nearest` chooses among.

    They are those of a dimension, and for a task those that know more of it, too.

    - "least squares": that of minimum norm; there is nothing to choose.
    - "ridge": alpha from 0.001 to 100.
    - "one-step GD": rates from 0.01 / dim to 1 / dim, and the optimal rate of each
      context length (`optimal_rate`, for tasks without noise).
    - "GD": 2 to 128 steps (the powers of 2, and 1.5 times these), at the same rates.
      The largest eigenvalue of X'X after dim pairs is about 4 dim, and a rate above
      one over it diverges: such members are never the nearest.
    - "SGD": one pass over the context, at the same rates.
    - "Newton": 1 to 12 iterations.
    - "k-NN": k from 1 to 5, uniform and weighted by distance.

    Alphas and rates are ten to a decade, in two digits: 0.1, 0.13, 0.16, 0.2, ...

    Families meet at their ends. Ridge as alpha falls, and GD and Newton as steps grow,
    become least squares. Ridge as alpha grows becomes one-step GD at the rate
    1 / (2 alpha). GD at small rates becomes one-step GD at the rate steps * rate; so
    does SGD. So a best member at an end of its grid speaks for the family that it meets
    there.

    For a task, by its kind:

    - "Bayes", where the law of the task has a posterior mean in closed form: linear
      regression with normal noise and normal or fixed weights, and `Quadratic` with
      normal noise. Without noise it is left out for `Quadratic` and for weights of
      mean 0 and no covariance, where it is least squares (on squares).
    - "Bayes of the mixture", for a `Mixture` of such linear regressions.
    - "Bayes of the pool", for a `Pool` with noise: the posterior over its functions,
      with the likelihood of its noise. Also "smoothed Bayes of the pool", by 0.03 to 1,
      where functions are linear and the noise is normal.

    For a task and for a `Pool` or `PromptPool` of it:

    - "Lasso", for `SparseLinear`: alpha from 1 to 0.0001, powers of 10.
    - "least squares on squares", for `Quadratic`.
    - "with intercept": least squares, where functions are not linear.
    - "Gaussian process", for `ReluNetwork`: the arc-cosine kernel, with the task's
      noise.
    - "greedy tree", for `DecisionTree`: scikit-learn's, of depth 2, 4 and any.

    Args:
        dim: dimension of x, or a task of prompts that says it.

    Raises:
        ValueError: dim is neither an integer >= 1 nor a task of prompts; or its labels
            are classes, as those of `LinearClassification` and of pools of it.

    Example:
        >>> members = families(8)
        >>> [learner.name for learner in members["one-step GD"][8:11]]
        ['GD(0.0079)', 'GD(0.01)', 'GD(0.013)']
        >>> sum(len(family) for family in members.values())
        390
    """
    if isinstance(dim, Task):
        return families(_dim_of(dim)) | _of_task(dim)
    checks.positive_int("dim", dim)
    rates = _decades(0.01 / dim, 1 / dim)
    return {
        "least squares": [LeastSquares()],
        "ridge": [Ridge(alpha) for alpha in _decades(0.001, 100)],
        "one-step GD": [GradientDescent(1, rate) for rate in (*rates, None)],
        "GD": [GradientDescent(steps, rate) for steps in STEPS for rate in rates],
        "SGD": [OnePassSGD(rate) for rate in rates],
        "Newton": [Newton(steps) for steps in range(1, 13)],
        "k-NN": [
            NearestNeighbors(k, weighting)
            for weighting in ("uniform", "distance")
            for k in range(1, 6)
        ],
    }


def _dim_of(task: Task) -> int:
    """Returns the dimension of x, for labels that squared differences are about."""
    if not isinstance(task.codec, Pairs):
        raise ValueError(
            f"dim must be a task of prompts (xs, ys), got {type(task).__name__}."
        )
    if task.codec.loss is logistic:
        raise ValueError(
            f"dim must be a task whose labels are numbers, got {type(task).__name__} "
            "with the logistic loss: learners are compared by squared differences of "
            "predictions, and its predictions are log-odds; compare "
            "icl.compare.accuracy."
        )
    return task.codec.dim


def _of_task(task: Task) -> dict[str, list[Learner]]:
    """Returns the families that know more of a task than its dimension."""
    kind = task
    while isinstance(kind, Pool | PromptPool):
        kind = kind.task
    return _of_law(task) | _of_kind(kind)


def _of_law(task: Task) -> dict[str, list[Learner]]:
    """Returns the Bayes predictors of a task that are known."""
    found: dict[str, list[Learner]] = {}
    if isinstance(task, Pool) and task.task.noise_std > 0:
        found["Bayes of the pool"] = [DiscretePosterior(task)]
        if task.linear and task.task.noise_law == "normal":
            found["smoothed Bayes of the pool"] = [
                DiscretePosterior(task, smoothing=h) for h in SMOOTHING
            ]
    if isinstance(task, Mixture) and not refusal(task):
        found["Bayes of the mixture"] = [MixturePosterior(task)]
    if isinstance(task, LinearRegression) and not refusal(task):
        if not task.standard_weights:
            found["Bayes"] = [MixturePosterior(task)]
        elif task.noise_std > 0:
            found["Bayes"] = [PosteriorMean(task.noise_std, task.weight_std)]
    normal = isinstance(task, Quadratic) and task.noise_law == "normal"
    if normal and task.noise_std > 0:
        found["Bayes"] = [OnSquares(PosteriorMean(task.noise_std, 3**-0.5))]
    return found


def _of_kind(kind: Task) -> dict[str, list[Learner]]:
    """Returns the families that suit a class of functions, whichever of them occur."""
    found: dict[str, list[Learner]] = {}
    if isinstance(kind, SparseLinear):
        found["Lasso"] = [Lasso(10.0**-power) for power in range(5)]
    if isinstance(kind, Quadratic):
        found["least squares on squares"] = [OnSquares(LeastSquares())]
    if isinstance(kind, FunctionClass) and not kind.linear:
        found["with intercept"] = [WithIntercept(LeastSquares())]
    if isinstance(kind, ReluNetwork):
        found["Gaussian process"] = [GaussianProcess("arc-cosine", kind.noise_std)]
    if isinstance(kind, DecisionTree):
        found["greedy tree"] = [
            ScikitLearner(DecisionTreeRegressor(max_depth=depth, random_state=0))
            for depth in (2, 4, None)
        ]
    return found


def _decades(low: int | float, high: int | float) -> list[float]:
    """Returns numbers from about low to about high, even in their logarithm."""
    first, last = (round(PER_DECADE * math.log10(end)) for end in (low, high))
    powers = [10 ** (k / PER_DECADE) for k in range(first, last + 1)]
    return [float(f"{power:.2g}") for power in powers]
