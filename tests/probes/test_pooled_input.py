"""What pooled probes are given is read as it is, in any units, or refused."""

import datetime

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from probes import PooledClassifier, PooledProbe, pooled
from probes.pooled import ProbeConfig

CONFIG = ProbeConfig(units=4, max_iter=3, learning_rate=0.02)
READS = np.array([[True, True, False], [True, True, True]])
PROMPTS = 40

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def problem(rng):
    """The arguments of a fit, whose features have different sizes."""
    hidden = rng.normal(size=(2, PROMPTS, 3, 4)) * [1.0, 10.0, 0.1, 1.0] + 1.0
    return {
        "hidden": hidden,
        "targets": np.stack([hidden[1, :, 1, :2], hidden[0, :, 0, :2] ** 2]),
        "reads": READS,
        "train": np.arange(30),
        "validation": np.arange(30, PROMPTS),
        "config": CONFIG,
    }


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(PROMPTS, 4))
    return X, X[:, 0], np.arange(PROMPTS) % 2


@pytest.mark.parametrize("weights", [None, np.linspace(0, 1, PROMPTS)])
@pytest.mark.parametrize("unit", [2.0**-90, 2.0**-60, 2.0**60, 2.0**90])
def test_features_have_any_units(problem, unit, weights):
    """The squares of float32 would be 0 or infinite."""
    hidden = np.float32(problem["hidden"])
    plain = pooled.fit(**problem | {"hidden": hidden}, sample_weight=weights)
    units = np.array([1.0, 1.0, 1.0, unit])  # of one feature, then of all
    for given in (hidden * np.float32(units), hidden * np.float32(unit)):
        scaled = pooled.fit(**problem | {"hidden": given}, sample_weight=weights)
        np.testing.assert_allclose(
            scaled.validation_loss, plain.validation_loss, rtol=1e-5
        )
        np.testing.assert_allclose(
            pooled.predict(scaled.probes, given, READS),
            pooled.predict(plain.probes, hidden, READS),
            rtol=1e-4,
            atol=1e-5,
        )


def test_features_are_standardised_over_what_a_probe_reads(problem):
    """Whatever the tokens that it may not read hold."""
    hidden = problem["hidden"].copy()
    plain = pooled.fit(**problem).validation_loss
    hidden[:, :, 2] *= 1e25
    found = pooled.fit(**problem | {"hidden": hidden}).validation_loss
    np.testing.assert_allclose(found[:, 0], plain[:, 0], rtol=1e-5)


def test_sample_weights_count_by_their_ratios(problem):
    weights = np.linspace(0, 1, PROMPTS)
    plain = pooled.fit(**problem, sample_weight=weights)
    huge = pooled.fit(**problem, sample_weight=weights * 2.0**1023)
    np.testing.assert_array_equal(huge.validation_loss, plain.validation_loss)


def test_arrays_of_any_kind_are_read(untyped, problem):
    hidden = problem["hidden"].astype(ml_dtypes.bfloat16)
    plain = pooled.fit(**problem | {"hidden": hidden.astype(float)}).validation_loss
    for given in (hidden, jnp.asarray(hidden), hidden.astype(float).tolist()):
        found = pooled.fit(**problem | {"hidden": given}).validation_loss
        np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": np.full((2, PROMPTS, 2), 1e200)}, "targets must hold numbers of"),
        ({"hidden": np.full((2, PROMPTS, 3, 4), 1e-40)}, "hidden must hold numbers of"),
        ({"hidden": np.ones((2, 3, 4))}, r"hidden must have axes \(layers"),
        ({"targets": np.ones((2, 9, 2))}, r"targets must have shape \(probes, prompts"),
        ({"reads": np.ones((2, 3), int)}, "reads must be booleans of shape"),
        ({"train": []}, "train must be the indices of at least one prompt"),
        ({"train": [-1]}, r"train must be integers in \[0, 40\)"),
        ({"train": np.ones(PROMPTS, bool)}, "train must be integers in"),
        ({"validation": [PROMPTS]}, "validation must be integers in"),
        ({"seed": 2**32}, "seed must be an integer"),
        ({"layers_at_once": 0}, "layers_at_once must be an integer >= 1"),
        ({"labelled": True}, "targets must be 1 for the right label"),
        ({"sample_weight": -np.ones(PROMPTS)}, "sample_weight must hold numbers of at"),
        (
            {"sample_weight": np.arange(PROMPTS) < 30},
            "sample_weight must be above 0 for some prompts of validation",
        ),
        ({"config": CONFIG._replace(units=0)}, "config.units must be an integer >= 1"),
        ({"config": CONFIG._replace(units=10**12)}, "config.units must be an integer"),
        ({"config": CONFIG._replace(max_iter=True)}, "config.max_iter must be an int"),
        ({"config": CONFIG._replace(learning_rate=None)}, "config.learning_rate must"),
        ({"config": CONFIG._replace(weight_decay=-1)}, "config.weight_decay at least"),
    ],
)
def test_fit_refuses_in_one_sentence(untyped, problem, changes, message):
    with pytest.raises(ValueError, match=message):
        pooled.fit(**problem | changes)


