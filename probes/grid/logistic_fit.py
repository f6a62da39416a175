"""Logistic regressions of many targets on the same features, fitted side by side.

The loss is scikit-learn's: the sum of -log p over prompts, each of which may have a
weight, plus the squares of the
coefficients, but not of the intercepts, over 2 C. For two classes p is the logistic
function of one score, and for K > 2 classes the softmax of K scores, whose
coefficients are all penalised.

Conjugate gradients minimise it (Minka 2003, "A comparison of numerical optimizers for
logistic regression", finds them the fastest). A step needs two products with the
features, which all targets share, and along its direction the second derivative is
known, so that Newton's method says how far to go. The preconditioner is the Cholesky
factor of X'X / 4 and the penalty, an upper bound of the Hessian of two classes
(Böhning and Lindsay 1988), which all targets share too. It is poor where probabilities
are near 0 and 1; a target that would need many more steps gets the factor of its own
Hessian, of each class by itself.

Shapes: Z (prompts, width) has a last column of ones; all else has the axes
(targets, rows, ...), with one row for two classes and K for K > 2.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float64, Int

Features = Float64[np.ndarray, "prompts width"]
Scores = Float64[np.ndarray, "targets rows prompts"]
Rows = Float64[np.ndarray, "targets rows width"]
Each = Float64[np.ndarray, " targets"]
Penalty = Float64[np.ndarray, " width"]
Weights = Float64[np.ndarray, " prompts"] | None

FLAT = 0.1
"""A step ends where the slope is no more than this share of that at its start."""

TRIALS = 30
"""The largest number of lengths that are tried for a step."""

WINDOW = 4
"""The number of steps from which the number of further steps is foreseen."""


class Fitted(NamedTuple):
    """Fitted logistic regressions.

    Attributes:
        weights: the coefficients of each score, and last its intercept.
        converged: whether the gradient came below the tolerance.
    """

    weights: Rows
    converged: Bool[np.ndarray, " targets"]


class Loss(NamedTuple):
    """The loss of some targets with one number of classes.

    Attributes:
        truth: for two classes -1 or 1, (targets, 1, prompts); for more 1 for the right
            class and 0 for others, (targets, classes, prompts).
        penalty: what squares of coefficients are multiplied with, twice: 1 / C; 0 for
            the intercept.
        weights: how much each prompt counts; None where all count alike.
    """

    truth: Scores
    penalty: Penalty
    weights: Weights = None

    @classmethod
    def of(
        cls,
        codes: Int[np.ndarray, "targets prompts"],
        classes: int,
        penalty: Penalty,
        weights: Weights = None,
    ) -> "Loss":
        """Makes the loss of labels that are coded as 0, 1, ..., classes - 1."""
        if classes == 2:
            return cls(2.0 * codes[:, None] - 1, penalty, weights)
        hot = codes[:, None] == np.arange(classes)[:, None]
        return cls(hot.astype(float), penalty, weights)

    def chances(self, scores: Scores) -> Scores:
        """Returns the probability of a class; for two, of the one that is wrong."""
        if self.truth.shape[1] == 1:
            with np.errstate(over="ignore"):
                return 1 / (1 + np.exp(self.truth * scores))
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def residuals(self, chances: Scores) -> Scores:
        """Returns the derivatives of the loss by the scores."""
        one = self.truth.shape[1] == 1
        found = -self.truth * chances if one else chances - self.truth
        return found if self.weights is None else found * self.weights

    def curvature(self, chances: Scores, moves: Scores) -> Each:
        """Returns the second derivatives as the scores move, without the penalty."""
        if self.truth.shape[1] == 1:
            bend = chances * (1 - chances)
            bend = bend if self.weights is None else bend * self.weights
            return np.einsum("tkp,tkp->t", bend, moves * moves)
        moved = chances * moves
        squares = np.square(moved.sum(axis=1))
        if self.weights is not None:
            squares, moved = squares * self.weights, moved * self.weights
        return np.einsum("tkp,tkp->t", moved, moves) - squares.sum(axis=1)

    def total(self) -> float:
        """Returns the number of prompts, or the sum of their weights."""
        if self.weights is None:
            return float(self.truth.shape[2])
        return float(self.weights.sum())

    def some(self, kept: np.ndarray) -> "Loss":
        """Returns the loss of some of the targets."""
        return self._replace(truth=self.truth[kept])


def shared_factor(features: Features, penalty: Penalty, weights: Weights = None) -> Any:
    """Returns the Cholesky factor of X'X / 4, weighted, and the penalty."""
    if weights is not None:
        features = features * np.sqrt(weights)[:, None]
    return _factor(features, penalty, 0.25)


