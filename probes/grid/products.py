"""Adds the products of rows, z'z, to a sum of such products, in place.

NumPy computes a half of z'z, since it is symmetric, copies it into the other half and
leaves the addition to a second pass over memory. BLAS's `dsyrk` adds a half to what is
there already. SciPy's own wrapper of it holds Python's lock meanwhile, so that threads
would wait for each other; the function that it keeps for Cython is called without it.
"""

import ctypes
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from scipy.linalg import cython_blas

_SIGNATURE = "void (char *, char *, int *, int *, *, *, int *, *, *, int *)"
_NUMBER = "__pyx_t_5scipy_6linalg_11cython_blas_d"  # how Cython calls a double


def add_products(
    rows: Float64[np.ndarray, "rows z"], sums: Float64[np.ndarray, "z z"]
) -> None:
    """Adds the upper triangle of rows' @ rows to `sums`; the lower one stays as it is.

    Args:
        rows: the rows, one after the other in memory.
        sums: what is added to, in the order of C as well.
    """
    if _DSYRK is None:
        sums += np.triu(rows.T @ rows)
        return
    count, size = rows.shape
    integers = [ctypes.c_int(value) for value in (size, count, size, size)]
    n, k, lda, ldc = (ctypes.byref(value) for value in integers)
    one = ctypes.byref(ctypes.c_double(1.0))
    # To Fortran the rows are columns, and the upper triangle is the lower one.
    _DSYRK(b"L", b"N", n, k, one, rows.ctypes.data, lda, one, sums.ctypes.data, ldc)


def mirror(sums: Float64[np.ndarray, "z z"]) -> None:
    """Copies the upper triangle of a matrix into the lower one, which is 0."""
    diagonal = sums.diagonal().copy()
    sums += sums.T
    np.fill_diagonal(sums, diagonal)


def _dsyrk() -> Callable[..., None] | None:
    """Returns BLAS's `dsyrk`; None if SciPy's is not of the kind that is known here."""
    capsule = cython_blas.__pyx_capi__["dsyrk"]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    name = name_of(capsule)
    if name.decode().replace(f"{_NUMBER} ", "") != _SIGNATURE:
        return None
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype = ctypes.c_void_p
    pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]
    characters, numbers = [ctypes.c_char_p] * 2, [ctypes.c_void_p] * 8
    return ctypes.CFUNCTYPE(None, *characters, *numbers)(pointer_of(capsule, name))


_DSYRK = _dsyrk()
