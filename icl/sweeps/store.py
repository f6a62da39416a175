"""Where do models come from? They are trained once, and then found.

A model is known by what made it: task, shape, training settings and seed. Experiments
that agree on these share one model, and a training that was interrupted is taken up
again. A model is kept in `<results>/models/<hash of the setting>`, with the checkpoints
that `icl.training.checkpoint` writes and the notes of `icl.sweeps.notes`.

Many models at once are a sweep (`icl.sweeps.grids`).
"""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from icl import checks
from icl.files import expanded, is_locked, locked
from icl.sweeps import hosts
from icl.sweeps.notes import add_training_time, failure, record_failure
from icl.sweeps.setting import Setting
from icl.tasks.drawing import program_hash
from icl.terminal import say, training_bar
from icl.training import checkpoint
from icl.training.description import differences
from icl.training.run import NonFiniteLossError
from icl.training.trained import Trained, history_of

RunState = Literal["done", "running", "failed", "waiting"]


class Status(NamedTuple):
    """How far the training of a model is.

    Attributes:
        state: "done"; "running", in this process or another; "failed"; or "waiting" to
            be trained, from the beginning or from its newest checkpoint on.
        step: the step of its newest checkpoint, from which training would go on.
        message: why it failed, or "".
    """

    state: RunState
    step: int = 0
    message: str = ""


