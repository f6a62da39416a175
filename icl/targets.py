"""What may a model hold in its head about a prompt, and how much of it can it know?

A target is a named function of prompts that a probe may look for in hidden states.
There are three kinds, of which different amounts can be known:

- `OfContext`: a function of the pairs so far, such as X'y, of shape (batch, length, q).
  Entry i is known after i complete pairs (`icl.token_contexts`). Whoever reads the
  context can compute it: the ceiling of R2 is 1.
- `OfLatents`: a function of whatever else made the labels, of shape (batch, q). What
  can be known of it depends on the task: its ceiling is NaN, not known.
- `OfWeights`: a function f of the true w, such as |w|, of shape (batch, q), the same at
  all tokens. Whoever reads the context knows w up to its posterior, so that no reader
  has a higher R2 than 1 - E[Var(f(w) | context)] / Var f(w), by the law of total
  variance.

`target_values` and `target_ceilings` compute many at once, from one decomposition of
the prompts, and return NumPy arrays by name, which `probes.probe_grid` takes. `TARGETS`
lists those that are usually asked for; a target of your own is one line:

    OfWeights("largest", lambda weights: abs(weights).max(axis=-1, keepdims=True))

Everything is computed in float64 and rounded to the prompts' dtype at the end.

A target may be X'y itself (`scale="sum"`, Akyürek et al. 2023, section 5), or X'y / i
(`scale="mean"`, the default; 0 at i = 0). For a probe of one context length R2 is the
same, as the two differ by a constant factor. They differ where lengths meet, in a probe
of pooled tokens or a plot of squared errors: for x, w ~ N(0, I) the variance of a
coordinate is i (i + d + 1) for the sum, so that the longest contexts count for nearly
everything, and 1 + (d + 1) / i for the mean. The mean is also what an attention head
can form by itself, for its attention sums to 1.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from icl import checks
from icl.baselines import (
    Learner,
    LeastSquares,
    PosteriorMean,
    PrefixSolution,
    Spectrum,
    decompose,
    solve,
)
from icl.prompts import Prompts, check_prompts

Scale = Literal["mean", "sum"]
Values = Float[np.ndarray, "batch *contexts_and_q"]


@dataclass(frozen=True)
class OfContext:
    """A quantity that the pairs so far determine.

    Attributes:
        name: name of the target.
        function: from xs (batch, length, dim) and ys (batch, length), both float64
            NumPy, and what `learner` knows after each prefix (None without a learner),
            to values (batch, length, q).
        learner: the learner whose weights or predictions it needs, if any.
    """

    name: str
    function: Callable[[np.ndarray, np.ndarray, PrefixSolution | None], Any]
    learner: Learner | None = None


@dataclass(frozen=True)
class OfWeights:
    """A quantity that only the true w determines.

    Attributes:
        name: name of the target.
        function: from weights (..., dim), float64 NumPy, to values (..., q). It is
            called on the true weights and on draws of a posterior.
    """

    name: str
    function: Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class OfLatents:
    """A quantity that other latents of a prompt determine, such as a tree's root.

    Attributes:
        name: name of the target.
        function: from `Prompts.latents`, NumPy arrays by name, to values (batch, q).
    """

    name: str
    function: Callable[[Mapping[str, np.ndarray]], Any]


Target = OfContext | OfWeights | OfLatents


# --- the targets ---


def true_weights() -> OfWeights:
    """Returns the target w that made the labels, (batch, d)."""
    return OfWeights("w", _itself)


def weight_norm() -> OfWeights:
    """Returns the target |w|, the length of the true w, (batch, 1)."""

    def norm(weights: np.ndarray) -> np.ndarray:
        return np.linalg.norm(weights, axis=-1, keepdims=True)

    return OfWeights("|w|", norm)


def learner_weights(learner: Learner | None = None) -> OfContext:
    """Returns the target of a learner's weights by prefix, (batch, length, d).

    Args:
        learner: any of `icl.baselines` that has weights; None is `LeastSquares()`.
    """
    learner = learner or LeastSquares()
    name = learner.name

    def weights(_xs: Any, _ys: Any, solution: PrefixSolution | None) -> Any:
        assert solution is not None  # for the type checker: there is a learner
        if solution.weights is None:
            raise ValueError(
                f"{name} has no weights, for it is not linear; choose another learner."
            )
        return solution.weights

    return OfContext(f"w {name}", weights, learner)


def moment(scale: Scale = "mean") -> OfContext:
    """Returns the target X'y, or X'y / n, of the pairs so far, (batch, length, d)."""

    def sums(xs: np.ndarray, ys: np.ndarray, _: Any) -> np.ndarray:
        return _before(xs * ys[..., None], scale)

    return OfContext(_scaled("X'y", scale), sums)


def gram(scale: Scale = "mean") -> OfContext:
    """Returns the target X'X of the pairs so far, divided by their number or not.

    Its values are the upper triangle row by row, (batch, length, d (d + 1) / 2).
    """

    def sums(xs: np.ndarray, _ys: Any, _: Any) -> np.ndarray:
        rows, columns = np.triu_indices(xs.shape[-1])
        return _before(xs[..., rows] * xs[..., columns], scale)

    return OfContext(_scaled("X'X", scale), sums)


def residual(learner: Learner | None = None) -> OfContext:
    """Returns the target of how far the newest label is from a learner's prediction.

    Its value at i is y of pair i less the prediction from the i - 1 pairs before it,
    (batch, length, 1); it is 0 at i = 0. Without noise, least squares misses nothing
    from i = d + 1 on: what is left is rounding, which no probe should look for.

    Args:
        learner: any of `icl.baselines`; None is `LeastSquares()`.
    """
    learner = learner or LeastSquares()

    def newest(_xs: Any, ys: np.ndarray, solution: PrefixSolution | None) -> np.ndarray:
        assert solution is not None  # for the type checker: there is a learner
        missed = ys - np.asarray(solution.predictions)
        return _delay(missed[..., None])

    return OfContext(f"residual {learner.name}", newest, learner)


def mean_label() -> OfContext:
    """Returns the target of the labels' mean so far, (batch, length, 1); 0 at i = 0."""

    def mean(_xs: Any, ys: np.ndarray, _: Any) -> np.ndarray:
        return _before(ys[..., None], "mean")

    return OfContext("mean y", mean)


