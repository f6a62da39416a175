"""Posterior means under mixtures of normal weights, and over smoothed pools."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl import LinearRegression
from icl.baselines import DiscretePosterior, MixturePosterior, PosteriorMean
from icl.compare import families
from icl.tasks import Addition, DecisionTree, Mixture, Pool, SparseLinear

KEY = jax.random.key(0)
PLAIN = LinearRegression(dim=3, length=6, noise_std=0.5)
SKEWED = ((2.0, 0.6, 0.0), (0.6, 1.0, -0.3), (0.0, -0.3, 0.5))
PARTS = (
    PLAIN,
    replace(
        PLAIN,
        noise_std=0.2,
        weight_std=0.7,
        weight_mean=(1.0, 0.0, -1.0),
        weight_covariance=SKEWED,
    ),
    replace(PLAIN, noise_std=0.3, fixed_weights=(0.5, 0.5, 2.0)),
)
SHARES = (0.5, 0.2, 0.3)
LAWS = [  # of the weights in PARTS: means, covariances
    (np.zeros(3), np.eye(3)),
    (np.array([1.0, 0.0, -1.0]), 0.49 * np.array(SKEWED)),
    (np.array([0.5, 0.5, 2.0]), np.zeros((3, 3))),
]


@pytest.fixture(scope="module")
def prompts():
    return PLAIN.sample(KEY, batch=5)


def log_normal(values, mean, covariance):
    """The logarithm of a normal density, up to a constant of the dimension."""
    beyond = values - mean
    _, size = np.linalg.slogdet(covariance)
    return -(beyond @ np.linalg.solve(covariance, beyond) + size) / 2


def reference(prompts, laws, shares, noises, centres=None):
    """Weights of every component and their probabilities, as the formulas read."""
    xs, ys = (np.asarray(part, float) for part in (prompts.xs, prompts.ys))
    batch, length, dim = xs.shape
    weights = np.zeros((len(laws), batch, length, dim))
    logs = np.zeros((batch, length, len(laws)))
    for c, (mean, covariance) in enumerate(laws):
        for b in range(batch):
            for i in range(length):
                x, y = xs[b, :i], ys[b, :i]
                labels = x @ covariance @ x.T + noises[c] ** 2 * np.eye(i)
                gain = covariance @ x.T @ np.linalg.inv(labels)
                weights[c, b, i] = mean + gain @ (y - x @ mean)
                logs[b, i, c] = np.log(shares[c]) + log_normal(y, x @ mean, labels)
                if centres is not None:
                    seen = xs[b, : i + 1]  # with the input that is asked about
                    logs[b, i, c] -= np.square(seen - centres[c]).sum() / 2
    odds = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return weights, odds / odds.sum(axis=-1, keepdims=True)


def test_the_posterior_of_a_mixture_is_its_formula(prompts):
    learner = MixturePosterior(Mixture(PARTS, SHARES))
    each, shares = reference(prompts, LAWS, SHARES, (0.5, 0.2, 0.3))
    weights = np.einsum("bic,cbid->bid", shares, each)
    found = learner(prompts)
    # The prompts are float32, and so are the answers.
    np.testing.assert_allclose(learner.probabilities(prompts), shares, atol=1e-5)
    np.testing.assert_allclose(found.weights, weights, atol=1e-5)
    said = (weights * np.asarray(prompts.xs)).sum(axis=-1)
    np.testing.assert_allclose(found.predictions, said, atol=1e-5)
    queries = learner.predict_at(prompts, prompts.xs[:, :, None])
    np.testing.assert_allclose(queries[..., 0], said, atol=1e-5)


def test_inputs_tell_the_component_where_their_laws_differ(prompts):
    centres = (np.zeros(3), np.array([1.0, 0.0, 0.5]), np.zeros(3))
    moved = (PARTS[0], replace(PARTS[1], mean=(1.0, 0.0, 0.5)), PARTS[2])
    learner = MixturePosterior(Mixture(moved, SHARES))
    each, shares = reference(prompts, LAWS, SHARES, (0.5, 0.2, 0.3), centres)
    weights = np.einsum("bic,cbid->bid", shares, each)
    said = (weights * np.asarray(prompts.xs)).sum(axis=-1)
    found = learner(prompts)
    assert found.weights is None
    np.testing.assert_allclose(found.predictions, said, atol=1e-5)


def test_two_far_groups_are_told_apart_as_panwar_et_al_found():
    """Error / d of the mixture, and where the right component is known (d = 10)."""
    group = LinearRegression(
        dim=10,
        length=11,
        weight_mean=(3.0,) + 9 * (0.0,),
        weight_covariance=(0.0,) + 9 * (1.0,),
    )
    other = replace(group, weight_mean=(-3.0,) + 9 * (0.0,))
    mixture = Mixture((group, other))
    assert mixture.normaliser == pytest.approx(18.0)
    prompts = jax.jit(lambda key: mixture.sample(key, batch=4_000))(KEY)
    ys = np.asarray(prompts.ys, float)

    def error(task, rows):
        part = prompts._replace(
            xs=prompts.xs[rows],
            ys=prompts.ys[rows],
            weights=prompts.weights[rows],
            latents=None,
        )
        said = np.asarray(MixturePosterior(task)(part).predictions, float)
        return np.square(said - ys[rows]).mean(axis=0) / 10

    golden = [1.83, 1.33, 1.05, 0.836, 0.640, 0.451, 0.321, 0.210, 0.097, 0.002, 0]
    found = error(mixture, slice(None))
    np.testing.assert_allclose(found, golden, rtol=0.1, atol=3e-3)
    first = np.asarray(prompts.latents["component"]) == 0
    known = error(group, first)
    exact = 0.9 * np.maximum(0, 1 - np.arange(11) / 9)
    # After 9 pairs it is 0 but for rounding, which nearly singular inputs magnify.
    np.testing.assert_allclose(known, exact, rtol=0.15, atol=1e-3)


def test_a_mixture_of_noise_levels_finds_the_penalty():
    """Risks of the ridge that knows the noise, Bai et al. (d = 20, E y^2 = 1)."""
    levels = (0.1, 0.25, 0.5, 1.0)
    parts = [
        LinearRegression(20, 41, noise_std=level, weight_std=20**-0.5)
        for level in levels
    ]
    learner = MixturePosterior(Mixture(tuple(parts)))
    golden = {0.1: (0.105, 0.0103), 0.5: (0.397, 0.180)}
    for level, wanted in golden.items():
        task = parts[levels.index(level)]
        prompts = jax.jit(lambda key, task=task: task.sample(key, batch=400))(KEY)
        ours, best = (
            np.asarray(each(prompts).weights - prompts.weights[:, None], float)
            for each in (learner, PosteriorMean(level, 20**-0.5))
        )
        risk, least = (
            np.square(off).sum(axis=-1).mean(axis=0)[[20, 40]] for off in (ours, best)
        )
        np.testing.assert_allclose(least, wanted, rtol=0.2)
        # After d pairs the noise is not known for sure, after 2d it nearly is.
        assert (risk / least < (1.25, 1.05)).all()


@pytest.mark.parametrize("size", [1, 12])
def test_a_smoothed_pool_is_a_mixture_of_its_functions(prompts, size):
    pool = Pool(PLAIN, size, seed=3)
    table = np.asarray(pool.members(jnp.arange(size))["weights"], float)
    laws = [(row, 0.09 * np.eye(3)) for row in table]
    each, shares = reference(prompts, laws, size * [1 / size], size * [0.5])
    wanted = np.einsum("bic,cbid->bid", shares, each)
    found = DiscretePosterior(pool, smoothing=0.3)(prompts).weights
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    sharp, plain = (
        DiscretePosterior(pool, smoothing=h)(prompts).weights for h in (1e-4, 0.0)
    )
    np.testing.assert_allclose(sharp, plain, atol=1e-4)


def test_families_know_the_bayes_predictors_of_mixtures():
    mixture = Mixture(PARTS)
    assert families(mixture)["Bayes of the mixture"] == [MixturePosterior(mixture)]
    assert families(PARTS[1])["Bayes"] == [MixturePosterior(PARTS[1])]
    assert len(families(Pool(PLAIN, 4))["smoothed Bayes of the pool"]) == 4
    other = Mixture((PLAIN, SparseLinear(3, 6, k=1)))
    assert "Bayes of the mixture" not in families(other)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MixturePosterior(SparseLinear(3, 6, 1)), "got SparseLinear"),
        (
            lambda: MixturePosterior(Mixture((PLAIN, SparseLinear(3, 6, 1)))),
            "a component is SparseLinear",
        ),
        (
            lambda: MixturePosterior(replace(PLAIN, weight_law="laplace")),
            "its weights have another law",
        ),
        (lambda: MixturePosterior(replace(PLAIN, noise_law="student")), "is student"),
        (
            lambda: MixturePosterior(Mixture((PLAIN, replace(PLAIN, rotated=True)))),
            "must be normal and not rotated",
        ),
        (
            lambda: DiscretePosterior(Pool(DecisionTree(3, 6), 4), 0.1, smoothing=0.5),
            "smoothing must be 0 for DecisionTree",
        ),
    ],
)
def test_what_has_no_closed_form_is_refused(make, says, untyped):
    with pytest.raises(ValueError, match=says):
        make()


def test_a_mixture_of_tasks_that_draw_no_prompts_is_refused():
    with pytest.raises(ValueError, match=r"must draw prompts, .* got Addition, whose"):
        Mixture((Addition(), Addition(seed=1)))
