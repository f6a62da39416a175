"""A claim is a number with an interval.

A paper says that something is small, or that one thing is smaller than another. Here
such a sentence becomes a number, an interval around it and a threshold, and the
verdict follows: it *holds* if the whole interval lies on the claimed side of the
threshold, it *fails* if the whole interval lies on the other, and between the two it
is *undecided* at the scale of this run. A claim that fails is a result.

Intervals come from the bootstrap over prompts (`intervals`): the same statistic is
applied to the means of every resample as to the estimate.
"""

import json
import math
import operator
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from icl.compare import interval
from icl.files import write_whole

Relation = Literal["<", "<=", ">", ">="]
Verdict = Literal["holds", "fails", "undecided"]

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
        cls, *, value: ArrayLike, resamples: ArrayLike, note: str = "", **about: Any
    ) -> "Claim":
        """Returns a claim whose interval is the 95 % percentile interval of resamples.

        Args:
            value: the estimate, a number.
            resamples: the same number for every resample, (resamples,).
            note: what the reader must know.
            **about: the other fields of a claim; see the class.

        Example:
            >>> claim = Claim.from_resamples(
            ...     id="x.2", text="Error is small.", source="Fig. 1", value=0.02,
            ...     resamples=[0.01, 0.02, 0.03], relation="<", threshold=0.05)
            >>> print(claim)
            x.2 holds: 0.02 [0.0105, 0.0295] < 0.05
        """
        estimate, draws = np.asarray(value, float), np.asarray(resamples, float)
        if estimate.ndim != 0 or draws.ndim != 1 or not draws.size:
            raise ValueError(
                f"claim {about['id']!r} needs one number, and one for each resample, "
                f"got shapes {estimate.shape} and {draws.shape}; pass a statistic that "
                "leaves no dimension but that of resamples."
            )
        lost = int(np.isnan(draws).sum())
        if lost:
            reason = f"Could not be judged: {lost} of {draws.size} resamples are NaN."
            note = f"{note} {reason}".strip()
        low, high = (float(end) for end in interval(draws))
        return cls(value=float(estimate), low=low, high=high, note=note, **about)

    @property
    def verdict(self) -> Verdict:
        """The verdict, by the side of the threshold on which the interval lies."""
        compare = COMPARE[self.relation]
        ends = {compare(end, self.threshold) for end in (self.low, self.high)}
        if self._unknown or len(ends) == 2:
            return "undecided"
        return "holds" if ends == {True} else "fails"

    @property
    def wording(self) -> str:
        """The verdict in words that people read."""
        return WORDING[self.verdict]

    @property
    def measured(self) -> str:
        """The number with its interval, in three digits."""
        if self._unknown:
            return "not measured at this preset"
        low, value, high = map(format_number, (self.low, self.value, self.high))
        return f"{value} [{low}, {high}]"

    @property
    def expected(self) -> str:
        """The claim about the number: its relation and its threshold."""
        relation = {"<=": "≤", ">=": "≥"}.get(self.relation, self.relation)
        return f"{relation} {format_number(self.threshold)}"

    @property
    def finding(self) -> str:
        """The number beside what was claimed about it."""
        return self.measured if self._unknown else f"{self.measured} {self.expected}"

    @property
    def _unknown(self) -> bool:
        return any(math.isnan(x) for x in (self.value, self.low, self.high))

    def __str__(self) -> str:
        text = f"{self.id} {self.wording}: {self.finding}"
        return f"{text} ({self.unit})" if self.unit else text


def format_number(number: float) -> str:
    """Returns a number in three digits, thousands in full.

    Example:
        >>> [format_number(x) for x in (0.012345, 1.0, 12345.6, 1.2e-7)]
        ['0.0123', '1', '12,346', '1.2e-07']
    """
    return f"{number:,.0f}" if 1e3 <= abs(number) < 1e7 else f"{number:.3g}"


# --- files ---


def save_claims(path: str | os.PathLike[str], claims: Iterable[Claim]) -> None:
    """Writes claims with their verdicts as JSON; the file is whole or not there."""
    rows = [asdict(claim) | {"verdict": claim.verdict} for claim in claims]
    text = json.dumps([_strict(row) for row in rows], indent=2, ensure_ascii=False)
    write_whole(path, text + "\n")


def load_claims(path: str | os.PathLike[str]) -> list[Claim]:
    """Returns the claims that `save_claims` wrote.

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
    """Writes NaN and infinity as text, as JSON has neither."""
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
