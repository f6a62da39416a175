"""Whole or absent: killed, damaged, edited and unwritable checkpoints."""

import json
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from dataclasses import fields, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import icl
from icl import (
    CheckpointError,
    LinearRegression,
    ModelConfig,
    TrainConfig,
    load,
    save,
    train,
    train_ensemble,
)
from icl.model.building import abstract_params
from icl.pytrees import named
from icl.training import checkpoint, manifest
from icl.training.checkpoint import (
    OtherFormatError,
    Stored,
    read,
    read_latest,
    write,
)
from icl.training.description import PARTS, changed, configs, describe, differences

KEY = jax.random.key(0)


def stored(step, size=10):
    generator = np.random.default_rng(step)
    arrays = {
        "a": np.float32(generator.normal(size=size)),
        "b.c": generator.integers(0, 9, (2, 3)),
        "count": np.int32(step),
    }
    return Stored(step, {"made by": ["x", step, None, 0.1]}, arrays)


def assert_equal(one, other):
    assert one[:2] == other[:2]
    assert one.arrays.keys() == other.arrays.keys()
    for name in one.arrays:
        np.testing.assert_array_equal(one.arrays[name], other.arrays[name])
        assert one.arrays[name].dtype == other.arrays[name].dtype


def assert_same_model(one, other):
    a, b = (named(nnx.state(each.model)) for each in (one, other))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert one.history.identical(other.history)


# --- Writing and reading -------------------------------------------------------------


def test_what_is_written_is_read(tmp_path):
    folder = write(tmp_path / "new" / "run", stored(7))
    assert folder == tmp_path / "new" / "run" / "step_00000007"
    assert_equal(read(folder), stored(7))
    assert_equal(read_latest(tmp_path / "new" / "run"), stored(7))


def test_the_newest_two_are_kept(tmp_path):
    for step in (1, 2, 30, 400):
        write(tmp_path, stored(step))
    assert checkpoint.folders(tmp_path) == [
        tmp_path / "step_00000030",
        tmp_path / "step_00000400",
    ]
    assert read_latest(tmp_path).step == 400


def test_the_newest_is_the_newest_by_number(tmp_path):
    write(tmp_path, stored(99_999_999))
    write(tmp_path, stored(100_000_000))
    assert read_latest(tmp_path).step == 100_000_000


def test_there_may_be_none(tmp_path):
    assert read_latest(tmp_path) is None
    assert read_latest(tmp_path / "nowhere") is None


def test_leftovers_of_a_killed_process_are_ignored_and_cleared_away(tmp_path):
    write(tmp_path, stored(1))
    leftover = tmp_path / ".writing-0123"
    shutil.copytree(tmp_path / "step_00000001", leftover)
    (leftover / "manifest.json").unlink()
    assert read_latest(tmp_path).step == 1
    write(tmp_path, stored(2))
    assert not leftover.exists()


def test_nothing_is_ever_pickled(tmp_path):
    sources = list(Path(icl.__file__).parent.rglob("*.py"))
    words = ("pickle", "joblib", "marshal", "shelve", "eval(", "exec(")
    found = [(p, w) for p in sources for w in words if f"import {w}" in p.read_text()]
    # joblib hands jobs to processes; it reads nothing from disk.
    assert all("sweeps" in path.parts and word == "joblib" for path, word in found)
    with pytest.raises(TypeError):  # JSON and arrays of numbers, nothing else
        write(tmp_path, Stored(1, {"object": object()}, {"a": np.ones(2)}))
    assert list(tmp_path.iterdir()) == []


# --- Damage --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(task, model_config, train_config, tmp_path_factory):
    """The directory of a run that was stopped at step 250, with steps 200 and 250."""
    directory = tmp_path_factory.mktemp("run")

    def stop(step, metrics):
        if step == 250:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            task,
            model_config,
            train_config,
            key=KEY,
            directory=directory,
            callback=stop,
        )
    assert [p.name for p in checkpoint.folders(directory)] == [
        "step_00000200",
        "step_00000250",
    ]
    return directory


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def append(path):
    path.write_bytes(path.read_bytes() + b"\0")


