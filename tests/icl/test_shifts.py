"""Shifts do what they say, and least squares has the errors that theory gives it."""

import jax
import numpy as np
import pytest

from icl import LinearRegression, Prompts, inference
from icl.baselines import Average, LeastSquares, Ridge
from icl.tasks import Quadratic, shifts

DIM, PAIRS, BATCH = 4, 9, 4_000


@pytest.fixture(scope="module")
def shifted():
    prompts, key = inference.sample(LinearRegression(DIM, PAIRS), BATCH, 0)
    return {name: shift(prompts, key) for name, shift in shifts.SHIFTS.items()}


def errors(learner, case):
    """Mean errors by context length, with their standard errors."""
    by_prompt = case.errors(inference.answers(learner, case))
    return by_prompt.mean(axis=0), by_prompt.std(axis=0) / BATCH**0.5


RISING = 1 - np.arange(PAIRS) / DIM
EXACT = {
    "none": RISING,
    "half subspace": 1 - 2 * np.arange(PAIRS) / DIM,
    **{name: RISING for name in shifts.SHIFTS if " times " in name},
    "random quadrants": RISING,
    "orthogonal query": np.ones(DIM),
    "query in the context": (np.arange(PAIRS) == 0).astype(float),
}


@pytest.mark.parametrize("name", EXACT)
def test_least_squares_has_the_error_that_theory_says(shifted, name):
    """Garg et al. 2022: 1 - n/d wherever the query is isotropic given the context."""
    found, error = errors(LeastSquares(), shifted[name])
    wanted = np.maximum(EXACT[name], 0)
    # Five standard errors, and what float32 labels and a variance of 1 % leave.
    np.testing.assert_array_less(
        np.abs(found - wanted), 5 * error + 0.02 * wanted + 1e-4
    )


def test_inputs_have_the_laws_that_they_say(shifted):
    skewed = np.asarray(shifted["skewed"].prompts.xs, float)
    np.testing.assert_allclose(np.square(skewed).sum(axis=-1).mean(), DIM, rtol=0.05)
    # The Gram matrix of many x of one prompt has the eigenvalues c / i^2.
    one = Prompts(np.zeros((1, 1, DIM)), np.zeros((1, 1)), np.zeros((1, DIM)))
    many = np.random.default_rng(0).normal(size=(1, 20_000, DIM))
    one = one._replace(xs=many, ys=np.zeros((1, 20_000)))
    xs = np.asarray(shifts.skewed(one, jax.random.key(0)).prompts.xs[0], float)
    found = np.linalg.eigvalsh(xs.T @ xs / len(xs))[::-1]
    wanted = 1 / np.arange(1, DIM + 1) ** 2
    np.testing.assert_allclose(found, wanted * DIM / wanted.sum(), rtol=0.05)
    xs = np.asarray(shifts.half_subspace(one, jax.random.key(0)).prompts.xs[0], float)
    found = np.linalg.eigvalsh(xs.T @ xs / len(xs))[::-1]
    np.testing.assert_allclose(found, [2, 2, 0, 0], atol=0.1)


def test_quadrants_are_one_for_each_prompt(shifted):
    for name, sign in (("random quadrants", None), ("opposite quadrants", -1)):
        case = shifted[name]
        signs = np.sign(np.asarray(case.prompts.xs))
        assert (signs == signs[:, :1]).all()
        if sign:
            assert (np.sign(np.asarray(case.queries)) == sign * signs[:, :1]).all()


def test_queries_are_orthogonal_to_the_context_and_keep_their_length(shifted):
    case = shifted["orthogonal query"]
    xs, queries = (np.asarray(a, float) for a in (case.prompts.xs, case.queries))
    products = np.einsum("bid,bjd->bij", queries, xs) * np.tri(DIM, k=-1)
    assert np.abs(products).max() < 1e-4  # float32, of lengths of about 2
    assert np.square(queries).sum(axis=-1).mean() == pytest.approx(DIM, rel=0.05)


def test_repeated_queries_are_inputs_of_the_context(shifted):
    case = shifted["query in the context"]
    xs, queries = np.asarray(case.prompts.xs), np.asarray(case.queries)
    same = (queries[:, :, None] == xs[:, None]).all(axis=-1)
    earlier = same & np.tri(PAIRS, k=-1, dtype=bool)
    assert earlier[:, 1:].any(axis=-1).all()


