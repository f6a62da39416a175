"""How do files survive a crash, and folders two processes that write to them?

A file is written under another name and then renamed, so that it is complete or absent
at any moment. A folder is locked while one process works on it, by a file
`.<name>.lock` beside it. Arrays are kept in the format of `safetensors`, which many
other programs read, and which holds no code.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from icl.arrays import shown
from icl.terminal import say

SAFETENSORS = ".safetensors"
"""The end of the name of a file of arrays."""

SPARE = 2**20
"""The size in bytes up to which a file may have holes, which do no harm there."""

EXPANSION = 1_000
"""The most bytes of a larger file that one byte on the disk may stand for."""

DEEPEST = 64
"""How deeply JSON of ours may be nested; what is deeper would exhaust the stack."""


def expanded(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Returns a path that somebody gave, in which `~` is the home folder.

    Raises:
        ValueError: it is no path, or there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except TypeError:
        raise ValueError(
            f"{name} must be a path, a string or a Path, got {shown(path)}."
        ) from None
    except RuntimeError as error:
        raise ValueError(f"the home folder of {str(path)!r} is not known.") from error


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Writes a file completely; after an error the old file is still there.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    data = content.encode() if isinstance(content, str) else content
    try:
        # In a folder of somebody else's a link may lie there, which leads elsewhere.
        partial.unlink(missing_ok=True)
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a renamed file may be empty after a power cut
        os.replace(partial, path)
    except OSError as error:
        if error.errno:  # a full disk does not say for what it lacks space
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # a folder in its place is the error already
            partial.unlink(missing_ok=True)
    _sync(path.parent)
    return path


def rename_whole(draft: Path, target: Path) -> None:
    """Renames a folder into its place once all that it holds is on the disk.

    Raises:
        OSError: the disk cannot take it, or the name is taken.
    """
    for path in (*draft.rglob("*"), draft):
        _sync(path)
    os.rename(draft, target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk.

    Raises:
        OSError: the disk reports that it could not keep a file.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # a folder, on systems that open none
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise  # the others say that there is nothing to wait for
    finally:
        os.close(handle)


def write_arrays(
    path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]
) -> Path:
    """Writes arrays by name, and words about them, into one safetensors file.

    Raises:
        OSError: the file cannot be written; an old one is still there.
    """
    # The library takes the bytes of an array as they lie, in whatever order that is.
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return write_whole(path, save(plain, dict(metadata)))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the arrays of a safetensors file by name, and its metadata.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no safetensors file, or it is truncated.
    """
    with _opened(path) as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        return arrays, file.metadata() or {}


def read_metadata(path: Path) -> dict[str, str]:
    """Returns the metadata of a safetensors file, without its arrays.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no safetensors file, or it is truncated.
    """
    with _opened(path) as file:
        return file.metadata() or {}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    holes = _holes(path)
    if holes:
        raise ValueError(f"{path} is no file of arrays: {holes}.")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no complete safetensors file ({error}); copy or download it "
            "again."
        ) from error


def content(path: Path) -> bytes:
    """Returns the bytes of a file, which may be somebody else's.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no file, the disk holds but a part of the bytes that it claims to
            have, or there is not enough memory for them.
    """
    if path.exists() and not path.is_file():
        # A pipe in its place would never end.
        raise OSError(errno.EINVAL, "it is no file", str(path))
    holes = _holes(path)
    if holes:
        raise OSError(errno.EINVAL, holes, str(path))
    try:
        return path.read_bytes()
    except MemoryError as error:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(path)) from error


def _holes(path: Path) -> str:
    """Returns what is wrong with a file of which the disk holds next to nothing.

    It returns "" for other files, such as one whose zeros a copy has left out.
    """
    with path.open("rb") as file:
        about = os.fstat(file.fileno())
        size, held = about.st_size, getattr(about, "st_blocks", 0) * 512
        if size <= SPARE + EXPANSION * held or _first_hole(file.fileno()) == size:
            return ""
    return f"it has holes, and would take {size:,} bytes of memory"


def _first_hole(handle: int) -> int:
    """Returns where the first part of a file is that the disk does not hold.

    That is the end of the file if there is none, or if the system does not tell.
    """
    end = os.fstat(handle).st_size
    if not hasattr(os, "SEEK_HOLE"):
        return end
    try:
        return os.lseek(handle, 0, os.SEEK_HOLE)
    except OSError:
        return end
    finally:
        os.lseek(handle, 0, os.SEEK_SET)


def read_json(path: Path) -> dict[str, Any] | None:
    """Returns the object of a JSON file, or None if it is missing or damaged."""
    try:
        found = parsed(content(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def parsed(text: bytes | str) -> Any:
    """Returns what JSON says, which may be somebody else's.

    Raises:
        ValueError: it is no JSON, it is nested more deeply than ours ever is, or some
            of its text cannot be written again (half of a surrogate pair).
    """
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level = [found]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise ValueError("it is nested too deeply")
    return found


def _inside(value: Any) -> Iterable[Any]:
    """Returns the values of which a value of JSON consists."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


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


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Refuses a directory in which another process works, and leaves no trace there.

    The directory itself is locked. Where a file system locks none, nothing is refused.

    Raises:
        ValueError: another process works in it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"Another process is training in {directory}; wait until it has "
                "finished, or choose another directory."
            ) from None
        except OSError:
            pass  # such as some network's, which lock only what is opened to write
        yield
    finally:
        os.close(handle)


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
