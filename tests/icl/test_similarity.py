"""Similarities against numbers known beforehand, and against loops."""

import numpy as np
import pytest

from icl import Prompts
from icl.baselines import GradientDescent, LeastSquares, Newton, decompose
from icl.compare import (
    best_match,
    error_similarity,
    middle_layers,
    progress,
    weight_similarity,
)

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def prompts():
    """The prompts of Fu et al.: d = 20 and 41 pairs, without noise."""
    xs, weights = RNG.normal(size=(100, 41, 20)), RNG.normal(size=(100, 20))
    ys = (xs * weights[:, None]).sum(-1)
    return Prompts(xs.astype("float32"), ys.astype("float32"), weights)


@pytest.fixture(scope="module")
def solved(prompts):
    """Predictions and weights of learners by name."""
    spectrum = decompose(prompts)
    learners = {"OLS": LeastSquares()}
    learners |= {f"GD {k}": GradientDescent(k, 0.005) for k in (1, 16, 100, 1000)}
    learners |= {
        f"Newton {k}": Newton(k, norm="frobenius") for k in (0, 4, 8, 12, 15, 20)
    }
    return {name: learner(spectrum) for name, learner in learners.items()}


def to_least_squares(solved, prompts, name):
    ols, other = solved["OLS"].predictions, solved[name].predictions
    return error_similarity(other, ols, prompts.ys).mean()


# Of 320 other prompts; here there are 100, whose mean varies by about 0.02.
GOLDEN = {
    "GD 1": 0.602,
    "GD 16": 0.867,
    "GD 100": 0.966,
    "GD 1000": 0.995,
    "Newton 0": 0.554,
    "Newton 4": 0.688,
    "Newton 8": 0.848,
    "Newton 12": 0.946,
    "Newton 20": 0.994,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_errors_of_iterates_are_as_similar_to_least_squares(solved, prompts, name):
    found = to_least_squares(solved, prompts, name)
    assert abs(found - GOLDEN[name]) < 0.05 * (1 - GOLDEN[name]) ** 0.5


def test_the_floor_is_that_of_predicting_nothing(solved, prompts):
    nothing = np.zeros(prompts.ys.shape)
    found = error_similarity(nothing, solved["OLS"].predictions, prompts.ys)
    assert found.shape == (100,)
    assert abs(found.mean() - 0.505) < 0.02


def test_each_iterate_of_newton_has_one_of_gradient_descent(solved, prompts):
    """A similarity cannot tell them apart."""
    steps = [2**k for k in range(12)]
    spectrum = decompose(prompts)
    descents = [GradientDescent(k, 0.005)(spectrum).predictions for k in steps]
    newtons = [solved[f"Newton {k}"].predictions for k in (0, 4, 8, 12, 15, 20)]
    similarity = error_similarity(np.stack(newtons), np.stack(descents), prompts.ys)
    assert similarity.shape == (6, 12, 100)
    match = best_match(similarity.mean(-1), np.array(steps))
    assert (match.similarity > 0.98).all()
    assert match.step.tolist() == [1, 4, 16, 64, 256, 1024]


@pytest.mark.parametrize(
    ("name", "golden"), [("GD 1", 0.804), ("GD 100", 0.991), ("Newton 8", 0.946)]
)
def test_weights_of_iterates_are_as_similar_to_least_squares(solved, name, golden):
    found = weight_similarity(solved[name].weights, solved["OLS"].weights)
    assert abs(found.mean() - golden) < 0.01


def test_a_cosine_is_that_of_a_loop():
    labels, a, b = RNG.normal(size=(3, 5, 6))
    found = error_similarity(a, b, labels, contexts=[2, 3, 5])
    for prompt in range(5):
        one, other = ((each - labels)[prompt, [2, 3, 5]] for each in (a, b))
        cosine = one @ other / np.sqrt((one @ one) * (other @ other))
        assert found[prompt] == pytest.approx(cosine)


def test_a_right_answer_has_no_direction():
    labels, other = RNG.normal(size=(2, 4, 6))
    almost = labels * (1 + 1e-7)
    assert np.isnan(error_similarity(almost, other, labels)).all()
    with_nothing = np.stack([np.full((2, 3), np.nan), np.ones((2, 3))], axis=2)
    assert (best_match(with_nothing, np.array([1, 5])).step == 5).all()
    with pytest.raises(ValueError, match="must not be NaN at every step"):
        best_match(with_nothing[..., :1], np.array([1]))


def test_progress_is_a_line_of_the_middle_layers():
    assert np.arange(13)[middle_layers(13)].tolist() == list(range(3, 10))
    best = np.array([0, 0, 0, 3, 6, 9, 12, 15, 18, 21, 21, 21, 21])
    line = progress(np.stack([best, 0 * best]))
    np.testing.assert_allclose(line.slope, [3, 0], atol=1e-12)
    np.testing.assert_allclose(line.r2, [1, 0])
    # A noisy line: the squared correlation.
    noisy = best + RNG.normal(size=13)
    wanted = np.corrcoef(np.arange(3, 10), noisy[3:10])[0, 1] ** 2
    assert progress(noisy).r2 == pytest.approx(wanted)


def test_what_does_not_fit_is_refused(untyped):
    labels = np.ones((4, 3))
    with pytest.raises(ValueError, match=r"b must have axes .* got shape \(4, 2\)"):
        error_similarity(labels, labels[:, :2], labels)
    with pytest.raises(ValueError, match=r"contexts must be context lengths from 0 to"):
        error_similarity(labels, labels, labels, contexts=[3])
    with pytest.raises(ValueError, match="three layers or more"):
        progress(np.arange(2.0))
