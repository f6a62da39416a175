"""Prompts follow the stated law, bad ones are refused, tokens hold what they say."""

import json
from dataclasses import asdict, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icl import LinearRegression, Prompts, encode, token_contexts, token_count
from icl import token_names as names_of
from icl.codecs.pairs import at_inputs, encode_inputs
from icl.prompts import check_prompts

KEY = jax.random.key(0)
BATCH = 20_000

# An average of many draws is held to its expectation within this many standard errors:
# for one comparison, chance is beyond it once in two million.
SIGMAS = 5.0


def assert_mean(draws, expected):
    """Averages over the first axis agree with `expected` within `SIGMAS`."""
    draws = np.asarray(draws, float)
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - expected) <= SIGMAS * error).all()


def products(rows):
    """Outer products of the rows with themselves: their mean is the covariance."""
    return rows[:, :, None] * rows[:, None, :]


def noise(prompts):
    xs, ys, weights = (np.asarray(each, float) for each in prompts[:3])
    return ys - np.einsum("bnd,bd->bn", xs, weights)


# --- The law of the prompts ----------------------------------------------------------


COVARIANCE = ((2.0, 0.6, 0.0), (0.6, 1.0, -0.3), (0.0, -0.3, 0.5))
SINGULAR = ((1.0, 1.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 4.0))


@pytest.mark.parametrize(
    ("changes", "covariance"),
    [
        ({}, np.eye(3)),
        ({"inputs": "uniform"}, np.eye(3)),
        ({"covariance": COVARIANCE}, COVARIANCE),
        ({"covariance": COVARIANCE, "inputs": "uniform"}, COVARIANCE),
        ({"covariance": SINGULAR}, SINGULAR),
    ],
    ids=["normal", "uniform", "covariance", "uniform covariance", "singular"],
)
def test_inputs_have_mean_zero_and_the_stated_covariance(changes, covariance):
    task = replace(LinearRegression(dim=3, length=2), **changes)
    xs = np.asarray(task.sample(KEY, batch=BATCH).xs)
    for i in range(task.length):
        assert_mean(xs[:, i], 0)
        assert_mean(products(xs[:, i]), covariance)
    assert_mean(xs[:, 0, :, None] * xs[:, 1, None, :], 0)  # drawn independently


def test_uniform_inputs_fill_their_interval_evenly():
    xs = LinearRegression(dim=2, length=3, inputs="uniform").sample(KEY, batch=BATCH).xs
    assert np.abs(xs).max() <= np.sqrt(3)
    # Uniform on (-sqrt 3, sqrt 3): below each decile as often as it says.
    edges = np.sqrt(3) * np.linspace(-0.8, 0.8, 9)
    assert_mean(np.asarray(xs).reshape(-1, 1) < edges, np.linspace(0.1, 0.9, 9))


def test_normal_inputs_have_normal_tails():
    xs = LinearRegression(dim=2, length=3).sample(KEY, batch=BATCH).xs
    assert_mean(np.asarray(xs, float).reshape(-1) ** 4, 3)


@pytest.mark.parametrize("name", ["covariance", "weight_covariance"])
def test_a_diagonal_covariance_may_be_given_as_a_vector(name):
    """In front of the type checks too, which read the annotations."""
    short, whole = (4.0, 0.25), ((4.0, 0.0), (0.0, 0.25))
    given = LinearRegression(dim=2, **{name: short})
    assert given == LinearRegression(dim=2, **{name: whole})
    assert getattr(given, name) == whole


def test_a_covariance_may_be_any_array(untyped):
    short = LinearRegression(dim=2, covariance=np.array([4.0, 0.25]))
    assert short == LinearRegression(dim=2, covariance=((4.0, 0.0), (0.0, 0.25)))


@pytest.mark.parametrize("weight_std", [1.0, 0.25])
def test_weights_are_independent_with_the_stated_scale(weight_std):
    task = LinearRegression(dim=3, length=1, weight_std=weight_std)
    weights = np.asarray(task.sample(KEY, batch=BATCH).weights)
    assert_mean(weights, 0)
    assert_mean(products(weights), weight_std**2 * np.eye(3))


def test_fixed_weights_are_those_of_every_prompt_and_change_nothing_else():
    drawn = LinearRegression(dim=3, length=4, noise_std=0.5)
    fixed = replace(drawn, fixed_weights=(1.0, -2.0, 0.5), weight_std=7.0)
    prompts, others = (task.sample(KEY, batch=50) for task in (fixed, drawn))
    np.testing.assert_array_equal(prompts.weights, np.tile([1.0, -2.0, 0.5], (50, 1)))
    np.testing.assert_array_equal(prompts.xs, others.xs)
    # The same noise, as far as float32 labels of size 10 let it be recovered.
    np.testing.assert_allclose(noise(prompts), noise(others), atol=1e-5)


