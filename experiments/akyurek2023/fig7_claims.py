"""The claims of Figure 7: how well do units of a transformer square? Claim 33."""

import xarray as xr

from experiments.engine.claims.claim import Claim, exact


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Claim 33, for each of the three; they are computed, not sampled."""
    error = abs(relative_error(dataset)).max("x")
    x = dataset.x
    law = (relative_error(dataset).sel(unit="GELU") / (-7 / 6 * x**2) - 1)[1:-1]
    bound = float(abs(x).max())
    source, figure = "Akyürek et al. 2023, Fig. 7 and App. G", "fig7"
    relu = abs(dataset.square.sel(unit="ReLU") - x**2).max()
    return [
        exact(
            "akyurek2023.33a",
            f"By GELUs, x^2 is right to 1.5 % on [-{bound:g}, {bound:g}].",
            source,
            float(error.sel(unit="GELU")),
            "<=",
            0.015,
            unit="largest relative error",
            figure=figure,
        ),
        exact(
            "akyurek2023.33b",
            "The GELU's relative error is -(7/6) x^2, not of first order (Lemma 4).",
            "Expansion of the GELU, correcting Lemma 4",
            float(abs(law).max()),
            "<",
            0.05,
            unit="largest relative difference to the law",
            figure=figure,
        ),
        exact(
            "akyurek2023.33c",
            "By a finite difference of tanh, x^2 is right to 10 % there.",
            source,
            float(error.sel(unit="tanh")),
            "<",
            0.1,
            unit="largest relative error",
            figure=figure,
        ),
        exact(
            "akyurek2023.33d",
            "By ReLUs, x^2 is right to 10 % of its largest value there.",
            source,
            float(relu) / bound**2,
            "<",
            0.1,
            unit="largest error / largest x^2",
            figure=figure,
        ),
    ]


def relative_error(dataset: xr.Dataset) -> xr.DataArray:
    """Error over x^2; NaN at 0."""
    square = dataset.x**2
    return (dataset.square / square.where(square > 0)) - 1
