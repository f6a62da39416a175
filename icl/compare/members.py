"""How far is a learner from every member of every family?

One number per prompt and member, which `rank` and `effective` average. Hundreds of
members on thousands of prompts take seconds, as all linear ones share a decomposition.

Shapes: predictions (batch, length), distances (batch, learners).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from icl import checks, inference
from icl.arrays import shown
from icl.baselines import Learner
from icl.baselines.spectral import solutions
from icl.compare.distances import refuse_classes
from icl.prompts import Prompts, check_prompts

Predictor = Callable[[Prompts], Any] | Float[ArrayLike, "batch length"]
Families = Mapping[str, Sequence[Learner]]
Contexts = Sequence[int] | Int[np.ndarray, " contexts"]

FARTHEST = 1e30
"""Stands for the distance of learners that diverge: finite, in float32 too."""


def family_distances(
    learner: Predictor,
    prompts: Prompts,
    families: Families,
    *,
    contexts: Contexts | None = None,
    divide_by: int | float | None = None,
) -> Float[np.ndarray, "batch learners"]:
    """Returns a learner's distance from every member of every family, for each prompt.

    A distance is the mean over contexts of the squared difference of two predictions,
    divided by `divide_by`. Members are asked one after the other, on one decomposition
    of the prompts, and their predictions are not kept. A member that diverges has a
    distance of 1e30.

    Args:
        learner: as for `nearest`.
        prompts: likewise.
        families: lists of learners by name.
        contexts: as for `nearest`.
        divide_by: likewise.

    Returns:
        The members of the first family, then those of the second, and so on.

    Raises:
        ValueError: as `nearest`; a single family will do.
    """
    members = members_of(families)
    prompts = check_prompts(prompts)
    batch, length, dim = prompts.xs.shape
    chosen = _contexts(contexts, length, dim)
    divide_by = checks.finite_number(
        "divide_by", dim if divide_by is None else divide_by, positive=True
    )
    ours = _predictions(learner, prompts)[:, chosen]
    # What comes after the longest context matters to none of them.
    end = max(chosen) + 1
    prompts = Prompts(prompts.xs[:, :end], prompts.ys[:, :end])
    distances = np.empty((batch, len(members)))
    for column, solution in enumerate(solutions(members, prompts)):
        theirs = np.asarray(solution.predictions, dtype=float)[:, chosen]
        distances[:, column] = ((ours - theirs) ** 2).mean(axis=1) / divide_by
    return np.fmin(distances, FARTHEST)  # of NaN and a number, the number


def members_of(families: Families) -> list[Learner]:
    """Returns all members in order, once the families have been checked."""
    if not isinstance(families, Mapping) or not families:
        raise ValueError(
            "families must be a dictionary of lists of learners by name, such as "
            f"icl.compare.families(dim), got {shown(families)}."
        )
    for name, family in families.items():
        several = isinstance(family, Sequence) and len(family) > 0
        if not several or not all(isinstance(each, Learner) for each in family):
            raise ValueError(
                f"family {shown(name)} of families must be a list of at least one "
                f"learner, got {shown(family)}."
            )
    return [member for family in families.values() for member in family]


def _contexts(contexts: Contexts | None, length: int, dim: int) -> list[int]:
    """Returns the context lengths, which must be 0 to length - 1."""
    chosen = range(1, max(dim, 2)) if contexts is None else contexts
    several = isinstance(chosen, Sequence | np.ndarray) and not isinstance(chosen, str)
    if not several or getattr(chosen, "ndim", 1) != 1:
        raise ValueError(
            f"contexts must be a list of context lengths, got {shown(contexts)}."
        )
    indices = [checks.positive_int("contexts", i, minimum=0) for i in chosen]
    if not indices:
        raise ValueError("contexts must name at least one context length, got none.")
    if max(indices) >= length:
        raise ValueError(
            f"contexts must be at most {length - 1} in prompts of {length} pairs, got "
            f"{max(indices)}; give longer prompts, or name contexts that they have."
        )
    return indices


def _predictions(
    learner: Predictor, prompts: Prompts
) -> Float[np.ndarray, "batch length"]:
    refuse_classes("prompts.ys", np.asarray(prompts.ys, float))
    given = inference.predictions(learner, prompts) if callable(learner) else learner
    axes = "(batch, length), as prompts.ys,"
    name = "the predictions of learner"
    return np.asarray(checks.array(name, given, prompts.ys.shape, axes), dtype=float)
