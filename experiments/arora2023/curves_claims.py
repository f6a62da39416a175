"""Are the performance curves right? Claims S1 to S4 of the theory."""

import itertools
import math

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from icl.skills import divergence, entropy

ROUNDING = 1e-12


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what holds of the bound, the worst case and simulated failures."""
    judge = Judge(
        "arora2023",
        "curves",
        "Arora and Goyal 2023, Theorem 8 and section 4",
        subject="theory",
    )
    return [
        judge(
            "1",
            "The right side of the inequality as printed is the divergence "
            "KL(beta alpha || alpha).",
            printed_difference(),
            "<",
            ROUNDING,
            unit="largest difference in nats",
            bar="ours",
        ),
        *_order(judge, dataset),
        *_monotone(judge, dataset),
        judge(
            "4",
            "Pieces that are glued together fail as often as independent parts: "
            "1 - (1 - theta)^t (Corollary 13).",
            float(
                (abs(dataset.composite - dataset.should) / dataset.standard_error).max()
            ),
            "<",
            3,
            unit="largest difference in standard errors",
            bar="ours",
            interval_over="nothing: the standard error is the unit",
        ),
    ]


def printed_difference() -> float:
    """Returns the largest difference between the printed form and the divergence."""
    grid = itertools.product(np.linspace(0.01, 0.99, 50), np.linspace(0.01, 0.99, 50))
    return max(
        abs(
            entropy(q)
            - q * math.log(1 / p)
            - (1 - q) * math.log(1 / (1 - p))
            + divergence(q, p)
        )
        for q, p in grid
    )


def _order(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 2a and 2b: bound, worst case and adversary are in this order."""
    gap = (dataset.bound - dataset.worst_case) / dataset.theta
    over = (dataset.adversary - dataset.exact) / dataset.exact
    return [
        judge(
            "2a",
            "The bound lies above the exact worst case wherever there is one.",
            float(gap.min()),
            ">",
            0,
            unit="smallest difference of beta",
        ),
        judge(
            "2b",
            "No adversary in a simulated graph does worse than the exact worst case, "
            "to 1 %.",
            float(over.max()),
            "<",
            0.01,
            unit="largest relative difference",
            bar="ours",
            interval_over="nothing: one graph for each curve",
        ),
    ]


def _monotone(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 3a and 3b: more skills a piece help, more failures hurt."""
    by_k = dataset.worst_case.isel(cell=[0, 1, 2, 3])
    by_theta = dataset.worst_case.isel(cell=[2, 4, 5])
    return [
        judge(
            "3a",
            "More skills per piece make the worst case better, from k = 2 to 4, 8 and "
            "16, at every share of skills.",
            float(by_k.diff("cell").max()),
            "<=",
            ROUNDING,
            unit="largest rise of the failure rate",
        ),
        judge(
            "3b",
            "More failing pieces make the worst case worse, at every share of skills.",
            float(-by_theta.diff("cell").min()),
            "<=",
            ROUNDING,
            unit="largest fall of the failure rate",
        ),
    ]
