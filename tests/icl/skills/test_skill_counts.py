"""Scaling laws, tuples, corpora and Skill-Mix against the numbers of the papers."""

from itertools import combinations as sets

import numpy as np
import pytest

from icl.skills import (
    CHINCHILLA,
    ScalingLaw,
    all_skills,
    cloze_failure,
    combinations,
    corpus_share,
    full_marks,
    glued_failure,
    grade,
    novelty,
    saturation,
    seen_share,
    served_tuple,
    skill_fraction,
    unseen_share,
    zipf,
)


def test_golden_pinsker():
    wanted = {0.01: 0.1414, 0.02: 0.2, 0.1: 0.4472, 0.5: 1.0, 3.0: 1.0}
    for excess, failure in wanted.items():
        assert cloze_failure(excess) == pytest.approx(failure, abs=5e-5)
    assert cloze_failure(0.08, form="total variation") == pytest.approx(0.2)


def test_pinsker_holds_for_every_coin():
    """The weaker form, and the total variation that it is twice of."""
    for p in np.linspace(0.05, 0.95, 19):
        for q in np.linspace(0.05, 0.95, 19):
            excess = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
            assert abs(p - q) <= cloze_failure(excess, form="total variation") + 1e-9


def test_golden_scaling_law():
    before = CHINCHILLA(7e10, 1.4e12)
    assert CHINCHILLA(7e11, 1.4e13) / before == pytest.approx(0.5019, abs=5e-5)
    assert CHINCHILLA(7e10 * 10.13, 1.4e12 * 10.13) / before == pytest.approx(
        0.5, abs=1e-4
    )
    assert "recalled" in CHINCHILLA.source
    assert served_tuple(before, before / 4) == pytest.approx(4)
    assert ScalingLaw(1.0, 0.5, 1.0, 0.5)(4.0, 4.0) == pytest.approx(1.0)


def test_golden_tuples():
    assert combinations(1000, 4) == 41_417_124_750
    assert (combinations(101, 4), combinations(101, 5)) == (4_082_925, 79_208_745)
    found = [glued_failure(0.0125, t) for t in (1, 2, 4)]
    assert found == pytest.approx([0.0125, 0.0248, 0.0491], abs=5e-5)
    assert all(glued_failure(0.3, t) <= 0.3 * t for t in range(1, 20))


def test_no_corpus_holds_more_tuples_than_counted():
    """Every corpus of two texts of three among five skills."""
    texts = list(sets(range(5), 3))
    most = max(
        len({pair for text in corpus for pair in sets(text, 2)})
        for corpus in sets(texts, 2)
    )
    assert seen_share(5, 2, texts=2, k=3) * combinations(5, 2) == pytest.approx(6)
    assert most == 6
    assert unseen_share(5, 2, texts=2, k=3, competent=0.8) == pytest.approx(0.25)


def test_golden_novelty():
    assert corpus_share(0.0144, 0.0022, 5e10, 5) == pytest.approx(0.06811, abs=5e-6)
    assert corpus_share(0.0144, 0.0022, 5e10, 6) == pytest.approx(9.808e-4, abs=5e-8)
    assert novelty(0.0144, 0.0022, 5e10, 5, 0.12) == pytest.approx(0.432, abs=5e-4)
    assert novelty(0.0144, 0.0022, 5e10, 6, 0.08) == pytest.approx(0.988, abs=5e-4)
    assert novelty(0.0144, 0.0022, 5e10, 4, 0.1) == 0.0  # more than it can prove


def test_scores_of_every_text():
    """The three rules in words, for every number of points at k = 3."""
    for a in range(4):
        for b in range(4):
            points = np.array([float(a)]), np.array([float(b)])
            assert full_marks(*points, 3).item() == float(a + b == 6)
            assert all_skills(*points, 3).item() == float(a == 3 and b >= 2)
            assert skill_fraction(*points, 3).item() == (a / 3 if b == 3 else 0)


def test_grades_take_the_best_text_by_each_rule():
    verdicts = np.zeros((1, 2, 5), bool)
    verdicts[0, 0] = [True, True, True, True, False]  # all skills, one other missing
    verdicts[0, 1] = [True, False, True, True, True]  # one skill, all others
    best, first = grade(verdicts, best_of=2), grade(verdicts)
    assert [float(best[name][0]) for name in best] == [0.0, 1.0, 0.5]
    assert [float(first[name][0]) for name in first] == [0.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="best_of must be at most 2"):
        grade(verdicts, best_of=3)


def test_saturation_is_the_first_k_below_the_level():
    scores = {2: 0.6, 3: 0.05, 4: 0.1, 5: 0.0}
    assert saturation(scores, 0.1) == 3
    assert saturation(scores, 0.01) == 5
    assert saturation({2: 0.6}, 0.1) is None


def test_zipf_is_that_of_the_quanta():
    """p_r = r^-(alpha + 1) / zeta: the mean of learnt quanta falls as a power."""
    left = 1 - np.cumsum(zipf(1_000_000, 1.4))
    at = np.unique(np.geomspace(10, 1000, 9).round().astype(int))
    slope = np.polyfit(np.log(at), np.log(left[at - 1]), 1)[0]
    assert slope == pytest.approx(-0.408, abs=2e-3)
