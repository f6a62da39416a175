"""Grids, what is trained of them where, what may go wrong there, and what is chosen."""

import doctest
import errno
import gc
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import jax
import joblib
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from filelock import FileLock
from flax import nnx
from joblib.externals.loky import get_reusable_executor, process_executor

from experiments.engine.figures import command
from icl import (
    LinearRegression,
    ModelConfig,
    NonFiniteLossError,
    TrainConfig,
    files,
    sweeps,
    terminal,
)
from icl.model.building import abstract_params
from icl.sweeps import grids, hosts, jobs, outcomes, planning, store, workers
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.training import checkpoint
from icl.training.compiled import compile_program
from icl.training.trained import load

ROOT = Path(__file__).parents[2]
BASE = Setting(
    task=LinearRegression(dim=1, length=4),
    model=ModelConfig(layers=1, width=8),
    train=TrainConfig(
        steps=40,
        batch=16,
        learning_rate=1e-2,
        chunk=20,
        evaluate_every=40,
        held_out=32,
        checkpoint_every=20,
    ),
)
NOISE = {"task.noise_std,task.weight_std": ((0.0, 1.0), (0.5, 1.5)), "seed": (0, 1)}
SETTINGS = sweeps.grid(BASE, NOISE)
RATES = {"train.learning_rate": (1e-2, 1e30)}


@dataclass(frozen=True)
class Deadly(LinearRegression):
    """A task that ends the process that draws from it."""

    def sample_scaled(self, *_, **__):
        os._exit(3)


@dataclass(frozen=True)
class Counting(LinearRegression):
    """A task that fails, and says how many threads XLA computes with."""

    def sample_scaled(self, *_, **__):
        names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
        raise ValueError(f"threads: {sum('XLAEigen' in name for name in names)}.")


def states(reports):
    return [report.state for report in reports]


def arrays(results, setting):
    """All that the checkpoint of a finished model holds."""
    stored = checkpoint.read_latest(Models(results).folder(setting))
    assert stored.step == setting.train.steps
    return stored.arrays


def assert_same_bits(results, other, settings):
    for setting in settings:
        one, two = arrays(results, setting), arrays(other, setting)
        assert one.keys() == two.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def timed_steps(results, setting):
    """How many steps were ever trained of a model."""
    return json.loads((Models(results).folder(setting) / "time.json").read_text())[
        "steps"
    ]


def refuse(*_, **__):
    pytest.fail("this is finished, and must not be trained again")


@pytest.fixture
def no_work(monkeypatch):
    """Training fails."""
    monkeypatch.setattr(store, "_train", refuse)
    monkeypatch.setattr(hosts, "train_ensemble", refuse)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """All of `SETTINGS`, trained one after the other in this process."""
    results = tmp_path_factory.mktemp("here")
    reports = sweeps.train_all(SETTINGS, Models(results, jobs=1))
    assert states(reports) == ["done"] * 4
    return results


# --- grids ---


def test_the_examples_say_what_they_print():
    assert sum(doctest.testmod(m).failed for m in (grids, outcomes)) == 0


def test_the_last_axis_is_the_fastest():
    axes = {"model.layers": (1, 2), "seed": (0, 1), "task.dim,task.length": [(1, 3)]}
    made = sweeps.grid(BASE, axes)
    layers_and_seeds = [(s.model.layers, s.seed) for s in made]
    assert layers_and_seeds == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert {(s.task.dim, s.task.length) for s in made} == {(1, 3)}
    assert made[0] == replace(BASE, task=LinearRegression(dim=1, length=3))


