"""Is the Bayes predictor the nearest? The claims of Figure 2: claims 10-13.

The claims are about distances between transformers and ridge predictors, which
`fig2_measure` measures: each is the mean over n = 1 .. d-1 of
(prediction - prediction)^2 / d. The median of these over prompts is taken, because
their expectation is infinite in the noisy columns of the least-squares row, like
E tr (X'X)^-1 at n = d-1.

The diagonal is nearest where the largest of its ratios is below 1: its distance in
units of the distances to each of the other predictors. With several seeds each model
has its own ratios, which are averaged in logarithms.

Two claims are ours: that the diagonal is nearest by a mean that exists, the one over
n = 1 .. d-3 (`noise.mean`), and that the published values contradict their own
definition (`noise.published`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Largest, Positive, Smallest, Statistic
from icl.compare import lowest

AVERAGES: Mapping[Literal["mean", "median"], list[str]] = {
    "median": ["distance", "bayes", "distance_by_penalty", "bayes_to_ols"],
    "mean": ["early_distance", "ols_to_ridge"],
}
"""The variables of the Dataset by the average over prompts that is taken of them."""


def fraction(ratio: float) -> str:
    """Returns a noise level or a lambda as the paper writes it.

    Example:
        >>> [fraction(x) for x in (0.0, 1 / 9, (0.5 / 0.75) ** 2)]
        ['0', '1/9', '4/9']
    """
    return str(Fraction(ratio).limit_denominator(1024))


def predictor(ratio: float) -> str:
    """Returns the name of the ridge predictor of a lambda.

    Example:
        >>> predictor(0.0), predictor(0.25)
        ('OLS', 'Ridge(1/4)')
    """
    return f"Ridge({fraction(ratio)})" if ratio else "OLS"


def failures(dataset: xr.Dataset) -> list[str]:
    """Returns the models whose training failed, in words."""
    failed = dataset.distance.isnull().all(("alpha", "prompt"))
    return [
        f"sigma^2/tau^2 = {fraction(noise)}, seed {seed}"
        for noise in dataset.noise.values
        for seed in dataset.seed.values
        if failed.sel(noise=noise, seed=seed)
    ]


# --- statistics over prompts, seeds averaged ---


def resample(dataset: xr.Dataset) -> Resampled:
    """Returns averages of what `fig2_measure` measured, and of every resample."""
    parts = [
        intervals.resample(
            dataset[names],
            ("prompt",),
            resamples=int(dataset.attrs["resamples"]),
            statistic=average,
        )
        for average, names in AVERAGES.items()
    ]
    means, draws, _ = zip(*parts, strict=True)
    return Resampled(xr.merge(means), xr.merge(draws))


def diagonal(distance: xr.DataArray) -> xr.DataArray:
    """Returns the distance to the ridge predictor of each column's own noise."""
    own = xr.DataArray(distance.noise.values, dims="noise")
    return distance.sel(noise=own, alpha=own).drop_vars("alpha")


def to_others(distance: xr.DataArray) -> xr.DataArray:
    """Returns each column's diagonal in units of the other distances, over `other`."""
    size = distance.sizes["alpha"]
    columns = [
        distance.sel(noise=noise)
        .isel(alpha=np.flatnonzero(distance.alpha.values != noise))
        .drop_vars("alpha")
        .rename(alpha="other")
        for noise in distance.noise.values
    ]
    others = xr.concat(columns, distance.noise).assign_coords(other=range(size - 1))
    return diagonal(distance) / others


def to_ols(distance: xr.DataArray) -> xr.DataArray:
    """Returns each column's diagonal in units of the distance to OLS."""
    return diagonal(distance) / distance.sel(alpha=0.0, drop=True)


def steepness(distance: xr.DataArray) -> xr.DataArray:
    """Returns each column's ratios of neighbouring distances, near to far.

    They are over `alpha`, the lower of the two neighbours. Of these, the near one is on
    the side of the diagonal. Where the ratio is below 1, distances in the column only
    grow away from the diagonal.
    """
    lower = distance.isel(alpha=slice(None, -1))
    upper = distance.isel(alpha=slice(1, None)).assign_coords(alpha=lower.alpha)
    beyond = lower.alpha >= lower.noise
    near, far = xr.where(beyond, lower, upper), xr.where(beyond, upper, lower)
    return near / far


