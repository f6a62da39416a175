"""The engine of scikit-learn's classifiers: one fit for each cell and target.

`probes.grid.cells` says how cells are read, and in which order they are fitted.
"""

from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone

from probes.grid.cells import Cell, Fitter, fit_cells
from probes.grid.guesses import Guesses, by_class, known_classes
from probes.grid.labels import LabelBoard
from probes.grid.problem import Problem
from probes.grid.sample_weights import fit_weighted
from probes.labels import decoded


def run(states: np.ndarray, problem: Problem, board: LabelBoard, probe: Any) -> None:
    """Fits the probe for every layer, token and target, and scores it.

    Raises:
        ValueError: a target has one label only among the training prompts of a token,
            or the probe cannot be fitted.
    """
    columns = problem.columns
    fit = partial(_guess, probe, list(columns.targets), columns.ends, board.width)
    for layer, cells in fit_cells(states, problem, fit):
        for place, guesses in enumerate(cells):
            board.put(layer, place, *guesses)


def _guess(
    probe: Any,
    names: list[str],
    ends: list[int],
    width: int,
    cell: Cell,
    fitter: Fitter,
) -> Guesses:
    """Returns the guesses of one cell, for each target and then its control."""
    blocks = np.split(cell.target, ends, axis=1)
    fitted = [
        fitter(_of_target, probe, cell, block, names[i % len(names)])
        for i, block in enumerate(blocks)
    ]
    return Guesses.joined(fitted, len(names), width, cell)


def _of_target(probe: Any, cell: Cell, block: np.ndarray, name: str) -> Guesses:
    """Returns the guesses of one target's labels."""
    labels, size = decoded(block), block.shape[1]
    known = known_classes(labels, name, cell.token)
    # Copies throughout: some estimators work in place.
    fitted = _fit(probe, cell.seen.copy(), labels.copy(), cell.weights, name)
    codes = np.asarray(fitted.predict(cell.unseen.copy()), int)
    chances = None
    if hasattr(fitted, "predict_proba"):
        chances = by_class(fitted.predict_proba(cell.unseen.copy()), known, size, 0.0)
    if hasattr(fitted, "decision_function"):
        values = np.asarray(fitted.decision_function(cell.unseen.copy()), float)
        if values.ndim == 1:  # of the larger of two known labels
            values = np.stack([-values, values], axis=1)
        if values.shape[1] != len(known):  # one against one, and not one for each
            values = np.eye(known.max() + 1)[codes][:, known]
        values = by_class(values, known, size, -np.inf)
    elif chances is not None:
        values = chances
    else:
        values = by_class(np.eye(known.max() + 1)[codes][:, known], known, size, 0.0)
    return Guesses(codes, values, chances)


def _fit(
    probe: Any,
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
    name: str,
) -> Any:
    """Fits a clone of the probe, and says which target it cannot be fitted to."""
    try:
        return fit_weighted(clone(probe), features, labels, weights)
    except ValueError as error:
        raise ValueError(
            f"probe {type(probe).__name__} cannot be fitted to target {name!r}: "
            f"{' '.join(str(error).split())}"
        ) from error
