"""Figures of skills through their command lines, and what they claim of wrong data."""

import numpy as np
import pytest
import xarray as xr

from experiments.arora2023 import (
    corpus,
    curves,
    exposure,
    exposure_claims,
    failures,
    failures_claims,
    scale,
)
from experiments.engine.claims.claim import load_claims
from experiments.engine.figures import command
from experiments.reference_models import SHIPPED
from icl.pretrained import load_pretrained
from icl.skills import SkillGraph
from icl.sweeps.store import Models

MODULES = {
    "curves": curves,
    "scale": scale,
    "corpus": corpus,
    "exposure": exposure,
    "failures": failures,
}
every_module = pytest.mark.parametrize("name", MODULES)
FAIL = {  # what a run at `tiny` is expected to find: see RESULTS.md
    "curves": set(),
    "scale": {"arora2023.speaks"},
    "corpus": {"arora2023.paucity"},
    "exposure": {"arora2023.8b"},
    "failures": set(),
}


@pytest.fixture(scope="module")
def results():
    """The Dataset of each figure at tiny, computed once and not drawn."""
    models = Models()
    models.put(SHIPPED["d4"], lambda: load_pretrained("d4"))
    return {
        name: module.FIGURE.compute(module.PRESETS["tiny"], models)
        for name, module in MODULES.items()
    }


def test_a_run_leaves_its_files_and_claims(tmp_path):
    assert command.main(corpus.FIGURE, ["tiny", "--results", str(tmp_path)]) == 0
    (folder,) = tmp_path.joinpath("arora2023", "corpus").glob("tiny-*")
    found = {path.name for path in folder.iterdir()}
    assert found == {"data.nc", "run.json", "figure.png", "figure.pdf", "claims.json"}
    assert load_claims(folder / "claims.json")


@every_module
def test_claims_at_tiny(results, name):
    claims = MODULES[name].FIGURE.claims(results[name])
    assert claims and {claim.figure for claim in claims} == {name}
    assert {claim.id for claim in claims if claim.verdict == "fails"} == FAIL[name]
    undecided = {claim.id for claim in claims if claim.verdict == "undecided"}
    assert not undecided or name == "failures"


@every_module
def test_every_dataset_can_be_drawn(results, name):
    axes = MODULES[name].FIGURE.plot(results[name]).axes
    assert axes and all(one.has_data() for one in axes)


@every_module
def test_every_preset_has_its_time(name):
    module = MODULES[name]
    assert list(module.TIMES) == list(module.PRESETS) == ["tiny", "quick", "paper"]


@pytest.mark.parametrize(
    ("name", "change", "noticed"),
    [
        (
            "curves",
            lambda d: {
                "bound": d.bound / 2,
                "adversary": d.adversary * 1.02,
                "worst_case": -d.worst_case,
                "composite": d.composite * 2,
            },
            {"2b", "3a", "3b", "4"},
        ),
        ("scale", lambda d: {"excess": d.excess**2, "worst_case": d.worst_case**3},
         {"decade", "decades", "doubling", "speaks"}),
        ("corpus", lambda d: {"share": 2 * d.share, "unseen": 0 * d.unseen},
         {"10a", "paucity", "paucity-five"}),
        ("exposure", lambda d: {"tuple_measure": d.single_measure, "left": d.left**2},
         {"7", "8b", "12"}),
    ],
)  # fmt: skip
def test_wrong_data_are_noticed(results, name, change, noticed):
    dataset = results[name]
    claims = MODULES[name].FIGURE.claims(dataset.assign(change(dataset)))
    assert {c.id.split(".")[1] for c in claims if c.verdict == "fails"} == noticed


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (1_000, (0.648, 0.527, 0.050, 0.068, 0.000, 0.020)),
        (3_000, (0.377, 0.706, 0.157, 0.233, 0.000, 0.042)),
        (10_000, (0.103, 0.890, 0.507, 0.613, 0.037, 0.093)),
        (30_000, (0.006, 1.000, 1.000, 1.000, 0.996, 0.157)),
    ],
)
def test_golden_toy(texts, wanted):
    """The specification's numbers, with its tolerance."""
    found = exposure.taught(exposure.PRESETS["tiny"], texts)
    names = ("theta", "single_measure", "single_count", "tuple_measure")
    numbers = [found[name] for name in (*names, "tuple_uniform", "same")]
    np.testing.assert_allclose(numbers, wanted, atol=0.02)


def test_tuples_that_stood_together_by_a_loop():
    texts, tested = SkillGraph.sample(40, 3, 8), SkillGraph.sample(60, 3, 8, seed=1)
    rows = [set(row) for row in texts.edges.tolist()]
    wanted = [any(row >= set(piece) for row in rows) for piece in tested.edges.tolist()]
    found = exposure.stood_together(texts, tested)
    assert found.tolist() == wanted and 0 < found.mean() < 1
    rows = [sorted(row) for row in texts.edges.tolist()]
    wanted = [sorted(piece) in rows for piece in tested.edges.tolist()]
    assert exposure.are_the_skills_of_a_text(texts, tested).tolist() == wanted


def test_a_level_is_passed_between_two_sizes():
    share = exposure_claims.xr.DataArray(
        [0.1, 0.3, 0.7], dims="texts", coords={"texts": [1.0, 10.0, 1000.0]}
    )
    assert exposure_claims.passes(share) == pytest.approx(100)
    assert np.isnan(exposure_claims.passes(share, 0.9))


def test_prompts_with_the_same_coordinates_are_one_weighted_piece(results):
    dataset = results["failures"]
    one = dataset.isel(learner=1, inputs=1, context=2)
    graph, success = failures_claims.graph_of(one)
    whole = SkillGraph(one.active.values, 4)
    right = one.success.values > 0
    wrong = [(~right)[(whole.edges == s).any(axis=1)].mean() for s in range(4)]
    np.testing.assert_allclose(failures_claims._rates(graph, success), wrong)
    assert graph.weights[success].sum() == pytest.approx(right.mean())


def test_failures_on_one_coordinate_alone_are_noticed(results):
    """All prompts that need the first coordinate fail, and no others."""
    dataset = results["failures"]
    first = (dataset.active == 0).any("place")
    spoilt = dataset.isel(prompt=(~first | (dataset.prompt % 3 == 0)).values)
    first = (spoilt.active == 0).any("place")
    changed = spoilt.assign(success=xr.ones_like(spoilt.success) * ~first)
    changed.attrs["resamples"] = 10
    verdicts = {c.id.split(".")[1]: c.verdict for c in failures.claims(changed)}
    assert verdicts["6a"] == verdicts["6b"] == "fails"


@pytest.mark.parametrize(
    ("name", "flag", "sentence"),
    [
        ("curves", ("--pieces", "10"), "pieces must be an integer >= 1000, got 10"),
        ("scale", ("--theta", "0.2"), "theta must lie between 0 and 0.125"),
        ("corpus", ("--rates", "2"), "rates must lie between 0 and 1, got 2"),
        (
            "failures",
            ("--active", "4"),
            "active must be an integer of at most 3, got 4",
        ),
        ("exposure", ("--k", "1"), "k must be an integer >= 2, got 1"),
    ],
)
def test_bad_flags_end_in_one_line(capsys, name, flag, sentence):
    assert command.main(MODULES[name].FIGURE, ["tiny", *flag]) == 2
    assert sentence in capsys.readouterr().err
