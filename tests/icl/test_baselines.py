"""The ruler, against float64 solvers, explicit loops, scikit-learn and the paper."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import sklearn.linear_model
import sklearn.neighbors
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from icl.baselines import (
    Average,
    GradientDescent,
    GradientFlow,
    LeastSquares,
    NearestNeighbors,
    Newton,
    OnePassSGD,
    PosteriorMean,
    PrefixSolution,
    Ridge,
    decompose,
    direct,
    optimal_rate,
    solve,
    spectral,
)
from icl.prompts import Prompts
from icl.tasks.linear import LinearRegression

SPECTRAL = [
    LeastSquares(),
    Ridge(0.1),
    PosteriorMean(0.5, 0.75),
    GradientDescent(1, 0.01),
    GradientDescent(9, 0.03),
    GradientDescent(),
    GradientFlow(0.05),
    Newton(0),
    Newton(4),
    Newton(4, norm="frobenius"),
    Average(),
]
SEQUENTIAL = [OnePassSGD(0.03), OnePassSGD(0.02, alpha=0.5)]
NEIGHBORS = [
    NearestNeighbors(),
    NearestNeighbors(2, "distance"),
    NearestNeighbors(2, "inverse"),
]
LEARNERS = [*SPECTRAL, *SEQUENTIAL, *NEIGHBORS]


def named(learners):
    return pytest.mark.parametrize("learner", learners, ids=lambda each: each.name)


def sample(dim=4, length=12, batch=5, *, noise_std=0.0, weight_std=1.0):
    """Most tests share the default shape, and with it compiled programs."""
    task = LinearRegression(dim, length, noise_std, weight_std)
    return task.sample(jax.random.key(0), batch=batch)


def doubles(prompts):
    return np.asarray(prompts.xs, float), np.asarray(prompts.ys, float)


def moments_before(prompts):
    """X'X and X'y of every prefix, in float64, by a loop."""
    xs, ys = doubles(prompts)
    contexts = range(xs.shape[1])
    gram = [np.einsum("bni,bnj->bij", xs[:, :i], xs[:, :i]) for i in contexts]
    moments = [np.einsum("bni,bn->bi", xs[:, :i], ys[:, :i]) for i in contexts]
    return np.stack(gram, 1), np.stack(moments, 1)


def relative_error(weights, reference):
    """Per prompt and prefix, in the norm of the weights; prefix 0 is left out."""
    error = np.linalg.norm(np.asarray(weights, float) - reference, axis=-1)
    return error[:, 1:] / np.linalg.norm(reference, axis=-1)[:, 1:]


# --- Against float64 solvers ---------------------------------------------------------


@pytest.mark.parametrize("dim", [8, 20])
def test_least_squares_is_right_to_float32_at_every_prefix(dim):
    prompts = sample(dim, dim + 10, batch=1000)
    weights = LeastSquares()(prompts).weights
    xs, ys = doubles(prompts)
    reference = np.zeros(weights.shape)
    for prompt, context in np.ndindex(*ys.shape):
        x, y = xs[prompt, :context], ys[prompt, :context]
        reference[prompt, context] = np.linalg.lstsq(x, y, rcond=None)[0]
    error = relative_error(weights, reference)
    square = error[:, dim - 1]
    # What the project asks for at n = d.
    assert np.quantile(square, 0.99) <= 1e-4
    assert square.max() <= 1e-2
    # What the method promises: rounding to float32, half a unit in the last place,
    # and eps cond^2 of the float64 Gram matrix (10: the constants of eigh).
    condition = np.linalg.cond(xs[:, :dim])
    assert np.all(square <= 6e-8 + 10 * np.finfo(float).eps * condition**2)
    # Away from n = d no condition number of these prompts reaches 1e4.
    away = np.abs(np.arange(1, dim + 10) - dim) >= 2
    assert error[:, away].max() <= 1e-7
    assert np.quantile(error, 0.99) <= 1e-7
    assert not np.asarray(weights[:, 0]).any()


@pytest.mark.parametrize(
    ("dim", "learner", "alpha"),
    [(8, PosteriorMean(0.5, 1.5), 1 / 9), (20, Ridge(0.1), 0.1)],
)
def test_ridge_is_a_direct_solve(dim, learner, alpha):
    prompts = sample(dim, dim + 10, batch=1000, noise_std=0.5)
    gram, moments = moments_before(prompts)
    gram = gram + alpha * np.eye(dim)
    reference = np.linalg.solve(gram, moments[..., None])[..., 0]
    # Condition numbers below 1e4 in float64: all that is left is float32 rounding.
    assert relative_error(learner(prompts).weights, reference).max() <= 1e-7


def test_ridge_is_scikit_learns():
    prompts = sample(noise_std=0.3)
    weights = np.asarray(Ridge(0.7)(prompts).weights)
    xs, ys = doubles(prompts)
    for prompt in range(5):
        for context in range(1, 12):
            theirs = sklearn.linear_model.Ridge(0.7, fit_intercept=False)
            theirs.fit(xs[prompt, :context], ys[prompt, :context])
            np.testing.assert_allclose(
                weights[prompt, context], theirs.coef_, rtol=1e-5, atol=1e-6
            )  # float32 rounding of coordinates that may be small


# --- Against explicit loops ----------------------------------------------------------


def assert_weights_close(solution, reference):
    """To float32: rounding of each coordinate, relative to the largest weight."""
    scale = np.abs(reference).max()
    np.testing.assert_allclose(
        solution.weights, reference, rtol=1e-6, atol=1e-6 * scale
    )


def descend(prompts, steps, rate):
    gram, moments = moments_before(prompts)
    weights = np.zeros_like(moments)
    for _ in range(steps):
        gradient = np.einsum("blij,blj->bli", gram, weights) - moments
        weights = weights - 2 * rate * gradient
    return weights


# The largest lambda is about 40: 2 rate lambda passes 1 at 0.02 (odd and even powers of
# a negative number), and 2 at 0.03, where gradient descent diverges.
@pytest.mark.parametrize("rate", [0.001, 0.02, 0.03])
@pytest.mark.parametrize("steps", [0, 1, 2, 7, 8])
def test_gradient_descent_is_its_loop(steps, rate):
    prompts = sample()
    reference = descend(prompts, steps, rate)
    assert_weights_close(GradientDescent(steps, rate)(prompts), reference)


@pytest.mark.parametrize("steps", [513, 4096])
def test_gradient_descent_is_its_loop_after_thousands_of_steps(steps):
    prompts = sample()
    reference = descend(prompts, steps, 0.003)
    assert_weights_close(GradientDescent(steps, 0.003)(prompts), reference)


def test_gradient_descent_at_a_rate_that_is_right_in_one_step():
    prompts = Prompts(jnp.ones((1, 2, 1)), jnp.full((1, 2), 3.0))
    for steps in (0, 1, 2, 3):  # 1 - 2 rate lambda is exactly 0
        weights = GradientDescent(steps, 0.5)(prompts).weights
        assert weights[0, 1, 0] == (3.0 if steps else 0.0)


@named([GradientDescent(9, 0.03), GradientFlow(0.05), Newton(4), Average()])
def test_filters_are_continuous_at_zero(learner):
    eigenvalues = jnp.array([[[0.0, 1e-9, 3.0]]])
    multipliers = learner.filter(eigenvalues, jnp.ones((1, 1, 1)))[0, 0]
    # The slope at 0 is at most about 10 in these cases.
    np.testing.assert_allclose(multipliers[0], multipliers[1], rtol=1e-6, atol=1e-7)


def test_gradient_descent_with_too_large_a_rate_goes_to_infinity_without_nan():
    prompts = sample()
    weights = GradientDescent(4096, rate=1.0)(prompts).weights
    assert jnp.isinf(weights).any()
    assert not jnp.isnan(weights).any()
    nothing = Prompts(prompts.xs, jnp.zeros_like(prompts.ys))
    assert not GradientDescent(4096, rate=1.0)(nothing).weights.any()


@pytest.mark.parametrize(("norm", "order"), [("spectral", 2), ("frobenius", "fro")])
@pytest.mark.parametrize("steps", [0, 1, 3, 12, 40])
def test_newton_is_its_loop_of_matrices(steps, norm, order):
    prompts = sample()
    gram, moments = moments_before(prompts)
    size = np.linalg.norm(gram @ gram, order, axis=(-2, -1), keepdims=True)
    inverse = gram / np.where(size > 0, size, 1)
    for _ in range(steps):
        inverse = 2 * inverse - inverse @ gram @ inverse
    # The loop amplifies rounding in null directions by 2 at each step, we do not.
    if steps == 40:
        inverse, moments = inverse[:, 4:], moments[:, 4:]
    solution = Newton(steps, norm)(prompts)
    ours = PrefixSolution(solution.weights[:, -inverse.shape[1] :], None)
    assert_weights_close(ours, np.einsum("blij,blj->bli", inverse, moments))


@pytest.mark.parametrize("time", [0.0, 0.001, 0.3])
def test_gradient_flow_solves_its_differential_equation(time):
    prompts = sample()
    gram, moments = moments_before(prompts)
    # d/dt [w, 1] = [[-2G, 2m], [0, 0]] [w, 1], so that nothing is inverted.
    system = np.zeros((*moments.shape[:2], 5, 5))
    system[..., :4, :4], system[..., :4, 4] = -2 * gram, 2 * moments
    reference = scipy.linalg.expm(time * system)[..., :4, 4]
    assert_weights_close(GradientFlow(time)(prompts), reference)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_one_pass_sgd_is_its_loop(alpha):
    prompts = sample(noise_std=0.2)
    xs, ys = doubles(prompts)
    reference = np.zeros(xs.shape)
    for prompt in range(5):
        w = np.zeros(4)
        for i, (x, y) in enumerate(zip(xs[prompt], ys[prompt], strict=True)):
            reference[prompt, i] = w
            w = w - 2 * 0.03 * (x * (x @ w) - x * y + alpha * w)
    solution = OnePassSGD(0.03, alpha)(prompts)
    # 12 float32 steps, each with a rounding error of 6e-8 that the next ones shrink.
    np.testing.assert_allclose(solution.weights, reference, rtol=1e-5, atol=2e-6)


def test_average_is_the_mean_of_x_times_y():
    prompts = sample()
    _, moments = moments_before(prompts)
    counts = np.maximum(np.arange(12), 1)[:, None]
    assert_weights_close(Average()(prompts), moments / counts)


WEIGHTS = {  # ours, and scikit-learn's
    "uniform": "uniform",
    "distance": lambda distance: distance**-2,
    "inverse": "distance",
}


@pytest.mark.parametrize("k", [3, 20])
@pytest.mark.parametrize("weighting", WEIGHTS)
def test_nearest_neighbors_are_scikit_learns(weighting, k):
    prompts = sample()
    queries = jax.random.normal(jax.random.key(7), (5, 12, 1, 4))
    ours = np.asarray(NearestNeighbors(k, weighting).predict_at(prompts, queries))
    own = np.asarray(NearestNeighbors(k, weighting)(prompts).predictions)
    queries = np.asarray(queries)
    xs, ys = doubles(prompts)
    for prompt in range(5):
        for context in range(1, 12):
            theirs = sklearn.neighbors.KNeighborsRegressor(
                min(k, context), weights=WEIGHTS[weighting]
            )
            theirs.fit(xs[prompt, :context], ys[prompt, :context])
            inputs = np.concatenate(
                [queries[prompt, context], xs[prompt, context, None]]
            )
            found = np.append(ours[prompt, context], own[prompt, context])
            # float32 distances, squared and inverted.
            np.testing.assert_allclose(
                found, theirs.predict(inputs), rtol=1e-5, atol=1e-5
            )
    assert not ours[:, 0].any() and not own[:, 0].any()


@pytest.mark.parametrize("weighting", ["distance", "inverse"])
def test_exact_matches_take_all_the_weight(weighting):
    xs = jnp.array([[[0.0], [2.0], [0.0], [0.5], [0.0]]])
    ys = jnp.array([[1.0, 50.0, 3.0, 9.0, 0.0]])
    learner = NearestNeighbors(4, weighting)
    assert learner(Prompts(xs, ys)).predictions[0, 4] == 2.0
    apart = learner.predict_at(Prompts(xs, ys), jnp.full((1, 5, 1, 1), 1e-30))
    assert apart[0, 4, 0] == 2.0  # 1 / distance would overflow, too


# --- Against the paper's table -------------------------------------------------------

TABLE = """
 1  .0000 .0009 .090 .062 .090 .041 1.14 1.14 .875
 2  .0002 .0028 .178 .124 .178 .088 .74  .63  .750
 3  .0005 .0065 .269 .192 .270 .143 .72  .56  .625
 4  .0013 .0137 .363 .265 .366 .205 .62  .52  .500
 5  .0036 .0267 .453 .337 .457 .270 .62  .54  .375
 6  .0107 .0508 .550 .416 .556 .342 .67  .60  .250
 7  .0283 .0878 .639 .493 .647 .416 .74  .68  .125
 8  .0724 .1440 .730 .574 .741 .493 .79  .74  0
 10 .0135 .0625 .677 .504 .693 .416 .73  .69  0
 12 .0032 .0283 .623 .446 .646 .351 .68  .64  0
 15 .0007 .0104 .544 .376 .578 .268 .61  .58  0
