"""The transformer against an independent float64 one, and what every variant obeys."""

import math
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import nnx

from icl import LinearRegression, ModelConfig, Prompts, Transformer, encode, token_count
from icl.codecs import Characters, JointPairs, Pairs
from icl.codecs.joint import joint_tokens
from icl.inference import predictions_at, resumed
from icl.model.building import abstract_params
from icl.pytrees import named

DIM, LENGTH, BATCH = 3, 5, 2
TOKENS = token_count(LENGTH)
TASK = LinearRegression(dim=DIM, length=LENGTH, noise_std=0.3)

BASE = ModelConfig(layers=2, width=8, heads=2)
CONFIGS = {
    "pre": BASE,
    "paper": replace(BASE, norm="paper", scale_scores=False),
    "code": replace(BASE, norm="code", final_norm=False, init="uniform"),
    "none": replace(BASE, norm="none"),
    "erf": replace(BASE, activation="erf"),
    "one head": replace(BASE, heads=1),
    "narrow heads": replace(BASE, head_dim=2),
    "wide heads": replace(BASE, heads=3, head_dim=4, norm="paper"),
    "linear": replace(BASE, attention="linear", norm="none"),
    "linear pre": replace(BASE, attention="linear", scale_scores=False),
    "attention only": replace(BASE, mlp_width=0),
    "small MLP": replace(BASE, mlp_width=5, norm="code"),
}
every_variant = pytest.mark.parametrize("name", CONFIGS)


def filled(config, fill, **sizes):
    """A model whose parameters are `fill(shape)`: nothing to compile for."""
    model = nnx.eval_shape(
        lambda: Transformer(config, Pairs(**sizes), rngs=nnx.Rngs(0))
    )
    params = jax.tree.map(lambda leaf: jnp.float32(fill(leaf.shape)), nnx.state(model))
    nnx.update(model, params)
    return model


@cache
def model_of(name):
    """A model whose every parameter matters: none is 0 or 1."""
    generator = np.random.default_rng(0)
    return filled(
        CONFIGS[name],
        lambda shape: 0.4 * generator.normal(size=shape),
        dim=DIM,
        length=LENGTH,
    )


@cache
def prompts():
    return TASK.sample(jax.random.key(2), batch=BATCH)


@cache
def output_of(name):
    return model_of(name)(prompts())


# --- Against float64 NumPy -----------------------------------------------------------


def linear64(layer, x):
    return x @ np.asarray(layer.kernel[...], float) + np.asarray(layer.bias[...], float)


def norm64(layer, x):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    x = (x - mean) / np.sqrt(variance + 1e-5)
    if layer is None or layer.scale is None:
        return x
    return x * np.asarray(layer.scale[...], float) + np.asarray(layer.bias[...], float)