def test_fields_of_one_part_change_at_once():
    """Neither width 6 nor 3 heads would be allowed with the other as it is."""
    (made,) = sweeps.grid(
        replace(BASE, model=ModelConfig(width=8, heads=4)),
        {"model.width": (6,), "model.heads": (3,)},
    )
    assert (made.model.width, made.model.heads) == (6, 3)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({}, "The grid has no axes; give one"),
        ({"seed": ()}, "axis 'seed' needs a sequence of values"),
        ({"task.inputs": "normal"}, "needs a sequence of values, got 'normal'"),
        ({"model.layer": (1,)}, r"no field 'model\.layer'\. Did you mean 'model\.lay"),
        ({"noise_std": (1,)}, r"no field 'noise_std'\. Did you mean 'task\.noise_std'"),
        ({"task": (1,)}, "no field 'task'"),
        ({"seed": (0, 1, 0)}, "'seed' has the value 0 twice"),
        ({"seed": (0,), "seed,model.layers": ((0, 1),)}, "'seed' is on two axes"),
        ({"seed,model.layers": ((0, 1, 2),)}, r"needs 2 values .* got \(0, 1, 2\)"),
        ({"model.width": (0,)}, "width must be an integer >= 1, got 0"),
    ],
)
def test_bad_grids_are_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        sweeps.grid(BASE, axes)


@pytest.mark.parametrize("use", [sweeps.train_all, sweeps.table])
def test_a_sweep_has_each_model_once(use, tmp_path):
    with pytest.raises(ValueError, match="The sweep is empty"):
        use([], Models(tmp_path))

    class Config(Setting):
        """What differs between figures is no matter of the model."""

    again = Config(**vars(SETTINGS[1]))
    name = Models().folder(again).name
    with pytest.raises(ValueError, match=f"Settings 1 and 4 are of one model.*{name}"):
        use([*SETTINGS, again], Models(tmp_path))


@pytest.mark.parametrize("name", ["jobs", "together"])
def test_jobs_and_together_are_at_least_one(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got 0"):
        Models(tmp_path, **{name: 0})


def test_results_may_not_be_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="Not a directory"):
        Models(tmp_path / "file")


# --- found, resumed, together ---


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


def assert_alike(results, other, settings):
    """Batched products add in another order; over 40 steps that grows to this."""
    for setting in settings:
        one, two = arrays(results, setting), arrays(other, setting)
        assert one.keys() == two.keys()
        for name in ("loss", "held_out_loss"):
            a, b = one[f"history.{name}"], two[f"history.{name}"]
            np.testing.assert_allclose(a, b, rtol=2e-4)


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
    longer = replace(settings[0], train=replace(BASE.train, steps=50))
    other = {kept.folder(s): s for s in (settings[0], longer)}
    assert len(planning.plan(other, set(other), kept)) == 2


def test_programs_of_many_shapes_are_let_go():
    """A worker that trains one shape after the other does not grow without end."""

    def compiled(width):
        model = ModelConfig(layers=1, width=width)
        device = jax.devices()[:1]
        return compile_program(BASE.task, model, BASE.train, tuple(device), None)

    first = compiled(2)
    first.init(jax.random.key(0))
    kept = weakref.ref(first.advance), weakref.ref(first.init)
    assert compiled(2) is first  # reused
    del first
    for width in (4, 6, 10, 12):
        compiled(width)
    gc.collect()
    assert [ref() for ref in kept] == [None, None]


# --- failures ---


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
    reports = [SimpleNamespace(setting=s, message="") for s in SETTINGS]
    monkeypatch.setattr(outcomes, "train_all", lambda *_: reports)
    kept = Models(here)
    assert sweeps.train_missing(SETTINGS, kept) == SETTINGS
    missing = replace(SETTINGS[0], seed=99)
    reports.append(SimpleNamespace(setting=missing, message="No space left on device"))
    with pytest.raises(ValueError, match="is not trained yet; run it again"):
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
        (newer_format, "has checkpoint format 2, this version of icl reads 1; move"),
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


def test_mistakes_are_named_by_their_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_train", lambda *_, **__: {}["missing"])
    (report,) = sweeps.train_all(SETTINGS[:1], Models(tmp_path, jobs=1))
    assert (report.state, report.message) == ("failed", "KeyError: 'missing'")


# --- other processes ---


