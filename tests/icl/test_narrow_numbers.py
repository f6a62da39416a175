"""Short floats overflow, short integers wrap around: they are made longer first."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from icl import LinearRegression, Prompts, losses
from icl.baselines import (
    DiscretePosterior,
    GradientDescent,
    NearestNeighbors,
    OnePassSGD,
    ScikitLearner,
    optimal_rate,
)
from icl.compare.path import lowest
from icl.tasks import Pool, check_prompts, shifts

TASK = LinearRegression(dim=2, length=8, noise_std=0.5)
PROMPTS = TASK.sample(jax.random.key(0), batch=20)
LARGE = PROMPTS._replace(xs=(300 * PROMPTS.xs).astype(jnp.float16))


@pytest.mark.parametrize(
    "learner",
    [
        NearestNeighbors(3),
        OnePassSGD(1e-7),
        GradientDescent(1, 1e-6),
        DiscretePosterior(Pool(TASK, 4)),
    ],
    ids=lambda learner: learner.name,
)
def test_learners_compute_with_float16_in_float32(learner):
    found = learner(LARGE).predictions
    wanted = learner(LARGE._replace(xs=LARGE.xs.astype(jnp.float32))).predictions
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_shifts_take_short_floats(dtype):
    short = jax.tree.map(lambda array: array.astype(dtype), PROMPTS)
    exact = jax.tree.map(lambda array: array.astype(jnp.float32), short)
    found, wanted = (
        shifts.orthogonal_query(each, jax.random.key(1)) for each in (short, exact)
    )
    assert found.prompts.xs.dtype == jnp.float32
    np.testing.assert_allclose(found.truth, wanted.truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighting", ["uniform", "distance", "inverse"])
@pytest.mark.parametrize("unit", [1e-23, 1e20, 1e37])
def test_nearest_neighbours_are_the_same_in_any_unit(weighting, unit):
    learner = NearestNeighbors(3, weighting)
    found = learner(PROMPTS._replace(xs=PROMPTS.xs * unit)).predictions
    wanted = learner(PROMPTS).predictions
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_labels_must_be_finite_in_the_dtype_of_inputs():
    with jax.enable_x64(True):
        prompts = Prompts(np.ones((1, 2, 1), np.float32), np.full((1, 2), 1e300))
        for learner in (NearestNeighbors(), OnePassSGD(0.1)):
            with pytest.raises(ValueError, match=r"^ys must be finite, but 2 of"):
                learner(prompts)


def test_what_float32_does_not_hold_is_named(untyped):
    said = r"^ys must be finite in float32, but 2 of its 2 values .* such as 1e\+300; "
    with pytest.raises(ValueError, match=said):
        check_prompts(Prompts(np.ones((1, 2, 1)), np.full((1, 2), 1e300)))


@pytest.mark.parametrize(
    ("predictions", "targets", "wanted"),
    [
        (np.uint8([0]), np.uint8([20]), 400),
        (np.int8([-100]), np.int8([100]), 40_000),
        (jnp.int8(jnp.array([-100])), jnp.int8(jnp.array([100])), 40_000),
        (np.float16([300]), np.float16([0]), 90_000),
        (np.float32([0]), np.uint8([20]), 400),
    ],
)
def test_squared_errors_do_not_wrap_around(untyped, predictions, targets, wanted):
    found = losses.squared_error(predictions, targets)
    assert found.tolist() == [wanted] and found.dtype == jnp.float32


def test_other_losses_do_not_wrap_around(untyped):
    logits = np.array([[[100, -100]]])
    for dtype in (np.int8, np.float16, np.float32):
        found = losses.cross_entropy(logits.astype(dtype), np.array([[1]], np.uint8))
        assert found.tolist() == [[200.0]]
    assert losses.cross_entropy(np.uint8([[[200, 0]]]), [[0]]).tolist() == [[0.0]]
    likely = losses.logistic(np.uint8([3]), np.uint8([1]))  # -1 would be 255
    np.testing.assert_allclose(likely, np.log1p(np.exp(-3.0)), rtol=1e-5)


@pytest.mark.parametrize("target", [2, -1])
def test_targets_are_entries_of_the_vocabulary(untyped, target):
    said = f"targets must be 0 to 1, entries of predictions, got {target}"
    with pytest.raises(ValueError, match=said):
        losses.cross_entropy(np.zeros((1, 1, 2)), [[target]])
    inside = jax.jit(losses.cross_entropy)  # which has no values to look at
    assert inside(jnp.zeros((1, 1, 2)), jnp.array([[1]])).shape == (1, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int16, np.float16])
def test_the_lowest_point_of_a_curve_is_the_same_for_any_dtype(untyped, dtype):
    where, least = lowest(np.array([200, 210, 220], dtype), [1, 0, 0.9])
    assert (round(float(where), 4), float(least)) == (210.2632, 0.0)
    where, _ = lowest(np.array([0.0, 1.0, 2.0]), np.array([200, 100, 190], dtype))
    np.testing.assert_allclose(where, 1 + 5 / 190)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, jnp.float16, np.int64])
def test_optimal_rates_are_the_same_for_any_dtype(untyped, dtype):
    contexts = np.array([1, 200]).astype(dtype)
    wanted = [1 / (2 * (n + 20 + 1 + 0.25)) for n in (1, 200)]
    for given in (contexts, jnp.asarray(contexts)):
        found = optimal_rate(given, 20, noise_std=0.5)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


class Says(RegressorMixin, BaseEstimator):
    """Predicts what it is told."""

    def __init__(self, what=None):
        self.what = what

    def fit(self, xs, ys):
        return self

    def predict(self, xs):
        return self.what


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (np.array([1j]), "must hold real numbers, got an array of complex128"),
        (np.ma.masked_array([1.0], [True]), "must hold real numbers, got a masked"),
        (np.array([np.nan]), "must be finite"),
        (np.array([1.0, 2.0]), r"must have axes \(queries,\) of sizes \(1\)"),
        (None, "must be an array of real numbers, got None"),
    ],
)
def test_predictions_of_a_regressor_are_numbers(untyped, what, said):
    with pytest.raises(ValueError, match=f"^the predictions of regressor {said}"):
        ScikitLearner(Says(what))(PROMPTS)


class Truth:
    """True as a scalar of PyTorch, which Python would count with."""

    dtype = "torch.bool"

    def __index__(self):
        return 1


def test_a_truth_of_another_library_is_no_number(untyped):
    for use in (NearestNeighbors, lambda value: GradientDescent(value, 0.1)):
        with pytest.raises(ValueError, match=r"^(k|steps) must be an integer >= "):
            use(Truth())
