"""What of an addition table follows from the cells that are shown?

The table of the sums M_ij = i + j, 0 <= i, j < n, is a matrix of rank 2, of which m
cells are shown. A learner that fills in the others *completes* it. There are several
rules by which it may (Lee et al. 2023, section 4, compares a transformer with one):

- "additive": a cell is known if row and column are joined by shown cells, however far
  apart: M_ij = M_ij' - M_i'j' + M_i'j, and so on. It is least squares on one-hot rows
  and columns. It takes about n ln(2 n / ln 2) cells to know all.
- "contiguous": the same for the four cells of a 2 x 2 block of neighbours, of which
  three are known; what is filled in counts as known. It takes about 0.65 n^2 / ln n.
- "ratio": the same blocks, filled in by M_ij' M_i'j / M_i'j', as the released notebook
  does. That is right for a table of products; here it fills in as many cells, with
  other numbers. Which ones depends on the order of the blocks: the notebook scans them
  one by one, and ours takes all of one direction together.
- "digits": least squares on the one-hot digits of i and of j, which takes a constant
  number of cells for each number of digits.
- "rank 2": the matrix of rank 2 that fits the shown cells best, found by alternating
  least squares from a random start. A cell is known if no small change of the factors
  moves it while the shown ones stay. Where few are shown, another matrix of rank 2 may
  fit them as well, and what is known of that one is wrong. It is for n up to 200.

Shapes: tables (n, n). Everything is float64.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from icl import checks
from icl.arrays import real

Rule = Literal["additive", "contiguous", "ratio", "digits", "rank 2"]

LARGEST = 1_000
"""The largest n."""

LARGEST_CUBED = 200
"""The largest n of what holds some n^3 numbers: one-hot features, the rule "rank 2"."""

SWEEPS = 200
"""How often alternating least squares solves for both factors."""

TOLERANCE = 1e-9


class Completion(NamedTuple):
    """A table that was filled in.

    Attributes:
        values: the table, NaN where a cell is not known.
        known: which cells are shown or follow from those that are.
    """

    values: Float[np.ndarray, "n n"]
    known: Bool[np.ndarray, "n n"]


def addition_table(n: int) -> Float[np.ndarray, "n n"]:
    """Returns the sums of 0 to n - 1.

    Raises:
        ValueError: n is below 2 or above 1,000.

    Example:
        >>> addition_table(2).tolist()
        [[0.0, 1.0], [1.0, 2.0]]
    """
    n = checks.positive_int("n", n, minimum=2, maximum=LARGEST)
    return np.add.outer(np.arange(n), np.arange(n)).astype(float)


def random_cells(n: int, m: int, seed: int = 0) -> Bool[np.ndarray, "n n"]:
    """Returns which cells are shown: m of them, uniformly drawn.

    Those of a smaller m and the same seed are among them.

    Raises:
        ValueError: n is below 2, or m is not 1 to n^2.
    """
    n = checks.positive_int("n", n, minimum=2, maximum=LARGEST)
    m = checks.positive_int("m", m, maximum=n * n)
    rng = np.random.default_rng(checks.positive_int("seed", seed, minimum=0))
    shown = np.zeros(n * n, bool)
    shown[rng.permutation(n * n)[:m]] = True
    return shown.reshape(n, n)


def complete(table: ArrayLike, shown: ArrayLike, rule: Rule = "additive") -> Completion:
    """Returns a table filled in from the cells that are shown.

    Args:
        table: all values; those that are not shown are not looked at.
        shown: which cells are shown, booleans (n, n), one or more.
        rule: how the others follow; see the module's text.

    Raises:
        ValueError: the table is no square of finite numbers or too large for the rule,
            no cell is shown, what follows is too large for a float, or there is no such
            rule.

    Example:
        >>> shown = [[True, True, False], [True, False, False], [False, False, True]]
        >>> found = complete(addition_table(3), shown)
        >>> found.known.astype(int).tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    checks.one_of("rule", rule, get_args(Rule))
    flags = _flags(shown)
    n = len(flags)
    values = np.asarray(real("table", table), float)
    checks.shape_of("table", values, (n, n), "(n, n)")
    if not flags.any():
        raise ValueError("shown must show one cell or more, got none.")
    checks.all_finite("the shown cells of table", values[flags])
    most = {"rank 2": LARGEST_CUBED, "digits": LARGEST}.get(rule, n)
    if n > most:
        raise ValueError(
            f"table must have at most {most:,} rows for the rule {rule!r}, got {n:,}."
        )
    values = np.where(flags, values, 0.0)
    # Products of very small or large numbers would leave the range of floats, and the
    # ridge of "rank 2" is for numbers of about 1 to 1,000. Powers of 2 round nothing.
    exponent = np.frexp(np.abs(values).max())[1]
    unit = exponent - np.clip(exponent, 1, 10)
    found, known = _completed(np.ldexp(values, -unit), flags, rule)
    with np.errstate(over="ignore"):
        found = np.ldexp(found, unit)
    if rule != "ratio":  # which divides by zeros that are shown
        checks.all_finite("the completed cells of table", found[known])
    return Completion(found, known)


