"""The claims of Figure 2: does one trained layer become a step of gradient descent?"""

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled


def claims(dataset: xr.Dataset) -> list[Claim]:
    """What the paper says of the end of training, and the closed form."""
    optimum = dataset.attrs["optimum"]
    resampled = resample(dataset.isel(step=-1))

    def claim(number, text, statistic, relation, threshold, unit) -> Claim:
        return Claim.from_resamples(
            f"vonoswald2023.{number}",
            text,
            "von Oswald et al. 2023, Fig. 2",
            value=statistic(resampled.means).values,
            resamples=statistic(resampled.draws).values,
            relation=relation,
            threshold=threshold,
            unit=unit,
            figure="fig2",
        )

    return [
        claim(
            "1",
            f"The constructed layer has the loss of the best gradient step, "
            f"{optimum:.4f} in closed form, to 5 %.",
            lambda means: abs(means.error_constructed / optimum - 1),
            "<",
            0.05,
            "relative difference",
        ),
        claim(
            "2",
            "The trained layer's loss exceeds the constructed one's by less than 1 %.",
            lambda means: means.error / means.error_constructed - 1,
            "<",
            0.01,
            "relative difference, same prompts",
        ),
        claim(
            "3",
            "Trained and constructed layer predict the same: their squared difference "
            "is below 1 % of the loss.",
            lambda means: means.prediction / means.error_constructed,
            "<",
            0.01,
            "mean squared difference / loss",
        ),
        claim(
            "4",
            "Their derivatives by the query point the same way: cosine above 0.99.",
            lambda means: means.cosine,
            ">",
            0.99,
            "mean cosine",
        ),
        claim(
            "5",
            "All layers on the line between the two have the same loss, to 1 %.",
            lambda means: abs(means.error_blend / means.error_constructed - 1).max(
                "blend"
            ),
            "<",
            0.01,
            "largest relative difference, same prompts",
        ),
    ]


def resample(dataset: xr.Dataset) -> Resampled:
    """Means over prompts, and those of every resample."""
    resamples = int(dataset.attrs["resamples"])
    return intervals.resample(dataset, ("prompt",), resamples=resamples)
