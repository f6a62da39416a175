"""States of a PyTorch model that are kept in a file (no PyTorch is needed for it)."""

import errno
import os

import numpy as np
import pytest

from probes.torch.store import Collected

STATES = [np.ones((2, 3, 5), np.float32)] * 4


def test_the_space_of_a_file_is_there_before_it_is_filled(tmp_path):
    """Where a disk is full later, writing to a mapped file ends the process."""
    file = tmp_path / "states.npy"
    collected = Collected(100_000, file)
    collected.add(slice(0, 2), STATES)
    (draft,) = tmp_path.iterdir()
    found = draft.stat()
    assert found.st_blocks * 512 >= found.st_size > 100_000 * 4 * 3 * 5 * 4
    collected.discard()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    def full(handle, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        Collected(2, tmp_path / "states.npy").add(slice(0, 2), STATES)


def test_a_link_under_the_name_of_the_draft_is_not_followed(tmp_path):
    victim, file = tmp_path / "victim", tmp_path / "states.npy"
    (tmp_path / ".states.npy.part").symlink_to(victim)
    collected = Collected(2, file)
    collected.add(slice(0, 2), STATES)
    np.testing.assert_array_equal(collected.finish(), np.stack(STATES))
    assert not victim.exists() and not file.is_symlink()
