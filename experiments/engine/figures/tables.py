"""How does a Dataset become tables that a spreadsheet, R or pandas reads?

Each variable of the Dataset becomes one CSV file, `<variable>.csv`, in tidy long form:
a row for each of its cells, a column for each of its dimensions and coordinates, and
last its value, all under the names that they have in the Dataset. Where the ends of its
interval are variables, too, such as `r2_low` and `r2_high`, they stand beside it.

- Over prompts a variable is averaged, because a figure may have asked millions. The
  value, `spd`, is then the mean over prompts, and a column `spd_se` follows it with the
  standard error of that mean, for the one model of this row. (The intervals of claims
  and pictures are others: they are bootstrapped, and also over seeds.)
- Over bootstrap resamples a variable has no value, but the two ends of a 95 % interval,
  `error_resampled_low` and `error_resampled_high`.
- A missing value is an empty cell.

Every single prompt is in the Dataset itself: see `docs/csv.md`.
"""

import math
import re
from pathlib import Path

import pandas as pd
import xarray as xr

from experiments.engine.figures.runs import read_dataset
from icl.files import write_whole

SAMPLES = ("prompt", "queried", "few", "shuffle")
"""Dimensions of prompts, over which a table has means."""

DRAWS = "resample"
"""The dimension of bootstrap resamples, of which a table has the central 95 %."""

COVERED = (0.025, 0.975)
FOLDER = "csv"


def write_tables(run: Path) -> Path:
    """Writes the tables of a finished run, and returns their folder.

    Args:
        run: the folder of the run; the tables lie in its folder "csv".

    Raises:
        ValueError: the Dataset of the run is damaged.
        OSError: the folder cannot be written.
    """
    dataset, folder = read_dataset(run), run / FOLDER
    folder.mkdir(exist_ok=True)
    names = [str(name) for name in dataset.data_vars]
    for name in names:
        if not re.fullmatch(r"\w+", name):  # it would be the name of another file
            raise ValueError(f"{run} has a variable {name!r}, which names no file.")
        if not any(name in _ends(other) for other in names):
            write_whole(
                folder / f"{name}.csv", table(dataset, name).to_csv(index=False)
            )
    return folder


def table(dataset: xr.Dataset, name: str) -> pd.DataFrame:
    """Returns a variable in tidy long form, averaged over prompts.

    Args:
        dataset: of a figure.
        name: of the variable.

    Example:
        >>> spd = ("n", "prompt"), [[0.0, 2.0], [4.0, 4.0]]
        >>> print(table(xr.Dataset({"spd": spd}, {"n": [1, 2]}), "spd"))
           n  spd  spd_se
        0  1  1.0     1.0
        1  2  4.0     0.0
    """
    values = _values(dataset[name], name)
    values |= {end: dataset[end] for end in _ends(name) if end in dataset}
    columns = xr.Dataset(values).reset_coords()
    keys = [dim for dim in dataset[name].dims if dim in columns.dims]
    beside = [label for label in columns if label not in values and columns[label].dims]
    if not keys:
        return pd.DataFrame([{label: each.item() for label, each in values.items()}])
    frame = columns.to_dataframe(dim_order=keys).reset_index()
    return frame[[*keys, *beside, *values]]


def _ends(name: str) -> tuple[str, str]:
    """Returns what the ends of the interval of a variable are called."""
    return f"{name}_low", f"{name}_high"


def _values(array: xr.DataArray, name: str) -> dict[str, xr.DataArray]:
    """Returns the columns of values by name."""
    if DRAWS in array.dims:
        ends = array.quantile(COVERED, DRAWS, skipna=False)
        each = (ends.isel(quantile=i, drop=True) for i in range(2))
        return dict(zip(_ends(name), each, strict=True))
    over = [dim for dim in array.dims if dim in SAMPLES]
    if not over:
        return {name: array}
    array = array.astype(float)
    count = math.prod(array.sizes[dim] for dim in over)
    spread = array.std(over, ddof=1, skipna=False)
    return {
        name: array.mean(over, skipna=False),
        f"{name}_se": spread / math.sqrt(count),
    }
