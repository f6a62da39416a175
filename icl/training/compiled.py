"""What runs on the device while a transformer trains?

Functions that are made from frozen configs and compiled: the initial state, a stretch
of training steps, and an evaluation. The host decides only where a stretch ends
(`icl.training.run`). The functions are compiled once per configuration and used again
within the process. Numbers that change no shape (the learning rate, and the `scales` of
a task) are arguments: runs that differ in nothing else share one program, one after the
other or as the members of an ensemble. `program_key` alone says which runs do.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from icl.codecs import Codec
from icl.model.building import blueprint, build
from icl.model.config import ModelConfig
from icl.tasks import drawing
from icl.tasks.base import Task, scale_values, with_values
from icl.training import processes
from icl.training.config import HOST_ONLY, TrainConfig, schedule
from icl.training.loop import advanced
from icl.training.optimizers import OPTIMIZERS
from icl.training.precision import products

TOKENS = 384  # tokens in a part of the batch, on CPU
RATE = "learning rate"  # with a space: no field of a task has this name

Scales = Mapping[str, jax.Array]
"""The peak learning rate, under the name `RATE`, and the task's scales by name."""


class TrainState(NamedTuple):
    """The state that a step changes: parameters and the optimiser's moments."""

    params: Any
    moments: Any


class Compiled(NamedTuple):
    """The compiled functions of a run or of an ensemble.

    `keys` and `scales` are those of the run, or one for each member.

    Attributes:
        draw: keys -> initial parameters.
        start: params -> TrainState, with these parameters.
        advance: (TrainState, keys, scales, start, stop) -> (TrainState, losses,
            gradient norms), each of the last two (chunk,) or (chunk, members) with
            stop - start entries filled; it stops early after a step whose loss is not
            finite (for an ensemble: not finite for any member). It takes its state's
            memory over.
        evaluate: (params, keys, scales) -> held-out loss, (slots,) or
            (members, slots).
        place: puts a TrainState on the run's devices.
    """

    draw: Callable[..., Any]
    start: Callable[..., TrainState]
    advance: Callable[..., tuple[TrainState, jax.Array, jax.Array]]
    evaluate: Callable[..., jax.Array]
    place: Callable[[Any], Any]

    def init(self, keys: jax.Array) -> TrainState:
        """Returns the state that a run begins with, if no parameters are given."""
        return self.start(self.draw(keys))

    def abstract(self, keys: jax.Array) -> TrainState:
        """Returns the shapes and dtypes of that state."""
        return jax.eval_shape(self.start, jax.eval_shape(self.draw, keys))


class ProgramKey(NamedTuple):
    """The configs that a program is compiled for: runs with equal keys share one.

    Attributes:
        task: the task, with 0 in place of `scales`.
        scales: the scales of the task that the program takes as arguments.
        data: a hash of what the task computes. It follows all that its code reads: a
            field that equality leaves out, an attribute of its class, a global.
        model: the shape and variant of the transformer.
        train: the settings of the run, with a learning rate of 1 and `HOST_ONLY`.
        optimizer: what `OPTIMIZERS` has under the run's name, which may be replaced.
    """

    task: Task
    scales: tuple[str, ...]
    data: str
    model: ModelConfig
    train: TrainConfig
    optimizer: Callable[[Any], optax.GradientTransformation]


def program_key(task: Task, model: ModelConfig, train: TrainConfig) -> ProgramKey:
    """Returns what decides whether two runs share a compiled program."""
    scales, data = _traced(task)
    neutral = with_values(task, dict.fromkeys(scales, 0.0))
    train = replace(train, learning_rate=1.0, **HOST_ONLY)
    optimizer = OPTIMIZERS[train.optimizer]
    return ProgramKey(neutral, scales, data, model, train, optimizer)


def scales_of(task: Task, config: TrainConfig, key: ProgramKey | None = None) -> Scales:
    """Returns the numbers of one run that its program takes as arguments.

    `key` is its `program_key`, where it is known already.
    """
    values = scale_values(task)
    names = traced_scales(task) if key is None else key.scales
    traced = {name: jnp.float32(values[name]) for name in names}
    return {RATE: jnp.float32(config.learning_rate), **traced}


def traced_scales(task: Task) -> tuple[str, ...]:
    """Returns the scales of a task that its program takes as arguments: all, or none.

    There are none if `sample` cannot be traced with JAX scalars in place of numbers,
    for example because it says `if self.noise_std > 0`, or reads an attribute that
    `__post_init__` derived from them. The program is then compiled for these numbers.
    """
    return _traced(task)[0]


def _traced(task: Task) -> tuple[tuple[str, ...], str]:
    """Returns `traced_scales`, and the hash of what is computed with them."""
    if task.scales:
        try:
            return tuple(task.scales), drawing.program(task, task.scales).hash
        except Exception:  # the task's own code may raise anything on a tracer
            pass
    return (), drawing.program_hash(task)


