"""Linearity and breakthroughness: golden numbers, laws, noise and intervals."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from icl.emergence import Curve, log_spaced_means, null_quantiles, shape, shape_of

T = np.linspace(0, 1, 9)
GOLDEN = {
    "line": (range(9), 8, 8, 1, 1),
    "falling line": ([-i for i in range(9)], -8, -8, -1, -1),
    "step": ([0] * 5 + [1] * 4, 2.8284, np.inf, 0.3536, 12.5),
    "sigmoid": (1 / (1 + np.exp(-30 * (T - 0.7))), 3.7736, 250.73, 0.4717, 12.5),
    "powers of two": ([2**i for i in range(9)], 4.8799, 20.1595, 0.6100, 2.5199),
    "U": ([abs(i - 4) for i in range(9)], -4, -4, -0.5, -0.5),
    "zigzag": ([i % 2 for i in range(9)], 1, 1, 0.125, 0.125),
    "late": ([0, 0, 0, 0.1, 0.9, 1], 2.7524, 10, 0.5505, 2),
    "noisy": ([0.2, 0.1, 0.3, 0.25, 0.8], 2.3497, 4.4272, 0.5874, 1.1068),
    "constant": ([3.0] * 9, 0, 0, 0, 0),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_shapes(name):
    y, *expected = GOLDEN[name]
    found = shape_of(list(y))
    # The specification gives four digits after the point, or five in all.
    np.testing.assert_allclose(found[1:5], expected, rtol=2e-5, atol=5.1e-5)
    curve = shape(Curve(np.arange(len(y)), np.asarray(y, float)))
    np.testing.assert_allclose(curve.linearity, expected[0], rtol=2e-5, atol=5.1e-5)
    assert bool(found.floored) == (name in ("step", "sigmoid"))
    assert bool(found.sign_ambiguous) == (name in ("U", "zigzag"))


def test_the_root_of_the_median_square_is_not_the_median_of_sizes():
    """Differences 1 and 3 have median square 5."""
    found = shape_of([0.0, 1.0, 4.0])
    assert found.breakthroughness == pytest.approx(4 / np.sqrt(5))


def test_noise_has_the_quantiles_of_the_specification():
    """They were drawn with one generator, n after n."""
    expected = {
        5: (0.683, 1.109, 1.796),
        7: (0.494, 0.863, 1.304),
        9: (0.386, 0.711, 1.014),
        13: (0.275, 0.506, 0.680),
    }
    generator = np.random.default_rng(0)
    for n, numbers in expected.items():
        found = shape_of(generator.standard_normal((20_000, n)))
        linearity = np.abs(found.normalised_linearity)
        breaks = np.abs(found.normalised_breakthroughness)
        again = [np.quantile(linearity, 0.95), *np.quantile(breaks, (0.95, 0.99))]
        np.testing.assert_allclose(again, numbers, atol=6e-4)
        ours = (
            null_quantiles(n, level=0.95).linearity,
            null_quantiles(n, level=0.95).breakthroughness,
            null_quantiles(n).breakthroughness,
        )
        # Both are of 20,000 curves: the 99 % quantile has a standard error of 1.5 %.
        np.testing.assert_allclose(ours, numbers, rtol=0.05)


def test_noise_of_long_curves_is_drawn_within_memory():
    found = null_quantiles(20_000, level=0.95)
    assert 0 < found.linearity < 0.01 and 0 < found.breakthroughness < 0.01


# --- laws ---

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))
curves = st.lists(numbers, min_size=3, max_size=12).map(np.array)
laws = settings(max_examples=25, deadline=None, derandomize=True)


@laws
@given(curves, st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_an_affine_change_of_scores_changes_nothing(y, factor, shift):
    assume(np.ptp(y) == 0 or np.ptp(y) > 1e-3)
    one, other = shape_of(y), shape_of(factor * y + shift)
    # Differences are rounded where the shift is large beside them.
    assume(not one.sign_ambiguous and not other.sign_ambiguous)
    np.testing.assert_allclose(one[3:5], other[3:5], rtol=1e-3, atol=1e-6)
    assert other.improvement == pytest.approx(factor * one.improvement, rel=1e-6)


@laws
@given(curves)
def test_the_negative_curve_has_negative_numbers(y):
    for one, other in zip(shape_of(y)[:5], shape_of(-y)[:5], strict=True):
        assert one == -other


@laws
@given(curves)
def test_the_reversed_curve_has_negative_numbers_unless_the_sign_is_ambiguous(y):
    one, other = shape_of(y), shape_of(y[::-1])
    assert one.sign_ambiguous == other.sign_ambiguous
    sign = 1 if one.sign_ambiguous else -1
    pairs = zip(one[:5], other[:5], strict=True)
    for a, b in pairs:
        a, b = (abs(a), abs(b)) if one.sign_ambiguous else (a, b)
        assert a == pytest.approx(sign * b, rel=1e-9)


@laws
@given(curves)
def test_no_curve_is_more_linear_than_a_line(y):
    found = shape_of(y)
    assert abs(found.normalised_linearity) <= 1 + 1e-12
    if abs(found.normalised_linearity) > 1 - 1e-12:
        np.testing.assert_allclose(np.diff(y, n=2), 0, atol=1e-5 * np.ptp(y))


@laws
@given(st.integers(3, 12), st.floats(0.01, 100))
def test_a_line_is_linear(n, slope):
    found = shape_of(slope * np.arange(n))
    assert found.normalised_linearity == pytest.approx(1)
    assert found.normalised_breakthroughness == pytest.approx(1)


@laws
@given(curves, st.floats(0.001, 0.5))
def test_the_floor_bounds_breakthroughness(y, floor):
    found = shape_of(y, floor=floor)
    most = 1 / (floor * (len(y) - 1))
    assert abs(found.normalised_breakthroughness) <= most * (1 + 1e-12)
    at_most = abs(found.normalised_breakthroughness) == pytest.approx(most)
    assert at_most or not found.floored


# --- intervals ---


def test_intervals_hold_those_of_resampled_curves():
    """By a loop: draw items, average, and take the numbers of that curve."""
    rng = np.random.default_rng(0)
    scores = rng.random((5, 40)) < np.linspace(0.1, 0.9, 5)[:, None]
    found = shape(Curve(np.arange(5), scores), resamples=200, seed=3)
    generator = np.random.default_rng(3)
    counts = generator.multinomial(40, np.full(40, 1 / 40), size=200)
    drawn = [shape_of((scores * count).sum(axis=1) / 40) for count in counts]
    for name in ("improvement", "linearity", "normalised_breakthroughness"):
        numbers = [float(getattr(one, name)) for one in drawn]
        low, high = np.quantile(numbers, (0.025, 0.975))
        value = float(found[name])
        if name != "normalised_breakthroughness":  # turned about the estimate, too
            most = {"linearity": 4}.get(name, np.inf)
            low, high = min(low, 2 * value - high), max(high, 2 * value - low)
            low, high = max(low, -most), min(high, most)
            assert float(found[f"{name}_low"]) == pytest.approx(low)
            assert float(found[f"{name}_high"]) == pytest.approx(high)
        assert found[f"{name}_low"] <= low + 1e-9 <= value + 1e-9
        assert value <= high <= found[f"{name}_high"] + 1e-9


def test_intervals_of_linearity_cover_it():
    """Also that of a straight line, which no resample is, and that of a constant."""
    rng = np.random.default_rng(1)
    sigmoid = 0.1 + 0.8 / (1 + np.exp(-5 * (2 * T - 1)))
    for rates in (sigmoid, 0.1 + 0.8 * T, np.full(9, 0.5)):
        truth = shape_of(rates.round(12))
        inside = np.zeros(2)
        for repeat in range(30):
            draws = rng.random((9, 300)) < rates[:, None]
            found = shape(Curve(np.arange(9), draws), resamples=100, seed=repeat)
            for i, name in enumerate(("linearity", "breakthroughness")):
                low, high = float(found[f"{name}_low"]), float(found[f"{name}_high"])
                inside[i] += low <= getattr(truth, name) <= high
        assert (inside >= 25).all()  # three standard errors below 95 %


def test_what_noise_makes_of_flat_parts_is_said():
    rng = np.random.default_rng(0)

    def resolved(rates, items):
        scores = rng.random((len(rates), items)) < np.asarray(rates)[:, None]
        return bool(shape(Curve(np.arange(len(rates)), scores), resamples=200).resolved)

    assert resolved(np.linspace(0.1, 0.9, 6), 500)
    assert not resolved([0.5] * 6, 500)
    assert not resolved([0.1] * 5 + [0.9] * 4, 500)


def test_a_curve_without_items_has_no_interval():
    found = shape(Curve([1, 2, 3], [0.0, 0.3, 1.0]))
    assert np.isnan(found.linearity_low) and np.isnan(found.breakthroughness_high)
    assert found.resolved and found.attrs["n"] == 3


def test_a_loss_is_turned_round_and_taken_in_logarithms():
    losses = np.array([[1.0, 3.0], [0.1, 0.3], [0.01, 0.03]])
    curve = Curve([1, 10, 100], losses, higher_is_better=False, logarithm=True)
    np.testing.assert_allclose(curve.values, -np.log10([2, 0.2, 0.02]))
    assert shape(curve, resamples=20).normalised_linearity == pytest.approx(1)
    median = Curve([1, 2, 3], [[0, 0, 9], [1, 1, 9], [2, 2, 9]], statistic="median")
    assert median.values.tolist() == [0, 1, 2]
    assert median.draws(resamples=5).shape == (5, 3)


def test_means_just_before_log_spaced_steps():
    steps, means = log_spaced_means(np.arange(60_000.0))
    expected = [1, 3, 6, 16, 39, 98, 245, 613, 1533]
    assert steps[:9].tolist() == expected and steps[-1] == 60_000
    assert means[-1] == np.arange(48_000, 60_000).mean()
