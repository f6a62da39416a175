"""The warnings of many fits: a summary of those that do not converge, others once.

A grid fits a probe for each layer, token and target. What one of them warns of, many
do: the user is told how many did not converge, and hears anything else once.
"""

import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sklearn.exceptions import ConvergenceWarning

from probes import cautions

NUMBER = re.compile(r"[-+]?\d[\d.e+-]*")


class Caught(NamedTuple):
    """A warning, and the line of code that gave it."""

    message: Any
    category: type[Warning]
    filename: str
    lineno: int

    @property
    def text(self) -> str:
        """What it says, in one line."""
        return " ".join(str(self.message).split())

    @property
    def kind(self) -> tuple[type[Warning], str]:
        """What it says, less the numbers, which differ from fit to fit."""
        return self.category, NUMBER.sub("", self.text)


class _Watch:
    """Takes the warnings of all threads that are in `caught`, and no others.

    `warnings.catch_warnings` replaces what the whole process has, and threads that
    enter and leave it side by side would restore each other's state. So the first to
    come enters it for all of them, and the last to go leaves it.
    """

    def __init__(self) -> None:
        self.lock, self.watchers = threading.Lock(), 0
        self.mine = threading.local()

    def enter(self) -> list[Caught]:
        """Starts to take the warnings of this thread, and returns where they go."""
        with self.lock:
            self.watchers += 1
            if self.watchers == 1:
                self.context = warnings.catch_warnings()
                self.context.__enter__()
                # All are counted. The summary is subject to the filters of the user.
                warnings.simplefilter("always", ConvergenceWarning)
                self.usual, warnings.showwarning = warnings.showwarning, self.show
        self.mine.caught = []
        return self.mine.caught

    def leave(self) -> None:
        """Leaves the warnings of this thread alone again."""
        self.mine.caught = None
        with self.lock:
            self.watchers -= 1
            if self.watchers == 0:
                self.context.__exit__(None, None, None)

    def show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        """Takes a warning, or shows it if it is of a thread that is not watched."""
        caught = getattr(self.mine, "caught", None)
        if caught is None:
            self.usual(message, category, filename, lineno, file, line)
        else:
            caught.append(Caught(message, category, filename, lineno))


_WATCH = _Watch()


@contextmanager
def caught() -> Iterator[list[Caught]]:
    """Catches the warnings of this thread, in the list that it gives."""
    found = _WATCH.enter()
    try:
        yield found
    finally:
        _WATCH.leave()


class FitWarnings:
    """The warnings of all fits of a grid."""

    def __init__(self) -> None:
        self.fits, self.unfinished, self.advice = 0, 0, ""
        self.others: dict[Any, Caught] = {}

    def add(self, of_fits: Iterable[list[Caught]]) -> None:
        """Counts the warnings of some fits in, a list for each fit."""
        for found in of_fits:
            self.fits += 1
            failed = [c for c in found if issubclass(c.category, ConvergenceWarning)]
            if failed:
                self.unfinished += 1
                self.advice = self.advice or failed[0].text
            for one in found:
                if one not in failed:
                    self.others.setdefault(one.kind, one)

    def give(self) -> None:
        """Warns once of all that did not converge, and once of each other matter."""
        for one in self.others.values():
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if self.unfinished:
            cautions.warn(
                f"{self.unfinished} of {self.fits} probes did not converge; the first "
                f"of them said: {self.advice}",
                ConvergenceWarning,
            )