"""
TABLE_LEARNERS = [
    Ridge(0.1),
    Ridge(0.5),
    GradientDescent(1, 0.01),
    GradientDescent(1, 0.02),
    OnePassSGD(0.01),
    OnePassSGD(0.03),
    NearestNeighbors(3, "uniform"),
    NearestNeighbors(3, "distance"),
]


def test_oracle_table_of_squared_prediction_differences():
    """SPD(learner, OLS) / d at d = 8, noise-free; the table has 20,000 data sets.

    The learners and the setting of Akyürek et al. (2023), figure 1; the numbers are
    independent of our code. The last column compares OLS with the label.
    """
    batch, dim = 10_000, 8
    rows = [line.split() for line in TABLE.strip().splitlines()]
    contexts = [int(row[0]) for row in rows]
    prompts = sample(dim, 16, batch=batch)
    ols, *others = solve([LeastSquares(), *TABLE_LEARNERS], prompts)
    predictions = [other.predictions for other in others] + [prompts.ys]
    for column, prediction in enumerate(predictions, start=1):
        squares = np.asarray(prediction - ols.predictions, float)[:, contexts] ** 2
        ours, spread = squares.mean(0) / dim, squares.std(0) / dim / batch**0.5
        for row, value, error in zip(rows, ours, spread, strict=True):
            rounding = 0.5 * 10.0 ** -len(row[column].partition(".")[2])
            rounding = 0.0 if row[column] == "0" else rounding
            # Five standard errors of the difference of the samples; 1e-9 is float32.
            tolerance = 5 * (1 + batch / 20_000) ** 0.5 * error + rounding + 1e-9
            assert abs(value - float(row[column])) <= tolerance, (row[0], column)


# --- Laws of every learner, in float64 -----------------------------------------------

SHAPE = BATCH, LENGTH, DIM = 3, 7, 3
examples = settings(max_examples=20, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def random_prompts(seed):
    """Float64 prompts, and what else is random."""
    rng = np.random.default_rng(seed)
    return Prompts(rng.normal(size=SHAPE), rng.normal(size=SHAPE[:2])), rng


def well_conditioned(prompts):
    return max(np.linalg.cond(prompts.xs[:, :n]).max() for n in (2, 3, 4)) < 1e3


def assert_same(found, expected):
    """To 1e-8: float64, and condition numbers below 1e3, squared."""
    scale = max(float(np.abs(expected).max()), 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * scale)


@named(LEARNERS)
@examples
@given(seeds)
def test_rotating_the_inputs_rotates_the_weights(learner, seed):
    prompts, rng = random_prompts(seed)
    assume(well_conditioned(prompts))
    rotation = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    with jax.enable_x64(True):
        before = learner(prompts)
        after = learner(prompts._replace(xs=prompts.xs @ rotation))
    assert_same(after.predictions, before.predictions)
    if before.weights is not None:
        assert_same(after.weights, np.asarray(before.weights) @ rotation)


@named(LEARNERS)
@examples
@given(seeds)
def test_only_sgd_minds_the_order_of_the_context(learner, seed):
    prompts, rng = random_prompts(seed)
    assume(well_conditioned(prompts))
    order = np.append(rng.permutation(LENGTH - 1), LENGTH - 1)
    assume(not np.array_equal(order, np.arange(LENGTH)))
    with jax.enable_x64(True):
        before = learner(prompts).predictions[:, -1]
        shuffled = Prompts(prompts.xs[:, order], prompts.ys[:, order])
        after = learner(shuffled).predictions[:, -1]
    if isinstance(learner, OnePassSGD):
        assert np.abs(after - before).max() > 1e-6
    else:
        assert_same(after, before)


@named(LEARNERS)
@examples
@given(seeds, st.floats(-10, 10))
def test_scaling_the_labels_scales_the_answer(learner, seed, scale):
    prompts, _ = random_prompts(seed)
    assume(well_conditioned(prompts))
    with jax.enable_x64(True):
        before = learner(prompts)
        after = learner(prompts._replace(ys=scale * prompts.ys))
    assert_same(after.predictions, scale * np.asarray(before.predictions))
    if before.weights is not None:
        assert_same(after.weights, scale * np.asarray(before.weights))


# The learner that does to c x what the first does to x, and the power of c by which
# predictions then grow.
SCALED = [
    (LeastSquares(), lambda c: LeastSquares(), 0),
    (Ridge(0.3), lambda c: Ridge(0.3 * c * c), 0),
    (PosteriorMean(0.5), lambda c: PosteriorMean(0.5, 1 / c), 0),
    (GradientDescent(5, 0.03), lambda c: GradientDescent(5, 0.03 / (c * c)), 0),
    (GradientDescent(), lambda c: GradientDescent(), 2),
    (GradientFlow(0.1), lambda c: GradientFlow(0.1 / (c * c)), 0),
    (Newton(3), lambda c: Newton(3), 0),
    (Average(), lambda c: Average(), 2),
    (OnePassSGD(0.02, 0.3), lambda c: OnePassSGD(0.02 / c**2, 0.3 * c**2), 0),
    (NearestNeighbors(), lambda c: NearestNeighbors(), 0),
    (NearestNeighbors(2, "distance"), lambda c: NearestNeighbors(2, "distance"), 0),
]


@pytest.mark.parametrize(
    ("learner", "adapted", "power"), SCALED, ids=[each[0].name for each in SCALED]
)
@examples
@given(seed=seeds, scale=st.floats(0.1, 10))
def test_scaling_the_inputs(learner, adapted, power, seed, scale):
    prompts, _ = random_prompts(seed)
    assume(well_conditioned(prompts))
    with jax.enable_x64(True):
        before = learner(prompts)
        after = adapted(scale)(prompts._replace(xs=scale * prompts.xs))
    factor = scale**power
    assert_same(after.predictions, factor * np.asarray(before.predictions))
    if before.weights is not None:
        weights = factor / scale * np.asarray(before.weights)
        assert_same(after.weights, weights)


@named(LEARNERS)
def test_a_prefix_knows_nothing_of_what_follows(learner):
    prompts = sample()
    cut = Prompts(prompts.xs[:, :7], prompts.ys[:, :7])
    whole, part = learner(prompts), learner(cut)
    # Another shape is another compiled program: equal up to float32 rounding.
    np.testing.assert_allclose(
        whole.predictions[:, :7], part.predictions, rtol=1e-5, atol=1e-6
    )
    label = prompts._replace(ys=prompts.ys.at[:, 6:].add(1.0))
    assert jnp.array_equal(learner(label).predictions[:, :7], whole.predictions[:, :7])


@named(LEARNERS)
def test_predict_at_the_own_inputs_is_the_prediction(learner):
    prompts = sample()
    found = learner.predict_at(prompts, prompts.xs[:, :, None])
    expected = learner(prompts).predictions
    np.testing.assert_allclose(found[:, :, 0], expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == jnp.float32


@named([*SPECTRAL, *SEQUENTIAL])
def test_linear_learners_predict_with_their_weights(learner):
    prompts = sample()
    queries = jax.random.normal(jax.random.key(1), (5, 12, 6, 4))
    solution = learner(prompts)
    expected = np.einsum("bld,blqd->blq", solution.weights, queries)
    found = learner.predict_at(prompts, queries)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)  # float32
    own = np.einsum("bld,bld->bl", solution.weights, prompts.xs)
    np.testing.assert_allclose(solution.predictions, own, rtol=1e-5, atol=1e-6)


# --- Limits and optimality -----------------------------------------------------------


@pytest.mark.parametrize(
    "learner",
    [
        Ridge(0.0),
        Ridge(1e-30),
        PosteriorMean(0.0, 2.0),
        GradientDescent(10**9, 0.001),
        GradientFlow(1e6),
        Newton(60),
        Newton(10_000),
    ],
    ids=lambda each: each.name,
)
def test_least_squares_is_the_limit(learner):
    prompts = sample()
    expected = LeastSquares()(prompts).weights
    np.testing.assert_allclose(learner(prompts).weights, expected, rtol=1e-5, atol=1e-5)


def test_gradient_flow_is_gradient_descent_with_small_steps():
    prompts = sample()
    flow = GradientFlow(0.02)(prompts).weights
    for steps in (100, 1000):
        steep = GradientDescent(steps, 0.02 / steps)(prompts).weights
        # The error falls with the rate: about time lambda^2 rate = 30 rate.
        assert jnp.abs(steep - flow).max() < 30 * 0.02 / steps


def test_least_squares_error_without_noise_is_the_undetermined_share():
    prompts = sample(batch=4000)
    error = prompts.weights[:, None] - LeastSquares()(prompts).weights
    squares = np.mean(np.asarray(error, float) ** 2, axis=-1)
    expected = 1 - np.minimum(np.arange(12), 4) / 4
    tolerance = 5 * squares.std(0) / 4000**0.5 + 1e-6
    assert np.all(np.abs(squares.mean(0) - expected) <= tolerance)


def one_step_risks(prompts, rates):
    """|2 rate X'y - w|^2 / d for each rate, prompt and context."""
    _, moments = moments_before(prompts)
    steps = 2 * np.asarray(rates)[:, None, :, None] * moments
    errors = steps - np.asarray(prompts.weights, float)[:, None]
    return np.mean(errors**2, axis=-1)


