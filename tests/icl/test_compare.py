"""Distances and their intervals against direct sums, scipy and scikit-learn."""

import jax
import numpy as np
import pytest
import scipy.stats
import sklearn.linear_model

from icl import LinearRegression
from icl.baselines import Ridge
from icl.compare import (
    LEVEL,
    ImpliedWeights,
    bootstrap_means,
    implied_weight_difference,
    implied_weights,
    interval,
    linearity,
    squared_prediction_difference,
)

# A mean of random draws is held to its expectation within this many standard errors:
# chance is beyond it once in two million comparisons.
SIGMAS = 5.0


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def standard_error(estimate):
    batch = len(estimate.per_prompt)
    return estimate.per_prompt.std(axis=0, ddof=1) / np.sqrt(batch)


# --- Bootstrap -----------------------------------------------------------------------


def test_a_resample_is_a_mean_over_prompts_drawn_with_replacement(rng):
    values = rng.normal(size=(7, 2, 3))
    means = bootstrap_means(values, resamples=20, seed=5)
    counts = np.random.default_rng(5).multinomial(7, np.full(7, 1 / 7), size=20)
    for mean, count in zip(means, counts, strict=True):
        drawn = values.repeat(count, axis=0)
        assert len(drawn) == 7
        # Another order of adding seven float64 numbers.
        np.testing.assert_allclose(mean, drawn.mean(axis=0), rtol=1e-12, atol=1e-15)


def test_an_interval_beside_infinity_is_no_nan():
    draws = np.repeat([-np.inf, 1.0, np.inf], [25, 900, 75])
    # Ranks 24.975 and 974.025 of 999: between -inf and 1, and among infinities.
    assert interval(draws) == (-np.inf, np.inf)
    assert interval(np.where(draws < 0, 0.5, draws)) == (0.5, np.inf)


def test_intervals_agree_with_scipy(rng):
    values = rng.gamma(2.0, size=(60, 5))  # skewed: not only the width is tested
    resamples = 4000
    low, high = interval(bootstrap_means(values, resamples=resamples))
    reference = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        method="percentile",
        confidence_level=LEVEL,
        rng=1,
    ).confidence_interval
    # A 2.5 % quantile of B normal draws has an error of sqrt(0.025 0.975 / B) / 0.058
    # deviations; here two of them are compared.
    scale = values.std(axis=0) / np.sqrt(60)
    error = np.sqrt(2) * np.sqrt(0.025 * 0.975 / resamples) / 0.058 * scale
    assert (np.abs(low - reference.low) < SIGMAS * error).all()
    assert (np.abs(high - reference.high) < SIGMAS * error).all()


def test_intervals_cover_the_truth_as_often_as_they_say(rng):
    trials = 1000
    a = rng.normal(size=(100, trials))
    estimate = squared_prediction_difference(a, np.zeros_like(a))
    covered = ((estimate.low <= 1) & (1 <= estimate.high)).mean()
    # 0.95, with the binomial error of 1000 trials, and 0.02 less for what percentile
    # intervals of a skewed mean are known to lack at 100 prompts.
    error = np.sqrt(0.95 * 0.05 / trials)
    assert 0.95 - 0.02 - SIGMAS * error < covered < 0.95 + SIGMAS * error


def test_resamples_are_paired(rng):
    a, b = rng.normal(size=(2, 30, 4))
    together = bootstrap_means(a - b)
    apart = bootstrap_means(a) - bootstrap_means(b)
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-14)  # float64 rounding
    assert not np.allclose(bootstrap_means(a), bootstrap_means(a, seed=1))


def test_every_prompt_alike_leaves_no_interval():
    estimate = squared_prediction_difference(np.full((6, 2), 3.0), np.ones((6, 2)))
    for ends in (estimate.value, estimate.low, estimate.high):
        np.testing.assert_allclose(ends, 4.0, rtol=1e-15)


# --- Squared prediction difference ---------------------------------------------------


def test_spd_by_a_loop(rng):
    a, b = rng.normal(size=(2, 9, 4))
    estimate = squared_prediction_difference(a, b, divide_by=3)
    for i in range(4):
        squares = [(a[p, i] - b[p, i]) ** 2 / 3 for p in range(9)]
        np.testing.assert_allclose(estimate.per_prompt[:, i], squares, rtol=1e-14)
        assert estimate.value[i] == pytest.approx(sum(squares) / 9, rel=1e-14)
        assert estimate.low[i] < estimate.value[i] < estimate.high[i]


def test_float32_arrays_of_jax_are_compared_in_float64():
    a = jax.numpy.full((4, 2), 1 + 2**-20, np.float32)
    estimate = squared_prediction_difference(a, np.ones((4, 2), np.float32))
    assert estimate.value.dtype == np.float64
    np.testing.assert_array_equal(estimate.value, 2.0**-40)


