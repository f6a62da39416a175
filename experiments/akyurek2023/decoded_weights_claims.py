"""The claim of `decoded_weights`: claim 25, for a linear probe of one token."""

import xarray as xr

from experiments.engine.claims.claim import Claim


def best_layer(scores: xr.Dataset) -> int:
    """The layer with the highest mean R2 over tokens."""
    return int(scores.r2.mean("token").argmax("layer"))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Claim 25 of the paper, for a linear probe of the least-squares weights."""
    scores, d = dataset.sel(target="w_ols"), dataset.attrs["dim"]
    layer, token = best_layer(scores), f"y{d}"
    ratios = {"value": float("nan"), "low": float("nan"), "high": float("nan")}
    note = f"The interval holds the embedding's error fixed; the layer is {layer}."
    if token in scores.token:
        at = scores.sel(token=token)
        embedding = 1 - float(at.r2.sel(layer=0))
        ends = {"value": at.r2, "low": at.r2_high, "high": at.r2_low}
        ratios = {
            k: (1 - float(r2.sel(layer=layer))) / embedding for k, r2 in ends.items()
        }
    else:
        note = f"Prompts of this run end before {token} is read."
    text = (
        f"Deep layers know what the input does not: at {token}, the best layer's error "
        "in decoding the least-squares weights is less than half the embedding's."
    )
    return [
        Claim(
            "akyurek2023.25c",
            text,
            "Akyürek et al. 2023, Fig. 4",
            threshold=0.5,
            relation="<",
            unit="ratio of 1 - R2, linear probe",
            figure="decoded_weights",
            note=note,
            **ratios,
        )
    ]
