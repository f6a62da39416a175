"""The evidence code of a target: Bayesian ridge regression."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.linear_model import BayesianRidge
from sklearn.preprocessing import StandardScaler

from probes.codelength.result import FLOOR, Codelength, paired, refuse_constants, summed
from probes.groups import repeated_rows


def evidence_codelength(features: ArrayLike, target: ArrayLike) -> Codelength:
    """Returns the bits of the evidence code: Bayesian ridge for each coordinate.

    The model has standardised features, with coefficients N(0, 1 / lambda), an error of
    precision alpha and a flat prior on the intercept: that leaves the differences
    between prompts, which are Gaussian with covariance I / alpha + X X' / lambda in any
    orthonormal basis of them. Both precisions take their most probable values under a
    flat prior (MacKay 1992; `sklearn.linear_model.BayesianRidge`, the constants of the
    likelihood included and its hyper-priors' terms taken out). The intercept code is
    the same with lambda infinite. The bits to send mean, alpha and lambda are left out:
    mean and alpha cost both codes alike; lambda, about log2(prompts) / 2 per
    coordinate, only this one. So features that say nothing save about 0.

    The code does not depend on the order of prompts, and takes them as independent: for
    prompts that share a target use `online_codelength`.

    Args:
        features: hidden states, or other inputs of the probe, (prompts, features).
        target: what is coded, (prompts, q).

    Raises:
        ValueError: shapes that do not match, NaN or infinity, a constant target, one
            whose rows repeat each other, fewer than 3 prompts.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> states = rng.normal(size=(1000, 4))
        >>> target = states[:, :1] + rng.normal(size=(1000, 1))  # R2 = 1/2
        >>> round(evidence_codelength(states, target).saved_per_prompt, 1)
        0.5
    """
    x, y = paired(features, target)
    if len(y) < 3:
        raise ValueError(f"evidence needs at least 3 prompts, got {len(y)}.")
    variance = y.var(axis=0, ddof=1)
    refuse_constants(variance, y, "over prompts")
    repeated_rows({"y": y})
    # The user may have asked scikit-learn for tables of pandas.
    scaler: Any = StandardScaler().set_output(transform="default")
    x = _contrasts(scaler.fit_transform(x))
    units = _contrasts(y) / np.sqrt(variance)
    # Bits of a density per unit of the target, not per standard deviation.
    scale = len(units) * np.log2(variance) / 2
    bits = np.array([-_log_evidence(x, unit) for unit in units.T]) / np.log(2) + scale
    intercept_bits = len(units) * np.log2(2 * np.pi * np.e) / 2 + scale
    saved = intercept_bits - bits
    return summed(bits.sum(), intercept_bits.sum(), saved, len(y), np.nan, np.nan)


def _contrasts(
    values: Float[np.ndarray, "prompts columns"],
) -> Float[np.ndarray, "prompts-1 columns"]:
    """Returns the values in an orthonormal basis of the differences between rows.

    The basis is that of `scipy.linalg.helmert`.
    """
    values = values - values.mean(axis=0)
    k = np.arange(1, len(values))[:, None]
    return (values.cumsum(axis=0)[:-1] - k * values[1:]) / np.sqrt(k * (k + 1))


def _log_evidence(
    features: Float[np.ndarray, "contrasts features"],
    target: Float[np.ndarray, " contrasts"],
) -> float:
    """Returns the log evidence of a target of mean square 1, in nats.

    Both precisions take their most probable values.
    """
    # Flat but for what keeps alpha below 1 / FLOOR, and lambda from 0 / 0.
    rate = FLOOR * len(target) / 2
    priors = {"alpha_1": 0.0, "alpha_2": rate, "lambda_1": FLOOR, "lambda_2": FLOOR}
    settings: Any = {
        "fit_intercept": False,
        "compute_score": True,
        "max_iter": 1_000,
        "tol": 1e-8,
    }
    fit: Any = BayesianRidge(**priors, **settings)
    fit.fit(features, target)
    hyper = FLOOR * (np.log(fit.lambda_) - fit.lambda_) - rate * fit.alpha_
    return float(fit.scores_[-1] - hyper)
