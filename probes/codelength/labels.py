"""The online (prequential) code of labels, block after block."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import checks
from probes.arrays import shown
from probes.codelength.blocks import (
    blocks_of,
    check_blocks,
    members,
    over_orders,
)
from probes.codelength.result import Codelength
from probes.groups import target_labels

MOST = 100_000  # orders, each of which takes as long as one probe


def label_codelength(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    probe: BaseEstimator | None = None,
    groups: ArrayLike | None = None,
    first: int | None = None,
    growth: float = 2.0,
    orders: int = 10,
    seed: int = 0,
) -> Codelength:
    """Returns the bits of the online code of labels, with a classifier as the probe.

    Prompts come in random order, in blocks that end after `first`, `first * growth`,
    `first * growth**2`, ... groups. A label costs -log2 of its probability, which is
    (n p + 1) / (n + classes), where p is the probability of a classifier that was
    fitted to the n prompts before the block. So a label that has not been met costs a
    finite number of bits. The code without features has the labels' shares of these
    prompts for p. A label of the first block costs log2(classes) in both codes.

    Several orders are averaged. The interval is over groups and orders, as in
    `online_codelength`. For labels that the features determine, and for long enough
    sequences, the saved bits tend to the entropy of the labels.

    Args:
        features: hidden states, or other inputs of the probe, (prompts, features).
        labels: what is coded: integers, booleans or strings, (prompts,).
        probe: a classifier with probabilities; None stands for logistic regression on
            standardised features, with scikit-learn's penalty C = 1.
        groups: a label for each prompt, (prompts,); by default each is its own group.
        first: the number of groups in the first block, at least 4. None: four for each
            feature, 16 or more, but no more than half of the groups.
        growth: the factor by which the number of known groups grows.
        orders: the number of orders that are averaged.
        seed: decides the orders of prompts and the bootstrap.

    Raises:
        ValueError: shapes that do not match, NaN or infinity, numbers that are no
            labels, a probe without probabilities, a first block that leaves none to
            code, blocks that do not grow.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> states = rng.normal(size=(2000, 4))
        >>> sign = states[:, 0] > 0
        >>> code = label_codelength(states, sign)  # 1 bit each, if nothing is known
        >>> round(code.intercept_bits / 2000, 1), code.saved_per_prompt > 0.8
        (1.0, True)
    """
    x = checks.floats("features", features)
    checks.squarable("features", x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"features must have shape (prompts, q), got {x.shape}.")
    classes, codes = np.unique(
        target_labels("labels", labels, len(x), {}), return_inverse=True
    )
    if probe is None:
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    if not checks.classifies(probe) or not hasattr(probe, "predict_proba"):
        raise ValueError(
            "probe must be a classifier with probabilities (predict_proba), such as "
            f"LogisticRegression(), got {shown(probe)}."
        )
    member = members(groups, len(x))
    count = int(member.max()) + 1
    blocks = check_blocks(first, growth, count, features=x.shape[1]), growth
    checks.positive_int("orders", orders, MOST)
    rng = np.random.default_rng([checks.seed(seed), 5])
    return over_orders(
        lambda place: _costs(x, codes, len(classes), place, blocks, probe),
        member,
        orders,
        rng,
    )


def _costs(
    x: Float[np.ndarray, "prompts features"],
    codes: Int[np.ndarray, " prompts"],
    classes: int,
    place: Int[np.ndarray, " prompts"],
    blocks: tuple[int, float],
    probe: Any,
) -> Float[np.ndarray, "2 prompts 1"]:
    """Returns the bits in one order, without features and with them."""
    costs = np.full((2, len(x), 1), np.log2(classes))
    for known, block in blocks_of(place, *blocks):
        shares = np.bincount(codes[known], minlength=classes) / known.sum()
        without = np.tile(shares, (int(block.sum()), 1))
        given = without
        if np.count_nonzero(shares) > 1:
            fitted = clone(probe).fit(x[known], codes[known])
            given = np.zeros_like(without)
            given[:, fitted.classes_] = fitted.predict_proba(x[block])
        for cost, chances in zip(costs, (without, given), strict=True):
            of_label = chances[np.arange(len(chances)), codes[block]]
            counted = (known.sum() * of_label + 1) / (known.sum() + classes)
            cost[block, 0] = -np.log2(counted)
    return costs
