"""The task of sums: what it draws, what it refuses, and how answers are graded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl import LinearRegression, ModelConfig, TrainConfig, inference, load, save, train
from icl.arithmetic.columns import carries
from icl.codecs import Characters
from icl.codecs.matching import answer_numbers, exact_match, right_characters
from icl.generation import generate
from icl.model.building import build
from icl.tasks import Addition
from icl.testing import check_task

KEY = jax.random.key(0)
MODEL = ModelConfig(layers=1, width=8)


@pytest.mark.parametrize(
    "task",
    [
        Addition(2, "reverse", examples=300, positions="coupled", room=3),
        Addition(1, "simplified", corrupt=("A", "C")),
        Addition(2, padded=False, lines=2, loss_on="all", law="lengths"),
    ],
    ids=lambda task: task.layout,
)
def test_it_is_a_task_as_any_other(task):
    check_task(task)


@pytest.fixture(scope="module")
def trained():
    config = TrainConfig(
        steps=30, batch=64, chunk=30, evaluate_every=30, held_out=64, warmup=0.05
    )
    return train(Addition(1, "reverse", examples=60), MODEL, config, key=KEY)


def test_it_trains_through_the_same_program(trained, tmp_path):
    loss = trained.history.held_out_loss
    assert loss.dims == ("evaluation", "character")
    assert loss.character.values.tolist() == [5, 6, 7, 8]  # s0, s1, $ and the end
    assert (loss[-1] < loss[0]).all()
    save(tmp_path, trained)
    again, lines = load(tmp_path), trained.task.test(40)
    assert again.task == trained.task
    said = [inference.predictions(each.model, lines) for each in (again, trained)]
    np.testing.assert_array_equal(*said, strict=True)


def test_teacher_forcing_says_what_greedy_decoding_says(trained):
    """On lines of which some are what the model itself writes, and so are right."""
    model, codec = trained.model, trained.model.codec
    lines = trained.task.every_sum()
    written = generate(model, lines)
    answers = np.asarray(lines.answers)
    np.testing.assert_array_equal(written[~answers], lines.ids[~answers])
    rng = np.random.default_rng(0)
    ids = np.where(rng.random((100, 1)) < 0.5, written, lines.ids)
    spoilt = rng.random(100) < 0.2  # one character each is another
    at = rng.choice(np.flatnonzero(answers[0]), 100)
    ids[spoilt, at[spoilt]] = (ids[spoilt, at[spoilt]] + 1) % 10
    lines = lines._replace(ids=ids)
    forced = exact_match(inference.predictions(model, lines), lines, codec)
    greedy = ((generate(model, lines) == ids) | ~answers).all(axis=1)
    np.testing.assert_array_equal(forced[:, 0], greedy)
    assert 20 < greedy.sum() < 80


def test_what_is_written_does_not_depend_on_the_batch(trained):
    lines = trained.task.test(40)
    together = generate(trained.model, lines)
    alone = generate(trained.model, jax.tree.map(lambda part: part[7:8], lines))
    np.testing.assert_array_equal(alone[0], together[7])


def test_packed_lines_are_graded_one_by_one():
    task = Addition(1, padded=False, lines=3)
    lines, codec = task.test(20, lines=3), task.codec
    logits = 9.0 * np.eye(codec.entries)[np.asarray(lines.ids)[:, 1:]]
    assert exact_match(logits, lines, codec).tolist() == [[True] * 3] * 20
    number = answer_numbers(lines.answers)
    wrong = np.argmax(number[0] == 1)
    logits[0, wrong - 1] = 0.0  # the first of the alphabet, and no right digit
    right = right_characters(logits, lines, codec)
    if lines.ids[0, wrong] != 0:
        assert exact_match(logits, lines, codec)[0].tolist() == [True, False, True]
        assert (~right[0]).sum() == 1
    assert lines.weights.sum() == lines.answers.sum()
    everything = Addition(1, padded=False, lines=3, loss_on="all").test(20, lines=3)
    assert (everything.weights.sum(axis=1) > lines.weights.sum(axis=1)).all()


def test_training_draws_from_the_set_and_the_test_from_the_rest():
    task = Addition(2, examples=200, law="carries")
    drawn = inference.sample(task, 4_000, 0)[0].latents
    sums = np.unique(np.asarray(drawn["a"] * 100 + drawn["b"]))
    assert len(sums) == 200
    tested = task.test(500).latents
    assert tested is not None
    assert not np.isin(tested["a"] * 100 + tested["b"], sums).any()
    with pytest.raises(ValueError, match="count must be at most the 9,800 sums"):
        task.test(9_801)


def test_corrupted_working_is_the_same_for_a_sum_and_its_answer_is_right():
    task = Addition(2, "simplified", corrupt=("A",))
    a, b = np.divmod(np.arange(0, 10_000, 97), 100)
    lines, again = task.of(a, b), task.of(a[7:9], b[7:9])
    np.testing.assert_array_equal(lines.ids[7:9], again.ids)
    right = Addition(2, "simplified").of(a, b)
    assert (lines.ids != right.ids).any(axis=1).sum() > 50
    for ids, one, other in zip(lines.ids, a, b, strict=True):
        line = task.codec.text(ids)
        assert task.parse(line) == one + other
        said = [int(x[0]) for x in line.split(" , C->")[1:]]
        both = np.array([one]), np.array([other])
        assert said == carries(*both, 2)[0, : len(said)].tolist()


def test_coupled_positions_begin_somewhere_in_training():
    task = Addition(2, "reverse", positions="coupled", room=4)
    drawn, fixed = inference.sample(task, 200, 0)[0], task.test(3)
    units = task.codec.names.index("a0")
    assert set(np.unique(drawn.positions[:, units])) == {5, 6, 7}
    assert set(np.unique(fixed.positions[:, units])) == {5}
    signs = task.codec.names.index("+")
    assert set(np.unique(drawn.positions[:, signs])) == {1}
    assert np.asarray(drawn.positions).max() < task.codec.places
    longer = Addition(4, "reverse", positions="coupled", room=4)
    assert longer.codec.count == task.codec.count  # the same model reads both
    model = build(task.codec, MODEL, KEY)
    shifted = fixed._replace(positions=fixed.positions + 1)
    said = [inference.predictions(model, x) for x in (fixed, shifted, longer.test(3))]
    assert said[2].shape == (3, 11, 14)
    assert not np.allclose(said[0], said[1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"digits": 0}, "digits must be an integer >= 1, got 0"),
        ({"digits": 10}, "digits must be an integer of at most 9, got 10"),
        ({"examples": 0}, "examples must be an integer >= 1"),
        ({"digits": 1, "examples": 100}, "examples must be fewer than the 100 sums"),
        ({"law": "carries"}, "examples must be a number for the law 'carries'"),
        ({"corrupt": ("A",)}, "corrupt is for the layout 'simplified'"),
        (
            {"layout": "simplified", "corrupt": ("B",)},
            "corrupt must be one of 'A', 'C'",
        ),
        ({"layout": "detailed", "padded": True}, "padded must be None or False"),
        ({"layout": "detailed", "wrapped": True}, "wrapped must be None or False"),
        ({"left_out": range(3)}, "left_out must be a tuple of operands"),
        ({"digits": 1, "left_out": (11,)}, "left_out must be an integer of at most 9"),
        (
            {"digits": 1, "left_out": tuple(range(9))},
            "left_out must leave two",
        ),
        ({"padded": False, "positions": "coupled"}, "need padded lines"),
        ({"lines": 2, "positions": "abacus"}, "need padded lines, one in a sequence"),
        ({"room": 2}, "room must be an integer >= 3, got 2"),
        ({"lines": 65}, "lines must be an integer of at most 64"),
    ],
)
def test_bad_tasks_are_refused(settings, said, untyped):
    with pytest.raises(ValueError, match=said):
        Addition(**settings)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda t: t.test(2, lines=2), "lines must be an integer of at most 1, got 2"),
        (lambda t: t.of([[1, 2]], [[1, 2]]), "a must have 1 to 1 sums in a sequence"),
        (lambda t: t.line(-1, 2), "a must be an integer >= 0, got -1"),
        (lambda t: t.line(1, 100), "b must be an integer of at most 99, got 100"),
        (lambda t: t.line(True, 1), "a must be an integer >= 0, got True"),
        (lambda t: t.of([100], [1]), "a must be integers from 0 to 99, got 100"),
        (lambda t: t.of([1], [-5]), "b must be integers from 0 to 99, got -5"),
        (lambda t: t.of([1.5], [1]), "a must be integers, got an array of float64"),
        (lambda t: t.of([True], [False]), "a must be integers, got an array of bool"),
        (lambda t: t.of([1, 2], [1]), "b must have axes as a"),
        (lambda t: t.codec.ids("1+x="), r"got 'x' at position 2 of '1\+x='"),
        (lambda t: t.codec.text([99]), "ids must be 0 to 13, .* got 99"),
        (lambda t: Addition(4).every_sum(), "every_sum needs digits up to 3"),
        (lambda t: Characters("aa", 4), "alphabet must hold characters once each"),
        (lambda t: Characters("ab", 4, start=3), "start must be an integer of at most"),
        (lambda t: t.codec.check(Addition(1).test(2)), "ids must have axes"),
        (
            lambda t: generate(build(LinearRegression(2, 3).codec, MODEL, KEY), None),
            "model.codec must be a codec of characters",
        ),
    ],
)
def test_bad_operands_and_texts_are_refused(call, said, untyped):
    with pytest.raises(ValueError, match=said):
        call(Addition(2))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        # JAX would take the last row, or the first, and count 2^32 as 0.
        ("positions", 1_000, "positions must be 0 to 9, the rows of the table .* 1000"),
        ("positions", -1, "positions must be 0 to 9, .* got -1"),
        ("positions", 2**32, "positions must be 0 to 9, .* got 4294967296"),
        ("positions", 0.5, "positions must be integers, got an array of float64"),
        ("ids", 2**32, "ids must be 0 to 13, the places in the alphabet, got 42949"),
        ("answers", 0.3, "answers must hold True and False, got an array of float64"),
        ("answers", np.nan, "answers must hold True and False, got an array of float"),
        ("weights", np.nan, "weights must be finite, but 20 of its 20 values are NaN"),
        ("weights", 1e300, "weights must be finite in float32"),
        ("weights", -1, "weights must not be negative, got -1"),
    ],
)
def test_lines_with_bad_numbers_are_refused(field, value, said, untyped):
    lines = Addition(2).test(2)
    bad = lines._replace(**{field: np.full(lines.ids.shape, value)})
    with pytest.raises(ValueError, match=said):
        Addition(2).codec.check(bad)
    if field == "answers":
        with pytest.raises(ValueError, match=said):
            answer_numbers(bad.answers)


def test_lines_of_short_numbers_are_checked_and_pass_through_jit():
    codec, lines = Addition(2).codec, Addition(2).test(2)
    short = lines._replace(
        ids=lines.ids.astype(np.int8), weights=lines.weights.astype(np.float16)
    )
    for checked in (codec.check(short), jax.jit(codec.check)(short)):
        np.testing.assert_array_equal(checked.ids, lines.ids)
        assert checked.weights.dtype == jnp.float32


# --- prompts that are text ------------------------------------------------------------


@pytest.mark.parametrize("layout", ["plain", "reverse", "simplified", "detailed"])
def test_prompts_that_are_text_are_the_lines_of_their_sums(layout):
    task = Addition(digits=3, layout=layout)
    asked = [(128, 367), (7, 0), (999, 999)]
    lines = task.read([task.prompt(*pair) for pair in asked])
    expected = task.of(*np.array(asked).T)
    for name in ("ids", "answers", "weights"):
        same = getattr(lines, name) == getattr(expected, name)
        assert np.asarray(same).all()
    assert task.read(task.prompt(1, 2)).ids.shape[0] == 1


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("$128+367", r"are, '\$128\+367=', got '\$128\+367'"),
        ("$128 + 367=", "must ask for a sum, as '\\$001\\+002=' does"),
        ("$12x+367=", "must ask for a sum"),
        ("$128+367=?", "are, '\\$128\\+367=', got"),
        ("$1280+367=", "operands of at most 3 digits"),
        ("$" + "9" * 5_000 + "+1=", "operands of at most 3 digits, got '\\$999"),
        ("$12+7=", "are, '\\$012\\+007=', got"),
        ("", "must ask for a sum"),
        (b"$128+367=", "prompt must be text"),
    ],
)
def test_a_prompt_that_is_none_is_refused_with_what_it_should_be(prompt, said, untyped):
    with pytest.raises(ValueError, match=said):
        Addition(digits=3, layout="reverse").read([prompt])
