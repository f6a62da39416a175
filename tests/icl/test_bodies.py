"""Bodies besides a transformer of learned ends: tied layers, joint tokens, an LSTM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl import LinearRegression, ModelConfig, Prompts, TrainConfig, load, save, train
from icl.codecs import JointPairs, Pairs
from icl.constructed import linear_gradient_descent
from icl.constructed.linear_attention import predict_query
from icl.model.building import arrays_of, build, looped, model_from_arrays, reading
from icl.sweeps import Setting
from icl.sweeps.setting import forward_flops
from icl.tasks import JointTokens

TASK = LinearRegression(dim=2, length=4)
JOINT = JointTokens(TASK)
PROMPTS = TASK.sample(jax.random.key(0), batch=5)
TIED = ModelConfig(layers=2, width=6, shared_layers=True)
LSTM = ModelConfig(layers=2, width=6, body="lstm")
LINEAR = ModelConfig.linear_attention(2, 2, shared_layers=True)


def drawn(codec, config):
    return build(codec, config, jax.random.key(1))


def descending(layers, rate, gamma, codec, *, shared):
    """Linear attention on joint tokens that is gradient descent, by its two kernels."""
    config = ModelConfig.linear_attention(2, layers, shared_layers=shared)
    only_x = np.diag([0.0, 1.0, 1.0])
    kernels = {
        "qkv": np.hstack([only_x, only_x, np.eye(3)]),
        "out": np.diag([-2 * rate, -gamma, -gamma]),
    }
    blocks = range(1 if shared else layers)
    names = {
        f"body.{b}.attention.{n}.kernel": k for b in blocks for n, k in kernels.items()
    }
    return model_from_arrays(codec, config, names)


@pytest.mark.parametrize("shared", [True, False])
def test_joint_tokens_without_ends_are_gradient_descent(shared):
    model = descending(3, 0.05, 0.02, JOINT.codec, shared=shared)
    other = linear_gradient_descent(3, 2, 0.05, gamma=0.02, dtype="float32")
    expected = predict_query(other, PROMPTS)
    np.testing.assert_allclose(model(PROMPTS).predictions[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(model.predict(PROMPTS)[:, 0], expected, atol=1e-5)


def test_tied_layers_are_one_layer_applied_again():
    tied = drawn(TASK.codec, TIED)
    assert {name.split(".")[1] for name in arrays_of(tied) if "body" in name} == {"0"}
    once = looped(tied, 1)
    hidden = once.resume(once(PROMPTS).hidden[-1], 0).hidden[-1]
    np.testing.assert_allclose(tied(PROMPTS).hidden[-1], hidden, atol=1e-6)
    assert looped(tied, 4)(PROMPTS).hidden.shape[0] == 5


def test_linear_attention_may_have_an_mlp_behind_it():
    """Which changes nothing as long as it adds nothing."""
    alone = drawn(JOINT.codec, LINEAR)
    with_mlp = ModelConfig.linear_attention(2, 2, shared_layers=True, mlp_width=4)
    arrays = arrays_of(drawn(JOINT.codec, with_mlp))
    assert "body.0.mlp.down.kernel" in arrays
    model = model_from_arrays(JOINT.codec, with_mlp, arrays | arrays_of(alone))
    expected = alone(PROMPTS).predictions
    assert not np.allclose(model(PROMPTS).predictions, expected)
    silent = {"body.0.mlp.down.kernel": np.zeros((4, 3))}
    model = model_from_arrays(JOINT.codec, with_mlp, arrays | arrays_of(alone) | silent)
    np.testing.assert_allclose(model(PROMPTS).predictions, expected, atol=1e-6)


def test_more_loops_than_in_training_are_more_steps():
    model = looped(descending(1, 0.05, 0.0, JOINT.codec, shared=True), 4)
    other = linear_gradient_descent(4, 2, 0.05, dtype="float32")
    np.testing.assert_allclose(
        model(PROMPTS).predictions[:, 0], predict_query(other, PROMPTS), atol=1e-5
    )


def test_a_model_without_positions_reads_longer_contexts():
    model = descending(2, 0.05, 0.0, JOINT.codec, shared=True)
    longer = LinearRegression(dim=2, length=9).sample(jax.random.key(2), batch=3)
    other = linear_gradient_descent(2, 2, 0.05, dtype="float32")
    np.testing.assert_allclose(
        reading(model, JointPairs(2, 9))(longer).predictions[:, 0],
        predict_query(other, longer),
        atol=1e-5,
    )


def test_a_lstm_sees_what_comes_before():
    model = drawn(TASK.codec, LSTM)
    output = model(PROMPTS)
    assert output.hidden.shape == (3, 5, 7, 6)
    np.testing.assert_allclose(model.predict(PROMPTS), output.predictions, atol=1e-6)
    changed = Prompts(PROMPTS.xs, PROMPTS.ys.at[:, 2].set(9.0))
    same = model(changed).predictions == output.predictions
    assert same[:, :3].all() and not same[:, 3].any()
    resumed = model.resume(output.hidden[1], 1).predictions
    np.testing.assert_allclose(resumed, output.predictions, atol=1e-6)


def test_a_lstm_layer_is_the_equations():
    """One token after the other in NumPy, with gates in the order i, f, g, o."""
    model = drawn(TASK.codec, ModelConfig(layers=1, width=3, body="lstm"))
    arrays, output = arrays_of(model), model(PROMPTS)
    own, carried, bias = (
        arrays[f"body.0.cell.{name}"]
        for name in ("dense_i.kernel", "dense_h.kernel", "dense_h.bias")
    )
    h = c = np.zeros((5, 3))
    for token, x in enumerate(np.moveaxis(np.asarray(output.hidden[0]), 1, 0)):
        i, f, g, o = np.split(x @ own + h @ carried + bias, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        np.testing.assert_allclose(output.hidden[1][:, token], h, atol=1e-6)


@pytest.mark.parametrize(("task", "config"), [(JOINT, LINEAR), (TASK, LSTM)])
def test_they_train_and_are_loaded_again(task, config, tmp_path):
    settings = TrainConfig(steps=4, batch=8, chunk=2, held_out=8, learning_rate=1e-4)
    trained = train(task, config, settings, key=jax.random.key(0))
    assert np.isfinite(trained.history.held_out_loss).all()
    save(tmp_path / "run", trained)
    again = load(tmp_path / "run")
    assert (again.task, again.model_config) == (task, config)
    found = again.model.predict(PROMPTS)
    np.testing.assert_array_equal(found, trained.model.predict(PROMPTS))
    assert Setting(task, config, settings).cost > 0


def test_operations_of_a_lstm_are_those_of_its_gates():
    found = forward_flops(LSTM, entries=3, tokens=7, read=4)
    assert found == 2 * (7 * 6 * 3 + 2 * 7 * 8 * 36 + 4 * 6)


def refused():
    lstm, tied = drawn(TASK.codec, LSTM), drawn(TASK.codec, TIED)
    queries = jnp.zeros((5, 4, 1, 2))
    untied = arrays_of(drawn(TASK.codec, ModelConfig(layers=2, width=6)))
    return [
        (lambda: lstm.patterns(PROMPTS), "patterns needs a body that attends"),
        (lambda: lstm.predict_at(PROMPTS, queries), "predict_at needs a body that"),
        (
            lambda: lstm.resume(
                lstm(PROMPTS).hidden[0], 0, mask=jnp.ones((7, 7), bool)
            ),
            "mask needs a body that attends",
        ),
        (lambda: drawn(JOINT.codec, LSTM), "codec must be causal for an LSTM"),
        (lambda: looped(lstm, 2), "model must have shared layers"),
        (lambda: looped(tied, 0), "layers must be an integer >= 1"),
        (lambda: reading(tied, Pairs(2, 9)), "model must have no positions"),
        (
            lambda: model_from_arrays(TASK.codec, TIED, untied),
            "body.1.* is not expected.*with shared_layers=True there is one layer",
        ),
        (lambda: drawn(Pairs(3, 4), LINEAR), "codec must have vectors of width=3"),
        (lambda: ModelConfig(ends="tokens"), "ends must be 'learned'"),
        (lambda: JointTokens(LinearRegression(2, 1)), "task must draw prompts of at"),
        (
            lambda: JOINT.codec.check(Prompts(PROMPTS.xs[:, :1], PROMPTS.ys[:, :1])),
            "batch must have prompts of 2 to 4 pairs",
        ),
    ]


@pytest.mark.parametrize("place", range(12))
def test_what_does_not_fit_is_refused(place):
    call, said = refused()[place]
    with pytest.raises(ValueError, match=said):
        call()
