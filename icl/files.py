"""How do files survive a crash, and folders two processes that write to them?

A text file is written under another name and then renamed, so that it is complete or
absent at any moment. A folder is locked while one process works on it, by a file
`.<name>.lock` beside it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from icl.terminal import say


def write_whole(path: str | os.PathLike[str], text: str) -> Path:
    """Writes a text file completely; after an error the old file is still there."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_json(path: Path) -> dict[str, Any] | None:
    """Returns what a JSON file holds, or None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Keeps other processes from working on a folder, which need not exist yet.

    Args:
        folder: the folder to lock.
        wait: whether to wait until it is free again if another process has locked it.

    Raises:
        TimeoutError: another process has locked it, and `wait` is False.
        OSError: the folder around it cannot be written.
    """
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
    """Returns whether a process is working on a folder, and leaves no trace."""
    if not _lock_of(folder).exists():
        return False
    try:
        with FileLock(_lock_of(folder)).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")
