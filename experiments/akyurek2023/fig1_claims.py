"""What does the paper claim about predictions without noise? Claims 1-8, as numbers.

They are about distances by number of examples n, divided by d, which `fig1` measures.
The paper states them for d = 8 and n = 1..14; here the range of n scales with d. Where
it says "almost every", "close" or "near zero" without a number, the threshold is ours.
"""

import math

import numpy as np
import xarray as xr

from experiments.akyurek2023.learners import GD_AND_SGD
from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim, Relation
from experiments.engine.claims.intervals import Resampled, Statistic
from experiments.engine.claims.judge import judge

KNN = ("3-NN weighted", "3-NN uniform")


def resample(dataset: xr.Dataset) -> Resampled:
    """Means over prompts of `spd`, `ilwd` and `ilwd_exact`, all divided by d."""
    variables = dataset[["spd", "ilwd", "ilwd_exact"]] / dataset.attrs["dim"]
    resamples = int(dataset.attrs["resamples"])
    return intervals.resample(variables, ("prompt", "queried"), resamples=resamples)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Claims 1-8 of the paper, and the bar that this repository sets itself."""
    resampled, d = resample(dataset), int(dataset.attrs["dim"])
    noisy = dataset.attrs["noise_std"] > 0
    longest = int(resampled.means.context[-1])
    note = "Claimed for data without noise; these have some." if noisy else ""

    def span(start: float, stop: float) -> np.ndarray:
        """Numbers of examples from `start` to `stop`, as far as the prompts reach."""
        return np.arange(max(1, math.ceil(start)), min(math.floor(stop), longest) + 1)

    def claim(
        number: str,
        text: str,
        n: np.ndarray,
        statistic: Statistic,
        relation: Relation,
        threshold: float,
        unit: str,
        source: str = "Akyürek et al. 2023, Fig. 1",
    ) -> Claim:
        where = f"n = {n[0]}..{n[-1]}" if len(n) else "no n of this run"
        return judge(
            number,
            text.format(n=where),
            n,
            statistic,
            relation,
            threshold,
            resampled=resampled,
            source=source,
            unit=unit,
            figure="fig1",
            note=note,
        )

    most, below_d, around_d = (
        span(1, 7 / 4 * d),
        span(1, d - 1),
        span(3 / 4 * d, math.ceil(9 / 8 * d)),
    )
    ours = "The bar of this repository"
    return [
        claim(
            "akyurek2023.1",
            "For almost every n the transformer predicts as OLS does: SPD / d is below "
            "0.01 for at least 90 % of {n}.",
            most,
            lambda means: _mean(_spd(means, "OLS") < 0.01),
            ">=",
            0.9,
            "share of n",
        ),
        claim(
            "akyurek2023.2",
            "For almost every n its implied weights are those of OLS: ILWD / d is "
            "below 0.01 for at least 90 % of {n}.",
            span(3 / 8 * d, 13 / 8 * d),
            lambda means: _mean(means.ilwd.sel(pair="OLS, ICL") < 0.01),
            ">=",
            0.9,
            "share of n",
        ),
        claim(
            "akyurek2023.3",
            "For each of {n} it is closer to OLS than to GD(.01), GD(.02), SGD(.01), "
            "SGD(.03) or 3-NN of either kind.",
            most,
            lambda means: (
                _spd(means, "OLS") / _spd(means, *GD_AND_SGD, *KNN).min("pair")
            ).max("context"),
            "<",
            1.0,
            "largest ratio over n of SPD to OLS and to the nearest other",
        ),
        claim(
            "akyurek2023.4a",
            "It is closer to OLS than to Ridge(0.1) on average over {n}, below d.",
            below_d,
            lambda means: _mean(_spd(means, "Ridge(0.1)") - _spd(means, "OLS")),
            ">",
            0.0,
            "mean difference of SPD / d, same prompts",
        ),
        claim(
            "akyurek2023.4b",
            "It is closer to OLS than to Ridge(0.1) on average over {n}, around d, "
            "where the two can be told apart.",
            around_d,
            lambda means: _mean(_spd(means, "Ridge(0.1)") - _spd(means, "OLS")),
            ">",
            0.0,
            "mean difference of SPD / d, same prompts",
        ),
        claim(
            "akyurek2023.5",
            "k-NN is among the worst fits: on average over {n} the better 3-NN is "
            "further away than any of GD(.01), GD(.02), SGD(.01), SGD(.03).",
            below_d,
            lambda means: (
                _mean(_spd(means, *KNN)).min("pair")
                / _mean(_spd(means, *GD_AND_SGD)).max("pair")
            ),
            ">",
            1.0,
            "ratio of mean SPD",
        ),
        claim(
            "akyurek2023.6a",
            "With fewer than d examples it follows the OLS solution of minimum norm: "
            "over {n} it is at least ten times closer to it than to the truth.",
            below_d,
            lambda means: _mean(_spd(means, "OLS")) / _mean(_risk(means)),
            "<",
            0.1,
            "mean SPD(OLS, ICL) / mean SPD(ICL, Y)",
        ),
        claim(
            "akyurek2023.6b",
            "With fewer than d examples its error is that of minimum norm, 1 - n/d "
            "(divided by d), within 10 % for each of {n}. Measured against the error "
            "of OLS on the same prompts, whose expectation that is.",
            below_d,
            lambda means: abs(_risk(means) / means.spd.sel(pair="OLS, Y") - 1).max(
                "context"
            ),
            "<=",
            0.1,
            "largest relative difference of SPD to Y",
        ),
        claim(
            "akyurek2023.7",
            "With more than d examples its error is near zero: SPD(ICL, Y) / d is "
            "below 0.01 for each of {n}.",
            span(5 / 4 * d, 2 * d),
            lambda means: _risk(means).max("context"),
            "<",
            0.01,
            "largest SPD / d",
        ),
        claim(
            "akyurek2023.8",
            "SPD and ILWD are one number for two linear learners, here OLS and "
            "GD(.01): averaged over {n} they differ by less than 10 %.",
            span(1, 2 * d),
            lambda means: abs(
                _mean(means.spd.sel(pair="OLS, GD(0.01)")) / _mean(means.ilwd_exact) - 1
            ),
            "<",
            0.1,
            "relative difference; checks the measures, not the model",
            "Akyürek et al. 2023, Eqs. 15-17",
        ),
        claim(
            "bar.1",
            "Averaged over {n}, SPD / d to OLS is below 0.05.",
            span(1, 2 * d),
            lambda means: _mean(_spd(means, "OLS")),
            "<",
            0.05,
            "mean SPD / d",
            ours,
        ),
        claim(
            "bar.2",
            "Averaged over {n}, it is at least five times closer to OLS than to any "
            "learner of the families SGD, GD (the optimal rate included) and k-NN.",
            span(1, 2 * d),
            lambda means: (
                _mean(_spd(means, "OLS"))
                / _mean(_spd(means, *GD_AND_SGD, "GD(optimal)", *KNN)).min("pair")
            ),
            "<",
            0.2,
            "ratio of mean SPD to OLS and to the nearest other",
            ours,
        ),
    ]


def _spd(means: xr.Dataset, *names: str) -> xr.DataArray:
    """SPD of learners to the transformer, with a dimension "pair" if several."""
    pairs = [f"{name}, ICL" for name in names]
    return means.spd.sel(pair=pairs if len(pairs) > 1 else pairs[0])


def _risk(means: xr.Dataset) -> xr.DataArray:
    """SPD of the transformer to the truth."""
    return means.spd.sel(pair="ICL, Y")


def _mean(values: xr.DataArray) -> xr.DataArray:
    return values.mean("context")
