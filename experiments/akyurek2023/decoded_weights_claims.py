"""Do deep layers know what the input does not? Claim 25 for a linear probe."""

import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Interval, Judge


def best_layer(scores: xr.Dataset) -> int:
    """Returns the layer with the highest mean R2 over tokens."""
    return int(scores.r2.mean("token").argmax("layer"))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 25 of the paper, for a linear probe of least-squares weights."""
    scores, d = dataset.sel(target="w_ols"), dataset.attrs["dim"]
    layer, token = best_layer(scores), f"y{d}"
    read = token in scores.token
    judge = Judge("akyurek2023", "decoded_weights", "Akyürek et al. 2023, Fig. 4")
    return [
        judge(
            "25c",
            f"Deep layers know what the input does not: at {token}, the best layer's "
            "error in decoding the least-squares weights is less than half the "
            "embedding's.",
            _to_embedding(scores.sel(token=token), layer) if read else float("nan"),
            "<",
            0.5,
            unit="ratio of 1 - R2, linear probe",
            note="The interval holds the embedding's error fixed; the layer is "
            f"{layer}.",
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
