"""What does one layer of linear attention learn, how fast, and how well does it do?

Take pairs with x ~ N(0, C) and labels w.x with w ~ N(0, I), without noise. A layer of
linear attention that has been trained on contexts of N such pairs predicts

    x_q' G (1/M) sum_i y_i x_i,    G^-1 = (1 + 1/N) C + (tr C / N) I

from any M pairs: a step of gradient descent whose preconditioner G knows the training
length (Zhang, Frei and Bartlett 2024, JMLR 25:49, Theorem 4.1). For M pairs whose
inputs have the covariance T and a query with covariance Q, S = X'X has the moments
E S = M T and E S^2 = M (M + 1) T^2 + M tr(T) T, so that the risk of *any* matrix G is

    tr Q - 2 tr(Q G T) + tr(Q G [(1 + 1/M) T^2 + tr(T) T / M] G').

On the way there, a layer with separate keys and queries of rank one per head and small
initial weights learns one principal component after the other (Zhang, Singh, Latham and
Saxe 2025, ICML): its loss stays on plateaus, and the m-th is the risk of the G that
acts on the m largest eigenvalues alone. With keys and queries merged into one matrix
all are learnt in a single drop.

Losses are mean squared errors, not halved.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

from icl import checks
from icl.arrays import real, shown

Matrix = Float[np.ndarray, "dim dim"]


class LossDrop(NamedTuple):
    """The first drop of the loss of a layer that starts at small weights.

    Attributes:
        rate: how fast the weights of a layer with merged keys and queries grow at
            first: by exp(rate * t), where t is the time of gradient flow on the mean
            squared error.
        depth: the loss before the drop of a layer with separate keys and queries, minus
            the loss behind it: the first step of the staircase.
    """

    rate: float
    depth: float


def trained_layer(covariance: Float[ArrayLike, "..."], pairs: int) -> Matrix:
    """Returns G, the preconditioner that a trained layer has, (dim, dim).

    $$G⁻¹ = (1 + 1/N) C + (tr C / N) I$$

    Args:
        covariance: C, that of x in training, (dim, dim), or (dim,) for a diagonal one.
        pairs: the number N of pairs of a context in training.

    Raises:
        ValueError: the covariance is not symmetric positive definite, or pairs is below
            1.

    Example:
        >>> trained_layer([1.0, 1.0], pairs=1).tolist()
        [[0.25, 0.0], [0.0, 0.25]]
    """
    matrix = _covariance("covariance", covariance)
    pairs = checks.positive_int("pairs", pairs)
    return np.linalg.inv(_curvature(matrix, pairs))


def layer_risk(
    layer: Float[ArrayLike, "dim dim"],
    covariance: Float[ArrayLike, "..."],
    pairs: int | float,
    *,
    query_covariance: Float[ArrayLike, "..."] | None = None,
) -> float:
    """Returns the mean squared error of x_q' G (1/M) X'y.

    $$tr Q - 2 tr(Q G T) + tr(Q G ((1 + 1/M) T² + tr(T) T / M) G')$$

    Args:
        layer: G, such as `trained_layer` returns or a model has learnt; any matrix.
        covariance: T, that of the inputs of the context, (dim, dim), or (dim,) for a
            diagonal one.
        pairs: the number M of pairs in the context, which may be infinite.
        query_covariance: Q, that of the query; None is that of the context.

    Raises:
        ValueError: a matrix has another shape, a covariance is not symmetric positive
            definite, or pairs is below 1.

    Example:
        >>> layer = trained_layer(np.ones(10), pairs=10)
        >>> round(layer_risk(layer, np.ones(10), pairs=10) / 10, 4)
        0.5238
        >>> round(layer_risk(layer, np.ones(10), pairs=math.inf) / 10, 4)
        0.2744
    """
    context = _covariance("covariance", covariance)
    sizes, axes = context.shape, "(dim, dim)"
    g = np.asarray(checks.array("layer", layer, sizes, axes), float)
    if not (isinstance(pairs, float) and pairs == math.inf):
        pairs = checks.positive_int("pairs", pairs)
    query = context
    if query_covariance is not None:
        query = _covariance("query_covariance", query_covariance)
        checks.shape_of("query_covariance", query, sizes, axes)
    seen = context @ _curvature(context, pairs)
    risk = np.trace(query) - 2 * np.trace(query @ g @ context)
    return float(risk + np.trace(query @ g @ seen @ g.T))


def plateaus(
    eigenvalues: Float[ArrayLike, " dim"], pairs: int
) -> Float[np.ndarray, " levels"]:
    """Returns the levels of the loss on its way down, (dim + 1,), from high to low.

    Level m is

    $$tr C - ∑_{i≤m} λ_i² / ((1 + 1/N) λ_i + tr C / N)$$

    Here λ_1 >= λ_2 >= ... are the eigenvalues of C. Equal eigenvalues are learnt one
    after the other, but their plateaus look alike.

    Args:
        eigenvalues: those of the covariance of x.
        pairs: the number N of pairs of a context.

    Raises:
        ValueError: an eigenvalue is not above 0, or pairs is below 1.

    Example:
        >>> plateaus([4.0, 2.0, 1.0, 0.5], pairs=32).round(3).tolist()
        [7.5, 3.83, 2.088, 1.298, 0.965]
    """
    values = _eigenvalues(eigenvalues)
    pairs = checks.positive_int("pairs", pairs)
    gains = values**2 / ((1 + 1 / pairs) * values + values.sum() / pairs)
    return values.sum() - np.concatenate([[0.0], np.cumsum(gains)])


def first_drop(eigenvalues: Float[ArrayLike, " dim"], pairs: int) -> LossDrop:
    """Returns how fast a layer leaves its first plateau, and how deep it falls.

    With a value v and merged keys and queries U, the prediction is v x_q' U (1/N) X'y.
    Near 0, gradient flow on the mean squared error is

    $$dU/dt = 2v C²,  dv/dt = 2 tr(U C²)$$

    Its fastest direction grows with the rate 2 |C^2|, the Frobenius norm. It takes U to
    C^2, all directions at once, so that the loss drops once.

    Args:
        eigenvalues: those of the covariance of x.
        pairs: the number N of pairs of a context.

    Raises:
        ValueError: an eigenvalue is not above 0, or pairs is below 1.

    Example:
        >>> drop = first_drop([2.0], pairs=1)
        >>> drop.rate, round(drop.depth, 4)
        (8.0, 0.6667)
    """
    values = _eigenvalues(eigenvalues)
    before, behind = plateaus(values, pairs)[:2]
    rate = 2 * np.linalg.norm(values**2)
    return LossDrop(float(rate), float(before - behind))


def _curvature(covariance: Matrix, pairs: int | float) -> Matrix:
    """Returns (1 + 1/N) C + (tr C / N) I, so that E S^2 / N^2 = C times it."""
    identity = np.eye(len(covariance))
    return (1 + 1 / pairs) * covariance + np.trace(covariance) / pairs * identity


def _eigenvalues(eigenvalues: object) -> np.ndarray:
    """Returns eigenvalues from large to small, or raises a `ValueError`."""
    found = checks.array("eigenvalues", eigenvalues, (None,), "(dim,)")
    values = np.sort(np.asarray(found, float))[::-1]
    if not len(values) or values[-1] <= 0:
        raise ValueError(
            f"eigenvalues must be above 0, at least one of them, got {values.tolist()}."
        )
    return values


def _covariance(name: str, covariance: object) -> Matrix:
    found = np.asarray(real(name, covariance))
    matrix = np.diag(found) if found.ndim == 1 else found
    size = len(matrix) if matrix.ndim else None
    matrix = np.asarray(
        checks.array(name, matrix, (size, size), "(dim, dim) or (dim,)"), float
    )
    symmetric = np.allclose(matrix, matrix.T)
    if not matrix.size or not symmetric or np.linalg.eigvalsh(matrix).min() <= 0:
        raise ValueError(
            f"{name} must be symmetric and positive definite, with eigenvalues above "
            f"0, got {shown(covariance)}."
        )
    return matrix
