"""Is success at combinations the product of success at single skills?

The worst case of the theory and independent skills are two ends, and a model lies
somewhere. If skill s succeeds independently with probability q_s each time it is used,
and a piece succeeds if all of its skills do, the q_s follow from the outcomes. What a
tuple then does beyond the product is composition (more) or interference (less).
"""

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from icl import checks
from icl.skills import arguments
from icl.skills.graph import SkillGraph
from icl.skills.measuring import FEW, used_tuples, wilson_interval

ROUNDS = 2000
"""The largest number of rounds of a fit."""

SETTLED = 1e-7
"""The change of all probabilities below which a fit ends."""


def skill_successes(
    graph: SkillGraph, success: Bool[np.ndarray, " pieces"]
) -> Float[np.ndarray, " skills"]:
    """Returns the q_s under which independent skills make the outcomes most likely.

    The likelihood is climbed by expectation-maximisation: each round assigns a failing
    piece's skills the chance that they succeeded all the same, and averages over the
    edges of each skill. Skills that no piece has are NaN.

    Args:
        graph: which skills each piece needs.
        success: whether the model is right, for each piece.

    Raises:
        ValueError: success is not boolean, or of another length.

    Example:
        >>> graph = SkillGraph.sample(20_000, 2, 3)
        >>> q = np.array([0.95, 0.9, 0.5])
        >>> rng = np.random.default_rng(0)
        >>> success = (rng.random(graph.edges.shape) < q[graph.edges]).all(axis=1)
        >>> bool(abs(skill_successes(graph, success) - q).max() < 0.02)
        True
    """
    checks.of_kind("graph", graph, SkillGraph, "a SkillGraph")
    right = arguments.booleans("success", success, graph.pieces)
    total = graph.edge_weights(graph.weights)
    used = total > 0
    q = np.full(graph.skills, 0.9)
    by_weight = graph.incidence.T @ (graph.weights * right)
    for _ in range(ROUNDS):
        # A skill of a failing piece succeeded with (q_s - product) / (1 - product).
        product = _products(graph, q)
        failing = graph.weights * ~right / np.maximum(1 - product, 1e-12)
        expected = by_weight + q * (graph.incidence.T @ failing)
        expected -= graph.incidence.T @ (failing * product)
        again = np.clip(expected[used] / total[used], 1e-12, 1)
        moved = np.abs(again - q[used]).max()
        q[used] = again
        if moved < SETTLED:
            break
    q[~used] = np.nan
    return q


def composition(
    graph: SkillGraph,
    success: Bool[np.ndarray, " pieces"],
    *,
    size: int = 2,
    least: int = FEW,
) -> xr.Dataset:
    """Compares success at tuples with what independent skills predict.

    A ratio of 1 means independent skills; above 1, that failures of different skills
    fall on the same pieces; below 1, that skills interfere with each other.

    Args:
        graph: which skills each piece needs.
        success: whether the model is right, for each piece.
        size: the number of skills of a tuple.
        least: tuples that fewer pieces use are left out.

    Returns:
        A Dataset over `tuple` with, over the pieces that use all of it, the share
        `observed` of right ones, the mean `product` of the q_s of all their skills,
        their `ratio` with the ends `low` and `high` of its 95 % interval (the q_s are
        taken as known), `exposures`, and `members` over (tuple, place).

    Raises:
        ValueError: success is not boolean or of another length, size is more than a
            piece has skills, or no tuple is used by `least` pieces.

    Example:
        >>> graph = SkillGraph.sample(20_000, 2, 4)
        >>> success = np.random.default_rng(0).random(20_000) < 0.9
        >>> found = composition(graph, success)
        >>> bool(abs(np.log(found.ratio)).max() < 0.05)
        True
    """
    checks.of_kind("graph", graph, SkillGraph, "a SkillGraph")
    right = arguments.booleans("success", success, graph.pieces)
    least = checks.positive_int("least", least)
    members, piece, number, used = used_tuples(graph, size, least)
    kept = used >= least
    products = _products(graph, np.nan_to_num(skill_successes(graph, right)))
    weights = graph.weights[piece]
    total, observed, product, squares = (
        np.bincount(number, weights * values, len(members))[kept]
        for values in (1.0, right[piece], products[piece], weights)
    )
    there = total > 0
    observed, product = (
        np.divide(part, total, out=np.full(total.shape, np.nan), where=there)
        for part in (observed, product)
    )
    worth = np.divide(total**2, squares, out=np.zeros(total.shape), where=there)
    low, high = wilson_interval(observed, worth)
    return xr.Dataset(
        {
            "observed": ("tuple", observed),
            "product": ("tuple", product),
            "ratio": ("tuple", observed / product),
            "low": ("tuple", low / product),
            "high": ("tuple", high / product),
            "exposures": ("tuple", used[kept]),
            "members": (("tuple", "place"), members[kept]),
        }
    )


def _products(graph: SkillGraph, q: np.ndarray) -> np.ndarray:
    """Returns the product of q_s over the edges of each piece."""
    padded = np.append(q, 1.0)
    product = np.ones(graph.pieces)
    for place in graph.edges.T:
        product *= padded[place]
    return product
