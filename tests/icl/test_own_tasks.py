"""A task of one's own goes wherever LinearRegression goes."""

import json
import pickle
from dataclasses import dataclass, field, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_tasks import ModularSum, Sparse
from subprocesses import finished, started

from icl import (
    CheckpointError,
    Curriculum,
    LinearRegression,
    ModelConfig,
    Prompts,
    TrainConfig,
    inference,
    load,
    save,
    sweeps,
    train,
    train_ensemble,
)
from icl.baselines import LeastSquares, Ridge
from icl.compare import fitted_weights, nearest
from icl.tasks import TASKS, register
from icl.training.compiled import compile_program, program_key, traced_scales
from icl.training.description import changed, configs, describe, differences
from probes import probe_grid

KEY = jax.random.key(0)
MODEL = ModelConfig(layers=1, width=8)
CONFIG = TrainConfig(
    steps=40, batch=16, held_out=64, evaluate_every=20, chunk=20, learning_rate=1e-2
)


@pytest.fixture(scope="module")
def sparse():
    return train(Sparse(), MODEL, CONFIG, key=KEY)


@pytest.fixture(scope="module")
def kept(sparse, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sparse")
    save(folder, sparse)
    return folder


# --- trained, saved, loaded ---


def test_it_is_trained(sparse):
    assert sparse.task == Sparse()
    assert sparse.history.held_out_loss.dims == ("evaluation", "context")
    assert np.isfinite(sparse.history.held_out_loss).all()


def test_it_is_loaded_where_its_class_is_handed_over(sparse, kept):
    found = load(kept, tasks=[Sparse])
    assert found.task == Sparse()
    prompts = Sparse().sample(jax.random.key(1), batch=3)
    np.testing.assert_array_equal(
        found.model(prompts).predictions, sparse.model(prompts).predictions
    )


def test_nothing_is_imported_because_a_checkpoint_says_so(kept):
    with pytest.raises(CheckpointError, match="unknown task 'Sparse'; known are"):
        load(kept)


def test_a_registered_class_is_known(kept, monkeypatch):
    monkeypatch.setitem(TASKS, "Sparse", Sparse)
    assert load(kept).task == Sparse()


def test_two_classes_of_one_name_are_refused(monkeypatch, untyped):
    monkeypatch.setitem(TASKS, "Sparse", Sparse)
    assert register(Sparse) is Sparse  # again, as in a notebook
    other = type("Sparse", (LinearRegression,), {"__module__": "elsewhere"})
    with pytest.raises(ValueError, match="'Sparse' is registered already, from own_t"):
        register(other)
    with pytest.raises(ValueError, match="derives from Task"):
        register(int)


def test_other_settings_of_a_task_in_a_runs_directory_are_named(tmp_path):
    train(Sparse(), MODEL, CONFIG, key=KEY, directory=tmp_path)
    with pytest.raises(ValueError, match=r"task\.k: 2 there, 3 asked for"):
        train(Sparse(k=3), MODEL, CONFIG, key=KEY, directory=tmp_path)


def test_a_task_inside_a_task_is_described_and_read():
    @dataclass(frozen=True)
    class Twice(Sparse):
        base: LinearRegression = LinearRegression(dim=2)  # noqa: RUF009

    task = Twice(base=LinearRegression(dim=3, noise_std=0.5))
    about = json.loads(json.dumps(describe(task, MODEL, CONFIG)))
    assert configs(about, [Twice]) == (task, MODEL, CONFIG)


def test_a_class_of_a_script_is_described_in_another_process():
    """As in a sweep's workers, which get the classes of a script by value."""
    code = """
from dataclasses import dataclass
import cloudpickle
from icl import LinearRegression

@dataclass(frozen=True)
class Mine(LinearRegression):
    k: int = 1

print(cloudpickle.dumps(Mine(dim=3, k=2)).hex())
"""
    ((said, _),) = finished(started(code))
    task = pickle.loads(bytes.fromhex(said))
    assert changed(task) == {"kind": "Mine", "dim": 3, "k": 2}
    assert differences(describe(task, MODEL, CONFIG), (task, MODEL, CONFIG)) == []


# --- ensembles and sweeps ---


def test_its_ensemble_is_its_single_runs(sparse):
    members = train_ensemble(
        Sparse(), MODEL, CONFIG, keys=jnp.stack([KEY, jax.random.key(1)])
    )
    # Batched products may add in another order, and training magnifies it.
    np.testing.assert_allclose(
        members[0].history.loss[:20], sparse.history.loss[:20], rtol=1e-4
    )
    assert [member.task for member in members] == [Sparse()] * 2


def test_an_ensemble_is_of_tasks_that_share_a_program():
    with pytest.raises(ValueError, match=r"differ in nothing only, but: k: 2 there, 3"):
        train_ensemble(
            [Sparse(), Sparse(k=3)], MODEL, CONFIG, keys=jax.random.split(KEY, 2)
        )


def test_its_sweep_finds_what_is_trained(tmp_path):
    base = sweeps.Setting(Sparse(), MODEL, CONFIG)
    settings = sweeps.grid(base, {"task.k": (1, 2)})
    models = sweeps.Models(tmp_path, jobs=1)
    assert [o.state for o in sweeps.train_all(settings, models)] == ["done"] * 2
    again = sweeps.Models(tmp_path, jobs=1)
    assert [again.status(one).state for one in settings] == ["done"] * 2
    assert again(settings[0]).task == Sparse(k=1)
    assert "k" in sweeps.table(settings, again).splitlines()[0]


# --- what is trained on is what sample draws ---


@dataclass(frozen=True)
class Zero(LinearRegression):
    """Overrides the method that users know (the first trap)."""

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return prompts._replace(ys=0 * prompts.ys)


@dataclass(frozen=True)
class Noisy(LinearRegression):
    """Reads a scale inside (the second trap): its labels are nothing but noise."""

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        noise = jax.random.normal(jax.random.fold_in(key, 7), prompts.ys.shape)
        return prompts._replace(ys=self.noise_std * noise)


@dataclass(frozen=True)
class Branching(Noisy):
    """Asks Python whether there is noise, which a traced number cannot answer."""

    def sample(self, key, *, batch):
        if self.noise_std > 0:
            return super().sample(key, batch=batch)
        prompts = super().sample(key, batch=batch)
        return prompts._replace(ys=0 * prompts.ys)


@dataclass(frozen=True)
class Derived(Noisy):
    """Keeps something that it has made of a scale, and draws with that."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "spread", self.noise_std)

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        noise = jax.random.normal(key, prompts.ys.shape)
        return prompts._replace(ys=self.spread * noise)


def first_loss(task):
    """The held-out loss of a model that predicts 0, before any step."""
    config = replace(CONFIG, steps=1, held_out=4096)
    devices = tuple(jax.local_devices()[:1])
    program = compile_program(program_key(task, MODEL, config), devices, None)
    from icl.training.compiled import scales_of

    shapes = program.abstract(KEY).params
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    return np.asarray(program.evaluate(params, KEY, scales_of(task, config)))


def test_an_overridden_sample_is_what_is_trained_on():
    trained = train(Zero(dim=2, length=4), MODEL, CONFIG, key=KEY)
    first, last = trained.history.held_out_loss.values[[0, -1]]
    assert (last < 0.2 * first).all()  # all labels are 0
    assert first_loss(Zero(dim=2, length=4)).max() == 0


@dataclass(frozen=True)
class Rated(Sparse):
    """Has a scale of the name that others give to the learning rate."""

    scales = ("rate",)
    rate: float = 1.0

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        noise = jax.random.normal(jax.random.fold_in(key, 7), prompts.ys.shape)
        return prompts._replace(ys=self.rate * noise)


def test_a_scale_called_rate_is_not_the_learning_rate():
    np.testing.assert_allclose(first_loss(Rated(rate=3.0)), 9.0, rtol=0.15)


@pytest.mark.parametrize("kind", [Noisy, Branching, Derived])
def test_a_scale_that_is_read_inside_sample_is_that_of_the_task(kind):
    # Var of y over 4,096 prompts: a standard error of 2 %.
    for std in (0.5, 2.0):  # the second in a process that has compiled the first
        loss = first_loss(kind(dim=2, length=4, noise_std=std))
        np.testing.assert_allclose(loss, std**2, rtol=0.15)


def test_scales_are_arguments_of_a_program_where_they_can_be():
    assert traced_scales(Noisy()) == ("noise_std", "weight_std")
    assert traced_scales(Branching()) == traced_scales(Derived()) == ()
    share = [program_key(t, MODEL, CONFIG) for t in (Noisy(), Noisy(noise_std=0.5))]
    apart = [program_key(t, MODEL, CONFIG) for t in (Derived(), Derived(noise_std=0.5))]
    assert share[0] == share[1] and apart[0] != apart[1]


def test_an_ensemble_over_scales_that_cannot_be_traced_is_refused():
    tasks = [Branching(dim=2, length=4), Branching(dim=2, length=4, noise_std=0.5)]
    with pytest.raises(ValueError, match=r"only where `sample` of Branching can be"):
        train_ensemble(tasks, MODEL, CONFIG, keys=jax.random.split(KEY, 2))


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Sparse, "task must be an instance, got the class; write Sparse()"),
        (3, "task must derive from icl.Task, and int does not"),
        (type("Open", (Sparse,), {})(), None),  # a subclass needs no decorator
    ],
)
def test_what_is_no_task_is_refused_in_one_sentence(task, said, untyped):
    config = replace(CONFIG, steps=1, chunk=1)
    if said is None:
        assert train(task, MODEL, config, key=KEY).steps == 1
    else:
        with pytest.raises(ValueError) as caught:
            train(task, MODEL, config, key=KEY)
        assert str(caught.value).startswith(said)


@dataclass(frozen=True)
class Cut(Sparse):
    """Its prompts are shorter than its length says."""

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return inference.cut(prompts, 3)


@dataclass(frozen=True)
class Deciding(Sparse):
    """Asks Python about a number that is not known while it is compiled."""

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return prompts if prompts.ys[0, 0] > 0 else None


@dataclass(frozen=True)
class Bare(Sparse):
    """Returns arrays in place of prompts."""

    def sample(self, key, *, batch):
        return tuple(super().sample(key, batch=batch)[:2])


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            Cut(),
            r"xs of Cut must have axes .* of sizes \(2, 5, 4\), got shape \(2, 3, 4",
        ),
        (
            Deciding(),
            "sample of Deciding failed inside a compiled .*check_task",
        ),
        (Bare(), r"sample of Bare must return icl.Prompts\(xs, ys\), got tuple"),
    ],
)
def test_a_task_that_cannot_be_trained_on_is_refused_before_it_is(task, said, untyped):
    with pytest.raises(ValueError, match=said):
        train(task, MODEL, CONFIG, key=KEY)
    with pytest.raises(ValueError, match=said):
        train_ensemble(task, MODEL, CONFIG, keys=jax.random.split(KEY, 2))


@dataclass(frozen=True)
class InNumpy(Sparse):
    """Draws with NumPy, which happens once, while the program is compiled."""

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        noise = np.random.default_rng().normal(size=prompts.ys.shape)
        return prompts._replace(ys=prompts.ys + noise)


@dataclass(frozen=True)
class Seeded(Sparse):
    """Draws with a generator of its own, and never looks at its key."""

    def sample(self, key, *, batch):
        xs = np.random.default_rng(0).normal(size=(batch, self.length, self.dim))
        return Prompts(jnp.float32(xs), jnp.float32(xs[..., 0]))


@pytest.mark.parametrize("task", [InNumpy(), Seeded()], ids=repr)
def test_a_task_that_would_draw_once_for_all_steps_is_refused(task):
    with pytest.raises(ValueError, match="does not draw from its key alone"):
        train(task, MODEL, CONFIG, key=KEY)


@dataclass(frozen=True)
class Hidden(LinearRegression):
    """Equal to others that draw something else."""

    sign: float = field(default=1.0, compare=False)

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return prompts._replace(ys=self.sign * jnp.ones_like(prompts.ys))


def test_a_field_that_equality_leaves_out_is_not_left_out_of_a_program():
    for sign in (1.0, 3.0):
        task = Hidden(dim=2, length=4, sign=sign)
        assert task == Hidden(dim=2, length=4)
        np.testing.assert_allclose(first_loss(task), sign**2)


@dataclass(frozen=True)
class Compiled(LinearRegression):
    """Compiles its sample, and is itself a static argument of that."""

    @partial(jax.jit, static_argnums=0, static_argnames="batch")
    def sample(self, key, *, batch):
        return super().sample(key, batch=batch)


def test_what_is_kept_by_the_hash_of_a_task_is_not_taken_for_another():
    for std in (0.5, 2.0):
        task = Compiled(dim=2, length=4, noise_std=std)
        np.testing.assert_allclose(first_loss(task).mean(), 2 + std**2, rtol=0.1)
    config = replace(CONFIG, curriculum=Curriculum(dims=1))
    with pytest.raises(ValueError, match="sample of Compiled cannot draw with `act"):
        train(Compiled(dim=2, length=4), MODEL, config, key=KEY)


# --- compared and probed ---


def test_nearest_and_implied_weights_work_for_any_prompts(sparse):
    prompts = Sparse().sample(jax.random.key(2), batch=20)
    families = {"least squares": [LeastSquares()], "ridge": [Ridge(0.1), Ridge(1.0)]}
    found = nearest(sparse.model, prompts, families, resamples=50)
    assert found.winner.family in families
    (fit,) = fitted_weights([sparse.model], Sparse(), prompts, 30, KEY)
    assert fit.weights.shape == (20, 5, 4)


def test_a_task_says_what_it_lacks():
    @dataclass(frozen=True)
    class Closed(Sparse):
        def sample_inputs(self, key, shape):
            return super(Sparse, self).sample_inputs(key, shape)

    with pytest.raises(ValueError, match="Closed does not say how new inputs"):
        Closed().sample_inputs(KEY, (2,))
    prompts = Sparse().sample(KEY, batch=3)._replace(weights=None)
    with pytest.raises(ValueError, match="must hold the weights"):
        inference.true_weights(prompts)


def test_latents_travel_with_prompts_and_can_be_probed(sparse):
    prompts = Sparse().sample(KEY, batch=60)
    index = np.arange(60) % 41
    prompts = prompts._replace(latents={"index": index})
    hidden = sparse.model(prompts).hidden
    first = inference.first(prompts, 10)
    assert first.latents["index"].tolist() == index[:10].tolist()
    scores = probe_grid(
        np.asarray(hidden), {"index": np.float32(index)[:, None]}, resamples=20
    )
    assert scores.sizes["layer"] == 2


@pytest.mark.parametrize(
    ("latents", "said"),
    [
        ([1, 2], "latents must be a dictionary of arrays"),
        ({"index": np.zeros(3)}, r"latents\['index'\] must have a first axis of 2"),
        ({"tree": np.full((2, 1), np.nan)}, r"latents\['tree'\] must be finite"),
    ],
)
def test_bad_latents_are_refused(latents, said, untyped, sparse):
    prompts = Prompts(np.zeros((2, 5, 4)), np.zeros((2, 5)), None, latents)
    with pytest.raises(ValueError, match=said):
        sparse.model(prompts)


# --- integer tokens, tied logits, weighted slots ---


@pytest.fixture(scope="module")
def sums():
    config = replace(CONFIG, steps=600, chunk=200, evaluate_every=600, batch=64)
    return train(ModularSum(), ModelConfig(layers=1, width=32), config, key=KEY)


def test_integer_tokens_train_through_the_same_program(sums):
    """The sum is learnt; what cannot be known, and does not count, is not."""
    loss = sums.history.held_out_loss
    assert loss.dims == ("evaluation", "character")
    assert loss.character.values.tolist() == ["b", "sum"]
    assert np.isnan(loss.sel(character="b")).all()  # it has no weight at all
    assert loss.sel(character="sum")[-1] < 0.1 * np.log(5)
    batch = ModularSum().sample(jax.random.key(3), batch=200)
    logits = sums.model(batch).predictions
    assert logits.shape == (200, 2, 5)
    right = np.asarray(logits[:, 1]).argmax(-1) == np.asarray(batch.ids[:, 2])
    assert right.mean() > 0.99


def test_integer_tokens_are_saved_and_read_from_any_layer(sums, tmp_path, untyped):
    save(tmp_path, sums)
    found = load(tmp_path, tasks=[ModularSum])
    batch = ModularSum().sample(jax.random.key(3), batch=4)
    output = found.model(batch)
    np.testing.assert_array_equal(
        output.predictions, sums.model(batch).predictions, strict=True
    )
    np.testing.assert_allclose(
        found.model.read_out(output.hidden[-1]), output.predictions, rtol=1e-6
    )
    with pytest.raises(ValueError, match="codec is Digits, which has none"):
        found.model.predict_at(batch, jnp.zeros((4, 2, 1, 1)))


def test_weighted_slots_are_averaged_over_all_parts_of_a_batch():
    """The weights of the parts differ, and so must their shares of the gradient."""

    @dataclass(frozen=True)
    class Uneven(ModularSum):
        def sample(self, key, *, batch):
            lines = super().sample(key, batch=batch)
            weights = jax.random.uniform(key, (batch, 2)) ** 8
            return lines._replace(weights=weights)

    from icl.training import compiled

    losses = []
    for tokens in (2, 10**6):  # many parts, and one
        compiled.compile_program.cache_clear()
        patched = pytest.MonkeyPatch()
        patched.setattr(compiled, "TOKENS", tokens)
        config = replace(CONFIG, steps=5, chunk=5)
        losses.append(train(Uneven(), MODEL, config, key=KEY).history)
        patched.undo()
    compiled.compile_program.cache_clear()
    # float32 sums in another order.
    np.testing.assert_allclose(losses[0].loss, losses[1].loss, rtol=1e-5)
    np.testing.assert_allclose(
        losses[0].gradient_norm, losses[1].gradient_norm, rtol=1e-4
    )
