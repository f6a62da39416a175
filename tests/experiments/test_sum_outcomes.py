"""Outcomes of models that add: what is planted is found, without any training."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from experiments.arora2023 import sums, sums_claims
from experiments.emergence import arithmetic, arithmetic_claims
from experiments.emergence.arithmetic_measure import measure
from experiments.engine.figures.evaluation import Evaluation

STEPS = np.geomspace(100, 1_000, 11).round()
MIDDLES = {"plain": 300, "reverse": 220, "scratchpad": 180}


def verdicts(claims):
    return {claim.id.split(".")[1]: claim.verdict for claim in claims}


# --- exact match and its digits ---


def planted(*, together=False, order=1.0, spread=1.0, middles=MIDDLES, wrong=1.0):
    """Independent digits, of which each format's units are learnt last."""
    rng = np.random.default_rng(0)
    seeds, places, prompts = 8, 4, 300
    shape = (len(middles), seeds, len(STEPS), places, prompts)
    late = order ** np.array([2, 0.5, 0, 0])  # s0, s1, s2, and the end of a line
    each = np.exp(0.1 * spread * np.linspace(-3, 3, seeds))
    at = np.array(list(middles.values()))[:, None, None, None]
    at = at * each[:, None, None] * late
    chance = 1 / (1 + (at / STEPS[:, None]) ** 6)
    drawn = rng.random(shape if not together else (*shape[:3], 1, prompts))
    right = (drawn < chance[..., None]).astype(float)
    of_model = ("format", "seed", "step")
    log_p = np.log(chance).sum(axis=-1)[..., None] + np.zeros((*shape[:3], prompts))
    return xr.Dataset(
        {
            "at_place": ((*of_model, "place", "prompt"), right),
            "exact": ((*of_model, "prompt"), right.all(axis=3).astype(float)),
            "characters": ((*of_model, "prompt"), right.mean(axis=3)),
            "wrong_characters": ((*of_model, "prompt"), (1 - right).sum(axis=3)),
            "log_p": ((*of_model, "prompt"), log_p),
            "right": ((*of_model, "prompt"), log_p),
            "wrong": ((*of_model, "prompt"), wrong * log_p),
        },
        coords={"format": list(middles), "seed": range(seeds), "step": STEPS},
        attrs={"resamples": 100, "digits": 2, "steps": 1_000},
    )


def test_digits_that_are_learnt_one_by_one_fulfil_the_claims():
    dataset = planted(order=1.5)
    claims = arithmetic.claims(dataset)
    found = verdicts(claims)
    names = ("4", "5b", "9", "10", "10b", "11", "L1b", "L15")
    expected = dict.fromkeys(names, "holds")
    assert {id: found[id] for id in expected} == expected
    assert found["4b"] != "holds"  # digits differ too much for one mean share
    short = {c.id.split(".")[1] for c in claims if "ends after 1,000 steps" in c.note}
    assert short == {"9", "10", "10b"}  # the ratios of numbers of steps
    axes = arithmetic.plot(dataset).axes
    assert len(axes) == 8 and all(one.get_title(loc="left") for one in axes)


@pytest.mark.parametrize(
    ("change", "id", "verdict"),
    [
        ({"together": True}, "4", "fails"),
        ({"order": 1.0, "together": True}, "9", "fails"),
        ({"order": 1.0, "together": True}, "L15", "fails"),
        ({"middles": MIDDLES | {"reverse": 400}}, "L1b", "fails"),
        ({"middles": {"reverse": 250}}, "L1b", "undecided"),
        ({"middles": dict.fromkeys(MIDDLES, 300)}, "10", "fails"),
        ({"middles": {"reverse": 250}}, "9", "undecided"),
        ({"spread": 0.0}, "11", "fails"),
        ({"wrong": -1.0}, "5b", "fails"),
    ],
)
def test_what_is_not_planted_is_not_found(change, id, verdict):
    assert verdicts(arithmetic.claims(planted(**change)))[id] == verdict


def test_what_comes_after_the_end_of_training_is_said_to_be_late():
    late = planted(middles=dict.fromkeys(MIDDLES, 5_000))
    found = {claim.id.split(".")[1]: claim for claim in arithmetic.claims(late)}
    for id in ("9", "10", "10b"):
        assert found[id].verdict == "undecided"
        assert "training is too short for this (--train.steps)" in found[id].note


def test_few_seeds_and_few_checkpoints_judge_nothing():
    few = planted().isel(seed=slice(3))
    found = verdicts(arithmetic.claims(few))
    assert found["10"] == found["11"] == "undecided" != found["5b"]
    assert found["L1b"] == found["L15"] == "undecided"
    short = planted().isel(step=slice(4, None))
    assert verdicts(arithmetic.claims(short))["13"] == "undecided"


