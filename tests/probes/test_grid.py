import numpy as np
import pandas as pd
import pytest
import xarray as xr
from grid_cases import LAYERS, TOKENS, noisy_readout
from sklearn.linear_model import Ridge

from probes import probe_grid


def test_a_linear_code_is_found_where_it_is_planted_and_nowhere_else(rng):
    hidden = rng.normal(size=(LAYERS, 2_000, TOKENS, 12))
    target = rng.normal(size=(2_000, 3))
    hidden[2, :, 1] += 5 * target @ np.linalg.qr(rng.normal(size=(12, 3)))[0].T
    grid = probe_grid(hidden, {"w": target})
    here = (grid.layer == 2) & (grid.token == 1)
    # Signal 5, noise 1 in each of three directions: the best linear R2 is 25 / 26.
    np.testing.assert_allclose(grid.r2.where(here).max(), 25 / 26, atol=0.01)
    # Elsewhere 12 useless features cost about 12 / 1500; ridge takes most of it back.
    assert abs(grid.r2.where(~here)).max() < 0.02


def test_control_is_at_chance_where_the_target_is_read(rng):
    hidden = rng.normal(size=(1, 2_000, 1, 12))
    grid = probe_grid(hidden, {"w": hidden[0, :, 0, :4]})
    assert grid.r2.item() > 0.999
    assert abs(grid.control_r2.item()) < 0.02  # 12 useless features of 1500 prompts


def test_the_seed_decides_everything(hidden, rng):
    targets = {"t": noisy_readout(hidden, rng)}
    first, again, other = (probe_grid(hidden, targets, seed=s) for s in (7, 7, 8))
    xr.testing.assert_identical(first, again)
    assert (first.r2 != other.r2).all() and (first.control_r2 != other.control_r2).all()


def test_the_result_survives_netcdf(hidden, rng, tmp_path):
    grid = probe_grid(hidden, {"t": noisy_readout(hidden, rng)}, contexts=[0, 1, 1, 2])
    grid.to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "grid.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_equal(loaded, grid)
        assert loaded.attrs == grid.attrs


def test_without_a_control_there_is_none(hidden, rng):
    targets = {"t": noisy_readout(hidden, rng)}
    both = probe_grid(hidden, targets, probe=Ridge(1.0))
    alone = probe_grid(hidden, targets, probe=Ridge(1.0), control=False)
    assert not [name for name in alone if "control" in name]
    xr.testing.assert_allclose(alone, both[list(alone)], rtol=1e-9)  # float64


@pytest.mark.parametrize(
    "make", [np.ndarray.tolist, pd.DataFrame, xr.DataArray], ids=["list", "frame", "xr"]
)
def test_targets_may_be_anything_that_numpy_reads(hidden, rng, make):
    target = noisy_readout(hidden, rng)
    # The same numbers in another container.
    xr.testing.assert_identical(
        probe_grid(hidden, {"t": make(target)}), probe_grid(hidden, {"t": target})
    )
