"""What runs on the device while a transformer trains?

Compiled functions made from frozen configs: the initial state, a stretch of training
steps, and an evaluation. The host decides only where a stretch ends
(`icl.training.run`). They are compiled once per configuration and used again within the
process. Numbers that change no shape (the learning rate, and the `scales` of a task)
are arguments: runs that differ in nothing else share one program, be it one after the
other or as the members of an ensemble. `program_key` alone says which runs do.
"""

import math
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
from icl.tasks.base import Task, scale_values, with_values
from icl.training import processes
from icl.training.config import TrainConfig, schedule
from icl.training.optimizers import OPTIMIZERS
from icl.training.precision import products

TOKENS = 384  # in a part of the batch, on CPU
RATE = "rate"

Scales = Mapping[str, jax.Array]
"""The peak learning rate, called "rate", and the scales of the task, by name."""


class TrainState(NamedTuple):
    """What a step changes: parameters and the optimiser's moments."""

    params: Any
    moments: Any


class Compiled(NamedTuple):
    """The compiled functions of a run. `keys`, `scales`: for it, or for each member.

    Attributes:
        init: keys -> TrainState.
        start: params -> TrainState: training begins from these parameters.
        advance: (TrainState, keys, scales, start, stop) -> (TrainState, losses,
            gradient norms), each of the last two (chunk,) or (chunk, members) with
            stop - start entries filled; it stops early after a step whose loss is not
            finite (for an ensemble: not finite for any member). It takes its state's
            memory over.
        evaluate: (params, keys, scales) -> held-out loss, (slots,) or
            (members, slots).
        place: puts a TrainState on the run's devices.
    """

    init: Callable[..., TrainState]
    start: Callable[..., TrainState]
    advance: Callable[..., tuple[TrainState, jax.Array, jax.Array]]
    evaluate: Callable[..., jax.Array]
    place: Callable[[Any], Any]


class ProgramKey(NamedTuple):
    """What a program is compiled for: runs with equal keys share one.

    Attributes:
        task: with 0 in place of the scales that may be traced.
        model: shape and variant of the transformer.
        train: settings of the run, with learning rate 1.
    """

    task: Task
    model: ModelConfig
    train: TrainConfig


def program_key(task: Task, model: ModelConfig, train: TrainConfig) -> ProgramKey:
    """Returns what decides whether two runs share a compiled program."""
    neutral = with_values(task, dict.fromkeys(traced_scales(task), 0.0))
    return ProgramKey(neutral, model, replace(train, learning_rate=1.0))


def scales_of(task: Task, config: TrainConfig) -> Scales:
    """Returns the numbers of one run that its program takes as arguments."""
    values = scale_values(task)
    traced = {name: jnp.float32(values[name]) for name in traced_scales(task)}
    return {RATE: jnp.float32(config.learning_rate), **traced}


@lru_cache(maxsize=256)
def traced_scales(task: Task) -> tuple[str, ...]:
    """Returns the scales of a task that its program takes as arguments: all, or none.

    None if `sample` cannot be traced with JAX scalars in place of numbers, as where it
    says `if self.noise_std > 0`, or where it reads an attribute that `__post_init__`
    had derived from them: the program is then compiled for these very numbers.
    """

    def draw(key: jax.Array, values: Mapping[str, jax.Array]) -> Any:
        return with_values(task, values).sample(key, batch=2)

    shape = jax.ShapeDtypeStruct((), jnp.float32)
    try:
        jax.eval_shape(draw, jax.random.key(0), dict.fromkeys(task.scales, shape))
    except Exception:  # whatever the task's own code raises on a tracer
        return ()
    return tuple(task.scales)


