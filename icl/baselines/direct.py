"""Least squares, ridge regression and averages after every prefix, by shortcuts.

One learner alone needs no eigenvectors. A learner that has a `Shortcut` names it, and
the weights are those of its filter, up to rounding: `Multiple` for weights that are a
multiple of X'y, and `Penalty` for (X'X + alpha I)^-1 X'y, of which least squares is the
case alpha = 0.

For the first d pairs, ridge regression solves the smaller, dual problem. With K = XX' +
alpha I of these pairs, L its Cholesky factor, B = L^-1 X and z = L^-1 y, the weights
after i <= d pairs are

    w_i = X_i' K_i^-1 y_i = z_1 b_1 + ... + z_i b_i,

because the factor of a leading block of K is the leading block of L. So one factor
serves all these prefixes, and one pair more is one term more (for alpha = 0, the b_j
are the inputs, made orthonormal one after the other). Each prefix of more than d pairs
has a Cholesky factor of its own X'X + alpha I.

Precision is that of `spectral`: everything is float64, and the relative error is about
2e-16 cond(X)^2. Cholesky factors cannot tell which directions are null, so `ridge` also
says for which prompts they may be trusted: those in which cond(X'X + alpha I) stays
below `LIMIT`. It is at most |X|^2 + alpha times the trace of the inverse. (The trace
after d pairs bounds those of the shorter prefixes, whose eigenvalues interlace.)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from icl.baselines.base import PrefixSolution
from icl.prompts import Prompts

LIMIT = 1e12
"""The largest bound on a prefix's cond(X'X + alpha I) at which `ridge` is trusted.

