"""A claim is a number with an interval.

A paper says that something is small, or that one thing is smaller than another. Here
such a sentence becomes a number, an interval around it and a threshold, and the
verdict follows. A claim

- *holds* if the whole interval lies on the claimed side of the threshold;
- *fails* if the whole interval lies on the other; where the paper gives no number, it
  fails *our bar*;
- is *not reached at this training* if it would fail, but a model that was trained
  longer fulfils it, or comes closer to it by more than the intervals of both;
- is *undecided* where the interval holds the threshold;
- is *empty* where the number says nothing about what a model has learnt.

A claim that fails is a result. Intervals are those of `estimates`.
"""

import json
import math
import operator
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from icl import checks
from icl.arrays import WIDEST, real, shown
from icl.files import content, parsed, write_whole

Relation = Literal["<", "<=", ">", ">=", "within"]
Verdict = Literal["holds", "fails", "unreached", "undecided", "empty"]
Bar = Literal["paper", "ours", "ours, set after a first look"]
Subject = Literal["models", "theory"]

ID = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
"""A claim's id: the paper, a dot, and the claim's number or a word."""

WORDS = (
    *("id", "text", "source", "unit", "figure", "note", "interval_over", "empty"),
    "longer_of",
)
"""The fields of a claim that are text."""

NOT_FINITE = ("nan", "inf", "-inf")
"""Numbers that are text in JSON, which has none of them."""

COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
WORDING: dict[Verdict, str] = {
    "holds": "holds",
    "fails": "fails",
    "unreached": "not reached at this training",
    "undecided": "undecided at this scale",
    "empty": "empty",
}