# --- Implied weights -----------------------------------------------------------------


def linear_data(rng, *, batch=4, length=3, count=30, dim=5, constant=0.0):
    queries = rng.normal(size=(batch, length, count, dim))
    weights = rng.normal(size=(batch, length, dim))
    predictions = np.einsum("blqd,bld->blq", queries, weights) + constant
    return queries, weights, predictions


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("count", [7, 100])
def test_a_linear_learner_gives_its_weights_away(rng, intercept, count):
    constant = 2.5 if intercept else 0.0
    queries, weights, predictions = linear_data(rng, count=count, constant=constant)
    fit = implied_weights(queries, predictions, intercept=intercept)
    # Float64 rounding, times the square of a condition number of up to 1e3 or so for
    # the smallest number of queries.
    np.testing.assert_allclose(fit.weights, weights, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fit.intercept, constant, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fit.residual, 0, atol=1e-18)
    np.testing.assert_allclose(fit.bias, 0, atol=1e-16)
    np.testing.assert_allclose(linearity(fit).value, 1, rtol=1e-15)


def test_no_query_too_many_spoils_the_digits(rng):
    queries, weights, predictions = linear_data(rng, count=100)
    fit = implied_weights(queries, predictions)
    # As above, with well-conditioned queries: a few units in the last place.
    np.testing.assert_allclose(fit.weights, weights, rtol=0, atol=1e-14)


@pytest.mark.parametrize("intercept", [False, True])
def test_the_fit_is_that_of_scikit_learn(rng, intercept):
    queries, _, predictions = linear_data(rng, constant=1.0)
    predictions += np.sin(3 * queries[..., 0])
    fit = implied_weights(queries, predictions, intercept=intercept)
    for p, i in np.ndindex(queries.shape[:2]):
        x, y = queries[p, i], predictions[p, i]
        model = sklearn.linear_model.LinearRegression(fit_intercept=intercept)
        model.fit(x, y)
        # Two float64 solvers of a well-conditioned problem.
        np.testing.assert_allclose(fit.weights[p, i], model.coef_, rtol=1e-11)
        assert fit.intercept[p, i] == pytest.approx(model.intercept_, rel=1e-11)
        residuals = y - model.predict(x)
        design = np.column_stack([x, np.ones(len(x))]) if intercept else x
        leverage = np.diag(design @ np.linalg.pinv(design))
        expected = (residuals**2 / (1 - leverage)).mean()
        assert fit.residual[p, i] == pytest.approx(expected, rel=1e-11)
        total = y.var(ddof=1) if intercept else (y**2).mean()
        assert fit.total[p, i] == pytest.approx(total, rel=1e-12)


def test_the_bias_is_the_hc2_variance(rng):
    """MacKinnon and White 1985: (X'X)^-1 X' diag(e^2 / (1 - h)) X (X'X)^-1."""
    queries, _, predictions = linear_data(rng, batch=2, length=1)
    predictions += queries[..., 0] ** 2
    fit = implied_weights(queries, predictions)
    for p in range(2):
        x = queries[p, 0]
        inverse = np.linalg.inv(x.T @ x)
        residuals = predictions[p, 0] - x @ fit.weights[p, 0]
        meat = x.T @ np.diag(residuals**2 / (1 - np.diag(x @ inverse @ x.T))) @ x
        expected = np.trace(inverse @ meat @ inverse)
        # Another order of float64 products.
        assert fit.bias[p, 0] == pytest.approx(expected, rel=1e-10)


def test_a_learner_of_this_library_gives_its_weights_away():
    task = LinearRegression(dim=2, length=5)
    prompts = task.sample(jax.random.key(0), batch=3)
    queries = task.sample_inputs(jax.random.key(1), (3, 5, 12))
    learner = Ridge(0.5)
    fit = implied_weights(queries, learner.predict_at(prompts, queries))
    # The learner itself answers in float32.
    np.testing.assert_allclose(fit.weights, learner(prompts).weights, atol=1e-5)


# --- Implied linear weight difference ------------------------------------------------


DIM = 8
BEST = np.linspace(1, -1, DIM)

# Functions that are not linear, with their best linear weights under x ~ N(0, I):
# E[x x1^2] = 0 and E[x1 x1^3] = 3.
CURVED = {
    "square": (lambda x: x @ BEST + 0.7 * (x[..., 0] ** 2 - 1), BEST),
    "cube": (lambda x: x @ BEST + 0.3 * x[..., 0] ** 3, BEST + 0.9 * np.eye(DIM)[0]),
}


def fit_of(rng, function, *, batch, count, intercept=False):
    queries = rng.normal(size=(batch, 1, count, DIM))
    return implied_weights(queries, function(queries), intercept=intercept)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("name", CURVED)
