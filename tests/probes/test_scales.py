"""Nothing depends on the units of what is given, where float64 holds the result."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from probes import (
    behavioural_error,
    cosine,
    evidence_codelength,
    fit_eraser,
    mean_squared_error,
    movement,
    online_codelength,
    probe_grid,
    random_change,
    random_function,
    swap,
    write,
    write_class,
)

UNITS = [2.0**-1000, 2.0**-600, 2.0**600, 2.0**1000]  # powers of 2 round nothing


@pytest.fixture
def states(rng):
    return rng.normal(size=(30, 4)) + 1.0


@pytest.mark.parametrize("unit", UNITS)
def test_random_changes_have_the_size_of_the_change_in_all_units(states, unit):
    expected = random_change(states, seed=0)
    np.testing.assert_array_equal(random_change(states * unit, seed=0), expected * unit)
    stretched = random_change(states, seed=0, covariance=np.eye(4) * unit)
    np.testing.assert_allclose(stretched, expected, rtol=1e-12)


@pytest.mark.parametrize("unit", [2.0**-90, 2.0**90])
@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
def test_random_changes_in_float32_have_the_size_of_the_change(states, of, unit):
    given = of(np.float32(states * unit))
    changes = random_change(given, seed=0)
    if of is jnp.asarray:
        traced = jax.jit(lambda change: random_change(change, seed=0))(given)
        np.testing.assert_allclose(traced, changes, rtol=1e-5)
    sizes = np.linalg.norm(np.asarray(changes, float) / unit, axis=1)
    np.testing.assert_allclose(sizes, np.linalg.norm(states, axis=1), rtol=1e-5)


@pytest.mark.parametrize("unit", UNITS)
def test_movement_is_the_same_in_all_units(rng, unit):
    before, after, wanted = rng.normal(size=(3, 40, 2))
    expected = movement(before, after, wanted)
    np.testing.assert_array_equal(
        movement(before * unit, after * unit, wanted * unit), expected
    )
    small = movement(before, after * 2.0**-500, wanted * 2.0**-500)
    np.testing.assert_array_equal(small.toward, expected.toward)
    np.testing.assert_array_equal(small.kept, expected.kept * 2.0**-500)


@pytest.mark.parametrize("unit", UNITS)
def test_cosines_are_the_same_in_all_units(rng, unit):
    truth, guess = rng.normal(size=(2, 5, 3))
    np.testing.assert_array_equal(cosine(truth * unit, guess), cosine(truth, guess))


def test_errors_that_float64_does_not_hold_are_refused():
    truth, guess = np.ones((2, 2)), -np.ones((2, 2))
    held = mean_squared_error(truth * 1e150, guess * 1e150)
    np.testing.assert_allclose(held, 4e300)
    for call in (mean_squared_error, behavioural_error):
        with pytest.raises(ValueError, match="truth and guess must differ by"):
            call(truth * 1e308, guess * 1e308)
    with pytest.raises(ValueError, match="covariance"):
        behavioural_error(truth, guess, np.eye(2) * 1e308)


@pytest.mark.parametrize("unit", UNITS)
def test_a_target_is_erased_in_all_units(states, unit):
    target = states[:, :1] ** 3
    expected = fit_eraser(states, target)(states)
    np.testing.assert_array_equal(
        fit_eraser(states * unit, target)(states * unit), expected * unit
    )
    np.testing.assert_array_equal(fit_eraser(states, target * unit)(states), expected)


def test_long_doubles_are_erased_with_the_precision_of_float64(rng):
    """What rounding in float64 leaves of dependent features is no direction."""
    states = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 4)) + 100.0
    target = rng.normal(size=(30, 2))
    expected, found = (
        fit_eraser(states, target),
        fit_eraser(np.longdouble(states), target),
    )
    np.testing.assert_array_equal(found.left, expected.left)


def test_a_class_is_written_through_small_coefficients(states):
    coef = np.eye(3, 4)
    expected = write_class(states, coef, np.zeros(3), 1, [0, 1, 2])
    unit = 2.0**-600
    found = write_class(states, coef * unit, np.zeros(3), 1, [0, 1, 2], margin=unit)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_covariance_is_symmetric_in_its_own_units(states):
    lopsided = np.array([[1.0, 0.5], [-0.5, 1.0]])
    for unit in (1e-12, 1.0, 1e12):
        with pytest.raises(ValueError, match="covariance must be symmetric"):
            random_change(states[:, :2], seed=0, covariance=lopsided * unit)


@pytest.mark.parametrize("of", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("dtype", [ml_dtypes.int4, np.int8, bool])
def test_integers_of_every_kind_cannot_be_edited(untyped, states, of, dtype):
    given = of(np.ones((3, 4)).astype(dtype))
    calls = [
        lambda: random_change(given, seed=0),
        lambda: write(given, np.eye(1, 4), [0.0], np.zeros((1, 1))),
        lambda: write_class(given, np.eye(1, 4), [0.0], 0, [0, 1]),
        lambda: fit_eraser(states, states[:, :1])(given),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="must hold floating-point numbers, got"):
            call()
    tokens = of(np.arange(6).reshape(3, 2, 1).astype(dtype))
    assert (swap(tokens, [1, 2, 0]) == tokens[np.array([1, 2, 0])]).all()


@pytest.mark.parametrize("unit", [2.0**-90, 2.0**90])
def test_intervals_are_the_same_in_all_units(rng, unit):
    """The squares of float32 would be 0 or infinite."""
    hidden = rng.normal(size=(1, 60, 2, 3))
    targets = {"w": hidden[0, :, 0, :2], "z": rng.normal(size=(60, 1))}
    grid = probe_grid(hidden, targets, resamples=50)
    changed = targets | {"w": targets["w"] * unit}
    found = probe_grid(hidden, changed, resamples=50)
    for name in ("r2", "r2_low", "r2_high", "control_r2_low", "cosine_low"):
        np.testing.assert_allclose(found[name], grid[name], atol=1e-6)
    scale = np.array([unit**2, 1.0])
    for name in ("mse", "mse_low", "mse_high"):
        np.testing.assert_allclose(found[name], grid[name] * scale, rtol=1e-5)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_numbers_without_squares_are_refused(rng, unit):
    features, target = rng.normal(size=(2, 40, 2))
    calls = {
        "features": lambda: evidence_codelength(features * unit, target),
        "target": lambda: online_codelength(features, target * unit, seed=0),
        "target 'w'": lambda: probe_grid(features[None, :, None], {"w": target * unit}),
        "inputs": lambda: random_function(features * unit, 2, seed=0),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"{name} must hold numbers whose squares"):
            call()


def test_what_holds_no_real_numbers_in_jax_is_refused(untyped):
    keys = jax.random.split(jax.random.key(0), (3, 4, 2))
    for given in (keys, jnp.ones((3, 4, 2)) + 1j):
        with pytest.raises(ValueError, match="hidden must hold real numbers, got"):
            swap(given, [1, 0, 2])
        with pytest.raises(ValueError, match="change must hold real numbers, got"):
            random_change(given, seed=0)
        with pytest.raises(ValueError, match="values must hold real numbers, got"):
            write(np.ones((3, 2)), np.eye(1, 2), [0.0], given[..., 0])
