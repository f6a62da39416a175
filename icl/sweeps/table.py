"""How far are the runs of a sweep, and what do they cost? A table as text."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from icl.sweeps.grids import leaves, read
from icl.sweeps.notes import training_seconds
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models, RunState, Status
from icl.sweeps.workers import distinct
from icl.terminal import counted, duration

SHAPE = ("model.layers", "model.width", "model.heads", "task.dim", "task.length")
ALWAYS_SHOWN = {*SHAPE, "train.steps"}
INSIDE = "task.task."
NONE = "-"
"""What stands for a field that a task does not have."""

WIDEST = 24
"""Letters of a value, such as a covariance matrix; what is longer is cut off."""


def table(settings: Sequence[Setting], models: Models) -> str:
    """Returns the runs with their status, shape and cost, as text.

    Nothing is trained for it. There is a column for each field of the shape, and for
    each other field in which the settings differ. The cost is `Setting.cost`, for
    the run from its beginning to its end. The time is what was measured of the run in
    this results folder, or else the time of the run that is nearest in cost, scaled to
    its cost; it is "?" if nothing was measured.

    Raises:
        ValueError: there are no settings, or two of them are of one model.
    """
    known = distinct(settings, models)
    fields_of = [_fields(setting) for setting in settings]
    varied = [
        name
        for name in dict.fromkeys(name for row in fields_of for name in row)
        if name not in ALWAYS_SHOWN
        and len({str(row.get(name)) for row in fields_of}) > 1
    ]
    statuses = [models.status(setting) for setting in settings]
    times = _times(known)
    heads = ("status", "step", "layers", "width", "heads", "d", "pairs")
    rows: list[tuple[str, ...]] = [
        (*heads, *(n.rpartition(".")[2] for n in varied), "TFLOP", "time", "model")
    ]
    for (folder, setting), row, status, time in zip(
        known.items(), fields_of, statuses, times, strict=True
    ):
        values = (
            str(status.state),
            f"{status.step} of {setting.train.steps}",
            *(_cell(row.get(name, NONE)) for name in (*SHAPE, *varied)),
            f"{setting.cost / 1e12:.2g}",
            "?" if time is None else duration(time),
            folder.name,
        )
        rows.append(values)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    for folder, status in zip(known, statuses, strict=True):
        if status.message:
            lines.append(f"{folder.name}: {' '.join(status.message.split())}")
    return "\n".join([*lines, _summary(settings, statuses, times)])


def _fields(setting: Setting) -> dict[str, Any]:
    """Returns the fields of a setting by name, with its shape and kind of task.

    Fields of the task that a pool draws from are called as if they were its own.
    """
    found = {
        name.replace(INSIDE, "task."): read(setting, name) for name in leaves(setting)
    }
    for name in SHAPE:
        with contextlib.suppress(AttributeError, ValueError):  # a task of no pairs
            found[name] = read(setting, name)
    return {"task": type(setting.task).__name__} | found


def _cell(value: Any) -> str:
    """Returns a value as it stands in a cell."""
    text = str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def _summary(
    settings: Sequence[Setting],
    statuses: Sequence[Status],
    times: Sequence[float | None],
) -> str:
    states = [status.state for status in statuses]
    counts = [f"{states.count(s)} {s}" for s in get_args(RunState) if s in states]
    left = [
        (1 - status.step / setting.train.steps, setting.cost, time)
        for setting, status, time in zip(settings, statuses, times, strict=True)
        if status.state in ("waiting", "running")
    ]
    cost = sum(share * cost for share, cost, _ in left)
    text = f"{counted(len(states), 'run')}: {', '.join(counts)}"
    if left:
        text += f"; {cost / 1e12:.2g} TFLOP left"
    if left and None not in times:
        known = sum(share * time for share, _, time in left if time is not None)
        text += f", {duration(known)} for one worker"
    if None in times:
        text += ' ("?": no run in this results folder has been timed yet)'
    return text


def _times(known: Mapping[Path, Setting]) -> list[float | None]:
    """Returns how long each run takes, measured or estimated; all None if unknown."""
    measured = [training_seconds(setting, folder) for folder, setting in known.items()]
    costs = [setting.cost for setting in known.values()]
    timed = [(c, t) for c, t in zip(costs, measured, strict=True) if t is not None]

    def estimated(own: float) -> float | None:
        if not timed:
            return None
        cost, time = min(timed, key=lambda one: abs(math.log(one[0] / own)))
        return time * own / cost

    return [
        estimated(cost) if time is None else time
        for cost, time in zip(costs, measured, strict=True)
    ]