def sweep_in_a_process(
    results, call="sweeps.train_all(SETTINGS, Models({0}, jobs=1))", **env
):
    """A process of its own that trains `SETTINGS`, and its states on the last line."""
    code = (
        f"from test_sweeps import *\nprint(states({call.format(repr(str(results)))}))"
    )
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "icl")))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": paths} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished_states(process):
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    return out.splitlines()[-1]


ALL_DONE = str(["done"] * 4)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """`SETTINGS`, one after the other, in a process with the threads of a worker."""
    results = tmp_path_factory.mktemp("serial")
    assert finished_states(sweep_in_a_process(results, NPROC="1")) == ALL_DONE
    return results


def test_processes_side_by_side(serial, tmp_path, capsys):
    """With a run that diverges, one that is damaged, and one bar over all."""
    diverging = replace(BASE, train=replace(BASE.train, learning_rate=1e30))
    kept = Models(tmp_path, jobs=2)
    reports = sweeps.train_all([*SETTINGS, diverging], kept)
    assert states(reports) == ["done"] * 4 + ["failed"]
    assert "NaN or infinite" in reports[4].message
    assert_same_bits(tmp_path, serial, SETTINGS)
    said = capsys.readouterr().err
    assert "sweep: 0 of 5 runs done, 2 running" in said
    assert "sweep: 4 of 5 runs done, 1 failed" in said
    assert "training:" not in said  # the workers' own bars


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.skipif(joblib.cpu_count() < 2, reason="has one thread anyway")
def test_workers_have_one_thread_each(tmp_path, monkeypatch):
    """By themselves they would have one per core, and take cores from each other."""
    counting = replace(BASE, task=Counting(dim=1, length=4))
    pair = [counting, replace(counting, seed=1)]
    monkeypatch.delenv("NPROC", raising=False)
    get_reusable_executor().shutdown()  # workers of other tests have been set up
    for report in sweeps.train_all(pair, Models(tmp_path / "workers", jobs=2)):
        assert "threads: 1." in report.message


def test_a_worker_that_dies_takes_nothing_along(tmp_path):
    """Its pool is lost; the others go on, and it is tried once more."""
    deadly = replace(BASE, task=Deadly(dim=1, length=4))
    settings = [SETTINGS[0], deadly, SETTINGS[1]]
    reports = sweeps.train_all(settings, Models(tmp_path, jobs=2))
    assert states(reports) == ["done", "failed", "done"]
    assert "process that trained it died, 2 times" in reports[1].message
    left = {path.suffix for path in (tmp_path / "models").iterdir() if path.is_file()}
    assert left == {".lock"}
    status = Models(tmp_path).status(deadly)
    assert (status.state, status.step) == ("waiting", 0)  # another call tries again


def test_a_dask_cluster_needs_no_change_to_the_code(serial, tmp_path, monkeypatch):
    """Two worker processes, one of which a run keeps ending, in another folder."""
    monkeypatch.chdir(tmp_path)
    deadly = replace(BASE, task=Deadly(dim=1, length=4))
    cluster = LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        silence_logs="CRITICAL",
    )
    with cluster, Client(cluster), joblib.parallel_config(backend="dask"):
        monkeypatch.chdir(tmp_path.parent)  # not where the workers are
        reports = sweeps.train_all([*SETTINGS, deadly], Models(tmp_path.name))
    assert states(reports) == ["done"] * 4 + ["failed"]
    assert "process that trained it died, 2 times" in reports[4].message
    assert_same_bits(tmp_path, serial, SETTINGS)


def test_a_backend_that_answers_at_the_end_only(serial, tmp_path, monkeypatch):
    """As Ray's does; here joblib's own processes stand for it."""
    backend = type(joblib.parallel.get_active_backend()[0])
    monkeypatch.setattr(backend, "supports_return_generator", False)
    reports = sweeps.train_all(SETTINGS, Models(tmp_path, jobs=2))
    assert states(reports) == ["done"] * 4
    assert_same_bits(tmp_path, serial, SETTINGS)


