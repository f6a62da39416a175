"""Which ridge regression a grid is asked for: its penalties, and whether it scales."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

ALPHAS = tuple(10.0**power for power in range(-4, 7))


class RidgeSpec(NamedTuple):
    """A kind of ridge regression.

    Attributes:
        alphas: penalties to choose from; a single one is taken as it is.
        standardize: whether features are divided by their standard deviation over the
            training prompts.
    """

    alphas: tuple[float, ...] = ALPHAS
    standardize: bool = True

    @classmethod
    def of(cls, probe: Any) -> "RidgeSpec | None":
        """Returns the ridge regression of a scikit-learn probe, None for any other.

        Such a probe is a `Ridge` or a `RidgeClassifier`, which fits a `Ridge` to labels
        coded as -1 and 1, alone or after a `StandardScaler`, with one alpha above 0, an
        intercept, coefficients of either sign and no class weights.
        """
        steps = (
            [step for _, step in probe.steps] if type(probe) is Pipeline else [probe]
        )
        *before, last = steps
        scaled = [type(step) is StandardScaler for step in before]
        if type(last) not in (Ridge, RidgeClassifier) or scaled not in ([], [True]):
            return None
        settings = last.get_params()
        plain = settings["fit_intercept"] and not settings["positive"]
        plain = plain and settings.get("class_weight") is None
        scales = [step.with_mean and step.with_std for step in before]
        alpha = settings["alpha"]
        if not plain or not all(scales) or np.ndim(alpha) or not alpha > 0:
            return None
        return cls((float(alpha),), standardize=bool(before))
