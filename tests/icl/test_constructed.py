"""Transformers written by hand against the algorithms they are to be, in float64."""

import re
from functools import cache

import jax
import numpy as np
import pytest

from icl import LinearRegression, Prompts, load, save
from icl.baselines import GradientDescent, LeastSquares, OnePassSGD, Ridge
from icl.compare import squared_prediction_difference
from icl.constructed import (
    Aff,
    Constructed,
    Div,
    Mov,
    Mul,
    Precision,
    Program,
    Scale,
    allocate,
    construct,
    gradient_step,
    primitives,
    ridge,
    ridge_step,
    sgd_step,
    sgd_steps,
)
from icl.constructed.layers import Layout
from probes import probe_grid

RATE, ALPHA = 0.05, 0.5
DIMS = (2, 4, 8)
LENGTH = 5  # of all prompts and models, so that what is compiled once does for all


@cache
def sample(dim, length=LENGTH, batch=20):
    """Prompts in float64; labels follow from the weights without noise."""
    rng = np.random.default_rng(dim + 10 * length)
    xs, w = rng.normal(size=(batch, length, dim)), rng.normal(size=(batch, dim))
    return Prompts(xs, np.einsum("bld,bd->bl", xs, w), w)


# What each is, and is to be; the tolerances are the bars, for |error| of
# predictions of size 1. Measured: 2e-9 for the SGD and GD steps, 4e-8 for ridge.
CASES = {
    "SGD": (lambda dim: sgd_step(dim, RATE, alpha=ALPHA, length=LENGTH), 1e-6),
    "ridge": (lambda dim: ridge_step(dim, ALPHA, length=LENGTH), 1e-5),
    "GD": (lambda dim: gradient_step(dim, RATE / 2, length=LENGTH), 1e-6),
    "SGD x 4": (lambda dim: sgd_steps(4, dim, RATE, alpha=ALPHA), 1e-6),
    "ridge, 4 pairs": (lambda dim: ridge(4, dim, ALPHA), 1e-5),
}
LEARNERS = {
    "SGD": OnePassSGD(RATE, ALPHA),
    "ridge": Ridge(ALPHA),
    "GD": GradientDescent(1, RATE / 2),
    "SGD x 4": OnePassSGD(RATE, ALPHA),
    "ridge, 4 pairs": Ridge(ALPHA),
}
every_name = pytest.mark.parametrize("name", CASES)
every_dim = pytest.mark.parametrize("dim", DIMS)
every_case = pytest.mark.parametrize(
    ("name", "dim"),
    [
        *((name, dim) for name in CASES for dim in DIMS),
        *((name, 1) for name in ("SGD x 4", "ridge, 4 pairs")),
    ],
)


@cache
def built(name, dim):
    """Constructed once, for all tests that look at it."""
    return CASES[name][0](dim)


@cache
def output(name, dim):
    """What it says of the sample."""
    return built(name, dim)(sample(dim))


def in_float64(learner, prompts):
    with jax.enable_x64(True):
        return np.asarray(learner(prompts).predictions)


def from_last_pair(learner, prompts):
    """Predictions of a learner that sees the pair before only; 0 if there is none."""
    pairs = [
        Prompts(prompts.xs[:, i : i + 2], prompts.ys[:, i : i + 2])
        for i in range(prompts.xs.shape[1] - 1)
    ]
    last = [in_float64(learner, pair)[:, 1] for pair in pairs]
    return np.stack([np.zeros(len(prompts.xs)), *last], axis=1)


@cache
def expected(name, dim):
    """The algorithm's predictions for the sample, at every context length."""
    sees = from_last_pair if name in ("SGD", "ridge") else in_float64
    return sees(LEARNERS[name], sample(dim))


def predicted(program, states):
    return states[-1][:, ::2, program.rows["prediction"].start]


# --- the primitives, and programs of them, in NumPy ---


def random_state(rows, seed=0):
    return np.random.default_rng(seed).normal(size=(3, 5, rows))


