"""A claim is a number with an interval.

A paper says that something is small, or that one thing is smaller than another. Here
such a sentence becomes a number, an interval around it and a threshold, and the
verdict follows: it *holds* if the whole interval lies on the claimed side of the
threshold, it *fails* if the whole interval lies on the other, and between the two it
is *undecided* at the scale of this run. A claim that fails is a result.

Intervals come from the bootstrap over prompts: `icl.compare.bootstrap_means` gives the
means of every resample, (resamples, contexts), and the same statistic is applied to
them as to the estimate. For a difference or a ratio both sides must be resampled
together, with the same seed, so that what the prompts share cancels.
"""

import json
import math
import operator
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from icl.compare import interval
from icl.files import write_whole

Relation = Literal["<", "<=", ">", ">="]
Verdict = Literal["holds", "fails", "undecided"]
Statistic = Callable[..., np.ndarray]

COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
WORDING: dict[Verdict, str] = {
    "holds": "holds",
    "fails": "fails",
    "undecided": "undecided at this scale",
}


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper, as a number that can be wrong.

    Attributes:
        id: a short name that stays, such as "akyurek2023.1".
        text: the claim in words, with its threshold.
        source: where the paper says so.
        value: the number that was measured.
        low: lower end of its interval.
        high: upper end of its interval.
        threshold: what the number is compared with.
        relation: how it is claimed to compare: the claim is `value relation threshold`.
        unit: what the number is, and how it is normalised, such as "SPD / d".
        figure: name of the figure that shows it.
        note: what the reader must know, such as why nothing could be judged.

    Raises:
        ValueError: an unknown relation, an interval whose ends are swapped, a threshold
            that is not a finite number.

    Example:
        >>> claim = Claim("x.1", "Error is small.", "Fig. 1", 0.02, 0.01, 0.04, 0.05)
        >>> claim.verdict
        'holds'
        >>> print(claim)
        x.1 holds: 0.02 [0.01, 0.04] < 0.05
    """

    id: str
    text: str
    source: str
    value: float
    low: float
    high: float
    threshold: float
    relation: Relation = "<"
    unit: str = ""
    figure: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if self.relation not in COMPARE:
            raise ValueError(
                f"relation must be one of {', '.join(get_args(Relation))}; "
                f"got {self.relation!r}."
            )
        for name in ("value", "low", "high", "threshold"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold}.")
        if self.low > self.high:
            raise ValueError(
                f"the interval of claim {self.id!r} must not end before it begins, "
                f"got [{self.low:g}, {self.high:g}]."
            )
        if self._unknown and not self.note:
            note = "Could not be judged: the value or its interval is not a number."
            object.__setattr__(self, "note", note)

    @classmethod
    def from_resamples(
        cls,
        id: str,
        text: str,
        source: str,
        *,
        value: ArrayLike | tuple[ArrayLike, ...],
        resamples: ArrayLike | tuple[ArrayLike, ...],
        relation: Relation,
        threshold: float,
        statistic: Statistic | None = None,
        unit: str = "",
        figure: str = "",
        note: str = "",
    ) -> "Claim":
        """A claim about a statistic of means, with its 95 % percentile interval.

        Args:
            id: see the class, as for the other fields.
            text: the claim in words.
            source: where the paper says so.
            value: the estimate: a number, or means (contexts,) for the statistic to
                reduce; or a tuple of them, which are passed to it one by one.
            resamples: the same for every resample, with one more axis in front:
                (resamples,) or (resamples, contexts), or a tuple of them.
            relation: how the number is claimed to compare with `threshold`.
            threshold: what it is compared with.
            statistic: reduces the last axis, such as `mean`, `share("<", 0.01)`,
                `mean_difference` or `mean_ratio`. None: `value` is a number already.
            unit: what the number is, and how it is normalised.
            figure: name of the figure that shows it.
            note: what the reader must know.

        Example:
            >>> means = np.array([0.001, 0.004, 0.02])
            >>> draws = means + np.array([[-0.0005], [0.0], [0.0005]])
            >>> claim = Claim.from_resamples(
            ...     "x.2", "Below 0.01 for at least half of n.", "Fig. 1", value=means,
            ...     resamples=draws, statistic=share("<", 0.01), relation=">=",
            ...     threshold=0.5)
            >>> print(claim)
            x.2 holds: 0.667 [0.667, 0.667] ≥ 0.5
        """
        statistic = statistic or _itself
        estimate = statistic(*_arrays(value))
        draws = statistic(*_arrays(resamples))
        if np.ndim(estimate) != 0 or np.ndim(draws) != 1 or not np.size(draws):
            raise ValueError(
                f"claim {id!r} needs one number, and one for each resample, got shapes "
                f"{np.shape(estimate)} and {np.shape(draws)}; pass a statistic that "
                "reduces the last axis."
            )
        lost = int(np.isnan(draws).sum())
        if lost:
            reason = f"Could not be judged: {lost} of {draws.size} resamples are NaN."
            note = f"{note} {reason}".strip()
        low, high = interval(draws)
        return cls(
            id=id,
            text=text,
            source=source,
            value=float(estimate),
            low=float(low),
            high=float(high),
            threshold=threshold,
            relation=relation,
            unit=unit,
            figure=figure,
            note=note,
        )

    @property
    def verdict(self) -> Verdict:
        """Whether the interval lies wholly on one side of the threshold, and which."""
        compare = COMPARE[self.relation]
        ends = {compare(end, self.threshold) for end in (self.low, self.high)}
        if self._unknown or len(ends) == 2:
            return "undecided"
        return "holds" if ends == {True} else "fails"

    @property
    def wording(self) -> str:
        """The verdict as it is told to people."""
        return WORDING[self.verdict]

    @property
    def measured(self) -> str:
        """The number with its interval, in three digits."""
        if self._unknown:
            return "not a number"
        low, value, high = map(format_number, (self.low, self.value, self.high))
        return f"{value} [{low}, {high}]"

    @property
    def expected(self) -> str:
        """What was claimed about the number."""
        relation = {"<=": "≤", ">=": "≥"}.get(self.relation, self.relation)
        return f"{relation} {format_number(self.threshold)}"

    @property
    def _unknown(self) -> bool:
        return any(math.isnan(x) for x in (self.value, self.low, self.high))

    def __str__(self) -> str:
        text = f"{self.id} {self.wording}: {self.measured} {self.expected}"
        return f"{text} ({self.unit})" if self.unit else text


def exact(
    id: str,
    text: str,
    source: str,
    value: float,
    relation: Relation,
    threshold: float,
    *,
    unit: str = "",
    figure: str = "",
    note: str = "",
) -> Claim:
    """A claim about a number that is computed, not sampled: its interval is a point."""
    return Claim(
        id, text, source, value, value, value, threshold, relation, unit, figure, note
    )


# --- statistics of means: each reduces the last axis, the contexts ---


def mean(means: np.ndarray) -> np.ndarray:
    """The mean over contexts."""
    return np.mean(means, axis=-1)


def share(relation: Relation, bound: float) -> Statistic:
    """The share of contexts at which the mean is `relation bound`; NaN stays NaN.

    Example:
        >>> share("<", 0.01)(np.array([0.001, 0.02, 0.003, 0.004]))
        np.float64(0.75)
    """

    def statistic(means: np.ndarray) -> np.ndarray:
        inside = np.where(np.isnan(means), np.nan, COMPARE[relation](means, bound))
        return np.mean(inside, axis=-1)

    return statistic


def mean_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The mean over contexts of `first - second`."""
    return np.mean(first - second, axis=-1)


