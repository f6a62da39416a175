"""Labels are erased as LEACE erases one-hot columns, and written by least changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from probes import fit_eraser, write_class

FEATURES = 5


@pytest.fixture
def states(rng):
    """Correlated features away from 0."""
    return rng.normal(size=(300, FEATURES)) @ rng.normal(size=(5, FEATURES)) + 2.0


def kinds(states, count):
    """Labels that the states determine linearly, in shares of about 1 to `count`."""
    z = (states[:, 0] - states[:, 0].mean()) / states[:, 0].std()
    edges = np.linspace(-0.3, 1.2, count - 1)
    return np.array(["verb", "noun", "other", "article"])[np.searchsorted(edges, z)]


def shares(labels):
    return np.unique(labels, return_counts=True)[1] / len(labels)


# --- erase ---


@pytest.mark.parametrize("count", [2, 3, 4])
def test_no_linear_classifier_reads_erased_labels(states, count):
    """At the optimum the chances are the shares of the labels, whatever the state."""
    labels = kinds(states, count)
    probe = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5_000)
    line = shares(labels).max()
    assert probe.fit(states, labels).score(states, labels) > line + 0.2
    erased = fit_eraser(states, labels)(states)
    probe.fit(erased, labels)
    # An iterative minimiser, with a gradient of 1e-10.
    chances = np.broadcast_to(shares(labels), (300, count))
    np.testing.assert_allclose(probe.predict_proba(erased), chances, atol=1e-6)
    assert probe.score(erased, labels) == line
    ridge = RidgeClassifier(1e-9).fit(erased, labels)
    assert ridge.score(erased, labels) == line


@pytest.mark.parametrize("count", [2, 4])
def test_erased_classes_have_one_mean_and_the_map_is_that_of_one_hot_columns(
    states, count
):
    labels = kinds(states, count)
    eraser = fit_eraser(states, labels)
    assert eraser.left.shape == (FEATURES, count - 1)
    erased = eraser(states)
    means = [erased[labels == label].mean(axis=0) for label in np.unique(labels)]
    # Guardedness in closed form (Belrose et al. 2023, Theorem 3.1); float64.
    np.testing.assert_allclose(means, [states.mean(axis=0)] * count, atol=1e-12)
    hot = np.eye(count)[np.unique(labels, return_inverse=True)[1]]
    deviations, around = states - states.mean(axis=0), hot - hot.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(states.T))
    whiten = (vectors / np.sqrt(values)) @ vectors.T
    columns = np.linalg.svd(whiten @ deviations.T @ around)[0][:, : count - 1]
    taken = np.linalg.solve(whiten, columns @ columns.T @ whiten)
    # Theorem 4.3; condition of the covariance ~1e3.
    np.testing.assert_allclose(erased, states - deviations @ taken.T, atol=1e-10)


def test_labels_of_every_kind_are_erased_alike(states):
    sign = states[:, 0] > 2
    first = fit_eraser(states, sign)(states)
    for labels in (sign.astype(int), np.where(sign, "b", "a"), sign.tolist()):
        np.testing.assert_array_equal(fit_eraser(states, labels)(states), first)
    column = fit_eraser(states, sign[:, None].astype(float))(states)
    np.testing.assert_allclose(column, first, atol=1e-12)


# --- write ---


@pytest.mark.parametrize(
    "probe", [LogisticRegression(max_iter=999), RidgeClassifier()], ids=repr
)
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("weighted", [False, True], ids=["euclidean", "covariance"])
def test_a_numerical_minimiser_finds_the_same_change(states, probe, count, weighted):
    labels = kinds(states, count)
    probe = probe.fit(states, labels)
    wanted = np.roll(labels, 1)
    covariance = np.cov(states.T) if weighted else np.eye(FEATURES)
    reads = probe.coef_, probe.intercept_
    given = {"covariance": covariance} if weighted else {}
    edited = write_class(states, *reads, wanted, probe.classes_, margin=0.3, **given)
    assert (probe.predict(edited) == wanted).all()
    precision = np.linalg.inv(covariance)
    for prompt in range(6):
        code = np.flatnonzero(probe.classes_ == wanted[prompt])[0]

        def ahead(d, prompt=prompt, code=code):
            scores = probe.decision_function(states[prompt : prompt + 1] + d)[0]
            if count == 2:
                return scores * (2 * code - 1) - 0.3
            return np.delete(scores[code] - scores, code) - 0.3

        best = scipy.optimize.minimize(
            lambda d: d @ precision @ d,
            np.zeros(FEATURES),
            jac=lambda d: 2 * precision @ d,
            constraints={"type": "ineq", "fun": ahead},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        change = edited[prompt] - states[prompt]
        # An iterative minimiser: it stops ~1e-7 short.
        np.testing.assert_allclose(change, best.x, atol=1e-4)


def test_states_that_read_the_class_stay_and_others_reach_the_margin(states):
    labels = kinds(states, 3)
    probe = LogisticRegression().fit(states, labels)
    reads = probe.coef_, probe.intercept_
    hidden = states.reshape(100, 3, FEATURES)
    edited = write_class(hidden, *reads, "noun", probe.classes_, margin=0.5)
    scores = probe.decision_function(edited.reshape(300, FEATURES))
    noun = list(probe.classes_).index("noun")
    ahead = (scores[:, [noun]] - np.delete(scores, noun, axis=1)).min(axis=1)
    before = probe.decision_function(states)
    was = (before[:, [noun]] - np.delete(before, noun, axis=1)).min(axis=1)
    # Float64; scores of ~10.
    np.testing.assert_allclose(ahead, np.maximum(was, 0.5), atol=1e-10)
    stays = (was >= 0.5).reshape(100, 3)
    assert 0 < stays.mean() < 1
    np.testing.assert_array_equal(edited[stays], hidden[stays])
    # By token: one label for each, the same for all prompts.
    by_token = write_class(hidden, *reads, [["noun", "verb", "other"]], probe.classes_)
    read = probe.predict(by_token.reshape(300, FEATURES)).reshape(100, 3)
    assert (read == ["noun", "verb", "other"]).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_jax_arrays_come_back_as_they_were(states, dtype):
    labels = states[:, 0] > 2
    probe = LogisticRegression().fit(states, labels)
    given = jnp.asarray(states, dtype)
    call = (probe.coef_, probe.intercept_, True, [False, True])
    edited = write_class(given, *call)
    assert isinstance(edited, jax.Array) and edited.dtype == given.dtype
    assert probe.predict(np.asarray(edited, float)).all()
    with pytest.raises(ValueError, match="outside of"):
        jax.jit(lambda h: write_class(h, *call))(given)


def test_a_state_that_is_not_finite_stays(rng):
    hidden = rng.normal(size=(3, FEATURES))
    hidden[1, 2] = np.nan
    coef = np.eye(3, FEATURES)
    edited = write_class(hidden, coef, np.zeros(3), "c", ["a", "b", "c"])
    np.testing.assert_array_equal(edited[1], hidden[1])
    assert (edited[::2, :3].argmax(axis=1) == 2).all()


# --- bad input ---

THREE, TWO = np.eye(3, FEATURES), np.eye(1, FEATURES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h: fit_eraser(h, h[:, 0]), r"a scalar as values\[:, None\]"),
        (lambda h: fit_eraser(h, ["a"] * 4), "both vary"),
        (lambda h: fit_eraser(h, ["a", "b"]), "each of the 4 prompts"),
        (lambda h: fit_eraser(h, ["a", "b", None, "a"]), "label for each prompt"),
        (lambda h: fit_eraser(h, ["a", "b", 3, "a"]), "labels of one kind"),
        (lambda h: write_class(h, THREE, np.zeros(3), 3, [0, 1, 2]), "among .*got 3"),
        (lambda h: write_class(h, THREE, np.zeros(3), 1, [0, 1]), "3 different labels"),
        (lambda h: write_class(h, THREE, np.zeros(3), 1, [0, 1, 1]), "3 different"),
        (lambda h: write_class(h, TWO, [0.0], 1, [1]), "2 different labels .* 1 rows"),
        (lambda h: write_class(h, THREE, [0.0], 1, [0, 1, 2]), "each of the 3 rows"),
        (
            lambda h: write_class(h, TWO, [0.0], [0, 1, 1], [0, 1]),
            r"one label, or have shape \(4,\)",
        ),
        (lambda h: write_class(h, TWO, [0.0], 0.5, [0, 1]), "must hold labels"),
        (lambda h: write_class(h, TWO, [0.0], 1, [0, 1], margin=0), "above 0, got 0.0"),
        (
            lambda h: write_class(h[:, :4], TWO, [0.0], 1, [0, 1]),
            r"4 features of hidden, got shape \(1, 5\)",
        ),
        (
            lambda h: write_class(h, THREE[[0, 1, 1]], np.zeros(3), 1, [0, 1, 2]),
            "only 1 independent ways",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:fit_eraser has")
def test_bad_input_meets_a_sentence(untyped, rng, call, message):
    with pytest.raises(ValueError, match=message) as raised:
        call(rng.normal(size=(4, FEATURES)))
    assert "\n" not in str(raised.value)
