"""Sums whose difficulties are switches, and a task that shows few of them at once.

A switch of a sum is on or off for certain, so that a grade of it is exact and whether a
combination was seen in training is a matter of looking it up.

Shapes: operands (sums,), switches (sums, 6).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

from icl import checks
from icl.arithmetic import carries, digits_of
from icl.arithmetic.pairs import Pairs
from icl.tasks import Addition

DIGITS = 3
"""Sums have operands of three digits."""

MOST_DRAWN = 200_000
"""So many sums are drawn, of which training sets are chosen."""

SWITCHES = ("carry 0", "carry 1", "carry 2", "zero", "repeated", "lengths")
"""Carries out of the three columns (the last makes the answer longer), a zero among the
units or tens, two equal neighbouring digits, and operands of unequal length."""


def switches_of(
    a: Int[np.ndarray, " sums"], b: Int[np.ndarray, " sums"]
) -> Bool[np.ndarray, "sums 6"]:
    """Returns which switches of each sum are on.

    Example:
        >>> on = switches_of(np.array([128, 60]), np.array([367, 133]))
        >>> [[name for name, x in zip(SWITCHES, row) if x] for row in on]
        [['carry 0'], ['zero', 'repeated', 'lengths']]
    """
    carried = np.asarray(carries(a, b, DIGITS)) > 0
    others = np.asarray(touched(a, b)[:, DIGITS:].any(axis=2))
    return np.concatenate([carried, others], axis=1)


def touched(
    a: Int[np.ndarray, " sums"], b: Int[np.ndarray, " sums"]
) -> Bool[np.ndarray, "sums 6 4"]:
    """Returns which digits of the answer each switch is about, if it is on.

    A carry is about the digit that it goes into, and the others about the columns where
    they are.
    """
    digits = np.stack([np.asarray(digits_of(each, DIGITS)) for each in (a, b)])
    found = np.zeros((len(a), len(SWITCHES), DIGITS + 1), bool)
    for column in range(DIGITS):
        found[:, column, column + 1] = True
    found[:, 3, : DIGITS - 1] = (digits[..., : DIGITS - 1] == 0).any(axis=0)
    same = (digits[..., 1:] == digits[..., :-1]).any(axis=0)
    found[:, 4, 1:DIGITS] = same
    found[:, 4, : DIGITS - 1] |= same
    hundred = 10 ** (DIGITS - 1)
    found[:, 5, DIGITS - 1] = (a < hundred) != (b < hundred)
    return found


def combination(switches: Bool[np.ndarray, "sums 6"]) -> Int[np.ndarray, " sums"]:
    """Returns the number of the combination of switches that are on, 0 to 63."""
    return switches @ (1 << np.arange(len(SWITCHES)))


@dataclass(frozen=True)
class SwitchedSums(Addition):
    """A task of sums of three digits, of which few switches are on in training.

    Attributes:
        most: the most switches that are on in a sum of the training set.
    """

    examples: int | None = 5_000
    layout: str = "reverse"  # pyrefly: ignore[bad-override]
    most: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.normalise(self, checks.positive_int, "most", maximum=len(SWITCHES))
        if self.digits != DIGITS or self.law != "uniform" or self.examples is None:
            raise ValueError(
                f"digits, law and examples must be {DIGITS}, 'uniform' and a number, "
                f"got {self.digits}, {self.law!r} and {self.examples}."
            )

    def _training(self, examples: int) -> Pairs:
        return few_switches(examples, self.most, self.seed)


@lru_cache(maxsize=16)
def few_switches(examples: int, most: int, seed: int) -> Pairs:
    """Returns different sums of which at most so many switches are on, at random.

    Raises:
        ValueError: there are not so many.
    """
    order = np.random.default_rng(seed).permutation(10 ** (2 * DIGITS))[:MOST_DRAWN]
    a, b = np.divmod(order, 10**DIGITS)
    few = np.flatnonzero(switches_of(a, b).sum(axis=1) <= most)
    if len(few) < examples:
        raise ValueError(
            f"examples must be at most {len(few)}, those with up to {most} "
            f"switches, got {examples}."
        )
    chosen = few[:examples]
    return Pairs(a[chosen].astype(np.int32), b[chosen].astype(np.int32))
