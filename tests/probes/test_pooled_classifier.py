"""Pooled probes of labels: the softmax head, its optimum, and its grid."""

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import parametrize_with_checks

from probes import PooledClassifier, probe_grid

PROMPTS = 400
NAMES = np.array(["noun", "other", "verb"])
QUICK = {
    "head": "linear",
    "learning_rate": 0.02,
    "batch_size": 64,
    "max_iter": 60,
    "random_state": 0,
}
unfinished = pytest.mark.filterwarnings("ignore:.*still improving")
pytestmark = unfinished


@pytest.fixture(scope="module")
def hidden():
    return np.random.default_rng(0).normal(size=(2, PROMPTS, 2, 4))


@pytest.fixture(scope="module")
def labels(hidden):
    """Labels that the second layer's first token holds, with some noise."""
    noise = np.random.default_rng(1).gumbel(size=(PROMPTS, 3))
    return NAMES[(2 * hidden[1, :, 0, :3] + noise).argmax(axis=1)]


@pytest.fixture(scope="module")
def grid(hidden, labels):
    targets = {"kind": labels, "is noun": labels == "noun"}
    return probe_grid(hidden, targets, probe=PooledClassifier(**QUICK), resamples=50)


@pytest.mark.usefixtures("untyped")
@parametrize_with_checks(
    [PooledClassifier(batch_size=32, learning_rate=0.02, max_iter=60, head="linear")],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": (
            "rows that are held out at random are others where rows are repeated"
        )
    },
    xfail_strict=True,
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def test_a_linear_head_of_one_token_is_logistic_regression(hidden, labels):
    X = hidden[1, :, 0]
    ours = PooledClassifier(**QUICK).fit(X[:300], labels[:300])
    theirs = LogisticRegression(C=1e6).fit(X[:300], labels[:300])
    assert ours.classes_.tolist() == theirs.classes_.tolist() == NAMES.tolist()
    chances, expected = (probe.predict_proba(X[300:]) for probe in (ours, theirs))
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-6)  # float32 logits
    losses = [log_loss(labels[300:], each) for each in (chances, expected)]
    # Ours is fitted to four fifths of the rows and stops early.
    assert abs(losses[0] - losses[1]) < 0.05 and losses[0] < 0.8 * np.log(3)
    agreement = (ours.predict(X) == theirs.predict(X)).mean()
    assert agreement > 0.9
    assert (ours.predict(X[300:]) == NAMES[chances.argmax(axis=1)]).all()


def test_before_training_it_knows_the_shares_of_labels(hidden, labels):
    """At a rate of next to nothing: also a label that nobody holds out or trains on."""
    X, rare = hidden[1, :, 0], labels.copy()
    rare[0] = "interjection"
    probe = PooledClassifier(**QUICK | {"learning_rate": 1e-12, "max_iter": 1})
    chances = probe.fit(X, rare).predict_proba(X)
    shares = [(rare == name).mean() for name in probe.classes_]
    np.testing.assert_allclose(chances, np.tile(shares, (PROMPTS, 1)), atol=0.05)
    assert np.isfinite(probe.validation_loss_)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_weights_of_rows_move_the_shares(hidden, labels, head):
    X = hidden[0, :, 0]
    weights = np.where(labels == "verb", 0.0, np.where(labels == "noun", 3.0, 1.0))
    probe = PooledClassifier(**QUICK | {"head": head, "units": 8, "max_iter": 3})
    chances = probe.fit(X, labels, weights).predict_proba(X)
    expected = [weights[labels == name].sum() for name in NAMES] / weights.sum()
    # The features know nothing of the labels; a few epochs have learned that little.
    np.testing.assert_allclose(chances.mean(axis=0), expected, atol=0.1)
    assert chances[:, 2].max() == 0


def test_a_grid_has_the_scores_of_labels(grid, labels):
    cell = grid.sel(layer=1, target="kind")
    assert (cell.accuracy > cell.majority + 0.2).all()  # the second token looks back
    assert (cell.log_loss < cell.prior_log_loss - 0.3).all()
    assert (grid.sel(layer=0).accuracy_low <= grid.sel(layer=0).majority).all()
    assert (grid.sel(layer=1, target="is noun").auroc > 0.8).all()
    assert (grid.control_accuracy < 0.75).all()
    assert grid.attrs["classes of kind"] == "noun, other, verb"
    assert cell.position_weights.sel(token=1).values.argmax() == 0
    assert (grid.n_iter > 0).all() and grid.attrs["n_validation"] == 60
    best = grid.validation_error.sel(target="kind", token=0)  # in bits
    assert best.values.argmin() == 1 and best.max() < np.log2(3) + 0.1


def test_targets_beside_a_target_do_not_matter(hidden, labels, grid):
    alone = probe_grid(
        hidden, {"kind": labels}, probe=PooledClassifier(**QUICK), resamples=50
    )
    # One program of other shapes, in float32.
    ours = grid.sel(target=["kind"])[list(alone.data_vars)]
    xr.testing.assert_allclose(ours.accuracy, alone.accuracy, atol=0.02)
    xr.testing.assert_allclose(ours.log_loss, alone.log_loss, atol=1e-2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(PROMPTS, int), r"labels of at least 2 classes, got .*0.* alone"),
        (np.linspace(0, 1, PROMPTS), "Unknown label type"),
        (np.zeros((PROMPTS, 2), int), "y should be a 1d array"),
    ],
)
def test_what_is_no_label_is_refused(hidden, y, message):
    with pytest.raises(ValueError, match=message):
        PooledClassifier(**QUICK).fit(hidden[0, :, 0], y)


def test_a_grid_needs_two_labels_and_whole_prompts(hidden, labels):
    probe = PooledClassifier(**QUICK)
    rare = np.zeros((PROMPTS, 2), int)
    rare[0] = 1  # whoever gets this label as its control may be tested
    with pytest.raises(ValueError, match="one label only among the training prompts"):
        probe_grid(hidden, {"k": rare}, probe=probe)
    with pytest.raises(ValueError, match="PooledClassifier reads several tokens"):
        valid = np.arange(2) < 1 + (np.arange(PROMPTS)[:, None] % 2)
        probe_grid(hidden, {"k": labels}, probe=probe, valid=valid)
