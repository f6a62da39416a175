"""What does it save to fit pooled probes side by side?

Ours: `probes.pooled.fit`, all prefixes and targets of a layer in one program. Theirs,
the usual way: a loop that calls `PooledProbe.fit` for one prefix and target after the
other, compiled beforehand for every prefix. The shape is that of one layer of the
`quick` figures. Both stop by the same rule and hold out as many prompts (not the same
ones), and must read the targets equally well. They take turns, and a ratio is that of
one turn.

    python -c "from benchmarks import pooled; print(pooled.main())"
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from probes.estimators import PooledProbe
from probes.pooled import Settings, fit

PROMPTS, TOKENS, FEATURES, COORDINATES = 4_000, 24, 32, 4
PREFIXES = range(6, TOKENS + 1, 2)  # tokens that a probe reads
TARGETS, PROBES = 2, 2 * len(PREFIXES)
HELD_OUT = 0.25
HEADS = {"linear": None, "mlp": 64}
MAX_ITER, TURNS = 60, 3


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Hidden states of one layer, and targets (probes, prompts, coordinates).

    A target is a linear function of the mean of the tokens read, plus as much noise.
    """
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(PROMPTS, TOKENS, FEATURES)).astype(np.float32)
    readouts = rng.normal(size=(TARGETS, FEATURES, COORDINATES))
    clean = [hidden[:, :n].mean(axis=1) @ r for r in readouts for n in PREFIXES]
    return hidden, np.array([c + c.std() * rng.normal(size=c.shape) for c in clean])


def ours(hidden: np.ndarray, targets: np.ndarray, head: str, epochs: int) -> np.ndarray:
    """Validation losses of all probes, from one program."""
    held_out = int(HELD_OUT * PROMPTS)
    reads = np.arange(TOKENS) < np.array([*PREFIXES] * TARGETS)[:, None]
    fitted = fit(
        hidden[None],
        targets,
        reads,
        train=np.arange(held_out, PROMPTS),
        validation=np.arange(held_out),
        settings=Settings(units=HEADS[head], max_iter=epochs),
    )
    return np.asarray(fitted.validation_loss)


def theirs(
    hidden: np.ndarray, targets: np.ndarray, head: str, epochs: int
) -> np.ndarray:
    """The same from one fit after another."""
    losses = []
    for tokens, target in zip([*PREFIXES] * TARGETS, targets, strict=True):
        probe = PooledProbe(
            tokens,
            head,
            max_iter=epochs,
            validation_fraction=HELD_OUT,
            random_state=0,
        )
        rows = hidden[:, :tokens].reshape(PROMPTS, -1)
        losses.append(probe.fit(rows, target).validation_loss_)
    return np.array(losses)


def _timed(fitting: Callable[..., np.ndarray], *arguments: Any) -> tuple[float, float]:
    """Seconds, and the mean share of variance that is read from held-out prompts."""
    start = time.perf_counter()
    losses = fitting(*arguments)
    return time.perf_counter() - start, 1 - float(losses.mean()) / COORDINATES


def main() -> list[dict[str, str | float]]:
    """One row per head: seconds for all probes of one layer, and their ratio."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [_row(head) for head in HEADS]


def _row(head: str) -> dict[str, str | float]:
    arguments = (*problem(), head)
    cold, _ = _timed(ours, *arguments, 1)
    theirs(*arguments, 1)
    turns = np.array(
        [
            (*_timed(ours, *arguments, MAX_ITER), *_timed(theirs, *arguments, MAX_ITER))
            for _ in range(TURNS)
        ]
    )
    fast, our_r2, slow, their_r2 = turns.T
    ratios = slow / fast
    return {
        "name": f"pooled probes of one layer, {head} head",
        "ours_s": float(np.median(fast)),
        "theirs_s": float(np.median(slow)),
        "ratio": float(np.median(ratios)),
        "note": f"ratios {ratios.min():.1f} to {ratios.max():.1f}; {PROBES} probes, "
        f"{PROMPTS} prompts, {TOKENS} tokens, {FEATURES} features, at most {MAX_ITER} "
        f"epochs; compiling ours took {cold:.1f} s; held-out R2 {our_r2[0]:.3f} and "
        f"{their_r2[0]:.3f}",
    }
