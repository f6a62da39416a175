"""The shape of the curves in a table of scores, yours or anybody's.

Run: python -m experiments.emergence.curve scores.csv

The table is a CSV file with a line of names. One column is the scale, such as
parameters, steps or examples (the first one, or --scale NAME), and every other column
of numbers is a score. There is one row for each scale; or, better, one for each item of
the test set at each scale, the items in the same order at all scales, which then give
intervals.

For every score this prints its linearity L and breakthroughness B beside what noise
would have, where it rises, and in a sentence what may be said of it. docs/emergence.md
says how to read them. Losses and errors need --lower-is-better.
"""

import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import format_number
from experiments.engine.figures.command import guarded
from experiments.engine.figures.flags import read_flags
from icl import checks
from icl.emergence import Curve, shape, transition
from icl.files import expanded
from icl.terminal import counted, printable

NAME = "experiments.emergence.curve"
LARGEST = 100_000_000
"""The most bytes of a table: more is no table of scores."""

SUDDEN = 2.0
"""From this B / (n - 1) on half of the steps are below half of the average step.

A straight line has 1, which may be more than noise has, and is not sudden."""


@dataclass(frozen=True)
class Options:
    """How the table is read.

    Attributes:
        scale: name of the column of scales; None is the first one.
        lower_is_better: the scores are losses or errors.
        logarithm: the score is log10 of the mean, as of a loss.
        median: take the median over items, and not the mean.
        low: the score that counts as 0 % of the way, such as chance; None is the worst.
        high: the score that counts as 100 %; None is the best.
        resamples: bootstrap resamples of the items.
        debug: show where an error came from.
    """

    scale: str | None = None
    lower_is_better: bool = False
    logarithm: bool = False
    median: bool = False
    low: float | None = None
    high: float | None = None
    resamples: int = 1_000
    debug: bool = False

    def __post_init__(self) -> None:
        checks.positive_int("resamples", self.resamples, maximum=1_000_000)


