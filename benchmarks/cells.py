"""How long does a grid of few linear probes take, from long states to wide ones?

From 16,000 prompts of 64 features to 400 of 4,096, as hidden states of language models
have them. The usual way is scikit-learn's `RidgeCV(alpha_per_target=True)` behind a
`StandardScaler`, in each cell, on the same training prompts, with the same penalties,
controls and scores: `probe_grid` itself calls it, since it takes any regressor.
scikit-learn leaves out every prompt to choose a penalty, ours some 2,000 of them. The
note says how far the scores differ.

Logistic regressions of labels are held against scikit-learn's, behind a
`StandardScaler`, with the same tolerance, in the same way.
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr
from sklearn.linear_model import LogisticRegression, RidgeCV
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
LABELLED = (
    (400, 64, 1, 2),
    (400, 64, 4, 2),
    (4_000, 256, 1, 2),
    (4_000, 256, 4, 2),
    (4_000, 256, 1, 5),
    (12_000, 64, 1, 2),
    (12_000, 64, 4, 2),
    (12_000, 64, 1, 5),
    (400, 1_024, 1, 2),
)
"""Prompts, features, targets of labels, and different labels of each."""
LAYERS = 2
CALLS = 3


class CellByCell(LogisticRegression):
    """A logistic regression that `probe_grid` does not know, and so calls for a fit."""


def main(turns: int) -> Iterator[Row]:
    """A row for each shape; each side's time is the least of some calls."""
    yield from ridge(turns)
    yield from logistic(turns)


def logistic(turns: int) -> Iterator[Row]:
    """A row for each shape of labels, which the states determine in part."""
    for prompts, features, count, classes in LABELLED:
        rng = np.random.default_rng(0)
        hidden = rng.normal(size=(LAYERS, prompts, 1, features)).astype(np.float32)
        directions = rng.normal(size=(count, features, classes)) / np.sqrt(features)
        scores = 3 * (hidden[0, :, 0] @ directions)
        labels = (scores + rng.gumbel(size=scores.shape)).argmax(axis=2)
        targets = {f"t{number}": values for number, values in enumerate(labels)}

        def side(kind: type, hidden=hidden, targets=targets) -> xr.Dataset:
            probe = make_pipeline(StandardScaler(), kind(max_iter=1_000))
            return probe_grid(hidden, targets, probe=probe)

        sides = {"ours": LogisticRegression, "theirs": CellByCell}
        grids = [side(kind) for kind in sides.values()]
        difference = float(abs(grids[0].log_loss - grids[1].log_loss).max())
        timed_sides = {
            name: least(lambda kind=kind, side=side: side(kind))
            for name, kind in sides.items()
        }
        yield row(
            "cells",
            f"{LAYERS} cells, {prompts} prompts, {features} features, {count} targets "
            f"of {classes} labels",
            alternate(timed_sides, max(1, turns)),
            "theirs",
            "StandardScaler + LogisticRegression by scikit-learn, probe by probe",
            work="no limit: steps whose number depends on the labels",
            note=f"each the least of {CALLS} calls; log-loss differs by "
            f"{difference:.0e} bits",
        )


def ridge(turns: int) -> Iterator[Row]:
    """A row for each shape of numbers."""
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