def delete(path):
    path.unlink()


def damaged_copies(run, directory):
    """Copies of a run, each with one file of its newest checkpoint damaged one way."""
    newest = checkpoint.folders(run)[-1]
    names = sorted(p.relative_to(run) for p in newest.rglob("*") if p.is_file())
    assert len(names) > 5
    for name in names:
        for damage in (truncate, empty, flip_a_bit, append, delete):
            size = (run / name).stat().st_size
            if size == 0 and damage in (truncate, empty, flip_a_bit):
                continue  # orbax's mark is an empty file
            shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(run, directory)
            damage(directory / name)
            yield f"{damage.__name__} {name}"


def test_any_damage_to_any_file_is_noticed(run, tmp_path):
    before = read(checkpoint.folders(run)[0])
    count = 0
    for what in damaged_copies(run, tmp_path / "copy"):
        with pytest.warns(UserWarning, match=r"step_00000250 .* Using the one before"):
            found = read_latest(tmp_path / "copy")
        assert found.step == 200, what
        count += 1
    assert count > 30
    assert_equal(found, before)


def test_every_edit_of_the_manifest_is_noticed(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    manifest = checkpoint.folders(tmp_path / "copy")[-1] / "manifest.json"
    text = manifest.read_text()
    edits = [
        ('"step": 250', '"step": 251'),
        ('"learning_rate": 0.01', '"learning_rate": 0.02'),
        ('"width": 8', '"width": 9'),
        ('"format": 2', '"format": 3'),
        ('"checksum": "', '"checksum": "0'),
    ]
    digits = [i for i, letter in enumerate(text) if letter.isdigit()]
    for i in digits[:: len(digits) // 20]:  # and any digit
        edits.append((text[: i + 1], text[:i] + str(9 - int(text[i]))))
    for old, new in edits:
        assert old in text
        manifest.write_text(text.replace(old, new, 1))
        with pytest.raises(CheckpointError, match="is damaged: "):
            read(manifest.parent)
    manifest.write_text(text)
    assert read(manifest.parent).step == 250


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, delete])
@pytest.mark.parametrize("where", ["manifest.json", "arrays"])
def test_a_run_goes_on_from_the_one_before_to_the_same_bits(
    run, trained, task, model_config, train_config, damage, where, tmp_path
):
    directory = tmp_path / "copy"
    shutil.copytree(run, directory)
    newest = checkpoint.folders(directory)[-1]
    files = [p for p in newest.rglob("*") if p.is_file() and where in p.parts]
    damage(max(files, key=lambda path: path.stat().st_size))
    steps = []
    with pytest.warns(UserWarning, match=r"step_00000250 .* Using the one before it"):
        resumed = train(
            task,
            model_config,
            train_config,
            key=KEY,
            directory=directory,
            callback=lambda step, _: steps.append(step),
        )
    assert steps == [250, 300]
    assert_same_model(resumed, trained)
    # The damaged one is not in the way of the next run.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_model(load(directory), trained)


