"""Linear learners that take steps, after any number of steps in closed form.

An iteration that treats every eigenvector of X'X on its own is a filter too: after s
gradient steps the error along an eigenvector has shrunk by (1 - 2 rate lambda)^s. Steps
cost nothing: 4,096 take no longer than one (see `spectral` for the formula and the
precision).

Conventions: all start at w = 0; gradients are *sums* over the pairs of the context, of
the loss |Xw - y|^2, so that one step is w <- w - 2 rate (X'Xw - X'y). A rate that is
too large diverges here as it does in the loop: weights grow to infinity, never to NaN.
`GradientDescent` warns of it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from icl import cautions, checks
from icl.arrays import floating, real, shown
from icl.baselines.base import PrefixSolution
from icl.baselines.direct import Multiple
from icl.baselines.spectral import SpectralLearner, Spectrum
from icl.prompts import Prompts

Eigenvalues = Float[Array, "batch length dim"]
Contexts = Float[Array, "1 length 1"]

LARGEST_EXPONENT = 500.0
"""Growth stops at exp(500): infinite in float32, and still far from it in float64."""


def optimal_rate(
    context: int | Array, dim: int, noise_std: float = 0.0, weight_std: float = 1.0
) -> float | Array:
    """Returns the rate at which one gradient step predicts best after `context` pairs.

    $$η = 1 / (2 (n + d + 1 + σ²/τ²))$$

    This is for x ~ N(0, I); σ is noise_std, and τ is weight_std. The step goes to
    w_1 = c X'y with c = 2η, whose risk E|w_1 - w|^2 is

    $$d τ² (1 - 2cn + c² n (n + d + 1)) + d c² n σ²,$$

    because E[X'X] = n I and E[(X'X)^2] = n (n + d + 1) I. Its minimum over c, without
    noise, is d τ^2 (1 - n / (n + d + 1)); least squares reaches d τ^2 (1 - n / d).

    Raises:
        ValueError: context is negative or no number, dim is not an integer >= 1, or a
            deviation is negative, not finite or, that of the weights, 0.

    Example:
        >>> optimal_rate(1, dim=8), optimal_rate(7, dim=8)
        (0.05, 0.03125)
    """
    checks.positive_int("dim", dim)
    checks.finite_number("noise_std", noise_std)
    checks.finite_number("weight_std", weight_std, positive=True)
    if not isinstance(context, jax.core.Tracer):
        counts = np.asarray(real("context", context))
        checks.all_finite("context", counts)
        if counts.dtype == bool or (counts < 0).any():
            raise ValueError(
                f"context must be a number of pairs >= 0, got {shown(context)}."
            )
    if not isinstance(context, int | float):
        context = floating("context", context)
    ratio = noise_std / weight_std
    return 1 / (2 * (context + (dim + 1 + ratio * ratio)))


@dataclass(frozen=True)
class GradientDescent(SpectralLearner):
    """Full-batch gradient descent from w = 0, after `steps` steps.

    $$w ← w - 2η (X'X w - X'y)$$

    Attributes:
        steps: number of steps; 0 leaves w = 0.
        rate: step size η, of the gradient *summed* over the pairs; None is the optimal
            rate of a single step at each context length (`optimal_rate`).
        noise_std: noise of the task; for the optimal rate only.
        weight_std: deviation of the task's weights; for the optimal rate only.

    Raises:
        ValueError: steps is not an integer >= 0, rate is not above 0, there is no rate
            for several steps, or a rate is given together with deviations.

    Warns:
        UserWarning: several steps diverge on more than half of the prompts, once all
            pairs are seen.

    Example:
        >>> import numpy as np
        >>> from icl.prompts import Prompts
        >>> prompts = Prompts(np.ones((1, 2, 1)), np.ones((1, 2)))
        >>> GradientDescent(1, rate=0.25)(prompts).predictions.tolist()
        [[0.0, 0.5]]
        >>> GradientDescent(2, rate=0.25)(prompts).predictions.tolist()
        [[0.0, 0.75]]
    """

    steps: int = 1
    rate: float | None = None
    noise_std: float = 0.0
    weight_std: float = 1.0

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "steps", minimum=0)
        checks.normalise(self, checks.finite_number, "noise_std")
        checks.normalise(self, checks.finite_number, "weight_std", positive=True)
        if self.rate is not None:
            checks.normalise(self, checks.finite_number, "rate", positive=True)
            if (self.noise_std, self.weight_std) != (0.0, 1.0):
                raise ValueError(
                    "noise_std and weight_std only choose the optimal rate; leave them "
                    f"out, or leave out rate={self.rate!r}."
                )
        elif self.steps != 1:
            raise ValueError(
                "the optimal rate is known for steps=1 only; "
                f"give a rate for steps={self.steps!r}."
            )

    @property
    def name(self) -> str:
        """The label: "GD(0.01)" for one step, "GD(0.01) x 8" or "GD(optimal)"."""
        if self.rate is None:
            return "GD(optimal)"
        return f"GD({self.rate:g})" + (f" x {self.steps}" if self.steps != 1 else "")

    def shortcut(self, length: int, dim: int) -> Multiple | None:
        """Returns the rates of a single step, w = 2 rate X'y."""
        if self.steps > 1:
            return None
        rates = [float(self._rate(context, dim)) for context in range(length)]
        return Multiple(2 * self.steps * np.array(rates))

    def __call__(self, prompts: Prompts | Spectrum) -> PrefixSolution:
        """Returns weights and predictions after every prefix of every prompt."""
        solution = super().__call__(prompts)
        # Of a spectrum whole families are computed, whose largest rates may diverge.
        if not isinstance(prompts, Spectrum):
            self._warn_of_divergence(prompts.xs)
        return solution

    def _warn_of_divergence(self, xs: Any) -> None:
        """Warns if several steps diverge on most prompts, once all pairs are seen."""
        if self.steps == 1 or self.rate is None or isinstance(xs, jax.core.Tracer):
            return
        # A step multiplies what is left by 1 - 2 r l, which must not be below -1.
        seen = np.asarray(xs, float)[:, :-1]
        largest = np.linalg.svd(seen, compute_uv=False).max(axis=1, initial=0.0) ** 2
        diverging = int(np.count_nonzero(self.rate * largest > 1))
        if diverging > len(largest) / 2:
            cautions.warn(
                f"{self.name} diverges on {diverging} of {len(largest)} prompts; the "
                f"largest rate at which it converges on all of them is "
                f"{1 / largest.max():g}, 1 / (largest eigenvalue of X'X)."
            )

    def filter(self, eigenvalues: Eigenvalues, contexts: Contexts) -> Eigenvalues:
        """Returns (1 - (1 - 2 rate lambda)^steps) / lambda, and 2 rate steps at 0."""
        rate = self._rate(contexts, eigenvalues.shape[-1])
        return _relax(eigenvalues, 2 * rate, float(self.steps))

    def _rate(self, contexts: int | Array, dim: int) -> float | Array:
        """Returns the given rate, or the optimal one of each context length."""
        if self.rate is not None:
            return self.rate
        return optimal_rate(contexts, dim, self.noise_std, self.weight_std)