def gelu64(config, x):
    if config.activation == "erf":
        return x / 2 * (1 + scipy.special.erf(x / math.sqrt(2)))
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attention64(config, layer, x):
    """One token, one head at a time, by the formula."""
    size = config.head_dim or config.width // config.heads
    queries, keys, values = np.split(linear64(layer.qkv, x), 3, axis=-1)
    mixed = np.zeros_like(queries)
    for head in range(config.heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(x.shape[1]):
            past = slice(0, i + 1)
            scores = np.einsum("bc,bkc->bk", queries[:, i, part], keys[:, past, part])
            if config.scale_scores:
                scores = scores / math.sqrt(size)
            if config.attention == "softmax":
                scores = scipy.special.softmax(scores, axis=-1)
            mixed[:, i, part] = np.einsum("bk,bkc->bc", scores, values[:, past, part])
    return linear64(layer.out, mixed)


def block64(config, layer, h):
    def attention(h):
        return attention64(config, layer.attention, h)

    def mlp(h):
        if config.mlp_width == 0:
            return 0
        return linear64(layer.mlp.down, gelu64(config, linear64(layer.mlp.up, h)))

    if config.norm == "none":
        h = h + attention(h)
        return h + mlp(h)
    if config.norm == "paper":
        h = h + attention(h)
        return h + mlp(norm64(None, h))
    if config.norm == "pre":
        h = h + attention(norm64(layer.norm_attention, h))
        return h + mlp(norm64(layer.norm_mlp, h)) if config.mlp_width != 0 else h
    h = norm64(layer.norm_attention, h)
    h = h + attention(h)
    h = norm64(layer.norm_mlp, h)
    return h + mlp(h)


def forward64(name):
    """Predictions and hidden states of the same parameters, written out in float64."""
    config, model = CONFIGS[name], model_of(name)
    xs, ys = np.asarray(prompts().xs, float), np.asarray(prompts().ys, float)
    tokens = np.zeros((BATCH, TOKENS, DIM + 1))
    tokens[:, 0::2, 1:] = xs
    tokens[:, 1::2, 0] = ys[:, :-1]
    h = linear64(model.read_in, tokens) + np.asarray(model.positions[...], float)
    hidden = [h]
    for layer in model.body:
        hidden.append(block64(config, layer, hidden[-1]))
    last = norm64(model.final_norm, hidden[-1]) if config.final_norm else hidden[-1]
    return linear64(model.head, last)[:, ::2, 0], np.stack(hidden)


@every_variant
def test_forward_pass_agrees_with_float64(name):
    predictions, hidden = forward64(name)
    output = output_of(name)
    assert output.hidden.shape == hidden.shape == (3, BATCH, TOKENS, 8)
    # Some hundred float32 operations (2^-24 = 6e-8 each) on a path; without a norm in
    # front of linear attention the states grow, so errors are held to the largest.
    for have, want in [(output.predictions, predictions), (output.hidden, hidden)]:
        np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * np.abs(want).max())


@every_variant
def test_predict_is_a_call_without_hidden_states(name):
    have = model_of(name).predict(prompts())
    # Products of fewer rows are added up in another order.
    want = output_of(name).predictions
    np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)


def test_the_variants_are_different_functions():
    predictions = [np.asarray(output_of(name).predictions) for name in CONFIGS]
    for i, one in enumerate(predictions):
        for other in predictions[:i]:
            # Beyond the tolerance above: no variant can pass for another.
            assert np.abs(one - other).max() > 2e-5 * np.abs(one).max()


# --- One step of gradient descent ----------------------------------------------------


def test_linear_attention_with_weights_set_by_hand_is_a_gradient_step():
    """von Oswald et al. 2023, Proposition 1: tokens (x, y), queried with (x, 0)."""
    dim, pairs, rate = 3, 6, 0.05
    config = ModelConfig(
        layers=1,
        width=dim + 1,
        attention="linear",
        scale_scores=False,
        norm="none",
        mlp_width=0,
    )
    model = filled(config, np.zeros, dim=dim, length=1)
    read_x = np.diag([1.0] * dim + [0.0])
    read_y = np.diag([0.0] * dim + [1.0])
    attention = model.body[0].attention
    attention.qkv.kernel[...] = jnp.float32(np.hstack([read_x, read_x, read_y]))
    attention.out.kernel[...] = jnp.float32(2 * rate * np.eye(dim + 1))

    prompts = LinearRegression(dim=dim, length=pairs + 1).sample(
        jax.random.key(0), batch=50
    )
    ys = prompts.ys.at[:, -1].set(0)
    joint = jnp.concatenate([prompts.xs, ys[..., None]], axis=-1)
    after = jax.jit(lambda joint: model.resume(joint, 0).hidden[-1])(joint)

    xs, ys = np.asarray(prompts.xs, float), np.asarray(prompts.ys, float)
    weights = 2 * rate * np.einsum("bnd,bn->bd", xs[:, :pairs], ys[:, :pairs])
    step = np.einsum("bd,bd->b", weights, xs[:, pairs])
    # A float32 sum of 6 products of two sums of 3: rounding of 6e-8 each, relative to
    # terms of up to about 10.
    np.testing.assert_allclose(after[:, -1, -1], step, rtol=0, atol=5e-6)
    np.testing.assert_array_equal(after[..., :dim], prompts.xs)  # x is passed on


