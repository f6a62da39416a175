"""The bound, the exact worst case and adversaries: golden tables, and brute force."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import binom

from icl.skills import (
    SkillGraph,
    adversary,
    bound,
    divergence,
    entropy,
    margin,
    performance_curve,
    smallest_alpha,
    worst_case,
)

ALPHAS = (0.05, 0.1, 0.2, 0.3, 0.5)
BOUNDS = {  # (theta, k): the bound at each alpha
    (0.05, 2): [16.359, 9.482, None, None, None],
    (0.05, 4): [11.063, 6.867, 4.272, 3.192, None],
    (0.05, 8): [7.520, 4.933, 3.298, 2.609, 1.901],
    (0.05, 16): [5.246, 3.632, 2.588, 2.139, 1.674],
    (0.02, 8): [8.439, 5.446, 3.566, 2.779, 1.969],
    (0.10, 8): [6.756, 4.502, 3.067, 2.459, 1.833],
    (0.20, 8): [5.894, 4.008, 2.798, 2.281, 1.746],
}
EXACT = {  # the worst case
    (0.05, 2): [10.500, 6.000, 4.500, 3.333, 2.000],
    (0.05, 4): [6.451, 5.190, 3.220, 2.635, 2.000],
    (0.05, 8): [5.309, 3.589, 2.647, 2.189, 1.695],
    (0.05, 16): [3.772, 2.761, 2.096, 1.811, 1.504],
    (0.02, 8): [5.772, 4.093, 2.866, 2.347, 1.799],
    (0.10, 8): [4.086, 3.045, 2.300, 1.961, 1.598],
    (0.20, 8): [3.293, 2.690, 2.088, 1.802, 1.479],
}


@pytest.mark.parametrize(("theta", "k"), BOUNDS)
def test_golden_table(theta, k):
    """To the last digit that is printed."""
    pairs = zip(ALPHAS, BOUNDS[theta, k], EXACT[theta, k], strict=True)
    for alpha, wanted, exact in pairs:
        found = bound(theta, k, alpha)
        assert (found is None) == (wanted is None)
        if found is not None:
            assert found.beta == pytest.approx(wanted, abs=6e-4)
            assert found.failure == pytest.approx(theta * found.beta, rel=1e-12)
            assert found.vacuous == (theta * found.beta >= 1)
        assert worst_case(theta, k, alpha) == pytest.approx(exact, abs=6e-4)


def test_the_bound_is_vacuous_in_one_cell():
    assert bound(0.2, 8, 0.05).vacuous and not bound(0.2, 8, 0.1).vacuous


@pytest.mark.parametrize(
    ("pieces_per_skill", "wanted"),
    [
        (1000, (7.524, 4.937, 3.301)),
        (100, (7.560, 4.971, 3.328)),
        (10, (7.920, 5.296, 3.585)),
    ],
)
def test_golden_bounds_of_few_pieces_per_skill(pieces_per_skill, wanted):
    for alpha, beta in zip(ALPHAS, wanted, strict=False):
        found = bound(0.05, 8, alpha, pieces_per_skill=pieces_per_skill)
        assert found.beta == pytest.approx(beta, abs=6e-4)


def test_golden_limits_of_the_bound():
    """There is none from alpha = exp(-H(theta) / (k theta)) on."""
    for k, limit in ((2, 0.1374), (4, 0.3706)):
        assert math.exp(-entropy(0.05) / (k * 0.05)) == pytest.approx(limit, abs=5e-5)
        assert bound(0.05, k, limit - 1e-3) and bound(0.05, k, limit + 1e-3) is None


def test_golden_curves_of_tuples():
    for theta, beta in ((0.0125, 5.690), (0.025, 5.326), (0.05, 4.933)):
        assert bound(theta, 8, 0.1).beta == pytest.approx(beta, abs=6e-4)


def test_the_printed_form_is_the_divergence():
    for q, p in product(np.linspace(0.01, 0.99, 25), (0.01, 0.1, 0.5, 0.9)):
        printed = entropy(q) - q * math.log(1 / p) - (1 - q) * math.log(1 / (1 - p))
        assert -printed == pytest.approx(divergence(q, p), abs=1e-14)
    assert divergence(0.3, 0.1) == pytest.approx(0.153663586803799, abs=1e-15)


def test_bound_and_smallest_alpha_undo_each_other():
    for alpha, each in product((0.05, 0.3), (math.inf, 10.0)):
        beta = bound(0.1, 8, alpha, pieces_per_skill=each).beta
        assert margin(0.1, 8, alpha, beta, pieces_per_skill=each) == pytest.approx(
            0, abs=1e-10
        )
        found = smallest_alpha(0.1, 8, beta, pieces_per_skill=each)
        assert found == pytest.approx(alpha, rel=1e-9)


def test_bound_above_worst_case():
    """On the grid of the specification, where the smallest difference is 0.079."""
    grid = product(
        (0.01, 0.02, 0.05, 0.1, 0.2), (2, 4, 8, 16, 32), np.geomspace(0.02, 0.6, 7)
    )
    gaps = [
        found.beta - worst_case(theta, k, alpha)
        for theta, k, alpha in grid
        if (found := bound(theta, k, alpha))
    ]
    assert len(gaps) > 120 and min(gaps) == pytest.approx(0.079, abs=0.01)


def test_worst_case_moves_as_it_should():
    """Down with more skills in a piece; its failure rate up with theta."""
    by_k = [worst_case(0.05, k, 0.1) for k in range(1, 60)]
    by_theta = [
        theta * worst_case(theta, 8, 0.1) for theta in np.linspace(0.01, 0.99, 60)
    ]
    assert by_k[0] == pytest.approx(10) and np.diff(by_theta).min() > -1e-12
    # Not at every single k: whole numbers of edges make it uneven.
    assert by_k[1] > by_k[3] > by_k[7] > by_k[15] > by_k[31]


def test_worst_case_by_sampling_the_binomial():
    drawn = np.sort(binom.rvs(6, 0.3, size=400_000, random_state=0))[::-1]
    top = drawn[:40_000].mean() / (6 * 0.3)
    assert worst_case(0.1, 6, 0.3) == pytest.approx(top, rel=0.005)  # 4 standard errors


@pytest.mark.parametrize(("skills", "k"), [(2, 3), (3, 2), (2, 2)])
def test_worst_case_is_the_largest_of_every_subset(skills, k):
    """A graph with each combination once is what a large random graph tends to."""
    edges = np.array(list(product(range(skills), repeat=k)))
    pieces = len(edges)
    for chosen in range(1, skills):
        inside = (edges < chosen).sum(axis=1)  # any chosen skills: all are alike
        for failing in range(1, pieces):
            largest = max(
                inside[list(subset)].sum()
                for subset in combinations(range(pieces), failing)
            )
            beta = largest / inside.sum() * pieces / failing
            exact = worst_case(failing / pieces, k, chosen / skills)
            assert exact == pytest.approx(beta, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_adversary_finds_the_worst_subset(seed):
    """Of every set of failing pieces, for the skills that it has drawn."""
    graph = SkillGraph.sample(10, 3, 5, seed=seed)
    found = adversary(graph, theta=0.4, alpha=0.4, seed=seed)
    inside = np.isin(graph.edges, np.flatnonzero(found.targets)).sum(axis=1)
    largest = max(inside[list(chosen)].sum() for chosen in combinations(range(10), 4))
    assert (~found.success).sum() == 4
    assert inside[~found.success].sum() == largest
    assert found.beta == pytest.approx(largest / inside.sum() / 0.4)


def test_rounds_of_the_adversary_climb_to_the_largest_of_all():
    """Over every pair of skills of a small graph in which all skills count alike."""
    rng = np.random.default_rng(3)
    places = [rng.permutation(np.repeat(np.arange(5), 4)) for _ in range(3)]
    graph = SkillGraph(np.stack(places, axis=1), 5)
    found = [
        [
            adversary(graph, 0.2, 0.4, rounds=rounds, seed=seed).beta
            for rounds in (0, 1, 20)
        ]
        for seed in range(8)
    ]
    largest = 0.0
    for targets in combinations(range(5), 2):
        into = np.isin(graph.edges, targets).sum(axis=1)
        largest = max(largest, np.sort(into)[-4:].sum() / into.sum() / 0.2)
    assert (np.diff(found, axis=1) > -1e-12).all()
    assert np.max(found) == pytest.approx(largest)


def test_the_theorem_over_every_graph():
    """All 4,096 graphs of 4 pieces with 3 edges: the chance of the event, exactly."""
    pieces, k, alpha = 4, 3, 0.5
    graphs = np.array(list(product(range(2), repeat=pieces * k))).reshape(-1, pieces, k)
    into = (graphs == 0).sum(axis=2)  # edges of each piece into the first skill
    for failing in range(1, pieces):
        most = np.sort(into, axis=1)[:, -failing:].sum(axis=1)
        least = np.sort(into, axis=1)[:, :failing].sum(axis=1)
        either = np.maximum(most, failing * k - least)  # the worse of the two skills
        for count in range(math.ceil(failing * k / 2), failing * k + 1):
            chance = (either >= count).mean()
            beta = count / (alpha * failing * k)
            nats = margin(failing / pieces, k, alpha, beta, pieces_per_skill=pieces / 2)
            assert chance <= math.exp(-pieces * nats) + 1e-12


@pytest.mark.parametrize(("theta", "k"), [(0.05, 8), (0.05, 2), (0.2, 8)])
def test_golden_adversaries(theta, k):
    """As many pieces and skills as in the table, to 1 %."""
    graph = SkillGraph.sample(200_000, k, 200, seed=0)
    for alpha in (0.05, 0.2, 0.5):
        found = adversary(graph, theta, alpha)
        exact = worst_case(theta, k, found.targets.mean())
        assert found.beta == pytest.approx(exact, rel=0.01)


def test_a_curve_is_the_table():
    curve = performance_curve(0.05, 4, np.array(ALPHAS))
    wanted = [math.nan if beta is None else 0.05 * beta for beta in BOUNDS[0.05, 4]]
    np.testing.assert_allclose(curve.bound, wanted, atol=5e-5)
    assert curve.vacuous.values.tolist() == [False] * 4 + [True]
    assert curve.share.values.tolist() == [1 - alpha for alpha in ALPHAS]
    tuples = performance_curve(0.0125, 4, np.array(ALPHAS), tuples=4)
    np.testing.assert_allclose(tuples.worst_case, curve.worst_case, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: bound(0.0, 8, 0.1), r"theta must lie strictly between 0 and 1, got 0"),
        (lambda: bound(5, 8, 0.1), "theta must lie strictly .* divided by 100"),
        (lambda: bound(0.1, 0, 0.1), "k must be an integer >= 1, got 0"),
        (lambda: worst_case(0.1, 8, 1.0), "alpha must lie strictly between 0 and 1"),
        (lambda: margin(0.1, 8, 0.5, 3.0), "beta must lie from 1 to 1 / alpha = 2"),
        (lambda: performance_curve(0.3, 8, tuples=4), "tuples must be below 1 / theta"),
        (lambda: adversary(SkillGraph.sample(9, 2, 3), 0.01, 0.5), "theta must be at"),
    ],
)  # fmt: skip
def test_bad_numbers_are_refused(untyped, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
