import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from probes import pooled
from probes.pooled import PooledProbe, ProbeConfig

LAYERS, PROMPTS, TOKENS, FEATURES = 2, 1_500, 5, 6
TRAIN, VALIDATION, TEST = np.split(np.arange(PROMPTS), [900, 1_100])
SPLIT = {"train": TRAIN, "validation": VALIDATION}

# Two targets, each with three sets of tokens: all, the first four, the first three.
READS = np.tile(np.arange(TOKENS) < np.array([[5], [4], [3]]), (2, 1))
LINEAR_CODE, SQUARED_CODE = slice(0, 3), slice(3, 6)  # probes that look for it
LINEAR_AT, SQUARED_AT = (1, 3), (0, 2)  # layer and token
CEILING = 0.8  # variance 1 of the code, 1/4 of the noise on it

QUICK = ProbeConfig(learning_rate=0.02, batch_size=64, max_iter=80)
HEADS = {"linear": QUICK, "mlp": QUICK._replace(units=16)}


@pytest.fixture(scope="module")
def hidden():
    return np.random.default_rng(0).normal(size=(LAYERS, PROMPTS, TOKENS, FEATURES))


@pytest.fixture(scope="module")
def targets(hidden):
    """Noisy features of one token, and the square of a feature of another, padded."""
    noise = np.random.default_rng(1).normal(size=(PROMPTS, 2))
    linear = hidden[1, :, 3, :2] + 0.5 * noise
    squared = hidden[0, :, 2, :1] ** 2 * [1.0, 0.0]
    return np.stack([linear] * 3 + [squared] * 3) * [1.0, 10.0] + [0.0, 3.0]


@pytest.fixture(scope="module", params=HEADS)
def head(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(hidden, targets, head):
    return pooled.fit(hidden, targets, READS, **SPLIT, config=HEADS[head])


def r2(probes, hidden, targets, reads=READS):
    """Held-out R2 over all varying coordinates, (layers, probes)."""
    guesses = pooled.predict(probes, hidden[:, TEST], reads)
    truths = targets[:, TEST]
    scale = np.maximum(truths.std(axis=1, keepdims=True), 1e-9)
    return np.array(
        [
            [
                r2_score(truth / s, guess / s, multioutput="variance_weighted")
                for truth, guess, s in zip(truths, layer, scale, strict=True)
            ]
            for layer in guesses
        ]
    )


# --- what it finds ---


def test_a_planted_code_is_read_where_it_is(hidden, targets, fitted):
    scores = r2(fitted.probes, hidden, targets)[:, LINEAR_CODE]
    layer, token = LINEAR_AT
    weights = pooled.position_weights(fitted.probes, READS)[layer, LINEAR_CODE]
    # The standard error of an R2 of 0.8 over 2 x 400 numbers is sqrt(0.2^2 4 0.8 / 800)
    # = 0.013; fitting costs less than that.
    np.testing.assert_allclose(scores[layer, :2], CEILING, atol=0.04)
    assert (weights[:2].argmax(axis=1) == token).all() and weights[
        :2, token
    ].min() > 0.8
    # The third probe may not look there, and there is nothing in the other layer: what
    # the best of some dozen epochs on 200 prompts promises does not hold on others.
    assert scores[layer, 2] < 0.04 and scores[1 - layer].max() < 0.04


def test_only_an_mlp_reads_a_square(hidden, targets, fitted, head):
    layer, token = SQUARED_AT
    scores = r2(fitted.probes, hidden, targets)[layer, SQUARED_CODE]
    if head == "linear":
        assert abs(scores).max() < 0.05  # a square is uncorrelated with its root
    else:
        weights = pooled.position_weights(fitted.probes, READS)[layer, SQUARED_CODE]
        assert scores.min() > 0.9 and weights[:, token].min() > 0.9


def test_a_linear_head_is_least_squares_on_what_it_pools(hidden, targets):
    probes = pooled.fit(hidden, targets, READS, **SPLIT, config=HEADS["linear"]).probes
    layer, _ = LINEAR_AT
    weights = pooled.position_weights(probes, READS)[layer, 0]
    states = np.einsum("t,ptf->pf", weights, hidden[layer])
    oracle = LinearRegression().fit(states[TRAIN], targets[0, TRAIN])
    reached = r2(probes, hidden, targets)[layer, 0]
    best = r2_score(targets[0, TEST], oracle.predict(states[TEST]))
    # Adam at a constant rate wanders about the minimum: measured 0.03 standard
    # deviations in the coefficients, which is second order in R2, 1e-3.
    np.testing.assert_allclose(reached, best, atol=0.003)
    spread = targets[0, TRAIN].std(axis=0)
    np.testing.assert_allclose(
        probes.weights[0][layer, 0] / spread, oracle.coef_.T / spread, atol=0.1
    )


def test_the_loss_that_is_kept_is_that_of_the_probes_returned(hidden, targets, fitted):
    guesses = pooled.predict(fitted.probes, hidden[:, VALIDATION], READS)
    spread = targets[:, TRAIN].std(axis=1, keepdims=True)
    spread[spread == 0] = 1
    errors = ((guesses - targets[:, VALIDATION]) / spread) ** 2
    # The same sums in float32, in other units: eps 1e-7, a few hundred terms.
    np.testing.assert_allclose(
        fitted.validation_loss, errors.sum(axis=-1).mean(axis=-1), rtol=1e-4
    )


# --- laws ---


def test_a_probe_does_not_depend_on_those_beside_it(hidden, targets, head):
    config = HEADS[head]._replace(max_iter=15)
    together = pooled.fit(
        hidden, targets, READS, **SPLIT, config=config, layers_at_once=2
    )
    guesses = pooled.predict(together.probes, hidden[:, TEST], READS)
    for i in range(len(READS)):
        size = 2 if i < 3 else 1  # without the padding, too
        target, reads = targets[[i], :, :size], READS[[i]]
        alone = pooled.fit(hidden, target, reads, **SPLIT, config=config)
        guess = pooled.predict(alone.probes, hidden[:, TEST], reads)
        # Sums in another order differ by 1e-7, which 210 steps of Adam amplify little:
        # measured up to 2e-6 of a target's spread.
        scale = target[:, TEST].std(axis=1)
        np.testing.assert_allclose(
            guesses[:, i, :, :size] / scale, guess[:, 0] / scale, atol=1e-4
        )
        np.testing.assert_array_equal(together.n_iter[:, i], alone.n_iter[:, 0])


def test_tokens_that_may_not_be_read_have_no_influence(hidden, targets, fitted, head):
    weights = pooled.position_weights(fitted.probes, READS)
    assert (weights[:, ~READS] == 0).all() and (weights[:, READS] > 0).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)  # float32
    other = hidden.copy()
    other[:, :, 3:] = 1e3 * np.random.default_rng(2).normal(size=other[:, :, 3:].shape)
    again = pooled.fit(other, targets, READS, **SPLIT, config=HEADS[head])
    # Not even through the standardisation: the same program adds exact zeros.
    for i in (2, 5):
        np.testing.assert_array_equal(
            pooled.predict(fitted.probes, hidden, READS)[:, i],
            pooled.predict(again.probes, other, READS)[:, i],
        )


