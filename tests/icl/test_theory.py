"""Closed forms against Monte Carlo in NumPy, and against numbers known beforehand."""

import math

import jax
import numpy as np
import pytest

from icl import Prompts
from icl.constructed import linear_gradient_descent
from icl.constructed.linear_attention import optimal_step, predict_query
from icl.theory import (
    best_steps,
    context_eigenvalues,
    first_drop,
    largest_rate,
    layer_risk,
    plateaus,
    share_left,
    steps_risk,
    trained_layer,
)

RNG = np.random.default_rng(0)
UNIFORM = RNG.uniform(-0.5, 0.5, size=(8_000, 10, 10))
SPECTRUM = context_eigenvalues(UNIFORM)
VARIANCE = 1 / 12


def risk(rates, gammas=0.0, width=1.0):
    """The mean risk; inputs of another width multiply eigenvalues by its square."""
    scaled, rates = SPECTRUM * width**2, np.asarray(rates)
    return steps_risk(scaled, rates, gammas, variance=VARIANCE * width**2).mean()


# --- gradient descent and GD++ ---

# eta, gamma and the halved loss of the best shared steps, from 40,000 other contexts.
SHARED = [
    (1, False, 0.6062, 0.0, 0.2063),
    (2, False, 0.5991, 0.0, 0.1567),
    (3, False, 0.5882, 0.0, 0.1328),
    (5, False, 0.5617, 0.0, 0.1084),
    (2, True, 1.352, 0.1763, 0.1105),
    (3, True, 2.014, 0.1953, 0.0778),
    (5, True, 3.120, 0.2048, 0.0517),
]


@pytest.mark.parametrize(("steps", "plus_plus", "eta", "gamma", "half"), SHARED)
def test_best_shared_steps(steps, plus_plus, eta, gamma, half):
    """2 %: what 8,000 contexts leave of a search, and 1 % of a loss."""
    best = best_steps(SPECTRUM, steps, plus_plus=plus_plus, variance=VARIANCE)
    assert np.ptp(best.rates) == 0
    assert 2 * best.rates[0] == pytest.approx(eta, rel=0.02)
    assert best.gammas[0] == pytest.approx(gamma, rel=0.02)
    assert best.risk / 2 == pytest.approx(half, rel=0.01)
    assert risk(best.rates, best.gammas) == pytest.approx(best.risk, rel=1e-12)


@pytest.mark.parametrize(
    ("etas", "half"), [((0.401, 1.159), 0.1413), ((0.337, 0.568, 1.894), 0.1100)]
)
def test_a_rate_for_each_step_of_gradient_descent(etas, half):
    best = best_steps(SPECTRUM, len(etas), shared=False, variance=VARIANCE)
    assert best.risk / 2 == pytest.approx(half, rel=0.01)
    np.testing.assert_allclose(2 * np.sort(best.rates), etas, rtol=0.03)
    assert not best.gammas.any()
    # Steps of gradient descent commute, so that any order has the same risk.
    assert risk(best.rates[::-1]) == pytest.approx(best.risk, rel=1e-9)


def test_gd_plus_plus_with_steps_of_their_own_is_better_than_was_thought():
    """Small steps first: .0986 with eta (.667, 3.07) and gamma .248.

    A search that begins at falling rates ends in (2.12, 1.094) and .153, at .1039.
    """
    best = best_steps(SPECTRUM, 2, plus_plus=True, shared=False, variance=VARIANCE)
    falling = risk(np.array([2.12, 1.094]) / 2, np.array([0.153, 0.0]))
    assert falling / 2 == pytest.approx(0.1039, rel=0.01)
    assert best.risk / 2 == pytest.approx(0.0986, rel=0.01)
    np.testing.assert_allclose(2 * best.rates, (0.667, 3.07), rtol=0.03)


@pytest.mark.parametrize(
    ("steps", "plus_plus", "most"), [(5, False, 0.0785), (3, True, 0.054)]
)
def test_many_steps_of_their_own_are_as_good_as_a_local_search_found(
    steps, plus_plus, most
):
    best = best_steps(
        SPECTRUM, steps, plus_plus=plus_plus, shared=False, variance=VARIANCE
    )
    assert best.risk / 2 < 1.01 * most


def test_one_step_on_inputs_of_any_range_is_known_by_moments():
    """E tr S and E tr S^2 of uniform inputs give the mean that large ranges hide."""
    count = dim = 10
    for width, half in ((0.5, 0.0812), (0.75, 0.1387), (1.5, 1.204), (2.0, 8.40)):
        square, fourth = width**2 / 12, width**4 / 80
        own = dim * (fourth + (dim - 1) * square**2)  # E |x|^4
        traces = (
            dim,
            count * dim * square,
            count * (own + (count - 1) * dim * square**2),
        )
        expected = square * (traces[0] - 1.2124 * traces[1] + 0.6062**2 * traces[2])
        assert expected / 2 == pytest.approx(half, rel=2e-3)
        found = steps_risk(SPECTRUM * width**2, np.array([0.3031]), variance=square)
        error = found.std() / np.sqrt(len(found))
        assert abs(found.mean() - expected) < 4 * error


