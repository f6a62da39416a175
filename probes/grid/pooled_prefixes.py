"""The engine of pooled probes: each reads its own token and all before it, or it alone.

This is what `probe_grid` does with a `PooledProbe`: it fits one probe for each layer,
token and target, and one more for its control, and `probes.pooled` trains those of one
layer in one program. The prompts that decide when to stop are chosen by group.
"""

import numpy as np
from jaxtyping import Float, Int
from sklearn.utils import check_random_state

from probes.grid.columns import Columns
from probes.grid.problem import Problem
from probes.grid.scoreboard import Scoreboard
from probes.pooled.estimator import PooledProbe


def run(
    states: np.ndarray,
    problem: Problem,
    board: Scoreboard,
    probe: PooledProbe,
) -> tuple[
    Float[np.ndarray, "layers tokens targets positions"],
    Int[np.ndarray, "layers tokens targets"],
    Float[np.ndarray, "layers tokens targets"],
]:
    """Fits all probes and scores them, one layer at a time.

    So hidden states may be memory-mapped.

    Returns:
        The weights of the positions that each probe reads, the number of epochs that
        it was trained for, and its error on validation prompts in units of variance.

    Raises:
        ValueError: a parameter of the probe is not what it should be.
    """
    columns, split = problem.columns, problem.split
    from probes import pooled  # imports JAX, which the other probes do not need

    seed = int(check_random_state(probe.random_state).randint(2**31 - 1))
    widths = np.diff([0, *columns.ends, columns.width])
    values = _padded(columns, states.shape[1], widths)
    # Probes in one row: tokens, and for each the targets, then their controls.
    targets = values.reshape(-1, *values.shape[2:])
    places, own = np.arange(states.shape[2]), np.array(columns.tokens)[:, None]
    seen = places == own if probe.reads == "token" else places <= own
    reads = np.repeat(seen, len(widths), axis=0)

    truths = columns.of(split.test)
    lengths = board.lengths(truths)
    weights, epochs, losses = [], [], []
    for layer, of_layer in enumerate(problem.progress.over(states, "layers")):
        fitted = pooled.fit(
            of_layer[None],
            targets,
            reads,
            train=split.fit,
            validation=split.validation,
            config=probe.config(),
            seed=seed,
        )
        guesses = pooled.predict(fitted.probes, of_layer[None][:, split.test], reads)
        by_token = guesses[0].reshape(len(truths), len(widths), *guesses.shape[2:])
        joined = (_joined(guess, widths) for guess in by_token)
        board.add(layer, truths, lengths, joined, np.arange(len(split.test)))
        weights.append(pooled.position_weights(fitted.probes, reads)[0])
        epochs.append(fitted.n_iter[0])
        losses.append(fitted.validation_loss[0])
    cells, n = (len(states), *values.shape[:2]), len(columns.targets)
    by_target = np.reshape(weights, (*cells, -1))[:, :, :n]
    errors = np.reshape(losses, cells) / widths
    return by_target, np.reshape(epochs, cells)[:, :, :n], errors[:, :, :n]


def _padded(
    columns: Columns, prompts: int, widths: np.ndarray
) -> Float[np.ndarray, "tokens targets prompts coordinates"]:
    """Returns the targets of every token, the shorter ones padded with zeros."""
    everyone = np.arange(prompts)
    values = np.zeros((len(columns.tokens), len(widths), prompts, widths.max()))
    for place, token in enumerate(columns.tokens):
        parts = np.split(columns.at(token, everyone), columns.ends, axis=1)
        for target, part in enumerate(parts):
            values[place, target, :, : part.shape[1]] = part
    return values


def _joined(
    guesses: Float[np.ndarray, "targets prompts coordinates"], widths: np.ndarray
) -> Float[np.ndarray, "prompts columns"]:
    """Returns the guesses side by side, without what padded the shorter ones."""
    return np.hstack([g[:, :n] for g, n in zip(guesses, widths, strict=True)])
