"""How do flags become a configuration?

Flags, their help and the suggestions for misspelt ones come from the dataclasses,
through tyro.
"""

import difflib
import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_origin

from experiments.engine.figures import catalogue

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry


@dataclass(frozen=True)
class Options:
    """What does not change a result.

    Attributes:
        results: folder for models, data and figures.
        replot: draw figure and claims again from the data that is there.
        list: show the models that are needed, their state and cost; compute nothing.
        jobs: how many models are trained side by side; None is one per core, or one on
            an accelerator.
        together: how many models of equal shape are trained as one program; None is one
            on CPU, and all of them on an accelerator.
        devices: the batch, or the models trained together, are split over so many
            devices of each process. On CPU these are virtual ones, and there are by
            default so many fewer jobs. None is all there are that divide the batch: on
            CPU one per core, but one in a process that trains beside others.
        distributed: the same command runs in several processes, on one host or many,
            which train each model together; found by JAX on SLURM, MPI, TPU pods and
            Kubernetes, elsewhere named by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES
            and JAX_PROCESS_ID. One job at a time.
        debug: show where an error came from.
    """

    results: Path = Path("results")
    replot: bool = False
    list: bool = False
    jobs: int | None = None
    together: int | None = None
    devices: int | None = None
    distributed: bool = False
    debug: bool = False


class Command(NamedTuple):
    """A command line that was understood."""

    preset: str
    config: Any
    options: Options


def parse(name: str, presets: Mapping[str, Any], argv: Sequence[str]) -> Command:
    """The preset, its configuration with the overrides, and the options.

    Raises:
        ValueError: no preset or an unknown one, or a flag that cannot be read.
        SystemExit: from tyro, for `--help`.
    """
    import tyro

    known = ", ".join(presets)
    if not argv or argv[0].startswith("-"):
        raise ValueError(f"give a preset first, one of {known}; --help tells more.")
    preset, *rest = argv
    if preset not in presets:
        near = difflib.get_close_matches(preset, presets, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"unknown preset {preset!r}; presets are {known}.{meant}")
    default = presets[preset]
    kind: Any = type(default)
    unprefixed = tyro.conf.arg(name="")
    both = make_dataclass(
        "Both",
        [
            ("config", Annotated[kind, unprefixed]),
            ("options", Annotated[Options, unprefixed]),
        ],
    )
    defaults = both(default, Options())
    parsed = read_flags(f"{name} {preset}", catalogue.entry(name).title, defaults, rest)
    return Command(preset, parsed.config, parsed.options)


def read_flags(name: str, title: str, defaults: Any, argv: Sequence[str]) -> Any:
    """A dataclass with the fields that flags name changed.

    Args:
        name: what is run, as in `python -m <name>`.
        title: what its help says first.
        defaults: the dataclass.
        argv: the flags.

    Raises:
        ValueError: a flag that cannot be read.
        SystemExit: from tyro, for `--help`.
    """
    import tyro

    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            return tyro.cli(
                type(defaults),
                prog=f"python -m {name}",
                description=title,
                args=argv,
                default=defaults,
                registry=_registry(),
            )
    except SystemExit as stop:
        if not stop.code:  # of --help
            raise
        raise ValueError(_unframed(complaint.getvalue())) from None


def _unframed(message: str) -> str:
    """What tyro says in a box, paragraphs between rules, as one line."""
    lines = [line.strip("│ ") for line in message.splitlines()]
    inside = [line for line in lines if line and line[0] not in "╭╰"]
    paragraphs = " ".join(inside).split("─")
    return "; ".join(part.strip() for part in paragraphs if part.strip())


def _registry() -> "ConstructorRegistry":
    """Types that tyro would read otherwise: each is one word.

    A vector is "1,0.5"; a matrix is "2,0.5;0.5,1", or the one row of its diagonal.
    """
    from tyro.constructors import (
        ConstructorRegistry,
        PrimitiveConstructorSpec,
        PrimitiveTypeInfo,
    )

    from icl.tasks.linear import Matrix, Vector

    def read_vector(word: str) -> Vector:
        return tuple(map(float, word.split(",")))

    def read_integers(word: str) -> tuple[int, ...]:
        return tuple(map(int, word.split(",")))

    def read_matrix(word: str) -> Matrix:
        rows = tuple(map(read_vector, word.split(";")))
        if len(rows) > 1:
            return rows
        (diagonal,) = rows
        size = range(len(diagonal))
        return tuple(tuple(diagonal[i] * (i == j) for j in size) for i in size)

    def write_vector(vector: tuple[float, ...]) -> str:
        return ",".join(map(str, vector))

    def write_matrix(matrix: Matrix) -> str:
        return ";".join(map(write_vector, matrix))

    # By what they hold: tyro may hand typing.Tuple over, which does not equal tuple.
    kinds = {
        get_args(Vector): ("NUMBER,NUMBER,...", read_vector, write_vector),
        (int, ...): ("INTEGER,INTEGER,...", read_integers, write_vector),
        get_args(Matrix): ("ROW;ROW;...|DIAGONAL", read_matrix, write_matrix),
    }
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def one_word(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        held = get_args(info.type)
        if get_origin(info.type) is not tuple or held not in kinds:
            return None
        metavar, read, write = kinds[held]
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=metavar,
            instance_from_str=lambda words: read(words[0]),
            is_instance=lambda value: isinstance(value, tuple),
            str_from_instance=lambda value: [write(value)],
        )

    return registry
