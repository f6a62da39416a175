"""Scores of attention on patterns that are written by hand."""

import numpy as np
import pytest

from icl.attention import (
    nearest_inputs,
    neighbours,
    prefix_matching,
    repeated,
    uniform,
)

RNG = np.random.default_rng(0)


def test_heads_look_at_their_neighbours():
    own, before, behind = (np.eye(6, k=k) for k in (0, -1, 1))
    patterns = np.stack([own, before, 0.5 * behind + 0.5 * own])[:, None]
    found = neighbours(patterns)
    assert found.own.tolist() == [1, 0, 0.5]
    assert found.previous.tolist() == [0, 1, 0]
    assert found.following.tolist() == [0, 0, 0.5]
    np.testing.assert_allclose(found.others, 0)


def test_neighbours_are_those_of_a_loop():
    patterns = RNG.random((2, 3, 4, 6, 6))
    found = neighbours(patterns, at=np.array([2, 4]))
    rest = [[0, 4, 5], [0, 1, 2]]  # of tokens 2 and 4
    others = np.mean([patterns[..., t, r] for t, r in zip((2, 4), rest, strict=True)])
    assert np.mean(found.others) == pytest.approx(others)
    wanted = patterns[..., [2, 4], [1, 3]].mean(axis=(2, 3))
    np.testing.assert_allclose(found.previous, wanted)


def test_the_floor_of_a_neighbour_is_that_of_uniform_attention():
    found = neighbours(uniform(5))
    expected = np.mean([1 / 2, 1 / 3, 1 / 4])
    assert found.own == found.previous == pytest.approx(expected)
    assert found.following == 0


def test_an_induction_head_looks_behind_the_same_token():
    tokens = np.tile(RNG.permutation(8), (3, 2))  # each comes twice
    alike = repeated(tokens)
    perfect = np.zeros((3, 16, 16))
    perfect[:, np.arange(8, 16), np.arange(1, 9)] = 1.0
    copies = np.zeros((3, 16, 16))
    copies[:, np.arange(8, 16), np.arange(8)] = 1.0  # looks at the like itself
    scores = prefix_matching(np.stack([perfect, copies]), alike)
    # A head may look at token i - 7 where that is token i itself: never for eight.
    assert scores.tolist() == [1.0, 0.0]
    floor = prefix_matching(uniform(16, 3), alike)
    assert floor == pytest.approx(np.mean([1 / n for n in range(9, 17)]))


def test_the_nearest_input_is_that_of_the_largest_cosine():
    xs = RNG.normal(size=(4, 5, 3)) * [[[1.0]], [[10.0]], [[0.1]], [[1e200]]]
    alike = nearest_inputs(xs)
    unit = xs / np.abs(xs).max(axis=2, keepdims=True)
    unit = unit / np.linalg.norm(unit, axis=2, keepdims=True)
    for prompt in range(4):
        for i in range(2, 5):
            best = max(range(i), key=lambda j: abs(unit[prompt, i] @ unit[prompt, j]))
            assert np.flatnonzero(alike[prompt, 2 * i]).tolist() == [2 * best]
    assert not alike[:, 1::2].any() and not alike[:, :3].any()
    fetches = np.zeros((4, 9, 9))
    fetches[:, :, 1:] = alike[:, :, :-1]
    # What is directly behind the like is its y, also of the x in front.
    assert prefix_matching(fetches, alike) == 1.0


def test_scores_have_the_axes_in_front():
    patterns = RNG.random((2, 4, 3, 9, 9))
    scores = prefix_matching(patterns, nearest_inputs(RNG.normal(size=(3, 5, 2))))
    assert scores.shape == neighbours(patterns).previous.shape == (2, 4)


def test_sequences_without_a_like_are_refused():
    with pytest.raises(ValueError, match="a like before it"):
        prefix_matching(uniform(4), repeated(np.array([[1, 2, 3, 4]])))
    with pytest.raises(ValueError, match="at least three pairs"):
        nearest_inputs(np.ones((1, 2, 1)))
    with pytest.raises(ValueError, match="at must be numbers of tokens from 1 to 3"):
        neighbours(uniform(5), at=np.array([4]))
