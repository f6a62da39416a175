"""What does a run leave on disk, and how is it found again?

    results/models/<hash>/                      trained models (icl.sweeps.store)
    results/akyurek2023/probing/<model>-<hash>/ what two figures ask for
    results/akyurek2023/fig1/<preset>-<hash>/
        data.nc                                 the Dataset; all else follows from it
        run.json                                config, versions, command, checksum
        figure.png  figure.pdf  claims.json     redrawn by --replot
        csv/<variable>.csv                      tables, written by --csv

The hash is of the configuration, so that no run overwrites another's results. A folder
is written beside its place and renamed into it once data.nc and run.json are whole;
the other files are replaced one by one in the same way. A process killed at any moment
leaves nothing that could be taken for a result. One process at a time works on a run;
a second one waits and then finds it finished.
"""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib.figure
import xarray as xr

from experiments.engine.claims.claim import Claim, load_claims, save_claims
from experiments.engine.figures.datasets import attribute, from_bytes, to_bytes
from experiments.engine.figures.figure import Figure, command_line
from experiments.engine.figures.style import usual_settings
from experiments.engine.provenance import described, digest, provenance
from icl.files import content, locked, parsed, read_json, rename_whole, write_whole
from icl.sweeps.store import Models
from icl.terminal import say

DATA, ABOUT, CLAIMS = "data.nc", "run.json", "claims.json"
PICTURES = ("figure.png", "figure.pdf")
UNFINISHED = ".writing-"
SAID: Mapping[str, type] = {
    "preset": str,
    "command": str,
    "config": dict,
    "date": str,
    "commit": str,
    "devices": list,
    "cores": int,
    "platform": str,
    "versions": dict,
}
"""What run.json says of a figure, besides the checksum of its Dataset."""

MISFITS = (LookupError, AttributeError, TypeError, ArithmeticError)
"""What the use of a Dataset that holds something else ends in."""


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
        computed = not os.path.lexists(folder)  # a link to nowhere is in the way
        if computed:
            dataset = figure.compute(config, models)
            command = command_line(figure, preset, config)
            about = {"preset": preset, "command": command, "config": described(config)}
            _write(folder, dataset, about | provenance())
        about = read_about(folder, SAID)
        if replot or not _is_drawn(folder):
            (_draw if computed else _redraw)(folder, figure)
        return Run(folder, about, _claims(folder))


def found(figure: Figure[Any], preset: str, config: Any, models: Models) -> Run | None:
    """Returns a finished run, or None where there is none; it computes nothing.

    Raises:
        ValueError: the run's files are damaged.
    """
    folder = _folder(figure, preset, config, models)
    return _finished(folder) if _is_drawn(folder) else None


def is_computed(figure: Figure[Any], preset: str, config: Any, models: Models) -> bool:
    """Returns whether the Dataset of a run is there, so that `run` needs no model."""
    return _folder(figure, preset, config, models).exists()


def kept(
    folder: Path,
    make: Callable[[], xr.Dataset],
    look: Callable[[xr.Dataset], object],
) -> xr.Dataset:
    """Finds a Dataset that several figures need in `folder`, or makes and keeps it.

    Args:
        folder: where it is kept, perhaps by somebody else.
        make: computes it.
        look: takes out of it what the figures need, and so fails if that is not there.

    Raises:
        ValueError: the files there are damaged, or hold something else.
        OSError: the folder cannot be written.
    """
    with locked(folder):
        if not folder.exists():
            _write(folder, make(), provenance())
        read_about(folder)
        dataset = read_dataset(folder)
    try:
        look(dataset)
    except (*MISFITS, ValueError) as error:
        raise _damaged(folder, DATA, _said("figures cannot use it", error)) from error
    return dataset


def _folder(figure: Figure[Any], preset: str, config: Any, models: Models) -> Path:
    assert models.results is not None, "runs are kept in a results folder"
    return models.results.joinpath(
        *figure.name.split(".")[1:], f"{preset}-{digest(config)}"
    )


def _found(folder: Path) -> Run:
    say(f"found {folder} (delete it to compute it again)")
    return _finished(folder)


def _finished(folder: Path) -> Run:
    return Run(folder, read_about(folder, SAID), _claims(folder))


def _is_drawn(folder: Path) -> bool:
    return all((folder / name).exists() for name in (*PICTURES, CLAIMS))


# --- files ---


