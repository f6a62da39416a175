"""Learners made of others: those of scikit-learn, and linear ones on other inputs.

Shapes: those of `icl.baselines.base`.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from joblib import Parallel, delayed
from sklearn import linear_model
from sklearn.base import BaseEstimator, clone, is_regressor

from icl import checks
from icl.arrays import shown
from icl.baselines.base import (
    Learner,
    PrefixSolution,
    check_queries,
    predict_linearly,
)
from icl.baselines.spectral import SpectralLearner
from icl.prompts import Prompts, check_prompts

SWEEPS = 100_000
"""The largest number of sweeps over the coordinates in a fit of the Lasso."""


@dataclass(frozen=True, eq=False)
class ScikitLearner(Learner):
    """A regressor of scikit-learn (or of its kind), fitted to every prefix.

    There is one fit for each prompt and prefix, in float64. They run through joblib:
    inside `joblib.parallel_config(n_jobs=2)` two run at a time. Two such learners are
    equal if their regressors print alike.

    Attributes:
        regressor: what is cloned and fitted, such as a `DecisionTreeRegressor` or a
            pipeline; fix its `random_state` for the same answers each time.
        least_pairs: the number of pairs from which on it is fitted; it predicts 0 from
            fewer.

    Raises:
        ValueError: no regressor, `least_pairs` below 1, or a fit that fails.

    Example:
        >>> from sklearn.dummy import DummyRegressor
        >>> prompts = Prompts(np.zeros((1, 3, 1)), np.array([[1.0, 2.0, 9.0]]))
        >>> ScikitLearner(DummyRegressor())(prompts).predictions.tolist()
        [[0.0, 1.0, 1.5]]
    """

    regressor: Any
    least_pairs: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.regressor, BaseEstimator) or not is_regressor(
            self.regressor
        ):
            raise ValueError(
                "regressor must be a regressor of scikit-learn, such as "
                f"DecisionTreeRegressor(), got {shown(self.regressor)}."
            )
        checks.normalise(self, checks.positive_int, "least_pairs")

    @property
    def name(self) -> str:
        """The regressor as scikit-learn prints it, in one line."""
        return " ".join(repr(self.regressor).split())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScikitLearner) and (
            (self.name, self.least_pairs) == (other.name, other.least_pairs)
        )

    def __hash__(self) -> int:
        return hash((self.name, self.least_pairs))

    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns predictions after every prefix of every prompt; weights are None."""
        xs = check_prompts(prompts).xs
        predictions = self.predict_at(prompts, xs[:, :, None, :])
        return PrefixSolution(None, predictions[:, :, 0])

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions at `queries[:, i]` from the first i pairs."""
        xs, ys, *_ = check_prompts(prompts)
        queries = check_queries(queries, like=xs)
        arrays = (np.asarray(array, float) for array in (xs, ys, queries))
        found = Parallel()(
            delayed(_answers)(self.regressor, self.least_pairs, *prompt)
            for prompt in zip(*arrays, strict=True)
        )
        return jnp.asarray(np.stack(found), xs.dtype)


@dataclass(frozen=True)
class Lasso(Learner):
    """Linear regression with a penalty on the size of weights, without an intercept.

    $$w = argmin_w ‖Xw - y‖² / (2n) + α‖w‖_1$$

    n is the number of pairs in the context. It is scikit-learn's `Lasso`, one fit for
    each prompt and prefix, in float64, which run through joblib; each starts from the
    weights of the prefix before it.

    Attributes:
        alpha: the penalty α, above 0, in scikit-learn's convention; `LeastSquares` is
            its limit 0.

    Raises:
        ValueError: alpha is not above 0 and finite.

    Example:
        >>> prompts = Prompts(np.ones((1, 2, 1)), np.full((1, 2), 3.0))
        >>> Lasso(0.5)(prompts).weights.tolist()
        [[[0.0], [2.5]]]
    """

    alpha: float

    def __post_init__(self) -> None:
        checks.normalise(self, checks.finite_number, "alpha", positive=True)

    @property
    def name(self) -> str:
        """The label, such as "Lasso(0.01)"."""
        return f"Lasso({self.alpha:g})"

    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns weights and predictions after every prefix of every prompt."""
        xs, ys, *_ = check_prompts(prompts)
        arrays = np.asarray(xs, float), np.asarray(ys, float)
        found = Parallel()(
            delayed(_sparse_weights)(self.alpha, *prompt)
            for prompt in zip(*arrays, strict=True)
        )
        weights = np.stack(found)
        predictions = np.sum(weights * arrays[0], axis=-1)
        return PrefixSolution(
            jnp.asarray(weights, xs.dtype), jnp.asarray(predictions, xs.dtype)
        )

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions w.x at `queries[:, i]` from the first i pairs."""
        weights = self(prompts).weights
        assert weights is not None
        return predict_linearly(weights, queries)


def _answers(
    regressor: Any,
    least_pairs: int,
    xs: Float[np.ndarray, "length dim"],
    ys: Float[np.ndarray, " length"],
    queries: Float[np.ndarray, "length queries dim"],
) -> Float[np.ndarray, "length queries"]:
    """Returns the predictions of one prompt."""
    found = np.zeros(queries.shape[:2])
    for i in range(least_pairs, len(ys)):
        try:
            fitted = clone(regressor).fit(xs[:i].copy(), ys[:i].copy())
            answers = fitted.predict(queries[i].copy())
        except ValueError as error:
            raise ValueError(
                f"{type(regressor).__name__} cannot be fitted to {i} pairs "
                f"({' '.join(str(error).split())}); give a larger least_pairs."
            ) from error
        name, sizes = "the predictions of regressor", (len(queries[i]),)
        found[i] = checks.array(name, answers, sizes, "(queries,)")
    return found


def _sparse_weights(
    alpha: float, xs: Float[np.ndarray, "length dim"], ys: Float[np.ndarray, " length"]
) -> Float[np.ndarray, "length dim"]:
    """Returns the weights of one prompt after every prefix."""
    regressor = linear_model.Lasso(
        alpha, fit_intercept=False, warm_start=True, max_iter=SWEEPS
    )
    weights = np.zeros(xs.shape)
    for i in range(1, len(ys)):
        weights[i] = regressor.fit(xs[:i], ys[:i]).coef_
    return weights


@dataclass(frozen=True)
class WithIntercept(Learner):
    """A linear learner with an intercept: every x gets one more coordinate, a constant.

    The intercept is the constant times its coefficient, so that the learner's own
    penalty falls on it, divided by the constant's square: for a Bayes predictor, the
    constant is the intercept's prior deviation in units of that of the weights. With
    the default, the intercept is as good as free. There are no weights, because the
    answer is no multiple of x.

    Attributes:
        learner: a linear learner, such as `LeastSquares()` or `Ridge(0.1)`.
        constant: the value of the new coordinate, above 0.

    Raises:
        ValueError: a learner that is not linear, or a constant that is not above 0.

    Example:
        >>> from icl.baselines import LeastSquares
        >>> xs, ys = np.array([[[0.0], [1.0], [2.0]]]), np.array([[1.0, 3.0, 5.0]])
        >>> learner = WithIntercept(LeastSquares())
        >>> learner(Prompts(xs, ys)).predictions.round(3).tolist()
        [[0.0, 1.0, 5.0]]
    """

    learner: SpectralLearner
    constant: float = 1_000.0

    def __post_init__(self) -> None:
        kind = "a linear learner of icl.baselines, such as LeastSquares()"
        checks.of_kind("learner", self.learner, SpectralLearner, kind)
        checks.normalise(self, checks.finite_number, "constant", positive=True)

    @property
    def name(self) -> str:
        """The label, such as "OLS + intercept"."""
        return f"{self.learner.name} + intercept"

    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns predictions after every prefix of every prompt; weights are None."""
        return PrefixSolution(None, self.learner(self._with(prompts)).predictions)

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions at `queries[:, i]` from the first i pairs."""
        xs = check_prompts(prompts).xs
        queries = self._wider(check_queries(queries, like=xs))
        return self.learner.predict_at(self._with(prompts), queries)

    def _with(self, prompts: Prompts) -> Prompts:
        xs, ys, *_ = check_prompts(prompts)
        return Prompts(self._wider(xs), ys)

    def _wider(self, xs: Float[Array, "... dim"]) -> Float[Array, "... wider"]:
        edges = [(0, 0)] * (xs.ndim - 1) + [(0, 1)]
        return jnp.pad(xs, edges, constant_values=self.constant)


@dataclass(frozen=True)
class OnSquares(Learner):
    """A linear learner on the squares of the coordinates, in place of them.

    $$f(x) = ∑_j w_j x_j²$$

    It is regression in this basis: least squares on squares is exact for
    `icl.tasks.Quadratic` without noise after d pairs, and `PosteriorMean(noise_std,
    3**-0.5)` on squares is the Bayes predictor with normal noise, for its coefficients
    have the deviation 1 / sqrt(3). There are no weights, because the answer is no
    multiple of x.

    Attributes:
        learner: a linear learner, such as `LeastSquares()` or `Ridge(0.1)`.

    Raises:
        ValueError: a learner that is not linear; or inputs whose squares are infinite.

    Example:
        >>> from icl.baselines import LeastSquares
        >>> xs, ys = np.array([[[1.0], [2.0], [3.0]]]), np.array([[2.0, 8.0, 18.0]])
        >>> OnSquares(LeastSquares())(Prompts(xs, ys)).predictions.round(3).tolist()
        [[0.0, 8.0, 18.0]]
    """

    learner: SpectralLearner

    def __post_init__(self) -> None:
        kind = "a linear learner of icl.baselines, such as LeastSquares()"
        checks.of_kind("learner", self.learner, SpectralLearner, kind)

    @property
    def name(self) -> str:
        """The label, such as "OLS on squares"."""
        return f"{self.learner.name} on squares"

    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns predictions after every prefix of every prompt; weights are None."""
        xs, ys, *_ = check_prompts(prompts)
        squared = Prompts(_squares("xs", xs), ys)
        return PrefixSolution(None, self.learner(squared).predictions)

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions at `queries[:, i]` from the first i pairs."""
        xs, ys, *_ = check_prompts(prompts)
        queries = _squares("queries", check_queries(queries, like=xs))
        return self.learner.predict_at(Prompts(_squares("xs", xs), ys), queries)


def _squares(name: str, array: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    squares = jnp.square(array)
    checks.all_finite(f"the squares of {name}", squares)
    return squares
