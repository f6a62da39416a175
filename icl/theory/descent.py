"""What is the risk of K steps of gradient descent, or of GD++? That of a spectrum.

Let S = X'X be the sum over the pairs of a context, and l one of its eigenvalues. From
w = 0 and without noise, every step multiplies what is left of w along that eigenvector
by 1 - 2 rate l. GD++ (von Oswald et al. 2023, appendix) also maps all inputs,
x <- (I - gamma S) x, so that the next step sees the eigenvalue l (1 - gamma l)^2:

    left <- left (1 - 2 rate s),   s <- s (1 - gamma s)^2,   from left = 1 and s = l.

For a query whose coordinates are uncorrelated and w ~ N(0, I), the risk is

    E (w.x - w_K.x)^2 = variance * E sum_l left(l)^2.

So every loss follows from eigenvalues that are drawn once, and no model is run.

Conventions: gradients are sums over the pairs, as everywhere here, so that `rate` is
half of the eta of von Oswald et al.; they also halve the loss, and this one is not
halved. The gamma of the last step has no effect: the loss is then known already.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.optimize import minimize

from icl import checks
from icl.arrays import real, shown

Eigenvalues = Float[np.ndarray, "contexts dim"]

MOST_STEPS = 1_000
"""The largest number of steps."""

SCAN = np.linspace(-6.0, 2.0, 33), np.linspace(-6.0, 2.0, 17)
"""The logarithms of the rates and of the gammas that are tried first, with 1 / (mean
eigenvalue) as the unit: far too large a rate gives a search no hint where to go."""

FEW = 2_000
"""The number of contexts on which a search begins; it ends on all of them."""

SPREADS = ((0.6, 1.7), (1.5, 0.8))
"""The first and the last rate of the starts of a search with a rate for each step, as
shares of the best shared rate. Equal rates are a saddle of gradient descent, where a
search would stay."""


class BestSteps(NamedTuple):
    """The best steps of gradient descent or GD++ for a law of contexts.

    Attributes:
        rates: the rate of each step, (steps,).
        gammas: the gamma of each step, (steps,); the last one is 0, or has no effect.
        risk: the mean squared error that they have.
    """

    rates: Float[np.ndarray, " steps"]
    gammas: Float[np.ndarray, " steps"]
    risk: float


def context_eigenvalues(xs: Float[ArrayLike, "contexts pairs dim"]) -> Eigenvalues:
    """Returns the eigenvalues of X'X of each context, ascending, (contexts, dim).

    Args:
        xs: the inputs of the context alone, without the query.

    Example:
        >>> context_eigenvalues(np.diag([1.0, 2.0])[None]).tolist()
        [[1.0, 4.0]]
    """
    axes = "(contexts, pairs, dim)"
    found = np.asarray(checks.array("xs", xs, (None,) * 3, axes), float)
    if 0 in found.shape:
        raise ValueError(f"xs must not be empty, got shape {found.shape}.")
    singular = np.linalg.svd(found, compute_uv=False)[:, ::-1] ** 2
    missing = found.shape[2] - singular.shape[1]
    return np.pad(singular, ((0, 0), (missing, 0)))


def share_left(
    eigenvalues: Float[ArrayLike, "contexts dim"],
    rates: Float[ArrayLike, " steps"],
    gammas: Float[ArrayLike, " steps"] | float = 0.0,
) -> Eigenvalues:
    """Returns the share of w that is left along each eigenvector, (contexts, dim).

    $$∏_{k=1}^K (1 - 2η_k s_k),  s_1 = λ,  s_{k+1} = s_k (1 - γ_k s_k)²$$

    Here λ is the eigenvalue, η_k are the rates of the K steps, and γ_k their gammas.
    The share is 1 where nothing is learnt, 0 where all is, and has a sign.

    Args:
        eigenvalues: those of X'X of each context.
        rates: the rate of each step.
        gammas: the gamma of each step, or one number for all; 0 is gradient descent.

    Raises:
        ValueError: eigenvalues or rates are negative or not finite, there are not as
            many gammas as rates, or the steps diverge so far that numbers overflow.

    Example:
        >>> share_left([[1.0, 4.0]], [0.125, 0.125]).tolist()
        [[0.5625, 0.0]]
    """
    spectrum, steps, bends = _checked(eigenvalues, rates, gammas)
    left = _left(spectrum, steps, bends)
    if not np.isfinite(left).all():
        raise ValueError(_divergence(spectrum, steps, bends))
    return left


def steps_risk(
    eigenvalues: Float[ArrayLike, "contexts dim"],
    rates: Float[ArrayLike, " steps"],
    gammas: Float[ArrayLike, " steps"] | float = 0.0,
    *,
    variance: float = 1.0,
) -> Float[np.ndarray, " contexts"]:
    """Returns the risk after these steps in each context, (contexts,).

    $$v ∑_j r_j²$$

    Here v is `variance`, and r_j is the share of w that is left along the j-th
    eigenvector (`share_left`).

    Args:
        eigenvalues: those of X'X of each context.
        rates: the rate of each step.
        gammas: the gamma of each step, or one number for all; 0 is gradient descent.
        variance: the variance of a coordinate of the query, times that of a coordinate
            of w; 1/12 for inputs that are uniform on an interval of width 1.

    Returns:
        The mean squared error, over w and the query, of each context. Its mean over
        contexts is the risk.

    Raises:
        ValueError: as for `share_left`; or the variance is not above 0. A risk above
            that of no steps at all says that they diverge: see `largest_rate`.
    """
    variance = checks.finite_number("variance", variance, positive=True)
    left = share_left(eigenvalues, rates, gammas)
    with np.errstate(over="ignore"):
        found = variance * (left**2).sum(axis=1)
    if not np.isfinite(found).all():
        raise ValueError(_divergence(*_checked(eigenvalues, rates, gammas)))
    return found


def largest_rate(eigenvalues: Float[ArrayLike, "contexts dim"]) -> float:
    """Returns the rate below which gradient descent converges on every context.

    That is 1 / (largest eigenvalue): a step of rate r multiplies what is left by
    1 - 2 r l, which must stay above -1.

    Example:
        >>> largest_rate([[1.0, 4.0]])
        0.25
    """
    return float(1 / _spectrum(eigenvalues).max())


def best_steps(
    eigenvalues: Float[ArrayLike, "contexts dim"],
    steps: int,
    *,
    plus_plus: bool = False,
    shared: bool = True,
    variance: float = 1.0,
) -> BestSteps:
    """Returns the steps with the lowest risk on these contexts, found by a search.

    With as many contexts as 40,000 the rates are those of their law to about 0.3 %. A
    search over many rates may end in a local minimum: the risk of `shared=False` is an
    upper bound from five numbers on.

    Args:
        eigenvalues: those of X'X of each context.
        steps: the number of steps K.
        plus_plus: whether there is a gamma, too: GD++ rather than gradient descent.
        shared: whether all steps have the same rate and gamma, as tied layers do.
        variance: as for `steps_risk`.

    Raises:
        ValueError: eigenvalues are negative or not finite, steps is below 1, a flag is
            neither True nor False, or the variance is not above 0.

    Example:
        >>> best = best_steps([[1.0, 4.0]], 1)
        >>> round(float(best.rates[0]), 4)  # of (1 - 2 r)^2 + (1 - 8 r)^2
        0.1471
    """
    spectrum = _spectrum(eigenvalues)
    steps = checks.positive_int("steps", steps, maximum=MOST_STEPS)
    plus_plus, shared = (
        checks.flag("plus_plus", plus_plus),
        checks.flag("shared", shared),
    )
    variance = checks.finite_number("variance", variance, positive=True)
    unit, bends = 1 / spectrum.mean(), (steps - 1 if plus_plus else 0)

    def risk_on(contexts: Eigenvalues) -> Callable[[np.ndarray], float]:
        return lambda logs: _log_risk(contexts, *_steps_of(logs, steps, bends, unit))

    few, every = risk_on(spectrum[:FEW]), risk_on(spectrum)
    grid = itertools.product(*SCAN[: 1 + bool(bends)])
    found = _lowest(few, min(map(np.array, grid), key=few))
    if not shared and steps > 1:
        starts = _spread(found, steps, bends)
        found = min((_lowest(few, start) for start in starts), key=few)
    rates, gammas = _steps_of(_lowest(every, found), steps, bends, unit)
    mean = float(steps_risk(spectrum, rates, gammas, variance=variance).mean())
    return BestSteps(rates, gammas, mean)


def _log_risk(spectrum: Eigenvalues, rates: np.ndarray, gammas: np.ndarray) -> float:
    """Returns the logarithm of the mean risk, and a large number if it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.log(np.square(_left(spectrum, rates, gammas)).sum(axis=1).mean())
    return float(found) if np.isfinite(found) else 1e3


