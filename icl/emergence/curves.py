"""A score at each scale: parameters, steps, layers, examples, whatever was made larger.

A curve keeps the score of every item of the test set where these are known, so that
the items can be resampled: the same items at all scales, so that what they share
cancels in differences between scales. All that is asked of a curve (`shape`,
`transition`, `onset`) is asked of `Curve.values`, where higher is better.

Shapes: scale (n,), scores (n, items) or (n,), values (n,), draws (resamples, n).
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np
from jaxtyping import ArrayLike, Float, Shaped

from icl import checks
from icl.arrays import real, shown
from icl.resampling import STATISTICS, Statistic, bootstrap

LEAST = 3
"""The least number of points that have a shape: two always lie on a line."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores by scale, of every item or averaged already.

    Attributes:
        scale: what grows, in increasing order, such as the number of steps.
        scores: the score of every item at every scale, (n, items), the same items at
            all scales; or one score at each scale, (n,), which has no intervals.
        higher_is_better: False for losses and errors. Nothing can tell a loss from a
            score, so say it.
        statistic: "mean" or "median", over the items. Take the median beside the mean
            where a few items decide the mean.
        logarithm: whether the score is log10 of the mean or median, as of a loss.

    Raises:
        ValueError: fewer than three points, scales that do not increase or are not
            finite, scores of another shape or that are NaN or infinite, a mean that is
            not above 0 where its logarithm is asked for.

    Example:
        >>> steps, losses = [1, 10, 100], [0.9, 0.5, 0.1]
        >>> Curve(steps, losses, higher_is_better=False).values.tolist()
        [-0.9, -0.5, -0.1]
    """

    scale: Shaped[np.ndarray, " n"]
    scores: Shaped[np.ndarray, "n items"] | Shaped[np.ndarray, " n"]
    _: KW_ONLY
    higher_is_better: bool = True
    statistic: Statistic = "mean"
    logarithm: bool = False

    def __post_init__(self) -> None:
        scale = increasing("scale", self.scale)
        scores = finite_scores("scores", self.scores, scale)
        if scores.ndim not in (1, 2):
            raise ValueError(
                "scores must have axes (scale, items), or (scale,) if they are "
                f"averaged already, got shape {scores.shape}."
            )
        checks.one_of("statistic", self.statistic, STATISTICS)
        for name in ("higher_is_better", "logarithm"):
            checks.normalise(self, checks.flag, name)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "scores", scores)
        average = self.average
        if self.logarithm and (average <= 0).any():
            at = scale[int(np.argmax(average <= 0))]
            raise ValueError(
                f"scores must be above 0 on average where logarithm=True, and at scale "
                f"{at:g} they are not; leave that scale out, or logarithm=False."
            )

    @property
    def items(self) -> int:
        """The number of items; 0 where scores are averaged already."""
        return self.scores.shape[1] if self.scores.ndim == 2 else 0

    @property
    def average(self) -> Float[np.ndarray, " n"]:
        """The mean or median over the items, in the unit of the scores."""
        if not self.items:
            return self.scores
        return STATISTICS[self.statistic](self.scores, axis=1)

    @property
    def values(self) -> Float[np.ndarray, " n"]:
        """The score at each scale; higher is better."""
        return self.oriented(self.average)

    def draws(
        self, *, resamples: int = 1000, seed: int = 0
    ) -> Float[np.ndarray, "resamples n"]:
        """Returns `values` of items drawn with replacement, once per resample.

        Curves of the same items share their resamples, so that their differences are
        paired.

        Raises:
            ValueError: there are fewer than two items.
        """
        if self.items < 2:
            raise ValueError(
                "scores must hold at least 2 items at each scale for an interval, got "
                f"shape {self.scores.shape}; give the score of every item."
            )
        resampled = bootstrap(
            self.scores.T, statistic=self.statistic, resamples=resamples, seed=seed
        )
        return self.oriented(resampled)

    def oriented(self, average: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Returns averages as they are compared: in logarithms, and higher is better.

        The logarithm of an average that is 0 is minus infinity.
        """
        values = np.asarray(real("average", average), dtype=float)
        if self.logarithm:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
        return values if self.higher_is_better else -values


