"""Learners have the errors that are known of them, at the sizes of the papers.

Numbers with an error of their own come from other programs (Monte Carlo); ours are held
against them to three standard errors of both together.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_numbers import agree, risk
from sklearn.dummy import DummyRegressor
from sklearn.tree import DecisionTreeRegressor

from benchmarks import pool as benchmark
from icl import LinearRegression, Prompts, inference
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
)
from icl.tasks import (
    DecisionTree,
    FunctionClass,
    Pool,
    ReluNetwork,
    SparseLinear,
    shifts,
)

# --- Garg et al. 2022, d = 20 --------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "contexts", "golden"),
    [
        ("skewed", [1, 5, 10, 15], [0.672, 0.2114, 0.0793, 0.0285]),
        (
            "opposite quadrants",
            [1, 5, 10, 15, 19],
            [0.564, 0.3228, 0.1997, 0.0971, 0.0192],
        ),
    ],
)
def test_least_squares_on_shifts_without_a_closed_form(shift, contexts, golden):
    prompts, key = inference.sample(LinearRegression(20, 21), 1_000, 0)
    shifted = shifts.SHIFTS[shift](prompts, key)
    by_prompt = shifted.errors(inference.answers(LeastSquares(), shifted))[:, contexts]
    error = by_prompt.std(axis=0) / 1_000**0.5
    agree(by_prompt.mean(axis=0), error, golden, own=0.002)


def test_noisy_labels_and_what_ridge_regression_leaves_of_them():
    prompts, key = inference.sample(LinearRegression(20, 41), 1_000, 0)
    noisy = shifts.noisy(1.0)(prompts, key)
    for learner, contexts, golden in (
        (Ridge(1.0), [10, 20, 30, 40], [0.567, 0.247, 0.1277, 0.0928]),
        (LeastSquares(), [40], [0.0977]),
    ):
        errors = noisy.errors(inference.answers(learner, noisy))[:, contexts]
        agree(errors.mean(axis=0), errors.std(axis=0) / 1_000**0.5, golden)


def test_learners_on_networks_and_what_an_intercept_is_worth():
    task = ReluNetwork(20, 101, hidden=100)
    prompts, _ = inference.sample(task, 100, 0, whole=True)
    at = [10, 50, 100]
    for learner, golden in (
        (WithIntercept(LeastSquares()), [0.775, 0.341, 0.240]),
        (GaussianProcess(), [0.531, 0.250, 0.151]),
        (NearestNeighbors(3), [0.658, 0.548, 0.497]),
    ):
        found, error = risk(learner, prompts, prompts.ys, task.normaliser)
        # The others' errors are 4 % of 0.24 and of 0.15.
        agree(found[at], error[at], golden, own=0.04 * np.array(golden))
    found, error = risk(LeastSquares(), prompts, prompts.ys, task.normaliser)
    agree(found[-1], error[-1], 0.648, own=0.03)


def test_the_lasso_on_sparse_functions():
    task = SparseLinear(20, 21, k=3)
    prompts, _ = inference.sample(task, 100, 0)
    small, large = (
        risk(Lasso(alpha), prompts, prompts.ys, task.normaliser)
        for alpha in (0.01, 0.1)
    )
    for (found, error), golden, own in (
        (small, [0.066, 2e-4], [0.019, 1e-4]),
        (large, [0.120, 0.018], [0.02, 0.002]),
    ):
        agree(found[[10, 20]], error[[10, 20]], golden, np.array(own))
    assert small[0][20] < 0.1 * large[0][20]


def test_regressors_on_trees_and_on_the_signs_of_inputs():
    task = DecisionTree(20, 101, depth=4)
    prompts, _ = inference.sample(task, 100, 0, whole=True)
    signs = prompts._replace(xs=jnp.sign(prompts.xs))

    def tree(depth):
        return DecisionTreeRegressor(max_depth=depth, random_state=0)

    for regressor, seen, golden, own in (
        (DummyRegressor(), prompts, 0.94, 0.08),
        (tree(None), prompts, 1.21, 0.1),
        (tree(2), prompts, 0.85, 0.1),
        (tree(None), signs, 0.61, 0.07),
        (tree(4), signs, 0.47, 0.07),
    ):
        learner = ScikitLearner(regressor, least_pairs=100)
        found, error = risk(learner, seen, prompts.ys, 1.0)
        agree(found[-1], error[-1], golden, own)


# --- Raventós et al. 2023, d = 8, 16 pairs, noise of deviation 1/2 -------------------

NOISY = LinearRegression(8, 16, noise_std=0.5)
RIDGE = (1.0, 0.894, 0.749, 0.641, 0.523, 0.428, 0.330, 0.253, 0.183, 0.139, 0.099)
RIDGE += (0.075, 0.0635, 0.051, 0.0435, 0.0375)
"""Risks after 0 to 15 pairs, of 20,000 prompts, to 1 %."""


def test_ridge_regression_has_the_risk_that_all_pools_are_held_against():
    prompts, _ = inference.sample(NOISY, 4_000, 0, whole=True)
    truth = inference.true_labels(prompts)
    found, error = risk(PosteriorMean(0.5), prompts, truth, 8)
    agree(found, error, RIDGE)
    assert found.mean() == pytest.approx(0.344, rel=0.02)
    right = inference.predictions(PosteriorMean(0.5), prompts)
    for alpha, golden in ((0.05, 0.0171), (1.0, 0.0220)):
        apart, _ = risk(Ridge(alpha), prompts, right, 8)
        assert apart.mean() == pytest.approx(golden, rel=0.1)


def test_the_posterior_over_a_pool_on_seen_and_on_new_functions():
    """Risk and distance to ridge regression, averaged over contexts."""
    found = []
    pool = Pool(NOISY, 1_024)
    learner = DiscretePosterior(pool)
    for law in (pool, NOISY):
        prompts, _ = inference.sample(law, 1_000, 0, whole=True)
        truth = inference.true_labels(prompts)
        ridge = inference.predictions(PosteriorMean(0.5), prompts)
        for other in (truth, ridge):
            found.append(risk(learner, prompts, other, 8)[0].mean())
    # Pools of so few functions differ by some per cent, and prompts by 3 %.
    np.testing.assert_allclose(found, (0.225, 0.122, 0.598, 0.254), rtol=0.15)


@dataclass(frozen=True)
class Opposites(FunctionClass):
    """One of two functions, w.x and -w.x for the w of ones, each as probable."""

    linear = True
    dim: int = 2
    length: int = 6
    noise_std: float = 0.5

    def functions(self, key, count):
        sign = jax.random.rademacher(key, (count, 1), jnp.float32)
        return {"weights": sign * jnp.ones((1, self.dim))}

    def values(self, functions, xs):
        return jnp.einsum("bd,bld->bl", functions["weights"], xs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_posterior_over_two_opposite_functions_is_a_hyperbolic_tangent(dtype):
    task = Opposites()
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(50, 6, 2)).astype(dtype)
    along = xs.astype(float).sum(axis=-1)
    signs = rng.choice([-1, 1], size=(50, 1))
    ys = (signs * along + 0.5 * rng.normal(size=(50, 6))).astype(dtype)
    products = ys.astype(float) * along
    before = np.cumsum(products, axis=1) - products
    wanted = np.tanh(before / 0.25) * along
    with jax.enable_x64(dtype == "float64"):
        pools = {}  # the last of 12 with each order of signs
        for pool in (Pool(task, 2, seed) for seed in range(12)):
            pools[tuple(pool.members(jnp.arange(2))["weights"][:, 0].tolist())] = pool
        one, other = (
            DiscretePosterior(pools[order])(Prompts(xs, ys)).predictions
            for order in ((1, -1), (-1, 1))
        )
    assert one.dtype == dtype
    # Of size 1 to 5; rounding of float32 leaves 3e-7.
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(one, wanted, atol=tolerance)
    np.testing.assert_allclose(other, wanted, atol=tolerance)


def test_the_benchmark_of_pools_compares_equal_posteriors():
    task = LinearRegression(dim=2, length=4, noise_std=benchmark.NOISE)
    few = Pool(task, 40)
    prompts = task.sample(jax.random.key(0), batch=3)
    table = np.asarray(few.members(jnp.arange(40))["weights"])
    slow = benchmark.theirs(table, prompts)
    assert slow.shape == (3, 4, 2)
    # Both in float32, of weights of size 1.
    assert benchmark.disagreement(benchmark.ours(few, prompts), slow) < 1e-5
