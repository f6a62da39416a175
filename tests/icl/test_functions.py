"""Classes of functions, pools and mixtures draw what they say they draw."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bare import BARE

from icl import LinearRegression, ModelConfig, TrainConfig, train_ensemble
from icl.losses import logistic
from icl.model.building import build
from icl.tasks import (
    DecisionTree,
    FunctionClass,
    LinearClassification,
    Mixture,
    Pool,
    PromptPool,
    Quadratic,
    ReluNetwork,
    SparseLinear,
    Task,
    function_class,
)
from icl.tasks.base import with_values
from icl.testing import check_task

KEY = jax.random.key(0)
LINEAR = LinearRegression(dim=3, length=4)
CLASSES = [
    SparseLinear(3, 4, 2, noise_std=0.1, noise_law="laplace"),
    Quadratic(3, 4, noise_std=0.1, noise_law="student"),
    ReluNetwork(3, 4, hidden=8),
    DecisionTree(3, 4, depth=2, noise_std=0.1, noise_law="uniform"),
    LinearClassification(3, 4, flipped=0.1),
]
DERIVED = [
    Pool(LINEAR, 5, seed=1),
    Pool(CLASSES[3], 2, probabilities=(0.25, 0.75)),
    PromptPool(CLASSES[1], 5),
    Mixture((LINEAR, CLASSES[0]), (0.3, 0.7)),
]


def drawn(task: Task, batch: int, seed: int = 0):
    return jax.jit(lambda key: task.sample(key, batch=batch))(jax.random.key(seed))


@pytest.mark.parametrize(
    "task", [*CLASSES, *DERIVED], ids=lambda task: type(task).__name__
)
def test_each_can_be_trained_saved_and_swept(task):
    check_task(task)


@pytest.mark.parametrize("task", CLASSES, ids=lambda task: type(task).__name__)
def test_the_normaliser_is_the_mean_square_of_a_function(task):
    clean = replace(task, **({"flipped": 0.0} if hasattr(task, "flipped") else {}))
    prompts = drawn(clean, 20_000)
    functions = dict(prompts.latents or {})
    if prompts.weights is not None:
        functions["weights"] = prompts.weights
    squares = np.square(np.asarray(clean.values(functions, prompts.xs), float))
    by_prompt = squares.mean(axis=1)
    error = by_prompt.std() / len(by_prompt) ** 0.5
    assert abs(by_prompt.mean() - task.normaliser) <= 5 * error + 1e-6


@pytest.mark.parametrize("law", ["normal", "uniform", "laplace", "student"])
def test_noise_of_every_law_has_the_stated_deviation(law):
    task = LinearRegression(2, 4, noise_std=0.5, fixed_weights=0.0, noise_law=law)
    noise = np.asarray(drawn(task, 20_000).ys, float).ravel()
    assert abs(noise.mean()) <= 5 * 0.5 / len(noise) ** 0.5
    # A standard error from the sample; kurtosis is finite for all laws.
    error = (noise**2).std() / len(noise) ** 0.5
    assert abs((noise**2).mean() - 0.25) <= 5 * error
    kurtosis = (noise**4).mean() / 0.25**2
    expected = {"normal": 3.0, "uniform": 1.8, "laplace": 6.0, "student": 9.0}[law]
    assert kurtosis == pytest.approx(expected, rel=0.5 if law == "student" else 0.15)


def test_each_sparse_function_has_k_coordinates_and_all_are_used():
    weights = np.asarray(drawn(SparseLinear(6, 2, k=2), 4_000).weights)
    used = weights != 0
    assert (used.sum(axis=1) == 2).all()
    # 4,000 draws of a third: five standard errors are 0.037.
    np.testing.assert_allclose(used.mean(axis=0), 1 / 3, atol=0.04)


def test_a_curriculum_keeps_sparse_functions_among_the_active_coordinates():
    task = with_values(SparseLinear(6, 2, k=2), {"active_dims": jnp.int32(3)})
    prompts = drawn(task, 200)
    assert (np.asarray(prompts.weights)[:, 3:] == 0).all()
    assert (np.asarray(prompts.weights) != 0).sum(axis=1).tolist() == [2] * 200
    assert (np.asarray(prompts.xs)[..., 3:] == 0).all()


def test_a_tree_follows_its_questions_to_a_leaf():
    task = DecisionTree(dim=3, length=16, depth=3)
    prompts = drawn(task, 8)
    coordinates, leaves = (
        np.asarray(prompts.latents[name]) for name in ("coordinates", "leaves")
    )
    for b in range(8):
        for i in range(16):
            node = 0
            while node < 7:
                right = prompts.xs[b, i, coordinates[b, node]] > 0
                node = 2 * node + (2 if right else 1)
            assert prompts.ys[b, i] == pytest.approx(leaves[b, node - 7], rel=1e-6)


def test_networks_and_squares_are_what_they_say():
    xs = np.random.default_rng(0).normal(size=(2, 3, 4))
    net = ReluNetwork(dim=4, length=3, hidden=5)
    functions = net.functions(KEY, 2)
    first, second = (np.asarray(functions[name], float) for name in ("first", "second"))
    units = np.maximum(np.einsum("bhd,bld->blh", first, xs), 0)
    wanted = np.sqrt(2 / 5) * np.einsum("bh,blh->bl", second, units)
    found = net.values(functions, jnp.asarray(xs))
    np.testing.assert_allclose(found, wanted, atol=1e-5)  # float32
    square = Quadratic(dim=4, length=3)
    functions = square.functions(KEY, 2)
    coefficients = np.asarray(functions["coefficients"], float)
    wanted = np.einsum("bd,bld->bl", coefficients, xs**2) / np.sqrt(3)
    found = square.values(functions, jnp.asarray(xs))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("task", CLASSES, ids=lambda task: type(task).__name__)
@pytest.mark.parametrize("dtype", [np.int8, np.float16])
def test_functions_of_short_numbers_are_those_of_long_ones(task, dtype, untyped):
    functions = task.functions(KEY, 1)
    xs = np.full((1, 2, task.dim), 100, dtype)
    wanted = task.values(functions, jnp.asarray(xs, jnp.float32))
    np.testing.assert_array_equal(task.values(functions, xs), wanted)
    np.testing.assert_array_equal(task.values(functions, xs.tolist()), wanted)


def test_labels_of_classes_are_sides_of_a_plane_some_of_them_flipped():
    prompts = drawn(LinearClassification(3, 50, flipped=0.2), 400)
    sides = np.sign(
        np.einsum("bd,bld->bl", prompts.latents["normals"], np.asarray(prompts.xs))
    )
    assert set(np.unique(prompts.ys)) == {-1.0, 1.0}
    # 20,000 draws of 0.2: five standard errors are 0.014.
    assert abs((sides != np.asarray(prompts.ys)).mean() - 0.2) < 0.015


def test_the_logistic_loss_is_minus_the_log_of_the_probability():
    odds = jnp.array([[-3.0, 0.0, 2.0]])
    chance = 1 / (1 + np.exp(-np.asarray(odds)))
    found = logistic(odds, jnp.array([[1.0, 1.0, -1.0]]))
    wanted = -np.log([[chance[0, 0], chance[0, 1], 1 - chance[0, 2]]])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


# --- Pools and mixtures --------------------------------------------------------------


def test_a_pool_holds_few_functions_and_a_smaller_one_is_its_beginning():
    large, small = Pool(LINEAR, 6, seed=2), Pool(LINEAR, 3, seed=2)
    table = np.asarray(large.members(jnp.arange(6))["weights"])
    np.testing.assert_array_equal(table[:3], small.members(jnp.arange(3))["weights"])
    prompts = drawn(large, 300)
    index = np.asarray(prompts.latents["index"])
    np.testing.assert_array_equal(prompts.weights, table[index])
    assert set(index) == set(range(6))
    assert len(np.unique(table, axis=0)) == 6
    other = Pool(LINEAR, 6, seed=3).members(jnp.arange(6))["weights"]
    assert not np.isin(np.asarray(other), table).any()


def test_functions_of_a_pool_occur_with_their_probabilities():
    pool = Pool(LINEAR, 3, probabilities=(0.5, 0.0, 0.5))
    index = np.asarray(drawn(pool, 2_000).latents["index"])
    counts = np.bincount(index, minlength=3) / 2_000
    np.testing.assert_allclose(counts, (0.5, 0.0, 0.5), atol=0.06)


@pytest.mark.parametrize("kind", [list, np.array, jnp.array])
def test_probabilities_of_any_array_are_kept_as_a_tuple(kind, untyped):
    shares = (0.25, 0.75)
    pool = Pool(LINEAR, 2, probabilities=kind(shares))
    assert pool == Pool(LINEAR, 2, probabilities=shares)
    assert hash(pool) == hash(Pool(LINEAR, 2, probabilities=shares))
    assert Mixture((LINEAR, LINEAR), kind(shares)).probabilities == shares


def test_a_pool_of_prompts_repeats_whole_prompts():
    prompts = drawn(PromptPool(LINEAR, 4), 100)
    rows = np.asarray(prompts.xs).reshape(100, -1)
    assert len(np.unique(rows, axis=0)) == 4
    assert len(np.unique(np.asarray(prompts.ys), axis=0)) == 4


def test_pools_of_several_sizes_are_one_ensemble():
    pools = [Pool(LinearRegression(dim=2, length=3), size) for size in (1, 2, 64)]
    config = TrainConfig(
        steps=4, batch=8, chunk=4, evaluate_every=4, held_out=8, checkpoint_every=4
    )
    keys = jax.random.split(KEY, 3)
    members = train_ensemble(pools, BARE, config, keys=keys)
    assert [member.task for member in members] == pools


def test_a_mixture_draws_each_prompt_from_one_of_its_tasks():
    dense, sparse = LinearRegression(dim=6, length=3), SparseLinear(6, 3, k=1)
    prompts = drawn(Mixture((dense, sparse), (0.25, 0.75)), 2_000)
    component = np.asarray(prompts.latents["component"])
    used = (np.asarray(prompts.weights) != 0).sum(axis=1)
    np.testing.assert_array_equal(used, np.where(component == 0, 6, 1))
    assert abs((component == 0).mean() - 0.25) < 0.05
    assert Mixture((dense, Quadratic(6, 3))).sample(KEY, batch=2).weights is None


def test_a_model_of_classes_learns_from_log_odds():
    task = LinearClassification(3, 4)
    model = build(task.codec, ModelConfig(layers=1, width=8), KEY)
    prompts = task.sample(KEY, batch=2)
    losses = task.codec.losses(model.predict(prompts), prompts)
    wanted = np.log1p(np.exp(-np.asarray(prompts.ys * model.predict(prompts))))
    np.testing.assert_allclose(losses, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SparseLinear(3, 4, k=4), "k must be at most dim=3.*got 4"),
        (
            lambda: DecisionTree(3, 4, depth=40),
            r"depth must be .* at most 16, for every prompt .* 2\^depth .*, got 40",
        ),
        (
            lambda: ReluNetwork(3, 4, hidden=10**9),
            "hidden must be .* at most 65,536, for every prompt has a network",
        ),
        (lambda: LinearClassification(3, 4, flipped=0.7), "flipped must be 0 to 0.5"),
        (lambda: Quadratic(3, 4, noise_law="cauchy"), "noise_law must be one of"),
        (lambda: Pool(PromptPool(LINEAR, 2), 4), "class of functions.*got PromptPool"),
        (lambda: Pool(LINEAR, 0), "size must be an integer >= 1, got 0"),
        (
            lambda: Pool(LINEAR, 2, probabilities=(0.5, 0.6)),
            "must sum to 1, got 1.1; divide them by their sum",
        ),
        (
            lambda: Pool(LINEAR, 2, probabilities=np.full(2, 0.3333)),
            "must sum to 1, got 0.6666; divide them by their sum",
        ),
        (lambda: Pool(LINEAR, 3, probabilities=(0.5, 0.5)), "3 numbers in one axis"),
        (
            lambda: Pool(LINEAR, 2, probabilities=np.full((1, 2), 0.5)),
            r"2 numbers in one axis, .* got array\(\[\[0.5, 0.5\]\]\)",
        ),
        (lambda: Mixture((LINEAR,)), "two tasks or more"),
        (
            lambda: Mixture((LINEAR, Quadratic(2, 4))),
            "same dimension, length and codec",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, says, untyped):
    with pytest.raises(ValueError, match=says):
        make()


def test_a_class_that_says_nothing_of_its_size_says_what_to_define():
    class Own(FunctionClass):
        functions = values = None

    with pytest.raises(ValueError, match="property `normaliser`"):
        _ = Own().normaliser


LARGE = {
    "depth": DecisionTree(20, 101, depth=16),
    "hidden": ReluNetwork(20, 101, hidden=2**16),
}


@pytest.mark.parametrize("wrapped", ["alone", "pool", "prompts", "mixture"])
@pytest.mark.parametrize("field", LARGE)
def test_a_batch_that_no_memory_holds_is_refused_by_the_field(field, wrapped):
    task = LARGE[field]
    each = {
        "alone": task,
        "pool": Pool(task, 8),
        "prompts": PromptPool(Pool(task, 8), 8),
        "mixture": Mixture((task, task)),
    }
    says = (
        rf"^{field}=\d+ of {type(task).__name__} .* batch=100,000,000: .* at least "
        rf"[\d,.]+ GB, .*; take a smaller {field} or a batch of at most [\d,]+\.$"
    )
    with pytest.raises(ValueError, match=says):
        each[wrapped].sample(KEY, batch=10**8)


@pytest.mark.parametrize("field", LARGE)
def test_what_fits_is_drawn_and_what_it_takes_is_not_said_too_high(field, monkeypatch):
    """Refusals count less than is held: the functions, and units or random bits."""
    task = replace(LARGE[field], **{field: 8})
    name, numbers = task.memory_of_prompt
    functions = jax.eval_shape(lambda key: dict(task.functions(key, 10)), KEY)
    held = sum(array.size for array in jax.tree.leaves(functions))
    most = 2 * held if field == "depth" else held + 10 * task.length * task.hidden
    assert name == field and held <= 10 * numbers <= most
    monkeypatch.setattr(function_class, "room", lambda: 4 * 10 * numbers)
    assert task.sample(KEY, batch=10).ys.shape == (10, 101)
    with pytest.raises(ValueError, match=r"at most 10\."):
        task.sample(KEY, batch=11)
    monkeypatch.setattr(function_class, "room", lambda: 1)
    with pytest.raises(ValueError, match=f"take a smaller {field}\\.$"):
        task.sample(KEY, batch=1)
    monkeypatch.setattr(function_class, "room", lambda: None)
    assert task.sample(KEY, batch=11).ys.shape == (11, 101)
