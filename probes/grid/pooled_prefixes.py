"""The engine of pooled probes: each reads its own token and all before it, or it alone.

This is what `probe_grid` does with a `PooledProbe` or a `PooledClassifier`: it fits one
probe for each layer, token and target, and one more for its control, and
`probes.pooled` trains those of one layer in one program. The prompts that decide when
to stop are chosen by group.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax
from sklearn.utils import check_random_state

from probes.grid.columns import Columns
from probes.grid.guesses import known_classes
from probes.grid.labels import LabelBoard
from probes.grid.problem import Problem
from probes.grid.scoreboard import Scoreboard
from probes.labels import decoded
from probes.pooled import PooledClassifier, PooledProbe


def run(
    states: np.ndarray,
    problem: Problem,
    board: Any,
    probe: PooledProbe | PooledClassifier,
) -> tuple[
    Float[np.ndarray, "layers tokens targets positions"],
    Int[np.ndarray, "layers tokens targets"],
    Float[np.ndarray, "layers tokens targets"],
]:
    """Fits all probes and scores them, one layer at a time.

    So hidden states may be memory-mapped.

    Returns:
        The weights of the positions that each probe reads, the number of epochs that
        it was trained for, and its error on validation prompts in units of variance, or
        its log-loss there in bits.

    Raises:
        ValueError: a parameter of the probe is not what it should be, or there is one
            label only among the prompts that a probe is fitted to.
    """
    columns, split = problem.columns, problem.split
    from probes import pooled  # imports JAX, which the other probes do not need

    labelled = isinstance(board, LabelBoard)
    seed = int(check_random_state(probe.random_state).randint(2**31 - 1))
    widths = np.diff([0, *columns.ends, columns.width])
    if labelled:
        values = _one_for_each_label(columns, states.shape[1], split.fit)
    else:
        values = _padded(columns, states.shape[1], widths)
    # Probes in one row: tokens, and for each the targets, then their controls.
    targets = values.reshape(-1, *values.shape[2:])
    places, own = np.arange(states.shape[2]), np.array(columns.tokens)[:, None]
    seen = places == own if probe.reads == "token" else places <= own
    reads = np.repeat(seen, len(widths), axis=0)
    everyone = np.arange(states.shape[1])

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
            sample_weight=columns.weighing(everyone),
            labelled=labelled,
        )
        guesses = pooled.predict(fitted.probes, of_layer[None][:, split.test], reads)
        by_token = guesses[0].reshape(-1, len(widths), *guesses.shape[2:])
        (_put if labelled else _add)(board, layer, by_token, problem, widths)
        weights.append(pooled.position_weights(fitted.probes, reads)[0])
        epochs.append(fitted.n_iter[0])
        losses.append(fitted.validation_loss[0])
    cells, n = (len(states), *values.shape[:2]), len(columns.targets)
    by_target = np.reshape(weights, (*cells, -1))[:, :, :n]
    errors = np.reshape(losses, cells) / (np.log(2) if labelled else widths)
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


def _one_for_each_label(
    columns: Columns, prompts: int, fit: Int[np.ndarray, " fit"]
) -> Float[np.ndarray, "tokens targets prompts labels"]:
    """Returns 1 for the label that a prompt has, and 0 for all others."""
    everyone, names = np.arange(prompts), list(columns.targets)
    values = []
    for token in columns.tokens:
        parts = np.split(columns.at(token, everyone), columns.ends, axis=1)
        codes = [decoded(part) for part in parts]
        for number, some in enumerate(codes):
            known_classes(some[fit], names[number % len(names)], token)
        values.append(np.stack(codes))
    labels = np.stack(values)
    return (labels[..., None] == np.arange(labels.max() + 1)).astype(float)


def _add(
    board: Scoreboard,
    layer: int,
    by_token: Float[np.ndarray, "tokens targets test coordinates"],
    problem: Problem,
    widths: np.ndarray,
) -> None:
    """Counts the guesses of one layer in, without what padded the shorter ones."""
    test = problem.split.test
    truths = problem.columns.of(test)
    joined = (
        np.hstack([g[:, :n] for g, n in zip(guess, widths, strict=True)])
        for guess in by_token
    )
    board.add(layer, truths, board.lengths(truths), joined, np.arange(len(test)))


def _put(
    board: LabelBoard,
    layer: int,
    by_token: Float[np.ndarray, "tokens targets test labels"],
    problem: Problem,
    widths: np.ndarray,
) -> None:
    """Counts the labels of one layer in, which are ordered by their probabilities."""
    for place, logits in enumerate(by_token):
        chances = softmax(logits.astype(float), axis=-1)
        # Of two labels the second has a column.
        parts = [
            some[:, 1:2] if width == 1 else some[:, :width]
            for some, width in zip(chances, widths, strict=True)
        ]
        own = np.hstack(parts)[:, : board.width]
        board.put(layer, place, logits.argmax(axis=-1).T, own, own)
