"""How far is a sweep? One line tells, while its runs train in other processes.

Runs report nothing while they train, but their checkpoints show how far they are,
wherever they train. At a terminal the line is a bar that is redrawn; in a file it is
repeated every now and then.
"""

import threading
import time
from collections.abc import Sequence

from tqdm import tqdm

from icl.sweeps.jobs import Job
from icl.sweeps.store import RunState, Status
from icl.terminal import LINE_EVERY, Pace, at_terminal, duration, say
from icl.training.checkpoint import newest_step

REDRAWN_EVERY = 5.0  # seconds, at a terminal


class Board:
    """Shows how many runs are done, running and failed, and how much time is left.

    Args:
        jobs: the jobs to do.
        ended: the states, "done" or "failed", of the runs of this sweep that need
            nothing more.
        at_once: the number of jobs that are done side by side.
        in_this_process: whether the jobs are done in this process, where each shows a
            bar of its own. Then the board is a line before each of them.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        ended: Sequence[RunState],
        at_once: int,
        *,
        in_this_process: bool,
    ):
        self.left = list(jobs)
        self.at_once, self.in_this_process = at_once, in_this_process
        self.total = len(ended) + sum(len(job.folders) for job in jobs)
        self.done, self.failed = ended.count("done"), ended.count("failed")
        self.first_steps = {job.home: newest_step(job.home) for job in jobs}
        self.finished_cost, self.started = 0.0, time.monotonic()
        self.bar: tqdm | None = None
        self.pace = Pace(LINE_EVERY)  # of lines in a file
        self.closed = threading.Event()
        self.watch = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Board":
        if not self.in_this_process:
            if at_terminal():
                self.bar = tqdm(
                    total=self.total, initial=self.done, bar_format="{desc} |{bar}|"
                )
            self.watch.start()
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        if not self.in_this_process:
            self.watch.join()
        if self.bar is not None:
            self.bar.close()

    def __str__(self) -> str:
        running = sum(len(job.folders) for job in self.left[: self.at_once])
        counts = [f"{self.done} of {self.total} runs done"]
        counts += [f"{running} running"] if running else []
        counts += [f"{self.failed} failed"] if self.failed else []
        seconds = self.seconds_left()
        counts += [f"{duration(seconds)} left"] if self.left and seconds else []
        return f"sweep: {', '.join(counts)}"

    def job_ended(self, job: Job, statuses: Sequence[Status]) -> None:
        """Takes note of how the members of a job ended."""
        self.left.remove(job)
        self.finished_cost += self._cost_until(job, job.steps)
        states = [status.state for status in statuses]
        self.failed += states.count("failed")
        self.done += states.count("done")
        self._show()

    def seconds_left(self) -> float | None:
        """Estimates the time left; None before anything was computed.

        It assumes that the rest takes as long, for its cost, as what has been done.
        """
        left = list(self.left)  # the other thread may shorten it
        so_far = (self._cost_until(job, newest_step(job.home)) for job in left)
        done = self.finished_cost + sum(so_far)
        all_of_it = sum(self._cost_until(job, job.steps) for job in left)
        to_do = self.finished_cost + all_of_it - done
        return (time.monotonic() - self.started) * to_do / done if done else None

    def _cost_until(self, job: Job, step: int) -> float:
        """Returns the cost of a job's steps since the start of this sweep."""
        return job.cost * max(step - self.first_steps[job.home], 0) / job.steps

    def _watch(self) -> None:
        while not self.closed.wait(REDRAWN_EVERY):
            self._show()

    def _show(self) -> None:
        if self.bar is not None:
            self.bar.n = self.done
            self.bar.set_description_str(str(self))
        elif self.in_this_process:
            if self.left and self.total > 1:
                say(str(self))
        elif self.pace.is_due() or not self.left:
            say(str(self))
