"""How far apart are two learners that saw the same prompts?

Two distances along the context, and a measure of linearity (Akyürek et al. 2023, 4.1):

- squared prediction difference (SPD, Eq. 15): do they predict the same at x_i?
- implied linear weight difference (ILWD, Eqs. 16-17): fit a weight vector to what each
  predicts at many queries after the same prefix; are the two vectors the same?
- R2 of that fit: is the learner linear in the query at all (the paper's Figure 6)?

Everything is a mean over prompts with a bootstrap interval over prompts, by context
length: one n at a time, and for these two learners, so that what another seed of a
training would give is left out. Where the values of prompts have a moderate tail,
`icl.resampling.studentized_interval` of `Estimate.per_prompt` covers the mean more
often. Where a few prompts carry the mean, as near n = d, every interval is too narrow:
see `icl.resampling.heaviest_share`. Shapes: predictions (batch, length), queries
(batch, length, q, dim), results (length,). Computed in float64 NumPy, whatever came in.

For two linear learners and x ~ N(0, I), SPD and ILWD are the same number.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

from icl import checks
from icl.resampling import bootstrap_means, interval


class Estimate(NamedTuple):
    """A mean over prompts by context length, with its 95 % bootstrap interval.

    The interval is for each context length by itself. For what is said of all of them
    at once, take `icl.resampling.extreme_interval`.

    Attributes:
        value: (length,).
        low: lower end of the interval, (length,).
        high: upper end of the interval, (length,).
        per_prompt: what was averaged, (batch, length).
    """

    value: Float[np.ndarray, " length"]
    low: Float[np.ndarray, " length"]
    high: Float[np.ndarray, " length"]
    per_prompt: Float[np.ndarray, "batch length"]


class ImpliedWeights(NamedTuple):
    """A linear function fitted to a learner's predictions, after every prefix.

    Attributes:
        weights: (batch, length, dim).
        intercept: (batch, length); zero where none was fitted.
        residual: mean squared residual, (batch, length); each square is divided by
            1 - its leverage, for the fit has come as much closer to its own queries.
        total: mean square of the predictions, (batch, length); their variance
            (q - 1 in the denominator) if an intercept was fitted.
        bias: estimate of E|fitted - best linear weights|^2, (batch, length): how much
            the finite number of queries adds to a squared distance.
    """

    weights: Float[np.ndarray, "batch length dim"]
    intercept: Float[np.ndarray, "batch length"]
    residual: Float[np.ndarray, "batch length"]
    total: Float[np.ndarray, "batch length"]
    bias: Float[np.ndarray, "batch length"]


def squared_prediction_difference(
    a: Float[ArrayLike, "batch length"],
    b: Float[ArrayLike, "batch length"],
    *,
    divide_by: int | float = 1,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Returns the mean of (a - b)^2 over prompts, by context length (Eq. 15).

    Args:
        a: predictions of one learner at x_i.
        b: predictions of another, or labels.
        divide_by: d for the paper's dimension-normalised SPD; 1 leaves the squared
            difference as it is.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        ValueError: the shapes differ (nothing is broadcast), a number is NaN or
            infinite, there are fewer than two prompts, or one side are classes, -1 and
            1, of which `accuracy` is the measure.

    Example:
        >>> import numpy as np
        >>> spd = squared_prediction_difference(np.ones((5, 3)), np.zeros((5, 3)))
        >>> spd.value.tolist()
        [1.0, 1.0, 1.0]
    """
    ours = checks.array("a", a, (None, None), "(batch, length)")
    theirs = checks.array("b", b, ours.shape, "(batch, length), as a")
    divide_by = checks.finite_number("divide_by", divide_by, positive=True)
    first, second = (np.asarray(each, dtype=float) for each in (ours, theirs))
    refuse_classes("a", first)
    refuse_classes("b", second)
    with np.errstate(over="ignore"):
        squares = (first - second) ** 2
    return _estimate(squares / divide_by, resamples, seed)


def refuse_classes(name: str, values: Float[np.ndarray, "*shape"]) -> None:
    """Refuses labels that are all -1 or 1, and both: they are those of classes.

    Raises:
        ValueError: they are; the message names the measure that suits them.
    """
    if values.size and -values.min() == values.max() and (np.abs(values) == 1).all():
        raise ValueError(
            f"{name} must be predictions or labels that are numbers, got classes, -1 "
            "and 1; their measure is icl.compare.accuracy(predictions, labels)."
        )


