"""Jumps that only a metric makes, in closed form: no model, no sample.

In the model of Schaeffer et al. (2023, section 2) the cross-entropy of a token falls as
a power of the number N of parameters, CE = (N / c)^alpha with alpha < 0, and the
probability of a right token is p = exp(-CE). Nothing jumps. Whether the curve of a
metric looks as if it did is up to the metric: p^T for an exact match of T tokens whose
errors are independent, T (1 - p) for the number of wrong ones.

(Appendix A.2 of that paper writes T (1 - eps) with eps the probability of an *error*;
it must be T eps. Its alpha is negative, which some summaries drop.)

Shapes: all functions take arrays of any shape.
"""

import numpy as np
from jaxtyping import ArrayLike, Float, Shaped

from icl import checks
from icl.arrays import real, shown
from icl.emergence.curves import increasing
from icl.emergence.probabilities import Choices

Numbers = Float[np.ndarray, "..."]


def cross_entropy(
    parameters: Shaped[ArrayLike, "..."],
    *,
    critical: float = 1e8,
    exponent: float = -0.3,
) -> Numbers:
    """Returns the cross-entropy per token by the number of parameters, a power law.

    $$(N / c)^α$$

    Args:
        parameters: N, above 0.
        critical: c, the N at which the cross-entropy is 1.
        exponent: α, below 0.

    Example:
        >>> cross_entropy([1e8, 1e9]).round(3).tolist()
        [1.0, 0.501]
    """
    n = _numbers("parameters", parameters)
    if (n <= 0).any():
        raise ValueError(f"parameters must be above 0, got {n.min():g}.")
    c = checks.finite_number("critical", critical, positive=True)
    power = np.asarray(real("exponent", exponent))
    if power.ndim or power.dtype == bool or not -np.inf < power < 0:
        raise ValueError(f"exponent must be below 0, got {shown(exponent)}.")
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray((n / c) ** float(power))


def token_accuracy(
    parameters: Shaped[ArrayLike, "..."],
    *,
    critical: float = 1e8,
    exponent: float = -0.3,
) -> Numbers:
    """Returns p = exp(-CE), the probability of one right token.

    Example:
        >>> token_accuracy([1e7, 1e8, 1e9]).round(4).tolist()
        [0.136, 0.3679, 0.6058]
    """
    return np.exp(-cross_entropy(parameters, critical=critical, exponent=exponent))


def exact_match(accuracy: Shaped[ArrayLike, "..."], tokens: int) -> Numbers:
    """Returns p^T, the probability that all of T independent tokens are right.

    Example:
        >>> exact_match([0.5, 0.9], 4).round(4).tolist()
        [0.0625, 0.6561]
    """
    p = _probabilities(accuracy)
    return np.asarray(p ** checks.positive_int("tokens", tokens))


def edit_distance(accuracy: Shaped[ArrayLike, "..."], tokens: int) -> Numbers:
    """Returns T (1 - p), the expected number of wrong tokens, none added or left out.

    Example:
        >>> edit_distance([0.5, 0.9], 4).round(4).tolist()
        [2.0, 0.4]
    """
    p = _probabilities(accuracy)
    return np.asarray(checks.positive_int("tokens", tokens) * (1 - p))


def brier(accuracy: Shaped[ArrayLike, "..."]) -> Numbers:
    """Returns (1 - p)^2, Brier's score of the probability of what is right.

    Example:
        >>> brier([0.5, 1.0]).tolist()
        [0.25, 0.0]
    """
    return np.asarray((1 - _probabilities(accuracy)) ** 2)


def no_hit(accuracy: Shaped[ArrayLike, "..."], size: int) -> Numbers:
    """Returns (1 - p)^M, the probability that a test set of M items has no hit.

    A score of 0 says that p is probably below 3 / M, and no more.

    Example:
        >>> no_hit([0.001, 0.03], 100).round(3).tolist()
        [0.905, 0.048]
    """
    p = _probabilities(accuracy)
    return np.asarray((1 - p) ** checks.positive_int("size", size))


