"""How does a run outlive its process? By checkpoints that are whole or absent.

A run's directory holds one folder per saved step:

    step_00001000/
        manifest.json    what made the arrays, their names and shapes, checksums
        arrays/          written by orbax: parameters, optimiser, history

A checkpoint is written beside its place and renamed into it, so a process killed at
any moment leaves it whole or absent. The manifest holds the checksum of every file, and
one of itself, so that a truncated or edited checkpoint is noticed and refused, and the
one before it is used. Nothing is ever unpickled.

This module speaks of named arrays only; `icl.training.trained` says what they mean. One
process at a time may write to a directory.
"""

import hashlib
import json
import os
import shutil
import uuid
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from icl.pytrees import unnamed

if TYPE_CHECKING:
    pass

FORMAT = 2
MANIFEST = "manifest.json"
KEPT = 2  # checkpoints that are kept of a run: the newest, and one to fall back on
UNFINISHED = ".writing-"

# orbax reads and writes under a name of its own inside a checkpoint.
_ARRAYS = "arrays"

# orbax wants a name for what it would wait for if there were other processes.
_ALONE = "icl"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says why and what to do."""


class OtherFormatError(CheckpointError):
    """A whole checkpoint that another version of icl has written."""


class Stored(NamedTuple):
    """The content of a checkpoint.

    Attributes:
        step: the number of updates made.
        about: the configs and the key that made the arrays, as JSON.
        arrays: the arrays by name.
    """

    step: int
    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


def prepare(directory: Path) -> None:
    """Makes a run's directory if need be, so that a failure comes now, not after hours.

    Raises:
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob(
        f"{UNFINISHED}*"
    ):  # a draft of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    _draft(directory).rmdir()


