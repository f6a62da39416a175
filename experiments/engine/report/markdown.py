"""The claims of a report as a Markdown page, to be read in a repository or in a diff.

First the paper's claims as in the report's table, then every number with its interval,
those of the paper's claims and, by their ids, those that stand beside them. A figure
that is run alone has a section of its own (`figure_section`).
"""

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from experiments.engine.claims import checklist
from experiments.engine.claims.checklist import Group, Row, Statement
from experiments.engine.claims.claim import Claim
from icl.terminal import printable

INTERVALS = (
    "Intervals are meant to cover in 95 % of cases. Beside each number stands what its "
    "interval is over: where that is prompts for one trained model, another seed, and "
    "even another order of rounding, may move the number further than the interval is "
    "wide. Simultaneous intervals are for what is said of all n, or of all sizes, at "
    "once. Over seeds, distances and ratios of them are averaged in logarithms. What "
    "fails is a result at this scale."
)


HEADER = ("id", "claim", "measured", "unit", "interval over", "verdict", "note")
"""The columns of every table of numbers."""


def page(
    title: str,
    groups: Sequence[Group],
    claims: Sequence[Claim],
    beside: Mapping[str, str],
    missing: Mapping[str, str],
    caution: str = "",
) -> str:
    """Returns the whole page.

    Args:
        title: its heading.
        groups: the paper's claims beside ours.
        claims: all claims of the run.
        beside: headings for claims that are not the paper's, by the first word of
            their id.
        missing: names of figures that could not be made, and why.
        caution: what the reader must know first of all.
    """
    judged = [claim for group in groups for row in group.rows for claim in row.claims]
    again = checklist.repeats(row for group in groups for row in group.rows)
    parts = [
        f"# {title}",
        *([f"**{caution}**"] if caution else []),
        f"{checklist.count(groups)} {checklist.RULE} {INTERVALS}",
        *(f"Not here: {plain(n)}, for {plain(why)}" for n, why in missing.items()),
        "## The paper's claims",
        *(_group(group, again) for group in groups),
        "## Every number",
        *_section("Claims of the paper", judged),
    ]
    for word, heading in beside.items():
        parts += _section(heading, [c for c in claims if c.id.startswith(f"{word}.")])
    return "\n\n".join(parts) + "\n"


def figure_section(
    title: str, command: str, claims: Sequence[Claim], about: Sequence[str] = ()
) -> str:
    """Returns the section of a figure that was run alone.

    Args:
        title: the first part of its heading.
        command: what was run, which is the other part.
        claims: those of the figure; of what was not measured the reason is said.
        about: paragraphs that stand before the table.
    """
    measured = [claim for claim in claims if claim.is_measured]
    parts = [f"### {title} (`{plain(command)}`)", *about]
    if measured:
        parts.append(table(measured))
    left: dict[str, list[str]] = {}
    for claim in claims:
        if not claim.is_measured:
            left.setdefault(claim.note, []).append(claim.id)
    if left:
        reasons = (f"- {', '.join(ids)}: {plain(why)}" for why, ids in left.items())
        parts += ["The run has not measured:", "\n".join(reasons)]
    return "\n\n".join(parts)


def table(claims: Iterable[Claim]) -> str:
    """Returns a table with a row for each claim: its number, verdict and caveats."""
    rows = [
        (
            claim.id,
            claim.text,
            claim.finding,
            claim.unit,
            claim.interval_over,
            claim.wording,
            claim.remarks,
        )
        for claim in claims
    ]
    return _table(HEADER, rows)


def moved(
    first: Iterable[Claim],
    second: Iterable[Claim],
    paper: str = "",
    statements: Sequence[Statement] = (),
) -> str:
    """Returns what moved between two runs whose seeds differ, as a section.

    Only numbers about trained models are counted. Verdicts are those of the two runs
    alone, whatever models that were trained longer say.

    Args:
        first: claims of the run with the preset's own seeds.
        second: claims of the run with others.
        paper: the name that claims of the paper begin with.
        statements: what the paper says.
    """
    runs = [[replace(claim, longer=None) for claim in run] for run in (first, second)]
    ours, theirs = map(_measured, runs)
    pairs = [(ours[name], theirs[name]) for name in ours if name in theirs]
    lonely = len(ours) + len(theirs) - 2 * len(pairs)
    differ = [one.id for one, other in pairs if one.wording != other.wording]
    apart = [pair[0].id for pair in pairs if _apart(*pair)]
    parts = [
        "## What moved between two runs",
        "All models, prompts and probes of the two runs have other seeds. Of "
        f"{len(pairs)} numbers about trained models that both have, so many are "
        f"further apart than their two intervals allow together: {_counted(apart)}. "
        "Where intervals are right, one number in twenty is, or fewer. So many "
        f"verdicts differ: {_counted(differ)}.",
        *_claims_that_differ(paper, statements, *runs),
    ]
    if lonely:
        parts.append(f"Numbers that only one of the two runs has: {lonely}.")
    return "\n\n".join([*parts, _by_interval(pairs), _both(pairs)])


