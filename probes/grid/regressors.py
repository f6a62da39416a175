"""Any scikit-learn regressor as a probe, cell by cell.

Cells, of one layer and token each, are independent and run through joblib: inside
`joblib.parallel_config(n_jobs=2)` two at a time, with the same result.
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
from probes.grid.scoreboard import Scoreboard
from probes.grid.splits import Split


def run(
    states: np.ndarray,
    columns: Columns,
    split: Split,
    board: Scoreboard,
    probe: Any,
) -> None:
    """Fits the probe for every layer, token and target, and scores it."""
    truths = columns.of(split.test)
    lengths = board.lengths(truths)
    everyone = np.arange(len(split.test))
    for layer, of_layer in enumerate(states):
        # One thread for each cell: threads that share matrices this small slow each
        # other down (by a factor of five on a busy machine). And for the resampled
        # sums, which are float32: with more threads some BLAS add in another order,
        # and the interval would be another than that of the fast ridge, by 1e-6.
        with threadpool_limits(1, user_api="blas"):
            guesses = Parallel(prefer="threads")(
                delayed(_predict)(probe, of_layer[:, token], token, columns, split)
                for token in columns.tokens
            )
            board.add(layer, truths, lengths, guesses, everyone)


def _predict(
    probe: Any,
    features: np.ndarray,
    token: int,
    columns: Columns,
    split: Split,
) -> np.ndarray:
    """The columns of a token guessed for the test prompts, (test, columns)."""
    seen = features[split.train].astype(float)
    unseen = features[split.test].astype(float)
    target = columns.at(token, split.train)
    joint = _treats_outputs_apart(probe)
    blocks = [target] if joint else np.split(target, columns.ends, axis=1)
    guesses = [
        np.asarray(_fit(probe, seen, block).predict(unseen), float).reshape(
            len(unseen), -1
        )
        for block in blocks
    ]
    return np.hstack(guesses)


def _treats_outputs_apart(probe: Any) -> bool:
    """Whether one fit to all targets side by side equals one fit for each."""
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
    target = target[:, 0] if target.shape[1] == 1 else target
    try:
        return clone(probe).fit(features, target)
    except ValueError as error:
        raise ValueError(
            f"probe {type(probe).__name__} cannot be fitted to a target of shape "
            f"{target.shape}: {' '.join(str(error).split())} A regressor that predicts "
            "one number at a time goes into sklearn.multioutput.MultiOutputRegressor."
        ) from error
