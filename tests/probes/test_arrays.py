"""Arrays of other libraries are right, or meet a sentence with the fix."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from probes import (
    cosine,
    evidence_codelength,
    fit_eraser,
    movement,
    online_codelength,
    probe_grid,
    random_change,
    swap,
    write,
)
from probes.arrays import real
from probes.checks import integer


class Tensor:
    """As much of a PyTorch tensor as matters here, for where PyTorch is missing."""

    def __init__(self, values, dtype="torch.float32", grad=True):
        self.values, self.dtype, self.grad = np.asarray(values), dtype, grad
        self.shape, self.ndim = self.values.shape, self.values.ndim

    def __array__(self, dtype=None, copy=None):
        if self.grad or self.dtype == "torch.bfloat16":
            raise RuntimeError("Can't call numpy() on it.\nUse tensor.detach().numpy()")
        return self.values

    def detach(self):
        return Tensor(self.values, self.dtype, grad=False)

    def cpu(self):
        return self

    def float(self):
        return Tensor(self.values.astype(np.float32), grad=self.grad)

    def new_tensor(self, values):
        return Tensor(values, self.dtype, grad=False)


def torch_like(values, dtype="float32"):
    return Tensor(np.asarray(values, np.float32), f"torch.{dtype}")


def torch_itself(values, dtype="float32"):
    torch = pytest.importorskip("torch")
    made = torch.tensor(np.asarray(values, np.float32), dtype=getattr(torch, dtype))
    return made.requires_grad_()


TORCH = pytest.mark.parametrize("tensor", [torch_like, torch_itself])


@TORCH
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tensors_are_as_good_as_arrays(untyped, rng, tensor, dtype):
    states = rng.normal(size=(40, 3)).astype(ml_dtypes.bfloat16).astype(np.float32)
    given = tensor(states, dtype)
    assert np.array_equal(real("states", given), states)
    assert np.array_equal(real("states", (given, given)), [states, states])
    target = rng.normal(size=(40, 2))
    layers = tuple(tensor(states[:, None], dtype) for _ in range(2))
    found = probe_grid(layers, {"w": target}, groups=tensor(np.arange(40)))
    wanted = probe_grid(np.stack([states[:, None]] * 2), {"w": target})
    xr.testing.assert_equal(found.drop_vars("split"), wanted.drop_vars("split"))


@TORCH
def test_edits_of_tensors_are_tensors(untyped, rng, tensor):
    states, target = rng.normal(size=(40, 3)).astype("f4"), rng.normal(size=(40, 1))
    eraser = fit_eraser(tensor(states), target)
    given = tensor(states)
    edits = {
        "erased": (eraser(given), eraser(states)),
        "written": (
            write(given, np.eye(1, 3), [0.0], tensor(np.ones((40, 1)))),
            write(states, np.eye(1, 3), [0.0], np.ones((40, 1))),
        ),
        "at random": (random_change(given, seed=0), random_change(states, seed=0)),
    }
    for name, (found, wanted) in edits.items():
        assert type(found) is type(given), name
        assert np.array_equal(real(name, found), wanted), name
    swapped = swap(tensor(states[:, None]), np.arange(40)[::-1])
    assert np.array_equal(real("swapped", swapped)[:, 0], states[::-1])


def test_tables_of_pandas_are_numbers_if_all_of_them_are(rng):
    values = rng.normal(size=(30, 2))
    table = pd.DataFrame(values).convert_dtypes()
    assert np.array_equal(real("table", table), values)
    assert np.array_equal(real("column", table[0]), values[:, 0])
    counts = pd.DataFrame({"a": [1, 2], "b": [True, False]}).convert_dtypes()
    assert real("counts", counts).tolist() == [[1.0, 1.0], [2.0, 0.0]]
    table.loc[3, 0] = pd.NA
    with pytest.raises(ValueError, match="truth must be finite, but 1 of its 60"):
        cosine(table, values)
    for wrong in (table.astype(str), pd.DataFrame({"a": [1, 2], "b": ["1", "2"]})):
        with pytest.raises(ValueError, match="truth must hold real numbers"):
            cosine(wrong, wrong)


def test_a_mask_that_hides_nothing_is_no_mask(rng):
    values = rng.normal(size=(20, 2))
    masked = np.ma.masked_array(values, False)
    assert np.array_equal(cosine(masked, values), cosine(values, values))
    masked[3, 1] = np.ma.masked
    with pytest.raises(ValueError, match="masked array with 1 masked entries; leave"):
        cosine(masked, values)


@pytest.mark.parametrize(
    "call",
    [
        lambda bad, good: probe_grid(bad[None, :, None], {"w": good}),
        lambda bad, good: probe_grid(good[None, :, None], {"w": bad}),
        lambda bad, good: probe_grid(iter([bad[None, :, None]]), {"w": good}),
        lambda bad, good: probe_grid(lambda r: bad[None, r, None], {"w": good}),
        lambda bad, good: cosine(good, bad),
        lambda bad, good: movement(good, good, bad),
        lambda bad, good: fit_eraser(bad, good),
        lambda bad, good: online_codelength(good, bad),
        lambda bad, good: evidence_codelength(bad, good),
        lambda bad, good: write(good, np.eye(2), [0.0, 0.0], bad),
        lambda bad, good: random_change(bad, seed=0),
    ],
)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda array: np.ma.masked_array(array, array > 0),
        lambda array: array + 0j,
        lambda array: array.astype(str),
        lambda array: array.astype("datetime64[s]"),
        lambda array: array.astype("timedelta64[s]"),
        lambda array: array.astype(object),
    ],
    ids=["masked", "complex", "text", "dates", "times", "objects"],
)
def test_what_holds_no_real_numbers_is_refused(untyped, rng, call, spoil):
    good = rng.normal(size=(40, 2))
    said = r"must hold (real|floating-point) numbers|labels need a|mask whole tokens"
    with pytest.raises(ValueError, match=said):
        call(spoil(good), good)


def test_saved_bfloat16_is_named_with_the_way_back(rng, tmp_path):
    states = rng.normal(size=(1, 60, 1, 4)).astype(ml_dtypes.bfloat16)
    target = {"w": rng.normal(size=(60, 1))}
    np.save(tmp_path / "states.npy", states)
    loaded = np.load(tmp_path / "states.npy", mmap_mode="r")
    with pytest.raises(ValueError, match=r"values.view\(ml_dtypes.bfloat16\) is that"):
        probe_grid(loaded, target)
    again = probe_grid(loaded.view(ml_dtypes.bfloat16), target)
    xr.testing.assert_equal(again, probe_grid(states.astype(float), target))
    xr.testing.assert_equal(again, probe_grid(jnp.asarray(states), target))


def test_a_list_of_batches_is_told_from_an_iterator(rng):
    hidden = rng.normal(size=(1, 60, 1, 4))
    batches = [hidden[:, :32], hidden[:, 32:52], hidden[:, 52:]]
    with pytest.raises(ValueError, match=r"different shapes.* iter\(batches\)"):
        probe_grid(batches, {"w": rng.normal(size=(60, 1))})


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([*(f"text {i // 3}" for i in range(59)), None], "got None for prompt 59"),
        ([*(f"text {i // 3}" for i in range(59)), np.nan], "got nan for prompt 59"),
        (pd.Series([pd.NA, *range(59)], dtype="Int64"), "groups must be finite"),
        (
            np.array([*range(59), "a"], dtype=object),
            "labels of one kind, got numbers and text",
        ),
        (np.ma.masked_array(np.arange(60), np.arange(60) > 50), "some are masked"),
        (np.arange(60) + 1j, "must hold labels that can be sorted"),
        ((np.arange(60) + 1j).tolist(), "must hold labels that can be sorted"),
        ([object() for _ in range(60)], "must hold labels that can be sorted"),
        (np.zeros(60, "V2"), "groups must hold real numbers"),
    ],
)
def test_labels_that_are_missing_are_named(untyped, rng, groups, said):
    hidden, w = rng.normal(size=(1, 60, 1, 4)), rng.normal(size=(60, 1))
    with pytest.raises(ValueError, match=said):
        probe_grid(hidden, {"w": w}, groups=groups)


def test_labels_of_pandas_meet_the_sentence_too(rng):
    hidden, w = rng.normal(size=(1, 60, 1, 4)), rng.normal(size=(60, 1))
    labels = pd.Series(rng.permutation([f"text {i // 3}" for i in range(60)]))
    with pytest.raises(
        ValueError, match=r"group 'text .*' is on both sides of the cut"
    ):
        probe_grid(iter([hidden]), {"w": w}, groups=labels)


def test_records_are_no_numbers():
    with pytest.raises(ValueError, match="w must hold real numbers"):
        real("w", np.rec.array([(1.0, 2.0)] * 3))


def test_a_tensor_of_a_boolean_is_no_integer(untyped):
    """PyTorch's counts as the integer 1 to Python."""

    class TrueTensor:
        dtype = "torch.bool"

        def __index__(self):
            return 1

    with pytest.raises(ValueError, match="resamples must be an integer"):
        integer("resamples", TrueTensor(), 0)
    for value in (True, np.True_, jnp.array(True)):
        with pytest.raises(ValueError, match="resamples must be an integer"):
            integer("resamples", value, 0)
    assert integer("resamples", jnp.array(3), 0) == 3


def test_edits_that_a_dtype_of_torch_does_not_hold_are_refused(untyped):
    """Of bfloat16 and float8, NumPy sees a stand-in in float32, which holds more."""
    torch = pytest.importorskip("torch")
    edit = np.eye(1, 2), [0.0]
    for dtype, most in ((torch.bfloat16, 3.38e38), (torch.float8_e4m3fn, 448.0)):
        states = torch.ones((3, 2), dtype=dtype)
        written = write(states, *edit, np.full((1, 1), most))
        assert written.dtype == dtype and torch.isfinite(written.float()).all()
        with pytest.raises(ValueError, match=f"hidden does not fit into {dtype}"):
            write(states, *edit, np.full((1, 1), most * 1.005))


def test_labels_may_be_floats_of_jax(rng):
    hidden, w = rng.normal(size=(1, 60, 1, 4)), rng.normal(size=(60, 1))
    groups = np.arange(60) // 2
    found = probe_grid(hidden, {"w": w}, groups=groups.astype(ml_dtypes.bfloat16))
    xr.testing.assert_equal(found, probe_grid(hidden, {"w": w}, groups=groups))
