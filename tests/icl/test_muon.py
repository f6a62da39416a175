"""Muon, whose matrices are put together by shape, is optax's Muon one by one."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from optax import contrib

from icl import LinearRegression, ModelConfig, TrainConfig, train, train_ensemble
from icl.model.building import build
from icl.pytrees import named, unnamed
from icl.training.muon import RMS, scale_by_muon

KEY = jax.random.key(0)
TASK = LinearRegression(dim=3, length=5)
SHAPE = ModelConfig(layers=2, width=8, heads=2, head_dim=6)  # wide and tall matrices
MOMENTUM = 0.9


def rest():
    return optax.scale_by_adam(0.9, 0.98, 1e-9)


@pytest.fixture(scope="module")
def updated():
    """Two steps' gradients by name, and the second update by name."""
    params = nnx.state(build(TASK.codec, SHAPE, KEY))
    steps = []
    for seed in range(2):
        draw = np.random.default_rng(seed).normal
        arrays = {k: jnp.asarray(draw(size=a.shape)) for k, a in named(params).items()}
        steps.append(unnamed(arrays, params))
    optimizer = scale_by_muon(MOMENTUM, rest())
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for gradients in steps:
        updates, state = update(gradients, state, params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    return [named(gradients) for gradients in steps], named(updates)


def is_matrix(name):
    return name.startswith("body.") and name.endswith(".kernel")


def test_each_matrix_is_updated_as_optax_updates_it_alone(updated):
    steps, updates = updated
    muon = contrib.scale_by_muon(
        beta=MOMENTUM,
        weight_dimension_numbers=lambda tree: jax.tree.map(
            lambda _: contrib.MuonDimensionNumbers(0, 1), tree
        ),
    )
    update = jax.jit(muon.update)
    names = list(filter(is_matrix, updates))
    assert len(names) == 8
    for name in names:
        parts = 3 if ".qkv." in name else 1
        for part in range(parts):
            cut = [jnp.split(g[name], parts, axis=1)[part] for g in steps]
            state = muon.init({"one": cut[0]})
            for gradient in cut:
                alone, state = update({"one": gradient}, state)
            expected = RMS * max(cut[0].shape) ** 0.5 * alone["one"]
            got = jnp.split(updates[name], parts, axis=1)[part]
            # float32: five rounds of products, in another order for tall matrices.
            np.testing.assert_allclose(got, expected, atol=2e-5, err_msg=name)


def test_all_directions_of_a_matrix_move_alike(updated):
    """The iteration takes singular values to between 0.68 and 1.14 (its README)."""
    for name, update in filter(lambda item: is_matrix(item[0]), updated[1].items()):
        for part in jnp.split(update, 3 if ".qkv." in name else 1, axis=1):
            values = np.linalg.svd(part, compute_uv=False) / max(part.shape) ** 0.5
            assert ((values > 0.6 * RMS) & (values < 1.2 * RMS)).all(), name


def test_everything_else_is_updated_by_adam(updated):
    steps, updates = updated
    names = [name for name in updates if not is_matrix(name)]
    assert {"read_in.kernel", "positions", "head.kernel"} < set(names)
    cut = [{name: gradients[name] for name in names} for gradients in steps]
    state = rest().init(cut[0])
    update = jax.jit(rest().update)
    for gradients in cut:
        expected, state = update(gradients, state)
    for name in names:
        np.testing.assert_allclose(updates[name], expected[name], rtol=1e-6)


CONFIG = TrainConfig(
    steps=60, batch=32, held_out=256, evaluate_every=60, learning_rate=1e-2
)


def test_it_learns_faster_than_adam_at_the_same_rate():
    """The issue's trial: the same loss in less than half of the steps."""
    task, shape = LinearRegression(dim=2, length=5), ModelConfig(layers=2, width=16)
    config = replace(CONFIG, steps=400, evaluate_every=400)
    last = {}
    for name, rate in (("adam", 2e-3), ("adam", 1e-2), ("muon", 1e-2)):
        trained = train(
            task, shape, replace(config, optimizer=name, learning_rate=rate), key=KEY
        )
        last[name, rate] = float(trained.history.held_out_loss[-1].mean())
    assert last["muon", 1e-2] < min(last["adam", 2e-3], last["adam", 1e-2])


def test_its_ensemble_is_its_single_runs(tmp_path):
    task, shape = LinearRegression(dim=2, length=4), ModelConfig(layers=1, width=8)
    config = replace(CONFIG, optimizer="muon", steps=10, evaluate_every=10)
    keys = jax.random.split(KEY, 2)
    members = train_ensemble(task, shape, config, keys=keys, learning_rates=[1e-2, 0.1])
    for key, rate, member in zip(keys, (1e-2, 0.1), members, strict=True):
        alone = train(task, shape, replace(config, learning_rate=rate), key=key)
        np.testing.assert_allclose(
            member.history.loss, alone.history.loss, rtol=1e-3
        )  # batched products add in another order, and ten steps magnify it
    whole = train(task, shape, config, key=KEY)
    halves = replace(config, checkpoint_every=5)
    with pytest.raises(KeyboardInterrupt):
        train(task, shape, halves, key=KEY, directory=tmp_path, callback=interrupt)
    resumed = train(task, shape, halves, key=KEY, directory=tmp_path)
    for name, array in named(nnx.state(resumed.model)).items():
        np.testing.assert_array_equal(array, named(nnx.state(whole.model))[name])


def interrupt(step, means):
    if step < 10:
        raise KeyboardInterrupt
