import joblib
import numpy as np
import pytest
import xarray as xr
from grid_cases import PROMPTS, noisy_readout
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import BayesianRidge, Lars, LinearRegression, Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from probes import probe_grid
from probes.grid.ridge_spec import ALPHAS


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


def test_cells_may_run_in_parallel(hidden, rng):
    targets = {"t": noisy_readout(hidden, rng)}
    with joblib.parallel_config(n_jobs=2):
        parallel = probe_grid(hidden, targets)
    xr.testing.assert_identical(parallel, probe_grid(hidden, targets))


class InPlace(RegressorMixin, BaseEstimator):
    """Least squares that overwrites whatever it is given, in fit and in predict."""

    def fit(self, X, y):
        self.scale_, self.coef_ = X.std(axis=0), None
        X /= self.scale_
        self.centre_, self.mean_ = X.mean(axis=0), y.mean(axis=0)
        X -= self.centre_
        y -= self.mean_
        self.coef_ = np.linalg.lstsq(X, y, rcond=None)[0]
        y[:] = np.nan
        return self

    def predict(self, X):
        X /= self.scale_
        X -= self.centre_
        guess = X @ self.coef_ + self.mean_
        X[:] = np.nan
        return guess


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: BayesianRidge(**({"copy_X": True} | options)),
        lambda **options: Lars(**({"copy_X": True} | options)),
        lambda **options: make_pipeline(
            StandardScaler(copy=not options), LinearRegression(copy_X=not options)
        ),
        lambda **options: InPlace() if options else LinearRegression(),
    ],
    ids=["bayesian", "lars", "pipeline", "ours"],
)
def test_estimators_that_work_in_place_see_what_they_should(rng, make):
    """The oracle is one fresh fit of a copying estimator for each target."""
    hidden = rng.normal(size=(1, 400, 1, 6)) + 5.0
    w = rng.normal(size=(400, 2))
    hidden[0, :, 0, :2] += w
    train, test = next(
        GroupShuffleSplit(1, test_size=0.25, random_state=0).split(w, groups=range(400))
    )
    states = hidden[0, :, 0]
    oracle = [
        r2_score(
            w[test, j], make().fit(states[train], w[train, j]).predict(states[test])
        )
        for j in (0, 1)
    ]
    before = hidden.copy()
    found = probe_grid(
        hidden, {"a": w[:, :1], "b": w[:, 1:]}, probe=make(copy_X=False), resamples=10
    )
    np.testing.assert_allclose(found.r2.values.ravel(), oracle, atol=1e-6)
    assert found.control_r2.max() < 0.1
    assert np.array_equal(hidden, before)
