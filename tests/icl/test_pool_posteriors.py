"""Posteriors over the functions of a pool against their formula, in float64."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from icl import LinearRegression
from icl.baselines import DiscretePosterior, PosteriorMean, enumeration
from icl.compare import families, nearest
from icl.tasks import DecisionTree, Pool, ReluNetwork

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


CLASSES = (NOISY, ReluNetwork(3, 6, hidden=4), DecisionTree(3, 6, depth=2))


@pytest.mark.parametrize("task", CLASSES, ids=lambda task: type(task).__name__)
def test_a_pool_is_the_same_functions_in_any_precision(task, prompts):
    pool = Pool(task, 5, seed=4)
    learner = DiscretePosterior(pool, noise_std=0.5)
    members, found = pool.members(jnp.arange(5)), learner(prompts).predictions
    with jax.enable_x64(True):
        again, same = pool.members(jnp.arange(5)), learner(prompts).predictions
        double = jax.tree.map(lambda array: jnp.asarray(array, float), prompts)
        exact = learner(double).predictions
    for name, array in members.items():
        np.testing.assert_array_equal(array, again[name])
    assert same.dtype == np.float32 and exact.dtype == np.float64
    np.testing.assert_array_equal(found, same)
    np.testing.assert_allclose(found, exact, atol=1e-5)  # float32


def test_the_posterior_over_a_pool_is_its_formula(monkeypatch, prompts):
    # In parts of 8 functions and 16 prompts, the last of which are not full.
    monkeypatch.setattr(enumeration, "FUNCTIONS", 8)
    monkeypatch.setattr(enumeration, "PROMPTS", 16)
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


def test_the_nearest_learner_of_a_pool_is_its_posterior():
    pool = Pool(NOISY, 4, seed=1)
    prompts = pool.sample(KEY, batch=100)
    model = DiscretePosterior(pool)
    found = nearest(model, prompts, families(pool), contexts=[2, 3, 4])
    assert found.winner.family == "Bayes of the pool" and found.separated


DENSITIES = {  # at deviation 1, from the textbook
    "normal": lambda z: np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi),
    "uniform": lambda z: np.where(np.abs(z) <= np.sqrt(3), 1 / np.sqrt(12), 0.0),
    "laplace": lambda z: np.exp(-np.sqrt(2) * np.abs(z)) / np.sqrt(2),
    "student": lambda z: stats.t(5).pdf(z * np.sqrt(5 / 3)) * np.sqrt(5 / 3),
}


@pytest.mark.parametrize("law", DENSITIES)
def test_the_likelihood_is_that_of_the_noise_of_the_task(law):
    pool = Pool(replace(NOISY, noise_law=law), 20, seed=4)
    prompts = pool.sample(KEY, batch=40)
    table = np.asarray(pool.members(jnp.arange(20))["weights"], float)
    xs, ys = float64(prompts.xs, prompts.ys)
    each = DENSITIES[law]((ys[:, :, None] - xs @ table.T) / 0.5)
    odds = np.cumprod(each, axis=1)
    odds = np.concatenate([np.ones_like(odds[:, :1]), odds[:, :-1]], axis=1)
    wanted = (odds / odds.sum(axis=-1, keepdims=True)) @ table
    found = DiscretePosterior(pool)(prompts).weights
    np.testing.assert_allclose(found, wanted, atol=1e-5)  # float32


def test_the_right_likelihood_has_the_lower_risk():
    """Of labels of the pool's own law nothing beats its posterior mean."""
    pool = Pool(replace(NOISY, noise_law="laplace"), 20, seed=4)
    prompts = pool.sample(KEY, batch=4_000)
    truth = np.einsum("bd,bld->bl", *float64(prompts.weights, prompts.xs))
    right, wrong = (
        np.square(np.asarray(DiscretePosterior(each)(prompts).predictions) - truth)
        for each in (pool, Pool(NOISY, 20, seed=4))
    )
    gain = (wrong - right).mean(axis=1)
    assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5


