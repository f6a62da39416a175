"""Carries that are written: what is planted is found, and claims follow the shares."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

from experiments.engine.figures.evaluation import Evaluation
from experiments.lee2023 import written_carry
from experiments.lee2023.written_carry import column_of
from experiments.lee2023.written_carry_claims import BEFORE, EQUALS
from icl import Trained
from icl.model.building import build
from icl.sweeps.store import Models
from icl.tasks import Addition


def verdicts(dataset):
    return {
        claim.id.removeprefix("lee2023."): claim.verdict
        for claim in written_carry.FIGURE.claims(dataset)
    }


def flips(before=0.8, early=0.7, random=0.05, embedding=0.0):
    """Shares of digits that flip in layer 2 and, another one, at the embedding."""
    rng = np.random.default_rng(0)
    share = np.full((5, 3, 3, 2, 2), 0.02)  # seed, column, layer, place, edit
    share[:, :, 2, 0, 0], share[:, 0, 2, 1, 0] = before, early
    share[:, :, 2, :, 1], share[:, :, 0] = random, embedding
    flipped = (rng.random((*share.shape, 400)) < share[..., None]).astype(float)
    flipped[:, 1:, :, 1] = np.nan  # later carries are not known at =
    return xr.Dataset(
        {
            "flipped": (
                ("seed", "column", "layer", "place", "edit", "prompt"),
                flipped,
            )
        },
        coords={
            "seed": range(5),
            "column": [0, 1, 2],
            "layer": [0, 1, 2],
            "place": [BEFORE, EQUALS],
            "edit": ["write", "random"],
        },
        attrs={"resamples": 200, "seed": 0, "digits": 3, "layout": "reverse"},
    )


def test_carries_that_are_used_are_found():
    assert verdicts(flips()) == dict.fromkeys(("L18a", "L18b", "L18c"), "holds")


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"before": 0.1}, {"L18a", "L18b"}),
        ({"random": 0.75}, {"L18b"}),
        ({"early": 0.1}, {"L18c"}),
        # What is written into the embedding is another digit, and not a carry.
        ({"before": 0.02, "embedding": 0.9}, {"L18a", "L18b"}),
    ],
)
def test_others_fail(changes, failing):
    found = verdicts(flips(**changes))
    assert {name for name, verdict in found.items() if verdict == "fails"} == failing


def test_what_no_probe_reads_is_not_judged():
    dataset = flips()
    dataset["flipped"] = dataset.flipped.where(dataset.column != 1)
    assert verdicts(dataset)["L18a"] == "undecided"
    plain = flips().assign_attrs(layout="plain")
    assert verdicts(plain)["L18c"] == "undecided"


def test_the_other_digit_is_that_of_the_other_carry():
    """128 + 367 = 495 carries into the tens: without it, there would be an 8."""
    a, b = np.array([128, 121]), np.array([367, 367])
    for layout, place in (("reverse", "s0"), ("plain", "s2")):
        task = Addition(3, layout)
        column = column_of(task, a, b, 0)
        assert column.carry.tolist() == [1, 0]
        assert column.other.tolist() == [8, 9]
        assert task.codec.names[column.place] == place
        assert [task.codec.names[row] for row in column.rows] == [place, "="]


def test_untrained_models_go_through_to_the_picture():
    config = written_carry.PRESETS["tiny"]
    config = replace(config, evaluation=Evaluation(prompts=200, resamples=50))
    setting, models = config.setting, Models()
    model = build(setting.task.codec, setting.model, jax.random.key(0))
    models.put(setting, lambda: Trained.from_model(model, setting.task))
    dataset = written_carry.compute(config, models)
    assert dataset.flipped.shape == (2, 2, 2, 2, 100)
    readable = dataset.r2 >= 0.1
    assert (dataset.flipped.notnull().all("prompt") == readable).all()
    written_carry.plot(dataset)
    assert set(verdicts(dataset).values()) <= {"undecided", "fails"}
