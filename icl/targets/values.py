"""The values of targets on prompts, and the ceilings of their R2."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from icl import checks
from icl.arrays import shown
from icl.baselines import PosteriorMean, Spectrum, decompose, solve
from icl.codecs import Lines
from icl.prompts import Prompts, check_prompts
from icl.targets.kinds import OfContext, OfLatents, OfWeights, Target
from icl.targets.named import itself

MOST_DRAWS = 1_000_000
"""The largest number of draws of w: more would not fit into memory."""

Values = Float[np.ndarray, "batch *contexts_and_q"]


def target_values(
    targets: Iterable[Target], prompts: Prompts | Lines
) -> dict[str, Values]:
    """Returns the values of each target for each prompt, by name.

    Args:
        targets: of any kind; the linear learners among them share one decomposition.
        prompts: the prompts, with their `weights` if a target is a function of those;
            or lines of text, whose targets are functions of latents.

    Returns:
        (batch, q), or (batch, length, q) by context length, in the prompts' dtype.

    Raises:
        ValueError: two targets have one name, the prompts lack weights or latents that
            a target needs, or a function returns another shape, NaN or infinity.

    Example:
        >>> from icl.targets import moment, residual
        >>> prompts = Prompts(np.ones((1, 3, 1)), np.array([[2.0, 4.0, 9.0]]))
        >>> values = target_values([moment("sum"), residual()], prompts)
        >>> {name: array[0, :, 0].tolist() for name, array in values.items()}
        {"X'y": [0.0, 2.0, 6.0], 'residual OLS': [0.0, 2.0, 2.0]}
    """
    targets = named_targets(targets)
    if isinstance(prompts, Lines):
        return {target.name: _of_line(target, prompts) for target in targets}
    prompts = check_prompts(prompts)
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
        found = _checked_values(target, found, leading)
        values[target.name] = found.astype(prompts.xs.dtype)
    return values


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

    $$1 - E[Var(f(w) | c)] / Var(f(w))$$

    This is the ceiling of a function f of w in the context c, by the law of total
    variance. It is 1 for what the context determines, NaN for latents, of which it is
    not known, and `PosteriorMean.ceiling` for w itself. For any other f it is an
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
        >>> from icl.targets import moment, true_weights
        >>> prompts = Prompts(np.eye(3)[None, :, :2], np.zeros((1, 3)))
        >>> ceilings = target_ceilings([true_weights(), moment()], prompts)
        >>> {name: array.tolist() for name, array in ceilings.items()}
        {'w': [0.0, 0.5, 1.0], "X'y / n": [1.0, 1.0, 1.0]}
    """
    targets = named_targets(targets)
    checks.positive_int("draws", draws, minimum=2, maximum=MOST_DRAWS)
    checks.positive_int("seed", seed, minimum=0)
    prior = PosteriorMean(noise_std, weight_std)
    spectrum = prompts if isinstance(prompts, Spectrum) else decompose(prompts)
    ceilings = {}
    for target in targets:
        if isinstance(target, OfContext):
            ceilings[target.name] = np.ones(spectrum.inputs.shape[1])
        elif isinstance(target, OfLatents):
            ceilings[target.name] = np.full(spectrum.inputs.shape[1], np.nan)
        elif target.function is itself:
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
        found = target.function(drawn @ basis[:, i].swapaxes(-1, -2))
        values = _checked_values(target, found, (batch, draws))
        unknown[i] = values.var(axis=1, ddof=1).mean(axis=0).sum()
    return unknown


def _of_line(target: Target, lines: Lines) -> np.ndarray:
    """Returns the values of a target of lines of text, (batch, q)."""
    if not isinstance(target, OfLatents):
        raise ValueError(
            f"target {target.name!r} must be a function of latents (OfLatents) for "
            "lines of text, which have no pairs and no weights."
        )
    found = _of_latents(target, lines)
    return _checked_values(target, found, np.shape(lines.ids)[:1]).astype(np.float32)


def _of_latents(target: OfLatents, prompts: Prompts | Lines) -> Any:
    latents = {n: np.asarray(array) for n, array in (prompts.latents or {}).items()}
    try:
        return target.function(latents)
    except KeyError as error:
        there = ", ".join(latents) or "none"
        raise ValueError(
            f"target {target.name!r} needs the latent {error}, which the prompts do "
            f"not hold (there are: {there}); give them as latents={{...}} of the batch."
        ) from error


def named_targets(targets: Iterable[Target]) -> list[Target]:
    """Returns targets as a list, and refuses what is none, and two of one name."""
    several = isinstance(targets, Iterable) and not isinstance(targets, str | Mapping)
    wanted = "a list of targets, such as [true_weights(), moment()]"
    if not several:
        raise ValueError(f"targets must be {wanted}, got {shown(targets)}.")
    targets = list(targets)
    for target in targets:
        checks.of_kind("targets", target, Target, wanted)
    names = [target.name for target in targets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"targets must have different names, got {twice[0]!r} twice.")
    return targets


def _checked_values(
    target: Target, values: Any, leading: tuple[int, ...]
) -> Shaped[np.ndarray, "*leading q"]:
    """Returns what the function of a target gave as an array of finite numbers."""
    axes = {1: "(batch, q)", 2: "(batch, length, q)"}[len(leading)]
    what = f"values of target {target.name!r}"
    return np.asarray(checks.array(what, values, (*leading, None), axes))
