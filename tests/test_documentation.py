"""Every example prints what it says; pages name commands and files that are there."""

import doctest
import importlib
import pkgutil
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import experiments.engine
import icl
import probes

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.NORMALIZE_WHITESPACE
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "RESULTS.md",
    "probes/README.md",
    "docs/arithmetic.md",
    "docs/coming_from.md",
    "docs/emergence.md",
    "docs/csv.md",
    "docs/flax.md",
    "docs/logging.md",
    "docs/nnsight.md",
    "docs/optimisers.md",
    "docs/over_training.md",
    "docs/skills.md",
    "docs/torch.md",
    "docs/transformer_lens.md",
    "docs/weights.md",
    "icl/constructed/README.md",
    "icl/pretrained/add3/README.md",
    "icl/pretrained/d8/README.md",
)


def modules():
    for package in (icl, probes, experiments.engine):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_docstrings(name, untyped):
    result = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert result.failed == 0


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/arithmetic.md",
        "docs/coming_from.md",
        "docs/emergence.md",
        "docs/flax.md",
        "docs/logging.md",
        "docs/optimisers.md",
        "docs/over_training.md",
        "docs/skills.md",
        "docs/weights.md",
        "probes/README.md",
        "icl/constructed/README.md",
    ],
)
def test_examples_of_pages(page):
    result = doctest.testfile(
        str(ROOT / page), module_relative=False, optionflags=OPTIONS
    )
    assert result.attempted > 10
    assert result.failed == 0


def test_targets_of_make_exist():
    """What the README tells people to make is there to be made."""
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = [
        line.split("make ")[1].split()[0]
        for line in readme.splitlines()
        if line.strip().startswith("make ")
    ]
    assert targets == ["shipped", "reproduce", "paper", "test"]
    assert all(f"\n{target}:" in makefile for target in targets)


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


def test_the_tree_is_the_tree():
    """Every folder and file that the README's tree names stands where it says."""
    text = (ROOT / "README.md").read_text()
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
