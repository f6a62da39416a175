"""How is a whole paper made at a preset, with all models, all figures and one page?"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from experiments.engine.claims.checklist import Statement, checklist
from experiments.engine.claims.claim import Claim, Interval
from experiments.engine.figures.changes import flag_values, reseeded
from experiments.engine.figures.command import guarded, set_up, show, show_models
from experiments.engine.figures.figure import Figure, module_name
from experiments.engine.figures.flags import Options, parse
from experiments.engine.figures.runs import Run, found, is_computed, run
from experiments.engine.figures.seeds import HasSetting, with_seeds
from experiments.engine.provenance import described, digest
from experiments.engine.report import markdown
from experiments.engine.report.page import FigureResult, write_report
from icl.files import write_whole
from icl.sweeps.errors import expected, sentence
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.sweeps.workers import train_all
from icl.terminal import counted, say

Planned = tuple[Figure[Any], str, Any]  # with preset and configuration
Made = tuple[Figure[Any], Run]

MADE = ("date", "commit", "devices", "cores", "platform", "versions")
"""What the foot of the page says of each figure."""


CAUTIONS = {
    "tiny": "This is a smoke test, and judges nothing: its models are so small and so "
    "briefly trained that a verdict only shows that everything runs."
}
"""What the page of a preset says first."""


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
        longer: for a preset, others whose models were trained longer: a claim that
            fails is judged at the first of them that its figure has, if the models of
            that are there. Nothing is trained for it.
        seeds: the number of models of each figure that may look at several; None: what
            its preset says.
        glossary: the words that its figures and claims use, with their meaning.
    """

    spec: ModuleSpec | None
    figures: Mapping[str, Figure[Any]]
    settings: Mapping[str, Setting]
    name: str
    statements: Sequence[Statement]
    beside: Mapping[str, str]
    longer: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seeds: int | None = None
    glossary: Mapping[str, str] = field(default_factory=dict)

    def part(
        self, spec: ModuleSpec | None, names: Collection[str], *, seeds: int
    ) -> "Paper":
        """Returns some of the figures, of so many models each, as another command."""
        figures = {name: self.figures[name] for name in names}
        return replace(self, spec=spec, figures=figures, seeds=seeds)

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Runs the paper as a program, and returns its exit status."""
        return guarded(module_name(self.spec), self.reproduce, argv)

    def reproduce(self, argv: Sequence[str]) -> None:
        """Trains, makes all figures and writes the report.

        Raises:
            ValueError: some figures could not be made; raised once the report is
                written.
        """
        command = module_name(self.spec)
        preset, setting, options = parse(command, self.settings, argv)
        models = set_up(options)
        planned, missing = self.plan(preset, setting)
        if options.list:
            show_models(needed(planned.values(), models), models)
            return
        name = self.page_name(preset, setting)
        made: dict[str, Made] = {}
        publish = partial(
            report,
            *(self, options.results, name, made, missing),
            asked=self._asked(preset, setting),
            caution=CAUTIONS.get(preset, ""),
            first=self._of_first_seeds(preset, setting, models),
        )
        for short in self._in_order(planned, models, options):
            made_run, why = attempt(short, *planned[short], models, options)
            if made_run is None:
                missing[short] = why
            else:
                figure, others = planned[short][0], self.longer.get(preset, ())
                judged = judged_longer(short, figure, made_run, others, models)
                made[short] = figure, judged
            say(f"{publish(planned)} has {counted(len(made), 'figure')} so far")
        failed = [short for short in planned if short in missing]
        page = publish()
        print(page)
        if failed:
            raise ValueError(
                f"{', '.join(failed)} could not be made; {page} says why and has the "
                "rest."
            )

    def page_name(self, preset: str, setting: Setting) -> str:
        """Returns what names of the page's files end in: the preset, and changes."""
        command = module_name(self.spec).rpartition(".")[2]
        part = "" if command == self.name else f"{command}-"
        changed = "" if setting == self.settings[preset] else f"-{digest(setting)}"
        return f"{part}{preset}{changed}"

    def _asked(self, preset: str, setting: Setting) -> str:
        """Returns which run a page shows, in words."""
        run = f"`python -m {module_name(self.spec)} {preset}`"
        same = setting == self.settings[preset]
        return run if same else f"{run} with changed settings"

    def _of_first_seeds(
        self, preset: str, setting: Setting, models: Models
    ) -> list[Claim]:
        """Returns claims that were made with the preset's own seeds, as far as known.

        There are none if these are the seeds of `setting`.
        """
        own = self.settings[preset].seed
        if setting.seed == own:
            return []
        planned, _ = self.plan(preset, replace(setting, seed=own))
        runs = (found(*plan, models) for plan in planned.values())
        return [claim for one in runs if one is not None for claim in one.claims]

    def _in_order(
        self, planned: Mapping[str, Planned], models: Models, options: Options
    ) -> Iterator[str]:
        """Yields the figures to make: first those whose models are there.

        Those that look at no model, which take least, come before all others. The other
        models are trained side by side in between.
        """

        def looks_at_models(short: str) -> bool:
            return bool(needed([planned[short]], models))

        waiting = []
        for short in sorted(planned, key=looks_at_models):
            plan = planned[short]
            if (
                options.replot
                or is_computed(*plan, models)
                or _has_models(plan, models)
            ):
                yield short
            else:
                waiting.append(short)
        if waiting:
            train_all(needed([planned[short] for short in waiting], models), models)
        yield from waiting

    def plan(
        self, preset: str, setting: Setting
    ) -> tuple[dict[str, Planned], dict[str, str]]:
        """Returns the figures, and why others are not made at this preset.

        Those that look at the model of the preset look at that of `setting`. If that
        has another seed, all seeds of all figures are as much larger: those of models,
        prompts and probes.
        """
        planned, missing = {}, {}
        shift = setting.seed - self.settings[preset].seed
        for name, figure in self.figures.items():
            if preset not in figure.presets:
                missing[name] = f"it has no preset {preset!r}"
                continue
            config = figure.presets[preset]
            shared = isinstance(config, HasSetting) and (
                config.setting == self.settings[preset]
            )
            if shift:
                config = reseeded(config, shift)
            if shared:
                config = replace(config, setting=setting)
            if self.seeds is not None:
                config = with_seeds(config, self.seeds)
            planned[name] = figure, preset, config
        return planned, missing


