"""What is trained together, found again and taken up again."""

import functools
import gc
import pickle
import shutil
import weakref
from dataclasses import replace

import jax
import pytest
from sweep_cases import (
    BASE,
    SETTINGS,
    assert_alike,
    assert_same_bits,
    refuse,
    states,
    timed_steps,
)

from icl import (
    ModelConfig,
    load_pretrained,
    sweeps,
    terminal,
)
from icl.sweeps import planning, store
from icl.sweeps.store import Models
from icl.training import checkpoint
from icl.training.compiled import compile_program, program_key
from icl.training.trained import load


def test_what_shares_a_program(tmp_path):
    axes = {"model.layers": (1, 2), "task.noise_std": (0.0, 1.0), "seed": (0, 1)}
    settings = sweeps.grid(BASE, axes | {"train.learning_rate": (0.1, 0.2)})
    kept = Models(tmp_path)
    known = {kept.folder(setting): setting for setting in settings}

    def sizes(together):
        kept.together = together
        made = planning.plan(known, set(known), kept)
        assert sorted(folder for job in made for folder in job.folders) == sorted(known)
        return [(len(job.settings), job.settings[0].model.layers) for job in made]

    assert sizes(100) == [(8, 2), (8, 1)]  # the dearest first
    assert sizes(3) == [(3, 2), (3, 2), (2, 2), (3, 1), (3, 1), (2, 1)]
    assert sizes(None) == sizes(1) == [(1, 2)] * 8 + [(1, 1)] * 8
    for name in ("steps", "evaluate_every", "checkpoint_every"):
        longer = replace(settings[0], train=replace(BASE.train, **{name: 50}))
        other = {kept.folder(s): s for s in (settings[0], longer)}
        assert len(planning.plan(other, set(other), kept)) == 2


def test_a_finished_sweep_is_found(here, no_work):
    reports = sweeps.train_all(SETTINGS, Models(here))
    assert states(reports) == ["done"] * 4
    assert [report.setting for report in reports] == SETTINGS
    assert [report.cost for report in reports] == [s.cost for s in SETTINGS]
    assert not {p.name for p in (here / "models").iterdir() if "tries" in p.name}


def test_without_a_folder_models_stay_in_memory(here, monkeypatch):
    kept = Models()
    settings = [*SETTINGS[:1], *sweeps.grid(BASE, {"train.learning_rate": (1e30,)})]
    assert states(sweeps.train_all(settings, kept)) == ["done", "failed"]
    monkeypatch.setattr(store, "_train", None)  # whatever calls it fails
    assert states(sweeps.train_all(settings, kept)) == ["done", "failed"]
    trained = load(Models(here).folder(SETTINGS[0]))
    assert kept(SETTINGS[0]).history.identical(trained.history)


def interrupt_at(step, monkeypatch):
    """Ctrl-C after that step of the first program that gets there."""

    def report(self, reached, means):
        if reached == step:
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(terminal.TrainingProgress, "report", report)


def test_an_unfinished_sweep_goes_on(here, tmp_path, monkeypatch):
    interrupt_at(20, monkeypatch)
    kept = Models(tmp_path, jobs=1)
    with pytest.raises(KeyboardInterrupt):
        sweeps.train_all(SETTINGS, kept)
    assert kept.status(SETTINGS[0]) == store.Status("waiting", 20)
    assert states(sweeps.train_all(SETTINGS, kept)) == ["done"] * 4
    assert_same_bits(tmp_path, here, SETTINGS)
    assert timed_steps(tmp_path, SETTINGS[0]) == 40


@pytest.mark.parametrize("together", [2, 4])
def test_models_trained_together_are_those_trained_alone(
    here, tmp_path, together, monkeypatch
):
    kept = Models(tmp_path, jobs=1, together=together)
    assert states(sweeps.train_all(SETTINGS, kept)) == ["done"] * 4
    assert_alike(tmp_path, here, SETTINGS)
    folders = {path for path in (tmp_path / "models").iterdir() if path.is_dir()}
    assert folders == set(map(kept.folder, SETTINGS))  # and no ensemble's
    monkeypatch.setattr(terminal.TrainingProgress, "report", refuse)
    trained = Models(tmp_path)(SETTINGS[3])  # a finished run of its own
    assert trained.task == SETTINGS[3].task and trained.steps == 40


def test_an_unfinished_ensemble_goes_on(here, tmp_path, monkeypatch):
    """Whatever `together` says by then, and though one member is finished."""
    interrupt_at(20, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        sweeps.train_all(SETTINGS, Models(tmp_path, jobs=1, together=4))
    (home,) = (tmp_path / "models").glob("ensemble-*")
    assert [path.name for path in checkpoint.folders(home)] == ["step_00000020"]
    kept, alone = Models(tmp_path, jobs=1), SETTINGS[2]
    shutil.copytree(Models(here).folder(alone), kept.folder(alone))
    before = {p: p.stat().st_mtime_ns for p in kept.folder(alone).rglob("*")}
    assert states(sweeps.train_all(SETTINGS, kept)) == ["done"] * 4
    assert_alike(tmp_path, here, SETTINGS)
    assert {p: p.stat().st_mtime_ns for p in kept.folder(alone).rglob("*")} == before
    assert timed_steps(tmp_path, SETTINGS[0]) == 20  # timed in the second call
    assert not home.exists()


def test_programs_of_many_shapes_are_let_go():
    """A worker that trains one shape after the other does not grow without end."""

    def compiled(width):
        model = ModelConfig(layers=1, width=width)
        device = jax.devices()[:1]
        program = program_key(BASE.task, model, BASE.train)
        return compile_program(program, tuple(device), None)

    first = compiled(2)
    first.init(jax.random.key(0))
    kept = weakref.ref(first.advance), weakref.ref(first.draw)
    assert compiled(2) is first  # reused
    del first
    for width in (4, 6, 10, 12):
        compiled(width)
    gc.collect()
    assert [ref() for ref in kept] == [None, None]


def test_a_store_in_another_process_knows_what_was_put_there(tmp_path, monkeypatch):
    """Also where the results folder was named from where the first process was."""
    monkeypatch.chdir(tmp_path)
    models = Models("results")
    models.put(BASE, functools.partial(load_pretrained, "d4"))
    sent = pickle.loads(pickle.dumps(models))
    assert sent.results == tmp_path / "results"
    assert sent.status(BASE).state == "done" and sent(BASE).task.dim == 4
