"""How is a transformer trained on a task? As one compiled program.

Sampling, forward pass, gradient and update happen inside one loop on the device; the
host is met once per chunk. Step s draws its prompts from `fold_in(key, s)`, so what is
seen depends neither on chunks, interruptions nor the number of devices: a run that was
killed and resumed ends in the same bits. An ensemble is the same program with one more
axis (`icl.training.ensemble`); several processes may be one run
(`icl.training.processes`).
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from icl import checks
from icl.model.config import ModelConfig
from icl.tasks.linear import LinearRegression
from icl.training import checkpoint, precision, processes
from icl.training.compiled import (
    Program,
    Scales,
    compile_program,
    devices_of,
    scales_of,
)
from icl.training.config import TrainConfig
from icl.training.description import describe
from icl.training.trained import Trained, assemble, history_of

JUDGED = 512
"""Fresh prompts on which the precision of training is judged."""

Callback = Callable[[int, dict[str, float]], None]


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient became NaN or infinite; the message names the step."""


def train(
    task: LinearRegression,
    model_config: ModelConfig,
    train_config: TrainConfig,
    *,
    key: Key[Array, ""],
    directory: str | Path | None = None,
    callback: Callback | None = None,
    devices: int | Sequence[jax.Device] | None = None,
) -> Trained:
    """Trains a transformer on a task.

    Args:
        task: where prompts come from.
        model_config: shape and variant of the transformer.
        train_config: settings of the run.
        key: a typed key, `jax.random.key(0)`; initial parameters, training data and
            held-out data all follow from it.
        directory: where to keep checkpoints. Called again with the same arguments, the
            run goes on from the newest one, or is returned if it is finished. Ctrl-C
            (and a `KeyboardInterrupt` that `callback` raises) then saves before it
            stops. One run at a time.
        callback: called once per chunk with the number of updates made and the chunk's
            mean "loss" and "gradient_norm".
        devices: the batch is split over these. A number takes so many of each process,
            None the most that divide the batch (on a CPU not more than have something
            to do). Round-off alone depends on it, and a run may go on with others than
            it began with.

    Returns:
        The trained model with its history. A `PrecisionWarning` says if the products
        that it was trained with are too coarse for it (`icl.training.precision`).

    Raises:
        NonFiniteLossError: the loss or its gradient became NaN or infinite. The last
            good checkpoint stays.
        ValueError: `key` is not a typed key, there are not so many devices, the batch
            does not divide over them, the precision is not one of the device's, or
            `directory` holds a run with other settings (the message says which).
        CheckpointError: every checkpoint in `directory` is damaged.
        OSError: `directory` cannot be written.

    Example:
        >>> trained = train(
        ...     LinearRegression(dim=2, length=4),
        ...     ModelConfig(layers=1, width=8),
        ...     TrainConfig(steps=4, batch=8, held_out=16),
        ...     key=jax.random.key(0),
        ... )
        >>> dict(trained.history.sizes)
        {'step': 4, 'evaluation': 2, 'context': 4}
    """
    checks.typed_key("key", key)
    devices = devices_of(devices, task, train_config, None)
    precision.check_device(train_config.precision, devices[0])
    run = Run(
        program=compile_program(task, model_config, train_config, devices, None),
        config=train_config,
        keys=key,
        scales=scales_of(task, train_config),
        about=about_of(task, model_config, train_config, key),
        directory=None if directory is None else Path(directory),
    )
    run.finish(callback)
    history = run.history()
    trained = assemble(
        task, model_config, train_config, run.state.params, history, run.step
    )
    if run.advanced:
        judge_precision(trained, key, devices[0])
    return trained


def judge_precision(trained: Trained, key: Array, device: jax.Device) -> None:
    """Warns if training rounded products (as it may on `device`) and that mattered."""
    rounds = precision.rounds(trained.train_config.precision, device)
    if rounds and trained.task.length > 1 and processes.is_first():
        fresh = jax.random.fold_in(key, trained.steps)
        precision.judge(trained, trained.task.sample(fresh, batch=JUDGED))


