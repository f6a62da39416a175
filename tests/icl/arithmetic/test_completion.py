"""Addition tables are completed by values, as least squares does and as released."""

from typing import get_args

import jax
import numpy as np
import pytest

from icl import Prompts
from icl.arithmetic.completion import (
    Rule,
    addition_table,
    complete,
    one_hot_features,
    random_cells,
)
from icl.arithmetic.thresholds import law, thresholds
from icl.baselines import LeastSquares

TABLE = addition_table(20)
WIDE = np.zeros((201, 201))
HUGE = np.array([[-1.7e308, 1.7e308], [1.7e308, 0]])


def test_the_additive_rule_is_least_squares_on_one_hot_operands():
    shown = random_cells(20, 60)
    found = complete(TABLE, shown, "additive")
    features = one_hot_features(20)
    weights = np.linalg.pinv(features[shown.ravel()]) @ TABLE[shown]
    solved = np.abs((features @ weights).reshape(20, 20) - TABLE) < 1e-8
    np.testing.assert_array_equal(solved, found.known)
    assert 0 < found.known.sum() < 400
    np.testing.assert_allclose(found.values[found.known], TABLE[found.known])
    assert np.isnan(found.values[~found.known]).all()


def test_the_baseline_of_the_package_completes_too():
    shown = random_cells(6, 14)
    features, seen = one_hot_features(6), shown.ravel()
    table = addition_table(6)
    # One more pair, so that there are weights after all that are shown.
    xs = np.concatenate([features[seen], np.zeros((1, 12))])
    ys = np.append(table[shown], 0.0)
    with jax.enable_x64(True):
        weights = LeastSquares()(Prompts(xs[None], ys[None])).weights[0, -1]
        said = features @ np.asarray(weights)
    solved = np.abs(said.reshape(6, 6) - table) < 1e-8
    np.testing.assert_array_equal(solved, complete(table, shown).known)


def test_any_table_of_rank_one_in_sums_is_completed():
    rng = np.random.default_rng(0)
    table = np.add.outer(rng.normal(size=9), rng.normal(size=9))
    for rule in ("additive", "contiguous"):
        found = complete(table, random_cells(9, 40), rule)
        np.testing.assert_allclose(found.values[found.known], table[found.known])


def test_the_released_rule_fills_in_what_is_wrong():
    """The ratio fills the same cells; of the sums it gets nearly none right."""
    shares = []
    for seed in range(10):
        shown = random_cells(20, 150, seed)
        ratio, right = (complete(TABLE, shown, r) for r in ("ratio", "contiguous"))
        np.testing.assert_array_equal(ratio.known, right.known)
        assert right.known.all()
        np.testing.assert_allclose(right.values, TABLE)
        shares.append(np.isclose(ratio.values, TABLE)[~shown].mean())
    assert np.mean(shares) < 0.05
    products = np.multiply.outer(np.arange(1, 21), np.arange(1, 21))
    found = complete(products, random_cells(20, 150), "ratio")
    np.testing.assert_allclose(found.values, products)


def test_digits_need_few_cells_of_a_large_table():
    table = addition_table(100)
    found = complete(table, random_cells(100, 100), "digits")
    assert found.known.all()
    np.testing.assert_allclose(found.values, table, atol=1e-8)
    few = complete(table, random_cells(100, 20), "digits")
    assert not few.known.all()
    np.testing.assert_allclose(few.values[few.known], table[few.known], atol=1e-8)


def test_rank_two_needs_more_than_sums_do():
    found = complete(TABLE, random_cells(20, 250), "rank 2")
    assert found.known.all()
    np.testing.assert_allclose(found.values, TABLE, atol=1e-6)
    assert not complete(TABLE, random_cells(20, 100), "rank 2").known.all()


@pytest.mark.parametrize("rule", get_args(Rule))
@pytest.mark.parametrize("unit", [2.0**-900, 2.0**-40, 2.0**1015])
def test_tables_are_completed_in_any_unit(rule, unit):
    shown = random_cells(20, 250)
    wanted, found = (complete(TABLE * u, shown, rule) for u in (1.0, unit))
    np.testing.assert_array_equal(found.known, wanted.known)
    # The steps of rank 2 end about that far from their limit.
    np.testing.assert_allclose(found.values / unit, wanted.values, 1e-9, 1e-6)


@pytest.mark.parametrize("rule", get_args(Rule))
def test_cells_that_are_not_shown_are_not_looked_at(rule):
    shown = random_cells(20, 250)
    hidden = np.where(shown, TABLE, np.nan)
    for found, wanted in zip(
        complete(hidden, shown, rule), complete(TABLE, shown, rule), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_rank_two_has_an_answer_for_any_cells():
    few = random_cells(20, 7, 10)  # its factors are so large that the ridge is lost
    assert complete(TABLE, few, "rank 2").known[few].all()
    every = np.ones((3, 3), bool)
    found = complete(np.zeros((3, 3)), every, "rank 2")
    assert found.known.all() and (found.values == 0).all()


def test_thresholds_follow_their_laws():
    additive = np.median(thresholds(20, "additive", trials=60))
    contiguous = np.median(thresholds(20, "contiguous", trials=12))
    # 75 and 90 over 200 orders; the law for large n is 6 to 8 % high here.
    assert abs(additive - 75) < 6 and abs(contiguous - 90) < 12
    assert round(law(20, "additive")) == 81 and round(law(100, "contiguous")) == 1411
    shown = random_cells(20, int(thresholds(20, "additive", trials=1)[0]))
    assert complete(TABLE, shown).known.all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: random_cells(20, 401), "m must be an integer of at most 400, got 401"),
        (lambda: random_cells(20, 0), "m must be an integer >= 1, got 0"),
        (lambda: addition_table(1), "n must be an integer >= 2, got 1"),
        (lambda: complete(TABLE, TABLE), "shown must hold booleans, got an array of f"),
        (lambda: complete(TABLE, np.zeros((20, 20), bool)), "one cell or more"),
        (lambda: complete(TABLE, np.ones((3, 4), bool)), r"\(n, n\) of sizes \(3, 3\)"),
        (lambda: complete(TABLE, np.ones((3, 3), bool)), "table must have axes"),
        (lambda: complete(TABLE, TABLE > 3, "magic"), "rule must be one of"),
        (lambda: thresholds(20, "rank 2"), "rule must be one of"),
        (lambda: one_hot_features(201), "n must be an integer of at most 200, got 201"),
        (lambda: complete(WIDE, WIDE == 0, "rank 2"), "most 200 rows .* got 201"),
        (lambda: complete(HUGE, HUGE != 0), "the completed cells of table must be fin"),
    ],
)
def test_bad_tables_are_refused(call, said, untyped):
    with pytest.raises(ValueError, match=said):
        call()
