"""Layers of von Oswald et al.: rolled out, copying, sines; each planted and run."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from planted import verdicts

from experiments.vonoswald2023 import (
    copying,
    copying_measure,
    one_layer,
    own_training,
    sine,
)
from icl import Prompts
from icl.codecs import JointPairs
from icl.model.building import model_from_arrays
from icl.sweeps.store import Models
from icl.theory import context_eigenvalues, steps_risk

RNG = np.random.default_rng(0)


def noisy(values, *dims, count=40):
    noise = 1 + 0.02 * RNG.normal(size=count)
    noise = xr.DataArray(noise / noise.mean(), dims="prompt")
    return xr.DataArray(np.asarray(values, float), dims=dims) * noise


def failing(figure, dataset):
    return {id for id, said in verdicts(figure, dataset).items() if said == "fails"}


# --- one layer, applied again ---


def planted_layer(**changes):
    seeds = np.array([1.0, 1.001, 1.002])[:, None]
    damped, free = [0.44, 0.34, 0.29, 0.23, 0.17, 0.13, 0.09], [0.41] * 5 + [1e4, 1e9]
    applied = np.stack([np.stack([free, damped])] * 3) * seeds[..., None]
    found = {
        "applied": noisy(
            np.stack([1.02 * applied, applied]), "learner", "seed", "damping", "times"
        )
    }
    for name, dim, count in (("wider", "width", 6), ("wrong", "corrupted", 5)):
        level = np.ones((3, count)) * seeds
        found[name] = noisy(np.stack([1.01 * level, level]), "learner", "seed", dim)
    found["converges"] = xr.DataArray(np.arange(40) > 0, dims="prompt").astype(float)
    for name, factor in changes.items():
        found[name] = found[name] * factor
    coords = {
        "learner": list(one_layer.LEARNERS),
        "damping": list(one_layer.DAMPINGS),
        "times": list(one_layer.APPLIED),
        "width": list(one_layer.WIDTHS),
    }
    return xr.Dataset(found, coords, {"resamples": 100})


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, set()),
        ({"applied": xr.DataArray([1.2, 1.0], dims="learner")}, {"O8b"}),
        (
            {"applied": xr.DataArray([1, 1, 1, 1, 1, 1e-5, 9], dims="times")},
            {"O8a", "O9"},
        ),
        ({"wider": xr.DataArray([0.8, 1.0], dims="learner")}, {"O6b"}),
        ({"wrong": xr.DataArray([1.2, 1.0], dims="learner")}, {"O15"}),
    ],
)
def test_claims_of_a_layer_that_is_applied_again(changes, wanted):
    assert failing(one_layer, planted_layer(**changes)) == wanted


def test_a_written_layer_is_the_closed_form():
    """Averaged over w and the query, each context has the loss of its spectrum."""
    config = one_layer.PRESETS["tiny"]
    setting = one_layer.settings(config)[0]
    arrays = {
        "body.0.attention.qkv.kernel": 0.1 * RNG.normal(size=(3, 9)),
        "body.0.attention.out.kernel": 0.1 * RNG.normal(size=(3, 3)),
    }
    model = model_from_arrays(JointPairs(2, 5), setting.model, arrays)
    dataset = one_layer.measure(config, lambda setting: SimpleNamespace(model=model))
    assert dataset.applied.shape == (2, 2, 2, 7, 64)
    ratio = dataset.applied.sel(learner="GD").mean("prompt") / dataset.theory.mean(
        "prompt"
    )
    few = ratio.sel(times=[1, 2, 3], damping=0.75)
    assert 0.5 < float(few.min()) and float(few.max()) < 2  # of 64 prompts
    # The same context with each w and query in turn: a basis gives the mean exactly.
    xs = RNG.uniform(-0.5, 0.5, size=(5, 2))
    step = one_layer.as_step(model, 0.4)
    errors = []
    for w in np.eye(2):
        for query in np.eye(2):
            asked = np.vstack([xs[:4], query])
            prompts = Prompts(
                jnp.asarray(asked[None], jnp.float32),
                jnp.asarray((asked @ w)[None], jnp.float32),
            )
            errors.append(one_layer.rolled(step, prompts, (3,))[0, 0])
    wanted = steps_risk(context_eigenvalues(xs[None, :4]), np.full(3, 0.4))
    assert sum(errors) == pytest.approx(wanted[0], rel=1e-4)
    one_layer.plot(dataset)
    assert len(one_layer.claims(dataset)) == 5


def test_a_layer_that_diverges_has_errors_that_can_be_averaged():
    """Scores that depend on y make it leave float32 within a few applications."""
    config = one_layer.PRESETS["tiny"]
    setting = one_layer.settings(config)[0]
    arrays = {
        "body.0.attention.qkv.kernel": np.ones((3, 9)),
        "body.0.attention.out.kernel": 9.0 * np.ones((3, 3)),
    }
    model = model_from_arrays(JointPairs(2, 5), setting.model, arrays)
    prompts = setting.task.sample(jax.random.key(0), batch=8)
    errors = one_layer.rolled(model, prompts, (1, 20))
    assert (errors[0] < one_layer.MOST).all()
    assert (errors[1] == one_layer.MOST).all()


# --- copying ---


def planted_copies(**changes):
    steps = np.arange(11)
    risen = 1 / (1 + np.exp(-3.0 * (steps - 5)))
    rows = np.stack([0.1 + 0 * risen, risen, 0.05 + 0 * risen], axis=-1)
    loss = 0.8333 - 0.42 / (1 + np.exp(-3.0 * (steps - 4.8)))
    seeds = np.array([1.0, 1.001])
    found = {
        "share": (("seed", "step", "where"), seeds[:, None, None] * rows),
        "loss": (("seed", "step"), seeds[:, None] * loss),
        "error": noisy(0.4125 * seeds, "seed"),
    }
    coords = {"where": list(copying.WHERE), "step": steps}
    about = {"step_loss": 0.4125, "zero_loss": 0.8333, "resamples": 100}
    dataset = xr.Dataset(found, coords, about)
    return dataset.assign({name: dataset[name] * by for name, by in changes.items()})


def test_claims_of_the_copying_layer():
    assert set(verdicts(copying, planted_copies()).values()) == {"holds"}
    none = planted_copies(share=xr.DataArray([9.0, 1.0, 9.0], dims="where"))
    assert failing(copying, none) == {"O12a", "O12b"}
    assert failing(copying, planted_copies(error=1.2)) == {"O13"}
    never = planted_copies(loss=0.0).assign(loss=lambda found: found.loss + 0.8)
    assert failing(copying, never) == {"O14"}


def test_a_layer_that_copies_is_seen_and_models_go_through():
    config = copying.PRESETS["tiny"]
    dataset = copying.compute(config, Models())
    assert dataset.share.shape == (2, 5, 3)
    copying.plot(dataset)
    assert len(copying.claims(dataset)) == 4
    # Keys that know the next position: each token fetches the one behind it.
    prompts, _ = config.evaluation.sample(
        copying_measure.uniform(2, 3, 1.0), whole=True
    )
    drawn = copying_measure.start(config, np.random.default_rng(0))
    weights = {name: jnp.asarray(a, jnp.float32) for name, a in drawn.items()}
    where = copying_measure.sinusoids(7, config.positions)
    shift = np.linalg.lstsq(where[:-1], where[1:], rcond=None)[0]
    below = np.zeros((3, 4))
    weights |= {
        "q1": jnp.asarray(300 * np.vstack([below, shift]), jnp.float32),
        "k1": jnp.asarray(np.vstack([below, np.eye(4)]), jnp.float32),
        "v1": jnp.asarray(np.eye(7, 4), jnp.float32),
        "o1": jnp.asarray(np.eye(4, 7), jnp.float32),
    }
    copied = jax.jit(lambda own: copying_measure.copied(config, own, prompts))
    sizes = np.asarray(copied(weights))
    assert (sizes[:5].argmax(axis=1) == np.arange(1, 6)).all()


# --- sines ---


def planted_sines(error=0.005, step=0.005):
    found = {
        "error": noisy([[error, 1.001 * error], [step, step]], "learner", "seed"),
        "zero": noisy(0.0517),
        "apart": noisy([0.001, 0.001], "seed"),
    }
    coords = {"learner": list(sine.LEARNERS)}
    return xr.Dataset(found, coords, {"floor": 0.0047, "resamples": 100})


def test_claims_of_sines():
    assert set(verdicts(sine, planted_sines()).values()) == {"holds"}
    assert failing(sine, planted_sines(error=0.02)) == {"O10a", "O10b"}
    assert failing(sine, planted_sines(error=0.003)) == {"O10b", "O11"}


def test_sines_are_drawn_and_their_floor_is_known():
    config = sine.Config(own_training.Training(steps=1, looks=1), coupled=True)
    xs, ys = (
        np.asarray(a, float)
        for a in jax.jit(lambda key: sine.sample(config, key, 4_000))(jax.random.key(0))
    )
    # Two values of x tell phase and amplitude, which are one number when coupled.
    a, b = np.linalg.solve(
        np.stack([np.sin(xs[:, :2]), np.cos(xs[:, :2])], axis=2), ys[:, :2, None]
    )[:, :, 0].T
    size, phase = np.hypot(a, b), np.arctan2(b, a)
    np.testing.assert_allclose(size, 0.1 + 0.4 * phase / np.pi, atol=1e-2)
    # The released data, halved: 0.00231; and with an independent phase.
    assert sine.floor(xs, ys) / 2 == pytest.approx(0.00231, rel=0.1)
    free = sine.Config(own_training.Training(steps=1, looks=1))
    drawn = jax.jit(lambda key: sine.sample(free, key, 4_000))(jax.random.key(0))
    assert sine.floor(*(np.asarray(a, float) for a in drawn)) / 2 == pytest.approx(
        0.00236, rel=0.1
    )
    assert float((drawn[1] ** 2).mean()) / 2 == pytest.approx(0.0259, rel=0.05)


def test_models_of_sines_go_through():
    dataset = sine.compute(sine.PRESETS["tiny"], Models())
    assert dataset.error.shape == (2, 2, 48)
    last = dataset.loss.isel(step=-1)
    np.testing.assert_allclose(last, dataset.error.mean("prompt"), rtol=1e-4)
    sine.plot(dataset)
    assert len(sine.claims(dataset)) == 4
