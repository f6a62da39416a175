"""Every example prints what it says; pages name commands and files that are there."""

import doctest
import importlib
import pkgutil
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import experiments.engine
import icl
import probes
from docs.website import staging
from experiments.engine.figures import catalogue

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.NORMALIZE_WHITESPACE
PAGES = (
    *(path.name for path in sorted(ROOT.glob("*.md"))),
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
    *(f"docs/papers/{path.name}" for path in sorted((ROOT / "docs/papers").glob("*"))),
    "icl/pretrained/d8/README.md",
)

# What these packages export is on the page of `probes`.
WITHIN = ("probes.codelength", "probes.grid", "probes.interventions")


def modules():
    for package in (icl, probes, experiments.engine):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_docstrings(name, untyped):
    result = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert result.failed == 0


def test_examples_of_the_readme():
    """Those of all other pages are run by `make docs`."""
    result = doctest.testfile(
        str(ROOT / "README.md"), module_relative=False, optionflags=OPTIONS
    )
    assert result.attempted > 10
    assert result.failed == 0


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_targets_of_make_exist():
    """What the pages tell people to make is there to be made."""
    makefile = (ROOT / "Makefile").read_text()
    named = {page: _targets((ROOT / page).read_text()) for page in PAGES}
    assert named["README.md"] == ["reproduce", "paper"]
    assert named["docs/start.md"] == ["shipped", "reproduce", "paper", "test"]
    for page, targets in named.items():
        assert all(f"\n{target}:" in makefile for target in targets), page


def test_the_list_of_figures_is_whole():
    """A figure has a row of its own, or stands beside another: "`fig4`, `fig5`"."""
    listed = (ROOT / "docs/papers/index.md").read_text()
    for entry in catalogue.entries():
        short = entry.name.rpartition(".")[2]
        assert f"`{entry.name}`" in listed or f", `{short}`" in listed, entry.name


def _targets(text: str) -> list[str]:
    lines = text.splitlines()
    return [line.split()[1] for line in lines if line.startswith("    make ")]


def test_the_site_has_every_page():
    """The navigation of the site names all pages, and none that is not there."""
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    pages = {page.as_posix() for page in staging.sources().values()}
    assert sorted(_named(navigation)) == sorted(pages)


def _named(entries) -> list[str]:
    """Returns all pages of a part: it is a page, a list of parts, or {title: part}."""
    if isinstance(entries, str):
        return [entries]
    parts = entries.values() if isinstance(entries, dict) else entries
    return [page for part in parts for page in _named(part)]


@pytest.mark.parametrize("package", [icl, probes])
def test_packages_that_export_names_have_an_api_page(package):
    """A package below `icl` or `probes` that says `import y as y` offers y to users."""
    offered = [
        Path(found.module_finder.path, found.name.rpartition(".")[2], "__init__.py")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if found.ispkg
    ]
    assert offered
    for path in offered:
        name = ".".join(path.parent.relative_to(ROOT).parts)
        if re.search(r"import (\w+) as \1$", path.read_text(), re.MULTILINE):
            page = ROOT / f"docs/api/{name}.md"
            assert page.exists() or name in WITHIN, f"{name} has no page in docs/api"


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_modules(page):
    """`python -m experiments.x` is a module, or a package that can be run."""
    text = (ROOT / page).read_text()
    named = set(
        re.findall(r"python -m\s+((?:experiments|benchmarks|docs)(?:\.\w+)*)", text)
    )
    for name in named:
        spec = find_spec(name)
        assert spec is not None, name
        runs = spec.submodule_search_locations is None or find_spec(f"{name}.__main__")
        assert runs, name


@pytest.mark.parametrize("page", PAGES)
def test_files_that_pages_name_exist(page):
    """Links and pictures are relative to their page, and paths in code to the root."""
    path = ROOT / page
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / target).exists(), target
    folders = "icl|probes|experiments|benchmarks|tests"
    for target in re.findall(rf"`((?:{folders})/[\w./]*)`", text):
        assert (ROOT / target).exists(), target


NUMBER = r"-?\d[\d.,]*(?:e-?\d+)?"
WITH_INTERVAL = re.compile(rf"{NUMBER} \[{NUMBER}, {NUMBER}\]")
"""A number as RESULTS.md writes it, such as 0.025 [0.01, 0.04]."""


@pytest.mark.parametrize("page", ("README.md", "docs/papers/akyurek2023.md"))
def test_numbers_with_an_interval_are_those_of_the_results(page):
    results = (ROOT / "RESULTS.md").read_text()
    text = " ".join((ROOT / page).read_text().split())
    found = set(WITH_INTERVAL.findall(text))
    assert {number for number in found if number not in results} == set()
    assert found or page == "README.md"


def test_the_tree_is_the_tree():
    """Every folder and file that the tree of the design names stands where it says."""
    text = (ROOT / "docs/design.md").read_text()
    block = text.split("## The tree\n\n")[1].split("\n\n")[0]
    stack, found = [(-1, ROOT)], []
    for line in block.splitlines():
        indent = len(line) - len(line.lstrip())
        if indent > 12:  # a description goes on
            continue
        for name in re.split(r"\s{2,}", line.strip())[:-1]:
            while stack[-1][0] >= indent:
                stack.pop()
            path = stack[-1][1] / name
            assert path.is_dir() if name.endswith("/") else path.is_file(), path
            found.append(path)
            if name.endswith("/"):
                stack.append((indent, path))
    for package in ("icl", "probes", "experiments"):
        there = {path for path in (ROOT / package).iterdir() if _is_source(path)}
        assert there <= set(found), f"not in the tree: {there - set(found)}"


def _is_source(path: Path) -> bool:
    if path.is_dir():
        return any(path.glob("*.py"))
    return path.suffix == ".py" and not path.name.startswith("__")
