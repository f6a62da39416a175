"""What does the control model encode less well? The claims of Figure 5: claim 27."""

import xarray as xr

from experiments.akyurek2023.fig4_claims import (
    MOMENT,
    WEIGHTS,
    best,
    resampled_errors,
)
from experiments.akyurek2023.fig4_measure import TARGETS
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Ratio


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 27 of the paper."""
    judge = Judge(
        "akyurek2023",
        "fig5",
        "Akyürek et al. 2023, Fig. 5",
        resampled=resampled_errors(dataset),
    )
    return [
        _control_reads_worse(judge, "27a", MOMENT),
        _control_reads_worse(judge, "27b", WEIGHTS),
        judge(
            "27c",
            "The control's disadvantage is greater for the moment vector than for the "
            "least-squares weights.",
            Ratio(_disadvantage(MOMENT), _disadvantage(WEIGHTS)),
            ">",
            1.0,
            unit="ratio of 1 - R2",
        ),
    ]


def _disadvantage(target: str) -> Ratio:
    """Returns the control's error in units of the trained model's, at best layers."""
    return Ratio(
        best("mlp", model="control", target=target),
        best("mlp", model="trained", target=target),
    )


def _control_reads_worse(judge: Judge, id: str, target: str) -> Claim:
    """Returns the claim that the control encodes a target less well."""
    return judge(
        id,
        f"The control model (w = 1 in every training prompt) encodes the "
        f"{TARGETS[target]} less well: the MLP probe's error at its best layer is "
        "higher than the trained model's.",
        _disadvantage(target),
        ">",
        1.0,
        unit="ratio of 1 - R2",
    )
