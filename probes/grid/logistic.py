"""The engine of logistic regression: all targets and controls of a cell side by side.

A cell, of one layer and token, is read once; the probes of its targets and of their
controls share the products with its features (`probes.grid.logistic_fit`). Where
features outnumber prompts the coefficients are combinations of the prompts' states, and
as many features as prompts will do: with XX' = RR', R triangular, the features R have
the same products, and so the same loss and penalty.

Memory: for each thread twice the states of one cell in float64, and for each of its
columns some numbers for each training prompt.
"""

from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float64, Int

from probes.grid.cells import Cell
from probes.grid.guesses import Guesses, by_class, known_classes
from probes.grid.labels import LabelBoard
from probes.grid.logistic_fit import Loss, fit, shared_factor
from probes.grid.logistic_spec import LogisticSpec
from probes.grid.problem import Problem
from probes.grid.ridge_solution import deviations
from probes.grid.threads import CellThreads
from probes.labels import decoded


class LogisticProbes(NamedTuple):
    """The probes of a grid, and which of them converged.

    Attributes:
        coef: coefficients of each column of the targets; without features if nobody
            asked for them.
        intercept: their intercepts.
        converged: one for each target, and then for each control.
    """

    coef: Float64[np.ndarray, "layers tokens features columns"]
    intercept: Float64[np.ndarray, "layers tokens columns"]
    converged: np.ndarray


class CellProbes(NamedTuple):
    """The probes of one cell: x @ weights + intercept.

    There is a column for each score, those of one target after those of another: one
    for two known labels, otherwise one for each.
    """

    weights: Float64[np.ndarray, "features scores"]
    intercept: Float64[np.ndarray, " scores"]
    converged: list[bool]


def run(
    states: np.ndarray,
    problem: Problem,
    board: LabelBoard,
    spec: LogisticSpec,
    coefficients: bool,
) -> LogisticProbes:
    """Fits all probes and scores them.

    Raises:
        ValueError: a target has one label only among the training prompts of a token.
    """
    columns, lock = problem.columns, Lock()
    tokens, blocks = len(columns.tokens), len(columns.ends) + 1
    shape, features = (len(states), tokens), states.shape[3] if coefficients else 0
    found = LogisticProbes(
        np.full((*shape, features, board.width), np.nan),
        np.full((*shape, board.width), np.nan),
        np.zeros((*shape, blocks), bool),
    )
    names = list(columns.targets)
    problem.progress.start(len(states) * tokens, "cells")

    def fit_cell(number: int) -> None:
        layer, place = divmod(number, tokens)
        of_token = states[layer, :, columns.tokens[place]]
        cell = Cell.of(of_token, place, columns, problem.split)
        parts = np.split(cell.target, columns.ends, axis=1)
        codes = [decoded(part) for part in parts]
        known = [
            known_classes(some, names[i % len(names)], cell.token)
            for i, some in enumerate(codes)
        ]
        probes = _fit(cell, codes, known, spec)
        sizes = [part.shape[1] for part in parts]
        guesses = _guesses(cell, probes, known, sizes)
        with lock:
            board.put(
                layer, place, *Guesses.joined(guesses, len(names), board.width, cell)
            )
        found.converged[layer, place] = probes.converged
        if coefficients:
            both = np.vstack([probes.weights, probes.intercept])
            every = _by_column(both, known, sizes)[:, : board.width]
            found.coef[layer, place], found.intercept[layer, place] = (
                every[:-1],
                every[-1],
            )
        problem.progress.done()

    with CellThreads(len(states) * tokens) as each:
        each(fit_cell, range(len(states) * tokens))
    return found