def best_penalty(path: xr.DataArray) -> xr.DataArray:
    """Returns the lambda that fits best, between the values of the grid too.

    It is the vertex of a parabola in log(lambda) through the nearest point of the grid
    and its two neighbours; at an end of the grid, it is that end. It is NaN where a
    distance is NaN.

    Args:
        path: the distances along a dimension `penalty`, and any others.
    """
    known = path.notnull().all("penalty")
    logs = np.log(path.penalty.values)
    vertices = xr.apply_ufunc(
        lambda curves: lowest(logs, curves)[0],
        path.where(known, 0.0),
        input_core_dims=[["penalty"]],
    )
    return np.exp(vertices).where(known)


def allowed(published: xr.DataArray) -> xr.DataArray:
    """Returns how far OLS may be from each predictor if both are so near to one model.

    The root of a mean squared difference is a norm, so the triangle inequality bounds
    it: SPD(a, b) <= (sqrt SPD(a, model) + sqrt SPD(model, b))^2.

    Args:
        published: a column of the published table, over `alpha`.
    """
    return (published.sel(alpha=0.0, drop=True) ** 0.5 + published**0.5) ** 2


# --- the claims ---


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 10-13 of the paper, and two claims of ours about its table.

    Args:
        dataset: what `fig2_measure.measure` returns.
    """
    judge = Judge(
        "akyurek2023",
        "fig2",
        "Akyürek et al. 2023, Fig. 2",
        note=_about_models(dataset),
        resampled=resample(dataset),
    )
    return [
        *_nearest_in_columns(judge, dataset),
        _best_penalty_grows(judge, dataset.attrs["dim"]),
        _grows_from_diagonal(judge, dataset.attrs["dim"]),
        *_factors_to_ols(judge, dataset),
        *_limit_without_noise(judge, dataset),
        *_table_otherwise(replace(judge, series="noise"), dataset),
    ]


def _unit(d: int) -> str:
    """Returns what a distance at dimension d is, in words."""
    span = f"1..{d - 1}" if d > 2 else "1"
    return f"medians over prompts of the mean SPD for n = {span}"


def _nearest_in_columns(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 10, for each column of the table."""
    d = dataset.attrs["dim"]
    predictors = ", ".join(map(predictor, dataset.alpha.values))
    return [
        judge(
            f"10{letter}",
            f"Trained and tested at sigma^2/tau^2 = {fraction(ratio)} (d = {d}), of "
            f"{predictors} the nearest is the Bayes predictor, {predictor(ratio)}.",
            Largest(_in_column(to_others, ratio), over="other"),
            "<",
            1.0,
            unit=f"ratio of {_unit(d)}: to it and to the nearest of the others",
        )
        for letter, ratio in zip("abcde", dataset.noise.values, strict=True)
    ]


def _in_column(
    ratios: Callable[[xr.DataArray], xr.DataArray], noise: float
) -> Statistic:
    """Returns the ratio of distances in one column of the table."""
    return Positive(lambda means: ratios(means.distance).sel(noise=noise))


def _best_penalty_grows(judge: Judge, d: int) -> Claim:
    """Returns claim 11: the best lambda grows with the noise."""
    return judge(
        "11",
        f"The lambda of the ridge predictor that fits best grows with "
        f"sigma^2/tau^2, from each column to the next (d = {d}).",
        Smallest(
            Positive(lambda means: _growth(best_penalty(means.distance_by_penalty))),
            over="noise",
        ),
        ">",
        1.0,
        unit="smallest ratio of lambda, of a column to the one before",
    )


def _grows_from_diagonal(judge: Judge, d: int) -> Claim:
    """Returns claim 12, for all columns."""
    return judge(
        "12a",
        "In every column distances grow away from the diagonal, from one "
        f"predictor to the next (d = {d}).",
        Largest(
            Positive(lambda means: steepness(means.distance)), over=("noise", "alpha")
        ),
        "<",
        1.0,
        unit=f"largest ratio of {_unit(d)}: nearer to farther from the diagonal",
    )


