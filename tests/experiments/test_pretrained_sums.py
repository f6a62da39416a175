"""The model that comes with the package and adds: right as often as its card says."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import icl.pretrained as pretrained
from experiments.lee2023 import formats, probed_sums
from experiments.pretrained import publish as publishing
from experiments.pretrained import sums_card
from experiments.reference_models import SUMS
from icl import inference, load_pretrained
from icl.arithmetic.pairs import count_by_carries
from icl.codecs.matching import exact_match
from icl.generation import generate
from icl.tasks import Addition


@pytest.fixture(scope="module")
def shipped():
    return load_pretrained("add3")


@pytest.fixture(scope="module")
def scores():
    return json.loads((pretrained.FOLDER / "add3" / "scores.json").read_text())


def right(shipped, lines):
    said = inference.predictions(shipped.model, lines)
    return exact_match(said, lines, shipped.task.codec)[:, 0]


def test_it_says_what_it_said_when_it_was_published(shipped):
    golden = np.load(pretrained.FOLDER / "add3" / "golden.npz")
    lines = shipped.task.of(golden["a"], golden["b"])
    tolerance = 10 * float(golden["rounding"])
    assert tolerance < 1e-2
    said = inference.predictions(shipped.model, lines)
    np.testing.assert_allclose(said, golden["predictions"], atol=tolerance)


def test_it_is_right_as_often_as_its_card_says(shipped, scores):
    share = right(shipped, shipped.task.test(2_000)).mean()
    assert scores["exact"]["low"] - 0.002 < share
    # 799 wrong answers among a million sums are two of these at most.
    assert scores["wrong"] < 2_000
    assert {row["wrong"] for row in scores["by_carries"]} != {0}
    for name in ("by_carries", "by_cascade"):
        assert sum(row["wrong"] for row in scores[name]) == scores["wrong"]
        assert sum(row["sums"] for row in scores[name]) == scores["sums"]


def test_it_errs_where_its_card_says(shipped, scores):
    misses = scores["misses"]
    lines = shipped.task.of(*(np.array([m[x] for m in misses]) for x in "ab"))
    assert not right(shipped, lines).any()
    written = generate(shipped.model, lines)
    task = shipped.task
    said = [task.parse(task.codec.text(line)) for line in written]
    assert said == [miss["says"] for miss in misses]


def test_it_is_the_model_that_figures_train():
    quick = formats.PRESETS["quick"]
    assert SUMS in formats.settings(quick)
    assert probed_sums.PRESETS["quick"].setting == SUMS


def planted(task):
    """Logits that are right but for sums of 9 and something, which end too early."""

    def logits(lines):
        ids = np.asarray(lines.ids)[:, task.codec.start + 1 :]
        said = np.where((lines.latents["a"] == 9), 0, ids)
        return np.eye(task.codec.entries)[said]

    return SimpleNamespace(task=task, model=logits)


def test_what_is_wrong_is_counted(monkeypatch):
    monkeypatch.setattr(sums_card, "generate", lambda model, lines: lines.ids)
    task = Addition(digits=2, layout="reverse", examples=60)
    scores = sums_card.measure(planted(task), 2_000)
    assert scores["sums"] == 10_000 and scores["wrong"] == 100
    assert scores["exact"]["value"] == pytest.approx(0.99, abs=0.01)
    assert scores["exact"]["low"] < 0.99 < scores["exact"]["high"]
    assert [row["sums"] for row in scores["by_carries"]] == count_by_carries(2)
    # 09 + b carries in the units for the 90 b that do not end in 0, and twice from 91.
    assert [row["wrong"] for row in scores["by_carries"]] == [10, 81, 9]
    assert [row["wrong"] for row in scores["by_cascade"]] == [91, 9]
    assert scores["misses"][0] == {"a": 9, "b": 0, "says": 9}


def test_its_card_has_its_numbers(shipped, scores):
    text = sums_card.card("add3", shipped, scores, about())
    shown = pretrained.card("add3")
    first = text.partition("## How it was trained")[0]
    assert first == shown.partition("## How it was trained")[0]
    sums_card.draw(shipped, scores)


def about():
    return {
        "seed": 0,
        "hours": 0.1,
        "hardware": "an abacus",
        "versions": {"jax": "0"},
        "date": "2026",
    }


def test_other_tasks_have_no_such_card(shipped):
    with pytest.raises(ValueError, match="must be an Addition of padded lines"):
        sums_card.addition_of(replace(shipped, task=Addition(padded=False)))


def test_the_folder_is_that_of_the_command():
    assert publishing.SHIPPED["add3"] == SUMS