It is far enough from 1e14, where `spectral` counts eigenvalues as zero.
"""


class Multiple(NamedTuple):
    """The shortcut of learners with w = rate X'y.

    Attributes:
        rates: the rate for each context length, (length,).
    """

    rates: Float[np.ndarray, " length"]


class Penalty(NamedTuple):
    """The shortcut of learners with w = (X'X + alpha I)^-1 X'y.

    Attributes:
        alpha: the penalty; 0 stands for least squares of minimum norm.
    """

    alpha: float


Shortcut = Multiple | Penalty


def multiple(prompts: Prompts, rates: Float[np.ndarray, " length"]) -> PrefixSolution:
    """Returns w = rate X'y, with a rate for each context length."""
    with jax.enable_x64(True):
        return _multiple(prompts.xs, prompts.ys, jnp.asarray(rates, jnp.float64))


def ridge(
    prompts: Prompts, alpha: float
) -> tuple[PrefixSolution, Bool[np.ndarray, " batch"]]:
    """Returns ridge regression after every prefix, and for which prompts it is right.

    The others are nearly singular after some prefix, and their solution may be NaN.
    """
    with jax.enable_x64(True):
        solution, bounds = _ridge(prompts.xs, prompts.ys, alpha)
    return solution, np.asarray(bounds) <= LIMIT  # which NaN is not


@jax.jit
def _multiple(
    xs: Float[Array, "batch length dim"],
    ys: Float[Array, "batch length"],
    rates: Float[Array, " length"],
) -> PrefixSolution:
    x, y = xs.astype(jnp.float64), ys.astype(jnp.float64)
    before = jnp.pad(_moments(x, y)[:, :-1], ((0, 0), (1, 0), (0, 0)))
    return _rounded(rates[None, :, None] * before, xs)


@jax.jit
def _ridge(
    xs: Float[Array, "batch length dim"],
    ys: Float[Array, "batch length"],
    alpha: Float[Array, ""] | float,
) -> tuple[PrefixSolution, Float[Array, " batch"]]:
    """Returns the solution, and for each prompt a bound on its condition numbers."""
    x, y = xs.astype(jnp.float64), ys.astype(jnp.float64)
    length, dim = x.shape[1:]
    pairs = max(length - 1, 1)  # the last pair is only predicted
    few = min(pairs, dim)
    x, y = x[:, :pairs], y[:, :pairs]
    gram = jnp.einsum("bid,bjd->bij", x[:, :few], x[:, :few], precision="highest")
    grams = gram[None]
    if pairs > dim:
        grams = jnp.concatenate([grams, _long_grams(x)])
    inverses = _inverse_factors(grams + alpha * jnp.eye(few)[None, None])
    weights = [jnp.zeros_like(x[:, :1]), _dual(x[:, :few], y[:, :few], inverses[0])]
    if pairs > dim:
        weights.append(_primal(_moments(x, y)[:, dim:], inverses[1:]))
    largest = jnp.sum(x**2, axis=(1, 2)) + alpha
    traces = jnp.sum(inverses**2, axis=(2, 3))
    # XLA's maximum on CPUs sometimes leaves a NaN out, which a failed factor is.
    known = jnp.isfinite(traces).all(axis=0)
    bound = jnp.where(known, largest * jnp.max(traces, axis=0), jnp.inf)
    return _rounded(jnp.concatenate(weights, axis=1)[:, :length], xs), bound


def _long_grams(
    x: Float[Array, "batch pairs dim"],
) -> Float[Array, "more batch dim dim"]:
    """Returns X'X after d + 1 pairs, d + 2, and so on."""
    dim = x.shape[2]
    gram = jnp.einsum("bid,bie->bde", x[:, :dim], x[:, :dim], precision="highest")

    def add(gram, x):
        gram = gram + x[:, :, None] * x[:, None, :]
        return gram, gram

    # A loop, because `jnp.cumsum` of large terms takes three times as long on CPUs.
    return jax.lax.scan(add, gram, jnp.moveaxis(x[:, dim:], 1, 0))[1]


def _inverse_factors(
    systems: Float[Array, "systems batch few few"],
) -> Float[Array, "systems batch few few"]:
    """Returns L^-1 for each LL'; the sum of its squares is the trace of the inverse.

    All are one call of LAPACK: on CPUs, jaxlib 0.10 can wait forever where two calls of
    one program share its threads.
    """
    factors = jnp.linalg.cholesky(systems, symmetrize_input=False)
    identity = jnp.broadcast_to(jnp.eye(systems.shape[-1]), systems.shape)
    return solve_triangular(factors, identity, lower=True)


def _dual(
    x: Float[Array, "batch few dim"],
    y: Float[Array, "batch few"],
    inverse: Float[Array, "batch few few"],
) -> Float[Array, "batch few dim"]:
    """Returns the weights after 1 to d pairs, as sums of z_j b_j."""
    basis = jnp.einsum("bij,bjd->bid", inverse, x, precision="highest")
    terms = jnp.einsum("bij,bj->bi", inverse, y, precision="highest")
    return jnp.cumsum(terms[..., None] * basis, axis=1)


def _primal(
    moments: Float[Array, "batch more dim"],
    inverses: Float[Array, "more batch dim dim"],
) -> Float[Array, "batch more dim"]:
    """Returns L'^-1 L^-1 X'y."""
    halfway = jnp.einsum("nbij,bnj->nbi", inverses, moments, precision="highest")
    return jnp.einsum("nbij,nbi->bnj", inverses, halfway, precision="highest")


def _moments(
    x: Float[Array, "batch pairs dim"], y: Float[Array, "batch pairs"]
) -> Float[Array, "batch pairs dim"]:
    """Returns X'y of the pairs up to and including each."""
    return jnp.cumsum(x * y[..., None], axis=1)


def _rounded(
    weights: Float[Array, "batch length dim"], inputs: Float[Array, "batch length dim"]
) -> PrefixSolution:
    """Returns weights and predictions, rounded to the inputs' dtype last."""
    predictions = jnp.sum(weights * inputs.astype(jnp.float64), axis=-1)
    return PrefixSolution(
        weights.astype(inputs.dtype), predictions.astype(inputs.dtype)
    )
