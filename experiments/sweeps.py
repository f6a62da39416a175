"""Many models at once: which, trained how far, and which of them is the best?

    axes = {"model.layers": (1, 2, 4), "train.learning_rate": (1e-3, 3e-3)}
    settings = grid(base, axes)
    train(settings, models)                     # what is missing (experiments.workers)
    dataset = history(settings, models, axes)   # validation loss over the axes
    chosen = best(dataset, ["learning_rate"])   # which rate was best, for each depth

A grid is a list of settings and nothing more: sum lists, or leave some out. The rule by
which a figure chooses (validation loss) and any other (what is plotted) are calls of
`best`, which records what it chose.
"""

import difflib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from experiments.board import duration
from experiments.models import Models, Setting, State, Status, seconds
from experiments.workers import Progress, distinct, train

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Progress", "best", "grid", "history", "table", "train", "trained"]

Axes = Mapping[str, Sequence[Any]]
SHAPE = ("model.layers", "model.width", "model.heads", "task.dim", "task.length")
ELSEWHERE = {*SHAPE, "train.steps"}  # in columns of their own


def grid(base: Setting, axes: Axes) -> list[Setting]:
    """The product of some axes, the last one fastest.

    Args:
        base: what does not change.
        axes: values by field, `{"model.layers": (1, 2), "seed": (0, 1)}`; or by several
            fields that change together, `{"task.noise_std,task.weight_std": ((0, 1),
            (0.5, 1.5))}`.

    Raises:
        ValueError: no axes, an axis without values, no such field, a field on two axes,
            a value twice; or a config that refuses a value.

    Example:
        >>> from icl import LinearRegression, ModelConfig, TrainConfig
        >>> base = Setting(LinearRegression(dim=2), ModelConfig(), TrainConfig())
        >>> made = grid(base, {"model.layers": (1, 2), "seed": (0, 1, 2)})
        >>> [(setting.model.layers, setting.seed) for setting in made]
        [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    """
    columns = _columns(base, axes)
    return [
        _changed(base, dict(itertools.chain(*point)))
        for point in itertools.product(*columns)
    ]


def _columns(base: Setting, axes: Axes) -> list[list[list[tuple[str, Any]]]]:
    """For each axis, for each of its values: pairs of field and value."""
    if not axes:
        raise ValueError('The grid has no axes; give one, such as {"seed": (0, 1)}.')
    known, seen, columns = _leaves(base), set(), []
    for axis, values in axes.items():
        names = axis.split(",")
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1, cutoff=0.4)
                meant = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"Settings have no field {name!r}.{meant}")
            if name in seen:
                raise ValueError(f"The field {name!r} is on two axes; keep one.")
            seen.add(name)
        if isinstance(values, str) or len(values) == 0:
            raise ValueError(
                f"The axis {axis!r} needs a sequence of values, got {values!r}."
            )
        column = []
        for value in values:
            parts = tuple(value) if len(names) > 1 else (value,)
            if len(parts) != len(names):
                raise ValueError(
                    f"The axis {axis!r} needs {len(names)} values at each point, "
                    f"got {value!r}."
                )
            pairs = list(zip(names, parts, strict=True))
            if pairs in column:
                raise ValueError(f"The axis {axis!r} has the value {value!r} twice.")
            column.append(pairs)
        columns.append(column)
    return columns


def _leaves(config: Any, prefix: str = "") -> list[str]:
    """The dotted names of all fields, those of nested configs included."""
    names = []
    for each in fields(config):
        value = getattr(config, each.name)
        nested = is_dataclass(value)
        name = prefix + each.name
        names += _leaves(value, f"{name}.") if nested else [name]
    return names


def _read(config: Any, name: str) -> Any:
    """The value of a field by its dotted name."""
    return attrgetter(name)(config)


def _changed(config: Any, changes: Mapping[str, Any]) -> Any:
    """A config with other values in some fields, all of one part at once."""
    parts: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    for name, value in changes.items():
        part, dot, field = name.partition(".")
        if dot:
            parts.setdefault(part, {})[field] = value
        else:
            own[name] = value
    nested = {p: _changed(getattr(config, p), inside) for p, inside in parts.items()}
    return replace(config, **own, **nested)


# --- what is there, before anything is computed ---


def table(settings: Sequence[Setting], models: Models) -> str:
    """The runs with their status, shape and cost, as text; nothing is computed.

    Columns of fields that differ, besides those of the shape. The cost is
    `Setting.cost`, of all of a run. Its time is what was measured of it in this folder,
    or else of the run nearest in cost, at that rate; "?" where nothing was.

    Raises:
        ValueError: no settings, or two of one model.
    """
    known = distinct(settings, models)
    fields_of = [
        {n: _read(setting, n) for n in _leaves(setting)} for setting in settings
    ]
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


# --- what came of it ---


def trained(settings: Sequence[Setting], models: Models) -> list[Setting]:
    """Trains what is missing; the settings whose training did not diverge, in order.

    Raises:
        ValueError: all diverged; or one is missing for another reason, such as a full
            disk, that may be gone when it is run again. The message says which.
    """
    reports = train(settings, models)
    found = [
        report.setting
        for report in reports
        if models.last_losses(report.setting) is not None
    ]
    if not found:
        raise ValueError(
            f"All {len(reports)} trainings diverged; the first: {reports[0].message}"
        )
    return found


