"""Ridge probes in both forms, and penalties chosen on prompts that are left out."""

import numpy as np
import pytest
from grid_cases import batches, first_split
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import probe_grid
from probes.grid import leave_out
from probes.grid.leave_out import LeftOut
from probes.grid.moments import Moments
from probes.grid.ridge_solution import Spectrum
from probes.grid.ridge_spec import ALPHAS, RidgeSpec
from probes.grid.ridge_wide import WideCell

SPEC = RidgeSpec(tuple(10.0 ** np.arange(-3, 5)))
COLUMNS = 3
relies = pytest.mark.filterwarnings("ignore:.*relies on its penalty")


def drawn(rng, prompts, features):
    """States of unequal scales, far from 0, and noisy columns."""
    states = rng.normal(size=(prompts, features))
    target = states[:, :COLUMNS] + rng.normal(size=(prompts, COLUMNS))
    return states * 10.0 ** np.linspace(-2, 2, features) + 30, target


def long_cell(states, target, spec=SPEC):
    rows = np.hstack([states, target, np.ones((len(states), 1))])
    shift = rows[:, :-1].mean(axis=0)
    rows[:, :-1] -= shift
    moments = Moments(rows.T @ rows, shift, states.shape[1])
    return Spectrum.of(moments, spec)


def left_out_by(form, states, target, left):
    if form == "wide":
        places = np.arange(len(states))
        return WideCell.of(states, target, SPEC).left_out(SPEC.alphas, left, places)
    return long_cell(states, target).left_out(SPEC.alphas, left, states, target)


def everyone(groups):
    return LeftOut.of(np.arange(len(groups)), groups, seed=0)


@pytest.mark.parametrize("difference", [-3, 0, 3])
def test_both_forms_are_one_ridge_regression(rng, difference):
    """Around the crossover, where a probe may be solved in either way."""
    states, target = drawn(rng, 40, 40 + difference)
    for alpha in SPEC.alphas:
        alphas = np.full(COLUMNS, alpha)
        long = long_cell(states, target).probes(alphas)
        wide = WideCell.of(states, target, SPEC).probes(alphas)
        # Squared condition numbers of 1e8 at the least penalty leave 8 digits.
        for one, other in zip(long, wide, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)
        read = [states @ coef + intercept for coef, intercept in (long, wide)]
        np.testing.assert_allclose(*read, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("form", "features"), [("wide", 80), ("long", 15)])
def test_errors_are_those_of_scikit_learn_without_each_prompt(rng, form, features):
    states, target = drawn(rng, 60, features)
    scaled = StandardScaler().fit_transform(states)
    reference = RidgeCV(SPEC.alphas, alpha_per_target=True, store_cv_results=True)
    expected = reference.fit(scaled, target).cv_results_.sum(axis=0).T
    found = left_out_by(form, states, target, everyone(np.arange(60)))
    np.testing.assert_allclose(found, expected, rtol=1e-9)  # float64, both


@pytest.mark.parametrize(("form", "features"), [("wide", 80), ("long", 15)])
def test_a_group_is_left_out_as_a_whole(rng, form, features):
    """Against fits without each group, in groups of one, two and three prompts."""
    states, target = drawn(rng, 60, features)
    groups = rng.permutation(np.repeat(np.arange(30), np.tile([1, 2, 3], 10)))
    scaled = StandardScaler().fit_transform(states)
    expected = np.zeros((len(SPEC.alphas), COLUMNS))
    for group in np.unique(groups):
        out = groups == group
        for i, alpha in enumerate(SPEC.alphas):
            fitted = Ridge(alpha).fit(scaled[~out], target[~out])
            missed = fitted.predict(scaled[out]) - target[out]
            expected[i] += np.square(missed).sum(axis=0)
    found = left_out_by(form, states, target, everyone(groups))
    np.testing.assert_allclose(found, expected, rtol=1e-9)  # float64, both


@relies
@pytest.mark.parametrize("features", [10, 200])
def test_the_default_probe_is_scikit_learns_choice(rng, features):
    states, target = drawn(rng, 120, features)
    grid = probe_grid(states[None, :, None], {"t": target}).isel(layer=0, token=0)
    train, test = first_split(120)
    loop = make_pipeline(StandardScaler(), RidgeCV(ALPHAS, alpha_per_target=True))
    loop.fit(states[train], target[train])
    chosen = grid.alpha.sel(target="t").values
    np.testing.assert_array_equal(chosen, loop[-1].alpha_)
    expected = r2_score(
        target[test], loop.predict(states[test]), multioutput="variance_weighted"
    )
    # The same equations in float64.
    np.testing.assert_allclose(grid.r2.sel(target="t"), expected, rtol=1e-9)
    assert grid.attrs["n_validation"] == 0


