"""Which skills can be learnt from which texts? A threshold, by peeling the graph.

A text in which exactly one skill is unknown teaches that skill; then other texts may
teach others. Whether this goes through the whole graph changes suddenly with the number
of texts per skill, as in the decoding of sparse codes (Liao, Chang and Hong 2024, arXiv
2404.07009). It is another theory of emergence on the same graph.
"""

import numpy as np
from jaxtyping import Bool

from icl import checks
from icl.skills import arguments
from icl.skills.graph import SkillGraph


def peel(
    graph: SkillGraph, known: Bool[np.ndarray, " skills"] | None = None
) -> Bool[np.ndarray, " skills"]:
    """Returns which skills are known once no text teaches another one.

    Args:
        graph: which skills each text needs.
        known: the skills that are known before; None: none of them.

    Raises:
        ValueError: known is not boolean, or of another length.

    Example:
        >>> graph = SkillGraph(np.array([[0, 0], [0, 1], [2, 3]]), skills=4)
        >>> peel(graph).tolist()              # the third text has two unknown skills
        [True, True, False, False]
    """
    checks.of_kind("graph", graph, SkillGraph, "a SkillGraph")
    start = np.zeros(graph.skills, bool) if known is None else known
    learnt = arguments.booleans("known", start, graph.skills).copy()
    once = graph.uses
    while True:
        unknown = ~learnt
        teaches = np.asarray(once @ unknown.astype(np.int32)) == 1
        new = unknown & (once.T @ teaches.astype(np.int32) > 0)
        if not new.any():
            return learnt
        learnt |= new
