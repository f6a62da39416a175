"""How is a whole paper made at a preset: all models, all figures, one page?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.engine.claims.checklist import Statement, checklist
from experiments.engine.figures.command import guarded, models_of, show_models
from experiments.engine.figures.experiment import Experiment
from experiments.engine.figures.flags import Options, parse
from experiments.engine.figures.runs import Run, is_computed
from experiments.engine.provenance import digest
from experiments.engine.report import markdown
from experiments.engine.report.page import FigureResult, write_report
from icl.files import write_whole
from icl.sweeps.errors import expected, sentence
from icl.sweeps.runtime import set_up_runtime
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.sweeps.workers import train_all

Planned = tuple[Experiment, str, Any]  # with preset and configuration
Made = tuple[Experiment, Run]

MADE = ("date", "commit", "devices", "cores", "platform", "versions")
"""What the foot of the page says of each figure."""


@dataclass(frozen=True)
class Paper:
    """A paper, as far as making all of it needs to know.

    Attributes:
        module: the module that is its command, such as "experiments.akyurek2023".
        figures: the modules of its figures by the names that a report gives them.
        settings: the model that most of its figures look at, by preset.
        name: what ids of its claims begin with, such as "akyurek2023".
        statements: what it says.
        beside: headings for claims that are not the paper's, by the first word of their
            id.
    """

    module: str
    figures: Mapping[str, str]
    settings: Mapping[str, Setting]
    name: str
    statements: Sequence[Statement]
    beside: Mapping[str, str]

    def main(self, argv: Sequence[str] | None = None) -> int:
        """The paper as a program; returns its exit status."""
        return guarded(self.module, self.reproduce, argv)

    def reproduce(self, argv: Sequence[str]) -> None:
        """Trains, makes all figures and writes the report.

        Raises:
            ValueError: some figures could not be made; raised once the report is
                written.
        """
        preset, setting, options = parse(self.module, self.settings, argv)
        set_up_runtime(
            options.results, devices=options.devices, distributed=options.distributed
        )
        models = models_of(options)
        planned = self.plan(preset, setting)
        if options.list:
            show_models(needed(planned.values(), models), models)
            return
        if not options.replot:
            left = [p for p in planned.values() if not is_computed(*p, models)]
            if settings := needed(left, models):
                train_all(settings, models)
        made, missing = make(planned, models, options)
        changed = "" if setting == self.settings[preset] else f"-{digest(setting)}"
        page = report(self, options.results, f"{preset}{changed}", made, missing)
        print(page)
        if missing:
            raise ValueError(
                f"{', '.join(missing)} could not be made; {page} says why and has the "
                "rest."
            )

    def plan(self, preset: str, setting: Setting) -> dict[str, Planned]:
        """The figures, with `setting` for the model that the first of them share."""
        planned = {}
        for figure, module in self.figures.items():
            experiment = Experiment.of(module)
            config = experiment.presets[preset]
            if vars(self.settings[preset]).items() <= vars(config).items():
                config = replace(config, **vars(setting))
            planned[figure] = experiment, preset, config
        return planned


def make(
    planned: Mapping[str, Planned], models: Models, options: Options
) -> tuple[dict[str, Made], dict[str, str]]:
    """The figures that could be made, and of the others why they could not."""
    from experiments.engine.figures.command import show
    from experiments.engine.figures.runs import run
    from icl.terminal import say

    made, missing = {}, {}
    for figure, (experiment, preset, config) in planned.items():
        try:
            finished = run(experiment, preset, config, models, replot=options.replot)
        except expected() as error:
            if options.debug:
                raise
            missing[figure] = sentence(error)
            say(f"{figure} failed: {missing[figure]}")
            continue
        show(finished)
        made[figure] = experiment, finished
    return made, missing


def needed(planned: Iterable[Planned], models: Models) -> list[Setting]:
    """The models that some figures ask for, each once."""
    by_folder = {
        models.folder(setting): setting
        for experiment, _, config in planned
        for setting in experiment.settings(config)
    }
    return list(by_folder.values())


def report(
    paper: Paper,
    results: Path,
    name: str,
    made: Mapping[str, Made],
    missing: Mapping[str, str],
) -> Path:
    """Writes the page, and beside it its claims in Markdown; returns the page's path.

    Args:
        paper: whose it is.
        results: the results folder.
        name: of the preset, and what was changed.
        made: the figures that there are, by name.
        missing: names of the others, and why.
    """
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
    groups = checklist(paper.name, paper.statements, claims, configs)
    folder = results / paper.name
    folder.mkdir(parents=True, exist_ok=True)  # no figure may have made it
    title = f"What `{name}` finds"
    text = markdown.page(title, paper.name, groups, claims, paper.beside, missing)
    write_whole(folder / f"results-{name}.md", text)
    return write_report(
        folder / f"report-{name}.html",
        figures,
        {"made": provenance},
        groups=groups,
        missing=missing,
    )
