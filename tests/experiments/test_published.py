"""The paper's list of claims, and how it is joined with what a run found."""

import doctest
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.akyurek2023 import __main__ as paper
from experiments.akyurek2023.published import BESIDE, PAPER, PUBLISHED
from experiments.engine.claims import checklist
from experiments.engine.claims.checklist import Row, Statement, Topic
from experiments.engine.claims.claim import Claim
from experiments.engine.figures.runs import Run
from experiments.engine.report import markdown
from experiments.engine.report import paper as papers

HOLDS = Claim(
    "akyurek2023.4a", "Small.", "Fig. 1", 0.004, 0.003, 0.006, 0.01, figure="fig1"
)
FAILS = replace(HOLDS, id="akyurek2023.4b", value=0.2, low=0.1, high=0.3)
UNDECIDED = replace(HOLDS, id="akyurek2023.4c", value=math.nan)
ELSEWHERE = replace(HOLDS, id="akyurek2023.4d", figure="weights")
(FOUR,) = (statement for statement in PUBLISHED if statement.number == 4)


def joined(*claims, configs=None):
    return checklist.checklist(PAPER, PUBLISHED, claims, configs or {})


def rows(groups):
    return [row for group in groups for row in group.rows]


# --- the list ---


def test_the_claims_are_33_in_order():
    assert [statement.number for statement in PUBLISHED] == list(range(1, 34))


def test_every_claim_has_its_figure_among_those_that_are_run():
    assert {statement.figure for statement in PUBLISHED} <= set(paper.FIGURES)


def test_the_claims_of_a_topic_stand_together():
    topics = [group.topic for group in joined()]
    assert len(topics) == len(set(topics)) == 5


def test_whoever_gives_no_number_says_so():
    """A claim quotes a number, says that there is none, or is not the paper's."""
    for statement in PUBLISHED:
        silent = re.search("[Nn]o (number|error)|[Nn]ot (stated|counted)|as one likes",
                           statement.says)  # fmt: skip
        assert silent or re.search(r"\d", statement.says), statement.number
        assert statement.says.endswith(".") and statement.why.endswith(".")


# --- a row ---


@pytest.mark.parametrize(
    ("claims", "judgement", "in_part"),
    [
        ((), "missing", False),
        ((HOLDS,), "holds", False),
        ((HOLDS, HOLDS), "holds", False),
        ((HOLDS, ELSEWHERE), "holds", False),
        ((ELSEWHERE,), "missing", False),  # the figure itself says nothing
        ((HOLDS, UNDECIDED), "undecided", False),
        ((UNDECIDED,), "undecided", False),
        ((FAILS, UNDECIDED), "fails", False),
        ((HOLDS, FAILS, UNDECIDED), "fails", True),
    ],
)
def test_one_number_that_fails_makes_the_claim_fail(claims, judgement, in_part):
    row = Row(FOUR, claims)
    assert (row.judgement, row.in_part) == (judgement, in_part)


def test_claims_go_to_the_statement_of_their_number():
    other = replace(HOLDS, id="akyurek2023.14")
    beside = replace(HOLDS, id="lens.4")
    found = rows(joined(FAILS, beside, other, HOLDS))
    assert found[3].claims == (HOLDS, FAILS)  # by letter
    assert found[13].claims == (other,)
    assert not any(row.claims for row in found[:3] + found[4:13] + found[14:])


def test_the_count_is_in_words():
    alone = Statement(5, FOUR.topic, "fig1", "Small.", "So.")

    def count(*claims):
        groups = checklist.checklist(PAPER, (FOUR, alone), claims, {})
        return checklist.count(groups)

    fifth = replace(HOLDS, id="akyurek2023.5")
    other = replace(fifth, value=0.005)
    assert count(HOLDS, other) == (
        "Of the paper's 2 claims, 2 are judged on trained models: 2 hold, 0 fail and 0 "
        "are undecided at this scale."
    )
    assert count(HOLDS, FAILS) == (
        "Of the paper's 2 claims, 1 is judged on trained models: 0 hold, 1 fails and 0 "
        "are undecided at this scale (1 of those that fail hold in part). 1 is not "
        "judged here."
    )
    assert "1 holds, 0 fail and 1 is undecided" in count(UNDECIDED, fifth)
    assert count(HOLDS, fifth) == (
        "Of the paper's 2 claims, 1 is judged on trained models: 1 holds, 0 fail and 0 "
        "are undecided at this scale. Claim 5 is judged by the very number of 4, and "
        "is not counted again."
    )
    # The largest of other numbers has another interval, and may be the same number.
    again = replace(fifth, low=0.002)
    assert count(HOLDS, again) == count(HOLDS, fifth)
    assert "counted again" not in count(HOLDS, replace(fifth, high=0.02))
    theorem = replace(other, subject="theory")
    assert count(HOLDS, theorem) == (
        "Of the paper's 2 claims, 1 is judged on trained models: 1 holds, 0 fail and 0 "
        "are undecided at this scale. 1 is theory, where no trained model is looked "
        "at: 1 holds, 0 fail and 0 are undecided at this scale."
    )


