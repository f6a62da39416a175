"""How far can failures concentrate on few skills? The paper's bound, and the truth.

A model fails on a share theta of the pieces, and each piece needs k skills. A skill's
failure rate is the share of its edges that lead into failing pieces. Its average over
skills is theta, but whoever chooses which pieces fail can make it larger for a share
alpha of the skills: beta times theta on average over them.

- `bound` is Theorem 8 of Arora and Goyal 2023: with high probability over random graphs
  no choice of failing pieces makes it more than beta theta, if

      H(theta) + (N2 / N1) H(alpha) < k theta KL(beta alpha || alpha)

  for N1 pieces and N2 skills, with natural logarithms. The left side counts the ways
  to choose the failing pieces and the skills. The right side is Chernoff's bound on
  the chance that k theta N1 independent edges hit those skills so often. The paper
  prints the right side in another form, and leaves out the term of N2 / N1.
- `worst_case` is the exact answer for a large graph, where pieces with Binomial(k,
  alpha) edges into the chosen skills are failed in the order of that number.

Letters are the paper's: alpha here is a share of skills, not a ridge penalty, and beta
a factor on theta. Shares are of the skills' measure, whatever their law.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.special
import scipy.stats
import xarray as xr
from jaxtyping import Float

from icl import checks
from icl.arrays import real, shown
from icl.skills import arguments
from icl.skills.tuples import glued_failure


class Bound(NamedTuple):
    """What the theorem guarantees.

    Attributes:
        beta: the factor: the chosen skills fail at most beta times as often as all do.
        failure: beta theta, the largest failure rate.
        vacuous: whether the failure rate is 1 or more, so that nothing is said.
    """

    beta: float
    failure: float
    vacuous: bool


def entropy(q: float) -> float:
    """Returns the entropy of a coin in nats.

    $$H(q) = -q ln q - (1 - q) ln(1 - q)$$

    Raises:
        ValueError: q is no probability.

    Example:
        >>> round(entropy(0.5), 4), entropy(1.0)
        (0.6931, 0.0)
    """
    q = arguments.probability("q", q)
    return float(scipy.special.entr(q) + scipy.special.entr(1 - q))


def divergence(q: float, p: float) -> float:
    """Returns the divergence of two coins, KL(q || p), in nats.

    $$KL(q ‖ p) = q ln(q / p) + (1 - q) ln((1 - q) / (1 - p))$$

    Raises:
        ValueError: q is no probability, or p does not lie strictly between 0 and 1.

    Example:
        >>> round(divergence(0.3, 0.1), 15)
        0.153663586803799
    """
    q, p = arguments.probability("q", q), arguments.fraction("p", p)
    return _divergence(q, p)


def margin(
    theta: float,
    k: int,
    alpha: float,
    beta: int | float,
    *,
    pieces_per_skill: int | float = math.inf,
) -> float:
    """Returns by how much the right side of the inequality exceeds the left, in nats.

    $$k θ KL(βα ‖ α) - H(θ) - (N_2 / N_1) H(α)$$

    The inequality holds where this is positive. Over random graphs of N1 pieces, the
    probability that some theta N1 pieces send beta alpha of their edges or more into
    some alpha N2 skills is then at most exp(-N1 x margin).

    Args:
        theta: the share of pieces that fail.
        k: the number of skills of a piece.
        alpha: the share of skills.
        beta: the factor by which they fail more often than all do, 1 to 1 / alpha.
        pieces_per_skill: N1 / N2. Infinity leaves out the choice of the skills, as the
            paper does.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> margin(0.05, 8, alpha=0.1, beta=4.5) < 0 < margin(0.05, 8, 0.1, beta=5.0)
        True
    """
    theta, k, alpha = _numbers(theta, k, alpha)
    each = arguments.pieces_per_skill(pieces_per_skill)
    beta = checks.finite_number("beta", beta)
    if not 1 <= beta <= 1 / alpha:
        raise ValueError(
            f"beta must lie from 1 to 1 / alpha = {1 / alpha:.4g}, got {beta:g}; "
            "skills cannot have more than all edges."
        )
    return _margin(theta, k, alpha, beta, each)


def bound(
    theta: float, k: int, alpha: float, *, pieces_per_skill: int | float = math.inf
) -> Bound | None:
    """Returns the smallest beta for which the inequality holds, or None.

    $$H(θ) + (N_2 / N_1) H(α) < k θ KL(βα ‖ α)$$

    There are N_1 pieces and N_2 skills; H is the `entropy`, and KL the `divergence`.
    There is no such beta where the inequality fails even at beta = 1 / alpha: without
    the term of N2 / N1, where alpha is at least exp(-H(theta) / (k theta)).

    Args:
        theta: the share of pieces that fail.
        k: the number of skills of a piece.
        alpha: the share of skills that may fail more often.
        pieces_per_skill: N1 / N2; see `margin`.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> found = bound(0.05, 8, alpha=0.1)
        >>> round(found.beta, 3), round(found.failure, 3), found.vacuous
        (4.933, 0.247, False)
        >>> bound(0.05, 2, alpha=0.2) is None
        True
    """
    theta, k, alpha = _numbers(theta, k, alpha)
    each = arguments.pieces_per_skill(pieces_per_skill)

    choices = _choices(theta, alpha, each)

    def excess(beta: float) -> float:
        return k * theta * _divergence(min(beta * alpha, 1.0), alpha) - choices

    if excess(1 / alpha) <= 0:
        return None
    beta = arguments.root(excess, 1.0, 1 / alpha)
    return Bound(beta, beta * theta, beta * theta >= 1)


def smallest_alpha(
    theta: float, k: int, beta: int | float, *, pieces_per_skill: int | float = math.inf
) -> float | None:
    """Returns the smallest share of skills for which the inequality holds, or None.

    All skills but this share fail at most beta theta of the time.

    Args:
        theta: the share of pieces that fail.
        k: the number of skills of a piece.
        beta: the factor, above 1.
        pieces_per_skill: N1 / N2; see `margin`.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> round(smallest_alpha(0.05, 8, beta=4.933), 3)
        0.1
        >>> smallest_alpha(0.05, 1, beta=1.1) is None
        True
    """
    theta, k, _ = _numbers(theta, k, 0.5)
    each = arguments.pieces_per_skill(pieces_per_skill)
    beta = checks.finite_number("beta", beta)
    if not 1 < beta < 1e15:
        raise ValueError(f"beta must lie above 1 and below 1e15, got {shown(beta)}.")

    def excess(alpha: float) -> float:
        return _margin(theta, k, alpha, beta, each)

    # It is convex in alpha and negative at 0, so that it crosses 0 at most once.
    if excess(1 / beta) <= 0:
        return None
    return arguments.root(excess, 1e-300, 1 / beta)


def worst_case(theta: float, k: int, alpha: float) -> float:
    """Returns the largest factor beta that any choice of failing pieces reaches.

    It is exact for a graph that has every combination of skills as often as the law
    says, as a large graph has. A piece has Binomial(k, alpha) edges into the chosen
    skills. The worst choice fails the theta pieces that have most of them. If E[c] is
    the mean number of these edges of a piece that fails,

    $$β = E[c] / (kα)$$

    Args:
        theta: the share of pieces that fail.
        k: the number of skills of a piece.
        alpha: the share of skills that should fail more often.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> round(worst_case(0.05, 8, alpha=0.1), 3)
        3.589
    """
    theta, k, alpha = _numbers(theta, k, alpha)
    counts = np.arange(k, -1, -1)
    chances = scipy.stats.binom.pmf(counts, k, alpha)
    before = np.cumsum(chances) - chances
    taken = np.clip(theta - before, 0, chances)
    return float(taken @ counts / taken.sum() / (k * alpha))


def performance_curve(
    theta: float,
    k: int,
    alphas: Float[np.ndarray, " alpha"] | None = None,
    *,
    tuples: int = 1,
    pieces_per_skill: int | float = math.inf,
) -> xr.Dataset:
    """Returns how often skills may fail, for every share alpha of them set aside.

    Tuples of t skills are the skills of composite pieces, which fail wherever one of
    their t parts does: their curve is that of single skills at a t-fold failure rate
    (Corollary 13).

    Args:
        theta: the share of pieces that fail.
        k: the number of skills of a piece.
        alphas: the shares; None: 0.02 to 0.6.
        tuples: the number t of skills of a tuple; 1 is single skills.
        pieces_per_skill: N1 / N2; see `margin`.

    Returns:
        A Dataset over `alpha` with the failure rates `bound` (NaN where there is none)
        and `worst_case`, and `vacuous`, whether the bound says nothing. The coordinate
        `share` is 1 - alpha, the share of skills that the curve is about.

    Raises:
        ValueError: a number is out of range, or t theta is 1 or more.

    Example:
        >>> curve = performance_curve(0.05, 8, np.array([0.1, 0.5]))
        >>> curve.bound.values.round(3).tolist()
        [0.247, 0.095]
        >>> curve.worst_case.values.round(3).tolist()
        [0.179, 0.085]
    """
    theta, k, _ = _numbers(theta, k, 0.5)
    t = checks.positive_int("tuples", tuples)
    each = arguments.pieces_per_skill(pieces_per_skill)
    if t * theta >= 1:
        raise ValueError(
            f"tuples must be below 1 / theta = {1 / theta:.4g}, got {t}: composites of "
            "so many pieces may all fail, and nothing is said."
        )
    default = np.linspace(0.02, 0.6, 59)
    shares = np.asarray(real("alphas", default if alphas is None else alphas), float)
    checks.shape_of("alphas", shares, (None,), "(alpha,)")
    shares = np.array([arguments.fraction("alphas", float(a)) for a in shares])
    found = [bound(t * theta, k, a, pieces_per_skill=each) for a in shares]
    none = Bound(math.nan, math.nan, True)
    rows = [none if one is None else one for one in found]
    worst = [worst_case(t * theta, k, a) * t * theta for a in shares]
    return xr.Dataset(
        {
            "bound": ("alpha", np.array([row.failure for row in rows])),
            "worst_case": ("alpha", np.array(worst)),
            "vacuous": ("alpha", np.array([row.vacuous for row in rows], dtype=bool)),
        },
        coords={"alpha": shares, "share": ("alpha", 1 - shares)},
        attrs={"theta": theta, "k": k, "tuples": t, "glued": glued_failure(theta, t)},
    )


def _numbers(theta: float, k: int, alpha: float) -> tuple[float, int, float]:
    return (
        arguments.fraction("theta", theta),
        checks.positive_int("k", k, maximum=arguments.MOST),
        arguments.fraction("alpha", alpha),
    )


def _margin(
    theta: float, k: int, alpha: float, beta: int | float, each: float
) -> float:
    """Returns `margin`, of numbers that were checked."""
    gained = _divergence(min(beta * alpha, 1.0), alpha)
    return k * theta * gained - _choices(theta, alpha, each)


def _choices(theta: float, alpha: float, each: float) -> float:
    """Returns the left side of the inequality: what there is to choose, in nats."""
    return entropy(theta) + entropy(alpha) / each


def _divergence(q: float, p: float) -> float:
    """Returns `divergence`, of numbers that were checked; q may be 0 or 1."""
    one = q * math.log(q / p) if q > 0 else 0.0
    other = (1 - q) * (math.log1p(-q) - math.log1p(-p)) if q < 1 else 0.0
    return one + other
