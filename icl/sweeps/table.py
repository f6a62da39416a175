"""How far are the runs of a sweep, and what do they cost? A table as text."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from icl.sweeps.grids import leaves, read
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models, State, Status, seconds
from icl.sweeps.workers import distinct
from icl.terminal import duration

SHAPE = ("model.layers", "model.width", "model.heads", "task.dim", "task.length")


ELSEWHERE = {*SHAPE, "train.steps"}  # in columns of their own


def table(settings: Sequence[Setting], models: Models) -> str:
    """The runs with their status, shape and cost, as text; nothing is computed.

    Columns of fields that differ, besides those of the shape. The cost is
    `Setting.cost`, of all of a run. Its time is what was measured of it in this folder,
    or else of the run nearest in cost, at that rate; "?" where nothing was.

    Raises:
        ValueError: no settings, or two of one model.
    """
    known = distinct(settings, models)
    fields_of = [{n: read(setting, n) for n in leaves(setting)} for setting in settings]
    varied = [
        name
        for name in fields_of[0]
        if name not in ELSEWHERE and len({str(row.get(name)) for row in fields_of}) > 1
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
            *(str(row[name]) for name in (*SHAPE, *varied)),
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


def _summary(
    settings: Sequence[Setting],
    statuses: Sequence[Status],
    times: Sequence[float | None],
) -> str:
    states = [status.state for status in statuses]
    counts = [f"{states.count(s)} {s}" for s in get_args(State) if s in states]
    left = [
        (1 - status.step / setting.train.steps, setting.cost, time)
        for setting, status, time in zip(settings, statuses, times, strict=True)
        if status.state in ("waiting", "running")
    ]
    cost = sum(share * cost for share, cost, _ in left)
    text = f"{len(states)} runs: {', '.join(counts)}"
    if left:
        text += f"; {cost / 1e12:.2g} TFLOP left"
    if left and None not in times:
        known = sum(share * time for share, _, time in left if time is not None)
        text += f", {duration(known)} for one worker"
    return text


def _times(known: Mapping[Path, Setting]) -> list[float | None]:
    """How long each run takes, measured or estimated; None where nothing is known."""
    timed = [
        (setting.cost, time)
        for folder, setting in known.items()
        if (time := seconds(setting, folder)) is not None
    ]

    def nearest(setting: Setting) -> float | None:
        if not timed:
            return None
        cost, time = min(timed, key=lambda one: abs(math.log(one[0] / setting.cost)))
        return time * setting.cost / cost

    return [
        nearest(setting) if (time := seconds(setting, folder)) is None else time
        for folder, setting in known.items()
    ]