@pytest.mark.parametrize(
    ("eta", "gamma", "steps", "halves"),
    [
        (0.6062, 0.0, 1, (0.0812, 0.1387, 0.4264)),
        (0.5991, 0.0, 2, (0.0679, 0.1092, 0.5545)),
        (1.352, 0.1763, 2, (0.0492, 0.0768, 0.658)),
        (0.5617, 0.0, 5, (0.0496, 0.0774, 7.30)),
        (3.120, 0.2048, 5, (0.0232, 0.0365, 2.06)),
    ],
)
def test_inputs_of_another_range(eta, gamma, steps, halves):
    """At 1.25 a few contexts carry the mean: an eighth, and logarithms beyond that."""
    rates, bends = np.full(steps, eta / 2), np.full(steps, gamma)
    for width, half in zip((0.5, 0.75, 1.25), halves, strict=True):
        bound = 0.02 if width < 1 else 0.15 if half < 2 else 0.6
        assert abs(np.log(risk(rates, bends, width) / 2 / half)) < bound


@pytest.mark.parametrize(
    ("eta", "gamma", "steps", "halves"),
    [
        (0.5991, 0.0, 2, (5.02, 167.0)),
        (1.352, 0.1763, 2, (4.78, 7.5e3)),
        (0.5617, 0.0, 5, (1.7e3, 3.6e6)),
    ],
)
def test_far_from_training_steps_diverge(eta, gamma, steps, halves):
    """A few contexts carry the mean there: only its order of magnitude is known."""
    rates, bends = np.full(steps, eta / 2), np.full(steps, gamma)
    for width, half in zip((1.5, 2.0), halves, strict=True):
        assert abs(np.log10(risk(rates, bends, width) / 2 / half)) < 0.5


@pytest.mark.parametrize(
    ("damping", "halves"),
    [
        (1.0, (0.2063, 0.1567, 0.1331)),  # from 5 steps on a few contexts diverge
        # After 50 steps one context in 10,000 diverges, and the mean is that context's.
        (0.75, (0.2194, 0.1697, 0.1443, 0.1166, 0.0866, 0.0642)),
        (0.5, (0.2589, 0.2035, 0.1735, 0.1402, 0.1039, 0.0768, 0.0517)),
    ],
)
def test_one_step_rolled_out(damping, halves):
    for steps, half in zip((1, 2, 3, 5, 10, 20, 50), halves, strict=False):
        found = risk(np.full(steps, 0.3031 * damping)) / 2
        assert found == pytest.approx(half, rel=0.02)


def test_one_step_is_the_closed_form():
    rate, optimum = optimal_step(10, 10)
    assert risk([rate]) == pytest.approx(optimum, rel=0.01)
    assert risk([0.0]) / 2 == pytest.approx(0.41667, abs=5e-6)  # that of predicting 0
    assert best_steps(SPECTRUM, 1).rates[0] == pytest.approx(rate, rel=0.01)


def test_the_risk_is_that_of_the_constructed_layers():
    """To 1e-12 in float64, averaged over w by a basis of w."""
    dim, rate, gamma = 3, 0.05, 0.03
    xs = RNG.uniform(-1, 1, size=(4, 6, dim))
    xs[:, -1] = 0
    squares = np.zeros(4)
    model = linear_gradient_descent(3, dim, rate, gamma=gamma)
    for w in np.eye(dim):
        for query in np.eye(dim):
            asked = xs.copy()
            asked[:, -1] = query
            with jax.enable_x64(True):
                prompts = Prompts(*map(jax.numpy.asarray, (asked, asked @ w)))
                squares += np.square(predict_query(model, prompts) - w @ query)
    spectrum = context_eigenvalues(xs[:, :-1])
    expected = steps_risk(spectrum, np.full(3, rate), gamma, variance=1.0)
    np.testing.assert_allclose(squares, expected, rtol=1e-12)


def test_contexts_of_fewer_pairs_than_dimensions():
    few = context_eigenvalues(UNIFORM[:5, :3])
    assert few.shape == (5, 10) and not few[:, :7].any()
    np.testing.assert_array_equal(share_left(few, np.array([0.1]))[:, :7], 1)


def test_diverging_rates_are_refused_with_the_largest_that_converges():
    top = largest_rate(SPECTRUM)
    assert top == pytest.approx(1 / SPECTRUM.max())
    assert risk(np.full(300, 0.99 * top)) < risk([0.99 * top])
    with pytest.raises(ValueError, match=rf"rates must.* below the rate {top:g}\."):
        share_left(SPECTRUM, np.full(1_000, 5.0))
    # What is left is finite here, and its square is not.
    with pytest.raises(ValueError, match=rf"rates must.* below the rate {top:g}\."):
        steps_risk(SPECTRUM, np.full(150, 5.0))
    with pytest.raises(ValueError, match=r"rates and gammas must.*gammas above 0\.47"):
        steps_risk(SPECTRUM, np.full(20, 0.5 * top), 20.0)


