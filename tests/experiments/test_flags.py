"""Flags name the fields of a configuration, and a command line makes it again."""

import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import pytest

from experiments import __main__ as listing
from experiments.akyurek2023 import __main__ as paper
from experiments.akyurek2023 import fig1, fig2, fig3, fig4
from experiments.engine.figures import catalogue, command, flags
from experiments.engine.figures.changes import changed, flag_values
from experiments.engine.figures.figure import (
    Figure,
    check_effects,
    command_line,
    load_figure,
)
from experiments.engine.provenance import described
from experiments.fu2024 import lens
from experiments.lee2023 import tables
from experiments.vonoswald2023 import fig2 as vonoswald
from icl import LinearRegression, Prompts, Task
from icl.tasks import Addition, registry

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Sparse(LinearRegression):
    """A task of a user's own, which is a linear regression too."""

    k: int = 1


@dataclass(frozen=True)
class Steps(Task):
    """One that is none, and has no weights."""

    dim: int = 8
    length: int = 40
    height: float = 1.0

    def sample(self, key, *, batch):
        xs = jax.random.normal(key, (batch, self.length, self.dim))
        return Prompts(xs, self.height * (xs[..., 0] > 0))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """They are known on the command line."""
    known = {"LinearRegression": LinearRegression, "Sparse": Sparse, "Steps": Steps}
    monkeypatch.setattr(registry, "TASKS", known)


def parsed(figure, *words):
    return command.parse(figure.name, figure.presets, ["tiny", *words]).config


def again(figure, config):
    """The configuration that its written command makes."""
    words = shlex.split(command_line(figure, "tiny", config))
    assert words[:4] == ["python", "-m", figure.name, "tiny"]
    return parsed(figure, *words[4:])


# --- names ---


@pytest.mark.parametrize(
    ("figure", "changes"),
    [
        (fig1.FIGURE, {"task.dim": 3, "seed": 1, "evaluation.seed": 2, "queried": 8}),
        (fig3.FIGURE, {"dims": (1, 3), "evaluation.prompts": 90, "fitted": 8}),
        (fig4.FIGURE, {"train.steps": 9, "evaluation.resamples": 9, "probe_seed": 4}),
        (lens.FIGURE, {"model.final_norm": False, "task.inputs": "uniform"}),
        (vonoswald.FIGURE, {"pairs": 3, "evaluation.prompts": 20, "seeds": 3}),
    ],
)
def test_a_written_command_makes_the_same_configuration(figure, changes):
    config = changed(figure.presets["tiny"], changes)
    line = command_line(figure, "tiny", config)
    assert again(figure, config) == config
    assert line.count("--") == len(changes)
    for name in changes:
        prefix, _, last = name.rpartition(".")
        no = "no-" if changes[name] is False else ""
        assert f"--{prefix}{'.' * bool(prefix)}{no}{last.replace('_', '-')}" in line


@pytest.mark.parametrize("figure", paper.FIGURES.values(), ids=paper.FIGURES)
def test_nothing_changed_needs_no_flag(figure):
    config = figure.presets["tiny"]
    assert command_line(figure, "tiny", config) == f"python -m {figure.name} tiny"
    assert parsed(figure) == config


def test_values_are_named_as_flags_are():
    values = flag_values(described(fig3.PRESETS["tiny"]))
    assert {"dims", "model.layers", "evaluation.prompts", "fitted"} <= values.keys()
    assert flag_values(described(fig1.PRESETS["tiny"]))["task.kind"] == (
        "LinearRegression"
    )


def test_a_field_that_is_not_there_cannot_be_changed():
    with pytest.raises(ValueError, match="no field 'widht'"):
        changed(fig1.PRESETS["tiny"], {"model.layers": 1, "widht": 3})


@pytest.mark.parametrize(
    ("figure", "words", "idle"),
    [
        (fig3.FIGURE, ["quick", "--train.steps", "50"], "--train.steps has"),
        (
            fig2.FIGURE,
            ["tiny", "--task.noise-std", "0.5", "--task.weight-std", "2"],
            "--task.noise-std and --task.weight-std have",
        ),
        (tables.FIGURE, ["tiny", "--task.left-out", "3"], "--task.left-out has"),
    ],
)
def test_a_flag_that_changes_no_model_is_refused(
    figure, words, idle, capsys, monkeypatch
):
    monkeypatch.setitem(registry.TASKS, "Addition", Addition)  # of a shipped model
    assert command.main(figure, [*words, "--list"]) == 2
    error = capsys.readouterr().err
    assert f"{idle} no effect here: {figure.name} sets" in error
    assert error.count("\n") == 1


