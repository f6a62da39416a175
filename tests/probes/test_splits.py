import numpy as np
import pytest
import xarray as xr
from grid_cases import PROMPTS, noisy_readout
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.neighbors import KNeighborsRegressor

from probes import probe_grid


class Witness(RegressorMixin, BaseEstimator):
    """Remembers which groups (its first feature) it was trained on."""

    def fit(self, features, target):
        self.seen_ = set(features[:, 0])
        self.shape_ = target.shape[1:]
        return self

    def predict(self, features):
        assert self.seen_ and self.seen_.isdisjoint(features[:, 0])
        return np.zeros((len(features), *self.shape_))


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides_of_the_split(rng, seed):
    groups = rng.integers(0, 12, PROMPTS)
    hidden = np.tile(groups[None, :, None, None], (2, 1, 2, 1)).astype(float)
    target = {"t": rng.normal(size=(PROMPTS, 2))}
    grid = probe_grid(hidden, target, groups=groups, probe=Witness(), seed=seed)
    assert grid.attrs["n_groups"] == len(np.unique(groups))
    assert grid.attrs["n_train"] + grid.attrs["n_test"] == PROMPTS
    with pytest.raises(AssertionError):
        probe_grid(hidden, target, probe=Witness(), seed=seed)


def test_groups_stop_a_probe_that_recognises_prompts(rng):
    """Features that tell the group, and a target that has nothing to do with them."""
    groups = np.repeat(np.arange(60), 10)
    hidden = rng.normal(size=(60, 8))[groups][None, :, None]
    hidden = hidden + 0.01 * rng.normal(size=hidden.shape)
    targets = {"w": rng.normal(size=(60, 3))[groups]}
    probe = KNeighborsRegressor(1)
    rows = np.arange(len(groups))
    leaking = probe_grid(hidden, targets, probe=probe, groups=rows)
    sound = probe_grid(hidden, targets, probe=probe, groups=groups)
    assert leaking.r2.item() > 0.95
    assert sound.r2.item() < 0.1
    assert sound.control_r2.item() < 0.1


def test_the_order_of_prompts_does_not_matter_given_groups(hidden, rng):
    targets = {"t": noisy_readout(hidden, rng)}
    groups = rng.permutation(np.repeat([f"g{i}" for i in range(PROMPTS // 2)], 2))
    targets["w"] = np.searchsorted(np.unique(groups), groups)[:, None] % 7.0
    order = rng.permutation(PROMPTS)
    moved = {name: values[order] for name, values in targets.items()}
    before = probe_grid(hidden, targets, groups=groups).drop_vars("split")
    after = probe_grid(hidden[:, order], moved, groups=groups[order])
    after = after.drop_vars("split")
    # Sums in another order: estimates in float64, resampled ones in float32. The
    # control of `t`, whose values differ within a group, pairs the prompts of two
    # groups by their order.
    for name in ("r2", "mse", "cosine", "alpha"):
        xr.testing.assert_allclose(before[name], after[name], rtol=1e-7)
    for name in ("r2_low", "r2_high", "mse_low", "cosine_high"):
        xr.testing.assert_allclose(before[name], after[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        before.control_r2.sel(target="w"), after.control_r2.sel(target="w"), atol=1e-9
    )
