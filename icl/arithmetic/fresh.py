"""How are sums drawn anew for every batch, inside compiled code?

All functions are pure in their key and take and return arrays of JAX.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from icl import checks
from icl.arithmetic.columns import MOST_DIGITS
from icl.arithmetic.pairs import Law, check_left_out
from icl.arrays import shown

Operands = tuple[Int[Array, "*shape"], Int[Array, "*shape"]]


def fresh_pairs(
    key: Key[Array, ""],
    shape: tuple[int, ...],
    digits: int,
    law: Law = "uniform",
    left_out: tuple[int, ...] = (),
) -> Operands:
    """Draws operands: uniform ones, or those of several lengths.

    Args:
        key: they are drawn from it.
        shape: how many there are.
        digits: the most digits of an operand.
        law: "uniform", or "lengths": the longer operand has 1 to n digits, each as
            probable, and the other one 1 to as many.
        left_out: operands that no uniform sum has.

    Raises:
        ValueError: there is no such law or number of digits, or operands are left out
            of sums of several lengths.
    """
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    left_out = check_fresh_law(digits, law, left_out)
    if law == "lengths":
        return _of_lengths(key, shape, digits)
    allowed = 10**digits - len(left_out)
    a, b = jax.random.randint(key, (2, *shape), 0, allowed)
    return _skipping(a, left_out), _skipping(b, left_out)


def check_fresh_law(
    digits: int, law: Law, left_out: tuple[int, ...]
) -> tuple[int, ...]:
    """Returns the operands that are left out, if a law can draw fresh sums without.

    Raises:
        ValueError: there is no such law, or operands are left out of sums of several
            lengths, or are none.
    """
    checks.one_of("law", law, ("uniform", "lengths"))
    left_out = check_left_out(digits, left_out)
    if law == "lengths" and left_out:
        raise ValueError(
            f"left_out must be () for sums of several lengths, got {shown(left_out)}."
        )
    return left_out


def random_working(
    seed: int, a: Int[Array, " batch"], b: Int[Array, " batch"], digits: int
) -> tuple[Int[Array, "batch digits"], Int[Array, "batch digits"]]:
    """Returns random digits and random carries, always the same ones for a sum."""

    def drawn(a: Array, b: Array) -> tuple[Array, Array]:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), a), b)
        digit_key, carry_key = jax.random.split(key)
        said = jax.random.randint(digit_key, (digits,), 0, 10)
        return said, jax.random.randint(carry_key, (digits,), 0, 2)

    return jax.vmap(drawn)(a, b)


def _of_lengths(key: Key[Array, ""], shape: tuple[int, ...], digits: int) -> Operands:
    length_key, other_key, a_key, b_key, coin_key = jax.random.split(key, 5)
    lengths = jax.random.randint(length_key, shape, 1, digits + 1)
    others = jax.random.randint(other_key, shape, 1, lengths + 1)
    powers = jnp.asarray((10 ** np.arange(MOST_DIGITS + 1)).astype(np.int32))
    longer, shorter = (
        jax.random.randint(
            each, shape, jnp.where(size == 1, 0, powers[size - 1]), powers[size]
        )
        for each, size in ((a_key, lengths), (b_key, others))
    )
    swapped = jax.random.bernoulli(coin_key, shape=shape)
    return jnp.where(swapped, shorter, longer), jnp.where(swapped, longer, shorter)


def _skipping(numbers: Array, left_out: tuple[int, ...]) -> Array:
    """Returns the numbers at these places among those that are not left out."""
    if not left_out:
        return numbers
    steps = np.array(left_out, np.int32) - np.arange(len(left_out), dtype=np.int32)
    return numbers + jnp.searchsorted(jnp.asarray(steps), numbers, side="right")
