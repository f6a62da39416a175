"""Layers of linear attention: what is planted is found, untrained models go through."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr
from planted import verdicts

from experiments.zhang2024 import plateaus, plateaus_measure, risk
from experiments.zhang2024.risk_measure import (
    INPUTS,
    LEARNERS,
    LONGER,
    SHIFTS,
    eigenvalues,
    learnt_weights,
    maps,
    preconditioner,
    settings,
)
from icl import LinearRegression, ModelConfig
from icl.codecs import JointPairs
from icl.model.building import model_from_arrays
from icl.tasks import JointTokens
from icl.theory import layer_risk, trained_layer

RNG = np.random.default_rng(0)


def planted(**changes):
    """Layers that have the risk of the closed form up to 1 %."""
    noise = 1 + 0.02 * RNG.normal(size=200)
    noise = xr.DataArray(noise / noise.mean(), dims="prompt")
    sizes = {
        "inputs": list(INPUTS),
        "learner": list(LEARNERS),
        "longer": list(LONGER),
        "shift": list(SHIFTS),
        "seed": range(5),
    }

    def array(values, *dims):
        shape = [len(sizes[dim]) for dim in dims]
        own = xr.DataArray(np.broadcast_to(values, shape), dims=dims)
        return own.assign_coords({dim: sizes[dim] for dim in dims})

    seeds = array(1 + 1e-4 * np.arange(5), "seed")
    layer = trained_layer(np.ones(10), 40)
    limit = layer_risk(layer, np.ones(10), np.inf) / 10
    lengths = [layer_risk(layer, np.ones(10), 40 * n) / 10 for n in LONGER]
    shifts = [layer_risk(layer, np.full(10, s), 40) / (10 * s) for s in SHIFTS]
    found = {
        "error": array(np.array(lengths)[:, None], "longer", "seed") * noise,
        "shifted": array(np.array(shifts)[:, None], "shift", "seed") * noise,
        "transformer": array([0.4, 0.2, 0.01, 0.02, 0.05], "shift")
        * noise.rename(prompt="asked"),
        "apart": 0.02 * array(1.0, "inputs", "seed") * seeds,
        "rest": 0.01 * array(1.0, "inputs", "seed") * seeds,
        "risk": array(lengths, "inputs", "longer"),
        "limit": array(limit, "inputs"),
        "risk_shifted": array(shifts, "shift"),
        "risk_transformer": array([0.8, 0.7, 0.5, 1.3, 6.0], "shift"),
    }
    for name in ("error", "shifted"):
        found[name] = found[name] * array([1.005, 1.0], "learner")
    found["error"] = found["error"] * array(1.0, "inputs")
    for name, factor in changes.items():
        found[name] = found[name] * factor
    return xr.Dataset(found, attrs={"resamples": 100})


def test_layers_of_the_closed_form_fulfil_every_claim():
    found = verdicts(risk, planted())
    assert set(found.values()) == {"holds"}
    assert list(found) == "Z0 Z1 Z2 Z1b Z4 Z6 Z5a Z5b".split()


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"error": xr.DataArray([0.8, 1.0], dims="learner")}, {"Z1", "Z2"}),
        ({"error": xr.DataArray([1.05, 1.0], dims="learner")}, {"Z1"}),
        ({"shifted": xr.DataArray([0.9, 1.0], dims="learner")}, {"Z1b", "Z4"}),
        ({"risk": 1.1}, {"Z0"}),
        ({"transformer": 60.0}, {"Z6"}),
        ({"apart": 5.0, "rest": 10.0}, {"Z5a", "Z5b"}),
    ],
)
def test_others_fail_where_they_differ(changes, failing):
    found = verdicts(risk, planted(**changes))
    assert {id for id, verdict in found.items() if verdict == "fails"} == failing


def written(g, pairs):
    """A layer that answers x'G (1/pairs) X'y, whose scores are scaled up by 4."""
    only_x, width = np.diag([0.0, 1.0, 1.0]), 3
    query = np.zeros((width, width))
    query[1:, 1:] = 4 * g
    arrays = {
        "body.0.attention.qkv.kernel": np.hstack([query, only_x, np.eye(width)]),
        "body.0.attention.out.kernel": -np.diag([1.0, 0, 0]) / (4 * pairs),
    }
    config = ModelConfig.linear_attention(2, 1)
    return model_from_arrays(JointPairs(2, pairs + 1), config, arrays)


def test_a_written_preconditioner_is_read_and_asked():
    g = trained_layer(np.array([2.0, 0.5]), 4)
    model = written(g, 4)
    np.testing.assert_allclose(preconditioner(model, 4), g, rtol=1e-5)
    scores, values = maps(model)
    assert np.abs(scores[:, 0]).max() == np.abs(values[1:]).max() == 0
    prompts = JointTokens(LinearRegression(2, 5)).sample(jax.random.key(0), batch=3)
    xs, ys = np.asarray(prompts.xs, float), np.asarray(prompts.ys, float)
    h = learnt_weights(model, xs[:, :4], ys[:, :4], 4)
    predicted = np.asarray(model(prompts).predictions)[:, 0]
    np.testing.assert_allclose((xs[:, 4] * h).sum(1), predicted, rtol=1e-4)
    # Twice the same context has twice the sum, and the same average.
    twice = [np.concatenate([a[:, :4]] * 2, axis=1) for a in (xs, ys)]
    np.testing.assert_allclose(learnt_weights(model, *twice, 4), h, rtol=1e-6)


def test_layers_go_through_from_their_settings_to_the_picture():
    config = risk.PRESETS["tiny"]
    assert eigenvalues(config, "uneven").sum() == pytest.approx(2)
    wanted = settings(config)
    assert len({setting.hash for setting in wanted}) == 5

    def models(setting):
        """Layers that know their inputs, and a transformer that predicts 0."""
        if setting == config.transformer:
            return SimpleNamespace(model=lambda prompts: np.zeros(prompts.ys.shape))
        covariance = setting.task.task.covariance
        known = np.eye(2) if covariance is None else np.array(covariance)
        return SimpleNamespace(model=written(trained_layer(known, 4), 4))

    dataset = risk.measure(config, models)
    assert dataset.error.shape == (2, 2, len(LONGER), 2, 64)
    closed = dataset.error.sel(learner="closed form").mean("prompt").isel(seed=0)
    np.testing.assert_allclose(closed, dataset.risk, rtol=0.5)  # of 64 contexts
    np.testing.assert_allclose(
        dataset.shifted.sel(shift=1.0, learner="model"),
        dataset.error.sel(inputs="isotropic", longer=1, learner="model"),
        rtol=1e-4,
    )
    assert dataset.apart.max() < 1e-5 and dataset.rest.max() == 0
    own, closed = dataset.error.sel(learner="model"), dataset.error.isel(learner=1)
    np.testing.assert_allclose(own, closed, rtol=1e-4)
    risk.plot(dataset)
    found = {claim.id: claim.verdict for claim in risk.claims(dataset)}
    assert found["zhang2024.Z1"] == found["zhang2024.Z5a"] == "holds"
    assert found["zhang2024.Z6"] == "fails"  # predicting 0 has an error of 1


# --- plateaus ---


def staircase(heights, times):
    """A loss that falls from each height to the next at these times."""
    steps = np.array(plateaus_measure.log_spaced(40, 10_000))
    fallen = 1 / (1 + (steps[:, None] / np.array(times)) ** -8.0)
    return steps, heights[0] + (np.diff(heights) * fallen).sum(axis=1)


def test_drops_and_plateaus_of_a_staircase_are_found():
    heights = np.array([7.5, 3.83, 2.088, 1.298])
    steps, losses = staircase(heights, [30, 300, 3_000])
    at = plateaus_measure.drops(steps, losses)
    np.testing.assert_allclose(
        np.log10(steps[at]), np.log10([30, 300, 3_000]), atol=0.1
    )
    speed = -np.gradient(np.log(losses), np.log(steps))
    found = plateaus_measure.levels(losses, at, speed)
    np.testing.assert_allclose(found, heights, rtol=0.01)


def test_gradients_are_those_of_the_risk():
    """The mean of the loss over contexts is the closed form of the risk."""
    config = plateaus_measure.Config(eigenvalues=(2.0, 0.5), pairs=8, batch=4_000)
    weights = plateaus_measure.start(config, "separate", jax.random.key(0))
    weights = jax.tree.map(lambda w: 8 * w, weights)
    found = plateaus_measure.loss(weights, config, jax.random.key(1))
    g = np.asarray(plateaus_measure.matrix(weights), float)
    assert float(found) == pytest.approx(
        layer_risk(g, np.array([2.0, 0.5]), 8), rel=0.06
    )


def test_runs_go_through_and_claims_count_their_drops():
    dataset = plateaus.measure(plateaus.PRESETS["tiny"])
    plateaus.plot(dataset)
    assert len(plateaus.claims(dataset)) == 4
    seeds = xr.DataArray(1 + 0.01 * np.arange(2), dims="seed")
    dataset["apart"], dataset["growth"] = 0.01 * seeds, 1.0 * seeds
    dataset["count"] = xr.DataArray(
        [[2.0, 2.0], [1.0, 1.0]], coords=dataset["count"].coords
    )
    assert set(verdicts(plateaus, dataset).values()) == {"holds"}
    dataset["count"] = dataset["count"] + 1
    found = verdicts(plateaus, dataset)
    assert {id for id, verdict in found.items() if verdict == "fails"} == {"P1a", "P2"}
