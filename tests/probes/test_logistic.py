"""The fast logistic regression has scikit-learn's optimum, and takes fewer steps."""

import numpy as np
import pytest
import xarray as xr
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import probe_grid
from probes.grid import logistic_fit
from probes.grid.logistic_spec import LogisticSpec

PROMPTS, FEATURES = 160, 6
TIGHT = {"tol": 1e-11, "max_iter": 5_000, "solver": "newton-cholesky"}


class Separate(LogisticRegression):
    """A logistic regression that the grid does not recognise as one."""


@pytest.fixture
def states(rng):
    """Features of scales from 0.01 to 100, some of them far from 0."""
    scales = 10.0 ** np.linspace(-2, 2, FEATURES)
    return (rng.normal(size=(2, PROMPTS, 2, FEATURES)) + np.arange(FEATURES)) * scales


@pytest.fixture
def labels(rng, states):
    z = (states[1, :, 1] - states[1, :, 1].mean(axis=0)) / states[1, :, 1].std(axis=0)
    names = np.array(["noun", "verb", "other", "article"])
    noise = rng.gumbel(size=(PROMPTS, 4))
    return {
        "sign": z[:, 0] + z[:, 1] > 0,  # which the states determine
        "kind": names[(2 * z[:, :4] + noise).argmax(axis=1)],
        "by token": (states[0, :, :, 2] > 0.8).astype(int),
    }


def both(states, labels, make, **settings):
    """The grid of the fast engine, and that of scikit-learn's own fits."""
    return [
        probe_grid(states, labels, probe=make(kind), resamples=50, **settings)
        for kind in (LogisticRegression, Separate)
    ]


@pytest.mark.parametrize("strength", [0.01, 1.0, 1e4])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_grid_equals_that_of_scikit_learn(states, labels, strength, scaled):
    def make(kind):
        probe = kind(C=strength, **TIGHT)
        return make_pipeline(StandardScaler(), probe) if scaled else probe

    states = states if scaled else states / states.std(axis=(0, 1, 2))
    ours, theirs = both(states, labels, make)
    assert ours.accuracy.sel(layer=1, token=1, target="kind") > 0.5
    # Two minimisers, each with a gradient of 1e-11; with C = 1e4 labels are nearly
    # separable, and the loss is flat.
    xr.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_coefficients_are_those_of_scikit_learn(states, labels):
    probe = make_pipeline(StandardScaler(), LogisticRegression(**TIGHT))
    grid = probe_grid(states, labels, probe=probe, coefficients=True, resamples=2)
    rows = _train_rows(grid, labels["sign"])
    for name, target in labels.items():
        truth = target[:, 1] if target.ndim == 2 else target
        probe.fit(states[1, rows, 1], truth[rows])
        coef = probe[-1].coef_ / probe[0].scale_
        intercept = probe[-1].intercept_ - coef @ probe[0].mean_
        cell = grid.sel(layer=1, token=1, target=name)
        count = len(coef)
        # A gradient of 1e-11 on either side; the least curvature is that of the
        # penalty, 1e-2 for each prompt.
        np.testing.assert_allclose(cell.coef[:count], coef, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(cell.intercept[:count], intercept, rtol=1e-6)
        assert np.isnan(cell.coef[count:]).all()


def _train_rows(grid, strata):
    from probes.grid.splits import split

    parts = split(
        np.arange(PROMPTS),
        test_fraction=0.25,
        validation_fraction=0.0,
        resamples=2,
        seed=0,
        strata=strata.astype(str),
    )
    assert parts.digest == grid.split.item()
    return parts.train


def test_more_features_than_prompts(rng):
    """The coefficients are combinations of prompts, and the optimum is the same."""
    states = rng.normal(size=(1, 60, 1, 90)).astype(np.float32)
    kinds = {
        "two": states[0, :, 0, 0] > 0,
        "three": np.digitize(states[0, :, 0, 1], [-0.5, 0.5]),
    }
    ours, theirs = both(states, kinds, lambda kind: kind(C=0.1, **TIGHT))
    xr.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_prompts_of_different_lengths_and_labels_that_training_lacks(states, labels):
    valid = np.arange(2) < 1 + (np.arange(PROMPTS) % 3 > 0)[:, None]
    kinds = labels["kind"].copy()
    kinds[-3:] = "zero"  # a group of its own, which some seeds test
    groups = np.minimum(np.arange(PROMPTS), PROMPTS - 3)
    missing = 0
    for seed in range(3):
        ours, theirs = both(
            states[1:] / states.std(axis=(0, 1, 2)),
            {"sign": labels["sign"], "kind": kinds},
            lambda kind: kind(**TIGHT),
            valid=valid,
            groups=groups,
            seed=seed,
        )
        xr.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
        missing += float(theirs.prior_log_loss.max()) > 5
    assert missing


@pytest.mark.parametrize("classes", [2, 3])
def test_steps_are_few_where_probabilities_are_near_0_and_1(rng, monkeypatch, classes):
    """There X'X is a poor estimate of the Hessian, and is replaced."""
    x = rng.normal(size=(600, 20)) @ rng.normal(size=(20, 20))
    x -= x.mean(axis=0)
    scores = x @ rng.normal(size=(20, classes)) * 3 + rng.gumbel(size=(600, classes))
    codes = scores.argmax(axis=1)
    penalty = np.append(np.ones(20), 0.0)
    z = np.hstack([x, np.ones((600, 1))])
    loss = logistic_fit.Loss.of(codes[None], classes, penalty)
    factor = logistic_fit.shared_factor(z, penalty)
    found = logistic_fit.fit(z, loss, factor, tol=1e-9, max_iter=40)
    assert found.converged.all()
    exact = LogisticRegression(**TIGHT).fit(x, codes)
    rows = np.column_stack([exact.coef_, exact.intercept_])
    # A gradient of 1e-9 for each prompt; the least curvature is the penalty's, 2e-3.
    np.testing.assert_allclose(found.weights[0], rows, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(logistic_fit, "WINDOW", 1_000)  # never
    found = logistic_fit.fit(z, loss, factor, tol=1e-9, max_iter=40)
    assert not found.converged.any()


def test_probes_that_need_more_steps_are_counted(states, labels):
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1, tol=1e-12))
    with pytest.warns(ConvergenceWarning) as caught:
        probe_grid(states, labels, probe=probe, resamples=2)
    (only,) = caught
    assert str(only.message).startswith(
        "24 of 24 probes did not converge in max_iter=1"
    )
    assert only.filename == __file__


@pytest.mark.parametrize(
    ("settings", "is_fast"),
    [
        ({}, True),
        ({"C": 3, "solver": "newton-cg", "n_jobs": 2, "random_state": 1}, True),
        ({"penalty": "l2"}, True),
        ({"C": np.inf}, False),
        ({"C": -1.0}, False),
        ({"tol": 0.0}, False),
        ({"l1_ratio": 0.5, "solver": "saga"}, False),
        ({"solver": "liblinear"}, False),
        ({"fit_intercept": False}, False),
        ({"class_weight": "balanced"}, False),
    ],
)
def test_which_logistic_regressions_are_fast(settings, is_fast):
    probe = LogisticRegression(**settings)
    spec = LogisticSpec.of(make_pipeline(StandardScaler(), probe))
    assert (LogisticSpec.of(probe) is not None) == is_fast == (spec is not None)
    assert spec is None or (spec.standardize and spec.strength == probe.C)
    assert LogisticSpec.of(make_pipeline(StandardScaler(with_std=False), probe)) is None
    assert LogisticSpec.of(Separate(**settings)) is None
