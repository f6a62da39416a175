"""How does a process end when it is told to? It finishes what it must, and then ends.

Ctrl-C is SIGINT; `kill`, `timeout`, SLURM and systemd send SIGTERM, and a terminal that
is closed sends SIGHUP. All of them are answered alike: a run saves where it stands,
locks are released, workers end, and the exit status is 130, 143 or 129. A signal that
the user has told to be ignored (`nohup`) or handles stays as it is.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

ENDING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    if hasattr(signal, name)
)

LOOKED_EVERY = 1.0  # seconds, at a parent that may have died
GRACE = 10.0  # seconds that an orphan has to save what it has


def ended_by(number: int) -> BaseException:
    """Returns what a signal raises: `KeyboardInterrupt`, or `SystemExit` with 143."""
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


@contextmanager
def raised() -> Iterator[None]:
    """Lets signals that end a process raise an error, so that everything is put away.

    Only the main thread may say what signals do; elsewhere nothing is changed.
    """

    def end(number: int, frame: Any) -> None:
        raise ended_by(number)

    with _answered(end, ENDING[1:]):  # Python does so for Ctrl-C
        yield


@contextmanager
def deferred(wanted: bool) -> Iterator[Callable[[], BaseException | None]]:
    """Holds signals that end a process back; a second one gets through at once.

    Args:
        wanted: whether they are held back at all.

    Yields:
        A function that returns what is to be raised, or None if there was no signal.
    """
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        if received:
            raise ended_by(number)
        received.append(number)

    if not wanted:
        yield lambda: None
        return
    with _answered(note, ENDING):
        yield lambda: ended_by(received[0]) if received else None


def end_with(parent: int) -> None:
    """Ends this process soon after its parent has died, whatever it died of.

    A process that is killed cannot end its workers; they have to notice. The first
    signal lets a run save, and if that takes too long the process ends anyway.

    Args:
        parent: the parent's process id, as the parent says itself.
    """
    name = f"ends with process {parent}"
    if any(thread.name == name for thread in threading.enumerate()):
        return
    if os.getppid() != parent:  # it died before this process was ready to notice
        os._exit(128 + signal.SIGTERM)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOKED_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name=name, daemon=True).start()


@contextmanager
def _answered(
    handler: Callable[[int, Any], None], numbers: Sequence[int]
) -> Iterator[None]:
    """Answers signals with a handler, but for those that the user has decided on."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            found = signal.getsignal(number)
            ours = getattr(found, "__module__", None) == __name__
            if ours or found == signal.SIG_DFL or number == signal.SIGINT:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)