def read(path: Path, scale: str | None = None) -> tuple[np.ndarray, dict]:
    """Returns the scales of a table, and the scores of each column.

    Columns that hold anything but numbers are left out.

    Args:
        path: the CSV file.
        scale: name of the column of scales; None: the first.

    Returns:
        The scales in increasing order, (n,), and by name of the column (n, items), or
        (n,) if each scale has one row.

    Raises:
        ValueError: it is no such table; the message says what to mend.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} must have at most {LARGEST:,} bytes.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8: {error}.") from None
    try:
        lines = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise ValueError(f"{path} must be a table with commas: {error}.") from None
    rows = [row for row in lines if any(map(str.strip, row))]
    names = [name.strip() for name in rows[0]] if rows else []
    if len(rows) < 2 or len(names) < 2:
        raise ValueError(
            f"{path} must have a line of names and rows of a scale and a score, "
            f"separated by commas, got {counted(len(rows), 'line')}."
        )
    ragged = next((i for i, row in enumerate(rows) if len(row) != len(names)), None)
    if ragged is not None:
        raise ValueError(
            f"{path} must have {len(names)} fields in every row, as in its first line, "
            f"and row {ragged + 1} has {len(rows[ragged])}."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path} must name each column once, got {twice!r} again.")
    if scale is not None and scale not in names:
        raise ValueError(f"scale must be one of {', '.join(names)}, got {scale!r}.")
    at = 0 if scale is None else names.index(scale)
    columns = {
        name: _numbers([row[i] for row in rows[1:]]) for i, name in enumerate(names)
    }
    scales = columns.pop(names[at])
    if scales is None or not np.isfinite(scales).all():
        raise ValueError(
            f"{path}: the column {names[at]!r} must hold finite numbers, as it is the "
            "scale; name another with --scale."
        )
    scores = {name: column for name, column in columns.items() if column is not None}
    if not scores:
        raise ValueError(f"{path} must have a column of numbers beside {names[at]!r}.")
    return _by_scale(path, scales, scores)


def _numbers(words: list[str]) -> np.ndarray | None:
    """Returns a column as numbers, NaN where it is empty; None if it holds text."""
    if any("_" in word for word in words):  # Python reads 1_0 as 10
        return None
    try:
        return np.array([float(word) if word.strip() else math.nan for word in words])
    except ValueError:
        return None


def _by_scale(path: Path, scales: np.ndarray, scores: dict) -> tuple[np.ndarray, dict]:
    """Returns scales in order, and scores with an axis of scales in front."""
    order = np.argsort(scales, kind="stable")
    distinct, counts = np.unique(scales, return_counts=True)
    if counts.min() != counts.max():
        few, many = distinct[counts.argmin()], distinct[counts.argmax()]
        raise ValueError(
            f"{path} must have as many rows at every scale, the same items in the same "
            f"order; scale {few:g} has {counts.min()} and scale {many:g} has "
            f"{counts.max()}."
        )
    shape = (len(distinct), -1) if counts[0] > 1 else (len(distinct),)
    return distinct, {name: s[order].reshape(shape) for name, s in scores.items()}


def describe(curve: Curve, options: Options) -> list[str]:
    """Returns what is said of a curve, line by line.

    Raises:
        ValueError: `low` is not worse than `high`.
    """
    found = shape(curve, resamples=options.resamples)
    lines = [
        _line("L / (n - 1)", found, "normalised_linearity", "null_linearity_95", "95"),
        _line("B / (n - 1)", found, "normalised_breakthroughness", "null_99", "99"),
    ]
    if curve.scale[0] > 0:
        rise = transition(
            curve, low=options.low, high=options.high, resamples=options.resamples
        )
        at = ", ".join(
            f"{name} {_interval(rise, name)}" for name in ("x10", "x50", "x90")
        )
        lines.append(f"rises at      {at} (10, 50 and 90 % of the way)")
    return [*lines, f"so:           {verdict(found)}"]


def _line(label: str, found: xr.Dataset, name: str, null: str, level: str) -> str:
    """Returns a number with its interval, and what noise stays below."""
    beside = f"noise is below {format_number(float(found[null]))} in {level} %"
    return f"{label:<13} {_interval(found, name)} ({beside})"


def _interval(found: xr.Dataset, name: str) -> str:
    value, low, high = (float(found[f"{name}{end}"]) for end in ("", "_low", "_high"))
    if math.isnan(low):
        return format_number(value)
    return f"{format_number(value)} [{format_number(low)}, {format_number(high)}]"


def verdict(found: xr.Dataset) -> str:
    """Returns in a sentence what may be said of a curve of this shape."""
    size = abs(float(found.normalised_breakthroughness))
    linear = abs(float(found.normalised_linearity))
    if not float(found.improvement):
        return "the score is the same at every scale."
    if bool(found.sign_ambiguous):
        return (
            "the curve turns back, as a U does, and its sign says nothing; look at the "
            "two sides apart."
        )
    if linear < float(found.null_linearity_95) and size < float(found.null_99):
        return (
            "nothing; noise that does not depend on scale has such numbers. Measure "
            "more scales, or more items."
        )
    falls = "falls" if float(found.improvement) < 0 else "rises"
    sudden = size > max(float(found.null_99), SUDDEN)
    if bool(found.floored) or (sudden and not bool(found.resolved)):
        return (
            f"the score {falls}, and most of the curve is flat, so that B is a floor "
            "or the noise of the flat part, not a measurement. Score the same outputs "
            "by a smooth metric before you call it a jump."
        )
    if sudden:
        return (
            f"the score {falls} in few of the steps, more so than noise. Whether the "
            "model or the metric does it, a second metric of the same outputs tells."
        )
    return f"the score {falls} gradually."


def show(argv: Sequence[str]) -> None:
    """Prints what is said of every curve of a table.

    Raises:
        ValueError: there is no table, or a wrong one.
    """
    asked = bool(argv) and argv[0] in ("-h", "--help")
    if not asked and (not argv or argv[0].startswith("-")):
        raise ValueError(
            f"give a table first, as in: python -m {NAME} scores.csv; --help tells "
            "more."
        )
    rest = argv if asked else argv[1:]
    options = read_flags(f"{NAME} scores.csv", (__doc__ or "").strip(), Options(), rest)
    scales, columns = read(expanded(Path(argv[0])), options.scale)
    for name, scores in columns.items():
        curve = Curve(
            scales,
            finite(name, scales, scores),
            higher_is_better=not options.lower_is_better,
            statistic="median" if options.median else "mean",
            logarithm=options.logarithm,
        )
        items = counted(curve.items, "item") if curve.items else "averages"
        print(printable(f"{name}: {len(scales)} scales, {items}"))
        for line in describe(curve, options):
            print(f"  {line}")


def finite(name: str, scales: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns the scores of a column; says at which scale one is missing."""
    bad = ~np.isfinite(scores.reshape(len(scales), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"the column {name!r} must have a finite number in every row, and at scale "
            f"{scales[int(np.argmax(bad))]:g} it has not; leave out that scale, or the "
            "column."
        )
    return scores


def main(argv: Sequence[str] | None = None) -> int:
    """Describes the curves of a table, and returns the exit status."""
    return guarded(NAME, show, argv)


if __name__ == "__main__":
    sys.exit(main())
