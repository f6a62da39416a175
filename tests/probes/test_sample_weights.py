"""Weights of prompts: 2 is the prompt twice, 0 is no prompt, the rest scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from grid_cases import batches
from sklearn.decomposition import PCA
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    RidgeCV,
)
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import PooledClassifier, PooledProbe, probe_grid
from probes.grid.splits import split

PROMPTS = 60
TIGHT = {"tol": 1e-11, "max_iter": 5_000, "solver": "newton-cholesky"}
POOLED = {"head": "linear", "batch_size": 10**6, "max_iter": 8, "random_state": 0}
NUMBERS = {
    "default": {},
    "validated": {"validation_fraction": 0.2},
    "ridge": {"probe": make_pipeline(StandardScaler(), Ridge(3.0))},
    "least squares": {"probe": LinearRegression(), "at": [1]},
}
LABELS = {
    "ridge": RidgeClassifier(),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(**TIGHT)),
    "naive Bayes": GaussianNB(),
    "pooled": PooledClassifier(**POOLED),
}
# Pooled probes are float32, and a few steps of Adam amplify their rounding little; the
# resampled sums are float32.
CLOSE = {"pooled": {"rtol": 2e-3, "atol": 2e-3}}
relies = pytest.mark.filterwarnings("ignore:.*relies on its penalty")
unfinished = pytest.mark.filterwarnings("ignore:.*still improving")


@pytest.fixture
def problem(rng):
    """States, numbers and labels of 60 prompts, as many as have weights."""
    states = rng.normal(size=(2, PROMPTS, 2, 5)) * 10.0 ** np.arange(-2, 3) + 7
    z = (states[1, :, :, 0] - 7) * 100
    numbers = np.stack([z, z**2], axis=-1) + rng.normal(size=(PROMPTS, 2, 2))
    labels = np.digitize(z + rng.normal(size=z.shape), [-0.5, 0.5])  # per token
    return states, numbers, labels


def wide(states):
    """The same states with noise features, more than there are prompts."""
    noise = np.random.default_rng(5).normal(size=(*states.shape[:3], 70))
    return np.concatenate([states, noise], axis=3)


def grid(states, targets, **settings):
    return probe_grid(states, targets, resamples=40, progress=False, **settings)


def assert_same(one, other, name="", drop=()):
    one, other = (
        each.drop_vars(["split", "validation_error", *drop], errors="ignore")
        for each in (one, other)
    )
    tolerance = CLOSE.get(name, {"rtol": 1e-6, "atol": 2e-6})
    xr.testing.assert_allclose(one, other, **tolerance)
    estimates = [n for n in one.data_vars if not n.endswith(("_low", "_high"))]
    if name != "pooled":  # sums of the estimates are float64
        exact = {"rtol": 1e-8, "atol": 1e-8}
        xr.testing.assert_allclose(one[estimates], other[estimates], **exact)


def repeated(counts, *arrays, axes):
    return [
        np.repeat(values, counts, axis)
        for values, axis in zip(arrays, axes, strict=True)
    ]


# --- whole weights are copies of prompts, and 0 is none ---


@unfinished
@relies
@pytest.mark.parametrize(
    ("name", "form"),
    [(name, np.asarray) for name in NUMBERS]
    + [(name, wide) for name in ("default", "validated", "ridge")],
)
def test_a_weight_is_so_many_copies_of_a_prompt(rng, problem, name, form):
    states, numbers, _ = problem
    states, groups = form(states), np.arange(PROMPTS)
    counts = rng.integers(1, 4, PROMPTS)
    if form is wide:  # copies must not be more than there are features
        counts = 1 + (counts > 2)
    weighted = grid(states, {"t": numbers}, sample_weight=counts, **NUMBERS[name])
    many = repeated(counts, states, numbers, groups, axes=(1, 0, 0))
    copies = grid(many[0], {"t": many[1]}, groups=many[2], **NUMBERS[name])
    assert weighted.attrs["n_groups"] == copies.attrs["n_groups"] == PROMPTS
    assert_same(weighted, copies, name)
    plain = grid(states, {"t": numbers}, **NUMBERS[name])
    assert abs(weighted.r2 - plain.r2).max() > 1e-3


@unfinished
@pytest.mark.parametrize("name", LABELS)
def test_a_weight_is_so_many_copies_of_a_labelled_prompt(rng, problem, name):
    states, _, labels = problem
    states, groups = states / states.std(axis=(0, 1, 2)), np.arange(PROMPTS)
    counts, targets = rng.integers(1, 4, PROMPTS), {"k": labels, "b": labels > 0}
    probe = LABELS[name]
    weighted = grid(states, targets, sample_weight=counts, probe=probe)
    many, k, of_copies = repeated(counts, states, labels, groups, axes=(1, 0, 0))
    copies = grid(many, {"k": k, "b": k > 0}, groups=of_copies, probe=probe)
    assert_same(weighted, copies, name)
    assert abs(weighted.accuracy - grid(states, targets, probe=probe).accuracy).any()


@unfinished
@relies
@pytest.mark.parametrize(
    ("probe", "form"),
    [
        (None, np.asarray),
        (None, wide),
        (RidgeCV(), np.asarray),
        (PooledProbe(**POOLED), np.asarray),
    ],
)
def test_a_weight_of_0_leaves_a_prompt_out(rng, problem, probe, form):
    states, numbers, _ = problem
    states, weights = form(states), rng.uniform(0.2, 3, PROMPTS)
    weights[rng.choice(PROMPTS, 15, replace=False)] = 0
    some = weights > 0
    left = grid(
        states[:, some], {"t": numbers[some]}, sample_weight=weights[some], probe=probe
    )
    # What stands there is looked at by nobody.
    states[:, ~some], numbers[~some] = np.nan, np.inf
    found = grid(states, {"t": numbers}, sample_weight=weights, probe=probe)
    assert_same(found, left)
    assert {k: found.attrs[k] for k in left.attrs} == left.attrs


def test_a_weight_of_0_leaves_a_label_out(rng, problem):
    states, _, labels = problem
    named = np.array(["x", "y", "z"])[labels[:, 0]]
    weights = np.where(named == "z", 0.0, rng.uniform(0.2, 3, PROMPTS))
    probe = LogisticRegression(**TIGHT)
    found = grid(states, {"k": named}, sample_weight=weights, probe=probe)
    some = weights > 0
    left = grid(
        states[:, some],
        {"k": named[some]},
        sample_weight=weights[some],
        probe=probe,
    )
    assert found.attrs["classes of k"] == "x, y"
    assert_same(found, left)


def test_prompts_that_come_in_turn_have_weights(rng, problem):
    """A stream and a function, which is not asked for prompts that do not count."""
    states, numbers, _ = problem
    weights = rng.uniform(0, 3, PROMPTS) * (rng.uniform(size=PROMPTS) > 0.2)
    some, asked = weights > 0, []

    def on_demand(rows):
        asked.extend(rows.tolist())
        return states[:, rows]

    settings = {"validation_fraction": 0.2, "sample_weight": weights}
    target = {"t": numbers}
    assert_same(grid(states, target, **settings), grid(on_demand, target, **settings))
    assert sorted(asked) == np.flatnonzero(some).tolist()
    left = grid(
        batches(states[:, some], 7), {"t": numbers[some]}, sample_weight=weights[some]
    )
    assert_same(grid(batches(states, 7), {"t": numbers}, sample_weight=weights), left)


def test_ragged_prompts_have_weights(rng, problem):
    states, numbers, _ = problem
    counts, valid = rng.integers(1, 4, PROMPTS), rng.uniform(size=(PROMPTS, 2)) > 0.2
    groups = np.arange(PROMPTS)
    weighted = grid(states, {"t": numbers}, sample_weight=counts, valid=valid)
    many = repeated(counts, states, numbers, groups, valid, axes=(1, 0, 0, 0))
    copies = grid(many[0], {"t": many[1]}, groups=many[2], valid=many[3])
    assert_same(weighted, copies)


def test_pooled_probes_standardise_by_weights(rng, problem):
    """Their training itself is compared by labels: Adam's first step for a bias, whose
    gradient is nothing but rounding, is of full length."""
    from probes.pooled.fitting import _standardise
    from probes.pooled.training import _feature_scale

    states, numbers, _ = problem
    states, reads = states.astype(np.float32), jnp.array([[True, False], [True] * 2])
    counts = rng.integers(1, 4, PROMPTS)
    weights = (counts / counts.mean()).astype(np.float32)
    many = np.repeat(states, counts, 1)
    for one, other in zip(
        _feature_scale(jnp.asarray(states), reads, jnp.asarray(weights)),
        _feature_scale(jnp.asarray(many), reads, None),
        strict=True,
    ):
        # Numbers of about 7, in float32, whose standard deviations are from 0.01 on.
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    targets, everyone = numbers.transpose(1, 0, 2), np.arange(PROMPTS)
    _, *found = _standardise(targets, everyone, counts.astype(float))
    copies = np.repeat(targets, counts, 1)
    _, *expected = _standardise(copies, np.arange(counts.sum()), None)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


# --- weights of any size, against scikit-learn ---


def sides(digest, groups, **settings):
    parts = split(
        groups,
        test_fraction=0.25,
        validation_fraction=0.0,
        resamples=40,
        seed=0,
        **settings,
    )
    assert parts.digest == digest
    return parts.train, parts.test


@relies
@pytest.mark.parametrize("form", [np.asarray, wide])
def test_the_default_is_ridge_cv_of_scikit_learn(rng, problem, form):
    states, numbers, _ = problem
    states, weights = form(states), rng.uniform(0.1, 3, PROMPTS)
    found = grid(states, {"t": numbers}, sample_weight=weights, coefficients=True)
    train, test = sides(found.split.item(), np.arange(PROMPTS))
    scaler, alphas = StandardScaler(), 10.0 ** np.arange(-4, 7)
    for layer in range(2):
        x, y = states[layer, :, 1], numbers[:, 1]
        scaler.fit(x[train], sample_weight=weights[train])
        ours = found.sel(layer=layer, token=1, target="t")
        for column, alpha in enumerate(ours.alpha.values):
            of_column = y[train, column]
            args = scaler.transform(x[train]), of_column, weights[train]
            assert RidgeCV(alphas).fit(*args).alpha_ == alpha
            probe = Ridge(alpha, solver="svd").fit(*args)
            np.testing.assert_allclose(
                ours.coef[column] * scaler.scale_, probe.coef_, rtol=1e-9, atol=1e-11
            )
        read = x[test] @ ours.coef.values.T + ours.intercept.values
        expected = r2_score(
            y[test], read, sample_weight=weights[test], multioutput="variance_weighted"
        )
        np.testing.assert_allclose(ours.r2, expected, rtol=1e-9)
        mse = mean_squared_error(y[test], read, sample_weight=weights[test])
        np.testing.assert_allclose(ours.mse, mse, rtol=1e-9)


def test_the_fast_engines_are_scikit_learn_with_weights(rng, problem):
    """Ridge and logistic regression beside the same probes in a form not recognised."""
    states, numbers, labels = problem
    states, weights = states / states.std(axis=(0, 1, 2)), rng.exponential(size=PROMPTS)

    class Other(LogisticRegression):
        pass

    pairs = [
        (Ridge(3.0), Ridge(3.0, solver="svd", max_iter=1, positive=False)),
        (LogisticRegression(**TIGHT), Other(**TIGHT)),
    ]
    for (fast, slow), target in zip(pairs, (numbers, labels), strict=True):
        if fast.__class__ is Ridge:
            slow = MultiOutputRegressor(slow)
        ours, theirs = (
            grid(states, {"t": target}, probe=probe, sample_weight=weights)
            for probe in (fast, slow)
        )
        assert_same(ours, theirs, drop=("alpha",))


def test_scores_of_labels_are_those_of_scikit_learn_with_weights(rng, problem):
    states, _, labels = problem
    states, weights = states / states.std(axis=(0, 1, 2)), rng.exponential(size=PROMPTS)
    probe = LogisticRegression(**TIGHT)
    found = grid(states, {"t": labels}, probe=probe, sample_weight=weights)
    train, test = sides(found.split.item(), np.arange(PROMPTS))
    probe.fit(states[1, train, 1], labels[train, 1], weights[train])
    x, truth, w = states[1, test, 1], labels[test, 1], weights[test]
    chances, guess = probe.predict_proba(x), probe.predict(x)
    cell = found.sel(layer=1, token=1, target="t")
    shares = np.bincount(labels[train, 1], weights[train]) / weights[train].sum()
    prior = np.tile(shares, (len(test), 1))
    auroc = [
        roc_auc_score(truth == k, probe.decision_function(x)[:, k], sample_weight=w)
        for k in range(3)
    ]
    for name, expected in {
        "accuracy": accuracy_score(truth, guess, sample_weight=w),
        "balanced_accuracy": balanced_accuracy_score(truth, guess, sample_weight=w),
        "log_loss": log_loss(truth, chances, sample_weight=w) / np.log(2),
        "prior_log_loss": log_loss(truth, prior, sample_weight=w) / np.log(2),
        "majority": accuracy_score(
            truth, np.full(len(test), shares.argmax()), sample_weight=w
        ),
        "auroc": np.mean(auroc),
    }.items():
        # The fits stop at gradients of 1e-11; the scores of one fit are equal to 1e-15.
        np.testing.assert_allclose(cell[name], expected, rtol=1e-8, err_msg=name)


def test_penalties_are_held_against_the_sum_of_weights(rng, problem):
    states, numbers, _ = problem
    weights = rng.uniform(0.5, 2, PROMPTS)
    one, other = (
        grid(states, {"t": numbers}, probe=Ridge(unit), sample_weight=unit * weights)
        for unit in (1.0, 1e-20)
    )
    assert_same(one, other, drop=("alpha",))


# --- bad input ---


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3), r"one number for each of the 60 prompts, got shape \(3,\)"),
        (np.ones((PROMPTS, 2)), r"got shape \(60, 2\)"),
        (np.full(PROMPTS, -1.0), "must hold numbers of at least 0, got -1"),
        (np.zeros(PROMPTS), "all 60 weights are zero"),
        (np.full(PROMPTS, np.nan), "sample_weight must be finite"),
        (["heavy"] * PROMPTS, "sample_weight must hold real numbers"),
        (np.arange(PROMPTS) == 3, "at least 2 groups of prompts are needed"),
    ],
)
def test_bad_weights_are_refused(problem, values, message):
    states, numbers, _ = problem
    with pytest.raises(ValueError, match=message):
        grid(states, {"t": numbers}, sample_weight=values)


@pytest.mark.parametrize(
    ("probe", "name"),
    [
        (KNeighborsRegressor(), "KNeighborsRegressor"),
        (make_pipeline(PCA(2), Ridge(solver="svd")), "PCA"),
        (make_pipeline(StandardScaler(), KNeighborsRegressor()), "KNeighborsRegressor"),
        (
            MultiOutputRegressor(KNeighborsRegressor()),
            "does not support sample weights",
        ),
    ],
)
def test_a_probe_that_takes_no_weights_is_refused(problem, probe, name):
    states, numbers, _ = problem
    with pytest.raises(ValueError, match=name):
        grid(states, {"t": numbers}, probe=probe, sample_weight=np.ones(PROMPTS))
