"""How do several processes, on one host or many, run one command?

    python -m experiments.akyurek2023.fig1 quick --distributed      # on every host

Process 0 runs it as if it were alone: it takes locks, reads, writes, computes figures
and prints. The others lend their devices: they wait until process 0 trains a model,
train it with it (`icl.training.processes`), wait for the next one, and end when process
0 ends.

On SLURM, Open MPI, TPU pods and Kubernetes, JAX knows who takes part. Elsewhere three
variables say so: JAX_COORDINATOR_ADDRESS, host and port of process 0, the same for all;
JAX_NUM_PROCESSES; and JAX_PROCESS_ID, counted from 0.
"""

import atexit
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icl import Trained
    from icl.sweeps.setting import Setting


def join() -> None:
    """Makes this one of the processes of a command; process 0 alone returns.

    Raises:
        SystemExit: with status 0, in the others, once process 0 has ended.
        ValueError: nothing says which processes there are.
    """
    import jax

    from icl.training import processes

    # The others wait while process 0 computes figures: XLA would give up after half an
    # hour on CPU.
    patience = "--xla_cpu_collective_timeout_seconds=1000000"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {patience}".strip()
    # Ours are whole at any moment: let SIGTERM end a process as it ends any other.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            num_processes=_number("JAX_NUM_PROCESSES"),
            process_id=_number("JAX_PROCESS_ID"),
        )
    except ValueError as error:
        raise ValueError(
            f"--distributed finds no cluster ({error}) Start the command with srun or "
            "mpirun, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID for every process."
        ) from error
    processes.agreed(None)  # all are here now; later they may wait for each other
    if not processes.is_first():
        _follow()
        raise SystemExit(0)
    atexit.register(processes.agreed, None)  # the last order: there are no more


def count() -> int:
    """How many processes train together; does not start JAX's backend if it is one."""
    import jax

    return jax.process_count() if jax.distributed.is_initialized() else 1


def train(
    settings: "Sequence[Setting]",
    devices: int | None,
    *,
    directory: Path | None,
    directories: Sequence[Path | None] | None = None,
    callback: Callable | None = None,
) -> "list[Trained]":
    """Trains the models of some settings as one program, in all processes.

    Called in process 0 alone. A single setting is a run by itself. Other arguments and
    errors are those of `icl.train` and `icl.train_ensemble`.
    """
    from icl.training import processes
    from icl.training.description import describe

    described = [
        describe(one.task, one.model, one.train) | {"seed": one.seed}
        for one in settings
    ]
    if count() > 1:
        processes.agreed({"settings": described, "devices": devices})
    return _train(settings, devices, directory, directories, callback)


def _follow() -> None:
    """Trains what process 0 trains, until there is no more."""
    from icl.sweeps.errors import expected
    from icl.sweeps.setting import Setting
    from icl.training import processes
    from icl.training.description import configs

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # `train` listens, while it trains
    while order := processes.agreed(None):
        settings = [Setting(*configs(one), one["seed"]) for one in order["settings"]]
        # Process 0 meets the same and says so.
        with suppress(*expected(), processes.OtherProcessError, KeyboardInterrupt):
            _train(settings, order["devices"])


def _train(
    settings: "Sequence[Setting]",
    devices: int | None,
    directory: Path | None = None,
    directories: Sequence[Path | None] | None = None,
    callback: Callable | None = None,
) -> "list[Trained]":
    import jax
    import jax.numpy as jnp

    from icl import train
    from icl.training.ensemble import train_ensemble

    first, keys = settings[0], [jax.random.key(setting.seed) for setting in settings]
    alike: dict[str, Any] = {
        "directory": directory,
        "callback": callback,
        "devices": devices,
    }
    if len(settings) == 1:
        return [train(first.task, first.model, first.train, key=keys[0], **alike)]
    return train_ensemble(
        [setting.task for setting in settings],
        first.model,
        first.train,
        keys=jnp.stack(keys),
        learning_rates=[setting.train.learning_rate for setting in settings],
        directories=directories,
        **alike,
    )


def _number(variable: str) -> int | None:
    """What a variable of the environment says, if it is set."""
    text = os.environ.get(variable)
    try:
        return None if text is None else int(text)
    except ValueError:
        raise ValueError(f"{variable} must be an integer, got {text!r}.") from None
