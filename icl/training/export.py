"""How does a model travel alone? As one safetensors file, which other programs read.

The file holds the parameters by name, such as "body.0.attention.qkv.kernel", and if
asked for the run's records, such as "history.loss". Its metadata has one entry, "icl",
which is JSON:

    {"format": 1, "steps": 20000, "checksum": "...",
     "task": {...}, "model": {...}, "train": {...}, "drawn": {...}}

These are what a checkpoint says of a run (`icl.training.description`). There is no
optimiser's state in it, so that no run goes on from such a file, but a run may begin
with it (`train(..., init=)`).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from icl.arrays import shown
from icl.files import SAFETENSORS, parsed, read_arrays, read_metadata, write_arrays
from icl.training.checkpoint import CheckpointError, OtherFormatError, Stored
from icl.training.manifest import MOST_STEPS, is_description

FORMAT = 1
ENTRY = "icl"
PARAMETERS = "state.params."  # how a checkpoint's names of parameters begin
RECORDS = "history."  # how those of a run's records begin, there and here


def is_export(path: Path) -> bool:
    """Returns whether a path is named as an exported model is."""
    return path.suffix == SAFETENSORS


def write(path: Path, stored: Stored) -> Path:
    """Writes a model as one file, in place of a file of that name.

    Args:
        path: the file, whose name ends in ".safetensors".
        stored: the content of a checkpoint: parameters and, if wanted, records.

    Raises:
        ValueError: the name of the file has another end.
        OSError: the file cannot be written; an old one is still there.
    """
    if not is_export(path):
        raise ValueError(
            f"path must end in {SAFETENSORS}, by which load knows such a file, got "
            f"{str(path)!r}; a folder of checkpoints is written by icl.save."
        )
    arrays = {
        name.removeprefix(PARAMETERS): np.asarray(array)
        for name, array in stored.arrays.items()
    }
    entry = {"format": FORMAT, "steps": stored.step, "checksum": checksum(arrays)}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(entry | stored.about, allow_nan=False)
    return write_arrays(path, arrays, {ENTRY: text})


def read(path: Path) -> Stored:
    """Reads an exported model, with the names that its arrays have in a checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is truncated or changed, or icl has not written it.
        OtherFormatError: another version of icl has written it.
    """
    try:
        arrays, metadata = read_arrays(path)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    about = _entry(path, metadata)
    if about.pop("checksum", None) != checksum(arrays):
        raise CheckpointError(
            f"{path} is damaged: its arrays are not those that were exported. Copy it "
            "again; to use arrays that you have changed, call icl.model_from_arrays."
        )
    named = {
        name if name.startswith(RECORDS) else f"{PARAMETERS}{name}": array
        for name, array in arrays.items()
    }
    return Stored(about.pop("steps"), about, named)


def read_about(path: Path) -> dict[str, Any]:
    """Returns what an exported model says of its run, without reading the arrays.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: icl has not written it.
        OtherFormatError: another version of icl has written it.
    """
    try:
        return _entry(path, read_metadata(path))
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _entry(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Returns what the metadata of a file say of its model, without the format."""
    if ENTRY not in metadata:
        raise CheckpointError(
            f"{path} was not written by Trained.export: its metadata have no entry "
            f"{ENTRY!r}. Weights of other programs are read by icl.import_model, and "
            "arrays with the names of icl by icl.model_from_arrays."
        )
    try:
        entry = parsed(metadata[ENTRY])
        found, steps = entry.pop("format"), entry["steps"]
        if not isinstance(steps, int) or not 0 <= steps <= MOST_STEPS:
            raise ValueError(f"steps cannot be {steps!r}")
        if not is_description(entry):
            raise ValueError("it is no description of a run")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged: the entry {ENTRY!r} of its metadata is not what "
            "Trained.export writes; copy the file again."
        ) from error
    if found != FORMAT:
        raise OtherFormatError(
            f"{path} has format {shown(found)}, this version of icl reads {FORMAT}; "
            "use the version that wrote it."
        )
    return entry


def checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 of arrays with their names, dtypes and shapes."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype} {array.shape}\n".encode())
        found.update(array.tobytes())  # in C order
    return found.hexdigest()
