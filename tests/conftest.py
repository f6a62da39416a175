"""Two virtual devices, a cache of compiled programs, and one tiny run to share."""

import ctypes
import gc
import math
import os
import resource
from contextlib import suppress
from pathlib import Path

import jax
import jaxtyping
import pytest

from icl import LinearRegression, ModelConfig, TrainConfig, train

# Compiling is most of what the tests do. It takes half the time if nothing is optimised
# (training programs too then leave it at that), a fifth less in one part, and a third
# less by the older way to generate code, which jaxlib 0.12 no longer has. Before JAX
# starts, and for the processes that tests start.
flags = [os.environ.get("XLA_FLAGS", ""), "--xla_backend_optimization_level=0"]
flags.append("--xla_cpu_parallel_codegen_split_count=1")
if jax.__version_info__ < (0, 11):
    flags.append("--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join(flags).strip()

# Workers of `pytest -n` side by side are quicker with one thread each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("NPROC", "1")

# What took long to compile is kept. A limit of the cache's size puts a lock on it, so
# that of `pytest -n 2` neither reads what the other is writing. But JAX then looks at
# all entries whenever it adds one, and to read one takes 0.1 s: few should be kept.
CACHE = {
    "jax_compilation_cache_dir": str(Path(__file__).parents[1] / ".pytest_cache/jax"),
    "jax_compilation_cache_max_size": 2**29,
    "jax_persistent_cache_min_compile_time_secs": 0.3,
}
for name, value in CACHE.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)  # for the processes that tests start

jax.config.update("jax_num_cpu_devices", 2)

# Arrays of different ranks are never broadcast by accident. (Strict promotion of dtypes
# would be the next: optax's schedules mix integers and floats.)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_finish():
    """Leaves what has been imported out of every later search for garbage.

    A sweep searches after each model, and among all modules that takes 0.4 s.
    """
    gc.freeze()


@pytest.fixture
def untyped():
    """As users run it: without the test suite's type checks in front of ours."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


# One run that most tests of training share, and with it what is compiled for it: large
# enough to learn, small enough to train in a fraction of a second.


@pytest.fixture(scope="session")
def task():
    return LinearRegression(dim=1, length=4)


@pytest.fixture(scope="session")
def model_config():
    return ModelConfig(layers=2, width=8)


@pytest.fixture(scope="session")
def train_config():
    return TrainConfig(
        steps=300,
        batch=16,
        learning_rate=1e-2,
        chunk=50,
        evaluate_every=100,
        held_out=64,
        checkpoint_every=100,
    )


@pytest.fixture(scope="session")
def trained(task, model_config, train_config):
    return train(task, model_config, train_config, key=jax.random.key(0))


@pytest.fixture(scope="module", autouse=True)
def memory_of_a_file():
    """Lets go of what a file's tests have compiled, once it takes much memory.

    Files compile other shapes, and a worker that keeps all of them grows to 4.5 GB.
    """
    yield
    give_back_above(1.2)


@pytest.fixture(autouse=True)
def memory_of_a_test():
    """Lets go of it within a file too, once it takes very much."""
    yield
    give_back_above(1.5)


def give_back_above(gigabytes):
    """Drops what is compiled; glibc keeps what is freed unless it is asked for it."""
    if resident_gigabytes() > gigabytes:
        jax.clear_caches()
        gc.collect()
        with suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident_gigabytes():
    """The memory of this process; infinite where nothing tells it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return math.inf
    return pages * resource.getpagesize() / 2**30