class Models:
    """The trained models of a results folder: `Models("results")(setting)`.

    Args:
        results: the folder that keeps models, in `models/<hash of the setting>`; None
            trains without leaving anything on disk.
        jobs: the number of jobs that a sweep does side by side, each of them one
            program. None means one per core, each on one thread, or as many as there
            are in the cluster that joblib was told of; on an accelerator it means one.
        together: the number of models of equal shape that a job of a sweep trains. None
            means one on CPU, where more gain little, and all on an accelerator.
        devices: the number of devices that each job is split over, as for `icl.train`.
            On CPU, the default of `jobs` is then so many times smaller.

    Raises:
        ValueError: `jobs`, `together` or `devices` is below 1.
        NotADirectoryError: `results` is a file.
    """

    def __init__(
        self,
        results: str | Path | None = None,
        jobs: int | None = None,
        together: int | None = None,
        devices: int | None = None,
    ):
        counts = {"jobs": jobs, "together": together, "devices": devices}
        for name, value in counts.items():
            if value is not None:
                checks.positive_int(name, value)
        self.results = None if results is None else expanded(results, "results")
        if self.results and self.results.exists() and not self.results.is_dir():
            number = errno.ENOTDIR
            raise NotADirectoryError(number, os.strerror(number), str(self.results))
        self.jobs, self.together, self.devices = jobs, together, devices
        # By `_name`, for a class may be defined again while its models are here.
        self._trained: dict[tuple[str, str], Trained] = {}
        self._failed: dict[tuple[str, str], str] = {}  # of models not kept on disk
        self._elsewhere: dict[tuple[str, str], Callable[[], Trained]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Returns what another process is told; it reads models from the folder."""
        results = self.results and self.results.absolute()
        kept = {} if results else self._trained
        return {**self.__dict__, "results": results, "_trained": kept}

    def __call__(self, setting: Setting) -> Trained:
        """Returns the model of a setting, which is trained now if it was not before.

        One process at a time trains it; others wait and then find it.

        Raises:
            NonFiniteLossError: training diverged, now or before.
            CheckpointError: every checkpoint of this model is damaged.
            OSError: the folder cannot be written.
        """
        folder, name = self.folder(setting), self._name(setting)
        if name in self._trained:
            return self._trained[name]
        if name in self._elsewhere:
            trained = self._elsewhere[name]()
        elif self.results is not None:
            with locked(folder):
                trained = train_to_end(setting, folder, devices=self.devices)
        elif name in self._failed:
            raise NonFiniteLossError(self._failed[name])
        else:
            try:
                trained = _train(setting, None, self.devices)
            except NonFiniteLossError as error:
                self._failed[name] = str(error)
                raise
        self._trained[name] = trained
        return trained

    def put(self, setting: Setting, load: Callable[[], Trained]) -> None:
        """Says where the model of a setting is, which is then never trained here.

        Args:
            setting: the setting of the model.
            load: a function that returns the model, called when it is first asked for.
        """
        checks.of_kind("load", load, Callable, "a function that returns the model")
        self._elsewhere[self._name(setting)] = load

    def folder(self, setting: Setting) -> Path:
        """Returns the folder that keeps the model of a setting."""
        checks.of_kind("setting", setting, Setting, "an icl.sweeps.Setting")
        return Path(self.results or "") / "models" / setting.hash

    def status(self, setting: Setting) -> Status:
        """Returns how far the model of a setting is; nothing is computed."""
        folder, name = self.folder(setting), self._name(setting)
        if name in self._trained or name in self._elsewhere:
            return Status("done", setting.train.steps)
        if self.results is not None:
            return status_of(setting, folder)
        if name in self._failed:
            return Status("failed", 0, self._failed[name])
        return Status("waiting")

    def last_losses(self, setting: Setting) -> np.ndarray | None:
        """Returns the last held-out loss of a finished model, (length,).

        It is None if training diverged.

        Raises:
            ValueError: the model is neither finished nor has it diverged.
        """
        folder, status = self.folder(setting), self.status(setting)
        if status.state == "failed" and (self.results is None or failure(folder)):
            return None
        if status.state != "done":
            what = status.message or f"{folder} is not trained yet; run it again."
            raise ValueError(what)
        name = self._name(setting)
        if name in self._trained or name in self._elsewhere:
            return self(setting).history.held_out_loss.values[-1]
        slots = len(setting.task.codec.slots)
        stored = checkpoint.read_latest(folder, lambda each: history_of(each, slots))
        if stored is None or stored.step < setting.train.steps:  # the last is damaged
            return self(setting).history.held_out_loss.values[-1]
        return history_of(stored, slots)["held_out_loss"][-1]

    def _name(self, setting: Setting) -> tuple[str, str]:
        """Returns a name for a model, which says what its task's code draws too."""
        checks.of_kind("setting", setting, Setting, "an icl.sweeps.Setting")
        return setting.hash, program_hash(setting.task)


# --- one model on disk ---


def train_to_end(
    setting: Setting, folder: Path, *, devices: int | None, quiet: bool = False
) -> Trained:
    """Returns the model of a folder, trained to its end.

    It is called under the folder's lock, and goes on from the newest checkpoint.

    Raises:
        NonFiniteLossError: training diverged, now (which is recorded) or before.
        ValueError, OSError: `icl.train` raises them.
    """
    before = failure(folder)
    if before:
        raise NonFiniteLossError(before)
    first_step, started = status_of(setting, folder).step, time.perf_counter()
    try:
        return _train(setting, folder, devices, quiet=quiet)
    except NonFiniteLossError as error:
        record_failure(folder, error)
        raise
    finally:
        steps = status_of(setting, folder).step - first_step
        add_training_time(folder, steps, time.perf_counter() - started)


def status_of(setting: Setting, folder: Path) -> Status:
    """Returns how far the model of a folder is, as its files say."""
    message = failure(folder)
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
    """Returns the step that training would go on from, as manifests say.

    Raises:
        ValueError: no manifest can be read, or the newest is of another version or
            model.
    """
    found = checkpoint.newest(folder)
    if found is None:
        return 0
    step, about = found
    apart = differences(about, (setting.task, setting.model, setting.train))
    if apart:
        raise ValueError(
            f"{folder} holds a run with other settings ({'; '.join(apart)}); move it "
            "away to train this one."
        )
    return step


def _train(
    setting: Setting, folder: Path | None, devices: int | None, *, quiet: bool = False
) -> Trained:
    steps = setting.train.steps
    if not quiet and (folder is None or status_of(setting, folder).state != "done"):
        say(
            f"model {folder or '(not kept)'}: {steps:,} steps of training, or what is "
            "left of them; Ctrl-C keeps what is done"
        )
    with training_bar(steps, quiet=quiet) as progress:
        (trained,) = hosts.train_settings(
            [setting], devices, directory=folder, callback=progress
        )
    return trained