def test_the_number_of_queries_does_not_bias_the_distance(rng, name, intercept):
    function, best = CURVED[name]
    fit = fit_of(rng, function, batch=1000, count=20 * DIM, intercept=intercept)
    other = best - 0.2  # a learner whose weights are at a known distance
    expected = DIM * 0.2**2
    truth = np.broadcast_to(other, fit.weights.shape)
    corrected = implied_weight_difference(fit, truth)
    plain = implied_weight_difference(fit.weights, truth)
    error = standard_error(corrected)
    assert abs(corrected.value - expected) < SIGMAS * error
    assert plain.value - expected > 2 * SIGMAS * error


def test_with_few_queries_most_of_the_bias_is_gone(rng):
    function, best = CURVED["square"]
    fit = fit_of(rng, function, batch=20_000, count=5 * DIM)
    truth = np.broadcast_to(best, fit.weights.shape)
    corrected = implied_weight_difference(fit, truth, resamples=10)
    plain = implied_weight_difference(fit.weights, truth, resamples=10)
    # What is left falls with q^2: measured 8 % here, with an error of half a percent.
    assert abs(corrected.value[0]) < 0.12 * plain.value[0]


def test_equal_residual_variance_leaves_no_bias_with_few_queries(rng):
    def noisy(x):
        return x @ BEST + 0.5 * rng.normal(size=x.shape[:-1])

    fit = fit_of(rng, noisy, batch=20_000, count=2 * DIM)
    truth = np.broadcast_to(BEST, fit.weights.shape)
    corrected = implied_weight_difference(fit, truth, resamples=10)
    plain = implied_weight_difference(fit.weights, truth, resamples=10)
    error = standard_error(corrected)
    assert abs(corrected.value) < SIGMAS * error < plain.value


def test_two_fits_lose_both_their_biases(rng):
    function, _ = CURVED["square"]
    one, other = (fit_of(rng, function, batch=1000, count=160) for _ in "ab")
    estimate = implied_weight_difference(one, other)
    assert abs(estimate.value) < SIGMAS * standard_error(estimate)
    assert (one.bias + other.bias).mean() > 2 * SIGMAS * standard_error(estimate)


def test_for_linear_learners_both_distances_are_the_same_number(rng):
    batch, length = 4000, 3
    a, b = rng.normal(size=(2, batch, length, DIM))
    xs = rng.normal(size=(batch, length, DIM))
    ilwd = implied_weight_difference(a, b, divide_by=DIM)
    spd = squared_prediction_difference(
        np.einsum("bld,bld->bl", a, xs),
        np.einsum("bld,bld->bl", b, xs),
        divide_by=DIM,
    )
    assert (ilwd.value > 1.5).all()  # E|a - b|^2 / d = 2
    paired = spd.per_prompt - ilwd.per_prompt
    error = paired.std(axis=0) / np.sqrt(batch)
    assert (np.abs(paired.mean(axis=0)) < SIGMAS * error).all()


def test_ilwd_of_fits_is_ilwd_of_the_weights(rng):
    queries, a, predictions = linear_data(rng, count=100)
    b = rng.normal(size=a.shape)
    fitted = implied_weight_difference(implied_weights(queries, predictions), b)
    given = implied_weight_difference(a, b)
    for x, y in zip(fitted, given, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)  # float64 rounding of the fit
    direct = ((a - b) ** 2).sum(axis=-1)
    np.testing.assert_allclose(given.per_prompt, direct, rtol=1e-14)
    np.testing.assert_allclose(given.value, direct.mean(axis=0), rtol=1e-14)


# --- Linearity -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [12, 40])
def test_linearity_with_few_queries_and_residuals_of_equal_variance(rng, count):
    def noisy(x):
        return x @ BEST + 0.5 * rng.normal(size=x.shape[:-1])

    known = (BEST @ BEST) / (BEST @ BEST + 0.25)
    r2 = linearity(fit_of(rng, noisy, batch=4000, count=count))
    error = (r2.high - r2.low) / (2 * 1.96)
    assert abs(r2.value - known) < SIGMAS * error < 0.01


@pytest.mark.parametrize("intercept", [False, True])
def test_linearity_of_a_function_whose_r2_is_known(rng, intercept):
    # Var(w.x) = |w|^2 and Var(c (x1^2 - 1)) = 2 c^2, uncorrelated.
    function, _ = CURVED["square"]
    known = (BEST @ BEST) / (BEST @ BEST + 2 * 0.7**2)
    fit = fit_of(rng, function, batch=1000, count=20 * DIM, intercept=intercept)
    r2 = linearity(fit)
    error = (r2.high - r2.low) / (2 * 1.96)
    assert abs(r2.value - known) < SIGMAS * error < 0.01
    assert r2.low < r2.value < r2.high


