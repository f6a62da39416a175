"""One compiled program, whatever it is cut into, and what it does in a single step."""

import math
import signal
import threading
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bare import BARE
from flax import nnx

from icl import (
    LinearRegression,
    ModelConfig,
    NonFiniteLossError,
    TrainConfig,
    train,
    train_ensemble,
)
from icl.codecs.pairs import token_count
from icl.files import alone_in
from icl.pytrees import named
from icl.training import compiled
from icl.training.compiled import (
    _streams,
    compile_program,
    program_key,
    scales_of,
)
from icl.training.config import schedule
from icl.training.optimizers import adam

KEY = jax.random.key(0)


def parameters(trained):
    return named(nnx.state(trained.model))


def assert_same_bits(one, other):
    """Parameters and history; the settings may differ."""
    a, b = parameters(one), parameters(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    for name in one.history.variables:
        if name not in ("evaluation", "held_out_loss"):
            np.testing.assert_array_equal(one.history[name], other.history[name])
    last = [each.history.held_out_loss.values[-1] for each in (one, other)]
    np.testing.assert_array_equal(*last)


def last_losses(trained):
    return trained.history.held_out_loss.values[-1]


# --- What is learnt and recorded -----------------------------------------------------


def test_the_loss_falls_below_that_of_predicting_nothing(trained):
    first, *_, last = trained.history.held_out_loss.values
    assert (last < first).all()
    # E y^2 = 1 is the loss of predicting 0; with no pair seen nothing better exists.
    assert (last[1:] < 0.7).all()


def test_history_is_labelled(trained, train_config):
    history = trained.history
    assert history.loss.dims == history.gradient_norm.dims == ("step",)
    assert history.held_out_loss.dims == ("evaluation", "context")
    np.testing.assert_array_equal(history.step, np.arange(300))
    np.testing.assert_array_equal(history.evaluation, [0, 100, 200, 300])
    np.testing.assert_array_equal(history.context, np.arange(4))
    assert "not halved" in history.attrs["loss"]
    assert trained.steps == 300
    assert np.isfinite(history.to_array()).all()
    rates = [train_config.learning_rate * closed_form(s, 300, 30) for s in range(300)]
    np.testing.assert_allclose(history.learning_rate, rates, rtol=1e-5, atol=1e-9)


def test_held_out_loss_is_that_of_the_model_returned(trained, task):
    prompts = task.sample(_streams(KEY)["held out"], batch=64)
    predictions = jax.jit(lambda prompts: trained.model(prompts).predictions)(prompts)
    errors = np.asarray(predictions - prompts.ys)
    # Two compilations of the same float32 sums.
    np.testing.assert_allclose(
        last_losses(trained), (errors**2).mean(axis=0), rtol=1e-4
    )


def test_callback_is_called_once_per_chunk(trained, task, model_config, train_config):
    calls = []
    train(
        task,
        model_config,
        train_config,
        key=KEY,
        callback=lambda step, metrics: calls.append((step, metrics)),
    )
    assert [step for step, _ in calls] == [50, 100, 150, 200, 250, 300]
    for step, metrics in calls:
        for name, value in metrics.items():
            chunk = trained.history[name].values[step - 50 : step]
            assert value == pytest.approx(chunk.mean(), rel=1e-6)  # float32 mean
        assert metrics.keys() == {"loss", "gradient_norm"}


def test_the_model_lives_on_one_device(trained):
    devices = {d for leaf in parameters(trained).values() for d in leaf.devices()}
    assert devices == {jax.devices()[0]}
    assert len(jax.devices()) == 2  # or the tests about devices would test nothing


# --- What cannot change the result ---------------------------------------------------


def test_a_run_is_a_function_of_its_key(trained, task, model_config, train_config):
    again = train(task, model_config, train_config, key=jax.random.key(0))
    assert_same_bits(trained, again)
    other = train(task, model_config, train_config, key=jax.random.key(1))
    assert (other.history.loss.values != trained.history.loss.values).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"chunk": 7},  # another compiled program
        {"evaluate_every": 33},
        {"checkpoint_every": 17},
        {"evaluate_every": 1000, "checkpoint_every": 1000},
    ],
    ids=str,
)
def test_periods_change_no_bit(
    trained, task, model_config, train_config, changes, tmp_path
):
    config = replace(train_config, **changes)
    other = train(task, model_config, config, key=KEY, directory=tmp_path)
    assert_same_bits(trained, other)
    every = config.evaluate_every
    np.testing.assert_array_equal(
        other.history.evaluation, [*range(0, 300, every), 300]
    )