@dataclass
class Run:
    """A run in progress: where it stands, and what has been recorded so far."""

    program: Program
    config: TrainConfig
    keys: Array
    scales: Scales
    about: dict[str, Any]
    directory: Path | None
    step: int = 0
    state: Any = None  # a State, once resumed or initialised
    records: dict[str, list[np.ndarray]] = field(default_factory=dict)
    advanced: bool = False  # by this call, and not by an earlier one alone

    def finish(self, callback: Callback | None) -> None:
        """From the newest checkpoint, or from the start, to the last step."""
        with ExitStack() as stack:
            # Several processes must not stop one by one, not even while they compile.
            several = jax.process_count() > 1
            interrupted = stack.enter_context(_interrupt_deferred(several))
            self._begin()
            if not several:
                wanted = self.directory is not None
                interrupted = stack.enter_context(_interrupt_deferred(wanted))
            self._go_on(callback, interrupted)

    def _begin(self) -> None:
        """The newest checkpoint, or the initial state."""
        processes.check_alike(self.about)
        place = processes.agreed(self.directory and str(self.directory))
        directory = self.directory = place and Path(place)
        resumed = self._resume()
        if directory and self.step < self.config.steps:
            processes.by_first(lambda: checkpoint.prepare(directory))
        if not resumed:
            self.state = self.program.init(self.keys)
            self._evaluate()

    def _go_on(
        self, callback: Callback | None, interrupted: Callable[[], bool]
    ) -> None:
        """To the last step."""
        while self.step < self.config.steps:
            means = self._advance()
            done = self.step == self.config.steps
            if done or self.step % self.config.evaluate_every == 0:
                self._evaluate()
            due = self.step % self.config.checkpoint_every == 0
            if done or due:
                self.save()
            try:
                if callback:
                    callback(self.step, means)
                stop = interrupted()
            except KeyboardInterrupt:
                stop = True
            if processes.any_of(stop):
                if not (done or due):
                    self.save()
                raise KeyboardInterrupt

    def history(self, member: int | None = None) -> dict[str, np.ndarray]:
        """All records so far, of one member if the run is an ensemble."""
        joined = {name: np.concatenate(parts) for name, parts in self.records.items()}
        if member is None:
            return joined
        return {
            name: array if name == "evaluated" else array[:, member]
            for name, array in joined.items()
        }

    def _advance(self) -> dict[str, float]:
        """One chunk, or less where an evaluation or a checkpoint comes first."""
        config = self.config
        periods = (config.chunk, config.evaluate_every, config.checkpoint_every)
        stop = min(config.steps, *((self.step // p + 1) * p for p in periods))
        self.state, losses, norms = self.program.advance(
            self.state, self.keys, self.scales, self.step, stop
        )
        self.advanced = True
        losses = np.asarray(losses)[: stop - self.step]
        norms = np.asarray(norms)[: stop - self.step]
        finite = np.isfinite(losses) & np.isfinite(norms)
        alive = finite.reshape(len(finite), -1).any(axis=1)
        if not alive.all():
            self._stop_at(self.step + int(np.argmin(alive)))
        self._record(loss=losses, gradient_norm=norms)
        self.step = stop
        return {
            "loss": float(losses.mean(where=finite)),
            "gradient_norm": float(norms.mean(where=finite)),
        }

    def _stop_at(self, step: int) -> None:
        rates = np.atleast_1d(self.scales.rate).tolist()
        saved = self.directory and checkpoint.folders(self.directory)
        kept = f"Checkpoints in {self.directory} stay." if saved else ""
        raise diverged(step, self.config.steps, rates, kept)

    def _evaluate(self) -> None:
        loss = self.program.evaluate(self.state.params, self.keys, self.scales)
        self._record(
            held_out_loss=np.asarray(loss)[None], evaluated=np.array([self.step])
        )

    def _record(self, **arrays: np.ndarray) -> None:
        for name, array in arrays.items():
            self.records.setdefault(name, []).append(array)

    def save(self) -> None:
        """Adds a checkpoint to the directory, if there is one."""
        directory = self.directory
        if directory is None:
            return
        arrays = checkpoint.flatten(processes.on_host(self.state), "state")
        arrays |= checkpoint.flatten(self.history(), "history")
        stored = checkpoint.Stored(self.step, self.about, arrays)
        processes.by_first(lambda: str(checkpoint.write(directory, stored)))

    def _resume(self) -> bool:
        """Takes the newest checkpoint up; False if there is none."""
        found = processes.by_first(self._newest)
        if found is None:
            return False
        stored = checkpoint.Stored(*found)
        abstract = jax.eval_shape(self.program.init, self.keys)
        state = checkpoint.unflatten(stored.arrays, abstract, "state")
        self.state = self.program.place(state)
        self.step = stored.step
        history = history_of(stored.arrays)
        self.records = {name: [array] for name, array in history.items()}
        return True

    def _newest(self) -> checkpoint.Stored | None:
        """The newest checkpoint in the directory, which must be of this run."""
        stored = checkpoint.read_latest(self.directory) if self.directory else None
        if stored is None:
            return None
        differences = checks.differences(stored.about, self.about)
        if differences:
            raise ValueError(
                f"{self.directory} holds a run with other settings "
                f"({'; '.join(differences)}); choose another directory."
            )
        return stored


@contextmanager
def _interrupt_deferred(wanted: bool) -> Iterator[Callable[[], bool]]:
    """Holds Ctrl-C back until the block asks; a second one gets through at once.

    Only the main thread may set signal handlers, so elsewhere nothing is held back.
    """
    pressed: list[int] = []
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def diverged(
    step: int, steps: int, rates: Sequence[float], kept: str = ""
) -> NonFiniteLossError:
    """The error of a run, or of an ensemble with these learning rates."""
    ends = " to ".join(f"{rate:g}" for rate in sorted({min(rates), max(rates)}))
    return NonFiniteLossError(
        f"The loss or its gradient became NaN or infinite at step {step} of {steps} "
        f"(learning rate {ends}).{kept and f' {kept}'} "
        "Try a lower learning rate, a longer warm-up or clipping."
    )


def about_of(
    task: LinearRegression,
    model_config: ModelConfig,
    train_config: TrainConfig,
    key: Array,
) -> dict[str, Any]:
    """What a checkpoint says of its run: the configs, and the key as JSON."""
    data = [str(jax.random.key_impl(key)), jax.random.key_data(key).tolist()]
    return describe(task, model_config, train_config) | {"key": data}