@relies
def test_wide_states_in_a_stream_are_as_good_as_an_array(rng):
    hidden = rng.normal(size=(2, 80, 3, 100)).astype(np.float32)
    targets = {"t": hidden[1, :, 2, :2] + rng.normal(size=(80, 2))}
    asked = []

    def function(rows):
        asked.extend(rows.tolist())
        return hidden[:, rows]

    array, streamed = (
        probe_grid(
            states, targets, validation_fraction=0.25, batch=16, coefficients=True
        )
        for states in (hidden, function)
    )
    assert sorted(asked) == list(range(80))  # each prompt once
    for name in ("r2", "alpha", "coef", "intercept"):
        np.testing.assert_allclose(streamed[name], array[name], rtol=1e-9)
    assert probe_grid(batches(hidden, 16), targets).attrs["n_validation"] > 0
    iterated = probe_grid(batches(hidden, 16), targets, probe=Ridge(3.0))
    states, target = hidden[1, :, 2].astype(float), targets["t"]
    guess = Ridge(3.0).fit(states[:60], target[:60]).predict(states[60:])
    expected = r2_score(target[60:], guess, multioutput="variance_weighted")
    # It is tested on its last prompts; both in float64.
    found = iterated.r2.sel(layer=1, token=2, target="t")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@relies
def test_nan_among_wide_states_is_found_where_it_is(rng):
    hidden = rng.normal(size=(2, 40, 3, 60))
    train, _ = first_split(40)
    hidden[1, train[5], 2, 7] = np.nan
    said = f"layer 1, prompt {train[5]}, token 2"
    for states in (hidden, lambda rows: hidden[:, rows]):
        with pytest.raises(ValueError, match=said):
            probe_grid(states, {"t": rng.normal(size=(40, 1))})


def test_a_prompt_that_decides_its_own_guess_chooses_no_penalty(rng):
    """Feature 0 is of one prompt alone: without it nothing is known of its weight."""
    states = rng.normal(size=(50, 5))
    states[:, 0] = 0
    states[7, 0] = 1e9
    target = rng.normal(size=(50, COLUMNS))
    spec = RidgeSpec((1e-3, 1.0), standardize=False)
    cell = long_cell(states, target, spec)
    found = cell.left_out(spec.alphas, everyone(np.arange(50)), states, target)
    assert np.isinf(found[0]).all() and np.isinf(found[1]).all()
    scaled = left_out_by("long", states, target, everyone(np.arange(50)))
    assert np.isfinite(scaled[-1]).all()


def test_many_prompts_are_left_out_in_part_by_whole_groups(monkeypatch, rng):
    monkeypatch.setattr(leave_out, "MOST", 50)
    groups = rng.permutation(np.repeat(np.arange(60), 5))
    rows = np.sort(rng.choice(1_000, len(groups), replace=False))
    left = LeftOut.of(rows, groups, seed=3)
    assert len(left.rows) == 50 and (np.diff(left.rows) > 0).all()
    kept = np.isin(rows, left.rows)
    assert len(np.unique(groups[kept])) == 10  # ten groups, each as a whole
    parts = left.batches(12)
    assert len(parts) > 1 and all((np.diff(part.rows) > 0).all() for part in parts)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([part.rows for part in parts])), left.rows
    )
    seen = [set(part.groups) for part in parts]
    assert sum(map(len, seen)) == len(set().union(*seen))  # no group is divided
    assert {block.shape[1] for part in parts for block in part.blocks()} == {5}


def test_batches_change_no_error(rng):
    states, target = drawn(rng, 200, 12)
    hidden, targets = states[None, :, None], {"t": target}
    groups = rng.integers(40, size=200)
    whole, parts = (
        probe_grid(hidden, targets, groups=groups, batch=size) for size in (1_000, 16)
    )
    np.testing.assert_array_equal(whole.alpha, parts.alpha)
    np.testing.assert_allclose(whole.r2, parts.r2, rtol=1e-9)
