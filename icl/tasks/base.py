"""What is a task? A distribution over batches, and how a batch is read.

A task of your own is a frozen dataclass that says how long a prompt is and draws some:

    @dataclass(frozen=True)
    class Sparse(Task):
        dim: int = 8
        length: int = 17
        k: int = 2

        def sample(self, key, *, batch):
            ...
            return Prompts(xs, ys, weights)

It can then be trained on, saved and loaded, trained as an ensemble and in a sweep, and
probed. `icl.testing.check_task(Sparse())` says in one sentence what is wrong with it.
"""

import dataclasses
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from icl import checks
from icl.codecs import Codec, Pairs
from icl.prompts import Prompts


class Task(ABC):
    """A distribution over batches that a model can be trained on.

    Subclasses are frozen dataclasses whose fields can be written as JSON (numbers,
    strings, None, and tuples of them), because tasks are compared, hashed and kept with
    every checkpoint. They have a field or property `length`, the number of pairs of a
    prompt, and another one `dim`, the dimension of x, or else a `codec` of their own.

    Attributes:
        scales: the names of fields that are numbers and change no shape, such as the
            standard deviation of the noise. Tasks that differ in nothing else share a
            compiled program, and can be members of one ensemble. Training then calls
            `sample` with JAX scalars in these fields.
        active_dims: the number of coordinates of x that are not 0, which a curriculum
            sets; None is all of them. `mask_inputs` applies it.
    """

    if TYPE_CHECKING:  # the fields of a subclass, such as `dim`

        def __getattr__(self, name: str) -> Any: ...

    scales: ClassVar[tuple[str, ...]] = ()
    active_dims: ClassVar[Any] = None

    @property
    def codec(self) -> Codec:
        """The codec of the batches: by default pairs, with squared errors."""
        missing = [name for name in ("dim", "length") if not hasattr(self, name)]
        if missing:
            raise ValueError(
                f"{type(self).__name__} has no field {' and no field '.join(missing)}; "
                "add it, or define the property `codec` if its batches are no Prompts."
            )
        return Pairs(self.dim, self.length)

    @abstractmethod
    def sample(self, key: Key[Array, ""], *, batch: int) -> Any:
        """Draws a batch (`Prompts`, for the codec of pairs) on the device.

        It is a pure function of the key, in JAX, because training calls it inside a
        compiled program.
        """

    def sample_inputs(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> Float[Array, "... dim"]:
        """Draws inputs x from the task's law, of shape `(*shape, dim)`.

        It is needed where a model is asked at new inputs, as for implied weights.

        Raises:
            ValueError: the task does not say what its law of x is.
        """
        raise ValueError(
            f"{type(self).__name__} does not say how new inputs are drawn; define "
            "`sample_inputs(self, key, shape)`, which returns (*shape, dim)."
        )

    def mask_inputs(self, xs: Float[Array, "... dim"]) -> Float[Array, "... dim"]:
        """Returns the inputs with coordinates from `active_dims` on set to 0.

        A task that is to be trained with a curriculum of dimensions calls it in
        `sample`, before labels are made.
        """
        if self.active_dims is None:
            return xs
        active = jnp.arange(xs.shape[-1]) < self.active_dims
        return xs * active.reshape((1,) * (xs.ndim - 1) + (-1,))


def scale_values(task: Task) -> dict[str, Any]:
    """Returns the numbers of a task that change no shape, by name."""
    return {name: getattr(task, name) for name in task.scales}


def with_values(task: Task, values: Mapping[str, Any]) -> Task:
    """Returns a copy with other values, which may be traced JAX scalars.

    Nothing is checked. Where the values are of `scales` only fields are copied: an
    attribute that `__post_init__` has made of one of them would be out of date. What a
    `functools.cached_property` keeps is never copied, so that nothing which was made
    while JAX traced the copy stays in the task. A copy with a value that is no field,
    such as `active_dims`, has no hash, so that nothing which is kept by the hash of a
    task is taken for that of the copy.
    """
    kind = type(task)
    names = {field.name for field in dataclasses.fields(cast(Any, task))}
    if not values.keys() <= names:
        kind = _without_hash(kind)
    if not values.keys() & set(task.scales):
        names |= {name for name in vars(task) if not _is_cached(kind, name)}
    twin = object.__new__(kind)
    for name in names:
        object.__setattr__(twin, name, getattr(task, name))
    for name, value in values.items():
        object.__setattr__(twin, name, value)
    return twin


def _is_cached(kind: type, name: str) -> bool:
    return isinstance(getattr(kind, name, None), functools.cached_property)


@functools.cache
def _without_hash(kind: type[Task]) -> type[Task]:
    """A class like `kind`, whose instances have no hash."""
    return type(kind.__name__, (kind,), {"__hash__": None})


def check_is_task(task: Any) -> None:
    """Refuses what is not an instance of a frozen dataclass that derives from `Task`.

    Raises:
        ValueError: it is none; the message says why.
    """
    name = task.__name__ if isinstance(task, type) else type(task).__name__
    if isinstance(task, type):
        raise ValueError(f"task must be an instance, got the class; write {name}().")
    if not isinstance(task, Task):
        raise ValueError(
            f"task must derive from icl.Task, and {name} does not; write "
            f"`class {name}(icl.Task):`."
        )
    settings = getattr(type(task), "__dataclass_params__", None)
    if settings is None or not settings.frozen:
        raise ValueError(
            f"{name} must be a frozen dataclass, so that it can be compared, hashed "
            "and kept; put @dataclass(frozen=True) above it."
        )
    _check_fields(type(task))
    if isinstance(task.scales, str):
        raise ValueError(
            f"scales of {name} must be a tuple of names, got the string "
            f"{task.scales!r}; write scales = ({task.scales!r},), with a comma."
        )
    if callable(task.codec):
        raise ValueError(
            f"codec of {name} is a method; put @property above `def codec(self)`."
        )
    if "kind" in {field.name for field in dataclasses.fields(cast(Any, task))}:
        raise ValueError(
            f"{name} has a field `kind`, which is how the name of its class is kept in "
            "a checkpoint; call the field something else, such as `law`."
        )


def _check_fields(kind: type[Task]) -> None:
    """Refuses annotated attributes that the dataclass does not keep as fields."""
    known = cast(Any, kind).__dataclass_fields__
    for each in kind.__mro__[: kind.__mro__.index(Task)]:
        for name, annotation in inspect.get_annotations(each).items():
            if name not in known and "ClassVar" not in str(annotation):
                raise ValueError(
                    f"{each.__name__} annotates {name!r}, which is no field, because "
                    f"{each.__name__} is no dataclass itself; put "
                    "@dataclass(frozen=True) above it too."
                )
            if "InitVar" in str(annotation):
                raise ValueError(
                    f"{name} of {each.__name__} is an InitVar, which is lost once the "
                    "task is made, so that no checkpoint can hold it; make it a field."
                )


def check_pairs(name: str, codec: Pairs, batch: Any, count: int) -> None:
    """Refuses what is no `Prompts` of so many prompts, as long and wide as the codec.

    Raises:
        ValueError: says so of the task that is called `name`.
    """
    if not isinstance(batch, Prompts):
        raise ValueError(
            f"sample of {name} must return icl.Prompts(xs, ys), got "
            f"{type(batch).__name__}; or give the task a codec of its own."
        )
    sizes = (count, codec.length, codec.dim)
    checks.shape_of(f"xs of {name}", batch.xs, sizes, "(batch, length, dim)")


def first_line(error: Exception) -> str:
    """Returns the kind of an error and the first line of what it says."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"
