"""What do a trained transformer and the paper's learners say on fresh prompts?

A learner may stand wherever a transformer does, so that an experiment can be run on one
whose answer is known. Prompts have up to 2d + 1 pairs and were never seen in training.
Forward passes are compiled, run a few hundred prompts at a time, and in full float32
also where a GPU would round.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icl import LinearRegression, Prompts, Transformer
from icl.baselines.base import Learner
from icl.compare import ImpliedWeights, implied_weights

BATCH = 250
"""Prompts in one forward pass."""

STREAM = zlib.crc32(b"evaluation")
"""Keys of evaluation are folded in here, far from those that training folds in."""


def sample(
    task: LinearRegression, count: int, seed: int, *, whole: bool = False
) -> tuple[Prompts, jax.Array]:
    """Prompts of min(length, 2d + 1) pairs, and a key for whatever else is drawn.

    So the longest context has 2d pairs. A causal model says the same in a longer one,
    and in the `whole` of it.
    """
    key = jax.random.fold_in(jax.random.key(seed), STREAM)
    prompts_key, other_key = jax.random.split(key)
    xs, ys, weights = jax.jit(partial(task.sample, batch=count))(prompts_key)
    length = task.length if whole else min(task.length, 2 * task.dim + 1)
    return Prompts(xs[:, :length], ys[:, :length], weights), other_key


def first(prompts: Prompts, count: int) -> Prompts:
    """The first few prompts."""
    return jax.tree.map(lambda array: array[:count], prompts)


def default_queries(dim: int) -> int:
    """New inputs per prefix where no number is asked for.

    With q of them, the fitted weights of a learner whose residual variance is s^2 vary
    by d s^2 / q; that much is subtracted, but its own noise remains.
    """
    return max(20 * dim, 64)


def true_labels(prompts: Prompts) -> jax.Array:
    """The paper's Y: w.x without noise, (prompts, length)."""
    return jnp.sum(prompts.xs * true_weights(prompts), axis=-1)


def true_weights(prompts: Prompts) -> jax.Array:
    """The w that made the labels, once for every prefix, (prompts, length, dim)."""
    assert prompts.weights is not None  # for the type checker: `sample` knows them
    return jnp.broadcast_to(prompts.weights[:, None, :], prompts.xs.shape)


def predictions(learner: Any, prompts: Prompts) -> np.ndarray:
    """What a learner predicts at x_i, (prompts, length)."""
    if not isinstance(learner, Transformer):
        return np.asarray(learner(prompts).predictions)
    return np.concatenate(list(_batched(learner, Transformer.predict, prompts)))


def hidden_states(model: Any, prompts: Prompts) -> np.ndarray:
    """Its residual stream, (layers + 1, prompts, tokens, width)."""
    parts = _batched(model, lambda model, prompts: model(prompts).hidden, prompts)
    return np.concatenate(list(parts), axis=1)


def resumed(model: Any, hidden: np.ndarray, layer: int) -> np.ndarray:
    """What it predicts at the last x from the states at a layer.

    Args:
        model: the transformer.
        hidden: states, edited or not, (prompts, tokens, width).
        layer: where they stand.

    Returns:
        (prompts,).
    """
    parts = _batched(
        model, lambda model, part: model.resume(part, layer).predictions[:, -1], hidden
    )
    return np.concatenate(list(parts))


def implied(
    learners: Sequence[Any],
    task: LinearRegression,
    prompts: Prompts,
    count: int | None,
    key: jax.Array,
) -> list[ImpliedWeights]:
    """Linear functions fitted to what each learner predicts at `count` new inputs.

    Every learner gets inputs of its own, so that no two fits share their errors.
    """
    shape = (*prompts.ys.shape, count or default_queries(task.dim))
    keys = jax.random.split(key, len(learners))
    fits = []
    for learner, own_key in zip(learners, keys, strict=True):
        at = task.sample_inputs(own_key, shape)
        parts = [
            implied_weights(some, predicted)
            for (_, some), predicted in zip(
                _slices(prompts, at), _predict_at(learner, prompts, at), strict=True
            )
        ]
        fits.append(ImpliedWeights(*map(np.concatenate, zip(*parts, strict=True))))
    return fits


def _predict_at(
    learner: Transformer | Learner, prompts: Prompts, at: jax.Array
) -> Iterator[np.ndarray]:
    """Predictions at new inputs, one batch of prompts after the other."""
    if isinstance(learner, Transformer):
        return _batched(learner, Transformer.predict_at, prompts, at)
    return (np.asarray(learner.predict_at(*part)) for part in _slices(prompts, at))


def _batched(
    model: Any, function: Callable[..., jax.Array], *arrays: Any
) -> Iterator[np.ndarray]:
    """`function(model, *arrays)`, compiled once, for slices of the prompts."""
    graphdef, params = nnx.split(model)

    @jax.jit
    def apply(params: Any, *arrays: Any) -> jax.Array:
        return function(nnx.merge(graphdef, params), *arrays)

    for part in _slices(*arrays):
        with jax.default_matmul_precision("highest"):
            result = apply(params, *part)
        yield np.asarray(result)


def _slices(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """The arrays (or tuples of arrays) cut into batches along their first axis."""
    count = len(jax.tree.leaves(arrays)[0])
    for start in range(0, count, BATCH):
        yield jax.tree.map(lambda array, s=start: array[s : s + BATCH], arrays)
