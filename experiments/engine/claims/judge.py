"""The judge of a figure: makes claims of what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Claim, Relation
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.statistics import Statistic


class Interval(NamedTuple):
    """A number with its 95 % interval, for claims whose interval is known already.

    Attributes:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float


def _nothing() -> Resampled:
    return Resampled(xr.Dataset(), xr.Dataset())


@dataclass(frozen=True)
class Judge:
    """Makes the claims of a figure: holds what they share, and is called for each.

    Attributes:
        series: the first word of their ids: the name of the paper, or of a series of
            claims that are not the paper's.
        figure: name of the figure that shows them.
        source: where the paper says so.
        note: what the reader of every claim must know.
        resampled: the means, and those of every resample, that statistics are taken of.

    Example:
        >>> judge = Judge("paper2026", "fig1", "Fig. 1", note="One model.")
        >>> claim = judge("1a", "The error is small.", 0.02, "<", 0.05, unit="SPD / d")
        >>> print(claim, claim.note)
        paper2026.1a holds: 0.02 [0.02, 0.02] < 0.05 (SPD / d) One model.
    """

    series: str
    figure: str
    source: str
    note: str = ""
    resampled: Resampled = field(default_factory=_nothing, repr=False)

    def __call__(
        self,
        id: str,
        text: str,
        measured: Statistic | Interval | float,
        relation: Relation,
        threshold: float,
        *,
        unit: str,
        over: Sequence[int] | np.ndarray | None = None,
        note: str | None = None,
        source: str | None = None,
        missing: str = "",
    ) -> Claim:
        """Returns the claim that a number compares so with a threshold.

        The interval of a largest or smallest value lies on the unfavourable side of it:
        resampling adds noise, and the extreme of noisy values is more extreme. Such a
        claim, "for every n", is judged a little too strictly, never too kindly.

        Args:
            id: what follows the series in the claim's id, such as "4a".
            text: the claim in words, with its threshold.
            measured: a statistic of the resampled means; or a number with its interval;
                or a number that was computed, not sampled, whose interval is a point.
            relation: how the number is claimed to compare with `threshold`.
            threshold: what it is compared with.
            unit: what the number is, and how it is normalised.
            over: the context lengths that the claim is about. None: all of them. If
                the run has none of these, the claim is undecided.
            note: what the reader must know; None: the note that all claims share.
            source: where the paper says so; None: the source that all claims share.
            missing: why this run cannot judge the claim, which is then undecided.
        """
        if over is not None and not len(over):
            missing = "This run has no such context lengths."
        about = {
            "id": f"{self.series}.{id}",
            "text": text,
            "source": self.source if source is None else source,
            "relation": relation,
            "threshold": threshold,
            "unit": unit,
            "figure": self.figure,
            "note": missing or (self.note if note is None else note),
        }
        if missing:
            nan = float("nan")
            return Claim(value=nan, low=nan, high=nan, **about)
        if isinstance(measured, Interval):
            return Claim(**measured._asdict(), **about)
        if isinstance(measured, int | float):
            return Claim(value=measured, low=measured, high=measured, **about)
        means, draws = self.resampled if over is None else self.resampled.at(over)
        return Claim.from_resamples(
            value=measured(means).values, resamples=measured(draws).values, **about
        )
