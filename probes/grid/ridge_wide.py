"""The ridge probes of one layer and token where features outnumber prompts.

Then the products of prompts with each other are fewer than those of features: with
X (prompts, features) centred and scaled,

    b(alpha) = X' (XX' + alpha)^-1 y = X' U (L + alpha)^-1 U' y,    XX' = U L U',

and nothing of size (features, features) is ever formed. The result is that of
`ridge_solution`, where prompts outnumber features.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int, Real

from probes.grid.leave_out import LeftOut, Residual
from probes.grid.ridge_solution import deviations
from probes.grid.ridge_spec import RidgeSpec

States = Real[np.ndarray, "rows features"]
Targets = Float[np.ndarray, "rows columns"]


class WideCell(NamedTuple):
    """The ridge probes of one cell for every penalty.

    Attributes:
        states: the features of the training prompts, centred and divided by `scale`.
        center: the means of the features.
        scale: what they are divided by.
        offset: the means of the columns.
        values: the eigenvalues of XX', 0 where there is nothing but rounding.
        basis: its eigenvectors, without that of the centre.
        cross: the columns in that basis, U'y.

    With weights, `states` and the columns are multiplied by their roots, row by row,
    and so are the left-out residuals.
    """

    states: Float64[np.ndarray, "rows features"]
    center: Float64[np.ndarray, " features"]
    scale: Float64[np.ndarray, " features"]
    offset: Float64[np.ndarray, " columns"]
    values: Float64[np.ndarray, " directions"]
    basis: Float64[np.ndarray, "rows directions"]
    cross: Float64[np.ndarray, "directions columns"]

    @classmethod
    def of(
        cls,
        states: States,
        targets: Targets,
        spec: RidgeSpec,
        weights: Float64[np.ndarray, " rows"] | None = None,
    ) -> "WideCell":
        """Decomposes the products of training prompts."""
        count, center, offset = _means(states, targets, weights)
        x, y = states - center, targets - offset
        roots = None if weights is None else np.sqrt(weights)
        if roots is not None:
            x *= roots[:, None]
            y *= roots[:, None]
        scale = np.ones(len(center))
        if spec.standardize:
            variance = np.einsum("np,np->p", x, x) / count
            scale = deviations(variance, center, count)
            x /= scale
        products = x @ x.T
        # Prompts sum to 0. Their common direction gets the largest eigenvalue, so that
        # it does not mix with others that do not vary, and is left out.
        common = (2 * np.trace(products) + 1) / count
        products += common if roots is None else common * np.outer(roots, roots)
        values, basis = np.linalg.eigh(products)
        values, basis = values[:-1], basis[:, :-1]
        least = count * np.finfo(float).eps * values.max(initial=0.0)
        return cls(
            x,
            center,
            scale,
            offset,
            np.where(values > least, values, 0.0),
            basis,
            basis.T @ y,
        )

    def left_out(
        self, alphas: tuple[float, ...], left: LeftOut, places: Int[np.ndarray, " left"]
    ) -> Float64[np.ndarray, "alphas columns"]:
        """Returns the squared errors on training prompts, each group left out.

        Args:
            alphas: the penalties.
            left: which prompts are left out, by groups.
            places: where these are among the training prompts.
        """
        kept = np.asarray(alphas) / (self.values[:, None] + np.asarray(alphas))
        basis = self.basis[places]
        shrunk = kept[:, :, None] * self.cross[:, None, :]
        residuals = basis @ shrunk.reshape(len(kept), -1)
        residuals = residuals.reshape(len(basis), *shrunk.shape[1:])
        return Residual(basis, kept).errors(residuals, left.blocks())

    def errors(
        self,
        alphas: tuple[float, ...],
        states: States,
        targets: Targets,
        weights: Float64[np.ndarray, " rows"] | None = None,
    ) -> Float64[np.ndarray, "alphas columns"]:
        """Returns the squared errors on other prompts."""
        x = (states - self.center) / self.scale
        seen = (x @ self.states.T) @ self.basis
        path = self._inverse(np.asarray(alphas))[:, :, None] * self.cross[:, None, :]
        guesses = seen @ path.reshape(len(path), -1)
        guesses = guesses.reshape(len(x), *path.shape[1:]) + self.offset
        squares = np.square(guesses - targets[:, None])
        if weights is not None:
            squares *= weights[:, None, None]
        return squares.sum(axis=0)

    def probes(
        self, alphas: Float64[np.ndarray, " columns"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns coefficients and intercept of each column, for its own penalty."""
        dual = self.basis @ (self._inverse(alphas) * self.cross)
        coef = (self.states.T @ dual) / self.scale[:, None]
        return coef, self.offset - self.center @ coef

    def _inverse(
        self, alphas: Float64[np.ndarray, " alphas"]
    ) -> Float64[np.ndarray, "directions alphas"]:
        """Returns 1 / (L + alpha), and 0 where prompts do not vary."""
        inverse = 1 / (self.values[:, None] + alphas)
        return np.where(self.values[:, None] > 0, inverse, 0.0)


def _means(
    states: States, targets: Targets, weights: Float64[np.ndarray, " rows"] | None
) -> tuple[float, Float64[np.ndarray, " features"], Float64[np.ndarray, " columns"]]:
    """Returns the number of prompts, or the sum of weights, and the weighted means."""
    if weights is None:
        return (
            float(len(states)),
            states.mean(axis=0, dtype=float),
            targets.mean(axis=0),
        )
    count = weights.sum()
    center = weights @ states.astype(float) / count
    return float(count), center, weights @ targets / count
