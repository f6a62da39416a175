import re
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from grid_cases import (
    PROMPTS,
    batches,
    noisy_readout,
)
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score

from probes import probe_grid


def test_jax_and_memory_mapped_arrays_are_as_good_as_numpy(hidden, rng, tmp_path):
    hidden = hidden.astype(np.float32)
    np.save(tmp_path / "hidden.npy", hidden)
    target = noisy_readout(hidden, rng).astype(np.float32)
    expected = probe_grid(hidden, {"t": target})
    mapped = np.load(tmp_path / "hidden.npy", mmap_mode="r")
    xr.testing.assert_identical(probe_grid(mapped, {"t": target}), expected)
    on_device = probe_grid(jnp.asarray(hidden), {"t": jnp.asarray(target)})
    xr.testing.assert_identical(on_device, expected)


@pytest.mark.parametrize("probe", [None, Ridge(3.0)], ids=["default", "ridge"])
@pytest.mark.parametrize("batch", [7, 100, 1_000])
def test_a_function_of_rows_is_as_good_as_an_array(hidden, rng, probe, batch):
    asked = []

    def function(rows):
        asked.extend(rows.tolist())
        return hidden[:, rows]

    targets = {"t": noisy_readout(hidden, rng)}
    streamed = probe_grid(function, targets, probe=probe, batch=batch)
    assert sorted(asked) == list(range(PROMPTS))  # each prompt once
    # An array could be looked at again, to leave prompts out.
    fraction = 0.2 if probe is None else None
    expected = probe_grid(hidden, targets, probe=probe, validation_fraction=fraction)
    # The provisional mean and the order of summation differ, in float64; intervals are
    # float32.
    ends = [name for name in expected if name.endswith(("low", "high"))]
    xr.testing.assert_allclose(
        streamed.drop_vars(ends), expected.drop_vars(ends), rtol=1e-8
    )
    xr.testing.assert_allclose(streamed[ends], expected[ends], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 33, 1_000])
def test_an_iterator_is_tested_on_its_last_prompts(hidden, rng, size):
    target = noisy_readout(hidden, rng)
    grid = probe_grid(batches(hidden, size), {"t": target}, probe=Ridge(3.0))
    cut, states = PROMPTS * 3 // 4, hidden[1, :, 2]
    guess = Ridge(3.0).fit(states[:cut], target[:cut]).predict(states[cut:])
    expected = r2_score(target[cut:], guess, multioutput="variance_weighted")
    found = grid.r2.sel(layer=1, token=2, target="t")
    np.testing.assert_allclose(found, expected, rtol=1e-9)  # both in float64


def test_an_iterator_may_choose_its_penalty_too(hidden, rng):
    target = noisy_readout(hidden, rng)
    grid = probe_grid(batches(hidden), {"t": target})
    assert grid.attrs["n_validation"] == 36 and grid.attrs["n_test"] == 60
    assert grid.r2.sel(layer=1, token=2, target="t") > 0.3


def test_groups_of_an_iterator_stay_whole(hidden, rng):
    targets = {"t": noisy_readout(hidden, rng)}
    groups = np.arange(PROMPTS) // 7
    grid = probe_grid(batches(hidden), targets, groups=groups)
    assert grid.attrs["n_train"] % 7 == 0 and abs(grid.attrs["n_test"] - 60) < 4
    with pytest.raises(ValueError, match="on both sides of the cut at prompt"):
        probe_grid(batches(hidden), targets, groups=np.arange(PROMPTS) % 7)


def test_memory_is_bounded_by_a_batch_and_the_sums(rng):
    """100 MB of hidden states come by; what is held at a time is far less."""
    prompts, features = 20_000, 40
    pool = rng.normal(size=(2, 256, 8, features)).astype(np.float32)
    targets = {"t": rng.normal(size=(prompts, 2))}
    tracemalloc.start()
    probe_grid(lambda rows: pool[:, : len(rows)].copy(), targets, batch=256,
               resamples=10)  # fmt: skip
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    batch = pool.nbytes
    sums = 2 * (2 * 8) * (features + 4 + 1) ** 2 * 8
    small = 4 * prompts * 2 * 8 + 10 * 5_000 * 4  # targets and weights, and copies
    assert peak < 2 * (batch + sums + small)
    assert peak < prompts * 2 * 8 * features * 4 / 10  # a tenth of what came by


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda h: iter([h[:, :100]]), "hidden ended after 100 prompts.* have 240"),
        (lambda h: iter([h[:, :100], h[:, 100:, :3]]),
         r"changed its shape.*\(3, 4, 6\), and are \(3, 3, 6\) after 100 prompts"),
        (lambda h: iter([h[:, :100], h]), "more prompts than the 240 of the targets"),
        (lambda h: iter([h, h]), "more prompts than the 240"),
        (lambda h: iter([h[0]]), r"hidden must have axes .* got shape \(240, 4, 6\)"),
        (lambda h: lambda rows: h[:, rows[:-1]], r"for 144 rows, got shape \(3, 143"),
        (lambda h: lambda rows: h[0, rows], "hidden must have axes"),
    ],
)  # fmt: skip
def test_a_broken_stream_says_where(hidden, make, message):
    with pytest.raises(ValueError, match=message):
        probe_grid(make(hidden), {"w": hidden[0, :, 0]}, batch=500)


def test_a_file_that_ends_early_says_after_how_many_prompts(hidden, tmp_path):
    np.save(tmp_path / "a.npy", hidden[:, :120])
    np.save(tmp_path / "b.npy", hidden[:, 120:])
    whole = (tmp_path / "b.npy").read_bytes()
    (tmp_path / "b.npy").write_bytes(whole[: len(whole) // 2])
    files = (np.load(tmp_path / name) for name in ("a.npy", "b.npy"))
    with pytest.raises(ValueError, match="failed after 120 of 240 prompts"):
        probe_grid(files, {"w": hidden[0, :, 0]})


def test_nan_in_a_stream_is_found_where_it_is(hidden):
    spoilt = hidden.copy()
    spoilt[2, 230, 3, 1] = np.inf
    with pytest.raises(ValueError, match="layer 2, prompt 230, token 3"):
        probe_grid(batches(spoilt), {"w": hidden[0, :, 0]})


@pytest.mark.parametrize("probe", [LinearRegression(), Ridge(alpha=0)])
def test_only_ridge_can_be_streamed(hidden, probe):
    said = re.escape(f"{probe!r} needs all training prompts") + ".*one alpha above 0"
    with pytest.raises(ValueError, match=said):
        probe_grid(batches(hidden), {"w": hidden[0, :, 0]}, probe=probe)