def test_what_says_nothing_has_no_say_and_our_bar_is_named():
    empty = replace(FAILS, empty="it predicts 0.")
    assert Row(FOUR, (empty,)).judgement == "empty"
    assert Row(FOUR, (empty, HOLDS)).judgement == "holds"
    later = replace(FAILS, longer=(0.005, 0.004, 0.006))
    assert Row(FOUR, (later, HOLDS, UNDECIDED)).judgement == "unreached"
    ours = replace(FAILS, bar="ours")
    assert Row(FOUR, (ours, HOLDS)).wording == "fails our bar"
    assert Row(FOUR, (ours, FAILS)).wording == "fails"


def test_failing_claims_are_judged_on_models_that_trained_longer(monkeypatch, capsys):
    made = Run(Path("quick"), {}, [HOLDS, FAILS, replace(FAILS, id="p.9")])
    longer = [replace(HOLDS, value=9.0, high=9.0), replace(HOLDS, id=FAILS.id)]
    asked = []

    def run(figure, preset, config, models):
        asked.append((preset, config))
        return Run(Path("shipped"), {}, longer)

    there = {"shipped"}
    monkeypatch.setattr(papers, "run", run)
    monkeypatch.setattr(papers, "_has_models", lambda plan, models: plan[1] in there)
    presets = {"quick": 1, "shipped": 2, "longer": 3}
    figure = SimpleNamespace(presets=presets, name="experiments.p.fig1")

    def judged(made, *presets):
        return papers.judged_longer("fig1", figure, made, presets, models=None)

    holds, moved, unknown = judged(made, "best", "shipped", "longer").claims
    assert asked == [("shipped", 2)]
    assert holds == HOLDS and unknown.verdict == "fails"
    assert moved.verdict == "unreached" and moved.longer == (0.004, 0.003, 0.006)
    # Nothing to ask: no such preset, nothing that fails, or models to be trained first.
    fine = replace(made, claims=[HOLDS])
    assert judged(made, "best") == made and judged(fine, "shipped") == fine
    assert judged(made, "longer") == made and len(asked) == 1
    assert "python -m experiments.p.fig1 longer" in capsys.readouterr().err


# --- settings ---


def test_settings_that_are_the_paper_s_are_not_mentioned():
    published = {"task": {"dim": 8}, "dims": (8, 16), "train": {"clip": None}}
    as_json = {"task": {"dim": 8}, "dims": [8, 16], "train": {"clip": None}}
    assert not list(checklist.departures({"fig3": (as_json, published)}))


def test_settings_that_differ_come_with_the_paper_s():
    published = {
        "task": {"dim": 8, "length": 40},
        "model": {"layers": 16, "final_norm": False},
        "steps": None,
        "layers": (1, 16),
    }
    ours = {
        "task": {"dim": 4, "length": 40},
        "model": {"layers": 8, "final_norm": True},
        "steps": [8_000, 12_000],
        "layers": [1, 8],
        "new": 1,
    }
    assert list(checklist.departures({"fig3": (ours, published)})) == [
        "task d 4 (paper 8)",
        "model layers 8 (paper 16)",
        "model final norm yes (paper no)",
        "steps 8,000, 12,000 (paper none)",
        "layers 1, 8 (paper 1, 16)",
        "new 1 (paper none)",
    ]


