"""Does a task of your own fulfil what training needs? `check_task` says what is wrong.

Like `check_estimator` of scikit-learn, it is to be called once, in a test of your own.
It draws a few batches and builds a tiny model; it does not train.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icl import checks
from icl.codecs import Codec, Pairs
from icl.model.building import build
from icl.model.config import ModelConfig
from icl.tasks import drawing
from icl.tasks.base import (
    Task,
    check_is_task,
    check_pairs,
    first_line,
    scale_values,
    with_values,
)
from icl.tasks.drawing import check_draws, reason
from icl.training.config import TrainConfig
from icl.training.description import configs, describe

BATCH = 4
TOLERANCE = 1e-4  # of float32, because compiled code may add in another order


def check_task(task: Task) -> None:
    """Checks that a task can be trained on, saved, loaded, swept and probed.

    It checks that the task is a frozen dataclass which can be compared, hashed and
    written as JSON; that `sample` is a pure function of its key, also where it is
    compiled, and depends on it; that its batches have the shapes that its codec says,
    and no NaN; that a model can read them, and that its losses are (batch, slots); and
    that training draws what `sample` draws, with the task's `scales` as numbers or as
    JAX scalars.

    Raises:
        ValueError: the first thing that is wrong, in one sentence with the fix.

    Example:
        >>> from icl import LinearRegression
        >>> check_task(LinearRegression(dim=2, length=3))
    """
    check_is_task(task)
    _check_identity(task)
    _check_json(task)
    codec = _checked_codec(task)
    batch = _check_sampling(task)
    _check_shapes(task, codec, batch)
    _check_model(task, codec, batch)
    _check_inputs(task, codec)
    _check_scales(task, batch)


def _check_identity(task: Task) -> None:
    """Checks that the task equals a copy of itself, with the same hash."""
    name = type(task).__name__
    try:
        again = dataclasses.replace(cast(Any, task))
        same = bool(task == again) and hash(task) == hash(again)
    except Exception as error:
        raise ValueError(
            f"{name} cannot be compared and hashed ({first_line(error)}); let its "
            "fields be numbers, strings, None, or tuples of them, not arrays or lists."
        ) from error
    if not same:
        raise ValueError(
            f"{name} differs from a copy of itself; let its fields alone decide what "
            "it is equal to (no eq=False, and no NaN)."
        )


def _check_json(task: Task) -> None:
    """Checks that the task is the same after it is written as JSON and read."""
    kind = type(task)
    about = describe(task, ModelConfig(), TrainConfig())
    again, *_ = configs(about, _kinds(task))
    if again != task or hash(again) != hash(task):
        raise ValueError(
            f"{kind.__name__} is not the same once written as JSON and read again: "
            f"{task!r} became {again!r}; let its fields be numbers, strings, None, or "
            "tuples of them, and keep what `__post_init__` makes of them the same."
        )


def _kinds(task: Task) -> list[type[Task]]:
    """Returns the class of a task, and those of the tasks in its fields."""
    values = [
        getattr(task, field.name) for field in dataclasses.fields(cast(Any, task))
    ]
    parts = [part for v in values for part in (v if isinstance(v, tuple) else (v,))]
    inner = [kind for each in parts if isinstance(each, Task) for kind in _kinds(each)]
    return [type(task), *inner]


def _checked_codec(task: Task) -> Codec:
    codec = task.codec
    name = type(task).__name__
    if not isinstance(codec, Codec):
        raise ValueError(f"codec of {name} must be an icl.Codec, got {codec!r}.")
    try:
        same = codec == task.codec and hash(codec) == hash(task.codec)
    except Exception as error:
        raise ValueError(
            f"codec of {name} cannot be compared and hashed ({first_line(error)}); "
            "let it be a frozen dataclass."
        ) from error
    if not same:
        raise ValueError(
            f"codec of {name} is another each time it is asked for; let it be a frozen "
            "dataclass, so that two of the same fields are equal."
        )
    checks.positive_int(f"codec.count of {name}", codec.count)
    checks.positive_int(f"codec.entries of {name}", codec.entries)
    return codec


def _check_sampling(task: Task) -> Any:
    """Checks that the key alone decides the batch, compiled or not."""
    name, key = type(task).__name__, jax.random.key(0)
    fresh = partial(with_values, task, {})  # without what the task keeps
    _trace(lambda: fresh().sample(key, batch=BATCH))
    batch = _drawn(name, lambda: fresh().sample(key, batch=BATCH))
    again = _drawn(name, lambda: task.sample(key, batch=BATCH))
    if not _same(batch, again, 0.0):
        raise ValueError(
            f"sample of {name} returns another batch for the same key; draw with "
            "jax.random from the key alone, and keep no state."
        )
    if _same(batch, task.sample(jax.random.key(1), batch=BATCH), 0.0):
        raise ValueError(
            f"sample of {name} returns the same batch for two keys; draw from the key."
        )
    try:
        compiled = jax.jit(lambda key: fresh().sample(key, batch=BATCH))(key)
    except Exception as error:
        raise ValueError(
            f"sample of {name} cannot be compiled by jax.jit ({reason(error)}); "
            "compute with jax.numpy, and choose by jnp.where, not by `if`."
        ) from error
    if not _same(batch, compiled, TOLERANCE):
        raise ValueError(
            f"sample of {name} returns another batch when it is compiled by jax.jit, "
            "as in training; draw with jax.random, not with NumPy or Python's random."
        )
    return batch


def _trace(draw: Callable[[], Any]) -> None:
    """Traces a call, of which nothing may be left when the next one is made."""
    with contextlib.suppress(Exception):  # another check says what is wrong
        jax.eval_shape(draw)


def _drawn(name: str, draw: Callable[[], Any]) -> Any:
    try:
        return draw()
    except Exception as error:
        raise ValueError(
            f"sample of {name} failed ({reason(error)}); it is called as "
            "`task.sample(key, batch=4)`."
        ) from error


def _check_shapes(task: Task, codec: Codec, batch: Any) -> None:
    """Checks that the batch is as long and wide as the task says, and finite."""
    name = type(task).__name__
    for path, array in jax.tree_util.tree_leaves_with_path(batch):
        where = jax.tree_util.keystr(path, simple=True, separator=".")
        if np.ndim(array) == 0 or np.shape(array)[0] != BATCH:
            raise ValueError(
                f"sample of {name} was asked for {BATCH} prompts, but {where} has "
                f"shape {np.shape(array)}; its first axis must be the batch."
            )
    if isinstance(codec, Pairs):
        check_pairs(name, codec, batch, BATCH)
    try:
        codec.check(batch)
    except ValueError as error:
        raise ValueError(
            f"sample of {name} is not as its codec says: {error}"
        ) from error


def _check_model(task: Task, codec: Codec, batch: Any) -> None:
    """Checks that a tiny model reads the batch and has a loss at every slot."""
    name = type(task).__name__
    check_draws(task)
    losses, gradient = jax.jit(partial(_tiny_step, codec))(jax.random.key(0), batch)
    sizes = (BATCH, len(codec.slots))
    checks.shape_of(f"losses of {name}", losses, sizes, "(batch, slots)")
    checks.all_finite(f"losses of {name}", losses)
    for leaf in jax.tree.leaves(gradient):
        checks.all_finite(f"the gradient of the loss of {name}", leaf)


def _tiny_step(codec: Codec, key: jax.Array, batch: Any) -> tuple[jax.Array, Any]:
    """Returns the losses of a tiny model on a batch, and the gradient of their mean."""
    model = build(codec, ModelConfig(layers=1, width=8), key)
    graphdef, state = nnx.split(model)

    def mean_loss(state: Any) -> tuple[jax.Array, jax.Array]:
        losses = codec.losses(nnx.merge(graphdef, state).predict(batch), batch)
        return losses.mean(), losses

    gradient, losses = jax.grad(mean_loss, has_aux=True)(state)
    return losses, gradient


def _check_inputs(task: Task, codec: Codec) -> None:
    """Checks that new inputs have the shape that is asked for, if the task has them."""
    name = type(task).__name__
    if type(task).sample_inputs is Task.sample_inputs or not isinstance(codec, Pairs):
        return
    try:
        xs = task.sample_inputs(jax.random.key(0), (2, 3))
    except Exception as error:
        raise ValueError(
            f"sample_inputs of {name} failed ({first_line(error)}); it is called as "
            "`task.sample_inputs(key, (2, 3))`."
        ) from error
    what = f"what sample_inputs of {name} returns for the shape (2, 3)"
    checks.shape_of(what, xs, (2, 3, codec.dim), "(*shape, dim)")


def _check_scales(task: Task, batch: Any) -> None:
    """Checks that training, with JAX scalars as scales, draws what `sample` does."""
    name, key = type(task).__name__, jax.random.key(0)
    fields = {field.name for field in dataclasses.fields(cast(Any, task))}
    for scale in task.scales:
        value = getattr(task, scale, None)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if scale not in fields or not number or not math.isfinite(value):
            raise ValueError(
                f"scales of {name} names {scale!r}, which must be a field that is a "
                f"finite number, got {value!r}; leave it out of `scales`."
            )
    if not task.scales:
        return
    try:
        drawing.program(task, task.scales)
    except Exception as error:
        raise ValueError(
            f"sample of {name} cannot be compiled for any value of its scales "
            f"({', '.join(task.scales)}): it branches on one of them, needs the hash "
            f"of the task, or reads what `__post_init__` made of one ({reason(error)})"
            "; compute with the fields by jax.numpy, or leave them out of `scales`."
        ) from error
    values = {n: jnp.float32(value) for n, value in scale_values(task).items()}
    other = with_values(task, dict.fromkeys(values, 0.0))
    drawn = jax.jit(lambda v: with_values(other, v).sample(key, batch=BATCH))(values)
    if not _same(batch, drawn, TOLERANCE):
        raise ValueError(
            f"{name} is trained on other data than its sample returns: with its scales "
            f"({', '.join(task.scales)}) as JAX scalars it draws another batch; let "
            "`sample` use these fields alone, or leave them out of `scales`."
        )


def _same(one: Any, other: Any, tolerance: float) -> bool:
    """Returns whether two batches are the same, up to a relative tolerance."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(
        np.shape(a) == np.shape(b)
        and np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        for a, b in pairs
    )
