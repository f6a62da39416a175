"""Which alpha, or how much training, does a model behave like?

`nearest` says which member of a grid comes closest. Here the members form a path, each
with a number, and the answer is a number between them, with an interval.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from icl import checks
from icl.arrays import floating
from icl.baselines import Learner
from icl.compare.members import Contexts, Predictor, family_distances
from icl.prompts import Prompts
from icl.resampling import STATISTICS, Statistic, bootstrap, interval

Values = Sequence[float] | Float[np.ndarray, " points"]


class Effective(NamedTuple):
    """The value on a path of learners that fits best.

    Attributes:
        value: the number that fits best: an alpha on a path of ridge regressions.
        low: lower end of its 95 % interval over prompts, for one trained model.
        high: upper end of that interval.
        distance: the distance at `value`, read off the parabola; never below 0.
        at_edge: whether the best value is an end of the path, and may lie beyond.
    """

    value: float
    low: float
    high: float
    distance: float
    at_edge: bool


def effective(
    learner: Predictor,
    prompts: Prompts,
    path: Sequence[Learner],
    values: Values,
    *,
    contexts: Contexts | None = None,
    divide_by: int | float | None = None,
    statistic: Statistic = "mean",
    resamples: int = 1000,
    seed: int = 0,
) -> Effective:
    """Returns the value on a path of learners that fits best, also between its members.

    That may be the ridge alpha that a model behaves like. It is the vertex of the
    parabola in log(value) through the nearest member and its two neighbours. For ten
    ridge regressions to a decade that is the true minimum to 5 %, and for twenty to
    1 %.

    Args:
        learner: as for `nearest`.
        prompts: likewise.
        path: three learners or more, each similar to its neighbours.
        values: a number for each of them, positive and increasing: alphas, or times
            of `GradientFlow`. Alpha = 0 has no logarithm; it is least squares, a
            family of its own.
        contexts: as for `nearest`.
        divide_by: likewise.
        statistic: likewise.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        ValueError: as for `nearest`; or there are fewer than three learners, or not as
            many values, or the values are not positive and increasing.

    Example:
        >>> import jax
        >>> from icl import LinearRegression
        >>> from icl.baselines import Ridge
        >>> task = LinearRegression(dim=3, length=4)
        >>> prompts = task.sample(jax.random.key(0), batch=50)
        >>> alphas = np.geomspace(0.01, 10, 31)
        >>> path = [Ridge(float(alpha)) for alpha in alphas]
        >>> found = effective(Ridge(0.5), prompts, path, alphas)
        >>> round(found.value, 2), found.at_edge
        (0.5, False)
    """
    checks.of_kind("path", path, Sequence, "a list of at least 3 learners")
    logs = _logarithms(values, len(path))
    distances = family_distances(
        learner, prompts, {"path": path}, contexts=contexts, divide_by=divide_by
    )
    draws = bootstrap(distances, statistic=statistic, resamples=resamples, seed=seed)
    curve = STATISTICS[statistic](distances, axis=0)
    vertex, distance = lowest(logs, curve)
    low, high = interval(lowest(logs, draws)[0])
    at_edge = int(np.argmin(curve)) in (0, len(path) - 1)
    value, low, high = (float(np.exp(log)) for log in (vertex, low, high))
    return Effective(value, low, high, float(distance), at_edge)


def lowest(
    x: Float[np.ndarray, " points"], curves: Float[np.ndarray, "*rest points"]
) -> tuple[Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"]]:
    """Returns where each curve is lowest, and its value there.

    That is an end of the curve, or the vertex of the parabola through the lowest point
    and its two neighbours.

    Raises:
        ValueError: there are fewer than three points, x does not increase, or a number
            is NaN or infinite.

    Example:
        >>> x = np.array([0.0, 1.0, 2.0, 3.0])
        >>> where, height = lowest(x, (x - 1.25) ** 2)
        >>> float(where), float(height)
        (1.25, 0.0)
    """
    x = np.asarray(checks.array("x", floating("x", x), (None,), "(points,)"))
    curves = np.asarray(floating("curves", curves))
    checks.all_finite("curves", curves)
    if len(x) < 3 or not (np.diff(x) > 0).all() or curves.shape[-1:] != x.shape:
        raise ValueError(
            "x must be at least 3 increasing numbers and curves have as many on their "
            f"last axis, got shapes {x.shape} and {curves.shape}."
        )
    nearest = np.argmin(curves, axis=-1, keepdims=True)
    middle = np.clip(nearest, 1, len(x) - 2)
    x0, x1, x2 = (x[middle + shift] for shift in (-1, 0, 1))
    y0, y1, y2 = (
        np.take_along_axis(curves, middle + shift, axis=-1) for shift in (-1, 0, 1)
    )
    slope = (y1 - y0) / (x1 - x0)
    curvature = ((y2 - y1) / (x2 - x1) - slope) / (x2 - x0)
    # No vertex at the ends, nor between three equal values.
    inside = (nearest == middle) & (curvature > 0)
    steepness = np.where(inside, curvature, 1.0)
    vertex = (x0 + x1) / 2 - slope / (2 * steepness)
    height = y0 + (vertex - x0) * (slope + curvature * (vertex - x1))
    # A squared distance is not quite a parabola, but it is not negative.
    height = np.maximum(height, 0.0)
    where = np.where(inside, vertex, x[nearest])
    least = np.where(inside, height, curves.min(axis=-1, keepdims=True))
    return where[..., 0], least[..., 0]


def _logarithms(values: Values, count: int) -> Float[np.ndarray, " points"]:
    if count < 3:
        raise ValueError(f"path must hold at least 3 learners, got {count}.")
    found = checks.array("values", values, (count,), "(learners of the path,)")
    numbers = np.asarray(found, dtype=float)
    if not (numbers[0] > 0 and np.all(np.diff(numbers) > 0)):
        raise ValueError(
            "values must be positive and increasing, for their logarithms are taken, "
            f"got {numbers.tolist()}; leave out 0."
        )
    return np.log(numbers)
