"""The parts of a layer against float64 references, and their derivatives, both ways."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl import operations

KEY = jax.random.key(0)
OFFSET = 3.0
"""Rows far from zero, compared with their deviation."""


def mean_by_weights(scores, values, mask):
    """As in a textbook: first the weights, then the mean."""
    weights = jax.nn.softmax(jnp.where(mask[None], scores, -jnp.inf), axis=-1)
    return jnp.einsum("bqk,bkc->bqc", weights, values)


def normalised(x, epsilon):
    variance = x.var(axis=-1, keepdims=True)
    return (x - x.mean(axis=-1, keepdims=True)) / jnp.sqrt(variance + epsilon)


def draw(*shapes):
    keys = jax.random.split(KEY, len(shapes))
    return tuple(jax.random.normal(*each) for each in zip(keys, shapes, strict=True))


def drawn_like(*arrays):
    return tuple(a.astype("float64") for a in draw(*(a.shape for a in arrays)))


near = partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11)
"""Float64, and numbers up to a thousand."""

CAUSAL = jnp.tri(5, dtype=bool)
CASES = {
    "product, narrower": (operations.product, lambda x, k, *_: x @ k, (7, 3), (3, 5)),
    "product, wider": (operations.product, lambda x, k, *_: x @ k, (7, 5), (5, 3)),
    "standardise": (operations.standardise, normalised, (7, 6)),
    "gelu_tanh": (operations.gelu_tanh, jax.nn.gelu, (7, 6)),
    "softmax_mean": (operations.softmax_mean, mean_by_weights, (2, 5, 5), (2, 5, 3)),
}
REST = {
    "product": ((((1,), (0,)), ((), ())),),
    "standardise": (1e-5,),
    "softmax_mean": (CAUSAL,),
}


@pytest.fixture(params=CASES)
def case(request):
    """An operation, a reference, and float64 arrays to give both."""
    ours, reference, *shapes = CASES[request.param]
    rest = REST.get(request.param.partition(",")[0], ())
    with jax.enable_x64(True):
        arrays = tuple(OFFSET + jnp.asarray(a, "float64") for a in draw(*shapes))
        yield (lambda *a: ours(*a, *rest)), (lambda *a: reference(*a, *rest)), arrays


def test_values_and_derivatives_are_the_reference_s(case):
    ours, reference, arrays = case
    tangents = drawn_like(*arrays)
    near(ours(*arrays), reference(*arrays))
    near(jax.jvp(ours, arrays, tangents)[1], jax.jvp(reference, arrays, tangents)[1])
    (weights,) = drawn_like(ours(*arrays))

    def gradient(operation):
        return jax.grad(lambda arrays: (weights * operation(*arrays)).sum())

    jax.tree.map(near, gradient(ours)(arrays), gradient(reference)(arrays))
    second = [
        jax.jvp(gradient(each), (arrays,), (tangents,))[1] for each in (ours, reference)
    ]
    jax.tree.map(near, *second)


def test_a_batch_is_one_after_the_other(case):
    ours, _, arrays = case
    batch = tuple(jnp.stack([a, 2 * a]) for a in arrays)
    one_by_one = [ours(*(b[i] for b in batch)) for i in range(2)]
    near(jax.vmap(ours)(*batch), jnp.stack(one_by_one))


def test_a_score_above_all_others_does_not_overflow():
    scores = jnp.array([[[1e30, -1e30, 0.0], [0.0, 200.0, -200.0]]])
    (values,) = draw((1, 3, 2))
    have = operations.softmax_mean(scores, values, jnp.ones((2, 3), bool))
    np.testing.assert_array_equal(have[0], values[0, :2])


def test_a_mean_far_from_zero_keeps_float32():
    """The mean of squares less the square of the mean would have no digit left."""
    rows = 1e4 + np.random.default_rng(0).normal(size=(8, 64))
    rows = rows.astype("float32")
    have = operations.standardise(jnp.asarray(rows), 1e-5)
    with jax.enable_x64(True):
        want = normalised(jnp.asarray(rows, "float64"), 1e-5)
    # One rounding of the mean: 1e4 times 6e-8, of a deviation of 1.
    np.testing.assert_allclose(have, want, atol=2e-3)
