"""Posteriors over pools, Gaussian processes and wrapped learners against references."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import linear_model
from sklearn.tree import DecisionTreeRegressor

from icl import LinearRegression, ModelConfig, Prompts
from icl.baselines import (
    DiscretePosterior,
    GaussianProcess,
    Lasso,
    LeastSquares,
    NearestNeighbors,
    PosteriorMean,
    Ridge,
    ScikitLearner,
    WithIntercept,
    decompose,
)
from icl.baselines import posterior as posterior_module
from icl.baselines.kernels import arc_cosine
from icl.compare import (
    accuracy,
    families,
    implied_weight_difference,
    nearest,
    squared_prediction_difference,
)
from icl.model.building import build
from icl.tasks import (
    DecisionTree,
    LinearClassification,
    Pool,
    ReluNetwork,
    SparseLinear,
)

KEY = jax.random.key(0)
NOISY = LinearRegression(dim=3, length=6, noise_std=0.5)


@pytest.fixture(scope="module")
def prompts():
    return NOISY.sample(KEY, batch=40)


def float64(*arrays):
    return tuple(np.asarray(array, float) for array in arrays)


def reference(table, shares, prompts, noise_std):
    """The posterior mean over a table of weights in float64, as its formula reads."""
    xs, ys = float64(prompts.xs, prompts.ys)
    squares = np.square(ys[:, :, None] - xs @ table.T)
    misfit = np.cumsum(squares, axis=1) - squares
    logs = np.log(shares) - misfit / (2 * noise_std**2)
    odds = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return (odds / odds.sum(axis=-1, keepdims=True)) @ table


def test_the_posterior_over_a_pool_is_its_formula(monkeypatch, prompts):
    # In parts of 8 functions and 16 prompts, the last of which are not full.
    monkeypatch.setattr(posterior_module, "FUNCTIONS", 8)
    monkeypatch.setattr(posterior_module, "PROMPTS", 16)
    shares = np.repeat([0.06, 0.02], 10) / 0.8
    pool = Pool(NOISY, 20, seed=4, probabilities=tuple(shares.tolist()))
    table = np.asarray(pool.members(jnp.arange(20))["weights"], float)
    found = DiscretePosterior(pool)(prompts)
    wanted = reference(table, shares, prompts, 0.5)
    np.testing.assert_allclose(found.weights, wanted, atol=1e-5)  # float32
    (xs,) = float64(prompts.xs)
    predictions = (wanted * xs).sum(axis=-1)
    np.testing.assert_allclose(found.predictions, predictions, atol=1e-5)
    queries = DiscretePosterior(pool).predict_at(prompts, prompts.xs[:, :, None])
    np.testing.assert_allclose(queries[..., 0], predictions, atol=1e-5)


def test_one_function_is_always_right_and_much_noise_leaves_the_prior(prompts):
    pool = Pool(NOISY, 1, seed=2)
    weights = np.asarray(pool.members(jnp.arange(1))["weights"])[0]
    found = DiscretePosterior(pool)(prompts).weights
    np.testing.assert_allclose(found, np.broadcast_to(weights, found.shape), rtol=1e-6)
    pool = Pool(NOISY, 5, seed=2)
    mean = np.asarray(pool.members(jnp.arange(5))["weights"]).mean(axis=0)
    found = DiscretePosterior(pool, noise_std=1e4)(prompts).weights
    np.testing.assert_allclose(found, np.broadcast_to(mean, found.shape), atol=1e-5)


def test_little_noise_finds_the_function_and_overflows_nothing():
    pool = Pool(LinearRegression(dim=3, length=6, noise_std=1e-3), 64, seed=1)
    prompts = pool.sample(KEY, batch=20)
    found = DiscretePosterior(pool)(prompts).weights
    wanted = np.broadcast_to(np.asarray(prompts.weights)[:, None], found.shape)
    # One pair may leave two of 64 functions; three pairs do not.
    np.testing.assert_allclose(found[:, 3:], wanted[:, 3:], atol=1e-4)


def test_a_large_pool_is_nearly_ridge_and_beats_it_on_its_own_functions():
    """Pythagoras: the posterior is the conditional mean of what the pool draws."""
    task = LinearRegression(dim=2, length=5, noise_std=0.5)
    pool = Pool(task, 32)
    prompts = pool.sample(KEY, batch=4_000)
    ours, ridge = (
        np.asarray(learner(prompts).predictions, float)
        for learner in (DiscretePosterior(pool), PosteriorMean(0.5))
    )
    (ys,) = float64(prompts.ys)
    gain = np.square(ridge - ys) - np.square(ours - ys) - np.square(ridge - ours)
    error = gain.std(axis=0) / len(ys) ** 0.5
    assert (np.abs(gain.mean(axis=0)) < 5 * error + 1e-9).all()
    fresh = task.sample(jax.random.key(9), batch=500)
    large = DiscretePosterior(Pool(task, 20_000))(fresh).predictions
    apart = np.square(np.asarray(large - PosteriorMean(0.5)(fresh).predictions)).mean()
    assert apart < 0.01  # of labels whose variance is 2


def test_a_pool_of_trees_has_predictions_and_no_weights():
    tree = DecisionTree(dim=3, length=6, depth=2, noise_std=0.1)
    pool = Pool(tree, 4)
    prompts = pool.sample(KEY, batch=20)
    found = DiscretePosterior(pool)(prompts)
    assert found.weights is None
    clean = tree.values(pool.members(prompts.latents["index"]), prompts.xs)
    # Four trees that differ by about 1: after 3 pairs the right one is known.
    assert np.square(np.asarray(found.predictions - clean))[:, 4:].mean() < 0.05
    asked = DiscretePosterior(pool).predict_at(prompts, prompts.xs[:, :, None])
    np.testing.assert_allclose(asked[..., 0], found.predictions, rtol=1e-5, atol=1e-6)


def test_a_pool_without_noise_has_no_posterior():
    with pytest.raises(ValueError, match="has no noise"):
        DiscretePosterior(Pool(LinearRegression(dim=2, length=3), 4))


def test_a_linear_kernel_is_ridge_regression(prompts):
    found = GaussianProcess("linear", 0.5)
    ridge = Ridge(0.25)(prompts).predictions
    np.testing.assert_allclose(found(prompts).predictions, ridge, atol=1e-5)
    queries = jax.random.normal(KEY, (*prompts.xs.shape[:2], 2, 3))
    wanted = Ridge(0.25).predict_at(prompts, queries)
    np.testing.assert_allclose(found.predict_at(prompts, queries), wanted, atol=1e-5)


def test_the_arc_cosine_kernel_is_the_covariance_of_wide_networks():
    net = ReluNetwork(dim=3, length=2, hidden=200)
    xs = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 1.0]], np.float32)
    functions = net.functions(KEY, 20_000)
    values = np.asarray(
        jax.jit(net.values)(functions, jnp.broadcast_to(xs, (20_000, 2, 3))), float
    )
    kernel = np.asarray(arc_cosine(jnp.asarray(xs), jnp.asarray(xs)), float)
    np.testing.assert_allclose(np.diag(kernel), np.square(xs).sum(axis=1), rtol=1e-6)
    # 20,000 products of variance of about 3: five standard errors are 0.06.
    np.testing.assert_allclose(values.T @ values / 20_000, kernel, atol=0.08)


def test_a_process_interpolates_what_it_has_seen():
    prompts = ReluNetwork(dim=3, length=6).sample(KEY, batch=5)
    again = jnp.broadcast_to(prompts.xs[:, :1, None], (5, 6, 1, 3))
    found = GaussianProcess().predict_at(prompts, again)[:, 1:, 0]
    wanted = np.broadcast_to(np.asarray(prompts.ys)[:, :1], found.shape)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    copies = prompts._replace(xs=jnp.ones_like(prompts.xs))  # one input six times
    assert np.isfinite(GaussianProcess()(copies).predictions).all()


@pytest.mark.parametrize("alpha", [1.0, 0.1])
def test_the_lasso_is_scikit_learns(prompts, alpha):
    few = Prompts(prompts.xs[:4], prompts.ys[:4])
    found = Lasso(alpha)(few)
    xs, ys = float64(few.xs, few.ys)
    for b in range(4):
        for i in range(1, 6):
            cold = linear_model.Lasso(alpha, fit_intercept=False, tol=1e-10)
            weights = cold.fit(xs[b, :i], ys[b, :i]).coef_
            # The default tolerance bounds the duality gap, 1e-4 of |y|^2 / n.
            np.testing.assert_allclose(found.weights[b, i], weights, atol=0.02)
    assert not np.asarray(found.weights[:, 0]).any()


def test_any_regressor_is_fitted_to_every_prefix(prompts, untyped):
    few = Prompts(prompts.xs[:3], prompts.ys[:3])
    ours = ScikitLearner(linear_model.Ridge(0.25, fit_intercept=False))
    wanted = Ridge(0.25)(few).predictions
    np.testing.assert_allclose(ours(few).predictions, wanted, atol=1e-5)
    tree = ScikitLearner(DecisionTreeRegressor(random_state=0), least_pairs=2)
    found = tree(few).predictions
    assert not np.asarray(found[:, :2]).any()
    labels = np.asarray(few.ys)
    assert np.isclose(labels[:, None, :3], np.asarray(found)[:, 3, None, None]).any()
    assert tree == ScikitLearner(DecisionTreeRegressor(random_state=0), 2)
    assert len({tree, ours, ours}) == 2
    with pytest.raises(ValueError, match=r"regressor of scikit-learn.*got 'ridge'"):
        ScikitLearner("ridge")


def test_an_intercept_is_what_scikit_learn_fits(prompts, untyped):
    shifted = Prompts(prompts.xs[:5], prompts.ys[:5] + 7.0)
    xs, ys = float64(shifted.xs, shifted.ys)
    found = WithIntercept(LeastSquares())(shifted).predictions
    assert not np.asarray(found[:, 0]).any()
    for i in range(1, 6):
        for b in range(5):
            wanted = linear_model.LinearRegression().fit(xs[b, :i], ys[b, :i])
            answer = wanted.predict(xs[b, i : i + 1])[0]
            # The constant 1,000 leaves a penalty of 1e-6 on the intercept.
            assert found[b, i] == pytest.approx(answer, abs=2e-3 * max(abs(answer), 1))
    with pytest.raises(ValueError, match=r"a linear learner of icl\.baselines"):
        WithIntercept(NearestNeighbors())


def test_families_of_a_task_know_more_than_its_dimension():
    plain = families(3)
    assert families(NOISY).keys() == plain.keys()
    more = {
        "Bayes of the pool": Pool(NOISY, 4),
        "Lasso": SparseLinear(3, 6, k=1),
        "with intercept": ReluNetwork(3, 6),
        "Gaussian process": ReluNetwork(3, 6),
        "greedy tree": DecisionTree(3, 6),
    }
    for name, task in more.items():
        assert name in families(task), name
        assert families(task).keys() > plain.keys()
    with pytest.raises(ValueError, match=r"log-odds; compare icl\.compare\.accuracy"):
        families(LinearClassification(3, 6))


def test_classes_and_missing_weights_are_refused_with_what_to_do_instead(untyped):
    task = LinearClassification(2, 4)
    prompts = task.sample(KEY, batch=8)
    model = build(task.codec, ModelConfig(layers=1, width=4), KEY)
    with pytest.raises(ValueError, match=r"^prompts\.ys must .*accuracy\(predic"):
        nearest(model, prompts)
    odds = np.asarray(model(prompts).predictions)
    with pytest.raises(ValueError, match=r"^b must .*classes, -1 and 1; their measure"):
        squared_prediction_difference(odds, prompts.ys)
    assert accuracy(odds, prompts.ys).value.shape == (4,)
    weights = NearestNeighbors(2)(prompts).weights
    assert weights is None
    with pytest.raises(ValueError, match="a must be weights, got None: this learner"):
        implied_weight_difference(weights, np.ones((8, 4, 2)))


def test_the_nearest_learner_of_a_pool_is_its_posterior():
    pool = Pool(NOISY, 4, seed=1)
    prompts = pool.sample(KEY, batch=100)
    model = DiscretePosterior(pool)
    found = nearest(model, prompts, families(pool), contexts=[2, 3, 4])
    assert found.winner.family == "Bayes of the pool" and found.separated


def test_accuracy_counts_signs():
    rng = np.random.default_rng(0)
    odds, labels = rng.normal(size=(50, 3)), np.sign(rng.normal(size=(50, 3)))
    found = accuracy(odds, labels)
    np.testing.assert_allclose(found.value, ((odds > 0) == (labels > 0)).mean(axis=0))
    assert (found.low <= found.value).all() and (found.value <= found.high).all()
    with pytest.raises(ValueError, match=r"labels must be -1 or 1, got -0."):
        accuracy(odds, labels * 0)


def test_least_squares_in_a_subspace_is_a_number():
    """A Cholesky factor that failed is no number, and was once left out of a maximum.

    Of 1,000 prompts in a half of 8 dimensions, 5 had NaN for weights.
    """
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(300, 8, 4)))[0]
    xs = (rng.normal(size=(300, 17, 4)) @ basis.transpose(0, 2, 1)).astype(np.float32)
    prompts = Prompts(xs, xs.sum(axis=-1))
    found = LeastSquares()(prompts).predictions
    by_spectrum = LeastSquares()(decompose(prompts)).predictions
    np.testing.assert_array_equal(found, by_spectrum)
    assert np.isfinite(found).all()
