"""The suite of shifts: what is planted is found, and a tiny model goes through it."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from experiments.garg2022 import shifts
from experiments.garg2022.shifts import PRESETS, Config
from experiments.reference_models import SETTINGS
from icl.sweeps.store import Models

DIM, PROMPTS = 8, 60
LEARNERS = ["ICL", *(learner.name for learner in shifts.LEARNERS)]


def planted():
    """A model with the errors of least squares and a little more, where it is good."""
    names, n = list(shifts.SHIFTS), np.arange(2 * DIM + 1)
    base = np.maximum(1 - n / DIM, 0)
    error = np.zeros((len(LEARNERS), len(names), PROMPTS, len(n)))
    error += (base + 0.001)[None, None, None]
    array = xr.DataArray(
        error,
        dims=("learner", "shift", "prompt", "context"),
        coords={"learner": LEARNERS, "shift": names, "context": n},
    )
    array.loc[{"learner": ["Average", "3-NN uniform"]}] = 2.0
    array.loc[{"shift": "orthogonal query"}] = 1.0
    array.loc[{"shift": "orthogonal query", "context": n[n >= DIM]}] = np.nan
    at = {"learner": "ICL", "shift": "w times 3"}
    array.loc[at] = array.loc[at] + 0.1
    for factor, more in (("0.5", 0.01), ("0.333", 0.02), ("2", 0.05), ("3", 0.2)):
        at = {"learner": "ICL", "shift": f"x times {factor}"}
        array.loc[at] = array.loc[at] + more
    noise = np.random.default_rng(0).normal(1, 0.01, (PROMPTS, 1))
    return xr.Dataset({"error": array * noise}, attrs={"dim": DIM, "resamples": 200})


def verdicts(dataset):
    return {
        claim.id.removeprefix("garg2022."): claim for claim in shifts.claims(dataset)
    }


def test_a_model_as_the_paper_says_fulfils_every_claim():
    found = verdicts(planted())
    assert {id for id, claim in found.items() if claim.verdict != "holds"} == set()
    assert len(found) == 17


@pytest.mark.parametrize(
    ("shift", "context", "value", "id"),
    [
        ("none", DIM, 0.2, "1a"),
        ("none", 2 * DIM, 0.01, "1b"),
        ("none", 3, 1.0, "2"),
        ("none", DIM, 3.0, "3"),
        ("half subspace", DIM // 2, 0.9, "5a"),
        ("half subspace", 2 * DIM, 0.1, "5b"),
        ("skewed", DIM // 2, 1.9, "6"),
        ("random quadrants", DIM, 0.4, "7a"),
        ("query in the context", DIM + 1, 0.5, "8"),
        ("orthogonal query", 2, 0.5, "9a"),
        ("orthogonal query", 2, 1.5, "9b"),
        ("w times 2", 2 * DIM, 0.5, "10a"),
        ("x times 2", 2 * DIM, 0.9, "11a"),
        ("noisy labels", 2 * DIM, 0.9, "12"),
    ],
)
def test_a_model_that_is_worse_in_one_place_fails_there(shift, context, value, id):
    dataset = planted()
    at = {"learner": "ICL", "shift": shift, "context": context}
    dataset.error.loc[at] = value
    found = verdicts(dataset)
    assert found[id].verdict == "fails"
    failing = {one for one, claim in found.items() if claim.verdict == "fails"}
    assert len(failing) <= 2  # 1a and 3 are about the same place


def test_the_smallest_model_goes_through_and_the_picture_follows_from_its_numbers():
    dataset = shifts.compute(PRESETS["tiny"], Models())
    assert dataset.error.sizes["context"] == 5
    assert int(dataset.error.isnull().any(("learner", "prompt", "context")).sum()) == 1
    # Least squares is exact from n = d on, in every shift without noise.
    exact = dataset.error.sel(learner="OLS", context=2).drop_sel(
        shift=["noisy labels", "orthogonal query"]
    )
    assert float(exact.max()) < 1e-3
    shifts.plot(dataset)
    assert len(shifts.claims(dataset)) == 17


def test_prompts_that_are_too_short_are_refused():
    setting = SETTINGS["tiny"]
    with pytest.raises(ValueError, match=r"task\.length must be an integer >= 3"):
        Config(replace(setting, task=replace(setting.task, length=2)))
