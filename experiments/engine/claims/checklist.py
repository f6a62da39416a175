"""A paper's claims one by one: what it says, what we found, why the two may differ.

A paper's list (such as `akyurek2023.published`) holds what can be read in the paper.
Whatever depends on a run comes from the run: the claims that its figures judge, and the
settings in which it departs from the published ones. Claim 4 of a paper may be judged
by several numbers of ours, 4a and 4b: see `RULE`.

Claims about trained models are counted apart from theory, where no model is looked at;
and a claim that is judged by the very number of another one is not counted again.
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
    "A claim that is judged by several numbers holds if all of them hold, and fails if "
    "any of them fails; if none fails, it is not reached at this training if any of "
    "them is not, and undecided otherwise. Numbers that say nothing about what a model "
    "has learnt are empty, and have no say. A claim fails our bar where the paper "
    "gives no number, and every number that fails has a threshold of ours."
)
ORDER: tuple[Verdict, ...] = ("fails", "unreached", "undecided", "holds", "empty")
"""What a claim is if one of its numbers is, the first that applies."""
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
        return next(verdict for verdict in ORDER if verdict in verdicts)

    @property
    def wording(self) -> str:
        """The judgement in words that people read."""
        failing = [claim for claim in self.claims if claim.verdict == "fails"]
        if failing and all(claim.bar != "paper" for claim in failing):
            return failing[0].wording
        return JUDGEMENTS[self.judgement]

    @property
    def theory(self) -> bool:
        """Whether no number of the claim looks at a trained model."""
        return all(claim.subject == "theory" for claim in self.claims)

    @property
    def numbers(self) -> frozenset[tuple[float, float, Verdict]]:
        """The numbers that decide, each with its threshold and its verdict.

        Intervals are left out: the largest of many numbers has another interval than
        the largest of a few, even where it is the same number.
        """
        return frozenset(
            (claim.value, claim.threshold, claim.verdict)
            for claim in self.claims
            if claim.verdict in ("holds", "fails", "unreached")
            and claim.subject == "models"
            and claim.low < claim.high
        )

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


def repeats(rows: Iterable[Row]) -> dict[int, int]:
    """Returns the claims that are judged by the very numbers of an earlier one.

    Both are given by their numbers in the paper's list. A number that is counted, such
    as a number of layers, has an interval without a width, and two of them may well be
    equal by chance: these are never the same.
    """
    seen: dict[frozenset, int] = {}
    again = {}
    for row in rows:
        number = row.statement.number
        if row.numbers and len(row.numbers) == len(row.claims):
            first = seen.setdefault(row.numbers, number)
            if first != number:
                again[number] = first
    return again


def count(groups: Sequence[Group]) -> str:
    """Returns sentences: how many claims hold, fail, are undecided and so on."""
    rows = [row for group in groups for row in group.rows]
    judged = [row for row in rows if row.judgement != "missing"]
    theory = [row for row in judged if row.theory]
    again = repeats(row for row in judged if not row.theory)
    models = [
        row for row in judged if not row.theory and row.statement.number not in again
    ]
    in_part = sum(row.in_part for row in models)
    part = f" ({in_part} of those that fail hold in part)" if in_part else ""
    text = (
        f"Of the paper's {len(rows)} claims, {len(models)} {_is(len(models))} judged "
        f"on trained models: {tally([row.wording for row in models])}{part}."
    )
    if theory:
        text += (
            f" {len(theory)} {_is(len(theory))} theory, where no trained model is "
            f"looked at: {tally([row.wording for row in theory])}."
        )
    for number, first in again.items():
        text += f" Claim {number} is judged by the very number of {first}, and is not "
        text += "counted again."
    missing = len(rows) - len(judged)
    return f"{text} {missing} {_is(missing)} not judged here." if missing else text


def tally(wordings: Sequence[str]) -> str:
    """Returns how many verdicts there are of each kind, in words.

    Example:
        >>> tally(["holds", "holds", "undecided at this scale", "fails our bar"])
        '2 hold, 0 fail, 1 fails our bar and 1 is undecided at this scale'
    """
    always = ("holds", "fails")
    kinds = [*always, "fails our bar"]
    kinds += [WORDING[verdict] for verdict in ("unreached", "empty", "undecided")]
    parts = []
    for kind in kinds:
        number = wordings.count(kind)
        if not number and kind not in (*always, WORDING["undecided"]):
            continue
        verb, *rest = kind.split()
        if verb in always:
            words = [verb if number == 1 else verb.removesuffix("s"), *rest]
        else:
            words = [_is(number), kind]
        parts.append(f"{number} {' '.join(words)}")
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
