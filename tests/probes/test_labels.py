"""Grids of labels: scores of scikit-learn, the fast ridge classifier, and controls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from probes import probe_grid
from probes.grid import labels

PROMPTS = 240


@pytest.fixture
def states(rng):
    return rng.normal(size=(2, PROMPTS, 3, 5))


@pytest.fixture
def of_three(states, rng):
    """Three labels, two of them rarer, which one cell tells for the most part."""
    score = states[1, :, 2, :3] + 0.7 * rng.normal(size=(PROMPTS, 3)) + [0.8, 0, 0]
    return np.array(["noun", "verb", "other"])[score.argmax(axis=1)]


def halves(grid, states, truth, probe):
    """A clone of the probe on the same training prompts, and the tested prompts."""
    parts = grid.attrs["n_train"], grid.attrs["n_test"]
    found = labels_split(truth, parts)
    return probe.fit(states[found[0]], truth[found[0]]), *found


def labels_split(truth, parts):
    from probes.grid.splits import split

    made = split(
        np.arange(len(truth)),
        test_fraction=0.25,
        validation_fraction=0.0,
        resamples=1,
        seed=0,
        strata=truth,
    )
    assert (len(made.train), len(made.test)) == parts
    return made.train, made.test


@pytest.mark.parametrize(
    "probe",
    [
        make_pipeline(StandardScaler(), RidgeClassifier(3.0)),
        RidgeClassifier(0.5),
        LogisticRegression(tol=1e-12, solver="newton-cholesky"),
        GaussianNB(),
        KNeighborsClassifier(5),
        LinearSVC(),
        SVC(),
        DummyClassifier(),
    ],
    ids=lambda probe: type(probe).__name__,
)
@pytest.mark.parametrize("kinds", [2, 3])
def test_scores_are_those_of_scikit_learn(states, of_three, probe, kinds):
    truth = of_three if kinds == 3 else of_three == "noun"
    grid = probe_grid(states, {"part": truth}, probe=probe).sel(target="part")
    for layer, token in ((1, 2), (0, 1)):
        fitted, _, test = halves(grid, states[layer, :, token], truth, probe)
        guess = fitted.predict(states[layer, test, token])
        cell = grid.sel(layer=layer, token=token)
        # Counts of prompts, and sums of float64.
        expected = metrics.accuracy_score(truth[test], guess)
        np.testing.assert_allclose(cell.accuracy, expected, rtol=1e-12)
        expected = metrics.balanced_accuracy_score(truth[test], guess)
        np.testing.assert_allclose(cell.balanced_accuracy, expected, rtol=1e-12)
        if hasattr(fitted, "predict_proba"):
            chances = fitted.predict_proba(states[layer, test, token])
            nats = metrics.log_loss(truth[test], chances, labels=fitted.classes_)
            np.testing.assert_allclose(cell.log_loss, nats / np.log(2), rtol=1e-9)
        else:
            assert "log_loss" not in grid
        if hasattr(fitted, "decision_function"):
            values = fitted.decision_function(states[layer, test, token])
        else:
            values = chances[:, 1] if kinds == 2 else chances
        np.testing.assert_allclose(cell.auroc, areas(truth[test], values), rtol=1e-9)
    if not isinstance(probe, DummyClassifier):
        assert grid.accuracy.sel(layer=1, token=2) > grid.majority[1, 2] + 0.05
        assert abs(grid.control_balanced_accuracy - 1 / kinds).max() < 0.2


def areas(truth, values):
    """scikit-learn's AUROC, averaged over classes."""
    classes = np.unique(truth)
    if len(classes) == 2:
        return metrics.roc_auc_score(truth, values)
    each = [
        metrics.roc_auc_score(truth == label, values[:, i])
        for i, label in enumerate(classes)
    ]
    return np.mean(each)


def test_lines_are_those_of_whoever_guesses_without_looking(states, of_three):
    grid = probe_grid(states, {"part": of_three}, probe=DummyClassifier())
    np.testing.assert_allclose(grid.accuracy, grid.majority)
    np.testing.assert_allclose(grid.log_loss, grid.prior_log_loss)
    np.testing.assert_allclose(grid.auroc, 0.5)  # all scores are equal
    np.testing.assert_allclose(grid.balanced_accuracy, 1 / 3)
    assert grid.attrs["classes of part"] == "noun, other, verb"


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_weighted_areas_count_repeated_prompts(data):
    """A resample is a list of prompts, some of them several times."""
    size = data.draw(st.integers(2, 30))
    integers = st.lists(st.integers(0, 4), min_size=size, max_size=size)
    truth = np.array(data.draw(integers)) > 1
    values = np.array(data.draw(integers), float)  # with many ties
    counts = np.array(data.draw(integers))
    drawn = np.repeat(np.arange(size), counts)
    found = labels._auroc(truth.astype(int), values[None], counts[None].astype(float))
    if len(np.unique(truth[drawn])) < 2:
        assert np.isnan(found).all()
    else:
        expected = metrics.roc_auc_score(truth[drawn], values[drawn])
        np.testing.assert_allclose(found, [expected], rtol=1e-9)


