"""How is a transformer trained on a task? By one compiled program.

Sampling, forward pass, gradient and update happen inside one loop on the device, which
meets the host once per chunk. Step s draws its prompts from `fold_in(key, s)`. So the
prompts depend neither on chunks nor on interruptions nor on the number of devices, and
a run that was killed and resumed ends in the same bits. An ensemble is the same program
with one more axis (`icl.training.ensemble`); several processes may be one run
(`icl.training.processes`).
"""

import bisect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Key

from icl import checks, signals
from icl.files import alone_in, expanded
from icl.model.config import ModelConfig
from icl.model.transformer import Transformer
from icl.pytrees import named
from icl.tasks.base import Task
from icl.tasks.drawing import Drawn, check_draws, summarised
from icl.training import checkpoint, precision, processes
from icl.training.arguments import check_callback, check_configs, in_float32
from icl.training.compiled import (
    RATE,
    Compiled,
    Scales,
    compile_program,
    devices_of,
    program_key,
    scales_of,
)
from icl.training.config import TrainConfig
from icl.training.curriculum import check_curriculum
from icl.training.description import (
    DRAWN,
    PARTS,
    Configs,
    describe,
    differences,
)
from icl.training.trained import Trained, assemble, history_of
from icl.training.warm_start import origin_of, start_of

OWN = (*PARTS, DRAWN)  # what `differences` looks at in a checkpoint
JUDGED = 512
"""The number of fresh prompts on which the precision of training is judged."""

