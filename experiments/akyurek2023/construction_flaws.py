"""What goes wrong if the published proofs are followed to the letter?

Each statement that had to be corrected has a counter-example. The printed version and
ours run on the same tasks, both exactly (there is no transformer, and next to no
round-off), and what is measured is how far their predictions are from those of the
algorithm, at every x. Statements that fail in another way are shown elsewhere: the
slopes in `construction` show the remainder of Lemma 4 and the pads of Lemma 6, and the
compiler refuses the shape of Theorem 2's last product.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from icl import Prompts
from icl.baselines import OnePassSGD, Ridge
from icl.baselines.base import Learner
from icl.constructed import Program, Scale, primitives, ridge, ridge_step, sgd_steps

DIM, RATE, ALPHA = 2, 0.05, 0.5
START = np.array([1.0, -1.0])


@dataclass(frozen=True)
class Flaw:
    """A statement of the paper, and the error of following it.

    Attributes:
        name: the name of the flaw in the figure.
        text: what holds instead.
        source: where the paper says otherwise.
        printed: computes the error of the published version.
        corrected: computes the error of ours.
    """

    name: str
    text: str
    source: str
    printed: Callable[[], float]
    corrected: Callable[[], float]


def tasks(pairs: int) -> Prompts:
    """Draws ten random tasks."""
    rng = np.random.default_rng(pairs)
    xs, w = rng.normal(size=(10, pairs, DIM)), rng.normal(size=(10, DIM))
    with jax.enable_x64(True):
        ys = jnp.asarray(np.einsum("bld,bd->bl", xs, w))
        return Prompts(jnp.asarray(xs), ys)


def error_of(predictions: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference of predictions."""
    return float(np.abs(predictions - expected).max())


def expected_of(learner: Learner, prompts: Prompts) -> np.ndarray:
    """Returns a learner's predictions in float64."""
    with jax.enable_x64(True):
        return np.asarray(learner(prompts).predictions)


def read_out(program: Program, state: np.ndarray) -> np.ndarray:
    """Returns the predictions in a program's last state."""
    return state[:, ::2, program.rows["prediction"].start]


def sgd_from(start: np.ndarray, prompts: Prompts) -> np.ndarray:
    """Returns the predictions of SGD from other weights than 0, by a loop."""
    xs, ys = (np.asarray(array) for array in prompts[:2])
    w, predictions = np.tile(start, (len(xs), 1)), []
    for i in range(xs.shape[1]):
        x, y = xs[:, i], ys[:, i]
        predictions.append((w * x).sum(-1))
        w = w - 2 * RATE * (x * (predictions[-1] - y)[:, None] + ALPHA * w)
    return np.stack(predictions, axis=1)


def sgd_error(pairs: int, scale: Scale | None = None) -> float:
    """Returns the error of SGD; `scale` replaces the step that makes the gradient."""
    program = sgd_steps(pairs, DIM, RATE, alpha=ALPHA, weights=START).program
    if scale is not None:
        steps = (scale if isinstance(step, Scale) else step for step in program.steps)
        program = replace(program, steps=tuple(steps))
    prompts = tasks(pairs + 1)
    predictions = read_out(program, program.run(prompts)[-1])
    return error_of(predictions, sgd_from(START, prompts))


def moved_everywhere() -> float:
    """Returns the error of SGD if *every* token takes the x of the one before it."""
    program = sgd_steps(1, DIM, RATE).program
    prompts = tasks(2)
    (state, *_) = program.run(prompts)
    previous = np.eye(3, k=-1)
    previous[0, 0] = 1
    x = program.rows["x"]
    state = primitives.mov(state, x, x, previous)
    for operation in program.operations[1:]:
        state = operation.apply(state)
    expected = expected_of(OnePassSGD(RATE), prompts)
    return error_of(read_out(program, state), expected)


def ridge_error(program: Program) -> float:
    """Returns the error of a program as ridge regression on two pairs."""
    prompts = tasks(3)
    predictions = read_out(program, program.run(prompts)[-1])
    return error_of(predictions, expected_of(Ridge(ALPHA), prompts))


FLAWS = (
    Flaw(
        "sign of the decay",
        "The gradient is x (w.x - y) + lambda w; with - lambda w, as listed, w is "
        "driven away from 0.",
        "Appendix A, step 6",
        lambda: sgd_error(1, Scale("gradient", "label", {"xr": 1, "w": -ALPHA})),
        lambda: sgd_error(1),
    ),
    Flaw(
        "mov on one token",
        "A layer acts on all tokens, so that those with nothing to move must read "
        "themselves; else the query's x is overwritten.",
        "Appendix A, step 1, and Appendix C",
        moved_everywhere,
        lambda: sgd_error(1),
    ),
    Flaw(
        "first token steps too",
        "The updates must be switched off at x-tokens; else the first x takes a step "
        "on y = 0 and hands it on, and predictions before the last are wrong.",
        "Section 3.2, n steps of SGD",
        lambda: sgd_error(2, Scale("gradient", "one", {"xr": 1, "w": ALPHA})),
        lambda: sgd_error(2),
    ),
    Flaw(
        "one update for n pairs",
        "Ridge regression on n pairs needs A^-1 and X'y carried from token to token; "
        "the listed chain starts from lambda I and knows one pair.",
        "Theorem 2 and Appendix B",
        lambda: ridge_error(ridge_step(DIM, ALPHA, length=3).program),
        lambda: ridge_error(ridge(2, DIM, ALPHA).program),
    ),
)
