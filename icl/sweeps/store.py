"""Where do an experiment's models come from? Trained once, then found.

A model is known by what made it: task, shape, training settings, seed. Experiments
that agree on these share one model, and one that was interrupted is taken up again. In
its folder lie, beside the checkpoints of `icl.training.checkpoint`,

    time.json       how many steps were trained in how many seconds
    failed.json     why training diverged, if it did; it is not tried again

Many models at once are a sweep (`icl.sweeps.grids`).
"""

import errno
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from icl.files import is_locked, locked, read_json, write_whole
from icl.sweeps.setting import Setting
from icl.terminal import say, training_bar
from icl.training.description import fingerprint

if TYPE_CHECKING:
    import numpy as np

    from icl import Trained

FAILED, TIME = "failed.json", "time.json"
State = Literal["done", "running", "failed", "waiting"]


class Status(NamedTuple):
    """How far a model is.

    Attributes:
        state: "done"; "running", in this process or another; "failed"; "waiting".
        step: of its newest checkpoint, from which it would go on.
        message: why it failed, or "".
    """

    state: State
    step: int = 0
    message: str = ""


class Models:
    """The trained models of a results folder: `Models("results")(setting)`.

    Args:
        results: where models are kept, in `models/<hash of the setting>`; None trains
            without leaving anything on disk.
        jobs: how many programs a sweep runs side by side. None: one per core, each on
            one thread, or as many as the cluster has that joblib was told of; one on an
            accelerator.
        together: how many models of equal shape a sweep trains as one program. None:
            one on CPU, where more gain little; all of them on an accelerator.
        devices: how many each program is split over, a number as for `icl.train`. On
            CPU, the default of `jobs` is then so many times fewer.

    Raises:
        ValueError: `jobs`, `together` or `devices` below 1.
        NotADirectoryError: `results` is a file.
    """

    def __init__(
        self,
        results: str | Path | None = None,
        jobs: int | None = None,
        together: int | None = None,
        devices: int | None = None,
    ):
        from icl import checks

        counts = {"jobs": jobs, "together": together, "devices": devices}
        for name, value in counts.items():
            if value is not None:
                checks.positive_int(name, value)
        self.results = None if results is None else Path(results)
        if self.results and self.results.exists() and not self.results.is_dir():
            number = errno.ENOTDIR
            raise NotADirectoryError(number, os.strerror(number), str(self.results))
        self.jobs, self.together, self.devices = jobs, together, devices
        self._trained: dict[Path, Trained] = {}
        self._failed: dict[Path, str] = {}  # of models that are not kept on disk

    def __call__(self, setting: Setting) -> "Trained":
        """The model of a setting, trained now if it was not before.

        One process at a time trains it; others wait and then find it.

        Raises:
            NonFiniteLossError: training diverged, now or before.
            CheckpointError: every checkpoint of this model is damaged.
            OSError: the folder cannot be written.
        """
        from icl import NonFiniteLossError

        folder = self.folder(setting)
        if folder in self._trained:
            return self._trained[folder]
        if self.results is not None:
            with locked(folder):
                self._trained[folder] = finish(setting, folder, devices=self.devices)
        elif folder in self._failed:
            raise NonFiniteLossError(self._failed[folder])
        else:
            try:
                self._trained[folder] = _train(setting, None, self.devices)
            except NonFiniteLossError as error:
                self._failed[folder] = str(error)
                raise
        return self._trained[folder]

    def folder(self, setting: Setting) -> Path:
        """Where the model of a setting is kept."""
        from icl.training import checkpoint
        from icl.training.description import describe

        about = describe(setting.task, setting.model, setting.train)
        about |= {"seed": setting.seed, "format": checkpoint.FORMAT}
        return Path(self.results or "") / "models" / fingerprint(about)

    def status(self, setting: Setting) -> Status:
        """How far the model of a setting is; nothing is computed."""
        folder = self.folder(setting)
        if folder in self._trained:
            return Status("done", setting.train.steps)
        if self.results is None:
            known = folder in self._failed
            return Status("failed", 0, self._failed[folder]) if known else _WAITING
        return status_of(setting, folder)

    def last_losses(self, setting: Setting) -> "np.ndarray | None":
        """The last held-out loss of a finished model, (length,); None if it failed.

        Raises:
            ValueError: it is neither: training it is a matter of its own.
        """
        from icl.training import checkpoint
        from icl.training.trained import history_of

        folder, status = self.folder(setting), self.status(setting)
        if status.state == "failed" and (self.results is None or _failure(folder)):
            return None
        if status.state != "done":
            what = status.message or f"{folder} is not trained yet; run it again."
            raise ValueError(what)
        if folder in self._trained:
            return self._trained[folder].history.held_out_loss.values[-1]
        stored = checkpoint.read_latest(folder)
        assert stored is not None  # it is done
        return history_of(stored.arrays)["held_out_loss"][-1]