# --- Causality -----------------------------------------------------------------------


@every_variant
def test_the_future_changes_nothing_bit_for_bit(name):
    """In row j of a batch of equal prompts, token j is another one."""
    sequence = encode(prompts())[:1].repeat(TOKENS, axis=0)
    changed = sequence.at[np.arange(TOKENS), np.arange(TOKENS)].add(1.0)
    model = model_of(name)
    before, after = (model.resume(model.embed(s), 0) for s in (sequence, changed))
    for j in range(TOKENS):
        hidden = [np.asarray(run.hidden[:, j]) for run in (before, after)]
        np.testing.assert_array_equal(hidden[0][:, :j], hidden[1][:, :j])
        assert (hidden[0][:, j] != hidden[1][:, j]).any(axis=-1).all()
        predictions = [np.asarray(run.predictions[j]) for run in (before, after)]
        seen = (j + 1) // 2  # predictions at x-tokens before token j
        np.testing.assert_array_equal(predictions[0][:seen], predictions[1][:seen])
        assert (predictions[0][seen:] != predictions[1][seen:]).all()


def test_a_prediction_does_not_see_its_label():
    ys = prompts().ys.at[:, 2].add(1.0)
    other = model_of("pre")(prompts()._replace(ys=ys)).predictions
    np.testing.assert_array_equal(other[:, :3], output_of("pre").predictions[:, :3])


def test_prompts_do_not_see_each_other():
    xs = prompts().xs.at[1].add(1.0)
    other = model_of("pre")(prompts()._replace(xs=xs)).predictions
    np.testing.assert_array_equal(other[0], output_of("pre").predictions[0])


def test_a_shorter_prompt_is_the_beginning_of_a_longer_one():
    xs, ys, *_ = prompts()
    short = model_of("pre")(Prompts(xs[:, :3], ys[:, :3])).predictions
    # Sums over fewer tokens may be added in another order.
    np.testing.assert_allclose(short, output_of("pre").predictions[:, :3], rtol=2e-6)


# --- Resuming and reading out --------------------------------------------------------


@every_variant
def test_resuming_at_any_layer_is_the_forward_pass_bit_for_bit(name):
    model, output = model_of(name), output_of(name)
    for layer in range(3):
        resumed = model.resume(output.hidden[layer], layer)
        np.testing.assert_array_equal(resumed.predictions, output.predictions)
        np.testing.assert_array_equal(resumed.hidden, output.hidden[layer:])


@every_variant
def test_read_out_of_the_last_layer_is_the_prediction(name):
    model, output = model_of(name), output_of(name)
    np.testing.assert_array_equal(model.read_out(output.hidden[-1]), output.predictions)
    every_layer = model.read_out(output.hidden)
    assert every_layer.shape == (3, BATCH, LENGTH)
    # The same rows in a larger product of matrices: another order of adding.
    np.testing.assert_allclose(
        every_layer[-1], output.predictions, rtol=1e-5, atol=1e-6
    )


def test_an_edited_state_changes_what_follows_it_only():
    model, output = model_of("pre"), output_of("pre")
    # Not the same everywhere: LayerNorm would take that away.
    edit = np.arange(8, dtype=np.float32)
    edited = model.resume(output.hidden[1].at[:, 4].add(edit), 1)
    np.testing.assert_array_equal(edited.predictions[:, :2], output.predictions[:, :2])
    assert (edited.predictions[:, 2:] != output.predictions[:, 2:]).all()