# --- a layer of linear attention ---


def simulated(layer, context, query, pairs, draws=40_000):
    """Monte Carlo of the risk, and its standard error, for diagonal covariances."""
    rng, dim = np.random.default_rng(1), len(layer)
    w = rng.normal(size=(draws, dim))
    xs = rng.normal(size=(draws, pairs, dim)) * np.sqrt(context)
    asked = rng.normal(size=(draws, dim)) * np.sqrt(query)
    moment = np.einsum("bnd,bn->bd", xs, np.einsum("bnd,bd->bn", xs, w)) / pairs
    errors = np.einsum("bd,de,be->b", asked, layer, moment) - (asked * w).sum(1)
    squares = errors**2
    return squares.mean(), squares.std() / np.sqrt(draws)


@pytest.mark.parametrize(
    ("trained_on", "pairs", "share"),
    [
        (10, 10, 0.5238),
        (10, 20, 0.3991),
        (10, 40, 0.3367),
        (10, math.inf, 0.2744),
        (40, 40, 0.2157),
        (40, math.inf, 0.0465),
    ],
)
def test_risk_by_test_length(trained_on, pairs, share):
    ones = np.ones(10)
    found = layer_risk(trained_layer(ones, trained_on), ones, pairs) / 10
    assert found == pytest.approx(share, abs=6e-5)


@pytest.mark.parametrize(
    ("factor", "share"), [(0.25, 0.657), (0.5, 0.412), (1, 0.216), (2, 1.0), (4, 7.27)]
)
def test_risk_by_covariance_shift(factor, share):
    layer, shifted = trained_layer(np.ones(10), 40), np.full(10, float(factor))
    found = layer_risk(layer, shifted, 40) / (10 * factor)
    assert found == pytest.approx(share, abs=5e-3 if factor > 2 else 6e-4)
    of_the_query = layer_risk(layer, np.ones(10), 40, query_covariance=shifted)
    assert of_the_query / (10 * factor) == pytest.approx(0.2157, abs=6e-5)


def test_the_risk_of_any_matrix_is_that_of_a_simulation():
    layer = np.array([[0.5, 0.2], [-0.1, 0.8]])
    context, query = np.array([1.0, 0.3]), np.array([0.5, 2.0])
    mean, error = simulated(layer, context, query, 5)
    found = layer_risk(layer, context, 5, query_covariance=query)
    assert abs(mean - found) < 4 * error


def test_the_trained_layer_is_the_minimum():
    covariance = np.array([[1.0, 0.4], [0.4, 0.5]])
    best = trained_layer(covariance, 7)
    least = layer_risk(best, covariance, 7)
    for _ in range(20):
        other = best + 0.01 * RNG.normal(size=(2, 2))
        assert layer_risk(other, covariance, 7) > least


def test_plateaus_of_the_staircase():
    values = np.array([4.0, 2.0, 1.0, 0.5])
    levels = plateaus(values, 32)
    np.testing.assert_allclose(levels, (7.5, 3.830, 2.088, 1.298, 0.965), atol=6e-4)
    # Level m is the risk of G restricted to the m largest eigenvalues.
    whole = np.diag(trained_layer(values, 32))
    for m, level in enumerate(levels):
        part = np.diag(np.where(np.arange(4) < m, whole, 0.0))
        assert layer_risk(part, values, 32) == pytest.approx(level, rel=1e-12)
    mean, error = simulated(np.diag(whole), values, values, 32)
    assert abs(mean - levels[-1]) < 4 * error


def test_the_first_drop_of_merged_and_of_separate_weights():
    """Gradient flow on the exact risk, by small steps of Euler's method."""
    values = np.array([2.0, 0.5])
    drop = first_drop(values, 16)
    square, seen = values**2, values**2 * ((1 + 1 / 16) * values + values.sum() / 16)
    start, step = 1e-4, 1e-4
    v, u = start, start * square / np.linalg.norm(square)
    count = 0
    while v < 30 * start:
        slope = square - seen * v * u  # minus half of the risk's slope by v u
        v, u = v + 2 * step * (u @ slope), u + 2 * step * v * slope
        count += 1
    assert np.log(v / start) / (count * step) == pytest.approx(drop.rate, rel=0.01)
    assert drop.depth == pytest.approx(-np.diff(plateaus(values, 16))[0])


def test_covariances_that_are_none_are_refused():
    with pytest.raises(ValueError, match="covariance must be symmetric and positive"):
        trained_layer(np.array([[1.0, 0.0], [0.5, 1.0]]), 3)
    with pytest.raises(ValueError, match="query_covariance must have axes"):
        layer_risk(np.eye(2), np.ones(2), 3, query_covariance=np.ones(1))
    with pytest.raises(ValueError, match="eigenvalues must be above 0"):
        plateaus(np.array([1.0, 0.0]), 4)
