"""Posteriors over pools of every size have the risks of Raventós et al. (2023).

That is for d = 8, 16 pairs and noise of deviation 1/2. Risks are those of weights,
|w' - w|^2 / d, averaged over contexts of 0 to 15 pairs: the query is integrated out.
What is left is Monte Carlo over prompts and pools. Pools differ, so that the standard
error is that of prompts or that of the means of pools, whichever is larger.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest
from golden_numbers import agree, mean

from icl import LinearRegression, Prompts
from icl.baselines import DiscretePosterior, PosteriorMean, enumeration
from icl.tasks import Pool

DIM, PAIRS, NOISE = 8, 16, 0.5
TASK = LinearRegression(DIM, PAIRS, noise_std=NOISE)
EACH = 40
"""The number of prompts for each pool and law."""


@pytest.fixture(scope="module")
def shrunk():
    """The shares of w that ridge regression shrinks away, by context: 1/4 / (l + 1/4).

    They are those of 4,000 X'X and their eigenvalues l. Their mean is the risk; the
    mean of their squares is the part of it that w makes, and the rest is noise.
    """
    rng = np.random.default_rng(0)
    gram, shares = np.zeros((4_000, DIM, DIM)), []
    for _ in range(PAIRS):
        shares.append(NOISE**2 / (np.linalg.eigvalsh(gram) + NOISE**2))
        x = rng.normal(size=(len(gram), DIM))
        gram += x[:, :, None] * x[:, None]
    return np.array(shares)


def prompts_of(weights, rng):
    """Prompts of TASK whose functions have these weights."""
    xs = rng.normal(size=(len(weights), PAIRS, DIM))
    noise = NOISE * rng.normal(size=xs.shape[:2])
    ys = np.einsum("bld,bd->bl", xs, weights) + noise
    return Prompts(*(np.asarray(array, np.float32) for array in (xs, ys, weights)))


def ridge(prompts):
    """The weights of ridge regression after every prefix, in float64."""
    xs, ys = (np.asarray(array, float) for array in prompts[:2])
    each = np.eye(DIM) * NOISE**2 + np.zeros((len(xs), 1, 1)), np.zeros((len(xs), DIM))
    found = []
    for i in range(PAIRS):
        found.append(np.linalg.solve(each[0], each[1][..., None])[..., 0])
        gram = xs[:, i, :, None] * xs[:, i, None]
        each = each[0] + gram, each[1] + xs[:, i] * ys[:, i, None]
    return np.stack(found, axis=1)


def apart(one, other):
    """|w - w'|^2 / d by prompt, averaged over contexts."""
    squares = np.square(np.asarray(one, float) - np.asarray(other, float))
    return squares.mean(axis=(1, 2))


def test_noise_at_the_query_adds_its_variance(shrunk):
    """0.344 against labels without noise, 0.376 = 0.344 + (1/4) / 8 with it.

    A prediction does not know the noise at its own query.
    """
    # The prompts of the others are known to 1 %, and our eigenvalues to 0.5 %.
    assert shrunk.mean() == pytest.approx(0.344, rel=0.01)
    noisy = shrunk.mean() + NOISE**2 / DIM
    assert noisy == pytest.approx(0.376, rel=0.01)
    rng = np.random.default_rng(0)
    prompts = prompts_of(rng.normal(size=(2_000, DIM)), rng)
    found = PosteriorMean(NOISE)(prompts)
    np.testing.assert_allclose(found.weights, ridge(prompts), atol=1e-5)
    off = np.asarray(found.predictions, float) - prompts.ys
    agree(*mean(np.square(off).mean(axis=1) / DIM), noisy, share=0)


ROWS = {  # number of pools, and the four numbers: seen risk, to ridge; new, to ridge
    2: (30, (0.039, 0.308, 1.60, 1.26)),
    16: (16, (0.107, 0.229, 1.11, 0.760)),
    64: (10, (0.154, 0.191, 0.892, 0.546)),
    256: (8, (0.191, 0.149, 0.710, 0.368)),
    4096: (3, (0.260, 0.096, 0.526, 0.181)),
}


