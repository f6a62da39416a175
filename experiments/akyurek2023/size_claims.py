"""How is a sweep over sizes judged? What the claims of Figures 3 and 8 have in common.

Distances by point, as `capacity.measure` returns them, become means over prompts and
seeds with their resamples; a claim is a statistic of these. Sizes that a run does not
have leave a claim undecided, with a note that says which.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim, Relation
from experiments.engine.claims.intervals import FEWEST_SEEDS, Resampled, Statistic

SOURCES = {"fig3": "Fig. 3", "fig8": "Fig. 8"}


def resample(dataset: xr.Dataset) -> Resampled:
    """Means of `distance` over prompts and seeds, and those of every resample."""
    resamples = int(dataset.attrs["resamples"])
    return intervals.resample(
        dataset[["distance"]], ["prompt"], resamples=resamples, seeds="seed"
    )


@dataclass(frozen=True)
class Judge:
    """Makes claims about a sweep.

    Attributes:
        resampled: distances by dimension and point.
        figure: that shows them, "fig3" or "fig8".
        note: what the reader of every claim must know.
    """

    resampled: Resampled
    figure: str
    note: str

    @classmethod
    def of(cls, dataset: xr.Dataset, figure: str) -> "Judge":
        """Of a Dataset that `measure` made, in the region n < d."""
        note = []
        seeds, failed = dataset.sizes["seed"], int(dataset.failed.sum())
        if seeds < FEWEST_SEEDS:
            count = "One seed" if seeds == 1 else f"{seeds} seeds, averaged"
            note.append(f"{count}: the interval is over prompts only.")
        if failed:
            of = dataset.failed.size
            note.append(f"{failed} of {of} runs failed and could not be chosen.")
        region = dataset.sel(region="n < d")
        return cls(resample(region), figure, " ".join(note))

    def __call__(
        self,
        id: str,
        text: str,
        statistic: Statistic,
        relation: Relation,
        threshold: float,
        unit: str,
        *,
        missing: str = "",
        remark: str = "",
    ) -> Claim:
        """A claim about a statistic of the means; undecided if something is missing."""
        figure, note = self.figure, missing or f"{remark} {self.note}".strip()
        about = {"unit": unit, "figure": figure, "note": note}
        id, source = f"akyurek2023.{id}", f"Akyürek et al. 2023, {SOURCES[figure]}"
        if missing:
            nan = float("nan")
            return Claim(id, text, source, nan, nan, nan, threshold, relation, **about)
        return Claim.from_resamples(
            id,
            text,
            source,
            value=statistic(self.resampled.means).values,
            resamples=statistic(self.resampled.draws).values,
            relation=relation,
            threshold=threshold,
            **about,
        )

    @property
    def dims(self) -> list[int]:
        """Dimensions of x, ascending."""
        return self.resampled.means.dim.values.tolist()

    def values(self, size: str) -> list[int]:
        """Values of "layers", "width" or "heads" that this run has, ascending."""
        return values(self.resampled.means, size)

    def missing(self, size: str, wanted: Sequence[int]) -> str:
        """Says which of the values this run lacks; nothing if it has them all."""
        lacking = [str(value) for value in wanted if value not in self.values(size)]
        return (
            f"This run has no model of {size} {', '.join(lacking)}." if lacking else ""
        )


def values(dataset: xr.Dataset, size: str) -> list[int]:
    """Values of "layers", "width" or "heads" among the points, ascending."""
    names = [str(point).split("=") for point in dataset.point.values]
    return [int(value) for name, value in names if name == size]