def test_special_cases_of_raw_are_the_primitives():
    """Mov, Mul and Aff are lowered to RAW; the primitives are written out alone."""
    table = allocate(a=6, b=6, c=4, d=2, e=2)
    state, rng = random_state(20), np.random.default_rng(1)
    moved = Mov(("a", "d"), "label").lower(table).apply(state)
    rows, reads = [*table["a"], *table["d"]], primitives.reading("label", 5)
    np.testing.assert_array_equal(moved, primitives.mov(state, rows, rows, reads))

    shape = (2, 3, 2)
    product = Mul("c", "a", "b", shape).lower(table).apply(state)
    expected = primitives.mul(state, shape, table["a"], table["b"], table["c"])
    # Sums of three products, added in another order.
    np.testing.assert_allclose(product, expected, atol=1e-14)

    first, second, bias = rng.normal(size=(2, 4)), rng.normal(size=(2, 6)), [1.0, 2.0]
    affine = Aff("e", {"c": first, "a": second}, bias).lower(table).apply(state)
    expected = primitives.aff(
        state, table["c"], table["a"], table["e"], first, second, np.array(bias)
    )
    np.testing.assert_allclose(affine, expected, atol=1e-14)  # likewise

    divided = Div("e", "d", "prediction").lower(table | {"prediction": range(19, 20)})
    expected = state[..., list(table["d"])] / np.abs(state[..., 19:20])
    np.testing.assert_array_equal(divided.apply(state)[..., list(table["e"])], expected)


def test_a_primitive_leaves_all_other_rows():
    state = random_state(6)
    changed = primitives.mul(state, (1, 1, 1), [0], [1], [2]) != state
    assert changed[..., 2].all() and not np.delete(changed, 2, axis=-1).any()
    np.testing.assert_array_equal(state, random_state(6))


def test_who_reads_whom():
    """x1 y1 x2 y2 x3, written out by hand."""
    rows = {
        "self": np.eye(5),
        "input": np.eye(5)[[0, 0, 2, 2, 4]],
        "label": np.eye(5)[[0, 1, 1, 3, 3]],
        "labels": [
            [1, 0, 0, 0, 0],
            [0, 1, 0, 0, 0],
            [0, 1, 0, 0, 0],
            [0, 0.5, 0, 0.5, 0],
            [0, 0.5, 0, 0.5, 0],
        ],
    }
    for reads, expected in rows.items():
        np.testing.assert_array_equal(primitives.reading(reads, 5), expected)


@every_case
def test_programs_are_the_algorithms(name, dim):
    """Exactly, when no transformer is in between."""
    program = built(name, dim).program
    exact = predicted(program, program.run(sample(dim)))
    # Double precision; ridge with alpha = 0.5 has a condition number of about 100.
    np.testing.assert_allclose(exact, expected(name, dim), atol=1e-12)


# --- the transformers ---


@every_case
def test_transformers_are_the_algorithms(name, dim):
    """At every context length, the empty one included."""
    found = output(name, dim)
    assert found.predictions.dtype == found.hidden.dtype == np.float64
    assert np.abs(expected(name, dim)).max() > 0.1  # something to be wrong about
    np.testing.assert_allclose(
        found.predictions, expected(name, dim), atol=CASES[name][1]
    )


@pytest.mark.parametrize(
    ("alpha", "tolerance"),
    # The bar of ridge regression; 2e-4 was measured where it is out of reach, with four
    # updates of a matrix whose condition number is 1e4.
    [(10.0, 1e-5), (0.1, 1e-5), (1e-3, 1e-3)],
)
def test_ridge_regression_with_any_alpha(alpha, tolerance):
    """Above 1, where A^-1 is carried, and below, where it is scaled."""
    prompts, dim = sample(4), 4
    one, four = ridge_step(dim, alpha, length=LENGTH), ridge(4, dim, alpha)
    target = from_last_pair(Ridge(alpha), prompts)
    np.testing.assert_allclose(one(prompts).predictions, target, atol=1e-5)
    target = in_float64(Ridge(alpha), prompts)
    np.testing.assert_allclose(four(prompts).predictions, target, atol=tolerance)


@every_name
def test_every_layer_holds_what_the_program_says(name):
    program, hidden = built(name, 4).program, np.asarray(output(name, 4).hidden)
    states = program.run(sample(4))
    assert len(hidden) == len(program.steps) + 1
    # Of entries up to 20, after up to 47 layers; 1e-7 was measured.
    np.testing.assert_allclose(hidden[..., : states.shape[-1]], states, atol=1e-6)