def test_noisy_labels_have_the_size_that_they_had(shifted):
    case = shifted["noisy labels"]
    assert np.square(np.asarray(case.truth)).mean() == pytest.approx(DIM, rel=0.05)
    clean = shifted["none"].prompts.ys
    factor = (DIM / (DIM + 1)) ** 0.5
    noise = np.asarray(case.truth) / factor - np.asarray(clean)
    assert noise.std() == pytest.approx(1.0, rel=0.02)
    # Garg et al. 2022, table of section 4: beyond d + 1, OLS has a closed form.
    found, error = errors(LeastSquares(), case)
    n, d = PAIRS - 1, DIM
    wanted = (1 + d / (n - d - 1)) / (d + 1)
    assert abs(found[-1] - wanted) < 5 * error[-1] + 0.02
    assert errors(Ridge(1.0), case)[0][-1] < found[-1]


def test_averaging_is_as_bad_as_it_is_said_to_be(shifted):
    """(d + 1) / n, Garg et al. 2022."""
    found, error = errors(Average(), shifted["none"])
    wanted = (DIM + 1) / np.arange(1, PAIRS)
    np.testing.assert_array_less(
        np.abs(found[1:] - wanted), 5 * error[1:] + 0.02 * wanted
    )


def test_prompts_whose_labels_are_all_0_are_shifted_and_have_no_errors():
    prompts, key = inference.sample(LinearRegression(2, 4), 3, 0)
    zero = prompts._replace(weights=0 * prompts.weights, ys=0 * prompts.ys)
    for noise_std in (0.0, 1.0):
        case = shifts.noisy(noise_std)(zero, key)
        np.testing.assert_array_equal(case.truth, 0)
        with pytest.raises(ValueError, match="variance must be a finite number > 0, g"):
            case.errors(case.truth)


def test_noise_of_any_size_is_rescaled_to_the_size_of_the_labels():
    prompts, key = inference.sample(LinearRegression(2, 4), 500, 0)
    truth = np.asarray(shifts.noisy(1e30)(prompts, key).truth)
    assert np.square(truth).mean() == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        (shifts.scaled_inputs(1e38), "shifted xs must be finite"),
        (shifts.scaled_weights(1e38), "shifted [a-z]+ must be finite"),
        (shifts.noisy(3e38), "shifted ys must be finite"),
    ],
)
def test_shifts_that_leave_the_range_of_floats_are_refused(shift, said):
    prompts, key = inference.sample(LinearRegression(2, 4), 30, 0)
    with pytest.raises(ValueError, match=said):
        shift(prompts._replace(xs=10 * prompts.xs, weights=10 * prompts.weights), key)


def test_shifts_take_typed_keys_only(untyped):
    prompts, key = inference.sample(LinearRegression(2, 4), 3, 0)
    for shift in shifts.SHIFTS.values():
        for bad in (jax.random.PRNGKey(0), jax.random.split(key, 3), None):
            with pytest.raises(ValueError, match="key must be a typed key"):
                shift(prompts, bad)


def test_shifts_take_prompts_of_lists(untyped):
    prompts, key = inference.sample(LinearRegression(2, 4), 3, 0)
    lists = Prompts(*(np.asarray(part).tolist() for part in prompts[:3]))
    for shift in shifts.SHIFTS.values():
        jax.tree.map(
            np.testing.assert_array_equal, shift(prompts, key), shift(lists, key)
        )


def test_errors_of_ones_own_predictions(shifted):
    case = shifted["x times 3"]
    zeros = np.zeros(case.truth.shape)
    assert case.errors(zeros).mean() == pytest.approx(1.0, rel=0.05)
    with pytest.raises(ValueError, match="predictions must have axes"):
        case.errors(zeros[:, 1:])


def test_prompts_without_functions_cannot_be_shifted():
    prompts = Quadratic(3, 4).sample(jax.random.key(0), batch=2)
    for shift in shifts.SHIFTS.values():
        with pytest.raises(
            ValueError, match="must hold the weights of their functions"
        ):
            shift(prompts, jax.random.key(1))
    with pytest.raises(ValueError, match="factor must be a finite number > 0"):
        shifts.scaled_inputs(0.0)
