"""What may go wrong in a run, and what it leaves alone."""

import errno
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sweep_cases import (
    BASE,
    NOISE,
    RATES,
    SETTINGS,
    assert_alike,
    states,
)

from icl import (
    NonFiniteLossError,
    sweeps,
)
from icl.sweeps import jobs, outcomes, store
from icl.sweeps.store import Models
from icl.training import checkpoint


@pytest.mark.parametrize("together", [1, 2])
def test_a_run_that_diverges_is_not_tried_again(here, tmp_path, together, request):
    settings = sweeps.grid(SETTINGS[0], RATES)
    kept = Models(tmp_path, jobs=1, together=together)
    first = sweeps.train_all(settings, kept)
    assert states(first) == ["done", "failed"]
    assert sweeps.train_missing(settings, kept) == settings[:1]
    assert "NaN or infinite at step" in first[1].message
    assert (
        "1e+30" in first[1].message and "delete it to train again" in first[1].message
    )
    assert_alike(tmp_path, here, settings[:1])
    history = sweeps.history(settings, kept, RATES)
    assert np.isnan(history.validation_loss.values).tolist() == [False, True]
    assert history.failed.values.tolist() == [False, True]
    request.getfixturevalue("no_work")
    assert sweeps.train_all(settings, kept) == first
    assert first[1].message in sweeps.table(settings, kept)
    with pytest.raises(NonFiniteLossError, match="delete it to train again"):
        kept(settings[1])


def test_an_ensemble_in_which_all_diverge(tmp_path, request):
    settings = sweeps.grid(BASE, {"train.learning_rate": (1e25, 1e30)})
    kept = Models(tmp_path, jobs=1, together=2)
    assert states(sweeps.train_all(settings, kept)) == ["failed"] * 2
    request.getfixturevalue("no_work")
    reports = sweeps.train_all(settings, kept)
    assert states(reports) == ["failed"] * 2 and "1e+25 to 1e+30" in reports[0].message
    history = sweeps.history(settings, kept, {"train.learning_rate": (1e25, 1e30)})
    assert history.failed.all()
    with pytest.raises(ValueError, match="All 2 trainings diverged; the first: "):
        sweeps.train_missing(settings, kept)


def test_a_model_that_is_missing_is_refused(here, monkeypatch):
    reports = [sweeps.Outcome(s, "done", "", 0.0) for s in SETTINGS]
    monkeypatch.setattr(outcomes, "train_all", lambda *_: reports)
    kept = Models(here)
    assert sweeps.train_missing(SETTINGS, kept) == SETTINGS
    missing = replace(SETTINGS[0], seed=99)
    reports.append(sweeps.Outcome(missing, "failed", "No space left on device", 0.0))
    with pytest.raises(ValueError, match=r"is not trained yet; run it again.*No space"):
        sweeps.train_missing([*SETTINGS, missing], kept)


def test_a_full_disk_stops_one_run_only(tmp_path, monkeypatch, capsys):
    kept = Models(tmp_path, jobs=1)
    full = kept.folder(SETTINGS[1])
    write = checkpoint._write_arrays

    def until_full(folder, arrays):
        if full in folder.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        write(folder, arrays)

    monkeypatch.setattr(checkpoint, "_write_arrays", until_full)
    reports = sweeps.train_all(SETTINGS, kept)
    assert states(reports) == ["done", "failed", "done", "done"]
    assert reports[1].message.startswith("No space left on device")
    assert f"failed: model {full}: No space left" in capsys.readouterr().err
    with pytest.raises(ValueError, match=f"{full} is not trained yet"):
        sweeps.history(SETTINGS, kept, NOISE)
    with pytest.raises(ValueError, match=f"{full} is not .*because: No space left"):
        sweeps.train_missing(SETTINGS, kept)
    monkeypatch.undo()  # space is made: only this one is left to be trained
    assert states(sweeps.train_all(SETTINGS, kept)) == ["done"] * 4


def damage(folder):
    for step in checkpoint.folders(folder):
        (step / "manifest.json").write_text("{")


def newer_format(folder):
    for step in checkpoint.folders(folder):
        manifest = json.loads((step / "manifest.json").read_text())
        manifest["format"] += 1
        (step / "manifest.json").write_text(json.dumps(manifest))


def other_model(folder):
    other = sweeps.grid(BASE, {"train.b2": (0.5,)})[0]
    shutil.rmtree(folder)
    kept = Models(folder.parents[1], jobs=1)
    kept(other)
    kept.folder(other).rename(folder)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage, "Every checkpoint in .* is damaged; delete it"),
        (newer_format, "has checkpoint format 3, this version of icl reads 2; move"),
        (other_model, r"other settings \(train\.b2: 0\.5 there, 0\.98 asked for\); mo"),
    ],
)
def test_a_folder_that_cannot_be_used_is_left_alone(here, tmp_path, harm, message):
    shutil.copytree(here / "models", tmp_path / "models")
    kept = Models(tmp_path, jobs=1)
    folders = list(map(kept.folder, SETTINGS))
    harm(folders[1])
    shutil.rmtree(folders[2])

    def contents():
        files = [path for path in folders[1].rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files}

    before = contents()
    reports = sweeps.train_all(SETTINGS, kept)
    assert states(reports) == ["done", "failed", "done", "done"]
    with pytest.raises(ValueError, match=message):
        raise ValueError(reports[1].message)
    assert reports[1].message in sweeps.table(SETTINGS, kept)
    assert contents() == before
    with pytest.raises(ValueError, match=message):
        sweeps.history(SETTINGS, kept, NOISE)


def test_somebody_else_s_files_in_the_folder_of_an_ensemble_stay(tmp_path):
    home = tmp_path / "ensemble-1"
    for name in ("step_00000010", "step_00000010 (copy)"):
        (home / name).mkdir(parents=True)
    (home / jobs.MEMBERS).write_text("{}")
    jobs._put_away(home)
    assert [path.name for path in home.iterdir()] == ["step_00000010 (copy)"]
    (home / "step_00000010 (copy)").rmdir()
    jobs._put_away(home)
    assert not home.exists()
    jobs._put_away(home)


def test_mistakes_are_named_by_their_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_train", lambda *_, **__: {}["missing"])
    (report,) = sweeps.train_all(SETTINGS[:1], Models(tmp_path, jobs=1))
    assert (report.state, report.message) == ("failed", "KeyError: 'missing'")
