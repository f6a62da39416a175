"""The Bayes predictor where only the functions of a finite pool can occur.

It is the posterior mean over the M functions of the pool ("dMMSE" in Raventós et al.
2023, section 2): after i pairs, function m has the weight

    p_m exp(-sum_{j <= i} (y_j - f_m(x_j))^2 / (2 noise_std^2)),

and the prediction is the weighted mean of the f_m. As M grows it becomes the posterior
mean under the law that the pool was drawn from, which is ridge regression for normal
weights.

The prior may be smoothed: a normal law of deviation h around the weights of each
function (a kernel density estimate of the law that the pool was drawn from). With K =
h^2 XX' + noise_std^2 I = LL' of the prompt, the labels L^-1 y of the inputs L^-1 X have
unit noise around each function of the pool, so that the mean m of the functions is that
of above for these; and w = m + h^2 sum_j b_j (a_j - b_j.m) for their pairs (b_j, a_j).

The pool is gone through in parts, with the largest exponent so far taken out of every
sum, so that 2^20 functions need little memory and no exponent overflows.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

from icl import checks
from icl.baselines.base import (
    Learner,
    PrefixSolution,
    check_queries,
    pairs_of,
    predict_linearly,
)
from icl.prompts import Prompts
from icl.tasks.pools import Pool

FUNCTIONS, PROMPTS = 2**11, 2**8
"""How many functions and prompts are looked at together: some 10 MB at a time."""

NEVER = -1e30
"""An exponent whose power is 0, and which is finite: differences are numbers."""


@dataclass(frozen=True)
class DiscretePosterior(Learner):
    """The mean over the functions of a pool, weighted by how well they fit.

    After i pairs the share of function m in the mean is, up to a factor,

    $$p_m exp(-∑_{j≤i} (y_j - f_m(x_j))² / (2σ²))$$

    Here p_m is how probable the function is, and σ is noise_std. The mean is computed
    in float32. For linear functions the weights are the mean of the functions' weights;
    for others there are none.

    Attributes:
        pool: the functions, and how probable they are.
        noise_std: the standard deviation of the noise that it reckons with, above 0;
            None is that of the pool's task.
        smoothing: the deviation h of a normal law around each function's weights; 0 is
            the pool as it is.

    Raises:
        ValueError: no pool, or no noise: without noise, most contexts rule out every
            function but one or none; or smoothing of functions that are not linear.

    Example:
        >>> from icl import LinearRegression
        >>> pool = Pool(LinearRegression(dim=2, length=3, noise_std=0.5), size=1)
        >>> prompts = pool.sample(jax.random.key(1), batch=1)
        >>> learnt = DiscretePosterior(pool)(prompts).weights
        >>> bool(jnp.allclose(learnt, prompts.weights[:, None]))
        True
    """

    pool: Pool
    noise_std: float | None = None
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        checks.of_kind("pool", self.pool, Pool, "an icl.tasks.Pool")
        if self.noise_std is None and not self.pool.task.noise_std > 0:
            raise ValueError(
                "the pool's task has no noise, and the posterior needs some: give "
                "noise_std above 0, or a task with noise."
            )
        if self.noise_std is not None:
            checks.normalise(self, checks.finite_number, "noise_std", positive=True)
        checks.normalise(self, checks.finite_number, "smoothing")
        if self.smoothing and not self.pool.linear:
            raise ValueError(
                f"smoothing must be 0 for {type(self.pool.task).__name__}, whose "
                "functions are not linear and have no weights to smooth."
            )

    @property
    def name(self) -> str:
        """The label, such as "dMMSE(64)" or, smoothed, "dMMSE(64, 0.1)"."""
        smoothing = f", {self.smoothing:g}" if self.smoothing else ""
        return f"dMMSE({self.pool.size}{smoothing})"

    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns what is known after every prefix; weights where f is linear."""
        xs, ys = pairs_of(prompts)
        if not self.pool.linear:
            return PrefixSolution(None, self._sums(xs, ys).answers)
        weights = (
            self._smoothed(xs, ys) if self.smoothing else self._sums(xs, ys).weights
        )
        return PrefixSolution(weights, jnp.sum(weights * xs, axis=-1))

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions at `queries[:, i]` from the first i pairs."""
        if self.pool.linear:
            weights = self(prompts).weights
            assert weights is not None
            return predict_linearly(weights, queries)
        xs, ys = pairs_of(prompts)
        queries = check_queries(queries, like=xs)
        each = [
            self._sums(xs, ys, queries[:, :, q]).answers
            for q in range(queries.shape[2])
        ]
        return jnp.stack(each, axis=2)

    def _smoothed(
        self, xs: Float[Array, "batch length dim"], ys: Float[Array, "batch length"]
    ) -> Float[Array, "batch length dim"]:
        """Returns the weights after every prefix, with the smoothed prior."""
        with jax.enable_x64(True):
            b, a = _whitened(xs, ys, self.smoothing, self._noise_std)
        mean = self._sums(b, a, noise_std=1.0).weights
        with jax.enable_x64(True):
            return _corrected(b, a, mean, self.smoothing)

    @property
    def _noise_std(self) -> float:
        return self.pool.task.noise_std if self.noise_std is None else self.noise_std

    def _sums(
        self,
        xs: Float[Array, "batch length dim"],
        ys: Float[Array, "batch length"],
        queries: Float[Array, "batch length dim"] | None = None,
        *,
        noise_std: float | None = None,
    ) -> "_Found":
        """Returns the weighted means, for some prompts at a time; None asks at xs."""
        noise_std = self._noise_std if noise_std is None else noise_std
        arrays = xs, ys, queries
        parts = [
            _means(
                self.pool,
                noise_std,
                *jax.tree.map(lambda a, s=s: a[s : s + PROMPTS], arrays),
            )
            for s in range(0, len(xs), PROMPTS)
        ]
        return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *parts)


class _Found(NamedTuple):
    """Weighted means over a pool.

    Attributes:
        weights: of the functions' weights; of no entries where they have none.
        answers: of what the functions say about the queries; 0 for linear functions,
            whose weights say it.
    """

    weights: Float[Array, "batch length width"]
    answers: Float[Array, "batch length"]


class _Sums(NamedTuple):
    """Weighted sums over the functions so far, relative to the largest exponent.

    Attributes:
        largest: the largest exponent.
        table: of the functions' weights, if they are linear, and of 1.
        answers: of what they say about the query, if they are not.
    """

    largest: Float[Array, "length batch"]
    table: Float[Array, "length batch columns"]
    answers: Float[Array, "length batch"]


@jax.jit
def _whitened(
    xs: Float[Array, "batch length dim"],
    ys: Float[Array, "batch length"],
    smoothing: Float[Array, ""] | float,
    noise_std: Float[Array, ""] | float,
) -> tuple[Float[Array, "batch length dim"], Float[Array, "batch length"]]:
    """Returns pairs whose noise is 1 around each function of the pool."""
    x, y = xs.astype(jnp.float64), ys.astype(jnp.float64)
    gram = smoothing**2 * jnp.einsum("bid,bjd->bij", x, x, precision="highest")
    factor = jnp.linalg.cholesky(gram + noise_std**2 * jnp.eye(x.shape[1])[None])
    pairs = jnp.concatenate([x, y[..., None]], axis=2)
    pairs = solve_triangular(factor, pairs, lower=True).astype(xs.dtype)
    return pairs[..., :-1], pairs[..., -1]


@jax.jit
def _corrected(
    b: Float[Array, "batch length dim"],
    a: Float[Array, "batch length"],
    mean: Float[Array, "batch length dim"],
    smoothing: Float[Array, ""] | float,
) -> Float[Array, "batch length dim"]:
    """Returns m + h^2 sum_j b_j (a_j - b_j.m) of the module's text."""
    b64, a64, m = (array.astype(jnp.float64) for array in (b, a, mean))
    earlier = jnp.tril(jnp.ones((b.shape[1], b.shape[1])), -1)
    left = a64[:, None] - jnp.einsum("bld,bjd->blj", m, b64, precision="highest")
    added = jnp.einsum("blj,bjd->bld", left * earlier[None], b64, precision="highest")
    return (m + smoothing**2 * added).astype(b.dtype)


