"""The claims of Figure 6: how linear are predictions in the input? Claim 9.

They are about the R2 of linear fits to predictions by number of examples n.
"""

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import judge


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Claim 9 of the paper, in its three parts."""
    d, n = int(dataset.attrs["dim"]), dataset.context.values
    rising = n[n <= d] if d > 1 and n[-1] > 1 else n[:0]
    common = {
        "resampled": resample(dataset),
        "source": "Akyürek et al. 2023, Fig. 6",
        "figure": "fig6",
    }

    def icl(means: xr.Dataset) -> xr.DataArray:
        return r2(means).sel(learner="ICL")

    return [
        judge(
            "akyurek2023.9a",
            f"R2 of the linear fit rises with n, by more than 0.001 per example up "
            f"to n = d = {d}.",
            rising,
            lambda means: (
                icl(means).polyfit("context", 1).polyfit_coefficients.sel(degree=1)
            ),
            ">",
            0.001,
            unit="slope of R2 per example",
            **common,
        ),
        judge(
            "akyurek2023.9b",
            f"From n = d = {d} on predictions are linear: R2 > 0.99 at each n.",
            n[n >= d],
            lambda means: icl(means).min("context"),
            ">",
            0.99,
            unit="smallest R2",
            **common,
        ),
        judge(
            "akyurek2023.9c",
            "With one or two examples (fewer than d) they are clearly not: R2 < 0.99.",
            n[(n <= 2) & (n < d)],
            lambda means: icl(means).max("context"),
            "<",
            0.99,
            unit="largest R2",
            **common,
        ),
    ]


def resample(dataset: xr.Dataset) -> Resampled:
    """Mean squares over prompts, and those of every resample."""
    resamples = int(dataset.attrs["resamples"])
    return intervals.resample(dataset, ("prompt",), resamples=resamples)


def r2(means: xr.Dataset) -> xr.DataArray:
    """Of all prompts together: those of which little is predicted weigh little."""
    return 1 - means.residual / means.total
