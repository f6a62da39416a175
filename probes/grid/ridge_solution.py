"""The ridge probes of one layer and token, solved from moments alone.

One eigendecomposition of X'X gives the coefficients for every penalty alpha

    b(alpha) = V (L + alpha)^-1 V' X'y,    X'X = V L V',

for all targets at once, and the squared error on other prompts follows from *their*
moments alone. So alpha is chosen by the error on validation prompts, for each
coordinate of each target, and the probe is fitted again to all training prompts.

The formulas are those of scikit-learn's `Ridge`, which the tests hold them against.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from probes.grid.moments import Moments
from probes.grid.ridge_spec import RidgeSpec


def solve(
    fit: Moments, validation: Moments | None = None, *, spec: RidgeSpec
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns coefficients, intercept and penalty of each column of one cell."""
    train = fit if validation is None else fit + validation
    scaled = _standardised(train, train.mean, _scale(train, spec))
    chosen = np.zeros(scaled.cross.shape[1], int)
    if validation is not None:
        chosen = _choose(fit, validation, spec)
    alphas = np.asarray(spec.alphas)[chosen]
    coef = np.empty_like(scaled.cross)
    for alpha in np.unique(alphas):
        where = alphas == alpha
        coef[:, where] = _ridge(scaled.inputs, float(alpha), scaled.cross[:, where])
    coef /= scaled.scale[:, None]
    x, y = np.split(train.mean + train.shift, [fit.features])
    return coef, y - x @ coef, alphas


def _ridge(
    inputs: np.ndarray, alpha: float, cross: np.ndarray
) -> Float64[np.ndarray, "features columns"]:
    """Returns (X'X + alpha)^-1 X'y.

    It is found by elimination, unless alpha is so small that rounding of X'X would
    count for more: then it is found by eigenvectors, without the directions in which
    the features do not vary.
    """
    if alpha > len(inputs) * np.finfo(float).eps * np.trace(inputs):
        return np.linalg.solve(inputs + alpha * np.eye(len(inputs)), cross)
    values, basis = np.linalg.eigh(inputs)
    return basis @ (_filter(values, np.array([alpha])) * (basis.T @ cross))


def _filter(
    values: Float64[np.ndarray, " features"], alphas: Float64[np.ndarray, " alphas"]
) -> Float64[np.ndarray, "features alphas"]:
    """Returns 1 / (L + alpha), and 0 where an eigenvalue is nothing but rounding."""
    present = values > len(values) * np.finfo(float).eps * values[-1]
    inverse = 1 / (np.where(present, values, 1.0)[:, None] + alphas)
    return np.where(present[:, None], inverse, 0.0)


def _choose(
    fit: Moments, validation: Moments, spec: RidgeSpec
) -> Int[np.ndarray, " columns"]:
    """Returns for each column the index of the penalty that validates best.

    That is the one with the least squared error on the validation prompts, which is
    y'y - 2 b'X'y + b'X'X b in their moments, where y'y is the same for all penalties.
    """
    scale = _scale(fit, spec)
    inputs, cross, _ = _standardised(fit, fit.mean, scale)
    values, basis = np.linalg.eigh(inputs)
    filters = _filter(values, np.asarray(spec.alphas))
    path = filters[:, :, None] * (basis.T @ cross)[:, None, :]
    coef = basis @ path.reshape(len(values), -1)  # all penalties side by side
    seen, seen_cross, _ = _standardised(validation, fit.mean, scale)
    slope = (seen @ coef).reshape(path.shape) - 2 * seen_cross[:, None, :]
    return np.einsum("fac,fac->ac", coef.reshape(path.shape), slope).argmin(axis=0)


class _Standardised(NamedTuple):
    """The products X'X and X'y of features that were divided by `scale`."""

    inputs: Float64[np.ndarray, "features features"]
    cross: Float64[np.ndarray, "features columns"]
    scale: Float64[np.ndarray, " features"]


def _standardised(
    moments: Moments, center: np.ndarray, scale: np.ndarray
) -> _Standardised:
    """Returns the moments about `center` of features that are divided by `scale`."""
    inputs, cross = moments.about(center)
    return _Standardised(inputs / scale / scale[:, None], cross / scale[:, None], scale)


def _scale(moments: Moments, spec: RidgeSpec) -> Float64[np.ndarray, " features"]:
    """Returns the features' standard deviations, 1 for a feature that is constant.

    The bound on what rounding leaves of a constant is that of `StandardScaler`.
    """
    scale = np.ones(moments.features)
    if spec.standardize:
        p, n, eps = moments.features, moments.count, np.finfo(float).eps
        squares = moments.products.diagonal()[:p] / n
        variance = np.maximum(squares - moments.mean[:p] ** 2, 0)
        mean = moments.mean[:p] + moments.shift[:p]
        bound = n * eps * variance + (n * eps * mean) ** 2
        np.sqrt(variance, out=scale, where=variance > bound)
    return scale
