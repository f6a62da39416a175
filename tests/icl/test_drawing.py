"""What a task draws is followed where its code, and not its fields, changes."""

import functools
import json
from dataclasses import InitVar, dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bare import BARE
from own_tasks import Digits, Lines, ModularSum, Sparse

from icl import (
    Curriculum,
    LinearRegression,
    Prompts,
    TrainConfig,
    load,
    save,
    sweeps,
    train,
    train_ensemble,
)
from icl.tasks import drawing
from icl.testing import check_task
from icl.training.compiled import program_key
from icl.training.config import HOST_ONLY
from icl.training.description import fingerprint
from icl.training.trained import TaskChangedWarning

KEY = jax.random.key(0)
MODEL = BARE
CONFIG = TrainConfig(steps=2, chunk=2, batch=16, held_out=64)
LEVEL = {0: 1.0}  # a global that `Global.sample` reads


@dataclass(frozen=True)
class Global(Sparse):
    """Reads a global and an attribute of its class, which are no fields."""

    shift = 0.0

    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        return prompts._replace(ys=LEVEL[0] * prompts.ys + self.shift)


def losses(trained):
    return trained.history.held_out_loss.values


# --- a program is shared by runs that compute the same ---


def test_what_sample_reads_decides_which_program_is_used(monkeypatch):
    before = train(Global(), MODEL, CONFIG, key=KEY)
    monkeypatch.setitem(LEVEL, 0, 0.0)
    after = train(Global(), MODEL, CONFIG, key=KEY)
    assert losses(before)[0].max() > 0.1
    # All labels are 0: what is left are the squares of a new model's predictions.
    assert (losses(after)[0] != losses(before)[0]).all()
    monkeypatch.setattr(Global, "shift", 100.0)
    assert losses(train(Global(), MODEL, CONFIG, key=KEY))[0].min() > 5_000


def closed_over(table):
    """A class whose `sample` holds an array inside a function of its own."""

    @dataclass(frozen=True)
    class Closed(Sparse):
        def sample(self, key, *, batch):
            prompts = Sparse.sample(self, key, batch=batch)
            inner = jax.jit(lambda x: x * table[None])
            return prompts._replace(ys=inner(prompts.ys))

    return Closed()


def test_arrays_inside_of_jitted_functions_count():
    one, same, other = (closed_over(jnp.full(5, v)) for v in (1.0, 1.0, 2.0))
    assert drawing.program(one).same_as(drawing.program(same))
    assert not drawing.program(one).same_as(drawing.program(other))


def test_a_program_depends_on_neither_scales_nor_seeds():
    tasks = [LinearRegression(dim=2, noise_std=std) for std in (0.0, 0.5)]
    assert len({program_key(task, MODEL, CONFIG) for task in tasks}) == 1


def test_a_program_does_not_depend_on_when_a_run_is_evaluated_and_kept():
    configs = [CONFIG, *(replace(CONFIG, **{name: 7}) for name in HOST_ONLY)]
    assert len({program_key(Sparse(), MODEL, config) for config in configs}) == 1
    longer = replace(CONFIG, steps=7)
    assert len({program_key(Sparse(), MODEL, c) for c in (CONFIG, longer)}) == 2


# --- what was trained on other data is not taken for the same ---


def redefined():
    """Another class of the same name and fields, as after a cell is run again."""

    @dataclass(frozen=True)
    class Sparse(LinearRegression):
        k: int = 2

        def sample(self, key, *, batch):
            prompts = super().sample(key, batch=batch)
            return prompts._replace(ys=3 * prompts.ys)

    return Sparse(dim=4, length=5)


def original():
    """The class that `redefined` replaces."""

    @dataclass(frozen=True)
    class Sparse(LinearRegression):
        k: int = 2

    return Sparse(dim=4, length=5)


def test_a_directory_refuses_a_class_that_draws_otherwise(tmp_path):
    train(original(), MODEL, CONFIG, key=KEY, directory=tmp_path)
    train(original(), MODEL, CONFIG, key=KEY, directory=tmp_path)  # defined again
    said = r"Sparse draws other batch\.ys, losses, tokens than it did then"
    with pytest.raises(ValueError, match=said):
        train(redefined(), MODEL, CONFIG, key=KEY, directory=tmp_path)
    keys = jax.random.split(KEY, 2)
    together = tmp_path / "together"
    train_ensemble(original(), MODEL, CONFIG, keys=keys, directory=together)
    with pytest.raises(ValueError, match=said):
        train_ensemble(redefined(), MODEL, CONFIG, keys=keys, directory=together)