def test_where_all_are_damaged_nothing_is_overwritten(
    run, task, model_config, train_config, tmp_path
):
    directory = tmp_path / "copy"
    shutil.copytree(run, directory)
    for folder in checkpoint.folders(directory):
        flip_a_bit(folder / "manifest.json")
    files = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    for use in (
        lambda: load(directory),
        lambda: train(task, model_config, train_config, key=KEY, directory=directory),
    ):
        with (
            pytest.warns(UserWarning),
            pytest.raises(
                CheckpointError, match=r"Every checkpoint in .* is damaged\."
            ),
        ):
            use()
    assert files == {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_a_whole_checkpoint_of_another_version_is_not_skipped(
    tmp_path, monkeypatch, run, task, model_config, train_config
):
    """Falling back to an older one would throw the newer version's work away."""
    directory = tmp_path / "copy"
    shutil.copytree(run, directory)
    newest = read_latest(directory)
    monkeypatch.setattr(checkpoint, "FORMAT", 1)
    write(directory, newest._replace(step=260))
    monkeypatch.undo()
    message = r"step_00000260 has checkpoint format 1, this version of icl reads 2; use"
    with pytest.raises(OtherFormatError, match=message):
        load(directory)
    with pytest.raises(OtherFormatError, match=message):
        train(task, model_config, train_config, key=KEY, directory=directory)
    assert checkpoint.folders(directory)[-1].name == "step_00000260"


def test_a_stale_later_folder_does_not_outlive_the_next_checkpoint(tmp_path):
    """Three folders can remain of a kill between adding one and deleting another."""
    for step in (1, 2, 3):
        write(tmp_path / str(step), stored(step))
        shutil.copytree(
            tmp_path / str(step) / f"step_{step:08d}",
            tmp_path / "run" / f"step_{step:08d}",
        )
    for step in (2, 3):
        delete(tmp_path / "run" / f"step_{step:08d}" / "manifest.json")
    write(tmp_path / "run", stored(2))
    assert [path.name[-1] for path in checkpoint.folders(tmp_path / "run")] == [
        "1",
        "2",
    ]
    assert_equal(read_latest(tmp_path / "run"), stored(2))


# --- What is not ours, and what is not believed --------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "step_00000010 (copy)",
        "step_00000010_backup",
        "step_00000010.bak",
        "step_00000010 2",
        "step_00000099-notes",
        "step_best",
        "step_99",
        "step_notes",
        ".writing-my-thesis",
    ],
)
def test_other_folders_are_neither_read_nor_deleted(tmp_path, name):
    write(tmp_path, stored(10))
    shutil.copytree(tmp_path / "step_00000010", tmp_path / name)
    (tmp_path / name / "mine.txt").write_text("mine")
    for step in (20, 30, 40):
        write(tmp_path, stored(step))
        assert read_latest(tmp_path).step == step
        assert checkpoint.newest(tmp_path)[0] == step
    assert (tmp_path / name / "mine.txt").read_text() == "mine"
    assert len(checkpoint.folders(tmp_path)) == 2


def forge(folder, edit):
    """Edits a manifest as somebody would who also writes its checksum anew."""
    path = folder / manifest.MANIFEST
    content = json.loads(path.read_text())
    del content["checksum"]
    content = edit(content) or content
    content["checksum"] = manifest.checksum(manifest.canonical(content))
    path.write_text(json.dumps(content))


def put(name, value):
    return lambda content: content.update({name: value})


def first_array(**changes):
    return lambda content: content["arrays"]["a"].update(changes)


FORGERIES = [
    *(put("step", value) for value in ("20", None, math.nan, -5, 10**30, 1.5, True)),
    *(put("step", value) for value in ([], {}, 19)),
    *(put("about", value) for value in (None, "x", [], 1, {"task": "x"})),
    *(put("about", value) for value in ({"model": None}, {"train": [1]})),
    *(put("arrays", value) for value in (None, "x", [], {"a": None}, {"a": {}}, 3)),
    *(put("files", value) for value in (None, "x", [], {}, {"a": 3})),
    *(first_array(shape=value) for value in ("x", None, [-1], [10**12], [[1]], 4)),
    *(first_array(shape=value) for value in ([10] * 100, [1.5], [10**400], [True])),
    *(first_array(dtype=value) for value in ("object", "U9", "x", None, 3, "O", "V2")),
    *(lambda content, name=n: content.pop(name) for n in ("step", "about", "arrays")),
]


@pytest.mark.parametrize("edit", FORGERIES)
def test_a_forged_manifest_is_passed_over(tmp_path, edit):
    write(tmp_path, stored(10))
    forge(write(tmp_path, stored(20)), lambda content: edit(content) and None)
    with pytest.warns(UserWarning, match="Using the one before it"):
        assert_equal(read_latest(tmp_path), stored(10))


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "1", "", '"x"', "\x1b"])
def test_a_manifest_that_is_none_is_passed_over(tmp_path, text):
    write(tmp_path, stored(10))
    (write(tmp_path, stored(20)) / manifest.MANIFEST).write_text(text)
    with pytest.warns(UserWarning, match="no readable manifest"):
        assert read_latest(tmp_path).step == 10
    assert checkpoint.newest(tmp_path)[0] == 10


