"""What benchmarks compute from times; the times themselves are never tested."""

import contextlib
import csv
import importlib
import os
import platform
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from numpy.testing import assert_allclose

from benchmarks import (
    __main__,
    accelerator,
    cells,
    constructed,
    growth,
    learners,
    least_squares,
    limits,
    opponents,
    pooled,
    results,
    steps,
    training,
    weights,
)
from benchmarks.measure import Row, Work, alternate, row, timed
from benchmarks.steps import Shape
from benchmarks.worker import Worker
from experiments.reference_models import SETTINGS
from icl import LinearRegression, ModelConfig, Pairs, Transformer
from icl.constructed import sgd_step

FOUND = {
    "ours": np.array([1.0, 2.0, 4.0]),
    "loop": np.array([2.0, 2.0, 12.0]),
    "limit": np.array([10.0, 10.0, 5.0]),
}


def test_cells_are_scored_as_scikit_learn_scores_them(monkeypatch):
    monkeypatch.setattr(cells, "SHAPES", ((40, 60, 2), (60, 5, 2)))
    monkeypatch.setattr(cells, "CALLS", 1)
    monkeypatch.setattr(cells, "LABELLED", ((60, 5, 1, 2), (60, 5, 2, 3)))
    monkeypatch.setattr(opponents, "find_spec", lambda _: None)
    rows = list(cells.main(1))
    numbers, labels = rows[:2], rows[2:]
    assert len(labels) == 2 and all(made.ratio > 0 for made in rows)
    # The same penalties, in float64.
    assert all(float(made.note.split()[-1]) < 1e-9 for made in numbers)
    # A gradient of 1e-4 on either side.
    assert all(float(made.note.split()[-1]) < 0.01 for made in labels)


# --- rows ---


def test_ratio_is_the_median_of_neighbours():
    made = row("case", "shape", FOUND, "loop", "a loop", work="none")
    assert (made.ours_s, made.usual_s) == (2, 2)  # whose ratio would be 1
    assert (made.ratio, made.ratio_min, made.ratio_max) == (2, 1, 3)
    assert (made.share, made.limit) == (None, "none")


def test_share_is_what_is_achieved_of_the_limit_in_the_same_turn():
    made = row("case", "shape", FOUND, work=Work(4.0, "matmul, FLOP/s"))
    # 4, 2 and 1 per second, of 10, 10 and 5
    assert made.share == pytest.approx(0.2)
    assert (made.limit, made.limit_rate) == ("matmul, FLOP/s", 10)
    assert made.ratio is None


def test_every_other_turn_goes_backwards():
    order = []

    def side(name):
        return lambda: order.append(name) or len(order)

    found = alternate({"a": side("a"), "b": side("b")}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found["a"].tolist() == [1, 4, 5]
    assert found["b"].tolist() == [2, 3, 6]


def test_timed_waits_for_what_is_asynchronous():
    waited = []

    class Later:
        def block_until_ready(self):
            waited.append(True)

    assert timed(Later)() >= 0
    assert waited


# --- growth ---


def test_power_law_of_the_upper_half():
    x = np.array([1, 2, 4, 8, 16, 32, 64.0])
    y = 3 * x**1.5
    y[:3] = 20  # fixed costs, below the middle
    fit = growth.power(x, y)
    assert fit.start == 8
    # Rounding of logarithms only.
    assert_allclose(fit[:3], (1.5, 0, 3), atol=1e-6)


def test_power_law_has_the_standard_error_of_least_squares():
    x = 2.0 ** np.arange(9)
    y = x * np.exp(np.random.default_rng(0).normal(scale=0.1, size=9))
    slope, covariance = np.polyfit(np.log(x[4:]), np.log(y[4:]), 1, cov=True)
    fit = growth.power(x, y)
    assert_allclose(fit.exponent, slope[0], rtol=1e-9)  # rounding
    assert_allclose(fit.error, covariance[0, 0] ** 0.5, rtol=1e-9)


def test_picture_and_exponents_of_growth(tmp_path):
    along = {axis: np.array(values, float) for axis, values in growth.AXES.items()}
    curves = {
        axis: {"seconds": (x, x), "bytes": (x, 1e6 * x**2)} for axis, x in along.items()
    }
    made = growth.exponents("batch", curves["batch"])
    assert "seconds as batch^1.00" in made.note
    assert "bytes as batch^2.00" in made.note
    assert made.ours_s == growth.AXES["batch"][-1]
    growth.draw(curves, tmp_path / "figures" / "growth.png")
    assert (tmp_path / "figures" / "growth.png").stat().st_size > 10_000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="of Linux")