def test_devices_change_round_off_only(trained, task, model_config, train_config):
    by_default = compiled.devices_of(None, task.codec, train_config, None)
    assert len(by_default) == 1  # of `trained`
    double = train(task, model_config, train_config, key=KEY, devices=2)
    one, two = trained.history, double.history
    # The same prompts: only the sum of the gradient over 16 of them is split in two.
    np.testing.assert_allclose(one.loss[:5], two.loss[:5], rtol=1e-5)
    # Round-off becomes a difference in the parameters, which grows as training goes on
    # (measured: 3e-6 within 100 steps, 2e-3 within 300); other prompts would change
    # the loss of a step by half.
    np.testing.assert_allclose(one.loss[:100], two.loss[:100], rtol=1e-4)
    np.testing.assert_allclose(one.loss, two.loss, rtol=0.02)
    np.testing.assert_allclose(last_losses(trained), last_losses(double), rtol=0.02)


# --- One step, by hand ---------------------------------------------------------------


def closed_form(step, steps, warmup, kind="cosine"):
    if step < warmup:
        return step / warmup
    if kind == "constant":
        return 1.0
    if kind == "linear":
        return (steps - step) / (steps - warmup)
    return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
@pytest.mark.parametrize(
    ("warmup", "warm"), [(0.0, 0), (0.1, 4), (0.25, 10), (1.0, 40)]
)
def test_schedule_is_the_closed_form(kind, warmup, warm):
    share = schedule(TrainConfig(steps=40, schedule=kind, warmup=warmup))
    have = jax.vmap(share)(jnp.arange(40))
    want = [closed_form(step, 40, warm, kind) for step in range(40)]
    # A float32 cosine of a float32 quotient.
    np.testing.assert_allclose(have, want, rtol=0, atol=1e-6)


class NumpyAdam:
    """Kingma and Ba 2015, decoupled decay of Loshchilov and Hutter 2019, in float64."""

    def __init__(self, config):
        self.config, self.count, self.m, self.v = config, 0, 0.0, 0.0

    def update(self, gradient, params):
        config = self.config
        norm = np.sqrt((gradient**2).sum())
        if config.clip is not None and norm > config.clip:
            gradient = gradient * config.clip / norm
        self.count += 1
        self.m = config.b1 * self.m + (1 - config.b1) * gradient
        self.v = config.b2 * self.v + (1 - config.b2) * gradient**2
        m = self.m / (1 - config.b1**self.count)
        v = self.v / (1 - config.b2**self.count)
        return m / (np.sqrt(v) + config.eps) + config.weight_decay * params


@pytest.mark.parametrize(
    "changes",
    [
        {"clip": None},
        {"clip": 0.5},
        {"clip": 100.0},
        {"clip": None, "weight_decay": 0.1},
        {"b1": 0.5, "b2": 0.9, "eps": 0.1},
        {"b1": 0.0, "b2": 0.0, "clip": None},
    ],
    ids=str,
)
def test_optimiser_is_adam(changes):
    config = TrainConfig(**changes)
    generator = np.random.default_rng(0)
    params, *gradients = generator.normal(size=(4, 6))
    ours, reference = adam(config), NumpyAdam(config)
    state = ours.init(jnp.float32(params))
    for gradient in gradients:
        have, state = ours.update(jnp.float32(gradient), state, jnp.float32(params))
        want = reference.update(gradient, params)
        # A quotient of float32 moments; 1 - b2^t in float32 loses a digit or two.
        np.testing.assert_allclose(have, want, rtol=2e-5)
        params = params - 0.1 * want