def _fit(
    cell: Cell,
    codes: Sequence[Int[np.ndarray, " train"]],
    known: Sequence[Int[np.ndarray, " _"]],
    spec: LogisticSpec,
) -> CellProbes:
    """Fits the probes of one cell, those with as many known labels side by side."""
    z, center, scale = _scaled(cell, spec)
    x, weights_of = z[:, :-1], cell.weights
    back = None
    if len(x) < len(center):
        z, back = _fewer(x)
    penalty = np.full(z.shape[1], 1 / spec.strength)
    penalty[-1] = 0
    factor = shared_factor(z, penalty, weights_of)
    weights: list[np.ndarray] = [np.empty(0)] * len(codes)
    converged = [False] * len(codes)
    for size in {len(some) for some in known}:
        places = [place for place, some in enumerate(known) if len(some) == size]
        coded = [np.searchsorted(known[place], codes[place]) for place in places]
        loss = Loss.of(np.stack(coded), size, penalty, weights_of)
        fitted = fit(z, loss, factor, tol=spec.tol, max_iter=spec.max_iter)
        for place, rows, ended in zip(places, *fitted, strict=True):
            weights[place], converged[place] = rows, bool(ended)
    every = np.concatenate(weights).T
    coef = (every[:-1] if back is None else back @ every[:-1]) / scale[:, None]
    return CellProbes(coef, every[-1] - center @ coef, converged)


def _scaled(
    cell: Cell, spec: LogisticSpec
) -> tuple[
    Float64[np.ndarray, "train width"],
    Float64[np.ndarray, " features"],
    Float64[np.ndarray, " features"],
]:
    """Returns centred and scaled features with a column of ones, centre and scales."""
    states, weights = cell.seen, cell.weights
    count, center = float(len(states)), states.mean(axis=0)
    if weights is not None:
        count = float(weights.sum())
        center = weights @ states / count
    z, scale = np.ones((len(states), len(center) + 1)), np.ones(len(center))
    x = z[:, :-1]
    np.subtract(states, center, out=x)
    if spec.standardize:
        if weights is None:
            squares = np.einsum("np,np->p", x, x)
        else:
            squares = np.einsum("n,np,np->p", weights, x, x)
        scale = deviations(squares / count, center, count)
        x /= scale
    return z, center, scale


def _fewer(
    x: Float64[np.ndarray, "train features"],
) -> tuple[Float64[np.ndarray, "train width"], Float64[np.ndarray, "features train"]]:
    """Returns as many features as prompts, with a column of ones, and the way back.

    The way back turns coefficients of these features into those of x.
    """
    products = x @ x.T
    # Centred prompts sum to 0: the least that a Cholesky factor needs stands there.
    products += 1e-12 * max(np.trace(products), np.finfo(float).tiny) * np.eye(len(x))
    factor = np.linalg.cholesky(products)
    back = np.asarray(scipy.linalg.solve_triangular(factor, x, lower=True))
    return np.hstack([factor, np.ones((len(x), 1))]), back.T


def _guesses(
    cell: Cell,
    probes: CellProbes,
    known: Sequence[Int[np.ndarray, " _"]],
    sizes: Sequence[int],
) -> list[Guesses]:
    """Returns what each probe guesses for the test prompts that have the token."""
    scores = cell.unseen @ probes.weights + probes.intercept
    guesses = []
    for own, labels, size in zip(_parted(scores, known), known, sizes, strict=True):
        if own.shape[1] == 1:
            own = np.hstack([-own, own])
            with np.errstate(over="ignore"):
                chances = 1 / (1 + np.exp(-own))
            codes = labels[(own[:, 1] > 0).astype(int)]
        else:
            powers = np.exp(own - own.max(axis=1, keepdims=True))
            chances = powers / powers.sum(axis=1, keepdims=True)
            codes = labels[own.argmax(axis=1)]
        values = by_class(own, labels, size, -np.inf)
        guesses.append(Guesses(codes, values, by_class(chances, labels, size, 0.0)))
    return guesses


def _parted(
    scores: Float64[np.ndarray, "rows scores"], known: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Returns the columns of each target's probe."""
    rows = [1 if len(labels) == 2 else len(labels) for labels in known]
    return np.split(scores, np.cumsum(rows)[:-1], axis=1)


def _by_column(
    weights: Float64[np.ndarray, "rows scores"],
    known: Sequence[Int[np.ndarray, " _"]],
    sizes: Sequence[int],
) -> Float64[np.ndarray, "rows columns"]:
    """Returns weights with a column as in `coded`; NaN for labels that are unknown."""
    every = []
    for own, labels, size in zip(_parted(weights, known), known, sizes, strict=True):
        if own.shape[1] == 1 and size > 1:  # two of several: half of it apart
            own = np.hstack([-own, own]) / 2
        every.append(own if size == 1 else by_class(own, labels, size, np.nan))
    return np.hstack(every)
