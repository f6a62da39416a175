"""The split of prompts into those that fit, validate and test a probe, by group.

Tokens of one prompt, and prompts that share a weight vector, are copies of one draw of
the target: a probe that meets one copy in training recognises the other. Groups stay
whole on every side, also when prompts are resampled.
"""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped, UInt16
from sklearn.model_selection import (
    GroupShuffleSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
)

Rows = Int[np.ndarray, " _"]


class Split(NamedTuple):
    """The rows (indices of prompts, ascending) on each side, and resampling weights.

    Attributes:
        fit: rows that fit the probe while its penalty is chosen or it is trained.
        validation: rows that choose the penalty or stop the training; may be empty.
        test: rows that are held out.
        weights: how often each test prompt is in each resample, (resamples, test).
    """

    fit: Rows
    validation: Rows
    test: Rows
    weights: UInt16[np.ndarray, "resamples test"]

    @property
    def digest(self) -> str:
        """The short hash of the tested rows and their resamples."""
        both = (self.test.tobytes(), self.weights.tobytes())
        return hashlib.sha256(b"".join(both)).hexdigest()[:12]

    @property
    def train(self) -> Rows:
        """The rows that are not held out."""
        return np.sort(np.concatenate([self.fit, self.validation]))


def split(
    groups: Shaped[np.ndarray, " prompts"],
    *,
    test_fraction: float,
    validation_fraction: float,
    resamples: int,
    seed: int,
    in_order: bool = False,
    strata: Shaped[np.ndarray, " prompts"] | None = None,
    among: Rows | None = None,
) -> Split:
    """Divides prompts by group into rows that fit, validate and test.

    Args:
        groups: one label for each prompt.
        test_fraction: share of the groups that is held out.
        validation_fraction: share of the other groups, 0 for none.
        resamples: bootstrap resamples of the test groups. A single group leaves
            nothing to resample: none.
        seed: decides the split and the resamples.
        in_order: whether the last prompts are held out, and those before them validate,
            as a stream that is read once needs. The shares are then of the prompts.
        strata: labels that are as frequent on either side as on the other, as nearly as
            whole groups allow; None where that does not matter.
        among: the prompts that are divided, ascending; None stands for all.

    Raises:
        ValueError: `in_order`, and the last prompts' groups occur before them too.
    """

    def divide(rows: Rows, fraction: float) -> tuple[Rows, Rows]:
        if in_order:
            return _last(rows, groups[rows], fraction)
        if strata is not None:
            return _stratified(rows, groups[rows], strata[rows], fraction, seed)
        return _shuffled(rows, groups[rows], fraction, seed)

    everyone = np.arange(len(groups)) if among is None else among
    train, test = divide(everyone, test_fraction)
    fit, validation = train, train[:0]
    if validation_fraction and len(np.unique(groups[train])) > 1:
        fit, validation = divide(train, validation_fraction)
    labels, member = np.unique(groups[test], return_inverse=True)
    count = len(labels)
    draws = resamples if count > 1 else 0
    rng = np.random.default_rng([seed, 0])
    weights = np.empty((draws, len(test)), np.uint16)
    for row in weights:  # one at a time, for there may be many prompts
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        row[:] = drawn[member]
    return Split(fit, validation, test, weights)


def _shuffled(
    rows: Rows, groups: np.ndarray, fraction: float, seed: int
) -> tuple[Rows, Rows]:
    """Divides rows at random, all of one group to one side."""
    splitter = GroupShuffleSplit(1, test_size=fraction, random_state=seed)
    kept, held = next(splitter.split(rows, groups=groups))
    return rows[kept], rows[held]


def _stratified(
    rows: Rows, groups: np.ndarray, strata: np.ndarray, fraction: float, seed: int
) -> tuple[Rows, Rows]:
    """Divides rows so that each label is as frequent on both sides.

    Prompts that are their own groups are divided exactly; of larger groups one part of
    about 1 / `fraction` is held out. Where a label occurs only once that cannot be.
    """
    _, counts = np.unique(strata, return_counts=True)
    alone = len(np.unique(groups)) == len(groups)
    held = round(fraction * len(rows))
    if (alone and min(held, len(rows) - held) < len(counts)) or counts.min() < 2:
        return _shuffled(rows, groups, fraction, seed)
    if alone:
        splitter: Any = StratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
    else:
        parts = max(2, round(1 / fraction))
        splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    kept, held_out = next(splitter.split(rows, strata, None if alone else groups))
    return rows[np.sort(kept)], rows[np.sort(held_out)]


def _last(rows: Rows, groups: np.ndarray, fraction: float) -> tuple[Rows, Rows]:
    """Divides rows at the end of a group, where the last are nearest to the share."""
    ends = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    cut = ends[np.abs(ends - (1 - fraction) * len(rows)).argmin()]
    shared = np.intersect1d(groups[:cut], groups[cut:])
    if len(shared):
        raise ValueError(
            "An iterator is read once, so its last prompts are the test prompts, but "
            f"group {shared[:1].tolist()[0]!r} is on both sides of the cut at prompt "
            f"{rows[cut]}; give the prompts group by group, or hidden as an array or a "
            "function of rows."
        )
    return rows[:cut], rows[cut:]
