import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes.controls import donors
from probes.interventions import (
    Eraser,
    fit_eraser,
    movement,
    random_change,
    swap,
    write,
)

PROMPTS, FEATURES, Q = 400, 6, 2
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture
def states(rng):
    """Correlated features of scales from 0.1 to 10, away from 0."""
    mixed = rng.normal(size=(PROMPTS, FEATURES)) @ rng.normal(size=(FEATURES, FEATURES))
    return mixed * 10.0 ** np.linspace(-1, 1, FEATURES) + 3.0


@pytest.fixture
def target(rng, states):
    """Read linearly from the states in part; coordinates of scales 1 and 1000."""
    z = states / states.std(axis=0)
    values = z[:, :Q] - z[:, 1:3] + rng.normal(size=(PROMPTS, Q))
    return values * [1.0, 1000.0]


@pytest.fixture
def probe(rng):
    return rng.normal(size=(Q, FEATURES)), rng.normal(size=Q)


def linear_r2(states, target):
    fit = LinearRegression().fit(states, target)
    errors = ((target - fit.predict(states)) ** 2).sum(axis=0)
    return 1 - errors / ((target - target.mean(axis=0)) ** 2).sum(axis=0)


# --- write ---


@given(
    axes=arrays.array_shapes(max_dims=2, max_side=4),
    q=st.integers(1, FEATURES),
    seed=seeds,
)
def test_what_is_written_is_read_by_the_shortest_change(axes, q, seed):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(*axes, FEATURES))
    coef = np.linalg.qr(rng.normal(size=(FEATURES, q)))[0].T * rng.uniform(
        0.5, 2, (q, 1)
    )
    intercept, values = rng.normal(size=q), rng.normal(size=(*axes, q))
    edited = write(hidden, coef, intercept, values)
    # Float64, rows of coef orthogonal: rounding alone.
    np.testing.assert_allclose(edited @ coef.T + intercept, values, atol=1e-12)

    # Any other change that reads the same adds something that the probe does not see.
    unseen = rng.normal(size=(*axes, FEATURES))
    unseen -= unseen @ np.linalg.pinv(coef) @ coef
    change = edited - hidden
    np.testing.assert_allclose(unseen @ coef.T, 0, atol=1e-12)
    longer = np.linalg.norm(change + unseen, axis=-1)
    assert (longer >= np.linalg.norm(change, axis=-1) - 1e-12).all()


@pytest.mark.parametrize("weighted", [False, True], ids=["euclidean", "mahalanobis"])
def test_a_numerical_minimiser_finds_the_same_change(rng, probe, weighted):
    coef, intercept = probe
    factor = rng.normal(size=(FEATURES, FEATURES))
    covariance = factor @ factor.T + np.eye(FEATURES) if weighted else np.eye(FEATURES)
    hidden, values = rng.normal(size=FEATURES), rng.normal(size=Q)
    precision = np.linalg.inv(covariance)
    best = scipy.optimize.minimize(
        lambda d: d @ precision @ d,
        np.zeros(FEATURES),
        jac=lambda d: 2 * precision @ d,
        constraints={
            "type": "eq",
            "fun": lambda d: coef @ (hidden + d) + intercept - values,
        },
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    given_covariance = covariance if weighted else None
    edited = write(hidden, coef, intercept, values, covariance=given_covariance)
    # An iterative minimiser of a quadratic: it stops ~1e-7 short.
    np.testing.assert_allclose(edited - hidden, best.x, atol=1e-5)


def test_writing_is_idempotent_and_writing_what_is_read_changes_nothing(states, probe):
    coef, intercept = probe
    wanted = np.ones((PROMPTS, Q))
    once = write(states, coef, intercept, wanted)
    # Float64 states of size ~30 and coef of size ~1.
    np.testing.assert_allclose(write(once, coef, intercept, wanted), once, atol=1e-11)
    same = write(states, coef, intercept, states @ coef.T + intercept)
    np.testing.assert_allclose(same, states, atol=1e-11)


@pytest.mark.parametrize("rows", [np.eye(3, 6)[[0, 1, 1]], np.zeros((1, 6))])
def test_a_value_that_cannot_be_written_is_refused(rows):
    rank = np.linalg.matrix_rank(rows)
    with pytest.raises(ValueError, match=f"only {rank} are independent"):
        write(np.ones((4, 6)), rows, np.zeros(len(rows)), np.ones((4, len(rows))))


# --- erase ---


def test_no_linear_probe_reads_an_erased_target(rng, states, target):
    assert (linear_r2(states, target) > 0.3).all()
    fit, held = slice(0, 300), slice(300, None)
    eraser = fit_eraser(states[fit], target[fit])
    erased = eraser(states)
    # Covariance is rounding, so that the best linear probe explains nothing: R2 is the
    # square of a correlation of ~1e-13.
    assert abs(linear_r2(erased[fit], target[fit])).max() < 1e-12
    probe = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-4, 6, 11)))
    guess = probe.fit(erased[fit], target[fit]).predict(erased[held])
    errors = ((guess - target[held]) ** 2).sum(axis=0)
    spread = ((target[held] - target[held].mean(axis=0)) ** 2).sum(axis=0)
    # What a probe of nothing scores elsewhere: minus the offset of 100 prompts' mean.
    assert (1 - errors / spread < 0.01).all()


