"""Which pieces fail? Choices of an adversary, of chance, and of skills one by one.

A bound holds for every set of failing pieces, and only sets that were chosen against
some skills come near it. Failures that are random, or that follow from skills that fail
independently, stay far below: expect such a gap for any model.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from icl import checks
from icl.skills import arguments
from icl.skills.graph import SkillGraph


class Adversary(NamedTuple):
    """Failing pieces that were chosen against some skills.

    Attributes:
        success: False for the pieces that fail.
        targets: True for the skills that were chosen.
        beta: the failure rate of these skills' edges, over that of all pieces.
    """

    success: Bool[np.ndarray, " pieces"]
    targets: Bool[np.ndarray, " skills"]
    beta: float


def adversary(
    graph: SkillGraph, theta: float, alpha: float, *, rounds: int = 0, seed: int = 0
) -> Adversary:
    """Fails the pieces that hurt some skills most.

    Some skills, a share alpha of their measure, are drawn at random, and the pieces
    with most edges into them fail. For these skills no choice is worse, if all pieces
    count alike. In each further round the skills that then fail most often take their
    place, which uses what is irregular in a small graph.

    Args:
        graph: the graph.
        theta: the share of pieces that fail; no more of their measure does.
        alpha: the share of skills, as near as whole skills come to it.
        rounds: the number of rounds after the first.
        seed: of the skills, and of the order of equal pieces.

    Raises:
        ValueError: a number is out of range, or theta is less than one piece.

    Example:
        >>> graph = SkillGraph.sample(20_000, 8, 100)
        >>> found = adversary(graph, theta=0.05, alpha=0.1)
        >>> bool(3.4 < found.beta < 3.8)                   # 3.589 in a large graph
        True
    """
    _check_graph(graph)
    theta = arguments.fraction("theta", theta)
    alpha = arguments.fraction("alpha", alpha)
    rounds = checks.positive_int("rounds", rounds, minimum=0, maximum=1000)
    rng = np.random.default_rng(checks.positive_int("seed", seed, minimum=0))
    targets = _first_skills(graph, rng.permutation(graph.skills), alpha)
    success = _worst_pieces(graph, targets, theta, rng)
    for _ in range(rounds):
        again = _first_skills(graph, np.argsort(-_failure_rates(graph, success)), alpha)
        if (again == targets).all():
            break
        targets, success = again, _worst_pieces(graph, again, theta, rng)
    edges = graph.edges_into(targets) * graph.weights
    failing = float(graph.weights[~success].sum())
    return Adversary(
        success, targets, float(edges[~success].sum() / edges.sum()) / failing
    )


def random_failures(
    graph: SkillGraph, theta: float, *, seed: int = 0
) -> Bool[np.ndarray, " pieces"]:
    """Returns success of pieces that fail at random: a share theta of them, rounded.

    Args:
        graph: the graph.
        theta: the share of pieces that fail.
        seed: of the draws.

    Raises:
        ValueError: a number is out of range, or theta is less than one piece.

    Example:
        >>> graph = SkillGraph.sample(1000, 4, 20)
        >>> int((~random_failures(graph, 0.05)).sum())
        50
    """
    _check_graph(graph)
    theta = arguments.fraction("theta", theta)
    seed = checks.positive_int("seed", seed, minimum=0)
    order = np.random.default_rng(seed).permutation(graph.pieces)
    return _fail_first(graph, order, theta)


def independent_failures(
    graph: SkillGraph,
    theta: float,
    proneness: Float[np.ndarray, " skills"],
    *,
    seed: int = 0,
) -> Bool[np.ndarray, " pieces"]:
    """Returns success of pieces whose skills fail independently of each other.

    Skill s fails with probability c f_s each time it is used, and a piece fails if any
    of its skills does. The one number c is such that a share theta of the pieces is
    expected to fail.

    Args:
        graph: the graph.
        theta: the share of pieces that should fail.
        proneness: f_s >= 0, (skills,), how prone each skill is to fail.
        seed: of the draws.

    Raises:
        ValueError: a number is out of range, or not even c = 1 / max f makes so many
            pieces fail.

    Example:
        >>> graph = SkillGraph.sample(20_000, 4, 20)
        >>> success = independent_failures(graph, 0.1, np.ones(20))
        >>> bool(0.09 < (~success).mean() < 0.11)
        True
    """
    _check_graph(graph)
    theta = arguments.fraction("theta", theta)
    seed = checks.positive_int("seed", seed, minimum=0)
    prone = arguments.law("proneness", proneness, graph.skills, "(skills,)")
    prone = np.append(prone / prone.max(), 0.0)

    def chances(c: float) -> np.ndarray:
        right = np.ones(graph.pieces)
        for place in graph.edges.T:
            right *= 1 - c * prone[place]
        return 1 - right

    most = float(chances(1.0) @ graph.weights)
    if most < theta:
        raise ValueError(
            f"theta must be at most {most:.3g}, which is reached where the skill that "
            f"fails most often always does, got {theta:g}; make proneness more even."
        )
    c = arguments.root(lambda c: float(chances(c) @ graph.weights) - theta, 0.0, 1.0)
    return np.random.default_rng(seed).random(graph.pieces) >= chances(c)


def _check_graph(graph: SkillGraph) -> None:
    checks.of_kind("graph", graph, SkillGraph, "a SkillGraph")


def _first_skills(graph: SkillGraph, order: np.ndarray, alpha: float) -> np.ndarray:
    """Returns True for the first skills of an order, of a measure nearest to alpha."""
    together = np.cumsum(graph.skill_measure[order])
    count = int(np.argmin(np.abs(together - alpha))) + 1
    chosen = np.zeros(graph.skills, bool)
    chosen[order[:count]] = True
    return chosen


def _worst_pieces(
    graph: SkillGraph, targets: np.ndarray, theta: float, rng: np.random.Generator
) -> np.ndarray:
    """Returns success where the pieces with most edges into the targets fail."""
    shuffled = rng.permutation(graph.pieces)  # so that equal pieces have no order
    counts = graph.edges_into(targets)[shuffled]
    return _fail_first(graph, shuffled[np.argsort(-counts, kind="stable")], theta)


def _fail_first(graph: SkillGraph, order: np.ndarray, theta: float) -> np.ndarray:
    """Returns success where the first pieces of an order fail, theta of the measure."""
    together = np.cumsum(graph.weights[order])
    count = int(np.searchsorted(together, theta * (1 + 1e-9), side="right"))
    if not count:
        raise ValueError(
            f"theta must be at least one of the {graph.pieces} pieces, of weight "
            f"{graph.weights[order[0]]:.3g}, got {theta:g}."
        )
    success = np.ones(graph.pieces, bool)
    success[order[:count]] = False
    return success


def _failure_rates(graph: SkillGraph, success: np.ndarray) -> np.ndarray:
    """Returns the failure rate of each skill, 0 for those that no piece has."""
    wrong = graph.edge_weights(graph.weights * ~success)
    total = graph.edge_weights(graph.weights)
    return np.divide(wrong, total, out=np.zeros(graph.skills), where=total > 0)
