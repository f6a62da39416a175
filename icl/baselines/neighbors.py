"""The learner that remembers: k nearest neighbours in the context.

Distances are Euclidean, between the query and the earlier inputs of the same prompt.
"""

import functools
from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from icl import checks
from icl.baselines.base import Learner, PrefixSolution, check_queries, pairs_of
from icl.prompts import Prompts, check_prompts

Weighting = Literal["uniform", "distance", "inverse"]


@dataclass(frozen=True)
class NearestNeighbors(Learner):
    """The mean label of the `k` nearest earlier inputs, or of all if there are fewer.

    It is not linear in the query, so that its weights are None. It may be called inside
    jit.

    Attributes:
        k: number of neighbours.
        weighting: "uniform"; "distance" for weights |x - x_j|^-2, as the text of
            Akyürek et al. (2023) has it; or "inverse" for weights |x - x_j|^-1, as the
            released codes of Akyürek et al. and Garg et al. and scikit-learn's
            `weights="distance"` have it. Weights are normalised. If they depend on the
            distance, neighbours at distance 0 take all the weight, in equal parts. Of
            equally near neighbours, the earlier is taken first.

    Raises:
        ValueError: k is not an integer >= 1, or the weighting is unknown.

    Example:
        >>> import numpy as np
        >>> xs, ys = np.array([[[0.0], [3.0], [1.0]]]), np.array([[1.0, 6.0, 0.0]])
        >>> prompts = Prompts(xs, ys)
        >>> NearestNeighbors(2)(prompts).predictions.tolist()
        [[0.0, 1.0, 3.5]]
        >>> NearestNeighbors(2, "distance")(prompts).predictions.tolist()
        [[0.0, 1.0, 2.0]]
        >>> round(NearestNeighbors(2, "inverse")(prompts).predictions[0, 2].item(), 4)
        2.6667
    """

    k: int = 3
    weighting: Weighting = "uniform"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "k")
        checks.one_of("weighting", self.weighting, get_args(Weighting))

    @property
    def name(self) -> str:
        """The label: "3-NN uniform", "3-NN weighted" ("distance") or "3-NN inverse"."""
        label = "weighted" if self.weighting == "distance" else self.weighting
        return f"{self.k}-NN {label}"

    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns predictions after every prefix of every prompt; weights are None."""
        prompts = check_prompts(prompts)
        predictions = self.predict_at(prompts, prompts.xs[:, :, None, :])
        return PrefixSolution(None, predictions[:, :, 0])

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions at `queries[:, i]` from the first i pairs."""
        xs, ys = pairs_of(prompts)
        queries = check_queries(queries, like=xs)
        return _predict(xs, ys, queries, self.k, self.weighting)


@functools.partial(jax.jit, static_argnames=("k", "weighting"))
def _predict(
    xs: Float[Array, "batch length dim"],
    ys: Float[Array, "batch length"],
    queries: Float[Array, "batch length queries dim"],
    k: int,
    weighting: Weighting,
) -> Float[Array, "batch length queries"]:
    xs, queries = _scaled(xs, queries)
    predict = functools.partial(_predict_one, k=k, weighting=weighting)
    over_queries = jax.vmap(predict, in_axes=(None, None, 0, None))
    over_contexts = jax.vmap(over_queries, in_axes=(None, None, 0, 0))
    over_prompts = jax.vmap(over_contexts, in_axes=(0, 0, 0, None))
    return over_prompts(xs, ys, queries, jnp.arange(xs.shape[1]))


def _scaled(
    xs: Float[Array, "batch length dim"],
    queries: Float[Array, "batch length queries dim"],
) -> tuple[Float[Array, "batch length dim"], Float[Array, "batch length queries dim"]]:
    """Returns each prompt in a unit in which squared distances stay in range.

    The unit is a power of two, which changes no digit, and makes the largest coordinate
    so large that the squares of 2^20 of them can still be added up.
    """
    limits = jnp.finfo(xs.dtype)
    sizes = jnp.max(jnp.abs(xs), axis=(1, 2))
    largest = jnp.maximum(sizes, jnp.max(jnp.abs(queries), axis=(1, 2, 3), initial=0.0))
    _, exponents = jnp.frexp(jnp.maximum(largest, limits.tiny))
    powers = limits.maxexp // 2 - 14 - exponents
    # In two steps, as the whole factor may be beyond the dtype.
    for power in (powers // 2, powers - powers // 2):
        factor = jnp.ldexp(jnp.ones_like(largest), power)
        xs = xs * factor[:, None, None]
        queries = queries * factor[:, None, None, None]
    return xs, queries


def _predict_one(
    xs: Float[Array, "length dim"],
    ys: Float[Array, " length"],
    query: Float[Array, " dim"],
    context: Int[Array, ""],
    k: int,
    weighting: Weighting,
) -> Float[Array, ""]:
    """Returns the prediction at one query, from the first `context` pairs."""
    # Differences, not |x|^2 - 2x.q + |q|^2: an exact match must be at distance 0.
    squares = jnp.sum((xs - query[None, :]) ** 2, axis=-1)
    earlier = jnp.arange(len(ys)) < context
    squares = jnp.where(earlier, squares, jnp.inf)
    farness, nearest = jax.lax.top_k(-squares, min(k, len(ys)))
    weights = jnp.ones_like(farness)
    if weighting != "uniform":
        # In units of the nearest: no overflow, and 0 / 0 is a match, so 1.
        weights = jnp.where(farness == farness[0], 1.0, farness[0] / farness)
    if weighting == "inverse":
        weights = jnp.sqrt(weights)  # the ratio was one of squared distances
    weights = jnp.where(earlier[nearest], weights, 0.0)
    total = jnp.sum(weights)
    return jnp.sum(weights * ys[nearest]) / jnp.where(total > 0, total, 1.0)
