"""How long does the Bayes predictor of a large pool of functions take?

The posterior mean over 2^20 weight vectors after every prefix of 1,000 prompts, with
the sizes of Raventós et al. (2023): d = 8, 16 pairs, noise of deviation 0.5.

Ours: `icl.baselines.DiscretePosterior`, warm, which goes through the pool in parts and
draws each part once for all prompts. The usual way: NumPy, prompt by prompt, in
float32, with the table of functions in memory and all of a prompt's misfits at once;
timed on a few prompts and scaled up. The weights must agree.
"""

import resource
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import limits
from benchmarks.measure import Row, Work, alternate, row, timed
from icl.baselines import DiscretePosterior
from icl.prompts import Prompts
from icl.tasks import Pool
from icl.tasks.linear import LinearRegression

SIZE, BATCH, DIM, LENGTH, NOISE = 2**20, 1_000, 8, 16, 0.5
SUBSET = 4


def main(turns: int) -> Iterator[Row]:
    """One row."""
    task = LinearRegression(DIM, LENGTH, noise_std=NOISE)
    pool = Pool(task, SIZE)
    prompts = jax.block_until_ready(task.sample(jax.random.key(0), batch=BATCH))
    before = peak()
    weights = ours(pool, prompts)
    grown = peak() - before
    table = np.asarray(pool.members(jnp.arange(SIZE))["weights"])
    subset = Prompts(prompts.xs[:SUBSET], prompts.ys[:SUBSET])
    difference = disagreement(weights, theirs(table, subset))
    by_numpy = timed(theirs, table, subset)
    sides = {
        "ours": timed(ours, pool, prompts),
        "numpy": lambda: by_numpy() * BATCH / SUBSET,
        "limit": limits.matmul(),
    }
    yield row(
        "pool",
        f"{SIZE:,} functions, {BATCH:,} prompts, d = {DIM}, {LENGTH} pairs",
        alternate(sides, turns),
        "numpy",
        "NumPy, prompt by prompt, with the functions in memory",
        work=Work(products(), "float32 matmul, FLOP/s"),
        note=f"usual way: timed on {SUBSET} prompts, times {BATCH // SUBSET}; weights "
        f"agree to {difference:.0e}; with compiling, the peak of memory rose by "
        f"{grown / 1e6:.0f} MB",
    )


def products() -> float:
    """FLOPs in products: of inputs with functions, and of shares with functions."""
    return 2.0 * SIZE * BATCH * LENGTH * (DIM + DIM + 1)


def ours(pool: Pool, prompts: Prompts) -> np.ndarray:
    """The weights after every prefix, (prompts, pairs, d)."""
    return np.asarray(DiscretePosterior(pool)(prompts).weights)


def theirs(table: np.ndarray, prompts: Prompts) -> np.ndarray:
    """The same weights by the formula, for a table of functions."""
    found = []
    for x, y in zip(np.asarray(prompts.xs), np.asarray(prompts.ys), strict=True):
        squares = np.square(y[:, None] - x @ table.T)
        misfit = np.cumsum(squares, axis=0) - squares
        logs = -misfit / (2 * NOISE**2)
        odds = np.exp(logs - logs.max(axis=1, keepdims=True))
        found.append(odds @ table / odds.sum(axis=1, keepdims=True))
    return np.stack(found)


def disagreement(fast: np.ndarray, slow: np.ndarray) -> float:
    """The largest difference of weights of the prompts that both have."""
    return float(np.abs(fast[: len(slow)] - slow).max())


def peak() -> int:
    """The most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
