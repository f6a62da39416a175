"""What does an accelerator give? All that is asked of one, in a single command.

    python -m benchmarks accelerator [--minutes 10] [--smoke]

The command ends after about so many minutes, and every row is kept as soon as it is
measured, so that a machine that is taken away loses one row at most. In this order:

1. training steps at 12 x 256 and 16 x 512 with products in float32, TensorFloat-32 and
   bfloat16: the share of the measured rate of such products, beside GPT-2 in PyTorch;
2. all textbook learners after all prefixes, and least squares alone;
3. an ensemble of eight beside eight runs;
4. a grid of ridge probes, which is computed on the host;
5. pooled probes of one layer;
6. Figure 1 of Akyürek et al. 2023 at `quick`, from nothing to the picture;
7. the paper's model for the time that is left. It lies in `results/accelerator/paper`
   with its history, and the next call goes on with it.

A stage begins only if half a minute is left. `--smoke` does the same at sizes that mean
nothing, on any device, keeps no row, and takes a minute on a CPU.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import learners, limits, steps
from benchmarks.measure import Row, Work, alternate, device, row, timed
from benchmarks.steps import Shape
from benchmarks.worker import Worker
from experiments.reference_models import SETTINGS
from icl import LinearRegression, train
from icl.baselines import LeastSquares
from icl.prompts import Prompts
from probes import probe_grid
from probes.pooled import ProbeConfig, fit

CASE = "accelerator"
LEAST_SECONDS = 30.0
"""A stage begins only if so much time is left."""
TURNS = 3
RESULTS = Path("results") / CASE


MEMBER = Shape(4, 9, 4, 32)
LARGE = (Shape(20, 41, 12, 256, 8), Shape(8, 40, 16, 512, 4))


@dataclass(frozen=True)
class Plan:
    """The sizes of all stages.

    Attributes:
        shapes: of the training steps.
        precisions: of their products.
        member: the shape of a member of the ensemble.
        members: how many there are.
        prompts: prompts, dimension and pairs of the learners' problem.
        states: layers, prompts, tokens and features of what probes read.
        preset: of Figure 1.
        long: which of the reference models is trained for the time that is left.
    """

    shapes: tuple[Shape, ...] = LARGE
    precisions: tuple[str, ...] = ("float32", "tensorfloat32", "bfloat16")
    member: Shape = MEMBER
    members: int = 8
    prompts: tuple[int, int, int] = (1024, 20, 41)
    states: tuple[int, int, int, int] = (13, 4000, 24, 64)
    preset: str = "quick"
    long: str = "paper"


SMOKE = Plan(
    shapes=(Shape(2, 3, 1, 8, 1, 4),),
    precisions=("default",),
    member=Shape(2, 3, 1, 8, 1, 4),
    members=2,
    prompts=(4, 2, 4),
    states=(2, 40, 3, 4),
    preset="tiny",
    long="tiny",
)


def main(
    turns: int = TURNS, *, minutes: float = 10.0, smoke: bool = False
) -> Iterator[Row]:
    """The rows of all stages; those for which no time is left say so."""
    end = time.monotonic() + 60 * minutes
    plan = SMOKE if smoke else Plan()
    turns = min(turns, 1 if smoke else TURNS)
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) if smoke else RESULTS
        for name, stage in stages(plan, turns, results, end):
            if end - time.monotonic() < LEAST_SECONDS:
                yield Row(CASE, name, "", note="skipped: no time is left")
                continue
            try:
                yield from stage()
            except Exception as error:  # what follows must still be measured
                sentence = f"{type(error).__name__}: {error}".splitlines()[0]
                yield Row(CASE, name, "", note=f"failed: {sentence}")


def stages(
    plan: Plan, turns: int, results: Path, end: float
) -> Iterator[tuple[str, Callable[[], Iterator[Row]]]]:
    """The stages by name, in order."""
    for shape in plan.shapes:
        for precision in plan.precisions:
            name = f"{shape}, {precision} products"
            yield name, partial(training, name, shape, precision, turns)
    yield "learners", partial(baselines, plan.prompts, turns)
    yield "ensemble", partial(ensemble, plan.member, plan.members, turns)
    yield "grid", partial(grid, plan.states, turns)
    yield "pooled", partial(pooled, plan.states, turns)
    yield "figure 1", partial(figure, plan.preset, results, end)
    yield "the paper's model", partial(paper, plan.long, results, end)


def training(name: str, shape: Shape, precision: Any, turns: int) -> Iterator[Row]:
    """A row for ours, beside PyTorch's compiled GPT-2 where it is installed."""
    sides: dict[str, Callable[[], Any]] = {
        "ours": steps.seconds_per_step(steps.ours(shape, precision=precision)),
        "limit": limits.matmul(precision=precision),
    }
    work = Work(shape.flops, f"{precision} matmul, FLOP/s")
    # Ours comes first and alone, so that it is kept if PyTorch fails.
    yield row(CASE, name, alternate(sides, turns), work=work)
    if find_spec("torch") is None or find_spec("transformers") is None:
        return
    way = "compile" if shutil.which("g++") else "sdpa"
    factory = "benchmarks.accelerator:in_torch"
    with Worker(factory, shape, way, precision) as sides["theirs"]:
        sides["theirs"]()
        found = alternate(sides, turns)
    yield row(CASE, name, found, "theirs", f"GPT-2 in PyTorch, {way}", work=work)


