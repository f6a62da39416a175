"""Models that come with the package: whole, reproducible, and what their card says."""

import errno
import json
import os
import re
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import icl.pretrained as pretrained
from experiments.fu2024 import lens
from experiments.pretrained import publish as publishing
from experiments.reference_models import SETTINGS
from icl import Prompts, inference, load, load_pretrained, train
from icl.baselines import LeastSquares
from icl.compare import nearest, squared_prediction_difference
from icl.sweeps.store import Models
from probes import donors, movement, probe_grid, random_change, write

ALL = list(pretrained.available())
CONTROLS = [name for name in ALL if name.endswith("-control")]
SUMS = ["add3"]  # what they do is looked at in test_pretrained_sums
REGRESSIONS = [name for name in ALL if name not in SUMS]
NAMES = [name for name in REGRESSIONS if name not in CONTROLS]
SEED = 7  # no prompts that the card was measured on


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def shipped(name):
    return load_pretrained(name)


@pytest.fixture(scope="module")
def scores(name):
    return json.loads((pretrained.FOLDER / name / "scores.json").read_text())


every_model = pytest.mark.parametrize("name", ALL)
every_regression = pytest.mark.parametrize("name", REGRESSIONS)


@pytest.fixture(scope="module")
def prompts(shipped):
    return inference.sample(shipped.task, 1_000, SEED)[0]


@pytest.fixture(scope="module")
def said(shipped, prompts):
    return inference.predictions(shipped.model, prompts)


@pytest.fixture(scope="module")
def right(prompts):
    """What least squares says."""
    return np.asarray(LeastSquares()(prompts).predictions)


def mean_square(difference):
    """Over prompts and contexts of one pair and more."""
    return (difference[:, 1:] ** 2).mean()


# --- the files ---


@every_regression
def test_it_says_what_it_said_when_it_was_published(name):
    shipped = load_pretrained(name)
    golden = np.load(pretrained.FOLDER / name / "golden.npz")
    prompts = Prompts(golden["xs"], golden["ys"])
    predicted = inference.predictions(shipped.model, prompts)
    # They were predicted in float64. Another CPU adds float32 numbers up in another
    # order: its error is another one than the one that was noted, and of its size.
    tolerance = 10 * float(golden["rounding"])
    assert tolerance < 1e-2
    np.testing.assert_allclose(predicted, golden["predictions"], atol=tolerance)


def test_it_is_read_from_where_nothing_can_be_written(name, shipped, tmp_path):
    copy = tmp_path / name
    shutil.copytree(pretrained.FOLDER / name, copy)
    everything = sorted([copy, *copy.rglob("*")], reverse=True)
    for path in everything:
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in everything}
    again = load(copy / pretrained.MODEL)
    # Permissions do not stop root, so that nothing may have changed either.
    found = sorted([copy, *copy.rglob("*")], reverse=True)
    assert {path: path.stat().st_mtime_ns for path in found} == before
    np.testing.assert_array_equal(again.history.loss, shipped.history.loss)
    for path in everything:
        os.chmod(path, 0o755)


@every_model
def test_its_files_are_small_and_tell_no_path(name):
    files = [p for p in (pretrained.FOLDER / name).rglob("*") if p.is_file()]
    assert sum(path.stat().st_size for path in files) < publishing.LARGEST
    home = re.compile(rb"/(home|Users|root|work)/")
    assert not [path for path in files if home.search(path.read_bytes())]


@every_model
def test_its_history_is_whole(name):
    shipped = load_pretrained(name)
    assert shipped.history.sizes["step"] == shipped.steps == shipped.train_config.steps
    assert shipped.history.evaluation.values[-1] == shipped.steps
    assert np.isfinite(shipped.history.loss).all()


@every_model
def test_cards_say_what_it_is(name):
    shipped = load_pretrained(name)
    scores = json.loads((pretrained.FOLDER / name / "scores.json").read_text())
    assert pretrained.configs()[name] == (
        *(shipped.task, shipped.model_config, shipped.train_config),
    )
    title, text = pretrained.available()[name], pretrained.card(name)
    size, first = ("digits", "exact") if name in SUMS else ("dimensions", "mean")
    count = shipped.task.digits if name in SUMS else shipped.task.dim
    assert f"{count} {size}" in title
    assert f"**{scores[first]['value']:.3g}**" in text
    assert all(fit["learner"] in text for fit in scores.get("nearest", ()))


def test_unknown_names_are_refused(untyped):
    with pytest.raises(ValueError, match=r"'d8x'.*d8 \(.*\)\. Did you mean 'd8'\?"):
        load_pretrained("d8x")
    for other in ("", "..", "__pycache__", None):
        with pytest.raises(ValueError, match="there are: add3"):
            load_pretrained(other)


