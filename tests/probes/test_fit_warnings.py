"""What the user hears of many fits: how many failed, and anything else once."""

import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor

from probes import probe_grid


@pytest.fixture
def states(rng):
    return rng.normal(size=(2, 60, 2, 3))


class Talking(RegressorMixin, BaseEstimator):
    """Guesses 0, and warns twice in each fit and once in each guess."""

    def fit(self, X, y):
        warnings.warn(f"rcond={1 / abs(X).sum()}", RuntimeWarning, stacklevel=1)
        warnings.warn("old", FutureWarning, stacklevel=1)
        return self

    def predict(self, X):
        warnings.warn("old", FutureWarning, stacklevel=1)
        return np.zeros(len(X))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_fits_that_do_not_converge_are_counted(states, n_jobs):
    """scikit-learn's own fits, one by one, tell how many there are."""
    names = np.array(["a", "b", "c"])[(states[0, :, 0, :2] > 0).sum(axis=1)]
    signs = states[1, :, 1, 0] > 0
    probe = LogisticRegression(C=1e6, max_iter=12, class_weight="balanced")
    labels, before = {"name": names, "sign": signs}, list(warnings.filters)
    with joblib.parallel_config(n_jobs=n_jobs), pytest.warns() as caught:
        grid = probe_grid(states, labels, probe=probe, control=False, groups=range(60))
    assert warnings.filters == before
    train = _train_rows(grid, names)
    unfinished = sum(
        _warns(clone(probe), states[layer, train, token], target[train])
        for layer in range(2)
        for token in range(2)
        for target in (names, signs)
    )
    assert 0 < unfinished < 8
    (only,) = caught
    assert only.category is ConvergenceWarning and only.filename == __file__
    said = f"{unfinished} of 8 probes did not converge; the first of them said: lbfgs"
    assert str(only.message).startswith(said) and "\n" not in str(only.message)


def _train_rows(grid, names):
    """The rows that `probe_grid` trains on, from its own split."""
    from probes.grid.splits import split

    parts = split(
        np.arange(60),
        test_fraction=0.25,
        validation_fraction=0.0,
        resamples=1_000,
        seed=0,
        strata=names,
    )
    assert parts.digest == grid.split.item()
    return parts.train


def _warns(probe, states, target):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe.fit(states, target)
    return bool(caught)


def test_a_network_is_counted_once_for_each_target_and_control(states):
    probe = MLPRegressor(hidden_layer_sizes=(2,), max_iter=2, random_state=0)
    with pytest.warns(ConvergenceWarning, match="^8 of 8 probes") as caught:
        probe_grid(states, {"x": states[0, :, 0]}, probe=probe, resamples=10)
    assert len(caught) == 1


def test_other_warnings_are_given_once_and_obey_the_filters(states):
    def call():
        probe_grid(states, {"x": states[0, :, 0, :1]}, probe=Talking(), resamples=10)

    with pytest.warns() as caught:
        call()
    kinds = [(one.category, one.filename) for one in caught]
    assert kinds == [(RuntimeWarning, __file__), (FutureWarning, __file__)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", FutureWarning)
        call()
    assert [one.category for one in caught] == [RuntimeWarning]
    with warnings.catch_warnings(), pytest.raises(FutureWarning, match="old"):
        warnings.simplefilter("error", FutureWarning)
        call()
    # Nothing is left behind that would keep later warnings from the user.
    with pytest.warns(UserWarning, match="after"):
        warnings.warn("after", stacklevel=1)
