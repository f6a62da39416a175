"""Processes that tests start, and how long they are waited for.

A process may be slow, on a machine that is ten times slower than ours or busy with
other things; only one that hangs is killed.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HUNG = 30 * 60  # seconds after which a process that has not ended never will
ROOT = Path(__file__).parents[1]


def started(code, *folders, **environment):
    """A Python process that runs some code, with modules of `folders` to import."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", *folders)))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(*processes, status=0):
    """What processes that run side by side have printed, once all have ended.

    Each is a pair of standard output and standard error. The exit status of all must be
    `status`. None of them outlives this call.
    """

    def wait_for(process):
        return process.communicate(timeout=HUNG)

    try:
        with ThreadPoolExecutor(len(processes)) as threads:
            said = list(threads.map(wait_for, processes))
    finally:
        for process in processes:
            process.kill()  # nothing happens to one that has ended
    for process, (_, error) in zip(processes, said, strict=True):
        assert process.returncode == status, error
    return said