def test_first_steps_of_a_run_by_hand(trained, task, model_config, train_config):
    """Prompts, loss, gradient, clipping, Adam and the schedule, step by step."""
    program = compile_program(
        program_key(task, model_config, train_config), tuple(jax.local_devices()), None
    )
    scales = scales_of(task, train_config)
    graphdef = nnx.graphdef(trained.model)

    @jax.jit
    def loss_and_gradient(params, prompts):
        def loss(params):
            predictions = nnx.merge(graphdef, params)(prompts).predictions
            return ((predictions - prompts.ys) ** 2).mean()

        return jax.value_and_grad(loss)(params)

    def flat(tree):
        return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]).astype(
            float
        )

    state = program.init(KEY)
    by_hand = NumpyAdam(train_config)
    for step in range(3):
        data_key = jax.random.fold_in(_streams(KEY)["data"], step)
        prompts = task.sample(data_key, batch=16)
        params = jax.device_get(state.params)
        loss, gradient = loss_and_gradient(params, prompts)
        before, gradient = flat(params), flat(gradient)
        state, losses, norms = program.advance(state, KEY, scales, step, step + 1)
        # Three compilations of the same float32 sums: on two devices, by hand, on one.
        assert losses[0] == pytest.approx(float(loss), rel=1e-5)
        assert norms[0] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
        assert losses[0] == pytest.approx(float(trained.history.loss[step]), rel=1e-5)
        share = closed_form(step, 300, 30)
        want = before - 0.01 * share * by_hand.update(gradient, before)
        # In units of the step. A parameter of size 1 is rounded to 6e-8, of a step of
        # 3e-4. The gradient of the keys' biases is zero but for rounding (softmax does
        # not see them), and Adam makes steps of size up to 1 of that.
        error = np.abs(flat(state.params) - want) / max(0.01 * share, 1e-12)
        known = np.abs(gradient) > 1e-5 * np.abs(gradient).max()
        assert known.mean() > 0.98
        assert error[known].max() < 1e-3
        assert error.max() < 2


# --- Ensembles -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def ensemble(task, model_config, train_config):
    """Two keys, two learning rates; the first is the run of `trained`."""
    keys = jnp.stack([jax.random.key(0), jax.random.key(5)])
    rates = [train_config.learning_rate, 3e-3]
    return train_ensemble(
        task, model_config, train_config, keys=keys, learning_rates=rates
    )


def test_a_member_is_the_single_run_of_its_key(
    ensemble, trained, task, model_config, train_config
):
    slow = replace(train_config, learning_rate=3e-3)
    singles = [trained, train(task, model_config, slow, key=jax.random.key(5))]
    for member, single in zip(ensemble, singles, strict=True):
        assert member.train_config == single.train_config
        one, two = member.history, single.history
        # Batched products add in another order; tolerances as for devices above.
        np.testing.assert_allclose(one.loss[:5], two.loss[:5], rtol=1e-5)
        np.testing.assert_allclose(one.loss[:100], two.loss[:100], rtol=1e-4)
        np.testing.assert_allclose(one.loss, two.loss, rtol=0.02)
        np.testing.assert_allclose(last_losses(member), last_losses(single), rtol=0.02)
        np.testing.assert_array_equal(one.learning_rate, two.learning_rate)
        np.testing.assert_array_equal(one.evaluation, two.evaluation)
        assert parameters(member).keys() == parameters(single).keys()


def test_a_member_that_diverges_does_not_disturb_the_other(
    ensemble, task, model_config, train_config
):
    keys = jnp.stack([jax.random.key(0), jax.random.key(5)])
    metrics = []
    good, bad = train_ensemble(
        task,
        model_config,
        train_config,
        keys=keys,
        learning_rates=[train_config.learning_rate, 1e30],
        callback=lambda step, means: metrics.append(means),
    )
    assert_same_bits(good, ensemble[0])
    diverged = ~np.isfinite(bad.history.loss.values)
    first = int(np.argmax(diverged))
    assert 0 < first < 10
    assert diverged[first:].all()
    assert all(np.isfinite(list(means.values())).all() for means in metrics)


