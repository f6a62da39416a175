"""What is probed for in sums, and how much of it can be known at each character."""

import jax
import numpy as np
import pytest

from icl.codecs import Lines
from icl.targets import (
    OfLatents,
    answer_digit,
    carry,
    column_sum,
    prefix_accuracies,
    prefix_ceilings,
    sum_labels,
    sum_targets,
    target_values,
    true_weights,
)
from icl.tasks import Addition

TASK = Addition(2, "reverse")


def test_targets_of_one_sum():
    """949 + 52 = 1001: every column carries."""
    lines = Addition(3).of(np.array([949]), np.array([52]))
    values = {n: v[0].tolist() for n, v in target_values(TARGETS, lines).items()}
    assert [values[f"carry {i}"] for i in range(3)] == [[1], [1], [1]]
    assert [values[f"sum {i}"] for i in range(3)] == [[11], [9], [9]]
    assert [values[f"nine {i}"] for i in range(3)] == [[0], [1], [1]]
    assert [values[f"cascade {i}"] for i in range(3)] == [[0], [0], [1]]
    assert [np.argmax(values[f"answer {i}"]) for i in range(4)] == [1, 0, 0, 1]
    phase = target_values([answer_digit(0, 3, phase=5)], lines)["answer 0 phase 5"]
    np.testing.assert_allclose(phase, [[-1, 0]], atol=1e-6)


def test_operands_in_a_short_dtype_do_not_wrap():
    """200 + 100 is 44 in eight bits."""
    short = Addition(3).of(np.array([200], np.uint8), np.array([100], np.uint8))
    latents = {name: short.latents[name].astype(np.uint8) for name in "ab"}
    digits = sum_labels(short._replace(latents=latents), 3)
    assert [digits[f"answer {i}"].tolist() for i in range(4)] == [[0], [0], [3], [0]]


