"""What may a model hold in its head about a sum? Digits, column sums, carries.

All are functions of the operands, the latents "a" and "b" of lines (`icl.codecs.Lines`,
as `icl.tasks.Addition` draws them); of a sequence of several sums they are about the
last one. Columns are counted from the units. How much of each can be known at a token,
`prefix_ceilings` says.

Quirke and Barez (2023) call three of them base add (`column_sum`), make carry (`carry`)
and use nine (`nine`). Of sums modulo p (`icl.tasks.ModularAddition`), cosines and sines
are looked for (`modular_phase`), as Nanda et al. (2023) do.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from icl import checks
from icl.arithmetic import columns
from icl.arithmetic.columns import MOST_DIGITS
from icl.codecs import Lines
from icl.targets.kinds import OfLatents
from icl.targets.values import target_values
from icl.tasks.modular import SYMBOLS

Latents = Mapping[str, np.ndarray]


def carry(column: int, digits: int) -> OfLatents:
    """Returns the target "carry i", the carry out of a column, 0 or 1, (batch, 1).

    Args:
        column: the column i, from 0, the units, to digits - 1.
        digits: the number of digits of an operand.

    Raises:
        ValueError: there is no such column.
    """
    return _of_column("carry", columns.carries, column, digits)


def column_sum(column: int, digits: int) -> OfLatents:
    """Returns the target "sum i", a_i + b_i without a carry into it, (batch, 1).

    Columns, digits and errors are those of `carry`.
    """
    return _of_column("sum", columns.column_sums, column, digits)


def nine(column: int, digits: int) -> OfLatents:
    """Returns the target "nine i": whether a_i + b_i is 9, so that it hands carries on.

    Columns, digits and errors are those of `carry`.
    """

    def nines(a: Any, b: Any, digits: int) -> np.ndarray:
        return columns.column_sums(a, b, digits) == 9

    return _of_column("nine", nines, column, digits)


def cascade(column: int, digits: int) -> OfLatents:
    """Returns the target "cascade i", the number of nines right below a column.

    Columns, digits and errors are those of `carry`.
    """
    return _of_column("cascade", columns.cascades, column, digits)


def answer_digit(column: int, digits: int, phase: int | None = None) -> OfLatents:
    """Returns the target "answer i", a digit of the sum, one-hot, (batch, 10).

    Args:
        column: the column i, from 0, the units, to `digits`, which has the last carry.
        digits: the number of digits of an operand.
        phase: a number k from 1 to 5; the target is then "answer i phase k", the cosine
            and sine of 2 pi k d / 10 for the digit d, (batch, 2).

    Raises:
        ValueError: there is no such column, or no such phase.
    """
    column = _checked(column, digits, more=1)
    if phase is not None:
        phase = checks.positive_int("phase", phase, maximum=5)

    def coded(latents: Latents) -> np.ndarray:
        a, b = _last(latents)
        found = columns.digits_of(a + b, digits + 1)[:, column]
        return np.eye(10)[found] if phase is None else _phases(found, phase, 10)

    name = f"answer {column}" + ("" if phase is None else f" phase {phase}")
    return OfLatents(name, coded)


def sum_targets(digits: int) -> dict[str, OfLatents]:
    """Returns every carry, column sum, nine, cascade and digit of the answer, by name.

    Raises:
        ValueError: there is no such number of digits.

    Example:
        >>> list(sum_targets(1))
        ['carry 0', 'sum 0', 'nine 0', 'cascade 0', 'answer 0', 'answer 1']
    """
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    makers = (carry, column_sum, nine, cascade)
    found = [maker(i, digits) for maker in makers for i in range(digits)]
    found += [answer_digit(i, digits) for i in range(digits + 1)]
    return {target.name: target for target in found}


def modular_phase(k: int, p: int) -> OfLatents:
    """Returns the target "phase k": cos and sin of 2 pi k (a + b) / p, (batch, 2).

    A linear probe can read any function of a + b from states that merely differ between
    all p sums. To ask for the circle itself, test the probe on sums to which it was not
    fitted: `probe_grid(..., groups=(a + b) % p)`.

    Args:
        k: the frequency, from 1 to p / 2. The frequency p - k would say the same.
        p: the modulus.

    Raises:
        ValueError: there is no such frequency or modulus.
    """
    p = checks.positive_int("p", p, minimum=2, maximum=len(SYMBOLS))
    k = checks.positive_int("k", k, maximum=p // 2)

    def coded(latents: Latents) -> np.ndarray:
        a, b = _last(latents)
        return _phases(a + b, k, p)

    return OfLatents(f"phase {k}", coded)


def modular_targets(p: int) -> dict[str, OfLatents]:
    """Returns the target `modular_phase` of every frequency, by name.

    Raises:
        ValueError: there is no such modulus.

    Example:
        >>> list(modular_targets(7))
        ['phase 1', 'phase 2', 'phase 3']
    """
    p = checks.positive_int("p", p, minimum=2, maximum=len(SYMBOLS))
    found = [modular_phase(k, p) for k in range(1, p // 2 + 1)]
    return {target.name: target for target in found}


def sum_labels(lines: Lines, digits: int) -> dict[str, Int[np.ndarray, " batch"]]:
    """Returns the targets of `sum_targets` as labels, for probes that are classifiers.

    A carry is 0 or 1, and a digit of the answer 0 to 9; ridge probes read the latter
    one-hot.

    Args:
        lines: lines of sums, such as `Addition(digits=3).test(1_000)`.
        digits: the number of digits of an operand.

    Raises:
        ValueError: there is no such number of digits, or lines without operands.

    Example:
        >>> from icl.tasks import Addition
        >>> labels = sum_labels(Addition(digits=2).of(np.array([57]), np.array([8])), 2)
        >>> labels["carry 0"].tolist(), labels["answer 0"].tolist()
        ([1], [5])
    """
    checks.of_kind("lines", lines, Lines, "lines of text, icl.codecs.Lines")
    values = target_values(sum_targets(digits).values(), lines)
    return {
        name: (array.argmax(axis=1) if array.shape[1] > 1 else array[:, 0]).astype(int)
        for name, array in values.items()
    }


def _of_column(
    name: str, function: Callable[..., np.ndarray], column: int, digits: int
) -> OfLatents:
    column = _checked(column, digits)

    def found(latents: Latents) -> np.ndarray:
        values = function(*_last(latents), digits)
        return values[:, column, None].astype(float)

    return OfLatents(f"{name} {column}", found)


def _checked(column: int, digits: int, more: int = 0) -> int:
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    last = digits - 1 + more
    return checks.positive_int("column", column, minimum=0, maximum=last)


def _last(latents: Latents) -> tuple[np.ndarray, np.ndarray]:
    """Returns the operands of the last sum of each sequence."""
    a, b = (columns.natural(name, latents[name]) for name in ("a", "b"))
    return a[:, -1], b[:, -1]


def _phases(numbers: np.ndarray, k: int, period: int) -> np.ndarray:
    angles = 2 * np.pi * k * numbers / period
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