# --- one model on disk ---

_WAITING = Status("waiting")


def finish(
    setting: Setting, folder: Path, *, devices: int | None, quiet: bool = False
) -> "Trained":
    """The model of a folder, trained to its end; to be called under its lock.

    Raises:
        NonFiniteLossError: training diverged, now (which is recorded) or before.
        ValueError, OSError: as for `icl.train`.
    """
    from icl import NonFiniteLossError

    before = _failure(folder)
    if before:
        raise NonFiniteLossError(before)
    begun, start = status_of(setting, folder).step, time.perf_counter()
    try:
        return _train(setting, folder, devices, quiet=quiet)
    except NonFiniteLossError as error:
        record_failure(folder, error)
        raise
    finally:
        steps = status_of(setting, folder).step - begun
        note_time(folder, steps, time.perf_counter() - start)


def record_failure(folder: Path, error: Exception) -> None:
    """Keeps why training diverged: it would diverge again."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FAILED, json.dumps({"message": str(error)}) + "\n")


def _failure(folder: Path) -> str:
    """Why the model of a folder diverged, or ""."""
    path = folder / FAILED
    message = (read_json(path) or {}).get("message", "")
    return message and f"{message} ({path} says so; delete it to train again.)"


def note_time(folder: Path, steps: int, seconds: float) -> None:
    """Adds to what is known of how long a model's training takes."""
    if steps > 0:
        known = read_json(folder / TIME) or {"steps": 0, "seconds": 0.0}
        known["steps"] += steps
        known["seconds"] = round(known["seconds"] + seconds, 3)
        with suppress(OSError):  # it is not worth failing for
            write_whole(folder / TIME, json.dumps(known) + "\n")


def seconds(setting: Setting, folder: Path) -> float | None:
    """How long all of a model's training takes, by what has been timed of it."""
    known = read_json(folder / TIME)
    if known is None:
        return None
    return known["seconds"] / known["steps"] * setting.train.steps


def status_of(setting: Setting, folder: Path) -> Status:
    """How far the model of a folder is, as its files say."""
    message = _failure(folder)
    try:
        step = _newest_step(setting, folder)
    except ValueError as error:
        return Status("failed", 0, str(error))
    if message:
        return Status("failed", step, message)
    if step == setting.train.steps:
        return Status("done", step)
    return Status("running" if is_locked(folder) else "waiting", step)


def _newest_step(setting: Setting, folder: Path) -> int:
    """The step that training would go on from, as manifests say.

    Raises:
        ValueError: none can be read; or the newest is of another version or model.
    """
    from icl import checks
    from icl.training import checkpoint
    from icl.training.description import describe

    found = checkpoint.folders(folder)
    for path in reversed(found):
        manifest = read_json(path / "manifest.json")
        if manifest is None:
            continue
        if manifest.get("format") != checkpoint.FORMAT:
            raise ValueError(
                f"{path} has checkpoint format {manifest.get('format')}, this version "
                f"of icl reads {checkpoint.FORMAT}; move {folder} away to train again."
            )
        want = describe(setting.task, setting.model, setting.train)
        have = {name: manifest["about"].get(name) for name in want}
        apart = checks.differences(have, want)
        if apart:
            raise ValueError(
                f"{folder} holds a run with other settings ({'; '.join(apart)}); move "
                "it away to train this one."
            )
        return manifest["step"]
    if found:
        raise ValueError(
            f"Every checkpoint in {folder} is damaged; delete it to train again."
        )
    return 0


def _train(
    setting: Setting, folder: Path | None, devices: int | None, *, quiet: bool = False
) -> "Trained":
    from icl.sweeps import hosts

    steps = setting.train.steps
    if not quiet and (folder is None or status_of(setting, folder).state != "done"):
        say(
            f"model {folder or '(not kept)'}: {steps:,} steps of training, or what is "
            "left of them; Ctrl-C keeps what is done"
        )
    with training_bar(steps, quiet=quiet) as progress:
        (trained,) = hosts.train(
            [setting], devices, directory=folder, callback=progress
        )
    return trained
