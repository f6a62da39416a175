"""The parts of a layer against the textbook in float64, and their derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl.model import operations

CAUSAL = jnp.tri(5, dtype=bool)
EPSILON = 1e-5

near = partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11)
"""Some hundred roundings of float64, and second derivatives up to a hundred."""


def multiplied(x, kernel):
    return operations.product(x, kernel, (((1,), (0,)), ((), ())))


def standardised(x):
    return operations.standardise(x, EPSILON)


def normalised(x):
    variance = x.var(axis=-1, keepdims=True)
    return (x - x.mean(axis=-1, keepdims=True)) / jnp.sqrt(variance + EPSILON)


def attended(scores, values):
    return operations.masked_softmax_mean(scores, values, CAUSAL)


def mean_by_weights(scores, values):
    """First the weights, then the mean."""
    weights = jax.nn.softmax(jnp.where(CAUSAL[None], scores, -jnp.inf), axis=-1)
    return jnp.einsum("bqk,bkc->bqc", weights, values)


CASES = {
    "a product with more outputs": (multiplied, jnp.matmul, (7, 3), (3, 5)),
    "a product with more inputs": (multiplied, jnp.matmul, (7, 5), (5, 3)),
    "standardise": (standardised, normalised, (7, 6)),
    "gelu_tanh": (operations.gelu_tanh, jax.nn.gelu, (7, 6)),
    "masked_softmax_mean": (attended, mean_by_weights, (2, 5, 5), (2, 5, 3)),
}


@pytest.fixture(params=CASES)
def case(request):
    """An operation, a reference, and what draws arrays for both, in float64."""
    ours, reference, *shapes = CASES[request.param]
    generator = np.random.default_rng(0)
    with jax.enable_x64(True):
        yield (
            ours,
            reference,
            lambda: tuple(jnp.array(generator.normal(0.5, 2, s)) for s in shapes),
        )


def test_values_and_derivatives_are_those_of_the_reference(case):
    ours, reference, draw = case
    arrays, tangents = draw(), draw()
    near(ours(*arrays), reference(*arrays))
    near(jax.jvp(ours, arrays, tangents)[1], jax.jvp(reference, arrays, tangents)[1])

    weights = np.random.default_rng(1).normal(size=ours(*arrays).shape)

    def gradient(operation):
        return jax.grad(lambda arrays: (weights * operation(*arrays)).sum())

    def second(operation):
        return jax.jvp(gradient(operation), (arrays,), (tangents,))[1]

    jax.tree.map(near, gradient(ours)(arrays), gradient(reference)(arrays))
    jax.tree.map(near, second(ours), second(reference))


def test_a_batch_is_one_after_the_other(case):
    ours, _, draw = case
    pair = draw(), draw()
    batch = tuple(map(jnp.stack, zip(*pair, strict=True)))
    near(jax.vmap(ours)(*batch), jnp.stack([ours(*arrays) for arrays in pair]))


@pytest.mark.parametrize("hidden", [1e30, jnp.inf, jnp.nan])
def test_scores_of_any_size_and_what_is_hidden(hidden):
    """No overflow; and what the mask hides changes nothing, whatever it is."""
    scores = jnp.array([[[1e30, -1e30, hidden], [0.0, 200.0, -200.0]]])
    mask = jnp.array([[True, True, False], [True, True, True]])
    values = jnp.arange(6.0).reshape(1, 3, 2)

    def mean(scores):
        return operations.masked_softmax_mean(scores, values, mask)

    np.testing.assert_array_equal(mean(scores)[0], values[0, :2])
    gradient = jax.grad(lambda scores: mean(scores).sum())(scores)
    np.testing.assert_array_equal(gradient, np.zeros((1, 2, 3)))


def test_a_mean_far_from_zero_keeps_float32():
    """The mean of squares less the square of the mean would have no digit left."""
    rows = 1e4 + np.random.default_rng(0).normal(size=(8, 64))
    rows = rows.astype("float32")
    have = standardised(jnp.asarray(rows))
    with jax.enable_x64(True):
        want = normalised(jnp.asarray(rows, "float64"))
    # A few roundings of the mean, of 1e4 times 6e-8 each, where the deviation is 1.
    np.testing.assert_allclose(have, want, rtol=0, atol=2e-3)
