"""The Bayes predictor where only the functions of a finite pool can occur.

It is the posterior mean over the M functions of the pool ("dMMSE" in Raventós et al.
2023, section 2): after i pairs, function m has the weight

    p_m prod_{j <= i} density of the noise at y_j - f_m(x_j),

which for normal noise is p_m exp(-sum_{j <= i} (y_j - f_m(x_j))^2 / (2 noise_std^2)),
and the prediction is the weighted mean of the f_m. As M grows it becomes the posterior
mean under the law that the pool was drawn from, which is ridge regression for normal
weights and noise.

With normal noise the prior may be smoothed: a normal law of deviation h around the
weights of each function (a kernel density estimate of the law that the pool was drawn
from). With K = h^2 XX' + noise_std^2 I = LL' of the prompt, the labels L^-1 y of the
inputs L^-1 X have unit noise around each function of the pool, so that the mean m of
the functions is that of above for these; and w = m + h^2 sum_j b_j (a_j - b_j.m) for
their pairs (b_j, a_j).

How the pool is gone through is said in `enumeration`.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from icl import checks
from icl.baselines import enumeration
from icl.baselines.base import (
    Learner,
    PrefixSolution,
    check_queries,
    pairs_of,
    predict_linearly,
)
from icl.prompts import Prompts
from icl.tasks.laws import LAWS, Law
from icl.tasks.pools import Pool


@dataclass(frozen=True)
class DiscretePosterior(Learner):
    """The mean over the functions of a pool, weighted by how well they fit.

    After i pairs the share of function m in the mean is, up to a factor,

    $$p_m ∏_{j≤i} q((y_j - f_m(x_j)) / σ)$$

    Here p_m is how probable the function is, σ is noise_std, and q is the density of
    the noise that the pool's task states in `noise_law`, at deviation 1. So the
    likelihood is, up to a factor, exp(-z²/2) for "normal", exp(-√2|z|) for "laplace",
    and (1 + z²/3)^-3 for "student", which is Student's law of 5 degrees of freedom.

    For "uniform" it is 1 where |z| ≤ √3 and 0 elsewhere. Labels that no function of the
    pool can have made, such as those of another task, leave those functions that are
    ruled out by the fewest pairs, each with its prior share: the limit in which any
    label is possible, but hardly ever occurs.

    The mean is computed in float32. For linear functions the weights are the mean of
    the functions' weights; for others there are none. A pool of any size takes some 20
    MB beside the prompts, or a few times what one function needs if that is more.

    Attributes:
        pool: the functions, how probable they are, and the law of the noise.
        noise_std: the standard deviation of the noise that it reckons with, above 0;
            None is that of the pool's task.
        smoothing: the deviation h of a normal law around each function's weights; 0 is
            the pool as it is.

    Raises:
        ValueError: no pool, or no noise: without noise, most contexts rule out every
            function but one or none; or a law of the noise that is unknown; or
            smoothing of functions that are not linear, or of noise that is not normal.

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
        checks.one_of("noise_law of the pool's task", self._noise_law, LAWS)
        checks.normalise(self, checks.finite_number, "smoothing")
        if self.smoothing and not self.pool.linear:
            raise ValueError(
                f"smoothing must be 0 for {type(self.pool.task).__name__}, whose "
                "functions are not linear and have no weights to smooth."
            )
        if self.smoothing and self._noise_law != "normal":
            raise ValueError(
                f"smoothing must be 0 where the noise is {self._noise_law}, got "
                f"{self.smoothing:g}: it has a closed form for normal noise alone."
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
            return PrefixSolution(None, self._means(xs, ys).answers)
        weights = (
            self._smoothed(xs, ys) if self.smoothing else self._means(xs, ys).weights
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
            self._means(xs, ys, queries[:, :, q]).answers
            for q in range(queries.shape[2])
        ]
        return jnp.stack(each, axis=2)

    def _smoothed(
        self, xs: Float[Array, "batch length dim"], ys: Float[Array, "batch length"]
    ) -> Float[Array, "batch length dim"]:
        """Returns the weights after every prefix, with the smoothed prior."""
        with jax.enable_x64(True):
            b, a = _whitened(xs, ys, self.smoothing, self._noise_std)
        mean = enumeration.means(self.pool, "normal", 1.0, b, a).weights
        with jax.enable_x64(True):
            return _corrected(b, a, mean, self.smoothing)

    @property
    def _noise_std(self) -> float:
        return self.pool.task.noise_std if self.noise_std is None else self.noise_std

    @property
    def _noise_law(self) -> Law:
        return self.pool.task.noise_law

    def _means(
        self,
        xs: Float[Array, "batch length dim"],
        ys: Float[Array, "batch length"],
        queries: Float[Array, "batch length dim"] | None = None,
    ) -> enumeration.Means:
        """Returns the weighted means; None asks at xs."""
        return enumeration.means(
            self.pool, self._noise_law, self._noise_std, xs, ys, queries
        )


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
