"""What does attention look at? Numbers of the patterns that `model.patterns` returns.

- `neighbours`: how much of its own token, of the one before, of the one behind and of
  all others a token adds up. A previous-token head has a share of almost 1 of the token
  before. The copying layer of von Oswald et al. 2023 (Fig. 5), in which each x fetches
  its y, has it of the token behind; there sizes of derivatives stand for patterns.
- `prefix_matching`: how much a token attends to what came *after* its like, as an
  induction head does (Olsson et al. 2022): behind the same character (`repeated`), or,
  in a prompt of pairs, to the y of the most similar x (`nearest_inputs`).

Every score has its floor, which is that of attention to all earlier tokens alike: take
the same score of `uniform`.

Shapes: patterns (..., batch, tokens, tokens), where a row is the token that attends and
a column what it attends to; scores have the axes in front, such as (layers, heads).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Bool, Float, Int

from icl import checks
from icl.arrays import real, shown
from icl.codecs.pairs import INPUTS, token_count

Patterns = Float[ArrayLike, "*axes batch tokens tokens"]
Scores = Float[np.ndarray, "*axes"]
Alike = Bool[np.ndarray, "batch tokens tokens"]

LONGEST = 10_000
"""The largest number of tokens of a uniform pattern, which has the square of it."""


class Neighbours(NamedTuple):
    """How much of a token's surroundings it adds up, averaged over prompts and tokens.

    Attributes:
        own: the part of the token itself.
        previous: the part of the token before it.
        following: the part of the token behind it; 0 under a causal mask.
        others: the mean part of one of all other tokens.
    """

    own: Scores
    previous: Scores
    following: Scores
    others: Scores


def neighbours(
    patterns: Patterns, *, at: Int[ArrayLike, " some"] | None = None
) -> Neighbours:
    """Returns how much tokens add up of themselves, of their neighbours and of others.

    Args:
        patterns: what attention looks at, as `model.patterns` returns it; or sizes of
            derivatives of the output at each token (row) by each input (column).
        at: the tokens (rows) that are looked at, such as those of y; None is all that
            have a token on both sides.

    Raises:
        ValueError: the last two axes are not as long as each other, there are fewer
            than four tokens, a number is not finite, or a token of `at` has no token on
            both sides.

    Example:
        >>> found = neighbours(np.eye(5, k=-1)[None])
        >>> found.previous.item(), found.own.item(), found.others.item()
        (1.0, 0.0, 0.0)
    """
    found, tokens = _checked(patterns), np.shape(patterns)[-1]
    if tokens < 4:
        raise ValueError(f"patterns must have at least 4 tokens, got {tokens}.")
    rows = np.arange(1, tokens - 1) if at is None else np.asarray(real("at", at))
    whole = rows.ndim == 1 and rows.size and rows.dtype.kind in "iu"
    if not whole or rows.min() < 1 or rows.max() > tokens - 2:
        raise ValueError(
            f"at must be numbers of tokens from 1 to {tokens - 2}, which have a token "
            f"on both sides, got {shown(at)}."
        )
    mean = found.mean(axis=-3)
    own, before, behind = (
        mean[..., rows, rows + step].mean(axis=-1) for step in (0, -1, 1)
    )
    total = mean[..., rows, :].sum(axis=-1).mean(axis=-1)
    others = (total - own - before - behind) / (tokens - 3)
    return Neighbours(own, before, behind, others)


def prefix_matching(patterns: Patterns, alike: Alike) -> Scores:
    """Returns how much of tokens that came after its like a token adds up.

    It is averaged over the tokens that have a like before them, not counting one
    directly in front: behind that is the token itself.

    Args:
        patterns: what attention looks at, as `model.patterns` returns it.
        alike: which tokens (columns) are like a token (row), as `repeated` and
            `nearest_inputs` return it.

    Returns:
        The score of an induction head, between 0 and 1 for softmax attention, with the
        axes in front, such as (layers, heads).

    Raises:
        ValueError: shapes disagree, a number is not finite, or no token has a like
            before it.

    Example:
        >>> alike = repeated(np.array([[7, 3, 5, 7]]))
        >>> prefix_matching(uniform(4), alike).item()  # the last token, of four
        0.25
    """
    found = _checked(patterns)
    given = np.asarray(real("alike", alike))
    axes = "(batch, tokens, tokens), as patterns"
    checks.shape_of("alike", given, found.shape[-3:], axes)
    if given.dtype != bool:
        raise ValueError(f"alike must hold True and False, got {given.dtype}.")
    after = np.zeros(given.shape, bool)
    after[:, :, 1:] = given[:, :, :-1]
    after &= np.tri(given.shape[1], k=-1, dtype=bool)
    rows = after.any(axis=2)
    if not rows.any():
        raise ValueError(
            "alike must have a token with a like before it, which is not directly in "
            "front of it; draw longer sequences."
        )
    seen = np.where(after, found, 0.0).sum(axis=-1)
    return np.asarray(np.where(rows, seen, 0.0).sum(axis=(-2, -1)) / rows.sum())


def repeated(tokens: Int[ArrayLike, "batch tokens"]) -> Alike:
    """Returns which tokens of a discrete sequence are the same, for `prefix_matching`.

    Raises:
        ValueError: these are no whole numbers with axes (batch, tokens).
    """
    found = np.asarray(checks.array("tokens", tokens, (None, None), "(batch, tokens)"))
    if found.dtype.kind not in "iu":
        raise ValueError(f"tokens must be whole numbers, got {found.dtype}.")
    return found[:, :, None] == found[:, None, :]


def nearest_inputs(xs: Float[ArrayLike, "batch length dim"]) -> Alike:
    """Returns which earlier x each x of a prompt is most similar to.

    It is the one with the largest cosine of either sign, whose y says most about the
    answer. Tokens are those of `icl.codecs.Pairs`: x1, y1, x2, ...; the second x, which
    has no choice, is left out.

    Args:
        xs: the inputs, `prompts.xs`.

    Returns:
        Which tokens (columns) are like a token (row), (batch, 2 length - 1, 2 length -
        1); behind such a token is its y.

    Raises:
        ValueError: there are fewer than three pairs, or a number is not finite.

    Example:
        >>> alike = nearest_inputs([[[1.0, 0.0], [0.0, 1.0], [-2.0, 0.1]]])
        >>> np.argwhere(alike[0]).tolist()  # x3 is like x1
        [[4, 0]]
    """
    axes = "(batch, length, dim)"
    found = np.asarray(checks.array("xs", xs, (None,) * 3, axes), float)
    batch, length, _ = found.shape
    if 0 in found.shape or length < 3:
        raise ValueError(
            f"xs must have at least three pairs, got shape {found.shape}; the third is "
            "the first with a choice."
        )
    largest = np.abs(found).max(axis=-1, keepdims=True)
    scaled = found / np.where(largest > 0, largest, 1.0)  # whose squares are finite
    sizes = np.linalg.norm(scaled, axis=-1, keepdims=True)
    unit = scaled / np.where(sizes > 0, sizes, 1.0)
    cosines = np.abs(unit @ unit.swapaxes(1, 2))
    cosines[:, ~np.tri(length, k=-1, dtype=bool)] = -1.0
    alike = np.zeros((batch, length, length), bool)
    np.put_along_axis(alike, cosines.argmax(axis=2)[..., None], True, axis=2)
    alike[:, :2] = False
    tokens = token_count(length)
    spread = np.zeros((batch, tokens, tokens), bool)
    spread[:, INPUTS, INPUTS] = alike
    return spread


def uniform(tokens: int, batch: int = 1) -> Float[np.ndarray, "batch tokens tokens"]:
    """Returns attention to all tokens so far alike, of which scores are floors.

    Example:
        >>> uniform(3)[0].round(2).tolist()
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.33, 0.33, 0.33]]
    """
    tokens = checks.positive_int("tokens", tokens, maximum=LONGEST)
    batch = checks.positive_int("batch", batch, maximum=LONGEST)
    rows = np.tri(tokens) / np.arange(1, tokens + 1)[:, None]
    return np.broadcast_to(rows, (batch, tokens, tokens))


def _checked(patterns: object) -> np.ndarray:
    """Returns finite patterns, or raises a `ValueError`."""
    found = np.asarray(real("patterns", patterns), float)
    checks.all_finite("patterns", found)
    square = found.ndim >= 3 and found.shape[-1] == found.shape[-2]
    if not square or not found.size:
        raise ValueError(
            "patterns must have axes (..., batch, tokens, tokens), as model.patterns "
            f"returns them, got shape {found.shape}."
        )
    return found