@pytest.mark.parametrize(("noise_std", "weight_std"), [(0.0, 1.0), (1.0, 0.5)])
def test_the_optimal_rate_beats_its_neighbours(noise_std, weight_std):
    dim, batch, contexts = 4, 20_000, np.arange(1, 12)
    prompts = sample(batch=batch, noise_std=noise_std, weight_std=weight_std)
    best = [optimal_rate(n, dim, noise_std, weight_std) for n in range(12)]
    best = np.array(best)
    risk, below, above = one_step_risks(prompts, [best, 0.8 * best, 1.25 * best])
    for neighbour in (below, above):
        loss = (neighbour - risk)[:, contexts]
        assert np.all(loss.mean(0) > 2 * loss.std(0) / batch**0.5)
    ratio = (noise_std / weight_std) ** 2
    expected = weight_std**2 * (1 - contexts / (contexts + dim + 1 + ratio))
    tolerance = 5 * risk[:, contexts].std(0) / batch**0.5
    assert np.all(np.abs(risk[:, contexts].mean(0) - expected) <= tolerance)
    learner = GradientDescent(noise_std=noise_std, weight_std=weight_std)
    few = Prompts(prompts.xs[:5], prompts.ys[:5])
    _, moments = moments_before(few)
    assert_weights_close(learner(few), 2 * best[:, None] * moments)


