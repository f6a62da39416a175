"""How are several models measured at once? In processes side by side, one thread each.

What a figure measures of one model is a chain of small steps, which a second thread
hardly speeds up. A second process does, where there are several models.
"""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import joblib

from experiments.engine.figures import streams
from icl.signals import end_with
from icl.sweeps.runtime import limit_threads, set_up_runtime
from icl.sweeps.store import Models
from icl.sweeps.workers import processes_for, silence_replaced_workers
from icl.training.optimizers import OPTIMIZERS

Config = TypeVar("Config")
Result = TypeVar("Result")


def side_by_side(
    measure: Callable[..., Result],
    calls: Sequence[tuple[Any, ...]],
    models: Models,
) -> list[Result]:
    """Returns `measure(*call, models)` for each of the calls, in their order.

    Args:
        measure: a function that other processes can import.
        calls: its arguments, without the models.
        models: the store of the models, which must be trained. It says how many
            processes there are; on accelerators, and if nothing is kept on disk, it is
            this one alone.

    Raises:
        ChildProcessError: a process died.
    """
    at_once, elsewhere = processes_for(models, len(calls))
    if models.results is None or not elsewhere:
        return [measure(*call, models) for call in calls]
    silence_replaced_workers()
    pool = joblib.Parallel(min(at_once, len(calls)), backend="loky", batch_size=1)
    # A script's own optimisers are not registered where its workers start.
    about = os.getpid(), dict(OPTIMIZERS)
    do = joblib.delayed(_in_worker)
    try:
        return pool(do(*about, measure, call, models) for call in calls)
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a process that measured a model died: killed, or out of memory; with "
            "--jobs 1, one model is measured at a time"
        ) from error


def _in_worker(
    parent: int,
    optimizers: Mapping[str, Any],
    measure: Callable[..., Result],
    call: tuple[Any, ...],
    models: Models,
) -> Result:
    """Does one call in a process that ends with its parent."""
    end_with(parent)
    OPTIMIZERS.update(optimizers)
    assert models.results is not None
    limit_threads(1)
    set_up_runtime(models.results, devices=1)
    warnings.formatwarning = streams.one_line_warning
    return measure(*call, models)
