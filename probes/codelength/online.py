"""The online (prequential) code of a target, block after block."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import checks
from probes.codelength.blocks import (
    blocks_of,
    check_blocks,
    members,
    over_orders,
)
from probes.codelength.result import FLOOR, Codelength, paired, refuse_constants
from probes.grid.ridge_spec import ALPHAS
from probes.groups import repeated_rows

MOST = 100_000  # orders, each of which takes as long as one probe


def online_codelength(
    features: ArrayLike,
    target: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    first: int | None = None,
    growth: float = 2.0,
    alphas: Sequence[float] = ALPHAS,
    orders: int = 10,
    seed: int = 0,
) -> Codelength:
    """Returns the bits of the online code, with a ridge probe and a Gaussian error.

    Prompts come in random order, in blocks that end after `first`, `first * growth`,
    `first * growth**2`, ... groups. A block is coded with the density
    N(prediction, variance) of a ridge probe on standardised features. The probe is
    fitted to all blocks before; its penalty (one per coordinate) has the least
    leave-one-out error there, and that error is the variance. With groups of several
    prompts it is the error of five-fold cross-validation by group, for a prompt's own
    group would give it away. The intercept code is made in the same way from a feature
    that does not vary.

    The first block, before which there is nothing to learn from, costs both codes the
    same: its own Gaussian's bits. It counts among the prompts and saves nothing.

    All of this is done for several orders, and averaged: one order may save a fifth of
    a bit per prompt more or less than another. The interval is over groups and orders:
    resampled groups, with blocks and probes as they are, and the variance between
    orders. It leaves out that another network would have other features.

    Args:
        features: hidden states, or other inputs of the probe, (prompts, features).
        target: what is coded, (prompts, q).
        groups: a label for each prompt, (prompts,); by default each is its own group.
        first: number of groups in the first block, at least 4. None: four for each
            feature, 16 or more, but no more than half of the groups. With fewer than
            four, the first probes fit their prompts closely, take their own error for
            nearly 0, and code the next block at any price.
        growth: factor by which the number of known groups grows from block to block.
        alphas: penalties to choose from, not scaled by the number of prompts.
        orders: number of orders that are averaged.
        seed: decides the orders of prompts and the bootstrap.

    Raises:
        ValueError: shapes that do not match, NaN or infinity, a first block that leaves
            none to code, blocks that do not grow, a target that does not vary over the
            first block.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> states = rng.normal(size=(1000, 4))
        >>> target = states[:, :1] + rng.normal(size=(1000, 1))  # R2 = 1/2
        >>> round(online_codelength(states, target).saved_per_prompt, 1)
        0.5
    """
    x, y = paired(features, target)
    if groups is None:
        repeated_rows({"y": y})
    member = members(groups, len(y))
    count = int(member.max()) + 1
    first = check_blocks(first, growth, count, features=x.shape[1])
    checks.positive_int("orders", orders, MOST)
    alphas = checks.positive("alphas", alphas)
    rng = np.random.default_rng([checks.seed(seed), 4])
    blocks = first, growth
    return over_orders(
        lambda place: _costs(x, y, member, place, blocks, alphas), member, orders, rng
    )


def _costs(
    x: Float[np.ndarray, "prompts features"],
    y: Float[np.ndarray, "prompts q"],
    member: Int[np.ndarray, " prompts"],
    place: Int[np.ndarray, " prompts"],
    blocks: tuple[int, float],
    alphas: Sequence[float],
) -> Float[np.ndarray, "2 prompts q"]:
    """Returns the bits in one order, with an intercept alone and with the features."""
    first, growth = blocks
    nothing = np.zeros((len(y), 1))
    costs = np.zeros((2, *y.shape))
    known = place < first
    variance = y[known].var(axis=0)
    refuse_constants(variance, y[known], f"over the first {first} groups")
    costs[:, known] = _gaussian_bits(y[known] - y[known].mean(axis=0), variance)
    for known, block in blocks_of(place, first, growth):
        for cost, inputs in zip(costs, (nothing, x), strict=True):
            guess, error = _predict(
                inputs[known], y[known], inputs[block], member[known], alphas
            )
            error = np.maximum(error, FLOOR * y[known].var(axis=0))
            cost[block] = _gaussian_bits(y[block] - guess, error)
    return costs


def _predict(
    features: Float[np.ndarray, "known features"],
    target: Float[np.ndarray, "known q"],
    new: Float[np.ndarray, "block features"],
    member: Int[np.ndarray, " known"],
    alphas: Sequence[float],
) -> tuple[Float[np.ndarray, "block q"], Float[np.ndarray, " q"]]:
    """Returns guesses for new prompts, and the held-out error among known ones."""
    penalties: Any = np.asarray(alphas, float)
    if len(np.unique(member)) == len(member):
        ridge: Any = RidgeCV(penalties, alpha_per_target=True)
        probe: Any = make_pipeline(StandardScaler(), ridge).fit(features, target)
        guess = probe.predict(new).reshape(len(new), -1)
        return guess, -np.atleast_1d(ridge.best_score_)
    splitter: Any = GroupKFold(min(5, len(np.unique(member))))
    folds = list(splitter.split(features, groups=member))
    guess, error = np.empty((len(new), target.shape[1])), np.empty(target.shape[1])
    for i, column in enumerate(target.T):
        ridge = RidgeCV(penalties, cv=folds, scoring="neg_mean_squared_error")
        probe = make_pipeline(StandardScaler(), ridge).fit(features, column)
        guess[:, i], error[i] = probe.predict(new), -ridge.best_score_
    return guess, error


def _gaussian_bits(
    error: Float[np.ndarray, "prompts q"], variance: Float[np.ndarray, " q"]
) -> Float[np.ndarray, "prompts q"]:
    """Returns the bits of errors under a Gaussian density of this variance."""
    return (np.log2(2 * np.pi * variance) + error**2 / variance * np.log2(np.e)) / 2
