"""What is damaged, edited or forged is noticed, and never believed."""

import json
import math
import os
import re
import shutil
import time
import warnings

import numpy as np
import pytest
from checkpoint_cases import KEY, assert_equal, assert_same_model, stored

from icl import (
    CheckpointError,
    load,
    save,
    train,
)
from icl.training import checkpoint, manifest
from icl.training.checkpoint import (
    OtherFormatError,
    read,
    read_latest,
    write,
)
from icl.training.description import check_sizes

# --- Damage --------------------------------------------------------------------------


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
        "step_000000099",
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


SKETCHES = ([1], {"a": 1}, {"a": [0.1]}, {"a": ["x", 0.1]}, {"a": [0.1, 10**400]})


def nested(depth, value):
    return value if depth == 0 else nested(depth - 1, {"a": [value]})


FORGERIES = [
    *(put("about", {"task": nested(depth, 3)}) for depth in (50, 200)),
    put("about", {"task": {"kind": "\ud800"}}),
    *(put("about", {"drawn": value}) for value in (*SKETCHES, {"\x1b": [0.1, 0.2]})),
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


@pytest.mark.parametrize("name", ["manifest.json", "arrays/manifest.ocdbt"])
def test_a_file_that_is_mostly_a_hole_takes_no_memory(tmp_path, name):
    write(tmp_path, stored(10))
    os.truncate(write(tmp_path, stored(20)) / name, 2**42)
    with pytest.warns(UserWarning, match=r"is damaged: .* Using the one before it"):
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


def test_what_cannot_be_read_is_named(trained, tmp_path):
    whole = read(save(tmp_path, trained))
    about = {**whole.about, "train": {"steps": "x"}}
    folder = write(tmp_path, whole._replace(step=999, about=about))
    for path in (folder, tmp_path):
        shutil.rmtree(tmp_path / "step_00000300", ignore_errors=True)
        with pytest.raises(CheckpointError, match=rf"{re.escape(str(folder))}: .*'x'"):
            load(path)


def test_a_number_in_a_task_is_no_size():
    """Fixed weights of 1,000 take no more room than those of 1."""
    arrays = {"state.params.head.bias": np.zeros(1)}
    check_sizes({"task": {"dim": 1, "fixed_weights": 1_000}}, arrays)
    with pytest.raises(CheckpointError, match="fixed_weights cannot be 1000"):
        check_sizes({"task": {"dim": 1, "fixed_weights": [1.0] * 1_000}}, arrays)


def one_step_more(stored):
    """The checkpoint of a run that has made another step."""
    names = ("history.loss", "history.gradient_norm")
    longer = {n: np.append(stored.arrays[n], np.float32(1)) for n in names}
    return stored._replace(step=stored.step + 1, arrays=stored.arrays | longer)


def test_records_that_belong_together_are_used(trained, tmp_path):
    write(tmp_path, one_step_more(read(save(tmp_path, trained))))
    assert load(tmp_path).steps == trained.steps + 1


@pytest.mark.parametrize("evaluated", [[], [200, 100], [-1, 100], [0, 302]])
def test_evaluations_that_cannot_have_been_are_passed_over(
    trained, tmp_path, evaluated
):
    whole = one_step_more(read(save(tmp_path, trained)))
    losses = np.zeros((len(evaluated), *trained.history.held_out_loss.shape[1:]), "f4")
    arrays = {"history.held_out_loss": losses, "history.evaluated": np.int64(evaluated)}
    write(tmp_path, whole._replace(arrays=whole.arrays | arrays))
    with pytest.warns(UserWarning, match=r"was evaluated .* Using the one before it"):
        assert_same_model(load(tmp_path), trained)


@pytest.mark.parametrize("name", ["history.loss", "history.evaluated"])
def test_records_that_do_not_belong_together_are_passed_over(trained, tmp_path, name):
    whole = one_step_more(read(save(tmp_path, trained)))
    for arrays in (
        {n: a for n, a in whole.arrays.items() if n != name},
        whole.arrays | {name: np.zeros(7)},
        whole.arrays | {name: np.float32(7)},
        whole.arrays | {name: whole.arrays[name][:, None]},
        whole.arrays | {name: whole.arrays[name] > 0},
    ):
        write(tmp_path, whole._replace(arrays=arrays))
        with pytest.warns(UserWarning, match=r"records.* Using the one before it"):
            assert_same_model(load(tmp_path), trained)
        shutil.rmtree(checkpoint.folders(tmp_path)[-1])
