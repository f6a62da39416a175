"""One array of outcomes, and every metric as a reduction of it."""

import numpy as np
import pytest

from icl import Transformer
from icl.baselines import GradientDescent
from icl.emergence import (
    Choices,
    Curve,
    Errors,
    Hits,
    LogProbabilities,
    genuineness,
    product_test,
    seed_test,
    threshold_test,
)

RNG = np.random.default_rng(0)
ERRORS = RNG.normal(size=(3, 12, 4)) * np.array([2.0, 0.5, 0.1])[:, None, None]


def test_metrics_of_errors_by_a_loop():
    errors, d = Errors([1, 2, 3], ERRORS, variance=4.0), 4.0
    for s in range(3):
        e = ERRORS[s]
        assert errors.nmse().average[s] == pytest.approx((e**2).mean() / d)
        logs = errors.log_nmse().values[s]
        assert logs == pytest.approx(-np.log10((e**2).mean() / d))
        score = -(e**2).mean() / (2 * 0.1 * d)
        assert errors.log_score().values[s] == pytest.approx(score)
        small = abs(e) < 0.3 * 2
        assert errors.hit(0.3).values[s] == pytest.approx(small.mean())
        both = [small[b, 0] and small[b, 1] for b in range(12)]
        assert errors.all_of(2, epsilon=0.3).values[s] == np.mean(both)
        solved = [(e[b] ** 2).mean() / d < 0.05 for b in range(12)]
        assert errors.solved(0.05).values[s] == np.mean(solved)
        median = np.median((e**2).mean(axis=1)) / d
        assert errors.nmse(statistic="median").average[s] == pytest.approx(median)
    # The unnormalised log-probability is -5 nmse.
    np.testing.assert_allclose(errors.log_score().values, 5 * errors.nmse().values)


def test_queries_of_different_prompts_by_a_loop():
    hits = Hits([1, 2, 3], RNG.random((3, 7, 4)) < 0.6)
    found = hits.all_of(3, across="prompts")
    for s in range(3):
        for group in range(2):  # the seventh prompt is left over
            cases = [
                all(hits.hits[s, 3 * group + j, (j + turn) % 4] for j in range(3))
                for turn in range(4)
            ]
            assert found.scores[s, group] == np.mean(cases)


def test_queries_that_share_a_prompt_are_right_together():
    """With a rate of their own for each prompt, the product of rates is too small."""
    easy = RNG.random((1, 4000, 1)) < 0.5
    hits = Hits([1, 2, 3], np.repeat(np.repeat(easy, 3, 0), 4, 2))
    rate = hits.rate().values[0]
    assert hits.exact_match().values[0] == pytest.approx(rate)
    across = hits.all_of(4, across="prompts").values[0]
    assert across == pytest.approx(rate**4, abs=0.03)  # 1,000 groups: 3 errors of .008
    assert hits.edit_distance().average[0] == pytest.approx(4 * (1 - rate))


def test_multiple_choice_by_a_loop():
    labels, others = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2, 3))
    predictions = RNG.normal(size=(3, 5, 2))
    candidates = np.concatenate([labels[..., None], others], axis=2)
    choices = Choices.from_predictions(
        [1, 2, 3], predictions, candidates, variance=2.0, spread=0.2
    )
    for s in range(3):
        scores, right, wrong, brier = [], [], [], []
        for b in range(5):
            for j in range(2):
                logits = -((predictions[s, b, j] - candidates[b, j]) ** 2) / 0.8
                p = np.exp(logits) / np.exp(logits).sum()
                scores.append(p.argmax() == 0)
                right.append(np.log(p[0]))
                wrong.append(np.log(p[1:]).mean())
                brier.append((p[0] - 1) ** 2 + (p[1:] ** 2).sum())
        assert choices.accuracy().values[s] == pytest.approx(np.mean(scores))
        assert choices.right_log_probability().values[s] == pytest.approx(
            np.mean(right)
        )
        assert choices.wrong_log_probability().values[s] == pytest.approx(
            np.mean(wrong)
        )
        assert choices.brier().average[s] == pytest.approx(np.mean(brier))
    # Another option may be the right one.
    turned = Choices([1, 2, 3], choices.log_probabilities[..., ::-1], right=3)
    np.testing.assert_allclose(turned.brier().values, choices.brier().values)


def test_equal_options_are_chance():
    p = np.full((3, 4, 1, 5), 0.2)
    assert Choices.from_probabilities([1, 2, 3], p).accuracy().values[0] == 0.2


def test_no_metric_runs_a_model(monkeypatch):
    """A learner predicts once at each scale; after that nothing may predict."""
    calls = []

    def predict(self, *_, **__):
        calls.append(self)
        return np.zeros((6, 4))

    monkeypatch.setattr(GradientDescent, "__call__", predict)
    scale = [1, 2, 3]
    predictions = [GradientDescent(k, 0.1)(None) for k in scale]
    labels = RNG.normal(size=(6, 4))
    errors = Errors.from_predictions(scale, np.array(predictions), labels, variance=4)
    candidates = RNG.normal(size=(6, 4, 3))
    choices = Choices.from_predictions(scale, np.array(predictions), candidates)
    logs = LogProbabilities(scale, -np.abs(errors.errors))
    for model in (Transformer, GradientDescent):
        monkeypatch.setattr(model, "__call__", None)
    before = errors.errors.copy()
    curves = [getattr(errors, name)() for name in ("nmse", "log_nmse", "log_score")]
    curves += [errors.hit(), errors.solved(), errors.all_of(2)]
    curves += [errors.all_of(2, across="prompts"), errors.hits().edit_distance()]
    curves += [errors.hits().exact_match(), logs.answer(), logs.per_character()]
    names = ("accuracy", "brier", "right_log_probability", "wrong_log_probability")
    curves += [getattr(choices, name)() for name in names]
    genuineness(errors)
    assert len(calls) == len(scale) and len(curves) == 15
    assert all(isinstance(curve, Curve) for curve in curves)
    np.testing.assert_array_equal(errors.errors, before)


