"""The progress of a grid, for whoever waits for it: a bar on standard error.

It appears where a call takes long and somebody is there to see it, at a terminal or in
a notebook; in a file, or in a test, nothing is written.
"""

import sys
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any

import numpy as np

LONG = 3.0
"""The seconds after which a bar appears that nobody has asked for."""


class Progress:
    """The share of a grid that is done, as a bar; nothing until `start`.

    Used as a context, it removes the bar in the end, whatever happens.

    Args:
        shown: whether there is a bar; None stands for a bar that appears after a few
            seconds, where somebody is there to see it.
    """

    def __init__(self, shown: bool | None):
        self.shown = _somebody_watches() if shown is None else shown
        self.delay = LONG if shown is None else 0.0
        self.bar: Any = None
        self.lock = Lock()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def start(self, total: int, unit: str) -> None:
        """Says how much there is to do, and in what unit, such as "prompts"."""
        if self.shown:
            from tqdm.auto import tqdm  # only where there is a bar

            self.bar = tqdm(
                total=total,
                desc="probes",
                unit=f" {unit}",
                delay=self.delay,
                leave=False,
            )

    def done(self, count: int = 1) -> None:
        """Says that some more is done; threads may call it side by side."""
        if self.bar is not None:
            with self.lock:
                self.bar.update(count)

    def over(self, items: Sequence[Any] | np.ndarray, unit: str) -> Iterator[Any]:
        """Yields the items, each of which is done when the next is asked for."""
        self.start(len(items), unit)
        for item in items:
            yield item
            self.done()


def _somebody_watches() -> bool:
    """Returns whether standard error is a terminal, or Python runs in a notebook."""
    try:
        if sys.stderr is not None and sys.stderr.isatty():
            return True
    except ValueError:  # it is closed
        return False
    ipython = sys.modules.get("IPython")
    shell = getattr(ipython, "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())