def test_erasing_is_an_idempotent_projection_of_the_rank_of_the_target(states, target):
    redundant = np.hstack([target, target @ [[1.0], [2.0]], np.full((PROMPTS, 1), 5.0)])
    eraser = fit_eraser(states, redundant)
    assert eraser.left.shape == (FEATURES, Q)
    # Float64, singular values of the states within a factor of ~100.
    np.testing.assert_allclose(eraser.right @ eraser.left, np.eye(Q), atol=1e-11)
    once = eraser(states)
    np.testing.assert_allclose(eraser(once), once, atol=1e-10)
    np.testing.assert_allclose(once.mean(axis=0), states.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(fit_eraser(states, target)(states), once, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_erasing_changes_least_among_maps_that_leave_no_covariance(
    states, target, seed
):
    rng = np.random.default_rng(seed)
    centred, z = states - states.mean(axis=0), target - target.mean(axis=0)
    crossed = centred.T @ (z / z.std(axis=0))
    change = fit_eraser(states, target)(states) - states
    # The orthogonal projection, and an oblique one along a random complement: both take
    # the span of the cross-covariance to 0, as any map that erases must.
    reading = rng.normal(size=(Q, FEATURES))
    for right in (crossed.T, reading):
        other = centred @ (crossed @ np.linalg.solve(right @ crossed, right)).T
        left = (centred - other).T @ z
        np.testing.assert_allclose(left / abs(centred.T @ z).max(), 0, atol=1e-10)
        for metric in (np.eye(FEATURES), np.diag(rng.uniform(0.01, 100, FEATURES))):
            cost, least = (np.einsum("pi,ij,pj", c, metric, c) for c in (other, change))
            assert least < cost


def test_erasing_is_writing_the_mean_through_the_least_squares_probe(states, target):
    """In the norm of the states' covariance: h - S_hz (C S_hz)^-1 C (h - mean)."""
    fit = LinearRegression().fit(states, target)
    mean = np.broadcast_to(target.mean(axis=0), target.shape)
    covariance = np.cov(states.T)
    written = write(states, fit.coef_, fit.intercept_, mean, covariance=covariance)
    # Float64; the covariance squares the condition of the states, ~1e3.
    np.testing.assert_allclose(written, fit_eraser(states, target)(states), atol=1e-7)


@given(seed=seeds)
def test_erasing_does_not_depend_on_the_basis(seed):
    rng = np.random.default_rng(seed)
    states, target = rng.normal(size=(50, FEATURES)), rng.normal(size=(50, Q))
    basis = np.linalg.qr(rng.normal(size=(FEATURES, FEATURES)))[0] * 2.0 ** np.arange(6)
    turned = fit_eraser(states @ basis + 1.0, 3 * target - 7)(states @ basis + 1.0)
    # Float64, condition of the basis 32.
    np.testing.assert_allclose(
        turned, fit_eraser(states, target)(states) @ basis + 1.0, atol=1e-10
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dependent_features_are_erased_and_stay_dependent(states, target, dtype):
    """As behind a layer norm: features that sum to 0, but for rounding."""
    normed = (states - states.mean(axis=1, keepdims=True)).astype(dtype)
    erased = fit_eraser(normed, target)(normed)
    assert erased.dtype == dtype
    # Whitening the rounding of the states would blow it up to the size of the states.
    scale = np.finfo(dtype).eps * abs(normed).max()
    np.testing.assert_allclose(erased.sum(axis=1), 0, atol=100 * scale)
    assert linear_r2(erased[:, :-1].astype(float), target).max() < 1e-6


def test_the_control_eraser_takes_as_much_of_the_whitened_states(states, target):
    shuffled = target[donors(np.arange(PROMPTS), seed=0)]
    precision = np.linalg.inv(np.cov(states.T, ddof=0))
    sizes = []
    for erased in (target, shuffled):
        change = fit_eraser(states, erased)(states) - states
        sizes.append(np.einsum("pi,ij,pj", change, precision, change) / PROMPTS)
    # Exactly the rank, in float64 with a condition of ~1e3 squared.
    np.testing.assert_allclose(sizes, Q, rtol=1e-7)


def test_few_prompts_are_warned_of(rng):
    with pytest.warns(UserWarning, match="5 prompts for 6 features"):
        fit_eraser(rng.normal(size=(5, 6)), rng.normal(size=(5, 1)))


# --- swap ---


@given(seed=seeds, tokens=st.none() | st.lists(st.integers(-3, 2), max_size=4))
def test_swapping_twice_between_partners_restores(seed, tokens):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(6, 3, 2))
    partners = np.arange(6)
    first, second = rng.permutation(6)[:4].reshape(2, 2)
    partners[first], partners[second] = second, first
    swapped = swap(hidden, partners, tokens)
    chosen = np.zeros(3, bool)
    chosen[range(3) if tokens is None else tokens] = True
    np.testing.assert_array_equal(swapped[:, chosen], hidden[partners][:, chosen])
    np.testing.assert_array_equal(swapped[:, ~chosen], hidden[:, ~chosen])
    np.testing.assert_array_equal(swap(swapped, partners, tokens), hidden)


# --- random changes ---


@pytest.mark.parametrize("covariance", [None, np.diag([1.0, 4.0, 0.0])])
def test_a_random_change_has_the_norm_of_the_change_and_not_its_direction(
    rng, covariance
):
    change = rng.normal(size=(2_000, 2, 3)) * rng.uniform(size=(2_000, 2, 1))
    change[:, 0] = 0
    control = random_change(change, seed=0, covariance=covariance)
    # A division and a product in float64.
    norms = np.linalg.norm(change, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(control, axis=-1), norms, rtol=1e-12)
    if covariance is not None:
        assert not control[..., 2].any()
    # Mean cosine of 2000 unrelated directions: standard error below 1 / sqrt(2000).
    cosine = (change * control)[:, 1].sum(axis=-1) / norms[:, 1] ** 2
    assert abs(cosine.mean()) < 4 / np.sqrt(2_000)
    assert (random_change(change, seed=1) != random_change(change, seed=2))[:, 1].all()


# --- movement ---


def test_movement_tells_following_from_wiping_out(rng):
    before, wanted, own = rng.normal(size=(3, 2_000, 2))
    share = np.array([0.3, 1.0])
    followed = movement(before, share * wanted + (1 - share) * before, wanted)
    # Exact relations, in float64.
    np.testing.assert_allclose(followed.toward, share, atol=1e-12)
    np.testing.assert_allclose(followed.kept, 1 - share, atol=1e-12)
    wiped = movement(before, np.zeros_like(before), wanted)
    assert not wiped.toward.any() and not wiped.kept.any()

    # A part of the predictions that writing does not reach leaves `toward` at 1.
    beside = movement(before + own, wanted + own, wanted)
    assert (beside.toward_low < 1).all() and (beside.toward_high > 1).all()
    # own explains half of before + own. Standard error ~ 1 / sqrt(2000).
    np.testing.assert_allclose(beside.kept, 0.5, atol=0.1)


def test_movement_equals_least_squares_and_its_interval_covers(rng):
    covered = []
    for seed in range(100):
        before, wanted, noise = np.random.default_rng(seed).normal(size=(3, 100))
        after = 0.6 * wanted + 0.2 * before + noise
        moved = movement(before, after, wanted, seed=seed)
        covered.append(moved.toward_low < 0.6 < moved.toward_high)
    slopes = np.linalg.lstsq(np.stack([wanted, before], 1), after)[0]
    np.testing.assert_allclose([moved.toward, moved.kept], slopes, atol=1e-12)
    # 95 % nominal; binomial standard error 0.02, and a bootstrap of 100 falls a little
    # short.
    assert 0.86 <= np.mean(covered) <= 1


def test_movement_says_where_it_cannot_tell(rng):
    before = rng.normal(size=50)
    opposite = movement(before, -before, -before)
    assert np.isnan(opposite.toward) and np.isnan(opposite.kept)
    from_nothing = movement(np.zeros(50), before, 2 * before)
    assert np.isnan(from_nothing.kept)
    np.testing.assert_allclose(from_nothing.toward, 0.5)  # a ratio of equal sums


# --- both kinds of arrays ---


def test_jax_arrays_come_back_as_jax_arrays_under_jit(rng, states, target, probe):
    eraser = fit_eraser(states, target)
    hidden = states[:12].reshape(4, 3, FEATURES).astype(np.float32)
    values = rng.normal(size=(4, 1, Q)).astype(np.float32)
    edits = {
        "write": lambda h: write(h, *probe, values, covariance=np.cov(states.T)),
        "erase": eraser,
        "swap": lambda h: swap(h, [1, 2, 3, 0], tokens=[-1]),
        "random": lambda h: random_change(h, seed=3),
    }
    for name, edit in edits.items():
        ours, theirs = edit(hidden), jax.jit(edit)(jnp.asarray(hidden))
        assert isinstance(ours, np.ndarray) and isinstance(theirs, jax.Array), name
        assert ours.dtype == theirs.dtype == np.float32, name
        # Float32 sums of 6 products of size up to 100, in another order.
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4, err_msg=name)
    written = jax.jit(lambda h, v: write(h, *probe, v))(hidden, values)
    np.testing.assert_allclose(
        np.asarray(written) @ probe[0].T + probe[1],
        np.broadcast_to(values, (4, 3, Q)),
        atol=1e-3,  # float32: 6e-8 of products of size ~100, solved and summed
    )


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h: write(h, np.eye(2, 5), np.zeros(2), h[..., :2]), "5 features"),
        (lambda h: write(h, np.eye(2, 6), 0.0, h[..., :2]), "each of the 2 rows"),
        (lambda h: write(h, np.eye(2, 6), np.zeros(2), h[:2, :2]), r"shape \(4, 2\)"),
        (lambda h: write(h, np.eye(2, 6) / 0, np.zeros(2), h[:, :2]), "finite"),
        (lambda h: write(h.astype(int), np.eye(1, 6), [0.0], h[:, :1]), "floating"),
        (lambda h: random_change(h, seed=0, covariance=-np.eye(6)), "eigenvalues"),
        (lambda h: random_change(h, seed=0, covariance=np.eye(5)), r"\(6, 6\)"),
        (lambda h: random_change(h, seed=-1), "seed must be"),
        (lambda h: fit_eraser(h, h[:3, :1]), "each of the 4 prompts"),
        (lambda h: fit_eraser(h, np.ones((4, 1))), "both vary"),
        (lambda h: fit_eraser(np.ones((4, 6)), h[:, :1]), "both vary"),
        (lambda h: fit_eraser(h[None], h), r"axes \(prompts, features\)"),
        (lambda h: swap(h, [0, 1, 2, 3]), "axes"),
        (lambda h: swap(h[None], [1]), r"integers in \[0, 1\)"),
        (lambda h: swap(h[None], [0], tokens=[4]), r"integers in \[-4, 4\)"),
        (lambda h: movement(h, h[:2], h), "one shape"),
        (lambda h: movement(h[:1], h[:1], h[:1]), "at least 2 prompts"),
    ],
)
@pytest.mark.filterwarnings("ignore:fit_eraser has", "ignore:divide", "ignore:invalid")
def test_bad_input_meets_a_sentence(untyped, rng, call, message):
    with pytest.raises(ValueError, match=message):
        call(rng.normal(size=(4, 6)))


