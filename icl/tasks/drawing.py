"""What does a task draw? As a program of JAX, and as a few numbers.

The program decides whether two runs may share a compiled one: it follows everything
that `sample` and the codec read, be it a field, an attribute of the class, a global of
its module or the code itself. The numbers are kept with a checkpoint, so that a class
whose code has changed since then is noticed, and so is another class of its name.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icl import checks
from icl.codecs import Codec, Pairs
from icl.tasks.base import Task, check_pairs, first_line, with_values

COUNT = 16
"""The number of prompts that are drawn to look at them."""

KEPT = 64
"""The number of small batches that are kept, so that each is compiled once."""

TOLERANCE = 1e-4
"""How far numbers may be apart that are drawn by the same code: machines round float32
in other ways, by about 1e-6, and a task may magnify that."""


class Program(NamedTuple):
    """What a task computes: its operations as text, and the constants in them."""

    text: str
    constants: Sequence[Any]
    draws: bool  # whether anything is computed from the key

    def same_as(self, other: "Program") -> bool:
        """Returns whether another program has the same operations and constants."""
        return self.hash == other.hash

    @property
    def hash(self) -> str:
        """A hash of the operations and the constants."""
        digest = hashlib.sha256(self.text.encode())
        for constant in self.constants:
            array = np.asarray(constant)
            digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()


def program(task: Task, scales: Sequence[str] = ()) -> Program:
    """Returns what a task computes for a batch: its tokens, losses and weights.

    It is traced anew each time, on a copy of the task.

    Args:
        task: the task.
        scales: the fields whose numbers the program takes as arguments.

    Raises:
        Exception: whatever the task's own code raises on JAX's tracers.
    """

    def draw(key: jax.Array, values: Mapping[str, jax.Array]) -> Any:
        batch = with_values(task, values).sample(key, batch=2)
        return batch, task.codec.encode(batch), *graded(task, batch)

    numbers = {name: jnp.float32(getattr(task, name)) for name in scales}
    return _program_of(jax.make_jaxpr(draw)(jax.random.key(0), numbers))


def _program_of(traced: Any) -> Program:
    """Returns the program that a function of a key has been traced to."""
    key = traced.jaxpr.invars[0]
    draws = any(key is each for line in traced.jaxpr.eqns for each in line.invars)
    text = re.sub(" at 0x[0-9a-f]+", "", str(traced.jaxpr))
    constants = _constants(traced)
    if any(isinstance(constant, jax.core.Tracer) for constant in constants):
        raise jax.errors.UnexpectedTracerError("an array of an earlier trace is used")
    return Program(text, constants, draws)


def program_hash(task: Task, scales: Sequence[str] = ()) -> str:
    """Returns the hash of `program`, or "" for a task that cannot be traced.

    No such task is trained: `check_draws` says what is wrong with it.
    """
    try:
        return program(task, scales).hash
    except Exception:  # whatever the task's own code raises
        return ""


def _constants(traced: Any) -> list[Any]:
    """Returns the arrays in a program, with those of the functions that it calls."""
    found = list(traced.consts)
    for line in traced.jaxpr.eqns:
        for value in jax.tree.leaves(list(line.params.values())):
            if hasattr(value, "consts"):  # a jitted function, a branch, a loop's body
                found += _constants(value)
    return found


_SAMPLES: dict[Any, Callable[..., Any]] = {}  # by what is computed and returned


def compiled_sample(task: Task, count: int, key: jax.Array) -> Callable[..., Any]:
    """Returns `sample` of a task for so many prompts, compiled for keys like this one.

    What computes the same is compiled once, also for another object or class.

    Raises:
        Exception: whatever the task's own code raises on JAX's tracers.
    """

    def draw(key: jax.Array) -> Any:
        return with_values(task, {}).sample(key, batch=count)

    traced, shapes = jax.make_jaxpr(draw, return_shape=True)(key)
    made_by = _program_of(traced).hash, jax.tree.structure(shapes)
    if made_by not in _SAMPLES:
        if len(_SAMPLES) >= KEPT:
            _SAMPLES.clear()
        _SAMPLES[made_by] = jax.jit(draw)
    return _SAMPLES[made_by]


def graded(task: Task, batch: Any) -> tuple[jax.Array, jax.Array | None]:
    """Returns the losses of predictions that are all 0, and the weights of slots.

    Raises:
        ValueError: one of them is not (batch, slots).
    """
    name, codec = type(task).__name__, task.codec
    first = jax.tree.leaves(batch)[0]
    sizes = (len(first), len(codec.slots))
    outputs = codec.entries if codec.tied else codec.outputs
    wide = (outputs,) if codec.tied or outputs > 1 else ()
    losses = codec.losses(jnp.zeros((*sizes, *wide)), batch)
    checks.shape_of(f"losses of {name}", losses, sizes, "(batch, slots)")
    weights = codec.slot_weights(batch)
    if weights is not None:
        checks.shape_of(f"slot_weights of {name}", weights, sizes, "(batch, slots)")
    return losses, weights


def check_draws(task: Task) -> "Drawn":
    """Refuses a task that no compiled program can train on.

    Returns:
        The small batch that it has drawn.

    Raises:
        ValueError: `sample` fails where it is traced by JAX, draws by something else
            than its key, or returns something of other sizes than the codec says; or a
            batch has no slot that counts, or integers that are no tokens.
    """
    name, codec = type(task).__name__, task.codec
    shapes = _traced_shapes(task)
    if isinstance(codec, Pairs):
        check_pairs(name, codec, shapes, 2)
        sizes = (2, codec.length)
        checks.shape_of(f"ys of {name}", shapes.ys, sizes, "(batch, length)")
    try:
        one, other = program(task), program(task)
    except Exception as error:
        raise ValueError(
            f"batches of {name} do not fit its codec: {reason(error)}"
        ) from error
    if not one.draws or not one.same_as(other):
        raise ValueError(
            f"sample of {name} does not draw from its key alone: in a compiled program "
            "every step would see the same numbers; draw with jax.random, not with "
            "NumPy's or Python's generators."
        )
    found = drawn(task, one)
    check_batch(name, codec, found)
    return found


def check_batch(name: str, codec: Codec, found: "Drawn") -> None:
    """Refuses integers that are no tokens, and a batch in which no slot counts.

    Raises:
        ValueError: says so of the task that is called `name`.
    """
    tokens, weights = found.tokens, found.weights
    wide = () if codec.discrete else (codec.entries,)
    sizes, axes = (COUNT, codec.count, *wide), "(batch, tokens, ...)"
    checks.shape_of(f"tokens of {name}", tokens, sizes, axes)
    if codec.discrete and not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(
            f"tokens of {name} must be integers, for its codec is discrete, got "
            f"{tokens.dtype}."
        )
    if codec.discrete and (tokens.min() < 0 or tokens.max() >= codec.entries):
        raise ValueError(
            f"tokens of {name} must be integers from 0 to {codec.entries - 1}, for its "
            f"codec has {codec.entries} entries; got {tokens.min()} to {tokens.max()}."
        )
    if weights is not None and not ((weights >= 0).all() and weights.any()):
        raise ValueError(
            f"slot_weights of {name} must not be negative, nor all 0, got numbers from "
            f"{weights.min()} to {weights.max()}."
        )


class Drawn(NamedTuple):
    """A small batch, which is always the same for a task whose code is the same.

    Attributes:
        batch: what `sample` returns for `COUNT` prompts.
        tokens: its tokens.
        losses: the losses of predictions that are all 0, (COUNT, slots).
        weights: how much each slot counts, (COUNT, slots), or None.
        generator: some numbers that say which ones this version of JAX draws.
    """

    batch: Any
    tokens: Any
    losses: Any
    weights: Any
    generator: Any


_DRAWN: dict[str, Drawn] = {}  # by the hash of the program that drew it


def drawn(task: Task, traced: Program | None = None) -> Drawn:
    """Draws a small batch, in one compiled program.

    `traced` is `program(task)`, where it is known already.
    """

    def draw(key: jax.Array) -> Drawn:
        batch = with_values(task, {}).sample(key, batch=COUNT)
        losses, weights = graded(task, batch)
        generator = jax.random.normal(key, (COUNT,))
        return Drawn(batch, task.codec.encode(batch), losses, weights, generator)

    made_by = (traced or program(task)).hash
    if made_by not in _DRAWN:
        if len(_DRAWN) >= KEPT:
            _DRAWN.clear()
        key = jax.random.key(0, impl="threefry2x32")
        _DRAWN[made_by] = jax.device_get(jax.jit(draw)(key))
    return _DRAWN[made_by]


def sketch(task: Task) -> dict[str, list[float]]:
    """Returns the mean and root mean square of each array of `drawn`, as JSON."""
    return summarised(drawn(task))


def summarised(found: Drawn) -> dict[str, list[float]]:
    """Returns the mean and root mean square of each array of a batch, as JSON."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): _summary(array)
        for path, array in jax.tree_util.tree_leaves_with_path(found)
    }


