import re
import tracemalloc
import warnings

import jax.numpy as jnp
import joblib
import numpy as np
import pytest
import xarray as xr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit, PredefinedSplit
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from probes import PooledProbe, onset, probe_grid
from probes.grid.ridge_spec import ALPHAS

LAYERS, PROMPTS, TOKENS, FEATURES = 3, 240, 4, 6


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def hidden(rng):
    scales = 10.0 ** rng.uniform(-2, 2, FEATURES)
    return rng.normal(size=(LAYERS, PROMPTS, TOKENS, FEATURES)) * scales


def noisy_readout(hidden, rng, *, layer=1, token=2, q=3):
    """A target that is linear in one cell's features, with noise and rising scales."""
    states = hidden[layer, :, token] / hidden[layer, :, token].std(axis=0)
    values = states @ rng.normal(size=(FEATURES, q)) + rng.normal(size=(PROMPTS, q))
    return values * 10.0 ** np.arange(q)


# --- against scikit-learn ---


@pytest.mark.parametrize(
    "probe",
    [
        Ridge(alpha=2.0),
        make_pipeline(StandardScaler(), Ridge(alpha=30.0)),
        make_pipeline(StandardScaler(), RidgeCV(ALPHAS, alpha_per_target=True)),
        make_pipeline(PCA(3), LinearRegression()),
    ],
    ids=["ridge", "pipeline", "leave-one-out", "pca"],
)
def test_a_cell_equals_scikit_learn_by_hand(hidden, rng, probe):
    target = noisy_readout(hidden, rng)
    grid = probe_grid(hidden, {"a": hidden[0, :, 0, :2], "t": target}, probe=probe)

    splitter = GroupShuffleSplit(1, test_size=0.25, random_state=0)
    train, test = next(splitter.split(target, groups=np.arange(PROMPTS)))
    features = hidden[1, :, 2]
    guess = probe.fit(features[train], target[train]).predict(features[test])
    pooled = r2_score(target[test], guess, multioutput="variance_weighted")
    each = r2_score(target[test], guess, multioutput="raw_values")

    cell = grid.sel(layer=1, token=2, target="t")
    assert 0.3 < pooled < 0.98
    # Both in float64; they differ by what is solved beside the target and by the order
    # of summation, ~1e-13.
    np.testing.assert_allclose(cell.r2, pooled, rtol=1e-9)
    np.testing.assert_allclose(cell.r2_per_coordinate, each, rtol=1e-9)
    assert (grid.attrs["n_train"], grid.attrs["n_test"]) == (len(train), len(test))


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


def first_split(prompts, rows=None, fraction=0.25):
    rows = np.arange(prompts) if rows is None else rows
    splitter = GroupShuffleSplit(1, test_size=fraction, random_state=0)
    kept, held = next(splitter.split(rows, groups=rows))
    return rows[kept], rows[held]


def test_the_default_probe_is_a_grid_search_over_the_same_folds(hidden, rng):
    """By scikit-learn: the best penalty on validation prompts, then all of them."""
    target = noisy_readout(hidden, rng)
    alphas = (0.1, 10.0, 100.0, 1000.0)
    grid = probe_grid(hidden, {"t": target}, alphas=alphas)
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


def test_one_fit_to_all_targets_equals_a_fit_for_each(hidden, rng):
    class Separate(Ridge):
        """A ridge that the grid does not recognise as one."""

    targets = {"a": noisy_readout(hidden, rng), "b": hidden[0, :, 1, :1]}
    joint = probe_grid(hidden, targets, probe=Ridge(alpha=3.0))
    separate = probe_grid(hidden, targets, probe=Separate(alpha=3.0))
    # The same equations in float64, solved with other right-hand sides beside them.
    # Resampled sums are float32, but added in one order: both on one thread.
    joint = joint.drop_vars("alpha")
    xr.testing.assert_allclose(joint, separate, rtol=1e-9, atol=1e-9)


