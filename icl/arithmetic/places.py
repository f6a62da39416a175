"""Where in a padded line does each digit stand? Names of its characters, and positions.

A model that is to add longer numbers than it was trained on has to know which digits
belong together. With *coupled* positions, digits of equal significance share one (Cho
et al. 2024), in the operands and the answer; with *abacus* positions, too, and all
signs share one (McLeish et al. 2024).
"""

from typing import Literal

import numpy as np
from jaxtyping import Int

from icl import checks
from icl.arithmetic.columns import MOST_DIGITS
from icl.arithmetic.formats import Layout

Positions = Literal["absolute", "coupled", "abacus"]
POSITIONS = ("absolute", "coupled", "abacus")

SIGNS = {"$": 0, "+": 1, "=": 2, "$ end": 3, "end": 4}
"""The rows of the table of positions that coupled signs have."""


def labels(
    layout: Layout, digits: int, *, wrapped: bool, tokens: int | None = None
) -> tuple[str, ...]:
    """Returns the name of every character of a padded line, such as a2 for hundreds.

    Args:
        layout: "plain" or "reverse".
        digits: the number of digits of an operand.
        wrapped: whether the line stands between dollar signs.
        tokens: the number of names; those behind the end are end+1, end+2 and so on.

    Raises:
        ValueError: another layout, or a size out of its range.

    Example:
        >>> labels("plain", 2, wrapped=False)
        ('a1', 'a0', '+', 'b1', 'b0', '=', 's2', 's1', 's0', 'end')
    """
    checks.one_of("layout", layout, ("plain", "reverse"))
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    start, end = (["$"], ["$ end"]) if checks.flag("wrapped", wrapped) else ([], [])
    a, b = ([f"{name}{i}" for i in reversed(range(digits))] for name in "ab")
    answer = [f"s{i}" for i in range(digits + 1)]
    answer = answer if layout == "reverse" else answer[::-1]
    names = [*start, *a, "+", *b, "=", *answer, *end, "end"]
    if tokens is None:
        return tuple(names)
    more = checks.positive_int("tokens", tokens, minimum=len(names)) - len(names)
    return (*names, *(f"end+{i + 1}" for i in range(more)))


def rows(
    names: tuple[str, ...], positions: Positions
) -> tuple[Int[np.ndarray, " tokens"], Int[np.ndarray, " tokens"]]:
    """Returns each character's row in the table of positions, and which are digits'.

    The rows of digits come behind those of signs, in the order of significance.

    Raises:
        ValueError: the positions are not "coupled" or "abacus".
    """
    checks.one_of("positions", positions, POSITIONS[1:])
    of_digit = np.array([name[0] in "abs" for name in names], np.int32)
    first = _sign_rows(positions)
    found = [
        first + int(name[1:])
        if digit
        else SIGNS.get(name, SIGNS["end"]) * (positions == "coupled")
        for name, digit in zip(names, of_digit, strict=True)
    ]
    return np.array(found, np.int32), of_digit


def row_count(digits: int, positions: Positions) -> int:
    """Returns how many rows a table of positions has for operands of so many digits.

    Raises:
        ValueError: the positions are not "coupled" or "abacus".
    """
    checks.one_of("positions", positions, POSITIONS[1:])
    return _sign_rows(positions) + digits + 1


def _sign_rows(positions: Positions) -> int:
    return len(SIGNS) if positions == "coupled" else 1
