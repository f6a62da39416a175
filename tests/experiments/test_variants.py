"""Variants of training: questions ask what they say, and claims follow the shares."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

from experiments.engine.figures.evaluation import Evaluation
from experiments.lee2023 import variants
from experiments.lee2023.variants_measure import (
    QUESTIONS,
    VARIANTS,
    asked,
    left_out,
    measure,
    settings,
    variant_of,
)
from icl import Trained
from icl.model.building import build
from icl.sweeps.store import Models
from icl.tasks import Addition

TASK = Addition(digits=2, layout="reverse", examples=500)


def verdicts(dataset):
    return {
        claim.id.removeprefix("lee2023."): claim.verdict
        for claim in variants.FIGURE.claims(dataset)
    }


def planted(**changes):
    """Answers of 4 seeds; of uniform sets those without a carry are rarely right."""
    shares = {("balanced", 0): 0.99, ("uniform", 0): 0.9, ("unpadded", 0): 0.6}
    shares |= {("left out", 0): 0.98, ("left out", 1): 0.97}
    shares |= {("absolute", 0): 0.99, ("absolute", 2): 0.01}
    shares |= {("coupled", 0): 0.99, ("coupled", 2): 0.6}
    shares |= {("abacus", 0): 0.99, ("abacus", 2): 0.5}
    shares |= {("lines", 0): 0.8, ("lines", 3): 0.95, ("lines", 4): 0.9}
    shares |= {tuple(key.rsplit(" ", 1)): value for key, value in changes.items()}
    rng = np.random.default_rng(0)
    exact = np.full((4, len(VARIANTS), len(QUESTIONS), 800), np.nan)
    carried = rng.integers(0, 4, exact.shape)
    for (name, question), value in shares.items():
        right = rng.random((4, 800)) < value
        exact[:, VARIANTS.index(name), int(question)] = right
    if "uniform 0" not in changes:
        row = VARIANTS.index("uniform")
        exact[:, row, 0] *= (carried[:, row, 0] > 0) | (rng.random((4, 800)) < 0.5)
    dims = ("seed", "variant", "question", "prompt")
    return xr.Dataset(
        {"exact": (dims, exact), "carried": (dims, carried)},
        coords={
            "seed": range(4),
            "variant": list(VARIANTS),
            "question": list(QUESTIONS),
        },
        attrs={"digits": 3, "resamples": 200, "steps": 10},
    )


def test_models_as_the_papers_say_fulfil_every_claim():
    found = verdicts(planted())
    names = ("L5", "L11", "L12", "L12b", "L12c", "L13", "L19a", "L19b")
    assert found == dict.fromkeys(names, "holds")
    variants.plot(planted())


@pytest.mark.parametrize(
    ("changes", "id"),
    [
        ({"uniform 0": 0.999, "balanced 0": 0.8}, "L5"),
        ({"left out 1": 0.7}, "L11"),
        ({"absolute 2": 0.4}, "L12"),
        ({"coupled 2": 0.02}, "L12b"),
        ({"abacus 2": 0.1}, "L12c"),
        ({"unpadded 0": 0.98}, "L13"),
        ({"lines 3": 0.7}, "L19a"),
        ({"lines 3": 0.6}, "L19b"),
    ],
)
def test_others_fail_where_they_differ(changes, id):
    assert verdicts(planted(**changes))[id] == "fails"


def test_runs_without_a_variant_do_not_judge_it():
    few = planted().sel(variant=["uniform", "coupled"])
    assert set(verdicts(few).values()) == {"undecided"}


def test_questions_ask_what_they_say():
    out = variant_of(TASK, "left out")
    assert out.left_out == left_out(100) and len(out.left_out) == 10
    assert len({number % 10 for number in out.left_out}) == 10
    a = asked(out, "left-out operand", Evaluation(30)).latents["a"]
    assert np.isin(a, out.left_out).all()
    seen = asked(out, "unseen", Evaluation(2_000)).latents
    assert not np.isin(np.concatenate([seen["a"], seen["b"]]), out.left_out).any()
    coupled = variant_of(TASK, "coupled")
    longer = asked(coupled, "one digit more", Evaluation(30))
    assert longer.latents["a"].min() >= 100 and longer.latents["a"].max() < 1_000
    coupled.codec.check(longer)
    packed = variant_of(TASK, "lines")
    assert asked(packed, "3 shots", Evaluation(5)).latents["a"].shape == (5, 4)
    assert asked(TASK, "3 shots", Evaluation(5)) is None
    assert asked(TASK, "one digit more", Evaluation(5)) is None


def test_untrained_models_go_through_to_the_picture():
    config = variants.PRESETS["tiny"]
    models = Models()
    for setting in settings(config):
        model = build(setting.task.codec, setting.model, jax.random.key(0))
        models.put(setting, lambda m=model, s=setting: Trained.from_model(m, s.task))
    dataset = measure(config, models)
    known = dataset.exact.notnull().all("prompt").squeeze("seed")
    assert known.sum() == 3  # both on unseen sums, and coupled on longer ones
    variants.plot(dataset)
    assert float(dataset.exact.mean()) < 0.2


def test_variants_that_cannot_be_are_refused():
    config = variants.PRESETS["tiny"]
    with pytest.raises(ValueError, match="variants must be one of 'balanced'"):
        replace(config, variants=("fancy",))
    with pytest.raises(ValueError, match="variants must be one or more, none twice"):
        replace(config, variants=("uniform", "uniform"))
