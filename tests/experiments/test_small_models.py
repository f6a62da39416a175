"""Small models are trained as their updates say, alone and side by side."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import small_models

STOPS = [0, 1, 4, 9]
RATE = 0.1


def loss(weights, key):
    """A loss whose gradient is known: what is drawn, and twice the second weight."""
    return weights["a"] @ jax.random.normal(key, (3,)) + weights["b"] ** 2


def look(weights):
    return weights["a"], 2 * weights["b"]


def by_hand(weights, key):
    """Returns what is seen of one model, whose updates are made one by one."""
    a, b, seen = np.asarray(weights["a"]), float(weights["b"]), []
    for step in range(STOPS[-1] + 1):
        if step in STOPS:
            seen.append((a, 2 * b))
        a = a - RATE * np.asarray(
            jax.random.normal(jax.random.fold_in(key, step), (3,))
        )
        b = b - RATE * 2 * b
    return [np.stack(parts) for parts in zip(*seen, strict=True)]


def trained(weights, key):
    return small_models.train(
        loss, look, weights, key, optimizer=optax.sgd(RATE), stops=STOPS
    )


def test_updates_draw_by_their_number_alone_and_side_by_side():
    weights = {"a": jnp.array([[0.0, 1.0, 2.0], [3.0, 0.0, 1.0]]), "b": jnp.ones(2)}
    keys = jax.random.split(jax.random.key(7), 2)
    singles = [jax.tree.map(lambda leaf, i=i: leaf[i], weights) for i in range(2)]
    wanted = [by_hand(*own) for own in zip(singles, keys, strict=True)]
    several = trained(weights, keys)
    assert [found.shape for found in several] == [(2, 4, 3), (2, 4)]
    for model in range(2):
        for found, right in zip(several, wanted[model], strict=True):
            np.testing.assert_allclose(found[model], right, rtol=1e-5, atol=1e-6)
    alone = trained(singles[1], keys[1])
    for found, right in zip(alone, wanted[1], strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)


def test_the_optimiser_keeps_its_moments_between_looks():
    """Adam, looked at often, ends where it ends when it is looked at once."""
    start, key = {"a": jnp.ones(3), "b": jnp.array(2.0)}, jax.random.key(1)

    def ends(stops):
        seen = small_models.train(
            loss, look, start, key, optimizer=optax.adam(RATE), stops=stops
        )
        return [part[-1] for part in seen]

    for often, once in zip(ends(STOPS), ends(STOPS[-1:]), strict=True):
        np.testing.assert_array_equal(often, once)


def test_a_training_that_diverges_says_after_how_many_updates():
    start, key = {"a": jnp.ones(3), "b": jnp.array(2.0)}, jax.random.key(1)
    with pytest.raises(ValueError, match=r"diverged: .* after 9 updates; give a lower"):
        small_models.train(
            lambda weights, _: weights["b"] ** 4,
            look,
            start,
            key,
            optimizer=optax.sgd(1e3),
            stops=(1, 9, 20),
        )
