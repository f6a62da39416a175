"""What does a written line say? Its answer as a number, and what of it is right.

The text after the end of the answer is ignored, because a model that writes on has
given its answer by then. A line that does not end gives no answer.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from icl import checks
from icl.arithmetic.formats import LAYOUTS, SCRATCHPADS, Layout
from icl.arrays import shown


class Score(NamedTuple):
    """What of an answer with a scratchpad is right.

    A right answer after a wrong trace is a finding, and so is the opposite.

    Attributes:
        trace: whether all that stands before the answer is right.
        answer: whether the answer is right.
    """

    trace: bool
    answer: bool


def answer_of(text: str, layout: Layout) -> int | None:
    r"""Returns the answer that a line gives, or None where it gives no number.

    Args:
        text: the whole line, with its prompt.
        layout: how it is written.

    Raises:
        ValueError: this is no text, or there is no such layout.

    Example:
        >>> answer_of("$128+367=5940$\n$", "reverse"), answer_of("1+1=2", "plain")
        (495, None)
    """
    checks.of_kind("text", text, str, "text")
    checks.one_of("layout", layout, LAYOUTS)
    if layout in SCRATCHPADS:
        found = _split(text, layout)[1]
    else:
        given = text.partition("=")[2]
        line, end, _ = given.partition("\n")
        found = line.removesuffix("$") if end else None
        found = found and (found[::-1] if layout == "reverse" else found)
    if not found or not found.isascii() or not found.isdigit():
        return None
    try:
        return int(found)
    except ValueError:  # more digits than Python reads, and than any sum has
        return None


def asked_of(
    prompt: str, digits: int, written: Callable[[int, int], str]
) -> tuple[int, int]:
    """Returns the operands of the sum that a prompt asks for.

    Args:
        prompt: the text.
        digits: how many digits an operand may have.
        written: the prompt of two operands as it should be.

    Raises:
        ValueError: the prompt is no text, holds no sum of such operands, or is written
            otherwise.

    Example:
        >>> asked_of("$12+07=", 2, lambda a, b: f"${a:02}+{b:02}=")
        (12, 7)
    """
    checks.of_kind("prompt", prompt, str, "text")
    sums = re.search(r"([0-9]+)\+([0-9]+)", prompt)
    if sums is None:
        raise ValueError(
            f"prompt must ask for a sum, as {written(1, 2)!r} does, got "
            f"{shown(prompt)}."
        )
    numbers = [number.lstrip("0") or "0" for number in sums.groups()]
    if max(map(len, numbers)) > digits:
        raise ValueError(
            f"prompt must have operands of at most {digits} digits, got "
            f"{shown(prompt)}."
        )
    a, b = map(int, numbers)
    if prompt != written(a, b):
        raise ValueError(
            f"prompt must be written as the lines of this task are, {written(a, b)!r}, "
            f"got {shown(prompt)}."
        )
    return a, b


def score(text: str, expected: str, layout: Layout) -> Score:
    """Returns what a line with a scratchpad has right.

    Args:
        text: the line that a model has written, with its prompt.
        expected: the line as it should be, as `Addition.line` returns.
        layout: how it is written, "simplified" or "detailed".

    Raises:
        ValueError: these are no texts, or the layout has no scratchpad.
    """
    checks.of_kind("text", text, str, "text")
    checks.of_kind("expected", expected, str, "text")
    checks.one_of("layout", layout, SCRATCHPADS)
    trace, answer = _split(text, layout)
    right_trace, right_answer = _split(expected, layout)
    return Score(trace == right_trace, answer is not None and answer == right_answer)


def _split(text: str, layout: Layout) -> tuple[str, str | None]:
    """Returns a scratchpad and the answer behind it, None where there is no end."""
    last = "</scratch>\n" if layout == "detailed" else ".\n"
    given = text.partition("Target:\n")[2]
    trace, mark, rest = given.partition(last)
    line, end, _ = rest.partition("\n")
    return trace + mark, line.replace(" ", "") if end else None