def test_peak_memory_is_that_since_it_was_last_looked_at():
    size = 2**28  # counters of many cores may be off by some MB
    np.ones(2 * size, np.uint8)  # a higher peak, before
    before = growth.resident()
    np.ones(size, np.uint8)
    # Pages, and whatever else this process does meanwhile.
    assert growth.peak() - before == pytest.approx(size, rel=0.1)


# --- FLOPs ---


def test_flops_of_a_step_by_hand():
    shape = Shape(dim=2, pairs=3, layers=1, width=4, batch=7)
    token = 3 * 4 + 3 * 4 * 4  # read in; q, k, v
    # Scores and values of 5 tokens, out; the MLP; the read-out.
    at_x = 2 * 5 * 4 + 4 * 4 + 2 * 4 * 16 + 4
    assert shape.flops == 6 * (5 * token + 3 * at_x) * 7
    deeper = shape._replace(layers=2).flops
    layer = 4 * 4 * 4 + 2 * 5 * 4 + 2 * 4 * 16
    assert deeper - shape.flops == 6 * 5 * layer * 7
    assert Shape.of(shape.setting) == shape


def test_flops_of_predict_at_are_those_that_xla_counts():
    config = ModelConfig(layers=2, width=64)  # the last is not like the others
    task = LinearRegression(dim=4, length=3)
    model = Transformer(config, Pairs(dim=4, length=3), rngs=nnx.Rngs(0))
    prompts = task.sample(jax.random.key(0), batch=8)
    queries = task.sample_inputs(jax.random.key(1), (8, 3, 1))  # XLA counts one turn
    graphdef, params = nnx.split(model)
    lowered = jax.jit(
        lambda params, *given: nnx.merge(graphdef, params).predict_at(*given)
    ).lower(params, prompts, queries)
    counted = lowered.compile().cost_analysis()["flops"]
    ours = weights.flops(config, 4, 8, 3, 1)
    # XLA adds elementwise work: at width 64 some percents.
    assert ours < counted < 1.15 * ours


def test_flops_of_pooled_probes_by_hand():
    # Of each probe and prompt: 24 tokens pooled, 32 features to 4 coordinates.
    forward = 2 * (24 * 32 + 32 * 4)
    assert pooled.flops("linear", 5) == 20 * 5 * forward * (3 * 3000 + 1000)
    assert pooled.flops("mlp", 1) > pooled.flops("linear", 1)


# --- the usual ways do the same work ---


def test_loops_find_the_weights_of_our_learners():
    prompts = LinearRegression(dim=2, length=4).sample(jax.random.key(0), batch=2)
    slow = learners.theirs(prompts)
    assert slow.shape == (len(learners.learners()), 2, 4, 2)
    assert len(learners.COUNTS) == 40
    # Weights come back in float32; the first contexts have no unique solution.
    assert learners.disagreement(learners.ours(prompts), slow) < 1e-4


