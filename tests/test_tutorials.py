"""What must hold of the tutorials before they are run, which `make docs` does."""

import ast
import re
from pathlib import Path

import pytest

from docs import build_tutorials
from docs.build_tutorials import SOURCES, TUTORIALS

CELL = re.compile(r"^# %%.*$", re.MULTILINE)


def test_every_script_is_a_tutorial():
    assert sorted(path.stem for path in SOURCES.glob("*.py")) == sorted(TUTORIALS)


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_is_a_notebook_in_words_and_pictures_are_described(name):
    source = (SOURCES / f"{name}.py").read_text()
    ast.parse(source)
    heads, (before, *cells) = CELL.findall(source), CELL.split(source)
    assert before == "" and heads[0] == "# %% [markdown]"
    assert re.match(r'\n"""\n# .+\n\n[A-Z`]', cells[0]), "a title and a summary"
    for head, cell in zip(heads, cells, strict=True):
        assert ("plt.show()" in cell) == ('alt="' in head), cell
        assert ("[markdown]" in head) == cell.startswith('\n"""\n'), cell


@pytest.mark.parametrize("name", TUTORIALS)
def test_links_of_a_tutorial_lead_to_pages(name):
    for target in re.findall(
        r"\]\(([\w./]+\.md)\)", (SOURCES / f"{name}.py").read_text()
    ):
        path = Path(target)
        if path.parent == Path("."):
            assert path.stem in TUTORIALS, target
        else:
            assert (SOURCES / path).exists(), target


def test_the_site_says_which_pages_have_not_been_made(tmp_path, monkeypatch):
    monkeypatch.setattr(build_tutorials, "SOURCES", tmp_path)
    (said,) = build_tutorials.missing()
    assert "index.md" in said and "steering.md" in said
    for name in build_tutorials.PAGES:
        (tmp_path / f"{name}.md").write_text("")
    assert build_tutorials.missing() == []


def test_an_unknown_tutorial_is_refused_before_anything_runs(capsys):
    with pytest.raises(SystemExit) as stopped:
        build_tutorials.main(["stearing"])
    assert stopped.value.code == 2
    assert "no tutorial 'stearing'" in capsys.readouterr().err
