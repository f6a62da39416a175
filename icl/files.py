"""How does a file outlive a crash, and a folder two processes that want it?

A text file is written beside its place and renamed into it, so that it is there as a
whole or not at all; a folder is locked while one process works on it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from icl.terminal import say


def write_whole(path: str | os.PathLike[str], text: str) -> Path:
    """Writes a text file that is either whole or, after any error, as it was."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_json(path: Path) -> dict[str, Any] | None:
    """What a JSON file holds; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Keeps other processes from working on a folder, which need not exist yet.

    Raises:
        TimeoutError: another one does, and `wait` is False.
        OSError: the folder it is in cannot be written.
    """
    from filelock import FileLock, Timeout

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_lock_of(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise
        say(f"another process is working on {folder}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a process works on a folder; leaves no trace of the question."""
    from filelock import FileLock, Timeout

    if not _lock_of(folder).exists():
        return False
    try:
        with FileLock(_lock_of(folder)).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")
