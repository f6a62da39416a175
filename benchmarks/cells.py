"""How long does a grid of few linear probes take, from long states to wide ones?

From 16,000 prompts of 64 features to 400 of 4,096, as hidden states of language models
have them. The usual way is scikit-learn's `RidgeCV(alpha_per_target=True)` behind a
`StandardScaler`, in each cell, on the same training prompts, with the same penalties,
controls and scores: `probe_grid` itself calls it, since it takes any regressor.
scikit-learn leaves out every prompt to choose a penalty, ours some 2,000 of them. The
note says how far the scores differ.

Logistic regressions of labels are held against scikit-learn's, behind a
`StandardScaler`, with the same tolerance, in the same way.

himalaya and probekit take their turns beside them where they are installed:
`benchmarks.opponents` says how, and what they do otherwise. Labels get one resample,
since probekit has no intervals.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import opponents
from benchmarks.measure import Row, Seconds, alternate, row, timed
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
STEPS, TOLERANCE = 1_000, 1e-4
"""When logistic regressions stop."""


class CellByCell(LogisticRegression):
    """A logistic regression that `probe_grid` does not know, and so calls for a fit."""


def main(turns: int) -> Iterator[Row]:
    """Rows for each shape; each side's time is the least of some calls."""
    yield from ridge(turns)
    yield from logistic(turns)


def logistic(turns: int) -> Iterator[Row]:
    """Rows for each shape of labels, which the states determine in part."""
    for prompts, features, count, classes in LABELLED:
        rng = np.random.default_rng(0)
        hidden = rng.normal(size=(LAYERS, prompts, 1, features)).astype(np.float32)
        directions = rng.normal(size=(count, features, classes)) / np.sqrt(features)
        scores = 3 * (hidden[0, :, 0] @ directions)
        labels = (scores + rng.gumbel(size=scores.shape)).argmax(axis=2)
        targets = {f"t{number}": values for number, values in enumerate(labels)}

        def losses(kind: type, hidden=hidden, targets=targets) -> np.ndarray:
            probe = make_pipeline(StandardScaler(), kind(max_iter=STEPS, tol=TOLERANCE))
            grid = probe_grid(hidden, targets, probe=probe, resamples=1)
            return grid.log_loss.values[:, 0]

        def batched(hidden=hidden, targets=targets) -> np.ndarray:
            return opponents.by_probekit(hidden, targets, max_iter=STEPS, tol=TOLERANCE)

        sides: dict[str, Callable[[], np.ndarray]] = {
            "ours": partial(losses, LogisticRegression),
            "theirs": partial(losses, CellByCell),
        }
        ways = {
            "theirs": "StandardScaler + LogisticRegression by scikit-learn, probe by "
            "probe"
        }
        if classes == 2 and opponents.has_probekit():
            sides["probekit"] = batched
            ways["probekit"] = "probekit, all in a batch, in float32"
        yield from _rows(
            f"{LAYERS} cells, {prompts} prompts, {features} features, {count} targets "
            f"of {classes} labels",
            sides,
            ways,
            turns,
            work="no limit: steps whose number depends on the labels",
            what="log-loss in bits",
        )


def ridge(turns: int) -> Iterator[Row]:
    """Rows for each shape of numbers."""
    for prompts, features, coordinates in SHAPES:
        rng = np.random.default_rng(0)
        hidden = rng.normal(size=(LAYERS, prompts, 1, features)).astype(np.float32)
        noise = rng.normal(size=(prompts, coordinates))
        targets = {"t": hidden[0, :, 0, :coordinates] + noise}
        loop = make_pipeline(
            StandardScaler(), RidgeCV(np.array(ALPHAS), alpha_per_target=True)
        )

        def scores(probe: Any = None, hidden=hidden, targets=targets) -> np.ndarray:
            return probe_grid(hidden, targets, probe=probe).r2.values

        def by_himalaya(backend: str, hidden=hidden, targets=targets) -> np.ndarray:
            return opponents.by_himalaya(hidden, targets, backend).r2.values

        sides: dict[str, Callable[[], np.ndarray]] = {
            "ours": scores,
            "theirs": partial(scores, loop),
        }
        ways = {"theirs": "StandardScaler + RidgeCV by scikit-learn, cell by cell"}
        for backend in opponents.himalaya_backends(prompts):
            sides[backend] = partial(by_himalaya, backend)
            ways[backend] = f"StandardScaler + himalaya on {backend}, cell by cell"
        yield from _rows(
            f"{LAYERS} cells, {prompts} prompts, {features} features, a target of "
            f"{coordinates}",
            sides,
            ways,
            turns,
            work="no limit: eigenvectors, whose rate is not that of products",
            what="R2",
        )


def _rows(
    shape: str,
    sides: dict[str, Callable[[], np.ndarray]],
    ways: dict[str, str],
    turns: int,
    *,
    work: str,
    what: str,
) -> Iterator[Row]:
    """A row for each opponent; all sides take turns, and their scores are compared."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*relies on its penalty")
        scores = {name: side() for name, side in sides.items()}
        found: Seconds = alternate(
            {name: least(side) for name, side in sides.items()}, max(1, turns)
        )
    for name, way in ways.items():
        difference = float(abs(scores[name] - scores["ours"]).max())
        note = f"each the least of {CALLS} calls; {what} differ by {difference:.0e}"
        yield row("cells", shape, found, name, way, work=work, note=note)


def least(side: Callable[[], np.ndarray]) -> Callable[[], float]:
    """Returns a side whose seconds are the least of some calls."""
    once = timed(side)
    return lambda: min(once() for _ in range(CALLS))