def write(directory: Path, stored: Stored, kept: Collection[int] = ()) -> Path:
    """Adds a checkpoint to a run's directory, whole or not at all.

    It is kept, and so are the one before it and those of the steps `kept`. A folder of
    this step or a later one can only be a damaged one, from which the run did not go
    on; it is deleted. Returns the checkpoint's folder.

    Raises:
        OSError: the directory cannot be written, or the disk is full; what was there
            before is untouched.
    """
    prepare(directory)
    target = directory / f"step_{stored.step:08d}"
    draft = _draft(directory)
    try:
        arrays = {name: np.asarray(array) for name, array in stored.arrays.items()}
        # orbax refuses empty arrays, which the manifest describes completely.
        _write_arrays(draft / _ARRAYS, {n: a for n, a in arrays.items() if a.size})
        _write_manifest(draft, stored.step, stored.about, arrays)
        if target.exists():
            shutil.rmtree(target)
        os.rename(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    found = folders(directory)
    at = found.index(target)
    past = [
        each for each in found[: max(0, at + 1 - KEPT)] if step_of(each) not in kept
    ]
    for old in past + found[at + 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def read(folder: Path) -> Stored:
    """Reads one checkpoint.

    Raises:
        CheckpointError: the checkpoint is truncated or edited.
        OtherFormatError: another version has written it.
    """
    from orbax.checkpoint import v1 as ocp

    alone = ocp.Context()  # this process alone reads, also where several train together
    alone.multiprocessing.primary_host = jax.process_index()
    alone.multiprocessing.active_processes = {jax.process_index()}
    alone.multiprocessing.barrier_sync_key_prefix = _ALONE
    manifest = _read_manifest(folder)
    arrays: Any = {
        name: np.empty(spec["shape"], spec["dtype"])
        for name, spec in manifest["arrays"].items()
    }
    stored: Any = {name: array for name, array in arrays.items() if array.size}
    try:
        with alone:
            loaded: Any = ocp.load(str((folder / _ARRAYS).absolute()), stored)
    except Exception as error:
        raise CheckpointError(f"{folder} cannot be read: {error}") from error
    arrays |= {name: np.asarray(array) for name, array in loaded.items()}
    return Stored(manifest["step"], manifest["about"], arrays)


def read_latest(directory: Path) -> Stored | None:
    """Returns the newest whole checkpoint of a run, or None if there is none at all.

    It warns of every damaged one that it passes over.

    Raises:
        CheckpointError: there are checkpoints, and all of them are damaged; or another
            version has written the newest whole one.
    """
    found = folders(directory)
    for folder in reversed(found):
        try:
            return read(folder)
        except OtherFormatError:
            raise
        except CheckpointError as error:
            warnings.warn(f"{error} Using the one before it.", stacklevel=2)
    if found:
        raise CheckpointError(
            f"Every checkpoint in {directory} is damaged. Delete the directory and "
            "train again, or restore it from a copy."
        )
    return None


def find(path: Path) -> Stored:
    """Returns the checkpoint of a step's folder, or the newest of a run's directory.

    Raises:
        FileNotFoundError: there is no checkpoint.
        CheckpointError: it cannot be used, for the reasons of `read` and `read_latest`.
    """
    one = (path / MANIFEST).exists()
    stored = read(path) if one else read_latest(path)
    if stored is None:
        raise FileNotFoundError(f"There is no checkpoint in {path}.")
    return stored


def newest(directory: Path) -> tuple[int, dict[str, Any]] | None:
    """Returns step and description of the newest readable checkpoint, without arrays.

    It returns None if there are no checkpoints. Only the manifest is read, and it is
    not compared with the files beside it.

    Raises:
        CheckpointError: there are checkpoints, and no manifest can be read.
        OtherFormatError: another version has written the newest checkpoint.
    """
    found = folders(directory)
    for folder in reversed(found):
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            stated, step, about = (manifest[n] for n in ("format", "step", "about"))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if stated != FORMAT:
            raise OtherFormatError(
                f"{folder} has checkpoint format {stated}, this version of icl reads "
                f"{FORMAT}; move {directory} away to train again."
            )
        return step, about
    if found:
        raise CheckpointError(
            f"Every checkpoint in {directory} is damaged; delete it to train again."
        )
    return None


def fitted(stored: Stored, abstract: Any, prefix: str) -> Any:
    """Returns the arrays of a checkpoint as the pytree of `abstract`'s structure.

    Raises:
        CheckpointError: arrays are missing, left over, or of another shape.
    """
    try:
        return unnamed(stored.arrays, abstract, prefix)
    except ValueError as error:
        raise CheckpointError(
            f"The checkpoint does not fit this model: {error}"
        ) from error


def folders(directory: Path) -> list[Path]:
    """Returns the checkpoints of a run, also damaged ones, with the newest last."""
    return sorted(directory.glob("step_*"), key=lambda path: (len(path.name), path))


def _draft(directory: Path) -> Path:
    """Makes a new folder beside the checkpoints."""
    draft = directory / f"{UNFINISHED}{uuid.uuid4().hex}"
    draft.mkdir()
    return draft


def _write_arrays(folder: Path, arrays: Any) -> None:
    # v1's `save` waits for all processes of a run (0.12.8), but only one writes here.
    import orbax.checkpoint as ocp

    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=this, active_processes={this}, barrier_sync_key_prefix=_ALONE
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    try:
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            checkpointer.save(str(folder.absolute()), arrays)
    except ValueError as error:  # orbax's storage reports a full disk like this
        raise OSError(f"{folder} cannot be written: {error}") from error


def _write_manifest(
    folder: Path,
    step: int,
    about: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "step": step,
        "about": about,
        "arrays": {
            name: {"shape": array.shape, "dtype": array.dtype.name}
            for name, array in arrays.items()
        },
        "files": _checksums(folder),
    }
    manifest["checksum"] = _checksum(_canonical(manifest))
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        found = manifest["format"]
        stated = manifest.pop("checksum")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} is damaged: no readable manifest.") from error
    if _checksum(_canonical(manifest)) != stated:
        raise CheckpointError(f"{folder} is damaged: its manifest was changed.")
    if found != FORMAT:
        raise OtherFormatError(
            f"{folder} has checkpoint format {found}, this version of icl reads "
            f"{FORMAT}; use the version that wrote it."
        )
    files = _checksums(folder)
    for name, checksum in manifest["files"].items():
        if files.get(name) != checksum:
            state = "was changed" if name in files else "is missing"
            raise CheckpointError(f"{folder} is damaged: {name} {state}.")
    return manifest


def _checksums(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file of a checkpoint except the manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    names.pop(MANIFEST, None)
    return {name: _checksum(path.read_bytes()) for name, path in names.items()}


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _canonical(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True).encode()


def newest_step(directory: Path) -> int:
    """Returns the step of the newest checkpoint, whole or not; 0 without one."""
    found = folders(directory)
    return step_of(found[-1]) if found else 0


def step_of(folder: Path) -> int:
    """Returns the step that a checkpoint's folder is named after."""
    return int(folder.name.removeprefix("step_"))
