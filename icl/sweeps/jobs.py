"""Which models are trained as one program, and what happens to it in a worker?

Settings that differ in seed, learning rate, noise or scale of the weights have one
shape and may be trained together (`icl.training.ensemble`); `plan` says which are.
`run` then trains a program in whatever process it is called, and all that it leaves
lies in the results folder:

    models/<hash>/             a model and its checkpoints (icl.sweeps.store)
    models/ensemble-<hash>/    those of an unfinished ensemble, and members.json
    models/.<name>.lock        held by the process that works on it
    models/.<name>.tries       how often its worker has died
"""

import gc
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from icl.files import locked, read_json, write_whole
from icl.sweeps import hosts
from icl.sweeps.errors import why
from icl.sweeps.runtime import accelerators, limit_threads, on_cpu, set_up_runtime
from icl.sweeps.setting import Setting
from icl.sweeps.store import (
    Models,
    Status,
    finish,
    note_time,
    record_failure,
    status_of,
)
from icl.terminal import training_bar
from icl.training.checkpoint import newest_step
from icl.training.description import fingerprint

ENSEMBLE, MEMBERS = "ensemble-", "members.json"
TRIES = 2  # a program whose worker died is taken up once more
ENDED = ("done", "failed")


class Job(NamedTuple):
    """Models that are trained as one.

    Attributes:
        settings: of equal shape.
        folders: where each of them is kept.
        home: where their common checkpoints lie: the folder of the one there is, or one
            named by the hash of the members, and gone when all are finished.
    """

    settings: tuple[Setting, ...]
    folders: tuple[Path, ...]
    home: Path

    @property
    def cost(self) -> float:
        """Of all its members."""
        return sum(setting.cost for setting in self.settings)

    def absolute(self) -> "Job":
        """For a process that was started in another folder."""
        folders = tuple(folder.absolute() for folder in self.folders)
        return self._replace(folders=folders, home=self.home.absolute())


class JobOptions(NamedTuple):
    """How programs are to be run.

    Attributes:
        results: the results folder.
        call: names this call of `train`, across all its processes.
        wait: for other processes that work on a program; or leave it to them.
        worker: whether this is for a worker, one of several on its machine.
        devices: how many each program is split over, or None.
    """

    results: Path
    call: str
    wait: bool
    worker: bool
    devices: int | None


def plan(known: Mapping[Path, Setting], todo: set[Path], models: Models) -> list[Job]:
    """The programs that finish the models `todo`, the dearest first.

    An ensemble that was begun goes on as it is, if all of its members are known; so
    does a model that has checkpoints of its own.
    """
    from icl.training.compiled import unscaled

    programs, left = [], [folder for folder in known if folder in todo]
    for home in _begun(models):
        names = (read_json(home / MEMBERS) or {}).get("members", [])
        folders = tuple(home.with_name(name) for name in names)
        whole = len(folders) % hosts.count() == 0  # else every process cannot have some
        wanted = known.keys() >= set(folders) and any(f in left for f in folders)
        if wanted and whole:
            programs.append(_program(folders, known, home))
            left = [folder for folder in left if folder not in folders]
    together = models.together or (1 if on_cpu() else len(known))
    # Members are split over devices; those that do not divide are trained alone.
    unit = hosts.count() * (models.devices or accelerators())
    together = max(1, together - together % unit)
    groups: dict[Any, list[Path]] = {}
    for folder in left:
        setting = known[folder]
        shape = (
            unscaled(setting.task),
            setting.model,
            replace(setting.train, learning_rate=1.0),
        )
        alone = together == 1 or models.status(setting).step > 0
        groups.setdefault(folder if alone else shape, []).append(folder)
    for group in groups.values():
        even = len(group) - len(group) % unit
        for first in range(0, even, together):
            last = min(first + together, even)
            programs.append(_program(tuple(group[first:last]), known))
        programs += [_program((folder,), known) for folder in group[even:]]
    return sorted(programs, key=lambda program: -program.cost)


def _program(
    folders: tuple[Path, ...], known: Mapping[Path, Setting], home: Path | None = None
) -> Job:
    if home is None:
        home = folders[0]
        if len(folders) > 1:
            name = fingerprint({"members": [folder.name for folder in folders]})
            home = home.with_name(f"{ENSEMBLE}{name}")
    return Job(tuple(known[folder] for folder in folders), folders, home)