def devices_of(
    devices: int | Sequence[jax.Device] | None,
    codec: Codec,
    config: TrainConfig,
    members: int | None,
) -> tuple[jax.Device, ...]:
    """Returns the devices of a run, as `train` and `train_ensemble` take them.

    Raises:
        ValueError: as for `icl.training.processes.chosen`.
    """
    if members is not None:
        return processes.chosen(devices, "number of members", members)
    # Devices of a CPU are cores, of which each should have a part of the batch that is
    # worth meeting the others for.
    tokens = config.batch * codec.count
    most = max(1, tokens // TOKENS) if jax.default_backend() == "cpu" else None
    return processes.chosen(devices, "batch", config.batch, most)


# Each keeps about 100 MB of compiled code alive: a process that trains many shapes lets
# go of the oldest. Runs of one shape follow each other, so that few are enough.
@lru_cache(maxsize=4)
def compile_program(
    key: ProgramKey,
    devices: tuple[jax.Device, ...],
    members: int | None,
    optimizer: optax.GradientTransformation | None = None,
) -> Compiled:
    """Returns the program of one run (`members` None) or of an ensemble.

    One run splits its batch over the devices; an ensemble splits its members. With an
    `optimizer` of the caller's, its updates are made as they are.
    """
    mesh = Mesh(np.array(devices), ("split",))
    split = NamedSharding(mesh, PartitionSpec("split"))
    whole = NamedSharding(mesh, PartitionSpec())
    home = whole if members is None else split
    run = _Functions(key, optimizer, _parts(key, devices, members))
    if members is None:
        step = partial(run.step, derive=run.over_devices(mesh), sharding=split)
        init, start, evaluate = run.init, run.start, run.evaluate
    else:
        step = partial(run.step, derive=run.loss_and_gradient, sharding=None)
        step = jax.vmap(step, in_axes=(0, 0, 0, None))
        init, start, evaluate = map(jax.vmap, (run.init, run.start, run.evaluate))
    records = (key.train.chunk, *(() if members is None else (members,)))
    advance = partial(_advance, step=step, records=records)
    # On CPU all that takes long is products, which XLA calls a library for: optimising
    # the code around them less takes a third off compiling, and nothing off the speed.
    on_cpu = devices[0].platform == "cpu"
    compiled = partial(
        jax.jit,
        compiler_options={"xla_backend_optimization_level": 1} if on_cpu else None,
    )
    return Compiled(
        init=compiled(init, out_shardings=home),
        start=compiled(start, out_shardings=home),
        advance=compiled(advance, donate_argnums=0, out_shardings=(home, whole, whole)),
        evaluate=compiled(evaluate, out_shardings=whole),
        place=partial(processes.place, sharding=home),
    )


class _Functions:
    """What a program computes for one run, before it is compiled."""

    def __init__(
        self,
        key: ProgramKey,
        optimizer: optax.GradientTransformation | None,
        parts: int,
    ):
        self.task, self.model, self.config = key
        self.codec = self.task.codec
        self.graphdef, _ = blueprint(self.codec, self.model)
        self.own_updates = optimizer is not None
        self.optimizer = optimizer or OPTIMIZERS[self.config.optimizer](self.config)
        self.schedule = schedule(self.config)
        self.parts = parts

    def init(self, key: jax.Array) -> TrainState:
        """The initial state, its parameters drawn from the key."""
        model = build(self.codec, self.model, _streams(key)["init"])
        return self.start(nnx.state(model))

    def start(self, params: Any) -> TrainState:
        """The state of a run that begins with these parameters."""
        return TrainState(params, self.optimizer.init(params))

    def sample(self, key: jax.Array, values: Mapping[str, Any], batch: int) -> Any:
        """What the task's own `sample` draws, with these numbers in its fields."""
        values = {name: value for name, value in values.items() if name != RATE}
        return with_values(self.task, values).sample(key, batch=batch)

    def losses(self, params: Any, batch: Any) -> jax.Array:
        """How wrong each prediction is, (batch, slots)."""
        predictions = nnx.merge(self.graphdef, params).predict(batch)
        return self.codec.losses(predictions, batch)

    def weighted_loss(self, params: Any, batch: Any, pairs: Any) -> tuple[Any, Any]:
        """The sum of weight times loss, and that of weights; the mean, and 1, if equal.

        `pairs`: how many slots count, or None for all of them.
        """
        losses = self.losses(params, batch)
        weights = self.codec.slot_weights(batch)
        if pairs is not None:
            active = (jnp.arange(losses.shape[1]) < pairs).astype(losses.dtype)[None]
            weights = (
                jnp.ones_like(losses) * active
                if weights is None
                else (weights * active)
            )
        if weights is None:
            return losses.mean(), jnp.ones(())
        return (weights * losses).sum(), weights.sum()

    def sums(self, params: Any, batch: Any, pairs: Any) -> tuple[Any, Any, Any]:
        """Loss, weight and gradient of the loss, added up over parts of the batch."""

        def add(total: Any, part: Any) -> tuple[Any, None]:
            loss = partial(self.weighted_loss, batch=part, pairs=pairs)
            with products(self.config.precision):
                (value, weight), gradient = jax.value_and_grad(loss, has_aux=True)(
                    params
                )
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
        """The mean loss of a batch and its gradient."""
        loss, weight, gradient = self.sums(params, batch, pairs)
        return loss / weight, jax.tree.map(lambda leaf: leaf / weight, gradient)

    def over_devices(self, mesh: Mesh) -> Callable[..., tuple[jax.Array, Any]]:
        """`loss_and_gradient` with the batch split over devices."""

        def derive(params: Any, batch: Any, pairs: Any) -> tuple[jax.Array, Any]:
            # As one vector: devices meet once in a step, not once for every array.
            vector, unravel = ravel_pytree(self.sums(params, batch, pairs))
            loss, weight, gradient = unravel(jax.lax.pmean(vector, "split"))
            return loss / weight, jax.tree.map(lambda leaf: leaf / weight, gradient)

        return jax.shard_map(
            derive,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec("split"), PartitionSpec()),
            out_specs=PartitionSpec(),
            check_vma=False,  # it cannot see that a mean of vectors is the same for all
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
        """One update: the new state, the loss and the gradient's norm before it."""
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
        """What the curriculum sets in the task at a step, and the pairs that count."""
        curriculum, values, pairs = self.config.curriculum, {}, None
        if curriculum.dims:
            dim = self.codec.entries - 1
            values["active_dims"] = curriculum.active_dims(number, dim)
        if curriculum.pairs:
            pairs = curriculum.active_pairs(number, len(self.codec.slots))
        return values, pairs

    def evaluate(self, params: Any, key: jax.Array, scales: Scales) -> jax.Array:
        """The mean held-out loss, (slots,); NaN where a slot never counts."""
        batch = self.sample(_streams(key)["held out"], scales, self.config.held_out)
        with jax.default_matmul_precision("highest"):
            losses = self.losses(params, batch)
        weights = self.codec.slot_weights(batch)
        if weights is None:
            return losses.mean(axis=0)
        return (weights * losses).sum(axis=0) / weights.sum(axis=0)


def _advance(
    state: TrainState,
    keys: jax.Array,
    scales: Scales,
    start: jax.Array,
    stop: jax.Array,
    *,
    step: Callable[..., tuple[TrainState, jax.Array, jax.Array]],
    records: tuple[int, ...],
) -> tuple[TrainState, jax.Array, jax.Array]:
    """Steps from `start` to `stop`, with what each of them records."""

    # Dynamic bounds: a stretch of any length is the same compiled code, so where a run
    # was interrupted cannot change its bits.
    def unfinished(carry: tuple) -> jax.Array:
        number, _, losses, _ = carry
        last = jnp.where(number > start, losses[number - start - 1], 0.0)
        return (number < stop) & jnp.isfinite(last).any()

    def one_step(carry: tuple) -> tuple:
        number, state, losses, norms = carry
        state, loss, norm = step(state, keys, scales, number)
        at = number - start
        return number + 1, state, losses.at[at].set(loss), norms.at[at].set(norm)

    empty = jnp.zeros(records)
    carry = (start, state, empty, empty)
    _, state, losses, norms = jax.lax.while_loop(unfinished, one_step, carry)
    return state, losses, norms


def _parts(
    key: ProgramKey, devices: tuple[jax.Device, ...], members: int | None
) -> int:
    """Returns into how many parts a step divides its batch; their gradients are added.

    On CPU a step takes the time that its intermediate arrays take to travel: in parts
    of about `TOKENS` tokens they stay in a core's cache (of 512 instead of all, on one
    core: quick shape 43 ms instead of 53; 3 x 64 with 81 tokens 77 instead of 110; of
    384 another 3 % off the latter). Accelerators want them whole.
    """
    if devices[0].platform != "cpu":
        return 1
    batch = key.train.batch
    each = batch if members else batch // len(devices)
    together = -(-(members or 1) // len(devices)) * key.task.codec.count
    divisors = (n for n in range(1, each + 1) if each % n == 0)
    return min(divisors, key=lambda n: abs(math.log(each * together / n / TOKENS)))


def _streams(key: jax.Array) -> dict[str, jax.Array]:
    """Independent keys for what a run draws."""
    names = ("init", "data", "held out")
    return dict(zip(names, jax.random.split(key, len(names)), strict=True))
