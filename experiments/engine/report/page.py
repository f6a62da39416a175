"""One page that holds everything: claims, the figures behind them, how they were made.

The page is a single HTML file with its pictures inside, without scripts and without
anything to fetch, so that it can be mailed, archived and read on a phone. Its looks are
in `page.html.jinja`.
"""

import base64
import json
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jinja2

from experiments.engine.claims import checklist
from experiments.engine.claims.checklist import Group, Judgement
from experiments.engine.claims.claim import Claim
from experiments.engine.report import markdown, overview
from icl.files import content, write_whole

TEMPLATE = Path(__file__).with_name("page.html.jinja")
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
SYMBOLS: dict[Judgement, str] = {
    "holds": "✓",
    "fails": "✗",
    "unreached": "…",
    "empty": "∅",
    "undecided": "?",
    "missing": "○",
}


@dataclass(frozen=True)
class FigureResult:
    """The results of a figure that the report needs.

    Attributes:
        name: name of its module, such as "fig1"; also its anchor on the page.
        title: heading.
        description: what the figure shows, in a sentence or two.
        figure_png: the picture.
        claims: what the figure says about the paper's claims; may be empty.
        command: the command line that makes it.
        config: the settings it was made with; nested mappings are welcome.
        reading: how to read the picture.
    """

    name: str
    title: str
    description: str
    figure_png: Path
    claims: Sequence[Claim] = ()
    command: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    reading: str = ""


class Picture(NamedTuple):
    """A PNG as it stands in the page: a `data:` address, and its size in pixels."""

    address: str
    width: int
    height: int


def write_report(
    path: str | os.PathLike[str],
    figures: Sequence[FigureResult],
    provenance: Mapping[str, Any],
    *,
    groups: Sequence[Group] = (),
    missing: Mapping[str, str] = MappingProxyType({}),
    title: str = "Which learning algorithm runs in the context?",
    caution: str = "",
    asked: str = "",
    glossary: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Writes the page, and returns its path.

    Args:
        path: where the page goes; it is replaced as a whole or not at all.
        figures: in the order in which they are shown.
        provenance: versions, commit, preset, date, device and the like; nested
            mappings are welcome.
        groups: a paper's claims beside ours, for a table at the top of the page.
        missing: names of figures that could not be made, and why.
        title: heading of the page.
        caution: what the reader must know first of all, such as that the run was a
            smoke test; the page then begins with no verdict.
        asked: which run the page shows, in words; code is between backticks.
        glossary: words with their meaning.

    Raises:
        ValueError: there are no figures, two have the same name, or a picture is
            missing or not a PNG.
    """
    names = [figure.name for figure in figures]
    if not (names or missing) or len(set(names)) != len(names):
        raise ValueError(
            f"a report needs figures, each with a name of its own, got {names}."
        )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,  # always: by its name the template is not taken for HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    claims = [claim for figure in figures for claim in figure.claims]
    page = environment.get_template(TEMPLATE.name).render(
        title=title,
        caution=caution,
        asked=asked,
        glossary=glossary,
        topics=overview.topics(groups),
        overview=overview.overview(groups, claims),
        tallied=overview.tallied,
        anchor=overview.row_anchor,
        summary=summary(claims),
        groups=groups,
        count=checklist.count(groups),
        rule=f"{checklist.RULE} {markdown.INTERVALS}",
        again=checklist.repeats(row for group in groups for row in group.rows),
        label=checklist.label,
        missing=missing,
        figures=figures,
        pictures={figure.name: read_picture(figure) for figure in figures},
        provenance=provenance,
        wording=checklist.JUDGEMENTS,
        symbols=SYMBOLS,
        as_json=_as_json,
    )
    return write_whole(path, page)


def summary(claims: Sequence[Claim]) -> str:
    """Returns how many claims hold, fail and are undecided, in a sentence.

    Example:
        >>> claim = Claim("x.1", "Small.", "Fig. 1", 1.0, 0.5, 3.0, threshold=2.0)
        >>> summary([claim])
        'Of 1 claim, 0 hold, 0 fail and 1 is undecided at this scale.'
    """
    if not claims:
        return "No claim is judged here."
    plural = "" if len(claims) == 1 else "s"
    counted = checklist.tally([claim.wording for claim in claims])
    return f"Of {len(claims)} claim{plural}, {counted}."


def read_picture(figure: FigureResult) -> Picture:
    """Returns the figure's picture, as the page needs it."""
    try:
        data = content(Path(figure.figure_png))
    except OSError as error:
        raise ValueError(
            f"the picture of {figure.name} cannot be read from {figure.figure_png} "
            f"({error.strerror}); draw it first: {figure.command}"
        ) from error
    if not data.startswith(PNG_START) or len(data) < 24:
        raise ValueError(
            f"the picture of {figure.name}, {figure.figure_png}, is not a PNG; draw it "
            f"again: {figure.command}"
        )
    width, height = struct.unpack(">II", data[16:24])  # first fields of the header
    if not width or not height or not data.endswith(PNG_END):
        raise ValueError(
            f"the picture of {figure.name}, {figure.figure_png}, is not whole; draw it "
            f"again: {figure.command}"
        )
    address = "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    return Picture(address, width, height)


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, default=str)
