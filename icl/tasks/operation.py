"""A task of other operations that are written out: differences, products, sines, roots.

`icl.arithmetic.operations` says how. A training set is drawn and written once, because
lines differ in length by much; batches are rows of it.

Shapes: `Lines`, whose latents are the operands "a" and "b", (batch, 1).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from icl import checks
from icl.arithmetic.operations import (
    DOMAIN,
    OF_FRACTIONS,
    OPERATIONS,
    STEPS,
    Layout,
    Line,
    OperationName,
    layouts_of,
    line_of_fraction,
    line_of_numbers,
    operation_line,
    result_of,
    worked_fraction,
)
from icl.codecs import Characters, Lines
from icl.tasks.base import Task

MOST = 4
"""The most digits of an operand."""

MOST_EXAMPLES = 100_000
"""The largest training set, whose lines are written one by one."""

_SHOWN = (
    "0123456789+-*/=.,:$()[]<>!^_ \n"
    "Input:Target:<scratch>has digits.A->C=B=k=END</scratch>x_sinsqrt"
)
ALPHABET = "".join(dict.fromkeys(_SHOWN))
"""The characters of all operations and layouts."""


class Table(NamedTuple):
    """Lines that have been written, (lines, tokens), with their operands."""

    ids: Any
    answers: Any
    a: Any
    b: Any


@dataclass(frozen=True)
class Operation(Task):
    r"""A task of differences, products, sines or square roots, written as text.

    A training set of `examples` lines is drawn once, and batches are drawn from it;
    `test` has others. Operands are uniform: whole numbers of up to `digits` digits, or
    x in ten-thousandths from -pi/2 to pi/2 (sine) and from 0 to 10 (square root).

    Attributes:
        operation: "subtraction", "multiplication", "sine" or "square root".
        digits: the number of digits of an operand, 1 to 4; of no matter for functions.
        layout: how it is written; see `icl.arithmetic.operations.layouts_of`.
        examples: the number of lines in the training set.
        loss_on: what is trained on: the "answer" with its working and end, or "all".
        seed: the training set and the test set are drawn from it.

    Raises:
        ValueError: a field is out of its range, or two do not go together.

    Example:
        >>> task = Operation("multiplication", digits=2)
        >>> task.line(12, 36)
        '12*36=432\n'
        >>> task.sample(jax.random.key(0), batch=4).ids.shape
        (4, 11)
    """

    operation: OperationName = "subtraction"
    digits: int = 3
    layout: Layout = "plain"
    examples: int = 3_000
    loss_on: Literal["answer", "all"] = "answer"
    seed: int = 0

    def __post_init__(self) -> None:
        checks.one_of("operation", self.operation, OPERATIONS)
        checks.one_of("layout", self.layout, layouts_of(self.operation))
        checks.one_of("loss_on", self.loss_on, ("answer", "all"))
        checks.normalise(self, checks.positive_int, "digits", maximum=MOST)
        checks.normalise(self, checks.positive_int, "seed", minimum=0)
        most = min(MOST_EXAMPLES, self._total - 1)
        checks.normalise(self, checks.positive_int, "examples", maximum=most)

    @property
    def length(self) -> int:
        """The number of characters of the longest line."""
        return self.codec.count

    @property
    def codec(self) -> Characters:
        """The codec of the characters of all operations."""
        return Characters(ALPHABET, self._longest)

    def sample(self, key: Key[Array, ""], *, batch: int) -> Lines:
        """Draws lines of the training set, as a pure function of the key."""
        checks.typed_key("key", key)
        batch = checks.positive_int("batch", batch)
        table = _training(self)
        index = jax.random.randint(key, (batch,), 0, self.examples)
        return self._lines(Table(*(jnp.asarray(part)[index] for part in table)))

    def test(self, count: int, *, seed: int | None = None) -> Lines:
        """Returns lines that no training has seen, the same ones at every call.

        Args:
            count: the number of lines.
            seed: they are drawn from it; None is the seed of the task.

        Raises:
            ValueError: there are not so many left.
        """
        left = min(MOST_EXAMPLES, self.unseen)
        count = checks.positive_int("count", count, maximum=left)
        seed = self.seed if seed is None else seed
        seed = checks.positive_int("seed", seed, minimum=0)
        return self._lines(_unseen(self, count, seed))

    def line(self, a: int, b: int | None = None) -> str:
        """Returns the line of one operation, with its end.

        Raises:
            ValueError: the operands are no whole numbers, or out of their range.
        """
        if self.operation not in OF_FRACTIONS:
            most = {"minimum": 0, "maximum": 10**self.digits - 1}
            a = checks.positive_int("a", a, **most)
            b = checks.positive_int("b", b, **most)  # pyrefly: ignore
        return operation_line(self.operation, self.layout, a, b)

    def parse(self, text: str) -> str | None:
        """Returns the number that a line gives, as text, or None where it gives none.

        Raises:
            ValueError: this is no text.
        """
        return result_of(text, self.layout)

    @property
    def unseen(self) -> int:
        """The number of lines that the training set lacks."""
        return self._total - self.examples

    @property
    def _total(self) -> int:
        """The number of lines there are."""
        if self.operation in OF_FRACTIONS:
            least, most = DOMAIN[self.operation]
            return most - least + 1
        return 10 ** (2 * self.digits)

    @property
    def _longest(self) -> int:
        """The number of characters of the longest line."""
        if self.operation == "sine" and self.layout == "detailed":
            widest = worked_fraction("sine", "-1.5708", ["-1.5708"] * (STEPS + 1))
            return len("".join(widest))
        if self.operation == "square root" and self.layout == "detailed":
            steps = ["0.1", *["9.9999"] * STEPS]
            return len("".join(worked_fraction("square root", "9.9999", steps)))
        if self.operation in OF_FRACTIONS:
            return len("sin(-1.5708)=-0.9999\n")
        # These borrow in every column, or have the longest products.
        most = 10**self.digits - 1
        pairs = [(int("1" * (count + 1)), most) for count in range(self.digits)]
        return max(len(self.line(*pair)) for pair in [*pairs, (most, most)])

    def _parts(self, a: int, b: int) -> Line:
        if self.operation in OF_FRACTIONS:
            return line_of_fraction(self.operation, self.layout, a)
        return line_of_numbers(self.operation, self.layout, a, b)

    def _operands(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the operands of lines that are numbered from 0."""
        if self.operation in OF_FRACTIONS:
            return index + DOMAIN[self.operation][0], np.zeros_like(index)
        a, b = np.divmod(index, 10**self.digits)
        return a, b

    def _lines(self, table: Any) -> Lines:
        ids = table.ids.astype(np.int32)
        counted = table.answers
        if self.loss_on == "all":  # all up to the end of the answer, and no filling
            left = table.answers[:, ::-1].cumsum(axis=1)[:, ::-1]
            counted = left > 0
        latents = {"a": table.a[:, None], "b": table.b[:, None]}
        weights = counted.astype(np.float32)
        return Lines(ids, weights, table.answers, None, latents)