class Preconditioner:
    """Divides gradients by an estimate of the Hessian of each row.

    Args:
        shared: the factor of that estimate, from `shared_factor`.
    """

    def __init__(self, shared: Any):
        self.shared = shared
        self.own: dict[int, list[Any]] = {}

    def solve(self, gradient: Rows, names: Int[np.ndarray, " targets"]) -> Rows:
        """Returns gradients that are divided; `names` says whose they are."""
        found = _solve(self.shared, gradient)
        for place, name in enumerate(names.tolist()):
            factors = self.own.get(name, [])
            for row, factor in enumerate(factors):
                found[place, row] = _solve(factor, gradient[place, row])
            # Scores that all rise alike change no probability: the best weights of
            # several classes sum to 0, and those after every step shall, too.
            if len(factors) > 1:
                found[place] -= found[place].mean(axis=0)
        return found

    def refresh(
        self,
        name: int,
        features: Features,
        chances: Float64[np.ndarray, "rows prompts"],
        loss: Loss,
    ) -> None:
        """Factors the Hessian of a target, of each class by itself."""
        bends = chances * (1 - chances)
        bends = bends if loss.weights is None else bends * loss.weights
        self.own[name] = [
            _factor(features * np.sqrt(row)[:, None], loss.penalty, 1.0)
            for row in bends
        ]


def _factor(features: Features, penalty: Penalty, share: float) -> Any:
    """Returns the Cholesky factor of share * Z'Z and the penalty."""
    products = features.T @ features
    products *= share
    diagonal = np.einsum("ii->i", products)
    # A little more, in case that rounding is all that some features have.
    diagonal += penalty + 1e-12 * diagonal.max() + np.finfo(float).tiny
    return scipy.linalg.cho_factor(products, overwrite_a=True, check_finite=False)


def _solve(factor: Any, gradient: np.ndarray) -> np.ndarray:
    flat = gradient.reshape(-1, gradient.shape[-1])
    found = scipy.linalg.cho_solve(factor, flat.T, check_finite=False)
    return np.asarray(found).T.reshape(gradient.shape)


class State(NamedTuple):
    """Where the targets stand that have not converged.

    Attributes:
        names: their indices.
        weights: coefficients and intercepts.
        scores: the scores of all prompts.
        chances: see `Loss.chances`.
        gradient: the derivatives of the loss by the weights.
        scaled: the same, divided by the preconditioner.
        direction: the direction of the next step.
    """

    names: Int[np.ndarray, " targets"]
    weights: Rows
    scores: Scores
    chances: Scores
    gradient: Rows
    scaled: Rows
    direction: Rows

    def some(self, kept: np.ndarray) -> "State":
        """Returns the state of some of the targets."""
        return State(*(values[kept] for values in self))


def fit(
    features: Features,
    loss: Loss,
    factor: Any,
    *,
    tol: float,
    max_iter: int,
) -> Fitted:
    """Minimises the losses of all targets.

    Args:
        features: the features, centred, and a column of ones.
        loss: the targets.
        factor: the `shared_factor` of these features and this penalty.
        tol: the largest derivative of the loss, per prompt (or unit of weight), at
            which a target has converged, as in scikit-learn.
        max_iter: the largest number of steps.
    """
    targets, rows, _ = loss.truth.shape
    count = loss.total()
    found = np.zeros((targets, rows, features.shape[1]))
    converged = np.zeros(targets, bool)
    preconditioner = Preconditioner(factor)
    state = _start(features, loss, preconditioner)
    sizes: list[Each] = []  # of the gradients of the last steps
    for _ in range(max_iter):
        state, moved = _step(features, loss, preconditioner, state)
        found[state.names] = state.weights
        size = abs(state.gradient).max(axis=(1, 2)) / count
        sizes.append(size)
        going = (size > tol) & moved
        converged[state.names] = size <= tol
        if not going.all():
            state, loss = state.some(going), loss.some(going)
            sizes = [each[going] for each in sizes]
        if not len(state.names):
            break
        slow = _are_slow(sizes, tol, features.shape[1])
        if slow.any():
            state = _refreshed(features, loss, preconditioner, state, slow)
            sizes = sizes[-1:]
    return Fitted(found, converged)


