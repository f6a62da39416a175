"""How good is a model at each skill, and at each tuple of skills?

Competence at a skill is one less the share of its edges that lead into failing pieces
(Arora and Goyal 2023, Def. 7). The count is conservative: a wrong piece counts against
every one of its skills, so that a model may be better at a skill than its competence
says. Competence at a tuple is the share of right pieces among those that use all of it.
Both are about pieces like these, and shares, never 0 or 1 by decree.

Intervals are Wilson's 95 % intervals for a share of independent pieces, with as many of
them as the weights are worth. Resampled pieces would give a skill that never failed an
interval of no width.
"""

from itertools import combinations

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from icl import cautions, checks
from icl.arrays import real
from icl.skills import arguments
from icl.skills.graph import SkillGraph

FEW = 20
"""With fewer pieces than this a competence is little more than its interval."""

NORMAL = 1.959964
"""The normal quantile of a 95 % interval."""

MOST_ROWS = 200_000_000
"""The largest number of tuples that are listed, once for each piece that has them."""


def competence(graph: SkillGraph, success: Bool[np.ndarray, " pieces"]) -> xr.Dataset:
    """Returns the competence of a model at each skill.

    Args:
        graph: which skills each piece needs.
        success: whether the model is right, for each piece.

    Returns:
        A Dataset over `skill` with `competence`, the ends `low` and `high` of its 95 %
        interval, `exposures` (the number of edges) and `measure` (the share of all
        edges, by weight). A skill that no piece has is NaN.

    Raises:
        ValueError: success is not boolean, or of another length.

    Warns:
        UserWarning: skills have fewer than 20 edges, or none.

    Example:
        >>> graph = SkillGraph.sample(2_000, 2, 5)
        >>> hard = np.arange(5) == 3                       # it fails at skill 3 alone
        >>> success = graph.edges_into(hard) == 0
        >>> competence(graph, success).competence.values.round(1).tolist()
        [0.8, 0.8, 0.8, 0.0, 0.8]
    """
    checks.of_kind("graph", graph, SkillGraph, "a SkillGraph")
    right = arguments.booleans("success", success, graph.pieces)
    _warn_of_few(graph)
    total = graph.edge_weights(graph.weights)
    share = _over(graph.edge_weights(graph.weights * right), total)
    low, high = wilson_interval(share, _worth(graph, total))
    return xr.Dataset(
        {
            "competence": ("skill", share),
            "low": ("skill", low),
            "high": ("skill", high),
            "exposures": ("skill", graph.exposures),
            "measure": ("skill", graph.skill_measure),
        },
        coords={"skill": list(graph.names) or np.arange(graph.skills)},
    )


def tuple_competence(
    graph: SkillGraph,
    success: Bool[np.ndarray, " pieces"],
    *,
    size: int = 2,
    least: int = FEW,
) -> xr.Dataset:
    """Returns the competence of a model at tuples of different skills.

    Args:
        graph: which skills each piece needs.
        success: whether the model is right, for each piece.
        size: the number of skills of a tuple.
        least: tuples that fewer pieces use are left out.

    Returns:
        A Dataset over `tuple` with `competence`, `low`, `high`, `exposures` (the number
        of pieces that use all of it) and `members` over (tuple, place), its skills.

    Raises:
        ValueError: success is not boolean or of another length, size is more than a
            piece has skills, or no tuple is used by `least` pieces.

    Example:
        >>> graph = SkillGraph.sample(2_000, 3, 4)
        >>> pairs = tuple_competence(graph, np.ones(2_000, bool))
        >>> pairs.members.values.tolist()
        [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    """
    checks.of_kind("graph", graph, SkillGraph, "a SkillGraph")
    right = arguments.booleans("success", success, graph.pieces)
    least = checks.positive_int("least", least)
    members, piece, number, used = used_tuples(graph, size, least)
    kept = used >= least
    weights = graph.weights[piece]
    total = np.bincount(number, weights, len(members))
    squares = np.bincount(number, weights**2, len(members))
    share = _over(np.bincount(number, weights * right[piece], len(members)), total)
    low, high = wilson_interval(share[kept], (total**2 / squares)[kept])
    return xr.Dataset(
        {
            "competence": ("tuple", share[kept]),
            "low": ("tuple", low),
            "high": ("tuple", high),
            "exposures": ("tuple", used[kept]),
            "members": (("tuple", "place"), members[kept]),
        }
    )