def test_one_number_is_a_vector_of_it(untyped):
    plain = LinearRegression(dim=2, fixed_weights=(1.0, 1.0))
    for given in (1, 1.0, [1, 1], np.ones(2, np.float32), jnp.ones(())):
        task = LinearRegression(dim=2, fixed_weights=given)
        assert task == plain and hash(task) == hash(plain)
        assert json.dumps(asdict(task)) == json.dumps(asdict(plain))


def test_labels_without_noise_are_exact():
    prompts = LinearRegression(dim=3, length=7).sample(KEY, batch=100)
    # A float32 sum of three products, each rounded: a few units in the last place.
    np.testing.assert_allclose(noise(prompts), 0, atol=2e-6)


def test_noise_is_drawn_anew_for_every_label():
    task = LinearRegression(dim=2, length=3, noise_std=0.5)
    draws = noise(task.sample(KEY, batch=BATCH))
    assert_mean(draws, 0)
    assert_mean(products(draws), 0.25 * np.eye(3))  # none shared between labels


def test_noise_changes_labels_only():
    clean = LinearRegression(dim=2, length=3).sample(KEY, batch=4)
    noisy = LinearRegression(dim=2, length=3, noise_std=1.0).sample(KEY, batch=4)
    np.testing.assert_array_equal(clean.xs, noisy.xs)
    np.testing.assert_array_equal(clean.weights, noisy.weights)
    assert (np.asarray(clean.ys) != np.asarray(noisy.ys)).all()


def test_a_sample_is_a_function_of_its_key():
    task = LinearRegression(dim=2, length=3, noise_std=1.0)
    first, again = task.sample(KEY, batch=5), task.sample(KEY, batch=5)
    other = task.sample(jax.random.key(1), batch=5)
    for a, b, c in zip(first[:3], again[:3], other[:3], strict=True):
        np.testing.assert_array_equal(a, b)
        assert (np.asarray(a) != np.asarray(c)).all()


def test_parts_of_a_sample_are_independent():
    task = LinearRegression(dim=1, length=1, noise_std=1.0)
    prompts = task.sample(KEY, batch=BATCH)
    parts = np.stack([prompts.xs[:, 0, 0], prompts.weights[:, 0], noise(prompts)[:, 0]])
    assert_mean(products(parts.T), np.eye(3))


def test_sampling_compiles():
    task = LinearRegression(dim=3, length=2, noise_std=0.1, covariance=COVARIANCE)
    compiled = jax.jit(lambda key: task.sample(key, batch=5))(KEY)
    for a, b in zip(task.sample(KEY, batch=5)[:3], compiled[:3], strict=True):
        # XLA fuses and reorders a few float32 operations.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# --- Settings ------------------------------------------------------------------------


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 0}, r"dim must be an integer >= 1, got 0\."),
        ({"dim": 2.0}, r"dim must be an integer >= 1, got 2\.0\."),
        ({"dim": True}, r"dim must be an integer >= 1, got True\."),
        ({"length": -1}, r"length must be an integer >= 1, got -1\."),
        ({"length": "4"}, r"length must be an integer >= 1, got '4'\."),
        ({"noise_std": -0.1}, r"noise_std must be a finite number >= 0, got -0\.1\."),
        ({"noise_std": np.nan}, r"noise_std must be a finite number >= 0, got nan\."),
        ({"noise_std": "1"}, r"noise_std must be a finite number >= 0, got '1'\."),
        ({"weight_std": 0}, r"weight_std must be a finite number > 0, got 0\."),
        ({"weight_std": np.inf}, r"weight_std must be a finite number > 0, got inf\."),
        (
            {"inputs": "gauss"},
            r"inputs must be one of 'normal', 'uniform', .* got 'gauss'",
        ),
        ({"covariance": [1.0, 2.0]}, r"of sizes \(3, 3\), got shape \(2, 2\)"),
        ({"covariance": 1.0}, r"covariance must have axes .* got shape \(\)"),
        ({"covariance": [1.0, np.nan, 1.0]}, "covariance must be finite"),
        ({"covariance": np.triu(np.ones((3, 3)))}, r"symmetric; use \(C \+ C\.T\) / 2"),
        ({"covariance": [1.0, 1.0, -0.5]}, r"its smallest eigenvalue is -0\.5"),
        ({"fixed_weights": [1.0, 2.0]}, r"fixed_weights .* sizes \(3\), got .* \(2,\)"),
        ({"fixed_weights": np.eye(3)}, r"fixed_weights must have axes .* \(3, 3\)"),
        ({"fixed_weights": np.inf}, r"fixed_weights must be finite"),
    ],
    ids=str,
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        LinearRegression(**({"dim": 3, "length": 4} | changes))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("untyped")
def test_a_task_holds_plain_numbers_whatever_was_given():
    given = LinearRegression(
        dim=np.int64(2),
        length=jnp.int32(3),
        noise_std=np.float32(0.5),
        covariance=np.eye(2, dtype=np.float32),
    )
    plain = LinearRegression(
        dim=2, length=3, noise_std=0.5, covariance=((1.0, 0.0), (0.0, 1.0))
    )
    assert hash(given) == hash(plain)
    assert json.dumps(asdict(given)) == json.dumps(asdict(plain))


