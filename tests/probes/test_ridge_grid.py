import numpy as np
import pytest
import xarray as xr
from grid_cases import FEATURES, PROMPTS, first_split, noisy_readout
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import probe_grid


def conditioned(rng, kind):
    """Hidden states of one cell, as hard for normal equations as `kind` says."""
    prompts, features = {"wide": (40, 90), "long": (3_000, 8)}.get(kind, (400, 12))
    states = rng.normal(size=(prompts, features))
    if kind == "far from 0":
        states += 1_000 * rng.normal(size=features)
    if kind == "collinear":
        states[:, 6:] = states[:, :6] + 1e-3 * states[:, 6:]
    if kind == "copies":
        states[:, 6:] = states[:, :6]
    if kind == "scales":
        states *= 10.0 ** np.linspace(-4, 4, features)
    if kind == "a constant":
        states[:, 3] = 0.1
    return states.astype(np.float32)


KINDS = ["plain", "wide", "long", "far from 0", "collinear", "copies", "scales"]


@pytest.mark.filterwarnings("ignore:.*relies on its penalty")
@pytest.mark.parametrize("scaled", [True, False], ids=["standardised", "as it is"])
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("kind", [*KINDS, "a constant"])
def test_ridge_equals_scikit_learn_in_float64(rng, kind, alpha, scaled):
    states = conditioned(rng, kind)
    spread = states / np.maximum(states.std(axis=0), 1e-3)
    target = spread[:, :5] @ rng.normal(size=(5, 2)) + rng.normal(size=(len(states), 2))
    probe = make_pipeline(StandardScaler(), Ridge(alpha)) if scaled else Ridge(alpha)
    grid = probe_grid(states[None, :, None], {"t": target}, probe=probe, batch=64,
                      coefficients=True).isel(layer=0, token=0, target=0)  # fmt: skip

    train, test = first_split(len(states))
    inputs = states.astype(float)
    probe.fit(inputs[train], target[train])
    ridge = probe[-1] if scaled else probe
    coef = ridge.coef_ / probe[0].scale_ if scaled else ridge.coef_
    expected = r2_score(target[test], probe.predict(inputs[test]))
    pooled = r2_score(
        target[test], probe.predict(inputs[test]), multioutput="variance_weighted"
    )
    # Both form X'X in float64. Squaring the condition number (1e3 to 1e4 for the hard
    # kinds, at these penalties) leaves at least 8 digits of the scores, and the bar
    # that was set for them is 1e-4; for well-conditioned coefficients it is 1e-5.
    np.testing.assert_allclose(grid.r2, pooled, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(grid.r2_per_coordinate.mean(), expected, rtol=1e-6)
    if kind not in ("collinear", "copies"):
        close = np.linalg.norm(grid.coef.values - coef) / np.linalg.norm(coef)
        assert close < 1e-7
    at_mean = inputs[train].mean(axis=0)
    read = grid.coef.values @ at_mean + grid.intercept.values
    np.testing.assert_allclose(read, target[train].mean(axis=0), rtol=1e-6, atol=1e-8)


def test_a_validated_probe_is_a_grid_search_over_the_same_folds(hidden, rng):
    """By scikit-learn: the best penalty on validation prompts, then all of them."""
    target = noisy_readout(hidden, rng)
    alphas = (0.1, 10.0, 100.0, 1000.0)
    grid = probe_grid(hidden, {"t": target}, alphas=alphas, validation_fraction=0.2)
    train, test = first_split(PROMPTS)
    _, validation = first_split(PROMPTS, train, 0.2)
    fold = np.where(np.isin(train, validation), 0, -1)
    for layer, token in ((1, 2), (0, 0)):
        features = hidden[layer, :, token]
        guesses = []
        chosen = grid.alpha.sel(layer=layer, token=token, target="t")
        for column, cell in zip(target.T, chosen, strict=True):
            search = GridSearchCV(
                make_pipeline(StandardScaler(), Ridge()),
                {"ridge__alpha": list(alphas)},
                scoring="neg_mean_squared_error",
                cv=PredefinedSplit(fold),
            ).fit(features[train], column[train])
            assert cell == search.best_params_["ridge__alpha"]
            guesses.append(search.predict(features[test]))
        expected = r2_score(
            target[test], np.stack(guesses, 1), multioutput="variance_weighted"
        )
        # The same equations in float64.
        found = grid.r2.sel(layer=layer, token=token, target="t")
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert len(np.unique(grid.alpha)) > 1  # there was something to choose


def test_a_rotation_of_the_features_leaves_ridge_scores(hidden, rng):
    rotation = np.linalg.qr(rng.normal(size=(FEATURES, FEATURES)))[0]
    targets = {"t": noisy_readout(hidden, rng)}
    plain = probe_grid(hidden, targets, probe=Ridge(5.0))
    turned = probe_grid(hidden @ rotation, targets, probe=Ridge(5.0))
    # Float64; features of scales 1e-2 to 1e2 mix, so that 4 digits are lost twice.
    xr.testing.assert_allclose(plain, turned, rtol=1e-6, atol=1e-6)


def test_scale_of_features_does_not_matter_to_the_default_probe(hidden, rng):
    targets = {"t": noisy_readout(hidden, rng)}
    scaled = hidden * 10.0 ** np.arange(-3, 3)
    # Standardised first; what is left is rounding in float64.
    xr.testing.assert_allclose(
        probe_grid(hidden, targets), probe_grid(scaled, targets), rtol=1e-7, atol=1e-7
    )


def test_a_penalty_below_rounding_is_that_of_scikit_learn(rng):
    """Features of rank 5 among 30, where X'X + alpha is singular in float64."""
    base = rng.normal(size=(200, 5))
    states = 100 * np.hstack([base, base, base @ rng.normal(size=(5, 20))]) + 50
    target = base[:, :2] + 0.3 * rng.normal(size=(200, 2))
    grid = probe_grid(states[None, :, None], {"t": target}, probe=Ridge(1e-10))
    train, test = first_split(200)
    exact = Ridge(1e-10, solver="svd").fit(states[train], target[train])
    expected = r2_score(
        target[test], exact.predict(states[test]), multioutput="variance_weighted"
    )
    # Squared singular values against singular values: half of the digits.
    np.testing.assert_allclose(grid.r2.item(), expected, atol=1e-6)


def test_fewer_prompts_than_features_are_told(rng):
    hidden = rng.normal(size=(1, 40, 1, 60))
    with pytest.warns(UserWarning, match="30 training prompts are fewer than the 60"):
        grid = probe_grid(hidden, {"w": hidden[0, :, 0, :2]})
    assert np.isfinite(grid.r2).all()