def baselines(size: tuple[int, int, int], turns: int) -> Iterator[Row]:
    """A row for all learners on one spectrum, and one for least squares alone."""
    count, dim, length = size
    prompts = LinearRegression(dim, length).sample(jax.random.key(0), batch=count)
    prompts = Prompts(prompts.xs, prompts.ys)

    def alone() -> Any:
        return jax.block_until_ready(LeastSquares()(prompts))

    def together() -> Any:
        return learners.ours(prompts)

    named = {
        f"{len(learners.learners())} learners": together,
        "least squares alone": alone,
    }
    for name, run in named.items():
        run()  # compiles
        yield row(
            CASE,
            f"{name}, {count} prompts, d = {dim}, {length} pairs",
            alternate({"ours": timed(run)}, turns),
            work="no limit: small factorisations in float64",
        )


def ensemble(shape: Shape, members: int, turns: int) -> Iterator[Row]:
    """A row for members as one program, beside one run after the other."""
    alone = steps.seconds_per_step(steps.ours(shape))
    sides = {
        "ours": steps.seconds_per_step(steps.ours(shape, members)),
        "alone": lambda: members * alone(),
        "limit": limits.matmul(),
    }
    yield row(
        CASE,
        f"{members} models of {shape}",
        alternate(sides, turns),
        "alone",
        f"{members} runs, one after the other",
        work=Work(members * shape.flops, "default matmul, FLOP/s"),
        note="a step of all of them",
    )


def grid(size: tuple[int, int, int, int], turns: int) -> Iterator[Row]:
    """A row for ridge probes of every layer and token."""
    hidden, targets = states(size)
    yield row(
        CASE,
        f"ridge probes: {describe(size)}",
        alternate({"ours": timed(probe_grid, hidden, {"w": targets})}, turns),
        work="no limit: computed on the host",
    )


def pooled(size: tuple[int, int, int, int], turns: int) -> Iterator[Row]:
    """A row for pooled probes of one layer, one for every number of tokens."""
    hidden, targets = states((1, *size[1:]))
    tokens = hidden.shape[2]
    reads = np.tri(tokens, dtype=bool)
    held_out = len(targets) // 4
    run = partial(
        fit,
        hidden,
        np.broadcast_to(targets, (tokens, *targets.shape)),
        reads,
        train=np.arange(held_out, len(targets)),
        validation=np.arange(held_out),
        config=ProbeConfig(max_iter=20),
    )
    run()  # compiles
    yield row(
        CASE,
        f"pooled probes, {tokens} side by side: {describe((1, *size[1:]))}",
        alternate({"ours": timed(run)}, turns),
        work="no limit: 20 epochs of small products",
    )


def figure(preset: str, results: Path, end: float) -> Iterator[Row]:
    """A row for Figure 1 with all that it needs, in a fresh results folder.

    It is stopped when the time is over, and then has no row.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "experiments.akyurek2023.fig1", preset]
        start = time.perf_counter()
        subprocess.run(
            [*command, "--results", folder],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=max(end - time.monotonic(), 1),
        )
        seconds = np.array([time.perf_counter() - start])
        pictures = list(Path(folder).rglob("figure.png"))
        if not pictures:
            raise RuntimeError("the command ended without a picture")
        results.mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures[0], results / f"fig1-{preset}.png")
    yield row(
        CASE,
        f"Figure 1 at {preset}, end to end",
        {"ours": seconds},
        work="no limit: training, evaluation and drawing",
        note="from an empty results folder, in a process of its own",
    )


def paper(name: str, results: Path, end: float) -> Iterator[Row]:
    """A row for the training of a reference model until the time is over."""
    setting = SETTINGS[name]
    made: list[tuple[int, float, float]] = []

    def note(step: int, means: dict[str, float]) -> None:
        made.append((step, time.monotonic(), means["loss"]))
        if time.monotonic() > end:
            raise KeyboardInterrupt

    finished = True
    try:
        train(
            setting.task,
            setting.model,
            setting.train,
            key=jax.random.key(setting.seed),
            directory=results / name,
            callback=note,
        )
    except KeyboardInterrupt:
        if time.monotonic() <= end:  # by the user
            raise
        finished = False
    if len(made) < 2:
        yield Row(CASE, f"{name} model", "", note="fewer than two chunks of steps made")
        return
    (first, start, _), (last, stop, loss) = made[0], made[-1]
    yield row(
        CASE,
        f"{name} model: {setting.model.layers} x {setting.model.width}",
        {"ours": np.array([(stop - start) / (last - first)])},
        work="no limit: see the training steps",
        note=f"a step; {last} of {setting.train.steps} steps made, the last chunk's "
        f"mean loss {loss:.4g}; {'finished' if finished else 'call again to go on'}, "
        f"on {device()}",
    )


def states(size: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Random hidden states, and a target that the last layer's last token holds."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=size).astype(np.float32)
    targets = hidden[-1, :, -1] @ rng.normal(size=(size[3], 4))
    return hidden, targets + rng.normal(size=targets.shape)


def describe(size: tuple[int, int, int, int]) -> str:
    """Sizes of hidden states, in words."""
    layers, prompts, tokens, features = size
    return f"{layers} layers, {tokens} tokens, {features} features, {prompts} prompts"


# --- in a worker ---


def in_torch(shape: list[int], way: str, precision: str) -> Callable[[], float]:
    """A turn of GPT-2 in PyTorch."""
    return steps.seconds_per_step(steps.theirs(Shape(*shape), way, precision))
