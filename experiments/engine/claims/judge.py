"""The judge of a figure: makes claims of what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import (
    Bar,
    Claim,
    Interval,
    Relation,
    Subject,
    number,
)
from experiments.engine.claims.estimates import SIMULTANEOUS, estimate
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.statistics import SEED, Statistic
from icl import checks
from icl.arrays import real, shown
from icl.resampling import HEAVY

COMPUTED = "nothing: it is computed, not sampled"


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
        subject: what they are about: models that were trained, or theory.

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
    subject: Subject = "models"

    def __post_init__(self) -> None:
        for name in ("series", "figure", "source", "note"):
            checks.of_kind(name, getattr(self, name), str, "text")
        wanted = "resampled means, as `resample` returns"
        checks.of_kind("resampled", self.resampled, Resampled, wanted)
        checks.one_of("subject", self.subject, get_args(Subject))

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
        bar: Bar = "paper",
        note: str | None = None,
        source: str | None = None,
        subject: Subject | None = None,
        interval_over: str | None = None,
        missing: str = "",
        empty: str = "",
        follows: str = "",
    ) -> Claim:
        """Returns the claim that a number compares so with a threshold.

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
            bar: whose the threshold is; see `Claim`.
            note: what the reader must know; None: the note that all claims share.
            source: where the paper says so; None: the source that all claims share.
            subject: what it is about; None: what all claims are about.
            interval_over: what the interval is over, in words; None: what follows from
                the statistic, the subject and the numbers of seeds.
            missing: why this run cannot judge the claim, which is then undecided.
            empty: why the number says nothing about what a model has learnt.
            follows: why the claim says nothing if it holds: what else fulfils it.

        Raises:
            ValueError: an argument is of another kind; the message names it.
        """
        words = {"id": id, "missing": missing, "follows": follows}
        for name, value in words.items():
            checks.of_kind(name, value, str, "text")
        if over is not None:
            over = _contexts(over)
        if over is not None and not len(over):
            missing = "This run has no such context lengths."
        note = missing or (self.note if note is None else note)
        subject = self.subject if subject is None else subject
        found, sampled = Interval(*(3 * [float("nan")])), ""
        if not missing:
            found, sampled, remark = self._measure(measured, over, subject)
            note = f"{note} {remark}".strip()
        claim = Claim(
            f"{self.series}.{id}",
            text,
            self.source if source is None else source,
            *found,
            threshold=threshold,
            relation=relation,
            unit=unit,
            figure=self.figure,
            note=note,
            interval_over=sampled if interval_over is None else interval_over,
            bar=bar,
            subject=subject,
            empty=empty,
        )
        if follows and claim.verdict == "holds":
            return replace(claim, empty=follows)
        return claim

    def _measure(
        self,
        measured: Statistic | Interval | float,
        over: Sequence[int] | np.ndarray | None,
        subject: Subject,
    ) -> tuple[Interval, str, str]:
        """Returns a number with its interval, what that is over, and a remark."""
        if isinstance(measured, Interval):
            return measured, "", ""
        if not callable(measured):
            return Interval(*(3 * [number("measured", measured)])), COMPUTED, ""
        resampled = self.resampled if over is None else self.resampled.at(over)
        means, draws, _ = resampled
        found = estimate(measured, means, draws)
        words = "prompts"
        if subject == "models":
            seeds = measured(means).sizes.get(SEED, 1)
            words += f" and {seeds} seeds" if seeds > 1 else ", for one trained model"
        if isinstance(measured, SIMULTANEOUS):
            words += "; simultaneous"
        if subject == "theory" and self.subject == "models":
            words += "; no trained model is involved"
        lost = measured(draws).isnull()
        if SEED in lost.dims:
            lost = lost.any(SEED)
        if lost.any():
            remark = f"Could not be judged: {int(lost.sum())} of {lost.size} resamples "
            nan = float("nan")
            return Interval(found.value, nan, nan), words, f"{remark}are NaN."
        return found, words, _heaviest(measured, found, resampled)


def _contexts(over: Any) -> np.ndarray:
    """Returns context lengths as an array of integers."""
    found = np.asarray(real("over", over))
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"over must be a list of context lengths, got {shown(over)}.")
    return found


def _heaviest(measured: Statistic, found: Interval, resampled: Resampled) -> str:
    """Returns a remark if one prompt moves a number by more than 1 % of it."""
    if resampled.without is None or found.low <= 0 <= found.high:
        return ""
    left = measured(resampled.without)
    full = measured(resampled.means)
    moved = float((abs(left - full) / abs(full)).max())
    if not moved > HEAVY:
        return ""
    return (
        f"One prompt alone moves it by {moved:.0%}: prompts that were not drawn may "
        "move it further than the interval says."
    )
