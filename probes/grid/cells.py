"""The cells of a grid, for the engines that call scikit-learn's estimators.

Cells, of one layer and token each, are independent and run through joblib: inside
`joblib.parallel_config(n_jobs=2)` two run at a time, with the same result.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from probes.grid.columns import Columns
from probes.grid.fit_warnings import Caught, FitWarnings, caught
from probes.grid.problem import Problem
from probes.grid.splits import Split


class Cell(NamedTuple):
    """What the probes of one layer and token are fitted to, and guess from.

    Prompts that do not have the token are left out.

    Attributes:
        token: the position of the token.
        seen: the features of the training prompts.
        target: their columns.
        unseen: the features of the test prompts.
        tested: where these are among all test prompts.
        tests: the number of all test prompts.
        weights: how much each training prompt counts; None where all count alike.
    """

    token: int
    seen: Float64[np.ndarray, "train features"]
    target: Float64[np.ndarray, "train columns"]
    unseen: Float64[np.ndarray, "tested features"]
    tested: Int[np.ndarray, " tested"]
    tests: int
    weights: Float64[np.ndarray, " train"] | None = None

    @classmethod
    def of(
        cls, features: np.ndarray, place: int, columns: Columns, split: Split
    ) -> "Cell":
        """Reads the features of one layer and token, (prompts, features)."""
        train, test = (
            columns.having(place, rows) for rows in (split.train, split.test)
        )
        return cls(
            columns.tokens[place],
            features[train].astype(float),
            columns.at(columns.tokens[place], train),
            features[test].astype(float),
            np.searchsorted(split.test, test),
            len(split.test),
            columns.weighing(train),
        )

    def for_all(self, guesses: np.ndarray) -> np.ndarray:
        """Returns guesses for all test prompts: 0 for those without the token."""
        every = np.zeros((self.tests, guesses.shape[1]), guesses.dtype)
        every[self.tested] = guesses
        return every


class Fitter:
    """Fits the probes of one cell, whose warnings it keeps, a list for each probe."""

    def __init__(self) -> None:
        self.warnings: list[list[Caught]] = []

    def __call__(self, fit: Callable[..., Any], *arguments: Any) -> Any:
        """Returns what a function returns that fits one probe."""
        with caught() as found:
            result = fit(*arguments)
        self.warnings.append(found)
        return result


def fit_cells(
    states: np.ndarray, problem: Problem, fit: Callable[[Cell, Fitter], Any]
) -> Iterator[tuple[int, list[Any]]]:
    """Yields each layer with what a function returns for its cells.

    Args:
        states: hidden states, (layers, prompts, tokens, features).
        problem: the targets, and which prompts train and test.
        fit: is given a cell, and a `Fitter` through which it fits each probe.

    Warns:
        ConvergenceWarning: how many probes did not converge.
    """
    columns, split, warned = problem.columns, problem.split, FitWarnings()

    def fit_cell(features: np.ndarray, place: int) -> tuple[Any, list[list[Caught]]]:
        fitter = Fitter()
        return fit(Cell.of(features, place, columns, split), fitter), fitter.warnings

    for layer, of_layer in enumerate(problem.progress.over(states, "layers")):
        # Each cell has one thread: threads that share matrices this small slow each
        # other down (by a factor of five on a busy machine). Whoever takes the results
        # has one, too: see `probes.grid.regressors`.
        with threadpool_limits(1, user_api="blas"):
            found = Parallel(prefer="threads")(
                delayed(fit_cell)(of_layer[:, token], place)
                for place, token in enumerate(columns.tokens)
            )
            for _, of_fits in found:
                warned.add(of_fits)
            yield layer, [result for result, _ in found]
    warned.give()