@dataclass(frozen=True)
class GradientFlow(SpectralLearner):
    """Gradient descent with infinitely many, infinitely small steps.

    $$dw/dt = -2 (X'X w - X'y)$$

    It starts at w = 0. `GradientDescent(steps, rate)` approaches it at time = steps *
    rate as the rate falls.

    Attributes:
        time: how long the flow runs.

    Raises:
        ValueError: time is negative or not finite.
    """

    time: float

    def __post_init__(self) -> None:
        checks.normalise(self, checks.finite_number, "time")

    @property
    def name(self) -> str:
        """The label, such as "GF(0.5)"."""
        return f"GF({self.time:g})"

    def filter(self, eigenvalues: Eigenvalues, contexts: Contexts) -> Eigenvalues:
        """Returns (1 - exp(-2 time lambda)) / lambda, and 2 time at 0."""
        del contexts
        learnt = -jnp.expm1(-2 * self.time * eigenvalues)
        return _divide(learnt, eigenvalues, 2 * self.time)


@dataclass(frozen=True)
class Newton(SpectralLearner):
    """Newton's (Schulz's) iteration for the inverse of S = X'X, after `steps` steps.

    $$M_0 = aS,  M ← 2M - M S M,  w = M X'y$$

    This is the iteration of Fu et al. (2024, arXiv 2310.17086). It converges,
    quadratically, to the pseudo-inverse for 0 < a < 2 / lambda_max^2. We take a = 1 /
    |SS'| of each prefix, in one of two norms. The spectral norm gives the middle of
    that range, 1 / lambda_max^2, where the leading direction is exact from the start.
    The Frobenius norm, with which the released code of Fu et al. begins, is larger, so
    that all directions lag behind by the log2 of the ratio of the norms: 0 iterations
    after one pair, about 0.5 at n = d = 20. Their text has a = 2 / |SS'|, the end of
    the range; there the leading direction is lost (1 - 2 = -1, whose powers never
    vanish), and slow directions are one iteration ahead.

    Attributes:
        steps: number of iterations; 0 leaves M_0.
        norm: the norm in M_0 = S / |SS'|, "spectral" or "frobenius".

    Raises:
        ValueError: steps is not an integer >= 0, or the norm is unknown.

    Example:
        >>> import numpy as np
        >>> from icl.prompts import Prompts
        >>> prompts = Prompts(np.diag([2.0, 1, 1])[None, :, :2], np.ones((1, 3)))
        >>> Newton(0)(prompts).weights[0, 2].tolist()  # OLS would be 0.5, 1
        [0.5, 0.0625]
        >>> Newton(0, norm="frobenius")(prompts).weights[0, 1].tolist()
        [0.5, 0.0]
    """

    steps: int
    norm: Literal["spectral", "frobenius"] = "spectral"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "steps", minimum=0)
        checks.one_of("norm", self.norm, ("spectral", "frobenius"))

    @property
    def name(self) -> str:
        """The label, such as "Newton x 3" or "Newton x 3 (Frobenius)"."""
        norm = " (Frobenius)" if self.norm == "frobenius" else ""
        return f"Newton x {self.steps}{norm}"

    def filter(self, eigenvalues: Eigenvalues, contexts: Contexts) -> Eigenvalues:
        """Returns (1 - (1 - lambda^2 / |SS'|)^(2^steps)) / lambda, and 0 at 0."""
        del contexts
        # 2^1000 is already the limit, and a float can still hold it.
        steps = 2.0 ** min(self.steps, 1000)
        if self.norm == "frobenius":
            return _relax_newton_frobenius(eigenvalues, steps)
        return _relax_newton(eigenvalues, steps)


