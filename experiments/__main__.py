"""The list of all experiments, with their times by preset: python -m experiments."""

import sys
import textwrap
from collections.abc import Sequence

from experiments.engine.figures import catalogue
from experiments.engine.figures.command import guarded

USAGE = "Run one with: python -m NAME PRESET      (NAME --help tells more)\n"


def show(argv: Sequence[str]) -> None:
    """Prints the list, which `--list` and `--help` ask for too.

    Raises:
        ValueError: there are other arguments.
    """
    if argv and argv[0] not in ("-h", "--help", "--list"):
        raise ValueError(
            f"python -m experiments only lists, and takes no {argv[0]!r}; run an "
            "experiment by its name, python -m experiments.PAPER.FIGURE PRESET."
        )
    print(USAGE)
    for entry in catalogue.entries():
        times = ", ".join(f"{preset} {time}" for preset, time in entry.times.items())
        print(entry.name)
        for line in (entry.title, times):
            print(textwrap.fill(line, 78, initial_indent="  ", subsequent_indent="  "))
        print()


def main(argv: Sequence[str] | None = None) -> int:
    """Lists the experiments, and returns the exit status."""
    return guarded("experiments", show, argv)


if __name__ == "__main__":
    sys.exit(main())