def test_a_results_folder_refuses_it_too(tmp_path):
    setting, changed = (
        sweeps.Setting(task, MODEL, CONFIG) for task in (original(), redefined())
    )
    models = sweeps.Models(tmp_path, jobs=1)
    models(setting)
    for store in (models, sweeps.Models(tmp_path, jobs=1)):  # in memory and on disk
        (outcome,) = sweeps.train_all([changed], store)
        assert outcome.state == "failed" and "draws other" in outcome.message
        with pytest.raises(ValueError, match="draws other"):
            store(changed)
    in_memory = sweeps.Models(None)
    assert losses(in_memory(setting))[0].max() < losses(in_memory(changed))[0].max()


def test_a_loaded_model_says_that_its_task_draws_otherwise(tmp_path, recwarn):
    save(tmp_path, train(original(), MODEL, CONFIG, key=KEY))
    load(tmp_path, tasks=[type(original())])
    assert [str(warning.message) for warning in recwarn] == []
    with pytest.warns(TaskChangedWarning, match="draws other"):
        load(tmp_path, tasks=[type(redefined())])


def test_other_random_numbers_of_jax_are_no_change():
    """Without the generator of then nothing can be said."""
    said = drawing.sketch(original())
    assert drawing.redrawn(said, original()) == []
    assert drawing.redrawn(said, redefined()) == ["batch.ys", "losses", "tokens"]
    said["generator"] = [0.0, 1.0]
    assert drawing.redrawn(said, redefined()) == []
    assert drawing.redrawn(None, redefined()) == []  # of an older version


# --- what a task keeps ---


@dataclass(frozen=True)
class Pool(Sparse):
    """Draws w from a finite pool, which is made when it is first needed."""

    seed: int = 3

    @functools.cached_property
    def pool(self):
        return jax.random.normal(jax.random.key(self.seed), (8, self.dim))

    def sample(self, key, *, batch):
        a, b = jax.random.split(key)
        w = self.pool[jax.random.randint(a, (batch,), 0, 8)]
        xs = self.sample_inputs(b, (batch, self.length))
        return Prompts(xs, (xs * w[:, None]).sum(-1), w)


@functools.lru_cache
def kept_pool(seed):
    return jax.random.normal(jax.random.key(seed), (8, 4))


@dataclass(frozen=True)
class Leaking(Pool):
    """Keeps an array that JAX was tracing when it was made."""

    @property
    def pool(self):
        return kept_pool(self.seed)


def test_a_pool_in_a_cached_property_is_trained_on():
    task = Pool()
    trained = train(task, MODEL, CONFIG, key=KEY)
    check_task(task)
    prompts = task.sample(KEY, batch=64)
    pool = {tuple(row) for row in np.asarray(prompts.weights).round(4).tolist()}
    assert len(pool) <= 8
    fresh = train(Pool(), MODEL, CONFIG, key=KEY)
    np.testing.assert_array_equal(losses(trained), losses(fresh))


def test_an_array_that_leaks_out_of_a_trace_is_explained():
    for refused in (check_task, lambda task: train(task, MODEL, CONFIG, key=KEY)):
        kept_pool.cache_clear()
        with pytest.raises(ValueError, match=r"kept for later, as by\s+functools.lru"):
            refused(Leaking())


@dataclass(frozen=True)
class Made(Sparse):
    """Has a field that follows from another one."""

    double: int = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "double", 2 * self.k)


def test_a_field_that_follows_from_others_is_not_written(tmp_path):
    check_task(Made(k=3))
    save(tmp_path, train(Made(k=3), MODEL, CONFIG, key=KEY))
    assert load(tmp_path, tasks=[Made]).task == Made(k=3)


def test_numbers_of_numpy_are_written_and_equal_numbers_are_one_setting(tmp_path):
    task = Sparse(k=np.int64(3))
    check_task(task)
    save(tmp_path, train(task, MODEL, CONFIG, key=KEY))
    assert load(tmp_path, tasks=[Sparse]).task == task
    hashes = {
        sweeps.Setting(Sparse(k=k), MODEL, CONFIG).hash for k in (3, 3.0, np.int64(3))
    }
    assert len(hashes) == 1
    assert fingerprint({"a": [True, 2.0]}) == fingerprint({"a": [1, 2]})
    assert fingerprint({"a": 2.5}) != fingerprint({"a": 2})


@dataclass(frozen=True)
class Around(Sparse):
    """Holds another task."""

    base: Sparse = Sparse()  # noqa: RUF009

    def sample(self, key, *, batch):
        return self.base.sample(key, batch=batch)


def test_a_task_around_another_one():
    check_task(Around())
    config = replace(CONFIG, curriculum=Curriculum(dims=1))
    with pytest.raises(ValueError, match="draws from another one must mask the inputs"):
        train(Around(), MODEL, config, key=KEY)


