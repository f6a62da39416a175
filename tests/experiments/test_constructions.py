"""Figures that look at constructed transformers, through their command lines."""

import numpy as np
import pytest
import xarray as xr

from experiments.akyurek2023 import construction, construction_flaws, fig7
from experiments.engine.claims.claim import load_claims
from experiments.engine.figures import command, runs
from experiments.engine.figures.figure import command_line
from experiments.vonoswald2023 import fig2

MODULES = {
    "akyurek2023.fig7": fig7,
    "akyurek2023.construction": construction,
    "vonoswald2023.fig2": fig2,
}
every_module = pytest.mark.parametrize("name", MODULES)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for name in MODULES:
        argv = ["tiny", "--results", str(folder)]
        assert command.main(MODULES[name].FIGURE, argv) == 0
    return folder


def only_run(results, name):
    (folder,) = results.joinpath(*name.split(".")).glob("tiny-*")
    return folder


def data(results, name):
    return runs.read_dataset(only_run(results, name))


@every_module
def test_a_run_leaves_its_files_and_claims(results, name):
    folder = only_run(results, name)
    found = {path.name for path in folder.iterdir()}
    assert found == {"data.nc", "run.json", "figure.png", "figure.pdf", "claims.json"}
    claims = load_claims(folder / "claims.json")
    assert claims and {claim.figure for claim in claims} == {name.split(".")[1]}


@every_module
def test_every_preset_has_its_time(name):
    module = MODULES[name]
    shipped = ["shipped"] if name.startswith("akyurek2023") else []
    names = ["tiny", "quick", *shipped, "paper"]
    assert list(module.TIMES) == list(module.PRESETS) == names


@pytest.mark.parametrize("name", ["akyurek2023.fig7", "akyurek2023.construction"])
def test_every_claim_of_the_theory_holds(results, name):
    """They are mathematics: at every preset, the smallest too."""
    claims = load_claims(only_run(results, name) / "claims.json")
    assert {
        str(claim): claim.verdict for claim in claims if claim.verdict != "holds"
    } == {}


def test_a_wrong_construction_is_noticed(results):
    """Errors, sizes and slopes that are not what is claimed fail."""
    dataset = data(results, "akyurek2023.construction")
    worse = dataset.assign(
        error=dataset.error * 1e6,
        width=dataset.width + 1,
        layers=dataset.layers + 1,
        error_by_multiplier=np.sqrt(dataset.error_by_multiplier),
        error_by_steps=dataset.error_by_steps * 1e6,
        error_by_pad=np.sqrt(dataset.error_by_pad),
        width_by_length=dataset.width_by_length * dataset.length,
        probe_r2=dataset.probe_r2 * 0,
        flaws=dataset.flaws * 0,
    )
    verdicts = {claim.id: claim.verdict for claim in construction.claims(worse)}
    assert set(verdicts.values()) == {"fails"}, verdicts


def test_probes_find_w_where_two_updates_have_put_it(results):
    """At y2 and x3, from the product of the inverse and the moments on."""
    dataset = data(results, "akyurek2023.construction")
    held = [[24, 3], [24, 4], [25, 3], [25, 4]]
    assert np.argwhere(dataset.probe_held.values).tolist() == held
    assert np.argwhere(dataset.probe_r2.values > 0.999).tolist() == held


def test_wrong_squares_are_noticed(results):
    dataset = data(results, "akyurek2023.fig7")
    worse = dataset.assign(square=1.2 * dataset.square)
    verdicts = {claim.id: claim.verdict for claim in fig7.claims(worse)}
    assert set(verdicts.values()) == {"fails"}, verdicts


@pytest.mark.parametrize("flaw", construction_flaws.FLAWS, ids=lambda flaw: flaw.name)
def test_what_is_printed_errs_and_what_is_corrected_does_not(flaw):
    assert flaw.printed() > 0.01
    assert flaw.corrected() < 1e-12  # float64, of predictions of size 1


def test_squares_by_hand():
    """At x = 0.1, from math.erf and math.tanh, and at the ends of the ReLU pieces."""
    import math

    gelu = lambda z: z / 2 * (1 + math.erf(z / math.sqrt(2)))  # noqa: E731
    by_hand = math.sqrt(math.pi / 2) * (gelu(0.2) - 2 * gelu(0.1))
    x = np.array([-0.1, 0.0, 0.1])
    assert fig7.by_gelu(x)[2] == pytest.approx(by_hand, rel=1e-12)  # float64
    assert by_hand == pytest.approx(0.01 * (1 - 7 / 6 * 0.01), rel=1e-3)  # next: x^4
    np.testing.assert_allclose(fig7.by_tanh(x, 1e-4)[[0, 2]], 0.01, rtol=0.05)
    np.testing.assert_allclose(fig7.by_relu(x, 2), x**2, atol=1e-16)


def of_fig2(dataset):
    return {c.id.split(".")[1]: c.verdict for c in fig2.claims(dataset)}


def test_the_trained_layer_becomes_a_gradient_step(results):
    """A smaller problem than the paper's; its dataset starts before the training."""
    dataset = data(results, "vonoswald2023.fig2")
    assert isinstance(dataset, xr.Dataset)
    trained, untrained = of_fig2(dataset), of_fig2(dataset.isel(step=[0]))
    assert {trained[number] for number in "2345"} == {"holds"}, trained
    assert {untrained[number] for number in "234"} == {"fails"}, untrained


def test_other_layers_than_the_best_are_noticed(results):
    """By the two claims that do not depend on the training."""
    dataset = data(results, "vonoswald2023.fig2")
    worse = dataset.assign(
        error_constructed=1.5 * dataset.error_constructed,
        error_blend=dataset.error_blend * (1 + 0.1 * (dataset.blend == 0.5)),
    )
    verdicts = of_fig2(worse)
    assert verdicts["1"] == verdicts["5"] == "fails", verdicts


@pytest.mark.parametrize(
    ("name", "argv", "said"),
    [
        ("akyurek2023.fig7", ("--points", 40), "points must be odd"),
        ("akyurek2023.fig7", ("--delta", 0), "delta must be a finite number > 0"),
        ("akyurek2023.construction", ("--dims", "4,2"), "dims must be ascending"),
        ("akyurek2023.construction", ("--steps", 0), "integer >= 1"),
        ("akyurek2023.fig7", ("--bound", 1e-200), "bound must be 1e-100 to 1e100"),
        ("akyurek2023.fig7", ("--bound", 1e200), "bound must be 1e-100 to 1e100"),
        ("vonoswald2023.fig2", ("--pairs", 0), "pairs must be an integer >= 1"),
        ("vonoswald2023.fig2", ("--evaluations", 999), "evaluations must be at most"),
    ],
)
def test_bad_fields_are_refused(name, argv, said, tmp_path, capsys):
    argv = ["tiny", *map(str, argv), "--results", str(tmp_path)]
    assert command.main(MODULES[name].FIGURE, argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and said in error


def test_changed_dimensions_are_in_the_command():
    from dataclasses import replace

    figure = construction.FIGURE
    config = replace(construction.PRESETS["quick"], dims=(2, 16))
    line = command_line(figure, "quick", config)
    assert line.endswith("construction quick --dims 2,16")
    parsed = command.parse(figure.name, figure.presets, line.split()[3:])
    assert parsed.config == config