def mean_ratio(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The mean of `first` over contexts in units of the mean of `second`; NaN for 0."""
    above, below = np.mean(first, axis=-1), np.mean(second, axis=-1)
    ratio = np.full(np.shape(below), np.nan)
    return np.divide(above, below, out=ratio, where=below != 0)[()]


def _itself(number: np.ndarray) -> np.ndarray:
    return number


def _arrays(values: ArrayLike | tuple[ArrayLike, ...]) -> tuple[np.ndarray, ...]:
    values = values if isinstance(values, tuple) else (values,)
    return tuple(np.asarray(array, dtype=float) for array in values)


def format_number(number: float) -> str:
    """Three digits; thousands in full.

    Example:
        >>> [format_number(x) for x in (0.012345, 1.0, 12345.6, 1.2e-7)]
        ['0.0123', '1', '12,346', '1.2e-07']
    """
    return f"{number:,.0f}" if 1e3 <= abs(number) < 1e7 else f"{number:.3g}"


# --- files ---


def save_claims(path: str | os.PathLike[str], claims: Iterable[Claim]) -> None:
    """Writes claims as JSON, verdicts included; the file is whole or not there."""
    rows = [asdict(claim) | {"verdict": claim.verdict} for claim in claims]
    text = json.dumps([_strict(row) for row in rows], indent=2, ensure_ascii=False)
    write_whole(path, text + "\n")


def load_claims(path: str | os.PathLike[str]) -> list[Claim]:
    """Claims that `save_claims` wrote.

    Raises:
        ValueError: the file is not such a file, or its verdicts do not follow from its
            numbers.
        FileNotFoundError: there is no such file.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
        return [_claim(row) for row in rows]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a file of claims ({' '.join(str(error).split())}); delete "
            "it and run its figure again."
        ) from error


def _strict(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: they are written as text."""
    return {
        name: str(value)
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in row.items()
    }


def _claim(row: dict[str, Any]) -> Claim:
    fields = dict(row)
    verdict = fields.pop("verdict")
    claim = Claim(**fields)
    if claim.verdict != verdict:
        raise ValueError(
            f"claim {claim.id} {claim.verdict}, but the file says {verdict}"
        )
    return claim
