"""How do several processes, on one host or many, run one command?

    python -m experiments.akyurek2023.fig1 quick --distributed      # on every host

Process 0 runs it as if it were alone: it takes locks, reads, writes, computes figures
and prints. The others lend their devices: they wait until process 0 trains a model,
take part in that training (`icl.training.processes`), wait for the next model, and end
when process 0 ends.

On SLURM, Open MPI, TPU pods and Kubernetes, JAX knows which processes take part.
Elsewhere three variables say so: JAX_COORDINATOR_ADDRESS, host and port of process 0,
the same for all; JAX_NUM_PROCESSES; and JAX_PROCESS_ID, counted from 0.
"""

import atexit
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from icl.sweeps.errors import expected
from icl.sweeps.setting import Setting
from icl.training import processes
from icl.training.description import configs
from icl.training.ensemble import train_ensemble
from icl.training.run import train
from icl.training.trained import Trained


def join() -> None:
    """Makes this one of the processes of a command; only process 0 returns.

    Raises:
        SystemExit: with status 0, in the other processes, once process 0 has ended.
        ValueError: nothing says which processes there are.
    """
    # The others wait while process 0 computes figures, and on CPU XLA would give up
    # after half an hour.
    patience = "--xla_cpu_collective_timeout_seconds=1000000"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {patience}".strip()
    # JAX would catch SIGTERM to leave time for a last checkpoint; `icl.signals` does.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            num_processes=_integer_in_environment("JAX_NUM_PROCESSES"),
            process_id=_integer_in_environment("JAX_PROCESS_ID"),
        )
    except ValueError as error:
        raise ValueError(
            f"--distributed finds no cluster ({error}) Start the command with srun or "
            "mpirun, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID for every process."
        ) from error
    processes.agreed(None)  # all are here now; later they may wait for each other
    if not processes.is_first():
        _lend_devices()
        raise SystemExit(0)
    atexit.register(processes.agreed, None)  # tells the others that there is no more


def process_count() -> int:
    """Returns how many processes train together.

    The question does not start JAX's backend if this process is alone.
    """
    return jax.process_count() if jax.distributed.is_initialized() else 1


def train_settings(
    settings: Sequence[Setting],
    devices: int | None,
    *,
    directory: Path | None,
    directories: Sequence[Path | None] | None = None,
    callback: Callable | None = None,
) -> list[Trained]:
    """Trains the models of some settings as one program, in all processes.

    It is called in process 0 only. A single setting is a run by itself; several are an
    ensemble. Other arguments and errors are those of `icl.train` and
    `icl.train_ensemble`.
    """
    described = [setting.description for setting in settings]
    if process_count() > 1:
        processes.agreed({"settings": described, "devices": devices})
    return _train_here(settings, devices, directory, directories, callback)


def _lend_devices() -> None:
    """Trains what process 0 trains, until process 0 says that there is no more."""
    # `train` still listens for Ctrl-C while it trains; in between, only process 0 does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while request := processes.agreed(None):
        settings = [Setting(*configs(one), one["seed"]) for one in request["settings"]]
        # Process 0 meets the same error, and it is process 0 that tells the user.
        with suppress(*expected(), processes.OtherProcessError, KeyboardInterrupt):
            _train_here(settings, request["devices"])


def _train_here(
    settings: Sequence[Setting],
    devices: int | None,
    directory: Path | None = None,
    directories: Sequence[Path | None] | None = None,
    callback: Callable | None = None,
) -> list[Trained]:
    """Takes this process's part in training some settings."""
    first, keys = settings[0], [jax.random.key(setting.seed) for setting in settings]
    options: dict[str, Any] = {
        "directory": directory,
        "callback": callback,
        "devices": devices,
    }
    if len(settings) == 1:
        return [train(first.task, first.model, first.train, key=keys[0], **options)]
    return train_ensemble(
        [setting.task for setting in settings],
        first.model,
        first.train,
        keys=jnp.stack(keys),
        learning_rates=[setting.train.learning_rate for setting in settings],
        directories=directories,
        **options,
    )


def _integer_in_environment(variable: str) -> int | None:
    """Returns what a variable of the environment says, or None if it is not set."""
    text = os.environ.get(variable)
    try:
        return None if text is None else int(text)
    except ValueError:
        raise ValueError(f"{variable} must be an integer, got {text!r}.") from None
