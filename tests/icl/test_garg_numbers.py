"""Learners have the errors of Garg et al. (2022), d = 20: closed forms, and others.

Where there is no closed form, the functions or the queries are integrated out in
float64, and what is left is the sampling of inputs, whose standard error is measured.
Numbers of others come from Monte Carlo too; both errors count (`agree`).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_numbers import agree, cubature, mean
from scipy import integrate, special
from sklearn.dummy import DummyRegressor
from sklearn.tree import DecisionTreeRegressor

from icl import LinearRegression, Prompts, inference
from icl.baselines import (
    Average,
    GaussianProcess,
    Lasso,
    LeastSquares,
    NearestNeighbors,
    OnSquares,
    Ridge,
    ScikitLearner,
    WithIntercept,
)
from icl.baselines.kernels import arc_cosine
from icl.tasks import DecisionTree, Quadratic, ReluNetwork, SparseLinear, shifts

DIM = 20


def ratio(top, bottom):
    """E[sum_i t_i g_i^2 / sum_i b_i g_i^2] for independent standard normal g_i.

    1 / q is the integral of exp(-sq) over s > 0, and means of exponentials of squares
    are products.
    """

    def at(s):
        stretched = 1 + 2 * s * bottom
        return np.sum(top / stretched) / np.sqrt(np.prod(stretched))

    return integrate.quad(at, 0, np.inf)[0]


# --- Linear functions ----------------------------------------------------------------


@pytest.fixture(scope="module")
def linear():
    return inference.sample(LinearRegression(DIM, 41), 300, 0)


def nearest_three(xs, n):
    """The places of the three of the first n inputs that are nearest to the next."""
    squares = np.square(xs[:, :n] - xs[:, n : n + 1]).sum(axis=-1)
    return np.argsort(squares, axis=1)[:, :3]


def test_three_neighbours_on_linear_functions(linear):
    """With w integrated out the error is |mean of the three - x|^2 / d."""
    prompts, _ = linear
    xs, ys = (np.asarray(array, float) for array in prompts[:2])
    found = inference.predictions(NearestNeighbors(3), prompts)
    golden = {3: (1.27, 0.05), 10: (0.92, 0.04), 20: (0.75, 0.04), 40: (0.68, 0.03)}
    for n, (error, own) in golden.items():
        near = nearest_three(xs, n)
        answers = np.take_along_axis(ys, near, axis=1).mean(axis=1)
        np.testing.assert_allclose(found[:, n], answers, atol=1e-5)  # float32
        between = np.take_along_axis(xs, near[..., None], axis=1).mean(axis=1)
        apart = np.square(between - xs[:, n]).sum(axis=-1) / DIM
        agree(*mean(apart), error, own, share=0)
        if n == 3:  # they are all three, however near
            agree(*mean(apart), 1 / 3 + 1, share=0)


def test_averages_are_as_bad_as_their_formula():
    """(d + 1) / n: 21 after one pair, because E(w' - w) = 0 and E|w' - w|^2 = 21 d.

    w' is quadratic in x, so that the cubature has both means exactly.
    """
    points, weights = cubature(DIM)
    xs = np.stack([points, points], axis=1)
    with jax.enable_x64(True):
        found = Average()(Prompts(xs, xs.sum(axis=-1))).weights  # of the w of ones
    off = np.asarray(found)[:, 1] - 1
    np.testing.assert_allclose(weights @ off, 0, atol=1e-12)
    assert weights @ np.square(off).sum(axis=-1) / DIM == pytest.approx(21, rel=1e-12)


def test_averages_of_more_pairs_are_better_by_their_number(linear):
    prompts, _ = linear
    off = np.asarray(Average()(prompts).weights) - np.asarray(prompts.weights)[:, None]
    found, error = mean(np.square(off).sum(axis=-1) / DIM)
    at = [1, 10, 20, 40]
    agree(found[at], error[at], [21, 2.1, 1.05, 0.525], share=0)


def test_skewed_inputs_where_one_direction_is_known_or_unknown(linear):
    """After 1 pair 1 - x'Sx / (d x'x), and after 19 pairs 1 / (d u'S^-1 u).

    S is the covariance of x, and u is a uniform direction: the one that S^(-1/2) x of
    the context are orthogonal to.
    """
    squares = 1 / np.arange(1.0, DIM + 1) ** 2
    squares *= DIM / squares.sum()
    exact = 1 - ratio(squares**2, squares) / DIM, ratio(np.ones(DIM), 1 / squares) / DIM
    assert exact[0] == pytest.approx(0.672, abs=0.002)  # the others' standard error
    assert exact[1] == pytest.approx(0.0047, abs=5e-5)  # rounded
    prompts, key = linear
    prompts = shifts.skewed(inference.cut(prompts, 20), key).prompts
    found = inference.predictions(LeastSquares(), prompts)
    xs, weights = np.asarray(prompts.xs, float), np.asarray(prompts.weights, float)
    for n, error in zip((1, 19), exact, strict=True):
        basis = np.linalg.qr(np.swapaxes(xs[:, :n], 1, 2))[0]
        inside = np.einsum("bij,bkj,bk->bi", basis, basis, xs[:, n])
        answers = (weights * inside).sum(axis=1)
        # Labels of float32, whose rounding nearly singular inputs enlarge.
        np.testing.assert_allclose(found[:, n], answers, atol=5e-3)
        unknown = np.square(xs[:, n] - inside).sum(axis=1) / DIM  # w integrated out
        agree(*mean(unknown), error, share=0)


# --- Sparse functions ----------------------------------------------------------------

SPARSE = SparseLinear(DIM, 41, k=3)


@pytest.fixture(scope="module")
def sparse():
    return inference.sample(SPARSE, 50, 0)[0]


@pytest.mark.parametrize(
    ("alpha", "golden", "own"),
    [
        (0.001, {5: 0.53, 10: 0.066}, (0.09, 0.018)),
        (0.01, {5: 0.504}, (0.085,)),
        (0.1, {5: 0.503}, (0.08,)),
    ],
)
def test_the_lasso_after_a_few_pairs(sparse, alpha, golden, own):
    """|w' - w|^2 / k: the error, with the query integrated out."""
    at = list(golden)
    few = inference.cut(sparse, max(at) + 1)
    off = np.asarray(Lasso(alpha)(few).weights) - np.asarray(few.weights)[:, None]
    found, error = mean(np.square(off).sum(axis=-1) / 3)
    agree(found[at], error[at], list(golden.values()), np.array(own), share=0)


@pytest.mark.parametrize(
    ("alpha", "golden"),
    [(0.001, (0, 0)), (0.01, (2e-4, 1e-4)), (0.1, (0.018, 0.014))],
)
def test_the_lasso_after_many_pairs_is_off_by_its_penalty(sparse, alpha, golden):
    """w' = w - alpha C^-1 s on the k coordinates in use, and 0 elsewhere.

    C is X'X / n there, and s has the signs of w. That is the minimum where w' has the
    signs too and no other coordinate pulls harder than alpha; it is nearly always so.
    """
    few = inference.first(sparse, 8)
    found = np.asarray(Lasso(alpha)(few).weights, float)
    xs, weights = np.asarray(few.xs, float), np.asarray(few.weights, float)
    right = 0
    for b in range(8):
        used = weights[b] != 0
        signs = np.sign(weights[b, used])
        for n in (20, 40):
            inside, others = xs[b, :n, used].T, xs[b, :n, ~used].T
            bias = np.linalg.solve(inside.T @ inside / n, signs)
            pull = np.abs(others.T @ inside @ bias / n).max()
            wanted = np.zeros(DIM)
            wanted[used] = weights[b, used] - alpha * bias
            if pull < 1 and (np.sign(wanted[used]) == signs).all():
                right += 1
                # The fit stops at a duality gap of 1e-4 of the mean square label.
                np.testing.assert_allclose(found[b, n], wanted, atol=0.01)
    assert right >= 8
    # E tr C^-2 of a Wishart matrix of 3 dimensions.
    exact = [
        alpha**2 * n**2 * (n - 1) / ((n - 3) * (n - 4) * (n - 6)) for n in (20, 40)
    ]
    assert exact == pytest.approx(golden, rel=0.4, abs=1e-4)


# --- Trees ---------------------------------------------------------------------------

QUERIES = 20
"""The last inputs of each prompt: all are asked, so that the error is a tree's own."""


@pytest.fixture(scope="module")
def trees():
    task = DecisionTree(DIM, 101 + QUERIES, depth=4)
    return inference.sample(task, 200, 0, whole=True)[0]


def errors_of(regressor, prompts, n):
    """Squared errors after n pairs, by prompt."""
    few = inference.cut(prompts, n + 1)
    shape = (*few.ys.shape, QUERIES, DIM)
    queries = np.broadcast_to(np.asarray(prompts.xs)[:, None, -QUERIES:], shape)
    found = ScikitLearner(regressor, least_pairs=n).predict_at(
        few, jnp.asarray(queries)
    )[:, n]
    return np.square(np.asarray(found - prompts.ys[:, -QUERIES:], float)).mean(axis=1)


def same_leaf(depth):
    """The probability that two inputs end in one leaf of a tree.

    They part with probability 1/2 at each question for a coordinate that has not been
    asked for on their way; a repeated one does not part them.
    """
    ways = {0: 1.0}  # by the number of coordinates asked for
    for _ in range(depth):
        more = dict.fromkeys(range(depth + 1), 0.0)
        for asked, share in ways.items():
            more[asked] += share * asked / DIM
            more[min(asked + 1, depth)] += share * (1 - asked / DIM)
        ways = more
    return sum(share / 2**asked for asked, share in ways.items())


def test_the_mean_label_of_a_tree(trees):
    """(1 - s)(1 + 1/n), where s is the probability that two inputs share a leaf."""
    within = 1 - same_leaf(4)
    labels = np.asarray(trees.ys, float)
    agree(*mean(labels.var(axis=1, ddof=1)), within, share=0)
    few = inference.first(trees, 60)
    for n, golden in ((20, 1.00), (50, 0.89)):
        exact = within * (1 + 1 / n)
        agree(*mean(errors_of(DummyRegressor(), few, n)), exact, share=0)
        assert exact == pytest.approx(golden, abs=0.08)  # the others' standard error


@pytest.mark.parametrize(
    ("depth", "golden", "on_signs"),
    [
        (None, {20: 1.62, 50: 1.35}, {20: 1.57, 50: 1.07}),
        (4, {20: 1.56, 50: 1.36, 100: 0.99}, {20: 1.54, 50: 1.14}),
        (2, {20: 1.42, 50: 1.07}, {}),
    ],
)
def test_greedy_trees_on_trees(trees, depth, golden, on_signs):
    few = inference.first(trees, 60)
    signs = few._replace(xs=jnp.sign(few.xs))
    regressor = DecisionTreeRegressor(max_depth=depth, random_state=0)
    for prompts, numbers, own in ((few, golden, 0.1), (signs, on_signs, 0.07)):
        for n, number in numbers.items():
            agree(*mean(errors_of(regressor, prompts, n)), number, own, share=0)


# --- Networks ------------------------------------------------------------------------

NET = ReluNetwork(DIM, 101, hidden=100)
LINE = WithIntercept(Ridge(7.28), constant=3.57)
"""The best line: w_j has the variance 1/2, the constant d / pi, and the rest is noise
of (1/2 - 1/pi) d."""
LEARNERS = {
    "least squares": LeastSquares(),
    "line": LINE,
    "process": GaussianProcess(),
    "3-NN": NearestNeighbors(3),
}


@pytest.fixture(scope="module")
def networks():
    return inference.sample(NET, 200, 0, whole=True)[0]


def kernel(xs, others):
    """E f(x) f(x') over networks of any width, in float64."""
    lengths = np.linalg.norm(xs, axis=-1)[..., :, None]
    lengths = lengths * np.linalg.norm(others, axis=-1)[..., None, :]
    cosines = np.clip(xs @ np.swapaxes(others, -1, -2) / lengths, -1, 1)
    angles = np.arccos(cosines)
    return lengths * (np.sin(angles) + (np.pi - angles) * cosines) / np.pi


def coefficients(name, xs):
    """The a of the prediction a.y at the last input, (batch, n)."""
    n, alpha = xs.shape[1] - 1, 0.0
    if name == "3-NN":
        chosen = np.zeros((len(xs), n))
        np.put_along_axis(chosen, nearest_three(xs, n), 1 / 3, axis=1)
        return chosen
    if name == "line":
        constant = np.full((*xs.shape[:2], 1), LINE.constant)
        xs, alpha = np.concatenate([xs, constant], axis=2), LINE.learner.alpha
    if name != "process" and (alpha or n > DIM):
        seen = xs[:, :n]
        grams = np.swapaxes(seen, 1, 2) @ seen + alpha * np.eye(xs.shape[2])
        return (seen @ np.linalg.solve(grams, xs[:, n, :, None]))[..., 0]
    products = kernel(xs, xs) if name == "process" else xs @ np.swapaxes(xs, 1, 2)
    return np.linalg.solve(products[:, :n, :n], products[:, :n, n:])[..., 0]


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("least squares", {10: 1.29, 50: 0.88, 100: 0.648}),
        ("line", {10: 0.555, 20: 0.436, 50: 0.299, 100: 0.237}),
        ("process", {20: 0.418}),
        ("3-NN", {20: 0.639}),
    ],
)
def test_learners_on_networks(networks, name, golden):
    """Answers are a.y, whose mean squared error over networks follows from the kernel.

    (Least squares has no mean after 19 to 21 pairs.)
    """
    few = inference.first(networks, 15)
    found = inference.predictions(LEARNERS[name], inference.cut(few, max(golden) + 1))
    xs, ys = np.asarray(networks.xs, float), np.asarray(few.ys, float)
    for n, number in golden.items():
        inputs = xs[: 200 if n < 100 else 100, : n + 1]
        a = coefficients(name, inputs)
        answers = np.einsum("bi,bi->b", a[:15], ys[:, :n])
        np.testing.assert_allclose(found[:, n], answers, atol=2e-4)  # float32, of 4
        covariances = kernel(inputs, inputs)
        a = np.concatenate([a, np.full((len(a), 1), -1.0)], axis=1)
        errors = (a[:, None] @ covariances @ a[..., None])[:, 0, 0] / DIM
        # The errors of the others' numbers are 4 % of 0.240 and of 0.151.
        agree(*mean(errors), number, own=0.04 * number, share=0)


