"""What does it cost to begin? Imports, the list of experiments, the first step.

Every command runs in a fresh interpreter, from its start to its end. Imports and the
list stand beside a bare `import jax`. The first training step at the `quick` shape, its
program in the cache on disk, stands beside PyTorch (import, GPT-2, one step, eager) and
beside itself with an empty cache.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Row, alternate, row
from benchmarks.training import SHAPES, WAYS, skipped

COMMANDS = {
    "import icl": ["-c", "import icl"],
    "from icl import LinearRegression": ["-c", "from icl import LinearRegression"],
    "from icl import train": ["-c", "from icl import train"],
    "import probes": ["-c", "import probes"],
    "python -m experiments": ["-m", "experiments"],
}
REFERENCE = ["-c", "import jax"]
SHAPE = SHAPES[0]
FIRST_STEP = "from benchmarks.steps import Shape, {side}; {side}(Shape{shape}{way})(1)"
NO_LIMIT = "no limit: start-up is no arithmetic"


def main(turns: int) -> Iterator[Row]:
    """A row for each command, and two for the first step."""
    sides = {name: _command(command) for name, command in COMMANDS.items()}
    found = alternate(sides | {"jax": _command(REFERENCE)}, turns)
    for name in COMMANDS:
        one = {"ours": found[name], "jax": found["jax"]}
        yield row("startup", name, one, "jax", "import jax", work=NO_LIMIT)
    yield from first_step(turns)


def first_step(turns: int) -> Iterator[Row]:
    """Ours with a full cache against an empty one, and against PyTorch."""
    ours, shape = _first_step("ours"), f"first training step: {SHAPE}"
    with TemporaryDirectory() as folder:
        cold = (_command(ours, _cache(Path(folder, str(n)))) for n in range(turns + 1))
        sides = {
            "ours": _command(ours, _cache(Path(folder, "0"))),
            "cold": lambda: next(cold)(),
        }
        next(cold)()  # fills the cache of ours
        reason = skipped().get("eager")
        if not reason:
            sides["eager"] = _command(_first_step("theirs", ", 'eager'"))
        found = alternate(sides, turns)
    ways = {"cold": "the same with an empty cache of compiled programs"}
    if reason:
        yield Row("startup", shape, WAYS["eager"], note=reason)
    else:
        ways["eager"] = WAYS["eager"]
    for side, way in ways.items():
        yield row("startup", shape, found, side, way, work=NO_LIMIT)


def _first_step(side: str, way: str = "") -> list[str]:
    return ["-c", FIRST_STEP.format(side=side, shape=tuple(SHAPE), way=way)]


def _cache(folder: Path) -> dict[str, str]:
    """Settings as of `icl.sweeps.runtime`; a limit of the size puts a lock on it."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**30),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }


def _command(
    arguments: list[str], environment: dict[str, str] | None = None
) -> Callable[[], float]:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
        return time.perf_counter() - start

    return seconds