def test_members_may_differ_in_the_scales_of_their_tasks(
    trained, task, model_config, train_config, tmp_path
):
    """Kept one by one, each of them is the finished run of its own arguments."""
    noisy = replace(task, noise_std=0.5, weight_std=1.5)
    keys = jnp.stack([jax.random.key(0), jax.random.key(5)])
    members = train_ensemble(
        [task, noisy],
        model_config,
        train_config,
        keys=keys,
        learning_rates=[train_config.learning_rate, 3e-3],
        directory=tmp_path / "both",
        directories=[None, tmp_path / "noisy"],
    )
    slow = replace(train_config, learning_rate=3e-3)
    single = train(noisy, model_config, slow, key=keys[1])
    for member, alone in zip(members, (trained, single), strict=True):
        assert member.task == alone.task
        # As for members that differ in their keys.
        np.testing.assert_allclose(
            member.history.loss[:100], alone.history.loss[:100], rtol=1e-4
        )
        np.testing.assert_allclose(last_losses(member), last_losses(alone), rtol=0.02)

    def never(step, metrics):
        raise AssertionError("there is nothing left to do")

    directory = tmp_path / "noisy"
    found = train(
        noisy, model_config, slow, key=keys[1], directory=directory, callback=never
    )
    assert_same_bits(found, members[1])
    assert found.history.identical(members[1].history)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both", "noisy"]
    for other in (task, [noisy, noisy]):  # the same keys, but other tasks
        with pytest.raises(ValueError, match=r"noise_std: .* there, .* asked for"):
            train_ensemble(
                other,
                model_config,
                train_config,
                keys=keys,
                learning_rates=[train_config.learning_rate, 3e-3],
                directory=tmp_path / "both",
            )


def test_scales_are_no_part_of_a_program(task, model_config, train_config):
    devices = tuple(jax.local_devices())
    noisy = replace(task, noise_std=0.5, weight_std=1.5)
    fast = replace(train_config, learning_rate=1.0)
    one, two = (
        compile_program(program_key(each, model_config, config), devices, None)
        for each, config in ((task, train_config), (noisy, fast))
    )
    assert one is two


def test_an_ensemble_in_which_all_diverge_stops(task, model_config, train_config):
    with pytest.raises(NonFiniteLossError, match=r"step \d of 300 .*1e\+25 to 1e\+30"):
        train_ensemble(
            task,
            model_config,
            train_config,
            keys=jax.random.split(KEY, 2),
            learning_rates=[1e30, 1e25],
        )


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rates": [0.1]}, r"learning_rates must have axes \(members,\)"),
        ({"learning_rates": [0.1, -0.1]}, "learning_rates must be a finite number > 0"),
        ({"keys": jax.random.key(0)}, "keys must be a vector of typed keys"),
        ({"directories": ["a"]}, "directories must be one per key, got 1 for 2 keys"),
        ({"task": [LinearRegression()] * 3}, "task must be one per key, got 3 for 2"),
        (
            {"task": [LinearRegression(dim=1), LinearRegression(dim=2, noise_std=1.0)]},
            "may differ in noise_std and weight_std only, but: dim: 1 there, 2 asked",
        ),
        ({"keys": jax.random.PRNGKey(0)}, "keys must be a vector of typed keys"),
        (
            {"keys": jax.random.split(KEY, 3), "devices": jax.devices()},
            "must divide over",
        ),
    ],
)
def test_bad_ensembles_are_refused(task, model_config, train_config, changes, message):
    arguments = {"task": task, "keys": jax.random.split(KEY, 2)} | changes
    with pytest.raises(ValueError, match=message):
        train_ensemble(
            model_config=model_config, train_config=train_config, **arguments
        )


# --- Loss that is not finite ---------------------------------------------------------


def first_bad_step(task, model_config, config):
    """By single steps: where the loss first is NaN or infinite."""
    program = compile_program(
        program_key(task, model_config, config), tuple(jax.local_devices()), None
    )
    state, scales = program.init(KEY), scales_of(task, config)
    for step in range(50):
        state, losses, _ = program.advance(state, KEY, scales, step, step + 1)
        if not np.isfinite(losses[0]):
            return step
    raise AssertionError("it never diverged")


@pytest.mark.parametrize("chunk", [50, 7])
def test_divergence_names_the_step_and_keeps_the_checkpoint(
    task, model_config, train_config, chunk, tmp_path
):
    config = replace(train_config, learning_rate=1e30, checkpoint_every=1, chunk=chunk)
    step = first_bad_step(task, model_config, config)
    assert step > 1
    for _ in range(2):  # again from the checkpoint, which is a good one
        with pytest.raises(
            NonFiniteLossError, match=rf"at step {step} of 300 .*1e\+30.* stay"
        ):
            train(task, model_config, config, key=KEY, directory=tmp_path)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == [f"step_{s:08d}" for s in (step - 1, step)]