def test_linearity_is_a_ratio_of_means(rng):
    function, _ = CURVED["square"]
    fit = fit_of(rng, function, batch=10, count=40)
    r2 = linearity(fit)
    np.testing.assert_allclose(r2.value, 1 - fit.residual.mean() / fit.total.mean())
    np.testing.assert_allclose(r2.per_prompt, 1 - fit.residual / fit.total)


def test_a_constant_needs_an_intercept(rng):
    queries, _, predictions = linear_data(rng, count=200, constant=5.0)
    assert (linearity(implied_weights(queries, predictions)).value < 0.9).all()


def test_a_learner_that_predicts_nothing_has_no_linearity(rng):
    queries, _, predictions = linear_data(rng)
    predictions[:, 0] = 0
    r2 = linearity(implied_weights(queries, predictions))
    for each in (r2.value, r2.low, r2.high):
        assert np.isnan(each[0])
        np.testing.assert_allclose(each[1:], 1, rtol=1e-12)


# --- Bad input -----------------------------------------------------------------------


def ones(*shape, spoilt=None):
    array = np.ones(shape)
    if spoilt is not None:
        array.flat[0] = spoilt
    return array


spd, ilwd = squared_prediction_difference, implied_weight_difference


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: spd(ones(4, 3), ones(4, 2)),
            r"b must have .* \(4, 3\), got .* \(4, 2\)",
        ),
        (lambda: spd(ones(4, 3), ones(1, 3)), "b must have axes"),  # never broadcast
        (lambda: spd(ones(4), ones(4)), r"a must have axes \(batch, length\)"),
        (
            lambda: spd(ones(4, 3, spoilt=np.nan), ones(4, 3)),
            "a must be finite, but 1 of",
        ),
        (
            lambda: spd(ones(4, 3), ones(4, 3, spoilt=np.inf)),
            "b must be finite, but 1 of",
        ),
        (lambda: spd(ones(1, 3), ones(1, 3)), "at least 2 prompts, got 1"),
        (lambda: spd(ones(4, 3), ones(4, 3), divide_by=0), "divide_by must be .* > 0"),
        (
            lambda: spd(ones(4, 3), ones(4, 3), resamples=0),
            "resamples must be an integer",
        ),
        (lambda: ilwd(ones(4, 3, 2), ones(4, 3, 3)), "b must have axes"),
        (lambda: ilwd(ones(4, 3), ones(4, 3)), "a must have axes"),
        (lambda: ilwd(ones(4, 3, 2, spoilt=np.nan), ones(4, 3, 2)), "a must be finite"),
        (lambda: ilwd(ones(4, 3, 2), ones(4, 3, 2, spoilt=np.nan)), "b must be finite"),
        (
            lambda: implied_weights(ones(4, 3, 9), ones(4, 3, 9)),
            "queries must have axes",
        ),
        (
            lambda: implied_weights(ones(4, 3, 9, 2), ones(4, 3, 8)),
            "predictions must have",
        ),
        (
            lambda: implied_weights(ones(4, 3, 2, 2), ones(4, 3, 2)),
            "queries must be more than the 2 fitted parameters, got 2 per prefix",
        ),
        (
            lambda: implied_weights(ones(4, 3, 3, 2), ones(4, 3, 3), intercept=True),
            "more than the 3 fitted parameters, got 3",
        ),
        (
            lambda: implied_weights(ones(4, 3, 9, 2), ones(4, 3, 9)),
            "must span all dimens",
        ),
        (
            lambda: implied_weights(ones(4, 3, 9, 2, spoilt=np.nan), ones(4, 3, 9)),
            "queries must be finite",
        ),
        (
            lambda: implied_weights(ones(4, 3, 9, 2), ones(4, 3, 9, spoilt=np.inf)),
            "predictions must be finite",
        ),
        (lambda: bootstrap_means(np.float64(1.0)), "at least 2 prompts, got 0"),
        (lambda: bootstrap_means(ones(3, spoilt=np.nan)), "per_prompt must be finite"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_one_prefix_without_enough_directions_is_noticed(rng):
    queries, _, predictions = linear_data(rng)
    queries[1, 2, :, 0] = queries[1, 2, :, 1]
    with pytest.raises(ValueError, match="span all dimensions after every prefix"):
        implied_weights(queries, predictions)


def test_the_fit_keeps_its_shapes(rng):
    queries, _, predictions = linear_data(rng, batch=4, length=3, dim=5)
    fit = implied_weights(queries, predictions)
    assert isinstance(fit, ImpliedWeights)
    assert fit.weights.shape == (4, 3, 5)
    assert {each.shape for each in fit[1:]} == {(4, 3)}
    assert linearity(fit).value.shape == (3,)