def _begun(models: Models) -> list[Path]:
    assert models.results is not None
    return sorted((models.results / "models").glob(f"{ENSEMBLE}*"))


def run(program: Job, order: JobOptions) -> list[Status]:
    """Trains a program, in whatever process this is called; how far each member is.

    Never raises for a failed run. One that another process works on is "running".
    """
    from filelock import Timeout

    message = ""
    try:
        if order.worker:
            _set_up_worker(order)
        with ExitStack() as held:
            for folder in sorted({*program.folders, program.home}):
                held.enter_context(locked(folder, wait=order.wait))
            with _counted(program.home, order.call):
                _finish(program, order)
    except Timeout:
        return [
            status if status.state in ENDED else status._replace(state="running")
            for status in _statuses(program)
        ]
    except Exception as error:
        message = why(error)
    finally:
        # Compiled code that icl.training.compiled has let go of hangs in cycles, 100 MB
        # a shape.
        gc.collect()
    return [
        status if status.state in ENDED else Status("failed", status.step, message)
        for status in _statuses(program)
    ]


def _set_up_worker(order: JobOptions) -> None:
    """One of several on its machine: a thread per device, and a shared cache.

    Comes too late where JAX's backend has started, as in a worker that has run before.
    """
    devices = order.devices or 1
    limit_threads(devices)
    set_up_runtime(order.results, devices=devices)


@contextmanager
def _counted(home: Path, call: str) -> Iterator[None]:
    """Refuses a program whose worker has died `TRIES` times in this call of `train`.

    A note is left while it is tried. Clusters hand a lost task to the next worker
    without asking, and joblib (1.6) waits for ever if Dask gives up in the end.
    """
    note = home.with_name(f".{home.name}.tries")
    known = read_json(note) or {}
    tries = known.get("tries", 0) if known.get("call") == call else 0
    if tries < TRIES:
        write_whole(note, json.dumps({"call": call, "tries": tries + 1}) + "\n")
    try:
        if tries >= TRIES:
            raise ChildProcessError(
                f"The process that trained it died, {tries} times: killed, or out of "
                "memory. What it had saved stays; run again to go on from there."
            )
        yield
    finally:
        note.unlink(missing_ok=True)


def _finish(program: Job, order: JobOptions) -> None:
    """Trains the models of a program to their end; its folders are locked."""
    from icl.training.ensemble import divergence
    from icl.training.processes import most_that_divide
    from icl.training.run import NonFiniteLossError

    settings, folders, home = program
    if len(folders) == 1:
        finish(settings[0], folders[0], devices=order.devices, quiet=order.worker)
        return
    missing = [status.state not in ENDED for status in _statuses(program)]
    if any(missing):
        home.mkdir(parents=True, exist_ok=True)
        members = {"members": [folder.name for folder in folders]}
        write_whole(home / MEMBERS, json.dumps(members) + "\n")
        start, begun = time.perf_counter(), newest_step(home)
        with training_bar(settings[0].train.steps, quiet=order.worker) as progress:
            try:
                # One that was begun on other devices may not divide over these.
                share = len(folders) // hosts.count()
                devices = order.devices and most_that_divide(share, order.devices)
                trained = hosts.train(
                    settings,
                    devices,
                    directory=home,
                    directories=[
                        folder if wanted else None
                        for folder, wanted in zip(folders, missing, strict=True)
                    ],
                    callback=progress,
                )
            except NonFiniteLossError as error:  # of every member
                for folder, wanted in zip(folders, missing, strict=True):
                    if wanted:
                        record_failure(folder, error)
                return
        share = (time.perf_counter() - start) / len(folders)
        for member, folder, wanted in zip(trained, folders, missing, strict=True):
            error = divergence(member)
            if wanted and error:
                record_failure(folder, error)
            elif wanted:
                note_time(folder, member.steps - begun, share)
    shutil.rmtree(home, ignore_errors=True)


def _statuses(program: Job) -> list[Status]:
    return list(map(status_of, program.settings, program.folders))