@pytest.mark.parametrize(("noise_std", "weight_std"), [(0.0, 2.0), (0.7, 1.5)])
def test_ceiling_is_what_the_posterior_mean_explains(noise_std, weight_std):
    batch, dim = 4000, 4
    prompts = sample(batch=batch, noise_std=noise_std, weight_std=weight_std)
    learner = PosteriorMean(noise_std, weight_std)
    ceiling = learner.ceiling(prompts)
    error = prompts.weights[:, None] - learner(prompts).weights
    missed = np.mean(np.asarray(error, float) ** 2, axis=-1) / weight_std**2
    tolerance = 5 * missed.std(0) / batch**0.5 + 1e-6
    assert np.all(np.abs(1 - missed.mean(0) - ceiling) <= tolerance)
    assert ceiling[0] == 0.0
    if noise_std == 0.0:
        np.testing.assert_allclose(ceiling, np.minimum(np.arange(12), dim) / dim)
    assert jnp.array_equal(learner.ceiling(decompose(prompts)), ceiling)


# --- Degenerate inputs ---------------------------------------------------------------


def degenerate_inputs():
    xs = sample().xs
    return {
        "zero": 0 * xs,
        "repeated": jnp.repeat(xs[:, :1], 12, axis=1),
        "two in turn": jnp.tile(xs[:, :2], (1, 6, 1)),
        "equal coordinates": jnp.repeat(xs[:, :, :1], 4, axis=2),
        "zero, then not": xs.at[:, :4].set(0),
        "tiny": 1e-30 * xs,
        "huge": 1e15 * xs,
    }


