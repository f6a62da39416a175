"""When do single skills, and when do tuples emerge? Claims S7, S8, S9 and S12."""

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge

ALPHA = 0.4
"""The exponent of the law of quanta, less 1."""

LARGE = 1_000
"""The smallest corpus of the specification."""


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the toy shows, and what was put into it."""
    judge = Judge(
        "arora2023",
        "exposure",
        "Arora and Goyal 2023, sections 5 and 7",
        note="A toy that is told how fast a skill is learnt.",
        subject="theory",
    )
    slope = np.polyfit(np.log(dataset.learnt), np.log(dataset.left), 1)[0]
    k = dataset.attrs["k"]
    return [
        judge(
            "7",
            f"Tuples of {k} emerge later than single skills: half of them are there "
            "after more than three times as many texts.",
            passes(dataset.tuple_measure) / passes(dataset.single_measure),
            ">",
            3,
            unit="texts for half of the tuples / for half of the skills, by use",
            bar="ours",
            interval_over="nothing: one corpus of each size",
        ),
        *_new(judge, dataset),
        judge(
            "9",
            "Frequent skills are learnt first: the rank correlation of exposures and "
            "competence is above 0.5.",
            float(dataset.order.min()),
            ">",
            0.5,
            unit="smallest rank correlation",
            bar="ours",
            follows="competence is a rising function of exposures, by construction.",
        ),
        judge(
            "12",
            f"The mean of steps is a power law: its slope is that of the law of the "
            f"quanta, -{ALPHA:g}, to 5 %.",
            float(slope / -ALPHA - 1),
            "within",
            0.05,
            unit="relative difference of the slope",
            bar="ours",
            source="Michaud et al. 2023",
            note="A million quanta; with fewer, the cut tail makes it steeper.",
        ),
    ]


def _new(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 8a and 8b: most competent tuples are new."""
    kinds = {
        "8a": ("are the skills of no text", dataset.new_same),
        "8b": ("never had all of their skills in one text", dataset.new),
    }
    return [
        judge(
            id,
            f"More than half of the tuples that the learner can do {which}, after "
            f"every corpus of {LARGE:,} texts or more.",
            float(share.where(dataset.texts >= LARGE).min()),
            ">",
            0.5,
            unit="smallest share of competent tuples that are new",
            bar="ours, set after a first look",
            interval_over="nothing: one corpus of each size",
        )
        for id, (which, share) in kinds.items()
    ]


def passes(share: xr.DataArray, level: float = 0.5) -> float:
    """Returns after how many texts a share passes a level, by interpolation."""
    logs, values = np.log(share.texts.values), share.values
    above = np.flatnonzero(values >= level)
    if not len(above):
        return float("nan")
    first = above[0]
    if not first:
        return float(share.texts[0])
    part = (level - values[first - 1]) / (values[first] - values[first - 1])
    return float(np.exp(logs[first - 1] + part * (logs[first] - logs[first - 1])))
