"""How many bits does a representation save when a target is to be written down?

A probe that scores well may have needed much data, or much capacity, to do so.
Description length counts both: the bits in which a receiver who has the features can be
sent the target, probe included (Voita & Titov 2020, "Information-theoretic probing with
minimum description length"). Two codes, each against the same code with an intercept
and no features:

- online (prequential): block after block of prompts is coded with a probe fitted to the
  blocks before it. Nothing of the probe has to be sent, and what is learned slowly
  costs bits early.
- evidence: minus log2 of the marginal likelihood of Bayesian ridge regression.

Shapes: features (prompts, features); target (prompts, q); the code of q coordinates is
the sum of theirs. A continuous target has a density in place of a probability: its bits
depend on its unit (and may be negative), *saved* bits do not. For a linear Gaussian
relation they tend to -log2(1 - R2) / 2 per prompt and coordinate, the mutual
information. A target without noise would save without end; a standard deviation of the
error is counted as at least 1e-6 of the target's.

When they mislead: a linear code leaves out what is encoded otherwise; features that
carry nothing cost bits, so that saved bits of different widths compare representations
*and* how hard they are to learn from; prompts that share a target must share a group.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from sklearn.linear_model import BayesianRidge, RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probes import checks, scores
from probes.grid.ridge_spec import ALPHAS

RESAMPLES = 1_000
# Least variance of an error, as a share of the target's.
FLOOR = 1e-12


class Codelength(NamedTuple):
    """Bits of a target, summed over its coordinates.

    Attributes:
        bits: given the features. Depends on the target's unit.
        intercept_bits: given an intercept alone.
        saved: intercept_bits - bits.
        saved_per_prompt: saved / prompts.
        low: lower end of its 95 % interval; NaN for the evidence, which is no sum over
            prompts.
        high: upper end.
        saved_per_coordinate: saved, by coordinate, (q,).
    """

    bits: float
    intercept_bits: float
    saved: float
    saved_per_prompt: float
    low: float
    high: float
    saved_per_coordinate: Float[np.ndarray, " q"]


def online_codelength(
    features: ArrayLike,
    target: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    first: int = 16,
    growth: float = 2.0,
    alphas: Sequence[float] = ALPHAS,
    seed: int = 0,
) -> Codelength:
    """Prequential code of a target, with a ridge probe and a Gaussian error.

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

    The interval resamples groups, with blocks and probes as they are. It does not know
    that later blocks save more, which makes it wide rather than narrow, nor that
    another order would fit other probes.

    Args:
        features: (prompts, features).
        target: (prompts, q).
        groups: a label for each prompt, (prompts,); by default each is its own group.
        first: groups in the first block, at least 4.
        growth: of the number of groups known, from block to block.
        alphas: penalties to choose from, not scaled by the number of prompts.
        seed: of the order and of the bootstrap.

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
    x, y = _pair(features, target)
    if groups is None:
        checks.repeated_rows({"y": y})
    labels = np.arange(len(y)) if groups is None else np.asarray(groups)
    if labels.shape != (len(y),):
        raise ValueError(
            f"groups must hold one label for each of the {len(y)} prompts, got shape "
            f"{labels.shape}."
        )
    _, member = np.unique(labels, return_inverse=True)
    count = int(member.max()) + 1
    if not 4 <= first < count:
        raise ValueError(
            f"first must be at least 4 and leave some of the {count} groups to code, "
            f"got {first}."
        )
    if not 1 < growth < np.inf:
        raise ValueError(f"growth must be finite and above 1, got {growth!r}.")
    alphas = checks.positive("alphas", alphas)
    rng = np.random.default_rng([checks.seed(seed), 4])
    place = rng.permutation(count)[member]
    nothing = np.zeros((len(y), 1))
    costs = np.zeros((2, *y.shape))  # with an intercept alone; with the features
    known = place < first
    variance = y[known].var(axis=0)
    _varying(variance, y[known], f"over the first {first} groups")
    costs[:, known] = _gaussian_bits(y[known] - y[known].mean(axis=0), variance)
    for known, block in _blocks(place, first, growth):
        for cost, inputs in zip(costs, (nothing, x), strict=True):
            guess, error = _predict(
                inputs[known], y[known], inputs[block], member[known], alphas
            )
            error = np.maximum(error, FLOOR * y[known].var(axis=0))
            cost[block] = _gaussian_bits(y[block] - guess, error)

    saved = costs[0] - costs[1]
    per_group = np.bincount(member, saved.sum(axis=1))
    counts = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    draws = (counts @ per_group) / (counts @ np.bincount(member))
    low, high = scores.interval(draws[None])
    bits, intercept_bits = costs[1].sum(), costs[0].sum()
    return _codelength(
        bits, intercept_bits, saved.sum(axis=0), len(y), low.item(), high.item()
    )