def test_a_worker_that_joblib_replaces_alarms_nobody():
    """One that has grown by 300 MB is replaced by another, which frees its memory."""
    source = inspect.getsource(process_executor)
    parts = re.findall(r'"(A worker stopped.*?)",\s*UserWarning', source, re.DOTALL)
    (message,) = [re.sub(r'"\s*"', "", part) for part in parts]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        workers._silence_replaced_workers()
        warnings.warn(message, UserWarning, stacklevel=1)
        warnings.warn("another", UserWarning, stacklevel=1)
    assert [str(one.message) for one in caught] == ["another"]


def test_workers_that_cannot_be_had_are_an_error(tmp_path, monkeypatch):
    def refuse(**_):
        raise ConnectionError("no cluster there")

    monkeypatch.setattr(joblib, "Parallel", refuse)
    with pytest.raises(ConnectionError, match="no cluster there"):
        sweeps.train_all(SETTINGS, Models(tmp_path, jobs=2))


def test_two_processes_share_a_sweep(serial, tmp_path):
    """No model is trained twice, and both wait for what the other trains."""
    both = [sweep_in_a_process(tmp_path) for _ in range(2)]
    assert [finished_states(process) for process in both] == [ALL_DONE] * 2
    assert [timed_steps(tmp_path, setting) for setting in SETTINGS] == [40] * 4


def test_what_another_process_works_on_comes_last(tmp_path, monkeypatch):
    """It is left alone while there is something else to do, and waited for then."""
    kept = Models(tmp_path, jobs=1)
    lock = FileLock(files._lock_of(kept.folder(SETTINGS[0])))
    (tmp_path / "models").mkdir()
    lock.acquire()
    assert kept.status(SETTINGS[0]).state == "running"
    order, train_to_end = [], jobs.train_to_end

    def noted(setting, folder, **options):
        order.append(SETTINGS.index(setting))
        if len(order) == 3:
            lock.release()  # as the other process does when it is done, or dies
        return train_to_end(setting, folder, **options)

    monkeypatch.setattr(jobs, "train_to_end", noted)
    assert states(sweeps.train_all(SETTINGS, kept)) == ["done"] * 4
    assert order == [1, 2, 3, 0]


# --- the table ---


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


def test_the_cost_is_that_of_the_matrix_products():
    """Kernels of the model itself, and attention over all pairs of tokens."""
    setting = replace(BASE, model=ModelConfig(layers=3, width=8, heads=2, head_dim=5))
    params = nnx.to_pure_dict(abstract_params(setting.task, setting.model))
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
    name = "experiments.akyurek2023"
    argv = ["tiny", "--list", "--jobs", "2", "--results", str(tmp_path)]
    assert command.main(f"{name}.fig1", argv) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].split()[:4] == "waiting 0 of 60".split()
    assert said[2].startswith("1 run: 1 waiting; ")
    assert said[2].endswith('("?": no run in this results folder has been timed yet)')
    assert command.main(f"{name}.fig7", argv) == 0
    assert capsys.readouterr().out == "No model is trained.\n"
    assert not [path for path in tmp_path.rglob("*") if ".cache" not in path.parts]
    assert command.main(f"{name}.fig1", [*argv, "--jobs", "0"]) == 2
    assert "jobs must be an integer >= 1, got 0" in capsys.readouterr().err


# --- what came of it, and what is best ---