def redrawn(have: Mapping[str, Any] | None, task: Task) -> list[str]:
    """Returns what of a task's batches is no longer what `sketch` said of them.

    It is nothing where there is no sketch, or where JAX draws other numbers by now.
    """
    if not have:
        return []
    want = sketch(task)
    if not _alike(have.get("generator"), want["generator"]):
        return []
    names = sorted(have.keys() | want.keys())
    return [name for name in names if not _alike(have.get(name), want.get(name))]


def _traced_shapes(task: Task) -> Any:
    """The shapes of what `sample` returns inside a compiled program."""
    name = type(task).__name__

    def draw(key: jax.Array) -> Any:  # a new function: JAX keeps what it has traced
        return with_values(task, {}).sample(key, batch=2)

    try:
        return jax.eval_shape(draw, jax.random.key(0))
    except Exception as error:  # whatever the task's own code raises
        raise ValueError(
            f"sample of {name} failed inside a compiled program ({reason(error)}); "
            "icl.testing.check_task says what is wrong with a task."
        ) from error


def reason(error: Exception) -> str:
    """Returns what an error of a task's code says, in words where JAX's do not help."""
    if isinstance(error, jax.errors.UnexpectedTracerError):
        return (
            "an array that was made while JAX traced was kept for later, as by "
            "functools.lru_cache; make what you keep with NumPy, or by "
            "functools.cached_property of the task"
        )
    return first_line(error)


def _summary(array: Any) -> list[float]:
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    values = np.asarray(array, np.float64)
    return [float(values.mean()), float(np.sqrt((values**2).mean()))]


def _alike(have: Any, want: Any) -> bool:
    if have is None or want is None:
        return have is want
    return bool(np.allclose(have, want, rtol=0, atol=TOLERANCE * (want[1] + 1e-30)))