def test_the_forward_pass_compiles():
    graphdef, params = nnx.split(model_of("pre"))
    run = jax.jit(lambda params, prompts: nnx.merge(graphdef, params)(prompts))
    # Fused operations round differently.
    for a, b in zip(run(params, prompts()), output_of("pre"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# --- Other queries after the same prefix ---------------------------------------------


@every_variant
def test_queries_agree_with_replacing_the_input(name):
    model, (xs, ys, *_) = model_of(name), prompts()
    queries = TASK.sample_inputs(jax.random.key(3), (BATCH, LENGTH, 2))
    fast = model.predict_at(prompts(), queries)
    assert fast.shape == (BATCH, LENGTH, 2)
    slow = np.zeros(fast.shape)
    for i in range(LENGTH):
        for j in range(2):
            changed = Prompts(xs.at[:, i].set(queries[:, i, j]), ys)
            slow[:, i, j] = model(changed).predictions[:, i]
    # The same float32 sums in another order, with zeros for what is masked.
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-5 * np.abs(slow).max())


@pytest.mark.parametrize("name", ["pre", "linear"])
def test_the_inputs_themselves_as_queries(name):
    same = model_of(name).predict_at(prompts(), prompts().xs[:, :, None])
    expected = output_of(name).predictions
    scale = np.abs(expected).max()  # as above
    np.testing.assert_allclose(same[..., 0], expected, rtol=0, atol=1e-5 * scale)


# --- Parameters ----------------------------------------------------------------------


def leaves_of(config, **sizes):
    def initialise(key):
        return nnx.state(Transformer(config, Pairs(**sizes), rngs=nnx.Rngs(key)))

    return named(jax.jit(initialise)(jax.random.key(0)))


def test_uniform_initialisation_fills_its_bounds():
    config = ModelConfig(layers=1, width=48, heads=2, norm="code", init="uniform")
    leaves = leaves_of(config, dim=3, length=20)
    rows = {
        "read_in.kernel": 4,
        "read_in.bias": 48,
        "positions": 39,
        "body.0.attention.qkv.kernel": 48,
        "body.0.attention.qkv.bias": 48,  # three biases of 48, each as if alone
        "body.0.attention.out.kernel": 48,
        "body.0.attention.out.bias": 48,
        "body.0.mlp.up.kernel": 48,
        "body.0.mlp.up.bias": 192,
        "body.0.mlp.down.kernel": 192,
        "body.0.mlp.down.bias": 48,
        "head.kernel": 48,
        "head.bias": 1,
    }
    for name, k in rows.items():
        values = np.abs(leaves.pop(name)) * np.sqrt(k)
        assert values.max() <= 1 + 1e-6  # rounding of the bound
        if values.size > 40:  # chance is below 0.9 with odds of 0.9^48
            assert values.max() > 0.9
            # The mean of |u| is 1/2 with a deviation of 0.29 / sqrt(size).
            assert abs(values.mean() - 0.5) < 5 * 0.29 / np.sqrt(values.size)
    assert all("norm" in name for name in leaves), leaves.keys()


def test_default_initialisation_is_lecun_normal_with_zero_biases():
    leaves = leaves_of(ModelConfig(layers=1, width=64), dim=3, length=20)
    for name, values in leaves.items():
        if name.endswith("bias"):
            assert (values == 0).all()
        elif name.endswith("kernel") and values.size > 1000:
            # A variance estimated from so many draws is within 5 sqrt(2 / size).
            error = 5 * np.sqrt(2 / values.size)
            assert np.var(values) * len(values) == pytest.approx(1, rel=error)
    deviation = np.std(leaves["positions"])
    assert deviation == pytest.approx(0.02, rel=5 / np.sqrt(2 * 39 * 64))  # as above


def size_of(config, **sizes):
    leaves = jax.tree.leaves(abstract_params(Pairs(**sizes), config))
    return sum(math.prod(leaf.shape) for leaf in leaves)


@pytest.mark.parametrize(("head_dim", "millions"), [(None, 50.4), (32, 37.9)])
def test_the_papers_model_has_the_papers_size(head_dim, millions):
    config = ModelConfig.paper(head_dim=head_dim)
    count = size_of(config, dim=8, length=40)
    h, inner = 512, 4 * (head_dim or 128)
    attention = 3 * (h * inner + inner) + inner * h + h
    mlp = h * 4 * h + 4 * h + 4 * h * h + h
    outside = 9 * h + h + 79 * h + h + 1  # read-in, positions, read-out
    assert count == 16 * (attention + mlp + 4 * h) + outside
    assert count / 1e6 == pytest.approx(millions, abs=0.1)  # as the source rounds


def test_the_papers_model_is_the_released_code_and_may_be_changed():
    config = ModelConfig.paper()
    assert (config.layers, config.width, config.heads) == (16, 512, 4)
    assert (config.norm, config.final_norm, config.init) == ("code", False, "uniform")
    assert (config.activation, config.scale_scores) == ("tanh", True)
    assert ModelConfig.paper(layers=2, norm="paper") == replace(
        config, layers=2, norm="paper"
    )


@pytest.mark.parametrize("norm", ["pre", "code"])
def test_the_largest_models_build(norm):
    config = ModelConfig(layers=16, width=1024, heads=8, norm=norm)
    assert size_of(config, dim=20, length=40) > 16 * 12 * 1024**2


# --- Settings and bad input ----------------------------------------------------------


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "layers must be an integer >= 1, got 0"),
        ({"width": 2.5}, r"width must be an integer >= 1, got 2\.5"),
        ({"heads": -1}, "heads must be an integer >= 1, got -1"),
        ({"heads": 3}, "width must be divisible by heads, got width=8 and heads=3"),
        ({"head_dim": 0}, "head_dim must be an integer >= 1, got 0"),
        ({"mlp_width": -1}, "mlp_width must be an integer >= 0, got -1"),
        ({"norm": "post"}, "norm must be one of 'pre', 'paper', .* got 'post'"),
        ({"activation": "relu"}, "activation must be one of 'tanh', 'erf'"),
        ({"attention": "cosine"}, "attention must be one of 'softmax', 'linear'"),
        ({"init": "zeros"}, "init must be one of 'lecun', 'small', 'uniform'"),
    ],
    ids=str,
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        replace(BASE, **changes)
    assert "\n" not in str(caught.value)