@jax.jit
def _relax(
    eigenvalues: Eigenvalues,
    rates: Float[Array, "#batch #length #dim"] | Float[Array, ""] | float,
    steps: Float[Array, ""] | float,
) -> Eigenvalues:
    """Returns (1 - (1 - rates lambda)^steps) / lambda, and rates steps at 0.

    Nothing cancels where rates lambda is small. It is compiled once for all rates and
    step counts: fused, it is three times as fast as operation by operation.
    """
    z = rates * eigenvalues
    log = jnp.log1p(-jnp.minimum(z, 2.0 - z))  # log |1 - z|; -inf at z = 1 is right
    exponent = jnp.minimum(steps * log, LARGEST_EXPONENT)
    negative = (z > 1.0) & (steps % 2 == 1)  # the sign of (1 - z)^steps
    learnt = jnp.where(negative, 1.0 + jnp.exp(exponent), -jnp.expm1(exponent))
    return _divide(jnp.where(steps > 0, learnt, 0.0), eigenvalues, rates * steps)


@jax.jit
def _relax_newton(
    eigenvalues: Eigenvalues, steps: Float[Array, ""] | float
) -> Eigenvalues:
    """Returns `_relax` with a rate for each eigenvalue, lambda / lambda_max^2."""
    largest = eigenvalues[..., -1:]
    rates = eigenvalues / jnp.where(largest > 0, largest, 1.0) ** 2
    return _relax(eigenvalues, rates, steps)


@jax.jit
def _relax_newton_frobenius(
    eigenvalues: Eigenvalues, steps: Float[Array, ""] | float
) -> Eigenvalues:
    """Returns `_relax` with rates lambda / |SS'|_F, the root of the sum of lambda^4."""
    largest = eigenvalues[..., -1:]
    largest = jnp.where(largest > 0, largest, 1.0)
    relative = eigenvalues / largest  # whose fourth powers do not overflow
    norm = jnp.sqrt(jnp.sum(relative**4, axis=-1, keepdims=True))
    rates = relative / largest / jnp.where(norm > 0, norm, 1.0)
    return _relax(eigenvalues, rates, steps)


def _divide(
    numerator: Eigenvalues,
    eigenvalues: Eigenvalues,
    at_zero: Float[Array, "..."] | float,
) -> Eigenvalues:
    """Returns the quotient by lambda, and its limit `at_zero` where lambda is 0."""
    positive = eigenvalues > 0
    quotient = numerator / jnp.where(positive, eigenvalues, 1.0)
    return jnp.where(positive, quotient, at_zero)