def _start(features: Features, loss: Loss, preconditioner: Preconditioner) -> State:
    """Returns the state at weights of 0."""
    names = np.arange(len(loss.truth))
    scores = np.zeros_like(loss.truth)
    chances = loss.chances(scores)
    gradient = _sums(loss.residuals(chances), features)
    scaled = preconditioner.solve(gradient, names)
    weights = np.zeros_like(gradient)
    return State(names, weights, scores, chances, gradient, scaled, -scaled)


def _step(
    features: Features, loss: Loss, preconditioner: Preconditioner, state: State
) -> tuple[State, np.ndarray]:
    """Returns the state after a step, and whether there was one."""
    moves = _sums(state.direction, features.T)
    length, scores, chances = _search(loss, state, moves)
    weights = state.weights + length[:, None, None] * state.direction
    gradient = _sums(loss.residuals(chances), features) + loss.penalty * weights
    change = gradient - state.gradient
    scaled = preconditioner.solve(gradient, state.names)
    # Hestenes and Stiefel's formula; 0 begins anew.
    bend = _dot(change, state.direction)
    share = _dot(change, scaled) / np.where(bend > 0, bend, np.inf)
    direction = np.maximum(share, 0)[:, None, None] * state.direction - scaled
    uphill = _dot(direction, gradient) >= 0
    direction[uphill] = -scaled[uphill]
    new = State(state.names, weights, scores, chances, gradient, scaled, direction)
    return new, length > 0


def _search(loss: Loss, state: State, moves: Scores) -> tuple[Each, Scores, Scores]:
    """Returns how far to go, with the scores and probabilities there.

    The loss is convex: its slope only rises. Newton's method finds where it is flat,
    within the bounds between which it changes its sign.
    """
    resistance = _dot(loss.penalty * state.direction, state.direction)
    pull = _dot(loss.penalty * state.weights, state.direction)
    first = _dot(state.gradient, state.direction)
    length, low = np.zeros(len(first)), np.zeros(len(first))
    slope, high, going = first, np.full(len(first), np.inf), first < 0
    scores, chances = state.scores, state.chances
    for _ in range(TRIALS):
        if not going.any():
            break
        low, high = np.where(slope < 0, length, low), np.where(slope > 0, length, high)
        rising = loss.curvature(chances, moves) + resistance
        wanted = length - slope / np.where(rising > 0, rising, np.inf)
        middle = np.where(np.isfinite(high), (low + high) / 2, 2 * low + 1)
        inside = (wanted > low) & (wanted < high)
        length = np.where(going, np.where(inside, wanted, middle), length)
        scores = state.scores + length[:, None, None] * moves
        chances = loss.chances(scores)
        slope = _dot(loss.residuals(chances), moves) + pull + length * resistance
        going = going & (abs(slope) > FLAT * abs(first))
    return length, scores, chances


def _are_slow(sizes: list[Each], tol: float, width: int) -> Bool[np.ndarray, " _"]:
    """Returns which targets need so many more steps that a better factor is worth it.

    The factor of a Hessian takes as long as about width / 32 steps, and a few more
    steps are needed with it.
    """
    if len(sizes) <= WINDOW:
        return np.zeros(len(sizes[-1]), bool)
    rate = np.log(sizes[-1 - WINDOW] / sizes[-1]) / WINDOW
    left = np.log(sizes[-1] / tol)
    return left > np.maximum(rate, 0) * (width / 32 + WINDOW)


def _refreshed(
    features: Features,
    loss: Loss,
    preconditioner: Preconditioner,
    state: State,
    slow: np.ndarray,
) -> State:
    """Returns the state with preconditioners of their own for slow targets."""
    for place in np.flatnonzero(slow):
        name = int(state.names[place])
        preconditioner.refresh(name, features, state.chances[place], loss)
    scaled = preconditioner.solve(state.gradient, state.names)
    direction = np.where(slow[:, None, None], -scaled, state.direction)
    return state._replace(scaled=scaled, direction=direction)


def _sums(values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Returns values @ matrix, as one product for all targets."""
    flat = values.reshape(-1, values.shape[2]) @ matrix
    return flat.reshape(*values.shape[:2], -1)


def _dot(one: np.ndarray, other: np.ndarray) -> Each:
    """Returns the sum of products for each target."""
    return np.einsum("tkp,tkp->t", one, other)
