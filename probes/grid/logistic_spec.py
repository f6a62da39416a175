"""Which logistic regression a grid is asked for, if it is one of the fast engine."""

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky")
"""The solvers of scikit-learn that go to the same optimum, intercepts unpenalised."""


class LogisticSpec(NamedTuple):
    """A kind of logistic regression.

    Attributes:
        strength: the inverse C of the penalty on squares of coefficients.
        tol: the largest derivative of the loss, per prompt, at the end.
        max_iter: the largest number of steps.
        standardize: whether features are divided by their standard deviation over the
            training prompts.
    """

    strength: float
    tol: float
    max_iter: int
    standardize: bool

    @classmethod
    def of(cls, probe: Any) -> "LogisticSpec | None":
        """Returns the logistic regression of a scikit-learn probe, None for any other.

        Such a probe is a `LogisticRegression`, alone or after a `StandardScaler`, with
        an intercept, a penalty on squares alone and no class weights.
        """
        steps = (
            [step for _, step in probe.steps] if type(probe) is Pipeline else [probe]
        )
        *before, last = steps
        scaled = [type(step) is StandardScaler for step in before]
        if type(last) is not LogisticRegression or scaled not in ([], [True]):
            return None
        settings = last.get_params()
        # The name of the penalty is on its way out of scikit-learn.
        squares = settings.get("penalty", "deprecated") in ("deprecated", "l2")
        squares = squares and settings["l1_ratio"] == 0
        plain = settings["fit_intercept"] and settings["class_weight"] is None
        plain = plain and settings["solver"] in SOLVERS and not settings["dual"]
        scales = all(step.with_mean and step.with_std for step in before)
        strength, tol, most = (settings[name] for name in ("C", "tol", "max_iter"))
        numbers = (strength, tol, most)
        if not (squares and plain and scales) or not all(map(_is_positive, numbers)):
            return None
        return cls(float(strength), float(tol), int(most), bool(before))


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < np.inf
