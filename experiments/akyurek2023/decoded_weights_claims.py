"""Do deep layers know what the input does not? A claim of ours, for a linear probe.

The paper's claim 25 is about probes of all tokens, at d = 4. This one is about linear
probes of one token. The best layer is chosen on other prompts than those on which it is
judged: chosen on the same, it would look better than it is.
"""

import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Ratio, Statistic
from experiments.engine.figures.seeds import named_layers

BEST, EMBEDDING = AT = "best", "embedding"
"""The layers at which R2 is kept with its resamples."""


def resampled(scores: xr.Dataset) -> Resampled:
    """Returns R2 at the best layer and at the embedding, and in every resample."""
    draws = scores.r2_resampled_at.rename(resample="draw")
    return Resampled(
        xr.Dataset({"r2": scores.r2_at}), xr.Dataset({"r2": draws.astype(float)})
    )


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the claim about a linear probe of least-squares weights."""
    scores, d = dataset.sel(target="w_ols"), dataset.attrs["dim"]
    token = f"y{d}"
    judge = Judge(
        "weights",
        "decoded_weights",
        "ours, after Akyürek et al. 2023, Fig. 4",
        resampled=resampled(scores),
    )

    def error(at: str) -> Statistic:
        """Returns the error of the probe at one of two layers."""
        return lambda means: 1 - means.r2.sel(at=at, token=token)

    return [
        judge(
            "1",
            f"Deep layers know what the input does not: at {token}, the best layer's "
            "error in decoding the least-squares weights is less than half the "
            "embedding's.",
            Ratio(error(BEST), error(EMBEDDING)),
            "<",
            0.5,
            unit="ratio of 1 - R2, linear probe",
            bar="ours",
            note=f"{named_layers(scores.best_layer).capitalize()}, chosen on other "
            "prompts. Intervals hold the probes fixed.",
            missing=""
            if token in scores.token
            else f"Prompts of this run end before {token} is read.",
        )
    ]