@pytest.mark.parametrize("kind", degenerate_inputs())
@named(LEARNERS)
def test_no_nan_for_degenerate_inputs(learner, kind):
    xs = degenerate_inputs()[kind]
    ys = jax.random.normal(jax.random.key(4), xs.shape[:2])
    if kind == "huge" and learner in SEQUENTIAL:
        pytest.skip("SGD diverges in float32, as it should")
    solution = learner(Prompts(xs, ys))
    assert not jnp.isnan(solution.predictions).any()
    assert solution.weights is None or not jnp.isnan(solution.weights).any()


@pytest.mark.parametrize("kind", list(degenerate_inputs())[:5])
def test_least_squares_of_degenerate_inputs_has_minimum_norm(kind):
    xs = degenerate_inputs()[kind]
    ys = jax.random.normal(jax.random.key(4), xs.shape[:2])
    weights = np.asarray(LeastSquares()(Prompts(xs, ys)).weights)
    xs, ys = np.asarray(xs, float), np.asarray(ys, float)
    for prompt, context in np.ndindex(xs.shape[0], xs.shape[1] - 1):
        x, y = xs[prompt, : context + 1], ys[prompt, : context + 1]
        reference = np.linalg.pinv(x, rcond=1e-7) @ y
        np.testing.assert_allclose(
            weights[prompt, context + 1], reference, rtol=1e-5, atol=1e-6
        )  # float32


