"""Paths, thresholds and training: what is planted is found, and models go through."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from planted import noisy, silent, verdicts

from experiments.raventos2023 import over_training, paths, thresholds
from experiments.raventos2023.pools_measure import LAWS, PAIRS
from icl.sweeps.store import Models
from icl.tasks import Pool

ROWS = list(thresholds.rows(thresholds.PRESETS["tiny"]))
SIZES = (2.0, 8.0, 32.0, 128.0)


def constant(value, **coords):
    shape = [len(values) for values in coords.values()]
    return xr.DataArray(np.full(shape, value), coords, dims=tuple(coords))


# --- Paths between two functions of a pool -------------------------------------------


def test_a_path_joins_two_functions_and_keeps_their_length():
    one, other = jnp.array([[3.0, 0.0]]), jnp.array([[0.0, 1.0]])
    np.testing.assert_allclose(
        paths.on_path(one, other, 0.5), 2 * np.array([[0.9486833, 0.3162278]]), 1e-5
    )
    config = paths.PRESETS["tiny"]
    pool = Pool(config.task, 4)
    table = np.asarray(pool.members(jnp.arange(4))["weights"])
    between = paths.prompts_between(config, pool, 0.5)
    assert between.weights is not None
    assert not np.isin(np.asarray(between.weights), table).any()


def test_few_functions_fail_between_and_many_do_not():
    risk = constant(
        1.0,
        seed=range(2),
        size=[4, 256],
        along=list(paths.ALONG),
        learner=list(paths.LEARNERS),
    )
    risk.loc[{"size": 4, "learner": "model"}] = 3.0
    attrs = {"dim": 4, "resamples": 100}
    planted = xr.Dataset({"risk": noisy(risk)}, attrs=attrs)
    assert verdicts(paths, planted) == {"8a": "holds", "8b": "holds"}
    risk.loc[{"size": 4}], risk.loc[{"size": 256, "learner": "model"}] = 1.0, 1.5
    planted = xr.Dataset({"risk": noisy(risk)}, attrs=attrs)
    assert verdicts(paths, planted) == {"8a": "fails", "8b": "fails"}


def test_models_go_along_the_paths():
    config = paths.PRESETS["tiny"]
    dataset = paths.measure(config, silent)
    assert dataset.risk.shape == (1, 1, len(paths.ALONG), 3, 64)
    posterior = dataset.risk.sel(learner="posterior").mean("prompt").squeeze()
    # It knows the ends of a path, and not what is between.
    assert float(posterior.sel(along=0.5)) > float(posterior.sel(along=[0, 1]).max())
    paths.plot(dataset)
    assert len(paths.claims(dataset)) == 2


# --- Thresholds ----------------------------------------------------------------------


def planted_thresholds(**moved):
    """r = (M* / M)^2, where log2 M* is 4, and by so much another in some rows."""
    distance = constant(
        0.1, row=ROWS, seed=range(2), size=list(SIZES), law=list(LAWS), pair=PAIRS
    )
    shifts = {
        "constant rate": -3,
        "high rate": -3,
        "narrow MLP": -3,
        "re-implemented": -3,
        "Muon": -3,
        "wide": 1,
        "deep": 1,
        "weight decay": -1,
        "other dimension": -1,
    } | {name.replace("_", " "): by for name, by in moved.items()}
    for row in ROWS:
        for size in SIZES:
            at = {"row": row, "size": size, "law": "new", "pair": "model, posterior"}
            distance.loc[at] = 0.1 * (size / 2.0 ** (4 + shifts.get(row, 0))) ** 2
    distance.loc[{"row": "half the steps"}] = 0.2
    attrs = {"dim": 4, "other_dim": 2, "steps": 100, "resamples": 100}
    return xr.Dataset({"distance": noisy(distance)}, attrs=attrs)


def test_thresholds_that_move_as_the_papers_say_fulfil_every_claim():
    found = verdicts(thresholds, planted_thresholds())
    assert set(found.values()) == {"holds"}
    others = {"7a", "7b", "10a", "10b", "11", "12"}
    assert set(found) == others | {f"9{letter}" for letter in "abcde"}


@pytest.mark.parametrize(
    ("row", "by", "id"),
    [
        ("constant_rate", -1, "9a"),
        ("Muon", -1, "9e"),
        ("wide", -1, "10a"),
        ("deep", -1, "10b"),
        ("weight_decay", 1, "11"),
        ("other_dimension", 1, "12"),
    ],
)
def test_a_threshold_that_moves_otherwise_fails_its_claim(row, by, id):
    found = verdicts(thresholds, planted_thresholds(**{row: by}))
    assert {one for one, verdict in found.items() if verdict == "fails"} == {id}


def test_rows_differ_in_one_thing_and_models_go_through():
    config = thresholds.PRESETS["tiny"]
    wanted = thresholds.settings(config)
    assert len({setting.hash for setting in wanted}) == len(ROWS) * 2
    named = thresholds.rows(config)
    assert named["other dimension"].task.noise_std == pytest.approx(0.5 * 0.5**0.5)
    dataset = thresholds.measure(config, silent)
    assert dataset.distance.shape == (len(ROWS), 1, 2, 2, len(PAIRS), 32)
    thresholds.plot(dataset)
    assert len(thresholds.claims(dataset)) == 11


# --- While it is trained -------------------------------------------------------------


def planted_training(early=0.02, off=0.0):
    """A model that goes from ridge, at distance `early`, half way to the posterior."""
    distance = constant(
        0.0,
        seed=range(2),
        size=[4, 64],
        step=[1, 10, 100],
        law=list(LAWS),
        pair=PAIRS,
    )
    distance.loc[{"pair": "posterior, ridge"}] = 0.4
    distance.loc[{"pair": "model, ridge"}] = 0.1 + off
    distance.loc[{"pair": "model, ridge", "step": 10}] = early
    distance.loc[{"pair": "model, posterior"}] = 0.1 + off
    return xr.Dataset({"distance": noisy(distance)}, attrs={"dim": 4, "resamples": 100})


def test_ridge_that_comes_and_goes_is_found():
    planted = planted_training()
    assert verdicts(over_training, planted) == {"14": "holds", "15": "holds"}
    means = planted.mean("prompt").isel(step=-1)
    np.testing.assert_allclose(over_training.share_of_ridge(means), 0.5)
    np.testing.assert_allclose(over_training.unexplained(means), 0, atol=1e-9)
    assert verdicts(over_training, planted_training(early=0.09))["14"] == "fails"
    assert verdicts(over_training, planted_training(off=0.2))["15"] == "fails"


def test_checkpoints_of_a_training_are_measured():
    config = over_training.PRESETS["tiny"]
    shorter = replace(config.train, steps=10, evaluate_every=10, chunk=5)
    dataset = over_training.compute(replace(config, train=shorter), Models())
    assert dataset.step.values.tolist() == [1, 10]
    assert dataset.distance.shape == (1, 1, 2, 2, len(PAIRS), 64)
    over_training.plot(dataset)
    assert len(over_training.claims(dataset)) == 2