Callback = Callable[[int, dict[str, float]], None]


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient became NaN or infinite; the message names the step."""


@in_float32
def train(
    task: Task,
    model_config: ModelConfig,
    train_config: TrainConfig,
    *,
    key: Key[Array, ""],
    directory: str | Path | None = None,
    callback: Callback | None = None,
    devices: int | Sequence[jax.Device] | None = None,
    init: Trained | Transformer | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Trained:
    """Trains a transformer on a task.

    Everything is drawn and computed in float32, also where float64 is on
    (`jax_enable_x64`): the same arguments give the same bits.

    Args:
        task: the source of prompts; a task of your own derives from `icl.Task`.
        model_config: the shape and variant of the transformer.
        train_config: the settings of the run.
        key: a typed key, `jax.random.key(0)`; initial parameters, training data and
            held-out data all follow from it.
        directory: the directory of the checkpoints. When `train` is called again with
            the same arguments, the run goes on from the newest one, or is returned if
            it is finished. Ctrl-C (and a `KeyboardInterrupt` that `callback` raises)
            then saves before it stops, and so do SIGTERM and SIGHUP, which raise
            `SystemExit`. A directory is for one run at a time.
        callback: a function that is called once per chunk with the number of updates
            made and the chunk's mean "loss" and "gradient_norm".
        devices: the devices over which the batch is split. A number takes so many of
            each process, and None as many as divide the batch (on a CPU not more than
            have enough to do). Only round-off depends on them, and a run may go on with
            other devices than it began with.
        init: a model of the same shape, whose parameters training begins with; None
            draws them from `key`. The optimiser and the schedule begin anew. To train a
            finished run for longer, hand it over with another key: step s draws its
            prompts by the key and s, so that the same key would show the same prompts.
        optimizer: an optax transformation in place of the one that `train_config`
            names. Its updates are applied as they are: it has a learning rate of its
            own, and `learning_rate`, `schedule`, `clip` and the like have no effect.
            Checkpoints do not hold it, so hand over the same one to resume.

    Returns:
        The trained model with its history. A `PrecisionWarning` says if the products
        that it was trained with are too coarse for it (`icl.training.precision`).

    Raises:
        NonFiniteLossError: the loss or its gradient became NaN or infinite. The last
            good checkpoint stays.
        ValueError: `task` is no task (`icl.testing.check_task` says more), a config is
            of another kind, `key` is not a typed key, there are fewer devices, the
            batch does not divide over them, the device does not have the precision,
            `init` has another shape, or `directory` holds a run with other settings,
            or of a task whose code has changed (the message says which), or another
            process is training in it.
        CheckpointError: every checkpoint in `directory` is damaged.
        OSError: `directory` cannot be written.

    Example:
        >>> from icl import LinearRegression
        >>> trained = train(
        ...     LinearRegression(dim=2, length=4),
        ...     ModelConfig(layers=1, width=8),
        ...     TrainConfig(steps=4, batch=8, held_out=16),
        ...     key=jax.random.key(0),
        ... )
        >>> dict(trained.history.sizes)
        {'step': 4, 'evaluation': 2, 'context': 4}
    """
    check_configs(task, model_config, train_config)
    checks.typed_key("key", key)
    check_callback(callback)
    place = None if directory is None else expanded(directory, "directory")
    devices = devices_of(devices, task.codec, train_config, None)
    precision.check_device(train_config.precision, devices[0])
    start = None if init is None else start_of(init, task, model_config)
    origin = origin_of(start, optimizer)
    drawn = check_draws(task)
    check_curriculum(task, train_config.curriculum)
    made_of = (task, model_config, train_config)
    program = program_key(*made_of)
    run = Run(
        program=compile_program(program, devices, None, optimizer),
        made_of=made_of,
        keys=key,
        scales=scales_of(task, train_config, program),
        about=about_of(made_of, key, drawn) | origin,
        directory=place,
        start=start,
        origin=origin,
    )
    run.finish(callback)
    trained = assemble(made_of, run.state.params, run.history(), run.step, origin)
    if run.advanced:
        judge_precision(trained, key, devices[0])
    return trained


def judge_precision(trained: Trained, key: Array, device: jax.Device) -> None:
    """Warns if training on this device rounded products and that mattered."""
    name = trained.train_config.precision
    if precision.rounds(name, device) and processes.is_first():
        fresh = jax.random.fold_in(key, trained.steps)
        batch = trained.task.sample(fresh, batch=JUDGED)
        precision.judge(trained.model, name, batch)


@dataclass
class Run:
    """A run in progress, with its state and all that has been recorded so far."""

    program: Compiled
    made_of: Configs  # the task of the first member, if this is an ensemble
    keys: Array
    scales: Scales
    about: dict[str, Any]
    directory: Path | None
    start: Any = None  # parameters to begin with; None draws them from the keys
    origin: dict[str, Any] = field(default_factory=dict)  # see `Trained.origin`
    step: int = 0
    state: Any = None  # a TrainState, once the run is resumed or initialised
    records: dict[str, list[np.ndarray]] = field(default_factory=dict)
    advanced: bool = (
        False  # whether this call made updates, and not only an earlier one
    )

    def __post_init__(self) -> None:
        self.config = self.made_of[2]
        self.evaluations = self.config.evaluation_steps
        self.checkpoints = self.config.checkpoint_steps

    def finish(self, callback: Callback | None) -> None:
        """Trains from the newest checkpoint, or from the start, to the last step."""
        with ExitStack() as stack:
            # Several processes must stop together, even while they compile.
            several = jax.process_count() > 1
            interrupted = stack.enter_context(signals.deferred(several))
            processes.by_first(lambda: stack.enter_context(self._alone()))
            self._begin()
            if not several:
                wanted = self.directory is not None
                interrupted = stack.enter_context(signals.deferred(wanted))
            self._go_on(callback, interrupted)

    def _alone(self) -> AbstractContextManager[None]:
        """Keeps other processes from training in the directory at the same time."""
        directory = self.directory
        if directory is None or checkpoint.reaches(directory, self.config.steps):
            return nullcontext()  # what is finished is only read
        directory.mkdir(parents=True, exist_ok=True)
        return alone_in(directory)

    def _begin(self) -> None:
        """Takes up the newest checkpoint, or makes the initial state."""
        processes.check_alike(self.about)
        place = processes.agreed(self.directory and str(self.directory))
        directory = self.directory = place and Path(place)
        resumed = self._resume()
        if directory and self.step < self.config.steps:
            processes.by_first(lambda: checkpoint.prepare(directory))
        if not resumed:
            self.state = self._initial()
            self._evaluate()

    def _initial(self) -> Any:
        if self.start is None:
            return self.program.init(self.keys)
        return self.program.start(self.program.place(self.start))

    def _go_on(
        self,
        callback: Callback | None,
        interrupted: Callable[[], BaseException | None],
    ) -> None:
        """Trains to the last step."""
        while self.step < self.config.steps:
            means = self._advance()
            if self.step in self.evaluations:
                self._evaluate()
            due = self.step in self.checkpoints
            if due:
                self.save()
            try:
                if callback:
                    callback(self.step, means)
                stop = interrupted()
            except KeyboardInterrupt as pressed:
                stop = pressed
            if processes.any_of(stop is not None):
                if not due:
                    self.save()
                raise stop or KeyboardInterrupt

    def history(self, member: int | None = None) -> dict[str, np.ndarray]:
        """Returns all records so far, of one member if the run is an ensemble."""
        joined = {name: np.concatenate(parts) for name, parts in self.records.items()}
        if member is None:
            return joined
        return {
            name: array if name == "evaluated" else array[:, member]
            for name, array in joined.items()
        }

    def _advance(self) -> dict[str, float]:
        """Trains for a chunk, or less where an evaluation or a checkpoint is due."""
        chunk = self.config.chunk
        stops = [(self.step // chunk + 1) * chunk]
        for steps in (self.evaluations, self.checkpoints):
            stops += steps[bisect.bisect_right(steps, self.step) :][:1]
        stop = min(stops)
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
        rates = np.atleast_1d(self.scales[RATE]).tolist()
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
        arrays = named(processes.on_host(self.state), "state")
        arrays |= named(self.history(), "history")
        stored = checkpoint.Stored(self.step, self.about, arrays)
        kept = self.config.kept_steps
        processes.by_first(lambda: str(checkpoint.write(directory, stored, kept)))

    def _resume(self) -> bool:
        """Takes up the newest checkpoint; returns False if there is none."""
        abstract = self.program.abstract(self.keys)
        found = processes.by_first(lambda: self._newest(abstract))
        if found is None:
            return False
        stored = checkpoint.Stored(*found)
        state = checkpoint.fitted(stored, abstract, "state")
        self.state = self.program.place(state)
        self.step = stored.step
        history = self._records_of(stored)
        self.records = {name: [array] for name, array in history.items()}
        return True

    def _newest(self, abstract: Any) -> checkpoint.Stored | None:
        """Returns the newest checkpoint in the directory, which must be of this run."""

        def use(stored: checkpoint.Stored) -> None:
            if not self._apart(stored):
                checkpoint.fitted(stored, abstract, "state")
                self._records_of(stored)

        stored = checkpoint.read_latest(self.directory, use) if self.directory else None
        if stored is None:
            return None
        apart = self._apart(stored)
        if apart:
            raise ValueError(
                f"{self.directory} holds a run with other settings "
                f"({'; '.join(apart)}); choose another directory."
            )
        return stored

    def _records_of(self, stored: checkpoint.Stored) -> dict[str, np.ndarray]:
        slots = len(self.made_of[0].codec.slots)
        return history_of(stored, slots, self.keys.shape)

    def _apart(self, stored: checkpoint.Stored) -> list[str]:
        """Returns where a checkpoint is of another run, in words."""
        have, want = (
            {name: value for name, value in about.items() if name not in OWN}
            for about in (stored.about, self.about)
        )
        return differences(stored.about, self.made_of) + checks.differences(have, want)


def diverged(
    step: int, steps: int, rates: Sequence[float], kept: str = ""
) -> NonFiniteLossError:
    """Returns the error of a run, or of an ensemble with these learning rates."""
    ends = " to ".join(f"{rate:g}" for rate in sorted({min(rates), max(rates)}))
    return NonFiniteLossError(
        f"The loss or its gradient became NaN or infinite at step {step} of {steps} "
        f"(learning rate {ends}).{kept and f' {kept}'} "
        "Try a lower learning rate, a longer warm-up or clipping."
    )


def about_of(made_of: Configs, key: Array, drawn: Drawn) -> dict[str, Any]:
    """Returns what a checkpoint says of its run: the configs, and the key as JSON.

    It also says what the task draws.
    """
    data = [str(jax.random.key_impl(key)), jax.random.key_data(key).tolist()]
    return describe(*made_of) | {"key": data, DRAWN: summarised(drawn)}
