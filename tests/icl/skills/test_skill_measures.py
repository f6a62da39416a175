"""Graphs, competence and the product test against counts by loops and known truths."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import beta as beta_law
from scipy.stats import binomtest

from icl.skills import (
    SkillGraph,
    bound,
    competence,
    composition,
    failure_quantiles,
    glue,
    independent_failures,
    pair_dependence,
    peel,
    random_failures,
    skill_successes,
    tuple_competence,
    wilson_interval,
    zipf,
)

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def graph():
    return SkillGraph.sample(400, 3, 6, law=zipf(6), seed=1)


@pytest.fixture(scope="module")
def success(graph):
    return np.random.default_rng(2).random(graph.pieces) < 0.7


# --- graphs ---


def test_a_sampled_graph_follows_its_law():
    graph = SkillGraph.sample(50_000, 4, 20, law=7 * zipf(20, 0.5))
    np.testing.assert_allclose(graph.skill_measure, zipf(20, 0.5), atol=0.004)
    assert graph.exposures.sum() == 200_000
    skewed = SkillGraph.sample(1_000, 2, 3, law=np.array([0.0, 1.0, 0.0]))
    assert skewed.exposures.tolist() == [0, 2_000, 0]


def test_labels_and_edges_make_the_same_graph():
    labels = [{"b", "a"}, ["c"], ("a", "c", "c")]
    graph = SkillGraph.from_labels(labels)
    assert graph.names == ("a", "b", "c") and graph.k == 3
    assert graph.exposures.tolist() == [2, 1, 3]
    assert graph.incidence.toarray().tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 2]]
    assert graph.uses.toarray().tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 1]]
    assert graph.edges_into(np.array([True, False, True])).tolist() == [1, 1, 3]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: SkillGraph(np.array([[0, 3], [1, 2]]), 3), "edges must lie from 0 to"),
        (lambda: SkillGraph(np.array([[0, -1], [1, 2]]), 3), "first skill .* number 0"),
        (lambda: SkillGraph(np.array([[0, 1]]), 3), "edges must hold at least 2 piec"),
        (lambda: SkillGraph(np.array([[0.0], [1.0]]), 3), "as integers, got float64"),
        (lambda: SkillGraph.sample(10, 0, 3), "k must be an integer >= 1"),
        (lambda: SkillGraph.sample(10, 2, 2, law=np.array([1.0, -1])), "law must hold"),
        (lambda: SkillGraph.sample(2**31, 2, 2), "pieces x k must be at most"),
        (lambda: SkillGraph.from_labels([["a"], []]), r"got \[\] for item 1"),
        (lambda: SkillGraph(np.array([[0], [1]]), 2, names=("a",)), "names must be a"),
    ],
)  # fmt: skip
def test_bad_graphs_are_refused(untyped, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


# --- competence ---


def test_competence_by_a_loop(graph, success):
    found = competence(graph, success)
    for skill in range(graph.skills):
        edges = [(p, s) for p, row in enumerate(graph.edges) for s in row if s == skill]
        right = [success[piece] for piece, _ in edges]
        assert found.exposures[skill] == len(edges)
        assert found.competence[skill] == pytest.approx(np.mean(right))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_competence_of_tuples_by_a_loop(graph, success, size):
    found = tuple_competence(graph, success, size=size, least=1)
    rows = [set(row.tolist()) for row in graph.edges]
    wanted = {}
    for members in combinations(range(graph.skills), size):
        using = [i for i, row in enumerate(rows) if row.issuperset(members)]
        if using:
            wanted[members] = len(using), success[using].mean()
    assert [tuple(row) for row in found.members.values.tolist()] == list(wanted)
    used, shares = zip(*wanted.values(), strict=True)
    assert found.exposures.values.tolist() == list(used)
    np.testing.assert_allclose(found.competence, shares)


def test_tuples_of_graphs_whose_pieces_differ_in_size():
    graph = SkillGraph.from_labels([["a", "b"], ["b"], ["a", "b", "c"]])
    pairs = tuple_competence(graph, np.array([True, False, False]), least=1)
    assert pairs.members.values.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert pairs.competence.values.tolist() == [0.5, 0.0, 0.0]
    assert pairs.exposures.values.tolist() == [2, 1, 1]


def test_pieces_count_by_their_measure(graph, success):
    """A weight of 2 is as good as the same piece twice."""
    twice = np.arange(graph.pieces) < 100
    weighted = SkillGraph(graph.edges, graph.skills, measure=1.0 + twice)
    doubled = SkillGraph(
        np.concatenate([graph.edges, graph.edges[twice]]), graph.skills
    )
    again = np.concatenate([success, success[twice]])
    for measure in (competence, tuple_competence):
        one, other = measure(weighted, success), measure(doubled, again)
        np.testing.assert_allclose(one.competence, other.competence)
    one, other = composition(weighted, success), composition(doubled, again)
    np.testing.assert_allclose(one.ratio, other.ratio, rtol=1e-4)
    np.testing.assert_allclose(weighted.skill_measure, doubled.skill_measure)


def test_wilson_intervals_are_those_of_scipy():
    for right, count in ((0, 5), (3, 20), (20, 20)):
        wanted = binomtest(right, count).proportion_ci(method="wilson")
        low, high = wilson_interval(np.array([right / count]), np.array([float(count)]))
        np.testing.assert_allclose([low[0], high[0]], wanted, atol=1e-7)


def test_intervals_of_competence_cover():
    """Of 200 skills with a known success, of pieces with two edges each."""
    graph = SkillGraph.sample(20_000, 2, 200, seed=3)
    success = np.random.default_rng(4).random(20_000) < 0.8
    found = competence(graph, success)
    covered = (found.low <= 0.8) & (0.8 <= found.high)
    assert 0.90 <= float(covered.mean()) <= 0.99


def test_skills_without_pieces_are_nan_and_named():
    graph = SkillGraph(np.array([[0], [2]] * 30), 3, names=("a", "b", "c"))
    with pytest.warns(UserWarning, match="no piece has skill b: .* NaN"):
        found = competence(graph, np.ones(60, bool))
    assert found.skill.values.tolist() == ["a", "b", "c"]
    assert np.isnan(found.competence.values).tolist() == [False, True, False]


def test_few_pieces_are_warned_of():
    with pytest.warns(UserWarning, match="3 of 3 skills have fewer than 20 edges"):
        competence(SkillGraph.sample(10, 2, 3), np.ones(10, bool))


@pytest.mark.parametrize(
    ("success", "options", "sentence"),
    [
        (np.ones(400), {}, "success must hold True or False .* compare errors"),
        (np.ones(3, bool), {}, r"success must have axes \(pieces,\) of sizes \(400\)"),
        (np.ones(400, bool), {"size": 4}, "size must be at most k=3"),
        (np.ones(400, bool), {"least": 0}, "least must be an integer >= 1"),
        (np.ones(400, bool), {"least": 500}, "least must be at most"),
    ],
)
def test_bad_outcomes_are_refused(untyped, graph, success, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        tuple_competence(graph, success, **options)


# --- failures ---


def test_quantiles_of_failures_by_sorting():
    graph = SkillGraph.sample(4_000, 2, 10, law=zipf(10))
    success = random_failures(graph, 0.3, seed=1)
    found = competence(graph, success)
    alphas = np.array([0.05, 0.2, 0.5, 0.9])
    for alpha, rate in zip(
        alphas, failure_quantiles(graph, success, alphas), strict=True
    ):
        above = float(found.measure[found.competence < 1 - rate - 1e-12].sum())
        at = float(found.measure[found.competence < 1 - rate + 1e-12].sum())
        assert above <= alpha < at


def test_random_failures_stay_far_below_the_bound():
    graph = SkillGraph.sample(40_000, 8, 100)
    rate = failure_quantiles(graph, random_failures(graph, 0.05), np.array([0.05]))
    assert rate[0] < 1.3 * 0.05 < 0.05 * bound(0.05, 8, 0.05).beta / 5


def test_independent_skills_stay_far_below_the_bound():
    """As in the specification: 1.35 theta at the 95th percentile, against 7.5 theta."""
    graph = SkillGraph.sample(60_000, 8, 200)
    prone = beta_law.rvs(0.5, 8, size=200, random_state=0)
    success = independent_failures(graph, 0.05, prone)
    assert (~success).mean() == pytest.approx(0.05, abs=0.002)
    rates = failure_quantiles(graph, success, np.array([0.05, 0.1, 0.2, 0.5])) / 0.05
    assert rates[0] == pytest.approx(1.35, abs=0.12)
    assert (rates < [bound(0.05, 8, a).beta for a in (0.05, 0.1, 0.2, 0.5)]).all()


def test_dependent_skills_are_noticed():
    assert 0.7 < pair_dependence(SkillGraph.sample(5_000, 3, 30, law=zipf(30))) < 1.3
    both = np.repeat(RNG.integers(15, size=(5_000, 1)), 2, axis=1) * 2 + [0, 1]
    graph = SkillGraph(both, 30)
    assert pair_dependence(graph) > 100
    with pytest.warns(UserWarning, match="unlike independent ones"):
        failure_quantiles(graph, np.ones(5_000, bool), np.array([0.1]))


def test_glued_pieces_fail_as_they_should():
    success = RNG.random(200_000) >= 0.0125
    for size, wanted in ((1, 0.0125), (2, 0.0248), (4, 0.0491)):
        found = glue(success, size)
        spread = np.sqrt(wanted * (1 - wanted) / len(found))
        assert abs((~found).mean() - wanted) < 5 * spread


# --- composition ---


def test_independent_skills_are_found_again():
    graph = SkillGraph.sample(30_000, 3, 12)
    q = np.linspace(0.7, 0.99, 12)
    success = np.all(
        np.random.default_rng(1).random((30_000, 3)) < q[graph.edges], axis=1
    )
    np.testing.assert_allclose(skill_successes(graph, success), q, atol=0.02)
    found = composition(graph, success)
    inside = (found.low <= 1) & (1 <= found.high)
    assert float(inside.mean()) > 0.9
    assert abs(float(np.log(found.ratio).mean())) < 0.01


def test_interference_and_composition_are_told_apart():
    """Two skills that spoil each other, and two that fail only together."""
    graph = SkillGraph.sample(10_000, 3, 12)
    has = [(graph.edges == skill).any(axis=1) for skill in range(4)]
    rng = np.random.default_rng(5)
    clash = has[0] & has[1] & (rng.random(10_000) < 0.8)
    found = composition(graph, ~clash)
    members = found.members.values.tolist()
    assert float(found.high[members.index([0, 1])]) < 0.6
    easier = rng.random(10_000) < np.where(has[2] ^ has[3], 0.6, 0.98)
    found = composition(graph, easier)
    assert float(found.low[found.members.values.tolist().index([2, 3])]) > 1.2


# --- peeling ---


def test_peeling_by_hand_and_by_a_loop():
    graph = SkillGraph.sample(60, 3, 40, seed=2)
    known = np.arange(40) < 5
    learnt = set(range(5))
    for _ in range(60):
        for row in graph.edges.tolist():
            missing = set(row) - learnt
            learnt |= missing if len(missing) == 1 else set()
    assert set(np.flatnonzero(peel(graph, known)).tolist()) == learnt


def test_peeling_has_a_threshold():
    """A fifth of the skills is known; half a text for each, and two texts for each."""
    known = np.arange(2_000) < 400
    shares = [
        peel(SkillGraph.sample(pieces, 3, 2_000), known).mean()
        for pieces in (1_000, 4_000)
    ]
    assert shares[0] < 0.4 and shares[1] > 0.9
