"""Linear learners whose answer has a closed form.

These are least squares, ridge regression, the Bayes posterior mean and the plain
average of x y, as filters of the eigenvalues of X'X (see `spectral` for the formula and
the precision).

Conventions: the ridge parameter alpha is *not* scaled by the number of pairs; there is
no intercept; without any pair, w = 0.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from icl import checks
from icl.baselines.direct import Multiple, Penalty
from icl.baselines.spectral import SpectralLearner, Spectrum, decompose
from icl.prompts import Prompts

Eigenvalues = Float[Array, "batch length dim"]
Contexts = Float[Array, "1 length 1"]


@dataclass(frozen=True)
class LeastSquares(SpectralLearner):
    """The w of smallest norm among those that minimise |Xw - y|^2.

    $$w = X⁺ y$$

    Here X⁺ is the pseudo-inverse of X.

    Example:
        >>> import numpy as np
        >>> x = np.array([[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]])
        >>> LeastSquares()(Prompts(x, np.full((1, 3), 4.0))).weights[0, -1].tolist()
        [2.0, 2.0]
    """

    @property
    def name(self) -> str:
        """The label "OLS"."""
        return "OLS"

    def shortcut(self, length: int, dim: int) -> Penalty:
        """Returns the penalty 0."""
        del length, dim
        return Penalty(0.0)

    def filter(self, eigenvalues: Eigenvalues, contexts: Contexts) -> Eigenvalues:
        """Returns 1 / lambda, and 0 where the context determines nothing."""
        del contexts
        return _shrink(eigenvalues, 0.0)


@dataclass(frozen=True)
class Ridge(SpectralLearner):
    """Ridge regression; with alpha = 0 it is `LeastSquares`.

    $$w = (X'X + αI)⁻¹ X'y$$

    Attributes:
        alpha: the penalty α in |Xw - y|^2 + α |w|^2, not scaled by the number of pairs.

    Raises:
        ValueError: alpha is negative or not finite.

    Example:
        >>> import numpy as np
        >>> prompts = Prompts(np.ones((1, 2, 1)), np.ones((1, 2)))
        >>> Ridge(1.0)(prompts).predictions.tolist()
        [[0.0, 0.5]]
    """

    alpha: float

    def __post_init__(self) -> None:
        checks.normalise(self, checks.finite_number, "alpha")

    @property
    def name(self) -> str:
        """The label, such as "Ridge(0.1)"."""
        return f"Ridge({self.alpha:g})"

    def shortcut(self, length: int, dim: int) -> Penalty:
        """Returns the penalty alpha."""
        del length, dim
        return Penalty(self.alpha)

    def filter(self, eigenvalues: Eigenvalues, contexts: Contexts) -> Eigenvalues:
        """Returns 1 / (lambda + alpha)."""
        del contexts
        return _shrink(eigenvalues, self.alpha)


@dataclass(frozen=True)
class PosteriorMean(SpectralLearner):
    """The Bayes optimum for y = w.x + noise with w ~ N(0, weight_std^2 I).

    $$w = (X'X + (σ²/τ²) I)⁻¹ X'y$$

    It is ridge regression with alpha = σ²/τ², for any law of x. Without noise it is
    `LeastSquares`.

    Attributes:
        noise_std: standard deviation σ of the noise on y.
        weight_std: standard deviation τ of each coordinate of w.

    Raises:
        ValueError: noise_std is negative, weight_std is not above 0, or either of them
            is not finite.
    """

    noise_std: float
    weight_std: float = 1.0

    def __post_init__(self) -> None:
        checks.normalise(self, checks.finite_number, "noise_std")
        checks.normalise(self, checks.finite_number, "weight_std", positive=True)

    @property
    def name(self) -> str:
        """The label, noise_std / weight_std, such as "Bayes(0.5/1)"."""
        return f"Bayes({self.noise_std:g}/{self.weight_std:g})"

    def shortcut(self, length: int, dim: int) -> Penalty:
        """Returns the penalty noise_std^2 / weight_std^2."""
        del length, dim
        return Penalty(self._alpha)

    def filter(self, eigenvalues: Eigenvalues, contexts: Contexts) -> Eigenvalues:
        """Returns 1 / (lambda + noise_std^2 / weight_std^2)."""
        del contexts
        return _shrink(eigenvalues, self._alpha)

    @property
    def _alpha(self) -> float:
        ratio = self.noise_std / self.weight_std
        return ratio * ratio

    def ceiling(self, prompts: Prompts | Spectrum) -> Float[Array, " length"]:
        """Returns the largest share of w's variance that a reader of i pairs explains.

        $$E[tr(X'X (X'X + αI)⁻¹)] / d$$

        It is given by context length, with the expectation over the prompts, and is the
        ceiling of R^2 when w is decoded: 1 - E[tr posterior covariance] / (d τ^2). The
        posterior covariance is σ^2 (X'X + αI)^-1, with α = σ^2 / τ^2. So the share is
        the mean of lambda / (lambda + α); without noise it is rank / d.

        Example:
            >>> import numpy as np
            >>> prompts = Prompts(np.eye(3)[None, :, :2], np.zeros((1, 3)))
            >>> PosteriorMean(0.0).ceiling(prompts).tolist()
            [0.0, 0.5, 1.0]
            >>> PosteriorMean(1.0).ceiling(prompts).tolist()
            [0.0, 0.25, 0.5]
        """
        spectrum = prompts if isinstance(prompts, Spectrum) else decompose(prompts)
        multipliers = self.multipliers(spectrum)
        with jax.enable_x64(True):
            share = jnp.mean(spectrum.eigenvalues * multipliers, axis=(0, 2))
            return share.astype(spectrum.inputs.dtype)


@dataclass(frozen=True)
class Average(SpectralLearner):
    """The averaging estimator of Garg et al. (2022).

    $$w = X'y / n$$

    It is unbiased when E[xx'] = I, and equals one gradient step of rate 1 / (2n).
    """

    @property
    def name(self) -> str:
        """The label "Average"."""
        return "Average"

    def shortcut(self, length: int, dim: int) -> Multiple:
        """Returns the rate 1 / n."""
        del dim
        return Multiple(1 / np.maximum(np.arange(length), 1))

    def filter(self, eigenvalues: Eigenvalues, contexts: Contexts) -> Eigenvalues:
        """Returns 1 / n, for any lambda."""
        return jnp.ones_like(eigenvalues) / jnp.maximum(contexts, 1.0)


@jax.jit
def _shrink(eigenvalues: Eigenvalues, alpha: Float[Array, ""] | float) -> Eigenvalues:
    """Returns 1 / (lambda + alpha), and 0 where lambda is 0 and the moment is too."""
    positive = eigenvalues > 0
    inverse = 1.0 / (jnp.where(positive, eigenvalues, 1.0) + alpha)
    return jnp.where(positive, inverse, 0.0)
