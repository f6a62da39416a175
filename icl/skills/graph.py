"""Skill graphs: which skills does each piece of text, or each test item, need?

Pieces and skills are the two sides of a bipartite graph (Arora and Goyal 2023, Def. 4
and 5). In the theory a piece has k skills that are drawn independently from a law over
skills. A skill that is drawn twice for one piece has two edges, and counts twice.

Both sides have a measure. That of the pieces says how much each of them counts; it is
uniform unless something else is given. That of the skills follows from it: the share
of all edges that a skill has.

Shapes: `edges` (pieces, k), with the number of a skill in each place.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from icl import checks
from icl.arrays import real, shown
from icl.skills import arguments

MOST_EDGES = 2**31 - 1
"""The largest number of edges, so that 32 bits number them."""


@dataclass(frozen=True, eq=False, repr=False)
class SkillGraph:
    """Pieces and the skills that each of them needs.

    Attributes:
        edges: the skills of each piece, (pieces, k), as numbers from 0 to skills - 1.
            Where a piece has fewer than k, places hold the number `skills`, which is
            none.
        skills: the number of skills.
        present: (pieces, k), False where a place of `edges` holds no skill; None: all
            places hold one.
        measure: the weight of each piece, (pieces,), divided by the sum; None: all
            count alike.
        names: what the skills are called; none: by their numbers.

    Raises:
        ValueError: an edge is no integer from 0 to skills - 1, there are fewer than two
            pieces, a piece has no skill at all, or a weight is negative.

    Example:
        >>> graph = SkillGraph(np.array([[0, 1], [0, 2], [1, 2]]), skills=3)
        >>> graph
        SkillGraph(pieces=3, skills=3, k=2)
        >>> graph.exposures.tolist(), graph.skill_measure.round(2).tolist()
        ([2, 2, 2], [0.33, 0.33, 0.33])
    """

    edges: Int[np.ndarray, "pieces k"]
    skills: int
    present: Bool[np.ndarray, "pieces k"] | None = None
    measure: Float[np.ndarray, " pieces"] | None = None
    names: Sequence[Hashable] = ()

    def __post_init__(self) -> None:
        skills = checks.positive_int("skills", self.skills, maximum=MOST_EDGES - 1)
        edges = _edges(self.edges, skills, self.present)
        weights = np.ones(len(edges)) if self.measure is None else self.measure
        measure = arguments.law("measure", weights, len(edges), "(pieces,)")
        names = _names(self.names, skills)
        values = {"edges": edges, "skills": skills, "measure": measure, "names": names}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def sample(
        cls,
        pieces: int,
        k: int,
        skills: int,
        *,
        law: Float[np.ndarray, " skills"] | None = None,
        seed: int = 0,
    ) -> "SkillGraph":
        """Draws k skills for each piece, independently of each other.

        Ten million edges take a second or two.

        Args:
            pieces: the number of pieces, at least 2.
            k: the number of skills of a piece.
            skills: the number of skills there are.
            law: the weight of each skill, (skills,), which need not sum to 1; None: all
                are equally likely. See `zipf`.
            seed: of the draws.

        Raises:
            ValueError: a number is out of range, or a weight is negative.

        Example:
            >>> graph = SkillGraph.sample(1000, 4, 50, law=zipf(50))
            >>> bool(graph.exposures[0] > 10 * graph.exposures[-1])
            True
        """
        pieces = checks.positive_int("pieces", pieces, minimum=2)
        k = checks.positive_int("k", k, maximum=arguments.MOST)
        skills = checks.positive_int("skills", skills, maximum=MOST_EDGES - 1)
        seed = checks.positive_int("seed", seed, minimum=0)
        if pieces * k > MOST_EDGES:
            raise ValueError(
                f"pieces x k must be at most {MOST_EDGES:,} edges, got {pieces * k:,}; "
                "take fewer pieces."
            )
        rng = np.random.default_rng(seed)
        if law is None:
            return cls(rng.integers(skills, size=(pieces, k), dtype=np.int32), skills)
        weights = arguments.law("law", law, skills, "(skills,)")
        return cls(_drawn(rng, weights, (pieces, k)), skills)

    @classmethod
    def from_labels(cls, labels: Sequence[Collection[Hashable]]) -> "SkillGraph":
        """Makes the graph of items that are labelled with the skills they need.

        Args:
            labels: the skills of each item, as a set or list of names. Skills are
                numbered in the order in which they first occur.

        Raises:
            ValueError: an item has no skill, or its skills are no collection.

        Example:
            >>> graph = SkillGraph.from_labels([["carry"], ["carry", "nine"]])
            >>> graph.names, graph.exposures.tolist()
            (('carry', 'nine'), [2, 1])
        """
        items = _items(labels)
        numbers: dict[Hashable, int] = {}
        rows = [[numbers.setdefault(name, len(numbers)) for name in i] for i in items]
        width = max(map(len, rows))
        edges = np.zeros((len(rows), width), dtype=np.int32)
        present = np.zeros(edges.shape, dtype=bool)
        for row, found in enumerate(rows):
            edges[row, : len(found)] = found
            present[row, : len(found)] = True
        return cls(edges, len(numbers), present, names=tuple(numbers))

    @property
    def pieces(self) -> int:
        """The number of pieces."""
        return len(self.edges)

    @property
    def k(self) -> int:
        """The largest number of skills of a piece."""
        return self.edges.shape[1]

    @property
    def weights(self) -> Float[np.ndarray, " pieces"]:
        """The measure of the pieces, which sums to 1."""
        assert self.measure is not None  # since it was checked
        return self.measure

    @cached_property
    def exposures(self) -> Int[np.ndarray, " skills"]:
        """The number of edges of each skill."""
        return np.bincount(self.edges.ravel(), minlength=self.skills + 1)[:-1]

    @cached_property
    def skill_measure(self) -> Float[np.ndarray, " skills"]:
        """The share of all edges that each skill has; an edge weighs as its piece."""
        weights = self.edge_weights(self.weights)
        return weights / weights.sum()

    @cached_property
    def incidence(self) -> scipy.sparse.csr_array:
        """The number of edges between each piece and each skill, (pieces, skills)."""
        present = self.edges < self.skills
        starts = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
        found = self.edges[present]
        values = np.ones(len(found), dtype=np.int32)
        shape = (self.pieces, self.skills)
        return scipy.sparse.csr_array((values, found, starts), shape=shape)

    @cached_property
    def uses(self) -> scipy.sparse.csr_array:
        """1 where a piece uses a skill, once or more often, (pieces, skills)."""
        once = self.incidence.copy()
        once.sum_duplicates()
        once.data[:] = 1
        return once

    def edge_weights(
        self, weights: Float[np.ndarray, " pieces"]
    ) -> Float[np.ndarray, " skills"]:
        """Returns the sum of weights of pieces over the edges of each skill.

        Args:
            weights: a number for each piece.
        """
        found = checks.array("weights", weights, (self.pieces,), "(pieces,)")
        spread = np.repeat(np.asarray(found, dtype=float), self.k)
        total = np.bincount(self.edges.ravel(), spread, minlength=self.skills + 1)
        return total[:-1]

    def edges_into(
        self, chosen: Bool[np.ndarray, " skills"]
    ) -> Int[np.ndarray, " pieces"]:
        """Returns the number of edges of each piece into some skills, (pieces,).

        Args:
            chosen: True for these skills.
        """
        array = arguments.booleans("chosen", chosen, self.skills)
        inside = np.append(array, False)
        count = np.zeros(self.pieces, dtype=np.int32)
        for place in self.edges.T:  # one at a time, to save memory
            count += inside[place]
        return count

    def __repr__(self) -> str:
        return f"SkillGraph(pieces={self.pieces}, skills={self.skills}, k={self.k})"


def zipf(skills: int, exponent: int | float = 1.0) -> Float[np.ndarray, " skills"]:
    """Returns a law in which the skill of rank r has a probability of 1 / r^exponent.

    It is divided by the sum. A few skills are then used all the time, and most of them
    rarely.

    Args:
        skills: the number of skills.
        exponent: how fast the probability falls; 0 is uniform. The quanta of Michaud et
            al. 2023 have 1 + alpha.

    Raises:
        ValueError: there are no skills, or the exponent is negative.

    Example:
        >>> zipf(3).round(3).tolist()
        [0.545, 0.273, 0.182]
    """
    skills = checks.positive_int("skills", skills, maximum=MOST_EDGES - 1)
    exponent = checks.finite_number("exponent", exponent)
    weights = np.arange(1, skills + 1, dtype=float) ** -exponent
    return weights / weights.sum()


def _edges(values: Any, skills: int, present: Any) -> Int[np.ndarray, "pieces k"]:
    """Returns edges as integers, with `skills` where a place holds no skill."""
    edges = np.asarray(real("edges", values))
    checks.shape_of("edges", edges, (None, None), "(pieces, k)")
    if edges.dtype.kind not in "iu":
        raise ValueError(
            f"edges must hold the numbers of skills as integers, got {edges.dtype}; "
            "for names, use SkillGraph.from_labels."
        )
    if len(edges) < 2 or not edges.shape[1]:
        raise ValueError(
            f"edges must hold at least 2 pieces of at least 1 skill, got shape "
            f"{edges.shape}."
        )
    everywhere = np.ones(edges.shape, bool)
    there = np.asarray(real("present", everywhere if present is None else present))
    if there.dtype != bool or there.shape != edges.shape:
        raise ValueError(
            f"present must hold True or False for each place of edges, of shape "
            f"{edges.shape}, got {there.dtype} of shape {there.shape}."
        )
    used = edges[there] if present is not None else edges
    if used.size and not 0 <= used.min() <= used.max() < skills:
        raise ValueError(
            f"edges must lie from 0 to {skills - 1}, one less than skills={skills}, "
            f"got {used.min()} to {used.max()}; the first skill has the number 0."
        )
    if present is None:
        return edges.astype(np.int32, copy=False)
    bare = np.flatnonzero(~there.any(axis=1))
    if len(bare):
        raise ValueError(
            f"present must leave each piece a skill, and piece {bare[0]} has none; "
            "leave such pieces out."
        )
    return np.where(there, edges, skills).astype(np.int32)


def _names(names: Any, skills: int) -> tuple[Hashable, ...]:
    if not isinstance(names, list | tuple) or len(names) not in (0, skills):
        raise ValueError(
            f"names must be a list of {skills} names, one for each skill, got "
            f"{shown(names)}."
        )
    return tuple(names)


def _items(labels: Any) -> list[list[Hashable]]:
    """Returns the names of the skills of each item, as lists."""
    kinds = (set, frozenset, list, tuple)
    if not isinstance(labels, list | tuple) or len(labels) < 2:
        raise ValueError(
            f"labels must be a list with the skills of at least 2 items, got "
            f"{shown(labels)}."
        )
    for number, item in enumerate(labels):
        named = isinstance(item, kinds) and all(isinstance(n, Hashable) for n in item)
        if not (named and item):
            raise ValueError(
                f"labels must hold, for each item, a set or list of at least one name, "
                f"got {shown(item)} for item {number}; leave out items without skills."
            )
    # Sets have no order of their own: text is sorted, so that numbers are always equal.
    return [
        sorted(i, key=repr) if isinstance(i, set | frozenset) else list(i)
        for i in labels
    ]


def _drawn(
    rng: np.random.Generator, weights: np.ndarray, shape: tuple[int, int]
) -> Int[np.ndarray, "pieces k"]:
    """Returns independent draws from a law."""
    ends = np.cumsum(weights)
    drawn = np.searchsorted(ends, rng.random(shape) * ends[-1], side="right")
    # Rounding may not reach past the last skill that can be drawn.
    return np.minimum(drawn, np.flatnonzero(weights)[-1]).astype(np.int32)