def _draw(task: Operation) -> np.ndarray:
    rng = np.random.default_rng((task.seed, 0))
    return rng.choice(task._total, task.examples, replace=False)


@lru_cache(maxsize=16)
def _training(task: Operation) -> Table:
    table = _written(task, _draw(task))
    for part in table:
        part.flags.writeable = False  # all tasks that equal this one share it
    return table


def _unseen(task: Operation, count: int, seed: int) -> Table:
    """Returns the lines of so many operands that the training set lacks."""
    rng = np.random.default_rng((seed, 1))
    some = rng.choice(task._total, min(task._total, task.examples + count), False)
    return _written(task, some[~np.isin(some, _draw(task))][:count])


def _written(task: Operation, index: np.ndarray) -> Table:
    """Returns lines by their numbers; line feeds fill each up."""
    places = {character: place for place, character in enumerate(ALPHABET)}
    shape = (len(index), task._longest)
    ids = np.full(shape, places["\n"], np.int8)
    answers = np.zeros(shape, bool)
    a, b = task._operands(index)
    for row, pair in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        prompt, rest = task._parts(*pair)
        text = prompt + rest
        ids[row, : len(text)] = [places[character] for character in text]
        answers[row, len(prompt) : len(text)] = True
    return Table(ids, answers, a.astype(np.int32), b.astype(np.int32))
