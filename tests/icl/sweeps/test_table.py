"""The table says what is there and what it costs."""

import shutil
from dataclasses import replace

import jax
from flax import nnx
from sweep_cases import (
    BASE,
    SETTINGS,
)

from experiments.akyurek2023 import fig1, fig7
from experiments.engine.figures import command
from icl import (
    LinearRegression,
    ModelConfig,
    sweeps,
)
from icl.model.building import abstract_params
from icl.sweeps.store import Models
from icl.tasks import DecisionTree, Pool
from icl.tasks.linear import as_linear


def test_the_table_says_what_is_there_and_what_it_costs(here, tmp_path):
    kept = Models(tmp_path)
    shutil.copytree(Models(here).folder(SETTINGS[0]), kept.folder(SETTINGS[0]))
    (kept.folder(SETTINGS[0]) / "time.json").write_text('{"steps": 20, "seconds": 60}')
    begun = kept.folder(SETTINGS[1])
    shutil.copytree(Models(here).folder(SETTINGS[1]), begun)
    shutil.rmtree(begun / "step_00000040")
    (begun / "time.json").unlink()
    deep = replace(SETTINGS[2], model=ModelConfig(layers=2, width=8))
    before = sorted(tmp_path.rglob("*"))
    lines = sweeps.table([*SETTINGS[:2], deep], kept).splitlines()
    assert sorted(tmp_path.rglob("*")) == before
    assert lines[0].split() == (
        "status step layers width heads d pairs "
        "noise_std weight_std seed TFLOP time model".split()
    )
    name = kept.folder(SETTINGS[0]).name
    words = f"done 40 of 40 1 8 1 1 4 0.0 1.0 0 1.6e-05 2 min {name}".split()
    assert lines[1].split() == words
    assert lines[2].split()[:4] == "waiting 20 of 40".split()
    assert lines[2].split()[-3:-1] == ["2", "min"]  # as long as the one before
    assert lines[3].split()[:5] == "waiting 0 of 40 2".split()
    share = deep.cost / SETTINGS[0].cost
    left = BASE.cost * (0.5 + share)
    assert lines[4] == (
        f"3 runs: 1 done, 2 waiting; {left / 1e12:.2g} TFLOP left, "
        f"{120 * (0.5 + share) / 60:.0f} min for one worker"
    )


def test_tasks_of_several_kinds_have_one_table():
    pool = replace(BASE, task=Pool(as_linear(BASE.task), 5))
    tree = replace(BASE, task=DecisionTree(1, 4, depth=2))
    heads, *rows, _ = sweeps.table([BASE, pool, tree], Models()).splitlines()
    at = heads.split().index
    for row, kind, size, depth in zip(
        rows,
        ("LinearRegression", "Pool", "DecisionTree"),
        ("-", "5", "-"),
        ("-", "-", "2"),
        strict=True,
    ):
        words = row.replace(" of ", "/").split()
        assert words[at("d")] == "1" and words[at("pairs")] == "4"
        assert words[at("task")] == kind
        assert (words[at("size")], words[at("depth")]) == (size, depth)


def test_long_values_are_cut_off():
    task = LinearRegression(dim=4, length=4)
    uneven = replace(task, weight_covariance=(1 / 3, 1.0, 1.0, 1.0))
    settings = [replace(BASE, task=each) for each in (task, uneven)]
    _, *rows, _ = sweeps.table(settings, Models()).splitlines()
    assert "  ((0.3333333333333333,...  " in rows[1] and len(rows[1]) < 120


def test_the_cost_is_that_of_the_matrix_products():
    """Kernels of the model itself, and attention over all pairs of tokens."""
    setting = replace(BASE, model=ModelConfig(layers=3, width=8, heads=2, head_dim=5))
    params = nnx.to_pure_dict(abstract_params(setting.task.codec, setting.model))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    tokens, channels, length = 7, 10, 4
    forward = 0
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path)
        if "kernel" in name:
            # Nothing is read at tokens of y: what they see in the last layer, and the
            # read-out, are not computed there.
            unread = "head" in name or ("[2]" in name and "qkv" not in name)
            forward += 2 * leaf.size * (length if unread else tokens)
    forward += 2 * 2 * (2 * tokens + length) * tokens * channels
    assert setting.cost == 3 * forward * setting.train.batch * setting.train.steps


def test_list_shows_the_runs_and_computes_nothing(tmp_path, capsys, no_work):
    argv = ["tiny", "--list", "--jobs", "2", "--results", str(tmp_path)]
    assert command.main(fig1.FIGURE, argv) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].split()[:4] == "waiting 0 of 60".split()
    assert said[2].startswith("1 run: 1 waiting; ")
    assert said[2].endswith('("?": no run in this results folder has been timed yet)')
    assert command.main(fig7.FIGURE, argv) == 0
    assert capsys.readouterr().out == "No model is trained.\n"
    assert not [path for path in tmp_path.rglob("*") if ".cache" not in path.parts]
    assert command.main(fig1.FIGURE, [*argv, "--jobs", "0"]) == 2
    assert "jobs must be an integer >= 1, got 0" in capsys.readouterr().err
