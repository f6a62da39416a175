"""Which instructions are programs written in? One transformer layer each.

`Mov`, `Mul`, `Scale` and `Aff` name the rows they work on; `lower` turns any of them
into the one operation `Raw` (read-arithmetic-write, Eq. 26 of Akyürek et al. 2023) on
row numbers. That and the division `Quotient` are all that the compiler knows.

Conventions: matrices are stored row by row. `terms` are a linear combination of named
rows, each with the number or the matrix that multiplies it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from icl.constructed import primitives
from icl.constructed.primitives import Reads, State

Rows = tuple[int, ...]
Table = Mapping[str, range]
Matrix = Float[np.ndarray, "_ _"]
Terms = Mapping[str, int | float | Matrix]


class Raw(NamedTuple):
    """The step target <- W_o((W_a mean of what is read) + or * (W what it has)) + b.

    Attributes:
        target: w, the rows that are written.
        attended: r, the rows that are read of the tokens `reads` points to.
        own: s, the rows that a token reads of itself.
        combine: "+", or "*" for the product slot by slot.
        reads: which tokens are read, see `primitives.reading`.
        weight_out: W_o, (target, slots).
        weight_attended: W_a, (slots, attended).
        weight_own: W, (slots, own).
        bias: b, (target,).
    """

    target: Rows
    attended: Rows
    own: Rows
    combine: Literal["+", "*"]
    reads: Reads
    weight_out: Matrix
    weight_attended: Matrix
    weight_own: Matrix
    bias: Float[np.ndarray, " target"]

    def apply(self, state: State) -> State:
        """Returns the state after the layer, computed in NumPy."""
        reads = primitives.reading(self.reads, state.shape[-2])
        fields = self._asdict() | {"reads": reads}
        return primitives.raw(state, **fields)


class Quotient(NamedTuple):
    """The step target <- numerator / |denominator|, for rows of one token."""

    target: Rows
    numerator: Rows
    denominator: Rows

    def apply(self, state: State) -> State:
        """Returns the state after the layer, computed in NumPy."""
        return primitives.div(state, self.numerator, self.denominator, self.target)


class Step(ABC):
    """The base of all instructions; `str(step)` is how people write it."""

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """The names of the rows that it reads."""

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """The names of the rows that it writes."""

    @abstractmethod
    def lower(self, table: Table) -> Raw | Quotient:
        """Returns the operation on row numbers, which `table` gives for names."""


@dataclass(frozen=True)
class Mov(Step):
    """Copies rows of the token that is read; a token that reads itself keeps its own.

    Attributes:
        names: the rows, the same in both tokens.
        reads: which token is read, see `primitives.reading`.
    """

    names: tuple[str, ...]
    reads: Reads

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the rows that it reads."""
        return self.names

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the rows that it writes."""
        return self.names

    def __str__(self) -> str:
        return f"mov {', '.join(self.names)} from {self.reads}"

    def lower(self, table: Table) -> Raw:
        """Returns a sum with W_a = I and W = 0."""
        rows = _rows(table, self.names)
        size = len(rows)
        return Raw(
            target=rows,
            attended=rows,
            own=(),
            combine="+",
            reads=self.reads,
            weight_out=np.eye(size),
            weight_attended=np.eye(size),
            weight_own=np.zeros((size, 0)),
            bias=np.zeros(size),
        )


@dataclass(frozen=True)
class Mul(Step):
    """The matrix product target = factor left right, of shapes (a, b) and (b, c).

    Attributes:
        target: rows of the product, a c of them.
        left: rows of the first factor, a b of them.
        right: rows of the second, b c of them.
        shape: (a, b, c).
        factor: the number by which the product is multiplied.
    """

    target: str
    left: str
    right: str
    shape: tuple[int, int, int]
    factor: float = 1.0

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the rows that it reads."""
        return self.left, self.right

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the rows that it writes."""
        return (self.target,)

    def __str__(self) -> str:
        product = {f"{self.left} {self.right}": self.factor}
        return f"mul {self.target} = {_combination(product)}"

    def lower(self, table: Table) -> Raw:
        """Returns a product of a b c slots: slot (i, j, k) is left[i, j] right[j, k].

        W_o adds over j. (The paper makes a matrix product of parallel dot products, its
        Lemma 7, at the same cost.)
        """
        a, b, c = self.shape
        i, j, k = np.indices(self.shape).reshape(3, -1)
        return Raw(
            target=_rows(table, self.targets),
            attended=_rows(table, (self.left,)),
            own=_rows(table, (self.right,)),
            combine="*",
            reads="self",
            weight_out=self.factor * np.eye(a * c)[:, i * c + k],
            weight_attended=np.eye(a * b)[i * b + j],
            weight_own=np.eye(b * c)[j * c + k],
            bias=np.zeros(a * c),
        )


@dataclass(frozen=True)
class Scale(Step):
    """A linear combination of rows, read somewhere, times one row of the token itself.

    Attributes:
        target: rows of the result.
        by: the one row with which all are multiplied.
        terms: what is combined.
        reads: whose rows are combined, see `primitives.reading`.
    """

    target: str
    by: str
    terms: Terms
    reads: Reads = "self"

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the rows that it reads."""
        return *self.terms, self.by

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the rows that it writes."""
        return (self.target,)

    def __str__(self) -> str:
        mean = "" if self.reads == "self" else f"mean over {self.reads} of "
        return f"mul {self.target} = {self.by} {mean}({_combination(self.terms)})"

    def lower(self, table: Table) -> Raw:
        """Returns a product, a slot for each row: W_a combines, W repeats one row."""
        target = _rows(table, self.targets)
        return Raw(
            target=target,
            attended=_rows(table, self.terms),
            own=_rows(table, (self.by,)),
            combine="*",
            reads=self.reads,
            weight_out=np.eye(len(target)),
            weight_attended=_weights(self.terms, len(target)),
            weight_own=np.ones((len(target), 1)),
            bias=np.zeros(len(target)),
        )


@dataclass(frozen=True)
class Aff(Step):
    """A linear combination of a token's own rows, plus a constant.

    Attributes:
        target: rows of the result.
        terms: what is combined; may be empty.
        bias: what is added: a number for each row of the target, or one for all.
    """

    target: str
    terms: Terms = field(default_factory=dict)
    bias: int | float | Sequence[float] | Float[np.ndarray, " rows"] = 0.0

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the rows that it reads."""
        return tuple(self.terms)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the rows that it writes."""
        return (self.target,)

    def __str__(self) -> str:
        parts = [_combination(self.terms)] if self.terms else []
        parts += ["constant"] if np.any(self.bias) or not parts else []
        return f"aff {self.target} = {' + '.join(parts)}"

    def lower(self, table: Table) -> Raw:
        """Returns a sum with W_a = 0 and everything in W."""
        target = _rows(table, self.targets)
        size = len(target)
        bias = np.asarray(self.bias, float)
        return Raw(
            target=target,
            attended=(),
            own=_rows(table, self.terms),
            combine="+",
            reads="self",
            weight_out=np.eye(size),
            weight_attended=np.zeros((size, 0)),
            weight_own=_weights(self.terms, size),
            bias=np.full(size, bias) if bias.ndim == 0 else bias,
        )


@dataclass(frozen=True)
class Div(Step):
    """The quotient target = numerator / |denominator|, row by row, by one row.

    The denominator must stay away from 0 at *every* token: the layer divides the whole
    state by it.
    """

    target: str
    numerator: str
    denominator: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the rows that it reads."""
        return self.numerator, self.denominator

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the rows that it writes."""
        return (self.target,)

    def __str__(self) -> str:
        return f"div {self.target} = {self.numerator} / |{self.denominator}|"

    def lower(self, table: Table) -> Quotient:
        """Returns the quotient on row numbers."""
        names = self.target, self.numerator, self.denominator
        return Quotient(*(_rows(table, (name,)) for name in names))


def _rows(table: Table, names: Sequence[str] | Terms) -> Rows:
    return tuple(row for name in names for row in table[name])


def _weights(terms: Terms, size: int) -> Matrix:
    """Returns the terms' matrices side by side; a number is that multiple of I."""
    parts = [
        factor * np.eye(size) if np.ndim(factor) == 0 else np.asarray(factor, float)
        for factor in terms.values()
    ]
    return np.hstack([np.zeros((size, 0)), *parts])


def _combination(terms: Terms) -> str:
    """Returns text such as "w - 0.1 gradient"; a matrix is written W."""
    text = ""
    for name, factor in terms.items():
        number = float(factor) if np.ndim(factor) == 0 else None
        sign = "-" if number is not None and number < 0 else "+"
        size = (
            "W " if number is None else f"{abs(number):g} " if abs(number) != 1 else ""
        )
        text += f" {sign} {size}{name}"
    return text.removeprefix(" + ").strip()
