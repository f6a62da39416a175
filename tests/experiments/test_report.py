import base64
import math
import os
import re
import struct
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from experiments.engine.claims.checklist import Statement, Topic, checklist
from experiments.engine.claims.claim import Claim
from experiments.engine.report.page import FigureResult, summary, write_report

HOLDS = Claim("p.1", "Small.", "Fig. 1a", 0.004, 0.003, 0.006, 0.01, unit="SPD / d")
FAILS = replace(HOLDS, id="p.2", value=0.2, low=0.1, high=0.3)
UNDECIDED = replace(HOLDS, id="p.3", value=math.nan, note="There was no w.")


def png(width, height):
    """The smallest honest PNG: one grey pixel after another, written by hand."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.fixture
def figure(tmp_path):
    (tmp_path / "fig1.png").write_bytes(png(30, 12))
    return FigureResult(
        name="fig1",
        title="Figure 1: the fit",
        description="Lower is closer.",
        figure_png=tmp_path / "fig1.png",
        claims=[HOLDS, FAILS, UNDECIDED],
        command="python -m experiments.akyurek2023.fig1 quick",
        config={"task": {"dim": 4}, "directory": tmp_path},
        reading="Each curve is a learner.",
    )


@pytest.fixture
def other(tmp_path):
    (tmp_path / "other.png").write_bytes(png(7, 7))
    return FigureResult("other", "Another", "No claims.", tmp_path / "other.png")


class Page(HTMLParser):
    """Every tag with its attributes, and the text inside each tag name."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.anchors = {}  # the tags around each id, with its own
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs_of = dict(attrs)
        self.tags.append((tag, attrs_of))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)
            self.anchors[attrs_of.get("id")] = tuple(self.open)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def text(self, *within):
        parts = [text for tags, text in self.texts if set(within) <= set(tags)]
        return " ".join(" ".join(parts).split())


@pytest.fixture
def page(figure, other, tmp_path):
    provenance = {"commit": "abc123", "versions": {"jax": "0.10.2"}}
    path = write_report(tmp_path / "report.html", [figure, other], provenance)
    assert path == tmp_path / "report.html"
    page = Page(path)
    assert not page.open
    return page


def test_pictures_are_part_of_the_page_and_described(page, figure, other):
    images = page.all("img")
    for image, result in zip(images, [figure, other], strict=True):
        start, data = image["src"].split(",", 1)
        assert start == "data:image/png;base64"
        assert base64.b64decode(data, validate=True) == result.figure_png.read_bytes()
        assert result.title in image["alt"] and result.description in image["alt"]
    assert [(image["width"], image["height"]) for image in images] == [
        ("30", "12"),
        ("7", "7"),
    ]


def test_nothing_is_fetched_and_nothing_runs(page):
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed", "base")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    style = page.text("style")
    assert "url(" not in style and "@import" not in style
    (policy,) = (meta for meta in page.all("meta") if "http-equiv" in meta)
    assert policy["content"].startswith("default-src 'none'")


def test_the_summary_links_to_the_row_of_every_claim(page):
    links = [attributes["href"][1:] for attributes in page.all("a")]
    assert links == ["p.1", "p.2", "p.3"]  # by verdict: holds, fails, undecided
    for link in links:
        assert page.anchors[link][-2:] == ("tbody", "tr")


def test_sections_are_collapsed_but_for_the_first_picture(page):
    opened = ["open" in attributes for attributes in page.all("details")]
    # Three verdicts, how to judge, two figures; and below, versions and settings.
    assert opened == [False] * 4 + [True, False] + [False] * 2
    assert page.text("summary").startswith("✓ holds 1 claim ✗ fails 1 claim ?")
    assert "Figure 1: the fit ✓ holds: 1 ✗ fails: 1 ? undecided" in page.text("summary")
    # What a link leads to lies inside, so that a browser opens what is around it.
    assert "details" in page.anchors["fig1"] and "details" in page.anchors["other"]