@pytest.mark.parametrize("build", [sgd_step, gradient_step])
def test_a_step_from_other_weights(build):
    """Where the decay matters, whose sign the paper has wrong, at every prefix."""
    start = np.array([1.0, -2.0])
    prompts = sample(2)
    output = build(2, RATE, alpha=ALPHA, weights=start, length=LENGTH)(prompts)
    for i in range(LENGTH):
        seen = slice(0, i) if build is gradient_step else slice(max(i - 1, 0), i)
        x, y = prompts.xs[:, seen], prompts.ys[:, seen]
        gradient = np.einsum("bld,bl->bd", x, x @ start - y) + ALPHA * start
        w = start - 2 * RATE * gradient * (i > 0 or build is gradient_step)
        expected = np.einsum("bd,bd->b", w, prompts.xs[:, i])
        np.testing.assert_allclose(output.predictions[:, i], expected, atol=1e-6)


def test_steps_forget_what_lies_further_back():
    """Two SGD steps see the last two pairs only."""
    prompts = sample(2)
    output = sgd_steps(2, 2, RATE, length=LENGTH)(prompts)
    last = Prompts(prompts.xs[:, 2:], prompts.ys[:, 2:])
    expected = in_float64(OnePassSGD(RATE), last)[:, -1]
    np.testing.assert_allclose(output.predictions[:, -1], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    # 1e-2 is the bar of the verified recipe; a product of four divisions needs more:
    # 3e-2 was measured, of a prediction of size 2.
    [("SGD x 4", 1e-2), ("ridge, 4 pairs", 5e-2)],
)
def test_float32_works_too(name, tolerance):
    program = built(name, 2).program
    constructed = construct(program, length=LENGTH, precision=Precision("float32"))
    output = constructed(sample(2))
    assert output.hidden.dtype == np.float32
    np.testing.assert_allclose(output.predictions, expected(name, 2), atol=tolerance)


@every_dim
def test_depth_and_width_are_those_of_the_theorems(dim):
    """Theorem 1: 9 layers and 4 + 4d rows; 2: 13 and 3 + 5d + 3d^2, less d unread."""
    d, codes = dim, 11
    sizes = {
        "SGD": (9, 4 + 4 * d + codes + d),
        "GD": (9, 4 + 4 * d + codes + d),
        "SGD x 4": (7 * 4 + 2, 4 + 4 * d + codes + d),
        "ridge": (13, 3 + 4 * d + 3 * d**2 + codes + d**2),
        "ridge, 4 pairs": (11 * 4 + 3, 3 + 4 * d + 3 * d**2 + codes + d**2),
    }
    for name, (layers, width) in sizes.items():
        config = built(name, dim).model.config
        assert (config.layers, config.width) == (layers, width), name


def test_width_does_not_depend_on_the_length():
    """Two rows code a pattern for any number of tokens; the paper's code needs T."""
    constructed = sgd_step(2, RATE, length=40)
    assert constructed.model.config.width == built("SGD", 2).model.config.width
    prompts = sample(2, 40)
    last = Prompts(prompts.xs[:, 38:], prompts.ys[:, 38:])
    np.testing.assert_allclose(
        constructed(prompts).predictions[:, -1],
        in_float64(OnePassSGD(RATE), last)[:, -1],
        atol=1e-6,
    )


def test_any_program_compiles():
    """Every kind of step, with matrices that are not square and rows reused."""
    rng = np.random.default_rng(2)
    rows = allocate(y=1, x=3, a=6, b=2, c=1, q=2, prediction=1)
    rows["alias"] = range(rows["a"].start, rows["a"].start + 2)
    program = Program(
        "a bit of everything",
        rows,
        (
            Aff("a", {"x": rng.normal(size=(6, 3)), "one": np.ones((6, 1))}, 0.5),
            Mul("b", "a", "x", (2, 3, 1)),
            Mul("c", "b", "b", (1, 2, 1)),
            Aff("c", {"c": 1}, bias=-9.0),  # of either sign, and not near 0
            Aff("c", {"c": 1, "count": 2.0}),
            Aff("c", bias=-2.0),
            Div("q", "b", "c"),
            Scale("alias", by="count", terms={"q": 2.0, "b": rng.normal(size=(2, 2))}),
            Mov(("alias", "q"), "label"),
            Scale("q", by="one", terms={"alias": 1}, reads="labels"),
            Mul("prediction", "q", "alias", (1, 2, 1)),
        ),
    )
    prompts = sample(3, 4)
    states, output = program.run(prompts), construct(program, length=4)(prompts)
    # Of entries up to 100, whose products err by their cube / K^2.
    hidden = np.asarray(output.hidden)[..., : states.shape[-1]]
    np.testing.assert_allclose(hidden, states, atol=1e-5)