def test_weights_move_with_the_tokens(hidden, targets, fitted, head):
    order = np.array([2, 4, 3, 0, 1])
    moved = pooled.fit(
        hidden[:, :, order], targets, READS[:, order], **SPLIT, config=HEADS[head]
    )
    # Sums over tokens in another order, 1e-7; hundreds of steps of Adam amplify that
    # little where there is a code. Where there is none, weights follow noise.
    for (layer, _), i in ((LINEAR_AT, 0), (LINEAR_AT, 1)):
        np.testing.assert_allclose(
            pooled.position_weights(moved.probes, READS[:, order])[layer, i],
            pooled.position_weights(fitted.probes, READS)[layer, i][order],
            atol=1e-4,
        )


def test_units_of_features_and_targets_do_not_matter(hidden, targets, fitted, head):
    scales, shifts = 10.0 ** np.arange(-3, 3), np.arange(6.0)
    scaled = pooled.fit(
        hidden * scales + shifts * scales,
        100 * targets - 7,
        READS,
        **SPLIT,
        config=HEADS[head]._replace(max_iter=15),
    )
    plain = pooled.fit(
        hidden, targets, READS, **SPLIT, config=HEADS[head]._replace(max_iter=15)
    )
    guesses = pooled.predict(scaled.probes, hidden * scales + shifts * scales, READS)
    # Rounding of features up to five standard deviations from zero: measured 1e-5.
    np.testing.assert_allclose(
        (guesses + 7) / 100, pooled.predict(plain.probes, hidden, READS), atol=1e-3
    )


