"""What a package index, a citation manager and a public host are told is all true."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import icl
import probes

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read_yaml(name):
    return yaml.safe_load((ROOT / name).read_text())


def test_the_version_is_the_same_wherever_it_is_said():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(\d[^\]]*)\] - (\S+)$", changelog, re.MULTILINE)
    cited = read_yaml("CITATION.cff")
    assert newest[1] == cited["version"] == PROJECT["version"]
    assert newest[2] == cited["date-released"].isoformat()
    assert [author["name"] for author in cited["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]
    assert cited["license"] == PROJECT["license"]


@pytest.mark.parametrize("package", [icl, probes])
def test_packages_say_the_version_that_is_installed(package, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", {"icl-probes": "7.8.9"}.get)
    assert package.__version__ == "7.8.9"

    def not_installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", not_installed)
    assert package.__version__ == "0+unknown"
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


@pytest.mark.parametrize("package", [icl, probes])
def test_packages_bring_their_types(package):
    folder = Path(package.__file__).parent
    assert (folder / "py.typed").is_file()
    assert "__version__: str" in (folder / "__init__.pyi").read_text()


def test_the_public_host_runs_what_a_laptop_runs():
    (job,) = read_yaml(".github/workflows/ci.yml")["jobs"].values()
    assert job["steps"][-1] == {"run": "bash .ci/run"}
    versions = {
        line.rpartition(" :: ")[2]
        for line in PROJECT["classifiers"]
        if re.search(r":: 3\.\d+$", line)
    }
    (setup,) = (step["with"] for step in job["steps"] if "with" in step)
    assert set(setup["python-version"].split()) == versions
    script = (ROOT / ".ci/run").read_text()
    assert all(version in script for version in versions - {"3.11"})


def test_hooks_are_local_and_call_what_is_installed():
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")


def test_every_template_of_an_issue_asks_for_something():
    templates = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    forms = [read_yaml(path) for path in templates if path.stem != "config"]
    assert len(forms) == 3
    for form in forms:
        assert form["name"] and form["description"]
        identifiers = [field["id"] for field in form["body"]]
        assert len(set(identifiers)) == len(identifiers)
        assert any(field["validations"]["required"] for field in form["body"])