# --- Precision, tracing, sharing -----------------------------------------------------


@named(LEARNERS)
def test_results_are_float32_and_float64_stays_off(learner):
    solution = learner(sample())
    assert solution.predictions.dtype == jnp.float32
    assert solution.predictions.shape == (5, 12)
    if learner in NEIGHBORS:
        assert solution.weights is None
    else:
        assert solution.weights.dtype == jnp.float32
        assert solution.weights.shape == (5, 12, 4)
    assert jnp.zeros(1).dtype == jnp.float32


@named(SPECTRAL)
def test_a_spectrum_serves_every_linear_learner(learner):
    prompts = sample()
    spectrum = decompose(prompts)
    assert spectrum.eigenvalues.dtype == jnp.float64
    for found, expected in zip(learner(spectrum), learner(prompts), strict=True):
        assert jnp.array_equal(found, expected)
    queries = prompts.xs[:, :, None]
    found = learner.predict_at(spectrum, queries)
    assert jnp.array_equal(found, learner.predict_at(prompts, queries))


def test_solve_is_each_learner_in_order():
    prompts = sample()
    mixed = [*NEIGHBORS, *SPECTRAL, *SEQUENTIAL]
    for learner, solution in zip(mixed, solve(mixed, prompts), strict=True):
        expected = learner(prompts)
        assert jnp.array_equal(solution.predictions, expected.predictions)
        assert (solution.weights is None) == (expected.weights is None)
    assert solve([], prompts) == []