def evidence_codelength(features: ArrayLike, target: ArrayLike) -> Codelength:
    """Minus log2 evidence of Bayesian ridge regression, for each coordinate its own.

    On standardised features, with coefficients N(0, 1 / lambda), an error of precision
    alpha and a flat prior on the intercept: that leaves the differences between
    prompts, which are Gaussian with covariance I / alpha + X X' / lambda in any
    orthonormal basis of them. Both precisions take their most probable values under a
    flat prior (MacKay 1992; `sklearn.linear_model.BayesianRidge`, the constants of the
    likelihood included and its hyper-priors' terms taken out). The intercept code is
    the same with lambda infinite. The bits to send mean, alpha and lambda are left out:
    mean and alpha cost both codes alike; lambda, about log2(prompts) / 2 per
    coordinate, only this one. So features that say nothing save about 0.

    Does not depend on the order of prompts, and takes them as independent: with prompts
    that share a target use `online_codelength`.

    Args:
        features: (prompts, features).
        target: (prompts, q).

    Raises:
        ValueError: shapes that do not match, NaN or infinity, a constant target, one
            whose rows repeat each other, fewer than 3 prompts.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> states = rng.normal(size=(1000, 4))
        >>> target = states[:, :1] + rng.normal(size=(1000, 1))  # R2 = 1/2
        >>> round(evidence_codelength(states, target).saved_per_prompt, 1)
        0.5
    """
    x, y = _pair(features, target)
    if len(y) < 3:
        raise ValueError(f"evidence needs at least 3 prompts, got {len(y)}.")
    variance = y.var(axis=0, ddof=1)
    _varying(variance, y, "over prompts")
    checks.repeated_rows({"y": y})
    scaler: Any = StandardScaler()
    x = _contrasts(scaler.fit_transform(x))
    units = _contrasts(y) / np.sqrt(variance)
    # Bits of a density per unit of the target, not per standard deviation.
    scale = len(units) * np.log2(variance) / 2
    bits = np.array([-_log_evidence(x, unit) for unit in units.T]) / np.log(2) + scale
    intercept_bits = len(units) * np.log2(2 * np.pi * np.e) / 2 + scale
    saved = intercept_bits - bits
    return _codelength(bits.sum(), intercept_bits.sum(), saved, len(y), np.nan, np.nan)


def _blocks(
    place: Int[np.ndarray, " prompts"], first: int, growth: float
) -> Iterator[tuple[Bool[np.ndarray, " prompts"], Bool[np.ndarray, " prompts"]]]:
    """For each block after the first: which prompts are known, and which it codes."""
    count, end = int(place.max()) + 1, first
    while end < count:
        start, end = end, max(round(end * growth), end + 1)
        yield place < start, (place >= start) & (place < end)


def _predict(
    features: Float[np.ndarray, "known features"],
    target: Float[np.ndarray, "known q"],
    new: Float[np.ndarray, "block features"],
    member: Int[np.ndarray, " known"],
    alphas: Sequence[float],
) -> tuple[Float[np.ndarray, "block q"], Float[np.ndarray, " q"]]:
    """Predictions for new prompts, and the held-out squared error among known ones."""
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


def _contrasts(
    values: Float[np.ndarray, "prompts columns"],
) -> Float[np.ndarray, "prompts-1 columns"]:
    """An orthonormal basis of the differences between rows: `scipy.linalg.helmert`."""
    values = values - values.mean(axis=0)
    k = np.arange(1, len(values))[:, None]
    return (values.cumsum(axis=0)[:-1] - k * values[1:]) / np.sqrt(k * (k + 1))


def _log_evidence(
    features: Float[np.ndarray, "contrasts features"],
    target: Float[np.ndarray, " contrasts"],
) -> float:
    """In nats, of a target of mean square 1, at the most probable precisions."""
    # Flat but for what keeps alpha below 1 / FLOOR, and lambda from 0 / 0.
    rate = FLOOR * len(target) / 2
    priors = {"alpha_1": 0.0, "alpha_2": rate, "lambda_1": FLOOR, "lambda_2": FLOOR}
    settings: Any = {
        "fit_intercept": False,
        "compute_score": True,
        "max_iter": 1_000,
        "tol": 1e-8,
    }
    fit: Any = BayesianRidge(**priors, **settings)
    fit.fit(features, target)
    hyper = FLOOR * (np.log(fit.lambda_) - fit.lambda_) - rate * fit.alpha_
    return float(fit.scores_[-1] - hyper)


def _gaussian_bits(
    error: Float[np.ndarray, "prompts q"], variance: Float[np.ndarray, " q"]
) -> Float[np.ndarray, "prompts q"]:
    return (np.log2(2 * np.pi * variance) + error**2 / variance * np.log2(np.e)) / 2


def _codelength(
    bits: float,
    intercept_bits: float,
    saved: Float[np.ndarray, " q"],
    prompts: int,
    low: float,
    high: float,
) -> Codelength:
    total = float(saved.sum())
    return Codelength(
        float(bits), float(intercept_bits), total, total / prompts, low, high, saved
    )


def _pair(
    features: ArrayLike, target: ArrayLike
) -> tuple[Float[np.ndarray, "prompts features"], Float[np.ndarray, "prompts q"]]:
    x, y = np.asarray(features, float), np.asarray(target, float)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or 0 in x.shape + y.shape:
        raise ValueError(
            "features and target must have shapes (prompts, features) and (prompts, "
            f"q), got {x.shape} and {y.shape}."
        )
    checks.finite("features", x)
    checks.finite("target", y)
    return x, y


def _varying(variance: np.ndarray, target: np.ndarray, where: str) -> None:
    constant = np.flatnonzero(variance <= 1e-24 * (target**2).mean(axis=0))
    if len(constant):
        raise ValueError(
            f"target must vary {where}, but coordinates {constant.tolist()} do not; "
            "leave them out."
        )
