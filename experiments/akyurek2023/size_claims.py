"""What do the claims of Figures 3 and 8, about a sweep over sizes, have in common?

The distances of each point, as `size_sweep.measure` returns them, become means over
prompts with their resamples; a claim is a statistic of these, one for each seed. Where
a run lacks a size that a claim needs, the claim is undecided, and a note says which.
"""

from collections.abc import Sequence

import xarray as xr

from experiments.akyurek2023.size_sweep import Point
from experiments.engine.claims import intervals
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge

SOURCES = {
    "fig3": "Akyürek et al. 2023, Fig. 3",
    "fig8": "Akyürek et al. 2023, Fig. 8",
}


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns the means of distances over prompts, and their resamples."""
    names = ["distance", "apart"]
    return intervals.resample(dataset[names], ["prompt"])


def judge_of(dataset: xr.Dataset, figure: str) -> Judge:
    """Returns the judge of "fig3" or "fig8": of a sweep, in the region n < d."""
    failed, runs = int(dataset.failed.sum()), dataset.failed.size
    note = f"{failed} of {runs} runs failed and could not be chosen." if failed else ""
    return Judge(
        "akyurek2023",
        figure,
        SOURCES[figure],
        note=note,
        resampled=resample(dataset.sel(region="n < d")),
    )


def dimensions(dataset: xr.Dataset) -> list[int]:
    """Returns the dimensions of x that were tried, ascending."""
    return dataset.dim.values.tolist()


def values(dataset: xr.Dataset, size: str) -> list[int]:
    """Returns the values of "layers", "width" or "heads" that were tried, ascending."""
    return dataset["value"].values[dataset["varied"].values == size].tolist()


def points(size: str, values: Sequence[int]) -> list[str]:
    """Returns the names of points of a sweep, such as "layers=4"."""
    return [str(Point(size, value)) for value in values]


def missing_sizes(dataset: xr.Dataset, size: str, wanted: Sequence[int]) -> str:
    """Returns a note of the wanted values that this run lacks; "" if it has all."""
    tried = values(dataset, size)
    lacking = [str(value) for value in wanted if value not in tried]
    return f"This run has no model of {size} {', '.join(lacking)}." if lacking else ""
