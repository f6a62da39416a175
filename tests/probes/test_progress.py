import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from grid_cases import batches
from sklearn.linear_model import LogisticRegression, Ridge

from probes import PooledProbe, probe_grid
from probes.grid import progress
from probes.grid.progress import Progress

PROBES = {
    "ridge": None,
    "one penalty": Ridge(),
    "regressor": Ridge(fit_intercept=False),
    "pooled": PooledProbe(max_iter=2),
    "classifier": LogisticRegression(),
}


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def bars(monkeypatch):
    """The bars that were made."""
    made = []
    start = Progress.start

    def kept(self, total, unit):
        start(self, total, unit)
        made.append((self.bar, total, unit))

    monkeypatch.setattr(Progress, "start", kept)
    return made


def call(probe, rng, shape=(2, 60, 3, 4), form=np.asarray, **settings):
    hidden = rng.normal(size=shape)
    target = hidden[0, :, 0, :1]
    if isinstance(probe, LogisticRegression):
        target = (target[:, 0] > 0).astype(int)
    groups = np.arange(shape[1])
    settings |= {"probe": probe, "groups": groups, "resamples": 20}
    return probe_grid(form(hidden), {"t": target}, **settings)


@pytest.mark.filterwarnings("ignore:.*still improving")
@pytest.mark.parametrize("probe", PROBES)
def test_a_bar_reaches_its_end(rng, bars, capsys, probe):
    call(PROBES[probe], rng, progress=True)
    ((bar, total, _),) = bars
    assert bar.n == bar.total == total > 0
    assert bar.disable  # closed
    assert "probes" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*rely on their penalty|.*relies on its penalty")
def test_a_bar_counts_cells_of_wide_states_and_prompts_of_others(rng, bars):
    call(None, rng, shape=(2, 30, 3, 40), progress=True)
    assert bars[-1][1:] == (6, "cells") and bars[-1][0].n == 6
    call(None, rng, progress=True)  # each of 45 is read, then left out; 15 are tested
    assert bars[-1][1:] == (45 + 45 + 15, "prompts")
    call(None, rng, form=batches, progress=True)
    assert bars[-1][1:] == (60, "prompts") and bars[-1][0].n == 60


def test_a_bar_changes_no_number(rng):
    hidden = rng.normal(size=(2, 60, 3, 4))
    targets = {"t": hidden[0, :, 0, :1]}
    with_bar = probe_grid(hidden, targets, progress=True)
    assert with_bar.identical(probe_grid(hidden, targets, progress=False))


@pytest.mark.parametrize("asked", [None, False])
def test_nothing_is_written_to_a_file(rng, capsys, monkeypatch, asked):
    monkeypatch.setattr(progress, "LONG", 0.0)
    call(None, rng, progress=asked)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_long_calls_at_a_terminal_have_a_bar(rng, monkeypatch):
    for seconds, shown in ((0.0, True), (1e9, False)):
        terminal = Terminal()
        monkeypatch.setattr(progress, "LONG", seconds)
        monkeypatch.setattr(sys, "stderr", terminal)
        call(None, rng)
        assert ("probes" in terminal.getvalue()) == shown


def test_a_notebook_is_somebody_who_watches(monkeypatch):
    shell = SimpleNamespace(config={"IPKernelApp": {}})

    class IPython:
        @staticmethod
        def get_ipython():
            return shell

    assert not Progress(None).shown
    monkeypatch.setitem(sys.modules, "IPython", IPython)
    assert Progress(None).shown
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    assert not Progress(None).shown


def test_a_bar_is_removed_after_an_error(rng, bars):
    def hidden(rows):
        if bars:
            raise ValueError("no more")
        return rng.normal(size=(2, len(rows), 3, 4))

    with pytest.raises(ValueError, match="no more"):
        probe_grid(hidden, {"t": rng.normal(size=(60, 1))}, batch=5, progress=True)
    assert bars[0][0].disable
