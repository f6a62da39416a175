"""What runs on the device while a transformer trains?

Three compiled functions made from frozen configs: the initial state, a stretch of
training steps, and an evaluation. The host decides only where a stretch ends
(`icl.training`). Compiled once per configuration and reused within the process. Numbers
that change no shape (`Scales`) are arguments: runs that differ in nothing else share
one program, be it one after the other or as the members of an ensemble.
"""

import math
from collections.abc import Callable, Sequence
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

from icl.codecs.pairs import token_count
from icl.model.building import blueprint, build
from icl.model.config import ModelConfig
from icl.tasks.base import Prompts
from icl.tasks.linear import LinearRegression
from icl.training import processes
from icl.training.config import TrainConfig, optimizer, schedule
from icl.training.precision import products

TOKENS = 384  # in a part of the batch, on CPU


class State(NamedTuple):
    """What a step changes: parameters and the optimiser's moments."""

    params: Any
    moments: Any


class Scales(NamedTuple):
    """What a run does not need to be compiled for: a number each, or one per member.

    Attributes:
        rate: peak learning rate.
        noise_std: of the task.
        weight_std: of the task.
    """

    rate: jax.Array
    noise_std: jax.Array
    weight_std: jax.Array


class Program(NamedTuple):
    """The compiled functions of a run. `keys`, `scales`: for it, or for each member.

    Attributes:
        init: keys -> State.
        advance: (State, keys, scales, start, stop) -> (State, losses, gradient norms),
            each of the two (chunk,) or (chunk, members) with stop - start entries
            filled; it stops early after a step whose loss is not finite (for an
            ensemble: not finite for any member). Takes its state's memory over.
        evaluate: (params, keys, scales) -> held-out loss, (length,) or
            (members, length).
        place: puts a State on the run's devices.
    """

    init: Callable[..., State]
    advance: Callable[..., tuple[State, jax.Array, jax.Array]]
    evaluate: Callable[..., jax.Array]
    place: Callable[[State], State]


def scales_of(task: LinearRegression, config: TrainConfig) -> Scales:
    """The scales of one run."""
    numbers = (config.learning_rate, task.noise_std, task.weight_std)
    return Scales(*map(jnp.float32, numbers))


def unscaled(task: LinearRegression) -> LinearRegression:
    """The task but for its scales: equal for tasks that share a program."""
    return replace(task, noise_std=0.0, weight_std=1.0)


