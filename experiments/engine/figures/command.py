"""How does a command line become a configuration, and an error one clear sentence?

`python -m experiments.akyurek2023.fig1 quick --train.steps 5000`: a preset, then any
field of its configuration. Flags, their help and the suggestions for misspelt ones come
from the dataclasses, through tyro.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from experiments.engine.figures import catalogue, streams
from experiments.engine.figures.flags import Options, parse
from icl import signals
from icl.terminal import counted, printable, say

# Imported where it is used: the list of experiments is there at once, without JAX.
if TYPE_CHECKING:
    from experiments.engine.figures.figure import Figure
    from experiments.engine.figures.runs import Run
    from icl.sweeps.setting import Setting
    from icl.sweeps.store import Models

STOPPED, REFUSED = 130, 2
STOPPED_BY = 128  # and the number of a signal, if that ended a command
RESUME = "stopped; run the same command again to resume"


def main(figure: "Figure[Any]", argv: Sequence[str] | None = None) -> int:
    """Runs a figure as a program, and returns its exit status."""
    from experiments.engine.figures.figure import check_effects, load_figure
    from experiments.engine.figures.runs import run

    def action(argv: Sequence[str]) -> None:
        # Other processes cannot import what was defined in `__main__`.
        figure = load_figure(name)
        preset, config, options = parse(figure.name, figure.presets, argv)
        check_effects(figure, preset, config)
        models = set_up(options)
        if options.list:
            show_models(figure.settings(config), models)
        else:
            finished = run(figure, preset, config, models, replot=options.replot)
            show(finished, csv=options.csv)

    name = figure.name
    return guarded(name, action, argv)


def set_up(options: Options) -> "Models":
    """Starts JAX as the options say, and returns the models of their results folder.

    The models that come with the package are among them.
    """
    import joblib

    from icl import pretrained
    from icl.sweeps.runtime import on_cpu, set_up_runtime
    from icl.sweeps.setting import Setting
    from icl.sweeps.store import Models

    set_up_runtime(
        options.results, devices=options.devices, distributed=options.distributed
    )
    cores = joblib.cpu_count()
    if (options.devices or 1) > cores and on_cpu():
        say(
            f"note: this machine has {counted(cores, 'core')}, and {options.devices} "
            "devices are no faster"
        )
    models = Models(options.results, options.jobs, options.together, options.devices)
    for name, made_of in pretrained.configs().items():
        models.put(Setting(*made_of), partial(pretrained.load_pretrained, name))
    return models


def show(finished: "Run", *, csv: bool = False) -> None:
    """Prints each claim of a run with what must be known, and where its figure is.

    Args:
        finished: the run.
        csv: also write its data as tables, and print where they are.

    Raises:
        ValueError: tables are asked for, and the data are damaged.
        OSError: the tables cannot be written.
    """
    for claim in finished.claims:
        print(" ".join(printable(str(claim)).split()))
        if claim.remarks:
            print("   ", " ".join(printable(claim.remarks).split()))
    if csv:
        from experiments.engine.figures.tables import write_tables

        print(write_tables(finished.folder))
    print(finished.picture)


def show_models(settings: "Sequence[Setting]", models: "Models") -> None:
    """Prints which models are needed, with their state and cost."""
    from icl import sweeps

    print(
        printable(sweeps.table(settings, models))
        if settings
        else "No model is trained."
    )


def no_whole_paper(paper: str, argv: Sequence[str] | None = None) -> int:
    """Says that a paper is made figure by figure; returns the status of a refusal.

    Args:
        paper: the package of its figures, such as "experiments.vonoswald2023".
        argv: the arguments it was called with.
    """

    def action(argv: Sequence[str]) -> None:
        names = [e.name for e in catalogue.entries() if e.name.startswith(f"{paper}.")]
        commands = " or ".join(" ".join(["python -m", name, *argv]) for name in names)
        raise ValueError(f"{paper} is made figure by figure; run {commands}")

    return guarded(paper, action, argv)


def guarded(
    name: str, action: Callable[[Sequence[str]], None], argv: Sequence[str] | None
) -> int:
    """Calls `action` on the arguments; an error becomes one line and status 2."""
    argv = sys.argv[1:] if argv is None else argv
    streams.prepare()
    before, warnings.formatwarning = warnings.formatwarning, streams.one_line_warning
    try:
        with signals.raised():
            return _called(name, action, argv)
    except SystemExit as exit:  # of tyro, which has printed help, or of a signal
        status = exit.code if isinstance(exit.code, int) else 0
        if status > STOPPED_BY:
            say(RESUME)
        return status
    except KeyboardInterrupt:
        say(f"\n{RESUME}")
        return STOPPED
    finally:
        warnings.formatwarning = before


def _called(
    name: str, action: Callable[[Sequence[str]], None], argv: Sequence[str]
) -> int:
    try:
        asked = argv and argv[0] in ("-h", "--help")
        if asked and catalogue.entry(name).times:
            print(overview(name))
        else:
            _flushed(action, argv)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough; nothing is flushed at exit
        streams.give_up_output()
        return 1
    except Exception as error:
        from icl.sweeps.errors import expected, is_out_of_memory, sentence

        known = isinstance(error, expected()) or is_out_of_memory(error)
        if "--debug" in argv or not known:
            raise
        say(f"error: {' '.join(sentence(error).split())}")
        with suppress(OSError):
            sys.stdout.flush()
            return REFUSED
        streams.give_up_output()  # a full disk, say
        return REFUSED
    return 0


def _flushed(action: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    """Calls `action`; a help text that ends it is written before the process ends."""
    try:
        action(argv)
    except SystemExit:
        sys.stdout.flush()
        raise


class Parser(argparse.ArgumentParser):
    """A parser of arguments that refuses them as every command here does."""

    def error(self, message: str) -> NoReturn:
        """Raises a `ValueError` of one line, which `guarded` prints."""
        raise ValueError(f"{message}; {self.prog} --help tells more.")

    def print_help(self, file: Any = None) -> None:
        """Prints the help; argparse would pass over an output that takes nothing."""
        print(self.format_help(), end="", file=file)


def overview(name: str) -> str:
    """Returns the help without a preset: the module's docstring and how to go on."""
    entry = catalogue.entry(name)
    times = "\n".join(f"  {preset:<6} {time}" for preset, time in entry.times.items())
    return (
        f"usage: python -m {name} PRESET [--FIELD VALUE ...]\n\n{entry.doc}\n\n"
        f"presets:\n{times}\n\n"
        f"All fields, with the values of a preset: python -m {name} PRESET --help"
    )
