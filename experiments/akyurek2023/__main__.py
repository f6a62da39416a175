"""The whole paper at a preset: all models, all figures, 33 claims and a report page.

Run: python -m experiments.akyurek2023 quick

Trains what is missing of all models at once, so that no core is idle, then computes and
draws each figure, or finds it. What fails does not stop the rest: the report says what
is missing, and the same command goes on from there. `--list` shows the models with
their state and cost, and does nothing else.

Writes results/akyurek2023/report-<preset>.html, with a table of what the paper says,
what was measured and why they may differ, and the same in results-<preset>.md; prints
the path of the page last. A second run is a matter of seconds. Fields of the first
model and its training can be changed here; what a figure asks, and the models that are
probed or swept, are changed at the figure's own command.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.command import Options
    from experiments.models import Models, Setting
    from experiments.runs import Experiment, Run

    Planned = tuple[Experiment, str, Any]  # with preset and configuration
    Made = tuple[Experiment, Run]

TIMES = {
    "tiny": "about 2 min",
    "quick": "75 to 135 min; seconds, once done",
    "paper": "6,048 models, 290 days of one H100, an estimate",
}
NAME = "experiments.akyurek2023"
FIGURES = (
    "fig1",
    "fig6",
    "weights",
    "lens",
    "fig2",
    "fig3",
    "fig8",
    "fig4",
    "fig5",
    "steering",
    "fig7",
    "construction",
)


MADE = ("date", "commit", "devices", "cores", "platform", "versions")
"""What the foot of the page says of each figure."""


def reproduce(argv: Sequence[str]) -> None:
    """Trains, makes all figures and writes the report.

    Raises:
        ValueError: some figures could not be made; raised once the report is written.
    """
    from experiments import command, sweeps
    from experiments.akyurek2023.setting import SETTINGS
    from experiments.provenance import digest
    from experiments.runs import is_computed

    preset, setting, options = command.parse(NAME, SETTINGS, argv)
    command.set_up_runtime(options)
    models = command.models_of(options)
    planned = plan(preset, setting)
    if options.list:
        command.show_models(needed(planned.values(), models), models)
        return
    if not options.replot:
        left = [p for p in planned.values() if not is_computed(*p, models)]
        if settings := needed(left, models):
            sweeps.train(settings, models)
    made, missing = make(planned, models, options)
    changed = "" if setting == SETTINGS[preset] else f"-{digest(setting)}"
    page = report(options.results, f"{preset}{changed}", made, missing)
    print(page)
    if missing:
        raise ValueError(
            f"{', '.join(missing)} could not be made; {page} says why and has the rest."
        )


def plan(preset: str, setting: "Setting") -> "dict[str, Planned]":
    """The figures, with `setting` for the model that the first of them share."""
    from experiments.akyurek2023.setting import SETTINGS
    from experiments.runs import Experiment

    planned = {}
    for figure in FIGURES:
        experiment = Experiment.of(f"{NAME}.{figure}")
        config = experiment.presets[preset]
        if vars(SETTINGS[preset]).items() <= vars(config).items():
            config = replace(config, **vars(setting))
        planned[figure] = experiment, preset, config
    return planned


def make(
    planned: "Mapping[str, Planned]", models: "Models", options: "Options"
) -> "tuple[dict[str, Made], dict[str, str]]":
    """The figures that could be made, and of the others why they could not."""
    from experiments import command
    from experiments.runs import run, say

    made, missing = {}, {}
    for figure, (experiment, preset, config) in planned.items():
        try:
            finished = run(experiment, preset, config, models, replot=options.replot)
        except command.expected() as error:
            if options.debug:
                raise
            missing[figure] = command.sentence(error)
            say(f"{figure} failed: {missing[figure]}")
            continue
        command.show(finished)
        made[figure] = experiment, finished
    return made, missing


def needed(planned: "Iterable[Planned]", models: "Models") -> "list[Setting]":
    """The models that some figures ask for, each once."""
    by_folder = {
        models.folder(setting): setting
        for experiment, _, config in planned
        for setting in experiment.settings(config)
    }
    return list(by_folder.values())


def report(
    results: Path,
    name: str,
    made: "Mapping[str, Made]",
    missing: Mapping[str, str],
) -> Path:
    """Writes the page, and beside it its claims in Markdown; returns the page's path.

    Args:
        results: the results folder.
        name: of the preset, and what was changed.
        made: the figures that there are, by name.
        missing: names of the others, and why.
    """
    from experiments import markdown
    from experiments.akyurek2023.published import BESIDE, PAPER, PUBLISHED
    from experiments.checklist import checklist
    from experiments.claims import write_whole
    from experiments.report import FigureResult, write_report

    figures, configs, provenance = [], {}, {}
    for figure, (experiment, run) in made.items():
        entry = experiment.about
        result = FigureResult(
            name=figure,
            title=entry.title.rstrip("."),
            description=f"What is claimed: {entry.paragraph('Claim')} "
            f"How to read it: {entry.paragraph('How to read it')}",
            figure_png=run.picture,
            claims=run.claims,
            command=run.about["command"],
            config=run.about["config"],
        )
        figures.append(result)
        configs[figure] = result.config, asdict(experiment.presets["paper"])
        provenance[figure] = {key: run.about[key] for key in MADE}
    claims = [claim for result in figures for claim in result.claims]
    groups = checklist(PAPER, PUBLISHED, claims, configs)
    folder = results / PAPER
    folder.mkdir(parents=True, exist_ok=True)  # no figure may have made it
    title = f"What `{name}` finds"
    text = markdown.page(title, PAPER, groups, claims, BESIDE, missing)
    write_whole(folder / f"results-{name}.md", text)
    return write_report(
        folder / f"report-{name}.html",
        figures,
        {"made": provenance},
        groups=groups,
        missing=missing,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The paper as a program; returns its exit status."""
    from experiments.command import guarded

    return guarded(NAME, reproduce, argv)


if __name__ == "__main__":
    sys.exit(main())
