"""How does an array of any library become one of NumPy or JAX? Once, at the door.

Users hand over arrays of NumPy, JAX, PyTorch, pandas or xarray, and lists of numbers.
JAX arrays stay what and where they are, also while they are traced; all others become
NumPy arrays. No library is imported for it.

What cannot be read as real numbers without a guess is refused: masked entries (NumPy
would forget the mask), complex numbers (it would drop a part), text, dates, Python
objects and raw bytes.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

WIDEST = 80
"""The number of characters of a value that a message shows."""

KINDS = (jnp.floating, jnp.integer, jnp.bool_)
"""The kinds of dtypes that hold real numbers."""

FIXES = {
    "c": "give its real and imaginary parts apart, or its absolute value",
    "S": "turn the text into numbers first, such as values.astype(float)",
    "U": "turn the text into numbers first, such as values.astype(float)",
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


def real(name: str, values: Any) -> Any:
    """Returns an array of real numbers, of JAX as it is and of others as NumPy's.

    Raises:
        ValueError: it is no array, or holds something else than real numbers.

    Example:
        >>> real("ys", [[1, 2], [3, 4]]).shape
        (2, 2)
        >>> real("ys", None)
        Traceback (most recent call last):
        ...
        ValueError: ys must be an array of real numbers, got None.
    """
    array = values if isinstance(values, jax.Array) else _of_numpy(name, values)
    dtype, letter = array.dtype, getattr(array.dtype, "kind", "O")
    # Lengths of time ("m") are integers to NumPy.
    if letter != "m" and any(jnp.issubdtype(dtype, kind) for kind in KINDS):
        return array
    got = f"an array of {dtype}" if hasattr(values, "dtype") else shown(values)
    if array.ndim == 0 and letter == "O":
        raise ValueError(f"{name} must be an array of real numbers, got {got}.")
    fix = FIXES.get(letter, FIXES["O"])
    raise ValueError(f"{name} must hold real numbers, got {got}; {fix}.")


def floating(name: str, values: Any) -> Any:
    """Returns an array as `real` does, but of floats of 32 bits or more.

    Anything shorter is made float32 before it is computed with: squares of float16
    overflow from 256 on, and differences of short integers wrap around.

    Raises:
        ValueError: as `real`.
    """
    array = real(name, values)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        # In NumPy, for JAX would cut large integers off before they are floats.
        return array.astype(float)
    return array if jnp.finfo(array.dtype).bits >= 32 else array.astype(np.float32)


def plain(name: Any) -> str:
    """Returns the name of an array as it stands in a message, on one line.

    Names in files may be somebody else's, and hold what a terminal obeys.
    """
    text = str(name)
    return text if text.isprintable() and len(text) < WIDEST else shown(text)


def _of_numpy(name: str, values: Any) -> Any:
    """Returns values of any library as a NumPy array, or a list of JAX's stacked."""
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
        array = values.to_numpy(dtype=float, na_value=np.nan)
    if array.dtype == np.longdouble:  # which JAX does not have
        array = array.astype(float)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _unmasked(name: str, values: np.ma.MaskedArray) -> np.ndarray:
    """Returns the data of a masked array in which nothing is masked."""
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} must hold real numbers, got a masked array with "
            f"{int(np.ma.count_masked(values))} masked entries; leave out the prompts "
            "or tokens that are masked."
        )
    return np.asarray(values.data)


def _first(values: Any) -> Any:
    """Returns the first thing in nested lists that is no list."""
    while isinstance(values, list | tuple) and values:
        values = values[0]
    return values


def _stacked(name: str, values: list | tuple) -> Any:
    """Returns a list of arrays of any library as one array."""
    parts = [real(name, part) for part in values]
    shapes = list(dict.fromkeys(part.shape for part in parts))
    if len(shapes) > 1:
        raise ValueError(
            f"{name} must be one array, got a list of arrays of different shapes, "
            f"such as {shapes[0]} and {shapes[1]}."
        )
    on_device = any(isinstance(part, jax.Array) for part in parts)
    return (jnp if on_device else np).stack(parts)


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
