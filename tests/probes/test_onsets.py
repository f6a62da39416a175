import warnings

import numpy as np
import pytest
import xarray as xr
from grid_cases import PROMPTS
from sklearn.linear_model import RidgeClassifier

from probes import onset, probe_grid


def layered(rng, layers=5, start=3, prompts=600):
    """The target can be read from layer `start` on."""
    hidden = rng.normal(size=(layers, prompts, 2, 8))
    target = rng.normal(size=(prompts, 2))
    hidden[start:, :, 1, :2] += 2 * target
    return hidden, {"t": target}


def test_onset_is_where_the_code_was_planted(rng):
    hidden, targets = layered(rng)
    grid = probe_grid(hidden, targets, keep_resamples=True, ceilings={"t": 1.0})
    for line in ("embedding", "ceiling"):
        found = onset(grid, line=line).sel(target="t")
        planted = found.sel(token=1)
        assert (planted.onset, planted.onset_low, planted.onset_high) == (3, 3, 3)
        assert planted.never == 0
        nowhere = found.sel(token=0)
        assert nowhere.onset == np.inf and nowhere.never == 1
    along = onset(grid.sel(layer=[4]), along="token", line="ceiling")
    assert along.onset.item() == 1


def test_onset_of_a_slow_rise_is_uncertain(rng):
    """Unexplained variance falls by 1 % a layer around one half: any may be first."""
    prompts, layers = 400, 21
    target = rng.normal(size=(prompts, 1))
    share = np.linspace(0.40, 0.60, layers)  # of variance explained
    noise = rng.normal(size=(layers, prompts, 1, 1))
    signal = np.sqrt(share)[:, None, None, None] * target[None, :, None]
    hidden = signal + np.sqrt(1 - share)[:, None, None, None] * noise
    hidden[0] = noise[0]
    found = onset(probe_grid(hidden, {"t": target}, keep_resamples=True))
    assert found.onset_low < found.onset_high
    assert found.onset_low <= found.onset <= found.onset_high


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_onset_of_a_plateau_at_the_line_is_covered(rng, seeds):
    """Unexplained variance is .505 in five layers, and .495 behind: many curves."""
    curves, resamples = 300, 200
    share = np.array([0.0, *[0.495] * 5, *[0.505] * 5])

    def noise(*shape):
        return 0.01 * rng.normal(size=(*shape, len(share), curves))

    of_seeds = noise(seeds) if seeds > 1 else noise(1) * 0
    r2 = share[:, None] + noise(1) + of_seeds
    drawn = r2[..., None] + np.moveaxis(noise(1, resamples), 1, -1)
    axes = ("seed", "layer", "target")
    grid = xr.Dataset({"r2": (axes, r2), "r2_resampled": ((*axes, "resample"), drawn)})
    found = onset(grid)
    covered = (found.onset_low <= 6) & (found.onset_high >= 6)
    assert float(covered.mean()) >= 0.95 - 2 * 0.0126
    resampled = found.onset_resampled.clip(max=len(share))  # some never cross
    low, high = resampled.quantile([0.025, 0.975], "resample")
    assert float(((low <= 6) & (high >= 6)).mean()) < 0.9  # what percentiles do


def test_onset_resamples_seeds(rng):
    grids = []
    for start in (1, 4):
        hidden, targets = layered(rng, start=start)
        grids.append(probe_grid(hidden, targets, keep_resamples=True))
    found = onset(xr.concat(grids, dim="seed")).sel(token=1, target="t")
    # Of two seeds nothing is sure: Student's t of one degree of freedom is wide.
    assert found.onset_low == 1 and found.onset_high >= 4
    one = onset(xr.concat(grids[:1], dim="seed")).sel(token=1, target="t")
    assert one.onset_low == one.onset_high == 1


def test_where_nothing_can_be_known_nothing_is_decoded(rng):
    """A ceiling of 0 is reached by chance; a token without R2 is none."""
    hidden = rng.normal(size=(1, 400, 4, 6))
    target = rng.normal(size=(400, 4, 2))
    target[:, 0], target[:, 3] = 0, hidden[0, :, 3, :2]
    with pytest.warns(UserWarning, match="t at 0"):
        grid = probe_grid(
            hidden, {"t": target}, keep_resamples=True, ceilings={"t": [0, 0, 0, 1]}
        )
    found = onset(grid, along="token", line="ceiling").squeeze()
    assert found.onset == found.onset_low == found.onset_high == 3


def test_a_line_that_is_not_known_is_not_crossed_never(rng):
    """The first token's R2 is NaN, as that of w_OLS at x1: a line of what?"""
    hidden = rng.normal(size=(1, 400, 3, 6))
    target = rng.normal(size=(400, 3, 2))
    target[:, 0], target[:, 2] = 0, hidden[0, :, 2, :2]
    with pytest.warns(UserWarning, match="t at 0"):
        grid = probe_grid(hidden, {"t": target}, keep_resamples=True)
    assert onset(grid, along="token").to_array().isnull().all()


def test_a_constant_target_has_no_onset(hidden):
    with pytest.warns(UserWarning, match="do not vary"):
        grid = probe_grid(hidden, {"c": np.ones((PROMPTS, 1))}, keep_resamples=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns of slices that are all NaN
        found = onset(grid)
    assert found.to_array().isnull().all()


def test_labels_have_an_onset_too(rng):
    hidden, targets = layered(rng)
    labels = {"t": targets["t"][:, 0] > 0}
    probe = RidgeClassifier()
    grid = probe_grid(hidden, labels, probe=probe, keep_resamples=True)
    for score in ("accuracy", "balanced_accuracy", "auroc"):
        found = onset(grid, score=score).sel(target="t")
        assert found.onset.sel(token=1) == found.onset_low.sel(token=1) == 3
        assert found.onset.sel(token=0) == np.inf
    with pytest.raises(ValueError, match="for labels give score='accuracy'"):
        onset(grid)


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("along", ["layer", "token"])
@pytest.mark.parametrize("line", ["embedding", "ceiling"])
def test_where_nothing_crosses_numpy_does_not_warn(rng, along, line, seeds):
    """Not even where nothing can be known, or nothing varies, at some token."""
    hidden = rng.normal(size=(3, 300, 3, 4))
    targets = {"t": rng.normal(size=(300, 3, 1)), "some": rng.normal(size=(300, 3, 1))}
    targets["some"][:, 1] = 0
    ceilings = {"t": [0.0, 0.0, 0.0], "some": [np.nan, 1.0, 0.0]}
    with pytest.warns(UserWarning, match="some at 1"):
        grids = [
            probe_grid(
                hidden, targets, keep_resamples=True, ceilings=ceilings, resamples=50
            )
            for _ in range(seeds)
        ]
    grid = grids[0] if seeds == 1 else xr.concat(grids, dim="seed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = onset(grid, along=along, line=line).sel(target="t")
    assert (found.onset == np.inf).all() and (found.never == 1).all()


def test_bad_questions_about_onset(hidden):
    grid = probe_grid(hidden, {"w": hidden[0, :, 0]}, keep_resamples=True)
    with pytest.raises(ValueError, match="keep_resamples=True"):
        onset(grid.drop_vars("r2_resampled"))
    with pytest.raises(ValueError, match="no ceilings"):
        onset(grid, line="ceiling")
    with pytest.raises(ValueError, match=r"share must lie between 0 and 1, got 1\.5"):
        onset(grid, share=1.5)
    with pytest.raises(ValueError, match="along must be 'layer', 'token' or"):
        onset(grid, along="target")
    with pytest.raises(ValueError, match="single test group"):
        onset(grid.isel(resample=slice(0)))
