"""How far is a sweep? One bar over its runs, while they train in other processes.

Runs tell nothing while they train; their checkpoints do, wherever they are written.
"""

import sys
import threading
import time
from collections.abc import Sequence

from icl.sweeps.jobs import Job
from icl.sweeps.store import Status
from icl.terminal import duration, say
from icl.training.checkpoint import newest_step

EVERY, LOGGED = 5, 60  # seconds between two looks, at a terminal and in a log file


class Board:
    """Runs done, running and failed, and the time left by their cost.

    Args:
        programs: what is to be trained.
        states: of the runs that need nothing more, "done" or "failed".
        jobs: programs that run side by side.
        here: whether they run in this process, each with a bar of its own: then a line
            before each of them takes the place of this bar.
    """

    def __init__(
        self,
        programs: Sequence[Job],
        states: Sequence[str],
        jobs: int,
        *,
        here: bool,
    ):
        from tqdm import tqdm

        self.left = list(programs)
        self.jobs, self.here = jobs, here
        self.done, self.failed = states.count("done"), states.count("failed")
        self.begun = {program.home: newest_step(program.home) for program in programs}
        self.paid, self.start = 0.0, time.monotonic()
        self.total = len(states) + sum(len(program.folders) for program in programs)
        self.bar = tqdm(
            total=self.total,
            initial=self.done,
            desc=str(self),
            bar_format="{desc} |{bar}|",
            disable=here,
        )
        self.closed = threading.Event()
        self.watch = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Board":
        if self.here:
            self._show()
        else:
            self.watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        if not self.here:
            self.watch.join()
        self.bar.close()

    def __str__(self) -> str:
        running = sum(len(program.folders) for program in self.left[: self.jobs])
        counts = [f"{self.done} of {self.total} runs done"]
        counts += [f"{running} running"] if running else []
        counts += [f"{self.failed} failed"] if self.failed else []
        seconds = self.seconds_left()
        counts += [f"{duration(seconds)} left"] if self.left and seconds else []
        return f"sweep: {', '.join(counts)}"

    def finished(self, program: Job, statuses: Sequence[Status]) -> None:
        """Takes note of what became of a program."""
        self.left.remove(program)
        self.paid += self._share(program, program.settings[0].train.steps)
        states = [status.state for status in statuses]
        self.failed += states.count("failed")
        self.done += states.count("done")
        self.bar.n = self.done
        self._show()

    def seconds_left(self) -> float | None:
        """By the cost of what was done since the start; None before anything was."""
        left = list(self.left)
        paid = self.paid + sum(self._share(p, newest_step(p.home)) for p in left)
        ahead = sum(self._share(p, p.settings[0].train.steps) for p in left)
        spent = time.monotonic() - self.start
        return spent * (self.paid + ahead - paid) / paid if paid else None

    def _share(self, program: Job, step: int) -> float:
        """The cost of the steps from the start of this sweep until `step`."""
        steps = program.settings[0].train.steps
        return program.cost * max(step - self.begun[program.home], 0) / steps

    def _watch(self) -> None:
        every = EVERY if sys.stderr.isatty() else LOGGED
        while not self.closed.wait(every):
            self._show()

    def _show(self) -> None:
        self.bar.set_description_str(str(self))
        if self.here and self.left and self.total > 1:
            say(str(self))
