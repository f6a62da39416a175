"""How well do units of a transformer square? The claims of Figure 7: claim 33."""

import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 33 for each of the three units, which is computed, not sampled."""
    judge = Judge(
        "akyurek2023",
        "fig7",
        "Akyürek et al. 2023, Fig. 7 and App. G",
        subject="theory",
    )
    x, largest = dataset.x, abs(relative_error(dataset)).max("x")
    law = (relative_error(dataset).sel(unit="GELU") / (-7 / 6 * x**2) - 1)[1:-1]
    bound = float(abs(x).max())
    relu = abs(dataset.square.sel(unit="ReLU") - x**2).max()
    return [
        judge(
            "33a",
            f"By GELUs, x^2 is right to 1.5 % on [-{bound:g}, {bound:g}].",
            float(largest.sel(unit="GELU")),
            "<=",
            0.015,
            unit="largest relative error",
            bar="ours",
        ),
        judge(
            "33b",
            "The GELU's relative error is -(7/6) x^2, not of first order (Lemma 4).",
            float(abs(law).max()),
            "<",
            0.05,
            unit="largest relative difference to the law",
            bar="ours",
            source="Expansion of the GELU, correcting Lemma 4",
        ),
        judge(
            "33c",
            "By a finite difference of tanh, x^2 is right to 10 % there.",
            float(largest.sel(unit="tanh")),
            "<",
            0.1,
            unit="largest relative error",
            bar="ours",
        ),
        judge(
            "33d",
            "By ReLUs, x^2 is right to 10 % of its largest value there.",
            float(relu) / bound**2,
            "<",
            0.1,
            unit="largest error / largest x^2",
            bar="ours",
        ),
    ]


def relative_error(dataset: xr.Dataset) -> xr.DataArray:
    """Returns the error over x^2, which is NaN at 0."""
    square = dataset.x**2
    return (dataset.square / square.where(square > 0)) - 1
