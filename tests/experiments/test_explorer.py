"""The numbers behind the explorer, on an untrained model of two layers."""

import jax
import numpy as np
import pytest

from experiments.explorer import pictures
from experiments.explorer.__main__ import HOST, command, main
from experiments.explorer.moves import (
    TRANSFORMER,
    Move,
    answers,
    answers_along,
    textbook,
)
from experiments.explorer.subject import Subject, find, shipped
from icl import LinearRegression, ModelConfig, Trained
from icl.model.building import build

TASK = LinearRegression(dim=2, length=5)


@pytest.fixture(scope="module")
def subject():
    fixed = LinearRegression(dim=2, length=5, fixed_weights=(1.0, 1.0))
    model = build(TASK.codec, ModelConfig(layers=2, width=8), jax.random.key(0))
    return Subject(Trained.from_model(model, fixed))


@pytest.fixture(scope="module")
def prompts(subject):
    return subject.draw(3)


@pytest.fixture(scope="module")
def learners(subject):
    return {TRANSFORMER: subject.model, **textbook(0.5, 3, 0.05)}


def test_a_move_changes_one_coordinate_and_its_label(prompts):
    moved = Move(example=2, coordinate=1, by_x=0.5, by_y=-1.0).applied(prompts)
    by_x, by_y = np.zeros((1, 5, 2)), np.zeros((1, 5))
    by_x[0, 2, 1], by_y[0, 2] = 0.5, -1.0
    np.testing.assert_allclose(moved.xs - prompts.xs, by_x, atol=1e-6)
    np.testing.assert_allclose(moved.ys - prompts.ys, by_y, atol=1e-6)


@pytest.mark.parametrize("move", [Move(example=5), Move(coordinate=2), Move(-1)])
def test_there_is_nothing_else_to_move(prompts, move):
    with pytest.raises(ValueError, match="must be"):
        move.applied(prompts)


def test_nobody_sees_a_label_before_it_is_read(prompts, learners):
    moved = Move(example=2, by_y=3.0).applied(prompts)
    before, after = answers(learners, prompts), answers(learners, moved)
    assert list(before) == [TRANSFORMER, "least squares", "ridge", "gradient descent"]
    for name, values in before.items():
        np.testing.assert_allclose(after[name][:3], values[:3], atol=1e-6)
        assert abs(after[name][3:] - values[3:]).max() > 1e-3, name


def test_least_squares_answers_the_moved_prompt(prompts, learners):
    moved = Move(example=1, coordinate=0, by_x=1.0, by_y=2.0).applied(prompts)
    xs, ys = (np.asarray(array, float)[0] for array in (moved.xs, moved.ys))
    w = np.linalg.lstsq(xs[:4], ys[:4])[0]
    assert answers(learners, moved)["least squares"][4] == pytest.approx(xs[4] @ w)


def test_along_an_input_every_answer_passes_through_its_own(prompts, learners):
    here = float(prompts.xs[0, 4, 1])
    values = np.array([here - 1, here, here + 1])
    found = answers_along(learners, prompts, context=4, coordinate=1, values=values)
    for name, values in answers(learners, prompts).items():
        assert found[name][1] == pytest.approx(values[4], abs=1e-5), name
    least, model = found["least squares"], found[TRANSFORMER]
    assert least[0] - 2 * least[1] + least[2] == pytest.approx(0, abs=1e-5)
    assert abs(model[0] - 2 * model[1] + model[2]) > 1e-5


def test_the_lens_of_the_last_layer_is_the_prediction(subject, prompts, learners):
    found = subject.lens(prompts)
    assert found.shape == (3, 5)
    own = answers(learners, prompts)[TRANSFORMER]
    np.testing.assert_allclose(found[-1], own, atol=1e-5)


def test_a_pattern_is_that_of_the_model(subject, prompts):
    pattern = subject.pattern(prompts, layer=1, head=0)
    np.testing.assert_allclose(pattern.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(np.triu(pattern, 1), 0)


def test_a_label_written_into_the_embedding_is_one_in_the_prompt(subject, prompts):
    # The embedding of a label is a line, on which writing it can only slide.
    label = float(prompts.ys[0, 1]) + 2.0
    written = subject.edited(prompts, layer=0, example=1, label=label)
    moved = Move(example=1, by_y=2.0).applied(prompts)
    expected = answers({TRANSFORMER: subject.model}, moved)[TRANSFORMER]
    np.testing.assert_allclose(written, expected, atol=1e-3)
    before = answers({TRANSFORMER: subject.model}, prompts)[TRANSFORMER]
    assert abs(written - before).max() > 1e-2


def test_probes_have_the_ceilings_of_the_task(subject):
    grid = subject.probed
    assert grid.target.values.tolist() == ["w", "X'y / n", "y of the same pair"]
    label = grid.sel(target="y of the same pair")
    at_x = label.ceiling.sel(token=["x1", "x2", "x3"]).values
    np.testing.assert_allclose(at_x, [0, 0.5, 1], atol=1e-6)  # n / d
    at_y = label.sel(token=["y1", "y4"])
    np.testing.assert_allclose(at_y.ceiling, 1)
    assert (at_y.r2.sel(layer=0) > 0.999).all()  # the embedding of y


def test_a_control_is_shown_prompts_that_differ(subject):
    prompts, hidden = subject.background
    assert np.ptp(np.asarray(prompts.weights), axis=0).min() > 1
    assert hidden.shape[:2] == (3, len(prompts.ys))


def test_pictures_are_of_the_numbers(subject, prompts, learners):
    found = answers(learners, prompts)
    labels = np.asarray(prompts.ys)[0]
    (axes,) = pictures.by_context(found, found, labels, 2).axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    np.testing.assert_allclose(drawn["ridge"], found["ridge"])
    np.testing.assert_allclose(drawn["the label"], labels)
    rows = pictures.lens(subject.lens(prompts), labels, found["least squares"])
    image = rows.axes[0].get_images()[0].get_array()
    np.testing.assert_allclose(image[-1], labels)
    axes = pictures.probed(subject.probed, "w").axes[1]
    drawn = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    np.testing.assert_allclose(drawn["ceiling"], subject.probed.ceiling.sel(target="w"))


def test_models_of_pairs_are_offered():
    assert {"d4", "d4-control", "d8"} <= set(shipped())
    with pytest.raises(ValueError, match="pairs"):
        find("add3")
    assert "add3" not in shipped()


def test_the_page_is_for_this_machine_only():
    line = command(["runs/a"], 1234, browser=False)
    assert line[line.index("--host") + 1] == HOST == "127.0.0.1"
    assert line[line.index("--") :] == ["--", "--model", "runs/a"]


def test_a_command_line_without_marimo_or_model(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([]) == 2
    assert "pip install '.[explore]'" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert main([str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
