"""Regression by a kernel: the Bayes predictor under a Gaussian process.

With K = k(X, X) + noise_std^2 I of the whole prompt, L its Cholesky factor and z = L^-1
y, the prediction at x_i from the i pairs before it is sum_{j < i} L_ij z_j: row i of L
is L_i^-1 k(X_i, x_i) already, where L_i is the factor of the first i pairs. So one
factor serves all prefixes.

The arc-cosine kernel of degree 1 (Cho and Saul 2009, Equation 6, times |x||x'|),

    k(x, x') = |x||x'| (sin t + (pi - t) cos t) / pi,   t the angle between x and x',

is the covariance of the two-layer networks of Garg et al. (2022) as their width grows
(`icl.tasks.ReluNetwork`), so that this is their exact Bayes predictor in the limit.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from icl import checks
from icl.baselines.base import Learner, PrefixSolution, check_queries
from icl.prompts import Prompts, check_prompts

Kernel = Literal["arc-cosine", "linear"]

JITTER = 1e-10
"""The share of the mean of k(x, x) that is added to the noise, for repeated inputs."""


@dataclass(frozen=True)
class GaussianProcess(Learner):
    """The posterior mean under a Gaussian process of this kernel.

    The arc-cosine kernel is, with the angle t between x and x',

    $$k(x, x') = ‖x‖ ‖x'‖ (sin t + (π - t) cos t) / π$$

    The mean is computed in float64 and is not linear in the query, unless the kernel
    is: with "linear", k(x, x') = x.x', it is ridge regression, alpha = noise_std^2.

    Attributes:
        kernel: "arc-cosine" or "linear".
        noise_std: the standard deviation of the noise on y, in units in which
            functions have the variance k(x, x).

    Raises:
        ValueError: an unknown kernel, or a negative deviation.

    Example:
        >>> import numpy as np
        >>> prompts = Prompts(np.ones((1, 2, 1)), np.ones((1, 2)))
        >>> GaussianProcess(noise_std=1.0)(prompts).predictions.round(3).tolist()
        [[0.0, 0.5]]
    """

    kernel: Kernel = "arc-cosine"
    noise_std: float = 0.0

    def __post_init__(self) -> None:
        checks.one_of("kernel", self.kernel, get_args(Kernel))
        checks.normalise(self, checks.finite_number, "noise_std")

    @property
    def name(self) -> str:
        """The label, such as "GP(arc-cosine)"."""
        noise = f", {self.noise_std:g}" if self.noise_std else ""
        return f"GP({self.kernel}{noise})"

    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns predictions after every prefix of every prompt; weights are None."""
        xs, ys, *_ = check_prompts(prompts)
        with jax.enable_x64(True):
            found = _predict(xs, ys, self.noise_std, self.kernel)
        return PrefixSolution(None, found)

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions at `queries[:, i]` from the first i pairs."""
        xs, ys, *_ = check_prompts(prompts)
        queries = check_queries(queries, like=xs)
        with jax.enable_x64(True):
            return _predict_at(xs, ys, queries, self.noise_std, self.kernel)


def arc_cosine(
    one: Float[Array, "*batch n dim"], other: Float[Array, "*batch m dim"]
) -> Float[Array, "*batch n m"]:
    """Returns the arc-cosine kernel of degree 1; k(x, x) = |x|^2."""
    lengths = jnp.linalg.norm(one, axis=-1)[..., :, None]
    lengths = lengths * jnp.linalg.norm(other, axis=-1)[..., None, :]
    products = _dot(one, other)
    cosines = jnp.clip(products / jnp.where(lengths > 0, lengths, 1.0), -1.0, 1.0)
    angles = jnp.arccos(cosines)
    return lengths * (jnp.sin(angles) + (jnp.pi - angles) * cosines) / jnp.pi


def _dot(one: Array, other: Array) -> Array:
    return jnp.einsum("...nd,...md->...nm", one, other, precision="highest")


KERNELS = {"arc-cosine": arc_cosine, "linear": _dot}


def _factors(
    x: Float[Array, "batch length dim"],
    y: Float[Array, "batch length"],
    noise_std: Float[Array, ""] | float,
    kernel: str,
) -> tuple[Float[Array, "batch length length"], Float[Array, "batch length"]]:
    """Returns L and z of the module's text."""
    gram = KERNELS[kernel](x, x)
    mean = jnp.trace(gram, axis1=1, axis2=2) / x.shape[1]
    ridge = noise_std**2 + JITTER * mean + jnp.finfo(x.dtype).tiny
    factor = jnp.linalg.cholesky(
        gram + ridge[:, None, None] * jnp.eye(x.shape[1])[None]
    )
    return factor, solve_triangular(factor, y[..., None], lower=True)[..., 0]


@jax.jit(static_argnames="kernel")
def _predict(xs, ys, noise_std, kernel):
    x, y = xs.astype(jnp.float64), ys.astype(jnp.float64)
    factor, z = _factors(x, y, noise_std, kernel)
    before = jnp.tril(factor, -1)
    return jnp.einsum("bij,bj->bi", before, z, precision="highest").astype(xs.dtype)


@jax.jit(static_argnames="kernel")
def _predict_at(xs, ys, queries, noise_std, kernel):
    x, y = xs.astype(jnp.float64), ys.astype(jnp.float64)
    batch, length, count, dim = queries.shape
    factor, z = _factors(x, y, noise_std, kernel)
    asked = queries.astype(jnp.float64).reshape(batch, length * count, dim)
    solved = solve_triangular(factor, KERNELS[kernel](x, asked), lower=True)
    solved = solved.reshape(batch, length, length, count)  # pair, context, query
    known = jnp.triu(jnp.ones((length, length)), 1)  # the pair is in the context
    found = jnp.einsum("bj,jl,bjlq->blq", z, known, solved, precision="highest")
    return found.astype(xs.dtype)