def test_a_gradient_that_is_not_finite_is_noticed_before_it_is_saved(
    task, model_config, train_config, monkeypatch, tmp_path
):
    """The loss of the last step before a checkpoint does not show it."""
    devices = tuple(jax.local_devices())
    program = compile_program(
        program_key(task, model_config, train_config), devices, None
    )

    def advance(state, keys, scales, start, stop):
        state, losses, norms = program.advance(state, keys, scales, start, stop)
        bad = (start <= 199) & (199 < stop)
        return state, losses, norms.at[199 - start].set(jnp.inf) if bad else norms

    monkeypatch.setattr(
        "icl.training.run.compile_program", lambda *_: program._replace(advance=advance)
    )
    with pytest.raises(NonFiniteLossError, match=r"its gradient .* at step 199 of 300"):
        train(task, model_config, train_config, key=KEY, directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000100"]


@pytest.fixture(scope="module")
def finished(task, model_config, train_config, tmp_path_factory):
    """The directory of a run: `trained`, with its checkpoints."""
    directory = tmp_path_factory.mktemp("finished")
    train(task, model_config, train_config, key=KEY, directory=directory)
    return directory


# --- Interruption --------------------------------------------------------------------


def raise_interrupt():
    raise KeyboardInterrupt


def press_ctrl_c():
    # Not os.kill: another thread may get that one, and this one notice it later.
    signal.raise_signal(signal.SIGINT)


def press_twice():
    press_ctrl_c()
    press_ctrl_c()
    raise AssertionError("the second one should have come through")


@pytest.mark.parametrize(
    ("interrupt", "at", "then"),
    [
        (press_ctrl_c, 50, {}),  # between two checkpoints
        (press_ctrl_c, 100, {"checkpoint_every": 70}),  # at one
        (press_twice, 50, {}),
        (raise_interrupt, 50, {"chunk": 25}),
    ],
)
def test_an_interrupted_run_saves_and_goes_on(
    trained, task, model_config, train_config, interrupt, at, then, tmp_path
):
    """Also with another rhythm of progress and checkpoints, which changes no number."""
    before = signal.getsignal(signal.SIGINT)
    arguments = (task, model_config, train_config)

    def callback(step, metrics):
        if step == at:
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        train(*arguments, key=KEY, directory=tmp_path, callback=callback)
    assert signal.getsignal(signal.SIGINT) is before
    assert [path.name for path in tmp_path.iterdir()] == [f"step_{at:08d}"]

    steps = []
    resumed = train(
        *(task, model_config, replace(train_config, **then)),
        key=KEY,
        directory=tmp_path,
        callback=lambda step, _: steps.append(step),
    )
    assert steps[-1] == 300 and (then or steps == list(range(at + 50, 301, 50)))
    assert resumed.history.identical(trained.history)
    assert_same_bits(resumed, trained)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_run_that_is_told_to_end_saves_first(
    task, model_config, train_config, number, status, tmp_path
):
    before = signal.signal(number, signal.SIG_DFL)

    def callback(step, metrics):
        signal.raise_signal(number)

    try:
        with pytest.raises(SystemExit) as caught:
            train(
                task,
                model_config,
                train_config,
                key=KEY,
                directory=tmp_path,
                callback=callback,
            )
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert caught.value.code == status
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000050"]


def test_a_signal_that_the_user_handles_stays_the_users(
    task, model_config, train_config, tmp_path
):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))

    def callback(step, metrics):
        if step == 50:
            signal.raise_signal(signal.SIGTERM)

    try:
        train(
            task,
            model_config,
            train_config,
            key=KEY,
            directory=tmp_path,
            callback=callback,
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_a_directory_in_which_another_trains_is_refused_in_one_line(
    trained, task, model_config, train_config, tmp_path
):
    arguments = (task, model_config, train_config)
    directory = tmp_path / "run"
    directory.mkdir()
    with (
        alone_in(directory),
        pytest.raises(ValueError, match=r"Another process is training in .*run; wait"),
    ):
        train(*arguments, key=KEY, directory=directory)
    assert list(tmp_path.iterdir()) == [directory] and not list(directory.iterdir())
    assert_same_bits(train(*arguments, key=KEY, directory=directory), trained)
    with alone_in(directory):  # what is finished is only read
        assert_same_bits(train(*arguments, key=KEY, directory=directory), trained)


def test_without_a_directory_ctrl_c_comes_through_at_once(
    task, model_config, train_config
):
    seen = []
    # A shell that starts this in the background has Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def callback(step, metrics):
        seen.append(step)
        press_ctrl_c()
        raise AssertionError("the signal should have been raised before this line")

    try:
        with pytest.raises(KeyboardInterrupt):
            train(task, model_config, train_config, key=KEY, callback=callback)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [50]


def test_a_finished_run_is_returned(
    trained, task, model_config, train_config, finished
):
    def never(step, metrics):
        raise AssertionError("there is nothing left to do")

    again = train(
        task, model_config, train_config, key=KEY, directory=finished, callback=never
    )
    assert again.history.identical(trained.history)
    assert_same_bits(again, trained)


def test_an_ensemble_goes_on_too(ensemble, task, model_config, train_config, tmp_path):
    settings = {
        "keys": jnp.stack([jax.random.key(0), jax.random.key(5)]),
        "learning_rates": [train_config.learning_rate, 3e-3],
        "directory": tmp_path,
    }

    def stop(step, metrics):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_ensemble(task, model_config, train_config, **settings, callback=stop)
    resumed = train_ensemble(task, model_config, train_config, **settings)
    for member, expected in zip(resumed, ensemble, strict=True):
        assert member.history.identical(expected.history)
        assert_same_bits(member, expected)


def test_training_outside_the_main_thread(
    trained, task, model_config, train_config, tmp_path
):
    """Signal handlers belong to the main thread; others must not touch them."""
    results = []

    def work():
        results.append(
            train(task, model_config, train_config, key=KEY, directory=tmp_path)
        )

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert_same_bits(results[0], trained)


# --- Bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "changes", "message"),
    [
        (
            "train",
            {"learning_rate": 0.02},
            r"train\.learning_rate: 0\.01 .* 0\.02 asked",
        ),
        ("train", {"steps": 400}, r"train\.steps: 300 there, 400 asked for"),
        ("model", {"width": 16}, r"model\.width: 8 there, 16 asked for"),
        ("task", {"noise_std": 0.5}, r"task\.noise_std: 0\.0 there, 0\.5 asked for"),
        (
            "task",
            {"covariance": ((2.0,),)},
            r"task\.covariance: None there, \[\[2\.0\]\]",
        ),
        ("key", jax.random.key(7), r"\(key: \['threefry2x32', \[0, 0\]\] there"),
    ],
)
def test_a_directory_of_another_run_is_left_alone(
    task, model_config, train_config, what, changes, message, finished
):
    configs = {"task": task, "model": model_config, "train": train_config}
    key = KEY
    if what == "key":
        key = changes
    else:
        configs[what] = replace(configs[what], **changes)

    def contents():
        return {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}

    before = contents()
    with pytest.raises(ValueError, match=message) as caught:
        train(*configs.values(), key=key, directory=finished)
    assert str(caught.value).count(" there, ") == 1  # nothing else differs
    assert "choose another directory" in str(caught.value)
    assert contents() == before


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    "key",
    [0, jax.random.PRNGKey(0), jax.random.split(jax.random.key(0), 2), None],
    ids=["int", "untyped", "vector", "None"],
)
def test_a_key_is_one_typed_key(task, model_config, train_config, key):
    with pytest.raises(
        ValueError, match=r"key must be a typed key, such as jax\.random"
    ):
        train(task, model_config, train_config, key=key)


