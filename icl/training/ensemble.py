"""How are many transformers of one shape trained at once? They are one more axis.

Seeds, learning rates, noise levels and scales of the weights change no shape. Runs that
differ only in these are one program, which maps the steps of `icl.training` over them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from icl import checks
from icl.files import expanded
from icl.model.config import ModelConfig
from icl.model.transformer import Transformer
from icl.tasks.base import Task, scale_values
from icl.tasks.drawing import check_draws, drawn
from icl.training import precision, processes
from icl.training.arguments import check_callback, check_configs, in_float32
from icl.training.compiled import (
    ProgramKey,
    compile_program,
    devices_of,
    program_key,
    scales_of,
)
from icl.training.config import TrainConfig
from icl.training.curriculum import check_curriculum
from icl.training.description import Configs, described
from icl.training.run import (
    Callback,
    NonFiniteLossError,
    Run,
    about_of,
    diverged,
    judge_precision,
)
from icl.training.trained import Trained, assemble
from icl.training.warm_start import origin_of, start_of


@in_float32
def train_ensemble(
    task: Task | Sequence[Task],
    model_config: ModelConfig,
    train_config: TrainConfig,
    *,
    keys: Key[Array, " members"],
    learning_rates: Float[Array, " members"] | Sequence[float] | None = None,
    directory: str | Path | None = None,
    directories: Sequence[str | Path | None] | None = None,
    callback: Callback | None = None,
    devices: int | Sequence[jax.Device] | None = None,
    init: Trained | Transformer | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> list[Trained]:
    """Trains one transformer per key, all in one vectorised program.

    A member equals the single run with its key (and learning rate, and task) up to
    round-off: batched matrix products may add in another order.

    Args:
        task: a task as for `train`, shared by all members; or one per member, which may
            differ in their `scales`, such as the noise of a `LinearRegression`.
        model_config: the shape as for `train`, shared by all members.
        train_config: the settings as for `train`, shared by all members; its learning
            rate is used if none are given below.
        keys: one key per member.
        learning_rates: one peak learning rate per member.
        directory: the directory as for `train`; one checkpoint holds all members.
        directories: the directories that keep each member once all are finished, as
            `train` would have left it: `train` with the member's key and its directory
            then returns the member. None keeps nothing of a member. A member that
            diverged is not kept either.
        callback: a function as for `train`, which gets means over the members that are
            still finite.
        devices: the devices as for `train`, over which the members are split.
        init: a model as for `train`; all members begin with its parameters.
        optimizer: a transformation as for `train`; it has one learning rate for all.

    Returns:
        The members in the order of `keys`, each with its own task and learning rate.
        One that diverged has NaN or infinity in its history from there on; the others
        are not affected.

    Raises:
        NonFiniteLossError: every member diverged.
        ValueError: `train` would refuse the arguments; there is not one task, learning
            rate or directory per key; or tasks differ in more than their scales.
    """
    checks.typed_key("keys", keys, ndim=1)
    members = checks.positive_int("len(keys)", len(keys))
    tasks = _listed(task, (model_config, train_config), members)
    if optimizer is not None and learning_rates is not None:
        raise ValueError(
            "learning_rates have no effect on an optimizer of one's own; leave one of "
            "the two out."
        )
    configs = _with_rates(train_config, learning_rates, members)
    check_callback(callback)
    place = None if directory is None else expanded(directory, "directory")
    places = _places(directories, members)
    devices = devices_of(devices, tasks[0].codec, train_config, members)
    precision.check_device(train_config.precision, devices[0])
    start = None if init is None else start_of(init, tasks[0], model_config)
    origin = origin_of(start, optimizer)
    batch = check_draws(tasks[0])
    program = _shared_program(tasks, (model_config, train_config))
    check_curriculum(tasks[0], train_config.curriculum)
    scales = [scales_of(*each, program) for each in zip(tasks, configs, strict=True)]
    made_of = (tasks[0], model_config, train_config)
    run = Run(
        program=compile_program(program, devices, members, optimizer),
        made_of=made_of,
        keys=keys,
        scales=jax.tree.map(lambda *numbers: jnp.stack(numbers), *scales),
        about=about_of(made_of, keys, batch)
        | origin
        | _apart_from_each_other(tasks, configs),
        directory=place,
        start=jax.tree.map(lambda a: np.stack([a] * members), start),
        origin=origin,
    )
    run.finish(callback)
    places = processes.agreed([place and str(place) for place in places])
    state = processes.on_host(run.state)
    trained = []
    for member, (own_task, config, place) in enumerate(
        zip(tasks, configs, places, strict=True)
    ):
        single = _single(run, member, (own_task, model_config, config), place)
        single.state = jax.tree.map(lambda leaf, m=member: leaf[m], state)
        found = assemble(
            single.made_of, single.state.params, single.history(), run.step, origin
        )
        trained.append(found)
        if divergence(found) is None:
            single.save()
            if run.advanced:
                judge_precision(found, keys[member], devices[0])
    return trained


def _single(run: Run, member: int, made_of: Configs, place: str | None) -> Run:
    """The run of one member, as `train` would have left it, without its state."""
    return replace(
        run,
        made_of=made_of,
        about=about_of(made_of, run.keys[member], drawn(made_of[0])) | run.origin,
        directory=None if place is None else expanded(place),
        records={name: [array] for name, array in run.history(member).items()},
    )


def _apart_from_each_other(
    tasks: Sequence[Task], configs: Sequence[TrainConfig]
) -> dict[str, Any]:
    """What a checkpoint says of the members: their number, and where they differ."""
    values = [scale_values(task) for task in tasks]
    return {
        "members": len(tasks),
        "learning_rates": [config.learning_rate for config in configs],
        "scales": {
            name: [float(each[name]) for each in values] for name in tasks[0].scales
        },
    }


def divergence(trained: Trained) -> NonFiniteLossError | None:
    """Returns the error that `train` would have raised for this member, or None."""
    history = trained.history
    finite = np.isfinite(history.loss.values) & np.isfinite(history.gradient_norm)
    if finite.all():
        return None
    rate = trained.train_config.learning_rate
    return diverged(int(np.argmin(finite.values)), trained.steps, [rate])


def _places(
    directories: Sequence[str | Path | None] | None, members: int
) -> list[Path | None]:
    """Returns a directory for each member, or None."""
    if directories is None:
        return [None] * members
    wanted = "a list of one directory per key"
    checks.of_kind("directories", directories, list | tuple, wanted)
    _check_count("directories", directories, members)
    return [
        None if place is None else expanded(place, "directories")
        for place in directories
    ]


def _listed(
    task: Task | Sequence[Task], config: tuple[Any, Any], members: int
) -> list[Task]:
    """Returns one task for each member."""
    tasks = list(task) if isinstance(task, Sequence) else [task] * members
    _check_count("task", tasks, members)
    for each in tasks:
        check_configs(each, *config)
    return tasks


def _shared_program(tasks: Sequence[Task], config: tuple[Any, Any]) -> ProgramKey:
    """Returns the program of all tasks, and refuses those that one cannot serve."""
    first, shared = tasks[0], program_key(tasks[0], *config)
    for other in tasks[1:]:
        if other is not first and program_key(other, *config) != shared:
            raise ValueError(_apart(first, other))
    return shared


def _apart(first: Task, other: Task) -> str:
    """Returns why two tasks cannot be members of one ensemble."""
    have, want = (described(task) for task in (first, other))
    numbers = set(first.scales) if type(first) is type(other) else set()
    for description in (have, want):
        for name in numbers:
            del description[name]
    lines = checks.differences(have, want)
    names = " and ".join(first.scales) or "nothing"
    if lines:
        return (
            f"The tasks of an ensemble may differ in {names} only, but: "
            f"{'; '.join(lines)}."
        )
    return (
        f"The tasks of an ensemble may differ in {names} only where `sample` of "
        f"{type(first).__name__} can be compiled for any of these numbers, and it "
        "cannot; icl.testing.check_task says why, or train them one by one."
    )


def _with_rates(
    config: TrainConfig,
    rates: Float[Array, " members"] | Sequence[float] | None,
    members: int,
) -> list[TrainConfig]:
    """Returns the settings of each member, with its learning rate."""
    if rates is None:
        return [config] * members
    found = checks.array("learning_rates", rates, (members,), "(members,)")
    given = np.asarray(found, float).tolist()
    checked = [checks.finite_number("learning_rates", r, positive=True) for r in given]
    return [replace(config, learning_rate=rate) for rate in checked]


def _check_count(name: str, values: Sequence[Any], members: int) -> None:
    if len(values) != members:
        raise ValueError(
            f"{name} must be one per key, got {len(values)} for {members} keys."
        )
