import json
import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from experiments.engine.claims.claim import (
    COMPARE,
    Claim,
    Interval,
    format_number,
    load_claims,
    save_claims,
)
from experiments.engine.claims.intervals import Resampled, resample
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import (
    Largest,
    LargestSize,
    Mean,
    Positive,
    Ratio,
    Share,
    Smallest,
)

CLAIM = Claim(
    id="akyurek2023.1",
    text="SPD(OLS, ICL) / d < 0.01 — at n ≥ 1",
    source="Akyürek et al. 2023, Fig. 1a",
    value=0.004,
    low=0.003,
    high=0.006,
    threshold=0.01,
    relation="<",
    unit="SPD / d",
    figure="fig1",
)
numbers = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("relation", "low", "high", "verdict"),
    [
        ("<", 0.1, 0.4, "holds"),
        ("<", 0.6, 0.9, "fails"),
        ("<", 0.4, 0.6, "undecided"),
        ("<", 0.4, 0.5, "undecided"),  # 0.5 < 0.5 is not claimed
        ("<=", 0.4, 0.5, "holds"),
        ("<", 0.5, 0.9, "fails"),
        ("<=", 0.5, 0.9, "undecided"),
        (">", 0.6, 0.9, "holds"),
        (">", 0.1, 0.5, "fails"),
        (">=", 0.5, 0.5, "holds"),
        (">", -math.inf, math.inf, "undecided"),
    ],
)
def test_verdict_follows_from_the_interval(relation, low, high, verdict):
    claim = replace(
        CLAIM, relation=relation, value=low, low=low, high=high, threshold=0.5
    )
    assert claim.verdict == verdict
    assert claim.wording.startswith(verdict)


@given(st.tuples(numbers, numbers), numbers, st.sampled_from(sorted(COMPARE)))
def test_the_opposite_claim_gets_the_opposite_verdict(ends, threshold, relation):
    opposite = {"<": ">=", ">=": "<", ">": "<=", "<=": ">"}[relation]
    low, high = sorted(ends)
    claim = replace(
        CLAIM, value=low, low=low, high=high, threshold=threshold, relation=relation
    )
    swapped = {"holds": "fails", "fails": "holds", "undecided": "undecided"}
    assert replace(claim, relation=opposite).verdict == swapped[claim.verdict]


@pytest.mark.parametrize("name", ["value", "low", "high"])
def test_what_is_not_a_number_is_undecided_and_says_so(name):
    claim = replace(CLAIM, **{name: math.nan})
    assert claim.verdict == "undecided"
    assert claim.wording == "undecided at this scale"
    assert "not a number" in claim.note
    assert claim.measured == claim.finding == "could not be measured"
    assert str(claim) == (
        "akyurek2023.1 undecided at this scale: could not be measured (SPD / d)"
    )
    assert replace(CLAIM, **{name: math.nan}, note="No w.").note == "No w."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relation": "=="}, "relation must be one of '<', '<=', .*; got '=='"),
        ({"value": "0.1"}, "value must hold real numbers, got '0.1'"),
        ({"value": True}, "value must be a number, got True"),
        ({"unit": 3}, "unit must be text, got 3"),
        ({"longer": [0.1]}, "longer must be a number and the ends of its interval"),
        ({"low": 0.7}, r"must not end before it begins, got \[0.7, 0.006\]"),
        ({"threshold": math.nan}, "threshold must be finite"),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CLAIM, **changes)


# --- verdicts that are more than a side of the threshold ---


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.4, 0.5, "holds"),
        (-0.6, 0.4, "undecided"),
        (-0.9, -0.6, "fails"),
        (0.6, 0.9, "fails"),
        (-0.9, 0.9, "undecided"),
    ],
)
def test_a_number_with_a_sign_is_judged_as_an_equivalence(low, high, verdict):
    ends = {"value": low, "low": low, "high": high}
    claim = replace(CLAIM, relation="within", threshold=0.5, **ends)
    assert claim.verdict == verdict and claim.expected == "within ±0.5"


FAILING = replace(CLAIM, value=0.2, low=0.1, high=0.3)


@pytest.mark.parametrize(
    ("longer", "verdict"),
    [
        ((0.005, 0.004, 0.006), "unreached"),  # it holds
        ((0.05, 0.04, 0.06), "unreached"),  # it comes nearer
        ((0.15, 0.05, 0.25), "fails"),  # the intervals overlap
        ((0.5, 0.4, 0.6), "fails"),
        (None, "fails"),
    ],
)
def test_what_longer_training_moves_does_not_fail(longer, verdict):
    claim = replace(FAILING, longer=longer)
    assert claim.verdict == verdict
    said = {
        None: "Whether longer training moves it was not measured.",
        (0.15, 0.05, 0.25): "No effect of longer training is seen: 0.15 [0.05, 0.25]",
        (0.5, 0.4, 0.6): "Longer training takes it further away: 0.5 [0.4, 0.6] for a",
    }
    assert said.get(longer, "Longer training brings it nearer: 0.0") in claim.remarks
    # What holds is not touched, whatever training does.
    assert replace(CLAIM, longer=(0.5, 0.4, 0.6)).verdict == "holds"


