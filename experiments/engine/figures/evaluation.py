"""On which prompts are models compared, and how sure are the results?

A figure's configuration has one `Evaluation` beside its `Setting`: the setting says
which model is looked at, the evaluation on what.
"""

from dataclasses import dataclass
from typing import Protocol

import jax

from icl import LinearRegression, Prompts, Task, checks, inference
from icl.resampling.draws import MOST
from icl.sweeps.setting import Setting
from icl.tasks.linear import as_linear


@dataclass(frozen=True)
class Evaluation:
    """Prompts that no model was trained on, and the resamples of an interval.

    Attributes:
        prompts: number of prompts.
        seed: of the prompts and of whatever else is asked of the models; none of the
            prompts occur in training.
        resamples: bootstrap resamples of the prompts, for intervals.

    Raises:
        ValueError: fewer than two prompts, no resamples, or a negative seed.
    """

    prompts: int = 4_000
    seed: int = 0
    resamples: int = 1_000

    def __post_init__(self) -> None:
        self.require_prompts(2)
        checks.positive_int("evaluation.seed", self.seed, minimum=0)
        checks.positive_int("evaluation.resamples", self.resamples, maximum=MOST)

    def require_prompts(self, minimum: int) -> None:
        """Refuses fewer prompts than an experiment needs."""
        checks.positive_int("evaluation.prompts", self.prompts, minimum=minimum)

    def require_part(self, name: str, part: int) -> None:
        """Refuses a part of the prompts below 2 of them, or above all of them.

        Raises:
            ValueError: the message calls the part by `name`.
        """
        if checks.positive_int(name, part, minimum=2) > self.prompts:
            raise ValueError(
                f"{name} must be at most evaluation.prompts={self.prompts}, got {part}."
            )

    def sample(
        self, task: Task, *, more: int = 0, whole: bool = False
    ) -> tuple[Prompts, jax.Array]:
        """Draws the prompts, and a key for all else that is drawn.

        Args:
            task: the prompts are drawn from it.
            more: number of further prompts after these, such as those that probes are
                fitted to.
            whole: prompts have all pairs of the task; see `icl.inference.sample`.
        """
        more = checks.positive_int("more", more, minimum=0)
        return inference.sample(task, self.prompts + more, self.seed, whole=whole)


class HasUnseen(Protocol):
    """A task with a training set, such as `icl.tasks.Addition`."""

    @property
    def unseen(self) -> int:
        """The number of its lines that no training has seen."""
        ...


def check_unseen(
    task: HasUnseen, asked: int, name: str = "evaluation.prompts", *, lines: int = 1
) -> None:
    """Refuses more questions than a training set leaves lines, before any training.

    Args:
        task: the task.
        asked: how many questions there are.
        name: what their number is called.
        lines: how many lines each takes.

    Raises:
        ValueError: there are too few lines.
    """
    if asked * lines > task.unseen:
        each = f", {lines} in each question" if lines > 1 else ""
        raise ValueError(
            f"{name} must be at most {task.unseen // lines:,}, because training "
            f"leaves {task.unseen:,} lines of {type(task).__name__}{each}; got "
            f"{asked:,}."
        )


def check_queries(queries: int | None, task: LinearRegression) -> None:
    """Refuses too few new inputs to fit a linear function to predictions there."""
    if queries is not None:
        checks.positive_int("queries", queries, minimum=task.dim + 1)


def linear_task(setting: Setting, *, own_weights: bool = False) -> LinearRegression:
    """Returns the task of a setting, which must be a linear regression.

    Args:
        setting: which model.
        own_weights: each prompt must have a weight vector of its own, to be read or
            written.

    Raises:
        ValueError: it is another task, of which a figure that uses w and the noise can
            say nothing; or all prompts have one w.
    """
    task = as_linear(setting.task)
    if own_weights and task.fixed_weights is not None:
        raise ValueError(
            "task.fixed_weights must be None: where all prompts have one weight "
            "vector, there is none to read and no other to write."
        )
    return task


def check_test_fraction(share: float) -> None:
    """Refuses a share of test prompts that leaves too few on one of the two sides."""
    if not 0.1 <= share <= 0.75:
        raise ValueError(f"test_fraction must be 0.1 to 0.75, got {share!r}.")
