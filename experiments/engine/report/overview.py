"""What a report says first: which claims hold, which fail, and which are undecided.

It is the table of claims once more, sorted by verdict.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments.engine.claims import checklist
from experiments.engine.claims.checklist import Group, Judgement, Row
from experiments.engine.claims.claim import Claim

ORDER: tuple[Judgement, ...] = (
    *("holds", "fails", "unreached", "undecided", "empty", "missing"),
)


class Entry(NamedTuple):
    """A claim in one line.

    Attributes:
        label: its number.
        anchor: where on the page its row is.
        text: what is claimed.
    """

    label: str
    anchor: str
    text: str


class Part(NamedTuple):
    """The claims of one verdict.

    Attributes:
        judgement: the verdict.
        wording: the verdict in words that people read.
        entries: the claims.
    """

    judgement: Judgement
    wording: str
    entries: tuple[Entry, ...]


def overview(groups: Sequence[Group], claims: Sequence[Claim]) -> list[Part]:
    """Returns the claims of a paper by verdict; those of the figures if there is none.

    Args:
        groups: the paper's claims beside ours.
        claims: of all figures.

    Example:
        >>> claim = Claim("x.1", "Small.", "Fig. 1", 1.0, 0.5, 3.0, threshold=2.0)
        >>> overview([], [claim])[0].wording
        'undecided at this scale'
    """
    rows = [row for group in groups for row in group.rows]
    if rows:
        return _sorted((row.judgement, row.wording, _of_row(row)) for row in rows)
    entries = (Entry(checklist.label(c), c.id, c.text) for c in claims)
    verdicts = ((c.verdict, c.wording) for c in claims)
    return _sorted((*v, entry) for v, entry in zip(verdicts, entries, strict=True))


def tallied(judged: Iterable[Row | Claim]) -> list[tuple[Judgement, str, int]]:
    """Returns how many verdicts there are of each kind, with its wording."""
    nameless = Entry("", "", "")
    kinds = (
        (one.judgement if isinstance(one, Row) else one.verdict, one.wording, nameless)
        for one in judged
    )
    return [
        (part.judgement, part.wording, len(part.entries)) for part in _sorted(kinds)
    ]


def row_anchor(row: Row) -> str:
    """Returns the name of the row of a paper's claim on the page."""
    return f"claim-{row.statement.number}"


def topics(groups: Sequence[Group]) -> str:
    """Returns what the paper's claims are about, with their numbers."""
    parts = []
    for group in groups:
        numbers = [row.statement.number for row in group.rows]
        title = group.topic.title
        title = title[:1].lower() + title[1:]
        ends = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else numbers[0]
        parts.append(f"{title} ({ends})")
    return ", ".join(parts)


def _of_row(row: Row) -> Entry:
    theory = "" if not row.claims or not row.theory else " (No model is looked at.)"
    number = row.statement.number
    return Entry(str(number), row_anchor(row), f"{row.statement.says}{theory}")


def _sorted(found: Iterable[tuple[Judgement, str, Entry]]) -> list[Part]:
    """Returns the claims in parts, those that hold first."""
    parts: dict[tuple[Judgement, str], list[Entry]] = {}
    for judgement, wording, entry in found:
        parts.setdefault((judgement, wording), []).append(entry)
    order = sorted(parts, key=lambda kind: (ORDER.index(kind[0]), len(kind[1])))
    return [Part(*kind, tuple(parts[kind])) for kind in order]