def test_our_own_bar_and_an_empty_claim_are_said_to_be():
    ours = replace(FAILING, bar="ours, set after a first look")
    assert (ours.verdict, ours.wording) == ("fails", "fails our bar")
    assert "The threshold is ours, set after a first look." in ours.remarks
    empty = replace(CLAIM, empty="it predicts 0.")
    assert empty.verdict == empty.wording == "empty"
    assert empty.remarks == "Empty: it predicts 0."


# --- the judge ---


def judged(measured, *, means=(), draws=((),), threshold=0.5, relation="<", **options):
    """A claim about means over (context,) and draws over (draw, context)."""
    values = {
        part: (dims, np.asarray(array, float))
        for part, dims, array in (
            ("means", ("context",), means),
            ("draws", ("draw", "context"), draws),
        )
    }
    resampled = Resampled(
        *(xr.Dataset({"x": values[part]}) for part in ("means", "draws"))
    )
    judge = Judge("c", "fig", "s", note="Shared.", resampled=resampled)
    return judge("1", "t", measured, relation, threshold, unit="u", **options)


def x(means):
    return means.x


def test_a_number_keeps_its_percentile_interval():
    claim = judged(Mean(x), means=[0.3], draws=np.arange(101)[:, None] / 100)
    assert claim.value == 0.3
    assert (claim.low, claim.high) == pytest.approx((0.025, 0.975), rel=1e-12)
    assert (claim.id, claim.figure, claim.note) == ("c.1", "fig", "Shared.")


def test_what_is_measured_may_come_with_its_interval_or_be_exact():
    claim = judged(Interval(0.3, 0.2, 0.6))
    assert (claim.value, claim.low, claim.high) == (0.3, 0.2, 0.6)
    exact = judged(0.3, source="elsewhere", note="")
    assert exact.low == exact.value == exact.high == 0.3
    assert (exact.source, exact.note) == ("elsewhere", "")


def test_what_a_run_lacks_is_undecided_and_says_why():
    nowhere = judged(Mean(x), over=[], note="Not shown.")
    assert nowhere.note == "This run has no such context lengths."
    lacking = judged(Mean(x), missing="No model.", note="Not shown.")
    assert lacking.note == "No model."
    for claim in (nowhere, lacking):
        assert claim.verdict == "undecided" and math.isnan(claim.value)


def test_claims_are_about_the_contexts_they_name():
    resampled = Resampled(
        xr.Dataset({"x": ("context", [1.0, 2.0, 4.0])}, {"context": [1, 2, 3]}),
        xr.Dataset(
            {"x": (("draw", "context"), [[1.0, 2.0, 4.0]] * 2)}, {"context": [1, 2, 3]}
        ),
    )
    judge = Judge("c", "fig", "s", resampled=resampled)
    claim = judge("1", "t", Mean(x), "<", 4, unit="u", over=[2, 3])
    assert claim.value == claim.low == claim.high == 3


