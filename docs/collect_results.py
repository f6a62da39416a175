"""Puts what figures found into RESULTS.md: `python -m docs.collect_results FOLDER ...`.

A folder is that of one run, such as `results/garg2022/shifts/shipped-bdf5f46be7a5`. The
page has a section for each figure and preset that was run alone, whose heading ends in
the command, and all of these stand under "Other papers". The section of a figure at a
preset is replaced, but for its title and for the paragraphs before its table; one that
has none gets one at the end. What `make paper` has made stands above, and is not
touched.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.engine.claims.claim import load_claims
from experiments.engine.figures import catalogue
from experiments.engine.report import markdown
from icl.files import content, parsed

RESULTS = Path(__file__).parents[1] / "RESULTS.md"
OTHERS = "\n## Other papers\n"
"""The heading under which figures have their sections."""

RUN = re.compile(r"python -m ([\w.]+) (\w+)")
"""The module and the preset of a command."""

HEADING = re.compile(r"### (.+) \(`(python -m [^`]+)`\)")


def collected(page: str, folder: Path, title: str | None = None) -> str:
    """Returns the page with the section of a run.

    Args:
        page: the text of the page.
        folder: that of the run.
        title: that of a section that is new; None is the title of the figure.

    Raises:
        ValueError: the page has no part for other papers, or a file is none of a run.
        FileNotFoundError: the folder is none of a run.
    """
    above, found, below = page.partition(OTHERS)
    if not found:
        raise ValueError(f"the page has no heading {OTHERS.strip()!r}.")
    about = parsed(content(folder / "run.json"))
    command, claims = str(about["command"]), load_claims(folder / "claims.json")
    figure = _run(command)
    first, *sections = re.split(r"\n(?=### )", below.rstrip())
    sections = [section.rstrip() for section in sections]
    at = [_run(section.partition("\n")[0]) for section in sections]
    title = title or catalogue.entry(figure[0]).title.rstrip(".")
    if figure in at:
        old = sections[at.index(figure)]
        heading = HEADING.match(old)
        title = heading[1] if heading else title
        made = markdown.figure_section(title, command, claims, _about(old))
        sections[at.index(figure)] = made
    else:
        sections.append(markdown.figure_section(title, command, claims))
    return above + OTHERS + "\n\n".join([first.rstrip(), *sections]) + "\n"


def _run(text: str) -> tuple[str, str]:
    """Returns the module and the preset of a command in a text, or nothing twice."""
    found = RUN.search(text)
    return (found[1], found[2]) if found else ("", "")


def _about(section: str) -> list[str]:
    """Returns the paragraphs between the heading of a section and its table."""
    _, *paragraphs = section.split("\n\n")
    table = next((i for i, text in enumerate(paragraphs) if text.startswith("|")), 0)
    return paragraphs[:table]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the sections of all runs that are named, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.collect_results")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--title", help="of a section that is new")
    parser.add_argument("--into", type=Path, default=RESULTS, help="the page")
    given = parser.parse_args(argv)
    try:
        page = given.into.read_text()
        for folder in given.folders:
            page = collected(page, folder, given.title)
    except (ValueError, KeyError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    given.into.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
