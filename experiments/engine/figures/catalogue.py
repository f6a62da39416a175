"""Which experiments are there, what do they show, and how long do they take?

Read from the source without importing it, so that the list appears at once: an
experiment is a module of a paper's folder that assigns `PRESETS` and `TIMES`.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Entry(NamedTuple):
    """An experiment, as the source of its module describes it.

    Attributes:
        name: the module, as in `python -m <name>`.
        doc: its docstring.
        times: how long each preset takes, in words.
    """

    name: str
    doc: str
    times: Mapping[str, str]

    @property
    def title(self) -> str:
        """A sentence that says what the experiment shows."""
        return self.doc.splitlines()[0]

    def paragraph(self, heading: str) -> str:
        """Returns the text of the paragraph that starts with `heading` and a colon."""
        for paragraph in self.doc.split("\n\n"):
            if paragraph.startswith(f"{heading}:"):
                text = " ".join(paragraph.removeprefix(f"{heading}:").split())
                return text[:1].upper() + text[1:]
        return ""


def entries() -> Iterator[Entry]:
    """Yields all experiments, papers and their figures, by name."""
    for path in sorted(ROOT.glob("*/*.py")):
        entry = read(path)
        if entry.times:
            yield entry


def entry(name: str) -> Entry:
    """Returns the entry of a module, such as "experiments.akyurek2023.fig1"."""
    path = ROOT.joinpath(*name.split(".")[1:])
    return read(path / "__main__.py" if path.is_dir() else path.with_suffix(".py"))


def read(path: Path) -> Entry:
    """Returns the docstring and `TIMES` (a literal) of a source file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    times = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TIMES":
            times = ast.literal_eval(node.value)
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__main__")
    return Entry(name, ast.get_docstring(tree) or "", times)
