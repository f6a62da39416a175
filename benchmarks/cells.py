"""How long does a grid of few ridge probes take, from long states to wide ones?

From 16,000 prompts of 64 features to 400 of 4,096, as hidden states of language models
have them. The usual way is scikit-learn's `RidgeCV(alpha_per_target=True)` behind a
`StandardScaler`, in each cell, on the same training prompts, with the same penalties,
controls and scores: `probe_grid` itself calls it, since it takes any regressor.
scikit-learn leaves out every prompt to choose a penalty, ours some 2,000 of them. The
note says how far the scores differ.
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.measure import Row, alternate, row, timed
from probes import probe_grid
from probes.grid.ridge_spec import ALPHAS

SHAPES = (
    (400, 1_024, 4),
    (400, 4_096, 4),
    (1_000, 2_048, 4),
    (1_000, 2_048, 50),
    (4_000, 256, 4),
    (16_000, 64, 4),
)
"""Prompts, features and coordinates of the target."""
LAYERS = 2
CALLS = 3


def main(turns: int) -> Iterator[Row]:
    """A row for each shape; each side's time is the least of some calls."""
    for prompts, features, coordinates in SHAPES:
        rng = np.random.default_rng(0)
        hidden = rng.normal(size=(LAYERS, prompts, 1, features)).astype(np.float32)
        noise = rng.normal(size=(prompts, coordinates))
        targets = {"t": hidden[0, :, 0, :coordinates] + noise}
        loop = make_pipeline(
            StandardScaler(), RidgeCV(np.array(ALPHAS), alpha_per_target=True)
        )

        def ours(hidden=hidden, targets=targets) -> xr.Dataset:
            return probe_grid(hidden, targets)

        def theirs(hidden=hidden, targets=targets, loop=loop) -> xr.Dataset:
            return probe_grid(hidden, targets, probe=loop)

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*relies on its penalty")
            difference = float(abs(ours().r2 - theirs().r2).max())
            found = alternate(
                {"ours": least(ours), "theirs": least(theirs)}, max(1, turns)
            )
        yield row(
            "cells",
            f"{LAYERS} cells, {prompts} prompts, {features} features, a target of "
            f"{coordinates}",
            found,
            "theirs",
            "StandardScaler + RidgeCV by scikit-learn, cell by cell",
            work="no limit: eigenvectors, whose rate is not that of products",
            note=f"each the least of {CALLS} calls; R2 differ by {difference:.0e}",
        )


def least(side: Callable[[], xr.Dataset]) -> Callable[[], float]:
    """Returns a side whose seconds are the least of some calls."""
    once = timed(side)
    return lambda: min(once() for _ in range(CALLS))
