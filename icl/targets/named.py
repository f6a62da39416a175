"""The targets that are usually asked for, by name."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from icl import checks
from icl.baselines import Learner, LeastSquares, PrefixSolution
from icl.targets.kinds import OfContext, OfWeights, Target, check_learner

Scale = Literal["mean", "sum"]


def true_weights() -> OfWeights:
    """Returns the target w that made the labels, (batch, d)."""
    return OfWeights("w", itself)


def weight_norm() -> OfWeights:
    """Returns the target |w|, the length of the true w, (batch, 1)."""

    def norm(weights: np.ndarray) -> np.ndarray:
        return np.linalg.norm(weights, axis=-1, keepdims=True)

    return OfWeights("|w|", norm)


def learner_weights(learner: Learner | None = None) -> OfContext:
    """Returns the target of a learner's weights by prefix, (batch, length, d).

    Args:
        learner: any of `icl.baselines` that has weights; None is `LeastSquares()`.
    """
    learner = check_learner(LeastSquares() if learner is None else learner)
    name = learner.name

    def weights(_xs: Any, _ys: Any, solution: PrefixSolution | None) -> Any:
        assert solution is not None  # for the type checker: there is a learner
        if solution.weights is None:
            raise ValueError(
                f"{name} has no weights, for it is not linear; choose another learner."
            )
        return solution.weights

    return OfContext(f"w {name}", weights, learner)


def moment(scale: Scale = "mean") -> OfContext:
    """Returns the target X'y, or X'y / n, of the pairs so far, (batch, length, d)."""
    name = _scaled("X'y", scale)

    def sums(xs: np.ndarray, ys: np.ndarray, _: Any) -> np.ndarray:
        return _before(xs * ys[..., None], scale)

    return OfContext(name, sums)


def gram(scale: Scale = "mean") -> OfContext:
    """Returns the target X'X of the pairs so far, divided by their number or not.

    Its values are the upper triangle row by row, (batch, length, d (d + 1) / 2).
    """
    name = _scaled("X'X", scale)

    def sums(xs: np.ndarray, _ys: Any, _: Any) -> np.ndarray:
        rows, columns = np.triu_indices(xs.shape[-1])
        return _before(xs[..., rows] * xs[..., columns], scale)

    return OfContext(name, sums)


def residual(learner: Learner | None = None) -> OfContext:
    """Returns the target of how far the newest label is from a learner's prediction.

    Its value at i is y of pair i less the prediction from the i - 1 pairs before it,
    (batch, length, 1); it is 0 at i = 0. Without noise, least squares misses nothing
    from i = d + 1 on: what is left is rounding, which no probe should look for.

    Args:
        learner: any of `icl.baselines`; None is `LeastSquares()`.
    """
    learner = check_learner(LeastSquares() if learner is None else learner)

    def newest(_xs: Any, ys: np.ndarray, solution: PrefixSolution | None) -> np.ndarray:
        assert solution is not None  # for the type checker: there is a learner
        missed = ys - np.asarray(solution.predictions)
        return _delay(missed[..., None])

    return OfContext(f"residual {learner.name}", newest, learner)


def mean_label() -> OfContext:
    """Returns the target of the labels' mean so far, (batch, length, 1); 0 at i = 0."""

    def mean(_xs: Any, ys: np.ndarray, _: Any) -> np.ndarray:
        return _before(ys[..., None], "mean")

    return OfContext("mean y", mean)


def itself(weights: np.ndarray) -> np.ndarray:
    """Returns the weights as they are: the function of the target w."""
    return weights


def _delay(values: Float[np.ndarray, "batch length q"]) -> np.ndarray:
    """Returns values by context: entry i is that of pair i, and entry 0 is 0."""
    return np.pad(values, ((0, 0), (1, 0), (0, 0)))[:, :-1]


def _before(values: Float[np.ndarray, "batch length q"], scale: Scale) -> np.ndarray:
    """Returns sums or means over the first i pairs, for i = 0 .. length - 1."""
    sums = np.cumsum(_delay(values), axis=1)
    if scale == "sum":
        return sums
    return sums / np.maximum(np.arange(sums.shape[1]), 1)[None, :, None]


def _scaled(name: str, scale: Scale) -> str:
    checks.one_of("scale", scale, ("mean", "sum"))
    return f"{name} / n" if scale == "mean" else name


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        true_weights(),
        learner_weights(),
        moment(),
        gram(),
        residual(),
        mean_label(),
        weight_norm(),
    )
}
"""By name: w, w OLS, X'y / n, X'X / n, residual OLS, mean y, |w|."""