# --- their values ---


def target_values(targets: Iterable[Target], prompts: Prompts) -> dict[str, Values]:
    """Returns the values of each target for each prompt, by name.

    Args:
        targets: of any kind; the linear learners among them share one decomposition.
        prompts: the prompts, with their `weights` if a target is a function of those.

    Returns:
        (batch, q), or (batch, length, q) by context length, in the prompts' dtype.

    Raises:
        ValueError: two targets have one name, the prompts lack weights or latents that
            a target needs, or a function returns another shape, NaN or infinity.

    Example:
        >>> prompts = Prompts(np.ones((1, 3, 1)), np.array([[2.0, 4.0, 9.0]]))
        >>> values = target_values([moment("sum"), residual()], prompts)
        >>> {name: array[0, :, 0].tolist() for name, array in values.items()}
        {"X'y": [0.0, 2.0, 6.0], 'residual OLS': [0.0, 2.0, 2.0]}
    """
    targets, prompts = _named(targets), check_prompts(prompts)
    xs, ys = (np.asarray(array, float) for array in (prompts.xs, prompts.ys))
    wanted = (t.learner for t in targets if isinstance(t, OfContext))
    learners = list(dict.fromkeys(learner for learner in wanted if learner))
    solutions = dict(zip(learners, solve(learners, prompts), strict=True))
    values = {}
    for target in targets:
        if isinstance(target, OfContext):
            solution = solutions[target.learner] if target.learner else None
            found, leading = target.function(xs, ys, solution), ys.shape
        elif isinstance(target, OfLatents):
            found, leading = _of_latents(target, prompts), ys.shape[:1]
        elif prompts.weights is None:
            raise ValueError(
                f"target {target.name!r} is a function of the true weights, which the "
                "prompts do not hold; give Prompts(xs, ys, weights), or leave it out."
            )
        else:
            weights = np.asarray(prompts.weights, float)
            found, leading = target.function(weights), ys.shape[:1]
        found = np.asarray(found)
        _check_values(target, found, leading)
        values[target.name] = found.astype(prompts.xs.dtype)
    return values


# --- their ceilings ---


