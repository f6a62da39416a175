"""Gathers the pages of the site in one folder, from where they lie in the repository.

Most pages are files of `docs/`. Some lie elsewhere, because they are read there, too:
the README is the front page, and `RESULTS.md`, the changelog and the cards of the
models are pages as well. In the repository their links lead from file to file; in the
gathered folder they lead from page to page. A link to something else is an error.
"""

import os
import re
import shutil
from pathlib import Path

from docs import build_tutorials

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "build/pages"
ELSEWHERE = {
    "README.md": "index.md",
    "RESULTS.md": "results.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "CITATION.cff": "citation.md",
    "LICENSE": "license.md",
}
COPIED = (".png", ".svg", ".ipynb")
"""The kinds of files beside pages that pages may show or link to."""
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def sources() -> dict[Path, Path]:
    """Returns the page, relative to the site, that is made of each file."""
    docs = ROOT / "docs"
    found = {path: path.relative_to(docs) for path in sorted(docs.rglob("*.md"))}
    tutorials = (docs / f"tutorials/{name}.md" for name in build_tutorials.PAGES)
    found |= {path: path.relative_to(docs) for path in tutorials}  # run or not
    found |= {ROOT / name: Path(page) for name, page in ELSEWHERE.items()}
    cards = sorted((ROOT / "icl/pretrained").glob("*/README.md"))
    return found | {card: Path(f"models/{card.parent.name}.md") for card in cards}


def stage() -> list[str]:
    """Writes all pages, pictures and styles to `build/pages`; links lead between pages.

    Returns:
        A sentence for each link that leads nowhere.
    """
    shutil.rmtree(PAGES, ignore_errors=True)
    (PAGES / "assets").mkdir(parents=True)
    shutil.copyfile(Path(__file__).parent / "site.css", PAGES / "assets/site.css")
    pages, problems = sources(), []
    for source, page in pages.items():
        text = source.read_text()
        if source.suffix != ".md":
            text = f"# {source.stem.capitalize()}\n\n```\n{text}```\n"
        text, wrong = rewritten(text, source, pages)
        problems += wrong
        target = PAGES / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return problems


def rewritten(
    text: str, source: Path, pages: dict[Path, Path]
) -> tuple[str, list[str]]:
    """Returns a page whose links lead to pages, and what is wrong with its links."""
    code = [found.span() for found in FENCE.finditer(text)]
    problems = []

    def lead(found: re.Match[str]) -> str:
        target, hash_, anchor = found.group(1).partition("#")
        inside = any(start <= found.start() < end for start, end in code)
        if inside or not target or "://" in target or target.startswith("mailto:"):
            return found.group()
        file = Path(os.path.normpath(source.parent / target))
        page = pages.get(_made_of(file))
        if page is None and file.suffix in COPIED and file.exists():
            page = _copied(file)
        if page is None:
            problems.append(
                f"{source.relative_to(ROOT)} links to {target}, which is no page"
            )
            return found.group()
        here = pages[source].parent
        return f"]({Path(os.path.relpath(page, here)).as_posix()}{hash_}{anchor})"

    return LINK.sub(lead, text), problems


def _made_of(file: Path) -> Path:
    """Returns the page that is made of a tutorial's script, or of their folder."""
    if file == build_tutorials.SOURCES:
        return file / "index.md"
    tutorial = file.parent == build_tutorials.SOURCES and file.suffix == ".py"
    return file.with_suffix(".md") if tutorial else file


def _copied(file: Path) -> Path:
    """Copies a file to the gathered pages, and returns where it lies there."""
    page = Path("files") / "-".join(file.relative_to(ROOT).parts)
    (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, PAGES / page)
    return page
