"""What is the outcome of a sweep: how well did each model learn, and which is best?"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from icl import checks
from icl.arrays import shown
from icl.sweeps.grids import Axes, columns, grid
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.sweeps.workers import Outcome, train_all


def train_missing(settings: Sequence[Setting], models: Models) -> list[Setting]:
    """Trains the missing models, and returns the settings that did not diverge.

    The settings keep their order.

    Raises:
        ValueError: all trainings diverged; or a model is missing for another reason,
            such as a full disk, that may be gone when it is run again. The message says
            which.
    """
    became = train_all(settings, models)
    found = [each.setting for each in became if not _has_diverged(each, models)]
    if not found:
        raise ValueError(
            f"All {len(became)} trainings diverged; the first: {became[0].message}"
        )
    return found


def _has_diverged(outcome: Outcome, models: Models) -> bool:
    """Returns whether training diverged.

    Raises:
        ValueError: the model is missing for another reason; the message says which.
    """
    try:
        return models.last_losses(outcome.setting) is None
    except ValueError as error:
        why = outcome.message
        if why and why not in str(error):
            raise ValueError(f"{error} It stopped because: {why}") from error
        raise


def history(settings: Sequence[Setting], models: Models, axes: Axes) -> xr.Dataset:
    """Returns how well the models of a grid learnt, over its axes.

    Args:
        settings: `grid(base, axes)`.
        models: the store of the models, each of which is trained or has failed.
        axes: the axes of the grid. A dimension has the name of its field ("layers" for
            "model.layers"). The dimension of several fields has all their names, joined
            by "_", and each field is a coordinate along it.

    Returns:
        A Dataset over the axes: `validation_loss`, the last held-out loss, averaged
        over contexts; `held_out_loss`, that loss for each (context); and `failed`,
        whether the run failed. Losses are squared errors, not halved; they are NaN
        where a run failed and beyond its longest context.

    Raises:
        ValueError: the settings are not those of the grid, or one of the models is not
            trained (the message says why, if it was tried).
    """
    checks.of_kind("settings", settings, list | tuple, "a list of settings")
    checks.of_kind("models", models, Models, "an icl.sweeps.Models")
    checks.of_kind("axes", axes, Mapping, "the axes of the grid, a dictionary")
    for setting in settings:
        checks.of_kind("settings", setting, Setting, "settings, icl.sweeps.Setting")
    if not settings or list(settings) != grid(settings[0], axes):
        raise ValueError(
            f"The {len(settings)} settings are not the grid of these axes; give "
            "grid(base, axes) and the same axes."
        )
    points = columns(settings[0], axes)
    losses = [models.last_losses(setting) for setting in settings]
    contexts = max(len(setting.task.codec.slots) for setting in settings)
    held_out = np.full((len(settings), contexts), np.nan)
    for row, loss in zip(held_out, losses, strict=True):
        if loss is not None:
            row[: len(loss)] = loss
    failed = np.array([loss is None for loss in losses])
    # A slot that never counts has no loss: NaN.
    means = np.array([np.nan if loss is None else np.nanmean(loss) for loss in losses])
    shape, dims, coordinates = tuple(map(len, points)), [], {}
    for column in points:
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
    dataset: xr.Dataset, over: Sequence[str], by: str = "validation_loss"
) -> xr.Dataset:
    """Returns the best run along some dimensions, for every point of the others.

    Args:
        dataset: the runs, such as `history` returns; it may have other variables too.
        over: the dimensions to choose along, such as ["learning_rate", "heads"].
        by: the variable whose smallest value is chosen; NaN and infinity are never
            chosen. Of equal values the first is chosen.

    Returns:
        The Dataset without these dimensions. Their coordinates at the chosen run are
        variables `best_<name>`, and `attrs["chosen_by"]` is `by`.

    Raises:
        ValueError: there is no such dimension or variable, the variable is not one
            number per run, or at some point no run has a finite value (it is named).

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
    checks.of_kind("dataset", dataset, xr.Dataset, "a Dataset of runs")
    checks.of_kind("over", over, list | tuple, "a list of names of dimensions")
    over = list(over)
    if not isinstance(by, str) or by not in dataset:
        known = ", ".join(map(str, dataset.data_vars))
        raise ValueError(
            f"There is no variable {shown(by)} to choose by, but: {known}."
        )
    scores = dataset[by]
    for name in over:
        if name not in scores.dims:
            raise ValueError(
                f"{by!r} has no dimension {name!r} to choose along; it has "
                f"{', '.join(map(str, scores.dims)) or 'none'}, of which over names "
                "some."
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


def _check_any_finite(smallest: xr.DataArray, by: str) -> None:
    """Refuses points at which the smallest value is infinite, and names the first."""
    for point in itertools.product(*map(range, smallest.shape)):
        cell = smallest[point]
        if math.isinf(cell):
            where = ", ".join(f"{n} = {c.item()}" for n, c in cell.coords.items())
            raise ValueError(
                f"No run has a finite {by!r}{where and f' at {where}'}: all failed, so "
                "none is best."
            )
