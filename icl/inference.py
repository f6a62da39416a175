"""What does any learner predict on fresh prompts, at full precision?

A learner is a transformer, a textbook learner of `icl.baselines`, or anything that,
called on prompts, returns predictions or an object with `.predictions`. Transformers
are compiled and run on a few hundred prompts at a time; products are float32 even where
a GPU would round.

Shapes: predictions (batch, length), or (batch, slots) for other codecs than pairs.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import ArrayLike, Float

from icl import checks
from icl.arrays import real, shown
from icl.codecs import Pairs
from icl.model.transformer import Transformer
from icl.prompts import Prompts, check_prompts
from icl.tasks import drawing
from icl.tasks.base import Task, check_is_task
from icl.tasks.shifts import Shifted

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

    Raises:
        ValueError: there is no such task, count or seed.
    """
    check_is_task(task)
    count = checks.positive_int("count", count)
    seed = checks.positive_int("seed", seed, minimum=0)
    whole = checks.flag("whole", whole)
    key = jax.random.fold_in(jax.random.key(seed), STREAM)
    prompts_key, other_key = jax.random.split(key)
    with jax.enable_x64(False):  # where the same key draws other numbers
        prompts = drawing.compiled_sample(task, count, prompts_key)(prompts_key)
    codec = task.codec
    if whole or not isinstance(codec, Pairs):
        return prompts, other_key
    return cut(prompts, min(codec.length, 2 * codec.dim + 1)), other_key


def cut(prompts: Prompts, length: int) -> Prompts:
    """Returns the prompts with their first pairs only.

    Raises:
        ValueError: these are no prompts, or no length.
    """
    checks.of_kind("prompts", prompts, Prompts, "a batch, icl.Prompts(xs, ys)")
    length = checks.positive_int("length", length)
    return prompts._replace(xs=prompts.xs[:, :length], ys=prompts.ys[:, :length])


def first(prompts: Any, count: int) -> Any:
    """Returns the first few prompts of a batch.

    Raises:
        ValueError: this is no batch, or no number of prompts.
    """
    _check_batch("prompts", prompts)
    count = checks.positive_int("count", count)
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
    return jnp.sum(check_prompts(prompts).xs * weights, axis=-1)


def true_weights(prompts: Prompts) -> jax.Array:
    """Returns the w that made the labels, for every prefix, (prompts, length, dim).

    Raises:
        ValueError: the prompts do not hold their weights.
    """
    prompts = check_prompts(prompts)
    if prompts.weights is None:
        raise ValueError(
            "prompts must hold the weights that made their labels, and have none; they "
            "are of a task whose functions are not linear, or of your own data."
        )
    return jnp.broadcast_to(prompts.weights[:, None, :], prompts.xs.shape)


def predictions(learner: Any, batch: Any) -> np.ndarray:
    """Returns what a learner predicts, (prompts, length) or (prompts, slots).

    Raises:
        ValueError: this is no learner, it refuses the batch, or it returns no numbers.
    """
    if isinstance(learner, Transformer):
        batch = learner.codec.check(batch)
        return np.concatenate(list(_batched(learner, Transformer.predict, batch)))
    if isinstance(learner, type):
        raise ValueError(
            f"learner must be an instance, got the class; write {learner.__name__}()."
        )
    wanted = "a transformer, a learner of icl.baselines or a function of prompts"
    checks.of_kind("learner", learner, Callable, wanted)
    with jax.default_matmul_precision("highest"):
        output = learner(batch)
    found = getattr(output, "predictions", output)
    return np.asarray(real("the predictions of learner", found))


def predictions_at(
    learner: Any, prompts: Prompts, queries: Float[ArrayLike, "batch length q dim"]
) -> Iterator[np.ndarray]:
    """Yields predictions at new inputs (batch, length, q), batch after batch.

    `slices(prompts, queries)` yields the prompts and inputs of the same batches.

    Raises:
        ValueError: the learner cannot be asked at new inputs, the prompts are refused,
            or the inputs have another shape or are not finite.
    """
    if isinstance(learner, type) or not hasattr(learner, "predict_at"):
        raise ValueError(
            "learner must be a transformer or a learner with a method predict_at, got "
            f"{shown(learner)}."
        )
    prompts = check_prompts(prompts)
    sizes, axes = (
        (*prompts.ys.shape, None, prompts.xs.shape[2]),
        "(batch, length, q, dim)",
    )
    queries = checks.array("queries", checks.floats("queries", queries), sizes, axes)
    if isinstance(learner, Transformer):
        return _batched(learner, Transformer.predict_at, prompts, queries)
    return (np.asarray(learner.predict_at(*part)) for part in slices(prompts, queries))