def history(settings: Sequence[Setting], models: Models, axes: Axes) -> "xr.Dataset":
    """How well the models of a grid learnt, over its axes.

    Args:
        settings: `grid(base, axes)`.
        models: where they are; all trained, or failed.
        axes: the grid's. A dimension is called as its field ("layers" of
            "model.layers"); that of several fields by all of them, joined by "_", with
            each as a coordinate.

    Returns:
        A Dataset over the axes: `validation_loss`, the last held-out loss, averaged
        over contexts; `held_out_loss`, the same by (context); both NaN where a run
        `failed`, and beyond a run's longest context. Squared errors, not halved.

    Raises:
        ValueError: the settings are not those of the grid, or one of the models is not
            trained (the message says why, if it was tried).
    """
    import numpy as np
    import xarray as xr

    if not settings or list(settings) != grid(settings[0], axes):
        raise ValueError(
            f"The {len(settings)} settings are not the grid of these axes; give "
            "grid(base, axes) and the same axes."
        )
    columns = _columns(settings[0], axes)
    losses = [models.last_losses(setting) for setting in settings]
    contexts = max(setting.task.length for setting in settings)
    held_out = np.full((len(settings), contexts), np.nan)
    for row, loss in zip(held_out, losses, strict=True):
        if loss is not None:
            row[: len(loss)] = loss
    failed = np.array([loss is None for loss in losses])
    means = np.array([np.nan if loss is None else loss.mean() for loss in losses])
    shape, dims, coordinates = tuple(map(len, columns)), [], {}
    for column in columns:
        names = [field.rpartition(".")[2] for field, _ in column[0]]
        dims.append("_".join(names))
        for at, name in enumerate(names):
            values = [pairs[at][1] for pairs in column]
            coordinates[name] = (dims[-1], values)
    return xr.Dataset(
        {
            "validation_loss": (dims, means.reshape(shape)),
            "held_out_loss": ([*dims, "context"], held_out.reshape(*shape, -1)),
            "failed": (dims, failed.reshape(shape)),
        },
        coords=coordinates | {"context": np.arange(contexts)},
    )


def best(
    dataset: "xr.Dataset", over: Sequence[str], by: str = "validation_loss"
) -> "xr.Dataset":
    """The best run along some dimensions, for every point of the others.

    Args:
        dataset: of runs, such as that of `history`, with more variables or without.
        over: dimensions to choose along, such as ["learning_rate", "heads"].
        by: variable whose smallest value is chosen; NaN and infinity never are. Of
            equal ones the first.

    Returns:
        The Dataset without these dimensions, and their chosen coordinates as variables
        `best_<name>`; `attrs["chosen_by"]` is `by`.

    Raises:
        ValueError: no such dimension or variable, a variable that is not one number per
            run, or a point at which no run has a finite value (named).

    Example:
        >>> import xarray as xr
        >>> losses = [[0.3, 0.2], [0.1, float("nan")]]
        >>> runs = xr.Dataset(
        ...     {"validation_loss": (("layers", "rate"), losses)},
        ...     coords={"layers": [1, 2], "rate": [0.001, 0.002]},
        ... )
        >>> best(runs, ["rate"]).best_rate.values.tolist()
        [0.002, 0.001]
    """
    import numpy as np
    import xarray as xr

    over = list(over)
    if by not in dataset:
        known = ", ".join(map(str, dataset.data_vars))
        raise ValueError(f"There is no variable {by!r} to choose by, but: {known}.")
    scores = dataset[by]
    for name in over:
        if name not in scores.dims:
            raise ValueError(
                f"{by!r} has no dimension {name!r} to choose along; it has "
                f"{', '.join(map(str, scores.dims)) or 'none'}."
            )
    if not over or "context" in scores.dims:
        raise ValueError(
            f"{by!r} must have one number per run and a dimension to choose along; "
            f"average it over contexts, or name a dimension (got over={over})."
        )
    stacked = dataset.stack(_run=over)
    scores = xr.where(np.isfinite(stacked[by]), stacked[by], np.inf)
    _check_any_finite(scores.min("_run"), by)
    chosen = stacked.isel(_run=scores.argmin("_run"))
    along = [n for n, c in dataset.coords.items() if set(c.dims) & set(over)]
    values = {
        f"best_{name}": chosen[name].drop_vars(["_run", *along]) for name in along
    }
    return (
        chosen.drop_vars(["_run", *over, *along], errors="ignore")
        .assign(values)
        .assign_attrs(chosen_by=by)
    )


def _check_any_finite(smallest: "xr.DataArray", by: str) -> None:
    """Refuses points whose smallest value is infinite, and names the first."""
    for point in itertools.product(*map(range, smallest.shape)):
        cell = smallest[point]
        if math.isinf(cell):
            where = ", ".join(f"{n} = {c.item()}" for n, c in cell.coords.items())
            raise ValueError(
                f"No run has a finite {by!r}{where and f' at {where}'}: all failed, so "
                "none is best."
            )
