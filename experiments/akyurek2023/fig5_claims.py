"""The claims of Figure 5: what the control model encodes less well. Claim 27."""

import xarray as xr

from experiments.akyurek2023.fig4_claims import (
    MOMENT,
    WEIGHTS,
    Statistic,
    best,
    claim,
)
from experiments.akyurek2023.fig4_measure import TARGETS
from experiments.engine.claims.claim import Claim


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Claim 27, which Figure 5 shows."""

    def ratio(target: str) -> Statistic:
        def statistic(error: xr.DataArray) -> xr.DataArray:
            least = best(error.sel(target=target), "mlp")
            return least.sel(model="control") / least.sel(model="trained")

        return statistic

    moment, weights = ratio(MOMENT), ratio(WEIGHTS)
    text = (
        "The control model (w = 1 in every training prompt) encodes the {} less well: "
        "the MLP probe's error at its best layer is higher than the trained model's."
    )
    settings = {"unit": "ratio of 1 - R2", "figure": "fig5"}
    return [
        claim(dataset, "akyurek2023.27a", text.format(TARGETS[MOMENT]), moment, ">",
               1.0, **settings),
        claim(dataset, "akyurek2023.27b", text.format(TARGETS[WEIGHTS]), weights, ">",
               1.0, **settings),
        claim(
            dataset,
            "akyurek2023.27c",
            "The control's disadvantage is greater for the moment vector than for the "
            "least-squares weights.",
            lambda error: moment(error) / weights(error),
            ">",
            1.0,
            **settings,
        ),
    ]  # fmt: skip
