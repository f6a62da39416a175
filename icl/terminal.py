"""What is a person at the terminal told while models are trained?

Messages and progress go to standard error; standard output is for results. At a
terminal, progress is a bar. In a file a bar would become one long line of carriage
returns, so there it is a plain line every half minute.
"""

import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tqdm import tqdm

LINE_EVERY = 30.0  # seconds between two lines of progress in a file


@contextmanager
def training_bar(
    steps: int, *, quiet: bool = False
) -> Iterator[Callable[[int, dict[str, float]], None] | None]:
    """Shows how far a training run is, at a terminal or in a file.

    Args:
        steps: the number of steps of the run.
        quiet: whether nothing is shown, as in a worker that shares a terminal.

    Yields:
        A function to be called with the step and the mean losses, as `icl.train` calls
        its `callback`; None if `quiet`.
    """
    if quiet:
        yield None
        return
    progress = TrainingProgress(steps)
    try:
        yield progress.report
    finally:
        progress.close()


class TrainingProgress:
    """Progress of one run, from its first report on: step, loss and time left.

    It counts from there and not from step 0, so that neither compilation nor the steps
    of an earlier process spoil the estimate of the time left.
    """

    def __init__(self, steps: int):
        self.steps = steps
        self.bar: tqdm | None = None
        self.first_step: int | None = None
        self.started = 0.0
        self.pace = Pace(LINE_EVERY)

    def report(self, step: int, means: dict[str, float]) -> None:
        """Takes note of the step that was reached, and of the mean losses there."""
        if self.first_step is None:
            self.first_step, self.started = step, time.monotonic()
            if at_terminal():
                self.bar = tqdm(
                    total=self.steps, initial=step, unit="step", desc="training"
                )
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{means['loss']:.4f}", refresh=False)
            self.bar.update(step - self.bar.n)
        elif self.pace.is_due() or step == self.steps:
            parts = [f"{step:,} of {self.steps:,} steps", f"loss {means['loss']:.4f}"]
            if self.first_step < step < self.steps:
                pace = (time.monotonic() - self.started) / (step - self.first_step)
                parts.append(f"{duration(pace * (self.steps - step))} left")
            say(f"training: {', '.join(parts)}")

    def close(self) -> None:
        """Leaves the bar as it is and the cursor on a new line."""
        if self.bar is not None:
            self.bar.close()


class Pace:
    """A pace, which tells when something that should happen every so often is due.

    Args:
        seconds: the shortest time between two times at which it is due; the first is
            at once.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.last: float | None = None

    def is_due(self) -> bool:
        """Returns whether it is due, and if so remembers this time."""
        now = time.monotonic()
        if self.last is not None and now - self.last < self.seconds:
            return False
        self.last = now
        return True


def say(message: str) -> None:
    """Prints a line to standard error, for the person at the terminal.

    A message that cannot be printed, because nobody reads any more or a disk is full,
    is no reason to stop what it tells of.
    """
    if sys.stderr is not None:  # else Python would print to standard output
        with suppress(OSError, ValueError):
            print(printable(message), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    r"""Returns text without what would command a terminal, such as to change colours.

    Names and messages may come from files of somebody else's.

    Example:
        >>> printable("\x1b[31mred")
        '\\x1b[31mred'
    """
    return "".join(
        letter
        if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf")
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def at_terminal() -> bool:
    """Returns whether standard error is a terminal."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it is closed
        return False


def duration(seconds: float) -> str:
    """Returns a time in words, such as "40 s", "7 min" or "3.5 h"."""
    if seconds < 99:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99 * 60 else f"{seconds / 3600:.1f} h"


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, such as "1 run" or "2 runs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
