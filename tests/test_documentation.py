"""Every example in a docstring, and those of the README, say what they print."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import icl
import probes

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.NORMALIZE_WHITESPACE


def modules():
    for package in (icl, probes):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield found.name
    for name in ("claims.claim", "claims.judge", "claims.statistics", "report.page"):
        yield f"experiments.engine.{name}"


@pytest.mark.parametrize("name", list(modules()))
def test_docstrings(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert result.failed == 0


@pytest.mark.parametrize("page", ["README.md", "probes/README.md"])
def test_readme(page):
    result = doctest.testfile(
        str(ROOT / page), module_relative=False, optionflags=OPTIONS
    )
    assert result.attempted > 10
    assert result.failed == 0


def test_readme_of_the_constructions():
    path = ROOT / "icl" / "constructed" / "README.md"
    result = doctest.testfile(str(path), module_relative=False, optionflags=OPTIONS)
    assert result.attempted > 10
    assert result.failed == 0


def test_readme_commands_exist():
    """What the README tells people to type is there to be typed."""
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = [
        line.split("make ")[1].split()[0]
        for line in readme.splitlines()
        if line.strip().startswith("make ")
    ]
    assert targets == ["reproduce", "test"]
    assert all(f"\n{target}:" in makefile for target in targets)