def test_predict_refuses_other_states_and_broken_probes(untyped, problem):
    probes, hidden = pooled.fit(**problem).probes, problem["hidden"]
    for given in (hidden[:1], hidden[:, :, :2], hidden[..., :3], hidden[0]):
        with pytest.raises(ValueError, match="hidden must have"):
            pooled.predict(probes, given, READS)
    with pytest.raises(ValueError, match="hidden must hold numbers of which"):
        pooled.predict(probes, hidden * 1e300, READS)
    for broken in (
        probes._replace(weights=()),
        probes._replace(biases=probes.biases[:1]),
        probes._replace(scores=probes.scores[:1]),
        probes._replace(scores=None),
        tuple(probes),
    ):
        with pytest.raises(ValueError, match="probes"):
            pooled.position_weights(broken, READS)


def test_labels_are_labels(untyped, rows):
    X, _, labels = rows
    probe = PooledClassifier(2, "linear", max_iter=1, random_state=0)
    bad = {
        "some are masked": np.ma.masked_array(labels, labels == 1),
        "got datetime64": labels.astype("M8[D]"),
        "got timedelta64": labels.astype("m8[s]"),
        "got None": [None, *labels[1:].tolist()],
        "bytes is not supported": labels.astype("S1"),
        "y must hold labels": [datetime.date(2026, 1, 1 + x) for x in labels],
    }
    for message, y in bad.items():
        with pytest.raises(ValueError, match=message):
            probe.fit(X, y)
    wanted = probe.fit(X, labels).predict_proba(X)
    for y in (labels.astype(float), labels.astype(ml_dtypes.int4), labels > 0):
        np.testing.assert_array_equal(probe.fit(X, y).predict_proba(X), wanted)


def test_numbers_are_numbers(untyped, rows):
    X, y, _ = rows
    probe = PooledProbe(2, "linear", max_iter=1, random_state=0)
    for text in (X.astype(str), X.astype(str).astype(object)):
        with pytest.raises(ValueError, match="X must hold real numbers"):
            probe.fit(text, y)
        with pytest.raises(ValueError, match="X must hold real numbers"):
            probe.fit(X, y).predict(text)
    for unit in (1e-200, 1e200):
        with pytest.raises(ValueError, match="y must hold numbers of which the larg"):
            probe.fit(X, y * unit)
        with pytest.raises(ValueError, match="X must hold numbers of which the larg"):
            probe.fit(X * unit, y)
    short = X.astype(ml_dtypes.bfloat16)
    wanted = probe.fit(short.astype(float), y).predict(X)
    for given in (short, jnp.asarray(short)):
        np.testing.assert_array_equal(probe.fit(given, y).predict(X), wanted)


@pytest.mark.parametrize("labelled", [False, True])
def test_tensors_are_read(untyped, rows, labelled):
    torch = pytest.importorskip("torch")
    X, y, labels = rows
    X, y = np.float32(X), labels if labelled else np.float32(y)
    kind = PooledClassifier if labelled else PooledProbe
    probe = kind(2, "linear", max_iter=1, random_state=0)
    wanted = probe.fit(X, y).predict(X)
    tensor, of_y = torch.tensor(X, requires_grad=True), torch.tensor(y)
    np.testing.assert_array_equal(probe.fit(tensor, of_y).predict(tensor), wanted)
    probe.fit(tensor.bfloat16(), of_y)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n_tokens", [True, 10**30]),
        ("units", [True, 10**12]),
        ("batch_size", [True, 10**30]),
        ("max_iter", [True, 10**30]),
        ("n_iter_no_change", [True, 10**30]),
        ("learning_rate", [True, 1e300, 10**400]),
        ("weight_decay", [True, 1e300]),
    ],
)
def test_settings_are_integers_and_numbers(untyped, rows, name, values):
    X, y, _ = rows
    for value in values:
        probe = PooledProbe(2, max_iter=1).set_params(**{name: value})
        with pytest.raises(ValueError, match=name):
            probe.fit(X, y)
