"""Do deep layers know what the input does not? A claim of ours, for a linear probe.

The paper's claim 25 is about probes of all tokens, at d = 4. This one is about linear
probes of one token.
"""

import xarray as xr

from experiments.engine.claims.claim import Claim, Interval
from experiments.engine.claims.judge import Judge


def best_layer(scores: xr.Dataset) -> int:
    """Returns the layer with the highest mean R2 over tokens."""
    return int(scores.r2.mean("token").argmax("layer"))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the claim about a linear probe of least-squares weights."""
    scores, d = dataset.sel(target="w_ols"), dataset.attrs["dim"]
    layer, token = best_layer(scores), f"y{d}"
    read = token in scores.token
    judge = Judge(
        "weights", "decoded_weights", "ours, after Akyürek et al. 2023, Fig. 4"
    )
    return [
        judge(
            "1",
            f"Deep layers know what the input does not: at {token}, the best layer's "
            "error in decoding the least-squares weights is less than half the "
            "embedding's.",
            _to_embedding(scores.sel(token=token), layer) if read else float("nan"),
            "<",
            0.5,
            unit="ratio of 1 - R2, linear probe",
            bar="ours",
            interval_over="test prompts, for one trained model and these probes; the "
            "embedding's error is held fixed",
            note=f"The layer is {layer}, which has the highest R2 over tokens.",
            missing="" if read else f"Prompts of this run end before {token} is read.",
        )
    ]


def _to_embedding(scores: xr.Dataset, layer: int) -> Interval:
    """Returns the error at a layer in units of the embedding's, at one token."""
    embedding = 1 - float(scores.r2.sel(layer=0))

    def ratio(r2: xr.DataArray) -> float:
        """Returns the ratio of errors for the R2 by layer."""
        return (1 - float(r2.sel(layer=layer))) / embedding

    return Interval(
        value=ratio(scores.r2), low=ratio(scores.r2_high), high=ratio(scores.r2_low)
    )
