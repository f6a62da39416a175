"""Combinations of skills: how often they fail, how many there are, how many were seen.

The k-fold argument of Arora and Goyal 2023 (section 5): glue t random pieces together.
The composite fails where any part does, so at most t times as often as one piece. Its
skills can be read as tuples of t, and what holds of single skills at a failure rate of
t theta holds of tuples. So if the failure rate falls by a factor of t, tuples of t are
where single skills were.

What is counted here are sets of different skills, C(N, t) of them. Popular accounts
count N^t, ordered and with repetitions.
"""

import math

import numpy as np
from jaxtyping import Bool

from icl import checks
from icl.arrays import real
from icl.skills import arguments

MOST_SKILLS = 10**9
"""The largest number of skills in a count of combinations."""


def glued_failure(theta: float, size: int) -> float:
    """Returns how often a composite of some random pieces fails.

    $$1 - (1 - θ)^t ≤ tθ$$

    The right side is what the theory uses.

    Args:
        theta: the share θ of pieces that fail.
        size: the number t of pieces that are glued together.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> [round(glued_failure(0.0125, t), 4) for t in (1, 2, 4)]
        [0.0125, 0.0248, 0.0491]
    """
    theta = arguments.fraction("theta", theta)
    size = checks.positive_int("size", size)
    return -math.expm1(size * math.log1p(-theta))


def glue(
    success: Bool[np.ndarray, " pieces"], size: int, *, seed: int = 0
) -> Bool[np.ndarray, " composites"]:
    """Glues pieces together at random, and returns which composites succeed.

    Each piece is used once, but for the few that are left over.

    Args:
        success: whether the model is right, for each piece.
        size: the number of pieces of a composite.
        seed: of the random order.

    Raises:
        ValueError: success is no array of booleans, or has fewer pieces than one
            composite needs.

    Example:
        >>> glue(np.array([True, True, True, True]), 2).tolist()
        [True, True]
    """
    array = np.asarray(real("success", success))
    checks.shape_of("success", array, (None,), "(pieces,)")
    array = arguments.booleans("success", array, len(array))
    seed = checks.positive_int("seed", seed, minimum=0)
    if checks.positive_int("size", size) > len(array):
        raise ValueError(
            f"size must be at most the number of pieces, {len(array)}, got {size}."
        )
    order = np.random.default_rng(seed).permutation(len(array))
    whole = len(array) // size * size
    return np.all(array[order[:whole]].reshape(-1, size), axis=1)


def combinations(skills: int, size: int) -> int:
    """Returns the number of sets of `size` different skills, C(skills, size).

    Raises:
        ValueError: a number is out of range, or size is more than skills.

    Example:
        >>> combinations(1000, 4)
        41417124750
    """
    skills = checks.positive_int("skills", skills, maximum=MOST_SKILLS)
    size = checks.positive_int("size", size, maximum=1000)
    if size > skills:
        raise ValueError(
            f"size must be at most the number of skills, {skills}, got {size}."
        )
    return math.comb(skills, size)


def seen_share(skills: int, size: int, texts: int | float, k: int) -> float:
    """Returns the largest share of all tuples that a corpus can hold.

    $$L C(k, t) / C(N, t)$$

    A text that needs k skills shows C(k, t) tuples of t skills, and no other text shows
    the same ones, at best. The share is at most 1.

    Args:
        skills: the number N of skills there are.
        size: the number t of skills of a tuple.
        texts: the number L of texts of the corpus.
        k: the number of skills that a text needs.

    Raises:
        ValueError: a number is out of range; size is more than k or than skills.

    Example:
        >>> round(seen_share(1000, 4, texts=1e9, k=8), 2)
        1.0
        >>> round(seen_share(1000, 6, texts=1e9, k=8), 8)
        2.047e-05
    """
    total = combinations(skills, size)
    texts = checks.finite_number("texts", texts, positive=True)
    k = checks.positive_int("k", k, maximum=arguments.MOST)
    if size > k:
        raise ValueError(f"size must be at most k={k}, got {size}: no text shows more.")
    most = math.log(math.comb(k, size)) + math.log(texts) - math.log(total)
    return math.exp(min(most, 0.0))


def unseen_share(
    skills: int, size: int, texts: int | float, k: int, *, competent: int | float = 1.0
) -> float:
    """Returns the least share of the tuples that a model can do which it has not seen.

    This is the paper's paucity of stimulus: where tuples outnumber what the corpus can
    hold, competence on even a tenth of them is competence on unseen ones. Below 0 means
    that the count proves nothing, and 0 is returned.

    Args:
        skills: the number of skills there are.
        size: the number of skills of a tuple.
        texts: the number of texts of the corpus.
        k: the number of skills that a text needs.
        competent: the share of all tuples that the model can do.

    Raises:
        ValueError: as for `seen_share`, or `competent` is no share.

    Example:
        >>> round(unseen_share(1000, 5, texts=1e9, k=8, competent=0.1), 3)
        0.932
    """
    competent = arguments.probability("competent", competent)
    if not competent:
        raise ValueError("competent must be above 0, got 0: there is no such tuple.")
    return max(0.0, 1 - seen_share(skills, size, texts, k) / competent)