def _completed(values: np.ndarray, flags: np.ndarray, rule: Rule) -> Completion:
    """Returns a table filled in by a rule."""
    if rule == "additive":
        return _additive(values, flags)
    if rule == "digits":
        return _by_features(values, flags, _digit_features(len(flags)))
    if rule == "rank 2":
        return _rank_two(values, flags)
    return _blocks(values, flags, ratio=rule == "ratio")


def components(shown: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns the number of the component of each row, and that of each column.

    Rows and columns are the nodes of a graph, and shown cells its edges.

    Raises:
        ValueError: `shown` is no square of booleans.
    """
    shown = _flags(shown)
    numbers = connected_components(_graph(shown), directed=False)[1]
    return numbers[: len(shown)], numbers[len(shown) :]


def _flags(shown: ArrayLike) -> Bool[np.ndarray, "n n"]:
    """Returns which cells are shown, and refuses what is no square of booleans."""
    flags = np.asarray(real("shown", shown))
    if flags.dtype != bool:
        raise ValueError(f"shown must hold booleans, got an array of {flags.dtype}.")
    n = len(flags) if flags.ndim else 0
    checks.shape_of("shown", flags, (n, n), "(n, n)")
    return flags


def _graph(shown: np.ndarray) -> coo_array:
    n = len(shown)
    rows, columns = np.nonzero(shown)
    ones = np.ones(len(rows), np.int8)
    return coo_array((ones, (rows, n + columns)), shape=(2 * n, 2 * n))


def _additive(values: np.ndarray, shown: np.ndarray) -> Completion:
    """Returns r_i + c_j, where each tree of shown cells says all but a constant."""
    n = len(shown)
    graph = (_graph(shown) + _graph(shown).T).tocsr()
    rows, columns = components(shown)
    numbers = np.concatenate([rows, columns])
    parts = np.zeros(2 * n)
    for root in np.unique(numbers, return_index=True)[1]:
        order, before = breadth_first_order(graph, root, directed=False)
        for node in order[1:]:
            row, column = sorted((node, before[node]))
            parts[node] = values[row, column - n] - parts[before[node]]
    known = rows[:, None] == columns[None]
    found = parts[:n, None] + parts[None, n:]
    return Completion(np.where(known, found, np.nan), known)


def _blocks(values: np.ndarray, shown: np.ndarray, *, ratio: bool) -> Completion:
    """Returns a table filled in from blocks of neighbours until nothing changes."""
    found, known = np.where(shown, values, np.nan), shown.copy()
    steps = [(down, right) for down in (-1, 1) for right in (-1, 1)]
    while True:
        before = known.sum()
        for down, right in steps:  # the unknown cell's neighbours, seen from it
            here, beside, above, across = _corners(len(known), down, right)
            new = ~known[here] & known[beside] & known[above] & known[across]
            with np.errstate(divide="ignore", invalid="ignore"):
                filled = (
                    found[beside] * found[above] / found[across]
                    if ratio
                    else found[beside] + found[above] - found[across]
                )
            found[here] = np.where(new, filled, found[here])
            known[here] |= new
        if known.sum() == before:
            return Completion(found, known)


def _corners(n: int, down: int, right: int) -> list[tuple[slice, slice]]:
    """Returns four views of a table: cells, and those beside, above and across them."""
    first, second = slice(0, n - 1), slice(1, n)
    rows = (first, second) if down > 0 else (second, first)
    columns = (first, second) if right > 0 else (second, first)
    return [
        (rows[0], columns[0]),
        (rows[0], columns[1]),
        (rows[1], columns[0]),
        (rows[1], columns[1]),
    ]


def one_hot_features(n: int) -> Float[np.ndarray, "cells features"]:
    """Returns the row and the column of every cell, one-hot, row by row.

    Least squares on them is the rule "additive".

    Raises:
        ValueError: n is below 2 or above 200.
    """
    n = checks.positive_int("n", n, minimum=2, maximum=LARGEST_CUBED)
    cells = np.arange(n * n)
    return np.concatenate([np.eye(n)[cells // n], np.eye(n)[cells % n]], axis=1)


def _digit_features(n: int) -> np.ndarray:
    """Returns the digits of the row and the column of every cell, one-hot."""
    digits = len(str(n - 1))
    numbers = np.arange(n)[:, None] // 10 ** np.arange(digits) % 10
    coded = np.eye(10)[numbers].reshape(n, -1)
    cells = np.arange(n * n)
    return np.concatenate([coded[cells // n], coded[cells % n]], axis=1)


def _by_features(
    values: np.ndarray, shown: np.ndarray, features: np.ndarray
) -> Completion:
    """Returns min-norm least squares; a cell is known if it is in the row space."""
    seen = shown.ravel()
    _, sizes, basis = np.linalg.svd(features[seen], full_matrices=False)
    basis = basis[sizes > TOLERANCE * sizes[0]]
    weights = np.linalg.lstsq(features[seen], values.ravel()[seen], rcond=TOLERANCE)[0]
    beside = features - features @ basis.T @ basis
    known = (np.abs(beside).max(axis=1) < 1e-6).reshape(shown.shape)
    found = (features @ weights).reshape(shown.shape)
    return Completion(np.where(known, found, np.nan), known)


def _rank_two(values: np.ndarray, shown: np.ndarray) -> Completion:
    """Returns U V', both (n, 2), after alternating least squares from a fixed start."""
    n = len(shown)
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, n, 2))
    weights = shown.astype(float)
    for _ in range(SWEEPS):
        u = _solved(v, weights, values)
        v = _solved(u, weights.T, values.T)
    known = shown | _fixed(u, v, shown)
    return Completion(np.where(known, u @ v.T, np.nan), known)


