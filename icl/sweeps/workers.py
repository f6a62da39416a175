"""How does a list of settings become trained models, on one core or on a cluster?

    settings -> plan: jobs -> run_job, in some process -> one Outcome per setting

Jobs (icl.sweeps.jobs) are independent of each other and go through joblib: to processes
of this machine, or to the backend that `joblib.parallel_config` names. All that is
known of a run lies in the results folder, which every process sees. A finished run is
never repeated, an unfinished one goes on from its checkpoint, and one that another
process works on is left to that process. `run_job` never raises for a failed run. If a
worker dies, the process that waits for it notices, and so does the next worker.
"""

import os
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from joblib.parallel import get_active_backend

from icl import checks
from icl.sweeps import hosts
from icl.sweeps.board import Board
from icl.sweeps.errors import explanation
from icl.sweeps.jobs import ENDED, TRIES, Job, JobOptions, run_job
from icl.sweeps.planning import plan
from icl.sweeps.runtime import on_cpu
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models, RunState, Status
from icl.terminal import say
from icl.training.optimizers import OPTIMIZERS


@dataclass(frozen=True)
class Outcome:
    """The outcome of one setting of a sweep.

    Attributes:
        setting: the setting of the model.
        state: "done" or "failed", once `train_all` has returned.
        message: why it failed, or "".
        cost: the number of floating-point operations of its training.
    """

    setting: Setting
    state: RunState
    message: str
    cost: float


def train_all(settings: Sequence[Setting], models: Models) -> list[Outcome]:
    """Trains those models that are missing, and returns what became of each setting.

    Jobs are done in this process if `models.jobs` is 1 or there is only one job,
    otherwise in processes side by side; `joblib.parallel_config(backend=...)` around
    the call sends them elsewhere. Workers need this code and the same results folder.

    Args:
        settings: the settings of the models, each once.
        models: the store of the models, which also says how many jobs are done side by
            side and how many models one job trains.

    Returns:
        One outcome per setting, in the order of settings. A run that failed does not
        stop the others; one whose training diverged is not tried again by the next
        call.

    Raises:
        ValueError: there are no settings, or two of them are of one model.
    """
    known = distinct(settings, models)
    if models.results is None:
        statuses = {
            f: _train_in_memory(setting, models) for f, setting in known.items()
        }
    else:
        statuses = _train_on_disk(known, models)
    for folder, status in statuses.items():
        if status.state == "failed":
            say(f"failed: model {folder}: {' '.join(status.message.split())}")
    return [
        Outcome(setting, status.state, status.message, setting.cost)
        for setting, status in zip(known.values(), statuses.values(), strict=True)
    ]


def distinct(settings: Sequence[Setting], models: Models) -> dict[Path, Setting]:
    """Returns the settings by the folders of their models.

    Raises:
        ValueError: there are no settings, or two of them are of one model.
    """
    checks.of_kind("settings", settings, list | tuple, "a list of settings")
    checks.of_kind("models", models, Models, "an icl.sweeps.Models")
    for setting in settings:
        checks.of_kind("settings", setting, Setting, "settings, icl.sweeps.Setting")
    if not settings:
        raise ValueError("The sweep is empty; settings must hold at least one.")
    folders = [models.folder(setting) for setting in settings]
    numbers: dict[Path, int] = {}
    for number, folder in enumerate(folders):
        if folder in numbers:
            raise ValueError(
                f"Settings {numbers[folder]} and {number} are of one model, with the "
                f"hash {folder.name}: they differ in nothing that training depends on."
            )
        numbers[folder] = number
    return dict(zip(folders, settings, strict=True))


def _train_in_memory(setting: Setting, models: Models) -> Status:
    try:
        models(setting)
    except Exception as error:
        return Status("failed", 0, explanation(error))
    return models.status(setting)


def _train_on_disk(known: Mapping[Path, Setting], models: Models) -> dict[Path, Status]:
    """Trains what is missing in the results folder, and returns how far each model is.

    The first round is for what nobody works on; in the second round we wait for what
    other processes had in hand, and finish what they have left.
    """
    assert models.results is not None
    statuses = {folder: models.status(setting) for folder, setting in known.items()}
    sweep = uuid.uuid4().hex
    for wait in (False, True):
        unfinished = {f for f, status in statuses.items() if status.state not in ENDED}
        if not unfinished:
            break
        jobs = plan(known, unfinished, models)
        at_once, elsewhere = processes_for(models, len(jobs))
        parent = os.getpid() if elsewhere and not _on_cluster() else None
        options = JobOptions(
            models.results.absolute(), sweep, wait, elsewhere, models.devices, parent
        )
        ended = [s.state for folder, s in statuses.items() if folder not in unfinished]
        with Board(jobs, ended, at_once, in_this_process=not elsewhere) as board:
            do = _side_by_side if elsewhere else _one_by_one
            for job, found in do(jobs, at_once, options):
                statuses |= dict(zip(job.folders, found, strict=True))
                board.job_ended(job, found)
    return statuses


