"""What is a job of a sweep, and what happens to it in the process that does it?

A job is one model, or an ensemble of models of one shape that a single program trains
(`icl.training.ensemble`); `icl.sweeps.planning` says which models those are. `run_job`
does it in whatever process it is called, and all that it leaves lies in the results
folder:

    models/<hash>/             a model and its checkpoints (icl.sweeps.store)
    models/ensemble-<hash>/    checkpoints of an unfinished ensemble, and members.json
    models/.<name>.lock        held by the process that works on it
    models/.<name>.tries       how often a worker has died while it worked on it
"""

import gc
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import Timeout

from icl.files import locked, read_json, write_whole
from icl.signals import end_with
from icl.sweeps import hosts
from icl.sweeps.errors import explanation
from icl.sweeps.notes import add_training_time, record_failure
from icl.sweeps.runtime import limit_threads, set_up_runtime
from icl.sweeps.setting import Setting
from icl.sweeps.store import Status, status_of, train_to_end
from icl.terminal import training_bar
from icl.training.checkpoint import folders, newest_step
from icl.training.ensemble import divergence
from icl.training.processes import most_that_divide
from icl.training.run import NonFiniteLossError

MEMBERS = "members.json"
TRIES = 2  # a job whose worker died is tried once more
ENDED = ("done", "failed")


class Job(NamedTuple):
    """Models that one program trains together; often it is a single model.

    Attributes:
        settings: the members' settings, which have one shape.
        folders: the folder of each member.
        home: the folder of the job's checkpoints. For a single model this is its own
            folder. For an ensemble it is a folder named by the hash of its members,
            which is deleted when all of them are finished.
    """

    settings: tuple[Setting, ...]
    folders: tuple[Path, ...]
    home: Path

    @property
    def cost(self) -> float:
        """The number of floating-point operations of training all members."""
        return sum(setting.cost for setting in self.settings)

    @property
    def steps(self) -> int:
        """The number of training steps, which is the same for all members."""
        return self.settings[0].train.steps

    def with_absolute_paths(self) -> "Job":
        """Returns the job for a process whose working directory is another."""
        folders = tuple(folder.absolute() for folder in self.folders)
        return self._replace(folders=folders, home=self.home.absolute())

    def statuses(self) -> list[Status]:
        """Returns how far each member is."""
        return list(map(status_of, self.settings, self.folders))


class JobOptions(NamedTuple):
    """Options for doing the jobs of one sweep.

    Attributes:
        results: the results folder.
        sweep: a name for this call of `train_all`, the same in all its workers.
        wait: whether a job waits for another process that works on the same models;
            if not, the job is left to that process.
        in_worker: whether a job is done in a worker, one of several on its machine.
        devices: the number of devices that each job is split over, or None.
        parent: the process that started the worker and that the worker ends with; None
            if the worker is of a cluster, which has its own rules.
    """

    results: Path
    sweep: str
    wait: bool
    in_worker: bool
    devices: int | None
    parent: int | None = None


def run_job(job: Job, options: JobOptions) -> list[Status]:
    """Trains the models of a job to their end, and returns how far each member is.

    It never raises an error for a run that failed. A member that another process works
    on is "running".
    """
    message = ""
    try:
        if options.in_worker:
            _set_up_worker(options)
        with ExitStack() as locks:
            for folder in sorted({*job.folders, job.home}):
                locks.enter_context(locked(folder, wait=options.wait))
            with _counting_deaths(job.home, options.sweep):
                _train_job(job, options)
    except Timeout:
        return [
            status if status.state in ENDED else status._replace(state="running")
            for status in job.statuses()
        ]
    except Exception as error:
        message = explanation(error)
    finally:
        # Programs that `icl.training.compiled` no longer keeps are part of reference
        # cycles, and each holds about 100 MB.
        gc.collect()
    return [
        status if status.state in ENDED else Status("failed", status.step, message)
        for status in job.statuses()
    ]


def _set_up_worker(options: JobOptions) -> None:
    """Gives a worker one thread per device, and the cache that all workers share.

    In a worker that has done a job before, this comes too late and changes nothing,
    because JAX's backend has started with the options of the first job.
    """
    if options.parent is not None:
        end_with(options.parent)
    devices = options.devices or 1
    limit_threads(devices)
    set_up_runtime(options.results, devices=devices)


@contextmanager
def _counting_deaths(home: Path, sweep: str) -> Iterator[None]:
    """Refuses a job whose worker has died `TRIES` times in this sweep.

    While a worker tries a job there is a note of it. A note that is found later was
    left by a worker that died. The count is kept on disk because a cluster hands a lost
    task to the next worker without asking, and because joblib (1.6) waits for ever if
    Dask gives up in the end.
    """
    note = home.with_name(f".{home.name}.tries")
    found = read_json(note) or {}
    counted = found.get("tries") if found.get("call") == sweep else 0
    tries = counted if isinstance(counted, int) else 0
    if tries < TRIES:
        write_whole(note, json.dumps({"call": sweep, "tries": tries + 1}) + "\n")
    try:
        if tries >= TRIES:
            raise ChildProcessError(
                f"The process that trained it died, {tries} times: killed, or out of "
                "memory. What it had saved stays; run again to go on from there."
            )
        yield
    finally:
        note.unlink(missing_ok=True)


def _train_job(job: Job, options: JobOptions) -> None:
    """Trains what is missing of a job, whose folders are locked."""
    if len(job.folders) == 1:
        train_to_end(
            job.settings[0],
            job.folders[0],
            devices=options.devices,
            quiet=options.in_worker,
        )
        return
    missing = [
        folder
        for folder, status in zip(job.folders, job.statuses(), strict=True)
        if status.state not in ENDED
    ]
    if missing:
        try:
            _train_ensemble(job, missing, options)
        except NonFiniteLossError as error:  # all members diverged
            for folder in missing:
                record_failure(folder, error)
            return
    _put_away(job.home)


def _put_away(home: Path) -> None:
    """Deletes what an ensemble has kept in its folder, and nobody else's files."""
    for folder in folders(home):
        shutil.rmtree(folder, ignore_errors=True)
    (home / MEMBERS).unlink(missing_ok=True)
    with suppress(OSError):  # somebody else's files are in it, or it is not there
        home.rmdir()


def _train_ensemble(job: Job, missing: Sequence[Path], options: JobOptions) -> None:
    """Trains all members of a job, and keeps those that are `missing`.

    Raises:
        NonFiniteLossError: every member diverged.
    """
    names = [folder.name for folder in job.folders]
    job.home.mkdir(parents=True, exist_ok=True)
    write_whole(job.home / MEMBERS, json.dumps({"members": names}) + "\n")
    # An ensemble that was begun elsewhere may not divide over the devices here.
    each = len(job.folders) // hosts.process_count()
    devices = options.devices and most_that_divide(each, options.devices)
    started, first_step = time.perf_counter(), newest_step(job.home)
    with training_bar(job.steps, quiet=options.in_worker) as progress:
        members = hosts.train_settings(
            job.settings,
            devices,
            directory=job.home,
            directories=[f if f in missing else None for f in job.folders],
            callback=progress,
        )
    seconds = (time.perf_counter() - started) / len(members)
    for member, folder in zip(members, job.folders, strict=True):
        if folder in missing:
            error = divergence(member)
            if error:
                record_failure(folder, error)
            else:
                add_training_time(folder, member.steps - first_step, seconds)
