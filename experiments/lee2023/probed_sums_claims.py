"""Is the carry there before it is needed? Claims L16 and L17, of ours.

Digit i of the answer is predicted at the character before it. Carry i is needed at the
next one, where digit i + 1 is predicted; the claim is that it can be read one character
earlier, and needs no looking ahead in lines whose units come first.
"""

import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import SEED, Largest, Smallest, Statistic
from icl.terminal import counted

TRAINED, UNTRAINED = "trained", "untrained"


def resampled(dataset: xr.Dataset) -> Resampled:
    """Returns R2 and ceilings, and R2 in every resample."""
    draws = dataset.r2_resampled.rename(resample="draw").astype(float)
    ceiling = dataset.ceiling
    return Resampled(
        xr.Dataset({"r2": dataset.r2, "ceiling": ceiling}),
        xr.Dataset({"r2": draws, "ceiling": ceiling}),
    )


def places(dataset: xr.Dataset) -> list[str]:
    """Returns the characters at which carry 0, 1, ... is claimed to be known."""
    answer = [f"s{i}" for i in range(int(dataset.attrs["digits"]) - 1)]
    return ["=", *answer]


def lead(dataset: xr.Dataset) -> Statistic:
    """Returns how much more a trained model's best layer says of each carry there."""
    at = places(dataset)

    def more(means: xr.Dataset) -> xr.DataArray:
        best = means.r2.max("layer")
        found = [
            best.sel(token=token, target=f"carry {column}", drop=True)
            for column, token in enumerate(at)
        ]
        carries = xr.concat(found, xr.Variable("column", range(len(at))))
        return carries.sel(model=TRAINED) - carries.sel(model=UNTRAINED)

    return more


def excess(means: xr.Dataset) -> xr.DataArray:
    """Returns how far R2 is above what can be known, in each trained model.

    The bound is one for every model. Models do not average here, nor stand for others:
    the mean of a few that differ widely may well exceed it in its interval.
    """
    above = (means.r2 - means.ceiling).sel(model=TRAINED)
    each = above if SEED in above.dims else above.expand_dims(SEED)
    return each.rename({SEED: "each"})


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the claims about probes of sums."""
    judge = Judge(
        "lee2023",
        "probed_sums",
        "ours, after Quirke and Barez 2023",
        note="The best layer, for both models. Intervals hold the probes fixed.",
        resampled=resampled(dataset),
    )
    count = counted(dataset.sizes.get(SEED, 1), "trained model")
    backwards = dataset.attrs["layout"] != "reverse"
    return [
        judge(
            "L16",
            "Every carry can be read where the digit of its own column is predicted, "
            "before it is needed: R2 is above that of an untrained model by over 0.3.",
            Smallest(lead(dataset), over="column"),
            ">",
            0.3,
            unit="difference of R2, linear probe",
            bar="ours",
            missing="Answers of this run do not begin with units." * backwards,
        ),
        judge(
            "L17",
            "No probe reads more than a reader of the line so far can know: R2 is "
            "above the ceiling by less than 0.03, in any model, at any layer and "
            "character.",
            Largest(excess, over=("each", "layer", "token", "target")),
            "<",
            0.03,
            unit="R2 - ceiling",
            bar="ours",
            interval_over=f"prompts, for each of {count}; simultaneous",
        ),
    ]