def _fixed(u: np.ndarray, v: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Returns which cells of U V' the shown ones hold in place, to first order."""
    n = len(shown)
    slopes = np.zeros((n, n, 2 * n, 2))  # of cell (i, j) by both factors
    every = np.arange(n)
    slopes[every, :, every] = v[None]
    slopes[:, every, n + every] = u[:, None]
    flat = slopes.reshape(n * n, -1)
    _, sizes, basis = np.linalg.svd(flat[shown.ravel()], full_matrices=False)
    basis = basis[sizes > 1e-7 * sizes[0]]
    beside = np.linalg.norm(flat - flat @ basis.T @ basis, axis=1)
    return (beside < 1e-5 * np.linalg.norm(flat, axis=1)).reshape(n, n)


def _solved(factor: np.ndarray, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns the other factor, each row fitted to the cells that are shown of it."""
    grams = np.einsum("ij,ja,jb->iab", weights, factor, factor)
    moments = np.einsum("ij,ja->ia", weights * values, factor)
    ridge = 1e-10 * np.eye(2)  # rows with fewer than two cells have no unique factor
    try:
        return np.linalg.solve(grams + ridge, moments[..., None])[..., 0]
    except np.linalg.LinAlgError:  # the ridge is rounded off beside large factors
        sizes = np.trace(grams, axis1=1, axis2=2)[:, None, None]
        grams = grams + ridge + 1e-15 * sizes * np.eye(2)
        return np.linalg.solve(grams, moments[..., None])[..., 0]
