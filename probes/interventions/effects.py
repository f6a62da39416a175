"""The measure of what an edit did to the predictions: `movement`."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from probes import checks, scores
from probes.arrays import real, unit_size

RESAMPLES = 1_000


class Movement(NamedTuple):
    """The coefficients of after = toward * wanted + kept * before, with intervals.

    They are fitted by least squares over prompts. Each number has the shape
    (contexts,), or () for predictions of one axis, and `_low` and `_high` are the ends
    of its 95 % interval.
    """

    toward: Float[np.ndarray, "*contexts"]
    toward_low: Float[np.ndarray, "*contexts"]
    toward_high: Float[np.ndarray, "*contexts"]
    kept: Float[np.ndarray, "*contexts"]
    kept_low: Float[np.ndarray, "*contexts"]
    kept_high: Float[np.ndarray, "*contexts"]


def movement(
    before: ArrayLike, after: ArrayLike, wanted: ArrayLike, *, seed: int = 0
) -> Movement:
    """Measures how far predictions moved toward what was written.

    Predictions that follow an edit wholly have toward 1 and kept 0; those that ignore
    it have 0 and 1; those that it wipes out have 0 and 0. Both numbers come from one
    regression without intercept. The slope of after - before on wanted - before would
    do if toward + kept were 1. Where that sum is not 1, the slope misleads: it is 1/2
    for predictions that were wiped out, and whatever else the model predicts (an error
    that stays as it was) makes it smaller; here such an error counts in kept.

    Values to be written should be drawn independently of the prompt's own. Where
    wanted and before are proportional over prompts, as when -w is written for w, the
    two cannot be told apart and both numbers are NaN. Where before is 0, toward is the
    slope on wanted and kept is NaN.

    Args:
        before: predictions without the edit, (prompts,) or (prompts, contexts).
        after: predictions with the edit.
        wanted: what the written values would predict at the same inputs.
        seed: decides the bootstrap resamples.

    Raises:
        ValueError: shapes that differ, NaN or infinity, fewer than two prompts.

    Example:
        >>> before, wanted = np.random.default_rng(0).normal(size=(2, 100))
        >>> half = movement(before, (before + wanted) / 2, wanted)
        >>> float(half.toward.round(12)), float(half.kept.round(12))
        (0.5, 0.5)
    """
    arrays: dict[str, Any] = {"before": before, "after": after, "wanted": wanted}
    arrays = {name: real(name, array).astype(float) for name, array in arrays.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    shape = shapes["before"]
    if len(set(shapes.values())) > 1 or len(shape) not in (1, 2) or shape[0] < 2:
        raise ValueError(
            "before, after and wanted must have one shape, (prompts,) or (prompts, "
            f"contexts), with at least 2 prompts, got {shapes}."
        )
    for name, array in arrays.items():
        checks.finite(name, array)
    columns = (shape[0], -1)
    # In units of their own, whose squares neither overflow nor vanish.
    (b, of_before), (a, of_after), (w, of_wanted) = (
        unit_size(each.reshape(columns), axis=0) for each in arrays.values()
    )
    rng = np.random.default_rng([checks.seed(seed), 0])
    counts = rng.multinomial(len(b), np.full(len(b), 1 / len(b)), RESAMPLES)
    weights = np.vstack([np.ones(len(b)), counts])
    slopes = _two_slopes(
        *(weights @ each for each in (w * w, b * b, w * b, w * a, b * a))
    )
    units = of_after - of_wanted, of_after - of_before
    slopes = [np.ldexp(*each) for each in zip(slopes, units, strict=True)]
    numbers = ((each[0], *scores.interval(each[1:].T)) for each in slopes)
    return Movement(*(n.reshape(shape[1:]) for each in numbers for n in each))


def _two_slopes(
    ww: np.ndarray, bb: np.ndarray, wb: np.ndarray, wa: np.ndarray, ba: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the slopes of a on w and b; NaN where w and b are parallel.

    The arguments are sums of products: `wb` is the sum of w * b.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        determinant = ww * bb - wb**2
        determinant = np.where(determinant > 1e-9 * ww * bb, determinant, np.nan)
        toward = np.where(bb == 0, wa / ww, (bb * wa - wb * ba) / determinant)
        return toward, (ww * ba - wb * wa) / determinant
