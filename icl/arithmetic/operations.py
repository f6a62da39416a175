"""How are other operations written? Subtraction, multiplication, sine, square root.

The layouts are those of sums (`icl.arithmetic.formats`), as Lee et al. 2023 released
them:

    plain       128-367=-239     12*36=432     sin(0.7213)=0.6603   sqrt(7.3174)=2.705
    reverse     $128-367=932-$   $12*36=234$
    simplified  128-367 only: the digits and borrows, and the two parts of the answer
    detailed    every column; every partial product; four terms of the series of the
                sine, or four steps of Newton's method for the root, each rounded down,
                so that the answer can be one less in the last digit: sin(0.7213)=0.6602

Numbers behind a point have four digits, and lines differ in length: they are written
one by one, as text.
"""

import itertools
import math
from typing import Literal, NamedTuple

from icl import checks
from icl.arithmetic.formats import LAYOUTS, Layout

OperationName = Literal["subtraction", "multiplication", "sine", "square root"]
OPERATIONS = ("subtraction", "multiplication", "sine", "square root")

OF_NUMBERS: dict[str, str] = {"subtraction": "-", "multiplication": "*"}
"""The signs of operations on two whole numbers."""

OF_FRACTIONS: dict[str, str] = {"sine": "sin", "square root": "sqrt"}
"""The names of functions of one number with four digits behind the point."""

UNIT = 10_000
"""Numbers behind the point are counted in ten-thousandths."""

DOMAIN = {"sine": (-15_708, 15_707), "square root": (0, 99_999)}
"""The least and the largest x, in ten-thousandths: -pi/2 to pi/2, and 0 to 10."""

STEPS = 4
"""The number of terms of the series, and of steps of Newton's method."""


class Line(NamedTuple):
    """A line in two parts.

    Attributes:
        prompt: all up to where the answer begins.
        rest: the answer, with its working and its end.
    """

    prompt: str
    rest: str


def layouts_of(operation: OperationName) -> tuple[str, ...]:
    """Returns the layouts in which an operation can be written.

    Raises:
        ValueError: there is no such operation.

    Example:
        >>> layouts_of("multiplication")
        ('plain', 'reverse', 'detailed')
    """
    checks.one_of("operation", operation, OPERATIONS)
    if operation == "subtraction":
        return LAYOUTS
    if operation == "multiplication":
        return ("plain", "reverse", "detailed")
    return ("plain", "detailed")


def operation_line(
    operation: OperationName, layout: Layout, a: int, b: int | None = None
) -> str:
    r"""Returns the line of one operation, with its end.

    Args:
        operation: "subtraction", "multiplication", "sine" or "square root".
        layout: how it is written, one of `layouts_of(operation)`.
        a: the first operand; of a sine or a square root, x in ten-thousandths.
        b: the second operand; None for a sine or a square root.

    Raises:
        ValueError: there is no such operation or layout of it, an operand is no whole
            number, or x is out of its range.

    Example:
        >>> operation_line("subtraction", "plain", 128, 367)
        '128-367=-239\n'
        >>> operation_line("square root", "plain", 73_174)
        'sqrt(7.3174)=2.705\n'
    """
    checks.one_of("layout", layout, layouts_of(operation))
    if operation in OF_FRACTIONS:
        if b is not None:
            raise ValueError(f"b must be None for a {operation}, got {b!r}.")
        least, most = DOMAIN[operation]
        whole = checks.positive_int("a", a, minimum=least, maximum=most)
        return "".join(line_of_fraction(operation, layout, whole))
    sizes = {"minimum": 0, "maximum": 10**9 - 1}
    a = checks.positive_int("a", a, **sizes)
    b = checks.positive_int("b", b, **sizes)  # pyrefly: ignore[bad-argument-type]
    return "".join(line_of_numbers(operation, layout, a, b))


def result_of(text: str, layout: Layout) -> str | None:
    r"""Returns the number that a line gives as its answer, or None where it gives none.

    It is text, such as "-239" or "0.6602". A line without an end gives none, and what
    stands behind the end is ignored.

    Raises:
        ValueError: this is no text, or there is no such layout.

    Example:
        >>> result_of("$128-367=932-$\n", "reverse"), result_of("2*2=4", "plain")
        ('-239', None)
    """
    checks.of_kind("text", text, str, "text")
    checks.one_of("layout", layout, LAYOUTS)
    if layout in ("plain", "reverse"):
        given = text.partition("=")[2]
    else:
        mark = "</scratch>\n" if layout == "detailed" else ".\n"
        given = text.partition("Target:\n")[2].partition(mark)[2]
    found, end, _ = given.partition("\n")
    found = found.removesuffix("$").replace(" ", "")
    found = found[::-1] if layout == "reverse" else found
    digits = found.removeprefix("-").replace(".", "", 1)
    return found if end and digits.isascii() and digits.isdigit() else None


# --- two whole numbers ---