@pytest.mark.parametrize("size", ROWS)
def test_rows_of_the_table(size):
    """Risks and distances to ridge regression, on seen and on new functions."""
    count, golden = ROWS[size]
    rng = np.random.default_rng(size)
    rows = []
    for seed in range(count):
        pool = Pool(TASK, size, seed)
        index = jnp.asarray(rng.integers(size, size=EACH))
        new = rng.normal(size=(EACH, DIM))
        weights = np.concatenate([pool.members(index)["weights"], new])
        prompts = prompts_of(weights, rng)
        found = DiscretePosterior(pool)(prompts).weights
        both = apart(found, weights[:, None]), apart(found, ridge(prompts))
        rows.append(np.stack(both).reshape(2, 2, EACH).transpose(2, 1, 0))
    rows = np.stack(rows).reshape(count, EACH, 4)
    found, by_pool = mean(rows.mean(axis=1))
    error = np.maximum(by_pool, mean(rows.reshape(-1, 4))[1])
    # The others' numbers are known to 1 or 2 %.
    agree(found, error, golden, share=0.02)


def test_a_pool_of_one_function_says_the_same_about_everything(shrunk):
    """It is right where it was seen, and 1 + |w_1|^2 / d on new functions, exactly.

    The 2d points of length sqrt(d) on the axes have the mean 0 and the covariance I of
    new w, and the mean of |w_1 - w|^2 depends on no more. On new functions ridge
    regression has weights of the mean square 1 - risk, whatever w_1 is.
    """
    learner = DiscretePosterior(Pool(TASK, 1))
    (own,) = np.asarray(learner.pool.members(jnp.arange(1))["weights"], float)
    size = np.square(own).mean()
    rng = np.random.default_rng(0)
    axes = DIM**0.5 * np.concatenate([np.eye(DIM), -np.eye(DIM)])
    new, seen = rng.normal(size=(32, DIM)), np.tile(own, (32, 1))
    prompts = prompts_of(np.concatenate([axes, new, seen]), rng)
    found = learner(prompts).weights
    off = apart(found, np.asarray(prompts.weights)[:, None])
    np.testing.assert_allclose(off[:16].mean(), 1 + size, rtol=1e-6)
    np.testing.assert_allclose(off[48:], 0, atol=1e-12)
    # To ridge regression, which shrinks w_1 and fits the noise: of this pool ...
    noise = shrunk.mean() - np.square(shrunk).mean()
    exact = size + 1 - shrunk.mean(), size * np.square(shrunk).mean() + noise
    off = apart(found, ridge(prompts))
    agree(*mean(off[16:48]), exact[0], share=0)
    agree(*mean(off[48:]), exact[1], share=0)
    # ... and of all pools, where the mean of |w_1|^2 is d. Theirs are known to 2 %.
    assert 2 - shrunk.mean() == pytest.approx(1.65, rel=0.02)
    assert shrunk.mean() == pytest.approx(0.348, rel=0.02)


@dataclass(frozen=True)
class Reordered(Pool):
    """The same functions in another order, for a size that is a power of 2."""

    factor: int = 1
    count: int = 64  # the size is 1 inside of the learner's program

    def members(self, index):
        return super().members((self.factor * index + 3) % self.count)


def test_the_order_of_a_pool_does_not_matter(monkeypatch):
    monkeypatch.setattr(enumeration, "FUNCTIONS", 16)  # in 4 parts
    rng = np.random.default_rng(0)
    prompts = prompts_of(rng.normal(size=(2 * EACH, DIM)), rng)
    shares = rng.dirichlet(np.ones(64))
    moved = (5 * np.arange(64) + 3) % 64
    pool = Pool(TASK, 64, 0, tuple(shares.tolist()))
    other = Reordered(TASK, 64, 0, tuple(shares[moved].tolist()), factor=5)
    one, two = (DiscretePosterior(p)(prompts).weights for p in (pool, other))
    np.testing.assert_allclose(one, two, atol=1e-5)  # float32
