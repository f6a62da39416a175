"""How does a transformer layer carry out one operation?

The layer is that of Akyürek et al. 2023 (Eqs. 1-7): softmax attention with a causal
mask and a residual, then LayerNorm without parameters, an MLP with GELU and a residual.
Its state has the rows

    program | one label count | key  query  query | pads | scratch
                                 2     2      2      2

Attention has two heads. The first reads the tokens that the operation asks for; the
second reads the token itself. Any linear map of what they read can be written, so sums
need no MLP, and the second head also subtracts what is to be overwritten.

Multiplication. With the GELU g, sqrt(pi/2) K^2 (g((t + s)/K) - g(t/K) - g(s/K)) is t s
up to a relative error (t^2/3 + t s/2 + s^2/3) / K^2: three units for a product (Lemma
4, which says cubic for what is quartic). K is `Precision.multiplier`.

LayerNorm would divide by the norm of the state. Two pads, N - s/2 and -N - s/2 with s
the sum of all other rows, make the mean 0 and the deviation N sqrt(2 / width), up to a
relative (|state|^2 + s^2/2) / (4 N^2); the next weights undo this constant. The
paper's pads, N and -N - s, leave an error of first order, s / (2N) (Lemma 6). N is
`Precision.pad`. Each layer's attention renews the pads: if they were subtracted after
the LayerNorm, the paper's pads would leave an error of s/(2N) times N, which is s/2,
however large N is.

Division. The pads are N c instead of N: LayerNorm divides the state by |c| (Lemma 8).
Two units carry the numerator to the target by g(z) - g(-z) = z, which is exact. (The
paper's linear unit g(N + z) - N is not, and loses digits.)
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from icl import checks
from icl.constructed.primitives import Reads
from icl.constructed.program import CONSTANTS, Program
from icl.constructed.steps import Quotient, Raw, Rows

Matrix = Float[np.ndarray, "_ _"]

MOST = 1_000
"""The largest number of steps, dimensions or pairs: what is larger takes days."""

LARGEST = {"float64": 4e13, "float32": 8e4}
"""Of K and N, by dtype: round-off, eps times them, is about 1 % there."""

SCALES = {"float64": (3e5, 1e7), "float32": (1e3, 1e4)}
"""K and N where none are given, by dtype: the best of a scan by factors of 3."""


@dataclass(frozen=True)
class Precision:
    """How exactly a constructed transformer computes.

    Attributes:
        dtype: "float64" or "float32", of parameters and hidden states.
        multiplier: K; a product t s errs by (t^2/3 + t s/2 + s^2/3) / K^2, relative
            (GELU), and by about K eps times a factor, absolute (round-off). None is the
            default for the dtype.
        pad: N; everything that passes the LayerNorm errs by
            (|state|^2 + s^2/2) / (4 N^2), relative, with s the sum of the state, and by
            about N eps, absolute (round-off). None is the default for the dtype.
        pads: "symmetric", or "paper" for those of the published proof.

    The defaults are for states whose entries are of order 1, as on prompts with inputs
    and weights of unit variance. For entries of order r multiply K and N by r.

    Raises:
        ValueError: the dtype or kind of pads is unknown; or a scale is not positive, or
            so large that the dtype does not resolve it (the message says the largest).
    """

    dtype: Literal["float64", "float32"] = "float64"
    multiplier: float | None = None
    pad: float | None = None
    pads: Literal["symmetric", "paper"] = "symmetric"

    def __post_init__(self) -> None:
        checks.one_of("dtype", self.dtype, SCALES)
        checks.one_of("pads", self.pads, ("symmetric", "paper"))
        for name in ("multiplier", "pad"):
            if getattr(self, name) is not None:
                checks.normalise(self, checks.finite_number, name, positive=True)
        largest = LARGEST[self.dtype]
        for name, scale in zip(("multiplier", "pad"), self.scales, strict=True):
            if scale > largest:
                raise ValueError(
                    f"{name} must be at most {largest:g} in {self.dtype}, where "
                    f"round-off is 1% already; got {scale:g}."
                )

    @property
    def scales(self) -> tuple[float, float]:
        """Returns K and N."""
        multiplier, pad = SCALES[self.dtype]
        return self.multiplier or multiplier, self.pad or pad


def checked_precision(precision: Precision | None) -> Precision:
    """Returns the precision, which is the default one for None."""
    precision = Precision() if precision is None else precision
    checks.of_kind("precision", precision, Precision, "icl.constructed.Precision()")
    return precision


class Layout(NamedTuple):
    """The places of the rows of a hidden state.

    Attributes:
        work: number of rows of the program, which come first.
        slots: number of scratch rows, which come last.
    """

    work: int
    slots: int

    @classmethod
    def of(cls, program: Program) -> "Layout":
        """Returns the layout with scratch for the most products of any one step."""
        products = [
            len(operation.weight_own)
            for operation in program.operations
            if isinstance(operation, Raw) and operation.combine == "*"
        ]
        return cls(program.work, max(products, default=0))

    @property
    def constants(self) -> range:
        """The rows of `program.CONSTANTS`."""
        return range(self.work, self.work + len(CONSTANTS))

    def query(self, reads: Reads) -> range:
        """The two rows of the query for a token; for "self" they are its key."""
        start = self.constants.stop + 2 * ("self", "input", "label").index(reads)
        return range(start, start + 2)

    @property
    def pads(self) -> range:
        """The two rows that make LayerNorm harmless."""
        start = self.query("label").stop
        return range(start, start + 2)

    @property
    def scratch(self) -> range:
        """The rows for the first factors of products."""
        return range(self.pads.stop, self.width)

    @property
    def width(self) -> int:
        """The number of all rows: work + 11 + slots."""
        return self.work + len(CONSTANTS) + 8 + self.slots


class Layer(NamedTuple):
    """The maps that the parts of one layer carry out.

    Attributes:
        reads: which tokens the first head reads.
        attended: map of what it reads to what is added to the state, (width, width).
        own: map of what the second head reads, the token itself, likewise.
        constant: what attention adds everywhere, (width,).
        up: map of the normalised state to the units of the MLP, (units, width).
        down: map of the units to what is added to the state, (width, units).
        shift: what the MLP adds everywhere, (width,).
    """

    reads: Reads
    attended: Matrix
    own: Matrix
    constant: Float[np.ndarray, " width"]
    up: Matrix
    down: Matrix
    shift: Float[np.ndarray, " width"]


def layer(operation: Raw | Quotient, rows: Layout, precision: Precision) -> Layer:
    """Returns the layer that carries out an operation on its rows, and no others."""
    width, target = rows.width, operation.target
    attended, constant, shift = (
        np.zeros((width, width)),
        np.zeros(width),
        np.zeros(width),
    )
    own = -_identity(rows, rows.scratch)
    up, down = np.zeros((0, width)), np.zeros((width, 0))
    reads, divisor = "self", rows.constants[CONSTANTS.index("one")]
    if isinstance(operation, Quotient):
        (divisor,) = operation.denominator
        own -= _identity(rows, target)  # now: LayerNorm would divide it as well
        up, down = _carry(rows, operation.numerator, target, precision)
    elif operation.combine == "+":
        reads, out = operation.reads, operation.weight_out
        read, kept = out @ operation.weight_attended, out @ operation.weight_own
        attended += _place(rows, target, operation.attended, read)
        own += _place(rows, target, operation.own, kept) - _identity(rows, target)
        constant[list(target)] = operation.bias
    else:
        reads, read = operation.reads, operation.weight_attended
        slots = rows.scratch[: len(read)]
        attended += _place(rows, slots, operation.attended, read)
        up, down = _multiply(rows, operation, slots, precision)
        shift[list(target)] = operation.bias
    _renew_pads(rows, attended, own, constant, divisor, precision)
    return Layer(reads, attended, own, constant, up, down, shift)


def _place(
    rows: Layout, to: Rows | range, come: Rows | range, matrix: Matrix
) -> Matrix:
    """Returns a map of rows `come` to rows `to`, as a map of all rows to all rows."""
    identity = np.eye(rows.width)
    return identity[:, list(to)] @ matrix @ identity[list(come)]


def _identity(rows: Layout, some: Rows | range) -> Matrix:
    """Returns the map that keeps these rows and no others."""
    return _place(rows, some, some, np.eye(len(some)))


def _renew_pads(
    rows: Layout,
    attended: Matrix,
    own: Matrix,
    constant: Float[np.ndarray, " width"],
    divisor: int,
    precision: Precision,
) -> None:
    """Makes a layer's attention write pads that fit the state after it."""
    _, scale = precision.scales
    others = np.ones(rows.width)
    others[list(rows.pads)] = 0
    sums = others @ attended, others @ (np.eye(rows.width) + own), others @ constant
    shares = (0.5, 0.5) if precision.pads == "symmetric" else (0.0, 1.0)
    for pad, share, sign in zip(rows.pads, shares, (1, -1), strict=True):
        attended[pad], own[pad], constant[pad] = (-share * part for part in sums)
        own[pad, divisor] += sign * scale
        own[pad, pad] -= 1  # what the layer before left there