@named(SPECTRAL)
def test_linear_learners_say_that_they_cannot_be_traced(learner):
    prompts = sample()
    with pytest.raises(ValueError, match="outside jit, vmap and grad"):
        jax.jit(learner)(prompts)
    with pytest.raises(ValueError, match="outside jit, vmap and grad"):
        jax.jit(learner)(decompose(prompts))


@named([LeastSquares(), GradientDescent(9, 0.03), OnePassSGD(0.03)])
def test_all_learners_can_be_traced_where_float64_is_on(learner):
    prompts, _ = random_prompts(0)
    with jax.enable_x64(True):
        traced = jax.jit(learner)(jax.tree.map(jnp.asarray, prompts))
        assert_same(traced.predictions, learner(prompts).predictions)


@named([*SEQUENTIAL, *NEIGHBORS])
def test_the_other_learners_can_be_traced(learner):
    prompts = sample()
    traced = jax.jit(learner)(prompts).predictions
    np.testing.assert_allclose(
        traced, learner(prompts).predictions, rtol=1e-5, atol=1e-6
    )  # float32, fused differently


# --- Shortcuts -----------------------------------------------------------------------

SHORTCUTS = [
    LeastSquares(),
    Ridge(0.1),
    PosteriorMean(0.5, 0.75),
    Average(),
    GradientDescent(),
    GradientDescent(1, 0.01),
    GradientDescent(0, 0.01),
]


@named(SHORTCUTS)
@pytest.mark.parametrize("length", [1, 2, 4, 5, 6])
def test_a_shortcut_finds_what_the_filter_finds(learner, length):
    prompts = sample(length=length)
    found, expected = learner(prompts), learner(decompose(prompts))
    # Rounding to float32, and eps cond^2 of float64 before it: some reach 1e4.
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        found.predictions, expected.predictions, rtol=1e-6, atol=1e-6
    )


def refuse(prompts):
    raise AssertionError("decomposed")


@named(SHORTCUTS)
def test_a_learner_that_needs_no_spectrum_makes_none(learner, monkeypatch):
    monkeypatch.setattr(spectral, "decompose", refuse)
    learner(sample())
    solve([learner, NearestNeighbors(), Average(), Ridge(0.1)], sample())


@pytest.mark.parametrize(
    "learners",
    [
        [LeastSquares(), Newton(3)],
        [LeastSquares(), *map(Ridge, (0.1, 0.2, 0.3, 0.4))],
        [GradientDescent(2, 0.01), GradientDescent(3, 0.01), Average()],
    ],
)
def test_what_is_solved_together_shares_one_spectrum(learners, monkeypatch):
    made = []
    monkeypatch.setattr(
        spectral, "decompose", lambda prompts: made.append(1) or decompose(prompts)
    )
    monkeypatch.setattr(direct, "ridge", refuse)
    solve(learners, sample())
    assert made == [1]


def test_prompts_that_are_nearly_singular_are_told_from_the_others():
    """Least squares is as good as eps cond^2 allows, and of minimum norm below that."""
    rng = np.random.default_rng(0)
    xs, ys = rng.normal(size=(7, 12, 4)), rng.normal(size=(7, 12))
    for prompt, apart in enumerate([1e-2, 1e-3, 1e-6, 1e-9, 0.0]):
        # The fourth input lies in the plane of two others, but for a little.
        xs[prompt, 3] = xs[prompt, 0] - xs[prompt, 1] + apart * xs[prompt, 3]
    xs[5, :6] = xs[5, 0]
    with jax.enable_x64(True):
        prompts = Prompts(jnp.asarray(xs), jnp.asarray(ys))
        _, trusted = direct.ridge(prompts, 0.0)
        weights = np.asarray(LeastSquares()(prompts).weights)
        of_penalty = np.asarray(Ridge(1e-3)(prompts).weights)
    assert trusted.tolist() == [True, True, False, False, False, False, True]
    for prompt, context in np.ndindex(7, 11):
        x, y = xs[prompt, : context + 1], ys[prompt, : context + 1]
        sizes = np.linalg.svd(x, compute_uv=False)
        kept = sizes[sizes > 1e-7 * sizes[0]]
        reference = np.linalg.pinv(x, rcond=1e-7) @ y
        error = np.linalg.norm(weights[prompt, context + 1] - reference)
        bound = 100 * np.finfo(float).eps * (kept[0] / kept[-1]) ** 2
        assert error <= bound * np.linalg.norm(reference)
        penalised = np.linalg.solve(x.T @ x + 1e-3 * np.eye(4), x.T @ y)
        np.testing.assert_allclose(
            of_penalty[prompt, context + 1], penalised, rtol=1e-9, atol=1e-9
        )  # eps times a condition number below 1e5


