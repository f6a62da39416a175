"""How long is a training step, beside GPT-2 of the same shape in PyTorch?

Theirs: `transformers.GPT2Model` (eager or sdpa attention) behind a linear read-in, with
`torch.optim.Adam` and a fresh batch every step: what the public scripts of this field
do. Ours: `icl.train`'s program at the same shape. Each side is a process of its own
with the same number of threads; they take turns, and a ratio is that of two
neighbouring turns.

Needs `pip install torch transformers`, which the project itself never does.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from experiments.akyurek2023.setting import SETTINGS

TURNS, STEPS = 7, 60
THREADS = 2
QUICK = SETTINGS["quick"]


def main() -> list[dict[str, Any]]:
    """Times both sides at the `quick` shape; one row per attention of theirs."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        note = "skipped: pip install torch transformers"
        return [{"name": "training step against PyTorch GPT-2", "note": note}]
    names = ("ours", "eager", "sdpa")
    workers = {name: _Worker(name) for name in names}
    try:
        seconds = {name: [] for name in names}
        for _ in range(TURNS):
            for name, worker in workers.items():
                seconds[name].append(worker.seconds_per_step())
    finally:
        for worker in workers.values():
            worker.close()
    return [_row(name, seconds["ours"], seconds[name]) for name in names[1:]]


def _row(name: str, ours: list[float], theirs: list[float]) -> dict[str, Any]:
    ratios = np.array(theirs) / np.array(ours)
    task, model = QUICK.task, QUICK.model
    return {
        "name": f"training step against PyTorch GPT-2, {name}",
        "ours_s": float(np.median(ours)),
        "theirs_s": float(np.median(theirs)),
        "ratio": float(np.median(ratios)),
        "note": f"ratios {ratios.min():.2f} to {ratios.max():.2f}; d = {task.dim}, "
        f"{task.length} pairs, {model.layers} x {model.width}, {model.heads} head(s), "
        f"batch {QUICK.train.batch}, {THREADS} threads",
    }


class _Worker:
    """A process that times steps whenever it is asked to."""

    def __init__(self, side: str):
        command = [sys.executable, "-m", "benchmarks.training", side]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdin and self.process.stdout  # for the type checker
        self.asked, self.answers = self.process.stdin, self.process.stdout
        self.seconds_per_step()  # compiles and warms up

    def seconds_per_step(self) -> float:
        self.asked.write("go\n")
        self.asked.flush()
        return float(self.answers.readline())

    def close(self) -> None:
        self.asked.close()
        self.process.wait()


def _ours() -> Callable[[], None]:
    import jax

    from experiments.command import Options, set_up_runtime
    from icl.program import compile_program, scales_of

    set_up_runtime(Options())
    devices = tuple(jax.local_devices())
    program = compile_program(QUICK.task, QUICK.model, QUICK.train, devices, None)
    key, scales = jax.random.key(0), scales_of(QUICK.task, QUICK.train)
    state = program.init(key)

    def run() -> None:
        nonlocal state
        state, losses, _ = program.advance(state, key, scales, 0, STEPS)
        np.asarray(losses)

    return run


def _theirs(attention: str) -> Callable[[], None]:
    import torch
    from transformers import GPT2Config, GPT2Model

    torch.set_num_threads(THREADS)
    dim, length, width = QUICK.task.dim, QUICK.task.length, QUICK.model.width
    config = GPT2Config(
        n_embd=width,
        n_layer=QUICK.model.layers,
        n_head=QUICK.model.heads,
        n_positions=2 * length,
        vocab_size=1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        attn_implementation=attention,
    )
    body = GPT2Model(config)
    read_in, head = torch.nn.Linear(dim + 1, width), torch.nn.Linear(width, 1)
    parameters = [p for part in (body, read_in, head) for p in part.parameters()]
    adam = torch.optim.Adam(parameters, lr=1e-3)

    def step() -> None:
        xs = torch.randn(QUICK.train.batch, length, dim)
        ys = torch.einsum("bld,bd->bl", xs, torch.randn(QUICK.train.batch, dim))
        tokens = torch.zeros(QUICK.train.batch, 2 * length, dim + 1)
        tokens[:, ::2, 1:], tokens[:, 1::2, 0] = xs, ys
        states = body(inputs_embeds=read_in(tokens[:, :-1])).last_hidden_state
        loss = ((head(states)[:, ::2, 0] - ys) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()

    def run() -> None:
        for _ in range(STEPS):
            step()

    return run


def _serve(side: str) -> None:
    run = _ours() if side == "ours" else _theirs(side)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print((time.perf_counter() - start) / STEPS, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
