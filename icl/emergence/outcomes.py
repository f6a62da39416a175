"""What came out at every scale, for every prompt and query, before any average.

A curve's shape hangs on its metric. Kept unaveraged, the same outcomes can be scored by
every metric, and no model runs again: each metric here is a reduction of one array, and
returns a `Curve` over prompts.

- `Errors`: differences of predictions and labels, as in in-context regression. Smooth
  metrics (`nmse`, `log_nmse`, `log_score`), and thresholds (`hit`, `solved`, `all_of`).
- `Hits`: right or wrong, such as the characters of an answer. `rate`, `all_of`,
  `exact_match`, `edit_distance`.

What has probabilities is in `icl.emergence.probabilities`.

Shapes: (scale, prompt, query). The queries of a prompt are the characters of an answer,
or several x after the same pairs.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import ArrayLike, Float, Shaped

from icl import checks
from icl.arrays import real, shown
from icl.emergence.curves import Curve, finite_scores, increasing
from icl.resampling import Statistic

Across = Literal["queries", "prompts"]


@dataclass(frozen=True, eq=False)
class Hits:
    """Whether each query of each prompt was answered rightly.

    Attributes:
        scale: what grows, in increasing order.
        hits: True or 1 where the answer was right, (scale, prompt, query).

    Raises:
        ValueError: values other than 0 and 1, another shape, scales that do not
            increase.

    Example:
        >>> hits = Hits([1, 2, 3], [[[0, 1]], [[0, 1]], [[1, 1]]])
        >>> hits.rate().values.tolist(), hits.exact_match().values.tolist()
        ([0.5, 0.5, 1.0], [0.0, 0.0, 1.0])
    """

    scale: Shaped[np.ndarray, " scale"]
    hits: Shaped[np.ndarray, "scale prompt query"]

    def __post_init__(self) -> None:
        scale = increasing("scale", self.scale)
        found = outcomes("hits", self.hits, scale)
        if not np.isin(found, (0, 1)).all():
            raise ValueError(
                "hits must be 0 or 1, wrong or right, got other numbers; a probability "
                "of being right belongs in LogProbabilities."
            )
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "hits", found.astype(bool))

    def rate(self) -> Curve:
        """Returns the share of queries that were answered rightly."""
        return Curve(self.scale, self.hits.mean(axis=2))

    def by_position(self) -> Float[np.ndarray, "scale query"]:
        """Returns the share of prompts that are right at each query, one by one."""
        return self.hits.mean(axis=1)

    def all_of(self, queries: int, *, across: Across = "queries") -> Curve:
        """Returns the share of cases in which several queries are all right.

        Queries of one prompt share what was learnt from its context, so that they are
        right together more often than independent ones. Queries of different prompts
        are independent, and their share is the product of their rates.

        Args:
            queries: how many must be right.
            across: "queries": the first of one prompt; "prompts": each of another
                prompt. Items of the curve are then groups of so many prompts.

        Raises:
            ValueError: there are not as many queries or prompts.
        """
        _, prompts, count = self.hits.shape
        checks.one_of("across", across, get_args(Across))
        most = count if across == "queries" else min(count, prompts)
        if checks.positive_int("queries", queries) > most:
            raise ValueError(
                f"queries must be at most {most}, as there are {prompts} prompts with "
                f"{count} queries each, got {queries}."
            )
        if across == "queries":
            together = np.asarray(self.hits[:, :, :queries].all(axis=2))
            return Curve(self.scale, together)
        groups = self.hits[:, : prompts // queries * queries]
        groups = groups.reshape(len(self.hits), -1, queries, count)
        # The j-th prompt of a group answers its (j + turn)-th query; all turns count.
        prompt = np.arange(queries)
        turns = [
            groups[:, :, prompt, (prompt + turn) % count].all(axis=2)
            for turn in range(count)
        ]
        return Curve(self.scale, np.mean(turns, axis=0))

    def exact_match(self) -> Curve:
        """Returns the share of prompts of which all queries are right."""
        return self.all_of(self.hits.shape[2])

    def edit_distance(self) -> Curve:
        """Returns the number of wrong characters of an answer; lower is better.

        Characters are replaced, not added or left out, as in Schaeffer et al. 2023.
        """
        return Curve(self.scale, (~self.hits).sum(axis=2), higher_is_better=False)


@dataclass(frozen=True, eq=False)
class Errors:
    """By how much each prediction missed its label.

    Attributes:
        scale: what grows, in increasing order.
        errors: prediction - label, (scale, prompt, query).
        variance: the variance of the labels, in which all metrics measure errors: d for
            w, x ~ N(0, I) without noise.

    Raises:
        ValueError: values that are not finite, another shape, scales that do not
            increase, a variance that is not above 0.

    Example:
        >>> errors = Errors([1, 2, 3], [[[2.0]], [[0.2]], [[0.1]]], variance=4)
        >>> errors.nmse().average.round(4).tolist(), errors.hit(0.1).values.tolist()
        ([1.0, 0.01, 0.0025], [0.0, 0.0, 1.0])
    """

    scale: Shaped[np.ndarray, " scale"]
    errors: Shaped[np.ndarray, "scale prompt query"]
    variance: float = 1.0

    def __post_init__(self) -> None:
        scale = increasing("scale", self.scale)
        object.__setattr__(self, "errors", outcomes("errors", self.errors, scale))
        object.__setattr__(self, "scale", scale)
        checks.normalise(self, checks.finite_number, "variance", positive=True)

    @classmethod
    def from_predictions(
        cls,
        scale: Shaped[ArrayLike, " scale"],
        predictions: Shaped[ArrayLike, "scale prompt query"],
        labels: Shaped[ArrayLike, "prompt query"],
        *,
        variance: float = 1.0,
    ) -> "Errors":
        """Returns the errors of predictions of the same labels at every scale.

        Raises:
            ValueError: labels have another shape than the predictions of a scale.
        """
        grown = increasing("scale", scale)
        found = outcomes("predictions", predictions, grown)
        axes = "(prompt, query)"
        truth = np.asarray(checks.array("labels", labels, found.shape[1:], axes))
        return cls(grown, found - truth, variance)

    @property
    def squares(self) -> Float[np.ndarray, "scale prompt"]:
        """The mean square over the queries of a prompt, in units of the variance."""
        return (self.errors**2).mean(axis=2) / self.variance

    def nmse(self, *, statistic: Statistic = "mean") -> Curve:
        """Returns the mean squared error in units of the variance; lower is better."""
        return Curve(
            self.scale, self.squares, higher_is_better=False, statistic=statistic
        )

    def log_nmse(self, *, statistic: Statistic = "mean") -> Curve:
        """Returns log10 of `nmse`; lower is better."""
        return Curve(
            self.scale,
            self.squares,
            higher_is_better=False,
            statistic=statistic,
            logarithm=True,
        )

    def log_score(self, *, spread: float = 0.1) -> Curve:
        """Returns the mean of -e^2 / (2 s^2), a log-probability without its norm.

        Args:
            spread: s^2 in units of the variance.
        """
        s2 = checks.finite_number("spread", spread, positive=True)
        return Curve(self.scale, -self.squares / (2 * s2))

    def hits(self, epsilon: float = 0.1) -> Hits:
        """Returns which errors are smaller than epsilon deviations of the labels."""
        limit = checks.finite_number("epsilon", epsilon, positive=True)
        return Hits(self.scale, np.abs(self.errors) < limit * np.sqrt(self.variance))

    def hit(self, epsilon: float = 0.1) -> Curve:
        """Returns the share of queries with an error below epsilon deviations."""
        return self.hits(epsilon).rate()

    def all_of(
        self, queries: int, *, epsilon: float = 0.1, across: Across = "queries"
    ) -> Curve:
        """Returns the share of cases in which several queries all hit; see `Hits`."""
        return self.hits(epsilon).all_of(queries, across=across)

    def solved(self, epsilon: float = 0.01) -> Curve:
        """Returns the share of prompts with a mean squared error below epsilon."""
        limit = checks.finite_number("epsilon", epsilon, positive=True)
        return Curve(self.scale, self.squares < limit)


def outcomes(
    name: str, values: ArrayLike, scale: Float[np.ndarray, " scale"]
) -> Float[np.ndarray, "scale prompt query"]:
    """Returns outcomes as floats with their three axes.

    Raises:
        ValueError: they have other axes, or are not finite.
    """
    found = np.asarray(real(name, values))
    if found.ndim != 3:
        raise ValueError(
            f"{name} must have axes (scale, prompt, query), got shape {found.shape}; "
            f"give a single query an axis of its own: {shown('values[:, :, None]')}."
        )
    return finite_scores(name, found, scale)