def test_numpy_runs_a_constructed_transformer():
    made = sgd_step(2, 0.1)
    prompts = LinearRegression(dim=2, length=2).sample(jax.random.key(0), batch=3)
    slow = constructed.forward(made, constructed.matrices(made), prompts)
    # Both in float64; numbers of size K^2 = 1e6 cancel in the products.
    assert_allclose(made(prompts).predictions, slow, atol=1e-7)
    assert abs(slow[:, 1]).min() > 1e-3


@pytest.mark.parametrize("learner", ["least squares", "average"])
def test_both_sides_of_one_learner_alone_find_its_weights(learner):
    """Ours is right to float32; theirs is float32 throughout, and so less right."""
    shape = (4, 3, 5)
    xs, ys = least_squares.drawn(*shape)
    weights = least_squares.reference(learner, xs, ys)
    slow = least_squares._by_numpy(learner, xs, ys)
    theirs = least_squares.timed_with_error(slow, weights)()
    assert theirs["error"] < 1e-3 and theirs["seconds"] > 0
    with Worker("benchmarks.least_squares:ours", learner, *shape) as worker:
        assert worker()["error"] < 2e-7


# --- workers ---


def test_worker_answers_until_its_process_ends(capfd):
    with Worker("unittest.mock:Mock", None, [1.5, ["a"]]) as worker:
        assert worker() == 1.5
        assert worker() == ["a"]
        with pytest.raises(RuntimeError, match=r"unittest\.mock:Mock ended; see above"):
            worker()
    assert "StopIteration" in capfd.readouterr().err


# --- the table and the file ---

ABOUT = {"date": "2026-01-01", "machine": "a CPU, of some kind"}


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_appended_under_one_header(tmp_path):
    path = tmp_path / "results.csv"
    made = row("case", 'a "shape", quoted', FOUND, "loop", "a loop", work="none")
    results.append(made, ABOUT, path)
    results.append(made._replace(case="other"), ABOUT, path)
    first, second = read(path)
    assert list(first) == [*ABOUT, *Row._fields]
    assert (first["case"], second["case"]) == ("case", "other")
    assert first["shape"] == 'a "shape", quoted'
    assert first["machine"] == ABOUT["machine"]
    assert float(first["ratio"]) == 2
    assert first["share"] == ""


def test_a_file_with_other_columns_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "results.csv"
    made = row("case", "shape", FOUND, work="none")
    results.append(made, {"date": "2026-01-01", "colour": "red"}, path)
    before = path.read_text()
    with pytest.raises(ValueError, match=r"other columns.*colour, machine\).*move it"):
        results.append(made, ABOUT, path)
    assert path.read_text() == before


def test_what_is_said_of_the_machine_names_no_path_and_no_host():
    about = results.about()
    assert about["machine"] and about["python"] and about["jax"] == jax.__version__
    text = " ".join(map(str, about.values()))
    assert os.getcwd() not in text
    assert platform.node() not in map(str, about.values())


def devices_of(side, *arguments):
    """How many devices a side of a benchmark's program takes; for a worker."""
    import joblib

    from icl.training import compiled

    joblib.cpu_count = lambda: 3
    taken = []

    def compile_program(key, devices, members):
        taken.append(len(devices))
        raise StopIteration

    compiled.compile_program = compile_program
    with contextlib.suppress(StopIteration):
        getattr(importlib.import_module(f"benchmarks.{side[0]}"), side[1])(*arguments)
    return lambda: taken


@pytest.mark.parametrize(
    ("side", "arguments", "devices"),
    [
        (("ensemble", "single_threaded"), (), 1),
        (("ensemble", "trainer"), (8,), 2),  # of three cores, as many as divide 8
        (("training", "ours"), ([2, 3, 1, 4, 1, 600],), 3),
    ],
)
def test_sides_take_the_devices_that_their_row_says(side, arguments, devices):
    with Worker("tests.test_benchmarks:devices_of", side, *arguments) as worker:
        assert worker() == [devices]


