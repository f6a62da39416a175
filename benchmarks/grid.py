"""How long does a ridge probe for every layer, token and target take?

17 layers x 80 tokens x (w, X'y, least-squares w) of 4 coordinates each, 16,000 prompts,
11 penalties, each with its control on permuted targets.

Ours: `probe_grid` from one pass over a stream. Theirs, the usual way: a loop over
layers and tokens with `StandardScaler` and `RidgeCV(alpha_per_target=True)` on the same
training prompts, the same alphas and the same targets side by side, and R2 on the same
test prompts; timed on a few cells and scaled up, at the smallest width only.
scikit-learn leaves out each prompt to choose alpha. Ours leaves out some 2,000 of them
at the smallest width, and validates on a fifth at the others, which come in a stream;
the scores must agree all the same.

The limit: the products of matrices that make the normal equations, in float64 on as
many threads, and nothing else. Peak memory is that of the process, beside what one
batch and the sums take. Each width is measured in a process of its own.
"""

import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.measure import Row, Work, alternate, row, timed
from benchmarks.worker import Worker
from probes import probe_grid
from probes.grid.ridge_spec import ALPHAS
from probes.grid.splits import split

LAYERS, TOKENS, PROMPTS, DIM = 17, 80, 16_000, 4
BATCH = 512
WIDTHS = {64: 1, 256: 3, 512: 7}
"""Features, and by how much fewer turns are measured, which take minutes."""
FOUND = (5, 7)  # layer and token
CELLS = (FOUND, (5, 40), (0, 0), (16, 79))
BLOCKS = round(0.75 * PROMPTS / BATCH)


def main(turns: int) -> Iterator[Row]:
    """A row for each width."""
    for features, fewer in WIDTHS.items():
        arguments = (features, max(1, turns // fewer))
        with Worker("benchmarks.grid:measurement", *arguments) as worker:
            measured = worker()
        found = {name: np.array(values) for name, values in measured["found"].items()}
        limit = "float64 X'X and X'y alone, FLOP/s"
        usual = "loop" if "loop" in found else None
        yield row(
            "grid",
            f"{LAYERS} layers x {TOKENS} tokens x {features} features, {PROMPTS} "
            "prompts",
            found,
            usual,
            "a loop of scikit-learn StandardScaler + RidgeCV" if usual else "",
            work=Work(flops(features), limit),
            note=_note(features, measured),
        )


def _note(features: int, measured: dict[str, Any]) -> str:
    sums = 2 * LAYERS * TOKENS * _size(features) ** 2 * 8
    batch = LAYERS * BATCH * TOKENS * features * 4
    note = (
        f"at the peak {measured['peak'] / 1e9:.2f} GB beside the data, of which sums "
        f"{sums / 1e9:.2f} (a batch of states: {batch / 1e9:.2f})"
    )
    if "difference" not in measured:
        return note
    return (
        f"usual way: timed on {len(CELLS)} of {LAYERS * TOKENS} cells; R2 agree to "
        f"{measured['difference']:.1e}; {note}"
    )


class Problem:
    """Hidden states and targets.

    At the smallest width the states are an array in memory. That of the others does not
    fit: a function returns the same few prompts for whatever rows are asked for, which
    costs nothing, so that only the grid's own work is timed.
    """

    def __init__(self, features: int):
        rng = np.random.default_rng(0)
        self.features = features
        self.whole = features == min(WIDTHS)
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


def theirs(problem: Problem) -> np.ndarray:
    """R2 of every target in a few cells, (cells, targets), by a loop."""
    parts = split(
        np.arange(PROMPTS),
        test_fraction=0.25,
        validation_fraction=0.2,
        resamples=1,
        seed=0,
    )
    scores = []
    for layer, token in CELLS:
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


def products(features: int) -> None:
    """The products X'X and X'y of all training prompts, and no more."""
    size = _size(features)
    threads = max(pool["num_threads"] for pool in threadpool_info())
    z = np.random.default_rng(0).normal(size=(BATCH, size))

    def layer(_: int) -> None:
        product = np.empty((size, size))
        for _ in range(TOKENS):
            np.matmul(z.T, z, out=product)

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for _ in range(BLOCKS):
            list(pool.map(layer, range(LAYERS)))


def flops(features: int) -> float:
    """Of these products: NumPy sees that they are symmetric, and computes a half."""
    return float(BLOCKS * BATCH * LAYERS * TOKENS * _size(features) ** 2)


def _size(features: int) -> int:
    """Features, the coordinates of targets and controls, and 1."""
    return features + 6 * DIM + 1


# --- in the worker ---


def measurement(features: int, turns: int) -> Callable[[], dict[str, Any]]:
    """All turns of one width; seconds, rates, and bytes at the peak."""
    problem = Problem(features)
    limit, loop = timed(products, features), timed(theirs, problem)
    sides = {"ours": timed(ours, problem), "limit": lambda: flops(features) / limit()}
    if problem.whole:
        sides["loop"] = lambda: loop() * LAYERS * TOKENS / len(CELLS)

    def measure() -> dict[str, Any]:
        before = _peak()
        grid = ours(problem)
        measured: dict[str, Any] = {"peak": _peak() - before}
        if problem.whole:
            r2 = np.array([grid.r2.values[cell] for cell in CELLS])
            measured["difference"] = float(abs(r2 - theirs(problem)).max())
        found = alternate(sides, turns)
        return measured | {"found": {name: v.tolist() for name, v in found.items()}}

    return measure


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
