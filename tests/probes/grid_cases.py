"""Shapes, targets and streams that the tests of `probe_grid` share."""

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

LAYERS, PROMPTS, TOKENS, FEATURES = 3, 240, 4, 6


def noisy_readout(hidden, rng, *, layer=1, token=2, q=3):
    """A target that is linear in one cell's features, with noise and rising scales."""
    states = hidden[layer, :, token] / hidden[layer, :, token].std(axis=0)
    values = states @ rng.normal(size=(FEATURES, q)) + rng.normal(size=(PROMPTS, q))
    return values * 10.0 ** np.arange(q)


def first_split(prompts, rows=None, fraction=0.25):
    rows = np.arange(prompts) if rows is None else rows
    splitter = GroupShuffleSplit(1, test_size=fraction, random_state=0)
    kept, held = next(splitter.split(rows, groups=rows))
    return rows[kept], rows[held]


def batches(hidden, size=50):
    for start in range(0, hidden.shape[1], size):
        yield hidden[:, start : start + size]
