"""A paper's claims one by one: what it says, what we found, why the two may differ.

A paper's list (such as `akyurek2023.published`) holds what can be read in the paper.
Whatever depends on a run comes from the run: the claims that its figures judge, and the
settings in which it departs from the published ones. Claim 4 of a paper may be judged
by several numbers of ours, 4a and 4b. It *holds* if all of them hold, it *fails* if any
of them fails, and otherwise it is *undecided*.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple

from experiments.engine.claims.claim import WORDING, Claim, Verdict, format_number
from experiments.engine.provenance import leaves

Judgement = Verdict | Literal["missing"]
JUDGEMENTS: dict[Judgement, str] = {**WORDING, "missing": "not judged here"}
RULE = (
    "A claim that is judged by several numbers holds if all of them hold, fails if any "
    "of them fails, and is undecided otherwise."
)
SHORT = {"dim": "d", "length": "pairs"}
"""Fields of a configuration that the paper calls by another name."""


class Topic(NamedTuple):
    """A group of claims that share a setting.

    Attributes:
        title: what they are about.
        setting: in which setting the paper makes them.
    """

    title: str
    setting: str


@dataclass(frozen=True)
class Statement:
    """A claim as it stands in a paper.

    Attributes:
        number: its number in our list; ours of the same number judge it.
        topic: what it is about.
        figure: name of the figure module that judges it; others may add to it.
        says: what the paper states, and whether it gives a number.
        why: what makes our measure another one than the paper's, or why the printed
            numbers cannot be right.
    """

    number: int
    topic: Topic
    figure: str
    says: str
    why: str


@dataclass(frozen=True)
class Row:
    """A statement and the claims that judge it, which may be none."""

    statement: Statement
    claims: tuple[Claim, ...]

    @property
    def judgement(self) -> Judgement:
        """The verdict of all claims together; "missing" if the figure has none."""
        if self.statement.figure not in {claim.figure for claim in self.claims}:
            return "missing"
        verdicts = {claim.verdict for claim in self.claims}
        if "fails" in verdicts:
            return "fails"
        return "holds" if verdicts == {"holds"} else "undecided"

    @property
    def in_part(self) -> bool:
        """Whether the claim fails although some of its numbers hold."""
        held = any(claim.verdict == "holds" for claim in self.claims)
        return self.judgement == "fails" and held


@dataclass(frozen=True)
class Group:
    """The rows of a topic.

    Attributes:
        topic: what they are about.
        departures: settings in which the run differs from the published ones.
        rows: one for each statement.
    """

    topic: Topic
    departures: tuple[str, ...]
    rows: tuple[Row, ...]


def label(claim: Claim) -> str:
    """Returns a claim's number and letter: "4a" for "akyurek2023.4a"."""
    return claim.id.rpartition(".")[2]


def number(claim: Claim, paper: str) -> int | None:
    """Returns the number of the paper's claim that this one judges, or None.

    The id of a claim that judges one is the paper's name, a dot, the number in the
    paper's list and, where several judge it, a letter: "akyurek2023.4a".

    Example:
        >>> claim = Claim("akyurek2023.4a", "", "", 0, 0, 0, threshold=1)
        >>> number(claim, "akyurek2023"), number(claim, "another")
        (4, None)
    """
    judged = re.fullmatch(rf"{re.escape(paper)}\.(\d+)[a-z]?", claim.id)
    return int(judged[1]) if judged else None


def checklist(
    paper: str,
    statements: Sequence[Statement],
    claims: Iterable[Claim],
    configs: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> list[Group]:
    """Returns every statement beside the claims that judge it.

    Args:
        paper: the name that claims of this paper begin with.
        statements: in order; those of a topic stand together.
        claims: of all figures of a run.
        configs: for each figure of the run its configuration and the published one.

    Returns:
        Groups by topic.
    """
    claims = sorted(claims, key=label)
    found = []
    for topic, members in groupby(statements, lambda statement: statement.topic):
        rows = [
            Row(one, tuple(c for c in claims if number(c, paper) == one.number))
            for one in members
        ]
        figures = dict.fromkeys(row.statement.figure for row in rows)
        pairs = {name: configs[name] for name in figures if name in configs}
        found.append(Group(topic, tuple(departures(pairs)), tuple(rows)))
    return found


def departures(
    configs: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> Iterator[str]:
    """Yields the fields in which configurations differ from the published ones.

    What is not the same in all figures comes with the figure's name.

    Example:
        >>> ours = {"model": {"layers": 12}, "prompts": 250}
        >>> published = {"model": {"layers": 16}, "prompts": 500}
        >>> small = {"model": {"layers": 12}, "prompts": 500}
        >>> list(departures({"fig1": (ours, published), "fig6": (small, published)}))
        ['model layers 12 (paper 16)', 'prompts 250 (paper 500) in fig1']
    """
    where: dict[str, list[str]] = {}
    for figure, (ours, published) in configs.items():
        theirs = leaves(published)
        for name, value in leaves(ours).items():
            text, printed = _printed(value), _printed(theirs.get(name))
            if text != printed:
                change = f"{_named(name)} {text} (paper {printed})"
                where.setdefault(change, []).append(figure)
    for change, figures in where.items():
        everywhere = len(figures) == len(configs)
        yield change if everywhere else f"{change} in {', '.join(figures)}"


def _named(name: str) -> str:
    """Returns the name of a field in words.

    Example:
        >>> [_named(name) for name in ("model.layers", "task.dim", "final_norm")]
        ['model layers', 'task d', 'final norm']
    """
    return " ".join(SHORT.get(w, w.replace("_", " ")) for w in name.split("."))


def _printed(value: Any) -> str:
    """Returns a value of a configuration in words, lists and tuples alike.

    Example:
        >>> _printed((1, 2)), _printed(12_000), _printed(None), _printed(True)
        ('1, 2', '12,000', 'none', 'yes')
    """
    if isinstance(value, list | tuple):
        parts = [_printed(part) for part in value]
        nested = any(isinstance(part, list | tuple) for part in value)
        return ("; " if nested else ", ").join(parts)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_number(value) if isinstance(value, int | float) else str(value)


def count(groups: Sequence[Group]) -> str:
    """Returns a sentence: how many claims hold, fail and are undecided."""
    rows = [row for group in groups for row in group.rows]
    found = {
        judgement: sum(row.judgement == judgement for row in rows)
        for judgement in JUDGEMENTS
    }
    in_part = sum(row.in_part for row in rows)
    failing = f"{found['fails']} fail{'s' if found['fails'] == 1 else ''}"
    if in_part:
        failing += f" ({in_part} only in part)"
    undecided = f"{found['undecided']} {_is(found['undecided'])} undecided"
    holding = f"{found['holds']} hold{'s' if found['holds'] == 1 else ''}"
    text = (
        f"Of the paper's {len(rows)} claims, {holding}, {failing} and {undecided} "
        "at this scale"
    )
    if found["missing"]:
        text += f"; {found['missing']} {_is(found['missing'])} not judged here"
    return f"{text}."


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