def test_ridge_with_an_alpha_for_each_output_is_fitted_per_target(hidden, rng):
    alphas = np.array([0.1, 10.0, 1000.0])
    target = noisy_readout(hidden, rng)
    grid = probe_grid(hidden, {"t": target}, probe=Ridge(alpha=alphas))
    single = probe_grid(hidden, {"t": target[:, 2:]}, probe=Ridge(alpha=alphas[2]))
    # The same equation in float64.
    np.testing.assert_allclose(
        grid.r2_per_coordinate[..., 2], single.r2_per_coordinate[..., 0], rtol=1e-9
    )


@pytest.mark.parametrize(
    "probe",
    [
        KNeighborsRegressor(3),
        DecisionTreeRegressor(random_state=0),
        MultiOutputRegressor(SVR(kernel="linear", C=100.0)),
        make_pipeline(StandardScaler(), PCA(), Ridge(1e-3)),
    ],
    ids=lambda probe: type(probe).__name__,
)
def test_any_regressor_finds_an_easy_target_where_it_is(rng, probe):
    hidden = rng.normal(size=(2, PROMPTS, 2, 2))
    grid = probe_grid(hidden, {"x": hidden[1, :, 0]}, probe=probe)
    here = (grid.layer == 1) & (grid.token == 0)
    # Two well-covered features: even a tree explains most; elsewhere there is nothing.
    assert grid.r2.where(here).max() > 0.9
    assert grid.r2.where(~here).max() < 0.1


# --- what it finds ---


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


# --- the split ---


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


def test_the_seed_decides_everything(hidden, rng):
    targets = {"t": noisy_readout(hidden, rng)}
    first, again, other = (probe_grid(hidden, targets, seed=s) for s in (7, 7, 8))
    xr.testing.assert_identical(first, again)
    assert (first.r2 != other.r2).all() and (first.control_r2 != other.control_r2).all()


def test_cells_may_run_in_parallel(hidden, rng):
    targets = {"t": noisy_readout(hidden, rng)}
    with joblib.parallel_config(n_jobs=2):
        parallel = probe_grid(hidden, targets)
    xr.testing.assert_identical(parallel, probe_grid(hidden, targets))


# --- targets, contexts, ceilings ---


def test_contexts_hand_each_token_its_own_target(hidden, rng):
    contexts = np.array([0, 1, 1, 2])
    target = rng.normal(size=(PROMPTS, 3, 2))
    target[:, 1] = hidden[2, :, 1, :2]
    by_context = probe_grid(hidden, {"t": target}, contexts=contexts)
    by_token = probe_grid(hidden, {"t": target[:, contexts]})
    xr.testing.assert_identical(by_context.drop_vars("context"), by_token)
    assert by_context.context.dims == ("token",)
    assert by_context.context.values.tolist() == contexts.tolist()
    assert by_context.r2.sel(layer=2, token=1, target="t") > 0.99
    assert by_context.r2.sel(layer=2, token=2, target="t") < 0.1


def test_per_token_targets_are_still_read_beside_contexts(hidden, rng):
    target = rng.normal(size=(PROMPTS, TOKENS, 1))
    target[:, 3] = hidden[0, :, 3, :1]
    grid = probe_grid(hidden, {"t": target}, contexts=[0, 1, 1, 2])
    assert grid.r2.sel(layer=0, token=3, target="t") > 0.99


def test_contexts_win_where_an_axis_could_be_either(hidden, rng):
    contexts = np.array([3, 2, 1, 0])  # as many contexts as tokens
    target = rng.normal(size=(PROMPTS, TOKENS, 1))
    target[:, 0] = hidden[0, :, 3, :1]
    grid = probe_grid(hidden, {"t": target}, contexts=contexts)
    assert grid.r2.sel(layer=0, token=3, target="t") > 0.99