def devices_of(
    devices: int | Sequence[jax.Device] | None,
    codec: Codec,
    config: TrainConfig,
    members: int | None,
) -> tuple[jax.Device, ...]:
    """Returns the devices of a run, as `train` and `train_ensemble` take them.

    Raises:
        ValueError: `icl.training.processes.chosen` refuses them.
    """
    if members is not None:
        return processes.chosen(devices, "number of members", members)
    # Devices of a CPU are cores. The part of the batch that each has must be worth the
    # time that they wait for each other.
    tokens = config.batch * codec.count
    most = max(1, tokens // TOKENS) if jax.default_backend() == "cpu" else None
    return processes.chosen(devices, "batch", config.batch, most)


# Each program keeps about 100 MB of compiled code alive, so that a process that trains
# many shapes lets go of the oldest. A few suffice, as runs of one shape are successive.
@lru_cache(maxsize=4)
def compile_program(
    key: ProgramKey,
    devices: tuple[jax.Device, ...],
    members: int | None,
    optimizer: optax.GradientTransformation | None = None,
) -> Compiled:
    """Returns the program of one run (`members` None) or of an ensemble.

    One run splits its batch over the devices; an ensemble splits its members. The
    updates of an `optimizer` that the caller gives are applied as they are.
    """
    mesh = Mesh(np.array(devices), ("split",))
    split = NamedSharding(mesh, PartitionSpec("split"))
    whole = NamedSharding(mesh, PartitionSpec())
    home = whole if members is None else split
    run = _Functions(key, optimizer, _parts(key, devices, members))
    if members is None:
        step = partial(run.step, derive=run.over_devices(mesh), sharding=split)
        start, evaluate = run.start, run.evaluate
    else:
        step = partial(run.step, derive=run.loss_and_gradient, sharding=None)
        step = jax.vmap(step, in_axes=(0, 0, 0, None))
        start, evaluate = map(jax.vmap, (run.start, run.evaluate))
    records = (key.train.chunk, *(() if members is None else (members,)))
    advance = partial(advanced, step=step, records=records)
    compiled = partial(jax.jit, compiler_options=_compiler_options(devices[0]))
    return Compiled(
        draw=_drawing(run.codec, key.model, home, members),
        start=compiled(start, out_shardings=home),
        advance=compiled(advance, donate_argnums=0, out_shardings=(home, whole, whole)),
        evaluate=compiled(evaluate, out_shardings=whole),
        place=partial(processes.place, sharding=home),
    )


@lru_cache(maxsize=4)
def _drawing(
    codec: Codec, model: ModelConfig, home: NamedSharding, members: int | None
) -> Callable[..., Any]:
    """Returns `Compiled.draw`, which runs share that differ in how they are trained."""

    def draw(key: jax.Array) -> Any:
        return nnx.state(build(codec, model, _streams(key)["init"]))

    return jax.jit(
        draw if members is None else jax.vmap(draw),
        out_shardings=home,
        compiler_options=_compiler_options(home.mesh.devices.flat[0]),
    )


def _compiler_options(device: jax.Device) -> dict[str, Any] | None:
    """Returns how much XLA optimises on CPU, unless `XLA_FLAGS` say so themselves."""
    # Only products take long there, and XLA calls a library for them. To optimise the
    # code around them less saves a third of compiling, and costs no speed.
    level = "xla_backend_optimization_level"
    if device.platform != "cpu" or level in os.environ.get("XLA_FLAGS", ""):
        return None
    return {level: 1}


class _Functions:
    """The functions of a program for one run, before they are compiled."""

    def __init__(
        self,
        key: ProgramKey,
        optimizer: optax.GradientTransformation | None,
        parts: int,
    ):
        self.task, self.model, self.config = key.task, key.model, key.train
        self.codec = self.task.codec
        self.graphdef, _ = blueprint(self.codec, self.model)
        self.own_updates = optimizer is not None
        self.optimizer = optimizer or key.optimizer(self.config)
        self.schedule = schedule(self.config)
        self.parts = parts

    def start(self, params: Any) -> TrainState:
        """Returns the state of a run that begins with these parameters."""
        return TrainState(params, self.optimizer.init(params))

    def sample(self, key: jax.Array, values: Mapping[str, Any], batch: int) -> Any:
        """Draws a batch by the task's own `sample`, with these values in its fields."""
        values = {name: value for name, value in values.items() if name != RATE}
        return with_values(self.task, values).sample(key, batch=batch)

    def losses(self, params: Any, batch: Any) -> jax.Array:
        """Returns how wrong each prediction is, (batch, slots)."""
        predictions = nnx.merge(self.graphdef, params).predict(batch)
        return self.codec.losses(predictions, batch)

    def weighted_loss(self, params: Any, batch: Any, pairs: Any) -> tuple[Any, Any]:
        """Returns the sum of weight times loss and that of weights, or the mean and 1.

        It is the mean and 1 where all weights are equal. `pairs` is the number of slots
        that count, or None for all of them.
        """
        losses = self.losses(params, batch)
        weights = self.codec.slot_weights(batch)
        if pairs is not None:
            active = (jnp.arange(losses.shape[1]) < pairs).astype(losses.dtype)[None]
            weights = (jnp.ones_like(losses) if weights is None else weights) * active
        if weights is None:
            return losses.mean(), jnp.ones(())
        return (weights * losses).sum(), weights.sum()

    def sums(self, params: Any, batch: Any, pairs: Any) -> tuple[Any, Any, Any]:
        """Returns loss, weight and gradient, added up over parts of the batch."""

        def add(total: Any, part: Any) -> tuple[Any, None]:
            loss = partial(self.weighted_loss, batch=part, pairs=pairs)
            derive = jax.value_and_grad(loss, has_aux=True)
            with products(self.config.precision):
                (value, weight), gradient = derive(params)
            return jax.tree.map(jnp.add, total, (value, weight, gradient)), None

        def cut(array: jax.Array) -> jax.Array:
            return array.reshape(self.parts, -1, *array.shape[1:])

        zero = jnp.zeros(())
        nothing = (zero, zero, jax.tree.map(jnp.zeros_like, params))
        total, _ = jax.lax.scan(add, nothing, jax.tree.map(cut, batch))
        return total

    def loss_and_gradient(
        self, params: Any, batch: Any, pairs: Any
    ) -> tuple[jax.Array, Any]:
        """Returns the mean loss of a batch and its gradient."""
        loss, weight, gradient = self.sums(params, batch, pairs)
        return loss / weight, jax.tree.map(lambda leaf: leaf / weight, gradient)

    def over_devices(self, mesh: Mesh) -> Callable[..., tuple[jax.Array, Any]]:
        """Returns `loss_and_gradient` with the batch split over devices."""

        def derive(params: Any, batch: Any, pairs: Any) -> tuple[jax.Array, Any]:
            # In one vector, so that devices meet once in a step, not for every array.
            vector, unravel = ravel_pytree(self.sums(params, batch, pairs))
            loss, weight, gradient = unravel(jax.lax.pmean(vector, "split"))
            return loss / weight, jax.tree.map(lambda leaf: leaf / weight, gradient)

        return jax.shard_map(
            derive,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec("split"), PartitionSpec()),
            out_specs=PartitionSpec(),
            check_vma=False,  # JAX cannot see that a mean is the same for all
        )

    def step(
        self,
        state: TrainState,
        key: jax.Array,
        scales: Scales,
        number: jax.Array,
        *,
        derive: Callable[..., tuple[jax.Array, Any]],
        sharding: NamedSharding | None,
    ) -> tuple[TrainState, jax.Array, jax.Array]:
        """Returns the state after an update, and loss and gradient's norm before it."""
        data_key = jax.random.fold_in(_streams(key)["data"], number)
        values, pairs = self.curriculum(number)
        batch = self.sample(data_key, {**scales, **values}, self.config.batch)
        if sharding is not None:
            batch = jax.lax.with_sharding_constraint(batch, sharding)
        loss, gradient = derive(state.params, batch, pairs)
        updates, moments = self.optimizer.update(gradient, state.moments, state.params)
        if not self.own_updates:
            rate = scales[RATE] * self.schedule(number)
            updates = jax.tree.map(lambda update: -rate * update, updates)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, moments), loss, optax.tree.norm(gradient)

    def curriculum(self, number: jax.Array) -> tuple[dict[str, Any], Any]:
        """Returns the fields of the task at a step, and the pairs that count."""
        curriculum, values, pairs = self.config.curriculum, {}, None
        if curriculum.dims:
            dim = self.codec.entries - 1
            values["active_dims"] = curriculum.active_dims(number, dim)
        if curriculum.pairs:
            pairs = curriculum.active_pairs(number, len(self.codec.slots))
        return values, pairs

    def evaluate(self, params: Any, key: jax.Array, scales: Scales) -> jax.Array:
        """Returns the mean held-out loss, (slots,); NaN where a slot never counts."""
        batch = self.sample(_streams(key)["held out"], scales, self.config.held_out)
        with jax.default_matmul_precision("highest"):
            losses = self.losses(params, batch)
        weights = self.codec.slot_weights(batch)
        if weights is None:
            return losses.mean(axis=0)
        return (weights * losses).sum(axis=0) / weights.sum(axis=0)


def _parts(
    key: ProgramKey, devices: tuple[jax.Device, ...], members: int | None
) -> int:
    """Returns into how many parts a step divides its batch; their gradients are added.

    On CPU a step takes as long as its intermediate arrays take to travel. In parts of
    about `TOKENS` tokens they stay in a core's cache. On one core, parts of 512 tokens
    instead of the whole batch took 43 ms instead of 53 at the quick shape, and 77
    instead of 110 at 3 x 64 with 81 tokens; parts of 384 took another 3 % off the
    latter. Accelerators are faster with the whole batch.
    """
    if devices[0].platform != "cpu":
        return 1
    batch = key.train.batch
    each = batch if members else batch // len(devices)
    together = -(-(members or 1) // len(devices)) * key.task.codec.count
    divisors = (n for n in range(1, each + 1) if each % n == 0)
    return min(divisors, key=lambda n: abs(math.log(each * together / n / TOKENS)))


def _streams(key: jax.Array) -> dict[str, jax.Array]:
    """Returns independent keys for what a run draws."""
    names = ("init", "data", "held out")
    return dict(zip(names, jax.random.split(key, len(names)), strict=True))
