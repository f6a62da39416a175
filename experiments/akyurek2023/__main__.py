"""The whole paper at a preset: all figures, and a report page.

Run: python -m experiments.akyurek2023 quick

Trains the models, or finds them: one for behaviour, and for probing, at d = 4, another
one and its control. Computes and draws each figure, or finds it; writes
results/akyurek2023/report-<preset>.html and prints its path last. A second run is a
matter of seconds. Fields of the first model and its training can be changed here; what
a figure asks, and the models that are probed, are changed at the figure's own command.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.catalogue import Entry
    from experiments.runs import Run

TIMES = {
    "tiny": "75 s",
    "quick": "about 30 min; seconds, once done",
    "paper": "about a day on one GPU, not measured",
}
NAME = "experiments.akyurek2023"
FIGURES = (
    "fig1",
    "fig6",
    "weights",
    "lens",
    "fig4",
    "fig5",
    "steering",
    "fig7",
    "construction",
)


def reproduce(argv: Sequence[str]) -> None:
    """Runs all figures and writes the report."""
    from experiments import command
    from experiments.akyurek2023.setting import SETTINGS
    from experiments.models import Models
    from experiments.provenance import digest
    from experiments.runs import Experiment, run

    preset, setting, options = command.parse(NAME, SETTINGS, argv)
    command.set_up_runtime(options)
    models = Models(options.results)
    runs = []
    for figure in FIGURES:
        experiment = Experiment.of(f"{NAME}.{figure}")
        config = experiment.presets[preset]
        if vars(SETTINGS[preset]).items() <= vars(config).items():
            config = replace(config, **vars(setting))
        finished = run(experiment, preset, config, models, replot=options.replot)
        command.show(finished)
        runs.append((experiment.about, finished))
    changed = "" if setting == SETTINGS[preset] else f"-{digest(setting)}"
    page = options.results / "akyurek2023" / f"report-{preset}{changed}.html"
    print(report(page, preset, runs))


def report(page: Path, preset: str, runs: "list[tuple[Entry, Run]]") -> Path:
    """The figures of some runs, with their claims, on one page."""
    from experiments.report import FigureResult, write_report

    figures = [
        FigureResult(
            name=entry.name.rpartition(".")[2],
            title=entry.title.rstrip("."),
            description=f"What is claimed: {entry.paragraph('Claim')} "
            f"How to read it: {entry.paragraph('How to read it')}",
            figure_png=run.picture,
            claims=run.claims,
            command=run.about["command"],
            config=run.about["config"],
        )
        for entry, run in runs
    ]
    kept = ("date", "commit", "devices", "cores", "platform", "versions")
    made = {
        figure.name: {key: run.about[key] for key in kept}
        for figure, (_, run) in zip(figures, runs, strict=True)
    }
    return write_report(page, figures, {"preset": preset, "made": made})


def main(argv: Sequence[str] | None = None) -> int:
    """The paper as a program; returns its exit status."""
    from experiments.command import guarded

    return guarded(NAME, reproduce, argv)


if __name__ == "__main__":
    sys.exit(main())