def test_every_claim_has_a_row_with_verdict_number_and_source(page):
    text = page.text("table")
    rows = re.split(r"(?=[✓✗?] (?:holds|fails|undecided))", text)[1:]
    assert rows == [
        "✓ holds Small. Fig. 1a · p.1 0.004 [0.003, 0.006] SPD / d < 0.01 ",
        "✗ fails Small. Fig. 1a · p.2 Note: Whether longer training moves it was not "
        "measured. 0.2 [0.1, 0.3] SPD / d < 0.01 ",
        "? undecided at this scale Small. Fig. 1a · p.3 Note: There was no w. "
        "could not be measured SPD / d < 0.01",
    ]
    classes = [a["class"] for a in page.all("span") if "class" in a]
    assert {"verdict holds", "verdict fails", "verdict undecided"} <= set(classes)
    assert "judges no claim" in page.text("section")


def test_the_summary_counts_verdicts(page):
    counted = "What 2 figures show. Of 3 claims, 1 holds, 1 fails and 1 is undecided"
    assert page.text("header", "dd").startswith(counted)
    assert summary([]) == "No claim is judged here."
    assert summary([HOLDS]).startswith("Of 1 claim, 1 holds, 0 fail and 0")
    assert "2 hold, 2 fail and 2 are" in summary([HOLDS, FAILS, UNDECIDED] * 2)


def test_settings_and_versions_are_at_the_foot(page, figure):
    foot = page.text("footer", "details", "pre")
    assert '"jax": "0.10.2"' in foot and '"commit": "abc123"' in foot
    assert '"dim": 4' in foot and str(figure.figure_png.parent) in foot
    folded = [tags for tags, _ in page.texts if tags[-2:] == ("details", "summary")]
    assert sum("footer" in tags for tags in folded) == 2  # `other` has no settings
    assert figure.command in page.text("main", "pre")


def test_words_are_words_and_never_html(figure, tmp_path):
    attack = "a < b & <script>alert('x')</script> \" onload=\"x"
    claim = replace(HOLDS, text=attack, source=attack, note=attack, unit=attack)
    result = replace(
        figure,
        title=attack,
        description=attack,
        reading=attack,
        claims=[claim],
        command=attack,
        config={attack: attack},
    )
    page = Page(
        write_report(
            tmp_path / "r.html",
            [result],
            {"v": attack},
            title=attack,
            caution=attack,
            asked=attack,
            glossary={attack: attack},
            missing={attack: attack},
        )
    )
    assert not page.all("script")
    assert not any("onload" in attributes for _, attributes in page.tags)
    places = (["h1"], ["h3"], ["table"], ["main", "pre"], ["title"], ["dl"], ["dt"])
    for place in (*places, ["main", "p"], ["header", "p"], ["header", "li"]):
        assert attack in page.text(*place)


# --- with the claims of a paper at its top ---

TOPIC = Topic("Behaviour", "d = 8, one model.")
STATEMENTS = [
    Statement(number, TOPIC, figure, f"It says {number}.", f"Because of {number}.")
    for number, figure in ((1, "fig1"), (2, "fig1"), (3, "fig1"), (4, "fig3"))
]


@pytest.fixture
def with_claims(figure, tmp_path):
    """Claim 1 has two numbers, 2 and 3 one each, 4 is of a figure that failed."""
    claims = [
        replace(HOLDS, id="p.1a", figure="fig1"),
        replace(FAILS, id="p.1b", figure="fig1"),
        replace(HOLDS, id="p.2", figure="fig1"),
        replace(UNDECIDED, figure="fig1"),
    ]
    configs = {"fig1": ({"layers": 2}, {"layers": 16})}
    path = write_report(
        tmp_path / "report.html",
        [replace(figure, claims=claims)],
        {},
        groups=checklist("p", STATEMENTS, claims, configs),
        missing={"fig3": "the loss is NaN <at> step 8."},
    )
    page = Page(path)
    assert not page.open
    return page


def test_the_table_has_a_row_for_every_claim_of_the_paper(with_claims):
    rows = [row for row in with_claims.all("tr") if row.get("class") == "claim"]
    assert len(rows) == len(STATEMENTS)
    text = with_claims.text("tbody")
    for statement in STATEMENTS:
        assert statement.says in text and statement.why in text
    assert TOPIC.setting in with_claims.text("main", "p")
    assert "layers 2 (paper 16)" in with_claims.text("main", "p")
    judged = re.findall(r"(\d) . (holds|fails|undecided|not judged)[^.]*It says", text)
    assert judged == [
        ("1", "fails"),
        ("2", "holds"),
        ("3", "undecided"),
        ("4", "not judged"),
    ]


