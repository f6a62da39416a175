import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor

from probes import probe_grid
from probes.controls import donors, random_function, selectivity

# --- donors ---


@given(
    groups=arrays.arrays(int, st.integers(2, 30), elements=st.integers(0, 6)).filter(
        lambda groups: len(np.unique(groups)) > 1
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_controls_come_from_one_other_group_each(groups, seed):
    givers = groups[donors(groups, seed)]
    pairs = set(zip(groups.tolist(), givers.tolist(), strict=True))
    labels = set(groups.tolist())
    assert len(pairs) == len(labels) and {giver for _, giver in pairs} == labels
    assert all(group != giver for group, giver in pairs)


def test_single_prompts_are_permuted_without_a_fixed_point():
    given_away = donors(np.arange(50), 3)
    assert sorted(given_away) == list(range(50))
    assert (given_away != np.arange(50)).all()
    assert (given_away != donors(np.arange(50), 4)).any()


# --- a random function ---


def test_a_random_function_has_mean_0_variance_1_and_the_kernel_it_states(rng):
    inputs = rng.normal(size=(40, 3))
    values = random_function(inputs, 4_000, length_scale=0.5, seed=0)
    standard = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    squares = ((standard[:, None] - standard) ** 2).sum(axis=-1)
    # The mean of `squares` over all pairs is 2 * 3: the typical squared distance.
    kernel = np.exp(-squares / (2 * 0.5**2 * 6))
    # 1000 waves and 4000 functions: standard errors 1 / sqrt(1000) and 1 / sqrt(4000).
    assert abs(values.mean(axis=1)).max() < 5 / np.sqrt(4_000)
    np.testing.assert_allclose(values @ values.T / 4_000, kernel, atol=0.15)


@given(seed=st.integers(0, 2**32 - 1))
def test_equal_inputs_have_equal_values_whatever_their_units_and_axes(seed):
    inputs = np.random.default_rng(seed).normal(size=(12, 2, 3))
    inputs[5] = inputs[0]
    values = random_function(inputs, 2, seed=seed)
    np.testing.assert_allclose(values[5], values[0], atol=1e-9)
    other = np.concatenate(
        [inputs.reshape(12, 6) * 10.0 + 4.0, np.ones((12, 1))], axis=1
    )
    # Standardised first, in float64; phases of size ~100 keep 13 digits.
    np.testing.assert_allclose(random_function(other, 2, seed=seed), values, atol=1e-9)


def test_shares_of_variance_are_those_stated(rng):
    """Many independent inputs: 7 % linear, next to nothing constant."""
    inputs = rng.normal(size=(4_000, 40))
    values = random_function(inputs, 200, seed=0)
    fit = LinearRegression().fit(inputs, values)
    explained = r2_score(values, fit.predict(inputs), multioutput="variance_weighted")
    # Poisson(1 / 2 0.35^2 = 4.1) at 1 is 6.9 %, less of what 40 Gaussian inputs make of
    # it, plus 40 / 4000 for fitting; 200 functions.
    assert 0.04 < explained < 0.10


def test_few_inputs_can_be_memorised_and_many_cannot(rng):
    train, test = slice(0, 3_000), slice(3_000, None)
    held_out = {}
    for width in (1, 30):
        inputs = rng.normal(size=(4_000, width))
        values = random_function(inputs, 3, seed=0)
        probe = KNeighborsRegressor(3).fit(inputs[train], values[train])
        held_out[width] = r2_score(values[test], probe.predict(inputs[test]))
    assert held_out[1] > 0.95 and held_out[30] < 0.1


# --- selectivity ---


def scores_of(values, **attrs):
    coords = {"layer": range(3), "token": ["x1", "y1"], "context": ("token", [0, 1])}
    return xr.DataArray(values, coords, ("layer", "token"), attrs=attrs)


def test_selectivity_is_the_difference_with_both_sides_beside_it(rng):
    task, control = (
        scores_of(rng.normal(size=(3, 2))),
        scores_of(rng.normal(size=(3, 2))),
    )
    both = selectivity(task, control)
    xr.testing.assert_equal(both.task, task)
    np.testing.assert_array_equal(both.control, control)
    np.testing.assert_array_equal(both.selectivity, task.values - control.values)
    assert both.context.values.tolist() == [0, 1] and set(both.data_vars) == {
        *("task", "control", "selectivity")
    }
    plain = selectivity(task.values, control.values)
    np.testing.assert_array_equal(plain.selectivity, both.selectivity)


def test_one_target_of_a_grid_may_be_the_control_of_another(rng):
    r2 = xr.DataArray(
        rng.normal(size=(3, 2)),
        {"layer": range(3), "target": ["w", "random"]},
        ("layer", "target"),
    )
    both = selectivity(r2.sel(target="w"), r2.sel(target="random"))
    np.testing.assert_array_equal(both.selectivity, r2[:, 0].values - r2[:, 1].values)


def test_the_interval_of_a_difference_is_paired(rng):
    """What both sides share cancels: the interval is that of what they do not."""
    common, own = rng.normal(size=(2, 1_000, 3, 2)) * [[[[1.0]]], [[[0.01]]]]
    dims = ("resample", "layer", "token")
    sides = []
    for draws in (common + own, common):
        side = xr.Dataset({"r2": scores_of(np.zeros((3, 2)))}, coords={"split": "a"})
        sides.append(side.assign(r2_resampled=(dims, draws)))
    both = selectivity(*sides)
    low, high = np.quantile(own, [0.025, 0.975], axis=0)
    # The same numbers, but for adding and subtracting `common`.
    np.testing.assert_allclose(both.selectivity_low, low, atol=1e-12)
    np.testing.assert_allclose(both.selectivity_high, high, atol=1e-12)
    assert "selectivity_low" not in selectivity(sides[0].r2, sides[1].r2)
    with pytest.raises(ValueError, match="have split a and b"):
        selectivity(sides[0], sides[1].assign_coords(split="b"))


def test_other_functions_of_the_kind_are_covered(rng):
    """Twenty functions tell the mean of all: prompts alone do not know how they differ.

    Scores of functions are normal around 0.4 with a standard deviation of 0.1; what
    prompts add is a tenth of that.
    """
    functions, repeats = 20, 400
    each = 0.4 + 0.1 * rng.normal(size=(repeats, functions))
    noise = 0.01 * rng.normal(size=(300, 1))
    axes = ("layer", "coordinate")
    control = xr.Dataset(
        {
            "r2": ("layer", each.mean(axis=1)),
            "r2_per_coordinate": (axes, each),
            "r2_resampled": (("resample", "layer"), each.mean(axis=1) + noise),
        },
        coords={"split": "a"},
    )
    task = control.assign(
        r2=0 * control.r2 + 0.9, r2_resampled=0 * control.r2_resampled
    )
    task = task.assign(r2_resampled=task.r2_resampled + 0.9)

    def covered(**options):
        both = selectivity(task, control, **options)
        inside = (both.selectivity_low <= 0.5) & (both.selectivity_high >= 0.5)
        return float(inside.mean())

    assert covered() < 0.7
    assert abs(covered(functions=True) - 0.95) < 0.04  # three standard errors
    one = control.isel(coordinate=[0])
    with pytest.raises(ValueError, match="2 functions or more, got 1"):
        selectivity(task, one, functions=True)


def test_grids_of_other_prompts_are_not_paired(rng):
    hidden = rng.normal(size=(1, 80, 1, 3))
    targets = {"w": hidden[0, :, 0]}
    grid = probe_grid(hidden, targets, keep_resamples=True)
    streamed = probe_grid(iter([hidden]), targets, keep_resamples=True)
    assert "selectivity_low" in selectivity(grid, grid)
    with pytest.raises(ValueError, match="paired only where the tested prompts"):
        selectivity(grid, streamed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.assign_coords(layer=[0, 1, 5]),
            r"'layer'.*\[2\], only control \[5\]",
        ),
        (lambda s: s.isel(layer=slice(2)), r"'layer'.*only task has \[2\]"),
        (lambda s: s.isel(layer=[1, 0, 2]), "'layer'.*same order"),
        (lambda s: s.assign_coords(context=("token", [0, 2])), r"'context'"),
        (lambda s: s.transpose(), "same axes"),
        (lambda s: s.isel(token=0), "same axes"),
        (lambda s: s.to_dataset(name="cosine"), r"no 'r2'; it has \['cosine'\]"),
    ],
)
def test_scores_of_different_grids_are_refused(change, message):
    task = scores_of(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=message):
        selectivity(task, change(task))


# --- bad input ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: donors(np.zeros(4), 0), "at least 2 different"),
        (lambda: donors(np.eye(2), 0), "one label for each prompt"),
        (lambda: donors(np.arange(3), -1), "seed must be"),
        (lambda: random_function(np.full((3, 2), np.nan), seed=0), "inputs must be"),
        (lambda: random_function(np.ones((3, 2)), seed=0), "no entry that varies"),
        (lambda: random_function(np.float64(1.0), seed=0), "axes"),
        (
            lambda: random_function(np.eye(3), 0, seed=0),
            "outputs must be an integer >= 1, got 0",
        ),
        (lambda: random_function(np.eye(3), length_scale=0, seed=0), "length_scale"),
        (lambda: random_function(np.eye(3), seed=1.5), "seed must be"),
    ],
)
def test_bad_input_meets_a_sentence(untyped, call, message):
    with pytest.raises(ValueError, match=message):
        call()