@functools.partial(jax.jit, static_argnames="pool")
def _means(
    pool: Pool,
    noise_std: Float[Array, ""] | float,
    xs: Float[Array, "batch length dim"],
    ys: Float[Array, "batch length"],
    queries: Float[Array, "batch length dim"] | None = None,
) -> _Found:
    batch, length, dim = xs.shape
    together = min(pool.size, FUNCTIONS)
    by_pair = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0), (xs, ys, queries))
    prior = _log_prior(pool, together)

    def some_functions(sums: _Sums, start: Int[Array, ""]) -> tuple[_Sums, None]:
        index = start + jnp.arange(together)
        functions = pool.members(jnp.minimum(index, pool.size - 1))
        exponents = jax.lax.dynamic_slice(prior, (start,), (together,))
        table = jnp.ones((together, 1), xs.dtype)
        if pool.linear:
            table = jnp.concatenate([functions["weights"], table], axis=1)

        def values(x: Float[Array, "batch dim"]) -> Float[Array, "batch together"]:
            if pool.linear:
                return jnp.matmul(x, table[:, :-1].T, precision="highest")
            everywhere = jnp.broadcast_to(x[None], (together, batch, dim))
            return pool.values(functions, everywhere).T

        def one_pair(misfit, pair):
            x, y, query, before = pair
            said = values(x)
            logits = exponents[None] - misfit / (2 * noise_std**2)
            largest = jnp.maximum(before.largest, logits.max(axis=1))
            kept = jnp.exp(before.largest - largest)
            shares = jnp.exp(logits - largest[:, None])
            added = jnp.matmul(shares, table, precision="highest")
            answers = before.answers
            if not pool.linear:
                asked = said if query is None else values(query)
                answers = answers * kept + (shares * asked).sum(axis=1)
            after = _Sums(largest, before.table * kept[:, None] + added, answers)
            return misfit + jnp.square(y[:, None] - said), after

        nothing = jnp.zeros((batch, together), xs.dtype)
        return jax.lax.scan(one_pair, nothing, (*by_pair, sums))[1], None

    columns = 1 + (dim if pool.linear else 0)
    start = _Sums(
        jnp.full((length, batch), NEVER, xs.dtype),
        jnp.zeros((length, batch, columns), xs.dtype),
        jnp.zeros((length, batch), xs.dtype),
    )
    starts = jnp.arange(0, pool.size, together)
    found, _ = jax.lax.scan(some_functions, start, starts)
    total = found.table[..., -1]
    means = _Found(found.table[..., :-1] / total[..., None], found.answers / total)
    return jax.tree.map(lambda array: jnp.moveaxis(array, 0, 1), means)


def _log_prior(pool: Pool, together: int) -> Float[np.ndarray, " padded"]:
    """Returns the logarithm of every probability, filled up with ones of zero."""
    shares = np.ones(pool.size) if pool.probabilities is None else pool.probabilities
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(np.asarray(shares)), NEVER)
    missing = -pool.size % together
    return np.pad(logs, (0, missing), constant_values=NEVER).astype(np.float32)
