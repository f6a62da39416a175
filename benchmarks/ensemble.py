"""How much does training together save? Eight models as one program, and as eight runs.

Ours: an ensemble of eight small models (eight seeds) as one vectorised program in one
process, which is what a sweep does on an accelerator. The other ways: the same eight
(a) one after the other in one process with all its threads, and (b) each in a process
of its own with one thread, as many at a time as there are cores, which is what a sweep
does on CPU. (On an accelerator only (a) is measured.) Times are
per step of all eight, without compilation; sides take turns, and a ratio is that of two
neighbouring turns.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

TURNS, STEPS, MEMBERS = 5, 50, 8
SHAPE = {"layers": 4, "width": 32}
DIM = 4


def main() -> list[dict[str, Any]]:
    """Times the three ways; one row for each of the other two."""
    # Several processes may share an accelerator here, and so does this one.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    on_cpu = jax.default_backend() == "cpu"
    cores = min(len(os.sched_getaffinity(0)), MEMBERS) if on_cpu else 0
    names = ["one after the other"] + (["one per thread"] if cores > 1 else [])
    one = [_Worker("together")], [_Worker("alone")]
    many = [_Worker("alone", threads=1) for _ in range(cores if cores > 1 else 0)]
    try:
        rounds = [
            (_together(one[0]), _shared(one[1]), _shared(many) if many else None)
            for _ in range(TURNS)
        ]
    finally:
        for worker in (*one[0], *one[1], *many):
            worker.close()
    ours, *theirs = (np.array(times) for times in zip(*rounds, strict=True))
    return [_row(name, ours, times) for name, times in zip(names, theirs, strict=False)]


def _row(name: str, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    ratios = theirs / ours
    return {
        "name": f"ensemble of {MEMBERS} against {MEMBERS} runs, {name}",
        "ours_s": float(np.median(ours)),
        "theirs_s": float(np.median(theirs)),
        "ratio": float(np.median(ratios)),
        "note": f"ratios {ratios.min():.2f} to {ratios.max():.2f}; a step of all; "
        f"{SHAPE['layers']} x {SHAPE['width']}, d = {DIM}, batch 64",
    }


def _together(workers: "list[_Worker]") -> float:
    (worker,) = workers
    worker.ask()
    return worker.seconds() / STEPS


def _shared(workers: "list[_Worker]") -> float:
    """Seconds until these have made a step of every model, all at work at once."""
    start = time.perf_counter()
    for _ in range(MEMBERS // len(workers)):
        for worker in workers:
            worker.ask()
        for worker in workers:
            worker.seconds()
    full = time.perf_counter() - start
    return full / STEPS * MEMBERS / (MEMBERS // len(workers) * len(workers))


class _Worker:
    """A process that trains for some steps whenever it is asked to."""

    def __init__(self, side: str, threads: int | None = None):
        env = dict(os.environ)
        if threads == 1:
            flags = f"{env.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
            env["XLA_FLAGS"] = flags.strip()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ensemble", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        assert self.process.stdin and self.process.stdout  # for the type checker
        self.asked, self.answers = self.process.stdin, self.process.stdout
        self.ask()  # compiles and warms up
        self.seconds()

    def ask(self) -> None:
        self.asked.write("go\n")
        self.asked.flush()

    def seconds(self) -> float:
        return float(self.answers.readline())

    def close(self) -> None:
        self.asked.close()
        self.process.wait()


def _steps(side: str) -> Callable[[], None]:
    import jax
    import jax.numpy as jnp

    from experiments.command import Options, set_up_runtime
    from icl import LinearRegression, ModelConfig, TrainConfig
    from icl.program import compile_program, scales_of

    set_up_runtime(Options())
    task = LinearRegression(dim=DIM, length=2 * DIM + 1)
    model, config = ModelConfig(**SHAPE), TrainConfig(batch=64)
    key, scales = jax.random.key(0), scales_of(task, config)
    members = MEMBERS if side == "together" else None
    if members:
        key = jax.random.split(key, members)
        scales = jax.tree.map(lambda number: jnp.full(members, number), scales)
    devices = tuple(jax.local_devices()[:1])
    program = compile_program(task, model, config, devices, members)
    state = program.init(key)

    def run() -> None:
        nonlocal state
        state, losses, _ = program.advance(state, key, scales, 0, STEPS)
        np.asarray(losses)

    return run


def _serve(side: str) -> None:
    run = _steps(side)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
