"""Which products a training step makes, and when rounded ones are too coarse."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl import LinearRegression, ModelConfig, TrainConfig, train
from icl.baselines import LeastSquares, Ridge
from icl.compare import squared_prediction_difference
from icl.training import precision
from icl.training.description import describe

TASK = LinearRegression(dim=2, length=5)
MODEL = ModelConfig(layers=1, width=8)
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


def test_rounding_is_the_distance_to_least_squares_by_both_products(prompts):
    exact = Ridge(0.1)(prompts).predictions
    rounded = Ridge(0.2)(prompts).predictions
    found = precision.rounding(rounded, exact, prompts)
    ols = LeastSquares()(prompts).predictions
    for value, predictions in ((found.rounded, rounded), (found.exact, exact)):
        spd = squared_prediction_difference(predictions, ols, divide_by=TASK.dim)
        assert value == pytest.approx(spd.value[1:].mean(), rel=1e-6)  # sums of float32
    assert found.low < found.exact < found.high


def test_rounding_matters_once_it_leaves_the_interval(prompts):
    exact = np.asarray(Ridge(0.1)(prompts).predictions)
    noise = np.random.default_rng(0).normal(size=exact.shape)
    assert not precision.rounding(exact, exact, prompts).matters
    assert not precision.rounding(exact + 1e-4 * noise, exact, prompts).matters
    assert precision.rounding(exact + noise, exact, prompts).matters


def test_a_model_whose_products_are_too_coarse_is_named_with_the_numbers(
    prompts, untyped
):
    answers = iter([np.asarray(Ridge(1.0)(prompts).predictions)])
    exact = np.asarray(Ridge(0.01)(prompts).predictions)

    def predict(prompts):  # first asked with products as in training, then exactly
        return next(answers, exact)

    config = replace(CONFIG, precision="bfloat16")
    model = SimpleNamespace(predict=predict)
    trained = SimpleNamespace(model=model, train_config=config)
    with pytest.warns(precision.PrecisionWarning) as caught:
        found = precision.judge(trained, prompts)
    said = str(caught[0].message)
    assert "'bfloat16'" in said and f"{found.rounded:.2g}" in said
    assert f"{found.exact:.2g} [{found.low:.2g}, {found.high:.2g}]" in said


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


def test_models_trained_before_precision_was_a_setting_are_still_found():
    assert "precision" not in describe(TASK, MODEL, CONFIG)["train"]
    rounded = replace(CONFIG, precision="bfloat16")
    assert describe(TASK, MODEL, rounded)["train"]["precision"] == "bfloat16"
