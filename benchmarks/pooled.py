"""What does it save to fit pooled probes side by side?

Ours: `probes.pooled.fit`, all prefixes and targets of a layer in one program. Theirs,
the usual way: a loop that calls `PooledProbe.fit` for one prefix and target after the
other, compiled beforehand for every prefix. The shape is that of one layer of the
`quick` figures. Both stop by the same rule and hold out as many prompts (not the same
ones), and must read the targets equally well. The share counts FLOPs of all epochs that
our program makes, of every probe.
"""

import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks import limits
from benchmarks.measure import Row, Work, alternate, row, timed
from probes.pooled import FitResult, PooledProbe, ProbeConfig, fit

PROMPTS, TOKENS, FEATURES, COORDINATES = 4_000, 24, 32, 4
PREFIXES = range(6, TOKENS + 1, 2)  # tokens that a probe reads
TARGETS, PROBES = 2, 2 * len(PREFIXES)
HELD_OUT = PROMPTS // 4
HEADS = {"linear": None, "mlp": 64}
MAX_ITER = 60


def main(turns: int) -> Iterator[Row]:
    """One row per head: seconds for all probes of one layer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for head in HEADS:
            yield measured(head, turns)


def measured(head: str, turns: int) -> Row:
    """The row of one head."""
    arguments = (*problem(), head)
    first, losses = ours(*arguments), theirs(*arguments)  # compiles
    found = alternate(
        {
            "ours": timed(ours, *arguments),
            "loop": timed(theirs, *arguments),
            "limit": limits.matmul(),
        },
        turns,
    )
    # In units of the variance of each coordinate.
    r2 = [1 - np.mean(loss) / COORDINATES for loss in (first.validation_loss, losses)]
    return row(
        "pooled",
        f"{PROBES} probes of one layer, {head} head, {PROMPTS} prompts, {TOKENS} "
        f"tokens, {FEATURES} features",
        found,
        "loop",
        "a loop of PooledProbe.fit, compiled beforehand",
        work=Work(flops(head, int(np.max(first.n_iter))), "float32 matmul, FLOP/s"),
        note=f"at most {MAX_ITER} epochs; held-out R2 {r2[0]:.3f} and {r2[1]:.3f}",
    )


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Hidden states of one layer, and targets (probes, prompts, coordinates).

    A target is a linear function of the mean of the tokens read, plus as much noise.
    """
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(PROMPTS, TOKENS, FEATURES)).astype(np.float32)
    readouts = rng.normal(size=(TARGETS, FEATURES, COORDINATES))
    clean = [hidden[:, :n].mean(axis=1) @ r for r in readouts for n in PREFIXES]
    return hidden, np.array([c + c.std() * rng.normal(size=c.shape) for c in clean])


def ours(hidden: np.ndarray, targets: np.ndarray, head: str) -> FitResult:
    """All probes from one program."""
    return fit(
        hidden[None],
        targets,
        np.arange(TOKENS) < np.array([*PREFIXES] * TARGETS)[:, None],
        train=np.arange(HELD_OUT, PROMPTS),
        validation=np.arange(HELD_OUT),
        config=ProbeConfig(units=HEADS[head], max_iter=MAX_ITER),
    )


def theirs(hidden: np.ndarray, targets: np.ndarray, head: str) -> list[float]:
    """Validation losses of the same from one fit after another."""
    losses = []
    for tokens, target in zip([*PREFIXES] * TARGETS, targets, strict=True):
        probe = PooledProbe(
            tokens,
            head,
            max_iter=MAX_ITER,
            validation_fraction=HELD_OUT / PROMPTS,
            random_state=0,
        )
        rows = hidden[:, :tokens].reshape(PROMPTS, -1)
        losses.append(probe.fit(rows, target).validation_loss_)
    return losses


def flops(head: str, epochs: int) -> float:
    """Of the products of all epochs: pool, one or two matrices; backward twice that."""
    units = HEADS[head]
    matrices = COORDINATES * FEATURES
    if units is not None:
        matrices = units * (FEATURES + COORDINATES)
    forward = 2.0 * (TOKENS * FEATURES + matrices)
    return PROBES * epochs * forward * (3 * (PROMPTS - HELD_OUT) + HELD_OUT)
