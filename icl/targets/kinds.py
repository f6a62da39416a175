"""The three kinds of targets: functions of the context, of w, of other latents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from icl import checks
from icl.baselines import Learner, PrefixSolution


@dataclass(frozen=True)
class OfContext:
    """A quantity that the pairs so far determine.

    Attributes:
        name: name of the target.
        function: from xs (batch, length, dim) and ys (batch, length), both float64
            NumPy, and what `learner` knows after each prefix (None without a learner),
            to values (batch, length, q).
        learner: the learner whose weights or predictions it needs, if any.
    """

    name: str
    function: Callable[[np.ndarray, np.ndarray, PrefixSolution | None], Any]
    learner: Learner | None = None

    def __post_init__(self) -> None:
        _check_target(self)
        if self.learner is not None:
            check_learner(self.learner)


@dataclass(frozen=True)
class OfWeights:
    """A quantity that only the true w determines.

    Attributes:
        name: name of the target.
        function: from weights (..., dim), float64 NumPy, to values (..., q). It is
            called on the true weights and on draws of a posterior.
    """

    name: str
    function: Callable[[np.ndarray], Any]

    def __post_init__(self) -> None:
        _check_target(self)


@dataclass(frozen=True)
class OfLatents:
    """A quantity that other latents of a prompt determine, such as a tree's root.

    Attributes:
        name: name of the target.
        function: from `Prompts.latents`, NumPy arrays by name, to values (batch, q).
    """

    name: str
    function: Callable[[Mapping[str, np.ndarray]], Any]

    def __post_init__(self) -> None:
        _check_target(self)


Target = OfContext | OfWeights | OfLatents


def _check_target(target: Target) -> None:
    checks.of_kind("name", target.name, str, "the name of a target")
    checks.of_kind("function", target.function, Callable, "a function")


def check_learner(learner: Learner) -> Learner:
    """Returns the learner, and refuses what is none."""
    wanted = "a learner of icl.baselines, such as LeastSquares()"
    checks.of_kind("learner", learner, Learner, wanted)
    return learner