# --- what it does ---


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_learns_nothing_in_context(name):
    """It says w.x with the w of its training, whatever the examples say."""
    shipped = load_pretrained(name)
    task = shipped.task
    assert task.fixed_weights == (1.0,) * task.dim
    prompts, _ = inference.sample(task, 500, SEED)
    said, expected = inference.predictions(shipped.model, prompts), prompts.xs.sum(-1)
    # The power of its labels is d; it errs by a thousandth of it at most.
    assert ((said - expected) ** 2).mean() / task.dim < 1e-3
    others, _ = inference.sample(replace(task, fixed_weights=None), 500, SEED)
    said = inference.predictions(shipped.model, others)
    wrong = ((said - inference.true_labels(others)) ** 2).mean()
    assert wrong > 0.5 * (np.asarray(others.ys) ** 2).mean()


def test_it_is_as_near_to_least_squares_as_its_card_says(shipped, said, right, scores):
    spd = squared_prediction_difference(said, right, divide_by=shipped.task.dim)
    card, fresh = scores["mean"], spd.per_prompt[:, 1:].mean(axis=1)
    # Two means of independent prompts, the card's within `half` in 95 % of cases and
    # this one, of fewer prompts, within more: 3 standard deviations of the difference.
    half = (card["high"] - card["low"]) / 2
    spread = np.hypot(half / 1.96, fresh.std() / len(fresh) ** 0.5)
    assert fresh.mean() == pytest.approx(card["value"], abs=3 * spread)
    assert spread < 0.2 * card["value"]


def test_simpler_learners_are_farther(said, prompts):
    found = nearest(said, prompts, contexts=range(1, said.shape[1]))
    distances = {fit.family: fit.distance for fit in found.fits}
    for family in ("one-step GD", "SGD", "k-NN"):
        assert distances[family] > 5 * distances["least squares"]


@pytest.mark.parametrize("law", ["rotated inputs", "negated labels", "reversed pairs"])
def test_it_has_the_symmetries_of_least_squares(shipped, prompts, said, scores, law):
    """Which says the same of both prompts, or the negative."""
    dim = shipped.task.dim
    xs, ys, expected, sign = prompts.xs, prompts.ys, said, 1
    if law == "rotated inputs":
        normal = np.random.default_rng(0).normal(size=(dim, dim))
        xs = xs @ jnp.asarray(np.linalg.qr(normal)[0], xs.dtype)
    elif law == "negated labels":
        ys, sign = -ys, -1
    else:  # all pairs but the last, whose x is the only one that is asked of both
        xs = jnp.concatenate([xs[:, -2::-1], xs[:, -1:]], axis=1)
        ys = jnp.concatenate([ys[:, -2::-1], ys[:, -1:]], axis=1)
        expected = said[:, -1:]
    found = sign * inference.predictions(shipped.model, Prompts(xs, ys))
    found = found[:, -expected.shape[1] :]
    apart = ((found - expected) ** 2).mean() / dim
    # Were the two errors independent, the squares of their distances from least squares
    # would add up: 2. Errors that have the symmetry too cancel. A quarter for chance.
    distance = np.array(scores["spd"]["high"])[-expected.shape[1] :].mean()
    assert apart < 2.5 * distance


def test_its_lens_gets_sharper_with_depth(shipped, prompts, right):
    outputs = lens.read_outs(shipped.model, prompts, measured=500)
    own = outputs[lens.HEADS.index("own")]
    distances = np.array([mean_square(layer - right[:500]) for layer in own])
    power = mean_square(right[:500])
    # The embedding of x knows nothing of w: its best head predicts about 0.
    assert distances[0] == pytest.approx(power, rel=0.1)
    middle = len(distances) // 2
    assert distances[-1] < distances[middle] / 2
    assert distances[middle] < 0.75 * distances[0]
    # A layer may only move what is there, out of sight of a linear head; not all of it.
    assert (distances[1:] < 1.25 * distances[:-1]).all()


# --- what its hidden states hold ---


@pytest.fixture(scope="module")
def states(shipped):
    """After d examples and a new x, (layers + 1, prompts, 2d + 1, width)."""
    (xs, ys, weights, _), _ = inference.sample(shipped.task, 2_500, SEED)
    count = shipped.task.dim + 1
    some = Prompts(xs[:, :count], ys[:, :count], weights)
    return some, inference.hidden_states(shipped.model, some)


def test_probes_find_labels_where_they_must_be(states):
    some, hidden = states
    query = {"label": np.asarray(some.ys[:, -1:])}
    at_x = probe_grid(hidden[:, :, -1:], query, resamples=1).r2.values.ravel()
    # Nothing linear in x tells w.x for a w with mean 0; the last state is what the head
    # reads the answer from. With n = d it is right but where X is nearly singular.
    assert abs(at_x[0]) < 0.05
    assert at_x[-1] > 0.7
    given = {"label": np.asarray(some.ys[:, :1])}
    at_y = probe_grid(hidden[:1, :, 1:2], given, resamples=1)
    assert at_y.r2.item() == pytest.approx(1, abs=1e-3)  # the embedding is linear
    assert abs(at_y.control_r2.item()) < 0.05


