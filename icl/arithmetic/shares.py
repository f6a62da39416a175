"""How probable is each sum in what a model is trained on?

A probe's ceiling depends on the law of the lines it reads: a reader who knows that
operands are often short can guess more. Shapes: one probability for every pair of
operands, in the order a 10^n + b.
"""

import numpy as np
from jaxtyping import Float

from icl import checks
from icl.arithmetic.columns import MOST_DIGITS
from icl.arithmetic.fresh import check_fresh_law
from icl.arithmetic.pairs import ENUMERATED, Law, Pairs


def pair_shares(
    digits: int, law: Law = "uniform", left_out: tuple[int, ...] = ()
) -> Float[np.ndarray, " sums"]:
    """Returns the probability of every pair that `fresh_pairs` draws.

    Args:
        digits: the number n of digits of an operand, at most 3.
        law: "uniform", or "lengths": the longer operand has k = 1 to n digits, each as
            probable, and the other one 1 to k.
        left_out: operands that no uniform sum has.

    Raises:
        ValueError: there is no such law, too many digits to list all pairs, or operands
            are left out of sums of several lengths.

    Example:
        >>> pair_shares(2, "lengths").reshape(100, 100)[:10, :10].sum().round(3)
        np.float64(0.5)
    """
    count = _operands(digits)
    left_out = check_fresh_law(digits, law, left_out)
    if law == "uniform":
        of_one = np.ones(count)
        of_one[list(left_out)] = 0
        return np.outer(of_one, of_one).ravel() / of_one.sum() ** 2
    sizes = np.array([len(str(number)) for number in range(count)])
    alike = np.bincount(sizes)[sizes]  # how many operands are as long as each
    longer = np.maximum.outer(sizes, sizes)
    ways = np.where(np.equal.outer(sizes, sizes), 1.0, 0.5)  # which one is longer
    return (ways / (digits * longer * np.outer(alike, alike))).ravel()


def set_shares(digits: int, pairs: Pairs) -> Float[np.ndarray, " sums"]:
    """Returns the probability of every pair where sums are drawn from a set.

    Args:
        digits: the number n of digits of an operand, at most 3.
        pairs: the set, whose sums all differ.

    Raises:
        ValueError: too many digits to list all pairs.
    """
    count = _operands(digits)
    found = np.zeros(count**2)
    found[pairs.a * count + pairs.b] = 1 / len(pairs.a)
    return found


def _operands(digits: int) -> int:
    """Returns how many operands there are, if all pairs of them can be listed."""
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    if 10 ** (2 * digits) > ENUMERATED:
        raise ValueError(
            f"digits must be at most 3, so that all sums can be listed, got {digits}."
        )
    return 10**digits
