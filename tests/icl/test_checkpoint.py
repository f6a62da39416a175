"""Whole or absent: checkpoints that are written, killed and unwritable."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checkpoint_cases import KEY, assert_equal, assert_same_model, stored

import icl
from icl import (
    load,
    train,
)
from icl.training import checkpoint
from icl.training.checkpoint import (
    Stored,
    read,
    read_latest,
    write,
)

# --- Writing and reading -------------------------------------------------------------


def test_what_is_written_is_read(tmp_path):
    folder = write(tmp_path / "new" / "run", stored(7))
    assert folder == tmp_path / "new" / "run" / "step_00000007"
    assert_equal(read(folder), stored(7))
    assert_equal(read_latest(tmp_path / "new" / "run"), stored(7))


def test_the_newest_two_are_kept(tmp_path):
    for step in (1, 2, 30, 400):
        write(tmp_path, stored(step))
    assert checkpoint.folders(tmp_path) == [
        tmp_path / "step_00000030",
        tmp_path / "step_00000400",
    ]
    assert read_latest(tmp_path).step == 400


def test_the_newest_is_the_newest_by_number(tmp_path):
    write(tmp_path, stored(99_999_999))
    write(tmp_path, stored(100_000_000))
    assert read_latest(tmp_path).step == 100_000_000


def test_there_may_be_none(tmp_path):
    assert read_latest(tmp_path) is None
    assert read_latest(tmp_path / "nowhere") is None


def test_leftovers_of_a_killed_process_are_ignored_and_cleared_away(tmp_path):
    write(tmp_path, stored(1))
    leftover = tmp_path / ".writing-0123"
    shutil.copytree(tmp_path / "step_00000001", leftover)
    (leftover / "manifest.json").unlink()
    assert read_latest(tmp_path).step == 1
    write(tmp_path, stored(2))
    assert not leftover.exists()


def test_nothing_is_ever_pickled(tmp_path):
    sources = list(Path(icl.__file__).parent.rglob("*.py"))
    words = ("pickle", "joblib", "marshal", "shelve", "eval(", "exec(")
    found = [(p, w) for p in sources for w in words if f"import {w}" in p.read_text()]
    # joblib hands jobs to processes; it reads nothing from disk.
    assert all("sweeps" in path.parts and word == "joblib" for path, word in found)
    with pytest.raises(TypeError):  # JSON and arrays of numbers, nothing else
        write(tmp_path, Stored(1, {"object": object()}, {"a": np.ones(2)}))
    assert list(tmp_path.iterdir()) == []


# --- Places that cannot be written ---------------------------------------------------


def never(step, metrics):
    raise AssertionError("nothing should be trained that cannot be saved")


def test_a_file_in_the_place_of_the_directory(
    task, model_config, train_config, tmp_path
):
    (tmp_path / "file").write_text("mine")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError):
            train(
                task,
                model_config,
                train_config,
                key=KEY,
                directory=directory,
                callback=never,
            )
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(task, model_config, train_config, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        train(
            task,
            model_config,
            train_config,
            key=KEY,
            directory=tmp_path,
            callback=never,
        )
    tmp_path.chmod(0o700)


# What orbax was still writing meets a closed event loop, and says nothing of it.
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_leaves_what_was_there(tmp_path, capfd):
    write(tmp_path, stored(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        message = rf"^{re.escape(str(tmp_path))} cannot be written: .* too large$"
        with pytest.raises(OSError, match=message):
            write(tmp_path, stored(2, size=50_000))
        assert capfd.readouterr().err == ""
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    # A draft may be left, for threads of orbax still write while it is deleted; it is
    # no checkpoint.
    assert checkpoint.folders(tmp_path) == [tmp_path / "step_00000001"]
    assert_equal(read_latest(tmp_path), stored(1))


def test_a_failed_rename_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path, stored(1))

    def fail(*_):
        raise PermissionError("no")

    monkeypatch.setattr(checkpoint.os, "rename", fail)
    with pytest.raises(PermissionError):
        write(tmp_path, stored(2))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]
    assert_equal(read_latest(tmp_path), stored(1))


# --- kill -9 -------------------------------------------------------------------------


SCRIPT = """
    import os, signal, sys
    import jax
    jax.config.update("jax_num_cpu_devices", 2)
    from icl import Curriculum, LinearRegression, ModelConfig, TrainConfig, train
    from icl.training import checkpoint, manifest

    saves = 0

    def killed(module, name, *, after):
        function = getattr(module, name)
        def replacement(*arguments, **options):
            if not after:
                os.kill(os.getpid(), signal.SIGKILL)
            function(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        setattr(module, name, replacement)

    def run(moment):
        def callback(step, metrics):
            global saves
            saves += 1
            print(step, flush=True)
            if saves == 2 and moment != "never":
                module, name, after = moment.split()
                module = {"checkpoint": checkpoint, "os": os}[module]
                killed(module, name, after=after == "after")

        train(TASK, MODEL, CONFIG, key=jax.random.key(0), directory=sys.argv[1],
              callback=callback)
        print("finished", flush=True)

    train  # what is imported when it is first used is imported once, here
    for line in sys.stdin:
        process = os.fork()  # JAX has no threads yet
        if not process:
            run(line.strip())
            os._exit(0)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""

# Where in a save a process kills itself, at the third save after it was started.
MOMENTS = [
    "checkpoint _write_arrays before",
    "checkpoint _write_manifest before",
    "os rename before",
    "os rename after",
]


class Starter:
    """A process that has imported all, and starts others that train."""

    def __init__(self, script, directory):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(icl.__file__).parents[1],
        )

    def start(self, moment="never"):
        """Starts a process that trains; returns its number."""
        self.process.stdin.write(f"{moment}\n")
        self.process.stdin.flush()
        return int(self.line())

    def line(self):
        return self.process.stdout.readline().strip()

    def rest(self):
        """What it prints from now on, and its exit status, once it has ended."""
        lines = []
        while not (line := self.line()).startswith("ended"):
            assert line, "the starter has ended"
            lines.append(line)
        return lines, int(line.split()[1])


