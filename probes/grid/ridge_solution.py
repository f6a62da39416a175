"""The ridge probes of one layer and token, solved from moments alone.

One eigendecomposition of X'X gives the coefficients for every penalty alpha

    b(alpha) = V (L + alpha)^-1 V' X'y,    X'X = V L V',

for all targets at once. Alpha is chosen for each coordinate of each target: by the
error on training prompts that are left out (`leave_out`), for which these are looked at
once more, or by the error on validation prompts, which follows from *their* moments
alone; then the probe is fitted again to all training prompts.

The formulas are those of scikit-learn's `Ridge`, which the tests hold them against.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int, Real

from probes.grid.leave_out import LeftOut, Residual
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


class Spectrum(NamedTuple):
    """The ridge probes of one cell for every penalty.

    Attributes:
        values: the eigenvalues L of X'X.
        basis: its eigenvectors V.
        cross: V'X'y.
        center: the means of the features, and then of the columns.
        scale: what the features are divided by.
        count: the number of training prompts, or the sum of their weights.
    """

    values: Float64[np.ndarray, " features"]
    basis: Float64[np.ndarray, "features features"]
    cross: Float64[np.ndarray, "features columns"]
    center: Float64[np.ndarray, " xy"]
    scale: Float64[np.ndarray, " features"]
    count: float

    @classmethod
    def of(cls, train: Moments, spec: RidgeSpec) -> "Spectrum":
        """Decomposes the moments of all training prompts."""
        scaled = _standardised(train, train.mean, _scale(train, spec))
        values, basis = np.linalg.eigh(scaled.inputs)
        center = train.mean + train.shift
        cross = basis.T @ scaled.cross
        return cls(values, basis, cross, center, scaled.scale, train.count)

    def path(
        self, filters: Float64[np.ndarray, "features alphas"]
    ) -> Float64[np.ndarray, "features alphas columns"]:
        """Returns the coefficients in the basis, for each filter 1 / (L + alpha)."""
        return filters[:, :, None] * self.cross[:, None, :]

    def left_out(
        self,
        alphas: tuple[float, ...],
        left: LeftOut,
        states: Real[np.ndarray, "rows features"],
        targets: Float[np.ndarray, "rows columns"],
        weights: Float64[np.ndarray, " rows"] | None = None,
    ) -> Float64[np.ndarray, "alphas columns"]:
        """Returns the squared errors on training prompts, each group left out.

        Args:
            alphas: the penalties.
            left: which prompts these are, by groups.
            states: their features.
            targets: their columns.
            weights: how much each of them counts; None where all count alike.
        """
        center, offset = np.split(self.center, [len(self.values)])
        filters = _filter(self.values, np.asarray(alphas))
        basis = ((states - center) / self.scale) @ self.basis
        path = self.path(filters)
        guesses = (basis @ path.reshape(len(path), -1)).reshape(-1, *path.shape[1:])
        # In place: there are many penalties, and memory is slower than arithmetic.
        residuals = np.subtract((targets - offset)[:, None], guesses, out=guesses)
        ones = np.ones(len(basis))
        if weights is not None:
            ones = np.sqrt(weights)
            basis, residuals = basis * ones[:, None], residuals * ones[:, None, None]
        residual = Residual(basis, filters, self.count, ones)
        return residual.errors(residuals, left.blocks())

    def probes(
        self, alphas: Float64[np.ndarray, " columns"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns coefficients and intercept of each column, for its own penalty."""
        center, offset = np.split(self.center, [len(self.values)])
        coef = self.basis @ (_filter(self.values, alphas) * self.cross)
        coef /= self.scale[:, None]
        return coef, offset - center @ coef


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
    spectrum = Spectrum.of(fit, spec)
    path = spectrum.path(_filter(spectrum.values, np.asarray(spec.alphas)))
    coef = spectrum.basis @ path.reshape(len(path), -1)  # all penalties side by side
    seen, seen_cross, _ = _standardised(validation, fit.mean, spectrum.scale)
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
    """Returns what features are divided by: their standard deviations, or 1."""
    p = moments.features
    if not spec.standardize:
        return np.ones(p)
    squares = moments.products.diagonal()[:p] / moments.count
    variance = np.maximum(squares - moments.mean[:p] ** 2, 0)
    return deviations(variance, moments.mean[:p] + moments.shift[:p], moments.count)


def deviations(
    variance: Float64[np.ndarray, " features"],
    mean: Float64[np.ndarray, " features"],
    count: float | int,
) -> Float64[np.ndarray, " features"]:
    """Returns standard deviations, and 1 for a feature that is constant.

    The bound on what rounding leaves of a constant is that of `StandardScaler`.
    """
    eps = np.finfo(float).eps
    bound = count * eps * variance + (count * eps * mean) ** 2
    return np.where(variance > bound, np.sqrt(variance), 1.0)
