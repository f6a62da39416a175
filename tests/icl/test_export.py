"""One file for a trained model: the same bits, read by others, refused if damaged."""

import json
import os
import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from own_tasks import ModularSum, Sparse
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import icl
from icl import (
    CheckpointError,
    LinearRegression,
    ModelConfig,
    Pairs,
    TrainConfig,
    Trained,
    load,
    load_pretrained,
    model_from_arrays,
    save,
    train,
)
from icl.model.building import arrays_of, build
from icl.training.checkpoint import OtherFormatError
from icl.training.description import DRAWN, describe
from icl.training.export import ENTRY, checksum

KEY = jax.random.key(0)
SMALL = ModelConfig(layers=1, width=8)


def assert_same(one, other):
    a, b = arrays_of(one.model), arrays_of(other.model)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert one.history.identical(other.history)
    for name in ("task", "model_config", "train_config", "steps", "origin"):
        assert getattr(one, name) == getattr(other, name), name


def metadata_of(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata()


def changed(path, arrays=None, **entry):
    """Writes the file again with other arrays, or other words about them."""
    arrays = load_file(path) if arrays is None else arrays
    known = json.loads(metadata_of(path)[ENTRY])
    save_file(arrays, path, {ENTRY: json.dumps(known | entry)})
    return path


@pytest.fixture
def exported(trained, tmp_path):
    return trained.export(tmp_path / "model.safetensors")


# --- the same model ---


def test_what_is_exported_is_loaded(trained, exported):
    assert_same(load(exported), trained)
    assert_same(load(str(exported)), trained)


def test_a_file_and_a_checkpoint_say_the_same(trained, exported, tmp_path):
    save(tmp_path / "run", trained)
    assert_same(load(exported), load(tmp_path / "run"))
    again = load(tmp_path / "run").export(tmp_path / "new" / "again.safetensors")
    assert again.read_bytes() == exported.read_bytes()  # and it is the same each time


def test_float64_stays_float64(task, model_config, trained, tmp_path):
    noise = np.random.default_rng(0)
    arrays = {
        name: array + 1e-12 * noise.normal(size=array.shape)
        for name, array in arrays_of(trained.model).items()
    }
    model = model_from_arrays(task.codec, model_config, arrays, "float64")
    path = Trained.from_model(model, task).export(tmp_path / "a.safetensors")
    found = arrays_of(load(path).model)
    for name, array in arrays.items():
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("task", [Sparse(), ModularSum()], ids=["pairs", "characters"])
def test_tasks_of_ones_own_travel_too(task, tmp_path):
    known = Trained.from_model(build(task.codec, SMALL, KEY), task)
    path = known.export(tmp_path / "own.safetensors")
    assert_same(load(path, tasks=[type(task)]), known)
    with pytest.raises(CheckpointError, match=f"unknown task '{type(task).__name__}'"):
        load(path)


def test_a_run_can_begin_with_an_exported_model(
    task, model_config, train_config, trained, exported, tmp_path
):
    """The later model says where it began, and is another one."""
    later = train(task, model_config, train_config, key=KEY, init=load(exported))
    assert_same(load(later.export(tmp_path / "a.safetensors")), later)
    assert later.origin.keys() == {"init"}
    assert float(later.history.loss[0]) < float(trained.history.loss[0])


def test_records_can_be_left_out(trained, tmp_path):
    path = trained.export(tmp_path / "bare.safetensors", history=False)
    assert not [name for name in load_file(path) if name.startswith("history")]
    bare = load(path)
    assert dict(bare.history.sizes) == {"step": 0, "evaluation": 0, "context": 4}
    assert bare.steps == trained.steps
    assert_same(replace(bare, history=trained.history), trained)


def test_pretrained_models_may_be_such_files(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(icl.pretrained, "FOLDER", tmp_path)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "README.md").write_text("# small: a model of one dimension\n")
    trained.export(tmp_path / "small" / "model.safetensors")
    assert_same(load_pretrained("small"), trained)


# --- read without icl ---


def test_others_find_parameters_by_name_and_the_configs_as_json(trained, exported):
    """With `safetensors` alone, as a PyTorch user would."""
    arrays, entry = load_file(exported), json.loads(metadata_of(exported)[ENTRY])
    records = {name for name in arrays if name.startswith("history.")}
    assert records == {
        "history.loss",
        "history.gradient_norm",
        "history.held_out_loss",
        "history.evaluated",
    }
    parameters = arrays_of(trained.model)
    assert arrays.keys() - records == parameters.keys()
    for name, array in parameters.items():
        np.testing.assert_array_equal(arrays[name], array)
    said = describe(trained.task, trained.model_config, trained.train_config)
    assert {name: entry[name] for name in said} == said
    assert entry["format"] == 1 and entry["steps"] == 300 and entry[DRAWN]
    assert metadata_of(exported).keys() == {ENTRY}


def test_pytorch_reads_it(trained, exported):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_tensors

    tensors = load_tensors(exported)
    kernel = tensors["body.0.attention.qkv.kernel"]
    assert kernel.dtype == torch.float32
    there = arrays_of(trained.model)["body.0.attention.qkv.kernel"]
    np.testing.assert_array_equal(kernel.numpy(), there)


# --- what is refused ---


def test_the_end_of_the_name_says_what_a_file_is(trained, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors.*got '.*model'"):
        trained.export(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_files_are_refused(exported, kept):
    exported.write_bytes(exported.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="is no complete safetensors file"):
        load(exported)


def test_changed_arrays_are_refused(exported):
    data = bytearray(exported.read_bytes())
    data[-2] ^= 1
    exported.write_bytes(data)
    with pytest.raises(CheckpointError, match="its arrays are not those that were"):
        load(exported)


def test_files_of_others_are_refused(exported):
    save_file({"wte.weight": np.zeros((2, 2))}, exported, {"format": "pt"})
    said = r"was not written by Trained.export.*read by icl.import_model"
    with pytest.raises(CheckpointError, match=said):
        load(exported)
    save_file({"wte.weight": np.zeros((2, 2))}, exported)
    with pytest.raises(CheckpointError, match=said):
        load(exported)


def test_arrays_of_another_model_are_refused(trained, exported):
    """With a checksum that is right: arrays decide, not the words about them."""
    wider = describe(trained.task, ModelConfig(layers=2, width=16), TrainConfig())
    with pytest.raises(CheckpointError, match=r"kernel has shape \(.*expected \("):
        load(changed(exported, model=wider["model"]))
    arrays = {"a": np.zeros(3, np.float32)}
    changed(exported, arrays, checksum=checksum(arrays))
    with pytest.raises(CheckpointError, match=r"is missing; .*is missing"):
        load(exported)


DEEP = '{"format": 1, "steps": 1, "task": ' + "[" * 100 + "]" * 100 + "}"


@pytest.mark.parametrize("text", ["no JSON", "[1]", "{}", '{"format": 1}', DEEP])
def test_words_that_say_nothing_are_refused(exported, text):
    save_file(load_file(exported), exported, {ENTRY: text})
    with pytest.raises(CheckpointError, match=r"is not what Trained.export writes"):
        load(exported)


@pytest.mark.parametrize("sketch", [{"a": ["x", 0.1]}, [0.1], {"a\n": [0.1, 0.2]}])
def test_a_sketch_of_batches_that_is_none_is_refused(exported, sketch):
    with pytest.raises(CheckpointError, match=r"is not what Trained.export writes"):
        load(changed(exported, drawn=sketch))


def test_a_file_that_is_mostly_a_hole_takes_no_memory(tmp_path):
    """A few bytes claim to be a tensor of a terabyte."""
    path, size = tmp_path / "model.safetensors", 2**40
    tensor = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    head = json.dumps({"a": tensor}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)
    os.truncate(path, 8 + len(head) + size)
    with pytest.raises(CheckpointError, match="it has holes, and would take"):
        load(path)
    with pytest.raises(ValueError, match="it has holes, and would take"):
        icl.import_model(path)


def test_other_formats_and_unknown_fields_are_refused(trained, exported):
    said = describe(trained.task, trained.model_config, trained.train_config)
    message = rf"^{re.escape(str(exported))}: .* cannot be read: .*'depth'"
    with pytest.raises(CheckpointError, match=message):
        load(changed(exported, model=said["model"] | {"depth": 3}))
    with pytest.raises(OtherFormatError, match=r"has format 2, this .* icl reads 1"):
        load(changed(exported, format=2))


def test_an_export_that_fails_leaves_the_old_file(trained, exported, monkeypatch):
    before = exported.read_bytes()

    def full(*_):
        raise OSError("no space is left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        trained.export(exported)
    assert exported.read_bytes() == before
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]


# --- models from elsewhere ---


def test_a_model_from_elsewhere_is_saved_with_a_task(task, model_config, tmp_path):
    model = build(task.codec, model_config, KEY)
    found = Trained.from_model(model, task)
    assert found.steps == 0 and found.history.sizes["step"] == 0
    save(tmp_path / "run", found)
    assert_same(load(tmp_path / "run"), found)
    assert_same(load(found.export(tmp_path / "model.safetensors")), found)


def test_the_task_must_fit_the_model(task, model_config, untyped):
    model = build(task.codec, model_config, KEY)
    said = "entries: 2 there, 9 asked for"
    with pytest.raises(ValueError, match=said):
        Trained.from_model(model, LinearRegression(dim=8, length=4))
    with pytest.raises(ValueError, match=r"task must derive from icl\.Task"):
        Trained.from_model(model, task.codec)


def test_a_model_is_made_from_arrays(task, model_config, trained):
    arrays = arrays_of(trained.model)
    model = model_from_arrays(task.codec, model_config, arrays)
    prompts = task.sample(KEY, batch=3)
    np.testing.assert_array_equal(
        model(prompts).predictions, trained.model(prompts).predictions
    )
    fewer = {name: array for name, array in arrays.items() if name != "head.bias"}
    with pytest.raises(ValueError, match=r"head.bias is missing"):
        model_from_arrays(task.codec, model_config, fewer)
    said = re.escape("read_in.kernel has shape (2, 8), expected (4, 8)")
    with pytest.raises(ValueError, match=said):
        model_from_arrays(Pairs(dim=3, length=4), model_config, arrays)
    with pytest.raises(ValueError, match=r"dtype must be one of .*; got 'float16'"):
        model_from_arrays(task.codec, model_config, arrays, "float16")