def _measured(claims: Iterable[Claim]) -> dict[str, Claim]:
    """Returns what a run has measured of trained models, by the ids of its claims."""
    return {
        claim.id: claim
        for claim in claims
        if claim.subject == "models"
        and math.isfinite(claim.value)
        and not (math.isnan(claim.low) or math.isnan(claim.high))
    }


def _apart(one: Claim, other: Claim) -> bool:
    """Returns whether two numbers are further apart than their intervals allow.

    The errors of two runs are independent, so that the squares of half-widths add up;
    of each interval the half counts that faces the other number.
    """
    lower, upper = sorted((one, other), key=lambda claim: claim.value)
    allowed = math.hypot(lower.high - lower.value, upper.value - upper.low)
    return upper.value - lower.value > allowed


def _claims_that_differ(
    paper: str,
    statements: Sequence[Statement],
    first: Iterable[Claim],
    second: Iterable[Claim],
) -> Iterator[str]:
    """Yields a sentence about the paper's claims whose verdicts differ, if any do."""
    if not statements:
        return
    rows = (
        [row for group in groups for row in group.rows]
        for groups in (
            checklist.checklist(paper, statements, claims, {})
            for claims in (first, second)
        )
    )
    judged = [
        (one, other)
        for one, other in zip(*rows, strict=True)
        if not one.theory and "missing" not in (one.judgement, other.judgement)
    ]
    again = checklist.repeats(one for one, _ in judged)
    judged = [pair for pair in judged if pair[0].statement.number not in again]
    differ = [
        f"{one.statement.number} ({one.wording}, then {other.wording})"
        for one, other in judged
        if one.wording != other.wording
    ]
    listed = f": {', '.join(differ)}" if differ else ""
    yield (
        f"Of the paper's claims about trained models {len(judged)} are judged by both "
        f"runs, and {len(differ)} of them have another verdict{listed}."
    )


def _by_interval(pairs: Sequence[tuple[Claim, Claim]]) -> str:
    """Returns a table of how many numbers moved, by what their intervals are over."""
    found: dict[str, list[bool]] = {}
    for one, other in pairs:
        over = one.interval_over.partition(";")[0] or "not said"
        found.setdefault(over, []).append(_apart(one, other))
    rows = [
        (over, str(len(moves)), str(sum(moves)))
        for over, moves in sorted(found.items(), key=lambda item: -len(item[1]))
    ]
    return _table(("interval over", "numbers", "further apart than both allow"), rows)


def _both(pairs: Sequence[tuple[Claim, Claim]]) -> str:
    """Returns a table of all numbers that both runs have."""
    rows = [
        (
            one.id,
            one.finding,
            other.finding,
            one.wording
            if one.wording == other.wording
            else f"{one.wording}, then {other.wording}",
        )
        for one, other in pairs
    ]
    header = ("claim", "with the preset's seeds", "with other seeds", "verdict")
    return _table(header, rows)


def _counted(ids: Sequence[str]) -> str:
    """Returns how many there are, and which."""
    return f"{len(ids)} ({', '.join(map(plain, ids))})" if ids else "0"


def _section(heading: str, claims: Sequence[Claim]) -> list[str]:
    return [f"### {heading}", table(claims)] if claims else []


def _group(group: Group, again: Mapping[int, int]) -> str:
    lines = [f"### {group.topic.title}", f"The paper: {group.topic.setting}"]
    if any(row.claims for row in group.rows):
        departures = plain("; ".join(group.departures)) or "nothing"
        lines.append(f"Ours departs from the `paper` preset in: {departures}.")
    rows = [
        (
            str(row.statement.number),
            row.statement.says,
            _ours(row, again),
            row.statement.why,
        )
        for row in group.rows
    ]
    header = ("claim", "the paper", "ours", "why they differ")
    return "\n\n".join([*lines, _table(header, rows)])


def _ours(row: Row, again: Mapping[int, int]) -> str:
    """Returns the verdict, and its parts if it is made of more than one number."""
    verdict = f"**{row.wording}**"
    if row.statement.number in again:
        verdict += f" (the very number of {again[row.statement.number]})"
    parts = [f"{checklist.label(c)} {c.wording}" for c in row.claims]
    return f"{verdict}: {', '.join(parts)}" if len(parts) > 1 else verdict


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(plain(cell) for cell in line) + " |" for line in lines
    )


def plain(text: str) -> str:
    r"""Returns text on one line in which nothing is a tag, a link or a column.

    Claims and settings may come from files of somebody else's.

    Example:
        >>> plain("<b> [x](y) |")
        '&lt;b&gt; [x]\\(y) \\|'
    """
    escaped = html.escape(" ".join(printable(text).split()), quote=False)
    for mark in ("](", "][", "]:"):
        escaped = escaped.replace(mark, rf"]\{mark[1]}")
    return escaped.replace("|", r"\|")
