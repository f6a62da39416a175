"""What a person at a terminal is told, and what is written to a file instead."""

import io
import sys

import pytest

from icl import terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def test_the_bar_of_a_resumed_run_starts_where_it_resumes(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with terminal.training_bar(1_000) as report:
        report(600, {"loss": 0.5})
        report(800, {"loss": 0.25})
        bar = report.__self__.bar
        assert (bar.initial, bar.n, bar.total) == (600, 800, 1_000)
    assert "loss=0.2500" in sys.stderr.getvalue()


def test_progress_in_a_file_is_a_line_now_and_then(capsys, clock):
    with terminal.training_bar(1_000) as report:
        for step in range(600, 1_001, 50):
            report(step, {"loss": 1 / step})
            clock[0] += 10
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "training: 600 of 1,000 steps, loss 0.0017",
        "training: 750 of 1,000 steps, loss 0.0013, 50 s left",
        "training: 900 of 1,000 steps, loss 0.0011, 20 s left",
        "training: 1,000 of 1,000 steps, loss 0.0010",
    ]
    assert "\r" not in said


def test_a_quiet_run_says_nothing(capsys):
    with terminal.training_bar(1_000, quiet=True) as report:
        assert report is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs")]
)
def test_numbers_agree_with_their_nouns(number, text):
    assert terminal.counted(number, "run") == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(40.0, "40 s"), (420.0, "7 min"), (12_600.0, "3.5 h")]
)
def test_times_in_words(seconds, text):
    assert terminal.duration(seconds) == text
