"""Where curves rise, and from where on they are above chance."""

import numpy as np
import pytest

from icl.emergence import Curve, onset, transition


def test_crossings_are_linear_in_the_logarithm_of_scale():
    found = transition(Curve([1, 10, 100, 1000], [0.0, 0.2, 0.6, 1.0]))
    assert found.x10 == pytest.approx(10**0.5)
    assert found.x50 == pytest.approx(10**1.75)
    assert found.x90 == pytest.approx(10**2.75)
    assert found.width == pytest.approx(2.25)
    assert found.monotone


def test_a_level_that_is_not_crossed_is_nan():
    curve = Curve([1, 2, 4], [0.2, 0.4, 0.8])
    found = transition(curve, low=0.0, high=1.0)
    assert np.isnan(found.x10)  # passed at the first point already
    assert found.x50 == pytest.approx(2 * 2**0.25)
    assert np.isnan(found.x90) and np.isnan(found.width)
    constant = transition(Curve([1, 2, 4], [1.0, 1.0, 1.0]))
    assert np.isnan(constant.x50) and constant.monotone


def test_levels_of_a_loss_are_losses():
    curve = Curve([1, 10, 100], [1.0, 0.1, 0.01], higher_is_better=False)
    found = transition(curve, low=1.0, high=0.0)
    assert found.x50 == pytest.approx(10 ** (0.5 / 0.9))
    logs = Curve([1, 10, 100], [1.0, 0.1, 0.01], higher_is_better=False, logarithm=True)
    assert transition(logs, low=1.0, high=0.01).x50 == pytest.approx(10)


def test_a_fall_counts_where_it_is_more_than_noise():
    rng = np.random.default_rng(0)
    scores = rng.normal([[0.0], [0.5], [0.45], [1.0]], 1.0, size=(4, 50))
    assert transition(Curve([1, 2, 3, 4], scores), resamples=200).monotone
    falls = rng.normal([[0.0], [0.9], [0.2], [1.0]], 0.2, size=(4, 50))
    assert not transition(Curve([1, 2, 3, 4], falls), resamples=200).monotone
    assert not transition(Curve([1, 2, 3], [0.0, 1.0, 0.9])).monotone


def test_intervals_of_the_transition_cover_it():
    rng = np.random.default_rng(1)
    scale, rates = 2.0 ** np.arange(7), 1 / (1 + np.exp(-1.5 * (np.arange(7) - 3)))
    truth = transition(Curve(scale, rates), low=0, high=1).x50
    inside = 0
    for repeat in range(50):
        curve = Curve(scale, rng.random((7, 200)) < rates[:, None])
        found = transition(curve, low=0, high=1, resamples=100, seed=repeat)
        inside += bool(found.x50_low <= truth <= found.x50_high)
    assert inside >= 42  # three standard errors below 95


def test_chance_has_no_onset():
    """With intervals of one scale each, one of twenty would be above chance."""
    rng, false = np.random.default_rng(0), 0
    for repeat in range(40):
        curve = Curve(np.arange(20), rng.random((20, 200)) < 0.5)
        found = onset(curve, chance=0.5, margin=0.0, resamples=200, seed=repeat)
        false += bool(np.isfinite(found.onset_high))
    assert false <= 4  # 2.5 % and three standard errors


def test_the_onset_has_an_interval():
    rng = np.random.default_rng(0)
    rates = np.array([0.25, 0.25, 0.25, 0.4, 0.9])[:, None]
    found = onset(Curve(range(5), rng.random((5, 2000)) < rates), chance=0.25)
    assert (found.onset, found.onset_low, found.onset_high) == (3, 3, 3)
    errors = 1 - (rng.random((5, 2000)) < rates)
    curve = Curve(range(5), errors, higher_is_better=False)
    assert onset(curve, chance=0.75).onset == 3
    assert onset(curve, chance=0.75, margin=0.7).onset == np.inf


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Curve([1, 2], [0, 1]), "scale must have at least 3 points, got 2"),
        (lambda: Curve([1, 3, 2], [0, 1, 2]), "scale must increase .* 2 follows 3"),
        (lambda: Curve([1, 2, 2], [0, 1, 2]), "scale must increase"),
        (lambda: Curve([1, np.inf, 3], [0, 1, 2]), "scale must be finite"),
        (lambda: Curve([1, 2, 3], [0, np.nan, 2]), "finite, and at scale 2 some"),
        (lambda: Curve([1, 2, 3], [[1, 2], [1], [1, 2]]), "from 1 to 2 items"),
        (lambda: Curve([1, 2, 3], [0, 1]), "first axis of 3 scales"),
        (
            lambda: Curve([1, 2, 3], [1, 1, 0], logarithm=True),
            "scores must be above 0 .* at scale 3",
        ),
        (lambda: transition(Curve([0, 1, 2], [0, 1, 2])), "scales above 0 .* got 0"),
        (
            lambda: transition(Curve([1, 2, 3], [0, 1, 2]), low=1, high=1),
            "low must be below high",
        ),
        (
            lambda: transition(
                Curve([1, 2, 3], [2, 1, 0], higher_is_better=False), low=0, high=2
            ),
            "low must be above high",
        ),
        (
            lambda: transition(Curve([1, 2, 3], [0, 1, 2]), low=5),
            "low must be on the other side",
        ),
        (
            lambda: onset(Curve([1, 2, 3], [0, 1, 2]), chance=0),
            "scores must hold at least 2 items",
        ),
        (
            lambda: onset(Curve([1, 2, 3], np.ones((3, 1))), chance=0),
            "at least 2 items",
        ),
    ],
)
def test_bad_curves_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
