"""A pooled probe at every token: it reads that token and all before it.

What `probe_grid` does with a `PooledProbe`: one probe for each layer, token and target,
and one more for its control, all trained by `probes.pooled` in one program for each
layer. The prompts that decide when to stop are chosen by group.
"""

import numpy as np
from jaxtyping import Float
from sklearn.utils import check_random_state

from probes.columns import Columns
from probes.estimators import PooledProbe
from probes.scores import Scoreboard
from probes.splits import Split


def run(
    states: np.ndarray,
    columns: Columns,
    split: Split,
    board: Scoreboard,
    probe: PooledProbe,
) -> Float[np.ndarray, "layers tokens targets positions"]:
    """Fits all probes and scores them; returns the weights of the positions read.

    One layer at a time, so that hidden states may be memory-mapped.
    """
    from probes import pooled  # JAX is imported when there is something to fit

    seed = int(check_random_state(probe.random_state).randint(2**31 - 1))
    widths = np.diff([0, *columns.ends, columns.width])
    everyone = np.arange(states.shape[1])
    values = np.zeros((len(columns.tokens), len(widths), len(everyone), widths.max()))
    for place, token in enumerate(columns.tokens):
        parts = np.split(columns.at(token, everyone), columns.ends, axis=1)
        for target, part in enumerate(parts):
            values[place, target, :, : part.shape[1]] = part
    # Probes in one row: tokens, and for each the targets, then their controls.
    targets = values.reshape(-1, *values.shape[2:])
    prefixes = np.arange(states.shape[2]) <= np.array(columns.tokens)[:, None]
    reads = np.repeat(prefixes, len(widths), axis=0)

    truths = [columns.at(token, split.test) for token in columns.tokens]
    weights = []
    for layer, of_layer in enumerate(states):
        fitted = pooled.fit(
            of_layer[None],
            targets,
            reads,
            train=split.fit,
            validation=split.validation,
            settings=probe.settings(),
            seed=seed,
        )
        guesses = pooled.predict(fitted.probes, of_layer[None][:, split.test], reads)
        by_token = guesses[0].reshape(len(truths), len(widths), *guesses.shape[2:])
        board.add(
            layer,
            zip(truths, (_joined(g, widths) for g in by_token), strict=True),
            np.arange(len(split.test)),
        )
        weights.append(pooled.position_weights(fitted.probes, reads)[0])
    by_target = np.reshape(weights, (len(states), *values.shape[:2], -1))
    return by_target[:, :, : len(columns.targets)]


def _joined(
    guesses: Float[np.ndarray, "targets prompts coordinates"], widths: np.ndarray
) -> Float[np.ndarray, "prompts columns"]:
    """The guesses side by side, without what padded the shorter ones."""
    return np.hstack([g[:, :n] for g, n in zip(guesses, widths, strict=True)])
