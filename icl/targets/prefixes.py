"""How much of a target can be known at each character of a line? By enumeration.

Whoever reads a line up to a character knows which lines begin so, and no more. The best
prediction of a target is then its mean over these lines, and what remains is its
variance among them:

    ceiling of R2 = 1 - E[Var(target | prefix)] / Var(target)

Both are sums over the lines that are handed over, which must be *all* lines that can
occur, each with its probability. Of a sample of lines nearly every prefix occurs once,
and the ceiling would be 1 everywhere. The best guess of a label is the most probable
one among these lines.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Float

from icl import checks
from icl.arrays import real, shown
from icl.codecs import Lines
from icl.targets.kinds import OfLatents
from icl.targets.values import named_targets, target_values


def prefix_ceilings(
    targets: Iterable[OfLatents], lines: Lines, shares: ArrayLike | None = None
) -> dict[str, Float[np.ndarray, " tokens"]]:
    """Returns the highest R2 that any reader of a prefix can reach, by name and token.

    Entry t is that of a reader of the characters 0 to t. The R2 is that of all
    coordinates of a target together, weighted by variance.

    Args:
        targets: functions of what made the lines, such as `sum_targets(3).values()`.
        lines: all lines that can occur, such as `Addition(digits=3).every_sum()`.
        shares: how probable each is, (batch,); None is the same for all.

    Returns:
        Arrays (tokens,) by name; NaN where a target is the same for all lines.

    Raises:
        ValueError: two targets have one name, or one is no function of latents; or
            shares are negative, all 0, or not one for each line.

    Example:
        >>> from icl.targets import carry
        >>> from icl.tasks import Addition
        >>> ceilings = prefix_ceilings([carry(0, 1)], Addition(digits=1).every_sum())
        >>> ceilings["carry 0"].round(4).tolist()  # at a0, +, b0, =, s1, s0, end
        [0.3333, 0.3333, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    checked = named_targets(targets)
    checks.of_kind("lines", lines, Lines, "lines of text, icl.codecs.Lines")
    values = target_values(checked, lines)
    ids = np.asarray(lines.ids)
    weights = _shares(shares, len(ids))
    found = {name: np.full(ids.shape[1], np.nan) for name in values}
    means = {name: weights @ array for name, array in values.items()}
    whole = {
        name: float((weights @ np.square(array - means[name])).sum())
        for name, array in values.items()
    }
    for token, group in enumerate(_groups(ids)):
        mass = np.bincount(group, weights)
        for name, array in values.items():
            if whole[name] > 0:
                known = _between(group, mass, weights, array - means[name])
                found[name][token] = known / whole[name]
    return found


def prefix_accuracies(
    labels: Mapping[str, ArrayLike], lines: Lines, shares: ArrayLike | None = None
) -> dict[str, Float[np.ndarray, " tokens"]]:
    """Returns the highest accuracy that any reader of a prefix can reach.

    It is the ceiling of probes that are classifiers, by name and token as
    `prefix_ceilings` is that of R2.

    Args:
        labels: a label of every line by name, (batch,): integers or booleans, such as
            `sum_labels` returns.
        lines: all lines that can occur.
        shares: how probable each is, (batch,); None is the same for all.

    Raises:
        ValueError: labels are no integers, or not one for each line; or shares are
            negative, all 0, or not one for each line.

    Example:
        >>> from icl.targets import sum_labels
        >>> from icl.tasks import Addition
        >>> lines = Addition(digits=1).every_sum()
        >>> labels = {"carry 0": sum_labels(lines, 1)["carry 0"]}
        >>> prefix_accuracies(labels, lines)["carry 0"].round(4).tolist()
        [0.75, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    checks.of_kind("lines", lines, Lines, "lines of text, icl.codecs.Lines")
    ids = np.asarray(lines.ids)
    codes = _codes(labels, len(ids))
    weights = _shares(shares, len(ids))
    found = {name: np.empty(ids.shape[1]) for name in codes}
    for token, group in enumerate(_groups(ids)):
        for name, code in codes.items():
            classes = int(code.max()) + 1
            mass = np.zeros((int(group.max()) + 1, classes))
            np.add.at(mass, (group, code), weights)
            found[name][token] = mass.max(axis=1).sum()
    return found


def _codes(labels: Any, count: int) -> dict[str, np.ndarray]:
    """Returns labels as numbers 0, 1, ... of their classes."""
    checks.of_kind("labels", labels, Mapping, "labels by name, as of sum_labels")
    found = {}
    for name, values in labels.items():
        array = np.asarray(real(f"labels {shown(name)}", values))
        checks.shape_of(f"labels {shown(name)}", array, (count,), "(batch,)")
        if array.dtype.kind not in "biu":
            raise ValueError(
                f"labels {shown(name)} must be integers or booleans, got "
                f"{array.dtype}; .astype(int) makes integers of whole numbers."
            )
        found[name] = np.unique(array, return_inverse=True)[1].reshape(-1)
    return found


def _groups(ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yields, token by token, numbers without gaps of lines with one prefix."""
    group = np.zeros(len(ids), np.int64)
    for column in ids.T:
        numbers = group * (int(column.max()) + 1) + column
        there = np.zeros(int(numbers.max()) + 1, bool)
        there[numbers] = True
        group = (np.cumsum(there) - 1)[numbers]
        yield group


def _between(
    group: np.ndarray, mass: np.ndarray, weights: np.ndarray, values: np.ndarray
) -> float:
    """Returns the variance of the means of groups, summed over coordinates."""
    sums = [np.bincount(group, weights * column) for column in values.T]
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [np.square(each) / mass for each in sums]
    return float(np.nansum(parts))  # groups without any share have no mass


def _shares(shares: Any, count: int) -> np.ndarray:
    """Returns probabilities that sum to 1."""
    if shares is None:
        return np.full(count, 1 / count)
    found = np.asarray(checks.array("shares", shares, (count,), "(batch,)"), float)
    if (found < 0).any() or not found.any():
        raise ValueError("shares must not be negative, nor all 0.")
    return found / found.sum()
