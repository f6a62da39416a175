"""Runs the examples of the pages, and compares what they print with the pages."""

import doctest
from importlib.util import find_spec
from pathlib import Path

import jax

from docs.website.staging import ROOT

OPTIONS = doctest.NORMALIZE_WHITESPACE
NEEDS = {
    "docs/nnsight.md": ("torch", "transformers", "nnsight"),
    "docs/torch.md": ("torch", "transformers"),
    "docs/transformer_lens.md": ("torch", "transformer_lens"),
}
"""What the examples of a page need; `.ci/run` tests these where it is installed."""

WITH_A_RUN = "docs/csv.md"
"""Its examples read the data of a figure; tests/experiments/test_tables.py has one."""


def pages() -> list[Path]:
    """Returns the files in `docs/` that have examples which run by themselves."""
    docs = ROOT / "docs"
    elsewhere = {ROOT / WITH_A_RUN, *docs.glob("tutorials/*")}
    found = sorted(set(docs.rglob("*.md")) - elsewhere)
    return [path for path in found if ">>> " in path.read_text()]


def run(path: Path) -> list[str]:
    """Runs the examples of a page.

    Returns:
        A sentence if any of them fails; what differs is printed.
    """
    name = path.relative_to(ROOT).as_posix()
    missing = [needed for needed in NEEDS.get(name, ()) if find_spec(needed) is None]
    if missing:
        print(f"{name}: not run, because {' and '.join(missing)} is not installed")
        return []
    result = doctest.testfile(str(path), module_relative=False, optionflags=OPTIONS)
    jax.clear_caches()  # programs of one page are of no use to the next
    print(f"{name}: {result.attempted} examples, {result.failed} failed", flush=True)
    if not result.attempted:
        return [f"{name} has no example that can be run"]
    return [f"{result.failed} examples of {name} fail"] if result.failed else []
