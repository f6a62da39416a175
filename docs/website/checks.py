"""What must hold of the site: no dead link, no raw formula, nothing from elsewhere.

The generator reports broken links between pages. It does not look at pictures, nor at
what a page loads, so that all of it is checked here again, on the HTML. A formula is
raw where a page still shows its LaTeX.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Elements that make a browser load something; an <a> only leads there.
LOADS = {"script", "img", "iframe", "source", "video", "audio", "embed", "object"}
# What these elements hold is shown as it stands, or not at all.
VERBATIM = {"pre", "code", "script", "style", "annotation"}
RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "manifest"}


class Page(HTMLParser):
    """Collects the anchors of a page, where it leads, what it loads, raw formulas."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.raw: list[str] = []
        self._verbatim = self._formulas = 0  # how many such elements we are within
        self.feed(path.read_text())

    def handle_data(self, data: str) -> None:
        """Notes a formula of which MathML was not made, or not of all of it."""
        command = self._formulas and "\\" in data
        if not self._verbatim and ("$$" in data or command):
            self.raw.append(" ".join(data.split()))

    def handle_endtag(self, tag: str) -> None:
        """Leaves an element."""
        self._verbatim -= tag in VERBATIM
        self._formulas -= tag == "math"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the attributes of one element."""
        self._verbatim += tag in VERBATIM
        self._formulas += tag == "math"
        found = {name: value for name, value in attrs if value}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        address = found.get("src") or found.get("href") or found.get("data")
        if not address:
            return
        relations = set(found.get("rel", "").split())
        if tag in LOADS or (tag == "link" and relations & RELATIONS):
            self.loads.append(address)
        elif tag == "a":
            self.links.append(address)


def check(site: Path) -> list[str]:
    """Returns a sentence for everything that is wrong with a built site."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    problems = []
    for path, page in pages.items():
        name = path.relative_to(site)
        for address in page.loads + page.links:
            foreign = bool(urlsplit(address).scheme or urlsplit(address).netloc)
            if foreign and address in page.loads and not address.startswith("data:"):
                problems.append(f"{name} loads {address} from another host")
            elif not foreign and path.name != "404.html":
                wrong = _missing(address, path, pages)
                problems += [f"{name} leads to {address}: {wrong}"] if wrong else []
        problems += [f"{name} shows a formula as it is written: {x}" for x in page.raw]
    return problems + _foreign_styles(site)


def _missing(address: str, path: Path, pages: dict[Path, Page]) -> str:
    """Returns what is missing at an address within the site, or nothing."""
    parts = urlsplit(address)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return "there is no such file"
    anchor = unquote(parts.fragment)
    known = target not in pages or not anchor or anchor in pages[target].anchors
    return "" if known or anchor.startswith("__") else "there is no such heading"


def _foreign_styles(site: Path) -> list[str]:
    """Returns a sentence for each style sheet that loads from another host."""
    return [
        f"{path.relative_to(site)} loads {address} from another host"
        for path in sorted(site.rglob("*.css"))
        for address in re.findall(r"url\(['\"]?(https?:[^)'\"]+)", path.read_text())
    ]
