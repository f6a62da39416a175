import warnings

import numpy as np
import pytest
from grid_cases import PROMPTS, first_split, noisy_readout
from sklearn.linear_model import LinearRegression, Ridge

from probes import probe_grid


def test_scores_are_those_of_their_definitions(hidden, rng):
    target = noisy_readout(hidden, rng)
    grid = probe_grid(hidden, {"a": target[:, :1], "t": target}, probe=Ridge(1.0))
    train, test = first_split(PROMPTS)
    states = hidden[1, :, 2]
    guess = Ridge(1.0).fit(states[train], target[train]).predict(states[test])
    truth, cell = target[test], grid.sel(layer=1, token=2, target="t")
    dots = (guess * truth).sum(1)
    lengths = np.linalg.norm(guess, axis=1) * np.linalg.norm(truth, axis=1)
    # Float64 throughout.
    np.testing.assert_allclose(cell.mse, np.square(guess - truth).mean(), rtol=1e-9)
    np.testing.assert_allclose(cell.cosine, (dots / lengths).mean(), rtol=1e-9)
    for name in ("r2", "mse", "cosine", "control_r2"):
        assert (grid[f"{name}_low"] <= grid[name]).all(), name
        assert (grid[name] <= grid[f"{name}_high"]).all(), name


def test_coordinates_are_padded_with_nan(hidden, rng):
    targets = {
        "one": rng.normal(size=(PROMPTS, 1)),
        "two": rng.normal(size=(PROMPTS, 2)),
    }
    scores = probe_grid(hidden, targets).r2_per_coordinate
    missing = scores.isnull().all(("layer", "token"))
    assert missing.values.tolist() == [[False, True], [False, False]]
    one = probe_grid(hidden, targets).sel(target="one")
    np.testing.assert_allclose(one.r2, one.r2_per_coordinate[..., 0], rtol=1e-12)


def test_a_constant_target_has_no_score_and_is_named(hidden, rng):
    target = rng.normal(size=(PROMPTS, 3, 2))
    target[:, 0] = 0.1  # its mean is not exactly 0.1
    target[:, 2, 1] = 0
    with pytest.warns(UserWarning, match=r"w_ols at x1\.$") as caught:
        grid = probe_grid(
            hidden,
            {"w": hidden[0, :, 0, :2], "w_ols": target},
            contexts=[0, 1, 1, 2],
            tokens=["x1", "y1", "x2", "y2"],
        )
    assert len(caught) == 1
    undefined = grid[["r2", "r2_low", "r2_high", "control_r2"]].to_array().isnull()
    expected = (grid.target == "w_ols") & (grid.token == "x1")
    assert (undefined == expected).all()
    last = grid.r2_per_coordinate.sel(token="y2", target="w_ols")
    assert last[:, 0].notnull().all() and last[:, 1].isnull().all()


@pytest.mark.parametrize("value", [0.1, 1e6 / 3, -7e-9])
@pytest.mark.parametrize("probe", [None, LinearRegression()])
def test_many_copies_of_a_constant_are_one(rng, value, probe):
    """The mean of 10,000 equal numbers is not exactly that number."""
    hidden = rng.normal(size=(1, 40_000, 1, 2))
    with pytest.warns(UserWarning, match="do not vary"):
        grid = probe_grid(hidden, {"c": np.full((40_000, 1), value)}, probe=probe)
    assert grid[["r2", "r2_low", "control_r2"]].to_array().isnull().all()


def test_varying_targets_do_not_warn(hidden, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe_grid(hidden, {"t": noisy_readout(hidden, rng)})


def test_intervals_cover_the_true_score(rng):
    """200 independent cells, each with a true R2 of one half."""
    signal = rng.normal(size=(1, 2_000, 200, 1))
    target = signal[0] + rng.normal(size=(2_000, 200, 1))
    grid = probe_grid(signal, {"t": target}, probe=LinearRegression())
    assert ((grid.r2_low < grid.r2) & (grid.r2 < grid.r2_high)).all()
    covered = ((grid.r2_low < 0.5) & (0.5 < grid.r2_high)).mean()
    # 95 % intended; the standard error of a share of 200 is 1.5 %, four of them below.
    # At 99.5 % the intervals would be too wide to be 95 % ones.
    assert 0.89 < covered < 0.995
    width = (grid.r2_high - grid.r2_low).mean().item()
    # Delta method: sd(R2) = sqrt((1 - R2)^2 (4 R2) / n) = sqrt(0.5 / 500); 3.92 sd.
    np.testing.assert_allclose(width, 3.92 * np.sqrt(0.5 / 500), rtol=0.05)


def test_groups_widen_the_interval(rng):
    """Ten copies of a prompt hold no more than the prompt."""
    signal = np.repeat(rng.normal(size=(1, 400, 1, 1)), 10, axis=1)
    target = signal[0, :, 0] + np.repeat(rng.normal(size=(400, 1)), 10, axis=0)
    groups = np.repeat(np.arange(400), 10)
    honest = probe_grid(signal, {"t": target}, groups=groups)
    naive = probe_grid(signal, {"t": target}, groups=np.arange(4_000))
    ratio = (honest.r2_high - honest.r2_low) / (naive.r2_high - naive.r2_low)
    np.testing.assert_allclose(ratio, np.sqrt(10), rtol=0.3)  # 100 test groups: +-15 %


@pytest.mark.parametrize("test_groups", [1, 2])
def test_too_few_test_groups_have_no_interval(hidden, rng, test_groups):
    groups = np.arange(PROMPTS) % (4 * test_groups)
    shared = rng.normal(size=(4 * test_groups, 20))[groups]
    targets = {f"w{i}": shared[:, [i]] for i in range(20)}
    grid = probe_grid(hidden, {"t": noisy_readout(hidden, rng)}, groups=groups)
    assert grid.r2.notnull().all()
    assert grid.r2_low.isnull().all() == (test_groups == 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one group alone: the target is constant there
        grid = probe_grid(hidden, targets, groups=groups)
    # Half of the resamples of two groups hold one value of w: its R2 would be rounding
    # divided by rounding.
    assert grid.r2_low.isnull().all() and grid.r2_high.isnull().all()
