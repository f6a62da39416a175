"""The claims of a report as a Markdown page, to be read in a repository or in a diff.

First the paper's claims as in the report's table, then every number with its interval,
those of the paper's claims and, by their ids, those that stand beside them.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from experiments.engine.claims import checklist
from experiments.engine.claims.checklist import Group, Row
from experiments.engine.claims.claim import Claim
from icl.terminal import printable

INTERVALS = (
    "Intervals are meant to cover in 95 % of cases. Beside each number stands what its "
    "interval is over: where that is prompts for one trained model, another seed, and "
    "even another order of rounding, may move the number further than the interval is "
    "wide. Simultaneous intervals are for what is said of all n, or of all sizes, at "
    "once. What fails is a result at this scale."
)


def page(
    title: str,
    paper: str,
    groups: Sequence[Group],
    claims: Sequence[Claim],
    beside: Mapping[str, str],
    missing: Mapping[str, str],
    caution: str = "",
) -> str:
    """Returns the whole page.

    Args:
        title: its heading.
        paper: the name that claims of the paper begin with.
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
        *_section("Claims of the paper", judged, paper),
    ]
    for word, heading in beside.items():
        parts += _section(heading, [c for c in claims if c.id.startswith(f"{word}.")])
    return "\n\n".join(parts) + "\n"


def table(claims: Iterable[Claim], paper: str = "") -> str:
    """Returns a table with a row for each claim: its number, verdict and caveats.

    Args:
        claims: in order.
        paper: whose name is left out of their ids.
    """
    rows = [
        (
            f"{claim.id.removeprefix(f'{paper}.')}. {claim.text}",
            claim.finding,
            claim.unit,
            claim.interval_over,
            claim.wording,
            claim.remarks,
        )
        for claim in claims
    ]
    header = ("claim", "measured", "unit", "interval over", "verdict", "note")
    return _table(header, rows)


def moved(first: Iterable[Claim], second: Iterable[Claim]) -> str:
    """Returns what moved between two runs whose seeds differ, as a section.

    Only numbers about trained models that both runs have are counted.

    Args:
        first: claims of the run with the preset's own seeds.
        second: claims of the run with others.
    """
    by_id = {claim.id: claim for claim in second}
    pairs = [
        (claim, by_id[claim.id])
        for claim in first
        if claim.subject == "models"
        and claim.id in by_id
        and all(map(math.isfinite, (claim.value, by_id[claim.id].value)))
    ]
    outside = [
        one.id
        for one, other in pairs
        if not (
            one.low <= other.value <= one.high or other.low <= one.value <= other.high
        )
    ]
    differ = [one.id for one, other in pairs if one.wording != other.wording]
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
    return "\n\n".join(
        [
            "## What moved between two runs",
            "All models, prompts and probes of the two runs have other seeds. Of "
            f"{len(pairs)} numbers about trained models that both have, so many lie "
            f"outside each other's intervals: {_counted(outside)}. So many verdicts "
            f"differ: {_counted(differ)}.",
            _table(header, rows),
        ]
    )


def _counted(ids: Sequence[str]) -> str:
    """Returns how many there are, and which."""
    return f"{len(ids)} ({', '.join(map(plain, ids))})" if ids else "0"


def _section(heading: str, claims: Sequence[Claim], paper: str = "") -> list[str]:
    return [f"### {heading}", table(claims, paper)] if claims else []


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
