"""What probability did each scale give to what was right, and to what was wrong?

- `LogProbabilities`: of the right characters of an answer.
- `Choices`: of each option of a question, of which one is right. The grade of multiple
  choice is 1 where the right option is the most probable one, and is a threshold; the
  mean log-probabilities and Brier's score are smooth.

Nothing here runs a model: every metric is a reduction of one array.

Shapes: (scale, prompt, query), and (scale, prompt, query, option) for options.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike, Float, Shaped

from icl import checks
from icl.arrays import real
from icl.emergence.curves import Curve, finite_scores, increasing
from icl.emergence.outcomes import outcomes

ONE = 1e-4
"""How far probabilities may be from a sum of 1: float32 over many options."""


@dataclass(frozen=True, eq=False)
class LogProbabilities:
    """Natural logarithms of the probability of what was right.

    Attributes:
        scale: what grows, in increasing order.
        values: the log-probabilities of the right characters, (scale, prompt, query).

    Raises:
        ValueError: values above 0, another shape, scales that do not increase.

    Example:
        >>> p = [[[0.1, 0.1]], [[0.5, 1]], [[1, 1]]]
        >>> found = LogProbabilities([1, 2, 3], np.log(p))
        >>> found.answer().values.round(3).tolist()
        [-4.605, -0.693, 0.0]
    """

    scale: Shaped[np.ndarray, " scale"]
    values: Shaped[np.ndarray, "scale prompt query"]

    def __post_init__(self) -> None:
        scale = increasing("scale", self.scale)
        found = outcomes("values", self.values, scale)
        if (found > ONE).any():
            raise ValueError(
                f"values must be at most 0, as logarithms of probabilities are, got "
                f"{found.max():g}; take the logarithm, or the negative of a loss."
            )
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "values", np.minimum(found, 0.0))

    def per_character(self) -> Curve:
        """Returns the mean log-probability of a character."""
        return Curve(self.scale, self.values.mean(axis=2))

    def answer(self) -> Curve:
        """Returns the log-probability of a whole answer, the sum of its characters'."""
        return Curve(self.scale, self.values.sum(axis=2))


