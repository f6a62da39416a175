"""The ridge engine: all ridge probes of a grid from one pass over the prompts.

Ridge regression needs no prompts, only their second moments: X'X, X'y and the means,
which are sums over prompts (`probes.grid.moments`). From these every cell, of one layer
and token, is solved by itself (`probes.grid.ridge_solution`). Where features outnumber
the training prompts their products are the larger ones, and each cell is solved from
the products of prompts (`probes.grid.ridge_wide`). The numbers are the same.

Shapes: X (prompts, features), y (prompts, columns), the columns being the coordinates
of all targets side by side. Alpha is not scaled by the number of prompts. The intercept
is not penalised. Memory: (features + columns + 1)^2 numbers of 8 bytes for each layer
and token, twice if alpha is chosen, and one batch of prompts. Where features outnumber
prompts: the coefficients, features x columns for each layer and token, and for each
thread prompts x (features + prompts); a stream's training prompts are kept as well.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from probes.grid.columns import Columns
from probes.grid.leave_out import LeftOut
from probes.grid.moments import Accumulator, Moments, refuse_non_finite
from probes.grid.problem import Problem
from probes.grid.ridge_solution import Spectrum, solve
from probes.grid.ridge_spec import RidgeSpec
from probes.grid.ridge_wide import WideCell
from probes.grid.scoreboard import Board
from probes.grid.sources import ArraySource, Batch, Source
from probes.grid.splits import Split
from probes.grid.threads import CellThreads, Each

Cell = tuple[int, int]  # the layer, and the place of the token among those probed
StatesOf = Callable[[Cell], np.ndarray]


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

    def put(
        self,
        cell: Cell,
        coef: Float64[np.ndarray, "features columns"],
        intercept: Float64[np.ndarray, " columns"],
        alphas: Float64[np.ndarray, " columns"],
    ) -> None:
        """Puts the probes of a cell in their place."""
        self.coef[cell], self.intercept[cell], self.alphas[cell] = (
            coef,
            intercept,
            alphas,
        )


def run(problem: Problem, board: Board, spec: RidgeSpec) -> RidgeProbes:
    """Fits all probes on training prompts and scores them on test prompts.

    Raises:
        ValueError: NaN or infinity in the hidden states; the message says where.
    """
    source, columns, split = problem.source, problem.columns, problem.split
    layers, _, features = source.shape
    shape = layers, len(columns.tokens)
    fitted = RidgeProbes(
        np.empty((*shape, features, columns.width)),
        np.empty((*shape, columns.width)),
        np.empty((*shape, columns.width)),
    )
    wide = len(split.train) < features
    _start(problem, shape, wide)
    with CellThreads(shape[0] * shape[1] if wide else layers) as each:
        (_fit_wide if wide else _fit_long)(problem, spec, fitted, each)
    with CellThreads(layers) as each:
        tested = source.batches(split.test, problem.batch)
        for batch in tested if wide else _counted(tested, problem):
            _score(batch, columns, split, board, fitted, each)
    return fitted


def _start(problem: Problem, cells: tuple[int, int], wide: bool) -> None:
    """Says how much there is to do: cells to solve, or prompts to read."""
    if wide:
        problem.progress.start(cells[0] * cells[1], "cells")
        return
    left_out = () if problem.left_out is None else problem.left_out.rows
    read = len(problem.split.train) + len(left_out) + len(problem.split.test)
    problem.progress.start(read, "prompts")


def _counted(batches: Iterator[Batch], problem: Problem) -> Iterator[Batch]:
    """Yields the batches, whose prompts are done when the next one is asked for."""
    for batch in batches:
        yield batch
        problem.progress.done(len(batch.rows))


# --- prompts outnumber features ---


def _fit_long(
    problem: Problem, spec: RidgeSpec, fitted: RidgeProbes, each: Each
) -> None:
    """Fits all probes from moments over prompts."""
    source, columns, split = problem.source, problem.columns, problem.split
    layers, _, features = source.shape
    moments = Accumulator(layers, features, columns, each)
    parts = [
        moments.over(_counted(source.batches(rows, problem.batch), problem))
        for rows in (split.fit, split.validation)
        if len(rows)
    ]

    def sums(cell: Cell) -> list[Moments]:
        return [Moments(p[cell], moments.shift[cell], features) for p in parts]

    def solve_layer(layer: int) -> None:
        for cell in _cells(layer, columns):
            fitted.put(cell, *solve(*sums(cell), spec=spec))

    left = problem.left_out
    if left is None:
        each(solve_layer, range(layers))
        return
    spectra: dict[Cell, Spectrum] = {}

    def decompose_layer(layer: int) -> None:
        for cell in _cells(layer, columns):
            spectra[cell] = Spectrum.of(sums(cell)[0], spec)

    each(decompose_layer, range(layers))
    parts.clear()
    errors = _left_out(problem, left, spec, spectra, each)

    def choose_layer(layer: int) -> None:
        for cell in _cells(layer, columns):
            alphas = np.asarray(spec.alphas)[errors[cell].argmin(axis=0)]
            fitted.put(cell, *spectra[cell].probes(alphas), alphas)

    each(choose_layer, range(layers))


def _left_out(
    problem: Problem,
    left_out: LeftOut,
    spec: RidgeSpec,
    spectra: dict[Cell, Spectrum],
    each: Each,
) -> Float64[np.ndarray, "layers tokens alphas columns"]:
    """Returns the squared errors on training prompts that are left out."""
    source, columns = problem.source, problem.columns
    cells = source.shape[0], len(columns.tokens)
    errors = np.zeros((*cells, len(spec.alphas), columns.width))
    for left in left_out.batches(problem.batch):
        (batch,) = source.batches(left.rows, len(left.rows))
        targets = columns.of(left.rows)

        def add_layer(layer: int, left=left, batch=batch, targets=targets) -> None:
            for cell, token in zip(_cells(layer, columns), columns.tokens, strict=True):
                states = batch.states[layer, batch.places, token]
                kept = columns.kept(cell[1], left.rows)
                errors[cell] += spectra[cell].left_out(
                    spec.alphas,
                    left.some(kept),
                    _only(states, kept),
                    _only(targets[cell[1]], kept),
                    columns.weighing(columns.having(cell[1], left.rows)),
                )

        each(add_layer, range(cells[0]))
        problem.progress.done(len(left.rows))
    return errors


# --- features outnumber prompts ---


def _fit_wide(
    problem: Problem, spec: RidgeSpec, fitted: RidgeProbes, each: Each
) -> None:
    """Fits all probes from products of prompts, cell by cell."""
    columns, split, left = problem.columns, problem.split, problem.left_out
    rows = [split.fit, split.validation] if len(split.validation) else [split.fit]
    states = [_states_of(problem.source, some, columns, problem.batch) for some in rows]
    targets = [columns.of(some) for some in rows]
    tokens = len(columns.tokens)

    def solve_cell(number: int) -> None:
        cell = divmod(number, tokens)
        kept = [columns.kept(cell[1], some) for some in rows]
        x = [_only(of(cell), k) for of, k in zip(states, kept, strict=True)]
        y = [_only(of[cell[1]], k) for of, k in zip(targets, kept, strict=True)]
        having = [columns.having(cell[1], some) for some in rows]
        probes = WideCell.of(x[0], y[0], spec, columns.weighing(having[0]))
        chosen = np.zeros(columns.width, int)
        if left is not None:
            some = left.some(columns.kept(cell[1], left.rows))
            places = np.searchsorted(having[0], some.rows)
            chosen = probes.left_out(spec.alphas, some, places).argmin(axis=0)
        elif len(x) > 1:
            w = columns.weighing(having[1])
            chosen = probes.errors(spec.alphas, x[1], y[1], w).argmin(axis=0)
            w = columns.weighing(np.concatenate(having))
            probes = WideCell.of(np.concatenate(x), np.concatenate(y), spec, w)
        alphas = np.asarray(spec.alphas)[chosen]
        fitted.put(cell, *probes.probes(alphas), alphas)
        problem.progress.done()

    each(solve_cell, range(problem.source.shape[0] * tokens))


def _states_of(
    source: Source, rows: Int[np.ndarray, " rows"], columns: Columns, size: int
) -> StatesOf:
    """Returns a function from a cell to its states of some prompts, (rows, features).

    An array is left where it is; what comes in a stream is kept.
    """
    tokens = columns.tokens
    kept = []
    for batch in source.batches(rows, size):
        states = batch.states[:, batch.places][:, :, tokens]
        sums = states.sum(axis=1, dtype=float)
        for place in range(len(tokens)):
            here = columns.kept(place, batch.rows)
            if here is not None:
                sums[:, place] = states[:, here, place].sum(axis=1, dtype=float)
        refuse_non_finite(sums, batch, tokens)
        if not isinstance(source, ArraySource):
            kept.append(states)
    if isinstance(source, ArraySource):
        array = source.states
        return lambda cell: array[cell[0], rows, tokens[cell[1]]]
    return lambda cell: np.concatenate([some[cell[0], :, cell[1]] for some in kept])


# --- both ---


def _only(values: np.ndarray, kept: Bool[np.ndarray, " rows"] | None) -> np.ndarray:
    """Returns the rows that are kept; None stands for all."""
    return values if kept is None else values[kept]


def _cells(layer: int, columns: Columns) -> Iterator[Cell]:
    """Yields the cells of a layer, in the order of the tokens that are probed."""
    return ((layer, place) for place in range(len(columns.tokens)))


def _score(
    batch: Batch,
    columns: Columns,
    split: Split,
    board: Board,
    fitted: RidgeProbes,
    each: Each,
) -> None:
    """Counts the guesses for one batch of test prompts in."""
    truths = columns.of(batch.rows)
    lengths = board.lengths(truths)
    tested = np.searchsorted(split.test, batch.rows)
    sums = np.zeros((len(fitted.coef), len(columns.tokens), 1))

    def guesses(layer: int) -> Iterator[np.ndarray]:
        x = np.empty((len(batch.rows), fitted.coef.shape[2]))
        for place, token in enumerate(columns.tokens):
            x[:] = batch.states[layer, batch.places, token]
            guess = x @ fitted.coef[layer, place]
            guess += fitted.intercept[layer, place]
            kept = columns.kept(place, batch.rows)
            if kept is not None:
                guess[~kept] = 0
            sums[layer, place] = guess.sum()
            yield guess

    def score(layer: int) -> None:
        board.add(layer, truths, lengths, guesses(layer), tested)

    each(score, range(len(fitted.coef)))
    refuse_non_finite(sums, batch, columns.tokens)