def test_heads_need_not_divide_the_width_if_their_size_is_given():
    assert replace(BASE, heads=3, head_dim=5).head_dim == 5


def ones(*shape):
    return jnp.ones(shape)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(Prompts(ones(2, 5, 4), ones(2, 5))), "must have dim 3 .* got 4"),
        (lambda m: m.predict(Prompts(ones(2, 6, 3), ones(2, 6))), "at most 5 pairs"),
        (lambda m: m(Prompts(ones(2, 6, 3), ones(2, 6))), "at most 5 pairs, .* got 6"),
        (lambda m: m(Prompts(ones(2, 5, 3), ones(2, 4))), "ys must have axes"),
        (lambda m: m(Prompts(ones(2, 5, 3) / 0, ones(2, 5))), "xs must be finite"),
        (lambda m: m.resume(ones(2, 9, 8), 3), "layer must be 0 to 2, got 3"),
        (lambda m: m.resume(ones(2, 9, 8), -1), "layer must be 0 to 2, got -1"),
        (lambda m: m.resume(ones(2, 9, 7), 0), r"hidden must have axes .* \(2, 9, 7\)"),
        (lambda m: m.resume(ones(9, 8), 0), "hidden must have axes"),
        (lambda m: m.predict_at(prompts(), ones(2, 5, 3)), "queries must have axes"),
        (lambda m: m.predict_at(prompts(), ones(2, 4, 1, 3)), "queries must have axes"),
        (
            lambda m: m.predict_at(prompts(), ones(2, 5, 1, 3) / 0),
            "queries must be fin",
        ),
        (lambda m: Pairs(dim=0, length=5), "dim must be"),
        (lambda m: Pairs(dim=3, length=0), "length must"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call(model_of("pre"))
    assert "\n" not in str(caught.value)


# --- numbers that would be misread ---


def test_states_of_float16_are_computed_with_in_float32(untyped):
    model = model_of("pre")
    large = 1_000 * np.asarray(output_of("pre").hidden[1])
    short = large.astype(np.float16)
    uses = (
        model.read_out,
        model.normalised,
        lambda states: model.resume(states, 1).predictions,
        lambda states: resumed(model, states, 1),
    )
    for use in uses:
        found, wanted = use(short), use(short.astype(np.float32))
        assert found.dtype == np.float32 and np.asarray(found).any()
        np.testing.assert_array_equal(found, wanted)
        said = (
            r"^hidden must be finite in float32, but \d+ of its \d+ values are too la"
        )
        with pytest.raises(ValueError, match=said):
            use(np.full(large.shape, 1e300))
    assert model.embed(np.zeros((1, 3, 4), np.float16)).dtype == np.float32
    tokens = np.asarray(joint_tokens(prompts()), np.float16)
    alone = Transformer(
        ModelConfig.linear_attention(3, 1), JointPairs(3, 5), rngs=nnx.Rngs(0)
    )
    assert alone.embed(tokens).dtype == np.float32


def test_queries_must_be_finite_in_float32(untyped):
    model = model_of("pre")
    batch, length, dim = prompts().xs.shape
    queries = np.full((batch, length, 1, dim), 1e300)
    for ask in (model.predict_at, lambda *given: predictions_at(model, *given)):
        with pytest.raises(ValueError, match=r"^queries must be finite in float32"):
            ask(prompts(), queries)


@cache
def reader():
    config = ModelConfig(layers=1, width=8)
    return Transformer(config, Characters("abc", tokens=4), rngs=nnx.Rngs(0))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("sequence", "positions", "said"),
    [
        ([[0, 1]], [0, 4], "positions must be 0 to 3, the rows of the table .* got 4"),
        ([[0, 1]], [0, -1], "positions must be 0 to 3, .* got -1"),
        ([[0, 1]], [0, 2**32], "positions must be 0 to 3, .* got 4294967296"),
        ([[0, 1]], [0.0, 1.0], "positions must be integers, got an array of float64"),
        ([[0, 3]], None, "sequence must be 0 to 2, the codec's tokens, got 3"),
        ([[0, -1]], None, "sequence must be 0 to 2, the codec's tokens, got -1"),
        ([[0, 2**32]], None, "sequence must be 0 to 2, .* got 4294967296"),
        ([[0.0, 1.0]], None, "sequence must be integers, got an array of float64"),
        (np.zeros((1, 9), int), None, "sequence must have at most 4 tokens, .* got 9"),
    ],
)
def test_tokens_and_positions_are_rows_of_their_tables(sequence, positions, said):
    with pytest.raises(ValueError, match=said):
        reader().embed(sequence, positions)
    inside = jax.jit(reader().embed)  # where numbers are not known
    assert inside(jnp.zeros((1, 2), int), jnp.arange(2)).shape == (1, 2, 8)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.full((9, 9), 0.5), "mask must hold True and False, got an array of float6"),
        (np.full((9, 9), np.nan), "mask must hold True and False, got an array of flo"),
        (np.tri(9, k=-1, dtype=bool), r"a row of False for token 0\."),
        (np.ones((8, 8), bool), r"mask must have axes \(tokens, tokens\)"),
    ],
)
def test_a_mask_lets_every_token_see_one(mask, said):
    hidden = output_of("pre").hidden[1]
    with pytest.raises(ValueError, match=said):
        model_of("pre").resume(hidden, 1, mask=mask)
    whole = model_of("pre").resume(hidden, 1, mask=np.tri(9, dtype=bool))
    np.testing.assert_array_equal(whole.predictions, output_of("pre").predictions)