def attempt(
    name: str,
    figure: Figure[Any],
    preset: str,
    config: Any,
    models: Models,
    options: Options,
) -> tuple[Run | None, str]:
    """Returns the run of a figure; or None, and why it could not be made."""
    try:
        finished = run(figure, preset, config, models, replot=options.replot)
        show(finished, csv=options.csv)
    except expected() as error:
        if options.debug:
            raise
        say(f"{name} failed: {sentence(error)}")
        return None, sentence(error)
    return finished, ""


def judged_longer(
    name: str, figure: Figure[Any], made: Run, presets: Sequence[str], models: Models
) -> Run:
    """Returns a run whose failing claims know what longer training makes of them.

    Args:
        name: of the figure.
        figure: what was run.
        made: its run.
        presets: whose models were trained longer; the first that the figure has counts.
        models: where they come from; what is not there is not trained.
    """
    failing = {
        claim.id
        for claim in made.claims
        if claim.verdict == "fails" and claim.subject == "models"
    }
    preset = next((preset for preset in presets if preset in figure.presets), None)
    if not failing or preset is None:
        return made
    config = figure.presets[preset]
    if not _has_models((figure, preset, config), models):
        say(
            f"{name} has claims that fail; `python -m {figure.name} {preset}` tells "
            "whether longer training moves them"
        )
        return made
    say(f"{name} has claims that fail; the preset {preset} is judged beside it")
    try:
        other = run(figure, preset, config, models)
    except expected() as error:
        say(f"{name} at {preset} failed: {sentence(error)}")
        return made
    later = {
        claim.id: Interval(claim.value, claim.low, claim.high)
        for claim in other.claims
        if claim.id in failing
    }
    words = f"the preset {preset}, whose models were trained longer"
    claims = [
        replace(claim, longer=later[claim.id], longer_of=words)
        if claim.id in later and all(map(math.isfinite, later[claim.id]))
        else claim
        for claim in made.claims
    ]
    return replace(made, claims=claims)


def _has_models(plan: Planned, models: Models) -> bool:
    settings = needed([plan], models)
    return all(models.status(setting).state == "done" for setting in settings)


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
    planned: Iterable[str] = (),
    asked: str = "",
    caution: str = "",
    first: Sequence[Claim] = (),
) -> Path:
    """Writes the page and its claims in Markdown, and returns the page's path.

    Args:
        paper: whose it is.
        results: the results folder.
        name: of the preset, and what was changed.
        made: the figures that there are, by name.
        missing: names of the others, and why.
        planned: names of all figures that are going to be made.
        asked: which run the page shows, in words.
        caution: what the page says first.
        first: claims of a run with other seeds; the Markdown page says what moved.
    """
    waiting = [short for short in planned if short not in {*made, *missing}]
    missing = {**missing, **dict.fromkeys(waiting, "it is not made yet")}
    figures, configs, provenance = [], {}, {}
    for short in filter(made.__contains__, paper.figures):
        figure, made_run = made[short]
        figures.append(_result(short, figure, made_run))
        published = described(figure.presets["paper"])
        configs[short] = flag_values(made_run.about["config"]), flag_values(published)
        provenance[short] = {key: made_run.about[key] for key in MADE}
    claims = [claim for result in figures for claim in result.claims]
    groups = checklist(paper.name, paper.statements, claims, configs)
    folder = results / paper.name
    folder.mkdir(parents=True, exist_ok=True)  # no figure may have made it
    title = f"What `{name}` finds"
    text = markdown.page(title, groups, claims, paper.beside, missing, caution)
    if first:
        text += f"\n{markdown.moved(first, claims, paper.name, paper.statements)}\n"
    write_whole(folder / f"results-{name}.md", text)
    return write_report(
        folder / f"report-{name}.html",
        figures,
        {"made": provenance},
        groups=groups,
        missing=missing,
        caution=caution,
        asked=asked,
        glossary=paper.glossary,
    )


def _result(name: str, figure: Figure[Any], run: Run) -> FigureResult:
    """Returns what the page needs of a figure."""
    entry = figure.about
    return FigureResult(
        name=name,
        title=entry.title.rstrip("."),
        description=entry.paragraph("Claim"),
        reading=entry.paragraph("How to read it"),
        figure_png=run.picture,
        claims=run.claims,
        command=run.about["command"],
        config=run.about["config"],
    )
