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
from experiments.engine.claims.statistics import Largest, Positive, Ratio, Smallest


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
            Smallest(
                Largest(Positive(_both_disadvantages), over="beside"), over="model"
            ),
            ">",
            1.0,
            unit="ratio of 1 - R2",
        ),
    ]


def _disadvantages(target: str) -> Ratio:
    """Returns other models' errors in units of the trained model's, at best layers.

    They are over `model`: the control, and the network that was not trained. Where the
    control is worse than the latter, training has destroyed what any network has, and
    that says nothing about what the trained model has learnt.
    """
    at = {"head": "mlp", "target": target, "model": ["control", "untrained"]}
    return Ratio(
        lambda means: means.at_best.sel(at),
        best("mlp", model="trained", target=target),
    )


def _both_disadvantages(means: xr.Dataset) -> xr.DataArray:
    """Returns those for the moment vector in units of those for the weights."""
    of_weights = _disadvantages(WEIGHTS)(means).drop_vars("model")
    return _disadvantages(MOMENT)(means) / of_weights.rename(model="beside")


def _control_reads_worse(judge: Judge, id: str, target: str) -> Claim:
    """Returns the claim that the control encodes a target less well."""
    return judge(
        id,
        f"The control model (w = 1 in every training prompt) encodes the "
        f"{TARGETS[target]} less well: the MLP probe's error at its best layer is "
        "higher than the trained model's, and so is that of a network that was not "
        "trained.",
        Smallest(_disadvantages(target), over="model"),
        ">",
        1.0,
        unit="ratio of 1 - R2, of the better of the two",
    )
