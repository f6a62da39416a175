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

LARGEST = 2**32 - 1
"""The largest size, count or seed: JAX's keys keep 32 bits of a seed."""


def positive_int(name: str, value: Any, *, minimum: int = 1) -> int:
    """Returns `value` as an int of at least `minimum`; refuses bools and floats.

    It refuses what no size or count can be (`LARGEST`) too.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {value!r}.")
    if number > LARGEST:
        raise ValueError(
            f"{name} must be an integer of at most {LARGEST:,}, got "
            f"{number if number < 10**30 else 'a number of more than 30 digits'}."
        )
    return number


def finite_number(name: str, value: Any, *, positive: bool = False) -> float:
    """Returns `value` as a finite float, not negative, or above zero if `positive`.

    It accepts any number, also of NumPy or JAX, and refuses bools and strings.
    """
    bound = "> 0" if positive else ">= 0"
    try:
        number = math.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise ValueError(f"{name} must be a finite number {bound}, got {value!r}.")
    return number


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
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{name} must be one of {choices}; got {value!r}.")


def typed_key(name: str, key: Any, ndim: int = 0) -> None:
    """Refuses what is not a typed JAX key, or (`ndim` 1) not a vector of such keys."""
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not typed or key.ndim != ndim:
        got = f"{dtype} of shape {key.shape}" if hasattr(key, "shape") else repr(key)
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
    if isinstance(array, jax.core.Tracer):
        return
    bad = ~np.isfinite(np.asarray(array))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must be finite, but {int(bad.sum())} of its {bad.size} values are "
            f"NaN or infinite (the first at index {where})."
        )


def differences(have: Any, want: Any, name: str = "") -> list[str]:
    """Returns where two JSON values differ, each field as "name: have -> want"."""
    if isinstance(have, dict) and isinstance(want, dict):
        keys = sorted(have.keys() | want.keys())
        parts = [
            differences(have.get(key), want.get(key), f"{name}.{key}".lstrip("."))
            for key in keys
        ]
        return [line for part in parts for line in part]
    return [] if have == want else [f"{name}: {have!r} there, {want!r} asked for"]
