"""What is a class of functions? Each prompt has one of them, and labels are made by it.

A class of your own says how functions are drawn and what they say about x:

    @dataclass(frozen=True)
    class Cubic(FunctionClass):
        dim: int = 8
        length: int = 17
        noise_std: float = 0.0

        def functions(self, key, count):
            return {"weights": jax.random.normal(key, (count, self.dim))}

        def values(self, functions, xs):
            return jnp.sum(functions["weights"][:, None] * xs**3, axis=-1)

It can then be trained on as any task can, and be put into a finite pool or a mixture
(`icl.tasks.pools`).

Shapes: xs (batch, length, dim), values and labels (batch, length). A *function* is one
row of a dictionary of arrays whose first axis counts functions.
"""

import os
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from icl import checks
from icl.arrays import floating
from icl.prompts import Prompts
from icl.tasks.base import Task
from icl.tasks.laws import LAWS, check_scale, standard

Functions = Mapping[str, Array]


class FunctionClass(Task):
    """A task whose prompts each have a function of x and noisy labels of it.

    Attributes:
        noise_std: the standard deviation of the noise, drawn anew for every label; a
            subclass that lets users choose it has a field of this name.
        noise_law: the law of the noise, which has mean 0 and this deviation under each
            of them: "normal", "uniform", "laplace", or "student", which is Student's t
            with 5 degrees of freedom.
        linear: whether f(x) = w.x, where w is the function's array "weights"; it is
            then kept as the weights of the prompts.
        memory_of_prompt: the name of the field with which the memory of a prompt grows,
            and how many numbers are at least held while one is drawn; `sample` refuses
            a batch that the memory cannot hold. ("", 0) says that prompts are small.
    """

    if not TYPE_CHECKING:  # in subclasses that let users choose them they are fields
        noise_std, noise_law = 0.0, "normal"
    linear: ClassVar[bool] = False

    @property
    def memory_of_prompt(self) -> tuple[str, int]:
        """The field that memory grows with, and the numbers that a prompt takes."""
        return "", 0

    @abstractmethod
    def functions(self, key: Key[Array, ""], count: int) -> Functions:
        """Draws so many functions, each independent of the others."""

    @abstractmethod
    def values(
        self, functions: Functions, xs: Float[Array, "batch length dim"]
    ) -> Float[Array, "batch length"]:
        """Returns f(x) without noise: the first function at the first xs, and so on."""

    def labels(
        self, key: Key[Array, ""], values: Float[Array, "batch length"]
    ) -> Float[Array, "batch length"]:
        """Returns f(x) with noise."""
        noise = standard(key, values.shape, self.noise_law)
        return values + self.noise_std * noise

    @property
    def normaliser(self) -> float:
        """The mean square of f(x), by which errors are divided: 1 is predicting 0.

        Raises:
            ValueError: the class does not say what it is.
        """
        raise ValueError(
            f"{type(self).__name__} does not say what the mean square of its functions "
            "is; define the property `normaliser`."
        )

    def sample_inputs(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> Float[Array, "... dim"]:
        """Draws x ~ N(0, I), of shape `(*shape, dim)`."""
        checks.typed_key("key", key)
        sizes = (*check_sizes(shape), self.dim)
        return self.mask_inputs(jax.random.normal(key, sizes))

    def sample(self, key: Key[Array, ""], *, batch: int) -> Prompts:
        """Draws a batch of prompts on the device, as a pure function of the key."""
        checks.typed_key("key", key)
        batch = checks.positive_int("batch", batch)
        check_memory(self, batch)
        functions_key, inputs_key, noise_key = jax.random.split(key, 3)
        functions = dict(self.functions(functions_key, batch))
        xs = self.sample_inputs(inputs_key, (batch, self.length))
        ys = self.labels(noise_key, self.values(functions, xs))
        weights = functions.pop("weights") if self.linear else None
        return Prompts(xs, ys, weights, functions or None)


def check_sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the sizes of the axes of inputs, all but the last one.

    Raises:
        ValueError: this is no tuple of integers, or one of them is negative.
    """
    checks.of_kind("shape", shape, tuple | list, "a tuple of sizes")
    return tuple(checks.positive_int("shape", size, minimum=0) for size in shape)


def check_noise(task: Any) -> None:
    """Refuses a deviation of the noise that is negative, and a law that is unknown."""
    checks.normalise(task, check_scale, "noise_std")
    checks.one_of("noise_law", task.noise_law, LAWS)


def check_memory(task: Task, batch: int) -> None:
    """Refuses a batch of large functions that the memory cannot hold.

    Pools are asked about the functions that they hold.

    Raises:
        ValueError: it takes more than there is room for.
    """
    if not isinstance(task, FunctionClass):
        return
    field, numbers = task.memory_of_prompt
    needed, most = 4 * numbers * batch, room()
    if most is None or needed <= most:
        return
    inner = task
    while not hasattr(inner, field):
        inner = inner.task
    fits = most // (4 * numbers)
    fewer = f" or a batch of at most {fits:,}" if fits else ""
    raise ValueError(
        f"{field}={getattr(inner, field)} of {type(inner).__name__} is too large for "
        f"batch={batch:,}: every prompt has a function of its own, all of them take at "
        f"least {needed / 1e9:,.2f} GB, and there is room for {most / 1e9:,.2f} GB; "
        f"take a smaller {field}{fewer}."
    )


def room() -> int | None:
    """Returns for how many bytes of functions there is room; None where nobody knows.

    It is all that JAX's devices have, and for CPUs half of the machine's memory: twice
    the functions is what was measured while trees and networks were drawn there.
    """
    devices = jax.local_devices()
    known = [(each.memory_stats() or {}).get("bytes_limit", 0) for each in devices]
    if all(known):
        return sum(known)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):  # not a Unix
        return None


def linear_values(
    weights: Float[Array, "batch dim"], xs: Float[Array, "batch length dim"]
) -> Float[Array, "batch length"]:
    """Returns w.x as a sum of products: a matmul in TF32 would add 1e-3 to it."""
    weights, xs = floating("weights", weights), floating("xs", xs)
    return jnp.sum(xs * weights[:, None, :], axis=-1)
