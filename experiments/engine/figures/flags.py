"""How do flags become a configuration?

Flags, their help and the suggestions for misspelt ones come from the dataclasses,
through tyro.
"""

import difflib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import (
    MISSING,
    dataclass,
    fields,
    is_dataclass,
    make_dataclass,
    replace,
)
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NamedTuple,
    get_args,
    get_origin,
    get_type_hints,
)

from experiments.engine.figures import catalogue
from experiments.engine.figures.changes import KIND, UNPREFIXED, task_of, with_task

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry


@dataclass(frozen=True)
class Options:
    """The options of a run that do not change its result.

    Attributes:
        results: folder for models, data and figures.
        replot: draw figure and claims again from the data that is there.
        csv: also write the data of the figure as tables, one for each variable, into
            the folder `csv` of the run.
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
    csv: bool = False
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
    """Returns the preset, its configuration with what flags changed, and the options.

    Raises:
        ValueError: no preset or an unknown one, or a flag that cannot be read.
        SystemExit: from tyro, for `--help`.
    """
    known = ", ".join(presets)
    if "" in argv:
        raise ValueError("an argument is empty; leave it out, or give it a value.")
    if not argv or argv[0].startswith("-"):
        again = " ".join(["python -m", name, next(iter(presets)), *argv])
        raise ValueError(
            f"give a preset first, one of {known}, as in: {again}; --help tells more."
        )
    preset, *rest = argv
    if preset not in presets:
        near = difflib.get_close_matches(preset, presets, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"unknown preset {preset!r}; presets are {known}.{meant}")
    config, about = presets[preset], catalogue.entry(name).title
    if task_of(config) is not None:
        config, rest = _with_kind(config, rest)
        about += f"\n\n{KIND} NAME takes another task: {', '.join(task_kinds())}."
    read = read_flags(f"{name} {preset}", about, _with_options(config), rest)
    from icl.files import expanded  # which loads NumPy

    options = replace(read.options, results=expanded(read.options.results))
    return Command(preset, _as_config(config, read.config), options)


# --- which task ---


def task_kinds() -> Mapping[str, Any]:
    """Returns the classes of tasks whose fields flags can give, by name."""
    from icl.tasks.registry import TASKS

    kinds: dict[str, Any] = dict(TASKS)
    return {
        name: kind
        for name, kind in kinds.items()
        if not any(map(_is_required, fields(kind)))
    }


def _is_required(field: Any) -> bool:
    return field.init and field.default is MISSING and field.default_factory is MISSING


def _task_kind(name: str) -> type:
    from icl.tasks.registry import task_kind

    return task_kind(name)


def _with_kind(config: Any, argv: Sequence[str]) -> tuple[Any, list[str]]:
    """Returns the configuration with the task that is asked for, and other flags."""
    rest, words = [], iter(argv)
    for word in words:
        flag, given, value = word.partition("=")
        if flag != KIND:
            rest.append(word)
            continue
        name = value if given else next(words, "")
        config = with_task(config, _task_kind(name))
    return config, rest


# --- a configuration and its flags ---


def _as_flags(config: Any) -> Any:
    """Returns a dataclass from which tyro makes the flags of a configuration.

    It has the fields of the configuration, each of the class that its value has: a
    task's is that of this task, whatever the configuration would also hold. What is
    `UNPREFIXED` adds its fields to those around it.
    """
    from tyro.conf import arg

    hints, columns, values = get_type_hints(type(config)), [], {}
    for each in fields(config):
        value = getattr(config, each.name)
        kind: Any = type(value) if is_dataclass(value) else hints[each.name]
        if each.name in UNPREFIXED:
            value = _as_flags(value)
            inner: Any = type(value)
            kind = Annotated[inner, arg(name="")]
        values[each.name] = value
        columns.append((each.name, kind))
    doc = {"__doc__": type(config).__doc__}  # where tyro finds the help of each flag
    made = make_dataclass(type(config).__name__, columns, namespace=doc)
    return made(**values)


def _with_options(config: Any) -> Any:
    """Joins the flags of a configuration and those of `Options` in one dataclass."""
    from tyro.conf import arg

    own, unprefixed = _as_flags(config), arg(name="")
    kind: Any = type(own)
    both: Any = make_dataclass(
        "Both",
        [
            ("config", Annotated[kind, unprefixed]),
            ("options", Annotated[Options, unprefixed]),
        ],
    )
    return both(own, Options())


def _as_config(config: Any, flags: Any) -> Any:
    """Returns the configuration with the values that tyro read; see `_as_flags`."""
    read = {each.name: getattr(flags, each.name) for each in fields(flags)}
    for name in UNPREFIXED:
        if name in read:
            read[name] = _as_config(getattr(config, name), read[name])
    return type(config)(**read)


def read_flags(name: str, title: str, defaults: Any, argv: Sequence[str]) -> Any:
    """Returns a dataclass, in which the fields that flags name are changed.

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
    """Returns as one line what tyro says in a box of several paragraphs.

    Where an encoding has no frames, rules are dashes, and the first is below a title.
    Long numbers, such as 4,294,967,295, may be broken where a line ends.
    """
    lines = [line.strip("│ ") for line in message.splitlines()]
    inside = [line for line in lines if line and line[0] not in "╭╰"]
    titled = len(inside) > 1 and set(inside[1]) == {"-"}
    text = re.sub(r"(?<=\d,) (?=\d{3}\b)", "", " ".join(inside[2 * titled :]))
    paragraphs = re.split("[─-]{9,}", text)
    return "; ".join(part.strip() for part in paragraphs if part.strip())


