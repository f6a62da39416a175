"""The site's builder says what is broken: links, headings, formulas, foreign files."""

import ast
import doctest
import inspect
import re
from pathlib import Path

import pytest

from docs.website import checks, formulas, staging

PAGE = """<html><head><link rel="stylesheet" href="style.css">{head}</head>
<body><h2 id="here">Here</h2>{body}</body></html>"""


def site(folder: Path, head: str = "", body: str = "") -> Path:
    (folder / "style.css").write_text("body { color: black }")
    (folder / "index.html").write_text(PAGE.format(head=head, body=body))
    (folder / "other.html").write_text(PAGE.format(head="", body=""))
    return folder


def test_a_whole_site_has_no_problem(tmp_path):
    body = '<a href="other.html#here">a</a><a href="https://arxiv.org">b</a>'
    assert checks.check(site(tmp_path, body=body)) == []


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (
            '<a href="none.html">a</a>',
            "index.html leads to none.html: there is no such",
        ),
        ('<a href="other.html#there">a</a>', "there is no such heading"),
        ('<a href="#there">a</a>', "there is no such heading"),
        ('<img src="none.png">', "none.png: there is no such file"),
        ('<img src="https://a.org/b.png">', "loads https://a.org/b.png from another"),
        (
            '<script src="//a.org/b.js"></script>',
            "loads //a.org/b.js from another host",
        ),
        ("<p>$$ w $$</p>", "shows a formula as it is written: $$ w $$"),
        (r"<math><mi>\foo</mi></math>", r"shows a formula as it is written: \foo"),
    ],
)
def test_what_is_broken_is_said(tmp_path, body, wrong):
    (problem,) = checks.check(site(tmp_path, body=body))
    assert wrong in problem


def test_code_and_drawn_formulas_are_no_problem(tmp_path):
    body = r"<pre>$$ w $$</pre><code>\foo</code><math><mi>w</mi></math><p>\foo</p>"
    assert checks.check(site(tmp_path, body=body)) == []


@pytest.mark.parametrize(
    ("formula", "latex"),
    [
        ("w = (X'X + λI)⁻¹ X'y", r"w = (X^\top X + λI)^{-1} X^\top y"),
        ("I / √(median D²)", r"I / \sqrt{\operatorname{median} D^2}"),
        ("k(x, x')", "k(x, x')"),  # another x, and not the transpose
        ("E[r] / E[s], X E", r"\mathbb{E}[r] / \mathbb{E}[s], X E"),
        ("argmin_w ‖w‖_1", r"\operatorname{argmin}_w \Vert w\Vert _1"),
        (r"\log x + \mathrm{mean} x_{min}", r"\log x + \mathrm{mean} x_{min}"),
    ],
)
def test_formulas_in_unicode_become_latex(formula, latex):
    assert formulas.latex(formula) == latex
    assert formulas.unknown(formula) == set()


def test_examples_of_formulas():
    result = doctest.testmod(formulas)
    assert result.attempted and not result.failed


def docstrings(folder: Path):
    """Yields the file and the text of all docstrings of a package."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.get_docstring(node) if isinstance(node, documented) else None
            if text:
                yield path, inspect.cleandoc(text)


@pytest.mark.parametrize("package", ["icl", "probes"])
def test_formulas_of_docstrings_can_be_drawn(package):
    """Each is a paragraph of its own, and has no sign that is not translated."""
    found = 0
    for path, text in docstrings(staging.ROOT / package):
        for paragraph in text.split("\n\n"):
            if "$$" in paragraph:
                whole = re.fullmatch(r"\$\$(.+)\$\$", paragraph, re.DOTALL)
                assert whole, f"{path}: {paragraph}"
                formula = whole[1]
                assert formulas.unknown(formula) == set(), formula
                for first, last in ("()", "[]", "{}"):
                    assert formula.count(first) == formula.count(last), formula
                found += 1
    assert found


def test_styles_of_another_host_are_found(tmp_path):
    head = '<link rel="stylesheet" href="https://a.org/b.css">'
    folder = site(tmp_path, head=head)
    (folder / "style.css").write_text("@font-face { src: url(https://a.org/f.woff) }")
    first, second = checks.check(folder)
    assert "index.html loads https://a.org/b.css" in first
    assert "style.css loads https://a.org/f.woff" in second


def test_links_between_files_become_links_between_pages():
    pages = staging.sources()
    text = "[a](RESULTS.md#every-number) [b](docs/tasks.md) [c](https://arxiv.org)"
    page, problems = staging.rewritten(text, staging.ROOT / "README.md", pages)
    assert page == "[a](results.md#every-number) [b](tasks.md) [c](https://arxiv.org)"
    assert problems == []
    back, problems = staging.rewritten(
        "[a](../../RESULTS.md)", staging.ROOT / "docs/papers/fu2024.md", pages
    )
    assert (back, problems) == ("[a](../results.md)", [])


def test_a_link_to_what_is_no_page_is_a_problem():
    source = staging.ROOT / "README.md"
    text = "[a](pyproject.toml)\n\n```\n[b](setup.py)\n```\n"
    page, (problem,) = staging.rewritten(text, source, staging.sources())
    assert page == text
    assert problem == "README.md links to pyproject.toml, which is no page"