# --- what the published proofs have otherwise, see `construction_flaws` ---


@pytest.mark.parametrize("pad", [1e4, 1e6])
def test_pads_cannot_be_cleared_after_the_layer_norm(pad):
    """Half of the sum is left of the paper's; of ours what `Precision` says."""
    state = random_state(10)
    sums = state.sum(axis=-1)

    def left(first, second):
        """The first pad, less what a unit behind LayerNorm says that it is."""
        rows = np.concatenate([state, first[..., None], second[..., None]], axis=-1)
        normed = rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True))  # mean 0
        return first - pad * np.sqrt(2 / 12) * normed[..., -2]

    paper = left(pad + 0 * sums, -pad - sums)
    # The next order is |state|^2 / N, with |state|^2 below 30.
    np.testing.assert_allclose(paper, sums / 2, atol=30 / pad)
    ours = left(pad - sums / 2, -pad - sums / 2)
    error = ((state**2).sum(axis=-1) + sums**2 / 2) / (4 * pad)
    np.testing.assert_allclose(ours, error, rtol=1e-3)  # next order: s / N


def test_the_second_step_of_theorem_2_is_not_read():
    """x y, in rows of its own, as published: one layer more, the same predictions."""
    program = built("ridge", 2).program
    first, *others = program.steps
    rows = program.rows | {"xy": range(program.work, program.work + 2)}
    steps = (first, Mul("xy", "x", "y", (2, 1, 1)), *others)
    published = Program("as published", rows, steps)
    assert not any("xy" in step.sources for step in steps)
    np.testing.assert_array_equal(
        predicted(published, published.run(sample(2))),
        predicted(program, program.run(sample(2))),
    )


# --- float64 ---


def test_float64_is_not_left_on():
    constructed = built("SGD", 2)
    constructed(sample(2))
    assert jax.numpy.ones(1).dtype == np.float32
    with pytest.raises(ValueError, match="at most 5 pairs"):
        constructed(sample(2, 40))  # inside the block that switches it on
    assert jax.numpy.ones(1).dtype == np.float32


def test_it_may_be_compiled():
    """With float64 switched on inside or outside of `jit`."""
    constructed, prompts = built("SGD", 2), sample(2)
    inside = jax.jit(lambda prompts: constructed(prompts).predictions)(prompts)
    assert jax.numpy.ones(1).dtype == np.float32
    with jax.enable_x64(True):
        outside = jax.jit(lambda prompts: constructed.model(prompts).predictions)
        outside = np.asarray(outside(prompts))
    for predictions in (inside, outside):
        assert predictions.dtype == np.float64
        # Fused sums are added in another order, to the precision of a prediction.
        np.testing.assert_allclose(predictions, expected("SGD", 2), atol=1e-6)


# --- like a trained model ---


def test_a_constructed_model_is_saved_and_loaded(tmp_path):
    constructed, prompts = built("SGD", 2), sample(2)
    save(tmp_path, constructed.trained)
    loaded = load(tmp_path)
    assert loaded.steps == 0 and loaded.history.sizes["step"] == 0
    with jax.enable_x64(True):
        output = loaded.model(prompts)
    np.testing.assert_array_equal(output.hidden, constructed(prompts).hidden)
    again = Constructed(constructed.program, loaded.model, constructed.precision)
    np.testing.assert_array_equal(again(prompts).hidden, output.hidden)


def test_it_resumes_and_answers_at_other_inputs():
    constructed, prompts = built("SGD", 2), sample(2)
    output = constructed(prompts)
    with jax.enable_x64(True):
        resumed = constructed.model.resume(output.hidden[5], 5)
        queries = np.stack([prompts.xs, 2 * prompts.xs], axis=2)
        answers = constructed.model.predict_at(prompts, jax.numpy.asarray(queries))
    np.testing.assert_array_equal(resumed.hidden, output.hidden[5:])
    for factor in (1, 2):  # linear in the query; at the precision of a prediction
        np.testing.assert_allclose(
            answers[..., factor - 1], factor * np.asarray(output.predictions), atol=1e-7
        )


def test_without_float64_it_is_refused():
    constructed, prompts = built("SGD", 2), sample(2)
    with pytest.raises(ValueError, match="enable_x64"):
        constructed.model(prompts)
    with pytest.raises(ValueError, match="enable_x64"):
        constructed.model.resume(constructed(prompts).hidden[0], 0)


# --- closing the loop: what our own tools say of a model whose inside is known ---


