"""The weights of prompts: how much each of them counts, in fits, scores and resamples.

A prompt of weight 2 counts as the same prompt twice, in one group; a prompt of weight 0
is as good as absent: no split, control or error knows it, and a function of rows is not
asked for it. Weights are not scaled: a penalty is held against their sum, as it is
against the number of prompts where there are none.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int, Shaped
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import (
    get_tags,  # pyrefly: ignore[missing-module-attribute]
)
from sklearn.utils.validation import has_fit_parameter

from probes import checks
from probes.controls import donors


class SampleWeights(NamedTuple):
    """The weights of all prompts.

    Attributes:
        values: a weight for each prompt; None where all count alike.
        rows: indices of the prompts whose weight is above 0, ascending; None where
            that is all of them.
    """

    values: Float64[np.ndarray, " prompts"] | None
    rows: Int[np.ndarray, " counted"] | None

    @classmethod
    def of(cls, sample_weight: Any, prompts: int) -> "SampleWeights":
        """Reads the weights that a user gave.

        Raises:
            ValueError: anything but one finite number of at least 0 for each prompt, or
                no number above 0.
        """
        if sample_weight is None:
            return cls(None, None)
        values = checks.sample_weight(sample_weight, prompts)
        return cls(values, None if values.all() else np.flatnonzero(values))

    def filled(self, target: Any) -> Any:
        """Returns a target in which prompts that do not count repeat one that does.

        What stands there, NaN perhaps, is not looked at.
        """
        if self.values is None or self.rows is None:
            return target
        if np.ndim(target) == 0 or len(target) != len(self.values):
            return target  # others refuse it
        source = np.full(len(self.values), self.rows[0])
        source[self.rows] = self.rows
        return target[source]

    def counted(self, target: np.ndarray) -> np.ndarray:
        """Returns the rows of a target whose prompts count."""
        return target if self.rows is None else target[self.rows]

    def donors(
        self, groups: Shaped[np.ndarray, " prompts"], seed: int
    ) -> Int[np.ndarray, " prompts"]:
        """Returns `probes.donors` of the prompts that count; others keep their own."""
        if self.rows is None:
            return donors(groups, seed)
        found = np.arange(len(groups))
        found[self.rows] = self.rows[donors(groups[self.rows], seed)]
        return found


def fit_weighted(
    probe: Any,
    features: Float64[np.ndarray, "train features"],
    target: np.ndarray,
    weights: Float64[np.ndarray, " train"] | None,
) -> Any:
    """Fits an estimator with a weight for each row, and returns it.

    Raises:
        ValueError: the estimator, or a step of a pipeline, takes no weights.
    """
    if weights is None:
        return probe.fit(features, target)
    weights = weights.copy()  # some estimators work in place
    if type(probe) is not Pipeline:
        _refuse_without_weights(probe)
        return probe.fit(features, target, sample_weight=weights)
    given = {}
    for name, step in probe.steps:
        if _has_nothing_to_fit(step):
            continue
        _refuse_without_weights(step)
        given[f"{name}__sample_weight"] = weights
    return probe.fit(features, target, **given)


def _has_nothing_to_fit(step: Any) -> bool:
    """Returns whether a step of a pipeline learns nothing from data."""
    return not isinstance(step, BaseEstimator) or not get_tags(step).requires_fit


def _refuse_without_weights(estimator: Any) -> None:
    """Refuses an estimator whose `fit` takes no weights."""
    if not has_fit_parameter(estimator, "sample_weight"):
        raise ValueError(
            f"{type(estimator).__name__} takes no sample_weight in its fit; give a "
            "probe that does, such as the default one or Ridge(), or leave "
            "sample_weight out and repeat prompts, each copy in the group of the first."
        )