def tuples_of(
    graph: SkillGraph, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns all tuples that occur, and which pieces have them.

    A piece has a tuple once, even if it uses one of its skills twice.

    Args:
        graph: which skills each piece needs.
        size: the number of skills of a tuple.

    Returns:
        The skills of each tuple, (tuples, size), in rising order; and for each
        occurrence the number of its piece and of its tuple.

    Raises:
        ValueError: size is more than a piece has skills, or there are too many tuples.

    Example:
        >>> graph = SkillGraph(np.array([[1, 0, 0], [2, 1, 0]]), skills=3)
        >>> members, piece, number = tuples_of(graph, 2)
        >>> members.tolist(), piece.tolist(), number.tolist()
        ([[0, 1], [0, 2], [1, 2]], [0, 1, 1, 1], [0, 0, 1, 2])
    """
    checks.of_kind("graph", graph, SkillGraph, "a SkillGraph")
    size = checks.positive_int("size", size)
    if size > graph.k:
        raise ValueError(
            f"size must be at most k={graph.k}, the number of skills of a piece, got "
            f"{size}."
        )
    edges = np.sort(graph.edges, axis=1)
    edges[:, 1:][edges[:, 1:] == edges[:, :-1]] = graph.skills  # a repeated skill
    edges = np.sort(edges, axis=1)
    places = list(combinations(range(graph.k), size))
    if len(places) * graph.pieces > MOST_ROWS:
        raise ValueError(
            f"size must leave at most {MOST_ROWS:,} tuples to be listed, got {size}, "
            f"with {len(places) * graph.pieces:,}; take fewer pieces or smaller tuples."
        )
    rows, piece = [], []
    for chosen in places:
        found = edges[:, chosen]
        whole = found[:, -1] < graph.skills
        rows.append(found[whole])
        piece.append(np.flatnonzero(whole))
    members, number = _unique_rows(np.concatenate(rows), graph.skills)
    order = np.argsort(pieces := np.concatenate(piece), kind="stable")
    return members, pieces[order], number[order]


def used_tuples(
    graph: SkillGraph, size: int, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns what `tuples_of` does, and how many pieces use each tuple.

    Raises:
        ValueError: `tuples_of` raises it, or no tuple is used by `least` pieces.
    """
    members, piece, number = tuples_of(graph, size)
    used = np.bincount(number, minlength=len(members))
    if not (used >= least).any():
        raise ValueError(
            f"least must be at most {used.max(initial=0)}, the largest number of "
            f"pieces that use a tuple of {size} skills, got {least}."
        )
    return members, piece, number, used


def failure_quantiles(
    graph: SkillGraph,
    success: Bool[np.ndarray, " pieces"],
    alphas: Float[np.ndarray, " alpha"],
) -> Float[np.ndarray, " alpha"]:
    """Returns the failure rate that all skills but a share alpha stay at or below.

    It is what a performance curve bounds, for one set of failing pieces. Shares are of
    the skills' measure.

    Args:
        graph: which skills each piece needs.
        success: whether the model is right, for each piece.
        alphas: the shares of skills.

    Raises:
        ValueError: success is not boolean or of another length, or a share is none.

    Warns:
        UserWarning: skills have fewer than 20 edges, or occur together more or less
            often than independent skills would: the theory is not about such graphs.

    Example:
        >>> graph = SkillGraph.sample(2_000, 2, 5)
        >>> success = graph.edges_into(np.arange(5) == 3) == 0
        >>> rates = failure_quantiles(graph, success, np.array([0.1, 0.5]))
        >>> rates.round(1).tolist()
        [1.0, 0.2]
    """
    found = competence(graph, success)
    shares = np.asarray(real("alphas", alphas), dtype=float)
    checks.shape_of("alphas", shares, (None,), "(alpha,)")
    shares = np.array([arguments.fraction("alphas", float(a)) for a in shares])
    if graph.k > 1 and (ratio := pair_dependence(graph)) > 2:
        cautions.warn(
            f"skills occur together unlike independent ones: the chi-square of their "
            f"pairs is {ratio:.3g} per degree of freedom. Neither the bound nor the "
            "exact worst case is about such a graph; compare with `adversary`."
        )
    used = found.exposures.values > 0
    failing = 1 - found.competence.values[used]
    order = np.argsort(-failing)
    above = np.cumsum(found.measure.values[used][order])  # of the skills that fail most
    at = np.searchsorted(above, shares * (1 + 1e-9), side="right")
    return failing[order][np.minimum(at, len(order) - 1)]


def pair_dependence(graph: SkillGraph) -> float:
    """Returns the chi-square of how often two skills meet, per degree of freedom.

    It is about 1 where skills are drawn independently, whatever their law, and large
    where some belong together. It compares the number of pieces that use both of two
    different skills with the number that follows from how often each of them meets any
    other.

    Args:
        graph: which skills each piece needs.

    Raises:
        ValueError: there are fewer than four skills, or no piece has two.

    Example:
        >>> bool(0.5 < pair_dependence(SkillGraph.sample(2_000, 3, 20)) < 1.5)
        True
    """
    checks.of_kind("graph", graph, SkillGraph, "a SkillGraph")
    if graph.skills < 4 or graph.k < 2:
        raise ValueError(
            f"graph must have at least 4 skills, and pieces of 2, so that pairs can be "
            f"compared, got {graph!r}."
        )
    once = graph.uses.astype(np.float64)
    meets = (once.T @ once).toarray()
    np.fill_diagonal(meets, 0.0)
    sums = meets.sum(axis=0)
    meets, sums = meets[np.ix_(sums > 0, sums > 0)], sums[sums > 0]
    degrees = len(sums) * (len(sums) - 3) / 2  # pairs, less what the sums fix
    if degrees <= 0:
        raise ValueError("graph must have pieces of 2 different skills; got too few.")
    each = sums / np.sqrt(sums.sum())
    for _ in range(50):  # expected = each_s each_t off the diagonal, with these sums
        each = np.sqrt(each * sums / (each.sum() - each))
    expected = np.outer(each, each)
    np.fill_diagonal(expected, 1.0)
    np.fill_diagonal(meets, 1.0)
    return float(((meets - expected) ** 2 / expected).sum() / 2 / degrees)


def wilson_interval(
    share: Float[np.ndarray, " n"], count: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Returns Wilson's 95 % interval of shares of so many independent pieces.

    It has a width even where all or none of the pieces are right. Where there are no
    pieces, share and ends are NaN.

    Args:
        share: the shares, from 0 to 1 or NaN.
        count: the number of pieces of each, which need not be whole.

    Raises:
        ValueError: the shapes differ, or a number is out of range.

    Example:
        >>> low, high = wilson_interval(np.array([1.0]), np.array([20.0]))
        >>> low.round(2).tolist(), high.tolist()
        ([0.84], [1.0])
    """
    shares = np.asarray(real("share", share), dtype=float)
    checks.shape_of("share", shares, (None,), "(n,)")
    counts = checks.array("count", count, shares.shape, "(n,), as share,")
    counts = np.asarray(counts, dtype=float)
    known = ~np.isnan(shares)
    arguments.probabilities("share", shares[known], int(known.sum()), "(n,)")
    if counts.size and counts.min() < 0:
        raise ValueError(f"count must be >= 0, got {counts.min():g}.")
    each = np.divide(
        NORMAL**2, counts, out=np.full(counts.shape, np.nan), where=counts > 0
    )
    middle = shares + each / 2
    reach = np.sqrt(each * shares * (1 - shares) + each**2 / 4)
    low, high = (middle - reach) / (1 + each), (middle + reach) / (1 + each)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def _worth(graph: SkillGraph, total: np.ndarray) -> np.ndarray:
    """Returns the number of equal, independent pieces that each skill's are worth.

    Two edges of one piece are as good as one.
    """
    weighted = graph.incidence.multiply(graph.weights[:, None])
    squares = np.asarray(weighted.power(2).sum(axis=0)).ravel()
    return _over(total**2, squares, 0.0)


def _over(a: np.ndarray, b: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """Returns a / b, and `empty` where b is 0."""
    return np.divide(a, b, out=np.full(b.shape, empty), where=b > 0)


def _unique_rows(rows: np.ndarray, skills: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the different rows in order, and the number of each row among them."""
    number = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        _, number = np.unique(number * skills + column, return_inverse=True)
    first = np.zeros(int(number.max(initial=-1)) + 1, dtype=np.int64)
    first[number] = np.arange(len(rows))
    return rows[first], number


def _warn_of_few(graph: SkillGraph) -> None:
    none, few = graph.exposures == 0, graph.exposures < FEW
    if none.any():
        numbers = np.flatnonzero(none)
        named = ", ".join(
            str(graph.names[n] if graph.names else n) for n in numbers[:5]
        )
        more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
        cautions.warn(f"no piece has skill {named}{more}: their competence is NaN.")
    elif few.any():
        cautions.warn(
            f"{few.sum()} of {graph.skills} skills have fewer than {FEW} edges: look "
            "at the intervals of their competence alone."
        )