@pytest.mark.parametrize("batch", [0, -3])
def test_a_batch_is_positive(batch):
    with pytest.raises(ValueError, match=f"batch must be an integer >= 1, got {batch}"):
        LinearRegression(dim=2, length=3).sample(KEY, batch=batch)


# --- Prompts of your own -------------------------------------------------------------


def own(xs=(2, 3, 2), ys=(2, 3), weights=(2, 2)):
    """Prompts of ones in these shapes."""
    shapes = {"xs": xs, "ys": ys, "weights": weights}
    return Prompts(**{n: np.ones(s) for n, s in shapes.items() if s is not None})


def spoilt(name, value):
    prompts = own()
    getattr(prompts, name)[1, 0] = value
    return prompts


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (own(xs=(2, 3)), r"xs must have axes \(batch, length, dim\) .* shape \(2, 3\)"),
        (own(ys=(2, 4)), r"ys must have axes .* sizes \(2, 3\), got shape \(2, 4\)"),
        (own(ys=(2, 3, 1)), r"ys must have axes .* got shape \(2, 3, 1\)"),
        (own(weights=(2, 3)), r"weights must have axes .* sizes \(2, 2\)"),
        (own(weights=(3, 2)), r"weights must have axes .* got shape \(3, 2\)"),
        (own(xs=(0, 3, 2)), r"xs must not be empty, got shape \(0, 3, 2\)"),
        (own(xs=(2, 0, 2)), r"xs must not be empty"),
        (own(xs=(2, 3, 0)), r"xs must not be empty"),
        (spoilt("xs", np.nan), r"xs must be finite, but 2 of its 12 .* \(1, 0, 0\)"),
        (spoilt("ys", np.inf), r"ys must be finite, but 1 of its 6 .* \(1, 0\)"),
        (spoilt("weights", -np.inf), r"weights must be finite, but 1 of its 4"),
        (spoilt("ys", 1e300), r"ys must be finite"),  # not in float32
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_bad_prompts_are_refused(prompts, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_prompts(prompts)
    assert "\n" not in str(caught.value)


def test_good_prompts_become_float_arrays():
    checked = check_prompts(Prompts(np.ones((2, 3, 2), int), np.ones((2, 3))))
    assert checked.weights is None
    assert checked.xs.dtype == checked.ys.dtype == jnp.float32
    sampled = LinearRegression(dim=2, length=3).sample(KEY, batch=2)
    for a, b in zip(sampled, check_prompts(sampled), strict=True):
        assert a is b


# --- Tokens --------------------------------------------------------------------------


PAIRS = Prompts(
    xs=jnp.array([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]),
    ys=jnp.array([[7.0, 8.0, 9.0]]),
)
TOKENS = [[0, 1, 2], [7, 0, 0], [0, 3, 4], [8, 0, 0], [0, 5, 6]]


def test_tokens_by_hand():
    np.testing.assert_array_equal(encode(PAIRS)[0], TOKENS)
    np.testing.assert_array_equal(encode_inputs(PAIRS.xs)[0], TOKENS[::2])


def test_the_last_label_is_never_fed():
    other = PAIRS._replace(ys=PAIRS.ys.at[0, -1].set(-1.0))
    np.testing.assert_array_equal(encode(PAIRS), encode(other))


def test_rows_of_the_inputs():
    np.testing.assert_array_equal(at_inputs(encode(PAIRS))[0], TOKENS[::2])
    stacked = jnp.stack([encode(PAIRS)] * 3)
    assert at_inputs(stacked).shape == (3, 1, 3, 3)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_names_counts_and_contexts_agree(length):
    names, contexts = names_of(length), token_contexts(length)
    assert len(names) == len(contexts) == token_count(length) == 2 * length - 1
    for name, context in zip(names, contexts, strict=True):
        # x3 has seen the pairs 1 and 2, y3 has completed the third.
        assert context == int(name[1:]) - (name[0] == "x")
    assert names_of(length)[::2] == [f"x{i + 1}" for i in range(length)]
    np.testing.assert_array_equal(contexts[::2], np.arange(length))


@pytest.mark.parametrize("function", [token_count, names_of, token_contexts])
def test_there_is_at_least_one_pair(function):
    with pytest.raises(ValueError, match="length must be an integer >= 1, got 0"):
        function(0)
