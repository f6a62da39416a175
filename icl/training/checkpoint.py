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

import errno
import json
import logging
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from icl import cautions
from icl.files import rename_whole
from icl.pytrees import unnamed
from icl.training.manifest import (
    MANIFEST,
    CheckpointError,
    OtherFormatError,
    canonical,
    checksum,
    checksums,
    read_manifest,
    read_statement,
)

FORMAT = 2
KEPT = 2  # checkpoints that are kept of a run: the newest, and one to fall back on
UNFINISHED = ".writing-"
_DRAFT = re.compile(rf"{re.escape(UNFINISHED)}[0-9a-f]{{4,32}}")
NAME = re.compile(r"step_([0-9]{8}|[1-9][0-9]{8,})")  # any other folder is not ours

# orbax reads and writes under a name of its own inside a checkpoint.
_ARRAYS = "arrays"

# orbax wants a name for what it would wait for if there were other processes.
_ALONE = "icl"

# What orbax says, among much else, if it could not write.
_REASONS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)

Use = Callable[["Stored"], Any]


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
    for stale in directory.iterdir():
        if _DRAFT.fullmatch(stale.name):  # of a process that was killed
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
        rename_whole(draft, target)
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
    manifest = read_manifest(folder, FORMAT)
    arrays: Any = {
        name: np.empty(spec["shape"], spec["dtype"])
        for name, spec in manifest["arrays"].items()
    }
    stored: Any = {name: array for name, array in arrays.items() if array.size}
    try:
        with alone, _quiet():
            loaded: Any = ocp.load(str((folder / _ARRAYS).absolute()), stored)
    except Exception as error:
        what = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder} cannot be read: {what}") from error
    arrays |= {name: np.asarray(array) for name, array in loaded.items()}
    return Stored(manifest["step"], manifest["about"], arrays)


def read_latest(directory: Path, use: Use | None = None) -> Stored | None:
    """Returns the newest checkpoint of a run that can be used; None if there is none.

    It warns of every one that it passes over.

    Args:
        directory: the directory of the run.
        use: a function that raises a `CheckpointError` for a whole checkpoint whose
            content is of no use.

    Raises:
        CheckpointError: there are checkpoints, and none of them can be used; or another
            version has written the newest whole one.
    """
    found, useless = folders(directory), []
    for folder in reversed(found):
        try:
            stored = read(folder)
        except OtherFormatError:
            raise
        except CheckpointError as error:
            cautions.warn(f"{error} Using the one before it.")
            continue
        try:
            if use:
                use(stored)
        except CheckpointError as error:
            useless.append(naming(folder, error))
            continue
        for error in useless:
            cautions.warn(f"{error} Using the one before it.")
        return stored
    if useless:  # by no damage, for it is the same with the others
        raise useless[0]
    if found:
        raise CheckpointError(
            f"Every checkpoint in {directory} is damaged. Delete the directory and "
            "train again, or restore it from a copy."
        )
    return None


def find(path: Path, use: Use | None = None) -> Stored:
    """Returns the checkpoint of a step's folder, or the newest of a run's directory.

    Args:
        path: the folder or the directory.
        use: a function that refuses what is of no use, as for `read_latest`.

    Raises:
        FileNotFoundError: there is no checkpoint.
        CheckpointError: it cannot be used, for the reasons of `read` and `read_latest`.
    """
    if (path / MANIFEST).exists():
        stored = read(path)
        try:
            if use:
                use(stored)
        except CheckpointError as error:
            raise naming(path, error) from error
        return stored
    stored = read_latest(path, use)
    if stored is None:
        raise FileNotFoundError(f"There is no checkpoint in {path}.")
    return stored


def naming(path: Path, error: CheckpointError) -> CheckpointError:
    """Returns an error that says in which file or folder the fault is."""
    said = str(error)
    return error if str(path) in said else CheckpointError(f"{path}: {said}")


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
            manifest = read_statement(folder, FORMAT)
        except OtherFormatError:
            raise
        except CheckpointError:
            continue
        return manifest["step"], manifest["about"]
    if found:
        raise CheckpointError(
            f"Every checkpoint in {directory} is damaged; delete it to train again."
        )
    return None


def reaches(directory: Path, step: int) -> bool:
    """Returns whether the newest checkpoint of a run is of this step or a later one."""
    try:
        found = newest(directory)
    except CheckpointError:
        return False
    return found is not None and found[0] >= step


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
    """Returns the checkpoints of a run, also damaged ones, with the newest last.

    Whatever has another name than `write` gives, such as a copy, is somebody else's.
    """
    try:
        found = [path for path in directory.iterdir() if NAME.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda path: (step_of(path), path))


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
        with (
            _quiet(),
            _without_what_comes_late(),
            ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer,
        ):
            checkpointer.save(str(folder.absolute()), arrays)
    except (ValueError, OSError) as error:  # its storage reports a full disk by either
        if type(error) not in (ValueError, OSError):
            raise
        raise _unwritable(folder.parent.parent, error) from error


def _unwritable(directory: Path, error: Exception) -> OSError:
    """Returns an error of orbax's as one line that says why nothing was written."""
    text = " ".join(str(error).split())
    number = getattr(error, "errno", None)
    for each in _REASONS:
        if os.strerror(each) in text:
            number = each
    why = os.strerror(number) if number else text[:200]
    refused = OSError(f"{directory} cannot be written: {why}")
    refused.errno = number
    return refused


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps orbax from logging with its whole stack what it also raises."""
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def _without_what_comes_late() -> Iterator[None]:
    """Keeps threads that still write after a failure from printing their errors.

    Once orbax has given up, its storage goes on for a while, and each thread prints a
    traceback because nobody waits for it any more. After a failure it stays so.
    """
    before = sys.unraisablehook

    def say_others(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = say_others
    yield
    sys.unraisablehook = before


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
        "files": checksums(folder),
    }
    manifest["checksum"] = checksum(canonical(manifest))
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def newest_step(directory: Path) -> int:
    """Returns the step of the newest checkpoint, whole or not; 0 without one."""
    found = folders(directory)
    return step_of(found[-1]) if found else 0


def step_of(folder: Path) -> int:
    """Returns the step that a checkpoint's folder is named after."""
    return int(folder.name.removeprefix("step_"))
