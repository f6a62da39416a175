"""What happens in every column of a sum? Digits, column sums, carries, cascades.

Columns are counted from the units: column i is that of 10^i. All functions take arrays
of NumPy or JAX, also inside compiled code, and return arrays of the same library with
one more axis, (..., columns).
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Int, Integer

from icl import checks
from icl.arrays import real

MOST_DIGITS = 9
"""The most digits of an operand: sums of two such numbers are integers of 32 bits."""

Numbers = Integer[Any, "..."]
Columns = Int[Any, "... columns"]


def digits_of(numbers: Numbers, count: int) -> Columns:
    """Returns the first `count` digits of numbers, the units first.

    Raises:
        ValueError: numbers are no integers from 0 on, or `count` is below 1.

    Example:
        >>> digits_of(np.array([128, 7]), 3).tolist()
        [[8, 2, 1], [7, 0, 0]]
    """
    numbers = natural("numbers", numbers)
    count = checks.positive_int("count", count, maximum=MOST_DIGITS + 1)
    return numbers[..., None] // _powers(count, numbers) % 10


def lengths_of(numbers: Numbers, most: int) -> Numbers:
    """Returns how many digits numbers have when they are written, 1 to `most`.

    Raises:
        ValueError: numbers are no integers from 0 on, or `most` is below 1.
    """
    numbers = natural("numbers", numbers)
    most = checks.positive_int("most", most, maximum=MOST_DIGITS + 1)
    return 1 + (numbers[..., None] >= _powers(most, numbers)[..., 1:]).sum(axis=-1)


def carries(a: Numbers, b: Numbers, digits: int) -> Columns:
    """Returns the carry out of every column of a + b, 0 or 1.

    Raises:
        ValueError: the operands are no integers from 0 to 10^digits - 1.

    Example:
        >>> carries(np.array([128, 678]), np.array([367, 532]), 3).tolist()
        [[1, 0, 0], [1, 1, 1]]
    """
    a, b = operands(a, b, digits)
    # 10^(i + 1) is a number of 32 bits for all columns of operands of 9 digits.
    powers = _powers(digits + 1, a)[..., 1:]
    carried = a[..., None] % powers + b[..., None] % powers >= powers
    return carried.astype(a.dtype)


def column_sums(a: Numbers, b: Numbers, digits: int) -> Columns:
    """Returns a_i + b_i of every column, without the carry into it, 0 to 18.

    Raises:
        ValueError: the operands are no integers from 0 to 10^digits - 1.
    """
    a, b = operands(a, b, digits)
    return digits_of(a, digits) + digits_of(b, digits)


def cascades(a: Numbers, b: Numbers, digits: int) -> Columns:
    """Returns for every column how many columns of sum 9 stand right below it.

    A carry into the lowest of them goes through all of them.

    Raises:
        ValueError: the operands are no integers from 0 to 10^digits - 1.

    Example:
        >>> cascades(np.array([549]), np.array([452]), 3).tolist()
        [[0, 0, 1]]
    """
    nines = (column_sums(a, b, digits) == 9).astype(np.int32)
    runs = [0 * nines[..., 0]]
    for column in range(digits - 1):
        runs.append((runs[-1] + 1) * nines[..., column])
    return nines.__array_namespace__().stack(runs, axis=-1)


def operands(a: Any, b: Any, digits: int) -> tuple[Any, Any]:
    """Returns both operands as arrays of integers of one shape.

    Raises:
        ValueError: they are no integers from 0 to 10^digits - 1, or differ in shape.
    """
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    a, b = natural("a", a, digits), natural("b", b, digits)
    checks.shape_of("b", b, a.shape, "as a")
    return a, b


def natural(name: str, numbers: Any, digits: int = MOST_DIGITS + 1) -> Any:
    """Returns numbers as an array of integers; what is traced is not looked at.

    They are integers of 64 bits in NumPy and of at least 32 in JAX, because sums of
    narrow ones would wrap around.

    Raises:
        ValueError: they are no integers from 0 to 10^digits - 1, or are larger than
            JAX's integers of 32 bits.
    """
    numbers = real(name, numbers)
    # bool is no kind of integer to NumPy and JAX.
    if not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(
            f"{name} must be integers, got an array of {numbers.dtype}; use "
            ".astype(int) if they are whole."
        )
    wide = np.dtype(np.int64)
    if isinstance(numbers, jax.Array) and numbers.dtype.itemsize < wide.itemsize:
        wide = np.dtype(np.int32)
    if not isinstance(numbers, jax.core.Tracer) and numbers.size:
        least, most = int(numbers.min()), int(numbers.max())
        largest = min(10**digits - 1, int(np.iinfo(wide).max))
        if least < 0 or most > largest:
            raise ValueError(
                f"{name} must be integers from 0 to {largest}, got "
                f"{least if least < 0 else most}."
            )
    return numbers.astype(wide)


def _powers(count: int, numbers: Any) -> np.ndarray:
    """Returns 1, 10, ... with an axis more than numbers, as integers that JAX has."""
    powers = (10 ** np.arange(count)).astype(np.int32)
    return powers.reshape((1,) * numbers.ndim + (count,))