def test_what_differs_in_one_figure_only_names_it():
    published = {"seeds": 3, "prompts": 500}
    configs = {
        "fig1": ({"seeds": 1, "prompts": 100}, published),
        "fig6": ({"seeds": 1, "prompts": 500}, published),
        "fig2": ({"seeds": 2, "prompts": 500}, published),  # of another topic
    }
    behaviour, noise, *others = joined(configs=configs)
    assert behaviour.departures == (
        "seeds 1 (paper 3)",
        "prompts 100 (paper 500) in fig1",
    )
    assert noise.departures == ("seeds 2 (paper 3)",)
    assert not any(group.departures for group in others)


# --- as Markdown ---


def test_the_markdown_page_has_every_claim_once_and_what_stands_beside():
    beside = replace(HOLDS, id="lens.1", text="The size |w| of w.")
    claims = [HOLDS, FAILS, beside]
    groups = joined(*claims)
    text = markdown.page("Found", groups, claims, BESIDE, {"fig3": "NaN."})
    numbers = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 34)]
    assert "| **fails**: 4a holds, 4b fails |" in text
    row = (
        "| akyurek2023.4a | Small. | 0.004 [0.003, 0.006] &lt; 0.01 |  |  | holds |  |"
    )
    assert row in text
    assert r"| lens.1 | The size \|w\| of w. |" in text
    assert f"### {BESIDE['lens']}" in text and BESIDE["steering"] not in text
    assert "fig3" in text and "NaN." in text
    cells = {len(re.split(r"(?<!\\)\|", line)) for line in text.splitlines()
             if line.startswith("|")}  # fmt: skip
    assert cells == {6, 9}  # four columns, or seven


def test_the_page_says_what_moved_between_two_runs():
    theorem = replace(HOLDS, id="p.1", subject="theory", value=9.0, high=9.0)
    unknown = replace(HOLDS, id="p.2", value=math.nan, low=math.nan, high=math.nan)
    first = [HOLDS, FAILS, UNDECIDED, theorem, unknown]
    near = replace(HOLDS, value=0.0055, high=0.008)  # HOLDS is 0.004 [0.003, 0.006]
    far = replace(FAILS, value=0.004, low=0.003, high=0.006)
    second = [near, far, replace(theorem, value=8.0), unknown]
    text = markdown.moved(first, second)
    assert "Of 2 numbers" in text
    assert f"than their two intervals allow together: 1 ({FAILS.id})." in text
    assert f"verdicts differ: 1 ({FAILS.id})." in text
    assert "| fails, then holds |" in text and "p.1" not in text and "p.2" not in text
    assert "paper's claims" not in text and "only one of the two" not in text
    text = markdown.moved(first, second, PAPER, [FOUR])
    assert "1 of them have another verdict: 4 (fails, then holds)." in text


def test_what_moved_is_counted_by_what_intervals_are_over():
    """Estimates may lie outside of each other's intervals, which allow it together."""
    over = {"interval_over": "prompts, for one trained model; simultaneous"}
    one = replace(HOLDS, value=0.5, low=0.4, high=0.6, **over)
    near, far = (replace(one, value=v, low=v - 0.1, high=v + 0.1) for v in (0.63, 0.65))
    seeds = replace(one, id="p.1", interval_over="prompts and 3 seeds")
    found = [markdown.moved([one, seeds], [other, seeds]) for other in (near, far)]
    for text, apart in zip(found, (0, 1), strict=True):
        assert f"| prompts, for one trained model | 1 | {apart} |" in text
        assert "| prompts and 3 seeds | 1 | 0 |" in text
    assert "Numbers that only one of the two runs has: 1." in markdown.moved(
        [one, seeds], [one]
    )


def test_models_that_trained_longer_make_no_difference_between_two_runs():
    """They are looked at beside the second run only."""
    later = replace(FAILS, longer=(0.005, 0.004, 0.006))
    assert later.wording != FAILS.wording
    text = markdown.moved([FAILS], [later], PAPER, [FOUR])
    assert "verdicts differ: 0." in text and "0 of them have another" in text


def test_a_topic_is_named_once():
    topic = Topic("One", "d = 1.")
    statements = [Statement(n, topic, "fig1", "Small.", "So.") for n in (1, 2)]
    (group,) = checklist.checklist("p", statements, [], {})
    assert group.topic == topic and len(group.rows) == 2


def test_examples_say_what_they_print():
    result = doctest.testmod(checklist)
    assert result.attempted > 5 and result.failed == 0
