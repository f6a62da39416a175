"""Gaussian processes and wrapped learners against references, and families of tasks."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import linear_model
from sklearn.tree import DecisionTreeRegressor

from icl import LinearRegression, ModelConfig, Prompts
from icl.baselines import (
    GaussianProcess,
    Lasso,
    LeastSquares,
    MixturePosterior,
    NearestNeighbors,
    OnSquares,
    PosteriorMean,
    Ridge,
    ScikitLearner,
    WithIntercept,
    decompose,
)
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
    Mixture,
    Pool,
    PromptPool,
    Quadratic,
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


@pytest.mark.parametrize("noise_std", [0.0, 0.4])
def test_on_squares_is_the_closed_form_of_quadratic_functions(noise_std):
    task = Quadratic(3, 8, noise_std=noise_std)
    prompts = task.sample(KEY, batch=30)
    learner = OnSquares(PosteriorMean(noise_std, 3**-0.5))
    found = np.asarray(learner(prompts).predictions)
    assert learner(prompts).weights is None
    xs, ys = float64(prompts.xs, prompts.ys)
    for b in range(30):
        for i in range(8):
            squares = xs[b, :i] ** 2
            covariance = squares @ squares.T / 3 + noise_std**2 * np.eye(i)
            wanted = xs[b, i] ** 2 @ squares.T / 3
            if i and (noise_std or i <= 2):  # the others are exact, or singular
                wanted = wanted @ np.linalg.solve(covariance, ys[b, :i])
                assert found[b, i] == pytest.approx(wanted, abs=2e-4)  # of size 2
    if not noise_std:  # after d pairs it is known, but for nearly singular squares
        errors = np.abs(found - ys)[:, 3:]
        assert np.median(errors) < 1e-5 and errors.max() < 0.05
    asked = learner.predict_at(prompts, prompts.xs[:, :, None])
    np.testing.assert_allclose(asked[..., 0], found, atol=1e-5)


def test_on_squares_refuses_what_has_no_squares(untyped):
    with pytest.raises(ValueError, match=r"a linear learner of icl\.baselines"):
        OnSquares(NearestNeighbors())
    large = Prompts(np.full((1, 2, 1), 1e30, np.float32), np.ones((1, 2)))
    with pytest.raises(ValueError, match="the squares of xs must be finite"):
        OnSquares(LeastSquares())(large)


def test_families_of_a_task_know_more_than_its_dimension():
    plain = families(3)
    assert families(replace(NOISY, noise_std=0.0)).keys() == plain.keys()
    more = {
        "Bayes of the pool": Pool(NOISY, 4),
        "Lasso": SparseLinear(3, 6, k=1),
        "least squares on squares": Pool(Quadratic(3, 6), 4),
        "with intercept": ReluNetwork(3, 6),
        "Gaussian process": ReluNetwork(3, 6),
        "greedy tree": PromptPool(DecisionTree(3, 6), 4),
    }
    for name, task in more.items():
        assert name in families(task), name
        assert families(task).keys() > plain.keys()
    for task in (SparseLinear(3, 6, k=1), Pool(NOISY, 4)):
        pooled = families(PromptPool(task, 4))
        assert ("Lasso" in pooled) == isinstance(task, SparseLinear)
        assert "Bayes of the pool" not in pooled


def test_families_have_the_bayes_predictor_of_a_task_where_it_is_closed():
    scaled = replace(NOISY, noise_std=0.3, weight_std=0.5)
    fixed = replace(NOISY, fixed_weights=(1.0, 2.0, 3.0))
    bayes = {
        scaled: PosteriorMean(0.3, 0.5),
        fixed: MixturePosterior(fixed),
        Quadratic(3, 6, noise_std=0.1): OnSquares(PosteriorMean(0.1, 3**-0.5)),
    }
    for task, learner in bayes.items():
        assert families(task)["Bayes"] == [learner]
        other = replace(task, noise_law="laplace")
        assert "Bayes" not in families(other)
        assert "Bayes" not in families(PromptPool(task, 4))
    assert "Bayes" not in families(Quadratic(3, 6))
    found = families(fixed)["Bayes"][0](fixed.sample(KEY, batch=5)).weights
    wanted = np.broadcast_to(fixed.fixed_weights, found.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_families_know_the_bayes_predictor_of_quadratic_functions_best():
    """No ridge on squares does better than its penalty, on its own task."""
    task = Quadratic(3, 6, noise_std=1.0)
    prompts = task.sample(KEY, batch=4_000)
    (ys,) = float64(prompts.ys)
    (bayes,) = families(task)["Bayes"]

    def risk(learner):
        return np.square(np.asarray(learner(prompts).predictions, float) - ys).mean()

    for alpha in (1.0, 2.0, 4.5, 9.0):  # the right one is 3
        assert risk(bayes) <= risk(OnSquares(Ridge(alpha)))


@pytest.mark.parametrize("wrapped", ["alone", "pool", "prompts", "mixture"])
def test_classes_have_no_families_however_they_are_wrapped(wrapped):
    task = LinearClassification(3, 6)
    each = {
        "alone": task,
        "pool": Pool(task, 4),
        "prompts": PromptPool(task, 4),
        "mixture": Mixture((task, replace(task, flipped=0.1))),
    }
    with pytest.raises(ValueError, match=r"log-odds; compare icl\.compare\.accuracy"):
        families(each[wrapped])


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
