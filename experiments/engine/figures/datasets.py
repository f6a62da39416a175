"""How does a Dataset become bytes, and bytes of somebody else's a Dataset?

A netCDF file is an HDF5 file, and HDF5 has parts that lie in other files (external
storage, virtual datasets, links), as well as arrays that are far larger than the file.
A Dataset of ours has none of these, and a file that has some is refused before any of
it is read. HDF5 never writes to a disk here: on a full one it would crash the process.
"""

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

EXPANSION = 1_100
"""The most bytes that one byte of a compressed file may stand for (zlib: 1,032)."""

SPARE = 2**20  # bytes, for files that are too small to say
AT_ONCE = 2**28  # bytes of text, while it is measured

_UNREADABLE = (
    *(OSError, LookupError, RuntimeError, TypeError, AttributeError, ValueError),
    ImportError,  # of what other kinds of files would need
)

Bytes = bytes | memoryview


def to_bytes(dataset: xr.Dataset) -> bytes:
    """Returns a Dataset as the content of a netCDF file."""
    compressed = {name: {"zlib": True, "complevel": 4} for name in dataset.data_vars}
    return bytes(dataset.to_netcdf(engine="h5netcdf", encoding=compressed))


def from_bytes(data: Bytes) -> xr.Dataset:
    """Returns the Dataset that the content of a netCDF file holds.

    Raises:
        ValueError: it is no netCDF file, or it is not of the kind that `to_bytes`
            returns; the message says why, in one line.
    """
    try:
        _check(data)
        return xr.load_dataset(io.BytesIO(data), engine="h5netcdf")
    except _UNREADABLE as error:
        raise ValueError(_line(error)) from error
    except (MemoryError, ArithmeticError) as error:
        raise ValueError(f"it is too large: {_line(error)}") from error


def attribute(data: Bytes, name: str) -> Any:
    """Returns an attribute of a Dataset, whose variables are not read.

    Raises:
        ValueError: there is no such attribute, or it is no netCDF file.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            if file.attrs.get_id(name).shape != ():
                raise ValueError(f"{name!r} must be one value")
            return file.attrs[name]
    except (OSError, LookupError, RuntimeError, TypeError) as error:
        raise ValueError(_line(error)) from error


def _check(data: Bytes) -> None:
    """Refuses what lies in other files, and arrays that the bytes cannot hold.

    Raises:
        ValueError: says what is refused.
    """
    import h5py

    needed = 0
    with h5py.File(io.BytesIO(data), "r") as file:
        for name in file:
            # A link is looked at before it is followed.
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} is a link, and may lead to another file")
            found = file[name]
            if not isinstance(found, h5py.Dataset):
                raise ValueError(f"{name!r} is no array")
            if found.external or found.is_virtual:
                raise ValueError(f"{name!r} lies in another file")
            # A chunk is read as a whole, however little of it is wanted.
            count = max(math.prod(found.shape or ()), math.prod(found.chunks or ()))
            needed += count * found.dtype.itemsize
            if found.dtype.hasobject:
                _check_text(found, len(data))
            _check_attributes(found)
        _check_attributes(file)
    if needed > SPARE + EXPANSION * len(data):
        raise ValueError(
            f"its arrays would take {needed:,} bytes, and it has {len(data):,}"
        )


def _check_text(found: Any, size: int) -> None:
    """Refuses what is no text, and texts that the bytes of a file cannot hold.

    HDF5 keeps each text outside of its array, and many entries may lead to one.

    Raises:
        ValueError: says what is refused.
    """
    import h5py

    if not h5py.check_string_dtype(found.dtype):
        raise ValueError(f"{found.name!r} holds neither numbers nor text")
    if math.prod(found.shape) > max(size, SPARE):
        raise ValueError(f"{found.name!r} has {found.shape} texts")
    total = 0
    for part in _parts(found, max(1, AT_ONCE // size)):
        total += sum(map(len, np.ravel(part)))
        if total > size:
            raise ValueError(f"the texts of {found.name!r} are longer than the file")


def _parts(found: Any, most: int, at: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yields an array of HDF5 in parts of so many entries at most."""
    rest = found.shape[len(at) :]
    if math.prod(rest) <= most:
        yield found[at]
        return
    step = most if len(rest) == 1 else 1
    for start in range(0, rest[0], step):
        if len(rest) == 1:
            yield found[(*at, slice(start, start + step))]
        else:
            yield from _parts(found, most, (*at, start))


def _check_attributes(of: Any) -> None:
    """Refuses attributes of so many texts that they may be longer than any file.

    Raises:
        ValueError: names the attribute.
    """
    for name in of.attrs:
        about = of.attrs.get_id(name)
        long = math.prod(about.shape or ()) > EXPANSION
        if about.dtype.hasobject and long and name != "REFERENCE_LIST":
            raise ValueError(f"the attribute {name!r} has {about.shape} texts")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
