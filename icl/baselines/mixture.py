"""The Bayes predictor where weights are normal, or a mixture of normal laws.

A component says w ~ N(m, T) and y = w.x + noise_std e. With K = X T X' + noise_std^2 I
of the whole prompt, L its Cholesky factor, z = L^-1 (y - X m) and B = L^-1 X T, the
posterior mean after i pairs is

    w_i = m + sum_{j < i} B_j z_j,

and the logarithm of the density of the first i labels is - sum_{j < i} (z_j^2 / 2 + log
L_jj) plus a constant: so one factor serves all prefixes. A mixture weighs the w_i of
its components by how probable each of them is after i pairs: identify the component,
then regress towards its mean (Panwar et al. 2023; Lin and Lee 2024, Equation 3). Where
the noise differs instead, the noise is identified, and the penalty follows (Bai et al.
2023).
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from icl.baselines.base import Learner, PrefixSolution, check_queries, predict_linearly
from icl.prompts import Prompts, check_prompts
from icl.tasks import LinearRegression, Mixture, Task
from icl.tasks.laws import matrix_of

JITTER = 1e-10
"""The share of the variance of a label that is always added to that of the noise."""

NEVER = -1e300
"""The logarithm of a probability of 0, which is finite: differences are numbers."""


@dataclass(frozen=True)
class MixturePosterior(Learner):
    """The posterior mean for a linear regression with normal weights, or a mixture.

    It is computed in float64. After i pairs it knows the weights, unless the laws of x
    differ between components: then the input that is asked about says something of the
    component as well, and the answer is not linear in it.

    Attributes:
        task: a `LinearRegression` whose weights and noise are normal, of any mean and
            covariance, or fixed; or a `Mixture` of such.

    Raises:
        ValueError: another task, or one with weights or noise of another law; or
            components with inputs of different laws that are not normal, or rotated.

    Example:
        >>> near, far = (LinearRegression(1, 3, weight_mean=m) for m in (0.0, 4.0))
        >>> learner = MixturePosterior(Mixture((near, far), (0.75, 0.25)))
        >>> prompts = Prompts(np.ones((1, 3, 1)), np.zeros((1, 3)))
        >>> learner(prompts).predictions.round(3).tolist()
        [[1.0, 0.0, 0.0]]
        >>> learner.probabilities(prompts)[0, 1].round(2).tolist()
        [1.0, 0.0]
    """

    task: LinearRegression | Mixture

    def __post_init__(self) -> None:
        why = refusal(self.task)
        if why:
            raise ValueError(
                f"task must be a LinearRegression with normal weights and noise, or a "
                f"Mixture of such: {why}."
            )

    @property
    def name(self) -> str:
        """The label, such as "Bayes(mixture of 2)"."""
        count = len(_parts(self.task))
        return f"Bayes(mixture of {count})" if count > 1 else "Bayes(normal)"

    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns what is known after every prefix; weights unless laws of x differ."""
        xs, *_ = prompts = check_prompts(prompts)
        if _one_law_of_inputs(self.task):
            weights = self._weights(prompts)
            return PrefixSolution(
                weights, predict_linearly(weights, xs[:, :, None])[..., 0]
            )
        return PrefixSolution(None, self.predict_at(prompts, xs[:, :, None])[..., 0])

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions at `queries[:, i]` from the first i pairs."""
        xs, ys, *_ = prompts = check_prompts(prompts)
        if _one_law_of_inputs(self.task):
            return predict_linearly(self._weights(prompts), queries)
        queries = check_queries(queries, like=xs)
        with jax.enable_x64(True):
            return _answers(xs, ys, queries, _components(self.task))

    def probabilities(
        self, prompts: Prompts
    ) -> Float[Array, "batch length components"]:
        """Returns how probable each component is after the first i pairs."""
        xs, ys, *_ = check_prompts(prompts)
        with jax.enable_x64(True):
            return _probabilities(xs, ys, _components(self.task))

    def _weights(self, prompts: Prompts) -> Float[Array, "batch length dim"]:
        with jax.enable_x64(True):
            return _mean_weights(prompts.xs, prompts.ys, _components(self.task))


class _Components(NamedTuple):
    """The laws of all components, each an array whose first axis counts them."""

    logs: Float[Array, " c"]  # of the probabilities
    means: Float[Array, "c dim"]
    covariances: Float[Array, "c dim dim"]
    variances: Float[Array, " c"]  # of the noise
    centres: Float[Array, "c dim"]  # of the inputs
    whitening: Float[Array, "c dim dim"]  # of the inputs; 0 where all are alike


def refusal(task: Task) -> str:
    """Returns why `MixturePosterior` is not the Bayes predictor of a task, or ""."""
    if not isinstance(task, LinearRegression | Mixture):
        return f"got {type(task).__name__}"
    parts = _parts(task)
    for part in parts:
        if not isinstance(part, LinearRegression):
            return f"a component is {type(part).__name__}"
        drawn = part.fixed_weights is None
        if drawn and (part.weight_law != "normal" or part.cap is not None):
            return "its weights have another law"
        if part.noise_law != "normal":
            return f"its noise is {part.noise_law}"
    if _one_law_of_inputs(task):
        return ""
    if any(part.inputs != "normal" or part.rotated for part in parts):
        return "inputs of laws that differ must be normal and not rotated"
    matrices = [matrix_of(part.covariance, part.dim) for part in parts]
    if any(np.linalg.matrix_rank(matrix) < task.dim for matrix in matrices):
        return "inputs of laws that differ must have invertible covariances"
    return ""


def _parts(task: Task) -> tuple[Task, ...]:
    return task.tasks if isinstance(task, Mixture) else (task,)


def _one_law_of_inputs(task: Task) -> bool:
    laws = {(p.inputs, p.covariance, p.mean, p.rotated) for p in _parts(task)}
    return len(laws) == 1


def _components(task: LinearRegression | Mixture) -> _Components:
    parts = [part for part in _parts(task) if isinstance(part, LinearRegression)]
    shares = getattr(task, "probabilities", None) or [1 / len(parts)] * len(parts)
    floor = JITTER * task.normaliser + float(np.finfo(np.float64).tiny)
    dim = task.dim
    whitening = np.zeros((len(parts), dim, dim))
    if not _one_law_of_inputs(task):
        roots = [np.linalg.cholesky(matrix_of(p.covariance, dim)) for p in parts]
        whitening = np.linalg.inv(np.stack(roots))
    with np.errstate(divide="ignore"):  # a component of probability 0
        logs = np.maximum(np.log(np.asarray(shares, float)), NEVER)
    centres = [np.zeros(dim) if p.mean is None else np.asarray(p.mean) for p in parts]
    return _Components(
        jnp.asarray(logs),
        jnp.asarray(np.stack([_mean_of(part) for part in parts])),
        jnp.asarray(np.stack([_weight_covariance(part) for part in parts])),
        jnp.asarray([part.noise_std**2 + floor for part in parts]),
        jnp.asarray(np.stack(centres)),
        jnp.asarray(whitening),
    )


def _mean_of(part: LinearRegression) -> Float[np.ndarray, " dim"]:
    if part.fixed_weights is not None:
        return np.asarray(part.fixed_weights)
    return (
        np.zeros(part.dim) if part.weight_mean is None else np.asarray(part.weight_mean)
    )


def _weight_covariance(part: LinearRegression) -> Float[np.ndarray, "dim dim"]:
    if part.fixed_weights is not None:
        return np.zeros((part.dim, part.dim))
    return part.weight_std**2 * matrix_of(part.weight_covariance, part.dim)


class _Found(NamedTuple):
    """What one component knows after every prefix."""

    weights: Float[Array, "c batch length dim"]
    logs: Float[Array, "c batch length"]  # of its probability, up to a constant


def _posterior(xs: Array, ys: Array, laws: _Components) -> _Found:
    """Returns the posterior means of all components, one component after another."""
    x, y = xs.astype(jnp.float64), ys.astype(jnp.float64)

    def of(law: _Components) -> _Found:
        spread = jnp.einsum("bld,de->ble", x, law.covariances, precision="highest")
        gram = jnp.einsum("bid,bjd->bij", spread, x, precision="highest")
        noise = law.variances * jnp.eye(x.shape[1])
        factor = jnp.linalg.cholesky(gram + noise[None])
        beyond = y - jnp.einsum("bld,d->bl", x, law.means, precision="highest")
        table = solve_triangular(
            factor, jnp.concatenate([spread, beyond[..., None]], axis=2), lower=True
        )
        z = table[..., -1]
        sizes = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2))
        logs = _before(_log_density(x, law) - z**2 / 2 - sizes)
        weights = law.means[None, None] + _before(table[..., :-1] * z[..., None])
        return _Found(weights, law.logs + logs)

    return jax.lax.map(of, laws)


def _before(terms: Array) -> Array:
    """Returns the sums of the terms of all earlier pairs."""
    sums = jnp.cumsum(terms, axis=1)
    return jnp.concatenate([jnp.zeros_like(sums[:, :1]), sums[:, :-1]], axis=1)


def _log_density(x: Float[Array, "*shape dim"], law: _Components) -> Array:
    """Returns the logarithm of the density of inputs; 0 where all laws are alike."""
    centre = law.centres.reshape((1,) * (x.ndim - 1) + (-1,))
    white = jnp.einsum("...d,ed->...e", x - centre, law.whitening, precision="highest")
    sizes = jnp.diagonal(law.whitening)
    scale = jnp.sum(jnp.log(jnp.where(sizes > 0, sizes, 1.0)))
    return scale - jnp.sum(white**2, axis=-1) / 2


@jax.jit
def _probabilities(xs: Array, ys: Array, laws: _Components) -> Array:
    logs = _posterior(xs, ys, laws).logs
    return jnp.moveaxis(jax.nn.softmax(logs, axis=0), 0, -1).astype(xs.dtype)


@jax.jit
def _mean_weights(xs: Array, ys: Array, laws: _Components) -> Array:
    found = _posterior(xs, ys, laws)
    shares = jax.nn.softmax(found.logs, axis=0)
    weights = jnp.einsum("cbl,cbld->bld", shares, found.weights, precision="highest")
    return weights.astype(xs.dtype)


@jax.jit
def _answers(xs: Array, ys: Array, queries: Array, laws: _Components) -> Array:
    """Returns answers where a query says something of the component."""
    found, asked = _posterior(xs, ys, laws), queries.astype(jnp.float64)
    at = jax.lax.map(lambda law: _log_density(asked, law), laws)
    shares = jax.nn.softmax(found.logs[..., None] + at, axis=0)
    said = jnp.einsum("cbld,blqd->cblq", found.weights, asked, precision="highest")
    return jnp.sum(shares * said, axis=0).astype(xs.dtype)
