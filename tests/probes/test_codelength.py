import numpy as np
import pytest
from scipy.linalg import helmert
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from probes.codelength import evidence_codelength, online_codelength

CODES = [online_codelength, evidence_codelength]


def linear_gaussian(rng, prompts, *, width=4, r2=(0.9, 0.5, 0.0)):
    """Features and coordinates of which a linear probe explains `r2` at best."""
    features = rng.normal(size=(prompts, width))
    directions = np.linalg.qr(rng.normal(size=(width, len(r2))))[0]
    r2 = np.array(r2)
    noise = rng.normal(size=(prompts, len(r2)))
    return features, features @ directions * np.sqrt(r2) + noise * np.sqrt(1 - r2)


# --- how much is saved ---


@pytest.mark.parametrize("code", CODES)
def test_saved_bits_tend_to_the_mutual_information(rng, code):
    features, target = linear_gaussian(rng, 8_000)
    saved = code(features, target).saved_per_coordinate / 8_000
    information = -np.log2(1 - np.array([0.9, 0.5, 0.0])) / 2
    # Log-density ratios have a standard deviation of up to log2(e) = 1.4 bits: 0.016
    # for 8000 prompts. Learning 4 weights costs ~4 log2(8000) / 2 / 8000 = 0.003.
    np.testing.assert_allclose(saved, information, atol=0.05)


def test_useless_features_save_nothing_and_cost_little(rng):
    features, target = rng.normal(size=(1_000, 10)), rng.normal(size=(1_000, 2))
    online = online_codelength(features, target)
    evidence = evidence_codelength(features, target)
    # Online: 10 weights cost 10 log2(1000) / 2 = 50 bits per coordinate if unpenalised.
    assert -0.1 < online.saved_per_prompt < 0.002
    # Never less than with lambda infinite; chance correlations earn a few bits.
    assert -1e-3 <= evidence.saved_per_coordinate.min()
    assert evidence.saved < 10


def test_what_is_learned_late_saves_less(rng):
    """The same information, spread over features of which more are useless."""
    features, target = linear_gaussian(rng, 500, r2=(0.8,))
    padded = np.hstack([features, rng.normal(size=(500, 100))])
    for code in CODES:
        assert 0 < code(padded, target).saved < code(features, target).saved - 20


@pytest.mark.parametrize("code", CODES)
def test_a_target_without_noise_saves_up_to_the_floor(rng, code):
    features = rng.normal(size=(500, 3))
    result = code(features, features[:, :1] * 5.0)
    # log2(1e6) = 19.9 bits a prompt, and log2(e) / 2 for an error far below the floor.
    assert 3 < result.saved_per_prompt < 20.7


# --- laws ---


