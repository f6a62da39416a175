"""How much longer does the training program of a deeper model take to compile?

Ours: 16 layers; the other side: the same with 4. A program in which every layer is
written out takes about four times as long, one that loops over layers takes the same.
Traced, lowered and compiled anew every time, for one device, without the cache on disk.
The ratio is that of 4 layers to 16; the bar of at most 1.5 times as long is 0.67.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np

from benchmarks.measure import Row, alternate, row, timed
from benchmarks.steps import Shape
from benchmarks.worker import warm

DEEP = Shape(8, 17, 16, 32)
SHALLOW = DEEP._replace(layers=4)


def main(turns: int) -> Iterator[Row]:
    """One row."""
    factory = "benchmarks.compilation:compiler"
    with warm({"ours": (factory, DEEP), "shallow": (factory, SHALLOW)}) as workers:
        found = alternate(workers, turns)
    times = np.median(found["ours"] / found["shallow"])
    yield row(
        "compilation",
        str(DEEP),
        found,
        "shallow",
        f"the same with {SHALLOW.layers} layers",
        work="no limit: compiling is no arithmetic",
        note=f"{DEEP.layers} layers take {times:.2f} times as long; the bar is 1.5",
    )


def compiler(shape: list[int]) -> Callable[[], float]:
    """Seconds to compile the program of `icl.train` at a shape."""
    import jax

    from icl.training.compiled import compile_program, program_key, scales_of

    jax.config.update("jax_enable_compilation_cache", False)
    setting = Shape(*shape).setting
    key, scales = jax.random.key(0), scales_of(setting.task, setting.train)
    devices = tuple(jax.local_devices())
    key_of = program_key(setting.task, setting.model, setting.train)
    program = compile_program(key_of, devices, None)
    state, advance = program.abstract(key), cast(Any, program.advance)

    def run() -> None:
        jax.clear_caches()
        advance.lower(state, key, scales, 0, 1).compile()

    return timed(run)