def devices_of(
    devices: int | Sequence[jax.Device] | None,
    task: LinearRegression,
    config: TrainConfig,
    members: int | None,
) -> tuple[jax.Device, ...]:
    """The devices of a run, as `train` and `train_ensemble` take them.

    Raises:
        ValueError: as for `icl.training.processes.chosen`.
    """
    if members is not None:
        return processes.chosen(devices, "number of members", members)
    # Devices of a CPU are cores, of which each should have a part of the batch that is
    # worth meeting the others for.
    tokens = config.batch * token_count(task.length)
    most = max(1, tokens // TOKENS) if jax.default_backend() == "cpu" else None
    return processes.chosen(devices, "batch", config.batch, most)


def compile_program(
    task: LinearRegression,
    model_config: ModelConfig,
    config: TrainConfig,
    devices: tuple[jax.Device, ...],
    members: int | None,
) -> Program:
    """The program of one run (`members` None) or of an ensemble.

    One run splits its batch over the devices; an ensemble splits its members. The
    scales of `task` and `config` are those given when its functions are called.
    """
    config = replace(config, learning_rate=1.0)
    return _compile(unscaled(task), model_config, config, devices, members)


# Each keeps about 100 MB of compiled code alive: a process that trains many shapes lets
# go of the oldest. Runs of one shape follow each other, so that few are enough.
@lru_cache(maxsize=4)
def _compile(
    task: LinearRegression,
    model_config: ModelConfig,
    config: TrainConfig,
    devices: tuple[jax.Device, ...],
    members: int | None,
) -> Program:
    mesh = Mesh(np.array(devices), ("split",))
    split = NamedSharding(mesh, PartitionSpec("split"))
    whole = NamedSharding(mesh, PartitionSpec())
    graphdef, _ = blueprint(task, model_config)
    optimise, share = optimizer(config), schedule(config)
    passes = _passes(task, config, devices, members)

    def init(key: jax.Array) -> State:
        params = nnx.state(build(task, model_config, _streams(key)["init"]))
        return State(params, optimise.init(params))

    def squared_errors(params: Any, prompts: Prompts) -> jax.Array:
        predictions = nnx.merge(graphdef, params).predict(prompts)
        return jnp.square(predictions - prompts.ys)

    def loss_and_gradient(params: Any, prompts: Prompts) -> tuple[jax.Array, Any]:
        def mean(params: Any, part: Prompts) -> jax.Array:
            return squared_errors(params, part).mean()

        def add(total: Any, part: Prompts) -> tuple[Any, None]:
            with products(config.precision):
                one = jax.value_and_grad(mean)(params, part)
            return jax.tree.map(jnp.add, total, one), None

        parts = jax.tree.map(lambda a: a.reshape(passes, -1, *a.shape[1:]), prompts)
        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        total, _ = jax.lax.scan(add, nothing, parts)
        return jax.tree.map(lambda leaf: leaf / passes, total)

    def mean_over_devices(params: Any, prompts: Prompts) -> tuple[jax.Array, Any]:
        # As one vector: devices meet once in a step, not once for every array.
        vector, unravel = ravel_pytree(loss_and_gradient(params, prompts))
        return unravel(jax.lax.pmean(vector, "split"))

    if members is None:
        derive = jax.shard_map(
            mean_over_devices,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec("split")),
            out_specs=PartitionSpec(),
            check_vma=False,  # it cannot see that a mean of vectors is the same for all
        )
    else:
        derive = loss_and_gradient

    def sample(key: jax.Array, scales: Scales, batch: int) -> Prompts:
        return task.sample_scaled(key, scales.noise_std, scales.weight_std, batch=batch)

    def step(
        state: State, key: jax.Array, scales: Scales, number: jax.Array
    ) -> tuple[State, jax.Array, jax.Array]:
        data_key = jax.random.fold_in(_streams(key)["data"], number)
        prompts = sample(data_key, scales, config.batch)
        if members is None:
            prompts = jax.lax.with_sharding_constraint(prompts, split)
        loss, gradient = derive(state.params, prompts)
        updates, moments = optimise.update(gradient, state.moments, state.params)
        updates = jax.tree.map(lambda u: -scales.rate * share(number) * u, updates)
        params = optax.apply_updates(state.params, updates)
        return State(params, moments), loss, optax.tree.norm(gradient)

    def evaluate(params: Any, key: jax.Array, scales: Scales) -> jax.Array:
        prompts = sample(_streams(key)["held out"], scales, config.held_out)
        with jax.default_matmul_precision("highest"):
            return squared_errors(params, prompts).mean(axis=0)

    if members is not None:
        init, evaluate = jax.vmap(init), jax.vmap(evaluate)
        step = jax.vmap(step, in_axes=(0, 0, 0, None))

    def advance(
        state: State,
        keys: jax.Array,
        scales: Scales,
        start: jax.Array,
        stop: jax.Array,
    ) -> tuple[State, jax.Array, jax.Array]:
        # Dynamic bounds: a stretch of any length is the same compiled code, so where
        # a run was interrupted cannot change its bits.
        def unfinished(carry: tuple) -> jax.Array:
            number, _, losses, _ = carry
            last = jnp.where(number > start, losses[number - start - 1], 0.0)
            return (number < stop) & jnp.isfinite(last).any()

        def one_step(carry: tuple) -> tuple:
            number, state, losses, norms = carry
            state, loss, norm = step(state, keys, scales, number)
            at = number - start
            return number + 1, state, losses.at[at].set(loss), norms.at[at].set(norm)

        records = jnp.zeros((config.chunk, *(() if members is None else (members,))))
        carry = (start, state, records, records)
        _, state, losses, norms = jax.lax.while_loop(unfinished, one_step, carry)
        return state, losses, norms

    # On CPU all that takes long is products, which XLA calls a library for: optimising
    # the code around them less takes a third off compiling, and nothing off the speed.
    on_cpu = devices[0].platform == "cpu"
    compiled = partial(
        jax.jit,
        compiler_options={"xla_backend_optimization_level": 1} if on_cpu else None,
    )
    home = whole if members is None else split
    return Program(
        init=compiled(init, out_shardings=home),
        advance=compiled(advance, donate_argnums=0, out_shardings=(home, whole, whole)),
        evaluate=compiled(evaluate, out_shardings=whole),
        place=partial(processes.place, sharding=home),
    )


def _passes(
    task: LinearRegression,
    config: TrainConfig,
    devices: tuple[jax.Device, ...],
    members: int | None,
) -> int:
    """Into how many parts a step divides its batch, their gradients being averaged.

    On CPU a step takes the time that its intermediate arrays take to travel: in parts
    of about `TOKENS` tokens they stay in a core's cache (of 512 instead of all, on one
    core: quick shape 43 ms instead of 53; 3 x 64 with 81 tokens 77 instead of 110; of
    384 another 3 % off the latter). Accelerators want them whole.
    """
    if devices[0].platform != "cpu":
        return 1
    each = config.batch if members else config.batch // len(devices)
    together = -(-(members or 1) // len(devices)) * token_count(task.length)
    divisors = (n for n in range(1, each + 1) if each % n == 0)
    return min(divisors, key=lambda n: abs(math.log(each * together / n / TOKENS)))


def _streams(key: jax.Array) -> dict[str, jax.Array]:
    """Independent keys for what a run draws."""
    names = ("init", "data", "held out")
    return dict(zip(names, jax.random.split(key, len(names)), strict=True))
