"""How is a whole paper made at a preset, with all models, all figures and one page?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from experiments.engine.claims.checklist import Statement, checklist
from experiments.engine.figures.changes import flag_values
from experiments.engine.figures.command import guarded, set_up, show, show_models
from experiments.engine.figures.figure import Figure, HasSetting, module_name
from experiments.engine.figures.flags import Options, parse
from experiments.engine.figures.runs import Run, is_computed, run
from experiments.engine.provenance import described, digest
from experiments.engine.report import markdown
from experiments.engine.report.page import FigureResult, write_report
from icl.files import write_whole
from icl.sweeps.errors import expected, sentence
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.sweeps.workers import train_all
from icl.terminal import say

Planned = tuple[Figure[Any], str, Any]  # with preset and configuration
Made = tuple[Figure[Any], Run]

MADE = ("date", "commit", "devices", "cores", "platform", "versions")
"""What the foot of the page says of each figure."""


@dataclass(frozen=True)
class Paper:
    """A paper, with all that is needed to make the whole of it.

    Attributes:
        spec: the `__spec__` of the module that is its command.
        figures: its figures by the names that a report gives them.
        settings: the model that most of its figures look at, by preset.
        name: what ids of its claims begin with, such as "akyurek2023".
        statements: what it says.
        beside: headings for claims that are not the paper's, by the first word of their
            id.
    """

    spec: ModuleSpec | None
    figures: Mapping[str, Figure[Any]]
    settings: Mapping[str, Setting]
    name: str
    statements: Sequence[Statement]
    beside: Mapping[str, str]

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Runs the paper as a program, and returns its exit status."""
        return guarded(module_name(self.spec), self.reproduce, argv)

    def reproduce(self, argv: Sequence[str]) -> None:
        """Trains, makes all figures and writes the report.

        Raises:
            ValueError: some figures could not be made; raised once the report is
                written.
        """
        name = module_name(self.spec)
        preset, setting, options = parse(name, self.settings, argv)
        models = set_up(options)
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
        """Returns the figures, with `setting` for the model that the first share."""
        planned = {}
        for name, figure in self.figures.items():
            config = figure.presets[preset]
            shared = isinstance(config, HasSetting) and (
                config.setting == self.settings[preset]
            )
            if shared:
                config = replace(config, setting=setting)
            planned[name] = figure, preset, config
        return planned


def make(
    planned: Mapping[str, Planned], models: Models, options: Options
) -> tuple[dict[str, Made], dict[str, str]]:
    """Returns the figures that could be made, and why the others could not."""
    made, missing = {}, {}
    for name, (figure, preset, config) in planned.items():
        try:
            finished = run(figure, preset, config, models, replot=options.replot)
        except expected() as error:
            if options.debug:
                raise
            missing[name] = sentence(error)
            say(f"{name} failed: {missing[name]}")
            continue
        show(finished)
        made[name] = figure, finished
    return made, missing


def needed(planned: Iterable[Planned], models: Models) -> list[Setting]:
    """Returns the models that some figures need, each once."""
    by_folder = {
        models.folder(setting): setting
        for figure, _, config in planned
        for setting in figure.settings(config)
    }
    return list(by_folder.values())


def report(
    paper: Paper,
    results: Path,
    name: str,
    made: Mapping[str, Made],
    missing: Mapping[str, str],
) -> Path:
    """Writes the page and its claims in Markdown, and returns the page's path.

    Args:
        paper: whose it is.
        results: the results folder.
        name: of the preset, and what was changed.
        made: the figures that there are, by name.
        missing: names of the others, and why.
    """
    figures, configs, provenance = [], {}, {}
    for short, (figure, made_run) in made.items():
        figures.append(_result(short, figure, made_run))
        published = described(figure.presets["paper"])
        configs[short] = flag_values(made_run.about["config"]), flag_values(published)
        provenance[short] = {key: made_run.about[key] for key in MADE}
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


def _result(name: str, figure: Figure[Any], run: Run) -> FigureResult:
    """Returns what the page needs of a figure."""
    entry = figure.about
    return FigureResult(
        name=name,
        title=entry.title.rstrip("."),
        description=f"What is claimed: {entry.paragraph('Claim')} "
        f"How to read it: {entry.paragraph('How to read it')}",
        figure_png=run.picture,
        claims=run.claims,
        command=run.about["command"],
        config=run.about["config"],
    )