def gradients(model: Transformer, prompts: Prompts) -> np.ndarray:
    """Returns the gradients of predictions by the input that is asked about.

    Entry i is the gradient of prediction i by x_i, from the i pairs before it; for a
    linear learner it would be its weights.

    Returns:
        The gradients, (prompts, length, dim).

    Raises:
        ValueError: this is no transformer, or it refuses the prompts.
    """
    checks.of_kind("model", model, Transformer, "a transformer")
    prompts = check_prompts(model.codec.check(prompts))
    return np.concatenate(list(_batched(model, _gradient, prompts)))


def _gradient(model: Transformer, prompts: Prompts) -> jax.Array:
    def total(queries: jax.Array) -> jax.Array:  # each prediction has its own query
        return model.predict_at(prompts, queries).sum()

    return jax.grad(total)(prompts.xs[:, :, None])[:, :, 0]


def answers(learner: Any, shifted: Shifted) -> np.ndarray:
    """Returns what a learner answers to shifted prompts, (batch, length).

    Entry i is known from the first i pairs, and about the query there if the shift has
    queries of its own.
    """
    checks.of_kind("shifted", shifted, Shifted, "what a shift returns")
    if shifted.queries is None:
        return predictions(learner, shifted.prompts)
    queries = shifted.queries[:, :, None, :]
    found = list(predictions_at(learner, shifted.prompts, queries))
    return np.concatenate(found)[..., 0]


def hidden_states(model: Any, batch: Any) -> np.ndarray:
    """Returns a model's residual stream, (layers + 1, prompts, tokens, width).

    Args:
        model: a `Transformer`, or a module of your own that returns an object with
            `.hidden` when it is called on a batch.
        batch: the batch, such as `Prompts`.

    Raises:
        ValueError: this is no module, or it refuses the batch.
    """
    checks.of_kind("model", model, nnx.Module, "a transformer, or a module of flax.nnx")
    if isinstance(model, Transformer):
        batch = model.codec.check(batch)
    _check_batch("batch", batch)
    return np.concatenate(list(_batched(model, _hidden, batch)), axis=1)


def resumed(model: Any, hidden: np.ndarray, layer: int) -> np.ndarray:
    """Returns what a model predicts at its last slot from the states at a layer.

    Args:
        model: a `Transformer`, or a module of your own with a method
            `resume(hidden, layer)` that returns an object with `.predictions`.
        hidden: the states, edited or not, (prompts, tokens, width).
        layer: the layer of these states.

    Returns:
        The predictions, (prompts,).

    Raises:
        ValueError: this is no module, it has no such layer, or the states have another
            width or are not finite.
    """
    checks.of_kind("model", model, nnx.Module, "a transformer, or a module of flax.nnx")
    ours = model if isinstance(model, Transformer) else None
    deepest = {"maximum": len(ours.body)} if ours else {}
    layer = checks.positive_int("layer", layer, minimum=0, **deepest)
    sizes = None, None, ours.config.width if ours else None
    axes = "(prompts, tokens, width)"
    hidden = checks.array("hidden", checks.floats("hidden", hidden), sizes, axes)
    hidden = np.asarray(hidden)
    return np.concatenate(list(_batched(model, _resuming(layer), hidden)))


def slices(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Returns arrays (or tuples of arrays) in batches along their first axis.

    Raises:
        ValueError: they have no first axis in common.
    """
    count = _check_batch("arrays", arrays)
    parts = (slice(start, start + BATCH) for start in range(0, count, BATCH))
    return (jax.tree.map(itemgetter(part), arrays) for part in parts)


def _check_batch(name: str, batch: Any) -> int:
    """Returns the number of prompts of a batch, whose arrays have one in common."""
    shapes = [np.shape(array) for array in jax.tree.leaves(batch)]
    if not shapes or () in shapes or len({shape[0] for shape in shapes}) > 1:
        raise ValueError(
            f"{name} must be a batch, arrays with the same number of prompts on their "
            f"first axis, got {shown(batch)}."
        )
    return shapes[0][0]


def _hidden(model: Any, batch: Any) -> jax.Array:
    return model(batch).hidden


@cache
def _resuming(layer: int) -> Callable[..., jax.Array]:
    """Returns the function that predicts at the last slot from this layer's states."""

    def last(model: Any, hidden: jax.Array) -> jax.Array:
        return model.resume(hidden, layer).predictions[:, -1]

    return last


def _batched(
    model: Any, function: Callable[..., jax.Array], *arrays: Any
) -> Iterator[np.ndarray]:
    """Yields `function(model, *arrays)` for batches of prompts."""
    graphdef, params = nnx.split(model)
    apply = _compiled(graphdef, function)
    for part in slices(*arrays):
        with jax.default_matmul_precision("highest"):
            result = apply(params, *part)
        yield np.asarray(result)


@lru_cache(maxsize=16)  # the oldest programs are let go of: each takes memory
def _compiled(graphdef: Any, function: Callable[..., jax.Array]) -> Callable[..., Any]:
    """Returns `function` of the parameters, which models of one shape share."""

    @jax.jit
    def apply(params: Any, *arrays: Any) -> jax.Array:
        return function(nnx.merge(graphdef, params), *arrays)

    return apply