def processes_for(models: Models, jobs: int) -> tuple[int, bool]:
    """Returns how many jobs are done at once, and whether in other processes.

    Raises:
        ValueError: several jobs are asked for where processes train together.
    """
    if hosts.process_count() > 1:
        if (models.jobs or 1) > 1:
            raise ValueError(
                "Processes that train together run one program at a time, got "
                f"{models.jobs} jobs; leave out --distributed or --jobs."
            )
        return 1, False
    on_cluster = _on_cluster()
    at_once = models.jobs
    if at_once is None:
        slots = joblib.effective_n_jobs(-1) if on_cluster or on_cpu() else 1
        # Each slot of a cluster has devices of its own; the cores here are shared out.
        at_once = slots if on_cluster else max(1, slots // (models.devices or 1))
    return at_once, on_cluster or min(at_once, jobs) > 1


def _on_cluster() -> bool:
    return type(get_active_backend()[0]).__name__ != "LokyBackend"


def _one_by_one(
    jobs: Sequence[Job], at_once: int, options: JobOptions
) -> Iterator[tuple[Job, list[Status]]]:
    """Does one job after the other in this process, with all its threads."""
    for job in jobs:
        yield job, run_job(job, options)


def _side_by_side(
    jobs: Sequence[Job], at_once: int, options: JobOptions
) -> Iterator[tuple[Job, list[Status]]]:
    """Does jobs in other processes, through joblib; yields each when it has ended.

    When a worker dies its pool is lost, and with it the jobs that were running, one of
    which may be to blame. The jobs that had not been started go on in a new pool; those
    that were lost follow one by one, each in a pool of its own.
    """
    silence_replaced_workers()
    queues, deaths = [list(range(len(jobs)))], Counter[int]()
    while queues:
        queue = queues.pop(0)
        running: list[int] = []
        try:
            for number, statuses in _pool(jobs, queue, running, at_once, options):
                running.remove(number)
                yield jobs[number], statuses
        except (
            Exception
        ) as error:  # a run never raises, so that this is an error of the pool
            if not running:  # no pool was ever there
                raise
            deaths.update(running)
            again = [[number] for number in running if deaths[number] <= TRIES]
            for number in running:
                if deaths[number] > TRIES:
                    failed = Status("failed", 0, explanation(error))
                    yield jobs[number], [failed] * len(jobs[number].folders)
            queues = [left for left in (queue, *queues, *again) if left]


def _pool(
    jobs: Sequence[Job],
    queue: list[int],
    running: list[int],
    at_once: int,
    options: JobOptions,
) -> Iterator[tuple[int, list[Status]]]:
    """Does the jobs of a queue in one pool of workers, as long as the pool lives.

    Args:
        jobs: all jobs of the sweep.
        queue: the numbers of the jobs to do; a number that is handed out is removed.
        running: receives the number of every job that is handed out.
        at_once: the number of jobs that are done side by side.
        options: how jobs are done.

    Yields:
        The number of a job that has ended, and how far its members are.
    """

    def hand_out() -> Iterator[Any]:
        while queue:
            running.append(queue.pop(0))
            job = jobs[running[-1]].with_absolute_paths()
            # A script's own optimisers are not registered where its workers start.
            name = job.settings[0].train.optimizer
            optimizers = {name: OPTIMIZERS[name]}
            yield joblib.delayed(_run_numbered)(running[-1], job, options, optimizers)

    streams = get_active_backend()[0].supports_return_generator  # Ray's (2.60) does not
    parallel = joblib.Parallel(
        n_jobs=max(
            2, min(at_once, len(queue))
        ),  # joblib would do a single job in this process
        return_as="generator_unordered" if streams else "list",
        pre_dispatch=at_once,
        batch_size=1,
    )
    yield from parallel(hand_out())


def _run_numbered(
    number: int, job: Job, options: JobOptions, optimizers: Mapping[str, Any]
) -> tuple[int, list[Status]]:
    OPTIMIZERS.update(optimizers)
    return number, run_job(job, options)


def silence_replaced_workers() -> None:
    """Silences an alarming warning of joblib, which has no bad cause.

    joblib ends a worker that has grown by more than 300 MB, which one that compiles
    programs of several shapes does, and starts another, which frees that memory. It
    then warns of "a memory leak", in a thread of its own, so the filter has to stay.
    """
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