def test_a_pipe_in_place_of_the_manifest_blocks_nothing(tmp_path):
    write(tmp_path, stored(10))
    path = write(tmp_path, stored(20)) / manifest.MANIFEST
    path.unlink()
    os.mkfifo(path)
    with pytest.warns(UserWarning, match="no readable manifest"):
        assert read_latest(tmp_path).step == 10


def test_files_that_no_manifest_names_are_noticed_but_not_notes_of_file_managers(
    tmp_path,
):
    folder = write(tmp_path, stored(10))
    (folder / "arrays" / ".DS_Store").write_text("x")
    assert read(folder).step == 10
    (folder / "arrays" / "more").write_text("x")
    with pytest.raises(CheckpointError, match="'arrays/more' is not one of its files"):
        read(folder)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("model", {"layers": 10**6}),
        ("model", {"width": 10**9}),
        ("model", {"mlp_width": 10**9}),
        ("task", {"dim": 10**10, "fixed_weights": 1.0}),
        ("task", {"dim": 6_000, "covariance": [1.0] * 6_000}),
        ("model", {"layers": "many"}),
        ("task", {"kind": []}),
        ("train", {"steps": 10**400}),
        ("train", {"curriculum": 3}),
        ("task", {"covariance": [[1.0], "x"]}),
    ],
)
def test_a_forged_config_is_passed_over_at_once(trained, tmp_path, part, changes):
    whole = read(save(tmp_path, trained))
    about = {**whole.about, part: {**whole.about[part], **changes}}
    write(tmp_path, whole._replace(step=999, about=about))
    started = time.monotonic()
    with pytest.warns(UserWarning, match=r"cannot be read: .* Using the one before"):
        assert_same_model(load(tmp_path), trained)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("name", ["history.loss", "history.evaluated"])
def test_records_that_do_not_belong_together_are_passed_over(trained, tmp_path, name):
    whole = read(save(tmp_path, trained))
    for step, arrays in enumerate(
        (
            {n: a for n, a in whole.arrays.items() if n != name},
            whole.arrays | {name: np.zeros(7)},
            whole.arrays | {name: np.float32(7)},
        )
    ):
        write(tmp_path, whole._replace(step=1_000 + step, arrays=arrays))
        with pytest.warns(UserWarning, match=r"records.* Using the one before it"):
            assert_same_model(load(tmp_path), trained)
        shutil.rmtree(checkpoint.folders(tmp_path)[-1])


# --- Places that cannot be written ---------------------------------------------------


def never(step, metrics):
    raise AssertionError("nothing should be trained that cannot be saved")