def target_ceilings(
    targets: Iterable[Target],
    prompts: Prompts | Spectrum,
    *,
    noise_std: float = 0.0,
    weight_std: float = 1.0,
    draws: int = 64,
    seed: int = 0,
) -> dict[str, Float[np.ndarray, " length"]]:
    """Returns the highest R2 that any reader of i pairs can reach, by name and context.

    It is 1 for what the context determines, NaN for latents, of which it is not known,
    and `PosteriorMean.ceiling` for w itself. For any other function f of w it is an
    estimate for w ~ N(0, weight_std^2 I) and Gaussian noise. Given a context, w is
    Gaussian in the eigenbasis of X'X: its coordinates are independent, with the
    posterior mean as mean and the variances weight_std^2 (1 - lambda g(lambda)) for the
    filter g of `PosteriorMean`. Without noise these are weight_std^2 on the null space
    of X, and 0 elsewhere.

    The estimate is 1 - (sum over coordinates of the mean over prompts of the variance
    of f among `draws` of w) / (the same at i = 0, where the posterior is the prior):
    the R2 weighted by variance, for these prompts. Both variances are unbiased; their
    ratio has a bias of order 1 / (batch draws). Contexts share their random numbers, so
    that the errors of the two cancel in part: the relative standard error of 1 - R2
    was at most 3 / sqrt(batch draws) for f = w, w^2 and |w|, at d = 3 and 8, with noise
    and without. At i = 0 the ceiling is exactly 0; it is NaN where f is constant.

    Args:
        targets: of any kind.
        prompts: contexts over which the expectation is taken, or their spectrum.
        noise_std: standard deviation of the noise on y.
        weight_std: standard deviation of each coordinate of w.
        draws: draws of w for each prompt and context length, at least 2.
        seed: seed of the draws.

    Returns:
        Arrays (length,) by name. At i = 0 targets of the context are constant: whatever
        their ceiling is, their R2 does not exist there.

    Raises:
        ValueError: two targets have one name, `PosteriorMean` refuses the deviations,
            draws is below 2, or a function of w returns another shape, NaN or infinity.

    Example:
        >>> prompts = Prompts(np.eye(3)[None, :, :2], np.zeros((1, 3)))
        >>> ceilings = target_ceilings([true_weights(), moment()], prompts)
        >>> {name: array.tolist() for name, array in ceilings.items()}
        {'w': [0.0, 0.5, 1.0], "X'y / n": [1.0, 1.0, 1.0]}
    """
    targets = _named(targets)
    checks.positive_int("draws", draws, minimum=2)
    checks.positive_int("seed", seed, minimum=0)
    prior = PosteriorMean(noise_std, weight_std)
    spectrum = prompts if isinstance(prompts, Spectrum) else decompose(prompts)
    ceilings = {}
    for target in targets:
        if isinstance(target, OfContext):
            ceilings[target.name] = np.ones(spectrum.inputs.shape[1])
        elif isinstance(target, OfLatents):
            ceilings[target.name] = np.full(spectrum.inputs.shape[1], np.nan)
        elif target.function is _itself:
            ceilings[target.name] = np.asarray(prior.ceiling(spectrum), float)
        else:
            unknown = _unknown(target, spectrum, prior, draws, seed)
            with np.errstate(invalid="ignore"):  # 0 / 0: the target is constant
                ceilings[target.name] = 1 - unknown / unknown[0]
    return ceilings


def _unknown(
    target: OfWeights, spectrum: Spectrum, prior: PosteriorMean, draws: int, seed: int
) -> Float[np.ndarray, " length"]:
    """Returns E Var(f(w) | context), summed over coordinates, by context length."""
    multipliers = np.asarray(prior.multipliers(spectrum))
    eigenvalues, basis, moments = (np.asarray(part) for part in spectrum[:3])
    mean = multipliers * moments
    # lambda g(lambda) is at most 1, up to rounding.
    known = np.minimum(eigenvalues * multipliers, 1.0)
    spread = prior.weight_std * np.sqrt(1.0 - known)
    batch, length, dim = eigenvalues.shape
    normal = np.random.default_rng(seed).standard_normal((batch, draws, dim))
    unknown = np.empty(length)
    for i in range(length):  # one context length at a time, to hold the draws of one
        drawn = mean[:, i, None, :] + spread[:, i, None, :] * normal
        values = np.asarray(target.function(drawn @ basis[:, i].swapaxes(-1, -2)))
        _check_values(target, values, (batch, draws))
        unknown[i] = values.var(axis=1, ddof=1).mean(axis=0).sum()
    return unknown


# --- helpers ---


def _itself(weights: np.ndarray) -> np.ndarray:
    return weights


def _of_latents(target: OfLatents, prompts: Prompts) -> Any:
    latents = {n: np.asarray(array) for n, array in (prompts.latents or {}).items()}
    try:
        return target.function(latents)
    except KeyError as error:
        there = ", ".join(latents) or "none"
        raise ValueError(
            f"target {target.name!r} needs the latent {error}, which the prompts do "
            f"not hold (there are: {there}); give Prompts(xs, ys, latents=...)."
        ) from error


def _delay(values: Float[np.ndarray, "batch length q"]) -> np.ndarray:
    """Returns values by context: entry i is that of pair i, and entry 0 is 0."""
    return np.pad(values, ((0, 0), (1, 0), (0, 0)))[:, :-1]


def _before(values: Float[np.ndarray, "batch length q"], scale: Scale) -> np.ndarray:
    """Returns sums or means over the first i pairs, for i = 0 .. length - 1."""
    sums = np.cumsum(_delay(values), axis=1)
    if scale == "sum":
        return sums
    return sums / np.maximum(np.arange(sums.shape[1]), 1)[None, :, None]


def _scaled(name: str, scale: Scale) -> str:
    checks.one_of("scale", scale, ("mean", "sum"))
    return f"{name} / n" if scale == "mean" else name


def _named(targets: Iterable[Target]) -> list[Target]:
    targets = list(targets)
    names = [target.name for target in targets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"targets must have different names, got {twice[0]!r} twice.")
    return targets


def _check_values(target: Target, values: np.ndarray, leading: tuple[int, ...]) -> None:
    axes = {1: "(batch, q)", 2: "(batch, length, q)"}
    what = f"values of target {target.name!r}"
    checks.shape_of(what, values, (*leading, None), axes[len(leading)])
    checks.all_finite(what, values)


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        true_weights(),
        learner_weights(),
        moment(),
        gram(),
        residual(),
        mean_label(),
        weight_norm(),
    )
}
"""By name: w, w OLS, X'y / n, X'X / n, residual OLS, mean y, |w|."""