def test_history_is_the_last_held_out_loss_over_the_axes(here):
    dataset = sweeps.history(SETTINGS, Models(here), NOISE)
    assert dict(dataset.sizes) == {"noise_std_weight_std": 2, "seed": 2, "context": 4}
    assert dataset.noise_std.values.tolist() == [0.0, 0.5]
    assert dataset.weight_std.values.tolist() == [1.0, 1.5]
    for number, setting in enumerate(SETTINGS):
        at = {"noise_std_weight_std": number // 2, "seed": number % 2}
        last = load(Models(here).folder(setting)).history.held_out_loss.values[-1]
        np.testing.assert_array_equal(dataset.held_out_loss[at], last)
        assert dataset.validation_loss[at] == pytest.approx(last.mean(), rel=1e-6)
    assert not dataset.failed.any()


def test_shorter_runs_end_earlier_in_the_history(tmp_path):
    axes = {"task.length": (2, 4)}
    settings = sweeps.grid(BASE, axes)
    kept = Models()
    sweeps.train_all(settings, kept)
    dataset = sweeps.history(settings, kept, axes)
    missing = np.isnan(dataset.held_out_loss.values)
    assert missing.tolist() == [[False, False, True, True], [False] * 4]
    short = kept(settings[0]).history.held_out_loss.values[-1].mean()
    assert dataset.validation_loss[0] == pytest.approx(short, rel=1e-6)


@pytest.mark.parametrize("axes", [{}, {"seed": (0, 1)}, {**NOISE, "seed": (1, 0)}])
def test_the_history_of_another_grid_is_refused(here, axes):
    with pytest.raises(ValueError, match="grid"):
        sweeps.history(SETTINGS, Models(here), axes)


def runs_by_hand():
    nan = np.nan
    return xr.Dataset(
        {
            "validation_loss": (
                ("layers", "heads", "rate"),
                [[[3.0, 2.0], [5.0, nan]], [[nan, nan], [4.0, 4.0]]],
            ),
            "spd": (
                ("layers", "heads", "rate", "draw"),
                np.arange(16.0).reshape(2, 2, 2, 2)[::-1],
            ),
            "cost": ("layers", [10.0, 20.0]),
        },
        coords={"layers": [1, 8], "heads": [1, 2], "rate": [0.1, 0.2]},
    )


def test_the_best_run_is_chosen_and_recorded():
    chosen = sweeps.best(runs_by_hand(), ["heads", "rate"])
    assert chosen.validation_loss.values.tolist() == [2.0, 4.0]
    assert chosen.best_heads.values.tolist() == [1, 2]
    assert chosen.best_rate.values.tolist() == [0.2, 0.1]  # of equal ones the first
    assert chosen.spd.values.tolist() == [[10.0, 11.0], [4.0, 5.0]]
    assert chosen.cost.values.tolist() == [10.0, 20.0]
    assert dict(chosen.sizes) == {"layers": 2, "draw": 2}
    assert set(chosen.coords) == {"layers"} and chosen.attrs["chosen_by"]


def test_another_rule_chooses_another_run():
    dataset = runs_by_hand()
    dataset["plotted"] = dataset.spd.mean("draw")
    chosen = sweeps.best(dataset, ["rate", "heads"], by="plotted")
    assert chosen.best_rate.values.tolist() == [0.1, 0.1]
    assert chosen.best_heads.values.tolist() == [1, 1]
    assert np.isnan(chosen.validation_loss.values).tolist() == [False, True]
    assert chosen.attrs["chosen_by"] == "plotted"


def test_of_fields_that_change_together_all_are_recorded(here):
    dataset = sweeps.history(SETTINGS, Models(here), NOISE)
    chosen = sweeps.best(dataset, ["noise_std_weight_std"])
    # Weights and noise of standard deviation 0 and 1 leave less to be explained.
    assert chosen.best_noise_std.values.tolist() == [0.0, 0.0]
    assert chosen.best_weight_std.values.tolist() == [1.0, 1.0]
    assert set(chosen.dims) == {"seed", "context"}


@pytest.mark.parametrize(
    ("over", "by", "message"),
    [
        (["rate"], "validation_loss", "finite .* at layers = 8, heads = 1: all failed"),
        (["rates"], "validation_loss", "no dimension 'rates' to choose along; it has"),
        ([], "validation_loss", "a dimension to choose along"),
        (
            ["rate"],
            "loss",
            "no variable 'loss' to choose by, but: validation_loss, spd",
        ),
    ],
)
def test_what_cannot_be_chosen_is_refused(over, by, message):
    with pytest.raises(ValueError, match=message):
        sweeps.best(runs_by_hand(), over, by)


def test_if_all_failed_none_is_best():
    dataset = runs_by_hand().isel(layers=1, heads=0)
    with pytest.raises(ValueError, match="layers = 8"):
        sweeps.best(dataset, ["rate"])