# --- Names and bad input -------------------------------------------------------------


def test_names():
    names = {
        LeastSquares(): "OLS",
        Ridge(0.1): "Ridge(0.1)",
        PosteriorMean(0.5, 0.75): "Bayes(0.5/0.75)",
        GradientDescent(1, 0.01): "GD(0.01)",
        GradientDescent(8, 0.01): "GD(0.01) x 8",
        GradientDescent(): "GD(optimal)",
        GradientFlow(0.5): "GF(0.5)",
        Newton(3): "Newton x 3",
        Newton(3, norm="frobenius"): "Newton x 3 (Frobenius)",
        OnePassSGD(0.03): "SGD(0.03)",
        OnePassSGD(0.03, 0.1): "SGD(0.03, 0.1)",
        NearestNeighbors(): "3-NN uniform",
        NearestNeighbors(3, "distance"): "3-NN weighted",
        NearestNeighbors(3, "inverse"): "3-NN inverse",
        Average(): "Average",
    }
    assert {learner: learner.name for learner in names} == names


def test_learners_print_compare_and_hash():
    assert repr(Ridge(0.1)) == "Ridge(alpha=0.1)"
    assert Ridge(0.1) == Ridge(0.1) != PosteriorMean(0.1)
    assert len({*LEARNERS, *LEARNERS}) == len(LEARNERS)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ridge(-0.1), r"alpha must be a finite number >= 0, got -0\.1"),
        (lambda: Ridge(float("nan")), "alpha must be a finite number >= 0, got nan"),
        (lambda: Ridge("a"), "alpha must be a finite number >= 0, got 'a'"),
        (lambda: PosteriorMean(-1.0), r"noise_std must be .* >= 0, got -1\.0"),
        (lambda: PosteriorMean(1.0, 0.0), r"weight_std must be .* > 0, got 0\.0"),
        (lambda: GradientDescent(1.5, 0.1), r"steps must be an integer >= 0, got 1\.5"),
        (lambda: GradientDescent(-1, 0.1), "steps must be an integer >= 0, got -1"),
        (
            lambda: GradientDescent(1, 0.0),
            r"rate must be a finite number > 0, got 0\.0",
        ),
        (lambda: GradientDescent(2), "give a rate for steps=2"),
        (lambda: GradientDescent(1, 0.1, noise_std=0.5), "leave out rate=0.1"),
        (lambda: GradientFlow(-1.0), r"time must be a finite number >= 0, got -1\.0"),
        (lambda: Newton(True), "steps must be an integer >= 0, got True"),
        (lambda: OnePassSGD(-0.1), r"rate must be a finite number > 0, got -0\.1"),
        (lambda: OnePassSGD(0.1, -1.0), r"alpha must be .* >= 0, got -1\.0"),
        (lambda: NearestNeighbors(0), "k must be an integer >= 1, got 0"),
        (lambda: NearestNeighbors(3, "cosine"), "one of 'uniform', 'distance', 'inv"),
        (lambda: Newton(3, norm="nuclear"), "one of 'spectral', 'frobenius'; got"),
    ],
)
def test_bad_hyper_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.usefixtures("untyped")
@named([LeastSquares(), OnePassSGD(0.1), NearestNeighbors()])
def test_bad_prompts_and_queries(learner):
    xs, ys = np.ones((2, 5, 3)), np.ones((2, 5))
    with pytest.raises(ValueError, match=r"ys must have axes \(batch, length\)"):
        learner(Prompts(xs, np.ones((2, 4))))
    with pytest.raises(ValueError, match="xs must be finite, but 30 of its 30"):
        learner(Prompts(np.full((2, 5, 3), np.nan), ys))
    with pytest.raises(ValueError, match=r"queries must have axes .* of sizes"):
        learner.predict_at(Prompts(xs, ys), np.ones((2, 5, 3)))
    with pytest.raises(ValueError, match="queries must be finite"):
        learner.predict_at(Prompts(xs, ys), np.full((2, 5, 1, 3), np.inf))


def test_steps_that_diverge_are_said_with_the_largest_rate_that_converges():
    xs = np.random.default_rng(0).normal(size=(4, 6, 2))
    prompts = Prompts(xs, np.ones((4, 6)))
    top = 1 / np.linalg.norm(xs[:, :5], 2, axis=(1, 2)).max() ** 2
    with pytest.warns(
        UserWarning, match=rf"GD\(5\) x 9 diverges on 4 of 4 prompts; .* {top:g}, "
    ):
        GradientDescent(9, rate=5.0)(prompts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GradientDescent(9, rate=0.99 * top)(prompts)
        GradientDescent(1, rate=5.0)(prompts)  # a single step goes nowhere else