# --- types that are one word ---


def _read_vector(word: str) -> tuple[float, ...]:
    return tuple(map(float, word.split(",")))


def _read_integers(word: str) -> tuple[int, ...]:
    return tuple(map(int, word.split(",")))


def _read_names(word: str) -> tuple[str, ...]:
    """Returns names between commas; a comma before a space is part of a name."""
    return tuple(re.split(r",(?! )", word)) if word else ()


def _read_matrix(word: str) -> tuple[tuple[float, ...], ...]:
    """Returns the rows of a matrix; a single row is its diagonal."""
    rows = tuple(map(_read_vector, word.split(";")))
    if len(rows) > 1:
        return rows
    (diagonal,) = rows
    size = range(len(diagonal))
    return tuple(tuple(diagonal[i] * (i == j) for j in size) for i in size)


def _write_vector(vector: Sequence[float | str]) -> str:
    return ",".join(map(str, vector))


def _write_matrix(matrix: Sequence[Sequence[float]]) -> str:
    return ";".join(map(_write_vector, matrix))


# By what a tuple holds: tyro may hand typing.Tuple over, which does not equal tuple.
ONE_WORD: Mapping[Any, tuple[str, Callable[[str], Any], Callable[[Any], str]]] = {
    (float, ...): ("NUMBER,NUMBER,...", _read_vector, _write_vector),
    (int, ...): ("INTEGER,INTEGER,...", _read_integers, _write_vector),
    (str, ...): ("NAME,NAME,...", _read_names, _write_vector),
    (tuple[float, ...], ...): ("ROW;ROW;...", _read_matrix, _write_matrix),
}


def _registry() -> "ConstructorRegistry":
    """Returns how tyro reads types that are one word each.

    A vector is "1,0.5", and names are "plain,reverse"; a matrix is "2,0.5;0.5,1", or
    the one row of its diagonal.
    """
    from tyro.constructors import (
        ConstructorRegistry,
        PrimitiveConstructorSpec,
        PrimitiveTypeInfo,
    )

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def one_word(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        held = get_args(info.type)
        if get_origin(info.type) is not tuple or held not in ONE_WORD:
            return None
        metavar, read, write = ONE_WORD[held]
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=metavar,
            instance_from_str=lambda words: read(words[0]),
            is_instance=lambda value: isinstance(value, tuple),
            str_from_instance=lambda value: [write(value)],
        )

    return registry