# --- tests of jumps ---


def test_a_jump_of_the_metric_moves_with_the_threshold():
    scale = 10.0 ** np.arange(6)
    smooth = Errors(scale, np.ones((6, 1, 1)) / scale[:, None, None])
    found = threshold_test(smooth, metric="hit", thresholds=[0.2, 0.02, 0.002, 2e-4])
    assert found.decades == pytest.approx(3)
    assert found.slope == pytest.approx(-1)
    jump = np.where(np.arange(6) < 3, 1.0, 1e-9)[:, None, None]
    found = threshold_test(Errors(scale, jump))
    assert found.decades == pytest.approx(0, abs=1e-12)
    never = threshold_test(Errors(scale, np.ones((6, 1, 1))))
    assert np.isnan(never.decades) and np.isnan(never.x50).all()


def test_products_are_exact_for_independent_parts_only():
    rates = np.array([0.9, 0.5, 0.2])
    independent = Hits([1, 2, 3], RNG.random((3, 20_000, 3)) < rates)
    found = product_test(independent)
    assert found.product_gap < 0.01  # 20,000 prompts: 3 errors of .002
    power = abs(rates.prod() - rates.mean() ** 3)
    assert found.power_gap == pytest.approx(power, abs=0.01)


def test_seeds_on_two_sides_of_a_jump():
    steps = np.arange(1, 9)
    jumps = np.repeat([3, 4, 6, 7], 2)
    found = seed_test(steps, (steps >= jumps[:, None]).astype(float))
    assert (found.below, found.above, found.between, found.spread) == (0.5, 0.5, 0, 1)
    smooth = seed_test(steps, np.tile(steps / 8, (8, 1)))
    assert (smooth.between, smooth.spread) == (1, 0)


def test_all_four_numbers_of_a_jump():
    scale = 10.0 ** np.arange(6)
    errors = Errors(scale, RNG.normal(size=(6, 50, 3)) / scale[:, None, None])
    seeds = np.tile(errors.hit().values, (8, 1))
    found = genuineness(errors, seeds=seeds)
    assert found.threshold_decades > 1
    assert 0 < found.log_breakthroughness < found.log_null_99  # a straight line
    assert found.seed_spread == 0
    of_hits = genuineness(hits=errors.hits())
    assert of_hits.product_gap == found.product_gap
    assert np.isnan(of_hits.threshold_decades) and np.isnan(of_hits.seed_below)
    of_seeds = genuineness(seeds=seeds)
    assert of_seeds.seed_spread == 0 and np.isnan(of_seeds.product_gap)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Errors([1, 2, 3], np.ones((3, 4))), r"axes \(scale, prompt, query\)"),
        (lambda: Errors([1, 2, 3], ERRORS, variance=0), "variance must be .* > 0"),
        (lambda: Errors([1, 2, 3], ERRORS).hit(0), "epsilon must be .* > 0"),
        (lambda: Errors([1, 2, 3], ERRORS).log_score(spread=0), "spread must be"),
        (lambda: Errors([1, 2, 3], ERRORS).all_of(5), "queries must be at most 4"),
        (
            lambda: Hits([1, 2, 3], np.ones((3, 2, 4))).all_of(3, across="prompts"),
            "queries must be at most 2, as there are 2 prompts",
        ),
        (lambda: Hits([1, 2, 3], ERRORS), "hits must be 0 or 1"),
        (lambda: LogProbabilities([1, 2, 3], abs(ERRORS)), "values must be at most 0"),
        (
            lambda: Choices.from_probabilities([1, 2, 3], np.full((3, 1, 1, 2), 0.6)),
            "probabilities must lie in .* sum to 1",
        ),
        (
            lambda: Choices.from_probabilities(
                [1, 2, 3], np.tile([1.5, -0.5], (3, 1, 1, 1))
            ),
            "probabilities must lie in .* got values from -0.5 to 1.5",
        ),
        (
            lambda: Choices.from_probabilities([1, 2, 3], np.ones((3, 1, 1, 1))),
            "at least 2 options, got 1",
        ),
        (
            lambda: Choices([1, 2, 3], np.log(np.full((3, 1, 1, 2), 0.5)), right=2),
            "right must be an index from 0 to 1",
        ),
        (
            lambda: Choices.from_predictions(
                [1, 2, 3], ERRORS, np.zeros((12, 4, 2)), spread=0
            ),
            "spread must be",
        ),
        (lambda: threshold_test(Errors([0, 1, 2], ERRORS)), "scales above 0"),
        (
            lambda: threshold_test(Errors([1, 2, 3], ERRORS), thresholds=[0.1, 0.1]),
            "thresholds must be at least 2 different",
        ),
        (lambda: seed_test([1, 2, 3], np.ones((3, 3))), "at least 8 seeds"),
        (lambda: genuineness(), "must be given, got none"),
    ],
)
def test_bad_outcomes_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
