"""Which products a training step makes, and when rounded ones are too coarse."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bare import BARE

from icl import LinearRegression, TrainConfig, train
from icl.baselines import Ridge
from icl.training import precision
from icl.training.description import changed

TASK = LinearRegression(dim=2, length=5)
MODEL = BARE
CONFIG = TrainConfig(steps=2, batch=8, held_out=16)
GPU = SimpleNamespace(platform="gpu")


@pytest.fixture(scope="module")
def prompts():
    return TASK.sample(jax.random.key(3), batch=256)


def test_a_cpu_refuses_what_it_would_not_round(untyped):
    for name in ("tensorfloat32", "bfloat16"):
        with pytest.raises(ValueError, match=f"'{name}' needs an accelerator"):
            train(TASK, MODEL, replace(CONFIG, precision=name), key=jax.random.key(0))
    with pytest.raises(ValueError, match="precision must be one of 'default', 'float"):
        replace(CONFIG, precision="half")


def test_on_cpu_the_default_is_float32_and_warns_of_nothing(recwarn):
    settings = [replace(CONFIG, precision=name) for name in ("default", "float32")]
    a, b = (train(TASK, MODEL, one, key=jax.random.key(0)) for one in settings)
    np.testing.assert_array_equal(a.history.loss, b.history.loss)
    assert not [w for w in recwarn if w.category is precision.PrecisionWarning]


@pytest.mark.parametrize(
    ("name", "products"),
    [
        ("default", None),
        ("float32", (jax.lax.Precision.HIGHEST,) * 2),
        ("tensorfloat32", jax.lax.DotAlgorithmPreset.TF32_TF32_F32),
        ("bfloat16", jax.lax.DotAlgorithmPreset.BF16_BF16_F32),
    ],
)
def test_products_are_traced_with_the_precision_asked_for(name, products):
    with precision.products(name):
        traced = jax.make_jaxpr(jnp.dot)(jnp.ones((2, 2)), jnp.ones((2, 2)))
    (product,) = (eqn for eqn in traced.eqns if eqn.primitive.name == "dot_general")
    assert product.params["precision"] == products


def losses_of(learner, prompts):
    return (np.asarray(learner(prompts).predictions) - np.asarray(prompts.ys)) ** 2


def test_rounding_is_the_mean_loss_by_both_products(prompts):
    exact, rounded = (losses_of(Ridge(alpha), prompts) for alpha in (0.1, 0.2))
    found = precision.rounding(rounded, exact)
    assert found.rounded == pytest.approx(rounded.mean())
    assert found.exact == pytest.approx(exact.mean())
    increase = rounded.mean() - exact.mean()
    assert found.low < increase < found.high


def test_rounding_matters_once_it_raises_the_loss_by_a_hundredth(prompts):
    exact = losses_of(Ridge(0.1), prompts)
    noise = np.random.default_rng(0).normal(size=exact.shape)
    assert not precision.rounding(exact, exact).matters
    assert not precision.rounding(exact * 1.009, exact).matters  # for sure, but little
    assert precision.rounding(exact * 1.02, exact).matters
    by_chance = exact + exact.mean() * noise  # more on average, but not beyond chance
    assert not precision.rounding(by_chance, exact).matters


def test_a_model_whose_products_are_too_coarse_is_named_with_the_numbers(
    prompts, untyped
):
    answers = iter([np.asarray(Ridge(1.0)(prompts).predictions)])
    exact = np.asarray(Ridge(0.01)(prompts).predictions)

    def predict(prompts):  # first asked with products as in training, then exactly
        return next(answers, exact)

    model = SimpleNamespace(predict=predict, codec=TASK.codec)
    with pytest.warns(precision.PrecisionWarning) as caught:
        found = precision.judge(model, "bfloat16", prompts)
    said = str(caught[0].message)
    assert "'bfloat16'" in said and f"{found.rounded:.4g}" in said
    assert f"{found.exact:.4g} with exact ones" in said
    assert f"by {found.low:.2g} to {found.high:.2g}" in said


@pytest.mark.parametrize(
    ("name", "device", "expected"),
    [
        ("default", GPU, True),
        ("bfloat16", GPU, True),
        ("float32", GPU, False),
        ("default", SimpleNamespace(platform="cpu"), False),
    ],
)
def test_who_rounds(name, device, expected, untyped):
    assert precision.rounds(name, device) is expected


def test_the_hash_of_a_model_leaves_the_default_precision_out():
    assert "precision" not in changed(CONFIG)
    assert changed(replace(CONFIG, precision="bfloat16"))["precision"] == "bfloat16"
