"""The engine of scikit-learn's classifiers: one fit for each cell and target.

Cells, of one layer and token each, are independent and run through joblib: inside
`joblib.parallel_config(n_jobs=2)` two run at a time, with the same result.
"""

from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from probes.grid.columns import Columns
from probes.grid.labels import LabelBoard, decoded
from probes.grid.problem import Problem
from probes.grid.splits import Split


class Guesses(NamedTuple):
    """What the probes of one cell guess for the test prompts: see `LabelBoard.put`."""

    codes: np.ndarray
    values: np.ndarray
    chances: np.ndarray | None


def run(states: np.ndarray, problem: Problem, board: LabelBoard, probe: Any) -> None:
    """Fits the probe for every layer, token and target, and scores it.

    Raises:
        ValueError: a target has one label only among the training prompts of a token,
            or the probe cannot be fitted.
    """
    columns, split = problem.columns, problem.split
    names = list(columns.targets)
    for layer, of_layer in enumerate(problem.progress.over(states, "layers")):
        # Threads that share matrices this small slow each other down.
        with threadpool_limits(1, user_api="blas"):
            found = Parallel(prefer="threads")(
                delayed(_guess)(
                    probe, of_layer[:, token], place, columns, split, names, board.width
                )
                for place, token in enumerate(columns.tokens)
            )
        for place, guesses in enumerate(found):
            board.put(layer, place, *guesses)


def _guess(
    probe: Any,
    features: np.ndarray,
    place: int,
    columns: Columns,
    split: Split,
    names: list[str],
    width: int,
) -> Guesses:
    """Returns the guesses of one cell, for each target and then its control.

    They are 0 for prompts that do not have this token.
    """
    train, test = columns.having(place, split.train), columns.having(place, split.test)
    token = columns.tokens[place]
    seen, unseen = features[train].astype(float), features[test].astype(float)
    blocks = np.split(columns.at(token, train), columns.ends, axis=1)
    fitted = [
        _of_target(probe, seen, unseen, block, names[i % len(names)], token)
        for i, block in enumerate(blocks)
    ]
    codes = np.stack([one.codes for one in fitted], axis=1)
    values = np.hstack([one.values for one in fitted])[:, :width]
    own = [one.chances for one in fitted[: len(names)] if one.chances is not None]
    chances = np.hstack(own) if len(own) == len(names) else None
    tested = np.searchsorted(split.test, test)

    def for_all(some: np.ndarray) -> np.ndarray:
        every = np.zeros((len(split.test), some.shape[1]), some.dtype)
        every[tested] = some
        return every

    return Guesses(
        for_all(codes), for_all(values), None if chances is None else for_all(chances)
    )


def _of_target(
    probe: Any,
    seen: np.ndarray,
    unseen: np.ndarray,
    block: np.ndarray,
    name: str,
    token: int,
) -> Guesses:
    """Returns the guesses of one target's labels."""
    labels, size = decoded(block), block.shape[1]
    known = np.unique(labels)
    if len(known) == 1:
        raise ValueError(
            f"target {name!r} has one label only among the training prompts at token "
            f"{token}; leave this token out (at=...), or give more prompts of the "
            "other labels."
        )
    # Copies throughout: some estimators work in place.
    fitted = _fit(probe, seen.copy(), labels.copy(), name)
    codes = np.asarray(fitted.predict(unseen.copy()), int)
    chances = None
    if hasattr(fitted, "predict_proba"):
        chances = _by_class(fitted.predict_proba(unseen.copy()), known, size, 0.0)
    if hasattr(fitted, "decision_function"):
        values = np.asarray(fitted.decision_function(unseen.copy()), float)
        if values.ndim == 1:  # of the larger of two known labels
            values = np.stack([-values, values], axis=1)
        if values.shape[1] != len(known):  # one against one, and not one for each
            values = np.eye(known.max() + 1)[codes][:, known]
        values = _by_class(values, known, size, -np.inf)
    elif chances is not None:
        values = chances
    else:
        values = _by_class(np.eye(known.max() + 1)[codes][:, known], known, size, 0.0)
    return Guesses(codes, values, chances)


def _by_class(
    values: np.ndarray, known: np.ndarray, size: int, unknown: float
) -> np.ndarray:
    """Returns values of the known labels with a column for each, or that of the second.

    Args:
        values: (prompts, known).
        known: the labels among the training prompts.
        size: the number of columns: 1 for two labels.
        unknown: the value of labels that are not known.
    """
    every = np.full((len(values), max(size, 2)), unknown)
    every[:, known] = values
    return every[:, 1:] if size == 1 else every


def _fit(probe: Any, features: np.ndarray, labels: np.ndarray, name: str) -> Any:
    """Fits a clone of the probe, and says which target it cannot be fitted to."""
    try:
        return clone(probe).fit(features, labels)
    except ValueError as error:
        raise ValueError(
            f"probe {type(probe).__name__} cannot be fitted to target {name!r}: "
            f"{' '.join(str(error).split())}"
        ) from error
