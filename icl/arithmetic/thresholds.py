"""How many cells of an addition table must be shown until all of it is known?

Cells are shown one by one in random order; a rule's *threshold* in that order is the
number of them from which every cell is known. Half of all orders have a threshold below
the median, which is the number of cells that suffices with probability one half.
"""

import math

import numpy as np
from jaxtyping import Int

from icl import checks
from icl.arithmetic.completion import (
    LARGEST,
    Rule,
    addition_table,
    complete,
    components,
    random_cells,
)

MOST_TRIALS = 100_000


def thresholds(
    n: int, rule: Rule, *, trials: int = 100, seed: int = 0
) -> Int[np.ndarray, " trials"]:
    """Returns the number of shown cells from which all are known, one for each order.

    Args:
        n: the number of rows and columns.
        rule: "additive", "contiguous" (which is also that of "ratio") or "digits".
        trials: the number of random orders.
        seed: the first order's; the others have the numbers after it.

    Raises:
        ValueError: a size is out of its range, or the rule has no such number.

    Example:
        >>> thresholds(4, "additive", trials=3).shape
        (3,)
    """
    n = checks.positive_int("n", n, minimum=2, maximum=LARGEST)
    checks.one_of("rule", rule, ("additive", "contiguous", "ratio", "digits"))
    trials = checks.positive_int("trials", trials, maximum=MOST_TRIALS)
    seed = checks.positive_int("seed", seed, minimum=0)
    return np.array([_threshold(n, rule, seed + trial) for trial in range(trials)])


def law(n: int, rule: Rule) -> float:
    """Returns the number of cells that suffices half the time, for large n.

    It is n ln(2 n / ln 2) for "additive", from the number of rows and columns of which
    no cell is shown, and 0.65 n^2 / ln n for "contiguous", whose constant is fitted to
    n = 20 to 100.

    Raises:
        ValueError: n is out of its range, or the rule has no known law.

    Example:
        >>> [round(law(100, rule)) for rule in ("additive", "contiguous")]
        [566, 1411]
    """
    n = checks.positive_int("n", n, minimum=2, maximum=LARGEST)
    checks.one_of("rule", rule, ("additive", "contiguous", "ratio"))
    if rule == "additive":
        return n * math.log(2 * n / math.log(2))
    return 0.65 * n**2 / math.log(n)


def _threshold(n: int, rule: Rule, seed: int) -> int:
    """Returns the least number of cells that suffices, by halving: it is monotone."""
    low, high = 0, 1
    while not _all_known(random_cells(n, high, seed), rule):
        low, high = high, min(2 * high, n * n)  # few cells are soon looked through
    while high - low > 1:  # all are known with `high`, and not with `low`
        middle = (low + high) // 2
        if _all_known(random_cells(n, middle, seed), rule):
            high = middle
        else:
            low = middle
    return high


def _all_known(shown: np.ndarray, rule: Rule) -> bool:
    if rule == "additive":
        return int(components(shown)[0].max()) == 0 == int(components(shown)[1].max())
    return bool(complete(addition_table(len(shown)), shown, rule).known.all())
