"""Is a jump in the model or in the metric? Four tests of a curve that seems to jump.

1. *Threshold test*: the jump of a thresholded metric is looked for at several
   thresholds. Where it moves with the threshold, it is the metric's.
2. *Product test*: where an exact match is the product of its parts, it says nothing
   that the parts do not.
3. *Log-loss test*: a jump of the model is there in the logarithm of the loss too, more
   than in noise.
4. *Seed test*: where the seeds of a training lie on two sides of a jump, the mean curve
   describes none of them.

None of them decides alone. All take outcomes that were measured already.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import xarray as xr
from jaxtyping import ArrayLike, Float, Shaped

from icl import checks
from icl.arrays import real
from icl.emergence.curves import Curve, finite_scores, increasing
from icl.emergence.outcomes import Errors, Hits
from icl.emergence.shapes import null_quantiles, shape_of
from icl.emergence.transitions import crossing

Thresholded = Literal["solved", "hit", "all_of"]
THRESHOLDS = (0.1, 0.01, 0.001, 0.0001)
LEAST_SEEDS = 8
"""Three seeds cannot show that their scores have two modes."""


def threshold_test(
    errors: Errors,
    *,
    metric: Thresholded = "solved",
    thresholds: Sequence[float] = THRESHOLDS,
) -> xr.Dataset:
    """Returns where a thresholded metric passes one half, at several thresholds.

    Args:
        errors: unaveraged errors; their scales must be above 0.
        metric: "solved", "hit", or "all_of" for all queries of a prompt.
        thresholds: at least two, such as powers of ten; several decades tell more.

    Returns:
        A Dataset of `x50` by threshold (NaN where one half is not crossed), `decades`,
        log10 of the largest x50 over the smallest, and `slope`, by how many decades x50
        moves for each decade of the threshold. About 0 is a jump of the model.

    Example:
        >>> errors = Errors([1, 10, 100, 1000], 10.0 ** -np.arange(4)[:, None, None])
        >>> found = threshold_test(errors, metric="hit", thresholds=[0.3, 0.03, 0.003])
        >>> round(found.decades.item(), 2), round(found.slope.item(), 2)
        (2.0, -1.0)
    """
    checks.of_kind("errors", errors, Errors, "icl.emergence.Errors")
    if errors.scale[0] <= 0:
        raise ValueError(
            "errors must have scales above 0 for a logarithmic axis, got "
            f"{errors.scale[0]:g}; leave that point out, or count from 1."
        )
    checks.one_of("metric", metric, get_args(Thresholded))
    limits = checks.array("thresholds", thresholds, (None,), "(threshold,)")
    limits = np.asarray(limits, dtype=float)
    if len(set(limits.tolist())) < 2 or (limits <= 0).any():
        raise ValueError(
            "thresholds must be at least 2 different numbers above 0, got "
            f"{limits.tolist()}."
        )
    x50 = np.array([_x50(errors, metric, limit) for limit in limits.tolist()])
    crossed = np.isfinite(x50)
    logs, decades = np.log10(x50[crossed]), np.log10(limits[crossed])
    known = crossed.sum() >= 2
    return xr.Dataset(
        {
            "x50": ("threshold", x50),
            "decades": float(np.ptp(logs)) if known else np.nan,
            "slope": float(np.polyfit(decades, logs, 1)[0]) if known else np.nan,
        },
        coords={"threshold": limits},
        attrs={"metric": metric},
    )


def _x50(errors: Errors, metric: Thresholded, limit: float) -> float:
    """Returns the scale at which a metric with this threshold passes one half."""
    if metric == "solved":
        curve = errors.solved(limit)
    elif metric == "hit":
        curve = errors.hit(limit)
    else:
        curve = errors.hits(limit).exact_match()
    return float(crossing(curve.scale, curve.values, 0.5))


def product_test(hits: Hits) -> xr.Dataset:
    """Returns how far exact match is from the product of its parts.

    Returns:
        A Dataset by scale: `exact`, the share of prompts of which all queries are
        right; `product`, the product of the shares at each query; `power`, the mean
        share to the power of the number of queries, which is the product if all
        queries are equally hard. And of all scales: `product_gap` and `power_gap`, the
        largest distance of `exact` from either.

    Example:
        >>> together = np.array([[[0, 0]] * 2, [[1, 1], [0, 0]], [[1, 1]] * 2])
        >>> product_test(Hits([1, 2, 3], together)).product_gap.item()
        0.25
    """
    checks.of_kind("hits", hits, Hits, "icl.emergence.Hits")
    exact = hits.exact_match().values
    parts = hits.by_position()
    product = parts.prod(axis=1)
    power = parts.mean(axis=1) ** parts.shape[1]
    return xr.Dataset(
        {
            "exact": ("scale", exact),
            "product": ("scale", product),
            "power": ("scale", power),
            "product_gap": float(np.abs(exact - product).max()),
            "power_gap": float(np.abs(exact - power).max()),
        },
        coords={"scale": hits.scale},
    )


def seed_test(
    scale: Shaped[ArrayLike, " scale"], scores: Shaped[ArrayLike, "seed scale"]
) -> xr.Dataset:
    """Returns how the seeds of a training lie about the middle of their mean curve.

    Args:
        scale: in increasing order.
        scores: of at least 8 seeds; three cannot show two modes.

    Returns:
        A Dataset of numbers, at the scale `at` where the mean over seeds is nearest to
        the midpoint of its extremes: the shares `below` and `above` the midpoint, the
        share `between`, in the middle third from one extreme to the other, which is
        small where seeds have two modes, and `spread`, the largest score less the
        smallest.

    Example:
        >>> jumps = np.arange(4) >= np.array([1, 3] * 4)[:, None]
        >>> found = seed_test([1, 2, 3, 4], jumps)
        >>> found.at.item(), found.below.item(), found.between.item()
        (2.0, 0.5, 0.0)
    """
    return _of_seeds("scores", increasing("scale", scale), scores)


def _of_seeds(
    name: str,
    axis: Float[np.ndarray, " scale"],
    scores: Shaped[ArrayLike, "seed scale"],
) -> xr.Dataset:
    """Returns what `seed_test` does; messages call the scores by `name`."""
    by_scale = np.asarray(real(name, scores), dtype=float)
    if by_scale.ndim != 2 or by_scale.shape[0] < LEAST_SEEDS:
        raise ValueError(
            f"{name} must have axes (seed, scale) with at least {LEAST_SEEDS} seeds, "
            f"got shape {by_scale.shape}; fewer cannot show two modes."
        )
    by_scale = finite_scores(name, by_scale.T, axis)
    mean = by_scale.mean(axis=1)
    low, high = mean.min(), mean.max()
    middle = (low + high) / 2
    at = int(np.argmin(np.abs(mean - middle)))
    found = by_scale[at]
    return xr.Dataset(
        {
            "at": float(axis[at]),
            "below": float((found < middle).mean()),
            "above": float((found > middle).mean()),
            "between": float((np.abs(found - middle) < (high - low) / 6).mean()),
            "spread": float(np.ptp(found)),
        },
        attrs={"seeds": by_scale.shape[1]},
    )


def genuineness(
    errors: Errors | None = None,
    *,
    hits: Hits | None = None,
    log_score: Curve | None = None,
    seeds: Shaped[ArrayLike, "seed scale"] | None = None,
    metric: Thresholded = "solved",
    thresholds: Sequence[float] = THRESHOLDS,
    epsilon: float = 0.1,
) -> xr.Dataset:
    """Returns the numbers of all four tests of a curve that seems to jump.

    What cannot be tested is NaN: errors are needed for thresholds, hits for products,
    and many seeds for seeds.

    Args:
        errors: unaveraged errors, from which hits and the log score follow.
        hits: right or wrong, where there are no errors, or other hits.
        log_score: a curve of log-probabilities, or of the logarithm of a loss.
        seeds: the score of several seeds at each scale, (seed, scale).
        metric: whose thresholds are moved; see `threshold_test`.
        thresholds: see `threshold_test`.
        epsilon: the threshold of the hits that are taken from errors.

    Returns:
        A Dataset of numbers: `threshold_decades` and `threshold_slope`; `product_gap`
        and `power_gap`; `log_breakthroughness`, B / (n - 1) of the log score, beside
        `log_null_99`, what noise stays below; `seed_below`, `seed_above`,
        `seed_between` and `seed_spread`.

    Raises:
        ValueError: there is nothing to test.

    Example:
        >>> errors = Errors([1, 10, 100, 1000], 10.0 ** -np.arange(4)[:, None, None])
        >>> found = genuineness(errors, metric="hit", thresholds=[0.3, 0.03, 0.003])
        >>> round(found.threshold_decades.item(), 2), found.product_gap.item()
        (2.0, 0.0)
    """
    given = (errors, hits, log_score, seeds)
    if all(each is None for each in given):
        raise ValueError("errors, hits, log_score or seeds must be given, got none.")
    names = ("threshold_decades", "threshold_slope", "product_gap", "power_gap")
    names += ("log_breakthroughness", "log_null_99")
    names += tuple(f"seed_{name}" for name in ("below", "above", "between", "spread"))
    found = dict.fromkeys(names, np.nan)
    if errors is not None:
        moved = threshold_test(errors, metric=metric, thresholds=thresholds)
        found |= {
            f"threshold_{name}": float(moved[name]) for name in ("decades", "slope")
        }
        hits = errors.hits(epsilon) if hits is None else hits
        if log_score is None and (errors.squares.mean(axis=1) > 0).all():
            log_score = errors.log_nmse()
    if hits is not None:
        parts = product_test(hits)
        found |= {name: float(parts[name]) for name in ("product_gap", "power_gap")}
    if log_score is not None:
        checks.of_kind("log_score", log_score, Curve, "an icl.emergence.Curve")
        values = log_score.values
        own = shape_of(values).normalised_breakthroughness
        found["log_breakthroughness"] = float(own)
        found["log_null_99"] = null_quantiles(len(values)).breakthroughness
    if seeds is not None:
        measured = next((part for part in (errors, hits, log_score) if part), None)
        points = np.shape(real("seeds", seeds))[-1:]
        scale = np.arange(sum(points)) if measured is None else measured.scale
        spread = _of_seeds("seeds", np.asarray(scale, dtype=float), seeds)
        found |= {
            f"seed_{name}": float(spread[name]) for name in spread if name != "at"
        }
    return xr.Dataset(found)