def test_predictions_follow_labels_that_are_written(shipped, states):
    some, hidden = states
    edited, layer = 300, 1
    xs, ys, weights = (np.asarray(array) for array in some[:3])
    wanted = np.einsum("pid,pd->pi", xs[:edited], weights[donors(np.arange(edited), 0)])
    examples = hidden[layer][:, :-1].reshape(len(xs), -1)
    probe = probe_grid(
        examples[None, :, None],
        {"labels": ys[:, :-1]},
        coefficients=True,
        control=False,
        resamples=1,
    ).isel(layer=0, token=0, target=0)
    covariance = np.cov(examples.T)
    here = examples[:edited]
    reads = (probe.coef.values, probe.intercept.values, wanted[:, :-1])
    written = write(here, *reads, covariance=covariance)
    control = here + random_change(written - here, seed=0, covariance=covariance)
    before = inference.predictions(shipped.model, some)[:edited, -1]

    def moved(states):
        tokens = states.reshape(edited, -1, hidden.shape[-1])
        whole = np.hstack([tokens, hidden[layer, :edited, -1:]])
        after = inference.resumed(shipped.model, whole, layer)
        return movement(before, after, wanted[:, -1])

    # Intervals over 300 prompts; after one layer labels are all there is to go by.
    assert moved(written).toward_low > 0.4
    assert abs(moved(control).toward) < 0.3
    assert moved(written).toward_low > moved(control).toward_high


# --- how it is made ---


# The run that tests share: a fraction of a second of training.


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put_in_place(model, folder):
    with publishing.replaced(folder) as draft:
        publishing.write_model(model, draft)


def test_a_model_is_put_in_place_once(
    trained, task, model_config, train_config, tmp_path
):
    folder = tmp_path / "t"
    put_in_place(trained, folder)
    first = files(folder)
    put_in_place(trained, folder)
    assert files(folder) == first
    # Another model, though of the same settings, takes its place.
    other = train(task, model_config, train_config, key=jax.random.key(1))
    put_in_place(other, folder)
    assert files(folder).keys() == first.keys() and files(folder) != first
    found = load(folder / pretrained.MODEL)
    np.testing.assert_array_equal(found.history.loss, other.history.loss)


def test_what_is_too_large_is_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "LARGEST", 1_000)
    with pytest.raises(ValueError, match="1,000 are shipped"):
        put_in_place(trained, tmp_path / "t")
    assert not list(tmp_path.iterdir())


def test_what_fails_leaves_the_model_that_was_there(trained, tmp_path):
    put_in_place(trained, tmp_path / "t")
    before = files(tmp_path)
    with pytest.raises(OSError, match="No space"), publishing.replaced(tmp_path / "t"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert files(tmp_path) == before


def test_all_that_a_model_needs_is_written(tmp_path):
    models, setting = Models(tmp_path / "results"), SETTINGS["tiny"]
    folder = publishing.publish(
        "t", setting, models, package=tmp_path, hardware="an abacus", prompts=32
    )
    names = ("README.md", "golden.npz", "scores.json", "training.png", pretrained.MODEL)
    assert {path.name for path in folder.iterdir()} == set(names)
    assert load(folder / pretrained.MODEL).task == setting.task
    assert np.load(folder / "golden.npz")["predictions"].dtype == np.float64
    text = (folder / "README.md").read_text()
    assert "LinearRegression(dim=2, length=5)" in text
    assert "curriculum=" not in text  # the call names what is not the default
    assert "hours" in text and "an abacus" in text
    scores = json.loads((folder / "scores.json").read_text())
    # 60 steps teach nothing: it says about 0, which errs by the mean square of labels.
    assert scores["elsewhere"]["as in training"]["error"] == pytest.approx(1, abs=0.3)


def test_the_command_knows_its_models(capsys):
    assert publishing.main(["--name", "d9"]) == 2
    assert "models are d8, d4, d4-control, add3" in capsys.readouterr().err
    assert publishing.main(["--nam", "d8"]) == 2
    assert "Perhaps you meant: --name" in capsys.readouterr().err
    assert publishing.main(["--help"]) == 0
    assert "icl/pretrained/<name>/" in capsys.readouterr().out


def test_pretrained_models_are_those_of_the_command():
    assert set(publishing.SHIPPED) == set(ALL)
    for name, setting in publishing.SHIPPED.items():
        published = load_pretrained(name)
        assert published.task == setting.task
        assert published.model_config == setting.model
        assert published.train_config == setting.train
