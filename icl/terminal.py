"""What is a person at the terminal told while models are trained?

Messages and progress bars go to standard error; standard output is for results.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


@contextmanager
def training_bar(
    steps: int, *, quiet: bool = False
) -> Iterator[Callable[[int, dict[str, float]], None] | None]:
    """What to call with the step and the losses of a run; None if `quiet`."""
    if quiet:
        yield None
        return
    with _Progress(steps) as progress:
        yield progress


class _Progress:
    """A bar with step, loss and time left, from the first report of a run on.

    It starts there and not at 0, so that neither compilation nor the steps of an
    earlier process spoil the estimate.
    """

    def __init__(self, steps: int):
        self.steps = steps
        self.bar: tqdm | None = None

    def __enter__(self) -> Callable[[int, dict[str, float]], None]:
        return self.report

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def report(self, step: int, means: dict[str, float]) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(
                total=self.steps,
                initial=step,
                unit="step",
                desc="training",
                mininterval=0.5 if sys.stderr.isatty() else 15,
                maxinterval=30,
            )
        self.bar.set_postfix(loss=f"{means['loss']:.4f}", refresh=False)
        self.bar.update(step - self.bar.n)


def say(message: str) -> None:
    """Tells the person at the terminal; results alone go to standard output."""
    print(message, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time in words, such as "40 s", "7 min" or "3.5 h"."""
    if seconds < 99:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99 * 60 else f"{seconds / 3600:.1f} h"
