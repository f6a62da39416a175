"""The engines of a grid, and which one fits a given probe.

An engine fits one probe for every layer, token and target and counts its guesses on the
test prompts in. Ridge regression, of numbers or of labels, needs one pass over the
prompts; logistic regression, pooled probes and all other regressors and classifiers
need all training prompts at once, and so an array of hidden states.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from probes import cautions, checks
from probes.arrays import shown
from probes.grid import classifiers, logistic, pooled_prefixes, regressors, ridge
from probes.grid.columns import Columns
from probes.grid.labels import LabelBoard
from probes.grid.logistic_spec import LogisticSpec
from probes.grid.problem import Problem
from probes.grid.ridge_spec import ALPHAS, RidgeSpec
from probes.grid.scoreboard import Board, Scoreboard
from probes.grid.sources import ArraySource
from probes.pooled import PooledClassifier, PooledProbe

CELL = ("layer", "token", "target")
VALIDATION = 0.2
"""The usual share of the training prompts that validate."""

Variables = dict[str, tuple[tuple[str, ...], np.ndarray]]


@runtime_checkable
class Engine(Protocol):
    """A way to fit and score all probes of a grid."""

    @property
    def chooses(self) -> bool:
        """Whether prompts choose a penalty or stop the training."""
        ...

    @property
    def classifies(self) -> bool:
        """Whether the targets are labels."""
        ...

    def validation_share(self, asked: float | None, *, once: bool) -> float:
        """Returns the share of the training prompts that do so; 0 for none.

        Args:
            asked: what the user asked for, if anything.
            once: whether each prompt can be looked at once only.
        """
        ...

    def describe(self) -> str:
        """Returns the probe in one line."""
        ...

    def run(self, problem: Problem, board: Any) -> Variables:
        """Fits and scores all probes; returns what there is to say of them.

        The board is a `LabelBoard` if it classifies, otherwise a `Scoreboard`.
        """
        ...


def engine_for(
    probe: BaseEstimator | None, alphas: Sequence[float], coefficients: bool
) -> Engine:
    """Returns the engine for the arguments of `probe_grid` with these names.

    Raises:
        ValueError: a probe that is neither a regressor nor a classifier, penalties that
            are not positive, or penalties for a probe that has its own.
    """
    penalties = checks.positive("alphas", alphas)
    if probe is None:
        return RidgeEngine(RidgeSpec(penalties), None, coefficients)
    if penalties != ALPHAS:
        checks.classifies(probe)
        raise ValueError(f"alphas are for the default probe, not for {shown(probe)}.")
    spec = RidgeSpec.of(probe)
    if spec is not None:
        return RidgeEngine(spec, probe, coefficients)
    logistic_spec = LogisticSpec.of(probe)
    if logistic_spec is not None:
        return LogisticEngine(logistic_spec, probe, coefficients)
    classifies = checks.classifies(probe)
    if isinstance(probe, PooledProbe | PooledClassifier):
        return PooledEngine(probe)
    return ClassifierEngine(probe) if classifies else RegressorEngine(probe)


@dataclass(frozen=True, eq=False)
class RidgeEngine:
    """Ridge regression from one pass over the prompts: see `probes.grid.ridge`.

    Attributes:
        spec: the kind of ridge regression.
        probe: the user's own probe, None for the default one.
        coefficients: whether the probes themselves are returned.
    """

    spec: RidgeSpec
    probe: BaseEstimator | None
    coefficients: bool

    @property
    def chooses(self) -> bool:
        """Whether there is a penalty to choose."""
        return len(self.spec.alphas) > 1

    @property
    def classifies(self) -> bool:
        """Whether it is a ridge classifier."""
        return self.probe is not None and checks.classifies(self.probe)

    def validation_share(self, asked: float | None, *, once: bool) -> float:
        """Returns 0 where prompts are left out one by one to choose the penalty."""
        if not self.chooses:
            return 0.0
        usual = VALIDATION if once else 0.0
        return usual if asked is None else asked

    def describe(self) -> str:
        """Returns the probe in one line."""
        if self.probe is not None:
            return _one_line(self.probe)
        alphas = ", ".join(f"{alpha:g}" for alpha in self.spec.alphas)
        return f"ridge on standardised features, alpha among {alphas}"

    def run(self, problem: Problem, board: Board) -> Variables:
        """Returns the penalties and, if they are wanted, the probes themselves."""
        train, features = len(problem.split.train), problem.source.shape[2]
        if train < features:
            cautions.warn(
                f"{train} training prompts are fewer than the {features} features: the "
                "probe relies on its penalty."
            )
        fitted = ridge.run(problem, board, self.spec)
        axes = (*CELL, "coordinate")
        found: Variables = {
            "alpha": (axes, board.columns.by_target(fitted.alphas[..., : board.width]))
        }
        if self.coefficients:
            found |= _coefficients(board.columns, fitted.coef, fitted.intercept)
        return found


@dataclass(frozen=True, eq=False)
class LogisticEngine:
    """Logistic regression, all targets of a cell at once: see `probes.grid.logistic`.

    Attributes:
        spec: the kind of logistic regression.
        probe: the user's own probe.
        coefficients: whether the probes themselves are returned.
    """

    spec: LogisticSpec
    probe: BaseEstimator
    coefficients: bool
    chooses = False
    classifies = True

    def validation_share(self, asked: float | None, *, once: bool) -> float:
        """Returns 0: there is nothing to choose."""
        return 0.0

    def describe(self) -> str:
        """Returns the probe in one line."""
        return _one_line(self.probe)

    def run(self, problem: Problem, board: LabelBoard) -> Variables:
        """Returns the probes, if they were asked for."""
        states = _all_states(problem, self.probe)
        fitted = logistic.run(states, problem, board, self.spec, self.coefficients)
        unfinished = int((~fitted.converged).sum())
        if unfinished:
            cautions.warn(
                f"{unfinished} of {fitted.converged.size} probes did not converge in "
                f"max_iter={self.spec.max_iter} steps; raise max_iter or tol.",
                ConvergenceWarning,
            )
        if not self.coefficients:
            return {}
        return _coefficients(board.columns, fitted.coef, fitted.intercept)


@dataclass(frozen=True, eq=False)
class PooledEngine:
    """Pooled probes, fitted side by side: see `probes.grid.pooled_prefixes`."""

    probe: PooledProbe | PooledClassifier
    chooses = True

    @property
    def classifies(self) -> bool:
        """Whether it reads labels."""
        return isinstance(self.probe, PooledClassifier)

    def validation_share(self, asked: float | None, *, once: bool) -> float:
        """Returns the share of prompts on which the training is watched."""
        return VALIDATION if asked is None else asked

    def describe(self) -> str:
        """Returns the probe in one line."""
        return _one_line(self.probe)

    def run(self, problem: Problem, board: Any) -> Variables:
        """Returns the weights of positions, numbers of epochs and validation errors.

        Raises:
            ValueError: some prompts lack some tokens.
        """
        if problem.columns.valid is not None:
            raise ValueError(
                f"a {type(self.probe).__name__} reads several tokens at once and needs "
                "all of them; leave `valid` out, or give another probe."
            )
        states = _all_states(problem, self.probe)
        weights, epochs, errors = pooled_prefixes.run(
            states, problem, board, self.probe
        )
        limit = self.probe.max_iter
        unfinished = int((epochs == limit).sum())
        if unfinished:
            cautions.warn(
                f"{unfinished} of {epochs.size} probes were still improving, or "
                f"patient, after max_iter={limit} epochs; raise max_iter or "
                "learning_rate.",
                ConvergenceWarning,
            )
        return {
            "position_weights": ((*CELL, "position"), weights),
            "n_iter": (CELL, epochs),
            "validation_error": (CELL, errors),
        }


@dataclass(frozen=True, eq=False)
class RegressorEngine:
    """Any other regressor, cloned for each cell: see `probes.grid.regressors`."""

    probe: BaseEstimator
    chooses = False
    classifies = False

    def validation_share(self, asked: float | None, *, once: bool) -> float:
        """Returns 0: such a probe has its own ways."""
        return 0.0

    def describe(self) -> str:
        """Returns the probe in one line."""
        return _one_line(self.probe)

    def run(self, problem: Problem, board: Scoreboard) -> Variables:
        """Returns nothing beside the scores."""
        states = _all_states(problem, self.probe)
        regressors.run(states, problem, board, self.probe)
        return {}


@dataclass(frozen=True, eq=False)
class ClassifierEngine:
    """Any classifier, cloned for each cell: see `probes.grid.classifiers`."""

    probe: BaseEstimator
    chooses = False
    classifies = True

    def validation_share(self, asked: float | None, *, once: bool) -> float:
        """Returns 0: such a probe has its own ways."""
        return 0.0

    def describe(self) -> str:
        """Returns the probe in one line."""
        return _one_line(self.probe)

    def run(self, problem: Problem, board: LabelBoard) -> Variables:
        """Returns nothing beside the scores."""
        states = _all_states(problem, self.probe)
        classifiers.run(states, problem, board, self.probe)
        return {}


def _coefficients(
    columns: Columns, coef: np.ndarray, intercept: np.ndarray
) -> Variables:
    """Returns probes by target: the coordinates take the place of columns.

    Args:
        columns: the targets; the columns of controls are left out.
        coef: (layers, tokens, features, columns).
        intercept: (layers, tokens, columns).
    """
    width, axes = columns.starts[-1], (*CELL, "coordinate")
    by_feature = np.moveaxis(coef[..., :width], 2, 0)
    return {
        "coef": (
            (*axes, "feature"),
            np.moveaxis(columns.by_target(by_feature), 0, -1),
        ),
        "intercept": (axes, columns.by_target(intercept[..., :width])),
    }


def _one_line(probe: BaseEstimator) -> str:
    """Returns the probe as scikit-learn prints it, without line breaks."""
    return " ".join(repr(probe).split())


def _all_states(problem: Problem, probe: Any) -> np.ndarray:
    """Returns all hidden states, for an engine that cannot take them in batches.

    Raises:
        ValueError: a source that is not an array, NaN or infinity.
    """
    source, columns = problem.source, problem.columns
    if not isinstance(source, ArraySource):
        raise ValueError(
            f"{_one_line(probe)} needs all training prompts at once; give hidden as an "
            "array (memory-mapped, perhaps), or use a ridge probe: the default, or "
            "Ridge with one alpha above 0, an intercept and positive=False."
        )
    everyone = np.sort(np.concatenate([problem.split.train, problem.split.test]))
    whole = columns.valid is None and len(everyone) == source.states.shape[1]
    if whole:
        checks.finite_layers(source.states)
    for place, token in enumerate(() if whole else columns.tokens):
        having = columns.having(place, everyone)
        for layer, states in enumerate(source.states):
            checks.finite(f"hidden[{layer}], token {token},", states[having, token])
    return source.states