def test_intervals_of_a_mean_cover_it_as_often_as_they_say():
    """The whole way: prompts, resampled means, statistic, interval."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        errors = rng.exponential(size=(100, 4)) + rng.exponential(size=(100, 1))
        draws = rng.multinomial(100, np.full(100, 0.01), size=400) @ errors / 100
        claim = judged(Mean(x), means=errors.mean(0), draws=draws)
        covered += claim.low < 2 < claim.high
    # 95 % intended, less about 1.5 % for the percentile method on 100 skewed values;
    # the standard error of the share is 1.5 %.
    assert 0.88 < covered / 200 < 0.99


def test_pairing_decides_what_the_difference_of_intervals_cannot():
    rng = np.random.default_rng(0)
    common = rng.exponential(5, size=(300, 1))
    ours, theirs = common + rng.normal(0, 0.1, (2, 300, 3)) + [[[0.0]], [[0.1]]]
    weights = rng.multinomial(300, np.full(300, 1 / 300), size=500) / 300
    paired = judged(
        Mean(x),
        means=ours.mean(0) - theirs.mean(0),
        draws=weights @ ours - weights @ theirs,
        threshold=0,
    )
    assert paired.verdict == "holds"
    np.testing.assert_allclose(paired.value, -0.1, atol=0.02)  # 4 standard errors
    elsewhere = rng.permutation(weights) @ theirs
    unpaired = replace(paired, **_interval(weights @ ours - elsewhere))
    assert unpaired.verdict == "undecided"


def _interval(draws):
    low, high = np.quantile(draws.mean(-1), [0.025, 0.975])
    return {"low": low, "high": high}


def test_share_counts_contexts():
    means = np.array([0.001, 0.02, 0.003, 0.004])
    draws = np.array([means, means * 4, means / 4])
    share = Share(x, "<", 0.01)
    resampled = xr.Dataset({"x": (("draw", "context"), draws)})
    np.testing.assert_array_equal(share(resampled), [0.75, 0.25, 1.0])
    claim = judged(share, means=means, draws=draws, relation=">=", threshold=0.9)
    assert (claim.value, claim.verdict) == (0.75, "undecided")


def test_ratio_is_of_means_not_a_mean_of_ratios():
    ratio = Ratio(Mean(lambda means: means.first), Mean(lambda means: means.second))
    first, second = np.array([1.0, 3.0]), np.array([4.0, 4.0])
    data = {"first": ("context", first), "second": ("context", second)}
    assert ratio(xr.Dataset(data)) == 0.5
    assert np.isnan(ratio(0 * xr.Dataset(data)))


def test_largest_and_smallest_name_their_dimension():
    means = xr.Dataset({"x": (("learner", "context"), [[1.0, 5.0], [3.0, 4.0]])})
    nearest = Smallest(Mean(x), over="learner")
    assert float(nearest(means)) == 3
    assert Largest(x)(means).values.tolist() == [5, 4]
    assert Smallest(x)(means).values.tolist() == [1, 3]


def test_extremes_have_simultaneous_intervals():
    """The percentiles of resampled extremes would say more than is known."""
    rng = np.random.default_rng(0)
    draws = rng.normal(0.5, 0.1, size=(1000, 20))
    for statistic in (Largest(x), Smallest(x), LargestSize(lambda m: x(m) - 0.5)):
        threshold = 0.0 if isinstance(statistic, LargestSize) else 0.5
        claim = judged(
            statistic, means=np.full(20, 0.5), draws=draws, threshold=threshold
        )
        assert claim.low <= threshold <= claim.high
        assert claim.interval_over.endswith("; simultaneous")
    wide = judged(
        Share(x, "<", 0.5), means=np.full(20, 0.45), draws=draws - 0.05, threshold=1
    )
    assert (wide.value, wide.low, wide.high) == (1, 0, 1)


def test_seeds_widen_an_interval_as_far_as_they_differ():
    draws = np.random.default_rng(0).normal(1, 0.01, size=(500, 1, 1))

    def claim(statistic, seeds):
        seeds = np.array(seeds)[:, None] + np.zeros((1, 3))
        means = xr.Dataset({"x": (("seed", "context"), seeds)})
        drawn = xr.Dataset({"x": (("draw", "seed", "context"), draws * seeds)})
        judge = Judge("c", "fig", "s", resampled=Resampled(means, drawn))
        return judge("1", "t", statistic, "<", 0.5, unit="u")

    for statistic in (Mean(x), Largest(x), Smallest(x)):
        alike = claim(statistic, [0.4, 0.4, 0.4, 0.4])
        apart = claim(statistic, [0.2, 0.4, 0.6, 0.4])
        assert (alike.verdict, apart.verdict) == ("holds", "undecided")
        assert alike.high - alike.low < 0.05 < apart.high - apart.low
        assert alike.interval_over.startswith("prompts and 4 seeds")


@pytest.mark.parametrize("statistic", [Largest, Smallest])
def test_extremes_of_several_seeds_at_the_line_are_covered(statistic):
    """Of three models, whose seeds differ as much as their prompts' error is large."""
    rng, ends, line = np.random.default_rng(0), [], 0.5
    for _ in range(100):
        means = line + 0.05 * rng.normal(size=(3, 8))  # what other seeds give
        noise = 0.05 * rng.normal(size=8)  # of prompts, which all seeds share
        drawn = 0.05 * rng.normal(size=(200, 1, 8))
        parts = (
            xr.Dataset({"x": (("seed", "context"), means + noise)}),
            xr.Dataset({"x": (("draw", "seed", "context"), means + noise + drawn)}),
        )
        judge = Judge("c", "fig", "s", resampled=Resampled(*parts))
        claim = judge("1", "t", statistic(x), "<", line, unit="u")
        ends.append((claim.low <= line, line <= claim.high))
    assert np.mean(ends, axis=0).min() >= 0.975 - 2 * 0.016


