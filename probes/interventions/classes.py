"""The edit of hidden states after which a linear classifier reads given labels.

A probe reads the class c in a state h if the score of c exceeds that of every other
class. The least change d that brings this about by a margin m solves

    min |d|^2   subject to   (b_c - b_j)(h + d) + a_c - a_j >= m   for all j != c,

where b_j and a_j are the coefficients and the intercept of class j. With A the
rows b_c - b_j, and r what the states lack of the margin, d = A'u, where u >= 0
minimises |A'u|^2 / 2 - u'r: a problem of non-negative least squares (Lawson and Hanson
1974, "Solving least squares problems", chapter 23).
"""

import sys
from typing import Any

import numpy as np
import scipy.optimize
from jaxtyping import Float, Float64, Int
from numpy.typing import ArrayLike

from probes import checks
from probes.arrays import is_jax, real, shown, unit_size
from probes.interventions.states import (
    closed,
    covariance_root,
    intercept_of,
    is_traced,
    matrix,
    opened,
)
from probes.label_checks import real_labels


def write_class(
    hidden: Float[Any, "*axes features"],
    coef: ArrayLike,
    intercept: ArrayLike,
    labels: Any,
    classes: Any,
    *,
    margin: float = 1.0,
    covariance: ArrayLike | None = None,
) -> Float[Any, "*axes features"]:
    """Makes the least change after which a linear classifier reads given labels.

    A state that the probe reads so already, by the margin, stays as it is.

    Args:
        hidden: hidden states; under `jax.jit` they cannot be edited so.
        coef: coefficients of the classifier as scikit-learn has them, a row of features
            for each class, (classes, features); for two classes a single row, whose
            score is above 0 for the second.
        intercept: intercept of the classifier, a number for each row of `coef`.
        labels: what the probe shall read: a single label for all states, or labels with
            the axes of `hidden` but the last; an axis of length 1 serves all states.
        classes: all labels, in the order of the rows of `coef`, as `classes_` of a
            fitted classifier.
        margin: by how much the score of the class exceeds that of any other (with two
            classes, 0): the least log-odds of logistic regression. The states of a
            ridge classifier score about 1 for their class and -1 for others.
        covariance: covariance of the states, (features, features). Without it, the
            change d has the least Euclidean norm. With it, d has the least
            d' covariance^-1 d, as in `write`.

    Returns:
        The edited states, in the shape and dtype of `hidden`.

    Raises:
        ValueError: shapes that do not match, NaN or infinity in what is known
            beforehand, labels that are not among the classes, classes whose scores
            determine each other, a margin that is not above 0, traced states.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> states = np.random.default_rng(0).normal(size=(60, 4))
        >>> kind = np.array(["a", "b", "c"])[(states[:, :2] > 0).sum(axis=1)]
        >>> probe = LogisticRegression().fit(states, kind)
        >>> reads = probe.coef_, probe.intercept_
        >>> edited = write_class(states, *reads, "b", probe.classes_)
        >>> np.unique(probe.predict(edited)).tolist()
        ['b']
    """
    coef, intercept = real("coef", coef), real("intercept", intercept)
    if coef.ndim == 1:  # as a ridge classifier of two classes has it
        coef, intercept = coef[None], np.atleast_1d(intercept)
    coef = matrix("coef", coef, "(classes, features)")
    with np.errstate(over="ignore"):
        if not np.isfinite(np.square(np.asarray(coef, float)).sum()):
            raise ValueError("coef must hold numbers whose squares float64 holds.")
    intercept = intercept_of(intercept, len(coef))
    states = opened("hidden", hidden)
    if states.shape[-1] != coef.shape[1]:
        raise ValueError(
            f"coef must have a column for each of the {states.shape[-1]} features of "
            f"hidden, got shape {coef.shape}."
        )
    if is_traced(states):
        raise ValueError(
            "hidden must be known where a class is written; call write_class outside "
            "of jax.jit."
        )
    states = np.asarray(states, float)
    known = _classes(classes, len(coef))
    codes = _codes(labels, known, states.shape[:-1])
    margin = checks.number("margin", margin)
    if margin <= 0:
        raise ValueError(f"margin must be above 0, got {shown(margin)}.")
    if len(coef) == 1:  # two classes: the first has the opposite score, by halves
        coef, intercept = (
            np.vstack([-coef, coef]) / 2,
            np.array([-1, 1]) * intercept / 2,
        )
    root = np.eye(coef.shape[1])
    if covariance is not None:
        root = covariance_root(covariance, coef.shape[1])
    edited = states.copy()
    for code in np.unique(codes):
        chosen = codes == code
        rows = np.delete(coef[code] - coef, code, axis=0)
        ahead = states[chosen] @ rows.T + np.delete(intercept[code] - intercept, code)
        edited[chosen] += _shortest(rows @ root, margin - ahead) @ root.T
    if is_jax(hidden):
        edited = sys.modules["jax"].numpy.asarray(edited)
    return closed("hidden", edited, hidden)