def read_dataset(folder: Path) -> xr.Dataset:
    """Reads the Dataset of a run into memory.

    Raises:
        ValueError: it is damaged or missing.
    """
    try:
        return from_bytes(_data(folder))
    except (OSError, ValueError) as error:
        raise _damaged(folder, DATA, error) from error


def read_about(
    folder: Path, wanted: Mapping[str, type] = MappingProxyType({})
) -> dict[str, Any]:
    """Reads what `run.json` says of a run whose Dataset is as it was written.

    Args:
        folder: where the run lies.
        wanted: the names of what it must say, with the kind of each.

    Raises:
        ValueError: one of the two is damaged or missing.
    """
    about = read_json(folder / ABOUT)
    if about is None:
        missing = not (folder / ABOUT).exists()
        why = os.strerror(errno.ENOENT) if missing else "it is not whole"
        raise _damaged(folder, ABOUT, why)
    for name, kind in {"checksum": str, **wanted}.items():
        if not isinstance(about.get(name), kind):
            raise _damaged(folder, ABOUT, f"it does not say {name!r} as it should")
    stated = about["checksum"]
    try:
        data = _data(folder)
        if _checksum(data) != stated:
            raise ValueError("its checksum is not the one in run.json")
        made = parsed(attribute(data, "run"))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder, DATA, error) from error
    if {name: value for name, value in about.items() if name != "checksum"} != made:
        raise _damaged(folder, ABOUT, "it does not say what data.nc says of its run")
    return about


def _data(folder: Path) -> bytes:
    return content(folder / DATA)


def _claims(folder: Path) -> list[Claim]:
    """Reads the claims of a run.

    Raises:
        ValueError: the file holds something else.
    """
    path = folder / CLAIMS
    try:
        claims = load_claims(path)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise _damaged(folder, CLAIMS, error) from error
    for claim in claims:
        words = (claim.id, claim.text, claim.unit)
        if not all(isinstance(word, str) for word in words):
            raise _damaged(folder, CLAIMS, f"{claim.id!r} is no claim")
    return claims


def _damaged(folder: Path, name: str, why: object) -> ValueError:
    why = getattr(why, "strerror", None) or why
    return ValueError(
        f"{folder / name} cannot be used ({why}); delete {folder} and run again."
    )


def _write(folder: Path, dataset: xr.Dataset, about: Mapping[str, Any]) -> None:
    """Writes a run's Dataset and what made it, as a whole or not at all."""
    ours = re.compile(rf"{re.escape(UNFINISHED + folder.name)}-[0-9a-f]{{1,32}}")
    for stale in folder.parent.iterdir():
        if ours.fullmatch(stale.name):  # of a process that was killed
            shutil.rmtree(stale, ignore_errors=True)
    draft = folder.with_name(f"{UNFINISHED}{folder.name}-{uuid.uuid4().hex}")
    data = to_bytes(dataset.assign_attrs(run=json.dumps(about)))
    about = {**about, "checksum": _checksum(data)}
    draft.mkdir()
    try:
        write_whole(draft / DATA, data)
        write_whole(draft / ABOUT, json.dumps(about, indent=2) + "\n")
        rename_whole(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _redraw(folder: Path, figure: Figure[Any]) -> None:
    """Draws the Dataset of a folder, which may be somebody else's.

    Raises:
        ValueError: the figure cannot be drawn from it.
    """
    try:
        _draw(folder, figure)
    except MISFITS as error:
        why = _said(f"{figure.name} cannot be drawn from it", error)
        raise _damaged(folder, DATA, why) from error
    except ValueError as error:
        if str(folder) in str(error):
            raise
        why = _said(f"{figure.name} cannot be drawn from it", error)
        raise _damaged(folder, DATA, why) from error


def _said(what: str, error: Exception) -> str:
    """Returns what is wrong with a Dataset in one line."""
    said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"{what}, {said}"


def _draw(folder: Path, figure: Figure[Any]) -> None:
    dataset = read_dataset(folder)
    with usual_settings():
        picture = figure.plot(dataset)
        _lay_out(picture)
        for name in PICTURES:
            drawn = io.BytesIO()
            picture.savefig(drawn, format=Path(name).suffix.removeprefix("."))
            write_whole(folder / name, drawn.getvalue())
    save_claims(folder / CLAIMS, figure.claims(dataset))


def _lay_out(picture: matplotlib.figure.Figure) -> None:
    """Gives all parts their places, once for all files.

    Each `savefig` would do that again, and draw everything once more for it.
    """
    layout = picture.get_layout_engine()
    if layout is not None:
        layout.execute(picture)
        picture.set_layout_engine(None)


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
