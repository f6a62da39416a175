"""The plane of all curves, and sweeps that lie in a folder of results."""

from pathlib import Path

import numpy as np
import pytest

from experiments.emergence import found_sweeps, plane, plane_measure
from experiments.reference_models import SHIPPED
from icl import LinearRegression, ModelConfig, TrainConfig
from icl.baselines import LeastSquares
from icl.emergence import shape_of
from icl.pretrained import load_pretrained
from icl.sweeps.store import Models
from icl.training.description import describe


@pytest.fixture(scope="module")
def dataset():
    models = Models()
    models.put(SHIPPED["d4"], lambda: load_pretrained("d4"))
    return plane.compute(plane.PRESETS["tiny"], models)


def verdicts(claims):
    return {claim.id.split(".")[1]: claim.verdict for claim in claims}


def test_all_curves_that_need_no_folder_are_in_the_plane(dataset):
    tasks = set(dataset.task.values.tolist())
    assert tasks == {"gradient descent", "parameters", "least squares", "training d4"}
    for index in range(dataset.sizes["curve"]):
        one = dataset.isel(curve=index)
        own = shape_of(one.scores.values[np.isfinite(one.scores.values)])
        assert float(one.linear) == pytest.approx(float(own.normalised_linearity))
    inverse = dataset.linear.values[dataset.task.values == "least squares"]
    assert inverse[0] > 0 and inverse[-1] == pytest.approx(-0.437, abs=5e-4)
    found = {claim.id.split(".")[1]: claim for claim in plane.claims(dataset)}
    assert found["sharp"].value > 0.7  # of nine pairs, too few for a verdict
    assert found["sizes"].verdict == "undecided"
    assert len(plane.plot(dataset).axes) == 2


def test_curves_of_noise_are_not_beyond_it_and_smooth_ones_may_be_less_linear():
    rng = np.random.default_rng(0)
    scale, line = np.arange(1, 10), np.linspace(0, 1, 9)
    noise = [(f"noise {i}", "hit", scale, rng.normal(size=9)) for i in range(40)]
    assert verdicts(plane.claims(plane_measure.table(noise)))["plane"] == "fails"
    pairs = [
        (f"layers, d = {i}", metric, scale, scores)
        for i in range(10)
        for metric, scores in (("solved", line), ("log nmse", line**4))
    ]
    found = verdicts(plane.claims(plane_measure.table(pairs)))
    assert found["sharp"] == found["sizes"] == "fails"
    swapped = {"solved": "log nmse", "log nmse": "solved"}
    pairs = [(task, swapped[metric], *rest) for task, metric, *rest in pairs]
    found = verdicts(plane.claims(plane_measure.table(pairs)))
    assert found["sharp"] == found["sizes"] == "holds"


def sweep_of(values, folders, dim=2):
    task = LinearRegression(dim=dim, length=2 * dim + 1)
    return found_sweeps.FoundSweep("layers", values, folders, task)


def test_curves_by_size_are_those_of_planted_learners():
    """Least squares, diluted by less and less noise."""
    rng = np.random.default_rng(0)

    def model_of(folder):
        def learner(prompts):
            exact = np.asarray(LeastSquares()(prompts).predictions)
            return exact + float(folder.name) * rng.normal(size=exact.shape)

        return learner

    sweep = sweep_of((1, 2, 4, 8), tuple(map(Path, ("3", "0.3", "0.03", "0.003"))))
    curves = found_sweeps.curves(sweep, 50, model_of)
    assert shape_of(curves["log nmse"].values).normalised_linearity > 0.99
    assert shape_of(curves["solved"].values).normalised_linearity < 0.9
    assert curves["all of"].values[-1] > 0.9 > curves["all of"].values[0]


def test_finished_models_of_three_sizes_are_a_sweep(tmp_path, monkeypatch):
    task, train = LinearRegression(dim=2, length=5), TrainConfig(steps=10)
    shapes = {"depth1": (1, 8), "depth2": (2, 8), "wide": (1, 16), "half": (4, 8)}
    steps = {"half": 5}

    def newest(folder):
        if folder.name not in shapes:
            return None
        layers, width = shapes[folder.name]
        about = describe(task, ModelConfig(layers=layers, width=width), train)
        return steps.get(folder.name, 10), about

    monkeypatch.setattr(found_sweeps.checkpoint, "newest", newest)
    for name in (*shapes, "depth3", "notes"):
        (tmp_path / "models" / name).mkdir(parents=True)
    assert found_sweeps.found_sweeps(Models(tmp_path)) == []
    shapes["depth3"] = (3, 8)
    (found,) = found_sweeps.found_sweeps(Models(tmp_path))
    assert found.name == "layers, d = 2" and found.values == (1, 2, 3)
    assert [folder.name for folder in found.folders] == ["depth1", "depth2", "depth3"]
    assert found_sweeps.found_sweeps(Models()) == []