def test_networks_are_half_linear_and_a_third_constant(networks):
    """1/2 of the variance is linear in x, 1/pi a constant, and 0.182 the rest.

    Exactly: k(x, x') - k(x, -x') = x.x', twice the part that is odd in x; and the mean
    of k over independent x and x' is d / pi, here by a quadrature over their angle.
    """
    xs = np.random.default_rng(0).normal(size=(30, DIM))
    cosines, shares = special.roots_gegenbauer(40, DIM / 2 - 1)  # by their law
    angled = np.zeros((40, DIM))
    angled[:, 0], angled[:, 1] = cosines, np.sqrt(1 - cosines**2)
    xs[0] = np.eye(DIM)[0]
    others = np.concatenate([xs, -xs, angled])
    with jax.enable_x64(True):
        found = np.asarray(arc_cosine(jnp.asarray(xs), jnp.asarray(others)))
    np.testing.assert_allclose(found[:, :30] - found[:, 30:60], xs @ xs.T, atol=1e-12)
    length = 2**0.5 * np.exp(special.gammaln((DIM + 1) / 2) - special.gammaln(DIM / 2))
    constant = length**2 * (shares @ found[0, 60:]) / shares.sum() / DIM
    assert constant == pytest.approx(1 / np.pi, rel=1e-5)  # of the quadrature
    assert 1 - 1 / 2 - constant == pytest.approx(0.182, abs=5e-4)
    # And of the drawn networks, from products of two different pairs.
    xs, ys = (np.asarray(array, float) for array in networks[:2])
    pairs = ys.shape[1] * (ys.shape[1] - 1) * DIM
    both = np.square(ys.sum(axis=1)) - np.square(ys).sum(axis=1)
    agree(*mean(both / pairs), 1 / np.pi, share=0)
    each = xs * ys[..., None]
    both = np.square(each.sum(axis=1)).sum(axis=-1) - np.square(each).sum(axis=(1, 2))
    agree(*mean(both / pairs), 1 / 2, share=0)


