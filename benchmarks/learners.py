"""How long does every linear learner take, after every prefix of every prompt?

Least squares, 8 ridge regressions, 40 numbers of gradient steps up to 4,096 and 24
Newton iterations on 320 prompts of 41 pairs in d = 20: 73 learners.

Ours: `icl.baselines.solve`, warm. The usual way: loops over prompts and prefixes around
numpy `lstsq`, scikit-learn `Ridge`, gradient steps and Newton iterations in float64;
timed on a few prompts and scaled up. The weights must agree.

The least that must travel is the eigenbasis of every prefix, once, and the weights of
every learner.
"""

from collections.abc import Iterator

import jax
import numpy as np
import sklearn.linear_model

from benchmarks import limits
from benchmarks.measure import Row, Work, alternate, row, timed
from icl.baselines import (
    GradientDescent,
    LeastSquares,
    Newton,
    PrefixSolution,
    Ridge,
    SpectralLearner,
    solve,
)
from icl.prompts import Prompts
from icl.tasks.linear import LinearRegression

BATCH, DIM, LENGTH = 320, 20, 41
SUBSET = 4
ALPHAS = tuple(0.01 * 3.0**power for power in range(8))
RATE = 0.002
COUNTS = np.unique(np.geomspace(1, 4096, 44).round().astype(int)).tolist()  # 40
NEWTON_STEPS = 24


def main(turns: int) -> Iterator[Row]:
    """One row."""
    prompts = LinearRegression(DIM, LENGTH).sample(jax.random.key(0), batch=BATCH)
    prompts = jax.block_until_ready(prompts)
    subset = Prompts(*(array[:SUBSET] for array in prompts))
    difference = disagreement(ours(prompts), theirs(subset))
    loops = timed(theirs, subset)
    sides = {
        "ours": timed(ours, prompts),
        "loops": lambda: loops() * BATCH / SUBSET,
        "limit": limits.copy(),
    }
    yield row(
        "learners",
        f"{len(learners())} learners, {BATCH} prompts, d = {DIM}, {LENGTH} pairs",
        alternate(sides, turns),
        "loops",
        "loops over numpy lstsq, scikit-learn Ridge, gradient and Newton steps",
        work=Work(bytes_moved(), "copy, bytes/s"),
        note=f"usual way: timed on {SUBSET} prompts, times {BATCH // SUBSET}; weights "
        f"agree to {difference:.1e}",
    )


def bytes_moved() -> float:
    """Bases and moments in float64, read once; weights of each learner in float32."""
    read, written = 8 * (DIM**2 + DIM), 4 * DIM * len(learners())
    return float(BATCH * LENGTH * (read + written))


def disagreement(fast: list[PrefixSolution], slow: np.ndarray) -> float:
    """The largest relative difference of the prompts that both have."""
    scale = np.maximum(np.linalg.norm(slow, axis=-1), 1e-30)
    weights = np.stack([np.asarray(s.weights)[: slow.shape[1]] for s in fast])
    return float((np.linalg.norm(weights - slow, axis=-1) / scale).max())


def learners() -> list[SpectralLearner]:
    """Least squares, 8 ridges, 40 gradient-descent and 24 Newton step counts."""
    return [
        LeastSquares(),
        *(Ridge(alpha) for alpha in ALPHAS),
        *(GradientDescent(steps, RATE) for steps in COUNTS),
        *(Newton(steps) for steps in range(1, NEWTON_STEPS + 1)),
    ]


def ours(prompts: Prompts) -> list[PrefixSolution]:
    """Every learner's weights and predictions."""
    return jax.block_until_ready(solve(learners(), prompts))


def theirs(prompts: Prompts) -> np.ndarray:
    """The same weights by loops in float64, (learners, batch, length, dim)."""
    xs, ys = (np.asarray(array, float) for array in prompts[:2])
    batch, length, dim = xs.shape
    weights = np.zeros((len(learners()), batch, length, dim))
    for prompt in range(batch):
        for context in range(1, length):
            x, y = xs[prompt, :context], ys[prompt, :context]
            weights[:, prompt, context] = _one_context(x, y)
    return weights


def _one_context(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    return [
        np.linalg.lstsq(x, y, rcond=None)[0],
        *(_ridge(x, y, alpha) for alpha in ALPHAS),
        *_gradient_descent(x, y),
        *_newton(x, y),
    ]


def _ridge(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    ridge = sklearn.linear_model.Ridge(alpha, fit_intercept=False)
    ridge.fit(x, y)  # pyrefly: ignore[bad-argument-type]
    return np.asarray(ridge.coef_)


def _gradient_descent(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    w, found = np.zeros(x.shape[1]), []
    for steps in np.diff(COUNTS, prepend=0):
        for _ in range(steps):
            w = w - 2 * RATE * (x.T @ (x @ w - y))
        found.append(w)
    return found


def _newton(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    gram, moments = x.T @ x, x.T @ y
    inverse = gram / np.linalg.norm(gram, 2) ** 2
    found = []
    for _ in range(NEWTON_STEPS):
        inverse = 2 * inverse - inverse @ gram @ inverse
        found.append(inverse @ moments)
    return found