def _classes(classes: Any, rows: int) -> list[Any]:
    """Returns the labels of the classes, as many as the rows of coef stand for."""
    known = real_labels("classes", classes)
    count = 2 if rows == 1 else rows
    if known.shape != (count,) or len(np.unique(known)) < count:
        raise ValueError(
            f"classes must be {count} different labels for a coef of {rows} rows, got "
            f"{shown(known.tolist())}."
        )
    return known.tolist()


def _codes(
    labels: Any, known: list[Any], axes: tuple[int, ...]
) -> Int[np.ndarray, "*axes"]:
    """Returns for every state which of the classes is written."""
    wanted = real_labels("labels", labels)
    unknown = [label for label in wanted.ravel().tolist() if label not in known]
    if unknown:
        raise ValueError(
            f"labels must be among the classes {shown(known)}, got {shown(unknown[0])}."
        )
    codes = np.reshape([known.index(x) for x in wanted.ravel().tolist()], wanted.shape)
    fits = codes.ndim in (0, len(axes))
    pairs = zip(codes.shape, axes, strict=False)
    if not fits or any(size not in (1, axis) for size, axis in pairs):
        raise ValueError(
            f"labels must be one label, or have shape {axes} (or 1s) for these hidden, "
            f"got shape {codes.shape}."
        )
    return np.broadcast_to(codes, axes)


def _shortest(
    rows: Float64[np.ndarray, "others features"],
    lacking: Float64[np.ndarray, "states others"],
) -> Float64[np.ndarray, "states features"]:
    """Returns for each state the shortest change d with rows @ d >= lacking.

    A state with NaN or infinity is not changed.
    """
    rows, exponents = unit_size(rows)  # whose squares do not vanish
    lacking = np.ldexp(lacking, -exponents)
    rank = np.linalg.matrix_rank(rows)
    if rank < len(rows):
        raise ValueError(
            f"coef must tell {len(rows) + 1} classes apart, but their scores differ in "
            f"only {rank} independent ways (in directions that covariance knows, if it "
            "is given), so that not every class can be written; leave classes out, or "
            "write fewer of them."
        )
    lacking = np.where(np.isfinite(lacking).all(axis=1, keepdims=True), lacking, 0.0)
    if len(rows) == 1:
        return np.maximum(lacking, 0) * rows / np.square(rows).sum()
    # With A' = QR, |A'u|^2 / 2 - u'r is |Ru - R'^-1 r|^2 / 2 but for a constant.
    basis, factor = np.linalg.qr(rows.T)
    sides = np.linalg.solve(factor.T, lacking.T).T
    changes = np.zeros((len(lacking), rows.shape[1]))
    for state in np.flatnonzero((lacking > 0).any(axis=1)):
        weights, _ = scipy.optimize.nnls(factor, sides[state])
        changes[state] = basis @ (factor @ weights)
    return changes
