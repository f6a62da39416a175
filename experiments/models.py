"""Where do an experiment's models come from? Trained once, then found.

A model is known by what made it: task, shape, training settings, seed. Experiments
that agree on these share one model, and one that was interrupted is taken up again. In
its folder lie, beside the checkpoints of `icl.checkpoint`,

    time.json       how many steps were trained in how many seconds
    failed.json     why training diverged, if it did; it is not tried again

Many models at once are a sweep (`experiments.sweeps`).
"""

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from experiments.claims import write_whole
from experiments.provenance import fingerprint
from experiments.runs import is_locked, locked, say
from icl import LinearRegression, ModelConfig, TrainConfig

if TYPE_CHECKING:
    import numpy as np
    from tqdm import tqdm

    from icl import Trained

FAILED, TIME = "failed.json", "time.json"
State = Literal["done", "running", "failed", "waiting"]


@dataclass(frozen=True)
class Setting:
    """Which model an experiment looks at.

    Attributes:
        task: what it is trained on.
        model: shape and variant of the transformer.
        train: settings of the training run.
        seed: of its initial parameters and its training data.
    """

    task: LinearRegression
    model: ModelConfig
    train: TrainConfig
    seed: int = 0

    def __post_init__(self) -> None:
        from icl import checks

        checks.positive_int("seed", self.seed, minimum=0)

    def refuse_fixed_weights(self) -> None:
        """For an experiment that reads weight vectors, or writes them.

        Raises:
            ValueError: all prompts of the task have one.
        """
        if self.task.fixed_weights is not None:
            raise ValueError(
                "task.fixed_weights must be None: where all prompts have one weight "
                "vector, there is none to read and no other to write."
            )

    @property
    def cost(self) -> float:
        """Floating-point operations of the matrix products of its training.

        Those of a forward pass, and twice as many backward.
        """
        from icl.tokens import token_count

        length = self.task.length
        forward = forward_flops(self.model, self.task.dim, token_count(length), length)
        return 3 * forward * self.train.batch * self.train.steps


def forward_flops(model: ModelConfig, dim: int, tokens: int, read: int) -> float:
    """Of the matrix products of a forward pass over one sequence.

    Two per weight and token and two per pair of tokens and channel (of queries with
    keys, and of scores with values; all pairs, since masked ones are computed too). In
    the last layer tokens that are not read are only seen: they have queries, keys and
    values, and nothing that follows.

    Args:
        model: shape of the transformer.
        dim: of the inputs.
        tokens: of the sequence.
        read: at how many of them there is a prediction.
    """
    width = model.width
    channels = model.heads * (model.head_dim or width // model.heads)
    units = 4 * width if model.mlp_width is None else model.mlp_width
    seen = width * (dim + 1) + model.layers * 3 * width * channels
    layer = width * (channels + 2 * units) + 2 * tokens * channels
    computed = (model.layers - 1) * tokens + read  # tokens, added up over layers
    return 2.0 * (tokens * seen + computed * layer + read * width)


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
        from icl import checkpoint
        from icl.trained import describe

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
        from icl import checkpoint
        from icl.trained import history_of

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
    from icl import checkpoint
    from icl.trained import describe

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
        apart = checkpoint.differences(have, want)
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


def read_json(path: Path) -> dict[str, Any] | None:
    """What a JSON file holds; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _train(
    setting: Setting, folder: Path | None, devices: int | None, *, quiet: bool = False
) -> "Trained":
    from experiments import hosts

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


@contextmanager
def training_bar(
    steps: int, *, quiet: bool = False
) -> Iterator[Callable[[int, dict[str, float]], None] | None]:
    """What to call with the step and the losses of a run; None if `quiet`."""
    if quiet:
        yield None
        return
    with _Progress(steps) as progress:
        yield progress


class _Progress:
    """A bar with step, loss and time left, from the first report of a run on.

    It starts there and not at 0, so that neither compilation nor the steps of an
    earlier process spoil the estimate.
    """

    def __init__(self, steps: int):
        self.steps = steps
        self.bar: tqdm | None = None

    def __enter__(self) -> Callable[[int, dict[str, float]], None]:
        return self.report

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def report(self, step: int, means: dict[str, float]) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(
                total=self.steps,
                initial=step,
                unit="step",
                desc="training",
                mininterval=0.5 if sys.stderr.isatty() else 15,
                maxinterval=30,
            )
        self.bar.set_postfix(loss=f"{means['loss']:.4f}", refresh=False)
        self.bar.update(step - self.bar.n)
