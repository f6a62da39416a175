"""Linear self-attention against gradient descent, step by step, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl import Prompts
from icl.baselines import GradientDescent
from icl.constructed import sgd_step
from icl.constructed.linear_attention import (
    linear_gradient_descent,
    optimal_step,
    predict_query,
)


def sample(dim, length=7, batch=6):
    rng = np.random.default_rng(dim)
    xs, w = rng.normal(size=(batch, length, dim)), rng.normal(size=(batch, dim))
    with jax.enable_x64(True):
        ys = jnp.asarray(np.einsum("bld,bd->bl", xs, w))
        return Prompts(jnp.asarray(xs), ys, jnp.asarray(w))


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("dim", [1, 4])
def test_layers_are_steps(steps, dim):
    prompts, rate = sample(dim), 0.02
    predicted = predict_query(linear_gradient_descent(steps, dim, rate), prompts)
    with jax.enable_x64(True):
        expected = GradientDescent(steps, rate)(prompts).predictions[:, -1]
    assert predicted.dtype == np.float64
    # No approximation but float64, whose errors grow by (1 - 2 rate lambda) a step.
    np.testing.assert_allclose(predicted, expected, atol=1e-12)


def test_the_label_of_the_query_is_not_used():
    prompts = sample(4)
    with jax.enable_x64(True):
        other = prompts._replace(ys=prompts.ys.at[:, -1].set(9.0))
    model = linear_gradient_descent(2, 4, 0.02)
    np.testing.assert_array_equal(
        predict_query(model, prompts), predict_query(model, other)
    )


def test_gd_plus_plus_is_a_filter_of_the_spectrum():
    """With x <- (I - gamma S) x a step divides the error by what curvature is left.

    Along an eigenvector of S = X'X with eigenvalue l, every layer multiplies what is
    unexplained by 1 - 2 rate l, and l by (1 - gamma l)^2, and labels have no noise.
    """
    rate, gamma, steps = 0.02, 0.015, 3
    prompts = sample(4)
    predicted = predict_query(
        linear_gradient_descent(steps, 4, rate, gamma=gamma), prompts
    )
    xs = np.asarray(prompts.xs)
    context, query = xs[:, :-1], xs[:, -1]
    eigenvalues, basis = np.linalg.eigh(context.swapaxes(1, 2) @ context)
    left = np.ones_like(eigenvalues)
    for _ in range(steps):
        left *= 1 - 2 * rate * eigenvalues
        eigenvalues = eigenvalues * (1 - gamma * eigenvalues) ** 2
    w = np.einsum("bji,bj->bi", basis, np.asarray(prompts.weights))
    turned = np.einsum("bji,bj->bi", basis, query)
    expected = (w * (1 - left) * turned).sum(axis=1)
    np.testing.assert_allclose(predicted, expected, atol=1e-12)  # float64
    plain = predict_query(linear_gradient_descent(steps, 4, rate), prompts)
    assert np.abs(predicted - plain).max() > 0.01


@pytest.mark.parametrize(("dim", "pairs", "width"), [(10, 10, 1.0), (3, 5, 2.0)])
def test_the_optimum_of_one_step(dim, pairs, width):
    """Monte-Carlo of the loss at the rate, and at rates on either side of it."""
    rate, optimum = optimal_step(dim, pairs, width=width)
    rng = np.random.default_rng(0)
    draws = 100_000 if dim == 10 else 200_000
    xs = rng.uniform(-width / 2, width / 2, size=(draws, pairs + 1, dim))
    w = rng.normal(size=(draws, dim))
    ys = np.einsum("bld,bd->bl", xs, w)
    moments = np.einsum("bld,bl->bd", xs[:, :-1], ys[:, :-1])
    step = (moments * xs[:, -1]).sum(axis=1)  # the prediction for 2 rate = 1
    square = {f: (2 * f * rate * step - ys[:, -1]) ** 2 for f in (0.8, 1.0, 1.2)}
    error = square[1.0].std() / np.sqrt(draws)
    assert abs(square[1.0].mean() - optimum) < 4 * error
    assert square[1.0].mean() < min(square[0.8].mean(), square[1.2].mean())


def test_the_number_of_the_paper():
    """x uniform on (-1/2, 1/2), d = n = 10: 245/594."""
    assert optimal_step(10, 10)[1] == pytest.approx(245 / 594, rel=1e-12)  # float64


def test_the_constructed_layer_reaches_the_optimum():
    """In float32, as in the figure."""
    rate, optimum = optimal_step(10, 10)
    rng = np.random.default_rng(0)
    xs, w = rng.uniform(-0.5, 0.5, (10_000, 11, 10)), rng.normal(size=(10_000, 10))
    xs, ys = xs.astype("float32"), np.einsum("bld,bd->bl", xs, w).astype("float32")
    prompts = Prompts(xs, ys)
    model = linear_gradient_descent(1, 10, rate, dtype="float32")
    square = np.asarray(predict_query(model, prompts) - prompts.ys[:, -1]) ** 2
    assert abs(square.mean() - optimum) < 4 * square.std() / np.sqrt(len(square))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: linear_gradient_descent(0, 2, 0.1), "steps must be an integer >= 1"),
        (lambda: linear_gradient_descent(1, 0, 0.1), "dim must be an integer >= 1"),
        (
            lambda: linear_gradient_descent(1, 2, 0.0),
            "rate must be a finite number > 0",
        ),
        (lambda: linear_gradient_descent(1, 2, 0.1, gamma=-1.0), "gamma must be"),
        (lambda: optimal_step(0, 2), "dim must be an integer >= 1"),
        (lambda: optimal_step(2, 2, width=0.0), "width must be a finite number > 0"),
        (
            lambda: predict_query(linear_gradient_descent(1, 3, 0.1), sample(2, 3)),
            "prompts must have dim 3 as the model does, got 2",
        ),
        (
            lambda: predict_query(
                linear_gradient_descent(1, 2, 0.1), sample(2, 3)._replace(ys=np.ones(3))
            ),
            "ys must have axes",
        ),
        (
            lambda: predict_query(sgd_step(2, 0.1).model, sample(2, 2)),
            "needs a model with linear attention, .* got 'softmax'",
        ),
        (lambda: linear_gradient_descent(1, 2, 0.1, dtype="int8"), "dtype must be one"),
    ],
)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