def test_exact_match_that_jumps_is_less_linear_than_a_straight_log_p():
    dataset = planted()
    line = xr.DataArray(np.linspace(-9, 0, len(STEPS)), dims="step")
    straight = dataset.assign(log_p=xr.zeros_like(dataset.log_p) + line)
    assert verdicts(arithmetic.claims(straight))["13"] == "holds"


def oracle(codec, share):
    """A learner that knows the answer, up to the last share of its characters."""

    def logits(lines):
        ids = np.asarray(lines.ids)[:, codec.start + 1 :]
        known = np.eye(codec.entries)[ids] * 20.0
        known[:, round(share * ids.shape[1]) :] = 0.0  # all are as probable
        return known

    return logits


def test_every_metric_is_of_one_array_of_outcomes():
    config = replace(
        arithmetic.PRESETS["tiny"],
        formats=("plain", "scratchpad"),
        evaluation=Evaluation(prompts=20, resamples=20),
    )
    share = dict(zip(config.steps, np.linspace(0, 1, len(config.steps)), strict=True))
    dataset = measure(config, lambda s, step: oracle(s.task.codec, share[step]))
    last = dataset.isel(step=-1).mean("prompt").squeeze("seed")
    np.testing.assert_allclose(last.exact, 1)
    np.testing.assert_allclose(last.characters, 1)
    np.testing.assert_allclose(last.log_p, 0, atol=1e-5)
    plain = dataset.sel(format="plain").squeeze("seed")
    assert plain.at_place.notnull().all()
    assert dataset.at_place.sel(format="scratchpad").isnull().all()
    # The first character that the oracle does not know is as good as ten others.
    codec = config.setting.task.codec
    assert plain.log_p.isel(step=0).max() < -np.log(codec.entries)
    np.testing.assert_allclose(plain.wrong.isel(step=0), np.log(0.1), rtol=1e-5)
    together = plain.at_place.prod("place")
    np.testing.assert_array_equal(together, plain.exact)
    rises = dataset.wrong_characters.mean("prompt").diff("step")
    assert (rises <= 0).all() and arithmetic_claims.padded(dataset) == ["plain"]


# --- which sums fail ---


def right_but_for(failing):
    """Returns the outcomes of a model that fails where `failing(skills)` says."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 1_000, (2, 6_000))
    skill = sums.skills_of(a, b, 3)
    success = ~np.stack([failing(skill, rng), np.zeros(len(a), bool)])
    return xr.Dataset(
        {
            "success": (("step", "sum"), success.astype(np.int8)),
            "skill": (("sum", "column"), skill),
            "seen": ("number", np.arange(200)[::-1]),
        },
        coords={"step": [100, 200]},
        attrs={"resamples": 4, "digits": 3, "some": 0.01},
    )


def by_skill(skill, rng):
    """Each column fails by itself, the later skills more often."""
    return (rng.random(skill.shape) < 0.12 * skill / 200).any(axis=1)


def test_failures_of_single_columns_fulfil_the_claims():
    dataset = right_but_for(by_skill)
    expected = {"5c": "holds", "6c": "holds", "9b": "holds", "11c": "holds"}
    assert verdicts(sums.claims(dataset)) == expected
    assert sums_claims.chosen_step(dataset) == 100
    assert len(sums.plot(dataset).axes) == 3


def test_failures_on_chosen_skills_are_noticed():
    """Some skills fail always, and all sums that need none of them are right."""
    chosen = np.arange(200) % 20 < 3
    dataset = right_but_for(lambda skill, _: chosen[skill].any(axis=1))
    assert sums_claims.of_worst(dataset, 100) > 0.95
    assert sums_claims.order(dataset, 100) < 0.5


def test_columns_that_fail_together_are_no_product():
    def failing(skill, rng):
        nines = (skill % 10 + skill % 100 // 10) >= 9
        return nines[:, 0] & nines[:, 1]

    assert verdicts(sums.claims(right_but_for(failing)))["11c"] == "fails"


def test_skills_of_sums_by_a_loop():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 1_000, (2, 50))
    for x, y, found in zip(a, b, sums.skills_of(a, b, 3), strict=True):
        carry = 0
        for column, skill in enumerate(found):
            p, q = x // 10**column % 10, y // 10**column % 10
            assert skill == 100 * carry + 10 * p + q
            carry = (p + q + carry) // 10


def test_a_model_is_asked_for_sums_it_has_not_seen():
    config = replace(sums.PRESETS["tiny"], sums=100)
    codec = config.setting.task.codec
    dataset = sums.measure(config, lambda _, step: oracle(codec, step >= 60))
    assert dataset.step.values.tolist() == [40, 60]
    assert dataset.success.mean("sum").values.tolist() == [0, 1]
    assert int(dataset.seen.sum()) == 500 * 2
    assert set(verdicts(sums.claims(dataset)).values()) == {"undecided"}
