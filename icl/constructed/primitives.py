"""What do the four primitives compute, exactly? Arrays in, arrays out.

They are `mov`, `mul`, `div` and `aff` of Akyürek et al. 2023 (section 3.1). `raw` is
the read-arithmetic-write operation of which `mov`, `mul` and `aff` are special cases
(their Eq. 26). The compiler turns each into one transformer layer; these functions say
what that layer must do, and are what it is tested against.

Shapes: a state is (..., tokens, rows), as a hidden state of `icl.model`: what the paper
calls a row of H is an index of the last axis, what it calls a column is a token. Row
sets are sequences of indices, such as `range(1, 4)`. A primitive acts on *every* token
and returns a new state; rows that it does not write are copied.

Which token reads which is a matrix (tokens, tokens) whose rows sum to 1, from
`reading`. The paper's `mov` is defined for one pair of tokens, but a layer acts on all
of them; a token that has nothing to move therefore reads itself.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from icl import checks

State = Float[np.ndarray, "*axes tokens _"]
Rows = Sequence[int]
Reads = Literal["self", "input", "label", "labels"]


def reading(reads: Reads, tokens: int) -> Float[np.ndarray, "tokens tokens"]:
    """Returns who reads whom in x1, y1, x2, ...: row i holds the shares of token i.

    Args:
        reads: "self": every token itself;
            "input": a y-token its x (the token before it), an x-token itself;
            "label": an x-token the y before it, a y-token itself; x1 itself;
            "labels": the mean of all y-tokens up to and with itself; x1 itself.
        tokens: length of the sequence.

    Example:
        >>> reading("label", 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
        >>> reading("labels", 5)[4].tolist()
        [0.0, 0.5, 0.0, 0.5, 0.0]
    """
    checks.one_of("reads", reads, get_args(Reads))
    if reads == "labels":
        is_label = np.arange(tokens) % 2 == 1
        seen = np.tri(tokens) * is_label
        seen[0, 0] = 1.0
        return seen / seen.sum(axis=1, keepdims=True)
    return np.eye(tokens)[read_token(reads, tokens)]


def read_token(reads: Reads, tokens: int) -> np.ndarray:
    """Returns the one token that each token reads, for all `Reads` but "labels"."""
    at = np.arange(tokens)
    moves = {"self": at < 0, "input": at % 2 == 1, "label": (at % 2 == 0) & (at > 0)}
    return at - moves[reads]


def mov(
    state: State, source: Rows, target: Rows, reads: Float[np.ndarray, "tokens tokens"]
) -> State:
    """Copies rows `source` of the token that is read into rows `target`."""
    return _written(state, target, _rows(reads @ state, source))


def mul(
    state: State, shape: tuple[int, int, int], left: Rows, right: Rows, target: Rows
) -> State:
    """Multiplies rows `left`, a matrix a x b, with rows `right`, a matrix b x c.

    Example:
        >>> state = np.array([[1.0, 2.0, 3.0, 4.0, 0.0]])
        >>> mul(state, (1, 2, 1), range(0, 2), range(2, 4), range(4, 5)).tolist()
        [[1.0, 2.0, 3.0, 4.0, 11.0]]
    """
    a, b, c = shape
    axes = state.shape[:-1]
    product = _rows(state, left).reshape(*axes, a, b) @ _rows(state, right).reshape(
        *axes, b, c
    )
    return _written(state, target, product.reshape(*axes, a * c))


def div(state: State, numerator: Rows, denominator: Rows, target: Rows) -> State:
    """Divides rows `numerator` by the absolute value of the one row `denominator`.

    The absolute value is the paper's: the layer divides by a norm, whose sign is lost.
    """
    quotient = _rows(state, numerator) / np.abs(_rows(state, denominator))
    return _written(state, target, quotient)


def aff(
    state: State,
    first: Rows,
    second: Rows,
    target: Rows,
    weight_first: Float[np.ndarray, "written first"],
    weight_second: Float[np.ndarray, "written second"],
    bias: Float[np.ndarray, " written"],
) -> State:
    """Writes W1 h[first] + W2 h[second] + b; either set of rows may be empty."""
    affine = (
        _rows(state, first) @ weight_first.T + _rows(state, second) @ weight_second.T
    )
    return _written(state, target, affine + bias)


def raw(
    state: State,
    combine: Literal["+", "*"],
    reads: Float[np.ndarray, "tokens tokens"],
    attended: Rows,
    own: Rows,
    target: Rows,
    weight_out: Float[np.ndarray, "written slots"],
    weight_attended: Float[np.ndarray, "slots attended"],
    weight_own: Float[np.ndarray, "slots own"],
    bias: Float[np.ndarray, " written"],
) -> State:
    """Writes W_o((W_a mean h_k[r]) + or * (W h_i[s])) + b (Eq. 26).

    Args:
        state: (..., tokens, rows).
        combine: "+", or "*" for the product slot by slot.
        reads: the shares of the tokens k in the mean.
        attended: r, the rows that are read of those tokens.
        own: s, the rows that a token reads of itself.
        target: w, the rows that are written.
        weight_out: W_o.
        weight_attended: W_a.
        weight_own: W.
        bias: b.
    """
    read = _rows(reads @ state, attended) @ weight_attended.T
    kept = _rows(state, own) @ weight_own.T
    combined = read + kept if combine == "+" else read * kept
    return _written(state, target, combined @ weight_out.T + bias)


def _rows(state: State, rows: Rows) -> State:
    return state[..., list(rows)]


def _written(state: State, rows: Rows, values: State) -> State:
    state = state.copy()
    state[..., list(rows)] = values
    return state
