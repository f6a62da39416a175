"""Every experiment at `tiny` through its command line, and what may go wrong there."""

import errno
import html
import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr
from subprocesses import HUNG, finished

from experiments import reference_models
from experiments.akyurek2023 import __main__ as paper
from experiments.akyurek2023 import (
    decoded_weights,
    fig1,
    fig2,
    fig3,
    fig4,
    fig4_measure,
    fig5,
    fig6,
    fig7,
    fig8,
    one_model,
    steering,
)
from experiments.akyurek2023.published import BESIDE, PAPER, PUBLISHED
from experiments.engine import provenance
from experiments.engine.claims import checklist
from experiments.engine.claims.claim import load_claims
from experiments.engine.figures import command, runs, seeds
from experiments.engine.figures.changes import changed, flag_values
from experiments.engine.figures.figure import command_line
from experiments.engine.figures.flags import Options
from experiments.engine.figures.seeds import HasSetting, joined, with_seeds
from experiments.engine.figures.side_by_side import side_by_side
from experiments.engine.report import paper as report
from experiments.fu2024 import lens
from icl import LinearRegression, ModelConfig
from icl.baselines import GradientDescent, LeastSquares, NearestNeighbors
from icl.sweeps import store
from icl.training import description

ROOT = Path(__file__).parents[2]
FIGURES = {
    "fig1": fig1,
    "fig2": fig2,
    "fig3": fig3,
    "fig4": fig4,
    "fig5": fig5,
    "fig6": fig6,
    "fig8": fig8,
    "lens": lens,
    "steering": steering,
    "decoded_weights": decoded_weights,
}
FILES = {"data.nc", "run.json", "figure.png", "figure.pdf", "claims.json"}
NAME = "experiments.akyurek2023"
PAPERS = {"lens": "fu2024"}  # of the figures that are not of this one
SWEPT = ("fig3", "fig8")
SEEDED = ("fig1", "fig4", "fig5", "fig6", "lens", "steering", "decoded_weights")
every_figure = pytest.mark.parametrize("figure", FIGURES)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The whole paper at `tiny`: nine models, its figures, a report."""
    folder = tmp_path_factory.mktemp("results")
    # In this process: workers of their own would import and compile everything again.
    assert whole("--jobs", 1, "--results", folder) == 0
    return folder


@pytest.fixture
def no_work(monkeypatch):
    """Whatever is slow fails."""

    def refuse(*_, **__):
        pytest.fail("a finished run must be found, not computed")

    monkeypatch.setattr(store, "_train", refuse)
    for module in FIGURES.values():
        computes(monkeypatch, module, refuse)


def computes(monkeypatch, module, function):
    """Puts another function in place of what a figure computes."""
    monkeypatch.setitem(vars(module.FIGURE), "compute", function)


def run(figure, *argv):
    module = FIGURES.get(figure, fig7)
    return command.main(module.FIGURE, [str(arg) for arg in argv])


def whole(*argv):
    """The whole paper at `tiny`."""
    return paper.AKYUREK.main(["tiny", *map(str, argv)])


def program(*argv):
    """A process of its own; `-c` in front runs code instead of a module.

    It has as many devices as this one, so that it finds what was compiled here.
    """
    kind = () if argv[0] == "-c" else ("-m",)
    return subprocess.Popen(
        [sys.executable, *kind, *map(str, argv)],
        cwd=ROOT,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": str(jax.local_device_count())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def module_of(figure):
    return f"experiments.{PAPERS.get(figure, 'akyurek2023')}.{figure}"


def only_run(results, figure):
    (folder,) = (results / PAPERS.get(figure, "akyurek2023") / figure).glob("tiny-*")
    return folder


def copy_of(results, figure, to):
    """A results folder of its own with one figure in it, to be damaged."""
    folder = only_run(results, figure)
    return shutil.copytree(
        folder, to / PAPERS.get(figure, "akyurek2023") / figure / folder.name
    )


def contents(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


# --- what a run leaves ---


@every_figure
def test_a_run_leaves_its_files(results, figure):
    folder = only_run(results, figure)
    assert {path.name for path in folder.iterdir()} == FILES
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "figure.pdf").read_bytes().startswith(b"%PDF")
    claims = load_claims(folder / "claims.json")
    assert claims and {claim.figure for claim in claims} == {figure}


@every_figure
def test_data_carry_what_made_them(results, figure):
    folder = only_run(results, figure)
    about = json.loads((folder / "run.json").read_text())
    assert about["command"] == f"python -m {module_of(figure)} tiny"
    assert flag_values(about["config"])["train.steps"] == 60
    assert {"date", "commit", "devices", "platform"} < about.keys()
    assert {"python", "jax", "flax"} < about["versions"].keys()
    inside = json.loads(runs.read_dataset(folder).attrs["run"])
    assert inside == {key: about[key] for key in inside}


@pytest.mark.parametrize(
    ("figure", "variable", "sizes"),
    [
        ("fig1", "spd", {"pair": 13, "prompt": 64, "context": 5}),
        ("fig1", "ilwd", {"pair": 13, "queried": 32, "context": 5}),
        ("fig4", "r2", {"model": 3, "head": 2, "layer": 3, "token": 4, "target": 2}),
        ("fig4", "refitted", {"target": 2, "refit": 2, "token": 4, "position": 9}),
        ("fig6", "residual", {"learner": 4, "prompt": 32, "context": 4}),
        ("lens", "distance", {"head": 2, "layer": 3, "learner": 46, "prompt": 64}),
        ("steering", "r2", {"context": 2, "layer": 3, "quantity": 2}),
        ("steering", "swapped", {"context": 2, "layer": 3, "prompt": 250}),
        ("decoded_weights", "r2", {"layer": 3, "token": 9, "target": 2}),
        ("decoded_weights", "ceiling", {"token": 9, "target": 2}),
    ],
)
def test_dimensions_of_the_data(results, figure, variable, sizes):
    dataset = runs.read_dataset(only_run(results, figure))
    assert dict(dataset[variable].sizes) == sizes


def test_figures_share_their_models(results):
    """All but the sweeps look at one model and its control, and fig3 and 8 agree."""
    shared, kept = reference_models.SETTINGS["tiny"], store.Models(results)
    planned, missing = paper.AKYUREK.plan("tiny", shared)
    assert not missing
    asked = {
        figure: {kept.folder(one) for one in experiment.settings(config)}
        for figure, (experiment, _, config) in planned.items()
    }
    found = {p for p in (results / "models").iterdir() if p.is_dir()}
    assert found == set().union(*asked.values()) and len(found) == 9
    one, control = kept.folder(shared), kept.folder(fig4_measure.control_of(shared))
    assert asked.pop("fig3") == asked.pop("fig8") > {one}
    assert len(asked.pop("fig2")) == 5
    assert asked["fig4"] == asked["fig5"] == {one, control}
    assert set().union(*asked.values()) == {one, control}


@pytest.mark.parametrize("figure", SEEDED)
def test_seeds_that_agree_say_what_one_says(results, figure):
    """Three models that are one: the numbers are its own, and intervals say so."""
    module, dataset = FIGURES[figure], runs.read_dataset(only_run(results, figure))
    config = with_seeds(module.PRESETS["tiny"], 3)
    several = joined([dataset] * 3, config)
    assert several.seed.values.tolist() == [0, 1, 2]
    pairs = zip(module.claims(dataset), module.claims(several), strict=True)
    for one, three in pairs:
        # A mean of three equal numbers, or of their logarithms; some are float32.
        np.testing.assert_allclose(three.value, one.value, rtol=1e-6, err_msg=one.id)
        if one.subject == "models" and one.interval_over:
            assert "3 seeds" in three.interval_over, one.id
    module.plot(several)


def test_another_seed_moves_all_seeds_of_a_paper():
    shared = reference_models.SETTINGS["quick"]
    moved, _ = paper.AKYUREK.plan("quick", replace(shared, seed=100))
    before, _ = paper.AKYUREK.plan("quick", shared)
    for figure, (experiment, _, config) in moved.items():
        ours, theirs = map(experiment.settings, (config, before[figure][2]))
        assert [one.seed - 100 for one in ours] == [one.seed for one in theirs]
        assert {one.task for one in ours} == {one.task for one in theirs}
        values = flag_values(provenance.described(config))
        seeds = [values[name] for name in values if name.endswith("seed")]
        assert set(seeds) <= {100}, figure
        assert "evaluation.seed" not in values or seeds


def test_one_model_is_one_seed_with_a_page_of_its_own():
    part, whole = one_model.ONE_MODEL, paper.AKYUREK
    planned, _ = part.plan("quick", part.settings["quick"])
    assert {getattr(config, "seeds", 1) for *_, config in planned.values()} == {1}
    assert whole.plan("quick", whole.settings["quick"])[0]["fig1"][2].seeds == 3
    assert whole.page_name("quick", whole.settings["quick"]) == "quick"
    assert part.page_name("quick", part.settings["quick"]) == "one_model-quick"
    other = replace(part.settings["quick"], seed=1)
    assert part.page_name("quick", other).startswith("one_model-quick-")


def test_every_seed_is_measured_alone_on_the_same_prompts(monkeypatch):
    config = with_seeds(fig6.PRESETS["tiny"], 2)
    trained = []
    monkeypatch.setattr(
        seeds.sweeps, "train_missing", lambda settings, _: trained.extend(settings)
    )

    @seeds.over_seeds
    def compute(config, models):
        assert config.seeds == 1
        return xr.Dataset({"seen": 10 * config.setting.seed + config.evaluation.seed})

    found = compute(config, store.Models())
    assert found.seen.dims == ("seed",) and found.seen.values.tolist() == [0, 10]
    assert [setting.seed for setting in trained] == [0, 1]
    assert trained == fig6.FIGURE.settings(config)
    assert compute(fig6.PRESETS["tiny"], store.Models()).seen.dims == ()


def test_models_are_measured_in_processes_that_may_die(tmp_path):
    def measure(value, models):
        if value < 0:
            os._exit(1)
        return value, os.getpid(), os.environ["NPROC"], models.results

    kept = store.Models(tmp_path, jobs=2)
    found = side_by_side(measure, [(2,), (0,), (1,)], kept)
    values, processes, threads, folders = zip(*found, strict=True)
    assert values == (2, 0, 1) and os.getpid() not in processes
    assert set(threads) == {"1"} and set(folders) == {tmp_path}
    for alone in (store.Models(), store.Models(tmp_path, jobs=1)):
        assert side_by_side(lambda _: os.getpid(), [(), ()], alone) == [os.getpid()] * 2
    with pytest.raises(ChildProcessError, match="--jobs 1"):
        side_by_side(measure, [(1,), (-1,)], kept)


def test_figures_4_and_5_share_what_was_probed(results):
    folders = [p for p in (results / "akyurek2023/probing").iterdir() if p.is_dir()]
    assert sorted(p.name.split("-")[0] for p in folders) == [
        "control",
        "trained",
        "untrained",
    ]
    four, five = (runs.read_dataset(only_run(results, f)) for f in ("fig4", "fig5"))
    xr.testing.assert_identical(four.drop_attrs(), five.drop_attrs())


def test_the_report_holds_every_figure(results):
    page = html.unescape((results / "akyurek2023" / "report-tiny.html").read_text())
    assert page.count("data:image/png") == len(paper.FIGURES)
    for figure in paper.FIGURES:
        title = paper.FIGURES[figure].about.title
        assert title.rstrip(".") in page
    assert "Claim: " not in page and "Without noise, a trained" in page


def claims_of(results):
    files = sorted(results.glob("*/*/tiny-*/claims.json"))
    return [claim for file in files for claim in load_claims(file)]


def test_every_claim_of_the_paper_is_judged_by_the_figure_that_is_said_to(results):
    claims = claims_of(results)
    for statement in PUBLISHED:
        by = {
            claim.figure
            for claim in claims
            if checklist.number(claim, PAPER) == statement.number
        }
        assert statement.figure in by, statement.number


def test_every_claim_is_of_the_paper_or_of_a_group_beside_it(results):
    claims = claims_of(results)
    ids = [claim.id for claim in claims]
    assert len(ids) == len(set(ids))
    assert {id.partition(".")[0] for id in ids} == {PAPER, *BESIDE}
    numbers = {checklist.number(claim, PAPER) for claim in claims} - {None}
    assert numbers == {statement.number for statement in PUBLISHED}


def test_the_report_and_its_markdown_have_all_claims(results):
    page = (results / "akyurek2023" / "report-tiny.html").read_text()
    text = (results / "akyurek2023" / "results-tiny.md").read_text()
    assert page.count('<tr role="row" class="claim" id=') == len(PUBLISHED)
    assert "Of the paper's 33 claims" in html.unescape(page)
    assert "not judged here" not in text and "is missing" not in page
    lines = text.split("## Every number")[1].splitlines()
    rows = [line.split(" | ") for line in lines]
    verdicts = [cells[5] for cells in rows if len(cells) > 5]
    holding = [claim for claim in claims_of(results) if claim.verdict == "holds"]
    assert verdicts.count("holds") == len(holding)
    assert "train steps 60 (paper 500,000)" in page and "train steps 60" in text


def test_what_fails_does_not_stop_the_rest(results, tmp_path, capsys, monkeypatch):
    """The control model diverged before; two figures need it."""
    shutil.copytree(results, tmp_path, dirs_exist_ok=True)
    kept = store.Models(tmp_path)
    control = kept.folder(fig4_measure.control_of(reference_models.SETTINGS["tiny"]))
    shutil.rmtree(control)
    store.record_failure(control, ValueError("The loss is NaN at step 20."))
    for figure in ("fig4", "fig5", "probing"):
        shutil.rmtree(tmp_path / "akyurek2023" / figure)
    computes(monkeypatch, fig6, None)  # the others are found
    assert whole("--jobs", 1, "--results", tmp_path) == 2
    said = capsys.readouterr()
    page = tmp_path / "akyurek2023" / "report-tiny.html"
    assert said.out.splitlines()[-1] == str(page)
    assert said.err.splitlines()[-1] == (
        f"error: fig4, fig5 could not be made; {page} says why and has the rest."
    )
    assert "Traceback" not in said.err
    text = html.unescape(page.read_text())
    assert text.count("fig4 is missing: The loss is NaN at step 20.") == 4  # 24-26, 28
    assert text.count("data:image/png") == len(paper.FIGURES) - 2
    assert "5 are not judged here" in text


def test_what_one_model_shows_is_a_part_of_the_report(results, no_work, capsys):
    """It finds what the whole paper made, and has a page of its own."""
    page = results / "akyurek2023" / "report-one_model-tiny.html"
    assert one_model.ONE_MODEL.main(["tiny", "--results", str(results)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(page)
    text = html.unescape(page.read_text())
    assert text.count("data:image/png") == len(one_model.NAMES)
    first = re.search(r"<p\b.*?</p>", text, re.DOTALL)
    assert "This is a smoke test, and judges nothing" in first.group()


def test_the_page_is_there_after_the_first_figure_and_grows(
    results, tmp_path, no_work, monkeypatch
):
    pages = []

    def noted(paper, folder, name, made, missing, planned=(), **said):
        page = written(paper, folder, name, made, missing, planned, **said)
        pages.append((list(made), html.unescape(page.read_text())))
        return page

    written = report.report
    monkeypatch.setattr(report, "report", noted)
    assert whole("--results", shutil.copytree(results, tmp_path / "copy")) == 0
    without = ["fig7", "construction"]  # look at no model, and come first
    names = without + [name for name in paper.FIGURES if name not in without]
    assert [made for made, _ in pages] == [
        *(names[: count + 1] for count in range(len(names))),
        names,
    ]
    assert "fig8 is missing: it is not made yet" in pages[0][1]
    assert "is missing" not in pages[-1][1]


def test_the_package_has_the_models_of_the_preset_shipped(tmp_path, monkeypatch):
    def refuse(*_, **__):
        pytest.fail("nothing is trained")

    monkeypatch.setattr(store, "_train", refuse)
    options = Options(results=tmp_path)
    models = command.set_up(options)
    planned, missing = paper.AKYUREK.plan(
        "shipped", reference_models.SETTINGS["shipped"]
    )
    assert missing.keys() == {"fig2", *SWEPT}
    for setting in report.needed(planned.values(), models):
        assert models.status(setting).state == "done"
        assert models(setting).task == setting.task


def test_models_are_listed_and_nothing_is_done(tmp_path, no_work, capsys):
    assert whole("--list", "--results", tmp_path / "new") == 0
    listed = capsys.readouterr().out.splitlines()
    assert sum("waiting" in line for line in listed[:-1]) == 9
    assert not list(tmp_path.rglob("manifest.json"))
    assert run("fig7", "tiny", "--list", "--results", tmp_path) == 0
    assert capsys.readouterr().out == "No model is trained.\n"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    """As in `... --list | head -1`."""
    process = program(f"{NAME}.fig7", "tiny", "--list", "--results", tmp_path)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1


# --- found, redrawn, changed ---


def test_a_second_run_only_finds(results, no_work, capsys):
    before = contents(results / "akyurek2023")
    assert whole("--results", results) == 0
    output = capsys.readouterr()
    page = results / "akyurek2023" / "report-tiny.html"
    assert output.out.splitlines()[-1] == str(page)
    assert output.err.count("found ") == len(paper.FIGURES)
    after = contents(results / "akyurek2023")
    changed = {path for path in after if after[path] != before[path]}
    assert changed <= {page, page.with_name("results-tiny.md")}
    assert after.keys() == before.keys()


def test_replot_redraws_from_the_data(results, tmp_path, no_work, capsys):
    folder = copy_of(results, "fig6", tmp_path)
    (folder / "figure.png").write_bytes(b"old")
    (folder / "claims.json").write_text("old")
    before = contents(folder)
    assert run("fig6", "tiny", "--results", tmp_path, "--replot") == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "figure.png")
    after = contents(folder)
    unchanged = {path.name for path in after if after[path] == before[path]}
    assert unchanged == {"data.nc", "run.json"}
    assert load_claims(folder / "claims.json")


def test_what_is_missing_is_drawn(results, tmp_path, no_work):
    folder = copy_of(results, "fig6", tmp_path)
    (folder / "figure.pdf").unlink()
    assert run("fig6", "tiny", "--results", tmp_path) == 0
    assert {path.name for path in folder.iterdir()} == FILES


def test_nothing_to_redraw_is_an_error(tmp_path, no_work, capsys):
    assert run("fig6", "tiny", "--results", tmp_path, "--replot") == 2
    assert "without --replot" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.nc"))


def test_other_settings_go_to_another_folder(results, tmp_path):
    shutil.copytree(results / "models", tmp_path / "models")
    folder = copy_of(results, "fig6", tmp_path)
    before = contents(folder)
    changes = ("--evaluation.seed", 1, "--evaluation.resamples", 50)
    argv = ("tiny", *changes, "--results", tmp_path)
    assert run("fig6", *argv) == 0
    (other,) = set(folder.parent.glob("tiny-*")) - {folder}
    assert contents(folder) == before
    about = json.loads((other / "run.json").read_text())
    assert about["config"]["evaluation"]["seed"] == 1
    assert about["command"].endswith(f"fig6 tiny {' '.join(map(str, changes))}")
    first, second = runs.read_dataset(folder), runs.read_dataset(other)
    assert second.attrs["resamples"] == 50 and not np.allclose(
        first.total, second.total
    )


def test_a_changed_model_gets_a_report_of_its_own(results, monkeypatch, capsys):
    """What is computed is beside the point here, so that nothing is."""
    folder = only_run(results, "fig6")
    about = json.loads((folder / "run.json").read_text())
    seen, trained = [], []

    def stub(experiment, preset, config, models, *, replot):
        shared = isinstance(config, HasSetting)
        seen.append(config.setting.train.steps if shared else None)
        return runs.Run(folder, about, [])

    monkeypatch.setattr(report, "run", stub)
    monkeypatch.setattr(report, "train_all", lambda found, _: trained.extend(found))
    assert whole("--train.steps", 70, "--results", results) == 0
    page = Path(capsys.readouterr().out.splitlines()[-1])
    assert len(seen) == len(paper.FIGURES)
    assert set(seen) == {70, None}  # None: figures of no model, or of many sizes
    assert {one.train.steps for one in trained} == {70}  # the rest is there
    assert page.exists() and page.name != "report-tiny.html"


def test_the_command_that_is_written_down_makes_the_same_run():
    """Booleans, None, nested tuples and what was not changed."""
    figure, tiny = fig1.FIGURE, fig1.PRESETS["tiny"]
    task = LinearRegression(
        dim=2,
        length=5,
        covariance=((2.0, 0.5), (0.5, 1.0)),
        fixed_weights=(-1.0, 0.5),
    )
    changes = {
        "task": task,
        "model": ModelConfig(layers=2, width=16, final_norm=False, head_dim=4),
        "train.clip": None,
        "train.learning_rate": 1e-4,
        "seed": 3,
        "evaluation.seed": 4,
        "queries": 99,
    }
    config = changed(tiny, changes)
    words = shlex.split(command_line(figure, "tiny", config))
    assert words[:4] == ["python", "-m", f"{NAME}.fig1", "tiny"]
    parsed = command.parse(figure.name, figure.presets, words[3:])
    assert parsed.config == config


def test_a_diagonal_covariance_is_one_row():
    words = ["tiny", "--task.covariance", "2,0.5"]
    parsed = command.parse(f"{NAME}.fig1", fig1.PRESETS, words)
    assert parsed.config.setting.task.covariance == ((2.0, 0.0), (0.0, 0.5))


@pytest.mark.parametrize("word", ["-1", "-1,-1"])
def test_fixed_weights_are_one_word(word):
    words = ["tiny", "--task.fixed-weights", word]
    parsed = command.parse(f"{NAME}.fig1", fig1.PRESETS, words)
    assert parsed.config.setting.task.fixed_weights == (-1.0, -1.0)


@pytest.mark.parametrize("figure", ["fig4", "fig5", "decoded_weights", "steering"])
def test_where_weights_are_read_there_must_be_some(figure):
    tiny = FIGURES[figure].PRESETS["tiny"]
    with pytest.raises(ValueError, match=r"task\.fixed_weights must be None"):
        changed(tiny, {"task.fixed_weights": 1.0})


def test_hashes_tell_configurations_apart():
    config = fig1.PRESETS["tiny"]
    others = (
        changed(config, {"seed": 1}),
        changed(config, {"evaluation.resamples": 201}),
        changed(config, {"train.b2": 0.99}),
    )
    assert len({provenance.digest(c) for c in (config, *others)}) == 4
    assert provenance.digest(config) == provenance.digest(replace(config))
    models = store.Models("results")
    assert models.folder(config.setting) == models.folder(
        others[1].setting
    )  # evaluation only
    assert len({models.folder(c.setting) for c in (config, *others)}) == 3


# --- what may go wrong ---


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "give a preset"),
        (("--replot", "tiny"), "give a preset"),
        (("quik",), "Did you mean quick?"),
    ],
)
def test_a_preset_is_asked_for(argv, said, capsys, no_work):
    assert run("fig1", *argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("tiny", "--train.stps", 5), "--train.steps"),
        (("tiny", "--train.steps", "many"), "many"),
        (("tiny", "--train.steps", 0), "integer >= 1"),
        (("tiny", "--task.covariance", "1,x;x,1"), "--task.covariance"),
        (("tiny", "--task.covariance", "1,2;3,4"), "symmetric"),
        (("tiny", "--model.heads", 3), "divisible"),
        (("tiny", "--task.length", 1), "length"),
        (("tiny", "--queried", 65), "queried must be at most"),
        (("tiny", "--queries", 2), "queries must be"),
    ],
)
def test_bad_fields_are_refused(argv, said, tmp_path, capsys, no_work):
    """By tyro, whose box of several lines becomes one, suggestions included."""
    assert run("fig1", *argv, "--results", tmp_path / "results") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert said in error and "Traceback" not in error
    assert not (tmp_path / "results").exists()


def test_an_unwritable_folder_is_refused(tmp_path, capsys, no_work):
    (tmp_path / "file").touch()
    assert run("fig1", "tiny", "--results", tmp_path / "file") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Not a directory: ") and error.count("\n") == 1


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, capsys):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    computes(monkeypatch, fig6, lambda *_: xr.Dataset())
    monkeypatch.setattr(os, "fsync", full)  # the bytes are there, the disk takes none
    assert run("fig6", "tiny", "--results", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: No space left on device") and "Trace" not in error
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} <= {".lock"}


def test_a_diverging_run_is_refused(tmp_path, capsys):
    argv = ("--train.learning-rate", 1e30, "--results", tmp_path)
    assert run("fig6", "tiny", *argv) == 2
    error = capsys.readouterr().err
    assert "NaN or infinite at step" in error and "Traceback" not in error


def test_mistakes_of_ours_are_not_hidden(tmp_path, monkeypatch):
    def broken(*_):
        return {}["missing"]

    computes(monkeypatch, fig6, broken)
    with pytest.raises(KeyError):
        run("fig6", "tiny", "--results", tmp_path)


def test_debug_shows_where_an_error_came_from(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        run("fig6", "tiny", "--results", tmp_path / "file", "--debug")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
@pytest.mark.parametrize("replot", [(), ("--replot",)])
def test_damaged_data_are_refused(results, tmp_path, damage, replot, capsys, no_work):
    folder = copy_of(results, "fig6", tmp_path)
    damage(folder / "data.nc")
    assert run("fig6", "tiny", "--results", tmp_path, *replot) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {folder / 'data.nc'} cannot be used")
    assert error.endswith(f"delete {folder} and run again.")


@pytest.mark.parametrize("name", ["run.json", "claims.json"])
def test_damaged_json_is_refused(results, tmp_path, name, capsys, no_work):
    folder = copy_of(results, "fig6", tmp_path)
    truncate(folder / name)
    assert run("fig6", "tiny", "--results", tmp_path) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {folder / name} ") and "delete" in error


def test_what_a_killed_process_left_is_ignored(results, tmp_path):
    """A draft of the same run, and a lock whose owner is gone."""
    shutil.copytree(results / "models", tmp_path / "models")
    config = changed(fig6.PRESETS["tiny"], {"evaluation.seed": 2})
    folder = tmp_path / "akyurek2023" / "fig6" / f"tiny-{provenance.digest(config)}"
    draft = folder.with_name(f".writing-{folder.name}-0")
    draft.mkdir(parents=True)
    (draft / "data.nc").write_bytes(b"half")
    holder = program(
        "-c",
        "import sys, time; from pathlib import Path\n"
        "from experiments.engine.figures.runs import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)",
        folder,
    )
    assert holder.stdout.readline() == "locked\n"
    holder.kill()
    holder.communicate()
    assert run("fig6", "tiny", "--evaluation.seed", 2, "--results", tmp_path) == 0
    assert {path.name for path in folder.iterdir()} == FILES
    assert not draft.exists()


def test_two_processes_share_a_run(results, tmp_path):
    shutil.copytree(results / "models", tmp_path / "models")
    argv = (f"{NAME}.fig6", "tiny", "--evaluation.seed", 3, "--results", tmp_path)
    both = [program(*argv) for _ in range(2)]
    (out, error), (other_out, other_error) = finished(*both)
    assert out == other_out  # the same claims and the same picture
    assert sorted("found " in e for e in (error, other_error)) == [False, True]
    (folder,) = (tmp_path / "akyurek2023" / "fig6").glob("tiny-*")
    assert {path.name for path in folder.iterdir()} == FILES


def test_the_second_process_says_that_it_waits(tmp_path, capsys):
    """Once, and goes on when the lock is released."""
    from threading import Thread

    from filelock import FileLock

    folder = tmp_path / "run"
    lock = FileLock(folder.with_name(".run.lock"))
    lock.acquire()
    waiting = Thread(target=lambda: runs.locked(folder).__enter__())
    waiting.start()
    while not (said := capsys.readouterr().err):
        assert waiting.is_alive()
        time.sleep(0.05)
    assert said == f"another process is working on {folder}; waiting for it\n"
    assert waiting.is_alive()
    lock.release()
    waiting.join(timeout=HUNG)
    assert not waiting.is_alive()


def test_ctrl_c_keeps_what_is_done(tmp_path):
    """Training that is slow, for it saves every step, is there to be taken up again."""
    argv = ("--train.checkpoint-every", 1, "--results", tmp_path)
    process = program(f"{NAME}.fig6", "tiny", *argv)
    while not list(tmp_path.glob("models/*/step_*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    ((_, error),) = finished(process, status=130)
    assert error.endswith("stopped; run the same command again to resume\n")
    assert "Traceback" not in error
    steps = [int(path.name[5:]) for path in tmp_path.glob("models/*/step_*")]
    assert steps and max(steps) < 60
    assert not list(tmp_path.rglob("*.nc"))


# --- the list ---


def test_the_list_names_every_experiment_without_loading_it():
    code = (
        "import sys; from experiments.__main__ import main; main([])\n"
        "print([m for m in ('jax', 'numpy', 'tyro', 'xarray') if m in sys.modules])"
    )
    process = program("-c", code)
    ((listed, _),) = finished(process)
    assert listed.splitlines()[-1] == "[]"
    for module in FIGURES.values():
        assert f"{module.__name__}\n" in listed
        assert " ".join(module.__doc__.splitlines()[0].split()) in " ".join(
            listed.split()
        )


@every_figure
def test_every_preset_has_its_time(figure):
    module = FIGURES[figure]
    needs_a_sweep = figure in {"fig2", *SWEPT}
    names = ["tiny", "quick", "longer" if needs_a_sweep else "shipped", "paper"]
    assert list(module.TIMES) == list(module.PRESETS) == names


@pytest.mark.parametrize("figure", sorted(FIGURES.keys() - SWEPT))
def test_figures_look_at_the_models_of_their_preset(figure):
    for preset, config in FIGURES[figure].PRESETS.items():
        name = "shipped" if preset == "longer" else preset
        known = (reference_models.SETTINGS[name], reference_models.PROBING[name])
        assert config.setting in known


def test_help_without_a_preset_is_the_docstring(capsys):
    assert run("decoded_weights", "--help") == 0
    assert decoded_weights.__doc__.strip() in capsys.readouterr().out


def test_help_of_a_preset_explains_every_field(capsys):
    assert run("fig1", "tiny", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag in ("--train.steps", "--task.covariance", "--queried", "--replot"):
        assert flag in text
    assert "(default: 60)" in text  # of the preset, not of the class


# --- learners whose answer is known, in place of a transformer ---

CASE = changed(
    fig1.PRESETS["tiny"],
    {
        "task": LinearRegression(dim=3, length=7),
        "evaluation.prompts": 4_000,
        "queried": 100,
    },
)


def known(learner):
    """Models that are all this learner."""
    return lambda config: SimpleNamespace(model=learner)


@pytest.fixture(scope="module")
def measured():
    """Figure 1 of three learners."""
    learners = {
        "OLS": LeastSquares(),
        "GD": GradientDescent(1, 0.015),  # none of those in the figure
        "k-NN": NearestNeighbors(3),
    }
    of_one = inspect.unwrap(fig1.compute)  # which trains nothing
    return {name: of_one(CASE, known(which)) for name, which in learners.items()}


def verdicts(claims):
    return {claim.id.removeprefix("akyurek2023."): claim.verdict for claim in claims}


def test_least_squares_fulfils_every_claim(measured):
    found = verdicts(fig1.claims(measured["OLS"]))
    # Those that hold for anything near least squares tell nothing more.
    empty = {id for id, verdict in found.items() if verdict == "empty"}
    assert empty == {"3", "5", "6a", "bar.2"}
    rest = {verdict for id, verdict in found.items() if id not in empty}
    assert len(found) == 12 and rest == {"holds"}, found


def test_a_gradient_step_is_not_least_squares(measured):
    found = verdicts(fig1.claims(measured["GD"]))
    failing = {"1", "2", "3", "4a", "4b", "6a", "6b", "7", "bar.1", "bar.2"}
    assert {name for name, verdict in found.items() if verdict == "fails"} == failing
    # k-NN is as far away as ever, and the measures are what they were.
    assert (found["5"], found["8"]) == ("empty", "holds")


def test_the_ruler_of_figure_1(measured):
    """E (OLS - Y)^2 / d = 1 - n/d, and 0 from n = d on."""
    dataset = measured["OLS"]
    risk = dataset.spd.sel(pair="OLS, Y").mean("prompt") / dataset.attrs["dim"]
    # The standard error of these means over 4,000 prompts is at most 0.03.
    np.testing.assert_allclose(risk[:3], [1, 2 / 3, 1 / 3], atol=0.1)
    assert risk[3:].max() < 1e-6  # float32


def test_fitted_and_own_weights_agree(measured):
    """As a model OLS is fitted at queries; as a learner it has weights."""
    dataset = measured["OLS"]
    # Both are float32 predictions of the same linear function.
    assert abs(dataset.ilwd.sel(pair="OLS, ICL")).max() < 1e-6
    np.testing.assert_allclose(
        dataset.ilwd.sel(pair="OLS, GD(0.01)"),
        dataset.ilwd_exact[: CASE.queried],
        rtol=1e-6,  # the same numbers, stored in float32
    )


def test_intervals_narrow_with_prompts(measured):
    many = measured["GD"]
    few = many.isel(prompt=slice(160))
    wide, narrow = (
        next(c for c in fig1.claims(d) if c.id == "bar.1") for d in (few, many)
    )
    assert narrow.low < narrow.value < narrow.high
    # By the square root of 25, up to chance.
    assert 2.5 < (wide.high - wide.low) / (narrow.high - narrow.low) < 10


def test_linearity_tells_linear_from_nonlinear():
    case = changed(
        fig6.PRESETS["tiny"],
        {"task": CASE.setting.task, "evaluation.prompts": CASE.queried},
    )
    of_one = inspect.unwrap(fig6.compute)
    linear = verdicts(fig6.claims(of_one(case, known(LeastSquares()))))
    assert linear == {"9a": "fails", "9b": "holds", "9c": "fails"}
    nearest = verdicts(fig6.claims(of_one(case, known(NearestNeighbors(3)))))
    assert nearest["9b"] == "fails" and nearest["9c"] == "holds"


@pytest.mark.parametrize("dim", [1, 50])
def test_a_claim_about_lengths_that_are_not_there_is_undecided(results, dim):
    """No n below d = 1, and none as large as 50."""
    behaviour = runs.read_dataset(only_run(results, "fig1")).assign_attrs(dim=dim)
    claims = {claim.id: claim for claim in fig1.claims(behaviour)}
    claim = claims["akyurek2023.6a" if dim == 1 else "akyurek2023.7"]
    assert claim.verdict == "undecided" and "no such context" in claim.note
    linearity = runs.read_dataset(only_run(results, "fig6")).assign_attrs(dim=dim)
    part = "9c" if dim == 1 else "9b"
    assert verdicts(fig6.claims(linearity))[part] == "undecided"
    grid = runs.read_dataset(only_run(results, "decoded_weights")).assign_attrs(dim=dim)
    (claim,) = decoded_weights.claims(grid)
    assert ("before y50" in claim.note) == (dim == 50)
    for module, dataset in (
        (fig1, behaviour),
        (fig6, linearity),
        (decoded_weights, grid),
    ):
        module.plot(dataset)


def test_noise_is_noted(measured):
    noisy = measured["OLS"].assign_attrs(noise_std=0.5)
    assert all("noise" in claim.note for claim in fig1.claims(noisy))


def test_what_weights_can_be_read_is_judged(results):
    """The best layer explains 0.8, or 0.7 to 0.9 in resamples, and the embedding 0."""
    grid = runs.read_dataset(only_run(results, "decoded_weights"))
    known = (grid["at"] == "best") * xr.ones_like(grid.r2_at)
    resamples = grid.sizes["resample"]
    drawn = xr.DataArray(np.linspace(0.7, 0.9, resamples), dims="resample")
    grid = grid.assign(r2_at=0.8 * known, r2_resampled_at=drawn * known)
    (claim,) = decoded_weights.claims(grid)
    assert claim.verdict == "holds"
    np.testing.assert_allclose(
        # 95 % of the resamples, evenly spaced, lie within 0.095.
        [claim.low, claim.value, claim.high],
        [0.105, 0.2, 0.295],
        atol=1e-3,
    )


def test_a_field_that_has_its_default_is_not_part_of_a_hash():
    """One that is added to a setting does not change the hash of what did not."""
    quick = fig1.PRESETS["quick"]
    assert description.changed(quick) == {
        "setting": {
            "task": {"kind": "LinearRegression", "length": 17},
            "model": {"layers": 12, "width": 32},
            "train": {"steps": 6_000, "learning_rate": 1e-2, "optimizer": "muon"},
        },
        "evaluation": {"prompts": 20_000},
        "queried": 1_000,
        "seeds": 3,
    }
    whole = provenance.described(quick)
    assert whole["setting"]["task"]["dim"] == 8 and whole["evaluation"]["seed"] == 0