def sample_choices(
    parameters: Shaped[ArrayLike, " scale"],
    *,
    items: int = 20_000,
    options: int = 4,
    spread: float = 0.3,
    seed: int = 0,
) -> Choices:
    """Returns questions of which the right option's logit grows with log N.

    The logit of the right option is 1.5 (log10 N - 8), those of the others are drawn
    from N(0, spread^2), the same ones at every N. The grade jumps where the first
    passes all others; the probabilities do not.

    Args:
        parameters: N, in increasing order, above 0.
        items: number of questions.
        options: number of options of each, at least 2.
        spread: the standard deviation of the wrong options' logits.
        seed: seed of those logits.

    Example:
        >>> choices = sample_choices([1e7, 1e8, 1e9], items=1_000)
        >>> [round(score) for score in choices.accuracy().values.tolist()]
        [0, 0, 1]
    """
    n = increasing("parameters", parameters)
    if n[0] <= 0:
        raise ValueError(f"parameters must be above 0, got {n[0]:g}.")
    checks.positive_int("items", items, maximum=10_000_000)
    checks.positive_int("options", options, minimum=2, maximum=10_000)
    deviation = checks.finite_number("spread", spread)
    generator = np.random.default_rng(checks.positive_int("seed", seed, minimum=0))
    wrong = deviation * generator.standard_normal((items, options - 1))
    right = 1.5 * (np.log10(n) - 8)
    logits = np.concatenate(
        [
            np.broadcast_to(right[:, None, None], (len(n), items, 1)),
            np.broadcast_to(wrong, (len(n), *wrong.shape)),
        ],
        axis=2,
    )
    logits = logits - logits.max(axis=2, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return Choices(n, logs[:, :, None])


def quanta_loss(
    learnt: Shaped[ArrayLike, "..."], *, exponent: float = 0.4, quanta: int = 1_000_000
) -> Numbers:
    """Returns the mean loss when the first n of many skills are learnt, each at once.

    In the quantization model (Michaud et al. 2023) skill k is needed with probability
    proportional to k^-(1 + α), costs 1 until it is learnt and then nothing. Every
    skill is a step; their sum falls as n^-α:

    $$∑_{k>n} k^{-(1+α)} / ∑_k k^{-(1+α)}$$

    Args:
        learnt: n, the number of skills that are learnt, in the order of their use.
        exponent: α, above 0.
        quanta: the number of skills.

    Example:
        >>> loss = quanta_loss([10, 1000])
        >>> round(np.log10(loss[1] / loss[0]).item() / 2, 2)  # steeper: K is finite
        -0.41
    """
    n = _numbers("learnt", learnt)
    count = checks.positive_int("quanta", quanta, maximum=100_000_000)
    if (n < 0).any() or (n > count).any() or (n != np.floor(n)).any():
        raise ValueError(
            f"learnt must be whole numbers from 0 to {count} quanta, got "
            f"{shown(learnt)}."
        )
    alpha = checks.finite_number("exponent", exponent, positive=True)
    use = np.arange(1.0, count + 1) ** -(1 + alpha)
    left = np.append(np.cumsum(use[::-1])[::-1], 0.0)
    return np.asarray(left[n.astype(int)] / left[0])


def _numbers(name: str, values: Shaped[ArrayLike, "..."]) -> Numbers:
    found = np.asarray(real(name, values), dtype=float)
    checks.all_finite(name, found)
    if not found.size:
        raise ValueError(f"{name} must not be empty, got shape {found.shape}.")
    return found


def _probabilities(accuracy: Shaped[ArrayLike, "..."]) -> Numbers:
    p = _numbers("accuracy", accuracy)
    if (p < 0).any() or (p > 1).any():
        raise ValueError(
            f"accuracy must lie in [0, 1], got values from {p.min():g} to {p.max():g}."
        )
    return p
