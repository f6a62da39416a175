"""The ridge engine: all ridge probes of a grid from one pass over the prompts.

Ridge regression needs no prompts, only their second moments: X'X, X'y and the means,
which are sums over prompts (`probes.grid.moments`). From these every cell, of one layer
and token, is solved by itself (`probes.grid.ridge_solution`).

Shapes: X (prompts, features), y (prompts, columns), the columns being the coordinates
of all targets side by side. Alpha is not scaled by the number of prompts. The intercept
is not penalised. Memory: (features + columns + 1)^2 numbers of 8 bytes for each layer
and token, twice if alpha is chosen, and one batch of prompts.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from probes.grid.columns import Columns
from probes.grid.moments import Accumulator, Moments, refuse_non_finite
from probes.grid.problem import Problem
from probes.grid.ridge_solution import solve
from probes.grid.ridge_spec import RidgeSpec
from probes.grid.scoreboard import Scoreboard
from probes.grid.sources import Batch
from probes.grid.splits import Split
from probes.grid.threads import Each, LayerThreads


class RidgeProbes(NamedTuple):
    """The ridge probes of a grid: each reads x @ coef + intercept.

    Attributes:
        coef: coefficients of each column.
        intercept: intercept of each column.
        alphas: penalty of each column.
    """

    coef: Float64[np.ndarray, "layers tokens features columns"]
    intercept: Float64[np.ndarray, "layers tokens columns"]
    alphas: Float64[np.ndarray, "layers tokens columns"]


def run(
    problem: Problem,
    board: Scoreboard,
    spec: RidgeSpec,
) -> RidgeProbes:
    """Fits all probes on training prompts and scores them on test prompts.

    Raises:
        ValueError: NaN or infinity in the hidden states; the message says where.
    """
    source, columns, split, size = problem
    layers, _, features = source.shape
    tokens = len(columns.tokens)
    with LayerThreads() as each:
        moments = Accumulator(layers, features, columns, each)
        parts = [
            moments.over(source.batches(rows, size))
            for rows in (split.fit, split.validation)
            if len(rows)
        ]
        width = columns.width
        fitted = RidgeProbes(
            np.empty((layers, tokens, features, width)),
            np.empty((layers, tokens, width)),
            np.empty((layers, tokens, width)),
        )

        def solve_layer(layer: int) -> None:
            for token in range(tokens):
                cell = layer, token
                sums = (Moments(p[cell], moments.shift[cell], features) for p in parts)
                coef, intercept, alphas = solve(*sums, spec=spec)
                fitted.coef[cell], fitted.alphas[cell] = coef, alphas
                fitted.intercept[cell] = intercept

        each(solve_layer, range(layers))
        parts.clear()
        for batch in source.batches(split.test, size):
            _score(batch, columns, split, board, fitted, each)
    return fitted


def _score(
    batch: Batch,
    columns: Columns,
    split: Split,
    board: Scoreboard,
    fitted: RidgeProbes,
    each: Each,
) -> None:
    """Counts the guesses for one batch of test prompts in."""
    truths = columns.of(batch.rows)
    lengths = board.lengths(truths)
    tested = np.searchsorted(split.test, batch.rows)

    def guesses(layer: int) -> Iterator[np.ndarray]:
        x = np.empty((len(batch.rows), fitted.coef.shape[2]))
        for place, token in enumerate(columns.tokens):
            x[:] = batch.states[layer, batch.places, token]
            guess = x @ fitted.coef[layer, place]
            guess += fitted.intercept[layer, place]
            yield guess

    def score(layer: int) -> None:
        board.add(layer, truths, lengths, guesses(layer), tested)

    each(score, range(len(fitted.coef)))
    refuse_non_finite(board.sums, batch, columns.tokens)
