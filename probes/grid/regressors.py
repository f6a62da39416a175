"""The engine of all other scikit-learn regressors: one fit for each cell and target.

`probes.grid.cells` says how cells are read, and in which order they are fitted.
"""

from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from probes.grid.cells import Cell, Fitter, fit_cells
from probes.grid.problem import Problem
from probes.grid.sample_weights import fit_weighted
from probes.grid.scoreboard import Scoreboard


def run(states: np.ndarray, problem: Problem, board: Scoreboard, probe: Any) -> None:
    """Fits the probe for every layer, token and target, and scores it."""
    truths = problem.columns.of(problem.split.test)
    lengths = board.lengths(truths)
    everyone = np.arange(len(problem.split.test))
    fit = partial(_predict, probe, problem.columns.ends)
    for layer, guesses in fit_cells(states, problem, fit):
        # On one thread, as the cells: the resampled sums are float32, and with more
        # threads some BLAS add in another order. The interval would differ from that
        # of the fast ridge, by 1e-6.
        board.add(layer, truths, lengths, guesses, everyone)


def _predict(probe: Any, ends: list[int], cell: Cell, fitter: Fitter) -> np.ndarray:
    """Returns guesses of one cell's columns for all test prompts, (test, columns)."""
    joint = _treats_outputs_apart(probe)
    blocks = [cell.target] if joint else np.split(cell.target, ends, axis=1)
    guesses = [fitter(_of_block, probe, cell, block) for block in blocks]
    return cell.for_all(np.hstack(guesses))


def _of_block(probe: Any, cell: Cell, block: np.ndarray) -> np.ndarray:
    """Returns guesses of some columns that are fitted together."""
    # Each fit has copies of its own: some estimators work in place.
    fitted = _fit(probe, cell.seen.copy(), block.copy(), cell.weights)
    guess = np.asarray(fitted.predict(cell.unseen.copy()), float)
    return guess.reshape(len(cell.unseen), -1)


def _treats_outputs_apart(probe: Any) -> bool:
    """Returns whether one fit to all targets side by side equals one fit for each."""
    *before, last = (
        [step for _, step in probe.steps] if type(probe) is Pipeline else [probe]
    )
    if not all(type(step) is StandardScaler for step in before):
        return False
    if type(last) is Ridge:
        return np.ndim(last.get_params()["alpha"]) == 0
    if type(last) is RidgeCV:
        return last.get_params()["alpha_per_target"]
    return type(last) is LinearRegression


def _fit(
    probe: Any, features: np.ndarray, target: np.ndarray, weights: np.ndarray | None
) -> Any:
    """Fits a clone of the probe, and says which target it cannot be fitted to."""
    target = target[:, 0] if target.shape[1] == 1 else target
    try:
        return fit_weighted(clone(probe), features, target, weights)
    except ValueError as error:
        advice = ""
        alone = target.ndim == 2
        if alone and _can_be_fitted(probe, features, target[:, 0], weights):
            advice = (
                " A regressor that predicts one number at a time goes into "
                "sklearn.multioutput.MultiOutputRegressor."
            )
        raise ValueError(
            f"probe {type(probe).__name__} cannot be fitted to a target of shape "
            f"{target.shape}: {' '.join(str(error).split())}{advice}"
        ) from error


def _can_be_fitted(
    probe: Any, features: np.ndarray, column: np.ndarray, weights: np.ndarray | None
) -> bool:
    """Returns whether the probe can be fitted to a single column."""
    try:
        fit_weighted(clone(probe), features, column, weights)
    except ValueError:
        return False
    return True
