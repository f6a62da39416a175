"""How are steps repeated on the device? By one loop, whatever stretch it is to make."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp


def advanced(
    state: Any,
    keys: jax.Array,
    scales: Mapping[str, jax.Array],
    start: jax.Array,
    stop: jax.Array,
    *,
    step: Callable[..., tuple[Any, jax.Array, jax.Array]],
    records: tuple[int, ...],
) -> tuple[Any, jax.Array, jax.Array]:
    """Makes the steps from `start` to `stop`, and returns the loss and norm of each.

    Args:
        state: the state that steps change.
        keys: the key of a run, or one for each member of an ensemble.
        scales: the numbers of a run, or of each member.
        start: the number of steps that have been made.
        stop: the number of steps to have made in the end.
        step: (state, keys, scales, number) -> state, loss, norm of the gradient.
        records: the shape of the losses that are returned, and of the norms; they are
            filled up to stop - start.
    """

    # With dynamic bounds a stretch of any length is the same compiled code, so that the
    # bits of a run cannot depend on where it was interrupted.
    def unfinished(carry: tuple) -> jax.Array:
        number, _, losses, _ = carry
        last = jnp.where(number > start, losses[number - start - 1], 0.0)
        return (number < stop) & jnp.isfinite(last).any()

    def one_step(carry: tuple) -> tuple:
        number, state, losses, norms = carry
        state, loss, norm = step(state, keys, scales, number)
        at = number - start
        return number + 1, state, losses.at[at].set(loss), norms.at[at].set(norm)

    empty = jnp.zeros(records)
    carry = (start, state, empty, empty)
    _, state, losses, norms = jax.lax.while_loop(unfinished, one_step, carry)
    return state, losses, norms