def test_the_batch_divides_over_the_devices(task, model_config, train_config):
    config = replace(train_config, batch=15)
    with pytest.raises(ValueError, match=r"batch must divide .* got 15 on 2"):
        train(task, model_config, config, key=KEY, devices=2)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[
            ({name: bad}, f"{name} must be an integer >= 1, got {bad}")
            for name in (
                "steps",
                "batch",
                "chunk",
                "evaluate_every",
                "checkpoint_every",
            )
            for bad in (0, 2.5)
        ],
        ({"held_out": True}, "held_out must be an integer >= 1, got True"),
        (
            {"learning_rate": 0.0},
            r"learning_rate must be a finite number > 0, got 0\.0",
        ),
        (
            {"learning_rate": "1e-3"},
            "learning_rate must be a finite number > 0, got '1e",
        ),
        (
            {"learning_rate": math.nan},
            "learning_rate must be a finite number > 0, got n",
        ),
        ({"eps": 0}, "eps must be a finite number > 0, got 0"),
        ({"weight_decay": -1}, "weight_decay must be a finite number >= 0, got -1"),
        ({"warmup": 1.5}, r"warmup must be at most 1, got 1\.5"),
        ({"warmup": -0.1}, r"warmup must be a finite number >= 0, got -0\.1"),
        ({"b1": 1.0}, r"b1 must be below 1, got 1\.0"),
        ({"b2": 1.0}, r"b2 must be below 1, got 1\.0"),
        ({"clip": 0}, "clip must be a finite number > 0, got 0"),
        (
            {"schedule": "step"},
            "schedule must be one of 'cosine', 'linear', 'constant'",
        ),
    ],
    ids=str,
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        TrainConfig(**changes)
    assert "\n" not in str(caught.value)


