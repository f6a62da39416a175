"""What does any learner predict on fresh prompts, at full precision?

A learner is a transformer, a textbook learner of `icl.baselines`, or anything that,
called on prompts, returns predictions or an object with `.predictions`. Transformers
are compiled and run on a few hundred prompts at a time; products are float32 even where
a GPU would round.

Shapes: predictions (batch, length), or (batch, slots) for other codecs than pairs.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icl import checks
from icl.codecs import Pairs
from icl.model.transformer import Transformer
from icl.prompts import Prompts
from icl.tasks.base import Task, check_is_task

BATCH = 250
"""The number of prompts in one forward pass."""

STREAM = zlib.crc32(b"evaluation")
"""The number folded into keys of evaluation, far from those that training folds in."""


def sample(
    task: Task, count: int, seed: int, *, whole: bool = False
) -> tuple[Any, jax.Array]:
    """Draws prompts that no training has seen, and a key for other random numbers.

    They are drawn in float32, also where float64 is on. Prompts are cut to
    min(length, 2d + 1) pairs, so that the longest context has 2d pairs; a causal model
    predicts the same in longer prompts. With `whole` they are not cut.
    """
    check_is_task(task)
    count = checks.positive_int("count", count)
    seed = checks.positive_int("seed", seed, minimum=0)
    key = jax.random.fold_in(jax.random.key(seed), STREAM)
    prompts_key, other_key = jax.random.split(key)
    with jax.enable_x64(False):  # where the same key draws other numbers
        prompts = jax.jit(partial(task.sample, batch=count))(prompts_key)
    codec = task.codec
    if checks.flag("whole", whole) or not isinstance(codec, Pairs):
        return prompts, other_key
    return cut(prompts, min(codec.length, 2 * codec.dim + 1)), other_key


def cut(prompts: Prompts, length: int) -> Prompts:
    """Returns the prompts with their first pairs only."""
    return prompts._replace(xs=prompts.xs[:, :length], ys=prompts.ys[:, :length])


def first(prompts: Any, count: int) -> Any:
    """Returns the first few prompts of a batch."""
    return jax.tree.map(lambda array: array[:count], prompts)


def default_queries(dim: int) -> int:
    """Returns the default number of new inputs that are asked after each prefix.

    With q of them, the fitted weights of a learner whose residual variance is s^2 vary
    by d s^2 / q; that much is subtracted, but its own noise remains.
    """
    return max(20 * checks.positive_int("dim", dim), 64)


def true_labels(prompts: Prompts) -> jax.Array:
    """Returns w.x without noise, (prompts, length): the Y of Akyürek et al. 2023.

    Raises:
        ValueError: the prompts do not hold their weights.
    """
    weights = true_weights(prompts)
    return jnp.sum(prompts.xs * weights, axis=-1)


def true_weights(prompts: Prompts) -> jax.Array:
    """Returns the w that made the labels, for every prefix, (prompts, length, dim).

    Raises:
        ValueError: the prompts do not hold their weights.
    """
    checks.of_kind("prompts", prompts, Prompts, "a batch, icl.Prompts(xs, ys)")
    if prompts.weights is None:
        raise ValueError(
            "prompts must hold the weights that made their labels, and have none; they "
            "are of a task whose functions are not linear, or of your own data."
        )
    return jnp.broadcast_to(prompts.weights[:, None, :], prompts.xs.shape)


def predictions(learner: Any, batch: Any) -> np.ndarray:
    """Returns what a learner predicts, (prompts, length) or (prompts, slots)."""
    if isinstance(learner, Transformer):
        return np.concatenate(list(_batched(learner, Transformer.predict, batch)))
    with jax.default_matmul_precision("highest"):
        output = learner(batch)
    return np.asarray(getattr(output, "predictions", output))


def predictions_at(
    learner: Any, prompts: Prompts, queries: jax.Array
) -> Iterator[np.ndarray]:
    """Yields predictions at new inputs (batch, length, q), batch after batch.

    `slices(prompts, queries)` yields the prompts and inputs of the same batches.
    """
    if isinstance(learner, Transformer):
        return _batched(learner, Transformer.predict_at, prompts, queries)
    return (np.asarray(learner.predict_at(*part)) for part in slices(prompts, queries))


def hidden_states(model: Any, batch: Any) -> np.ndarray:
    """Returns a model's residual stream, (layers + 1, prompts, tokens, width)."""
    parts = _batched(model, lambda model, batch: model(batch).hidden, batch)
    return np.concatenate(list(parts), axis=1)


def resumed(model: Any, hidden: np.ndarray, layer: int) -> np.ndarray:
    """Returns what a model predicts at its last slot from the states at a layer.

    Args:
        model: the transformer.
        hidden: the states, edited or not, (prompts, tokens, width).
        layer: the layer of these states.

    Returns:
        The predictions, (prompts,).
    """
    parts = _batched(
        model, lambda model, part: model.resume(part, layer).predictions[:, -1], hidden
    )
    return np.concatenate(list(parts))


def slices(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Yields the arrays (or tuples of arrays) in batches along their first axis."""
    count = len(jax.tree.leaves(arrays)[0])
    for start in range(0, count, BATCH):
        yield jax.tree.map(lambda array, s=start: array[s : s + BATCH], arrays)


def _batched(
    model: Any, function: Callable[..., jax.Array], *arrays: Any
) -> Iterator[np.ndarray]:
    """Yields `function(model, *arrays)`, compiled once, for batches of prompts."""
    graphdef, params = nnx.split(model)

    @jax.jit
    def apply(params: Any, *arrays: Any) -> jax.Array:
        return function(nnx.merge(graphdef, params), *arrays)

    for part in slices(*arrays):
        with jax.default_matmul_precision("highest"):
            result = apply(params, *part)
        yield np.asarray(result)