def test_a_file_in_the_place_of_the_directory(
    task, model_config, train_config, tmp_path
):
    (tmp_path / "file").write_text("mine")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError):
            train(
                task,
                model_config,
                train_config,
                key=KEY,
                directory=directory,
                callback=never,
            )
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(task, model_config, train_config, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        train(
            task,
            model_config,
            train_config,
            key=KEY,
            directory=tmp_path,
            callback=never,
        )
    tmp_path.chmod(0o700)


# What orbax was still writing meets a closed event loop: not ours to handle.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_leaves_what_was_there(tmp_path, capfd):
    write(tmp_path, stored(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        message = rf"^{re.escape(str(tmp_path))} cannot be written: .* too large$"
        with pytest.raises(OSError, match=message):
            write(tmp_path, stored(2, size=50_000))
        assert capfd.readouterr().err == ""
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    # A draft may be left, for threads of orbax still write while it is deleted; it is
    # no checkpoint.
    assert checkpoint.folders(tmp_path) == [tmp_path / "step_00000001"]
    assert_equal(read_latest(tmp_path), stored(1))


def test_a_failed_rename_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path, stored(1))

    def fail(*_):
        raise PermissionError("no")

    monkeypatch.setattr(checkpoint.os, "rename", fail)
    with pytest.raises(PermissionError):
        write(tmp_path, stored(2))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]
    assert_equal(read_latest(tmp_path), stored(1))


# --- Models --------------------------------------------------------------------------


def test_a_saved_model_needs_nothing_else(trained, tmp_path):
    folder = save(tmp_path / "model", trained)
    for path in (folder, tmp_path / "model", str(tmp_path / "model")):
        loaded = load(path)
        assert_same_model(loaded, trained)
        for name in ("task", "model_config", "train_config", "steps"):
            assert getattr(loaded, name) == getattr(trained, name)


def test_a_run_can_be_loaded_wherever_it_stands(run, trained):
    loaded = load(run)
    assert loaded.steps == 250
    assert loaded.train_config.steps == 300
    np.testing.assert_array_equal(loaded.history.evaluation, [0, 100, 200])
    np.testing.assert_array_equal(loaded.history.loss, trained.history.loss[:250])
    assert load(checkpoint.folders(run)[0]).steps == 200


def test_a_field_that_is_newer_than_a_checkpoint_had_its_default(
    trained, task, model_config, train_config, run
):
    """The hash leaves defaults out, and a stored description may lack them."""
    made_of = (task, model_config, train_config)
    about = describe(*made_of)
    assert set(about["task"]) == {"kind"} | {f.name for f in fields(task)}
    for part, name in (("task", "fixed_weights"), ("train", "precision")):
        assert name not in changed(dict(zip(PARTS, made_of, strict=True))[part])
        del about[part][name]
    assert differences(about, made_of) == []
    assert configs(about) == made_of
    del about["train"]["steps"]  # which is not its default
    assert differences(about, made_of) == ["train.steps: 20000 there, 300 asked for"]


def test_every_setting_survives(tmp_path):
    task = LinearRegression(
        dim=2,
        length=3,
        noise_std=0.1,
        weight_std=0.3,
        inputs="uniform",
        covariance=((1.0, 0.1), (0.1, 2.0)),
        fixed_weights=(1 / 3, -1.0),
    )
    model = ModelConfig(
        layers=1, width=6, heads=4, head_dim=3, mlp_width=0, norm="none"
    )
    config = TrainConfig(steps=3, schedule="constant", clip=None, learning_rate=1 / 3)
    abstract = abstract_params(task.codec, model)
    params = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), abstract)
    history = {
        "loss": np.zeros(3),
        "gradient_norm": np.zeros(3),
        "held_out_loss": np.zeros((2, 3)),
        "evaluated": np.array([0, 3]),
    }
    whole = icl.training.trained.assemble((task, model, config), params, history, 3)
    save(tmp_path, whole)
    loaded = load(tmp_path)
    assert (loaded.task, loaded.model_config) == (task, model)
    assert loaded.train_config == config
    assert_same_model(loaded, whole)


def test_saving_never_overwrites(trained, run, tmp_path):
    save(tmp_path, trained)
    for path in (tmp_path, run):
        before = sorted(path.iterdir())
        with pytest.raises(FileExistsError, match="choose another directory"):
            save(path, trained)
        assert sorted(path.iterdir()) == before


def test_there_may_be_nothing_to_load(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="There is no checkpoint in"):
            load(path)


