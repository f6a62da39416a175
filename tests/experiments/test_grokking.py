"""Grokking: kinds of pairs, and claims on what is planted, without any training."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from experiments.emergence import grokking
from experiments.emergence.grokking_claims import KINDS
from icl.tasks import ModularAddition

STEPS = np.geomspace(10, 10_000, 13).round()
MIDDLES = {"trained": 50, "mirrored": 800, "lone": 2_000}
PAIRS = 100


def planted(middles=MIDDLES, *, without=10**6):
    """Pairs that are learnt at random steps around a middle, in three seeds.

    `without` is the step at which unseen pairs are right without weight decay.
    """
    rng = np.random.default_rng(0)
    found = {}
    for kind in KINDS:
        own = np.array([middles[kind], without if kind != "trained" else 50.0])
        spread = np.exp(rng.normal(0, 0.1, (2, 3, 1, PAIRS)))
        learnt = own[:, None, None, None] * spread
        right = (STEPS[:, None] >= learnt).astype(np.float32)
        found[kind] = (("decay", "seed", "step", f"{kind}_pair"), right)
    r2 = np.linspace(0, 1, len(STEPS))[:, None] * np.linspace(0.1, 1, 5)
    return xr.Dataset(
        found | {"r2": (("step", "phase"), r2)},
        coords={
            "decay": [1.0, 0.0],
            "seed": range(3),
            "step": STEPS,
            "phase": range(1, 6),
        },
        attrs={"resamples": 100, "p": 11, "fraction": 0.5, "steps": 10_000},
    )


def verdicts(dataset):
    claims = grokking.claims(dataset)
    return {claim.id.split(".")[1]: claim.verdict for claim in claims}


def test_what_is_planted_is_found():
    dataset = planted()
    assert verdicts(dataset) == dict.fromkeys(("14a", "14b", "14c"), "holds")
    shown = grokking.plot(dataset)
    assert [axes.get_title(loc="left") for axes in shown.axes][:2] == [
        "weight decay 1",
        "weight decay 0",
    ]


def test_the_delay_is_counted_in_doublings():
    claims = grokking.claims(planted({"trained": 50, "mirrored": 800, "lone": 800}))
    # A crossing is known to a checkpoint, of which there is one each 0.83 doublings.
    assert claims[0].value == pytest.approx(np.log2(800 / 50), abs=0.83)


@pytest.mark.parametrize(
    ("middles", "without", "id", "verdict"),
    [
        (MIDDLES | {"mirrored": 100, "lone": 100}, 10**6, "14a", "fails"),
        (MIDDLES | {"mirrored": 2_000, "lone": 800}, 10**6, "14b", "fails"),
        (MIDDLES | {"mirrored": 10**6, "lone": 10**6}, 10**6, "14a", "undecided"),
        (MIDDLES | {"mirrored": 10**6, "lone": 10**6}, 100, "14c", "fails"),
        (MIDDLES | {"trained": 10**6}, 10**6, "14c", "undecided"),
    ],
)
def test_what_is_not_planted_is_not_found(middles, without, id, verdict):
    assert verdicts(planted(middles, without=without))[id] == verdict


def test_every_pair_is_of_one_kind():
    task = ModularAddition(7, fraction=0.4)
    kinds = grokking.kinds_of(task)
    assert sorted(np.concatenate(list(kinds.values()))) == list(range(49))
    trained = set(kinds["trained"])
    assert len(trained) == len(task.training().ids)
    for kind, expected in (("mirrored", True), ("lone", False)):
        mirrors = {(row % 7) * 7 + row // 7 for row in kinds[kind]}
        assert all((mirror in trained) == expected for mirror in mirrors)


def test_settings_that_cannot_show_it_are_refused():
    config = grokking.PRESETS["tiny"]
    setting = config.setting
    never = replace(setting, train=replace(setting.train, weight_decay=0.0))
    with pytest.raises(ValueError, match=r"train\.weight_decay must be above 0"):
        replace(config, setting=never)
    few = replace(setting, train=replace(setting.train, checkpoints_per_decade=0))
    with pytest.raises(ValueError, match="checkpoints_per_decade"):
        replace(config, setting=few)
