"""Is a training set known long before the rest, and what comes between? Claim 14.

`KINDS` are the pairs of numbers: those that are trained on; others whose mirror image
is; and those where neither is.
"""

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.crossings import crossed
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge

KINDS = ("trained", "mirrored", "lone")

KNOWN, ADDS = 0.99, 0.9
"""The shares of right answers from which on a training set is known, and the rest."""


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns means over pairs, and those of every resample."""
    kept = dataset[list(KINDS)]
    return intervals.resample(kept, [f"{kind}_pair" for kind in KINDS])


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 14a, b and c."""
    steps = int(dataset.attrs["steps"])
    judge = Judge(
        "emergence",
        "grokking",
        "Power et al. 2022",
        note=(
            f"Sums modulo {dataset.attrs['p']}, of which a share of "
            f"{dataset.attrs['fraction']:g} is trained on for {steps:,} steps."
        ),
        resampled=resample(dataset),
    )
    with_decay = {"decay": float(dataset.decay[0]), "drop": True}
    without = {"decay": float(dataset.decay[1]), "drop": True}
    pairs = {kind: dataset.sizes[f"{kind}_pair"] for kind in KINDS}

    def unseen(means: xr.Dataset) -> xr.DataArray:
        both = means.mirrored * pairs["mirrored"] + means.lone * pairs["lone"]
        return both / (pairs["mirrored"] + pairs["lone"])

    def delay(means: xr.Dataset) -> xr.DataArray:
        own = means.sel(**with_decay)
        known = crossed(own.trained, "step", KNOWN)
        ratio = crossed(unseen(own), "step", ADDS) / known
        return xr.apply_ufunc(np.log2, ratio)

    final = judge.resampled.means.isel(step=-1)
    never = delay(judge.resampled.means).isnull().any()
    return [
        judge(
            "14a",
            f"{ADDS:.0%} of the other pairs are right after more than 4 times as many "
            f"steps as {KNOWN:.0%} of the training set.",
            delay,
            ">",
            2.0,
            unit="log2 of a ratio of steps",
            bar="ours, set after a first look",
            missing=(
                "A model does not know the training set, or the rest, at the last "
                "checkpoint, or knows it at the first."
                if never
                else ""
            ),
        ),
        judge(
            "14b",
            "A pair that is not trained on is right earlier if its mirror image b + a "
            "is: averaged over the checkpoints, more of them are right.",
            lambda means: (means.mirrored - means.lone).sel(**with_decay).mean("step"),
            ">",
            0.0,
            unit="difference of shares of right answers, mean over checkpoints",
            source="ours",
            note=f"{judge.note} Checkpoints are evenly spaced in the log of the step.",
        ),
        judge(
            "14c",
            "Weight decay makes the rest known: at the end more of the other pairs "
            "are right than without it.",
            lambda means: (
                unseen(means).isel(step=-1, drop=True).sel(**with_decay)
                - unseen(means).isel(step=-1, drop=True).sel(**without)
            ),
            ">",
            0.0,
            unit="difference of shares of right answers after training",
            source="Power et al. 2022; Nanda et al. 2023",
            missing=(
                "A model does not know its training set at the end."
                if float(final.trained.min()) < KNOWN
                else ""
            ),
        ),
    ]
