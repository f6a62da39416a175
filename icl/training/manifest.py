"""What does a checkpoint say of its content, and is that true?

The manifest of a checkpoint states the step, what made the arrays, their names, shapes
and dtypes, and the checksum of every file; the last entry is its own checksum. A
checkpoint may come from somebody else: nothing here is believed before it has been
compared with the bytes that are there, and nothing is allocated for it.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from icl.arrays import shown
from icl.files import content, parsed

MANIFEST = "manifest.json"

MOST_STEPS = 2**53
"""The largest step, to which a float still counts."""

MOST_AXES = 32

EXPANSION = 2**14
"""The most bytes that one byte of a compressed file may stand for.

Arrays are compressed by zstd, which makes at most about so many zeros of a byte."""

PARTS = ("task", "model", "train")  # what a description may consist of, among others
DRAWN = "drawn"  # what a description says of the batches, besides the configs


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says why and what to do."""


class OtherFormatError(CheckpointError):
    """A whole checkpoint that another version of icl has written."""


def read_manifest(folder: Path, known: int) -> dict[str, Any]:
    """Returns the manifest of a checkpoint whose files are those that it names.

    Args:
        folder: the folder of the checkpoint.
        known: the format that is read here.

    Raises:
        CheckpointError: the checkpoint is truncated or edited, or it says what cannot
            be.
        OtherFormatError: another version has written it.
    """
    manifest = _loaded(folder)
    stated = manifest.pop("checksum", None)
    if checksum(canonical(manifest)) != stated:
        raise CheckpointError(f"{folder} is damaged: its manifest was changed.")
    _check_format(folder, manifest, known, "use the version that wrote it")
    _check_values(folder, manifest)
    _check_files(folder, manifest)
    return manifest


def read_statement(folder: Path, known: int) -> dict[str, Any]:
    """Returns the manifest of a checkpoint, which is not compared with its files.

    Raises:
        CheckpointError: no manifest can be read, or it says what cannot be.
        OtherFormatError: another version has written it.
    """
    manifest = _loaded(folder)
    advice = f"move {folder.parent} away to train again"
    _check_format(folder, manifest, known, advice)
    _check_values(folder, manifest)
    return manifest


def _loaded(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = parsed(content(path))
        manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} is damaged: no readable manifest.") from error
    if not isinstance(manifest, dict):
        raise CheckpointError(f"{folder} is damaged: no readable manifest.")
    return manifest


def _check_format(
    folder: Path, manifest: Mapping[str, Any], known: int, advice: str
) -> None:
    found = manifest["format"]
    if found != known or isinstance(found, bool):
        raise OtherFormatError(
            f"{folder} has checkpoint format {shown(found)}, this version of icl reads "
            f"{known}; {advice}."
        )


def _check_values(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuses a manifest with values of which no checkpoint can consist."""
    wanted: dict[str, tuple[Callable[[Any], bool], str]] = {
        "step": (_is_step, "a number of steps"),
        "about": (is_description, "a description of the run"),
        "arrays": (_are_arrays, "shapes and dtypes of arrays by name"),
        "files": (_are_files, "checksums of files by name"),
    }
    for name, (fits, what) in wanted.items():
        if not fits(manifest.get(name)):
            raise CheckpointError(
                f"{folder} is damaged: {name!r} in its manifest is not {what}."
            )
    named = folder.name.removeprefix("step_")
    if named.isdecimal() and named != folder.name and int(named) != manifest["step"]:
        raise CheckpointError(
            f"{folder} is damaged: it holds step {manifest['step']}, so that it is a "
            "copy of another checkpoint; give it back its name."
        )


def _is_step(value: Any) -> bool:
    return _is_size(value) and value <= MOST_STEPS


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_description(value: Any) -> bool:
    """Returns whether JSON may be the description of a run."""
    return (
        isinstance(value, dict)
        and all(isinstance(value[part], dict) for part in PARTS if part in value)
        and (value.get(DRAWN) is None or _is_sketch(value[DRAWN]))
    )


def _is_sketch(value: Any) -> bool:
    """Returns whether JSON may be what `icl.tasks.drawing.sketch` returns."""
    return isinstance(value, dict) and all(
        name.isprintable()
        and isinstance(pair, list)
        and len(pair) == 2
        # An integer that no float holds is not there either.
        and all(isinstance(each, float) or _is_step(each) for each in pair)
        for name, pair in value.items()
    )


def _are_arrays(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_array, value.values()))


def _is_array(value: Any) -> bool:
    if not isinstance(value, dict) or not {"shape", "dtype"} <= value.keys():
        return False
    shape, dtype = value["shape"], value["dtype"]
    return (
        isinstance(shape, list)
        and len(shape) <= MOST_AXES
        and all(_is_size(size) and size < 2**48 for size in shape)
        and isinstance(dtype, str)
        and _itemsize(dtype) is not None
    )


def _itemsize(name: str) -> int | None:
    """Returns the bytes of a number of this dtype, or None if it has no such name."""
    try:
        dtype = jnp.dtype(name)  # it knows bfloat16 too
    except TypeError:
        return None
    numeric = jnp.issubdtype(dtype, np.number) or jnp.issubdtype(dtype, np.bool_)
    return dtype.itemsize if numeric and dtype.name == name else None


def _are_files(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Compares the files that are there with those that the manifest names."""
    try:
        found, stated = checksums(folder), manifest["files"]
    except OSError as error:
        what = f"{error.filename} cannot be read ({error.strerror})"
        raise CheckpointError(f"{folder} is damaged: {what}.") from error
    for name in stated:
        if found.get(name) != stated[name]:
            state = "was changed" if name in found else "is missing"
            raise CheckpointError(f"{folder} is damaged: {name!r} {state}.")
    for name in found.keys() - stated.keys():
        if not name.rpartition("/")[2].startswith("."):  # a note of a file manager
            raise CheckpointError(
                f"{folder} is damaged: {name!r} is not one of its files; take it out."
            )
    there = sum((folder / name).stat().st_size for name in stated)
    needed = sum(
        math.prod(array["shape"]) * (_itemsize(array["dtype"]) or 0)
        for array in manifest["arrays"].values()
    )
    if needed > EXPANSION * there:
        raise CheckpointError(
            f"{folder} is damaged: its arrays would take {needed:,} bytes, and its "
            f"files have {there:,}."
        )


def checksums(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file of a checkpoint except the manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    names.pop(MANIFEST, None)
    return {name: checksum(content(path)) for name, path in names.items()}


def checksum(data: bytes) -> str:
    """Returns the SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def canonical(manifest: Mapping[str, Any]) -> bytes:
    """Returns a manifest as the bytes of which its checksum is taken."""
    return json.dumps(manifest, sort_keys=True).encode()