# --- what is refused before anything is compiled ---


@dataclass(frozen=True)
class Foreign(ModularSum):
    """Writes an id that its codec does not have."""

    def sample(self, key, *, batch):
        lines = super().sample(key, batch=batch)
        return lines._replace(ids=lines.ids + 1)


@dataclass(frozen=True)
class Weightless(ModularSum):
    """Counts no slot."""

    def sample(self, key, *, batch):
        lines = super().sample(key, batch=batch)
        return Lines(lines.ids, 0 * lines.weights)


@dataclass(frozen=True)
class Wide(Digits):
    """Its weights have no axis of the batch."""

    def slot_weights(self, batch):
        return jnp.ones(2)


@dataclass(frozen=True)
class WideSum(ModularSum):
    """Has weights of another shape than its losses."""

    @property
    def codec(self):
        return Wide(self.modulus)


@dataclass(frozen=True)
class Method(Sparse):
    """Forgets that a codec is a property."""

    def codec(self):
        return Digits(3)


@dataclass(frozen=True)
class NoComma(Sparse):
    """Forgets the comma of a tuple."""

    scales = "k"


class Undecorated(Sparse):
    """Annotates what no dataclass keeps."""

    more: int = 3


@dataclass(frozen=True)
class Lost(Sparse):
    """Has an argument that is gone once the task is made."""

    seed: InitVar[int] = 0

    def __post_init__(self, seed):
        pass


@dataclass(frozen=True)
class Flat(Sparse):
    """Draws inputs without their axis of coordinates."""

    def sample_inputs(self, key, shape):
        return jax.random.normal(key, shape)

    def sample(self, key, *, batch):
        xs = jax.random.normal(key, (batch, self.length, self.dim))
        return Prompts(xs, xs.sum(-1))


REFUSED = [
    (Foreign(), r"tokens of Foreign must be integers from 0 to 4.*; got 1 to 5"),
    (Weightless(), "slot_weights of Weightless must not be negative, nor all 0"),
    (WideSum(), r"slot_weights of WideSum must have axes \(batch, slots\)"),
    (Method(), "codec of Method is a method; put @property above"),
    (NoComma(), r"write scales = \('k',\), with a comma"),
    (Undecorated(), "Undecorated annotates 'more', which is no field"),
    (Lost(), "seed of Lost is an InitVar"),
]


@pytest.mark.parametrize(("task", "said"), REFUSED, ids=lambda v: type(v).__name__)
def test_it_is_refused_in_one_sentence(task, said, untyped):
    with pytest.raises(ValueError, match=said):
        check_task(task)
    with pytest.raises(ValueError, match=said):
        train(task, MODEL, CONFIG, key=KEY)


def test_new_inputs_have_an_axis_of_coordinates(untyped):
    with pytest.raises(ValueError, match=r"sample_inputs of Flat .*\(\*shape, dim\)"):
        check_task(Flat())


@dataclass(frozen=True)
class LastCounts(Sparse):
    """Only its last pair counts."""

    @property
    def codec(self):
        return LastPair(self.dim, self.length)


class LastPair(type(Sparse().codec)):
    """Pairs of which the last alone counts."""

    def slot_weights(self, batch):
        sizes = batch.ys.shape
        return jnp.zeros(sizes).at[:, -1].set(1.0)


def test_a_curriculum_begins_with_a_pair_that_counts():
    config = replace(CONFIG, curriculum=Curriculum(pairs=1))
    with pytest.raises(ValueError, match=r"slot_weights of LastCounts are 0 there"):
        train(LastCounts(), MODEL, config, key=KEY)


def test_arguments_that_are_mixed_up_are_named(tmp_path, untyped):
    with pytest.raises(
        ValueError, match=r"model_config must be a ModelConfig, got TrainConfig"
    ):
        train(Sparse(), CONFIG, MODEL, key=KEY)
    with pytest.raises(ValueError, match=r"hand an optax transformation over as"):
        TrainConfig(optimizer=optax.adam(1e-3))
    for tasks, said in (
        (Sparse, r"write tasks=\[Sparse\]"),
        ([Sparse()], r"got Sparse\(.*; write tasks=\[Sparse\]"),
        ([3], "classes that derive from Task, got 3"),
    ):
        with pytest.raises(ValueError, match=said):
            load(tmp_path, tasks=tasks)


def test_a_sketch_is_json():
    said = drawing.sketch(ModularSum())
    assert json.loads(json.dumps(said)) == said
    assert set(said) == {
        *("batch.ids", "batch.weights", "tokens", "losses", "weights", "generator")
    }
