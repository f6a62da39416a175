"""How long does a ridge probe for every layer, token and target take?

17 layers x 80 tokens x (w, X'y, least-squares w) of 4 coordinates each, 16,000 prompts,
11 penalties, each with its control on permuted targets.

Ours: `probe_grid` from one pass over a stream. Theirs, the usual way: a loop over
layers and tokens with `StandardScaler` and `RidgeCV(alpha_per_target=True)` on the same
training prompts, the same alphas and the same targets side by side, and R2 on the same
test prompts; timed on a few cells and scaled up. scikit-learn chooses alpha by
leave-one-out error, ours on validation prompts; the scores must agree all the same.

The limit: the products of matrices that make the normal equations, in float64 on as
many threads, and nothing else. Peak memory is that of the
process, beside what one batch and the sums take.

    python -c "from benchmarks import grid; print(grid.main())"
"""

import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from probes import probe_grid
from probes.ridge import ALPHAS
from probes.splits import split

LAYERS, TOKENS, PROMPTS, DIM = 17, 80, 16_000, 4
BATCH = 512
WIDTHS = (64, 256, 512)
FOUND = (5, 7)  # layer and token
REPEATS = 3


class Problem:
    """Hidden states and targets.

    At the smallest width the states are an array in memory. That of the others does not
    fit: a function returns the same few prompts for whatever rows are asked for, which
    costs nothing, so that only the grid's own work is timed.
    """

    def __init__(self, features: int):
        rng = np.random.default_rng(0)
        self.features = features
        self.whole = features == WIDTHS[0]
        prompts = PROMPTS if self.whole else BATCH
        self.states = np.empty((LAYERS, prompts, TOKENS, features), np.float32)
        for layer in self.states:
            rng.standard_normal(layer.shape, dtype=np.float32, out=layer)
        self.contexts = (np.arange(TOKENS) + 1) // 2
        self.targets = {
            "w": rng.normal(size=(PROMPTS, DIM)),
            "X'y": rng.normal(size=(PROMPTS, TOKENS // 2 + 1, DIM)),
            "w_ols": rng.normal(size=(PROMPTS, TOKENS // 2 + 1, DIM)),
        }
        if self.whole:  # something to find, in one cell: about half of the variance
            layer, token = FOUND
            mixing = rng.normal(size=(features, DIM)) / features**0.5
            self.targets["w"] += self.states[layer, :, token] @ mixing

    @property
    def hidden(self) -> Any:
        """As `probe_grid` takes it."""
        return self.states if self.whole else lambda rows: self.states[:, : len(rows)]


def ours(problem: Problem) -> Any:
    """The grid."""
    return probe_grid(
        problem.hidden, problem.targets, contexts=problem.contexts, batch=BATCH
    )


def theirs(problem: Problem, cells: list[tuple[int, int]]) -> np.ndarray:
    """R2 of every target, (cells, targets), by a loop."""
    parts = split(
        np.arange(PROMPTS),
        test_fraction=0.25,
        validation_fraction=0.2,
        resamples=1,
        seed=0,
    )
    scores = []
    for layer, token in cells:
        features = problem.states[layer, :, token].astype(float)
        targets = [_at(problem, target, token) for target in problem.targets.values()]
        columns = np.hstack([*targets, *(np.roll(t, 1, axis=0) for t in targets)])
        probe = make_pipeline(
            StandardScaler(), RidgeCV(np.array(ALPHAS), alpha_per_target=True)
        )
        probe.fit(features[parts.train], columns[parts.train])
        guess = np.asarray(probe.predict(features[parts.test]))
        scores.append(
            [
                r2_score(
                    columns[parts.test, i : i + DIM],
                    guess[:, i : i + DIM],
                    multioutput="variance_weighted",
                )
                for i in range(0, 3 * DIM, DIM)
            ]
        )
    return np.array(scores)


def _at(problem: Problem, target: np.ndarray, token: int) -> np.ndarray:
    return target if target.ndim == 2 else target[:, problem.contexts[token]]


def limit(features: int) -> float:
    """Seconds for the products X'X and X'y of all training prompts, and no more."""
    size = features + 6 * DIM + 1
    threads = max(pool["num_threads"] for pool in threadpool_info())
    z = np.random.default_rng(0).normal(size=(BATCH, size))

    def layer(_: int) -> None:
        product = np.empty((size, size))
        for _ in range(TOKENS):
            np.matmul(z.T, z, out=product)

    blocks = round(0.75 * PROMPTS / BATCH)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for _ in range(blocks):
            list(pool.map(layer, range(LAYERS)))
        return time.perf_counter() - start


def measure(features: int) -> dict[str, float]:
    """One width, in this process: seconds, and bytes at the peak."""
    problem = Problem(features)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    own, bounds = [], []
    for _ in range(REPEATS if problem.whole else 1):
        bounds.append(limit(features))
        start = time.perf_counter()
        grid = ours(problem)
        own.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    bounds.append(limit(features))
    found = {
        "ours": min(own),
        "limit": min(bounds),
        "share": float(np.median(own) / np.median(bounds)),
        "peak": float(peak - before),
        "sums": 2.0 * LAYERS * TOKENS * (features + 6 * DIM + 1) ** 2 * 8,
        "batch": float(problem.states[:, :BATCH].nbytes),
    }
    if features == WIDTHS[0]:
        cells = [FOUND, (5, 40), (0, 0), (16, 79)]
        start = time.perf_counter()
        loop = theirs(problem, cells)
        found["theirs"] = (time.perf_counter() - start) * LAYERS * TOKENS / len(cells)
        r2 = np.array([grid.r2.values[cell] for cell in cells])
        found["difference"] = float(abs(r2 - loop).max())
    return found


def main() -> list[dict[str, str | float]]:
    """A row for each width, each measured in a process of its own."""
    rows: list[dict[str, str | float]] = []
    for features in WIDTHS:
        code = f"from benchmarks import grid; grid.print_one({features})"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        shape = f"{LAYERS} layers x {TOKENS} tokens x {features} features"
        note = (
            f"{found['share']:.2f} times the products alone ({found['limit']:.1f} s); "
            f"at the peak {found['peak'] / 1e9:.2f} GB beside the data, of which sums "
            f"{found['sums'] / 1e9:.2f} (a batch of states: {found['batch'] / 1e9:.2f})"
        )
        row: dict[str, str | float] = {"name": f"ridge probes: {shape}", "note": note}
        if "theirs" in found:
            row |= {
                "ours_s": found["ours"],
                "theirs_s": found["theirs"],
                "ratio": found["theirs"] / found["ours"],
                "note": f"{note}; RidgeCV timed on 4 cells; R2 agree to "
                f"{found['difference']:.1e}",
            }
        else:
            row["note"] = f"{found['ours']:.1f} s; {note}"
        rows.append(row)
    return rows


def print_one(features: int) -> None:
    """What `measure` finds, as JSON: how a process tells its parent."""
    print(json.dumps(measure(features)))