def test_the_papers_settings():
    config = TrainConfig.paper(batch=32)
    assert (config.steps, config.learning_rate, config.warmup) == (500_000, 1e-4, 0.2)
    assert (config.b2, config.eps, config.clip, config.batch) == (0.98, 1e-9, None, 32)


def test_the_papers_model_can_be_initialised_by_a_run():
    """Its initialisation has to compile, which what needs concrete sizes does not."""
    task, config = LinearRegression(dim=8), TrainConfig.paper()
    devices = tuple(jax.local_devices())
    program = compile_program(
        program_key(task, ModelConfig.paper(), config), devices, None
    )
    state = program.abstract(KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) > 50e6


# --- what a step is made of ---


@pytest.mark.parametrize("members", [None, 2])
def test_a_batch_in_parts_is_the_same_step(task, train_config, monkeypatch, members):
    config = replace(train_config, steps=20, chunk=20, evaluate_every=20)

    def losses():
        compiled.compile_program.cache_clear()  # compiled for one number of parts
        keys = jax.random.split(jax.random.key(0), 2)
        runs = (
            train_ensemble(task, BARE, config, keys=keys, devices=1)
            if members
            else [train(task, BARE, config, key=keys[0], devices=1)]
        )
        return np.array([run.history.loss.values for run in runs])

    def parts(tokens):
        monkeypatch.setattr(compiled, "TOKENS", tokens)
        device = tuple(jax.devices()[:1])
        return compiled._parts(program_key(task, BARE, config), device, members)

    one = (members or 1) * config.batch * token_count(task.length)
    assert parts(one) == 1
    whole = losses()
    assert parts(one // 8) == 8
    # Sums of float32 in another order, through 20 steps.
    np.testing.assert_allclose(losses(), whole, rtol=1e-5)
    compiled.compile_program.cache_clear()


def test_parts_of_a_batch_divide_it_and_are_for_cpus_alone(task, train_config, untyped):
    gpu = SimpleNamespace(platform="gpu")
    cpu = SimpleNamespace(platform="cpu")
    for batch in (1, 7, 64, 96, 1000):
        for length in (2, 17, 400):
            config = replace(train_config, batch=batch)
            long = replace(task, length=length)
            key = program_key(long, ModelConfig(), config)
            found = compiled._parts(key, (cpu,), None)
            assert batch % found == 0
            assert compiled._parts(key, (gpu,), None) == 1


@pytest.mark.parametrize(("batch", "length", "most"), [(16, 4, 1), (64, 17, 2)])
def test_a_default_device_of_a_cpu_has_something_to_do(
    task, train_config, batch, length, most
):
    config = replace(train_config, batch=batch)
    codec = replace(task, length=length).codec
    found = compiled.devices_of(None, codec, config, None)
    assert len(found) == most


def test_a_program_is_optimised_as_xla_flags_say(monkeypatch, untyped):
    gpu, cpu = (SimpleNamespace(platform=name) for name in ("gpu", "cpu"))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert compiled._compiler_options(gpu) is None
    assert compiled._compiler_options(cpu) == {"xla_backend_optimization_level": 1}
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    assert compiled._compiler_options(cpu) is None
