"""What must JAX be told before its backend starts?

Where compiled programs are kept, how many devices and threads this process computes
with, and whether it is one of several that train together.
"""

import os
from contextlib import suppress
from pathlib import Path

import jax
import joblib

from icl import checks
from icl.sweeps import hosts
from icl.training import processes


def accelerators() -> int:
    """How many this process has; 1 on a CPU."""
    return 1 if on_cpu() else jax.local_device_count()


def on_cpu() -> bool:
    """Whether this process would compute on the CPU."""
    return jax.default_backend() == "cpu"


def set_up_runtime(
    results: Path, *, devices: int | None = None, distributed: bool = False
) -> None:
    """What JAX must be told before its backend starts. Called once, here only.

    Raises:
        ValueError: there are fewer devices than are asked for, or no cluster.
        SystemExit: in a process that lent its devices to another, and is done.
    """
    # Compiled programs outlive the process; a folder of the user's own goes first. A
    # limit of its size also puts a lock on it, for processes that run side by side.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = results / ".cache" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", 2**30)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    # Split over two cores, a program trains nearly twice as fast as when XLA spreads it
    # over their threads (more than two were not tried).
    cores = 1 if distributed else joblib.cpu_count()
    number = cores if devices is None else devices
    number = checks.positive_int("devices", number)
    if devices is not None or "JAX_NUM_CPU_DEVICES" not in os.environ:
        with suppress(RuntimeError):  # JAX has started, as for a caller in Python
            jax.config.update("jax_num_cpu_devices", number)
    if distributed:
        hosts.join()
    if devices is not None:
        processes.of_each(devices)


def limit_threads(number: int) -> None:
    """Tells XLA, before its backend starts, how many threads it computes with.

    By the variable that sizes its pool: `--xla_cpu_multi_thread_eigen=false` changes
    nothing in jaxlib 0.10 and 0.12, and two workers of two threads on two cores take
    1.3 times as long.
    """
    os.environ["NPROC"] = str(number)