def test_labels_that_no_function_can_have_made_leave_those_least_ruled_out():
    pool = Pool(replace(NOISY, noise_law="uniform"), 20, seed=4)
    table = np.asarray(pool.members(jnp.arange(20))["weights"], float)
    prompts = NOISY.sample(KEY, batch=40)  # functions of which none is in the pool
    xs, ys = float64(prompts.xs, prompts.ys)
    out = np.abs(ys[:, :, None] - xs @ table.T) > np.sqrt(3) * 0.5
    before = np.cumsum(out, axis=1) - out
    least = before == before.min(axis=-1, keepdims=True)
    assert before.min(axis=-1).max() > 0  # the case does occur
    wanted = (least / least.sum(axis=-1, keepdims=True)) @ table
    found = DiscretePosterior(pool)(prompts).weights
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_rounding_never_rules_out_the_function_that_made_the_labels():
    """Noise of 40,000 labels comes within 1e-4 of its bound some ten times."""
    task = LinearRegression(8, 20, noise_std=1e-3, noise_law="uniform")
    pool = Pool(task, 2, seed=1)
    prompts = pool.sample(KEY, batch=2_000)
    found = DiscretePosterior(pool)(prompts).weights
    wanted = np.broadcast_to(np.asarray(prompts.weights)[:, None], found.shape)
    # Two functions differ by more than the noise at one of 5 inputs.
    np.testing.assert_allclose(found[:, 5:], wanted[:, 5:], atol=1e-6)


def test_smoothing_is_refused_where_it_has_no_closed_form():
    laplace = Pool(replace(NOISY, noise_law="laplace"), 4)
    with pytest.raises(ValueError, match=r"smoothing must be 0 where the noise is lap"):
        DiscretePosterior(laplace, smoothing=0.1)
    assert families(laplace)["Bayes of the pool"] == [DiscretePosterior(laplace)]
    assert "smoothed Bayes of the pool" not in families(laplace)


@pytest.mark.parametrize(
    "task",
    [
        DecisionTree(dim=20, length=4, depth=13, noise_std=0.1),
        ReluNetwork(dim=20, length=4, hidden=3_000, noise_std=0.1),
    ],
    ids=lambda task: type(task).__name__,
)
def test_parts_of_pools_of_large_functions_are_small(task, monkeypatch):
    """A part is as large as `BYTES` says, and the answers do not depend on it."""
    pool = Pool(task, 6, seed=3)
    prompts = pool.sample(KEY, batch=5)
    whole = DiscretePosterior(pool)(prompts).predictions
    assert enumeration.sizes(replace(pool, size=10**6), 20)[0] < enumeration.FUNCTIONS
    monkeypatch.setattr(enumeration, "BYTES", 2**17)
    functions, count = enumeration.sizes(pool, 20)
    drawn = jax.eval_shape(pool.members, jnp.arange(functions))
    largest = max(array.size * 4 for array in jax.tree.leaves(drawn))
    assert functions == 1 or largest <= 2**17
    assert functions < 6 and count >= 1  # so that there are parts
    parts = DiscretePosterior(pool)(prompts).predictions
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)  # float32


def test_a_program_serves_pools_of_other_seeds_sizes_and_probabilities(prompts):
    learners = [
        DiscretePosterior(Pool(NOISY, size, seed))
        for size, seed in ((30, 0), (30, 2**32 - 1), (17, 5))
    ]
    program = enumeration._program(prompts.xs)
    learners[0](prompts)
    before = program._cache_size()
    for learner in learners[1:]:
        table = np.asarray(
            learner.pool.members(jnp.arange(learner.pool.size))["weights"], float
        )
        wanted = reference(table, 1 / len(table), prompts, 0.5)
        np.testing.assert_allclose(learner(prompts).weights, wanted, atol=1e-5)
    assert program._cache_size() == before


def test_the_posterior_can_be_part_of_a_program_and_has_gradients(prompts):
    learner = DiscretePosterior(Pool(NOISY, 20, seed=4))
    xs, ys = prompts.xs, prompts.ys
    wanted = learner(prompts).predictions
    inside = jax.jit(lambda xs: learner(prompts._replace(xs=xs)).predictions)(xs)
    np.testing.assert_allclose(inside, wanted, atol=1e-5)  # float32
    closed = jax.jit(lambda one: one * learner(prompts).predictions)(1.0)
    np.testing.assert_allclose(closed, wanted, atol=1e-5)

    def first(step):
        moved = prompts._replace(ys=ys.at[0, 0].add(step))
        return learner(moved).predictions[0, 3]

    slope = jax.grad(first)(0.0)
    numeric = (first(1e-2) - first(-1e-2)) / 2e-2
    # Of float32 with steps of 0.01: 1e-7 / 0.01, and the curvature.
    assert slope == pytest.approx(float(numeric), rel=1e-2, abs=1e-4)