def increasing(name: str, scale: ArrayLike) -> Float[np.ndarray, " n"]:
    """Returns scales as floats; there must be three or more, which increase."""
    found = np.asarray(checks.array(name, scale, (None,), "(scale,)"), dtype=float)
    if len(found) < LEAST:
        raise ValueError(
            f"{name} must have at least {LEAST} points, got {len(found)}; two always "
            "lie on a line."
        )
    steps = np.diff(found) > 0
    if not steps.all():
        at = int(np.argmin(steps))
        raise ValueError(
            f"{name} must increase from point to point, and {found[at + 1]:g} follows "
            f"{found[at]:g}; sort the points, and average those of one scale."
        )
    return found


def finite_scores(
    name: str, scores: ArrayLike, scale: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n ..."]:
    """Returns scores as floats; the first axis must be that of the scales.

    Raises:
        ValueError: it says at which scale a score is NaN or infinite, or how many items
            each scale has if not all have as many.
    """
    _check_rows(name, scores)
    found = np.asarray(real(name, scores), dtype=float)
    if not found.ndim or len(found) != len(scale) or not found.size:
        raise ValueError(
            f"{name} must have a first axis of {len(scale)} scales and none that is "
            f"empty, got shape {found.shape}."
        )
    bad = ~np.isfinite(found.reshape(len(found), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} must be finite, and at scale {scale[int(np.argmax(bad))]:g} some "
            "are NaN or infinite; leave the scale or these items out."
        )
    return found


def _check_rows(name: str, scores: ArrayLike) -> None:
    """Refuses a list of rows of different lengths, and says the lengths."""
    if not isinstance(scores, list | tuple):
        return
    sizes = sorted({np.size(row) for row in scores if isinstance(row, list | tuple)})
    if len(sizes) > 1:
        raise ValueError(
            f"{name} must have the same items at every scale, got from {sizes[0]} to "
            f"{sizes[-1]} items; keep the items that all scales share, or average."
        )


def log_spaced_means(
    series: Shaped[ArrayLike, " steps"], *, points: int = 13, share: float = 0.2
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Returns steps that are evenly spaced in logarithms, and means just before them.

    It makes a curve of what was recorded at every step, as `Trained.history.loss`: a
    plateau at step 600 of 60,000 cannot be seen on evenly spaced steps.

    Args:
        series: the loss of every step, the first step first.
        points: the number of steps to return; where two would be the same, there are
            fewer.
        share: each mean is over this last share of the steps until then, at least one.

    Raises:
        ValueError: fewer than three steps, values that are not finite, or a share
            outside (0, 1].

    Example:
        >>> steps, means = log_spaced_means(np.arange(100.0), points=3)
        >>> steps.tolist(), means.tolist()
        ([1.0, 10.0, 100.0], [0.0, 8.5, 89.5])
    """
    values = checks.array("series", series, (None,), "(steps,)")
    values = np.asarray(values, dtype=float)
    if len(values) < LEAST:
        raise ValueError(f"series must have at least {LEAST} steps, got {len(values)}.")
    checks.positive_int("points", points, minimum=LEAST, maximum=100_000)
    if checks.finite_number("share", share, positive=True) > 1:
        raise ValueError(f"share must be above 0 and at most 1, got {shown(share)}.")
    spaced = np.geomspace(1, len(values), points)
    steps = np.unique(spaced.round().astype(int))
    lengths = np.maximum((share * steps).astype(int), 1)
    means = [
        values[step - n : step].mean() for step, n in zip(steps, lengths, strict=True)
    ]
    return steps.astype(float), np.array(means)