def edited(trained, tmp_path, edit):
    """A whole checkpoint whose content was made by another version, say."""
    content = read(save(tmp_path / "original", trained))
    about = json.loads(json.dumps(content.about))
    arrays = dict(content.arrays)
    edit(about, arrays)
    return write(tmp_path / "edited", Stored(content.step, about, arrays))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda about, _: about["model"].update(depth=3), "cannot be read: .*'depth'"),
        (
            lambda about, _: about["task"].update(kind="Cubic"),
            "cannot be read: unknown task 'Cubic'",
        ),
        (lambda about, _: about.pop("train"), "cannot be read: 'train'"),
        (
            lambda about, _: about["model"].update(norm="post"),
            "cannot be read: norm must .* got 'post'",
        ),
        (
            lambda _, arrays: arrays.pop("state.params.head.bias"),
            r"does not fit this model: state\.params\.head\.bias is missing\.",
        ),
        (
            lambda about, _: about["model"].update(width=4),
            r"has shape \(8,\), expected \(4,\).* more\.",
        ),
        (
            lambda about, _: about["model"].update(layers=1),
            r"state\.params\.body\.1.* is not expected",
        ),
    ],
)
def test_a_checkpoint_of_another_shape_says_what_differs(
    trained, tmp_path, edit, message
):
    folder = edited(trained, tmp_path, edit)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_an_ensemble_is_not_one_model(task, model_config, train_config, tmp_path):
    def stop(step, metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_ensemble(
            task,
            model_config,
            train_config,
            keys=jax.random.split(KEY, 2),
            directory=tmp_path,
            callback=stop,
        )
    with pytest.raises(
        CheckpointError, match=r"an ensemble of 2 models; call train_ens"
    ):
        load(tmp_path)


# --- kill -9 -------------------------------------------------------------------------


SCRIPT = """
    import os, signal, sys
    import jax
    jax.config.update("jax_num_cpu_devices", 2)
    from icl import Curriculum, LinearRegression, ModelConfig, TrainConfig, train
    from icl.training import checkpoint, manifest

    directory, moment = sys.argv[1:]
    saves = 0

    def killed(module, name, *, after):
        function = getattr(module, name)
        def replacement(*arguments, **options):
            if not after:
                os.kill(os.getpid(), signal.SIGKILL)
            function(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        setattr(module, name, replacement)

    def callback(step, metrics):
        global saves
        saves += 1
        print(step, flush=True)
        if saves == 2 and moment != "never":
            module, name, after = moment.split()
            module = {"checkpoint": checkpoint, "os": os}[module]
            killed(module, name, after=after == "after")

    train(TASK, MODEL, CONFIG, key=jax.random.key(0), directory=directory,
          callback=callback)
    print("finished", flush=True)
"""

# Where in a save a process kills itself, at the third save after it was started.
MOMENTS = [
    "checkpoint _write_arrays before",
    "checkpoint _write_manifest before",
    "os rename before",
    "os rename after",
]


@pytest.fixture
def start(task, model_config, train_config, tmp_path):
    """Starts a process that trains, saving every 10 steps, in `tmp_path/run`."""
    config = replace(train_config, checkpoint_every=10)
    values = {"TASK": task, "MODEL": model_config, "CONFIG": config}
    script = textwrap.dedent(SCRIPT)
    for name, value in values.items():
        script = script.replace(name, repr(value))

    def start(moment="never"):
        return subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "run"), moment],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(icl.__file__).parents[1],
        )

    return start


def test_killed_at_any_moment_a_run_ends_in_the_same_bits(
    start, trained, task, model_config, train_config, tmp_path
):
    # Compiled by an uninterrupted run, so that little time is spent before the kills.
    config = replace(train_config, checkpoint_every=10)
    whole = train(task, model_config, config, key=KEY, directory=tmp_path / "whole")
    assert_same_model(whole, trained)

    reached = []
    for moment in MOMENTS:
        with start(moment) as process:
            steps = process.stdout.read().split()
        assert process.returncode == -signal.SIGKILL
        assert len(steps) == 2
        reached.append(int(steps[-1]))
    # Each went on from what the one before had saved.
    assert reached == sorted(set(reached))

    delays = random.Random(0)
    for _ in range(2):
        with start() as process:
            first = process.stdout.readline()
            time.sleep(delays.uniform(0, 0.4))
            process.kill()
            process.stdout.read()
        if first.strip() == "finished" or process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        assert int(first) > reached[-1] - 10

    with start() as process:
        assert process.stdout.read().split()[-1] == "finished"
    assert process.returncode == 0
    survivor = load(tmp_path / "run")
    assert_same_model(survivor, whole)
    left = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert left == ["step_00000290", "step_00000300"]
    assert_equal(read_latest(tmp_path / "run"), read_latest(tmp_path / "whole"))