def line_of_numbers(operation: str, layout: str, a: int, b: int) -> Line:
    """Returns the line of a difference or a product."""
    sign = OF_NUMBERS[operation]
    answer = str(a - b if operation == "subtraction" else a * b)
    if layout == "plain":
        return Line(f"{a}{sign}{b}=", f"{answer}\n")
    if layout == "reverse":
        return Line(f"${a}{sign}{b}=", f"{answer[::-1]}$\n")
    prompt = f"Input:\n{a}{sign}{b}\nTarget:\n"
    if operation == "subtraction":
        work = _columns(a, b, detailed=layout == "detailed")
    else:
        work = _products(a, b)
    if layout == "simplified":
        return Line(prompt, f"{work}{answer}\n")
    counts = "".join(f"{_listed(x)} has {len(x)} digits.\n" for x in (str(a), str(b)))
    spaced = " ".join(answer.removeprefix("-"))
    spaced = "-" * answer.startswith("-") + spaced
    return Line(prompt, f"<scratch>\n{counts}{work}</scratch>\n{spaced}\n")


def _columns(a: int, b: int, *, detailed: bool) -> str:
    """Returns the columns of a difference, the last of which keeps its sign."""
    left, right = str(a), str(b)
    count = max(len(left), len(right))
    lines, digits, borrow = [], [], 0
    for column in range(count):
        x, y = (int(n[-1 - column]) if column < len(n) else 0 for n in (left, right))
        digit = x - y + borrow
        lacking = digit < 0
        lent = lacking and column < count - 1
        digit += 10 * lent
        if detailed:
            parts = (_listed(n[: max(0, len(n) - column)]) for n in (left, right))
            lines.append(
                f"{' - '.join(parts)} , A={_bracketed(digits)} , C={borrow} , "
                f"{x}-{y}-{-borrow}{'+10' * lent}={digit} , A->{digit} , C->{-lacking}"
            )
        else:
            lines.append(f"A->{digit} , C->{-lacking}")
        digits.insert(0, digit)
        borrow = -int(lacking)
    if detailed:
        lines.append(f"[] - [] , A={_bracketed(digits)}")
    first = digits[0] * 10 ** (count - 1)
    rest = int("".join(map(str, digits[1:])) or 0)
    end = " , END" if detailed else "."
    return "\n".join([*lines, f"{first}+{rest}={first + rest}{end}"]) + "\n"


def _products(a: int, b: int) -> str:
    """Returns the product of a with each digit of b, and their running sum."""
    lines, total = [], 0
    for place, digit in enumerate(map(int, reversed(str(b)))):
        product = a * digit
        moved = product * 10**place
        lines.append(
            f"{_listed(str(a))} * {digit} , A={_listed(str(product))} , "
            f"k={10**place} , B={_listed(str(moved))} , C={total}+{moved}="
            f"{total + moved}"
        )
        total += moved
    return "\n".join(lines) + " , END\n"


def _listed(digits: str) -> str:
    return _bracketed(list(digits))


def _bracketed(parts: list[int] | list[str]) -> str:
    return f"[{','.join(map(str, parts))}]"


# --- one number with digits behind the point ---


def line_of_fraction(operation: str, layout: str, x: int) -> Line:
    """Returns the line of a sine or a square root of x ten-thousandths."""
    value, name = str(x / UNIT), OF_FRACTIONS[operation]
    if layout == "plain":
        exact = math.isqrt(x * UNIT)  # rounded down, where a float may not be
        if operation == "sine":
            exact = math.floor(math.sin(x / UNIT) * UNIT)
        return Line(f"{name}({value})=", f"{exact / UNIT}\n")
    steps = _series(x) if operation == "sine" else _newton(x)
    return worked_fraction(operation, value, steps)


def worked_fraction(operation: str, x: str, steps: list[str]) -> Line:
    """Returns the line of a sine or root whose approximations are given as text."""
    name = OF_FRACTIONS[operation]
    lines = [f"x_0={steps[0]}"]
    for number, (last, new) in enumerate(itertools.pairwise(steps), 1):
        if operation == "sine":
            power = 2 * number + 1
            sign = "-" if number % 2 else "+"
            step = f"x_{number - 1} {sign} 1/{power}! * (x^{power}) "
        else:
            step = f"1/2*({last}+{x}/{last})={new}"
        lines.append(f"x_{number}: {step}, x_{number}={new}")
    work = "\n".join(lines)
    rest = f"<scratch>\n{work} , END\n</scratch>\n{steps[-1]}\n"
    return Line(f"Input:\n{name}({x})\nTarget:\n", rest)


def _series(x: int) -> list[str]:
    """Returns partial sums of the series of the sine, each rounded down.

    Everything is counted in ten-thousandths, whole numbers that no float rounds.
    """
    sums = [x]
    for term in range(1, STEPS + 1):
        power = 2 * term + 1
        parts = UNIT ** (power - 1) * math.factorial(power)
        sums.append((sums[-1] * parts + (-1) ** term * x**power) // parts)
    return [str(each / UNIT) for each in sums]


def _newton(x: int) -> list[str]:
    """Returns steps of Newton's method for the root of x, each rounded down.

    They begin at the whole part of the root, or at 0.1 where it is 0.
    """
    whole = math.isqrt(x // UNIT)
    steps = [whole * UNIT or UNIT // 10]
    for _ in range(STEPS):
        last = steps[-1]
        steps.append((last * last + x * UNIT) // (2 * last))
    first, *others = steps
    return [str(whole or first / UNIT), *(str(each / UNIT) for each in others)]
