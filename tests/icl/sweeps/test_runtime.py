"""Compiled programs that are kept: whole, or made again without a word."""

import os
import warnings

import jax
import pytest

from icl.sweeps import runtime


@pytest.fixture
def untouched(monkeypatch):
    """JAX is told nothing, for it computes in this process already."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_what_a_full_disk_has_left_of_a_program_is_deleted(tmp_path, untouched):
    """JAX (0.10) would read it in every run, warn, and add no other program."""
    folder = tmp_path / ".cache" / "jax"
    folder.mkdir(parents=True)
    names = ("whole-cache", "whole-atime", "part-cache", "mine.txt")
    for name in names:
        (folder / name).write_bytes(b"1")
    runtime.set_up_runtime(tmp_path)
    left = {path.name for path in folder.iterdir()} - {".lockfile"}
    assert left == {*names} - {"part-cache"}
    # A cache that cannot be used is no news for each program.
    for what in ("reading", "writing"):
        said = f"Error {what} persistent compilation cache entry for 'jit_f': OSError"
        warnings.warn(said, stacklevel=1)
    with pytest.raises(UserWarning, match="anything else"):
        warnings.warn("anything else", stacklevel=1)


def test_a_folder_that_cannot_be_locked_is_left(tmp_path, untouched):
    folder = tmp_path / ".cache" / "jax"
    folder.mkdir(parents=True)
    (folder / "part-cache").write_bytes(b"1")
    os.mkdir(folder / ".lockfile")
    runtime.set_up_runtime(tmp_path)
    assert (folder / "part-cache").exists()
