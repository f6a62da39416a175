"""Doors in training: optimisers, curricula, warm starts, log-spaced steps, patterns."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bare import BARE
from flax import nnx
from own_tasks import ModularSum, Sparse

from icl import (
    Curriculum,
    LinearRegression,
    ModelConfig,
    TrainConfig,
    load,
    train,
    train_ensemble,
)
from icl.pytrees import named
from icl.sweeps import workers
from icl.tasks.base import with_values
from icl.training.compiled import compile_program, program_key
from icl.training.config import log_spaced
from icl.training.optimizers import OPTIMIZERS

KEY = jax.random.key(0)
TASK = LinearRegression(dim=4, length=5)
MODEL = BARE
CONFIG = TrainConfig(
    steps=20, batch=16, held_out=16, chunk=10, evaluate_every=20, checkpoint_every=10
)


def parameters(trained):
    return named(nnx.state(trained.model))


def assert_same(one, other):
    for name, array in parameters(one).items():
        np.testing.assert_array_equal(array, parameters(other)[name], err_msg=name)


def initial_parameters():
    """Those that every run here begins with."""
    key, devices = program_key(TASK, MODEL, CONFIG), tuple(jax.devices()[:1])
    return named(compile_program(key, devices, None).draw(KEY))


# --- optimisers ---


def test_an_optimiser_is_chosen_by_name(monkeypatch):
    """Plain gradient steps: the updates are the gradients themselves."""
    monkeypatch.setitem(OPTIMIZERS, "sgd", lambda settings: optax.identity())
    config = replace(CONFIG, optimizer="sgd", schedule="constant", warmup=0.0)
    trained = train(TASK, MODEL, config, key=KEY)
    by_hand = train(
        TASK, MODEL, CONFIG, key=KEY, optimizer=optax.sgd(config.learning_rate)
    )
    for name, array in parameters(trained).items():
        np.testing.assert_allclose(array, parameters(by_hand)[name], rtol=1e-6)
    with pytest.raises(ValueError, match=r"optimizer must be one of .*; got 'muonn'"):
        replace(CONFIG, optimizer="muonn")


def test_an_optimiser_that_is_defined_again_is_used(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "own", lambda settings: optax.identity())
    config = replace(CONFIG, optimizer="own", steps=2, chunk=2)
    moved = train(TASK, MODEL, config, key=KEY)
    monkeypatch.setitem(OPTIMIZERS, "own", lambda settings: optax.scale(0.0))
    still = train(TASK, MODEL, config, key=KEY)
    before = train(TASK, MODEL, replace(config, learning_rate=1e-30), key=KEY)
    assert_same(still, before)
    assert (parameters(moved)["head.kernel"] != parameters(still)["head.kernel"]).any()


def test_an_optimiser_of_ones_own_is_used_as_it_is(tmp_path):
    trained = train(
        TASK, MODEL, CONFIG, key=KEY, optimizer=optax.adam(0.01), directory=tmp_path
    )
    assert np.isnan(trained.history.learning_rate).all()  # it has its own
    assert trained.origin == {"optimizer": "the caller's"}
    assert load(tmp_path).origin == trained.origin
    assert np.isnan(load(tmp_path).history.learning_rate).all()
    with pytest.raises(ValueError, match='optimizer: "the caller\'s" there, None'):
        train(TASK, MODEL, CONFIG, key=KEY, directory=tmp_path)
    still = train(TASK, MODEL, CONFIG, key=KEY, optimizer=optax.sgd(0.0))
    for name, array in initial_parameters().items():
        np.testing.assert_array_equal(array, parameters(still)[name], err_msg=name)
    keys = jax.random.split(KEY, 2)
    with pytest.raises(ValueError, match="learning_rates have no effect"):
        train_ensemble(
            TASK,
            MODEL,
            CONFIG,
            keys=keys,
            learning_rates=[0.1, 0.2],
            optimizer=optax.sgd(0.1),
        )


def test_a_sweeps_worker_gets_the_optimisers_of_a_script(monkeypatch, untyped):
    """A worker is a new process, where the script's entries are not registered."""

    def own(settings):
        return optax.identity()

    monkeypatch.setattr(workers, "OPTIMIZERS", here := dict(OPTIMIZERS))
    monkeypatch.setattr(workers, "run_job", lambda job, options: ["did it"])
    assert workers._run_numbered(3, None, None, {"own": own}) == (3, ["did it"])
    assert here["own"] is own


# --- curricula ---


