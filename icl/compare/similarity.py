"""Do two learners err in the same direction, and at which step is each layer?

Fu et al. 2024 (arXiv 2310.17086) read an answer out of every layer of a transformer,
and ask which step of an iteration it is most similar to. Two learners are similar if
their errors over a prompt point in the same direction (SimE), or their weights do
(SimW): a cosine, so that how far each is from the answer does not count.

Draw a floor beside it, because learners share most of their error where the context is
short: predicting 0 has a SimE of about .5 with least squares (d = 20, n = 40), and each
iterate of Newton's iteration has one of gradient descent above .98. So a similarity
cannot say which of the two a model runs. How fast the best step grows with the layer
can: `best_match` finds it, and `progress` fits a line.

Shapes: predictions (batch, length), weights (batch, length, dim). Axes in front of
them, such as those of layers and of steps, are crossed: (layers, batch, length) beside
(steps, batch, length) gives (layers, steps, batch).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Int, Real

from icl import checks
from icl.arrays import real, shown

ROUND_OFF = 1e-5
"""The size of errors that float32 cannot tell from 0, as a share of that of labels."""

Contexts = Sequence[int] | Int[np.ndarray, " contexts"] | None


class Match(NamedTuple):
    """The step of an iteration that a layer is most similar to.

    Attributes:
        step: the step, by layer.
        similarity: how similar the layer is to it.
    """

    step: Float[np.ndarray, "*axes layers"]
    similarity: Float[np.ndarray, "*axes layers"]


class Progress(NamedTuple):
    """A line through the best steps of the middle half of the layers.

    Attributes:
        slope: the number of steps that a layer is ahead of the one before it.
        r2: the share of the variance of these steps that the line explains: 1 is steady
            progress. It is 0 where all layers are at one step.
    """

    slope: Float[np.ndarray, "*axes"]
    r2: Float[np.ndarray, "*axes"]


def error_similarity(
    a: Float[ArrayLike, "*many batch length"],
    b: Float[ArrayLike, "*others batch length"],
    labels: Float[ArrayLike, "batch length"],
    *,
    contexts: Contexts = None,
) -> Float[np.ndarray, "*axes batch"]:
    """Returns the cosine of the errors of two learners, for each prompt (SimE).

    $$(a - y)·(b - y) / (‖a - y‖ ‖b - y‖)$$

    Here a, b and the labels y are vectors over the contexts of a prompt. Predictions of
    0 in the place of `b` give the floor of `a`.

    Args:
        a: predictions of one learner, or of several in front, such as layers.
        b: predictions of another, or of several.
        labels: what is predicted.
        contexts: the context lengths that count; None is all, as in the released code.

    Returns:
        The cosines, (batch,) with the axes in front of a and then those of b. They are
        NaN for a prompt that a learner answers up to the round-off of float32: nothing
        has no direction.

    Raises:
        ValueError: shapes disagree, a number is not finite, or there is no such
            context length.

    Example:
        >>> labels = np.array([[1.0, 2.0]])
        >>> error_similarity(0 * labels, [[0.5, 1.0]], labels).round(3).tolist()
        [1.0]
    """
    truth = checks.array("labels", labels, (None,) * 2, "(batch, length)")
    if not np.size(truth):
        raise ValueError(f"labels must not be empty, got shape {np.shape(truth)}.")
    right = _chosen(np.asarray(truth, float), contexts, axis=1)
    scale = np.linalg.norm(right, axis=-1)
    directions = []
    for name, predictions in (("a", a), ("b", b)):
        axes = "(..., batch, length), as labels"
        found = _with_axes_in_front(name, predictions, np.shape(truth), axes)
        errors = _chosen(found, contexts, axis=found.ndim - 1) - right
        sizes = np.linalg.norm(errors, axis=-1, keepdims=True)
        known = sizes > ROUND_OFF * scale[:, None]
        directions.append(errors / np.where(known, sizes, np.nan))
    return _crossed(*directions)


def weight_similarity(
    a: Float[ArrayLike, "*many batch length dim"],
    b: Float[ArrayLike, "*others batch length dim"],
    *,
    contexts: Contexts = None,
) -> Float[np.ndarray, "*axes batch"]:
    """Returns the mean cosine of the weights of two learners, for each prompt (SimW).

    Weights of a model are those that `implied_weights` fits to its predictions. It is
    the mean over contexts of the cosine after each of them.

    Args:
        a: weights after every context of one learner, or of several in front.
        b: weights of another, or of several.
        contexts: the context lengths that count; None is all from one pair on, because
            no learner knows anything before that.

    Returns:
        The means, (batch,) with the axes in front of a and then those of b; NaN for a
        prompt after some context of which the weights are 0.

    Raises:
        ValueError: shapes disagree, a number is not finite, or there is no such
            context length.

    Example:
        >>> w = np.array([[[0.0, 0.0], [1.0, 1.0]]])
        >>> weight_similarity(w, w[..., ::-1] * [2.0, 0.0]).round(3).tolist()
        [0.707]
    """
    axes = "(..., batch, length, dim), as a"
    first = _with_axes_in_front("a", a, (None,) * 3, "(..., batch, length, dim)")
    other = _with_axes_in_front("b", b, first.shape[-3:], axes)
    if contexts is None:
        contexts = np.arange(1, first.shape[-2])
    units = []
    for weights in (first, other):
        chosen = _chosen(weights, contexts, axis=weights.ndim - 2)
        sizes = np.linalg.norm(chosen, axis=-1, keepdims=True)
        unit = chosen / np.where(sizes > 0, sizes, np.nan)
        units.append(unit.reshape(*unit.shape[:-2], -1))
    return _crossed(*units) / len(contexts)


def best_match(
    similarity: Float[ArrayLike, "*axes layers steps"],
    steps: Real[ArrayLike, " steps"],
) -> Match:
    """Returns the step that each layer is most similar to.

    Args:
        similarity: the mean similarity of each layer and each step; NaN where there is
            none. Axes in front, such as resamples, are kept.
        steps: the numbers of steps.

    Raises:
        ValueError: there are not as many steps as similarities, or a layer has none.

    Example:
        >>> match = best_match([[0.5, 0.9, 0.7], [0.2, 0.3, 0.8]], [1, 2, 4])
        >>> match.step.tolist(), match.similarity.tolist()
        ([2.0, 4.0], [0.9, 0.8])
    """
    numbers = checks.array("steps", steps, (None,), "(steps,)")
    found = np.asarray(real("similarity", similarity), float)
    if found.ndim < 2 or found.shape[-1] != len(numbers) or not found.size:
        raise ValueError(
            f"similarity must have axes (..., layers, {len(numbers)} steps), got shape "
            f"{found.shape}."
        )
    known = np.where(np.isfinite(found), found, -np.inf)
    if np.isinf(known).all(axis=-1).any():
        raise ValueError("similarity must not be NaN at every step of a layer.")
    at = known.argmax(axis=-1)
    return Match(np.asarray(numbers, float)[at], known.max(axis=-1))


def middle_layers(layers: int) -> slice:
    """Returns the middle half of `layers` numbers, which begin with the embedding.

    First layers bring x and y together, and the last ones have arrived.

    Example:
        >>> np.arange(13)[middle_layers(13)].tolist()  # of the embedding and 12 layers
        [3, 4, 5, 6, 7, 8, 9]
    """
    layers = checks.positive_int("layers", layers)
    return slice((layers - 1) // 4, layers - (layers - 1) // 4)


def progress(steps: Real[ArrayLike, "*axes layers"]) -> Progress:
    """Fits a line to the best steps of the middle half of the layers.

    Newton's iteration has a line in its number of iterations, and gradient descent in
    the logarithm of its number of steps: take it before.

    Args:
        steps: the best step of each layer, the embedding first; axes in front, such as
            resamples, are kept.

    Raises:
        ValueError: there are fewer than three layers, or a number is not finite.

    Example:
        >>> line = progress([0.0, 0.0, 3.0, 6.0, 9.0, 9.0])
        >>> float(line.slope.round(3)), float(line.r2.round(3))
        (3.0, 1.0)
    """
    found = np.asarray(real("steps", steps), float)
    checks.all_finite("steps", found)
    if found.ndim and found.shape[-1]:
        found = found[..., middle_layers(found.shape[-1])]
    if not found.size or not found.ndim or found.shape[-1] < 3:
        raise ValueError(
            "steps must be those of three layers or more, the embedding first, so that "
            f"there is a line, got {shown(steps)}."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.arange(found.shape[-1]) - (found.shape[-1] - 1) / 2
        around = found - found.mean(axis=-1, keepdims=True)
        slope = (around * x).sum(axis=-1) / (x**2).sum()
        total = (around**2).sum(axis=-1)
        explained = slope**2 * (x**2).sum()
        r2 = explained / np.where(total > 0, total, 1.0)
    if not np.isfinite(r2).all():
        raise ValueError("steps are so large that their squares overflow.")
    return Progress(np.asarray(slope), np.asarray(r2))


def _with_axes_in_front(
    name: str, values: object, sizes: tuple[int | None, ...], axes: str
) -> np.ndarray:
    """Returns finite numbers whose last axes have these sizes."""
    found = np.asarray(real(name, values), float)
    inner = found.shape[max(found.ndim - len(sizes), 0) :]
    checks.shape_of(name, np.empty(inner), sizes, axes)
    checks.all_finite(name, found)
    return found


def _chosen(values: np.ndarray, contexts: Contexts, axis: int) -> np.ndarray:
    """Returns values at some context lengths only."""
    if contexts is None:
        return values
    found = np.asarray(real("contexts", contexts))
    length = values.shape[axis]
    whole = found.ndim == 1 and found.size and found.dtype.kind in "iu"
    if not whole or found.min() < 0 or found.max() >= length:
        raise ValueError(
            f"contexts must be context lengths from 0 to {length - 1}, such as [1, 2], "
            f"got {shown(contexts)}."
        )
    return values.take(found, axis=axis)


def _crossed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns inner products of each of a with each of b, (*many, *others, batch)."""
    batch, size = a.shape[-2:]
    found = np.einsum(
        "mbl,obl->mob", a.reshape(-1, batch, size), b.reshape(-1, batch, size)
    )
    return found.reshape(*a.shape[:-2], *b.shape[:-2], batch)
