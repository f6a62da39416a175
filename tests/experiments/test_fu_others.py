"""Ill-conditioned inputs, LSTMs, widths: what is planted is found, models run."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr
from planted import silent, verdicts

from experiments.fu2024 import conditioning, recurrent, width
from experiments.fu2024.layers_measure import DESCENT, NEWTON
from icl import inference
from icl.model.building import build


def noisy(values, dims, count=30):
    noise = 1 + 0.02 * np.random.default_rng(0).normal(size=count)
    noise = xr.DataArray(noise / noise.mean(), dims="prompt")
    return xr.DataArray(np.asarray(values, float), dims=dims) * noise


# --- ill-conditioned inputs ---


def planted_inputs(error=0.01, at=15):
    """Last layers at iterations 10 and `at`, and an error on ill-conditioned inputs."""
    alike = np.full((2, 1, 2, len(NEWTON)), 0.5)
    alike[0, 0, :, 10] = alike[1, 0, :, at] = 0.9
    errors = np.full((2, 1, 2), 0.5)
    errors[:, 0, 1] = 0.001, error
    found = {
        "similarity": noisy(alike, ("inputs", "seed", "layer", "step_Newton")),
        "error": noisy(errors, ("inputs", "seed", "layer")),
        "descent": noisy(np.geomspace(1, 1e-4, len(DESCENT)), "step_GD"),
        "condition": (("inputs", "seed"), [[10.0], [1000.0]]),
    }
    coords = {"inputs": list(conditioning.INPUTS), "step_GD": list(DESCENT)}
    coords |= {"step_Newton": list(NEWTON), "layer": [0, 1]}
    return xr.Dataset(found, coords, {"resamples": 100, "trained": 1})


def test_a_model_beyond_descent_fulfils_both_claims():
    assert verdicts(conditioning, planted_inputs()) == {"F8": "holds", "F9": "holds"}
    assert verdicts(conditioning, planted_inputs(error=0.5))["F8"] == "fails"
    # 2 log2(100) + 2 is 15.3.
    assert verdicts(conditioning, planted_inputs(at=27))["F9"] == "fails"


def test_inputs_are_ill_conditioned_in_every_prompt():
    task = conditioning.ill_conditioned(conditioning.PRESETS["shipped"])
    assert task.rotated and task.normaliser == pytest.approx(task.dim)
    values = np.linalg.eigvalsh(np.array(task.covariance))
    assert values[-1] / values[0] == pytest.approx(100)


def test_models_go_through_both_kinds_of_inputs():
    config = conditioning.PRESETS["tiny"]
    wanted = conditioning.settings(config)
    assert [each.task.rotated for each in wanted] == [False, True]
    model = build(wanted[0].task.codec, wanted[0].model, jax.random.key(0))
    dataset = conditioning.measure(config, lambda _: SimpleNamespace(model=model))
    assert dataset.error.shape == (2, 1, 3, 48)
    # After no step of descent the error is that of predicting 0.
    labels = inference.sample(conditioning.ill_conditioned(config), 96, 0)[0].ys[
        :48, -1
    ]
    wanted = np.square(labels) / 2
    np.testing.assert_allclose(dataset.descent.sel(step_GD=0), wanted, rtol=1e-5)
    conditioning.plot(dataset)
    assert len(conditioning.claims(dataset)) == 2


# --- LSTMs ---


def planted_models(**changes):
    alike = np.array([[0.9, 0.7], [0.9, 0.7], [0.6, 0.95]])[:, None]
    found = {
        "similarity": noisy(np.repeat(alike, 2, axis=1), ("model", "seed", "learner")),
        "error": noisy(
            np.broadcast_to(np.array([0.2, 0.19, 0.001])[:, None, None], (3, 2, 4)),
            ("model", "seed", "context"),
        ),
    }
    found["similarity"] += 0.001 * xr.DataArray([0, 1], dims="seed")
    for name, factor in changes.items():
        found[name] = found[name] * factor
    coords = {"model": list(recurrent.MODELS), "learner": list(recurrent.LEARNERS)}
    coords["context"] = range(4)
    return xr.Dataset(
        found, coords, {"resamples": 100, "layers": 2, "rate": 3 * [0.05]}
    )


def test_lstms_that_are_online_descent_fulfil_every_claim():
    assert set(verdicts(recurrent, planted_models()).values()) == {"holds"}
    swapped = xr.DataArray([0.6, 1.2], dims="learner")
    found = verdicts(recurrent, planted_models(similarity=swapped))
    assert found == {"F10a": "fails", "F10b": "holds", "F11": "holds"}
    deeper = xr.DataArray([1.0, 0.2, 1.0], dims="model")
    assert verdicts(recurrent, planted_models(error=deeper))["F11"] == "fails"


def test_lstms_go_through_from_their_settings_to_the_picture():
    config = recurrent.PRESETS["tiny"]
    wanted = recurrent.settings(config)
    assert [each.model.body for each in wanted] == ["lstm", "lstm", "attention"]
    assert [each.model.layers for each in wanted] == [1, 2, 2]

    def models(setting):
        """LSTMs that predict 0, and a transformer that predicts 1."""
        level = float(setting.model.body == "attention")
        return SimpleNamespace(model=lambda prompts: np.full(prompts.ys.shape, level))

    dataset = recurrent.measure(config, models)
    assert dataset.error.shape == (3, 1, 48, 5)
    prompts, _ = config.evaluation.sample(config.setting.task)
    for model, level in (("LSTM", 0), ("deeper LSTM", 0), ("transformer", 1)):
        found = dataset.error.sel(model=model).isel(seed=0)
        np.testing.assert_allclose(found, np.square(level - prompts.ys) / 2, rtol=1e-4)
    # Predicting 0 is the floor.
    floor = dataset.similarity.sel(model="LSTM").isel(seed=0)
    np.testing.assert_allclose(floor, dataset.floor, rtol=1e-6)
    recurrent.plot(dataset)
    assert len(recurrent.claims(dataset)) == 3


# --- widths ---


def planted_widths(narrow=0.4):
    seeds = np.array([1.0, 1.02])[:, None]
    levels = np.array([narrow, 0.1, 0.01, 0.001])[:, None, None] * seeds
    errors = noisy(np.repeat(levels, 3, axis=2), ("times", "seed", "context"))
    found = {"error": errors, "least_squares": noisy(np.full(3, 1e-4), "context")}
    coords = {"times": list(width.MULTIPLES), "context": range(3)}
    return xr.Dataset(found, coords, {"resamples": 100, "dim": 2})


def test_a_width_of_half_of_d_is_not_enough_where_it_is_not():
    assert verdicts(width, planted_widths()) == {"F12": "holds"}
    assert verdicts(width, planted_widths(narrow=0.05)) == {"F12": "fails"}


def test_widths_go_through_from_their_settings_to_the_picture():
    config = width.PRESETS["tiny"]
    assert [each.model.width for each in width.settings(config)] == [
        1,
        1,
        2,
        2,
        4,
        4,
        8,
        8,
    ]
    assert [each.seed for each in width.settings(config)] == [0, 1] * 4
    dataset = width.measure(config, silent)
    assert dataset.error.shape == (4, 2, 48, 5)
    labels = np.square(config.evaluation.sample(config.setting.task)[0].ys) / 2
    np.testing.assert_allclose(dataset.error[0, 1], labels, rtol=1e-5)
    assert dataset.least_squares[:, -1].max() < 1e-4  # 4 pairs determine w
    width.plot(dataset)
    assert len(width.claims(dataset)) == 1
