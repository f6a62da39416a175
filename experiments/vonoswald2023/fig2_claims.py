"""Does one trained layer become a step of gradient descent? The claims of Figure 2."""

import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import LargestSize


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over prompts, and those of every resample."""
    return intervals.resample(dataset, ("prompt",))


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the paper says of the end of training and of the closed form."""
    judge = Judge(
        "vonoswald2023",
        "fig2",
        "von Oswald et al. 2023, Fig. 2",
        resampled=resample(dataset.isel(step=-1)),
    )
    return [
        *_losses(judge, dataset.attrs["optimum"]),
        *_layers_agree(judge),
        judge(
            "5",
            "All layers on the line between the two have the same loss, to 1 %.",
            LargestSize(
                lambda means: means.error_blend / means.error_constructed - 1,
                over="blend",
            ),
            "<",
            0.01,
            unit="largest relative difference, same prompts",
            bar="ours",
        ),
    ]


def _losses(judge: Judge, optimum: float) -> list[Claim]:
    """Returns claims 1 and 2; `optimum` is the loss of the best gradient step."""
    return [
        judge(
            "1",
            f"The constructed layer has the loss of the best gradient step, "
            f"{optimum:.4f} in closed form, to 5 %.",
            lambda means: means.error_constructed / optimum - 1,
            "within",
            0.05,
            unit="relative difference",
            bar="ours",
            subject="theory",
        ),
        judge(
            "2",
            "The trained layer's loss exceeds the constructed one's by less than 1 %.",
            lambda means: means.error / means.error_constructed - 1,
            "<",
            0.01,
            unit="relative difference, same prompts",
            bar="ours",
        ),
    ]


def _layers_agree(judge: Judge) -> list[Claim]:
    """Returns claims 3 and 4: predictions and derivatives of both layers agree."""
    return [
        judge(
            "3",
            "Trained and constructed layer predict the same: their squared difference "
            "is below 1 % of the loss.",
            lambda means: means.prediction / means.error_constructed,
            "<",
            0.01,
            unit="mean squared difference / loss",
            bar="ours",
        ),
        judge(
            "4",
            "Their derivatives by the query point the same way: their cosine is above "
            "0.99.",
            lambda means: means.cosine,
            ">",
            0.99,
            unit="mean cosine",
            bar="ours",
        ),
    ]
