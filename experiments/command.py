"""How does a command line become a configuration, and an error one clear sentence?

`python -m experiments.akyurek2023.fig1 quick --train.steps 5000`: a preset, then any
field of its configuration. Flags, their help and the suggestions for misspelt ones come
from the dataclasses, through tyro.
"""

import difflib
import io
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_origin

from experiments import catalogue
from experiments.runs import Experiment, Run, run, say

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry

    from experiments.models import Models, Setting

STOPPED, REFUSED = 130, 2


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


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Runs the figure module `name` as a program; returns its exit status."""

    def action(argv: Sequence[str]) -> None:
        experiment = Experiment.of(name)
        preset, config, options = parse(name, experiment.presets, argv)
        set_up_runtime(options)
        models = models_of(options)
        if options.list:
            show_models(experiment.settings(config), models)
        else:
            show(run(experiment, preset, config, models, replot=options.replot))

    return guarded(name, action, argv)


def models_of(options: Options) -> "Models":
    """The models of the results folder, trained as the options say."""
    from experiments.models import Models

    return Models(options.results, options.jobs, options.together, options.devices)


def show(finished: Run) -> None:
    """Prints what a run says: a line for each claim, then where the figure is."""
    for claim in finished.claims:
        print(claim)
    print(finished.picture)


def show_models(settings: "Sequence[Setting]", models: "Models") -> None:
    """Prints which models are needed, with their state and cost."""
    from experiments import sweeps

    print(sweeps.table(settings, models) if settings else "No model is trained.")


def guarded(
    name: str, action: Callable[[Sequence[str]], None], argv: Sequence[str] | None
) -> int:
    """Calls `action` on the arguments; an error becomes one line and status 2."""
    argv = sys.argv[1:] if argv is None else argv
    before, warnings.formatwarning = warnings.formatwarning, _one_line_warning
    try:
        asked = argv and argv[0] in ("-h", "--help")
        if asked and catalogue.entry(name).times:
            print(overview(name))
        else:
            action(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough; nothing is flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as exit:  # of tyro, which has printed help
        return exit.code if isinstance(exit.code, int) else 0
    except KeyboardInterrupt:
        say("\nstopped; run the same command again to resume")
        return STOPPED
    except Exception as error:
        if "--debug" in argv or not isinstance(error, expected()):
            raise
        say(f"error: {' '.join(sentence(error).split())}")
        return REFUSED
    finally:
        warnings.formatwarning = before
    return 0


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

    from icl.tasks import Matrix, Vector

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


def overview(name: str) -> str:
    """Help without a preset: the module's docstring and how to go on."""
    entry = catalogue.entry(name)
    times = "\n".join(f"  {preset:<6} {time}" for preset, time in entry.times.items())
    return (
        f"usage: python -m {name} PRESET [--FIELD VALUE ...]\n\n{entry.doc}\n\n"
        f"presets:\n{times}\n\n"
        f"All fields, with the values of a preset: python -m {name} PRESET --help"
    )


def set_up_runtime(options: Options) -> None:
    """What JAX must be told before its backend starts. Called once, here only.

    Raises:
        ValueError: there are fewer devices than `options` asks for, or no cluster.
        SystemExit: in a process that lent its devices to another, and is done.
    """
    import jax
    import joblib

    from icl import checks

    # Compiled programs outlive the process; a folder of the user's own goes first. A
    # limit of its size also puts a lock on it, for processes that run side by side.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = options.results / ".cache" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", 2**30)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    # Split over two cores, a program trains nearly twice as fast as when XLA spreads it
    # over their threads (more than two were not tried).
    cores = 1 if options.distributed else joblib.cpu_count()
    number = cores if options.devices is None else options.devices
    number = checks.positive_int("devices", number)
    if options.devices is not None or "JAX_NUM_CPU_DEVICES" not in os.environ:
        with suppress(RuntimeError):  # JAX has started, as for a caller in Python
            jax.config.update("jax_num_cpu_devices", number)
    if options.distributed:
        from experiments import hosts

        hosts.join()
    if options.devices is not None:
        from icl import processes

        processes.of_each(options.devices)


def limit_threads(number: int) -> None:
    """Tells XLA, before its backend starts, how many threads it computes with.

    By the variable that sizes its pool: `--xla_cpu_multi_thread_eigen=false` changes
    nothing in jaxlib 0.10 and 0.12, and two workers of two threads on two cores take
    1.3 times as long.
    """
    os.environ["NPROC"] = str(number)


def expected() -> tuple[type[Exception], ...]:
    """Errors that tell the user something; any other is a mistake of ours."""
    from icl import NonFiniteLossError

    return ValueError, OSError, NonFiniteLossError


def sentence(error: Exception) -> str:
    """What an error says; for one of the system, what and where."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    return str(error) or type(error).__name__


def _one_line_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return f"warning: {message}\n"
