"""The plane of all curves, and sweeps that lie in a folder of results."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.emergence import found_sweeps, plane, plane_measure
from experiments.reference_models import SHIPPED
from icl import LinearRegression, ModelConfig, TrainConfig
from icl.baselines import LeastSquares
from icl.emergence import Curve, shape_of
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
    return found_sweeps.FoundSweep("layers", values, folders, task, "width 8")


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
    assert found_sweeps.found_sweeps(tmp_path) == []
    shapes["depth3"] = (3, 8)
    (found,) = found_sweeps.found_sweeps(tmp_path)
    assert found.name == "layers at width 8, d = 2" and found.values == (1, 2, 3)
    assert [folder.name for folder in found.folders] == ["depth1", "depth2", "depth3"]
    assert found_sweeps.found_sweeps(tmp_path / "models") == [found]
    assert found_sweeps.found_sweeps(None) == []


def test_sweeps_of_the_same_name_are_told_apart(monkeypatch):
    """Two that differ in their training alone: neither hides the other's curves."""
    sweeps = [sweep_of((1, 2, 4), tuple(map(Path, "abc"))) for _ in range(2)]
    monkeypatch.setattr(found_sweeps, "found_sweeps", lambda _: sweeps)
    rising, falling = np.linspace(0, 1, 3), np.linspace(1, 0, 3)
    scores = iter((rising, falling))
    monkeypatch.setattr(
        found_sweeps,
        "curves",
        lambda sweep, _: {"solved": Curve(np.array(sweep.values), next(scores))},
    )
    found = plane_measure.of_sweeps(plane_measure.Config(), Models())
    name = "layers at width 8, d = 2"
    assert [task for task, *_ in found] == [name, f"{name} (2)"]
    assert [y.tolist() for *_, y in found] == [rising.tolist(), falling.tolist()]


def test_a_folder_of_ones_own_is_in_the_plane(tmp_path, monkeypatch):
    """Manifests of three models, beside each other; what they say is planted."""
    task, train = LinearRegression(dim=2, length=5), TrainConfig(steps=10)
    spreads = {1: 1.0, 2: 0.2, 4: 0.01}

    def newest(folder):
        layers = int(folder.name)
        return 10, describe(task, ModelConfig(layers=layers, width=8), train)

    def load(folder):
        missed = spreads[int(folder.name)] * np.sqrt(2)  # of labels with variance 2
        return SimpleNamespace(model=lambda prompts: np.asarray(prompts.ys) + missed)

    monkeypatch.setattr(found_sweeps.checkpoint, "newest", newest)
    monkeypatch.setattr(found_sweeps, "load", load)
    for layers in spreads:
        (tmp_path / str(layers)).mkdir()
    config = plane_measure.Config((), prompts=50, sweeps=str(tmp_path))
    found = plane_measure.of_sweeps(config, Models())
    assert {task for task, *_ in found} == {"layers at width 8, d = 2"}
    scores = {metric: values for _, metric, _, values in found}
    np.testing.assert_allclose(scores["nmse"], [-1, -0.04, -1e-4], rtol=1e-4)
    np.testing.assert_allclose(scores["log nmse"], [0, 1.398, 4], atol=1e-3)
    assert scores["solved"].tolist() == [0, 0, 1]
    dataset = plane_measure.table(found)
    claims = {claim.id.split(".")[1]: claim for claim in plane.claims(dataset)}
    assert claims["sizes"].value == 1  # both pairs have a less linear threshold
    lines = plane.plot(dataset).axes[1].get_lines()
    assert [line.get_xdata().tolist() for line in lines] == [[1, 2, 4]] * 2


def test_a_folder_without_sweeps_is_refused(tmp_path):
    config = plane_measure.Config((), prompts=20, sweeps=str(tmp_path))
    with pytest.raises(ValueError, match=r"a folder with .* 3 finished"):
        plane.compute(config, Models())
    with pytest.raises(ValueError, match="sweeps must be the name of a folder, got 3"):
        plane_measure.Config(sweeps=3)
