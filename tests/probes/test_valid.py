"""Prompts that lack some tokens: each cell is what its own prompts alone would give."""

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import Lasso, LogisticRegression, Ridge, RidgeClassifier

from probes import PooledProbe, probe_grid

LAYERS, PROMPTS, TOKENS, FEATURES = 2, 160, 4, 5
relies = pytest.mark.filterwarnings("ignore:.*relies on its penalty")


@pytest.fixture
def padded(rng):
    """States, a target by token and lengths; beyond a prompt's end stands NaN."""
    lengths = rng.integers(2, TOKENS + 1, size=PROMPTS)
    valid = np.arange(TOKENS) < lengths[:, None]
    states = rng.normal(size=(LAYERS, PROMPTS, TOKENS, FEATURES))
    target = states[1, :, :, :2] + 0.5 * rng.normal(size=(PROMPTS, TOKENS, 2))
    states[:, ~valid] = np.nan
    target[~valid] = np.nan
    return states, target, valid


def alone(states, target, valid, token, **settings):
    """The grid of one token, of the prompts that have it, on the same split.

    The others are there, as copies of prompts that have it, with no weight: that cannot
    be said, so that the split is found by what the whole grid tested.
    """
    from probes.grid.splits import split

    parts = split(
        np.arange(PROMPTS),
        test_fraction=0.25,
        validation_fraction=0.0,
        resamples=1_000,
        seed=0,
    )
    train = parts.train[valid[parts.train, token]]
    test = parts.test[valid[parts.test, token]]
    return states[:, train, token], target[train], states[:, test, token], target[test]


@pytest.mark.parametrize(
    "probe", [Ridge(2.0), Lasso(0.01)], ids=["moments", "any regressor"]
)
def test_a_token_is_fitted_and_scored_on_the_prompts_that_have_it(padded, probe):
    states, target, valid = padded
    grid = probe_grid(states, {"t": target}, probe=probe, valid=valid, batch=32)
    for token in range(TOKENS):
        x, y, unseen, truth = alone(states, target[:, token], valid, token)
        for layer in range(LAYERS):
            guess = probe.fit(x[layer], y).predict(unseen[layer])
            error = np.square(guess - truth)
            cell = grid.sel(layer=layer, token=token, target="t")
            # The same equations in float64.
            np.testing.assert_allclose(cell.mse, error.mean(), rtol=1e-8)
            spread = np.square(truth - truth.mean(axis=0)).sum()
            np.testing.assert_allclose(cell.r2, 1 - error.sum() / spread, rtol=1e-8)
            assert cell.r2_low < cell.r2 < cell.r2_high
    assert (grid.r2.sel(layer=1) > 0.5).all() and (grid.control_r2 < 0.2).all()


@relies
@pytest.mark.parametrize("features", [5, 200])
def test_penalties_are_chosen_on_the_prompts_that_have_the_token(rng, features):
    """Where every prompt has a token, the others do not matter."""
    states = rng.normal(size=(1, 60, 2, features))
    target = states[0, :, :, :2] + rng.normal(size=(60, 2, 2))
    valid = np.ones((60, 2), bool)
    valid[::3, 1] = False
    whole = probe_grid(states[:, :, :1], {"t": target[:, :1]})
    both = probe_grid(states, {"t": target}, valid=valid)
    np.testing.assert_array_equal(both.alpha[:, 0], whole.alpha[:, 0])
    np.testing.assert_allclose(both.r2[:, 0], whole.r2[:, 0], rtol=1e-9)
    assert np.isfinite(both.r2).all()


def test_masked_arrays_and_streams_say_the_same(padded):
    states, target, valid = padded
    targets = {"t": target}
    expected = probe_grid(states, targets, valid=valid, probe=Ridge(2.0))
    mask = np.broadcast_to(~valid[None, :, :, None], states.shape)
    masked = np.ma.masked_array(states, mask)
    found = probe_grid(masked, targets, probe=Ridge(2.0))
    xr.testing.assert_identical(found, expected)
    streamed = probe_grid(
        lambda rows: states[:, rows], targets, valid=valid, probe=Ridge(2.0)
    )
    np.testing.assert_allclose(streamed.r2, expected.r2, rtol=1e-8)
    everyone = np.ones_like(valid)
    filled = np.nan_to_num(states), {"t": np.nan_to_num(target)}
    xr.testing.assert_identical(
        probe_grid(*filled, valid=everyone), probe_grid(*filled)
    )


@pytest.mark.parametrize("probe", [RidgeClassifier(2.0), LogisticRegression()])
def test_labels_are_scored_on_the_prompts_that_have_the_token(padded, probe):
    states, target, valid = padded
    labels = np.nan_to_num(target[..., 0]) > 0
    grid = probe_grid(
        states, {"t": labels}, probe=probe, valid=valid, groups=np.arange(PROMPTS)
    )
    for token in range(TOKENS):
        x, y, unseen, truth = alone(states, labels[:, token], valid, token)
        for layer in range(LAYERS):
            right = probe.fit(x[layer], y).predict(unseen[layer]) == truth
            cell = grid.accuracy.sel(layer=layer, token=token, target="t")
            np.testing.assert_allclose(cell, right.mean(), rtol=1e-12)
        common = np.mean(truth == (y.mean() > 0.5))
        np.testing.assert_allclose(grid.majority[0, token, 0], common, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"valid": np.ones((PROMPTS, TOKENS))}, "valid must be booleans of shape"),
        ({"valid": np.ones((TOKENS, PROMPTS), bool)}, "shape \\(prompts, tokens\\)"),
        ({"valid": np.eye(PROMPTS, TOKENS, dtype=bool)}, "leave it out"),
        ({"probe": PooledProbe(reads="token")}, "a PooledProbe reads several tokens"),
    ],
)
def test_masks_that_cannot_be_used(padded, change, said):
    states, target, valid = padded
    with pytest.raises(ValueError, match=said):
        probe_grid(
            np.nan_to_num(states),
            {"t": np.nan_to_num(target)},
            **{"valid": valid} | change,
        )


def test_masks_of_parts_of_a_token_are_refused(padded):
    states, _, valid = padded
    mask = np.zeros(states.shape, bool)
    mask[0, 0, 0, 0] = True
    masked = np.ma.masked_array(np.nan_to_num(states), mask)
    with pytest.raises(ValueError, match="must mask whole tokens"):
        probe_grid(masked, {"t": np.zeros((PROMPTS, 1))})
    with pytest.raises(ValueError, match="not both"):
        probe_grid(masked, {"t": np.zeros((PROMPTS, 1))}, valid=valid)
