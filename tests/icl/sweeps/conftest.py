"""Fixtures that the tests of sweeps share."""

import os

import pytest
from sweep_cases import (
    SETTINGS,
    refuse,
    states,
)

from icl import (
    sweeps,
)
from icl.sweeps import hosts, store
from icl.sweeps.store import Models

os.environ["PROCESS_OF_TESTS"] = str(os.getpid())  # for tasks that end a worker


@pytest.fixture
def no_work(monkeypatch):
    """Training fails."""
    monkeypatch.setattr(store, "_train", refuse)
    monkeypatch.setattr(hosts, "train_ensemble", refuse)


@pytest.fixture(scope="session")
def here(tmp_path_factory):
    """All of `SETTINGS`, trained one after the other in this process."""
    results = tmp_path_factory.mktemp("here")
    reports = sweeps.train_all(SETTINGS, Models(results, jobs=1))
    assert states(reports) == ["done"] * 4
    return results
