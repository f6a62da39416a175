"""What must JAX be told before its backend starts?

Where compiled programs are kept (`<results>/.cache/jax`), with how many devices and
threads this process computes, and whether it is one of several that train together.
"""

import os
import warnings
from contextlib import suppress
from pathlib import Path

import jax
import joblib
from filelock import FileLock, Timeout

from icl import checks
from icl.sweeps import hosts
from icl.training import processes

MOST_DEVICES = 1_024
"""The most devices of one process. JAX makes as many of a CPU as it is told to."""

CACHE_TROUBLE = "Error (reading|writing) persistent compilation cache"
"""What JAX warns of for each program if the cache cannot be used, as on a full disk.

It is then compiled, and nothing else is different."""


def accelerator_count() -> int:
    """Returns how many accelerators this process has; 1 on a CPU."""
    return 1 if on_cpu() else jax.local_device_count()


def on_cpu() -> bool:
    """Returns whether this process would compute on the CPU."""
    return jax.default_backend() == "cpu"


def set_up_runtime(
    results: Path, *, devices: int | None = None, distributed: bool = False
) -> None:
    """Tells JAX where its cache is and what it computes with, before it starts.

    A program calls this once, before anything else of JAX.

    Args:
        results: the results folder, in which compiled programs are kept.
        devices: the number of devices that each job is split over; None lets each job
            choose.
        distributed: whether this process is one of several that train together.

    Raises:
        ValueError: there are fewer devices than are asked for, or no cluster.
        SystemExit: this process has lent its devices to another one and is done.
    """
    # Compiled programs outlive the process. A cache that the user has chosen is
    # preferred. A limit of its size also makes JAX lock the cache, which processes that
    # run side by side need.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = results / ".cache" / "jax"
        _delete_parts(folder)
        warnings.filterwarnings("ignore", CACHE_TROUBLE)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", 2**30)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    # Split over two cores, a program trains nearly twice as fast as when XLA spreads it
    # over their threads (more than two were not tried).
    cores = 1 if distributed else joblib.cpu_count()
    number = cores if devices is None else devices
    number = checks.positive_int("devices", number, maximum=MOST_DEVICES)
    if devices is not None or "JAX_NUM_CPU_DEVICES" not in os.environ:
        with suppress(
            RuntimeError
        ):  # JAX may have started already, for a caller in Python
            jax.config.update("jax_num_cpu_devices", number)
    if distributed:
        hosts.join()
    if devices is not None:
        processes.of_each(devices)


def _delete_parts(folder: Path) -> None:
    """Deletes compiled programs of which a full disk, or a kill, has left but a part.

    JAX notes when a program was used, once the program is written. One without that
    note would never be replaced, and would keep all others from being added.
    """
    if not folder.is_dir():
        return
    with suppress(OSError, Timeout), FileLock(folder / ".lockfile", timeout=1):  # JAX's
        for program in folder.glob("*-cache"):
            used = f"{program.name.removesuffix('-cache')}-atime"
            if not program.with_name(used).exists():
                program.unlink()


def limit_threads(number: int) -> None:
    """Tells XLA, before its backend starts, how many threads it computes with.

    It sets NPROC, from which XLA takes the size of its pool of threads. The flag
    `--xla_cpu_multi_thread_eigen=false` changes nothing in jaxlib 0.10 and 0.12. Two
    workers with two threads each on two cores take 1.3 times as long as with one each.
    """
    os.environ["NPROC"] = str(number)