def _spread(shared: np.ndarray, steps: int, bends: int) -> list[np.ndarray]:
    """Returns starts with a rate and a gamma for each step, around shared ones."""
    return [
        np.concatenate(
            [shared[0] + np.log(np.linspace(*ends, steps)), np.full(bends, shared[-1])]
        )
        for ends in SPREADS
    ]


def _lowest(risk: Callable[[np.ndarray], float], start: np.ndarray) -> np.ndarray:
    return minimize(risk, start, method="L-BFGS-B").x


def _steps_of(
    parameters: np.ndarray, steps: int, bends: int, unit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rates and gammas, (steps,) each, from their logarithms.

    There is one logarithm for all rates and one for all gammas, or one for each step;
    the last gamma is 0.
    """
    values = unit * np.exp(parameters)
    shared = len(values) <= 1 + bool(bends)
    rates = np.full(steps, values[0]) if shared else values[:steps]
    gammas = np.zeros(steps)
    if bends:
        gammas[:bends] = values[1] if shared else values[steps:]
    return rates, gammas


def _left(spectrum: np.ndarray, rates: np.ndarray, gammas: np.ndarray) -> np.ndarray:
    left, seen = np.ones_like(spectrum), spectrum
    with np.errstate(over="ignore", invalid="ignore"):
        for rate, gamma in zip(rates, gammas, strict=True):
            left = left * (1 - 2 * rate * seen)
            if gamma:
                seen = seen * (1 - gamma * seen) ** 2
    return left


def _divergence(spectrum: Eigenvalues, rates: np.ndarray, gammas: np.ndarray) -> str:
    """Returns what is wrong with steps whose numbers overflow, and the way out."""
    got = f"got {len(rates)} steps of at most {rates.max():g}"
    top, largest = largest_rate(spectrum), spectrum.max()
    if not gammas.any():
        name, out = "rates", f"gradient descent converges below the rate {top:g}"
    else:
        name, got = "rates and gammas", f"{got} with gammas of at most {gammas.max():g}"
        # From here on a step of GD++ makes the largest eigenvalue larger.
        out = (
            f"gradient descent, with gammas of 0, converges below the rate {top:g}, "
            f"and gammas above {2 / largest:g} make the largest eigenvalue larger"
        )
    return (
        f"{name} must not diverge so far that numbers overflow, {got} on eigenvalues "
        f"of at most {largest:g}; {out}."
    )


def _spectrum(eigenvalues: object) -> Eigenvalues:
    axes = "(contexts, dim)"
    found = checks.array("eigenvalues", eigenvalues, (None, None), axes)
    found = np.asarray(found, float)
    if 0 in found.shape or (found < 0).any() or not found.any():
        raise ValueError(
            "eigenvalues must not be negative, and one of them must be above 0, got "
            f"{shown(eigenvalues)}."
        )
    return found


def _checked(
    eigenvalues: object, rates: object, gammas: object
) -> tuple[Eigenvalues, np.ndarray, np.ndarray]:
    """Returns eigenvalues, rates and gammas as arrays, or raises a `ValueError`."""
    spectrum = _spectrum(eigenvalues)
    steps = _positive("rates", rates)
    bends = np.asarray(real("gammas", gammas))
    if bends.ndim == 0:
        number = checks.finite_number("gammas", gammas)
        return spectrum, steps, np.full(len(steps), number)
    bends = _positive("gammas", gammas)
    if len(bends) != len(steps):
        raise ValueError(
            f"gammas must be as many as rates, got {len(bends)} and {len(steps)}."
        )
    return spectrum, steps, bends


def _positive(name: str, values: object) -> np.ndarray:
    found = np.asarray(checks.array(name, values, (None,), "(steps,)"), float)
    if not 1 <= len(found) <= MOST_STEPS or (found < 0).any():
        raise ValueError(
            f"{name} must be 1 to {MOST_STEPS:,} numbers >= 0, one for each step, got "
            f"{shown(values)}."
        )
    return found
