"""What is a program of primitives, and which programs make sense?

A program is a list of steps, one per transformer layer, over named rows of the state.
Names may share rows, as registers are reused; a program that reads a name after another
one has overwritten its rows is refused, and the error says which step did it.

Beside its own rows a program may read three constant ones: "one" (1 everywhere),
"label" (1 at y-tokens, 0 at x-tokens) and "count" (complete pairs seen so far).

Shapes: a state is (batch, tokens, rows): the rows of the program, then the constants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
from jaxtyping import Float

from icl import checks
from icl.codecs import pairs
from icl.constructed.primitives import Reads
from icl.constructed.steps import (
    Aff,
    Div,
    Mov,
    Mul,
    Quotient,
    Raw,
    Scale,
    Step,
    Table,
)
from icl.prompts import Prompts

CONSTANTS = ("one", "label", "count")


def allocate(**sizes: int) -> dict[str, range]:
    """Returns rows for names, one after the other.

    Raises:
        ValueError: a size is not an integer >= 1.

    Example:
        >>> allocate(y=1, x=2)
        {'y': range(0, 1), 'x': range(1, 3)}
    """
    counts = [checks.positive_int(name, size) for name, size in sizes.items()]
    ends = np.cumsum(counts).tolist()
    starts = [0, *ends[:-1]]
    return {name: range(*at) for name, *at in zip(sizes, starts, ends, strict=True)}


@dataclass(frozen=True, eq=False)
class Program:
    """A list of steps over named rows.

    Attributes:
        name: what it computes, in words.
        rows: which rows a name stands for. "y" is row 0 and "x" the `dim` rows after
            it, as tokens have them; "prediction" is the one row that is read out at
            x-tokens.
        steps: what is done, one layer each.

    Raises:
        ValueError: rows y, x or prediction are not where they must be, or no step
            writes the prediction; a name stands for anything but a range of rows; a
            step names rows that do not exist, writes constants or a row twice, or has
            numbers that are not finite or sizes that do not fit its rows; or a step, or
            the prediction, reads rows that were overwritten under another name. The
            message names the step.
    """

    name: str
    rows: Mapping[str, range]
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        checks.of_kind("name", self.name, str, "a name, in words")
        checks.of_kind("rows", self.rows, Mapping, "a dictionary of ranges by name")
        checks.of_kind("steps", self.steps, tuple | list, "a tuple of steps")
        for step in self.steps:
            checks.of_kind("steps", step, Step, "steps, such as Mov(('x',), 'input')")
        _check_rows(self.rows)
        for number, step in enumerate(self.steps, 1):
            _check_step(f"step {number} ({step})", step, self.rows, self.table)
        if not any("prediction" in step.targets for step in self.steps):
            raise ValueError("steps must have a step that writes prediction.")
        _check_overwriting(self.rows, self.steps)

    @property
    def dim(self) -> int:
        """d, the dimension of x."""
        return len(self.rows["x"])

    @property
    def work(self) -> int:
        """The number of its own rows."""
        return max(rows.stop for rows in self.rows.values())

    @cached_property
    def table(self) -> dict[str, range]:
        """The rows of all names, the constants among them."""
        constants = {
            name: range(self.work + i, self.work + i + 1)
            for i, name in enumerate(CONSTANTS)
        }
        return {**self.rows, **constants}

    @cached_property
    def operations(self) -> list[Raw | Quotient]:
        """The steps on row numbers."""
        return [step.lower(self.table) for step in self.steps]

    def run(self, prompts: Prompts) -> Float[np.ndarray, "states batch tokens rows"]:
        """Returns the state before the first step and after each, in float64 NumPy.

        The compiled transformer must have the same in these rows of `Output.hidden`.
        """
        states = [self._initial(prompts)]
        for operation in self.operations:
            states.append(operation.apply(states[-1]))
        return np.stack(states)

    def _initial(self, prompts: Prompts) -> np.ndarray:
        checks.of_kind("prompts", prompts, Prompts, "a batch, icl.Prompts(xs, ys)")
        axes = "(batch, length, dim)"
        given = checks.array("xs", prompts.xs, (None, None, self.dim), axes)
        xs = np.asarray(given, dtype=float)
        given = checks.array("ys", prompts.ys, xs.shape[:2], "(batch, length)")
        ys = np.asarray(given, dtype=float)
        batch, length, dim = xs.shape
        state = np.zeros((batch, pairs.token_count(length), self.work + len(CONSTANTS)))
        state[:, ::2, 1 : dim + 1] = xs
        state[:, 1::2, 0] = ys[:, :-1]
        state[..., self.work :] = constants(length)
        return state


def constants(length: int) -> Float[np.ndarray, "tokens constants"]:
    """Returns the constant rows of every token, in the order of `CONSTANTS`."""
    contexts = pairs.token_contexts(length)
    is_label = np.arange(len(contexts)) % 2
    return np.stack([np.ones_like(contexts), is_label, contexts], axis=1).astype(float)


def _check_rows(rows: Table) -> None:
    """Checks that names stand for rows, and where y, x and the prediction are."""
    missing = [name for name in ("y", "x", "prediction") if name not in rows]
    if missing:
        raise ValueError(f"a program must have rows named {', '.join(missing)}.")
    clash = [name for name in CONSTANTS if name in rows]
    if clash:
        raise ValueError(f"{', '.join(clash)} is a constant; choose another name.")
    for name, at in rows.items():
        if not isinstance(at, range) or not at or at.start < 0 or at.step != 1:
            raise ValueError(
                f"{name} must be a range of one or more rows from 0 on without gaps, "
                f"such as range(3, 5), got {at!r}."
            )
    if rows["y"] != range(0, 1) or rows["x"].start != 1:
        raise ValueError(
            "y must be row 0 and x the rows from 1 on, as in tokens, got "
            f"y={rows['y']} and x={rows['x']}."
        )
    if len(rows["prediction"]) != 1:
        raise ValueError(f"prediction must be one row, got {rows['prediction']}.")


def _check_step(where: str, step: Step, rows: Table, table: Table) -> None:
    """Checks that names exist and may be written, and that sizes fit."""
    for name in (*step.sources, *step.targets):
        checks.of_kind(f"{where}: a name", name, str, "text")
    for name in step.targets:
        if name in CONSTANTS:
            raise ValueError(f"{where} writes {name}, which is a constant.")
    unknown = [name for name in (*step.sources, *step.targets) if name not in table]
    if unknown:
        raise ValueError(
            f"{where} names {', '.join(unknown)}; the program's rows are "
            f"{', '.join(rows)}."
        )
    written = [row for name in step.targets for row in table[name]]
    if len(set(written)) < len(written):
        raise ValueError(
            f"{where} writes some rows twice; give {', '.join(step.targets)} rows of "
            "their own."
        )
    if isinstance(step, Div) and set(table[step.target]) & set(table[step.numerator]):
        raise ValueError(
            f"{where} overwrites {step.numerator}, which it still needs; give "
            f"{step.target} rows of its own."
        )
    if isinstance(step, Mov | Scale):
        checks.one_of(f"{where}: reads", step.reads, get_args(Reads))
    if isinstance(step, Scale | Aff):
        _check_terms(where, step, table)
    for name, wanted in _needed(where, step, table):
        if len(table[name]) != wanted:
            raise ValueError(
                f"{where} needs {name} to have {wanted} rows, but it has "
                f"{len(table[name])}; give it as many as the step needs."
            )


def _needed(where: str, step: Step, table: Table) -> list[tuple[str, int]]:
    """Returns how many rows a step needs the names in it to have."""
    if isinstance(step, Mul):
        if len(step.shape) != 3:
            raise ValueError(f"{where}: shape must be (a, b, c), got {step.shape}.")
        checks.all_finite(f"{where}: factor", step.factor)
        a, b, c = (checks.positive_int(f"{where}: shape", n) for n in step.shape)
        return [(step.left, a * b), (step.right, b * c), (step.target, a * c)]
    if isinstance(step, Scale):
        return [(step.by, 1)]
    if isinstance(step, Div):
        return [(step.numerator, len(table[step.target])), (step.denominator, 1)]
    return []


def _check_terms(where: str, step: Scale | Aff, table: Table) -> None:
    """Checks that terms are numbers, or arrays of finite ones that fit the names."""
    size = len(table[step.target])
    for name, factor in step.terms.items():
        checks.all_finite(f"{where}: the factor of {name}", factor)
        shape = np.shape(factor) or (size, size)
        if shape != (size, len(table[name])):
            raise ValueError(
                f"{where} multiplies {name} by a matrix of shape {shape}, which must "
                f"be {(size, len(table[name]))}, the rows of {step.target} by those of "
                f"{name}; a number stands for that multiple of the identity."
            )
    if isinstance(step, Aff):
        checks.all_finite(f"{where}: bias", step.bias)
        if np.shape(step.bias) not in ((), (size,)):
            raise ValueError(
                f"{where} adds a bias of shape {np.shape(step.bias)}, which must be a "
                f"number or of shape {(size,)}, the rows of {step.target}."
            )


def _check_overwriting(rows: Table, steps: tuple[Step, ...]) -> None:
    """Checks that whoever reads a name finds what was written under that name."""
    held = {}  # for every row that was written: under which name, and by which step
    for number, step in enumerate(steps, 1):
        where = f"step {number} ({step})"
        _check_held(rows, held, step.sources, where)
        for name in step.targets:
            held |= {row: (name, where) for row in rows[name]}
    _check_held(rows, held, ("prediction",), "the read-out")


def _check_held(
    rows: Table,
    held: Mapping[int, tuple[str, str]],
    names: tuple[str, ...],
    reader: str,
) -> None:
    for name in names:
        for row in rows.get(name, ()):  # constants are never overwritten
            holder, writer = held.get(row, (name, ""))
            if holder != name:
                raise ValueError(
                    f"{writer} overwrites row {row} of {name}, which {reader} still "
                    "needs; give the two rows of their own."
                )
