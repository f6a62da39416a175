"""Prints benchmarks as a table: `python -m benchmarks [name ...] [--turns N]`.

`python -m benchmarks accelerator` is for a machine that has one, and runs only if it is
named (`benchmarks.accelerator`).

Run on a quiet machine. A ratio is the usual way's time over ours, in brackets its least
and greatest value over the turns: above 1, ours is faster (`benchmarks.measure`). Every
row is also added to `benchmarks/results.csv`.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from benchmarks import results
from benchmarks.measure import Row
from experiments.engine.figures.command import Parser, guarded

CASES = (
    "startup",
    "training",
    "compilation",
    "ensemble",
    "growth",
    "learners",
    "least_squares",
    "pool",
    "weights",
    "constructed",
    "grid",
    "cells",
    "pooled",
)
ON_REQUEST = ("accelerator",)
"""Cases that run only if they are named."""
TURNS = 7


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the named benchmarks, or all; returns the exit status."""
    return guarded("benchmarks", _run, argv)


def _run(argv: Sequence[str]) -> None:
    """Runs the named benchmarks, or all.

    Raises:
        ValueError: there is no such benchmark, or the table has other columns.
    """
    known = (*CASES, *ON_REQUEST)
    parser = Parser("python -m benchmarks", description=f"Cases: {', '.join(known)}.")
    parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("--turns", type=int, default=TURNS, help="default: %(default)s")
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="how long `accelerator` may take; default: %(default)s",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="`accelerator` at tiny sizes; keeps no row"
    )
    given = parser.parse_args(argv)
    unknown = [name for name in given.names if name not in known]
    if unknown:
        raise ValueError(f"no benchmark {unknown[0]!r}; there are: {', '.join(known)}")
    if given.smoke and given.names != ["accelerator"]:
        raise ValueError("--smoke is of `python -m benchmarks accelerator` alone")
    if not 0 < given.minutes < float("inf"):
        raise ValueError(f"minutes must be a number above 0, got {given.minutes:g}")
    if given.turns < 1:
        raise ValueError(f"turns must be at least 1, got {given.turns}")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # shared by sides
    about = results.about()
    results.check_columns([*about, *Row._fields], results.PATH)
    print(", ".join(f"{name} {value}" for name, value in about.items() if value))
    for name in given.names or CASES:
        before = None
        case = importlib.import_module(f"benchmarks.{name}")
        more = {"minutes": given.minutes, "smoke": given.smoke}
        rows = case.main(given.turns, **(more if name in ON_REQUEST else {}))
        for row in rows:
            if row.shape != before:
                print(f"\n{row.case}: {row.shape}")
            print(line(row), flush=True)
            before = row.shape
            if row.ours_s is not None and not given.smoke:
                results.append(row, about, results.PATH)


def line(row: Row) -> str:
    """A row as it is printed, below its case and shape."""
    if row.ours_s is None:
        return f"    {row.usual_way}: {row.note}"
    text = f"    ours {_time(row.ours_s)}"
    if row.usual_s is not None:
        text += (
            f"  usual {_time(row.usual_s)}  ratio {row.ratio:.2f} "
            f"({row.ratio_min:.2f} to {row.ratio_max:.2f})  {row.usual_way}"
        )
    if row.share is not None:
        text += f"\n        {row.share:.1%} of {_rate(row)}"
    elif row.limit:
        text += f"\n        - ({row.limit})"
    return f"{text}\n        {row.note}" if row.note else text


def _time(seconds: float) -> str:
    short = f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
    return f"{short:>8}"


def _rate(row: Row) -> str:
    limit, _, unit = row.limit.rpartition(", ")
    return f"{limit}, {(row.limit_rate or 0) / 1e9:.1f} G{unit}"


if __name__ == "__main__":
    sys.exit(main())
