"""How is a sum written? Plain, reversed, or with a scratchpad, as in Lee et al. 2023.

The line of 128 + 367 in each layout, where every line ends in a line feed:

    plain        128+367=495
    reverse      $128+367=594$
    simplified   Input:                    detailed   Input:
                 128+367                              128+367
                 Target:                              Target:
                 A->5 , C->1                          <scratch>
                 A->9 , C->0                          [1,2,8] has 3 digits.
                 A->4 , C->0.                         ...
                 495                                  4 9 5

Padded operands have all their digits, and padded answers one more: 128+367=0495. Lines
are written for many sums at once, in NumPy or inside compiled code of JAX: the cells of
the longest line are filled column by column, and those that a sum does not have are
then moved to its end, where they become line feeds.

Shapes: operands (batch, lines), where `lines` sums stand one after the other in one
sequence; ids (batch, tokens), which are places in the alphabet of the layout.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from icl import checks
from icl.arithmetic.columns import (
    MOST_DIGITS,
    carries,
    digits_of,
    lengths_of,
    operands,
)

Layout = Literal["plain", "reverse", "simplified", "detailed"]
LAYOUTS = ("plain", "reverse", "simplified", "detailed")
SCRATCHPADS = ("simplified", "detailed")

_SHOWN = {
    "plain": "+=$\n",
    "reverse": "+=$\n",
    "simplified": "+\nInput:\nTarget:\nA-> , C->.\n",
    "detailed": "+\nInput:\nTarget:\n<scratch>\n[,] has digits.\n A=C=->END</\n",
}
ALPHABETS = {
    layout: "0123456789" + "".join(dict.fromkeys(shown))
    for layout, shown in _SHOWN.items()
}
"""The characters of each layout; a digit is its own place in all of them."""


class Worked(NamedTuple):
    """Sums worked out column by column, the units first, (batch, columns).

    Attributes:
        a: the digits of the first operand.
        b: the digits of the second operand.
        answer: the digits of the sum, one more.
        lengths: how many digits of a, b and the sum are written, (batch,) each.
        said: what a scratchpad says of the digits of the sum and of the carries.
    """

    a: Int[Any, "batch columns"]
    b: Int[Any, "batch columns"]
    answer: Int[Any, "batch columns+1"]
    lengths: tuple[Any, Any, Any]
    said: tuple[Any, Any]


class Written(NamedTuple):
    """Lines as places in an alphabet.

    Attributes:
        ids: the characters; line feeds after the end of the last line.
        answers: whether each is part of an answer or ends it. In a scratchpad, all that
            is written after the prompt is the answer.
        lengths: the number of characters up to the end of the last line.
    """

    ids: Int[Any, "batch tokens"]
    answers: Bool[Any, "batch tokens"]
    lengths: Int[Any, " batch"]


class Writer:
    """Writes characters of many lines at once, each where a line has it.

    Args:
        alphabet: the characters.
        batch: the number of lines.
        arrays: the module of the arrays, NumPy or `jax.numpy`.
    """

    def __init__(self, alphabet: str, batch: int, arrays: Any):
        self.alphabet, self.batch, self.arrays = alphabet, batch, arrays
        self.places: list[Any] = []
        self.present: list[Any] = []
        self.answers: list[bool] = []
        self.answering = False

    def text(self, text: str, where: Any = True) -> None:
        """Writes the same text into all lines, or only where the line has it."""
        for character in text:
            self.digit(self.alphabet.index(character), where)

    def digit(self, values: Any, where: Any = True) -> None:
        """Writes one digit, another in each line, only where the line has it."""
        if np.ndim(where) == 0 and not where:
            return
        self.places.append(values)
        self.present.append(where)
        self.answers.append(self.answering)

    def number(self, digits: Any, length: Any, *, units_first: bool = False) -> None:
        """Writes the first `length` digits, which are given with the units first."""
        columns = range(digits.shape[1])
        for column in columns if units_first else reversed(columns):
            self.digit(digits[:, column], column < length)

    def listed(self, digits: Any, kept: Any, start: int = 0, where: Any = True) -> None:
        """Writes a list of digits, such as [1,2,8], from column `start` on."""
        self.text("[", where)
        for column in reversed(range(start, digits.shape[1])):
            here = where & (column < kept)
            self.digit(digits[:, column], here)
            if column > start:
                self.text(",", here)
        self.text("]", where)

    def written(self, tokens: int) -> Written:
        """Returns all that was written, so many characters of each line."""
        xp, shape = self.arrays, (self.batch,)
        every = [xp.broadcast_to(place, shape) for place in self.places]
        ids = xp.stack([each.astype(np.int8) for each in every], axis=1)
        answers = xp.broadcast_to(xp.asarray(self.answers), ids.shape)
        if any(np.ndim(each) for each in self.present):
            every = [xp.broadcast_to(each, shape) for each in self.present]
            present = xp.stack(every, axis=1)
            order = xp.argsort(~present, axis=1, stable=True)
            ids = xp.where(present, ids, self.alphabet.index("\n"))
            ids = xp.take_along_axis(ids, order, axis=1)
            answers = xp.take_along_axis(answers & present, order, axis=1)
            lengths = present.sum(axis=1)
        else:
            lengths = xp.full(shape, ids.shape[1])
        more = ((0, 0), (0, max(0, tokens - ids.shape[1])))
        ids = xp.pad(ids, more, constant_values=self.alphabet.index("\n"))
        answers = xp.pad(answers, more)
        ids = ids[:, :tokens].astype(np.int32)
        return Written(ids, answers[:, :tokens], lengths.astype(np.int32))


def work_out(
    a: Any, b: Any, digits: int, padded: bool, noise: tuple[Any, Any] = (None, None)
) -> Worked:
    """Returns sums worked out, for operands (batch,).

    Args:
        a: the first operands.
        b: the second operands.
        digits: the number of columns.
        padded: whether all digits are written.
        noise: what a scratchpad says in place of the digits of the sum, and in place of
            the carries, (batch, digits) each; None says what is right.

    Raises:
        ValueError: the operands are no integers from 0 to 10^digits - 1.
    """
    a, b = operands(a, b, digits)  # wide enough for their sum
    answer = digits_of(a + b, digits + 1)
    lengths = tuple(
        np.int32(most) if padded else lengths_of(each, most)
        for each, most in ((a, digits), (b, digits), (a + b, digits + 1))
    )
    said_digits, said_carries = noise
    said = (
        answer[:, :digits] if said_digits is None else said_digits,
        carries(a, b, digits) if said_carries is None else said_carries,
    )
    parts = digits_of(a, digits), digits_of(b, digits)
    return Worked(*parts, answer, lengths, said)  # pyrefly: ignore[bad-argument-type]


def render(
    sums: Sequence[Worked], layout: Layout, *, wrapped: bool, tokens: int
) -> Written:
    """Returns lines of sums, one after the other in each sequence."""
    arrays = sums[0].a.__array_namespace__()
    writer = Writer(ALPHABETS[layout], len(sums[0].a), arrays)
    for each in sums:
        if layout in SCRATCHPADS:
            _scratchpad(writer, each, detailed=layout == "detailed")
        else:
            _equation(writer, each, units_first=layout == "reverse", wrapped=wrapped)
    return writer.written(tokens)


def longest(layout: Layout, digits: int, *, padded: bool, wrapped: bool) -> int:
    """Returns the number of characters of the longest line.

    Raises:
        ValueError: there is no such layout, or no such number of digits.

    Example:
        >>> longest("reverse", 3, padded=True, wrapped=True)
        15
    """
    checks.one_of("layout", layout, LAYOUTS)
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    padded, wrapped = checks.flag("padded", padded), checks.flag("wrapped", wrapped)
    most = np.array([10**digits - 1])
    sums = work_out(most, most, digits, padded)
    return int(render([sums], layout, wrapped=wrapped, tokens=1).lengths[0])


def _equation(
    writer: Writer, sums: Worked, *, units_first: bool, wrapped: bool
) -> None:
    """Writes 128+367=495, the answer from either end."""
    border = "$" if wrapped else ""
    writer.answering = False
    writer.text(border)
    writer.number(sums.a, sums.lengths[0])
    writer.text("+")
    writer.number(sums.b, sums.lengths[1])
    writer.text("=")
    writer.answering = True
    writer.number(sums.answer, sums.lengths[2], units_first=units_first)
    writer.text(f"{border}\n")


def _scratchpad(writer: Writer, sums: Worked, *, detailed: bool) -> None:
    """Writes the working of a sum, column by column, and then its answer."""
    xp = writer.arrays
    writer.answering = False
    writer.text("Input:\n")
    writer.number(sums.a, sums.lengths[0])
    writer.text("+")
    writer.number(sums.b, sums.lengths[1])
    writer.text("\nTarget:\n")
    writer.answering = True
    columns = xp.maximum(*sums.lengths[:2])
    if detailed:
        _detailed(writer, sums, columns)
    else:
        for column in range(sums.a.shape[1]):
            here = column < columns
            writer.text("A->", here)
            writer.digit(sums.said[0][:, column], here)
            writer.text(" , C->", here)
            writer.digit(sums.said[1][:, column], here)
            writer.text(".", column == columns - 1)
            writer.text("\n", here)
    last = sums.answer.shape[1] - 1
    for column in reversed(range(last + 1)):
        here = column < sums.lengths[2]
        writer.digit(sums.answer[:, column], here)
        if detailed and column:
            writer.text(" ", here)
    writer.text("\n")


def _detailed(writer: Writer, sums: Worked, columns: Any) -> None:
    """Writes every column in full, as the released code does."""
    a, b, digits, carried = sums.a, sums.b, *sums.said
    writer.text("<scratch>\n")
    for part, length in ((a, sums.lengths[0]), (b, sums.lengths[1])):
        writer.listed(part, length)
        writer.text(" has ")
        writer.digit(length)
        writer.text(" digits.\n")
    most = a.shape[1]
    carry = 0 * a[:, 0]
    for column in range(most):
        here = column < columns
        writer.listed(a, sums.lengths[0], column, here)
        writer.text(" + ", here)
        writer.listed(b, sums.lengths[1], column, here)
        writer.text(" , A=", here)
        writer.listed(digits[:, :column], column, 0, here)
        writer.text(" , C=", here)
        writer.digit(carry, here)
        writer.text(" , ", here)
        total = a[:, column] + b[:, column] + carry
        for value, sign in ((a[:, column], "+"), (b[:, column], "+"), (carry, "=")):
            writer.digit(value, here)
            writer.text(sign, here)
        writer.digit(total // 10, here & (total >= 10))
        writer.digit(total % 10, here)
        writer.text(" , A->", here)
        writer.digit(digits[:, column], here)
        carry = carried[:, column]
        writer.text(" , C->", here)
        writer.digit(carry, here)
        writer.text("\n", here)
    writer.text("[] + [] , A=")
    writer.listed(digits, columns)
    writer.text(" C=")
    last = writer.arrays.take_along_axis(
        carried, writer.arrays.broadcast_to(columns - 1, carry.shape)[:, None], axis=1
    )
    writer.digit(last[:, 0])
    writer.text(" , END\n</scratch>\n")
