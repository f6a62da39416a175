"""How is bad input refused? In one sentence: the value, what was expected, the fix.

Checks are called where users hand something over (constructors of configs, public
functions), never inside compiled code. Every check raises `ValueError`.
"""

import math
import operator
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icl.arrays import floating, plain, real, shown

LARGEST = 2**32 - 1
"""The largest size, count or seed: JAX's keys keep 32 bits of a seed."""


def positive_int(
    name: str, value: Any, *, minimum: int = 1, maximum: int = LARGEST
) -> int:
    """Returns `value` as an int from `minimum` to `maximum`; refuses bools and floats.

    No size or count can be more than `LARGEST`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    # PyTorch's booleans have an index too.
    truth = isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))
    if number is None or truth or number < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {shown(value)}.")
    if number > maximum:
        raise ValueError(
            f"{name} must be an integer of at most {maximum:,}, got "
            f"{number if number < 10**30 else 'a number of more than 30 digits'}."
        )
    return number


def finite_number(name: str, value: Any, *, positive: bool = False) -> float:
    """Returns `value` as a finite float, not negative, or above zero if `positive`.

    It accepts any number, also of NumPy or JAX, and refuses bools and strings.
    """
    bound = "> 0" if positive else ">= 0"
    number = _as_float(value)
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise ValueError(f"{name} must be a finite number {bound}, got {shown(value)}.")
    return number


def _as_float(value: Any) -> float:
    """Returns a real number as a float, and NaN for anything else."""
    try:
        if hasattr(value, "dtype"):  # a scalar of NumPy, JAX or PyTorch
            value = np.asarray(real("", value))
            return float(value) if value.ndim == 0 and value.dtype != bool else math.nan
        return math.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def flag(name: str, value: Any) -> bool:
    """Returns True or False, and refuses what Python would count as one of them."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {shown(value)}.")
    return bool(value)


def normalise(config: Any, check: Callable, *names: str, **options: Any) -> None:
    """Puts what `check` returns in place of these fields of a frozen dataclass.

    A config then holds Python's own numbers, which can be hashed and written to JSON,
    even if NumPy's or JAX's were given.
    """
    for name in names:
        value = check(name, getattr(config, name), **options)
        object.__setattr__(config, name, value)


def one_of(name: str, value: Any, allowed: Collection[Any]) -> None:
    """Refuses a `value` that is not among `allowed`."""
    try:
        known = value in dict.fromkeys(allowed)
    except TypeError:  # what has no hash
        known = False
    if not known:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{name} must be one of {choices}; got {shown(value)}.")


def each_of(name: str, values: Collection[Any], allowed: Collection[Any]) -> None:
    """Refuses `values` that are none, or not all among `allowed`, or not different."""
    for value in values:
        one_of(name, value, allowed)
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name} must be one or more, none twice, got {values}.")


def of_kind(name: str, value: Any, kinds: Any, wanted: str) -> None:
    """Refuses what is no instance of some classes; `wanted` says what there must be."""
    if not isinstance(value, kinds):
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}.")


def typed_key(name: str, key: Any, ndim: int = 0) -> None:
    """Refuses what is not a typed JAX key, or (`ndim` 1) not a vector of such keys."""
    is_array = isinstance(key, jax.Array)
    typed = is_array and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if not typed or key.ndim != ndim:
        got = f"{key.dtype} of shape {key.shape}" if is_array else shown(key)
        wanted = (
            "a typed key, such as jax.random.key(0)",
            "a vector of typed keys, such as jax.random.split(key, 4)",
        )[ndim]
        raise ValueError(f"{name} must be {wanted}; got {got}.")


def shape_of(
    name: str, array: Any, expected: tuple[int | None, ...], axes: str
) -> None:
    """Refuses an array whose shape is not `expected` (None: any size on that axis).

    `axes` names the axes in the message, such as "(batch, length, dim)".
    """
    shape = np.shape(array)
    fits = len(shape) == len(expected) and all(
        want is None or have == want for have, want in zip(shape, expected, strict=True)
    )
    if not fits:
        sizes = ", ".join("any" if want is None else str(want) for want in expected)
        raise ValueError(
            f"{name} must have axes {axes} of sizes ({sizes}), got shape {shape}."
        )


def all_finite(name: str, array: Any) -> None:
    """Refuses NaN and infinity; a traced array (inside jit) is not looked at."""
    array = real(name, array)
    if isinstance(array, jax.core.Tracer):
        return
    bad = ~np.isfinite(np.asarray(array))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must be finite, but {int(bad.sum())} of its {bad.size} values are "
            f"NaN or infinite (the first at index {where})."
        )


def array(name: str, values: Any, expected: tuple[int | None, ...], axes: str) -> Any:
    """Returns an array of finite real numbers that has the expected shape.

    It takes arrays of any library (`icl.arrays.real`), and shapes as `shape_of` does.
    """
    found = real(name, values)
    shape_of(name, found, expected, axes)
    all_finite(name, found)
    return found


def floats(name: str, values: Any, dtype: Any = None) -> Any:
    """Returns an array of floats in a dtype that JAX keeps, without losing any.

    JAX rounds float64 to float32 where float64 is off, and 1e300 is infinite then.
    Arrays of JAX are returned as `icl.arrays.floating` does, and all others as NumPy's.

    Args:
        name: the name of the argument.
        values: the numbers.
        dtype: the dtype of the result; None is that of the numbers, or float32 in place
            of a float64 that is off.

    Raises:
        ValueError: these are no real numbers, or a finite one is not finite there.
    """
    array = floating(name, values)
    if isinstance(array, jax.Array):
        return array if dtype is None else array.astype(dtype)
    if dtype is None:
        double = array.dtype == np.float64
        dtype = jnp.result_type(float) if double else array.dtype
    with np.errstate(over="ignore"):
        found = array.astype(dtype, copy=False)
    if found.dtype != array.dtype:
        lost = np.isfinite(array) & ~np.isfinite(found)
        if lost.any():
            raise ValueError(
                f"{name} must be finite in {found.dtype}, but {int(lost.sum())} of its "
                f"{lost.size} values are too large for it, such as "
                f"{array[lost].flat[0]:.3g}; give smaller ones, or switch float64 on."
            )
    return found


def indices(name: str, values: Any, count: int, what: str) -> Any:
    """Returns an array of integers from 0 to `count` - 1, which are `what`.

    JAX takes others for the first or last one. Traced arrays are not looked at.
    """
    found = real(name, values)
    if not jnp.issubdtype(found.dtype, jnp.integer):
        raise ValueError(f"{name} must be integers, got an array of {found.dtype}.")
    if isinstance(found, jax.core.Tracer) or not found.size:
        return found
    numbers = np.asarray(found)
    least, most = int(numbers.min()), int(numbers.max())
    if least < 0 or most >= count:
        raise ValueError(
            f"{name} must be 0 to {count - 1}, {what}, got "
            f"{least if least < 0 else most}."
        )
    return found


def differences(have: Any, want: Any, name: str = "") -> list[str]:
    """Returns where two JSON values differ, each field as "name: have -> want"."""
    if isinstance(have, dict) and isinstance(want, dict):
        keys = sorted(have.keys() | want.keys())
        parts = [
            differences(have.get(key), want.get(key), f"{name}.{key}".lstrip("."))
            for key in keys
        ]
        return [line for part in parts for line in part]
    if have == want:
        return []
    return [f"{plain(name)}: {shown(have)} there, {shown(want)} asked for"]