def test_an_eraser_refuses_other_features():
    eraser = Eraser(np.zeros(3), np.ones((3, 1)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="3 features"):
        eraser(np.zeros((2, 4)))


# --- what dtypes hold ---


@pytest.mark.parametrize("library", [np, jnp])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_norms_beyond_the_squares_that_float16_holds(library, dtype):
    """40 in each of 64 features: a norm of 320, whose square float16 has not."""
    change = library.full((2, 64), 40, dtype=jnp.dtype(dtype))
    found = random_change(change, seed=0)
    assert found.dtype == change.dtype and type(found) is type(change)
    norms = np.linalg.norm(np.asarray(found).astype(float), axis=1)
    np.testing.assert_allclose(norms, 320, rtol=2e-3 if dtype != "float32" else 1e-6)


def test_values_may_be_larger_than_the_states_dtype():
    """Labels of 2e5 are no float16, and the edited states, of 2e5 / 100, are."""
    states = np.ones((3, 4), np.float16)
    edited = write(states, 100 * np.eye(1, 4), [0.0], np.full((3, 1), 2e5))
    assert edited.dtype == np.float16
    np.testing.assert_allclose(edited[:, 0].astype(float), 2e3)


def test_tiny_states_are_erased_in_float16(rng):
    states = (1e-3 * rng.normal(size=(400, 3))).astype(np.float16)
    target = states[:, :1].astype(float) + 1e-3 * rng.normal(size=(400, 1))
    erased = fit_eraser(states, target)(states * np.float16(0.01))
    assert erased.dtype == np.float16 and np.isfinite(erased).all()


@pytest.mark.parametrize("library", [np, jnp])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_states_that_do_not_fit_are_refused(library, dtype):
    states = library.ones((3, 4), dtype)
    large = 10.0 * float(np.finfo(dtype).max)
    with pytest.raises(ValueError, match=f"does not fit into {np.dtype(dtype)}"):
        write(states, np.eye(1, 4), [0.0], np.full((3, 1), large))
    with_hole = states * library.asarray([[1.0], [np.nan], [1.0]], dtype)
    kept = write(with_hole, np.eye(1, 4), [0.0], np.zeros((3, 1)))
    assert np.isnan(np.asarray(kept)).any(axis=1).tolist() == [False, True, False]


# --- the eraser, against the formula ---


def leace(states, target, rank):
    """h -> h - W^+ Q W (h - mean), as Theorem 4.3 of Belrose et al. 2023 has it.

    W is Sigma^(-1/2) on the directions that vary, of which the caller knows how many
    there are, and Q projects onto the columns of W Sigma_xz.
    """
    mean = np.mean(states.astype(np.longdouble), axis=0).astype(float)
    deviations, around = states - mean, target - target.mean(axis=0)
    values, vectors = np.linalg.eigh(deviations.T @ deviations / len(states))
    values, vectors = values[-rank:], vectors[:, -rank:]
    whiten = (vectors / np.sqrt(values)) @ vectors.T
    colour = (vectors * np.sqrt(values)) @ vectors.T
    columns, sizes, _ = np.linalg.svd(whiten @ deviations.T @ around / len(states))
    columns = columns[:, : len(sizes)]
    return states - deviations @ (colour @ columns @ columns.T @ whiten).T


@pytest.mark.parametrize("prompts", [2_000, 20_000])
@pytest.mark.parametrize("mean", [0.0, 1.0, 3.0, 30.0, 1e4])
def test_low_rank_states_with_a_mean_are_erased_as_leace_does(rng, prompts, mean):
    states = rng.normal(size=(prompts, 8)) @ rng.normal(size=(8, 12)) + mean
    target = states[:, :2] + rng.normal(size=(prompts, 2))
    erased = fit_eraser(states, target)(states)
    assert linear_r2(states, target).min() > 0.5
    np.testing.assert_allclose(
        erased, leace(states, target, rank=8), atol=1e-9 * max(1.0, mean)
    )
    # What is left of the target is rounding, which has no more than this of it.
    left = np.linalg.norm((erased - erased.mean(0)).T @ (target - target.mean(0)))
    assert left < 1e-10 * np.linalg.norm(states) * np.linalg.norm(target)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e6])
def test_a_feature_in_other_units_is_erased_too(states, target, dtype, unit):
    units = np.ones(FEATURES)
    units[0] = unit
    given = (states * units).astype(dtype)
    erased = fit_eraser(given, target)(given.astype(float)) / units
    assert linear_r2(erased, target).max() < 1e-4
    np.testing.assert_allclose(
        erased, leace(states.astype(dtype).astype(float), target, FEATURES), atol=1e-2
    )
