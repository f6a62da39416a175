"""How does a list of settings become trained models, on one core or on a cluster?

    settings -> plan: programs -> run, in some process -> one Outcome per setting

Programs (icl.sweeps.jobs) are independent of each other and go through joblib: to
processes of this machine, or to the backend that `joblib.parallel_config` names. All
that is known of a run lies in the results folder, which every process sees: a finished
one is never repeated, an unfinished one goes on from its checkpoint, and one that
another process works on is left to it. `run` never raises for a failed run; that a
worker died is noticed by the process that waits for it, and by the next worker.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icl.sweeps import hosts
from icl.sweeps.board import Board
from icl.sweeps.errors import why
from icl.sweeps.jobs import TRIES, Job, JobOptions, plan, run
from icl.sweeps.runtime import on_cpu
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models, State, Status
from icl.terminal import say


@dataclass(frozen=True)
class Outcome:
    """What became of one setting.

    Attributes:
        setting: which model.
        state: "done" or "failed", once `train` has returned.
        message: why it failed, or "".
        cost: floating-point operations of its training.
    """

    setting: Setting
    state: State
    message: str
    cost: float


def train_all(settings: Sequence[Setting], models: Models) -> list[Outcome]:
    """Trains those models that are missing.

    Programs run in this process if `models.jobs` is 1 or there is only one, otherwise
    in processes side by side; `joblib.parallel_config(backend=...)` around the call
    sends them elsewhere. Workers need this code and the same results folder.

    Args:
        settings: which models, each once.
        models: where they are kept, how many programs run side by side, and how many
            models are one program.

    Returns:
        One report per setting, in their order. A run that failed does not stop the
        others; one whose training diverged is not tried again by the next call.

    Raises:
        ValueError: no settings, or two of one model.
    """
    known = distinct(settings, models)
    if models.results is None:
        reports = {f: _in_memory(setting, models) for f, setting in known.items()}
    else:
        reports = _train_missing(known, models)
    for folder, status in reports.items():
        if status.state == "failed":
            say(f"failed: model {folder}: {' '.join(status.message.split())}")
    return [
        Outcome(setting, status.state, status.message, setting.cost)
        for setting, status in zip(known.values(), reports.values(), strict=True)
    ]


def distinct(settings: Sequence[Setting], models: Models) -> dict[Path, Setting]:
    """The settings by the folders of their models.

    Raises:
        ValueError: there are none, or two are of one model.
    """
    if not settings:
        raise ValueError("The sweep is empty; give at least one setting.")
    folders = [models.folder(setting) for setting in settings]
    for at, folder in enumerate(folders):
        if folder in folders[:at]:
            raise ValueError(
                f"Settings {folders.index(folder)} and {at} are of one model, with the "
                f"hash {folder.name}: they differ in nothing that training depends on."
            )
    return dict(zip(folders, settings, strict=True))


def _in_memory(setting: Setting, models: Models) -> Status:
    try:
        models(setting)
    except Exception as error:
        return Status("failed", 0, why(error))
    return models.status(setting)


def _train_missing(known: Mapping[Path, Setting], models: Models) -> dict[Path, Status]:
    """What became of the models, by their folders."""
    assert models.results is not None
    reports = {folder: models.status(setting) for folder, setting in known.items()}
    call = uuid.uuid4().hex
    for wait in (False, True):  # first what nobody works on, then what others left
        todo = {
            f for f, status in reports.items() if status.state in ("waiting", "running")
        }
        if not todo:
            break
        programs = plan(known, todo, models)
        jobs, elsewhere = _workers(models, len(programs))
        results = models.results.absolute()
        order = JobOptions(results, call, wait, elsewhere, models.devices)
        ended = [status.state for f, status in reports.items() if f not in todo]
        with Board(programs, ended, jobs, here=not elsewhere) as board:
            start = _elsewhere if elsewhere else _here
            for program, statuses in start(programs, jobs, order):
                reports |= dict(zip(program.folders, statuses, strict=True))
                board.finished(program, statuses)
    return reports


def _workers(models: Models, programs: int) -> tuple[int, bool]:
    """How many run side by side, and whether that is in other processes."""
    import joblib
    from joblib.parallel import get_active_backend

    if hosts.count() > 1:
        if (models.jobs or 1) > 1:
            raise ValueError(
                "Processes that train together run one program at a time, got "
                f"{models.jobs} jobs; leave out --distributed or --jobs."
            )
        return 1, False
    chosen = type(get_active_backend()[0]).__name__ != "LokyBackend"
    jobs = models.jobs
    if jobs is None:
        slots = joblib.effective_n_jobs(-1) if chosen or on_cpu() else 1
        # Each slot of a cluster has devices of its own; cores here are shared out.
        jobs = slots if chosen else max(1, slots // (models.devices or 1))
    return jobs, chosen or min(jobs, programs) > 1


def _here(
    programs: list[Job], jobs: int, order: JobOptions
) -> Iterator[tuple[Job, list[Status]]]:
    """One after the other in this process, with all its threads."""
    for program in programs:
        yield program, run(program, order)


def _elsewhere(
    programs: list[Job], jobs: int, order: JobOptions
) -> Iterator[tuple[Job, list[Status]]]:
    """Side by side, through joblib, in the order in which they are finished.

    When a worker dies its pool is lost, and with it the programs that were running, one
    of which may be to blame: the others go on in a new pool, then these one by one.
    """
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    streams = get_active_backend()[0].supports_return_generator  # Ray's (2.60) does not
    queues, losses = [list(range(len(programs)))], Counter()
    while queues:
        queue = queues.pop(0)
        running: list[int] = []
        workers = max(2, min(jobs, len(queue)))  # joblib runs one in this process

        def handed_out(queue: list[int] = queue, running: list[int] = running) -> Any:
            while queue:
                running.append(queue.pop(0))
                program = programs[running[-1]].absolute()
                yield delayed(_numbered)(running[-1], program, order)

        try:
            for number, statuses in Parallel(
                n_jobs=workers,
                return_as="generator_unordered" if streams else "list",
                pre_dispatch=jobs,
                batch_size=1,
            )(handed_out()):
                running.remove(number)
                yield programs[number], statuses
        except Exception as error:  # not of a run: of the pool
            if not running:  # it never came to be
                raise
            losses.update(running)
            lost = [n for n in running if losses[n] > TRIES]
            for number in lost:
                failed = Status("failed", 0, why(error))
                yield programs[number], [failed] * len(programs[number].folders)
            again = [[number] for number in running if number not in lost]
            queues = [q for q in (queue, *queues, *again) if q]


def _numbered(number: int, program: Job, order: JobOptions) -> tuple[int, list[Status]]:
    return number, run(program, order)
