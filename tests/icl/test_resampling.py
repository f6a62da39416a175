"""Do intervals cover known truths as often as they say? Small tables by simulation.

Each test draws data whose expectation is known many times. A share of `REPEATS` cases
has a standard error of 1.4 % where it is 95 %; twice that is allowed.
"""

import functools

import numpy as np
import pytest

from icl.resampling import (
    bootstrap,
    contenders,
    extreme_interval,
    heaviest_share,
    interval,
    largest_size_interval,
    nested_extreme_interval,
    seed_interval,
    share_interval,
    simultaneous_band,
    studentized_interval,
)

REPEATS = 240
NOMINAL, LEAST = 0.95, 0.95 - 2 * 0.014


@pytest.fixture
def rng():
    return np.random.default_rng(0)


PROMPTS, RESAMPLES = 200, 400


@functools.cache
def counts_of_prompts():
    """Some sets of resamples, which are used in turn, to save time."""
    rng = np.random.default_rng(1)
    even = np.full(PROMPTS, 1 / PROMPTS)
    return [rng.multinomial(PROMPTS, even, RESAMPLES) / PROMPTS for _ in range(20)]


def measured(truth, rng, *, noise=1.0):
    """Estimates and resampled estimates of some expectations, again and again.

    Prompts have something in common, as contexts of one prompt have.
    """
    truth = np.asarray(truth, float)
    for repeat in range(REPEATS):
        own = rng.normal(size=(PROMPTS, truth.size))
        shared = rng.normal(size=(PROMPTS, 1))
        values = truth.ravel() + noise * (own + shared / 2)
        draws = counts_of_prompts()[repeat % 20] @ values
        yield (
            values.mean(axis=0).reshape(truth.shape),
            draws.reshape(-1, *truth.shape),
        )


def rates(intervals, truth, line):
    """How often intervals cover the truth, and lie below and above the line."""
    low, high = np.array(list(intervals)).T
    return {
        "covered": ((low <= truth) & (truth <= high)).mean(),
        "below": (high < line).mean(),
        "above": (low > line).mean(),
    }


# --- the largest and the smallest ---


@pytest.mark.parametrize("kind", ["max", "min"])
def test_an_extreme_is_covered_where_all_numbers_stand_at_the_line(rng, kind):
    seen = list(measured(np.full(20, 0.1), rng))
    found = rates((extreme_interval(*one, kind) for one in seen), 0.1, 0.1)
    assert found["covered"] >= LEAST
    assert max(found["below"], found["above"]) <= 0.05
    # What percentiles of the extreme do: they rule out a truth at the line.
    extreme = getattr(np, kind)
    naive = [interval(extreme(draws, axis=1)) for _, draws in seen]
    plain = rates(naive, 0.1, 0.1)
    assert plain["covered"] < 0.5 < plain["above" if kind == "max" else "below"]


def test_an_extreme_is_covered_exactly_where_one_number_leads(rng):
    truth = np.array([0.0, 0.0, 2.0, 0.0])
    seen = (extreme_interval(*one, "max") for one in measured(truth, rng))
    found = rates(seen, 2, 2)
    assert abs(found["covered"] - NOMINAL) <= 2.5 * 0.014


def test_what_is_clearly_beyond_the_line_is_found(rng):
    seen = list(measured([0.5, 0.0, 0.0], rng))
    found = rates((extreme_interval(*one, "max") for one in seen), 0.5, 0.0)
    assert found["above"] > 0.98 and found["covered"] >= LEAST


def test_rounding_does_not_move_the_end_of_a_count_beyond_0(rng):
    """Of two numbers, one of which is 0 where the other is 1."""
    for share in np.linspace(0.05, 0.45, 9):
        first = (rng.random(size=500) < share).astype(float)
        draws = np.stack([first, 1 - first], axis=1)
        assert extreme_interval(np.array([0.0, 1.0]), draws, "max") == (0.0, 1.0)
        low, high = extreme_interval(np.array([0.0, -1.0]), -draws, "min")
        assert (low, str(high)) == (-1.0, "0.0")


def test_numbers_that_do_not_vary_are_known():
    values, draws = np.array([1.0, 3.0]), np.tile([1.0, 3.0], (5, 1))
    assert extreme_interval(values, draws, "max") == (3, 3)
    assert extreme_interval(values, draws, "min") == (1, 1)
    assert share_interval(values, draws, 2.0, above=True) == (0.5, 0.5)


def test_what_is_not_finite_says_nothing():
    draws = np.ones((4, 2))
    lost, endless = draws.copy(), draws.copy()
    lost[1, 0], endless[1, 0] = np.nan, np.inf
    assert np.isnan(extreme_interval(draws[0], lost, "min")).all()
    assert np.isnan(share_interval(draws[0], lost, 0.0, above=True)).all()
    assert extreme_interval(draws[0], endless, "max") == (-np.inf, np.inf)
    assert share_interval(draws[0], endless, 0.0, above=True) == (0, 1)
    nested = nested_extreme_interval(draws[:1], endless[:, None], "max")
    assert nested == (-np.inf, np.inf)


@pytest.mark.parametrize("kind", ["max", "min"])
def test_the_largest_of_smallest_is_covered_where_all_are_equal(rng, kind):
    truth = np.full((3, 4), 1.0)
    seen = list(measured(truth, rng))
    found = rates((nested_extreme_interval(*one, kind) for one in seen), 1.0, 1.0)
    assert found["covered"] >= LEAST
    assert max(found["below"], found["above"]) <= 0.05


