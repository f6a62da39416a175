import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.engine.claims.claim import (
    COMPARE,
    Claim,
    format_number,
    load_claims,
    mean,
    mean_difference,
    mean_ratio,
    save_claims,
    share,
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
    assert "not a number" in claim.note and claim.measured == "not a number"
    assert replace(CLAIM, **{name: math.nan}, note="No w.").note == "No w."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relation": "=="}, "relation must be one of <, <=, >, >=; got '=='"),
        ({"low": 0.7}, r"must not end before it begins, got \[0.7, 0.006\]"),
        ({"threshold": math.nan}, "threshold must be finite"),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CLAIM, **changes)


# --- from resamples ---


def claim_of(value, resamples, **changes):
    arguments = {"relation": "<", "threshold": 0.5} | changes
    return Claim.from_resamples(
        "c", "t", "s", value=value, resamples=resamples, **arguments
    )


def test_a_number_keeps_its_percentile_interval():
    claim = claim_of(0.3, np.arange(101) / 100)
    assert claim.value == 0.3
    assert (claim.low, claim.high) == pytest.approx((0.025, 0.975), rel=1e-12)


def test_intervals_of_a_mean_cover_it_as_often_as_they_say():
    """The whole way: prompts, resampled means, statistic, interval."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        errors = rng.exponential(size=(100, 4)) + rng.exponential(size=(100, 1))
        draws = rng.multinomial(100, np.full(100, 0.01), size=400) @ errors / 100
        claim = claim_of(errors.mean(0), draws, statistic=mean)
        covered += claim.low < 2 < claim.high
    # 95 % intended, less about 1.5 % for the percentile method on 100 skewed values;
    # the standard error of the share is 1.5 %.
    assert 0.88 < covered / 200 < 0.99


def test_pairing_decides_what_the_difference_of_intervals_cannot():
    rng = np.random.default_rng(0)
    common = rng.exponential(5, size=(300, 1))
    ours, theirs = common + rng.normal(0, 0.1, (2, 300, 3)) + [[[0.0]], [[0.1]]]
    weights = rng.multinomial(300, np.full(300, 1 / 300), size=500) / 300
    paired = claim_of(
        (ours.mean(0), theirs.mean(0)),
        (weights @ ours, weights @ theirs),
        statistic=mean_difference,
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
    np.testing.assert_array_equal(share("<", 0.01)(draws), [0.75, 0.25, 1.0])
    claim = claim_of(
        means, draws, statistic=share("<", 0.01), relation=">=", threshold=0.9
    )
    assert (claim.value, claim.verdict) == (0.75, "undecided")


def test_ratio_is_of_means_not_a_mean_of_ratios():
    first, second = np.array([1.0, 3.0]), np.array([4.0, 4.0])
    assert mean_ratio(first, second) == 0.5
    draws = (np.stack([first, 3 * first]), np.stack([second, second]))
    np.testing.assert_array_equal(mean_ratio(*draws), [0.5, 1.5])
    claim = claim_of((first, 0 * second), draws, statistic=mean_ratio)
    assert math.isnan(claim.value) and claim.verdict == "undecided"


def test_nan_in_one_resample_leaves_the_claim_undecided():
    draws = np.array([[0.1, 0.2], [0.1, np.nan], [0.1, 0.1]])
    for statistic in (mean, share("<", 0.3)):
        claim = claim_of(draws[0], draws, statistic=statistic, note="Few prompts.")
        assert claim.verdict == "undecided"
        assert claim.note.startswith("Few prompts. Could not be judged: 1 of 3")


def test_means_without_a_statistic_are_refused():
    with pytest.raises(ValueError, match="pass a statistic that reduces the last axis"):
        claim_of(np.ones(3), np.ones((5, 3)))
    with pytest.raises(ValueError, match=r"got shapes \(\) and \(0,\)"):
        claim_of(1.0, np.ones(0))


# --- files and words ---


def test_claims_survive_a_file(tmp_path):
    claims = [
        CLAIM,
        replace(CLAIM, id="b", value=math.nan, low=-math.inf, note="Why."),
        replace(CLAIM, id="c", relation=">="),
    ]
    save_claims(tmp_path / "claims.json", claims)
    loaded = load_claims(tmp_path / "claims.json")
    assert [repr(claim) for claim in loaded] == [repr(claim) for claim in claims]
    assert [file.name for file in tmp_path.iterdir()] == ["claims.json"]
    strict = json.loads(
        (tmp_path / "claims.json").read_text(), parse_constant=pytest.fail
    )
    assert [row["verdict"] for row in strict] == ["holds", "undecided", "fails"]


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
