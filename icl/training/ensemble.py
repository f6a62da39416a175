"""How are many transformers of one shape trained at once? As one more axis.

Seeds, learning rates, noise levels and scales of the weights change no shape: runs that
differ in these only are one program, `vmap`ped over the steps of `icl.training`.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from icl import checks
from icl.model.config import ModelConfig
from icl.tasks.linear import LinearRegression
from icl.training import precision, processes
from icl.training.compiled import compile_program, devices_of, scales_of, unscaled
from icl.training.config import TrainConfig
from icl.training.run import (
    Callback,
    NonFiniteLossError,
    Run,
    about_of,
    diverged,
    judge_precision,
)
from icl.training.trained import Trained, assemble


def train_ensemble(
    task: LinearRegression | Sequence[LinearRegression],
    model_config: ModelConfig,
    train_config: TrainConfig,
    *,
    keys: Key[Array, " members"],
    learning_rates: Float[Array, " members"] | Sequence[float] | None = None,
    directory: str | Path | None = None,
    directories: Sequence[str | Path | None] | None = None,
    callback: Callback | None = None,
    devices: int | Sequence[jax.Device] | None = None,
) -> list[Trained]:
    """Trains one transformer per key, all in one vectorised program.

    A member equals the single run with its key (and learning rate, and task) up to
    round-off: batched matrix products may add in another order.

    Args:
        task: as for `train`, shared by all members; or one per member, which may
            differ in `noise_std` and `weight_std`.
        model_config: as for `train`, shared by all members.
        train_config: likewise; its learning rate is used if none are given below.
        keys: one key per member.
        learning_rates: one peak learning rate per member.
        directory: as for `train`; one checkpoint holds all members.
        directories: where to keep each member once all are finished, as `train` would
            have left it: called with the member's key and this directory, it returns
            the member. None keeps nothing of it, and neither is one kept that diverged.
        callback: as for `train`, with means over the members still finite.
        devices: as for `train`, but it is the members that are split over them.

    Returns:
        The members in the order of `keys`, each with its own task and learning rate.
        One that diverged has NaN or infinity in its history from there on; the others
        are not affected.

    Raises:
        NonFiniteLossError: every member diverged.
        ValueError: as for `train`; other than one task, learning rate or directory per
            key; or tasks that differ in anything but their scales.
    """
    checks.typed_key("keys", keys, ndim=1)
    members = checks.positive_int("len(keys)", len(keys))
    if isinstance(task, LinearRegression):
        task = [task] * members
    tasks = _check_tasks(task, members)
    configs = _with_rates(train_config, learning_rates, members)
    places = [None] * members if directories is None else list(directories)
    _check_count("directories", places, members)
    devices = devices_of(devices, tasks[0], train_config, members)
    precision.check_device(train_config.precision, devices[0])
    scales = map(scales_of, tasks, configs)
    about = about_of(tasks[0], model_config, train_config, keys)
    about |= {
        "members": members,
        "learning_rates": [config.learning_rate for config in configs],
    }
    if len(set(tasks)) > 1:
        about |= {
            name: [getattr(task, name) for task in tasks]
            for name in ("noise_std", "weight_std")
        }
    run = Run(
        program=compile_program(tasks[0], model_config, train_config, devices, members),
        config=train_config,
        keys=keys,
        scales=jax.tree.map(lambda *numbers: jnp.stack(numbers), *scales),
        about=about,
        directory=None if directory is None else Path(directory),
    )
    run.finish(callback)
    places = processes.agreed([place and str(place) for place in places])
    state = processes.on_host(run.state)
    trained = []
    for member, (task, config, place) in enumerate(
        zip(tasks, configs, places, strict=True)
    ):
        single = replace(
            run,
            about=about_of(task, model_config, config, keys[member]),
            directory=None if place is None else Path(place),
            state=jax.tree.map(lambda leaf, m=member: leaf[m], state),
            records={name: [array] for name, array in run.history(member).items()},
        )
        history = single.history()
        trained.append(
            assemble(task, model_config, config, single.state.params, history, run.step)
        )
        if divergence(trained[-1]) is None:
            single.save()
            if run.advanced:
                judge_precision(trained[-1], keys[member], devices[0])
    return trained


def divergence(trained: Trained) -> NonFiniteLossError | None:
    """What `train` would have raised for this member of an ensemble, if anything."""
    history = trained.history
    finite = np.isfinite(history.loss.values) & np.isfinite(history.gradient_norm)
    if finite.all():
        return None
    rate = trained.train_config.learning_rate
    return diverged(int(np.argmin(finite.values)), trained.steps, [rate])


def _check_tasks(
    tasks: Sequence[LinearRegression], members: int
) -> list[LinearRegression]:
    _check_count("task", tasks, members)
    for task in tasks:
        apart = checks.differences(asdict(unscaled(tasks[0])), asdict(unscaled(task)))
        if apart:
            raise ValueError(
                "The tasks of an ensemble may differ in noise_std and weight_std only, "
                f"but: {'; '.join(apart)}."
            )
    return list(tasks)


def _with_rates(
    config: TrainConfig,
    rates: Float[Array, " members"] | Sequence[float] | None,
    members: int,
) -> list[TrainConfig]:
    """The settings of each member, with its learning rate."""
    if rates is None:
        return [config] * members
    checks.shape_of("learning_rates", rates, (members,), "(members,)")
    given = np.asarray(rates).tolist()
    checked = [checks.finite_number("learning_rates", r, positive=True) for r in given]
    return [replace(config, learning_rate=rate) for rate in checked]


def _check_count(name: str, values: Sequence[Any], members: int) -> None:
    if len(values) != members:
        raise ValueError(
            f"{name} must be one per key, got {len(values)} for {members} keys."
        )