def test_every_case_can_be_run():
    for name in (*__main__.CASES, *__main__.ON_REQUEST):
        assert callable(importlib.import_module(f"benchmarks.{name}").main)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lerners"], "error: no benchmark 'lerners'; there are: startup, training"),
        (["learners", "--turns", "0"], "error: turns must be at least 1, got 0"),
        (["learners", "--smoke"], "error: --smoke is of `python -m benchmarks accel"),
        (["accelerator", "--minutes", "0"], "error: minutes must be a number above"),
    ],
)
def test_bad_input_is_one_line(arguments, sentence, capsys):
    assert __main__.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(sentence)


def test_without_pytorch_rows_are_skipped_and_not_kept(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(results, "PATH", tmp_path / "results.csv")
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    assert __main__.main(["training", "--turns", "1"]) == 0
    assert capsys.readouterr().out.count("skipped: pip install '.[bench]'") == 12
    assert not results.PATH.exists()


def test_a_case_runs_from_the_command_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(results, "PATH", tmp_path / "results.csv")
    monkeypatch.setattr(weights, "SETTING", SETTINGS["tiny"])
    monkeypatch.setattr(weights, "PROMPTS", 2)
    monkeypatch.setattr(limits, "SIZES", (64, 128))
    assert __main__.main(["weights", "--turns", "2"]) == 0
    (kept,) = read(results.PATH)
    assert kept["case"] == "weights" and kept["device"] == "cpu"
    least, ratio, greatest = (
        float(kept[name]) for name in ("ratio_min", "ratio", "ratio_max")
    )
    assert 0 < least <= ratio <= greatest
    assert 0 < float(kept["share"])
    # Queries of float32 through a float32 model, fitted in float64 twice.
    agreement = kept["note"].removeprefix("weights agree to ").split()[0]
    assert float(agreement) < 1e-4
    assert "weights: 2 prompts, d = 2" in capsys.readouterr().out


def test_the_accelerator_command_measures_every_stage(monkeypatch, tmp_path, capsys):
    """At tiny sizes, but for Figure 1, whose command has tests of its own."""

    run = subprocess.run

    def draw(command, **options):
        if command[1:4] != ["-m", "experiments.akyurek2023.fig1", "tiny"]:
            return run(command, **options)  # git's
        (Path(command[-1]) / "figure.png").write_bytes(b"a picture")

    monkeypatch.setattr(results, "PATH", tmp_path / "results.csv")
    monkeypatch.setattr(limits, "SIZES", (64,))
    monkeypatch.setattr(steps, "TURN_SECONDS", 0.01)
    monkeypatch.setattr(accelerator, "find_spec", lambda name: None)  # no PyTorch
    monkeypatch.setattr(accelerator.subprocess, "run", draw)
    assert __main__.main(["accelerator", "--smoke", "--turns", "1"]) == 0
    out = capsys.readouterr().out
    assert "failed" not in out and "skipped" not in out
    assert out.count("    ours ") == 8
    assert "60 of 60 steps made" in out and "finished, on cpu" in out
    assert not results.PATH.exists()


def test_the_accelerator_command_keeps_to_its_time_and_survives_a_stage(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no memory\nand more")
        yield

    monkeypatch.setattr(
        accelerator, "stages", lambda *given: [("a", fail), ("b", fail)]
    )
    notes = [made.note for made in accelerator.main(1, minutes=1)]
    assert notes == ["failed: RuntimeError: no memory"] * 2
    notes = [made.note for made in accelerator.main(1, minutes=0.01)]
    assert notes == ["skipped: no time is left"] * 2


def test_the_long_run_stops_in_time_and_goes_on(tmp_path):
    past, later = time.monotonic() - 1, time.monotonic() + 600
    (stopped,) = accelerator.paper("tiny", tmp_path, past)
    assert stopped.ours_s is None  # one chunk is no measurement
    (made,) = accelerator.paper("tiny", tmp_path, later)
    assert made.ours_s is not None and "60 of 60 steps made" in made.note
