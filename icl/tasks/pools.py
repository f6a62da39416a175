"""What if only some functions, or only some prompts, ever occur in training?

`Pool` draws a fixed number of functions of a class once, and every prompt has one of
them (Raventós et al. 2023); `PromptPool` fixes whole prompts (Garg et al. 2022, section
6); `Mixture` draws each prompt from one of several tasks.

Nothing is kept: function i of a pool is drawn from the pool's seed and i whenever it is
needed, so that a pool of 2^20 functions costs no memory. A smaller pool is the
beginning of a larger one of the same seed.

Shapes: those of `Prompts`; `latents["index"]`, (batch,), says which function or prompt
of the pool it is, and `latents["component"]` which task of a mixture.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from icl import checks
from icl.arrays import real, shown
from icl.codecs import Codec
from icl.prompts import Prompts
from icl.tasks.base import Task, check_is_task
from icl.tasks.function_class import FunctionClass, Functions, check_memory

LARGEST = 2**24
"""The largest pool: above it, float32, in which scales are given, skips numbers."""


class _OfTask(Task):
    """A task that has its sizes and tokens from the one in its field `task`."""

    @property
    def dim(self) -> int:
        """The dimension of x, that of the task."""
        return self.task.dim

    @property
    def length(self) -> int:
        """The number of pairs in a prompt, that of the task."""
        return self.task.length

    @property
    def codec(self) -> Codec:
        """The codec of the task."""
        return self.task.codec


@dataclass(frozen=True)
class Pool(_OfTask, FunctionClass):
    """A task of finitely many functions of another task, which are drawn once.

    Functions are drawn with replacement: a batch may hold one several times. Their
    inputs and noise are fresh and follow `task`. The size is one of the `scales`, so
    that pools of many sizes can be trained as one ensemble.

    Attributes:
        task: the class of functions, such as `LinearRegression(dim=8)`.
        size: the number M of functions, at most 2^24.
        seed: the functions are drawn from it.
        probabilities: how probable each function is, (size,), with the sum 1; None is
            the same for all. Any array-like is accepted and kept as a tuple.

    Raises:
        ValueError: a task that is no class of functions, a size below 1 or above 2^24,
            or probabilities that are negative, do not sum to 1 or are not `size` many.

    Example:
        >>> from icl import LinearRegression
        >>> task = Pool(LinearRegression(dim=2, length=3), size=1)
        >>> weights = task.sample(jax.random.key(5), batch=2).weights
        >>> bool((weights[0] == weights[1]).all())
        True
    """

    task: FunctionClass
    size: int
    seed: int = 0
    probabilities: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_is_task(self.task)
        if not isinstance(self.task, FunctionClass):
            raise ValueError(
                "task must be a class of functions (icl.tasks.FunctionClass), such as "
                f"LinearRegression(dim=8), got {type(self.task).__name__}; whole "
                "prompts of any task go into a PromptPool."
            )
        _check_size(self)
        if self.probabilities is not None:
            shares = _shares("probabilities", self.probabilities, self.size, "size")
            object.__setattr__(self, "probabilities", shares)

    @property
    def scales(self) -> tuple[str, ...]:  # pyrefly: ignore[bad-override]
        """The field `size`, unless every function has a probability of its own."""
        return ("size",) if self.probabilities is None else ()

    @property
    def memory_of_prompt(self) -> tuple[str, int]:
        """The field that memory grows with, and numbers per prompt, of the task."""
        return self.task.memory_of_prompt

    @property
    def linear(self) -> bool:  # pyrefly: ignore[bad-override]
        """Whether the functions of the task are linear."""
        return self.task.linear

    @property
    def normaliser(self) -> float:
        """The mean square of f(x) for fresh functions of the task."""
        return self.task.normaliser

    def members(self, index: Int[Array, " count"]) -> Functions:
        """Returns the functions of the pool with these numbers, from 0 to size - 1.

        Raises:
            ValueError: the numbers are not integers in that range, in one axis.
        """
        if not isinstance(index, jax.core.Tracer):
            index = _checked_index(index, self.size)
        return _each(lambda key: dict(self.task.functions(key, 1)), self.seed, index)

    def functions(self, key: Key[Array, ""], count: int) -> Functions:
        """Draws functions of the pool, with their numbers as "index"."""
        index = _indices(key, count, self.size, self.probabilities)
        return {**self.members(index), "index": index}

    def values(
        self, functions: Functions, xs: Float[Array, "batch length dim"]
    ) -> Float[Array, "batch length"]:
        """Returns f(x) without noise, as the task does."""
        return self.task.values(functions, xs)

    def labels(
        self, key: Key[Array, ""], values: Float[Array, "batch length"]
    ) -> Float[Array, "batch length"]:
        """Returns f(x) with the noise of the task."""
        return self.task.labels(key, values)

    def sample_inputs(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> Float[Array, "... dim"]:
        """Draws inputs as the task does."""
        return self.mask_inputs(self.task.sample_inputs(key, shape))


@dataclass(frozen=True)
class PromptPool(_OfTask):
    """A task of finitely many prompts of another task, which are drawn once.

    Attributes:
        task: the prompts are drawn from it.
        size: the number of prompts, at most 2^24.
        seed: the prompts are drawn from it.

    Raises:
        ValueError: no task, or a size below 1 or above 2^24.
    """

    scales: ClassVar[tuple[str, ...]] = ("size",)

    task: Task
    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_is_task(self.task)
        _check_size(self)

    def sample_inputs(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> Float[Array, "... dim"]:
        """Draws inputs as the task does."""
        return self.task.sample_inputs(key, shape)

    def sample(self, key: Key[Array, ""], *, batch: int) -> Any:
        """Draws prompts of the pool, with replacement."""
        checks.typed_key("key", key)
        batch = checks.positive_int("batch", batch)
        check_memory(self.task, batch)
        index = _indices(key, batch, self.size, None)
        return _each(lambda key: self.task.sample(key, batch=1), self.seed, index)


@dataclass(frozen=True)
class Mixture(Task):
    """A task whose prompts are each drawn from one of several tasks.

    Attributes:
        tasks: the tasks, which have one dimension, length and codec.
        probabilities: how probable each of them is, with the sum 1, as an array-like;
            None is the same for all.

    Raises:
        ValueError: fewer than two tasks, tasks that draw no prompts or differ in their
            codec, or probabilities that are negative, do not sum to 1 or are not as
            many.

    Example:
        >>> from icl import LinearRegression
        >>> from icl.tasks import SparseLinear
        >>> task = Mixture((LinearRegression(3, 5), SparseLinear(3, 5, 1)))
        >>> task.sample(jax.random.key(0), batch=4).latents["component"].shape
        (4,)
    """

    tasks: tuple[Task, ...]
    probabilities: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.tasks, tuple | list) or len(self.tasks) < 2:
            raise ValueError(
                f"tasks must be a tuple of two tasks or more, got {shown(self.tasks)}."
            )
        object.__setattr__(self, "tasks", tuple(self.tasks))
        for task in self.tasks:
            check_is_task(task)
            if task.codec.discrete:
                raise ValueError(
                    "tasks of a mixture must draw prompts, as LinearRegression does, "
                    f"got {type(task).__name__}, whose batches are tokens."
                )
        if len({task.codec for task in self.tasks}) > 1:
            sizes = [f"{type(task).__name__}: {task.codec}" for task in self.tasks]
            raise ValueError(
                "tasks of a mixture must have the same dimension, length and codec, "
                f"got {'; '.join(sizes)}."
            )
        if self.probabilities is not None:
            count = len(self.tasks)
            shares = _shares("probabilities", self.probabilities, count, "tasks")
            object.__setattr__(self, "probabilities", shares)

    @property
    def dim(self) -> int:
        """The dimension of x, that of the tasks."""
        return self.tasks[0].dim

    @property
    def length(self) -> int:
        """The number of pairs in a prompt, that of the tasks."""
        return self.tasks[0].length

    @property
    def codec(self) -> Codec:
        """The codec of the tasks."""
        return self.tasks[0].codec

    @property
    def normaliser(self) -> float:
        """The mean square of f(x), of which every task must say its own."""
        shares = self.probabilities or [1 / len(self.tasks)] * len(self.tasks)
        each = zip(shares, self.tasks, strict=True)
        return sum(share * task.normaliser for share, task in each)

    def sample_inputs(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> Float[Array, "... dim"]:
        """Draws inputs: along the first axis, each from the law of one of the tasks."""
        checks.typed_key("key", key)
        choice_key, *keys = jax.random.split(key, 1 + len(self.tasks))
        drawn = [
            task.sample_inputs(each, shape)
            for task, each in zip(self.tasks, keys, strict=True)
        ]
        if drawn[0].ndim == 1:  # a single x
            component = _indices(choice_key, 1, len(drawn), self.probabilities)
            return jnp.stack(drawn)[component[0]]
        count = len(drawn[0])
        component = _indices(choice_key, count, len(drawn), self.probabilities)
        return jnp.stack(drawn, axis=1)[jnp.arange(count), component]

    def sample(self, key: Key[Array, ""], *, batch: int) -> Prompts:
        """Draws prompts, with weights where all tasks have them."""
        checks.typed_key("key", key)
        batch = checks.positive_int("batch", batch)
        choice_key, *keys = jax.random.split(key, 1 + len(self.tasks))
        component = _indices(choice_key, batch, len(self.tasks), self.probabilities)
        drawn = [
            task.sample(each, batch=batch)
            for task, each in zip(self.tasks, keys, strict=True)
        ]
        for task, prompts in zip(self.tasks, drawn, strict=True):
            name = f"sample of {type(task).__name__}"
            checks.of_kind(name, prompts, Prompts, "prompts, icl.Prompts(xs, ys)")

        def chosen(*arrays: Array) -> Array:
            return jnp.stack(arrays, axis=1)[jnp.arange(batch), component]

        weights = [prompts.weights for prompts in drawn]
        return Prompts(
            chosen(*(prompts.xs for prompts in drawn)),
            chosen(*(prompts.ys for prompts in drawn)),
            None if any(w is None for w in weights) else chosen(*weights),
            {"component": component},
        )


def _each(draw: Callable[..., Any], seed: Any, index: Int[Array, " count"]) -> Any:
    """Returns what `draw` gives for the key of each number, which is one of each.

    The seed may be a scalar of JAX. All is drawn in float32, also where JAX makes
    float64: there, the same key would draw other functions.
    """

    def one(number: Int[Array, ""]) -> Any:
        drawn = draw(jax.random.fold_in(jax.random.key(seed), number))
        return jax.tree.map(lambda array: array[0], drawn)

    index = index.astype(jnp.int32)
    with jax.enable_x64(False):
        found = jax.vmap(one)(index)
    return as_floats(found, float)


def as_floats(arrays: Any, dtype: Any) -> Any:
    """Returns arrays, those that are no integers in another dtype."""

    def cast(array: Array) -> Array:
        floats = jnp.issubdtype(array.dtype, jnp.floating)
        return array.astype(dtype) if floats else array

    return jax.tree.map(cast, arrays)


def _indices(
    key: Key[Array, ""], count: int, size: Any, probabilities: Any
) -> Int[Array, " count"]:
    """Draws numbers from 0 to size - 1; the size may be a scalar of JAX."""
    if probabilities is None:
        return jax.random.randint(key, (count,), 0, jnp.asarray(size, jnp.int32))
    chances = jnp.asarray(probabilities, jnp.float32)
    return jax.random.choice(key, len(probabilities), (count,), p=chances)


def _checked_index(index: Any, size: int) -> Int[Array, " count"]:
    """Returns numbers of functions as an array of JAX, or raises a `ValueError`."""
    numbers = np.asarray(real("index", index))
    whole = np.issubdtype(numbers.dtype, np.integer)
    if numbers.ndim != 1 or not whole or ((numbers < 0) | (numbers >= size)).any():
        raise ValueError(
            f"index must be integers from 0 to {size - 1} in one axis, got "
            f"{shown(index)}."
        )
    return jnp.asarray(numbers)


def _check_size(pool: Any) -> None:
    checks.normalise(pool, checks.positive_int, "size", maximum=LARGEST)
    checks.normalise(pool, checks.positive_int, "seed", minimum=0)


def _shares(name: str, values: Any, count: int, of: str) -> tuple[float, ...]:
    """Returns probabilities as a tuple, or raises a `ValueError`."""
    given = values
    if hasattr(values, "dtype"):  # an array of NumPy, JAX or PyTorch
        given = np.asarray(real(name, values)).tolist()
    if not isinstance(given, tuple | list) or len(given) != count:
        raise ValueError(
            f"{name} must be {count} numbers in one axis, one for each of `{of}`, got "
            f"{shown(values)}."
        )
    shares = tuple(checks.finite_number(name, value) for value in given)
    total = math.fsum(shares)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        fix = "; divide them by their sum" if total > 0 else ""
        raise ValueError(f"{name} must sum to 1, got {total:g}{fix}.")
    return shares