@dataclass(frozen=True, eq=False)
class Choices:
    """Log-probabilities of the options of questions.

    Attributes:
        scale: what grows, in increasing order.
        log_probabilities: natural logarithms, (scale, prompt, query, option).
        right: the index of the right option, one for all or (prompt, query).

    Raises:
        ValueError: fewer than two options, probabilities that do not sum to 1, an index
            that is none of the options.

    Example:
        >>> p = np.array([[0.4, 0.6], [0.6, 0.4], [0.9, 0.1]])[:, None, None]
        >>> choices = Choices([1, 2, 3], np.log(p))
        >>> choices.accuracy().values.tolist()
        [0.0, 1.0, 1.0]
        >>> choices.brier().average.round(2).tolist()
        [0.72, 0.32, 0.02]
    """

    scale: Shaped[np.ndarray, " scale"]
    log_probabilities: Shaped[np.ndarray, "scale prompt query option"]
    right: int | Shaped[np.ndarray, "prompt query"] = 0

    def __post_init__(self) -> None:
        scale = increasing("scale", self.scale)
        logs = _options("log_probabilities", self.log_probabilities)
        finite_scores(
            "log_probabilities", np.nan_to_num(logs, nan=np.nan, neginf=0), scale
        )
        sums = np.exp(logs).sum(axis=-1)
        if (logs > ONE).any() or np.abs(sums - 1).max() > ONE:
            raise ValueError(
                "log_probabilities must be logarithms of probabilities that sum to 1 "
                f"over the options, got sums from {sums.min():g} to {sums.max():g}; "
                "normalise them over the options."
            )
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "log_probabilities", logs)
        object.__setattr__(self, "right", _indices(self.right, logs.shape))

    @classmethod
    def from_probabilities(
        cls,
        scale: Shaped[ArrayLike, " scale"],
        probabilities: Shaped[ArrayLike, "scale prompt query option"],
        right: int | Shaped[ArrayLike, "prompt query"] = 0,
    ) -> "Choices":
        """Returns the choices of probabilities.

        Raises:
            ValueError: probabilities outside [0, 1], or that do not sum to 1.
        """
        found = _options("probabilities", probabilities)
        sums = found.sum(axis=-1)
        inside = (found >= 0).all() and (found <= 1 + ONE).all()
        if not inside or not np.abs(sums - 1).max() <= ONE:
            raise ValueError(
                "probabilities must lie in [0, 1] and sum to 1 over the options, got "
                f"values from {found.min():g} to {found.max():g} and sums from "
                f"{sums.min():g} to {sums.max():g}."
            )
        with np.errstate(divide="ignore"):
            logs = np.log(found)
        return cls(increasing("scale", scale), logs, _indices(right, found.shape))

    @classmethod
    def from_predictions(
        cls,
        scale: Shaped[ArrayLike, " scale"],
        predictions: Shaped[ArrayLike, "scale prompt query"],
        candidates: Shaped[ArrayLike, "prompt query option"],
        *,
        variance: float = 1.0,
        spread: float = 0.1,
    ) -> "Choices":
        """Returns the choice of a regression among candidates, of which the first is y.

        The probability of a candidate c is proportional to exp(-(prediction - c)^2 /
        (2 s^2)).

        Args:
            scale: what grows.
            predictions: at every query.
            candidates: the label, and other values that it could have had.
            variance: the variance of the labels.
            spread: s^2 in units of the variance.
        """
        grown = increasing("scale", scale)
        found = outcomes("predictions", predictions, grown)
        axes = "(prompt, query, option)"
        wanted = (*found.shape[1:], None)
        others = checks.array("candidates", candidates, wanted, axes)
        others = _options("candidates", np.asarray(others, dtype=float)[None])[0]
        s2 = checks.finite_number("variance", variance, positive=True)
        s2 *= checks.finite_number("spread", spread, positive=True)
        with np.errstate(over="ignore"):
            logits = -((found[..., None] - others) ** 2) / (2 * s2)
        if not np.isfinite(logits).all():
            raise ValueError(
                "predictions and candidates must be so near to each other that the "
                "squares of their distances are finite, got some that are not."
            )
        logits -= logits.max(axis=-1, keepdims=True)
        return cls(grown, logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))

    def _of_right(self) -> Float[np.ndarray, "scale prompt query"]:
        """Returns the log-probability of the right option."""
        index = np.asarray(self.right)[None, :, :, None]
        return np.take_along_axis(self.log_probabilities, index, axis=-1)[..., 0]

    def accuracy(self) -> Curve:
        """Returns the grade: the share in which the right option is the most probable.

        Where several are, each of them counts as its share.
        """
        top = self.log_probabilities.max(axis=-1)
        ties = (self.log_probabilities == top[..., None]).sum(axis=-1)
        return Curve(self.scale, ((self._of_right() == top) / ties).mean(axis=-1))

    def right_log_probability(self) -> Curve:
        """Returns the mean log-probability of the right option."""
        return Curve(self.scale, self._of_right().mean(axis=-1))

    def wrong_log_probability(self) -> Curve:
        """Returns the mean log-probability of a wrong option."""
        options = np.arange(self.log_probabilities.shape[-1])
        wrong = options != np.asarray(self.right)[..., None]
        of_wrong = np.where(wrong, self.log_probabilities, 0.0).sum(axis=-1)
        return Curve(self.scale, (of_wrong / (len(options) - 1)).mean(axis=-1))

    def brier(self) -> Curve:
        """Returns Brier's score, sum over options (p - 1[right])^2; lower is better."""
        options = np.arange(self.log_probabilities.shape[-1])
        truth = (options == np.asarray(self.right)[..., None]).astype(float)
        scores = ((np.exp(self.log_probabilities) - truth) ** 2).sum(axis=-1)
        return Curve(self.scale, scores.mean(axis=-1), higher_is_better=False)


def _options(name: str, values: ArrayLike) -> Float[np.ndarray, "scale prompt query k"]:
    """Returns an array of four axes as floats, with two options or more."""
    found = np.asarray(real(name, values), dtype=float)
    if found.ndim != 4 or not found.size:
        raise ValueError(
            f"{name} must have axes (scale, prompt, query, option), none of them "
            f"empty, got shape {found.shape}."
        )
    if found.shape[-1] < 2:
        raise ValueError(f"{name} must have at least 2 options, got {found.shape[-1]}.")
    return found


def _indices(right: int | ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the index of the right option of every query."""
    found = np.asarray(real("right", right))
    if found.shape not in ((), shape[1:3]) or found.dtype.kind not in "iu":
        raise ValueError(
            f"right must be an integer, or integers of shape (prompt, query) = "
            f"{shape[1:3]}, got {found.dtype} of shape {found.shape}."
        )
    if found.min() < 0 or found.max() >= shape[-1]:
        raise ValueError(
            f"right must be an index from 0 to {shape[-1] - 1}, got {found.min()} to "
            f"{found.max()}."
        )
    return np.broadcast_to(found, shape[1:3]).astype(int)