def test_of_theory_among_models_an_interval_says_that_no_model_is_involved():
    parts = xr.Dataset({"x": ("context", [1.0, 2.0])})
    resampled = Resampled(parts, parts.expand_dims(draw=3))

    def said(shared, own, statistic):
        judge = Judge("c", "fig", "s", resampled=resampled, subject=shared)
        claim = judge("1", "t", statistic, "<", 0.5, unit="u", subject=own)
        return claim.interval_over

    nothing = "no trained model is involved"
    assert said("models", None, Mean(x)) == "prompts, for one trained model"
    assert said("models", "theory", Mean(x)) == f"prompts; {nothing}"
    assert said("models", "theory", Largest(x)) == f"prompts; simultaneous; {nothing}"
    assert said("theory", None, Mean(x)) == "prompts"


def test_a_difference_that_happens_to_be_positive_is_not_taken_in_logarithms():
    rng = np.random.default_rng(0)
    values = np.array([0.3, 0.1])[:, None] + np.zeros((1, 3))
    drawn = values + 0.02 * rng.normal(size=(500, 1, 1))
    resampled = Resampled(
        xr.Dataset({"x": (("seed", "context"), values)}),
        xr.Dataset({"x": (("draw", "seed", "context"), drawn)}),
    )
    judge = Judge("c", "fig", "s", resampled=resampled)
    for statistic in (Mean(x), Largest(x), Smallest(x)):
        assert judge("1", "t", statistic, ">", 0, unit="u").low < 0
        positive = Positive(statistic) if isinstance(statistic, Mean) else None
        positive = positive or type(statistic)(Positive(x))
        assert judge("1", "t", positive, ">", 0, unit="u").low > 0


def test_a_number_that_hangs_on_one_prompt_says_so():
    values = np.ones((500, 2))
    values[7, 1] = 30
    per_prompt = xr.Dataset({"x": (("prompt", "context"), values)})
    resampled = resample(per_prompt, ("prompt",), resamples=50)
    judge = Judge("c", "fig", "s", resampled=resampled)
    heavy = judge("1", "t", Largest(x), "<", 2, unit="u")
    assert heavy.note.startswith("One prompt alone moves it by 5%")
    light = judge("2", "t", lambda means: means.x[..., 0], "<", 2, unit="u")
    assert light.note == ""


STATISTICS = (Mean(x), Largest(x), Smallest(x), Share(x, "<", 0.3))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_nan_in_one_resample_leaves_the_claim_undecided(statistic):
    draws = np.array([[0.1, 0.2], [0.1, np.nan], [0.1, 0.1]])
    claim = judged(statistic, means=draws[0], draws=draws, note="Few prompts.")
    assert claim.verdict == "undecided"
    assert claim.note.startswith("Few prompts. Could not be judged: 1 of 3")


def test_what_is_no_number_is_refused():
    with pytest.raises(
        ValueError, match=r"got shapes \(3,\) and \(5, 3\); pass a stat"
    ):
        judged(x, means=np.ones(3), draws=np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"got shapes \(\) and \(0,\)"):
        judged(Mean(x), means=np.ones(1), draws=np.ones((0, 1)))


# --- files and words ---


def test_claims_survive_a_file(tmp_path):
    claims = [
        CLAIM,
        replace(CLAIM, id="b", value=math.nan, low=-math.inf, note="Why."),
        replace(CLAIM, id="c", relation=">="),
        replace(FAILING, id="d", longer=(0.005, 0.004, 0.006), bar="ours"),
    ]
    save_claims(tmp_path / "claims.json", claims)
    loaded = load_claims(tmp_path / "claims.json")
    assert [repr(claim) for claim in loaded] == [repr(claim) for claim in claims]
    assert [file.name for file in tmp_path.iterdir()] == ["claims.json"]
    strict = json.loads(
        (tmp_path / "claims.json").read_text(), parse_constant=pytest.fail
    )
    assert [row["verdict"] for row in strict] == [
        "holds",
        "undecided",
        "fails",
        "unreached",
    ]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "claims.json"
    save_claims(path, [CLAIM])

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        save_claims(path, [])
    assert load_claims(path) == [CLAIM] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-30],
        lambda text: "",
        lambda text: text.replace('"value"', '"volume"'),
        lambda text: text.replace("0.006", "0.06"),  # no longer holds
        lambda text: text.replace("0.004", '"much"'),
        lambda text: text.replace("0.004", "null"),
        lambda text: '{"claims": 3}',
        lambda text: "3",
        lambda text: text.encode() + b"\xff",
    ],
)
def test_a_corrupt_file_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "claims.json"
    save_claims(path, [CLAIM])
    damaged = damage(path.read_text())
    path.write_bytes(damaged if isinstance(damaged, bytes) else damaged.encode())
    with pytest.raises(ValueError, match=r"is not a file of claims .* again") as error:
        load_claims(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_numbers_are_written_in_three_digits():
    assert str(CLAIM) == "akyurek2023.1 holds: 0.004 [0.003, 0.006] < 0.01 (SPD / d)"
    assert format_number(-1234.5) == "-1,234" and format_number(0) == "0"