def accuracy(
    predictions: Float[ArrayLike, "batch length"],
    labels: Float[ArrayLike, "batch length"],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Returns the share of labels that predictions have the sign of, by context length.

    It is the measure of tasks such as `icl.tasks.LinearClassification`, whose
    predictions are log-odds. A prediction of 0 is half right.

    Args:
        predictions: log-odds, or any number whose sign is the guess.
        labels: -1 or 1.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        ValueError: the shapes differ, a label is neither -1 nor 1, a number is NaN or
            infinite, or there are fewer than two prompts.

    Example:
        >>> import numpy as np
        >>> found = accuracy(np.array([[2.0], [0.0]]), np.array([[1.0], [-1.0]]))
        >>> found.value.tolist()
        [0.75]
    """
    guesses = checks.array("predictions", predictions, (None, None), "(batch, length)")
    axes = "(batch, length), as predictions"
    truths = np.asarray(checks.array("labels", labels, guesses.shape, axes), float)
    others = truths[np.abs(truths) != 1]
    if others.size:
        raise ValueError(f"labels must be -1 or 1, got {others[0]:g}.")
    right = (1 + np.sign(np.asarray(guesses, float)) * truths) / 2
    return _estimate(right, resamples, seed)


def implied_weights(
    queries: Float[ArrayLike, "batch length q dim"],
    predictions: Float[ArrayLike, "batch length q"],
    *,
    intercept: bool = False,
) -> ImpliedWeights:
    """Returns the least-squares fit to predictions at queries, by prompt and prefix.

    Get the predictions of a transformer or a learner from its
    `predict_at(prompts, queries)`, which runs all prefixes of a prompt together.

    The fit of a learner that is not linear depends on the queries drawn. `bias`
    estimates its variance from squared residuals, each divided by 1 - its leverage
    (the HC2 estimate), which allows for residuals that grow with the query.

    Args:
        queries: inputs x', at least p + 1 per prefix; 20 p or more are advised.
        predictions: what the learner says there.
        intercept: fit a constant too (the paper's formula has none, its code has).

    Raises:
        ValueError: the shapes do not match, there are too few queries, a number is NaN
            or infinite, or the queries do not span all dimensions.
    """
    axes = "(batch, length, q, dim)"
    x = np.asarray(checks.array("queries", queries, (None,) * 4, axes), float)
    batch, length, count, dim = x.shape
    if 0 in x.shape:
        raise ValueError(f"queries must not be empty, got shape {x.shape}.")
    sizes = (batch, length, count)
    axes = "(batch, length, q)"
    y = np.asarray(checks.array("predictions", predictions, sizes, axes), float)
    intercept = checks.flag("intercept", intercept)
    parameters = dim + intercept
    if count <= parameters:
        raise ValueError(
            f"queries must be more than the {parameters} fitted parameters, got "
            f"{count} per prefix."
        )
    if intercept:
        x = np.concatenate([x, np.ones((batch, length, count, 1))], axis=-1)
    with np.errstate(over="ignore", invalid="ignore"):
        gram = x.swapaxes(-1, -2) @ x
    if not np.isfinite(gram).all():
        raise ValueError("the squares of queries overflow; divide them by a number.")
    if np.linalg.matrix_rank(gram, hermitian=True).min() < parameters:
        raise ValueError("queries must span all dimensions after every prefix.")
    inverse = np.linalg.inv(gram)
    influence = x @ inverse  # row i: what residual i adds to the fitted parameters
    fitted = np.einsum("blqp,blq->blp", influence, y)
    residuals = y - np.einsum("blqp,blp->blq", x, fitted)
    leverage = np.einsum("blqp,blqp->blq", influence, x)
    squares = residuals**2 / (1 - leverage)
    reach = (influence[..., :dim] ** 2).sum(axis=-1)
    return ImpliedWeights(
        weights=fitted[..., :dim],
        intercept=fitted[..., dim] if intercept else np.zeros((batch, length)),
        residual=squares.mean(axis=-1),
        total=y.var(axis=-1, ddof=1) if intercept else (y**2).mean(axis=-1),
        bias=(reach * squares).sum(axis=-1),
    )


def implied_weight_difference(
    a: ImpliedWeights | Float[ArrayLike, "batch length dim"],
    b: ImpliedWeights | Float[ArrayLike, "batch length dim"],
    *,
    divide_by: int | float = 1,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Returns the mean of |w_a - w_b|^2 over prompts, by context length (Eqs. 16-17).

    The estimated variance of each fit, which the finite number of queries adds, is
    subtracted. No bias is left where residuals have the same variance at every query;
    otherwise the bias that is left falls with q^2, and at q = 20 d it is a tenth of
    what it was, or less. A value near 0 may come out negative. If two learners are
    fitted to the *same* queries, the errors of the fits must be independent, which
    holds if at most one of the learners is not linear.

    Args:
        a: fitted weights, or the weights themselves for a learner that has them.
        b: likewise, for the other learner.
        divide_by: d for the paper's normalisation; 1 leaves the squared distance.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        ValueError: the shapes differ, a number is NaN or infinite, or there are fewer
            than two prompts.
    """
    weights_a, bias_a = _with_bias("a", a, (None,) * 3, "(batch, length, dim)")
    shape, axes = weights_a.shape, "(batch, length, dim), as a"
    weights_b, bias_b = _with_bias("b", b, shape, axes)
    divide_by = checks.finite_number("divide_by", divide_by, positive=True)
    with np.errstate(over="ignore"):
        squares = ((weights_a - weights_b) ** 2).sum(axis=-1) - bias_a - bias_b
    return _estimate(squares / divide_by, resamples, seed)


def linearity(fit: ImpliedWeights, *, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Returns R2 of the linear fit by context length, 1 for a linear learner (Fig. 6).

    $$R² = 1 - E[r] / E[s]$$

    The residual r and the total s of `fit` are averaged over prompts, so that prompts
    with small predictions weigh little. R2 is adjusted for the number of fitted
    parameters. At context length 0, R2 of a learner that predicts a constant 0 does not
    exist and is NaN.

    `per_prompt` of the result holds each prompt's own R2.

    The linearity of a curve of scores by scale is another number: see
    `icl.emergence.shape`.

    Raises:
        ValueError: fit is not what `implied_weights` returns, or there are fewer than
            two prompts.
    """
    wanted = "what implied_weights returns"
    checks.of_kind("fit", fit, ImpliedWeights, wanted)
    residual, total = (
        np.asarray(checks.array(name, values, (None, None), "(batch, length)"), float)
        for name, values in (("fit.residual", fit.residual), ("fit.total", fit.total))
    )
    checks.shape_of("fit.total", total, residual.shape, "(batch, length)")
    with np.errstate(invalid="ignore", divide="ignore"):
        per_prompt = 1 - residual / total
        value = 1 - residual.mean(axis=0) / total.mean(axis=0)
        settings = {"resamples": resamples, "seed": seed}
        residuals = bootstrap_means(residual, **settings)
        resampled = 1 - residuals / bootstrap_means(total, **settings)
    return Estimate(value, *interval(resampled), per_prompt)


def _estimate(per_prompt: np.ndarray, resamples: int, seed: int) -> Estimate:
    if not np.isfinite(per_prompt).all():
        raise ValueError(
            "a and b differ by numbers whose squares overflow; divide both by a number."
        )
    means = bootstrap_means(per_prompt, resamples=resamples, seed=seed)
    return Estimate(per_prompt.mean(axis=0), *interval(means), per_prompt)


def _with_bias(
    name: str,
    given: ImpliedWeights | ArrayLike,
    shape: tuple[int | None, ...],
    axes: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights of this shape, and how far their fit adds to a distance."""
    if given is None:  # as in the solution of a learner that is not linear
        raise ValueError(
            f"{name} must be weights, got None: this learner has none. Fit some to its "
            "predictions by implied_weights or fitted_weights."
        )
    weights = given.weights if isinstance(given, ImpliedWeights) else given
    weights = np.asarray(checks.array(name, weights, shape, axes), dtype=float)
    if not isinstance(given, ImpliedWeights):
        return weights, np.zeros(())
    sizes = weights.shape[:2]
    bias = checks.array(f"{name}.bias", given.bias, sizes, "(batch, length)")
    return weights, np.asarray(bias, dtype=float)