def test_ceilings_lie_beside_the_scores(hidden, rng):
    targets = {name: rng.normal(size=(PROMPTS, 1)) for name in "abcd"}
    grid = probe_grid(
        hidden,
        targets,
        contexts=[0, 1, 1, 2],
        tokens=["x1", "y1", "x2", "y2"],
        ceilings={"a": 0.5, "b": [0, 0.2, 0.4, 0.6], "c": np.array([0, 0.5, 1])},
    )
    expected = {
        "a": [0.5] * 4,
        "b": [0, 0.2, 0.4, 0.6],
        "c": [0, 0.5, 0.5, 1],
        "d": [np.nan] * 4,
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(grid.ceiling.sel(target=name), values)
    assert grid.token.values.tolist() == ["x1", "y1", "x2", "y2"]


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


def test_varying_targets_do_not_warn(hidden, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe_grid(hidden, {"t": noisy_readout(hidden, rng)})


def test_jax_and_memory_mapped_arrays_are_as_good_as_numpy(hidden, rng, tmp_path):
    hidden = hidden.astype(np.float32)
    np.save(tmp_path / "hidden.npy", hidden)
    target = noisy_readout(hidden, rng).astype(np.float32)
    expected = probe_grid(hidden, {"t": target})
    mapped = np.load(tmp_path / "hidden.npy", mmap_mode="r")
    xr.testing.assert_identical(probe_grid(mapped, {"t": target}), expected)
    on_device = probe_grid(jnp.asarray(hidden), {"t": jnp.asarray(target)})
    xr.testing.assert_identical(on_device, expected)


def test_the_result_survives_netcdf(hidden, rng, tmp_path):
    grid = probe_grid(hidden, {"t": noisy_readout(hidden, rng)}, contexts=[0, 1, 1, 2])
    grid.to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "grid.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_equal(loaded, grid)
        assert loaded.attrs == grid.attrs


# --- streams ---


def batches(hidden, size=50):
    for start in range(0, hidden.shape[1], size):
        yield hidden[:, start : start + size]


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
    expected = probe_grid(hidden, targets, probe=probe)
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


# --- what is asked for ---


def test_tokens_can_be_chosen(hidden, rng):
    names = ["x1", "y1", "x2", "y2"]
    target = rng.normal(size=(PROMPTS, 3, 2))
    settings = {
        "contexts": [0, 1, 1, 2],
        "tokens": names,
        "ceilings": {"t": [0, 0.5, 1]},
    }
    everywhere = probe_grid(hidden, {"t": target}, **settings)
    for probe in (None, LinearRegression()):
        everywhere = probe_grid(hidden, {"t": target}, probe=probe, **settings)
        some = probe_grid(
            hidden, {"t": target}, probe=probe, at=["y2", "x1"], **settings
        )
        xr.testing.assert_identical(some, everywhere.sel(token=["x1", "y2"]))


def test_without_a_control_there_is_none(hidden, rng):
    targets = {"t": noisy_readout(hidden, rng)}
    both = probe_grid(hidden, targets, probe=Ridge(1.0))
    alone = probe_grid(hidden, targets, probe=Ridge(1.0), control=False)
    assert not [name for name in alone if "control" in name]
    xr.testing.assert_allclose(alone, both[list(alone)], rtol=1e-9)  # float64


def test_fewer_prompts_than_features_are_told(rng):
    hidden = rng.normal(size=(1, 40, 1, 60))
    with pytest.warns(UserWarning, match="30 training prompts are fewer than the 60"):
        grid = probe_grid(hidden, {"w": hidden[0, :, 0, :2]})
    assert np.isfinite(grid.r2).all()


# --- pooled probes ---


@pytest.fixture(scope="module")
def pooled():
    """Pooled probes of hidden states that hold `a` at token 1 and `b` at token 2."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(2, 600, 4, 6)).astype(np.float32)
    a, b = hidden[1, :, 1, :3], rng.normal(size=(600, 3, 2))
    b[:, 1:] = hidden[0, :, 2, None, :2]  # from the second context on
    groups = np.arange(600) // 2
    probe = PooledProbe(head="linear", learning_rate=0.03, random_state=0)
    return probe_grid(
        hidden,
        {"a": a, "b": b},
        probe=probe,
        contexts=[0, 1, 1, 2],
        tokens=["x1", "y1", "x2", "y2"],
        at=["y1", "x2", "y2"],
        groups=groups,
    )


def test_a_pooled_probe_reads_its_token_and_all_before_it(pooled):
    found = pooled.r2 > 0.95
    assert found.sel(layer=1, target="a").values.tolist() == [True] * 3
    assert found.sel(layer=0, target="b").values.tolist() == [False, True, True]
    assert found.sum() == 5
    assert abs(pooled.r2.where(~found)).max() < 0.1
    assert pooled.control_r2.max() < 0.05  # of 150 test groups


def test_position_weights_are_where_it_looks(pooled):
    weights = pooled.position_weights
    # Softmax in float32.
    np.testing.assert_allclose(weights.sum("position"), 1, rtol=1e-5)
    assert (weights.sel(layer=1, target="a", position="y1") > 0.9).all()
    assert (weights.sel(token="y1", position=["x2", "y2"]) == 0).all()
    assert (weights.sel(token="x2", position="y2") == 0).all()
    assert pooled.position.values.tolist() == ["x1", "y1", "x2", "y2"]


def test_pooled_probes_stop_by_group(pooled):
    """450 prompts in pairs train, a fifth of them decide when to stop."""
    assert pooled.attrs["n_train"] == 450 and pooled.attrs["n_validation"] == 90


def test_pooled_probes_that_max_iter_stopped_are_counted(pooled, rng):
    assert pooled.n_iter.dims == ("layer", "token", "target")
    assert 0 < pooled.n_iter.min() < pooled.n_iter.max() <= PooledProbe().max_iter
    hidden = rng.normal(size=(1, 200, 2, 4))
    with pytest.warns(ConvergenceWarning, match="2 of 2 probes .* max_iter=3"):
        grid = probe_grid(
            hidden, {"w": hidden[0, :, 0]}, probe=PooledProbe(head="linear", max_iter=3)
        )
    assert (grid.n_iter == 3).all()


# --- onset ---


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


def test_onset_resamples_seeds(rng):
    grids = []
    for start in (1, 4):
        hidden, targets = layered(rng, start=start)
        grids.append(probe_grid(hidden, targets, keep_resamples=True))
    found = onset(xr.concat(grids, dim="seed")).sel(token=1, target="t")
    # Half of the resamples of two seeds hold both, a quarter each one of them twice.
    assert found.onset_low == 1 and found.onset_high == 4
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
    found = onset(grid)
    assert found.to_array().isnull().all()


def test_bad_questions_about_onset(hidden):
    grid = probe_grid(hidden, {"w": hidden[0, :, 0]}, keep_resamples=True)
    with pytest.raises(ValueError, match="keep_resamples=True"):
        onset(grid.drop_vars("r2_resampled"))
    with pytest.raises(ValueError, match="no ceilings"):
        onset(grid, line="ceiling")
    with pytest.raises(ValueError, match=r"share must lie between 0 and 1, got 1\.5"):
        onset(grid, share=1.5)
    with pytest.raises(ValueError, match="along must be 'layer' or 'token'"):
        onset(grid, along="target")
    with pytest.raises(ValueError, match="single test group"):
        onset(grid.isel(resample=slice(0)))


# --- intervals ---


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


# --- bad input ---

GOOD = np.random.default_rng(1).normal(size=(2, 8, 3, 2))
TARGET = GOOD[0, :, 0]
HOLE = np.where(np.arange(GOOD.size).reshape(GOOD.shape) == 20, np.nan, GOOD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": GOOD[0]}, r"hidden must have axes .* got shape \(8, 3, 2\)"),
        ({"hidden": GOOD[:, :0]}, "none of them empty"),
        ({"hidden": HOLE}, "NaN or infinity in layer 0, prompt 3, token 1"),
        (
            {"hidden": HOLE, "probe": LinearRegression()},
            r"hidden\[0\] must be finite, but 1 of its 48 .*\(3, 1, 0\)",
        ),
        (
            {"hidden": np.moveaxis(GOOD, 1, 0)},
            r"of its shape \(8, 2, 3, 2\) axis 0 .* np.moveaxis\(hidden, 0, 1\)",
        ),
        ({"targets": {"w": np.repeat(TARGET[:4], 2, 0)}}, "only 4 different rows"),
        ({"at": [3]}, r"at must be a list .* tokens among \[0, 1, 2\], got \[3\]"),
        ({"at": []}, "at must be a list of different tokens"),
        ({"at": "y1"}, "at must be a list of different tokens .* got 'y1'"),
        ({"hidden": [GOOD[:, :4], GOOD[:, 4:]]}, r"give an iterator, iter\(batches\)"),
        ({"groups": np.array([0, 1, np.nan] + 5 * [3])}, "groups must be finite"),
        ({"groups": np.arange(8) // 4}, "3 groups of prompts are needed"),
        ({"probe": Ridge(), "alphas": [1.0]}, "alphas are for the default probe"),
        ({"alphas": [1.0, 0.0]}, r"alphas must be numbers above 0, got \[1.0, 0.0\]"),
        ({"alphas": []}, "alphas must be numbers above 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie between 0 and 1"),
        ({"resamples": 0}, "resamples must be an integer >= 1, got 0"),
        ({"batch": 0}, "batch must be an integer >= 1, got 0"),
        ({"hidden": GOOD * 1j}, "hidden must hold real numbers, got .* complex128"),
        ({"hidden": lambda rows: GOOD[:, rows].astype(object)}, "got an .* object"),
        ({"targets": {"w": TARGET * 1j}}, "target 'w' must hold real numbers"),
        ({"at": [1, 1]}, "at must be a list of different tokens"),
        ({"probe": PooledProbe(head="MLP")}, "'head' parameter of PooledProbe"),
        ({"probe": PooledProbe(learning_rate=-1.0)}, "'learning_rate' parameter"),
        ({"targets": {}}, r"targets must be a dictionary of at least 1, .* got \{\}"),
        ({"targets": {"w": TARGET[:7]}}, r"'w' must have shape \(prompts=8, q\)"),
        ({"targets": {"w": TARGET[:, 0]}}, r"got \(8,\); .* values\[:, None\]"),
        ({"targets": {"w": TARGET[:, :0]}}, r"got \(8, 0\)"),
        ({"targets": {"w": TARGET * np.inf}}, "target 'w' must be finite"),
        (
            {"targets": {"w": np.ones((8, 5, 1))}},
            r"tokens=3, q\).*\(8, 5, 1\).*`contexts`",
        ),
        (
            {"targets": {"w": np.ones((8, 5, 1))}, "contexts": [0, 1, 1]},
            r"contexts=2, q\) or \(prompts=8, tokens=3, q\).*max\(contexts\) \+ 1",
        ),
        ({"contexts": [0, 1]}, "contexts must be 3 integers >= 0"),
        ({"contexts": [0, 1, -1]}, "contexts must be 3 integers >= 0"),
        ({"contexts": [0.0, 1.0, 2.0]}, "contexts must be 3 integers >= 0"),
        ({"tokens": ["x", "y"]}, "tokens must be 3 different names"),
        ({"tokens": ["x", "y", "x"]}, "of which 2 differ"),
        ({"groups": np.arange(7)}, "one label for each of the 8 prompts"),
        ({"groups": np.zeros(8)}, "at least 2 groups"),
        ({"ceilings": {"v": 1.0}}, r"ceiling 'v' has no target; targets are \['w'\]"),
        ({"ceilings": {"w": np.ones(4)}}, r"\(tokens=3,\), got shape \(4,\)"),
        ({"ceilings": {"w": 1.5}}, "cannot exceed 1, got 1.5"),
        ({"test_fraction": 0.0}, "test_fraction must lie between 0 and 1"),
        ({"test_fraction": 0.95}, "leave a group to train on, got 0.95 with 8 groups"),
        ({"seed": -1}, "seed must be an integer in"),
        ({"probe": KMeans()}, "probe must be a scikit-learn regressor"),
        ({"probe": SVR()}, r"SVR cannot be fitted .*MultiOutputRegressor\.$"),
    ],
)
def test_bad_input_gets_one_clear_line(changes, message):
    arguments = {"hidden": GOOD, "targets": {"w": TARGET}} | changes
    with pytest.raises(ValueError, match=message) as error:
        probe_grid(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at": 0}, "at must be a list of different tokens .* got 0"),
        ({"ceilings": 1.0}, r"ceilings must be a dictionary .* got 1\.0"),
    ],
)
def test_other_types_get_one_too(untyped, changes, message):
    with pytest.raises(ValueError, match=message):
        probe_grid(GOOD, {"w": TARGET}, **changes)