def test_a_flag_that_changes_the_models_or_the_prompts_is_not():
    config = parsed(fig3.FIGURE, "--model.heads", "2", "--evaluation.prompts", "90")
    check_effects(fig3.FIGURE, "tiny", config)
    other = parsed(lens.FIGURE, "--task.kind", "Sparse", "--task.k", "3")
    check_effects(lens.FIGURE, "tiny", other)


# --- kinds of task ---


def test_a_task_of_another_kind_keeps_the_fields_of_both():
    config = parsed(lens.FIGURE, "--task.kind", "Sparse", "--task.noise-std", "0.5")
    assert config.setting.task == Sparse(dim=2, length=5, noise_std=0.5)
    config = parsed(lens.FIGURE, "--task.k", "3", "--task.kind=Sparse")
    assert config.setting.task == Sparse(dim=2, length=5, k=3)
    assert replace(config.setting, task=LinearRegression(dim=2, length=5)) == (
        lens.PRESETS["tiny"].setting
    )


@pytest.mark.parametrize("changes", [{}, {"task.k": 3, "task.length": 7}])
def test_its_kind_is_written_in_the_command(changes):
    start = changed(lens.PRESETS["tiny"], {"task": Sparse(dim=2, length=5)})
    config = changed(start, changes)
    line = command_line(lens.FIGURE, "tiny", config)
    assert "--task.kind Sparse" in line and line.count("--") == 1 + len(changes)
    assert again(lens.FIGURE, config) == config


def test_a_preset_may_have_a_task_of_its_users():
    """Its fields are flags, without a word about its kind."""
    own = changed(lens.PRESETS["tiny"], {"task": Sparse(dim=2, length=5)})
    figure = Figure(
        lens.FIGURE.spec, {"tiny": own}, lens.compute, lens.plot, lens.FIGURE.claims
    )
    assert parsed(figure, "--task.k", "2").setting.task.k == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task.kind", "Sparce"), "unknown task 'Sparce'; known are Linear"),
        (("--task.kind", "Sparce"), "Did you mean Sparse?"),
        (("--task.kind", "Steps"), "must be LinearRegression, whose weights and noise"),
        (("--task.kind",), "unknown task ''"),
        (("--task.k", "3"), "--task.k"),
    ],
)
def test_tasks_that_do_not_serve_are_refused(words, said, tmp_path, capsys, untyped):
    argv = ["tiny", "--results", str(tmp_path / "new"), *words]
    assert command.main(fig1.FIGURE, argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and said in error
    assert not (tmp_path / "new").exists()


def test_help_tells_the_kinds_of_task(capsys):
    assert command.main(fig1.FIGURE, ["tiny", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--task.kind NAME" in text and "LinearRegression, Sparse, Steps" in text
    assert "--evaluation.prompts INT" in text and "--setting" not in text
    assert command.main(fig3.FIGURE, ["tiny", "--help"]) == 0
    assert "--task.kind" not in capsys.readouterr().out  # a sweep makes its own tasks


# --- commands that are no figure ---


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--list"], []])
def test_the_list_is_its_own_help(argv, capsys):
    assert listing.main(argv) == 0
    assert "experiments.akyurek2023.fig1\n" in capsys.readouterr().out


def test_the_list_takes_no_arguments(capsys):
    assert listing.main(["fig1", "tiny"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "no 'fig1'" in error
    assert error.count("\n") == 1


def test_a_list_that_is_cut_off_is_no_error():
    """As in `python -m experiments | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 1


@pytest.mark.parametrize("name", ["vonoswald2023", "fu2024"])
def test_a_paper_that_is_made_figure_by_figure_says_so(name, capsys):
    assert command.no_whole_paper(f"experiments.{name}", ["tiny"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"run python -m experiments.{name}." in error and error.endswith("tiny\n")


def test_a_preset_that_is_missing_is_put_into_the_command(capsys):
    assert command.main(fig1.FIGURE, ["--list"]) == 2
    error = capsys.readouterr().err
    assert "python -m experiments.akyurek2023.fig1 tiny --list" in error


def test_a_module_without_a_figure_is_a_mistake():
    with pytest.raises(TypeError, match="must end in FIGURE"):
        load_figure("experiments.reference_models")


PAPERS = ("experiments.akyurek2023", "experiments.akyurek2023.one_model")
"""Entries that are no figures: each runs several."""


@pytest.mark.parametrize(
    "name", [entry.name for entry in catalogue.entries() if entry.name not in PAPERS]
)
def test_every_preset_of_every_figure_can_be_started(name):
    """Two fields whose flags have one name would stop the command line."""
    figure = load_figure(name)
    for preset, config in figure.presets.items():
        assert flags.parse(figure.name, figure.presets, [preset]).config == config