@pytest.fixture
def starter(task, model_config, train_config, tmp_path):
    """Starts processes that train, saving every 10 steps, in `tmp_path/run`."""
    config = replace(train_config, checkpoint_every=10)
    values = {"TASK": task, "MODEL": model_config, "CONFIG": config}
    script = textwrap.dedent(SCRIPT)
    for name, value in values.items():
        script = script.replace(name, repr(value))
    starter = Starter(script, tmp_path / "run")
    yield starter
    starter.process.stdin.close()
    assert starter.process.wait() == 0


def test_killed_at_any_moment_a_run_ends_in_the_same_bits(
    starter, trained, task, model_config, train_config, tmp_path
):
    # Compiled by an uninterrupted run, so that little time is spent before the kills.
    config = replace(train_config, checkpoint_every=10)
    whole = train(task, model_config, config, key=KEY, directory=tmp_path / "whole")
    assert_same_model(whole, trained)

    reached = []
    for moment in MOMENTS:
        starter.start(moment)
        steps, status = starter.rest()
        assert status == -signal.SIGKILL
        assert len(steps) == 2
        reached.append(int(steps[-1]))
    # Each went on from what the one before had saved.
    assert reached == sorted(set(reached))

    delays = random.Random(0)
    for _ in range(2):
        process = starter.start()
        first = starter.line()
        time.sleep(delays.uniform(0, 0.4))
        os.kill(process, signal.SIGKILL)
        _, status = starter.rest()
        if first == "finished" or status == 0:
            break
        assert status == -signal.SIGKILL
        assert int(first) > reached[-1] - 10

    starter.start()
    steps, status = starter.rest()
    assert steps[-1] == "finished" and status == 0
    survivor = load(tmp_path / "run")
    assert_same_model(survivor, whole)
    left = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert left == ["step_00000290", "step_00000300"]
    assert_equal(read_latest(tmp_path / "run"), read_latest(tmp_path / "whole"))
