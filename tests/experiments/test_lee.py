"""Sums: what is planted is found, and untrained models go through to the picture."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

from experiments.engine.figures.figure import Figure
from experiments.lee2023 import completion, formats, probed_sums
from experiments.lee2023.formats_measure import Config, settings
from experiments.lee2023.probed_sums_claims import TRAINED, UNTRAINED
from icl import Trained
from icl.model.building import build
from icl.sweeps.store import Models


def verdicts(figure: Figure, dataset: xr.Dataset) -> dict[str, str]:
    return {
        claim.id.removeprefix("lee2023."): claim.verdict
        for claim in figure.claims(dataset)
    }


def untrained(settings):
    models = Models()
    for setting in settings:
        model = build(setting.task.codec, setting.model, jax.random.key(0))
        models.put(setting, lambda m=model, s=setting: Trained.from_model(m, s.task))
    return models


# --- completion ---


def test_completion_at_quick_sizes_is_what_was_enumerated():
    config = replace(completion.PRESETS["quick"], sizes=(20, 50), trials=8, points=6)
    dataset = completion.compute(config, Models())
    found = verdicts(completion.FIGURE, dataset)
    expected = {"L7": "holds", "L8a": "holds", "L8b": "holds", "L9a": "fails"}
    assert {name: found[name] for name in expected} == expected
    medians = dataset.threshold.median("order")
    # 75 and 240, 90 and 400 over hundreds of orders.
    np.testing.assert_allclose(medians.sel(law="additive"), [75, 240], rtol=0.15)
    np.testing.assert_allclose(medians.sel(law="contiguous"), [90, 400], rtol=0.15)
    completion.plot(dataset)


# --- formats ---


def planted(reverse=0.99, plain=0.9, simplified=0.95, noise=0.0):
    shares = {"plain": plain, "reverse": reverse, "simplified": simplified}
    sizes = {"seed": range(3), "format": list(shares), "examples": [1_000, 5_000]}
    rng = np.random.default_rng(0)
    exact = np.zeros((3, 3, 2, 1_000))
    for row, share in enumerate(shares.values()):
        exact[:, row] = rng.random((3, 1, 1_000)) < share
    exact[:, 1, 0] *= rng.random((3, 1_000)) < 0.3  # few examples: reverse is behind
    digit = np.repeat(exact[:, :, :, None], 4, axis=3)
    digit[..., 1:, :] = 1  # all misses are in the units
    digit = digit * (rng.random(digit.shape) >= noise)
    digit[:, 2] = np.nan
    return xr.Dataset(
        {
            "exact": ((*sizes, "prompt"), exact),
            "digit": ((*sizes, "column", "prompt"), digit),
        },
        coords={**sizes, "column": range(4)},
        attrs={"resamples": 200, "steps": 10, "digits": 3},
    )


def test_formats_as_the_paper_says_fulfil_every_claim():
    found = verdicts(formats.FIGURE, planted())
    assert found == dict.fromkeys(("L1", "L3", "L14", "L20"), "holds")


@pytest.mark.parametrize(
    ("changes", "id"),
    [
        ({"plain": 0.99}, "L1"),
        ({"simplified": 0.2}, "L3"),
        ({"noise": 0.1}, "L14"),
        ({"reverse": 0.8}, "L20"),
    ],
)
def test_others_fail_where_they_differ(changes, id):
    assert verdicts(formats.FIGURE, planted(**changes))[id] == "fails"


def test_models_of_formats_go_through_to_the_picture():
    config = formats.PRESETS["tiny"]
    dataset = formats.measure(config, untrained(settings(config)))
    assert dataset.exact.shape == (1, 2, 2, 64)
    assert dataset.digit.notnull().all()
    assert float(dataset.exact.mean()) < 0.2
    formats.plot(dataset)
    assert {claim.verdict for claim in formats.claims(dataset)} <= {
        *("undecided", "fails", "holds", "empty")
    }


def test_formats_that_cannot_be_are_refused():
    tiny = formats.PRESETS["tiny"]
    with pytest.raises(ValueError, match="formats must be one of 'plain'"):
        replace(tiny, formats=("fancy",))
    with pytest.raises(ValueError, match="examples must be ascending"):
        replace(tiny, examples=(500, 100))
    with pytest.raises(ValueError, match="examples must be fewer than the 10,000 sums"):
        Config(tiny.task, tiny.model, tiny.train, examples=(10_000,))


# --- probes ---


def test_probes_of_an_untrained_model_stay_below_their_ceilings():
    config = replace(probed_sums.PRESETS["tiny"], evaluation=EVALUATION)
    dataset = probed_sums.compute(config, untrained([config.setting]))
    assert dataset.r2.dims == ("model", "layer", "token", "target")
    assert float((dataset.r2 - dataset.ceiling).max()) < 0.1
    # The same model on both sides has no lead.
    assert verdicts(probed_sums.FIGURE, dataset)["L16"] == "fails"
    probed_sums.plot(dataset)


EVALUATION = replace(probed_sums.PRESETS["tiny"].evaluation, prompts=300)


def probed(lead=0.6, excess=-0.05):
    """R2 of two seeds where carries are known early, by so much, in layer 1."""
    tokens, targets = ["=", "s0", "s1", "s2", "end"], ["carry 0", "carry 1", "carry 2"]
    r2 = np.full((2, 2, 2, 5, 3), 0.2)
    r2[:, 0, 1] += lead
    dims = ("seed", "model", "layer", "token", "target")
    ceiling = np.full((2, 2, 5, 3), 0.2 + lead - excess)
    jitter = 0.005 * np.random.default_rng(0).normal(size=(*r2.shape, 100))
    return xr.Dataset(
        {
            "r2": (dims, r2),
            "ceiling": (("seed", "model", "token", "target"), ceiling),
            "r2_resampled": ((*dims, "resample"), r2[..., None] + jitter),
        },
        coords={
            "model": [TRAINED, UNTRAINED],
            "layer": [0, 1],
            "token": tokens,
            "target": targets,
        },
        attrs={"digits": 3, "layout": "reverse"},
    )


def test_carries_that_are_known_early_are_found():
    assert verdicts(probed_sums.FIGURE, probed()) == {"L16": "holds", "L17": "holds"}
    assert verdicts(probed_sums.FIGURE, probed(lead=0.1))["L16"] == "fails"
    assert verdicts(probed_sums.FIGURE, probed(excess=0.2))["L17"] == "fails"
    plain = probed().assign_attrs(layout="plain")
    assert verdicts(probed_sums.FIGURE, plain)["L16"] == "undecided"


def test_tasks_without_names_for_their_characters_are_refused():
    config = probed_sums.PRESETS["tiny"]
    task = replace(config.setting.task, padded=False)
    with pytest.raises(ValueError, match="task must write padded lines"):
        replace(config, setting=replace(config.setting, task=task))
