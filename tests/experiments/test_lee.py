"""Sums: what is planted is found, and untrained models go through to the picture."""

import shlex
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

from experiments import reference_models
from experiments.engine.figures.figure import Figure, command_line
from experiments.engine.figures.flags import parse
from experiments.lee2023 import completion, formats, probed_sums
from experiments.lee2023.formats_measure import (
    Config,
    parameters,
    settings,
    written,
)
from experiments.lee2023.probed_sums_claims import TRAINED, UNTRAINED
from icl import Trained
from icl.model.building import build
from icl.sweeps.store import Models
from icl.tasks import Addition


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


def test_slopes_of_the_medians_that_were_enumerated():
    """By components, nearly n ln n; by neighbours, n^2 / ln n, which is no O(n)."""
    rules, sizes = ["additive", "contiguous"], [20, 50, 100]
    medians = xr.DataArray(
        [[75.0, 240.0, 533.0], [90.0, 400.0, 1394.0]],
        coords={"law": rules, "size": sizes},
        dims=("law", "size"),
    ).to_dataset(name="threshold")
    slopes = [float(completion.slope(rule)(medians)) for rule in rules]
    np.testing.assert_allclose(slopes, [1.22, 1.70], atol=0.005)  # two decimals


# --- formats ---


SIZES = (50, 200, 500, 1_000, 2_000, 5_000)
CHARACTERS = {"reverse": 16, "plain": 13, "simplified": 65}
RANDOM = ("simplified, random digits", "simplified, random carries")
HALF = {"reverse": 800.0, "plain": 500.0, "simplified": 150.0}


def planted(
    reverse=0.99, noise=0.0, digits=3, half=HALF, octaves=1.8, either=0.9, both=0.6
):
    """Shares that rise from 0 to those of each format, half way at `half` sums.

    From 10 to 90 % of right answers it is so many octaves.
    """
    ends = {"reverse": reverse, "plain": 0.9, "simplified": 1.0}
    ends |= dict.fromkeys(RANDOM, either) | {"simplified, both random": both}
    sizes = {"seed": range(3), "format": list(ends), "examples": list(SIZES)}
    rng = np.random.default_rng(0)
    steep = 2 * np.log(9) / (octaves * np.log(2))
    exact = np.zeros((3, len(ends), len(SIZES), 2_000))
    for row, (name, end) in enumerate(ends.items()):
        middle = half.get(name, 150.0)
        share = end / (1 + (middle / np.array(SIZES)) ** steep)
        exact[:, row] = rng.random((3, len(SIZES), 2_000)) < share[:, None]
    digit = np.repeat(exact[:, :, :, None], digits + 1, axis=3)
    digit[..., 1:, :] = 1  # all misses are in the units
    digit = digit * (rng.random(digit.shape) >= noise)
    digit[:, 2:] = np.nan
    return xr.Dataset(
        {
            "exact": ((*sizes, "prompt"), exact),
            "digit": ((*sizes, "column", "prompt"), digit),
            "trace": (
                (*sizes, "prompt"),
                np.where(np.isnan(digit[..., 0, :]), 1, np.nan),
            ),
        },
        coords={
            **sizes,
            "column": range(digits + 1),
            "characters": ("format", [CHARACTERS.get(name, 65) for name in ends]),
        },
        attrs={"resamples": 200, "steps": 10, "digits": digits, "parameters": 26_400},
    )


def test_formats_as_the_paper_says_fulfil_every_claim():
    found = verdicts(formats.FIGURE, planted())
    names = ("L1", "L2", "L3", "L4", "L6", "L14", "L20")
    assert found == dict.fromkeys(names, "holds") | {"L1c": "undecided"}
    small = verdicts(formats.FIGURE, planted(digits=2, half=HALF | {"reverse": 150.0}))
    assert (small["L1"], small["L1c"]) == ("undecided", "holds")


@pytest.mark.parametrize(
    ("changes", "id"),
    [
        ({"reverse": 0.8}, "L1"),
        ({"digits": 2, "half": HALF | {"plain": 100.0}}, "L1c"),
        ({"octaves": 4.0}, "L2"),
        ({"half": HALF | {"simplified": 1_500.0}}, "L3"),
        ({"half": HALF | {"simplified": 600.0}}, "L4"),
        ({"both": 0.95}, "L6"),
        ({"noise": 0.1}, "L14"),
        ({"reverse": 0.8}, "L20"),
    ],
)
def test_others_fail_where_they_differ(changes, id):
    assert verdicts(formats.FIGURE, planted(**changes))[id] == "fails"


def test_shares_that_are_not_passed_between_the_sizes_judge_nothing():
    late = planted().isel(examples=slice(3, None))  # 90 % is passed before
    found = verdicts(formats.FIGURE, late)
    assert (found["L2"], found["L4"]) == ("undecided", "undecided")
    unpadded = {"plain": "plain, unpadded", "reverse": "reverse, unpadded"}
    dataset = planted()
    names = [unpadded.get(name, name) for name in dataset.format.values]
    found = verdicts(formats.FIGURE, dataset.assign_coords(format=names))
    assert [found[id] for id in ("L1", "L2", "L3", "L4")] == ["holds"] * 4
    formats.plot(dataset)


def test_written_lines_are_right_by_their_answers_and_their_scratchpads():
    task = Addition(2, "simplified")
    lines = task.test(4)
    right = np.array(lines.ids)
    said = right.copy()
    working = task.codec.text(right[1]).index("A->") + 3
    said[1, working] = (said[1, working] + 1) % 10
    answer = task.codec.text(right[2]).index(".\n") + 2
    said[2, answer] = (said[2, answer] + 1) % 10
    last = task.codec.text(right[3])  # which has no end, and so gives no answer
    said[3, last.index("\n", last.index(".\n") + 2) :] = 7
    exact, trace = written(task, lines, said)
    assert exact.tolist() == [1, 1, 0, 0]
    assert trace.tolist() == [1, 0, 1, 1]
    random = replace(task, corrupt=("A", "C"))
    own = random.of(*(lines.latents[name][:, 0] for name in "ab"))
    exact, trace = written(random, own, np.array(own.ids))
    assert exact.all() and np.isnan(trace).all()


def test_models_of_formats_go_through_to_the_picture():
    tiny = formats.PRESETS["tiny"]
    config = replace(tiny, formats=("plain", "reverse", "simplified"))
    dataset = formats.measure(config, untrained(settings(config)))
    assert dataset.exact.shape == (1, 3, 2, 64)
    padded = dataset.sel(format=["plain", "reverse"])
    assert padded.digit.notnull().all() and padded.trace.isnull().all()
    assert dataset.trace.sel(format="simplified").notnull().all()
    assert dataset.characters.values.tolist() == [10, 12, 50]
    assert float(dataset.exact.mean()) < 0.2
    assert parameters(reference_models.SUMS) == 26_400
    formats.plot(dataset)
    assert {claim.verdict for claim in formats.claims(dataset)} <= {
        *("undecided", "fails", "holds", "empty")
    }


def test_formats_and_sizes_are_one_word_each_on_the_command_line():
    flags = ["--formats", "plain, unpadded,reverse", "--examples", "150,200"]
    name = "experiments.lee2023.formats"
    config = parse(name, formats.PRESETS, ["tiny", *flags]).config
    assert config.formats == ("plain, unpadded", "reverse")
    assert config.examples == (150, 200)
    again = shlex.split(command_line(formats.FIGURE, "tiny", config))[3:]
    assert parse(name, formats.PRESETS, again).config == config


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
