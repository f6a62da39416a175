"""Which linear functions do learners follow? Their weights, fitted to predictions.

Every learner is asked at inputs of its own, so that no two fits share their errors.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from icl import checks, inference
from icl.arrays import shown
from icl.compare.distances import ImpliedWeights, implied_weights
from icl.prompts import Prompts, check_prompts
from icl.tasks.base import Task, check_is_task


def fitted_weights(
    learners: Sequence[Any],
    task: Task,
    prompts: Prompts,
    count: int | None,
    key: jax.Array,
) -> list[ImpliedWeights]:
    """Returns linear functions fitted to what each learner predicts at new inputs.

    Args:
        learners: transformers, or learners with a `predict_at`.
        task: its `sample_inputs` draws the new inputs.
        prompts: the contexts.
        count: new inputs per prefix; None is `inference.default_queries(dim)`.
        key: key of the new inputs.

    Raises:
        ValueError: the task does not say how inputs are drawn.
    """
    checks.of_kind("learners", learners, list | tuple, "a list of learners")
    for learner in learners:
        if not hasattr(learner, "predict_at"):
            raise ValueError(
                f"learners must have a method predict_at, got {shown(learner)}."
            )
    check_is_task(task)
    checks.typed_key("key", key)
    prompts = check_prompts(prompts)
    dim = prompts.xs.shape[-1]
    if count is not None:
        count = checks.positive_int("count", count)
    shape = (*prompts.ys.shape, count or inference.default_queries(dim))
    keys = jax.random.split(key, len(learners))
    fits = []
    for learner, own_key in zip(learners, keys, strict=True):
        at = task.sample_inputs(own_key, shape)
        answers = inference.predictions_at(learner, prompts, at)
        parts = [
            implied_weights(some, predicted)
            for (_, some), predicted in zip(
                inference.slices(prompts, at), answers, strict=True
            )
        ]
        fits.append(ImpliedWeights(*map(np.concatenate, zip(*parts, strict=True))))
    return fits