def test_labels_of_sums_are_what_their_digits_say():
    lines = Addition(3).test(50)
    labels = sum_labels(lines, 3)
    assert list(labels) == list(sum_targets(3))
    a, b = (np.asarray(lines.latents[name])[:, 0] for name in "ab")
    for i in range(4):
        np.testing.assert_array_equal(labels[f"answer {i}"], (a + b) // 10**i % 10)
    np.testing.assert_array_equal(labels["carry 2"], (a + b) // 1_000)
    np.testing.assert_array_equal(labels["sum 0"], a % 10 + b % 10)
    assert {array.dtype.kind for array in labels.values()} == {"i"}
    with pytest.raises(ValueError, match="digits must be an integer >= 1"):
        sum_labels(lines, 0)


TARGETS = list(sum_targets(3).values())


def one_digit(column, digit):
    """Returns whether a digit of the answer is this one, a coordinate of its target."""
    whole = answer_digit(column, 3)
    return OfLatents(whole.name, lambda latents: whole.function(latents)[:, [digit]])


def test_ceilings_of_three_digits_are_those_of_the_enumeration():
    """R2 by token a2 a1 a0 + b2 b1 b0 = for padded sums, over all 10^6 pairs.

    One digit stands for all ten, which would take ten times as long: another digit in
    the same column of the first operand turns each into the next.
    """
    lines = Addition(3).every_sum()
    lines = lines._replace(ids=lines.ids[:, :8])
    wanted = [maker(i, 3) for maker in (carry, column_sum) for i in range(3)]
    digits = [one_digit(0, 3), one_digit(1, 0), one_digit(2, 9), one_digit(3, 1)]
    found = prefix_ceilings([*wanted, *digits], lines)
    expected = {
        "carry 0": [0, 0, 0.3333, 0.3333, 0.3333, 0.3333, 1, 1],
        "carry 1": [0, 0.33, 0.3333, 0.3333, 0.3333, 0.9340, 1, 1],
        "carry 2": [0.33, 0.3333, 0.3333, 0.3333, 0.9333, 0.9934, 1, 1],
        "sum 0": [0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1],
        "sum 1": [0, 0.5, 0.5, 0.5, 0.5, 1, 1, 1],
        "sum 2": [0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1],
        "answer 0": [0, 0, 0, 0, 0, 0, 1, 1],
        "answer 1": [0, 0, 0, 0, 0, 0.6333, 1, 1],
        "answer 2": [0, 0, 0, 0, 0.6297, 0.9633, 1, 1],
        "answer 3": [0.33, 0.3333, 0.3333, 0.3333, 0.9333, 0.9934, 1, 1],
    }
    assert set(found) == set(expected)
    # The table has four decimals.
    for name, ceilings in expected.items():
        np.testing.assert_allclose(found[name], ceilings, atol=1e-4)


def test_ceilings_of_whole_digits_are_those_of_each_of_the_ten():
    """Two digits, of which 10^4 pairs have the ceilings of the last two of three."""
    lines = TASK.every_sum()
    lines = lines._replace(ids=lines.ids[:, 1:7])  # a1 a0 + b1 b0 =, behind a $
    found = prefix_ceilings([answer_digit(i, 2) for i in range(3)], lines)
    expected = {
        "answer 0": [0, 0, 0, 0, 1, 1],
        "answer 1": [0, 0, 0, 0.6333, 1, 1],
        "answer 2": [0.33, 0.3333, 0.3333, 0.9340, 1, 1],
    }
    for name, ceilings in expected.items():
        np.testing.assert_allclose(found[name], ceilings, atol=1e-4)


def test_ceilings_are_the_variance_of_means_given_a_prefix():
    lines = TASK.every_sum()
    shares = np.random.default_rng(0).random(10_000)
    shares[:50] = 0
    target = answer_digit(1, 2)
    found = prefix_ceilings([target], lines, shares)["answer 1"]
    values = target_values([target], lines)["answer 1"].astype(float)
    shares = shares / shares.sum()
    centred = values - shares @ values
    token, known = 4, 0.0
    ids = np.asarray(lines.ids)[:, : token + 1]
    for prefix in np.unique(ids, axis=0):
        rows = (ids == prefix).all(axis=1)
        mass = shares[rows].sum()
        if mass:
            known += np.square(shares[rows] @ centred[rows]).sum() / mass
    whole = (shares @ np.square(centred)).sum()
    np.testing.assert_allclose(found[token], known / whole)
    assert (np.diff(found) > -1e-12).all() and found[-1] == pytest.approx(1)


@pytest.mark.parametrize(
    "task",
    [
        Addition(2),
        Addition(2, left_out=(3, 70, 71)),
        Addition(2, law="lengths"),
        Addition(2, examples=300, law="carries"),
    ],
)
def test_shares_are_how_often_sums_are_drawn(task):
    shares, drawn = task.shares(), 200_000
    assert shares.shape == (10_000,) and shares.sum() == pytest.approx(1)
    lines = task.sample(jax.random.key(0), batch=drawn)
    pairs = np.asarray(lines.latents["a"] * 100 + lines.latents["b"])[:, 0]
    found = np.bincount(pairs, minlength=10_000)
    assert not found[shares == 0].any()
    # Counts are nearly Poisson: chi squared of as many degrees as there are pairs.
    kept = shares > 0
    expected = drawn * shares[kept]
    chi = (np.square(found[kept] - expected) / expected).sum()
    assert abs(chi - kept.sum()) < 5 * np.sqrt(2 * kept.sum())


def test_short_operands_tell_more_than_uniform_ones():
    """With sums of several lengths, "0" as first digit is a reason to expect more."""
    task = Addition(2, law="lengths")
    targets = [answer_digit(2, 2)]
    own = prefix_ceilings(targets, task.every_sum(), task.shares())["answer 2"]
    even = prefix_ceilings(targets, task.every_sum())["answer 2"]
    assert own[0] != pytest.approx(even[0], abs=0.01)
    uniform = prefix_ceilings(targets, task.every_sum(), Addition(2).shares())
    np.testing.assert_allclose(uniform["answer 2"], even)


def test_shares_of_long_sums_are_refused():
    with pytest.raises(ValueError, match="digits must be at most 3"):
        Addition(4).shares()


def test_the_best_guess_after_a_prefix_is_its_most_common_label():
    lines = TASK.every_sum()
    shares = np.random.default_rng(0).random(10_000)
    labels = {name: sum_labels(lines, 2)[name] for name in ("carry 1", "answer 1")}
    found = prefix_accuracies(labels, lines, shares)
    ids, shares = np.asarray(lines.ids)[:, :5], shares / shares.sum()
    for name, label in labels.items():
        right = 0.0
        for prefix in np.unique(ids, axis=0):
            rows = (ids == prefix).all(axis=1)
            right += np.bincount(label[rows], shares[rows]).max()
        np.testing.assert_allclose(found[name][4], right)
        assert (np.diff(found[name]) > -1e-12).all()
        assert found[name][-1] == pytest.approx(1)
    evenly = prefix_accuracies(labels, lines)
    # A carry out of the tens with probability .495; ten digits, not quite as probable.
    assert evenly["carry 1"][0] == pytest.approx(0.505)
    assert 0.1 <= evenly["answer 1"][0] < 0.11


def test_lines_that_cannot_differ_have_no_ceiling():
    lines = TASK.of(np.array([1, 2]), np.array([1, 2]))
    assert np.isnan(prefix_ceilings([carry(0, 2)], lines)["carry 0"]).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: carry(3, 3), "column must be an integer of at most 2, got 3"),
        (lambda: answer_digit(4, 3), "column must be an integer of at most 3, got 4"),
        (lambda: answer_digit(0, 3, phase=6), "phase must be an integer of at most 5"),
        (
            lambda: target_values([true_weights()], TASK.test(2)),
            "must be a function of",
        ),
        (
            lambda: target_values([carry(0, 2)], TASK.test(2)._replace(latents=None)),
            "target 'carry 0' needs the latent 'a'",
        ),
        (
            lambda: prefix_ceilings([carry(0, 2)], TASK.test(2), np.array([1.0, -1.0])),
            "shares must not be negative",
        ),
        (lambda: prefix_ceilings([carry(0, 2)], TASK), "lines must be lines of text"),
        (
            lambda: prefix_accuracies({"x": np.ones(3, int)}, TASK.test(2)),
            "labels 'x' must have axes",
        ),
        (
            lambda: prefix_accuracies({"x": np.ones(2)}, TASK.test(2)),
            "labels 'x' must be integers or booleans, got float64",
        ),
    ],
)
def test_bad_targets_are_refused(call, said, untyped):
    with pytest.raises(ValueError, match=said):
        call()


def test_targets_of_several_sums_are_about_the_last():
    task = Addition(2, lines=2)
    lines = task.of(np.array([[1, 99]]), np.array([[1, 1]]))
    assert isinstance(lines, Lines)
    assert target_values([carry(1, 2)], lines)["carry 1"].tolist() == [[1]]
