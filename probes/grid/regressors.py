"""The engine of all other scikit-learn regressors: one fit for each cell and target.

Cells, of one layer and token each, are independent and run through joblib: inside
`joblib.parallel_config(n_jobs=2)` two run at a time, with the same result.
"""

from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from probes.grid.columns import Columns
from probes.grid.problem import Problem
from probes.grid.scoreboard import Scoreboard
from probes.grid.splits import Split


def run(
    states: np.ndarray,
    problem: Problem,
    board: Scoreboard,
    probe: Any,
) -> None:
    """Fits the probe for every layer, token and target, and scores it."""
    columns, split = problem.columns, problem.split
    truths = columns.of(split.test)
    lengths = board.lengths(truths)
    everyone = np.arange(len(split.test))
    for layer, of_layer in enumerate(problem.progress.over(states, "layers")):
        # Each cell has one thread: threads that share matrices this small slow each
        # other down (by a factor of five on a busy machine). The resampled sums, which
        # are float32, have one too: with more threads some BLAS add in another order,
        # and the interval would differ from that of the fast ridge, by 1e-6.
        with threadpool_limits(1, user_api="blas"):
            guesses = Parallel(prefer="threads")(
                delayed(_predict)(probe, of_layer[:, token], place, columns, split)
                for place, token in enumerate(columns.tokens)
            )
            board.add(layer, truths, lengths, guesses, everyone)


def _predict(
    probe: Any,
    features: np.ndarray,
    place: int,
    columns: Columns,
    split: Split,
) -> np.ndarray:
    """Returns guesses of one token's columns for the test prompts, (test, columns).

    They are 0 for prompts that do not have this token.
    """
    train, test = columns.having(place, split.train), columns.having(place, split.test)
    seen, unseen = features[train].astype(float), features[test].astype(float)
    target = columns.at(columns.tokens[place], train)
    joint = _treats_outputs_apart(probe)
    blocks = [target] if joint else np.split(target, columns.ends, axis=1)
    guesses = []
    for block in blocks:
        # Each has copies of its own: some estimators work in place.
        fitted = _fit(probe, seen.copy(), block.copy())
        guess = np.asarray(fitted.predict(unseen.copy()), float)
        guesses.append(guess.reshape(len(unseen), -1))
    every = np.zeros((len(split.test), columns.width))
    every[np.searchsorted(split.test, test)] = np.hstack(guesses)
    return every


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


def _fit(probe: Any, features: np.ndarray, target: np.ndarray) -> Any:
    """Fits a clone of the probe, and says which target it cannot be fitted to."""
    target = target[:, 0] if target.shape[1] == 1 else target
    try:
        return clone(probe).fit(features, target)
    except ValueError as error:
        advice = ""
        if target.ndim == 2 and _can_be_fitted(probe, features, target[:, 0]):
            advice = (
                " A regressor that predicts one number at a time goes into "
                "sklearn.multioutput.MultiOutputRegressor."
            )
        raise ValueError(
            f"probe {type(probe).__name__} cannot be fitted to a target of shape "
            f"{target.shape}: {' '.join(str(error).split())}{advice}"
        ) from error


def _can_be_fitted(probe: Any, features: np.ndarray, column: np.ndarray) -> bool:
    """Returns whether the probe can be fitted to a single column."""
    try:
        clone(probe).fit(features, column)
    except ValueError:
        return False
    return True