def test_the_seed_decides_everything(hidden, targets, fitted, head):
    again = pooled.fit(hidden, targets, READS, **SPLIT, config=HEADS[head])
    other = pooled.fit(hidden, targets, READS, **SPLIT, config=HEADS[head], seed=1)
    np.testing.assert_array_equal(again.probes.scores, fitted.probes.scores)
    np.testing.assert_array_equal(again.validation_loss, fitted.validation_loss)
    assert (other.validation_loss[LINEAR_AT[0]] != again.validation_loss[1]).any()


def test_arrays_may_lie_on_the_device_or_on_disk(hidden, targets, tmp_path):
    config = QUICK._replace(max_iter=3)
    np.save(tmp_path / "hidden.npy", hidden.astype(np.float32))
    kinds = (
        hidden,
        jnp.asarray(hidden, jnp.float32),
        np.load(tmp_path / "hidden.npy", mmap_mode="r"),
    )
    losses = [
        pooled.fit(kind, targets, READS, **SPLIT, config=config).validation_loss
        for kind in kinds
    ]
    np.testing.assert_array_equal(losses[0], losses[1])
    np.testing.assert_array_equal(losses[0], losses[2])


# --- when it stops ---


def test_it_stops_out_of_patience_and_keeps_the_best(hidden, targets):
    """A run that ends at the best epoch is as good; one that ends before is worse."""
    config = QUICK._replace(max_iter=200, n_iter_no_change=4)
    layer, probe = LINEAR_AT[0], [0]
    arguments = (hidden[[layer]], targets[probe], READS[probe])
    full = pooled.fit(*arguments, **SPLIT, config=config)
    n_iter = full.n_iter.item()
    assert 4 < n_iter < 200
    ends = (n_iter - 4, n_iter - 5)
    at_best, before = (
        pooled.fit(*arguments, **SPLIT, config=config._replace(max_iter=end))
        for end in ends
    )
    assert (at_best.n_iter.item(), before.n_iter.item()) == ends
    # One program but for where it ends: nothing is left to differ but its compilation.
    np.testing.assert_allclose(at_best.validation_loss, full.validation_loss, rtol=1e-5)
    np.testing.assert_allclose(at_best.probes.scores, full.probes.scores, atol=1e-3)
    assert before.validation_loss.item() > full.validation_loss.item()


def test_each_probe_has_its_own_patience(fitted, head):
    """Codes are learned for long; where there is none, a probe is soon done."""
    layer, other = LINEAR_AT[0], 1 - LINEAR_AT[0]
    found, nothing = fitted.n_iter[layer, 0], fitted.n_iter[other, 0]
    assert QUICK.n_iter_no_change <= nothing < found <= QUICK.max_iter