def test_intervals_cover_the_truth(rng):
    """Of a probe that is held fixed: 300 tests of 100 prompts, 0.7 of them right."""
    covered = 0
    for _ in range(300):
        right = rng.random(100) < 0.7
        weights = rng.multinomial(100, np.full(100, 0.01), size=500)
        weights = np.vstack([np.ones(100), weights]).astype(float)
        draws = labels._accuracy(right, weights)
        low, high = np.quantile(draws[1:], [0.025, 0.975])
        covered += low <= 0.7 <= high
    # A percentile interval of a share of 100; two standard errors of 300 are 0.025.
    assert 0.90 <= covered / 300 <= 0.98


def test_rare_labels_are_on_both_sides_in_the_same_share(rng):
    truth = (np.arange(400) % 50 == 0).astype(int)  # 8 of 400
    states = rng.normal(size=(1, 400, 1, 4))
    grid = probe_grid(states, {"rare": truth}, probe=RidgeClassifier())
    assert grid.majority.item() == 1 - 2 / 100  # 2 of the 100 tested
    groups = np.arange(400) // 4
    grid = probe_grid(states, {"rare": truth}, probe=RidgeClassifier(), groups=groups)
    assert 0 < 1 - grid.majority.item() < 0.05 and grid.attrs["n_groups"] == 100


def test_labels_of_tokens_and_contexts(states, rng):
    """A label for each token, and one for each context, read where they belong."""
    signs = states[1, :, :, 0] > 0
    probe = RidgeClassifier()
    grid = probe_grid(states, {"sign": signs, "last": signs[:, 2]}, probe=probe)
    by_token = grid.accuracy.sel(layer=1, target="sign")
    assert (by_token > 0.9).all()
    of_last = grid.accuracy.sel(layer=1, target="last").values
    assert of_last[2] > 0.9 and (of_last[:2] < 0.7).all()
    contexts = probe_grid(
        states, {"sign": signs[:, [0, 2]]}, probe=probe, contexts=[0, 0, 1]
    ).accuracy.sel(layer=1, target="sign")
    assert contexts[0] > 0.9 and contexts[1] < 0.7 and contexts[2] > 0.9


def test_the_fast_classifier_takes_streams_and_gives_coefficients(states, of_three):
    probe = make_pipeline(StandardScaler(), RidgeClassifier(3.0))
    targets = {"part": of_three}
    array, streamed = (
        probe_grid(given, targets, probe=probe, batch=16, coefficients=True)
        for given in (states, lambda rows: states[:, rows])
    )
    for name in ("accuracy", "auroc", "coef", "intercept"):
        np.testing.assert_allclose(streamed[name], array[name], rtol=1e-9, atol=1e-12)
    fitted, _, _ = halves(array, states[1, :, 2], of_three, probe)
    coef = fitted[-1].coef_ / fitted[0].scale_
    np.testing.assert_allclose(
        array.coef.sel(layer=1, token=2, target="part"), coef, rtol=1e-9
    )


def test_a_label_that_is_missing_in_training_is_never_guessed(rng):
    """The split is by group, and one group has a label of its own."""
    states = rng.normal(size=(1, 40, 1, 3))
    truth = np.array(["a", "b"] * 20)
    truth[-4:] = "c"
    groups = np.append(np.arange(36), [36] * 4)
    for seed in range(20):
        grid = probe_grid(
            states, {"t": truth}, probe=GaussianNB(), groups=groups, seed=seed
        )
        assert np.isfinite(grid.accuracy).all() and np.isfinite(grid.log_loss).all()


@pytest.mark.parametrize(
    ("values", "probe", "said"),
    [
        (np.zeros(40), RidgeClassifier(), "must hold labels .*astype\\(int\\)"),
        (np.arange(40)[:, None] % 2, RidgeClassifier(), "one label for each prompt"),
        (np.array([{}] * 40), GaussianNB(), "labels that can be sorted"),
        (np.zeros(40, int), GaussianNB(), "the same label for all"),
        (np.arange(40) % 2, KMeans(), "must be a scikit-learn regressor or classifier"),
        (np.array(["a", "b"] * 20), None, "such as RidgeClassifier"),
    ],
)
def test_what_is_no_label_is_refused_in_a_sentence(rng, values, probe, said):
    with pytest.raises(ValueError, match=said):
        probe_grid(rng.normal(size=(1, 40, 2, 3)), {"t": values}, probe=probe)


def test_one_label_in_training_names_the_token(rng):
    truth = np.zeros((40, 2), int)
    truth[:, 0] = np.arange(40) % 2
    truth[0, 1] = 1
    groups = np.arange(40)
    states = rng.normal(size=(1, 40, 2, 3))
    for seed in range(30):
        try:
            probe_grid(
                states, {"t": truth}, probe=GaussianNB(), groups=groups, seed=seed
            )
        except ValueError as error:
            assert "one label only among the training prompts at token 1" in str(error)
            return
    pytest.fail("in 30 seeds prompt 0 was never tested")