def _factors_to_ols(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 12, by how much OLS is further away than the Bayes predictor."""
    d, unit = dataset.attrs["dim"], _unit(dataset.attrs["dim"])
    _, low, *_, before, high = dataset.noise.values
    note = f"The factor measures how near to Bayes the model is. {judge.note}".strip()
    noisiest = {"noise": [before, high]}
    return [
        judge(
            "12b",
            f"At sigma^2/tau^2 = {fraction(low)} OLS is at least 4 times as far as the "
            f"Bayes predictor (d = {d}).",
            _in_column(to_ols, low),
            "<=",
            1 / 4,
            unit=f"ratio of {unit}: to the Bayes predictor and to OLS",
            note=note,
        ),
        judge(
            "12c",
            f"At sigma^2/tau^2 = {fraction(before)} and {fraction(high)} OLS is at "
            f"least 40 times as far as the Bayes predictor (d = {d}).",
            Largest(
                Positive(lambda means: to_ols(means.distance).sel(noisiest)),
                over="noise",
            ),
            "<=",
            1 / 40,
            unit=f"larger ratio of {unit}: to the Bayes predictor and to OLS",
            note=note,
        ),
    ]


def _limit_without_noise(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns claim 13: without noise, the Bayes predictor is OLS."""
    d, low = dataset.attrs["dim"], dataset.noise.values[1]
    return [
        judge(
            "13a",
            "As the noise goes to zero the Bayes predictor tends to OLS: their "
            "distance falls with the fourth power of sigma, to within a half "
            f"(d = {d}).",
            lambda means: _order(means.bayes_to_ols) - 4,
            "within",
            0.5,
            unit="exponent in the last halving of sigma, difference to 4; "
            "of the predictors, not the model",
            bar="ours",
            subject="theory",
            note="The squared difference of two ridge predictors is of second order in "
            "lambda = sigma^2/tau^2.",
        ),
        judge(
            "13b",
            "And so does the transformer: trained without noise, its best-fitting "
            f"lambda is closer to 0 than to {fraction(low)} (d = {d}).",
            lambda means: best_penalty(means.distance_by_penalty).sel(noise=0.0),
            "<",
            low / 2,
            unit="lambda of the nearest ridge predictor",
            bar="ours",
        ),
    ]


def _table_otherwise(judge: Judge, dataset: xr.Dataset) -> list[Claim]:
    """Returns two claims of ours: by another mean, and about the published table."""
    d, means = dataset.attrs["dim"], dataset[AVERAGES["mean"]]
    resamples = int(dataset.attrs["resamples"])
    judge = replace(
        judge, resampled=intervals.resample(means, ("prompt",), resamples=resamples)
    )
    return [
        judge(
            "mean",
            "The median does not decide this: by the mean over prompts, for n = 1..d-3 "
            f"(d = {d}), where it exists, the Bayes predictor is nearest everywhere.",
            Largest(
                Positive(lambda means: to_others(means.early_distance)),
                over=("noise", "other"),
            ),
            "<",
            1.0,
            unit="largest ratio of mean SPD: to the diagonal and to the nearest other",
            note=judge.note if d > 3 else "This run has no such n.",
        ),
        judge(
            "published",
            "The published values are not what they are said to be: without noise, at "
            "d = 8 and averaged over n = 1..7, OLS is farther from each of the ridge "
            "predictors than two distances to one and the same model allow.",
            Smallest(
                Positive(
                    lambda means: _to_allowed(means.ols_to_ridge, dataset.published)
                ),
                over="alpha",
            ),
            ">",
            1.0,
            unit="least ratio of mean SPD / d to the bound by the triangle inequality",
            subject="theory",
            note="Of the predictors; no model is involved. In the noisy columns the "
            "mean that is to be in the row of OLS does not exist.",
        ),
    ]


def _about_models(dataset: xr.Dataset) -> str:
    """Returns what the reader must know about failed runs."""
    failed = failures(dataset)
    return f"Training failed: {'; '.join(failed)}." if failed else ""


def _growth(penalty: xr.DataArray) -> xr.DataArray:
    """Returns the factors by which lambda grows from one column to the next."""
    return (penalty / penalty.shift(noise=1)).isel(noise=slice(1, None))


def _order(distance: xr.DataArray) -> xr.DataArray:
    """Returns the power of sigma with which distances fall at its smallest values."""
    last, before = distance.isel(sigma=-1), distance.isel(sigma=-2)
    halving = float(distance.sigma[-2] / distance.sigma[-1])
    return np.log(before / last) / np.log(halving)


def _to_allowed(distance: xr.DataArray, published: xr.DataArray) -> xr.DataArray:
    """Returns distances of predictors in units of what the published ones allow."""
    ridge = distance.isel(alpha=slice(1, None))
    return ridge / allowed(published.sel(noise=0.0, drop=True))