# --- Quadratic functions -------------------------------------------------------------


def test_quadratic_functions_are_a_third_constant_and_not_linear():
    """Of E f^2 = d a constant has 1/3, and what is linear in x has nothing.

    The functions with one coefficient of 1 each have the covariance of all of them, and
    the cubature has the mean of their products.
    """
    points, weights = cubature(DIM)
    with jax.enable_x64(True):
        xs = jnp.broadcast_to(points, (DIM, *points.shape))
        values = Quadratic(DIM, len(points)).values({"coefficients": jnp.eye(DIM)}, xs)
    values = np.asarray(values)
    assert (weights @ np.square(values).T).sum() == pytest.approx(DIM, rel=1e-12)
    constants, slopes = values @ weights, values @ (weights[:, None] * points)
    assert np.square(constants).sum() / DIM == pytest.approx(1 / 3, rel=1e-12)
    np.testing.assert_allclose(slopes, 0, atol=1e-12)


def test_least_squares_on_squares_is_exact_from_d_pairs_on():
    rng = np.random.default_rng(0)
    xs, coefficients = rng.normal(size=(40, 41, DIM)), rng.normal(size=(40, DIM))
    with jax.enable_x64(True):
        functions = {"coefficients": jnp.asarray(coefficients)}
        ys = Quadratic(DIM, 41).values(functions, jnp.asarray(xs))
        found = OnSquares(LeastSquares())(Prompts(xs, ys)).predictions
    off = np.abs(np.asarray(found - ys))
    # Of size 4; 20 squares of 20 coordinates may have a condition number of 1e4.
    assert np.median(off[:, DIM]) < 1e-9 and off[:, DIM:].max() < 1e-5
    assert np.median(off[:, DIM - 1]) > 0.1