class Interval(NamedTuple):
    """A number with its 95 % interval.

    Attributes:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = map(format_number, self)
        return f"{value} [{low}, {high}]"


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
            "within": that the number, which has a sign, is between -threshold and
            threshold. This is judged as a test of equivalence: both ends must be.
        unit: what the number is, and how it is normalised, such as "SPD / d".
        figure: name of the figure that shows it.
        note: what the reader must know, such as why nothing could be judged.
        interval_over: what the interval is over, in words.
        bar: whose the threshold is. "paper": the paper gives it, or says which of two
            numbers is smaller; the others are ours.
        subject: "models", that were trained; or "theory", where none is looked at.
        empty: why the number says nothing about what a model has learnt; "" if it does.
        longer: the same number for a model that was trained longer, if one was
            measured.
        longer_of: which model that is, in words.

    Raises:
        ValueError: an unknown relation, an interval whose ends are swapped, a threshold
            that is not a finite number, a field of another kind.

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
    interval_over: str = ""
    bar: Bar = "paper"
    subject: Subject = "models"
    empty: str = ""
    longer: Interval | None = None
    longer_of: str = "a model that was trained longer"

    def __post_init__(self) -> None:
        for name, known in (("relation", Relation), ("bar", Bar), ("subject", Subject)):
            checks.one_of(name, getattr(self, name), get_args(known))
        for name in WORDS:
            checks.of_kind(name, getattr(self, name), str, "text")
        if self.longer is not None:
            object.__setattr__(self, "longer", _interval("longer", self.longer))
        checks.normalise(self, number, "value", "low", "high", "threshold")
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold}.")
        if self.low > self.high:
            raise ValueError(
                f"the interval of claim {self.id!r}, low to high, must not end before "
                f"it begins, got [{self.low:g}, {self.high:g}]."
            )
        if self._unknown and not self.note:
            note = "Could not be judged: the value or its interval is not a number."
            object.__setattr__(self, "note", note)

    @property
    def verdict(self) -> Verdict:
        """The verdict, by the side of the threshold on which the interval lies."""
        if self._unknown:
            return "undecided"
        if self.empty:
            return "empty"
        side = self._side(self.low, self.high)
        return "unreached" if side == "fails" and self._nearer_later else side

    def _side(self, low: float, high: float) -> Verdict:
        """Returns on which side of the threshold an interval lies."""
        if self.relation == "within":
            if max(-low, high) <= self.threshold:
                return "holds"
            beyond = max(low, -high) > self.threshold
            return "fails" if beyond else "undecided"
        compare = COMPARE[self.relation]
        ends = {compare(end, self.threshold) for end in (low, high)}
        if len(ends) == 2:
            return "undecided"
        return "holds" if ends == {True} else "fails"

    @property
    def _nearer_later(self) -> bool:
        """Whether a model trained longer fulfils the claim, or is nearer to it."""
        if self.longer is None or any(map(math.isnan, self.longer)):
            return False
        ours = Interval(self.value, self.low, self.high)
        return self._side(*self.longer[1:]) == "holds" or self._nearer(
            self.longer, ours
        )

    def _nearer(self, one: Interval, other: Interval) -> bool:
        """Whether one number is nearer to the claim, by more than both intervals."""
        if self.relation == "within":
            return max(-one.low, one.high) < max(other.low, -other.high)
        below = self.relation in ("<", "<=")
        return one.high < other.low if below else one.low > other.high

    def _of_longer(self, longer: Interval) -> str:
        """Returns what longer training does to a claim that fails, as a sentence."""
        ours = Interval(self.value, self.low, self.high)
        moves = "No effect of longer training is seen"
        if self._nearer_later:
            moves = "Longer training brings it nearer"
        elif self._nearer(ours, longer):
            moves = "Longer training takes it further away"
        return f"{moves}: {longer} for {self.longer_of}."

    @property
    def wording(self) -> str:
        """The verdict in words that people read."""
        if self.verdict == "fails" and self.bar != "paper":
            return "fails our bar"
        return WORDING[self.verdict]

    @property
    def remarks(self) -> str:
        """What the reader must know, with the reasons for the verdict."""
        parts = [self.note]
        if self.empty:
            parts.append(f"Empty: {self.empty}")
        if self.bar != "paper":
            parts.append(f"The threshold is {self.bar}.")
        if self.longer is not None and self._side(self.low, self.high) == "fails":
            parts.append(self._of_longer(self.longer))
        elif self.verdict == "fails" and self.subject == "models":
            parts.append("Whether longer training moves it was not measured.")
        return " ".join(part for part in parts if part)

    @property
    def measured(self) -> str:
        """The number with its interval, in three digits."""
        if self._unknown:
            return "could not be measured"
        return str(Interval(self.value, self.low, self.high))

    @property
    def expected(self) -> str:
        """The claim about the number: its relation and its threshold."""
        signs = {"<=": "≤", ">=": "≥", "within": "within ±"}
        relation = signs.get(self.relation, self.relation)
        if self.relation == "within":
            return f"{relation}{format_number(self.threshold)}"
        return f"{relation} {format_number(self.threshold)}"

    @property
    def finding(self) -> str:
        """The number beside what was claimed about it."""
        return self.measured if self._unknown else f"{self.measured} {self.expected}"

    @property
    def is_measured(self) -> bool:
        """Whether there is a number with an interval."""
        return not self._unknown

    @property
    def _unknown(self) -> bool:
        return any(math.isnan(x) for x in (self.value, self.low, self.high))

    def __str__(self) -> str:
        text = f"{self.id} {self.wording}: {self.finding}"
        return f"{text} ({self.unit})" if self.unit else text


def number(name: str, value: Any) -> float:
    """Returns a number of any library as a float, which may be NaN or infinite."""
    found = np.asarray(real(name, value))
    if found.ndim or found.dtype == bool:
        raise ValueError(f"{name} must be a number, got {shown(value)}.")
    return float(found)


def _interval(name: str, value: Any) -> Interval:
    """Returns a number and the ends of its interval."""
    if not isinstance(value, Sequence) or len(value) != 3:
        raise ValueError(
            f"{name} must be a number and the ends of its interval, got {shown(value)}."
        )
    return Interval(*(number(name, each) for each in value))


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
        rows = parsed(content(Path(path)))
        if not isinstance(rows, list):
            raise ValueError("it holds no list")
        claims = [_claim(row) for row in rows]
        names = [claim.id for claim in claims]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two claims have the id {twice[0]!r}")
        return claims
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} is not a file of claims ({why}); delete it and run its figure "
            "again."
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
    name = fields["id"]
    if not isinstance(name, str) or len(name) > WIDEST or not ID.fullmatch(name):
        raise ValueError(f"{shown(name)} is no id of a claim, such as 'akyurek2023.4a'")
    for field in ("value", "low", "high"):
        if fields[field] in NOT_FINITE:
            fields[field] = float(fields[field])
    claim = Claim(**fields)
    if claim.verdict != verdict:
        raise ValueError(
            f"claim {claim.id} {claim.verdict}, but the file says {shown(verdict)}"
        )
    return claim
