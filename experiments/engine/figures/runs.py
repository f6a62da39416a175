"""What does a run leave on disk, and how is it found again?

    results/models/<hash>/                      trained models (icl.sweeps.store)
    results/akyurek2023/probing/<model>-<hash>/ what two figures ask for
    results/akyurek2023/fig1/<preset>-<hash>/
        data.nc                                 the Dataset; all else follows from it
        run.json                                config, versions, command, checksum
        figure.png  figure.pdf  claims.json     redrawn by --replot

The hash is of the configuration, so that no run overwrites another's results. A folder
is written beside its place and renamed into it once data.nc and run.json are whole;
the other files are replaced one by one in the same way. A process killed at any moment
leaves nothing that could be taken for a result. One process at a time works on a run;
a second one waits and then finds it finished.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from experiments.engine.claims.claim import Claim, load_claims, save_claims
from experiments.engine.figures.figure import Figure, command_line
from experiments.engine.provenance import described, digest, provenance
from icl.files import locked, write_whole
from icl.sweeps.store import Models
from icl.terminal import say

DATA, ABOUT, CLAIMS = "data.nc", "run.json", "claims.json"
PICTURES = ("figure.png", "figure.pdf")
UNFINISHED = ".writing-"


@dataclass(frozen=True)
class Run:
    """A finished run on disk.

    Attributes:
        folder: where it lies.
        about: what `run.json` says: config, command, versions, ...
        claims: its claims with their verdicts.
    """

    folder: Path
    about: Mapping[str, Any]
    claims: list[Claim]

    @property
    def picture(self) -> Path:
        """The path of the figure as PNG."""
        return self.folder / PICTURES[0]


def run(
    figure: Figure[Any],
    preset: str,
    config: Any,
    models: Models,
    *,
    replot: bool = False,
) -> Run:
    """Finds a run, or computes it, and draws what is not drawn yet.

    Args:
        figure: what to run.
        preset: the name of the preset that `config` came from.
        config: the settings, changed or not.
        models: where trained models come from; its results folder takes the run.
        replot: draw figure and claims again from the Dataset, which must be there.

    Raises:
        ValueError: the run's files are damaged, or there is nothing to redraw; the
            message names the file and the fix.
        OSError: the folder cannot be written, or the disk is full.
    """
    folder = _folder(figure, preset, config, models)
    if replot and not folder.exists():
        raise ValueError(f"{folder} does not exist; run it once without --replot.")
    if not replot and _is_drawn(folder):
        return _found(folder)
    with locked(folder):
        if not replot and _is_drawn(folder):  # by the process we waited for
            return _found(folder)
        if not folder.exists():
            dataset = figure.compute(config, models)
            command = command_line(figure, preset, config)
            about = {"preset": preset, "command": command, "config": described(config)}
            _write(folder, dataset, about | provenance())
        about = read_about(folder)
        if replot or not _is_drawn(folder):
            _draw(folder, figure, read_dataset(folder))
        return Run(folder, about, load_claims(folder / CLAIMS))


def is_computed(figure: Figure[Any], preset: str, config: Any, models: Models) -> bool:
    """Returns whether the Dataset of a run is there, so that `run` needs no model."""
    return _folder(figure, preset, config, models).exists()


def kept(folder: Path, make: Callable[[], xr.Dataset]) -> xr.Dataset:
    """Finds a Dataset that several figures need in `folder`, or makes and keeps it.

    Raises:
        ValueError: the files there are damaged.
        OSError: the folder cannot be written.
    """
    with locked(folder):
        if not folder.exists():
            _write(folder, make(), provenance())
        read_about(folder)
        return read_dataset(folder)


def _folder(figure: Figure[Any], preset: str, config: Any, models: Models) -> Path:
    assert models.results is not None, "runs are kept in a results folder"
    return models.results.joinpath(
        *figure.name.split(".")[1:], f"{preset}-{digest(config)}"
    )


def _found(folder: Path) -> Run:
    say(f"found {folder} (delete it to compute it again)")
    return Run(folder, read_about(folder), load_claims(folder / CLAIMS))


def _is_drawn(folder: Path) -> bool:
    return all((folder / name).exists() for name in (*PICTURES, CLAIMS))


# --- files ---


def read_dataset(folder: Path) -> xr.Dataset:
    """Reads the Dataset of a run into memory.

    Raises:
        ValueError: it is damaged or missing.
    """
    try:
        return xr.load_dataset(folder / DATA, engine="h5netcdf")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _damaged(folder, DATA, error) from error


def read_about(folder: Path) -> dict[str, Any]:
    """Reads what `run.json` says of a run whose Dataset is as it was written.

    Raises:
        ValueError: one of the two is damaged or missing.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        stated = about["checksum"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, ABOUT, error) from error
    try:
        found = _checksum(folder / DATA)
    except OSError as error:
        raise _damaged(folder, DATA, error) from error
    if found != stated:
        raise _damaged(folder, DATA, "its checksum is not the one in run.json")
    return about


def _damaged(folder: Path, name: str, why: object) -> ValueError:
    why = getattr(why, "strerror", None) or why
    return ValueError(
        f"{folder / name} cannot be used ({why}); delete {folder} and run again."
    )


def _write(folder: Path, dataset: xr.Dataset, about: Mapping[str, Any]) -> None:
    """Writes a run's Dataset and what made it, as a whole or not at all."""
    for stale in folder.parent.glob(f"{UNFINISHED}{folder.name}-*"):
        shutil.rmtree(stale, ignore_errors=True)  # of a process that was killed
    draft = folder.with_name(f"{UNFINISHED}{folder.name}-{uuid.uuid4().hex}")
    draft.mkdir()
    try:
        labelled = dataset.assign_attrs(run=json.dumps(about))
        compressed = {
            name: {"zlib": True, "complevel": 4} for name in dataset.data_vars
        }
        labelled.to_netcdf(draft / DATA, engine="h5netcdf", encoding=compressed)
        about = {**about, "checksum": _checksum(draft / DATA)}
        write_whole(draft / ABOUT, json.dumps(about, indent=2) + "\n")
        os.rename(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _draw(folder: Path, figure: Figure[Any], dataset: xr.Dataset) -> None:
    picture = figure.plot(dataset)
    for name in PICTURES:
        partial = folder / f".{os.getpid()}.{name}"
        try:
            picture.savefig(partial)
            os.replace(partial, folder / name)
        finally:
            partial.unlink(missing_ok=True)
    save_claims(folder / CLAIMS, figure.claims(dataset))


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
