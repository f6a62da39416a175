"""How is a small model that is no `icl.Transformer` trained and looked at?

Its weights are a pytree of arrays, and its loss is a function of them and of a key:
update s draws its data with `fold_in(key, s)`, as `icl.train` does. Several models,
each with weights and a key of its own, are trained side by side by one program.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Key


def train(
    loss: Callable[[Any, Key[Array, ""]], Float[Array, ""]],
    look: Callable[[Any], Any],
    weights: Any,
    key: Key[Array, "..."],
    *,
    optimizer: optax.GradientTransformation,
    stops: Iterable[int],
) -> Any:
    """Trains one model, or several side by side, and returns what looks at them saw.

    Args:
        loss: the loss of the weights of one model, on data that are drawn with a key.
        look: what is measured of the weights of one model, a pytree of arrays.
        weights: the initial weights, a pytree of arrays. Those of several models have
            an axis of models in front.
        key: the key of the data; an axis of keys, one for each, of several models.
        optimizer: what makes updates of gradients.
        stops: the numbers of updates, in rising order, after which models are looked
            at. The training ends at the last of them.

    Returns:
        The pytree of `look`. Its arrays have an axis of looks in front, which several
        models have behind their own.

    Raises:
        ValueError: the training diverges, so that weights are no longer finite.
    """

    def of_each(function: Callable, axes: Any = 0) -> Callable:
        return jax.vmap(function, axes) if key.ndim else function

    def update(key: Key[Array, ""], step: Array, state: tuple) -> tuple:
        weights, moments = state
        gradient = jax.grad(loss)(weights, jax.random.fold_in(key, step))
        change, moments = optimizer.update(gradient, moments, weights)
        return optax.apply_updates(weights, change), moments

    @jax.jit
    def advance(key: Key[Array, "..."], state: tuple, start: int, stop: int) -> tuple:
        updates = of_each(update, (0, None, 0))
        return jax.lax.fori_loop(
            start, stop, lambda step, state: updates(key, step, state), state
        )

    state = weights, jax.jit(of_each(optimizer.init))(weights)
    watch, seen, done = jax.jit(of_each(look)), [], 0
    for stop in stops:
        state, done = advance(key, state, done, stop), stop
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state[0])):
            raise ValueError(
                f"training diverged: weights are not finite after {stop:,} updates; "
                "give a lower learning rate."
            )
        seen.append(jax.tree.map(np.asarray, watch(state[0])))
    return jax.tree.map(lambda *looks: np.stack(looks, axis=key.ndim), *seen)
