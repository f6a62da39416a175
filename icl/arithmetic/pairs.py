"""Which sums are trained on, and which are left for testing?

A set of sums is drawn once, by NumPy, and is a pure function of its arguments. All sums
of a set differ, and so do those of the test set from all of them. The laws:

- "uniform": every pair of operands from 0 to 10^n - 1 is as probable.
- "carries": about as many sums with 0, 1, ... n carries. As in Lee et al. 2023, all 100
  sums of one digit are there, 9 % of the set are drawn from two digits, and the rest
  from all; a sum is kept only while its number of carries has fewer than its share.
- "lengths": all 100 sums of one digit, and for every k from 2 to n as many sums whose
  longer operand has k digits; the other one has 1 to k, each as probable.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from icl import checks
from icl.arithmetic.columns import MOST_DIGITS, carries, natural
from icl.arrays import shown

Law = Literal["uniform", "carries", "lengths"]
LAWS = ("uniform", "carries", "lengths")

ENUMERATED = 10**6
"""Up to so many pairs of operands are listed, and none can be missed."""

CHUNK = 2**17
TRIES = 1_000
"""So many chunks of random pairs are looked through, where not all are listed."""

ONE_DIGIT = 100
"""The number of sums of two operands of one digit."""


class Pairs(NamedTuple):
    """Operands of many sums."""

    a: Int[np.ndarray, " sums"]
    b: Int[np.ndarray, " sums"]


def count_by_carries(digits: int) -> list[int]:
    """Returns how many sums of two operands have 0, 1, ... carries.

    Raises:
        ValueError: there is no such number of digits.

    Example:
        >>> count_by_carries(3)
        [166375, 358875, 338625, 136125]
    """
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    # Of the 100 pairs of digits 55 have a sum below 10, and 45 a sum below 9.
    apart, carried = [1], [0]  # without and with a carry out of the newest column
    for _ in range(digits):
        out = [0, *(45 * a + 55 * c for a, c in zip(apart, carried, strict=True))]
        apart = [*(55 * a + 45 * c for a, c in zip(apart, carried, strict=True)), 0]
        carried = out
    return [a + c for a, c in zip(apart, carried, strict=True)]


def check_examples(
    digits: int, examples: int | None, law: Law, left_out: tuple[int, ...] = ()
) -> None:
    """Refuses a size that no training set of a law can have.

    Raises:
        ValueError: there are not so many sums, or too few, and the message says how
            many; or there is no set (None) where the law needs one.
    """
    if examples is None:
        _check_fresh(law, left_out)
        return
    most = (10**digits - len(left_out)) ** 2
    if examples >= most:
        raise ValueError(
            f"examples must be fewer than the {most:,} sums there are, so that some "
            f"are left for a test, got {examples:,}."
        )
    if law == "uniform" or (law == "lengths" and digits == 1):
        return
    of_one = _up_to(1, left_out) ** 2
    if digits > 1 and examples < of_one:
        raise ValueError(
            f"examples must be at least {of_one}, which is how many sums of one "
            f"digit are part of every set of the law {law!r}, got {examples}."
        )
    groups, apart = _groups(digits, law, left_out)
    fewest = min(groups, key=lambda name: groups[name])
    if -(-(examples - apart) // len(groups)) > groups[fewest]:
        most = groups[fewest] * len(groups) + apart
        raise ValueError(
            f"examples must be at most {most:,} for the law {law!r}, because only "
            f"{groups[fewest]:,} sums have {fewest}, got {examples:,}."
        )


def _check_fresh(law: Law, left_out: tuple[int, ...]) -> None:
    """Refuses a law of which no fresh sums can be drawn."""
    if law == "carries":
        raise ValueError(
            "examples must be a number for the law 'carries', which is that of a set; "
            "got None."
        )
    if law == "lengths" and left_out:
        raise ValueError(
            "examples must be a number where operands are left out of sums of several "
            "lengths, got None."
        )


def _groups(
    digits: int, law: Law, left_out: tuple[int, ...]
) -> tuple[dict[str, int], int]:
    """Returns how many sums the groups have that share a set, and how many are apart.

    Every group has as many sums of a training set as any other.
    """
    if law == "carries":
        counts = _by_carry_count(digits, left_out)
        return {f"{many} carries": have for many, have in enumerate(counts)}, 0
    squares = [_up_to(k, left_out) ** 2 for k in range(1, digits + 1)]
    longer = {
        f"a longer operand of {k} digits": squares[k - 1] - squares[k - 2]
        for k in range(2, digits + 1)
    }
    return longer, squares[0]


def _up_to(length: int, left_out: tuple[int, ...]) -> int:
    """Returns how many operands of up to so many digits are not left out."""
    return 10**length - sum(number < 10**length for number in left_out)


@lru_cache(maxsize=32)
def _by_carry_count(digits: int, left_out: tuple[int, ...]) -> list[int]:
    """Returns how many sums without operands that are left out have 0, 1, ... carries.

    Where not all sums are listed, those with such operands count as well.
    """
    if not left_out or 10 ** (2 * digits) > ENUMERATED:
        return count_by_carries(digits)
    index = np.arange(10 ** (2 * digits))
    index = index[_allowed(index, digits, left_out)]
    return np.bincount(_carried(index, digits), minlength=digits + 1).tolist()


def check_left_out(digits: int, left_out: Any) -> tuple[int, ...]:
    """Returns the operands that are left out, in ascending order, each once.

    Raises:
        ValueError: they are no tuple of operands, or leave fewer than two.
    """
    if not isinstance(left_out, tuple | list):
        raise ValueError(
            f"left_out must be a tuple of operands, got {shown(left_out)}."
        )
    most = {"minimum": 0, "maximum": 10**digits - 1}
    left = {checks.positive_int("left_out", each, **most) for each in left_out}
    if 10**digits - len(left) < 2:
        raise ValueError(
            "left_out must leave two operands or more, got all but "
            f"{10**digits - len(left)} of {10**digits}."
        )
    return tuple(sorted(left))


def training_pairs(
    digits: int,
    examples: int,
    law: Law = "uniform",
    left_out: tuple[int, ...] = (),
    seed: int = 0,
) -> Pairs:
    """Returns the sums of a training set, which all differ, as read-only arrays.

    Args:
        digits: the number of digits of an operand.
        examples: the number of sums.
        law: which sums are drawn; see the module's text.
        left_out: operands that no sum has.
        seed: the sums are drawn from it.

    Raises:
        ValueError: there are not so many sums, or an argument is out of its range.

    Example:
        >>> pairs = training_pairs(3, 1_000, "carries")
        >>> np.bincount(carries(*pairs, 3).sum(axis=1)).tolist()
        [250, 250, 250, 250]
    """
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    examples = checks.positive_int("examples", examples)
    checks.one_of("law", law, LAWS)
    seed = checks.positive_int("seed", seed, minimum=0)
    left_out = check_left_out(digits, left_out)
    check_examples(digits, examples, law, left_out)
    return _kept(digits, examples, law, left_out, seed)


@lru_cache(maxsize=32)
def _kept(
    digits: int, examples: int, law: Law, left_out: tuple[int, ...], seed: int
) -> Pairs:
    """Draws the sums of a training set once; all who ask get the same arrays."""
    rng = np.random.default_rng((seed, 0))
    drawing = {"uniform": _uniform, "carries": _by_carries, "lengths": _by_lengths}
    pairs = _pairs(drawing[law](rng, digits, examples, left_out), digits)
    for part in pairs:
        part.flags.writeable = False
    return pairs


def unseen_pairs(
    digits: int,
    count: int,
    seen: Pairs | None,
    seed: int = 0,
    left_out: tuple[int, ...] = (),
) -> Pairs:
    """Returns sums for a test: uniform over all that are not `seen`, and all differ.

    Args:
        digits: the number of digits of an operand.
        count: the number of sums.
        seen: the sums of a training set; None where there is none.
        seed: the sums are drawn from it.
        left_out: operands that none of them has.

    Raises:
        ValueError: fewer sums than that are left, or `seen` holds no sums of operands
            of so many digits.
    """
    digits = checks.positive_int("digits", digits, maximum=MOST_DIGITS)
    count = checks.positive_int("count", count)
    seed = checks.positive_int("seed", seed, minimum=0)
    left_out = check_left_out(digits, left_out)
    known = np.empty(0, np.int64) if seen is None else _numbers(seen, digits)
    known = known[_allowed(known, digits, left_out)]
    left = _up_to(digits, left_out) ** 2 - len(known)
    if count > left:
        raise ValueError(
            f"count must be at most the {left:,} sums that are not trained on, got "
            f"{count:,}."
        )

    def wanted(index: np.ndarray) -> np.ndarray:
        return _allowed(index, digits, left_out) & ~np.isin(index, known)

    rng = np.random.default_rng((seed, 1))
    return _pairs(_first(_shuffled(rng, digits), count, wanted), digits)


def _numbers(seen: Pairs, digits: int) -> Int[np.ndarray, " sums"]:
    """Returns the numbers a 10^n + b of sums, each once."""
    checks.of_kind("seen", seen, Pairs, "sums as training_pairs returns, or None")
    # Integers of 64 bits: those of 32 end below the sums of five digits.
    a, b = (
        np.asarray(natural(f"seen.{name}", part, digits), np.int64)
        for name, part in seen._asdict().items()
    )
    checks.shape_of("seen.a", a, (None,), "(sums,)")
    checks.shape_of("seen.b", b, a.shape, "as seen.a")
    return np.unique(a * 10**digits + b)


def _pairs(index: Int[np.ndarray, " sums"], digits: int) -> Pairs:
    """Returns the operands of sums that are numbered as a 10^n + b."""
    return Pairs(*(part.astype(np.int32) for part in np.divmod(index, 10**digits)))


def _uniform(
    rng: np.random.Generator, digits: int, examples: int, left_out: tuple[int, ...]
) -> np.ndarray:
    allowed = partial(_allowed, digits=digits, left_out=left_out)
    return _first(_shuffled(rng, digits), examples, allowed)


def _by_lengths(
    rng: np.random.Generator, digits: int, examples: int, left_out: tuple[int, ...]
) -> np.ndarray:
    if digits == 1:  # where all sums have one digit
        return _uniform(rng, digits, examples, left_out)
    allowed = partial(_allowed, digits=digits, left_out=left_out)
    kept = [_one_digit(digits, left_out)]
    shares = np.array_split(np.arange(examples - len(kept[0])), digits - 1)
    for length, share in enumerate(shares, start=2):
        if len(share):
            drawn = _of_length(rng, length, digits)
            kept.append(_first(drawn, len(share), allowed))
    return np.concatenate(kept)


def _of_length(
    rng: np.random.Generator, length: int, digits: int
) -> Iterator[np.ndarray]:
    """Yields pairs whose longer operand has so many digits, again and again."""
    while True:
        longer = rng.integers(10 ** (length - 1), 10**length, CHUNK)
        other = rng.integers(1, length + 1, CHUNK)
        least = np.where(other == 1, 0, 10 ** (other - 1))
        shorter = rng.integers(least, 10**other)
        swapped = rng.random(CHUNK) < 0.5
        a = np.where(swapped, shorter, longer)
        yield a * 10**digits + np.where(swapped, longer, shorter)


def _by_carries(
    rng: np.random.Generator, digits: int, examples: int, left_out: tuple[int, ...]
) -> np.ndarray:
    share = -(-examples // (digits + 1))
    kept = _one_digit(digits, left_out)[: 0 if digits == 1 else None]
    if digits > 2:
        two = _shuffled(rng, 2)
        two = (x // 100 * 10**digits + x % 100 for x in two)
        part = len(kept) + round(0.09 * examples)
        kept = _balanced(two, kept, min(part, examples), share, digits, left_out)
    return _balanced(_shuffled(rng, digits), kept, examples, share, digits, left_out)


def _one_digit(digits: int, left_out: tuple[int, ...]) -> np.ndarray:
    """Returns all sums of one digit."""
    a, b = np.divmod(np.arange(ONE_DIGIT), 10)
    index = a * 10**digits + b
    return index[_allowed(index, digits, left_out)]


def _balanced(
    candidates: Iterator[np.ndarray],
    kept: np.ndarray,
    examples: int,
    share: int,
    digits: int,
    left_out: tuple[int, ...],
) -> np.ndarray:
    """Returns what is kept, and candidates while their carries have not their share."""
    for index in itertools.islice(candidates, TRIES):
        if len(kept) == examples:
            return kept
        index = index[_allowed(index, digits, left_out) & ~np.isin(index, kept)]
        index = index[np.sort(np.unique(index, return_index=True)[1])]
        have = np.bincount(_carried(kept, digits), minlength=digits + 1)
        carried = _carried(index, digits)
        taken = np.zeros(len(index), bool)
        for count in range(digits + 1):
            of_count = np.flatnonzero(carried == count)
            taken[of_count[: max(0, share - have[count])]] = True
        kept = np.concatenate([kept, index[taken][: examples - len(kept)]])
    if len(kept) < examples:
        raise ValueError(
            f"examples must be at most {len(kept):,} for the law 'carries' without "
            "the operands that are left out, because there are too few sums of some "
            f"number of carries; got {examples:,}."
        )
    return kept


def _carried(index: np.ndarray, digits: int) -> np.ndarray:
    return carries(*np.divmod(index, 10**digits), digits).sum(axis=-1)


def _allowed(
    index: np.ndarray, digits: int, left_out: tuple[int, ...]
) -> Bool[np.ndarray, " sums"]:
    """Returns which sums have no operand that is left out."""
    a, b = np.divmod(index, 10**digits)
    return ~(np.isin(a, left_out) | np.isin(b, left_out))


def _shuffled(rng: np.random.Generator, digits: int) -> Iterator[np.ndarray]:
    """Yields numbers of pairs in random order: all of them once, or ever new ones."""
    total = 10 ** (2 * digits)
    if total <= ENUMERATED:
        yield rng.permutation(total)
    while total > ENUMERATED:
        yield rng.integers(0, total, CHUNK)


def _first(
    candidates: Iterator[np.ndarray],
    count: int,
    wanted: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Returns the first so many candidates that are wanted, each only once.

    Raises:
        ValueError: there are fewer.
    """
    kept = np.empty(0, np.int64)
    for index in itertools.islice(candidates, TRIES):
        kept = np.concatenate([kept, index[wanted(index)]])
        kept = kept[np.sort(np.unique(kept, return_index=True)[1])]
        if len(kept) >= count:
            return kept[:count]
    raise ValueError(f"there are only {len(kept):,} such sums, not {count:,}.")
