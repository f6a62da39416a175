"""Nothing outlives the process that started it, and every end puts things away."""

import os
import signal
import time

import pytest
from subprocesses import finished, started

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", '''
import os, time
from icl.signals import end_with
end_with(os.getppid())
end_with(os.getppid())
print(os.getpid(), flush=True)
time.sleep(600)
'''])
time.sleep(600)
"""

ORPHAN = """
import os
from icl.signals import end_with
end_with(os.getpid())  # another one than its parent, as once that has died
print("works on")
"""

COMMAND = """
import sys, time
from experiments.engine.figures.command import guarded
def action(argv):
    try:
        print("here", flush=True)
        time.sleep(600)
    finally:
        print("put away", flush=True)
sys.exit(guarded("experiments", action, []))
"""


def lives(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ends_with_its_parent_however_that_dies(number):
    with started(PARENT) as parent:
        child = int(parent.stdout.readline())
        time.sleep(0.1)
        assert lives(child)
        parent.send_signal(number)
        deadline = time.monotonic() + 30
        while lives(child) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not lives(child)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)],
)
def test_a_command_that_is_told_to_end_puts_things_away(number, status):
    code = f"import signal; signal.signal({number:d}, signal.SIG_DFL)\n"
    if number == signal.SIGINT:
        code = "import signal; signal.signal(2, signal.default_int_handler)\n"
    with started(code + COMMAND) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(number)
        said, error = process.communicate(timeout=60)
    assert process.returncode == status
    assert said == "put away\n"
    assert error.split("\n")[-2] == "stopped; run the same command again to resume"
    assert "Traceback" not in error


def test_a_command_that_ignores_a_closed_terminal_goes_on():
    """As under nohup."""
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with started(code + COMMAND.replace("600", "2")) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_worker_whose_parent_died_before_it_was_ready_does_nothing():
    ((said, _),) = finished(started(ORPHAN), status=143)
    assert said == ""