def test_the_numbers_of_a_claim_link_to_their_rows(with_claims):
    anchors = [a["id"] for _, a in with_claims.tags if "id" in a]
    assert len(anchors) == len(set(anchors))
    links = [a["href"][1:] for a in with_claims.all("a")]
    of_verdicts = [f"claim-{number}" for number in (2, 1, 3, 4)]
    assert links == [*of_verdicts, "p.1a", "p.1b", "p.2", "p.3"]
    assert set(links) <= set(anchors)
    for link in links:
        assert with_claims.anchors[link][-1] == "tr"
    assert "1a ✓ holds 0.004 [0.003, 0.006] < 0.01 SPD / d 1b" in with_claims.text("li")


def test_what_is_missing_is_said_at_the_top_and_in_its_rows(with_claims):
    reason = "the loss is NaN <at> step 8."
    assert f"fig3: {reason}" in with_claims.text("header", "li")
    assert f"fig3 is missing: {reason}" in with_claims.text("tbody")


def test_the_paper_s_claims_are_counted_at_the_top(with_claims):
    counted = (
        "Of the paper's 4 claims, 3 are judged on trained models: 1 holds, 1 fails and "
        "1 is undecided at this scale (1 of those that fail hold in part). 1 is not "
        "judged here."
    )
    asked = "Which of the paper's claims hold? They are about behaviour (1 to 4)."
    assert with_claims.text("header", "dd") == f"{asked} {counted}"
    assert "A claim that is judged by several" in with_claims.text("header", "p")
    assert with_claims.text("header", "summary").startswith(
        "✓ holds 1 claim: 2 ✗ fails 1 claim: 1 ? undecided at this scale 1 claim: 3 "
        "○ not judged here 1 claim: 4"
    )


def test_a_smoke_test_says_so_first_and_begins_with_no_verdict(figure, tmp_path):
    page = Page(
        write_report(
            tmp_path / "r.html",
            [figure],
            {},
            caution="It judges nothing.",
            asked="`python -m experiments.x tiny`",
        )
    )
    assert page.text("header", "p").startswith("It judges nothing.")
    assert "python -m experiments.x tiny" in page.text("dd", "code")
    assert "Nothing that could be believed" in page.text("dd")
    header = page.text("header")
    assert "1 fails" not in header and "✗" not in header
    assert "✗" not in page.text("summary") and "✗ fails" in page.text("table")


def test_words_are_explained(figure, tmp_path):
    glossary = {"SPD": "Squared prediction difference.", "n": "Examples."}
    page = Page(write_report(tmp_path / "r.html", [figure], {}, glossary=glossary))
    assert "Words: SPD, n" in page.text("summary")
    assert (
        page.text("details", "dl") == "SPD Squared prediction difference. n Examples."
    )


def test_a_run_without_any_figure_says_why(tmp_path):
    page = Page(write_report(tmp_path / "r.html", [], {}, missing={"fig1": "No disk."}))
    assert "fig1: No disk." in page.text("header", "li")
    assert not page.all("img")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the picture of fig1 cannot be read from .*No such file.*draw it first"),
        (b"", "is not a PNG; draw it again: python -m"),
        (b"%PDF-1.7 and so on and so on", "is not a PNG"),
        (png(3, 3)[:20], "is not a PNG"),
        (png(3, 3)[:33], "is not whole; draw it again: python -m"),  # a header alone
        (png(0, 3), "is not whole"),
    ],
)
def test_a_bad_picture_is_named_and_nothing_is_written(
    figure, tmp_path, content, message
):
    figure.figure_png.unlink()
    if content is not None:
        figure.figure_png.write_bytes(content)
    (tmp_path / "report.html").write_text("the last good report")
    with pytest.raises(ValueError, match=message):
        write_report(tmp_path / "report.html", [figure], {})
    assert (tmp_path / "report.html").read_text() == "the last good report"


def test_a_pipe_in_place_of_a_picture_blocks_nothing(figure, tmp_path):
    figure.figure_png.unlink()
    os.mkfifo(figure.figure_png)
    with pytest.raises(ValueError, match=r"cannot be read from .* \(it is no file\)"):
        write_report(tmp_path / "report.html", [figure], {})


def test_figures_need_names_of_their_own(figure, tmp_path):
    for figures in ([], [figure, figure]):
        with pytest.raises(ValueError, match="each with a name of its own"):
            write_report(tmp_path / "report.html", figures, {})