def test_the_curriculum_is_gargs():
    """Garg et al. 2022, released code: both end at step 30,000."""
    curriculum = Curriculum.garg()
    for step in (0, 1, 1_999, 2_000, 29_999, 30_000, 500_000):
        assert curriculum.active_dims(step, 20) == min(5 + step // 2_000, 20)
        assert curriculum.active_pairs(step, 41) == min(11 + 2 * (step // 2_000), 41)
    assert Curriculum().active_dims(7, 20) == 20


def test_coordinates_beyond_the_active_ones_are_0_before_labels_are_made():
    masked = with_values(TASK, {"active_dims": 2}).sample(KEY, batch=3)
    whole = TASK.sample(KEY, batch=3)
    assert not np.any(masked.xs[..., 2:]) and np.any(masked.xs[..., :2])
    np.testing.assert_array_equal(masked.weights, whole.weights)  # w is untouched
    np.testing.assert_allclose(
        masked.ys, (masked.xs * masked.weights[:, None]).sum(-1), rtol=1e-5, atol=1e-6
    )


def test_pairs_that_are_not_active_do_not_count():
    """With one pair only the first slot has a gradient: E y^2 at a constant."""
    config = replace(
        CONFIG, steps=1, chunk=1, batch=512, curriculum=Curriculum(pairs=1)
    )
    few = train(TASK, MODEL, config, key=KEY)
    whole = train(TASK, MODEL, replace(config, curriculum=Curriculum()), key=KEY)
    assert float(few.history.loss[0]) != float(whole.history.loss[0])
    state = train(
        TASK, MODEL, replace(config, learning_rate=1e-30), key=KEY
    )  # the initial parameters
    data = jax.random.split(KEY, 3)[1]
    prompts = TASK.sample(jax.random.fold_in(data, 0), batch=512)
    predicted = jax.jit(lambda prompts: state.model.predict(prompts))(prompts)
    errors = (np.asarray(predicted) - np.asarray(prompts.ys)) ** 2
    assert float(few.history.loss[0]) == pytest.approx(errors[:, 0].mean(), rel=1e-4)
    assert float(whole.history.loss[0]) == pytest.approx(errors.mean(), rel=1e-4)


def test_a_run_with_a_curriculum_resumes_in_the_same_bits(tmp_path):
    curriculum = Curriculum(dims=1, dims_every=3, pairs=2, pairs_by=1, pairs_every=4)
    config = replace(CONFIG, curriculum=curriculum)
    whole = train(TASK, MODEL, config, key=KEY)

    def stop(step, _):
        if step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TASK, MODEL, config, key=KEY, directory=tmp_path, callback=stop)
    resumed = train(TASK, MODEL, config, key=KEY, directory=tmp_path)
    assert_same(whole, resumed)
    assert load(tmp_path).train_config == config
    with pytest.raises(ValueError, match=r"curriculum.dims: 1 there, 0 asked for"):
        train(TASK, MODEL, CONFIG, key=KEY, directory=tmp_path)


@pytest.mark.parametrize(
    ("curriculum", "said"),
    [
        (Curriculum(dims=5), "at most the 4 dims of LinearRegression, got dims=5"),
        (Curriculum(pairs=9), r"at most the \d pairs of LinearRegression, got pairs=9"),
        (Curriculum.garg(), "got dims=5; begin with fewer"),
    ],
)
def test_a_curriculum_cannot_begin_beyond_the_task(curriculum, said):
    config = replace(CONFIG, curriculum=curriculum)
    with pytest.raises(ValueError, match=said):
        train(TASK, MODEL, config, key=KEY)


def test_a_curriculum_that_a_task_does_not_follow_is_refused(untyped):
    for task, said in (
        (Sparse(), "Sparse does not; let its `sample` pass its inputs through"),
        (ModularSum(), "ModularSum has no pairs"),
    ):
        config = replace(CONFIG, curriculum=Curriculum(dims=1))
        with pytest.raises(ValueError, match=said):
            train(task, MODEL, config, key=KEY)
    with pytest.raises(ValueError, match="dims_every must be an integer >= 1, got 0"):
        Curriculum(dims_every=0)
    with pytest.raises(ValueError, match="curriculum must be a Curriculum"):
        replace(CONFIG, curriculum={"dims": 1})


# --- warm starts ---


@pytest.fixture(scope="module")
def first():
    return train(TASK, MODEL, CONFIG, key=KEY)


def test_a_run_begins_with_the_parameters_of_another(first, tmp_path):
    short = replace(CONFIG, steps=1, chunk=1)
    still = train(
        TASK, MODEL, short, key=jax.random.key(9), init=first, optimizer=optax.sgd(0.0)
    )
    assert_same(first, still)
    longer = train(
        TASK, MODEL, CONFIG, key=jax.random.key(9), init=first, directory=tmp_path
    )
    from_model = train(TASK, MODEL, CONFIG, key=jax.random.key(9), init=first.model)
    assert_same(longer, from_model)
    assert load(tmp_path).origin == longer.origin and "init" in longer.origin
    held_out = longer.history.held_out_loss.values[0]
    assert not np.allclose(held_out, first.history.held_out_loss.values[0])


def test_a_warm_start_is_part_of_what_a_run_is(first, tmp_path):
    train(TASK, MODEL, CONFIG, key=KEY, init=first, directory=tmp_path)
    with pytest.raises(ValueError, match=r"init: '\w+' there, None asked for"):
        train(TASK, MODEL, CONFIG, key=KEY, directory=tmp_path)


def test_a_warm_start_resumes_in_the_same_bits(first, tmp_path):
    whole = train(TASK, MODEL, CONFIG, key=KEY, init=first)

    def stop(step, _):
        if step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            TASK, MODEL, CONFIG, key=KEY, init=first, directory=tmp_path, callback=stop
        )
    resumed = train(TASK, MODEL, CONFIG, key=KEY, init=first, directory=tmp_path)
    assert_same(whole, resumed)


def test_an_ensemble_begins_with_one_model(first):
    members = train_ensemble(
        TASK,
        MODEL,
        replace(CONFIG, steps=1, chunk=1),
        keys=jax.random.split(KEY, 2),
        init=first,
        optimizer=optax.sgd(0.0),
    )
    for member in members:
        assert_same(first, member)


def test_a_warm_start_of_another_shape_is_refused(first):
    with pytest.raises(ValueError, match=r"init must be .* but layers: 1 there, 2"):
        train(TASK, replace(MODEL, layers=2), CONFIG, key=KEY, init=first)
    with pytest.raises(ValueError, match="entries: 5 there, 4 asked for"):
        train(LinearRegression(dim=3, length=5), MODEL, CONFIG, key=KEY, init=first)


# --- log-spaced steps ---


def test_log_spaced_steps_are_evaluated_and_kept(tmp_path):
    config = replace(CONFIG, evaluations_per_decade=2, checkpoints_per_decade=1)
    trained = train(TASK, MODEL, config, key=KEY, directory=tmp_path)
    assert trained.history.evaluation.values.tolist() == [0, 1, 3, 10, 20]
    steps = sorted(int(path.name[5:]) for path in tmp_path.glob("step_*"))
    assert steps == [1, 10, 20]
    assert load(tmp_path / "step_00000001").steps == 1
    assert_same(trained, train(TASK, MODEL, CONFIG, key=KEY))  # the steps are the same


def test_log_spaced_steps_are_even_in_their_logarithm():
    steps = log_spaced(4, 10_000)
    assert steps[0] == 1 and steps[-1] == 10_000
    large = np.log10([step for step in steps if step >= 100])
    np.testing.assert_allclose(np.diff(large), 0.25, atol=0.005)  # rounded to integers
    assert log_spaced(0, 10_000) == []


# --- patterns ---


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(layers=2, width=8, heads=2),
        ModelConfig(layers=2, width=8, heads=2, attention="linear"),
        ModelConfig(layers=1, width=6, heads=3, norm="code", scale_scores=False),
    ],
    ids=str,
)
def test_patterns_are_what_attention_adds_up(config):
    """Values weighted by patterns, through the output map, are the layer's output."""
    from icl import Transformer

    model = Transformer(config, TASK.codec, rngs=nnx.Rngs(0))
    prompts = TASK.sample(KEY, batch=3)
    patterns = np.asarray(jax.jit(lambda prompts: model.patterns(prompts))(prompts))
    count = 2 * TASK.length - 1
    assert patterns.shape == (config.layers, config.heads, 3, count, count)
    later = np.triu(np.ones((count, count), bool), 1)
    assert not patterns[..., later].any()
    if config.attention == "softmax":
        np.testing.assert_allclose(patterns.sum(-1), 1, rtol=1e-5)
    hidden = np.asarray(jax.jit(lambda prompts: model(prompts).hidden)(prompts))
    for layer, block in enumerate(model.body):
        normed = jnp.asarray(hidden[layer])
        if block.norm_attention is not None:
            normed = block.norm_attention(normed)
        values = np.split(np.asarray(block.attention.qkv(normed)), 3, axis=-1)[2]
        values = values.reshape(3, count, config.heads, -1)
        mixed = np.einsum("hbij,bjhc->bihc", patterns[layer], values)
        mixed = mixed.reshape(3, count, -1)
        want = block.attention(normed, jnp.tri(count, dtype=bool))
        np.testing.assert_allclose(
            block.attention.out(jnp.asarray(mixed)), want, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer": "sgd"}, "optimizer must be an optax transformation, .* 'sgd'"),
        ({"optimizer": optax.adam}, r"such as optax.adam\(1e-3\), got <function"),
        ({"init": "runs/a"}, "init must be a trained model, .* got 'runs/a'"),
    ],
)
def test_what_cannot_be_handed_over_is_refused_in_one_sentence(options, said, untyped):
    with pytest.raises(ValueError, match=said):
        train(TASK, MODEL, CONFIG, key=KEY, **options)