@pytest.mark.parametrize("code", CODES)
def test_the_unit_of_the_target_moves_both_codes_alike(rng, code):
    features, target = linear_gaussian(rng, 300)
    plain, scaled = code(features, target), code(features, 8.0 * target + 100.0)
    # Coordinates, times prompts or differences between them, times log2(8). Float64,
    # iterated to 1e-8.
    count = 300 if code is online_codelength else 299
    np.testing.assert_allclose(scaled.bits - plain.bits, 3 * count * 3, rtol=1e-6)
    np.testing.assert_allclose(
        scaled.saved_per_coordinate, plain.saved_per_coordinate, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("code", CODES)
def test_units_of_features_do_not_matter(rng, code):
    features, target = linear_gaussian(rng, 300)
    plain, scaled = (
        code(features, target),
        code(features * [1, 10, 1e-3, -1] + 5, target),
    )
    # Standardised first: float64 rounding, and an iteration to 1e-8.
    np.testing.assert_allclose(scaled.saved, plain.saved, rtol=1e-6)


def test_a_rotation_of_whitened_features_does_not_matter_to_the_evidence(rng):
    features, target = linear_gaussian(rng, 300)
    white = np.linalg.qr(features - features.mean(axis=0))[0]
    turned = white @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    # Standardising leaves white features as they are, and the prior is a sphere.
    np.testing.assert_allclose(
        evidence_codelength(turned, target).bits,
        evidence_codelength(white, target).bits,
        rtol=1e-9,
    )


@pytest.mark.parametrize("code", CODES)
def test_coordinates_are_coded_one_by_one(rng, code):
    features, target = linear_gaussian(rng, 300)
    together = code(features, target)
    apart = [code(features, target[:, i : i + 1]) for i in range(3)]
    # The same equations in float64, with others solved beside them.
    np.testing.assert_allclose(together.bits, sum(c.bits for c in apart), rtol=1e-9)
    np.testing.assert_allclose(
        together.saved_per_coordinate, [c.saved for c in apart], rtol=1e-9, atol=1e-6
    )
    np.testing.assert_allclose(together.saved, together.intercept_bits - together.bits)
    np.testing.assert_allclose(together.saved_per_prompt, together.saved / 300)


# --- against other libraries ---


def test_online_bits_equal_a_code_written_by_hand(rng):
    """Blocks of 16, 16 and 8 prompts in the order of the seed."""
    features, target = linear_gaussian(rng, 40, r2=(0.7,))
    order = np.argsort(np.random.default_rng([5, 4]).permutation(40))
    x, y = features[order], target[order, 0]
    bits = -norm.logpdf(y[:16], y[:16].mean(), y[:16].std()).sum() / np.log(2)
    for start, end in ((16, 32), (32, 40)):
        scaler = StandardScaler().fit(x[:start])
        probe = RidgeCV(np.logspace(-4, 6, 11)).fit(
            scaler.transform(x[:start]), y[:start]
        )
        guess = probe.predict(scaler.transform(x[start:end]))
        sd = np.sqrt(-probe.best_score_)
        bits -= norm.logpdf(y[start:end], guess, sd).sum() / np.log(2)
    # Float64 sums of 40 numbers.
    np.testing.assert_allclose(
        online_codelength(features, target, first=16, orders=1, seed=5).bits,
        bits,
        rtol=1e-9,
    )


def test_orders_are_averaged_and_their_spread_is_in_the_interval(rng):
    """Sixteen features that say nothing: each order saves another (negative) amount."""
    features, target = rng.normal(size=(120, 16)), rng.normal(size=(120, 1))
    of_orders = [
        online_codelength(features, target, first=32, orders=1, seed=seed)
        for seed in range(12)
    ]
    single = [found.saved_per_prompt for found in of_orders]
    mean = online_codelength(features, target, first=32, orders=6, seed=99)
    # The mean of six orders, against that of twelve others: four standard errors.
    spread = np.std(single, ddof=1)
    assert abs(mean.saved_per_prompt - np.mean(single)) < 4 * spread * 0.5
    ends = mean.low, mean.high
    assert ends[0] < np.mean(single) < ends[1]


def test_the_first_block_is_large_enough_for_the_features(rng):
    """Of 16 prompts on 16 features a probe would take its own error for nearly 0."""
    features, target = rng.normal(size=(160, 16)), rng.normal(size=(160, 1))
    usual = online_codelength(features, target, orders=3)
    same = online_codelength(features, target, orders=3, first=64)
    small = online_codelength(features, target, orders=3, first=16)
    assert usual.bits == same.bits  # four prompts for each feature
    assert small.bits > usual.bits


@pytest.mark.parametrize("shape", [(60, 5), (20, 30)], ids=["long", "wide"])
def test_evidence_is_the_greatest_marginal_likelihood(rng, shape):
    prompts, width = shape
    features, target = linear_gaussian(rng, prompts, width=width, r2=(0.5,))
    basis = helmert(prompts)
    x, y = basis @ StandardScaler().fit_transform(features), basis @ target[:, 0]

    def nats(logs):
        noise, weights = np.exp(np.maximum(logs, -20))
        covariance = noise * np.eye(prompts - 1) + weights * x @ x.T
        return -multivariate_normal.logpdf(y, cov=covariance)

    starts = [(0, -1), (-2, -2), (-1, -5)]
    best = min(minimize(nats, s, method="Nelder-Mead", tol=1e-10).fun for s in starts)
    # Both optimise; near the top the likelihood is flat to second order. The floor on
    # the noise moves it by 1e-12.
    np.testing.assert_allclose(
        evidence_codelength(features, target).bits, best / np.log(2), rtol=1e-5
    )


def test_intercept_bits_of_the_evidence_are_a_gaussian_s(rng):
    features, target = linear_gaussian(rng, 50, r2=(0.5,))
    y = helmert(50) @ target[:, 0]
    bits = -norm.logpdf(y, 0.0, np.sqrt(np.mean(y**2))).sum() / np.log(2)
    # Float64.
    np.testing.assert_allclose(
        evidence_codelength(features, target).intercept_bits, bits, rtol=1e-12
    )


# --- groups and intervals ---


def test_a_group_that_is_recognised_saves_nothing(rng):
    """Features that tell the group, and a target that has nothing to do with them."""
    groups = np.repeat(np.arange(40), 10)
    features = rng.normal(size=(40, 30))[groups] + 0.01 * rng.normal(size=(400, 30))
    target = rng.normal(size=(40, 1))[groups]
    rows = np.arange(400)
    assert online_codelength(features, target, groups=rows).saved_per_prompt > 0.5
    with pytest.raises(ValueError, match="only 40 different rows among 400"):
        online_codelength(features, target)
    with pytest.raises(ValueError, match="only 40 different rows among 400"):
        evidence_codelength(features, target)
    assert online_codelength(features, target, groups=groups).saved_per_prompt < 0.05


def test_names_of_groups_do_not_matter(rng):
    features, target = linear_gaussian(rng, 120, r2=(0.5,))
    groups = np.repeat(np.arange(40), 3)
    names = [f"{group:02d}" for group in groups]
    numbers, names = (
        online_codelength(features, target, groups=g, orders=2) for g in (groups, names)
    )
    assert numbers[:-1] == names[:-1]


def test_the_interval_covers_what_is_saved_and_follows_the_seed(rng):
    features, target = linear_gaussian(rng, 400, r2=(0.5,))
    first, again, other = (
        online_codelength(features, target, seed=s) for s in (1, 1, 2)
    )
    assert first[:-1] == again[:-1] and first.saved != other.saved
    assert first.low < first.saved_per_prompt < first.high
    # Log-density ratios at R2 = 1/2 have standard deviation ~0.7 bits: +-0.07.
    assert 0.08 < first.high - first.low < 0.25


# --- bad input ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.ones(30)}, r"shapes \(prompts, features\)"),
        ({"target": np.ones((29, 1))}, r"got \(30, 2\) and \(29, 1\)"),
        ({"features": np.full((30, 2), np.nan)}, "features must be finite"),
        ({"target": np.full((30, 1), np.inf)}, "target must be finite"),
        ({"target": np.eye(30)[:, :1] * 0 + 0.1}, r"coordinates \[0\]"),
        ({"groups": np.zeros(3)}, "each of the 30 prompts"),
        ({"groups": np.zeros(30)}, "4 and leave some of the 1 groups"),
        ({"first": 3}, "at least 4"),
        ({"growth": 1.0}, "above 1"),
        ({"growth": np.inf}, "growth must be a finite number, got inf"),
        ({"alphas": []}, "alphas must be numbers above 0"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_input_meets_a_sentence(untyped, rng, changes, message):
    call = {"features": rng.normal(size=(30, 2)), "target": rng.normal(size=(30, 1))}
    with pytest.raises(ValueError, match=message):
        online_codelength(**call | changes)


def test_the_evidence_refuses_a_constant_target(rng):
    with pytest.raises(ValueError, match=r"vary over prompts, but coordinates \[1\]"):
        evidence_codelength(rng.normal(size=(9, 2)), np.eye(9)[:, :2] * [1, 0] + 0.1)


@pytest.mark.parametrize("prompts", [122, 923])
def test_the_last_block_may_have_any_size(rng, prompts):
    features, target = linear_gaussian(rng, prompts, r2=(0.5,))
    found = online_codelength(features, target, growth=1.5)
    assert found.low < found.saved_per_prompt < found.high


def test_the_evidence_needs_three_prompts(rng):
    with pytest.raises(ValueError, match="at least 3 prompts, got 2"):
        evidence_codelength(rng.normal(size=(2, 1)), rng.normal(size=(2, 1)))