def test_probes_find_w_exactly_where_it_is():
    """One ridge step with d = 2: the paper's w is in the state of y1, then of x2."""
    constructed, dim = built("ridge", 2), 2
    task = LinearRegression(dim=dim, length=2)
    prompts = task.sample(jax.random.key(0), batch=400)
    x, y = np.asarray(prompts.xs[:, 0]), np.asarray(prompts.ys[:, 0])
    w = x * (y / (ALPHA + (x**2).sum(axis=1)))[:, None]
    grid = probe_grid(np.asarray(constructed(prompts).hidden), {"w": w})
    found = grid.r2.sel(target="w").values > 0.999
    states = constructed.program.run(prompts)[..., constructed.program.rows["w"]]
    held = np.isclose(states, w[:, None], atol=1e-9).all(axis=(1, 3))
    # From the step that multiplies by y on at y1, from the move on at x2.
    assert np.argwhere(held).tolist() == [[11, 1], [12, 1], [12, 2], [13, 1], [13, 2]]
    np.testing.assert_array_equal(found, held)


@pytest.mark.parametrize("name", ["SGD x 4", "ridge, 4 pairs", "GD"])
def test_its_nearest_algorithm_is_the_one_it_is(name):
    learners = [
        *(OnePassSGD(rate, ALPHA) for rate in (0.01, RATE)),
        OnePassSGD(RATE),
        *(Ridge(alpha) for alpha in (0.1, ALPHA)),
        *(GradientDescent(1, rate) for rate in (0.01, RATE / 2)),
        LeastSquares(),
    ]
    distances = {
        learner: squared_prediction_difference(
            output(name, 4).predictions, in_float64(learner, sample(4))
        ).value.mean()
        for learner in learners
    }
    nearest = min(distances, key=distances.get)
    assert nearest == LEARNERS[name]
    # Squares of the bars above; the next one is several percent away.
    assert distances.pop(nearest) < 1e-10 < 1e-4 < min(distances.values())


# --- bad input ---


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sgd_step(0, RATE), "dim must be an integer >= 1"),
        (lambda: ridge_step(2, 0.0), "alpha must be a finite number > 0"),
        (lambda: ridge(2, 2, -1.0), "alpha must be a finite number > 0"),
        (lambda: ridge(0, 2, 1.0), "steps must be an integer >= 1"),
        (lambda: sgd_step(2, 0.0), "rate must be a finite number > 0"),
        (lambda: sgd_step(2, RATE, weights=[1.0]), "weights must have axes"),
        (lambda: gradient_step(2, RATE, length=0), "length must be"),
        (lambda: Precision("float16"), "dtype must be one of"),
        (lambda: Precision(multiplier=-1.0), "multiplier must be a finite number > 0"),
        (lambda: ridge(4, 4, 1e-4), "alpha must be at least 0.001 in float64"),
        (
            lambda: ridge_step(2, 0.1, precision=Precision("float32")),
            "alpha must be at least 0.3 in float32",
        ),
        (lambda: primitives.reading("next", 3), "reads must be one of"),
    ],
)
def test_bad_settings_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("field", ["multiplier", "pad"])
def test_scales_too_large_are_refused_with_the_largest_that_works(dtype, field):
    with pytest.raises(ValueError, match=f"{field} must be at most") as refused:
        Precision(dtype, **{field: 1e15})
    largest = float(re.search(r"at most (\S+) in", str(refused.value))[1])
    precision = Precision(dtype, **{field: largest})
    constructed = construct(built("SGD", 2).program, length=LENGTH, precision=precision)
    error = np.asarray(constructed(sample(2)).predictions) - expected("SGD", 2)
    # To a few times the share of round-off, 1 %, that is its definition.
    assert 1e-5 < np.abs(error).max() < 0.1


