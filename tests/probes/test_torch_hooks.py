"""What hooks keep track of, without PyTorch: NumPy arrays stand for streams."""

from collections import namedtuple
from importlib.util import find_spec

import numpy as np
import pytest

import probes
from probes.torch.hooks import (
    Visits,
    batches,
    prompt_count,
    rows_of,
    stream_argument,
    stream_output,
    with_argument,
    with_output,
)
from probes.torch.store import Collected

STREAM = np.ones((2, 3, 4))


def is_stream(value):
    return isinstance(value, np.ndarray) and value.ndim == 3


def test_every_block_runs_once_and_in_order():
    visits = Visits(["a", "b"])
    visits.enter(0)
    visits.enter(1)
    visits.finish()


def test_a_block_that_runs_twice_is_refused():
    visits = Visits(["a", "b"])
    visits.enter(0)
    with pytest.raises(ValueError, match="block 'a' ran twice in one call"):
        visits.enter(0)


def test_a_block_that_runs_too_early_is_refused():
    with pytest.raises(ValueError, match="block 'b' ran before 'a'"):
        Visits(["a", "b"]).enter(1)


def test_a_block_that_does_not_run_is_refused():
    visits = Visits(["a", "b"])
    visits.enter(0)
    with pytest.raises(ValueError, match=r"block 'b' did not run .*\(1 of 2 did\)"):
        visits.finish()


@pytest.mark.parametrize(
    ("args", "kwargs", "found"),
    [
        ((STREAM, "mask"), {}, 0),
        ((STREAM,), {"hidden_states": STREAM}, 0),
        ((), {"x": STREAM, "mask": None}, "x"),
        (("mask",), {"x": STREAM}, "x"),
        ((), {"memory": STREAM, "hidden_states": STREAM}, "hidden_states"),
    ],
)
def test_the_stream_is_found_among_arguments(args, kwargs, found):
    assert stream_argument(args, kwargs, is_stream) == found
    new_args, new_kwargs = with_argument(args, kwargs, found, "new")
    changed = new_kwargs if isinstance(found, str) else new_args
    assert changed[found] == "new"
    assert len(new_args) == len(args) and list(new_kwargs) == list(kwargs)
    others = [*new_args, *new_kwargs.values()]
    assert sum(isinstance(each, str) and each == "new" for each in others) == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ((), {}, "the first of which is absent, and by name none"),
        ((np.ones((2, 3)),), {}, r"ndarray of shape \(2, 3\)"),
        ((), {"a": STREAM, "b": STREAM}, r"by name \['a', 'b'\]"),
    ],
)
def test_a_stream_that_cannot_be_told_is_refused(args, kwargs, sentence):
    with pytest.raises(ValueError, match=sentence):
        stream_argument(args, kwargs, is_stream)


def test_the_stream_is_found_among_outputs_and_replaced():
    pair = namedtuple("Pair", ("stream", "weights"))
    assert with_output(STREAM, "new") == "new"
    for output in ((STREAM, 1), [STREAM, 1], pair(STREAM, 1), (STREAM,)):
        assert stream_output(output, is_stream) is STREAM
        changed = with_output(output, "new")
        assert type(changed) is type(output)
        assert list(changed) == ["new", *output[1:]]


def test_what_is_no_stream_is_refused():
    with pytest.raises(ValueError, match="got dict"):
        stream_output({"x": STREAM}, is_stream)
    with pytest.raises(ValueError, match="got tuple that begins with int"):
        stream_output((1, STREAM), is_stream)


def test_prompts_are_cut_into_batches():
    inputs = {"x": np.arange(5), "mask": np.arange(5), "use_cache": False}

    def has_prompts(value):
        return isinstance(value, np.ndarray)

    assert prompt_count(inputs, has_prompts) == 5
    parts = [rows_of(inputs, rows, has_prompts) for rows in batches(5, 2)]
    assert [part["x"].tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert all((part["mask"] == part["x"]).all() for part in parts)
    assert all(part["use_cache"] is False for part in parts)
    with pytest.raises(ValueError, match=r"the numbers \{'x': 5, 'y': 4\}"):
        prompt_count({"x": np.arange(5), "y": np.arange(4)}, has_prompts)
    with pytest.raises(ValueError, match=r"the numbers \{\}"):
        prompt_count({"x": "text"}, has_prompts)
    with pytest.raises(ValueError, match="batch must be an integer"):
        list(batches(5, 0))


@pytest.mark.parametrize("in_file", [False, True])
def test_states_are_collected(tmp_path, rng, in_file):
    hidden = rng.normal(size=(3, 5, 2, 4)).astype(np.float32)
    file = tmp_path / "states.npy" if in_file else None
    collected = Collected(5, file)
    for rows in batches(5, 2):
        collected.add(rows, list(hidden[:, rows]))
        assert file is None or not file.exists()
    found = collected.finish()
    collected.discard()
    np.testing.assert_array_equal(found, hidden)
    if in_file:
        assert isinstance(found, np.memmap) and not found.flags.writeable
        assert [each.name for each in tmp_path.iterdir()] == ["states.npy"]


def test_a_file_that_is_not_completed_leaves_nothing(tmp_path, rng):
    file = tmp_path / "states.npy"
    np.save(file, np.arange(3))
    collected = Collected(4, file)
    collected.add(slice(0, 2), [np.zeros((2, 3, 4), np.float32)] * 2)
    wrong = np.zeros((2, 3, 5), np.float32)
    with pytest.raises(ValueError, match=r"layer 1 has states of shape \(2, 3, 5\)"):
        collected.add(slice(2, 4), [np.zeros((2, 3, 4), np.float32), wrong])
    collected.discard()
    assert [each.name for each in tmp_path.iterdir()] == ["states.npy"]
    assert np.load(file).tolist() == [0, 1, 2]


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"file must end in '\.npy'"):
        Collected(1, tmp_path / "states.pt")


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed")
def test_without_pytorch_a_sentence_says_how_to_get_it():
    with pytest.raises(ImportError, match=r"pip install 'icl-probes\[torch\]'"):
        probes.torch.states(None, np.zeros((2, 3)), blocks="blocks")
