"""The base of every learner: what it can be asked about each prefix of a prompt.

A learner is a frozen dataclass of hyper-parameters. Called on prompts, it returns its
weights and predictions after *every* prefix at once. Index i is the context length:
entry i is known from the first i pairs and predicts y_i at x_i, so i = 0 is known from
nothing. All learners start from w = 0 and predict 0 there.

Shapes: weights (batch, length, dim), predictions (batch, length).
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from icl import checks
from icl.prompts import Prompts, check_prompts


class PrefixSolution(NamedTuple):
    """What a learner knows after each prefix, in the dtype of the prompts' inputs.

    Inputs of a shorter dtype than float32 are made float32 first.

    Attributes:
        weights: w after the first i pairs, (batch, length, dim); None for a learner
            that is not linear in the query.
        predictions: the prediction of y_i at x_i from the i pairs before it,
            (batch, length).
    """

    weights: Float[Array, "batch length dim"] | None
    predictions: Float[Array, "batch length"]


class Learner(ABC):
    """A learning algorithm with its hyper-parameters.

    Subclasses are frozen dataclasses that validate in the constructor, print, compare
    and hash, so that a learner can be an axis label or a dictionary key.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """A short label for legends and axes, such as "Ridge(0.1)"."""

    @abstractmethod
    def __call__(self, prompts: Prompts) -> PrefixSolution:
        """Returns weights and predictions after every prefix of every prompt."""

    @abstractmethod
    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length queries dim"]
    ) -> Float[Array, "batch length queries"]:
        """Returns predictions at `queries[:, i]`, not at x_i, after the first i pairs.

        Raises:
            ValueError: the queries have another shape, or hold NaN or infinity.
        """


def pairs_of(
    prompts: Prompts,
) -> tuple[Float[Array, "batch length dim"], Float[Array, "batch length"]]:
    """Returns inputs and labels, the labels in the dtype of the inputs."""
    xs, ys, *_ = check_prompts(prompts)
    if ys.dtype != xs.dtype:
        ys = ys.astype(xs.dtype)
        checks.all_finite("ys", ys)  # once more: 1e300 is not, in float32
    return xs, ys


def check_queries(
    queries: Float[Array, "batch length queries dim"],
    like: Float[Array, "batch length dim"],
) -> Float[Array, "batch length queries dim"]:
    """Returns the queries in the dtype of `like`; batch, length and dim must agree."""
    batch, length, dim = like.shape
    axes = "(batch, length, queries, dim)"
    queries = checks.array("queries", queries, (batch, length, None, dim), axes)
    queries = jnp.asarray(queries, like.dtype)
    checks.all_finite("queries", queries)  # once more: 1e300 is not, in float32
    return queries


def predict_linearly(
    weights: Float[Array, "batch length dim"],
    queries: Float[Array, "batch length queries dim"],
) -> Float[Array, "batch length queries"]:
    """Returns w.x for every query after every prefix."""
    queries = check_queries(queries, like=weights)
    # A GPU would otherwise round the factors to TF32, which has three digits.
    return jnp.einsum("bld,blqd->blq", weights, queries, precision="highest")