ROWS = allocate(y=1, x=2, u=2, v=2, prediction=1)
ROWS["overlap"] = range(4, 6)  # the second row of u and the first of v
LAST = Mul("prediction", "u", "x", (1, 2, 1))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            [Mul("u", "x", "x", (2, 1, 2)), LAST],
            r"step 1 \(mul u = x x\) needs u to have 4 rows, but it has 2",
        ),
        ([Mul("u", "x", "v", (2, 2, 1)), LAST], "step 1 .* needs x to have 4 rows"),
        (
            [LAST, Mul("prediction", "u", "x", (2, 1, 1))],  # as Theorem 2 has it
            r"step 2 \(mul prediction = u x\) needs x to have 1 rows",
        ),
        (
            [Aff("u", {"y": 1}), LAST],
            r"step 1 \(aff u = y\) multiplies y by a matrix of shape \(2, 2\), which "
            r"must be \(2, 1\)",
        ),
        (
            [Scale("u", "y", {"x": np.ones((1, 2))}), LAST],
            r"step 1 .* multiplies x by a matrix of shape \(1, 2\)",
        ),
        ([Scale("u", "x", {"x": 1}), LAST], "step 1 .* needs x to have 1 rows"),
        ([Aff("u", bias=[1.0]), LAST], r"step 1 .* adds a bias of shape \(1,\)"),
        ([Div("u", "x", "v"), LAST], "step 1 .* needs v to have 1 rows"),
        ([Div("u", "y", "y"), LAST], "step 1 .* needs y to have 2 rows"),
        (
            [Mov(("u", "overlap"), "label"), LAST],
            r"step 1 \(mov u, overlap from label\) writes some rows twice",
        ),
        ([Aff("w", {"x": 1}), LAST], r"step 1 \(aff w = x\) names w"),
        (
            [LAST, Aff("label", {"y": 1})],
            r"step 2 .* writes label, which is a constant",
        ),
        (
            [Aff("u", {"x": 1}), Aff("overlap", {"x": 1}), LAST],
            r"step 2 \(aff overlap = x\) overwrites row 4 of u, which step 3 \(mul "
            r"prediction = u x\) still needs",
        ),
        (
            [Aff("overlap", {"x": 1}), Div("u", "overlap", "y"), LAST],
            r"step 2 \(div .*\) overwrites overlap, which it still needs",
        ),
    ],
)
def test_programs_that_cannot_work_are_refused(steps, said):
    with pytest.raises(ValueError, match=said):
        Program("bad", ROWS, tuple(steps))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda: Mul("u", "x", "y", (2.0, 1, 1)), "shape must be an integer .* 2.0"),
        (lambda: Mul("u", "x", "y", (2, 1)), r"shape must be \(a, b, c\)"),
        (lambda: Mul("u", "x", "y", (2, 1, 1), np.inf), "factor must be finite"),
        (lambda: Aff("u", {"x": np.ones(2)}), r"multiplies x by .* of shape \(2,\)"),
        (lambda: Aff("u", {"x": np.nan}), "the factor of x must be finite"),
        (lambda: Aff("u", bias=[[1.0, 1.0]]), r"adds a bias of shape \(1, 2\)"),
        (lambda: Aff("u", bias=np.nan), "bias must be finite"),
        (lambda: Mov(("u",), "next"), "reads must be one of 'self'"),
        (lambda: Scale("u", "y", {"x": 1}, "next"), "reads must be one of 'self'"),
    ],
)
def test_malformed_steps_are_refused(step, said):
    with pytest.raises(ValueError, match=rf"step 1 \(.*\):? {said}"):
        Program("bad", ROWS, (step(), LAST))


GOOD = allocate(y=1, x=2, prediction=1)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (allocate(y=1, x=2), "rows named prediction"),
        (allocate(x=2, y=1, prediction=1), "y must be row 0"),
        (allocate(y=1, x=2, prediction=2), "prediction must be one row"),
        (allocate(y=1, x=2, one=1, prediction=1), "one is a constant"),
        (allocate(y=1, x=2, prediction=1), "a step that writes prediction"),
        (GOOD | {"u": range(-1, 1)}, r"u must be a range .* got range\(-1, 1\)"),
        (GOOD | {"u": range(5, 9, 2)}, r"u must be a range .* got range\(5, 9, 2\)"),
        (GOOD | {"u": range(5, 5)}, r"u must be a range .* got range\(5, 5\)"),
        (GOOD | {"u": 5}, "u must be a range .* got 5"),
        (GOOD | {"x": range(1, 1)}, "x must be a range"),
    ],
)
def test_rows_must_be_where_tokens_put_them(rows, said):
    with pytest.raises(ValueError, match=said):
        Program("bad", rows, ())


def test_the_layout_is_what_the_docstring_draws():
    rows = Layout.of(built("SGD", 2).program)
    parts = [rows.constants, *map(rows.query, ("self", "input", "label"))]
    parts += [rows.pads, rows.scratch]
    flat = [row for part in parts for row in part]
    assert flat == list(range(rows.work, rows.width))