def _gain(rows: Layout, precision: Precision) -> float:
    """Returns what LayerNorm divides by."""
    return precision.scales[1] * (2 / rows.width) ** 0.5


def _carry(
    rows: Layout, source: Rows, target: Rows, precision: Precision
) -> tuple[Matrix, Matrix]:
    """Returns units that add normalised rows to others: g(z) - g(-z) = z."""
    z = _gain(rows, precision) * np.eye(rows.width)[list(source)]
    to = np.eye(rows.width)[:, list(target)]
    return np.concatenate([z, -z]), np.concatenate([to, -to], axis=1)


def _multiply(
    rows: Layout, operation: Raw, slots: range, precision: Precision
) -> tuple[Matrix, Matrix]:
    """Returns units for the products of slots, less what the target held."""
    scale, _ = precision.scales
    gain, identity = _gain(rows, precision), np.eye(rows.width)
    t = gain / scale * identity[list(slots)]
    s = gain / scale * operation.weight_own @ identity[list(operation.own)]
    product = identity[:, list(operation.target)] @ operation.weight_out
    product = (np.pi / 2) ** 0.5 * scale**2 * product
    old_up, old_down = _carry(rows, operation.target, operation.target, precision)
    return (
        np.concatenate([t + s, t, s, old_up]),
        np.concatenate([product, -product, -product, -old_down], axis=1),
    )
