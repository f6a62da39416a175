"""Learners that see each pair once, in order.

Conventions: they start at w = 0 and take one step per pair, on the loss (w.x - y)^2 +
alpha |w|^2 of that pair. The order of the context matters to them, and to no other
learner.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from icl import checks
from icl.baselines.base import Learner, PrefixSolution, pairs_of, predict_linearly
from icl.prompts import Prompts


@dataclass(frozen=True)
class OnePassSGD(Learner):
    """One pass of stochastic gradient descent, a step for each earlier pair in order.

    $$w ← w - 2η ((w·x - y) x + αw)$$

    It is computed in the prompts' dtype, so that it may be called inside jit.

    Attributes:
        rate: step size η.
        alpha: weight decay α, applied at every pair.

    Raises:
        ValueError: rate is not above 0, alpha is negative, or either is not finite.

    Example:
        >>> import numpy as np
        >>> prompts = Prompts(np.ones((1, 3, 1)), np.ones((1, 3)))
        >>> OnePassSGD(rate=0.25)(prompts).predictions.tolist()
        [[0.0, 0.5, 0.75]]
    """

    rate: float
    alpha: float = 0.0

    def __post_init__(self) -> None:
        checks.normalise(self, checks.finite_number, "rate", positive=True)
        checks.normalise(self, checks.finite_number, "alpha")

    @property
    def name(self) -> str:
        """The label: "SGD(0.03)", or "SGD(0.03, 0.1)" with weight decay."""
        decay = f", {self.alpha:g}" if self.alpha else ""
        return f"SGD({self.rate:g}{decay})"

    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns weights and predictions after every prefix of every prompt."""
        return _sweep(*pairs_of(prompts), self.rate, self.alpha)

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions w.x at `queries[:, i]` after the first i pairs."""
        weights = self(prompts).weights
        assert weights is not None  # for the type checker
        return predict_linearly(weights, queries)


@jax.jit
def _sweep(
    xs: Float[Array, "batch length dim"],
    ys: Float[Array, "batch length"],
    rate: float | Float[Array, ""],
    alpha: float | Float[Array, ""],
) -> PrefixSolution:
    def step(weights, pair):
        x, y = pair
        gradient = x * (jnp.sum(x * weights) - y) + alpha * weights
        return weights - 2 * rate * gradient, weights

    def sweep_one(xs, ys):
        return jax.lax.scan(step, jnp.zeros_like(xs[0]), (xs, ys))[1]

    weights = jax.vmap(sweep_one)(xs, ys)
    return PrefixSolution(weights, jnp.sum(weights * xs, axis=-1))
