"""Jumps in closed form: the golden table of the mirage."""

import numpy as np
import pytest

from icl.emergence import mirage, shape_of

N = np.logspace(5, 11, 13)
P = ".0004 .0036 .0187 .0597 .1360 .2435 .3679 .4927 .6058 .7013 .7779 .8371 .8817"
TABLE = {
    1: (0.1360, 0.6058, 0.880, 0.961),
    2: (0.0185, 0.3670, 0.803, 0.848),
    4: (3.42e-4, 0.1347, 0.695, 1.649),
    5: (4.65e-5, 0.0816, 0.655, 2.725),
    8: (1.17e-7, 0.0181, 0.568, 8.333),
    16: (1.4e-14, 3.3e-4, 0.445, 8.333),
}


def test_probabilities_of_a_token():
    expected = [float(number) for number in P.split()]
    np.testing.assert_allclose(mirage.token_accuracy(N), expected, atol=5.1e-5)


@pytest.mark.parametrize("tokens", TABLE)
def test_the_metric_makes_the_jump(tokens):
    small, large, *expected = TABLE[tokens]
    p = mirage.token_accuracy(N)
    exact = mirage.exact_match(p, tokens)
    # The table has two digits of the smallest.
    np.testing.assert_allclose(exact[[4, 8]], [small, large], rtol=4e-2)
    found = shape_of(exact)
    np.testing.assert_allclose(found[3:5], expected, atol=5.1e-4)
    assert bool(found.floored) == (tokens >= 8)
    # The same outputs, scored by edit distance or by log p, do not change with T.
    smooth = shape_of(-mirage.edit_distance(p, tokens))
    np.testing.assert_allclose(smooth[3:5], [0.880, 0.961], atol=5.1e-4)
    logs = shape_of(-tokens * mirage.cross_entropy(N))
    np.testing.assert_allclose(logs[3:5], [0.687, 1.823], atol=5.1e-4)


def test_the_grade_of_multiple_choice_jumps_and_brier_does_not():
    choices = mirage.sample_choices(N)
    grade = choices.accuracy()
    expected = [0, 0, 0, 0, 0, 0, 0.124, 0.983, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(grade.values, expected, atol=0.01)
    found, smooth = shape_of(grade.values), shape_of(choices.brier().values)
    assert found.normalised_linearity == pytest.approx(0.333, abs=0.01)
    assert found.floored
    np.testing.assert_allclose(smooth[3:5], [0.747, 1.48], atol=0.01)
    ends = choices.brier().values[[0, -1]]
    np.testing.assert_allclose(ends, [-1.343, -0.002], atol=0.01)


def test_a_zero_is_a_resolution():
    hits = np.random.default_rng(0).random((4000, 100)) < 0.01
    error = np.sqrt(0.366 * 0.634 / 4000)
    assert abs((~hits.any(axis=1)).mean() - mirage.no_hit(0.01, 100)) < 3 * error


def test_many_steps_make_a_smooth_curve():
    n = np.unique(np.logspace(1, 3, 40).round())
    loss = mirage.quanta_loss(n)
    slope = np.polyfit(np.log(n), np.log(loss), 1)[0]
    assert slope == pytest.approx(-0.408, abs=1.5e-3)
    assert mirage.brier(0.5) == 0.25


@pytest.mark.parametrize(
    ("exponent", "quanta", "slope"),
    [
        (0.2, 10**6, -0.237),
        (0.4, 10**6, -0.408),
        (1.0, 10**6, -0.991),
        (0.2, 10**4, -0.345),
        (0.4, 10**4, -0.487),
        (1.0, 10**4, -1.010),
    ],
)
def test_a_finite_number_of_quanta_makes_the_power_steeper(exponent, quanta, slope):
    n = np.geomspace(10, 1000, 9).round()
    loss = mirage.quanta_loss(n, exponent=exponent, quanta=quanta)
    found = np.polyfit(np.log(n), np.log(loss), 1)[0]
    assert found == pytest.approx(slope, abs=1.5e-3)


def learnt_from(examples, exponent, quanta=10**6, needed=10):
    """The quanta of which so much data has as many examples as they need."""
    use = np.arange(1.0, quanta + 1) ** -(1 + exponent)
    use /= use.sum()
    return np.searchsorted(-use, -needed / examples, side="right")


@pytest.mark.parametrize(
    ("exponent", "of_loss", "of_number"),
    [(0.2, -0.207, 0.839), (0.4, -0.296, 0.720), (1.0, -0.502, 0.511)],
)
def test_powers_of_the_amount_of_data(exponent, of_loss, of_number):
    """By theory -alpha / (1 + alpha) and 1 / (1 + alpha)."""
    examples = np.logspace(3, 6, 13)
    n = learnt_from(examples, exponent)
    loss = mirage.quanta_loss(n, exponent=exponent)
    slopes = [np.polyfit(np.log(examples), np.log(y), 1)[0] for y in (loss, n)]
    np.testing.assert_allclose(slopes, [of_loss, of_number], atol=1.5e-3)


def test_the_mean_of_steps_is_a_line_and_each_of_them_a_step():
    examples = np.logspace(2, 6, 17)
    n = learnt_from(examples, 0.4)
    loss = mirage.quanta_loss(n, exponent=0.4)
    found = shape_of(-np.log(loss))
    np.testing.assert_allclose(found[3:5], [0.995, 0.974], atol=1.5e-3)
    assert shape_of(n >= 100).floored
    # Items that need q quanta: the more, the more linear, until scale runs out.
    linear = [float(shape_of((1 - loss) ** q)[3]) for q in (1, 2, 4, 8)]
    # How the number of quanta is rounded, 11 or 12 of them, moves the third digit.
    np.testing.assert_allclose(linear, [0.821, 0.893, 0.955, 0.914], atol=5e-3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: mirage.cross_entropy([0.0]), "parameters must be above 0"),
        (lambda: mirage.cross_entropy([1.0], exponent=0.3), "exponent must be below 0"),
        (lambda: mirage.exact_match(1.1, 2), "accuracy must lie in"),
        (lambda: mirage.sample_choices([1e7, 1e8, 1e9], options=1), "options must be"),
        (lambda: mirage.quanta_loss([2.5]), "learnt must be whole numbers"),
    ],
)
def test_bad_arguments_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
