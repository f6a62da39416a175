"""Layers beside iterates: what is planted is found, and imported models go through."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from experiments.fu2024 import layers, layers_claims
from experiments.fu2024.layers_measure import (
    DESCENT,
    FAMILIES,
    NEWTON,
    STEPS,
    iterates,
    similarities,
    steps_dataset,
)
from icl import LinearRegression, Prompts, inference
from icl.sweeps.store import Models


def garg_weights(width=8, dim=3, pairs=7):
    """Random weights with the names of Garg et al., two layers."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return (rng.normal(size=shape) / 4).astype(np.float32)

    found = {
        "_read_in.weight": normal(width, dim),
        "_read_in.bias": normal(width),
        "_backbone.wpe.weight": normal(2 * pairs, width),
        "_read_out.weight": normal(1, width),
        "_read_out.bias": normal(1),
        "_backbone.ln_f.weight": 1 + normal(width),
        "_backbone.ln_f.bias": normal(width),
    }
    for layer in range(2):
        own = f"_backbone.h.{layer}."
        sizes = {
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (width, 4 * width),
            "mlp.c_proj": (4 * width, width),
        }
        for name, shape in sizes.items():
            found[f"{own}{name}.weight"] = normal(*shape)
            found[f"{own}{name}.bias"] = normal(shape[1])
        for name in ("ln_1", "ln_2"):
            found[f"{own}{name}.weight"] = 1 + normal(width)
            found[f"{own}{name}.bias"] = normal(width)
    return found


@pytest.fixture(scope="module")
def solved():
    prompts = inference.sample(LinearRegression(dim=3, length=7), 200, seed=0)[0]
    return prompts, iterates(prompts)


def planted(solved, family, steps):
    """The measures of layers that are iterates, and errors that fall."""
    prompts, found = solved
    at = [STEPS[family].index(step) for step in steps]
    read = np.stack([np.asarray(found[family][i].predictions, float) for i in at])
    noise = 0.02 * np.random.default_rng(0).normal(size=read.shape)
    ys, late, measures = prompts.ys, np.arange(4, 7), {}
    outputs = read + noise * np.abs(read - np.asarray(ys)).mean()
    for name in FAMILIES:
        axes = ("layer", f"step_{name}", "prompt")
        alike = similarities(outputs, found[name], ys)
        measures[f"errors_{name}"] = axes, alike
        measures[f"late_{name}"] = axes, similarities(outputs, found[name], ys, late)
        measures[f"weights_{name}"] = (*axes[:2], "few"), np.nan_to_num(alike)
    for name, learner in (("ols", found["OLS"][0]), ("floor", found["GD"][0])):
        measures[name] = ("layer", "prompt"), similarities(outputs, [learner], ys)[:, 0]
    errors = np.square(outputs - np.asarray(ys)).mean(axis=2)
    measures["error"] = ("layer", "prompt"), errors
    return steps_dataset(measures).assign_attrs(dim=3, resamples=100)


def verdicts(dataset):
    found = layers_claims.claims(dataset)
    return {claim.id.removeprefix("fu2024."): claim.verdict for claim in found}


def test_layers_that_are_newtons_iterates_advance_along_it(solved):
    dataset = planted(solved, "Newton", (0, 0, 4, 8, 12, 16, 20, 24, 28))
    means = dataset.mean(("prompt", "few"))
    best = layers_claims.best_step(means, "Newton").values
    assert best[2:7].tolist() == [4, 8, 12, 16, 20]
    found = verdicts(dataset)
    wanted = dict.fromkeys(("F1", "F2", "F3", "F4", "F5a", "F5b", "F7a"), "holds")
    assert wanted.items() <= found.items()
    # A similarity cannot tell, whatever the layers are.
    assert found["F6"] == "holds"


def test_layers_that_stand_still_do_not(solved):
    found = verdicts(planted(solved, "GD", (1, 1, 2, 2, 2, 2, 3, 2, 1)))
    assert {found[id] for id in ("F2", "F3", "F4", "F7a")} == {"fails"}


def test_the_rate_of_gradient_descent_is_that_of_the_prompt(solved):
    """By a loop, on the longest context and in units of its largest eigenvalue."""
    prompts, found = solved
    xs, ys = (np.asarray(a, float) for a in (prompts.xs, prompts.ys))
    before, w = xs[:, :-1], np.zeros(xs[:, 0].shape)
    rate = np.linalg.norm(before, ord=2, axis=(1, 2))[:, None] ** -2
    for _ in range(16):
        left = np.einsum("bnd,bd->bn", before, w) - ys[:, :-1]
        w = w - rate * np.einsum("bnd,bn->bd", before, left)
    predicted = found["GD"][DESCENT.index(16)].predictions[:, -1]
    np.testing.assert_allclose(predicted, (xs[:, -1] * w).sum(1), atol=1e-5)


def test_a_model_of_another_program_is_read(tmp_path):
    save_file(garg_weights(), path := tmp_path / "garg.safetensors")
    tiny = layers.PRESETS["tiny"]
    with pytest.raises(ValueError, match="seeds must be an integer of at most 1"):
        replace(tiny, weights=str(path), seeds=2)
    # As many prompts everywhere as above, so that programs are shared.
    config = replace(
        tiny,
        weights=str(path),
        heads=2,
        evaluation=replace(tiny.evaluation, prompts=200),
        fitted=200,
        implied=20,
        queries=10,
    )
    assert layers.settings(config) == [] and len(layers.settings(tiny)) == 1
    dataset = layers.compute(config, Models())
    assert dataset.errors_Newton.shape == (3, len(NEWTON), 200)
    assert dataset.weights_GD.shape == (3, len(DESCENT), 20)
    assert len(dataset.attrs["weights_sha256"]) == 64
    # Predicting 0 is gradient descent after no step.
    np.testing.assert_allclose(dataset.floor, dataset.errors_GD.sel(step_GD=0))
    layers.plot(dataset)
    assert len(layers.claims(dataset)) == 11


def test_heads_find_what_is_linear_in_the_states():
    class Known:
        config, body = type("C", (), {"width": 2})(), [None]

        def normalised(self, state):
            return state

    xs = np.random.default_rng(0).normal(size=(50, 3, 2))
    prompts = Prompts(jnp.asarray(xs), jnp.asarray(xs @ [2.0, -1.0] + 0.5))

    def states(_, part):
        tokens = np.repeat(np.asarray(part.xs), 2, axis=1)[:, :-1]
        return np.stack([tokens, 3 * tokens])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "hidden_states", states)
        heads = layers.fit_heads(Known(), prompts)
        found = layers.read_outs(Known(), heads, prompts)
    np.testing.assert_allclose(found, np.stack([prompts.ys] * 2), atol=1e-4)