def test_the_largest_of_smallest_is_decided_where_it_is_clear(rng):
    truth = np.array([[0.0, 2.0], [3.0, 1.0]])  # 1: the second row's smallest
    seen = list(measured(truth, rng, noise=0.5))
    found = rates((nested_extreme_interval(*one, "max") for one in seen), 1, 0.7)
    assert found["covered"] >= LEAST and found["above"] > 0.98


def test_a_difference_of_nothing_may_be_nothing(rng):
    """A folded interval never reaches 0, where the truth is."""
    seen = list(measured([0.0, 0.0, 0.0], rng))
    found = rates((largest_size_interval(*one) for one in seen), 0, 0.0)
    assert found["covered"] >= LEAST and found["above"] <= 0.05
    naive = [interval(abs(draws).max(axis=1)) for _, draws in seen]
    assert rates(naive, 0, 0.0)["covered"] == 0


# --- all at once ---


def test_a_band_holds_for_all_numbers_together(rng):
    truth, sides = np.linspace(-1, 1, 9), []
    for values, draws in measured(truth, rng):
        low, high = simultaneous_band(values, draws)
        sides.append([(low <= truth).all(), (high >= truth).all()])
    assert np.mean(sides, axis=0).min() >= 0.975 - 2 * 0.01


def test_a_share_near_the_line_is_not_zero_wide(rng):
    truth = np.array([0.0] * 11 + [0.99, 1.01, 1.02])  # 12 of 14 are below 1
    seen = [share_interval(*one, 1.0, above=False) for one in measured(truth, rng)]
    found = rates(seen, 12 / 14, 0.9)
    assert found["covered"] >= LEAST
    assert found["above"] <= 0.05  # claimed of 90 %, which is not true
    low, high = np.array(seen).T
    assert ((high - low) > 0).mean() > 0.9
    mirrored = share_interval(
        np.array([2.0]), np.array([[2.0], [3.0]]), 1.0, above=True
    )
    assert mirrored == (1, 1)


@pytest.mark.parametrize("tied", [2, 7])
def test_the_smallest_is_rarely_left_out_of_the_contenders(rng, tied):
    truth = np.array([0.0] * tied + [5.0])
    kept = np.array([contenders(*one) for one in measured(truth, rng)])
    assert kept[:, 0].mean() >= LEAST
    assert not kept[:, -1].any()


# --- single numbers ---


def test_bootstrap_t_covers_skewed_means_better_than_percentiles():
    rng = np.random.default_rng(0)
    values = rng.lognormal(sigma=1.4, size=(REPEATS, 120))
    truth, covered = np.exp(1.4**2 / 2), {}
    for name, ends in (
        ("t", lambda one: studentized_interval(one, resamples=300)),
        ("percentile", lambda one: interval(bootstrap(one, resamples=300))),
    ):
        low, high = np.array([ends(one) for one in values]).T
        covered[name] = ((low <= truth) & (truth <= high)).mean()
    assert covered["percentile"] < 0.9
    assert covered["t"] > covered["percentile"] + 0.02


def test_bootstrap_t_of_normal_values_is_nominal_and_keeps_axes(rng):
    values = rng.normal(size=(60, REPEATS))  # the same prompts, many numbers
    low, high = studentized_interval(values, resamples=500)
    assert low.shape == high.shape == (REPEATS,)
    # Resamples are shared, as are prompts' numbers of draws: the share is noisier.
    assert abs(((low <= 0) & (high >= 0)).mean() - NOMINAL) < 0.04
    constant = studentized_interval(np.full(5, 2.0))
    assert [float(end) for end in constant] == [2, 2]


def test_a_prompt_that_carries_a_mean_is_named(rng):
    even = np.ones((1000, 2))
    even[3, 1] = -20
    np.testing.assert_allclose(heaviest_share(even), [1 / 1000, 20 / 1019])
    assert heaviest_share(np.zeros(3)) == 0


# --- seeds and prompts ---


@pytest.mark.parametrize("of_seeds", [0.0, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_and_prompts_together_are_covered(seeds, of_seeds):
    """In units of the noise that seeds share, which is that of the prompts."""
    rng = np.random.default_rng(seeds)
    repeats = 2000
    shared = rng.normal(size=(repeats, 1, 1))
    values = shared[..., 0] + of_seeds * rng.normal(size=(repeats, seeds))
    resampled = rng.normal(size=(400, 1, 1))
    low, high = seed_interval(values.T, values.T + resampled)
    covered = ((low <= 0) & (high >= 0)).mean()
    assert covered >= NOMINAL - 0.012  # two standard errors, and 400 resamples
    if of_seeds in (0, 30):  # one of the variances is all there is
        assert covered <= NOMINAL + 0.012
    means = values.mean(axis=1)
    if of_seeds > 1:  # the interval of the prompts alone knows nothing of it
        assert (abs(means) < 1.96).mean() < 0.8


def test_one_seed_says_nothing_about_another():
    with pytest.raises(ValueError, match="at least 2 seeds, got 1"):
        seed_interval(np.ones(1), np.ones((5, 1)))


@pytest.mark.parametrize("step", [1.0, 3.0, 0.1])
def test_round_off_does_not_decide_whether_an_end_is_zero(step):
    """Where the worst resample exceeds a number by itself, 0 is in its interval."""
    for exceed in range(4, 40):
        draws = np.full((100, 1), step)
        draws[:exceed] = 2 * step
        low, _ = extreme_interval(np.array([step]), draws, "max", tail=0.025)
        assert low == 0
