"""What is a person at the terminal told while models are trained?

Messages and progress go to standard error; standard output is for results. At a
terminal, progress is a bar. In a file a bar would become one long line of carriage
returns, so there it is a plain line every half minute.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
            if sys.stderr.isatty():
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
    """Prints a line to standard error, for the person at the terminal."""
    print(message, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Returns a time in words, such as "40 s", "7 min" or "3.5 h"."""
    if seconds < 99:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99 * 60 else f"{seconds / 3600:.1f} h"


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, such as "1 run" or "2 runs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
