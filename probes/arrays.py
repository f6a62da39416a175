"""Arrays of any library, read as arrays of real numbers, once at the door.

Users hand over arrays of NumPy, JAX, PyTorch, pandas or xarray, memory-mapped ones, and
lists of numbers. No library is imported for it, and nothing is copied that NumPy can
look at where it lies.

What cannot be read as real numbers without a guess is refused: masked entries (NumPy
would forget the mask), complex numbers (it would drop a part), text, dates, Python
objects and raw bytes.
"""

import sys
from typing import Any

import numpy as np

WIDEST = 80
"""The number of characters of a value that a message shows."""

FIXES = {
    "c": "give its real and imaginary parts apart, or its absolute value",
    "S": "labels need a classifier, such as RidgeClassifier(); numbers astype(float)",
    "U": "labels need a classifier, such as RidgeClassifier(); numbers astype(float)",
    "M": "subtract a date, and divide by a unit such as numpy.timedelta64(1, 's')",
    "m": "divide it by a unit, such as numpy.timedelta64(1, 's')",
    "O": "it may hold None or rows of different lengths; make it numbers first",
    "V": "if it was saved as bfloat16, values.view(ml_dtypes.bfloat16) is that again",
}
"""What to do with arrays that hold no real numbers, by the kind of their dtype."""


def shown(value: Any) -> str:
    """Returns a value as it stands in a message: one line, cut off where it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever a class of the user's raises
        text = f"a {type(value).__name__} that cannot be printed"
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def is_jax(values: Any) -> bool:
    """Returns whether this is an array of JAX, which may be traced."""
    kind = getattr(sys.modules.get("jax"), "Array", None)
    return kind is not None and isinstance(values, kind)


def is_float(dtype: Any) -> bool:
    """Returns whether a dtype of NumPy or JAX holds floating-point numbers.

    Both have floats and integers of kind "V", such as bfloat16 and int4; JAX has
    dtypes that NumPy does not know at all, such as those of keys.
    """
    if not isinstance(dtype, np.dtype) or not _is_real(dtype):
        return False
    return dtype.kind == "f" or (
        dtype.kind == "V" and float(np.float64(0.5).astype(dtype)) == 0.5
    )


def _is_real(dtype: np.dtype) -> bool:
    """Returns whether a dtype of NumPy holds real numbers.

    Those of kind "V" that do, such as bfloat16, have a scalar type of their own.
    """
    own = dtype.kind == "V" and not issubclass(dtype.type, np.void)
    return dtype.kind in "biuf" or own


def native(array: np.ndarray) -> np.ndarray:
    """Returns real numbers in a dtype that every library reads, if need be another one.

    Others than JAX know neither bfloat16 nor int4, and PyTorch no long doubles and no
    numbers of the other byte order.
    """
    dtype = array.dtype.newbyteorder("=")
    if dtype.kind == "V":  # float32 and int16 hold the same numbers
        dtype = np.dtype(np.float32 if is_float(dtype) else np.int16)
    elif dtype == np.longdouble:
        dtype = np.dtype(float)
    return array.astype(dtype, copy=False)


def real_or_jax(name: str, values: Any) -> Any:
    """Returns an array of real numbers, of JAX as it is and of others as NumPy's."""
    if not is_jax(values):
        return real(name, values)
    if not isinstance(values.dtype, np.dtype) or not _is_real(values.dtype):
        raise ValueError(
            f"{name} must hold real numbers, got an array of {values.dtype}."
        )
    return values


def unit_size(values: np.ndarray, axis: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns values times a power of 2, the largest between 1/2 and 1, and exponents.

    Squares of such values neither overflow nor vanish, and a power of 2 rounds nothing:
    `np.ldexp(scaled, exponents)` are the values again.

    Args:
        values: floating-point numbers.
        axis: the axes along which values have one exponent; None stands for all.
    """
    _, exponents = np.frexp(np.abs(values).max(axis=axis, keepdims=True, initial=0.0))
    return np.ldexp(values, -exponents), exponents


def real(name: str, values: Any) -> np.ndarray:
    """Returns a NumPy array of real numbers, in the dtype that it has.

    Raises:
        ValueError: it is no array, or holds something else than real numbers.

    Example:
        >>> real("target", [[1, 2], [3, 4]]).shape
        (2, 2)
    """
    array = _of_numpy(name, values)
    dtype = array.dtype
    if _is_real(dtype):
        return array
    got = f"an array of {dtype}" if hasattr(values, "dtype") else shown(values)
    if array.ndim == 0 and dtype.kind == "O":
        raise ValueError(f"{name} must be an array of real numbers, got {got}.")
    fix = FIXES.get(dtype.kind, FIXES["O"])
    raise ValueError(f"{name} must hold real numbers, got {got}; {fix}.")


def _of_numpy(name: str, values: Any) -> np.ndarray:
    """Returns values of any library as a NumPy array of whatever they hold."""
    if isinstance(values, np.ma.MaskedArray):
        return _unmasked(name, values)
    if isinstance(values, list | tuple) and getattr(_first(values), "ndim", 0):
        return _stacked(name, values)
    try:
        array = np.asarray(_readable(values))
    except Exception as error:  # whatever another library raises
        raise ValueError(
            f"{name} must be an array of real numbers, and {shown(values)} cannot be "
            f"read as one: {shown(error)}."
        ) from error
    if array.dtype == object and _is_table(values):
        return values.to_numpy(dtype=float, na_value=np.nan)
    return array


def _unmasked(name: str, values: np.ma.MaskedArray) -> np.ndarray:
    """Returns the data of a masked array in which nothing is masked."""
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} must hold real numbers, got a masked array with "
            f"{int(np.ma.count_masked(values))} masked entries; leave out the prompts "
            "that are masked, or the tokens."
        )
    return np.asarray(values.data)


def _first(values: Any) -> Any:
    """Returns the first thing in nested lists that is no list."""
    while isinstance(values, list | tuple) and values:
        values = values[0]
    return values


def _stacked(name: str, values: list | tuple) -> np.ndarray:
    """Returns a list of arrays of any library as one array."""
    parts = [real(name, part) for part in values]
    shapes = list(dict.fromkeys(part.shape for part in parts))
    if len(shapes) > 1:
        raise ValueError(
            f"{name} must be one array, got a list of arrays of different shapes, such "
            f"as {shapes[0]} and {shapes[1]}; if it is a collection of batches, give "
            "an iterator, iter(batches)."
        )
    return np.stack(parts)


def _readable(values: Any) -> Any:
    """Returns a tensor of PyTorch as one that NumPy reads; anything else as it is."""
    if not hasattr(values, "detach"):
        return values
    tensor = values.detach().cpu()
    # Dtypes that NumPy does not have; float32 holds the same numbers.
    unknown = any(kind in str(tensor.dtype) for kind in ("bfloat16", "float8"))
    return tensor.float() if unknown else tensor


def _is_table(values: Any) -> bool:
    """Returns whether this is a table or column of pandas that holds numbers alone.

    NumPy reads columns of nullable numbers as objects.
    """
    if not (hasattr(values, "to_numpy") and hasattr(values, "dtypes")):
        return False
    kinds = {getattr(dtype, "kind", "O") for dtype in np.atleast_1d(values.dtypes)}
    return kinds <= set("iufb")