def test_where_nothing_helps_the_mean_is_kept(hidden):
    """Validation targets that are the training targets' opposite: any step hurts."""
    values = hidden[0, :, 0, :1].copy()
    values[VALIDATION] *= -1
    result = pooled.fit(hidden[:1], values[None], READS[:1], **SPLIT, config=QUICK)
    guesses = pooled.predict(result.probes, hidden[:1], READS[:1])
    assert result.n_iter.item() == QUICK.n_iter_no_change
    # A mean near zero of numbers near one, in float32.
    np.testing.assert_allclose(guesses, values[TRAIN].mean(), atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_constants_are_predicted_as_they_are(hidden, head):
    states = hidden.copy()
    states[..., 4], states[..., 5] = 0.1, 0.0
    targets = np.zeros((2, PROMPTS, 2))
    targets[0] = 0.1, -1e6  # their means are not exactly these
    targets[1, :, 0] = hidden[1, :, 3, 0]
    result = pooled.fit(states, targets, READS[:2], **SPLIT, config=HEADS[head])
    assert all(np.isfinite(array).all() for array in result.probes.weights)
    guesses = pooled.predict(result.probes, states, READS[:2])
    # float32 has seven digits.
    np.testing.assert_allclose(guesses[:, 0], targets[[0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(guesses[:, 1, :, 1], 0)
    assert r2(result.probes, states, targets, READS[:2])[1, 1] > 0.95


def test_weight_decay_makes_smaller_weights(hidden, targets, head):
    sizes = [
        np.linalg.norm(
            pooled.fit(
                hidden,
                targets,
                READS,
                **SPLIT,
                config=HEADS[head]._replace(max_iter=15, weight_decay=decay),
            ).probes.weights[0][LINEAR_AT[0], 0]
        )
        for decay in (0.0, 1.0)
    ]
    assert sizes[1] < 0.9 * sizes[0]


# --- as an estimator ---


@pytest.mark.usefixtures("untyped")
@parametrize_with_checks(
    [PooledProbe(units=16, batch_size=32, learning_rate=0.02, max_iter=100)],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": (
            "rows that are held out at random are others where rows are repeated"
        )
    },
    xfail_strict=True,
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def rows(hidden, targets):
    layer, token = SQUARED_AT
    return hidden[layer].reshape(PROMPTS, -1), hidden[layer, :, token, 0] ** 2


def estimator(head, **changes):
    settings = {"units": 16, "batch_size": 64, "learning_rate": 0.02, "max_iter": 200}
    return PooledProbe(TOKENS, head, random_state=0, **(settings | changes))


def test_the_estimator_is_the_engine(hidden, targets, head):
    X, y = hidden[1].reshape(PROMPTS, -1), targets[0]
    probe = estimator(head).fit(X[TRAIN], y[TRAIN])
    reads = np.ones((1, TOKENS), bool)
    probes = pooled.Probes(
        np.log(probe.position_weights_)[None, None],
        tuple(matrix[None, None] for matrix in probe.coefs_),
        tuple(vector[None, None] for vector in probe.intercepts_),
    )
    guesses = pooled.predict(probes, hidden[1:, TEST], reads)[0, 0]
    # Ours in float32, up to 30 in size; the estimator's in float64.
    np.testing.assert_allclose(probe.predict(X[TEST]), guesses, rtol=1e-5, atol=1e-5)
    assert probe.position_weights_.argmax() == LINEAR_AT[1]
    assert probe.predict(X[TEST]).dtype == np.float64
    np.testing.assert_allclose(probe.score(X[TEST], y[TEST]), CEILING, atol=0.04)
    assert 0.1 < probe.validation_loss_ < 1 and 10 < probe.n_iter_ < 200


def test_one_output_is_a_column_or_a_vector(rows):
    X, y = rows
    fast = {"max_iter": 3, "n_iter_no_change": 5}
    with pytest.warns(ConvergenceWarning, match="after max_iter=3 epochs"):
        vector = estimator("mlp", **fast).fit(X, y).predict(X)
    with pytest.warns(ConvergenceWarning):
        column = estimator("mlp", **fast).fit(X, y[:, None]).predict(X)
    assert vector.shape == (PROMPTS,) and column.shape == (PROMPTS, 1)
    np.testing.assert_array_equal(vector, column[:, 0])


def test_a_grid_search_through_a_pipeline_finds_the_right_head(rows):
    X, y = rows
    pipeline = make_pipeline(StandardScaler(), estimator("linear"))
    search = GridSearchCV(pipeline, {"pooledprobe__head": ["linear", "mlp"]}, cv=2)
    search.fit(X[TRAIN], y[TRAIN])
    assert search.best_params_ == {"pooledprobe__head": "mlp"}
    assert search.score(X[TEST], y[TEST]) > 0.9
    best = search.best_estimator_[-1]
    assert best.position_weights_.argmax() == SQUARED_AT[1]


# --- bad input ---


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_tokens": 7}, r"n_tokens=7 does not divide the 30 columns of X"),
        ({"n_tokens": 0}, "'n_tokens' parameter of PooledProbe must be an int"),
        ({"head": "cubic"}, "'head' parameter of PooledProbe must be a str among"),
        ({"units": 0}, "'units' parameter"),
        ({"learning_rate": 0.0}, "'learning_rate' parameter"),
        ({"weight_decay": -1.0}, "'weight_decay' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        (
            {"validation_fraction": 0.9999},
            "validation_fraction must leave a row to train on",
        ),
    ],
)
def test_the_estimator_refuses_in_one_sentence(rows, changes, message):
    X, y = rows
    with pytest.raises(ValueError, match=message):
        estimator("mlp").set_params(**changes).fit(X, y)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    "reads", [np.zeros((1, TOKENS), bool), np.ones((1, TOKENS - 1), bool)]
)
def test_a_probe_needs_a_token_to_read(hidden, targets, reads):
    with pytest.raises(ValueError, match=r"\(probes, tokens\) = \(1, 5\) and let each"):
        pooled.fit(hidden, targets[:1], reads, **SPLIT, config=QUICK)


def test_values_that_are_not_finite_are_refused(hidden, targets):
    holed = hidden.copy()
    holed[1, VALIDATION[3], 4, 2] = np.nan
    with pytest.raises(ValueError, match="hidden must be finite, got NaN"):
        pooled.fit(holed, targets, READS, **SPLIT, config=HEADS["mlp"])
