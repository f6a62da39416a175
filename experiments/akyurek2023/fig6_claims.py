"""How linear are predictions in the input? The claims of Figure 6: claim 9.

The claims are about the R2 of linear fits to predictions by number of examples n.
"""

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Largest, Smallest


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns mean squares over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def r2(means: xr.Dataset) -> xr.DataArray:
    """Returns R2 of all prompts together; those with small predictions weigh little."""
    return 1 - means.residual / means.total


def _of_transformer(means: xr.Dataset) -> xr.DataArray:
    """Returns R2 of the transformer."""
    return r2(means).sel(learner="ICL")


def _slope(means: xr.Dataset) -> xr.DataArray:
    """Returns how much R2 rises per example, on a straight line through all n."""
    line = _of_transformer(means).polyfit("context", 1)
    return line.polyfit_coefficients.sel(degree=1)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 9 of the paper, in its three parts."""
    d, n = int(dataset.attrs["dim"]), dataset.context.values
    judge = Judge(
        "akyurek2023",
        "fig6",
        "Akyürek et al. 2023, Fig. 6",
        resampled=resample(dataset),
    )
    return [
        judge(
            "9a",
            f"R2 of the linear fit rises with n, by more than 0.001 per example up "
            f"to n = d = {d}.",
            _slope,
            ">",
            0.001,
            over=n[n <= d] if d > 1 and n[-1] > 1 else n[:0],
            unit="slope of R2 per example",
            bar="ours, set after a first look",
        ),
        judge(
            "9b",
            f"From n = d = {d} on predictions are linear: R2 > 0.99 at each n.",
            Smallest(_of_transformer),
            ">",
            0.99,
            over=n[n >= d],
            unit="smallest R2",
            bar="ours",
        ),
        judge(
            "9c",
            "With one or two examples (fewer than d) they are clearly not: R2 < 0.99.",
            Largest(_of_transformer),
            "<",
            0.99,
            over=n[(n <= 2) & (n < d)],
            unit="largest R2",
            bar="ours",
        ),
    ]
