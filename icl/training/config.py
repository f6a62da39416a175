"""How is a model trained? The settings of a run, and its learning rates by step."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import optax

from icl import checks
from icl.arrays import shown
from icl.training.curriculum import Curriculum
from icl.training.optimizers import OPTIMIZERS

Schedule = Literal["cosine", "linear", "constant"]
ProductPrecision = Literal["default", "float32", "tensorfloat32", "bfloat16"]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run.

    The loss is the mean over prompts and context lengths of (prediction - y)^2, not
    halved; every context length, including the empty one, has the same weight.

    Attributes:
        steps: the number of updates.
        batch: the number of prompts per step, all of them fresh.
        learning_rate: the peak of the schedule.
        optimizer: a name in `icl.training.optimizers.OPTIMIZERS`.
        schedule: the learning rate after a linear warm-up from 0: half a "cosine" down
            to 0, "linear" down to 0 (with a warm-up of half of the steps a triangle, as
            in Raventós et al. 2023), or "constant".
        warmup: the share of the steps that the warm-up takes, 0 to 1.
        b1: Adam's decay of the first moment, below 1.
        b2: Adam's decay of the second moment, below 1.
        eps: Adam's epsilon.
        weight_decay: the decoupled decay of AdamW, multiplied by the learning rate.
        clip: the global norm to which larger gradients are scaled down; None is off.
        precision: the precision of products of matrices in training steps: the device's
            "default" (float32 on CPU, TensorFloat-32 on GPUs of NVIDIA since Ampere),
            "float32", or "tensorfloat32" or "bfloat16" where the hardware has them
            (`icl.training.precision`). All else is float32.
        chunk: the number of updates after which the host looks at the run (progress,
            Ctrl-C); a run may go on with another.
        evaluate_every: the number of updates between evaluations on held-out prompts.
        held_out: the number of held-out prompts, the same at every evaluation.
        checkpoint_every: the number of updates between checkpoints, where a directory
            is given; a run may go on with another.
        evaluations_per_decade: the number of further evaluations between each power of
            ten and the next, evenly in the logarithm of the step; 0 is none.
        checkpoints_per_decade: the number of further checkpoints at such steps, which
            are all kept (of the other checkpoints the newest two are).
        curriculum: how training begins with fewer coordinates or pairs; by default it
            does not.

    Raises:
        ValueError: a size is below 1, a number is negative or not finite, or an
            optimiser, schedule or precision is unknown.
    """

    steps: int = 20_000
    batch: int = 64
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    schedule: Schedule = "cosine"
    warmup: float = 0.1
    b1: float = 0.9
    b2: float = 0.98
    eps: float = 1e-9
    weight_decay: float = 0.0
    clip: float | None = 1.0
    precision: ProductPrecision = "default"
    chunk: int = 100
    evaluate_every: int = 1_000
    held_out: int = 512
    checkpoint_every: int = 1_000
    evaluations_per_decade: int = 0
    checkpoints_per_decade: int = 0
    curriculum: Curriculum = field(default_factory=Curriculum)

    def __post_init__(self) -> None:
        sizes = ("steps", "batch", "chunk", "evaluate_every", "held_out")
        checks.normalise(self, checks.positive_int, *sizes, "checkpoint_every")
        extra = ("evaluations_per_decade", "checkpoints_per_decade")
        checks.normalise(self, checks.positive_int, *extra, minimum=0)
        shares = ("warmup", "b1", "b2")
        checks.normalise(self, checks.finite_number, *shares, "weight_decay")
        positive = ("learning_rate", "eps", *(() if self.clip is None else ("clip",)))
        checks.normalise(self, checks.finite_number, *positive, positive=True)
        if self.warmup > 1:
            raise ValueError(f"warmup must be at most 1, got {self.warmup}.")
        for name in ("b1", "b2"):
            if getattr(self, name) >= 1:
                raise ValueError(f"{name} must be below 1, got {getattr(self, name)}.")
        if not isinstance(self.optimizer, str):
            raise ValueError(
                "optimizer must be a name, such as 'adam'; hand an optax "
                "transformation over as train(..., optimizer=...)."
            )
        checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        if not isinstance(self.curriculum, Curriculum):
            raise ValueError(
                f"curriculum must be a Curriculum, got {shown(self.curriculum)}; "
                "Curriculum() is none."
            )
        checks.one_of("schedule", self.schedule, get_args(Schedule))
        checks.one_of("precision", self.precision, get_args(ProductPrecision))

    @property
    def evaluation_steps(self) -> list[int]:
        """The steps after which held-out prompts are evaluated, in order; 0 is one."""
        even = range(0, self.steps, self.evaluate_every)
        more = log_spaced(self.evaluations_per_decade, self.steps)
        return sorted({*even, *more, self.steps})

    @property
    def kept_steps(self) -> list[int]:
        """The steps whose checkpoints are never deleted, in order."""
        return log_spaced(self.checkpoints_per_decade, self.steps)

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps after which a checkpoint is written, in order."""
        even = range(self.checkpoint_every, self.steps, self.checkpoint_every)
        return sorted({*even, *self.kept_steps, self.steps})

    @classmethod
    def paper(cls, **changes: Any) -> "TrainConfig":
        """Returns the settings of Akyürek et al. 2023 (Table 1 and released code).

        `changes` are other fields.
        """
        settings: dict[str, Any] = {"steps": 500_000, "learning_rate": 1e-4}
        settings |= {"warmup": 0.2, "clip": None}
        settings |= {
            "checkpoint_every": 10_000
        }  # a checkpoint of that model has 0.6 GB
        return cls(**(settings | changes))


HOST_ONLY = {
    "evaluate_every": 1,
    "checkpoint_every": 1,
    "evaluations_per_decade": 0,
    "checkpoints_per_decade": 0,
}
"""The settings that only the host reads, so that no compiled program depends on them;
here each has the value that stands for any."""


def schedule(config: TrainConfig) -> optax.Schedule:
    """Returns the learning rate as a share of its peak, by step (counted from 0)."""
    warmup = round(config.warmup * config.steps)
    rise = optax.schedules.linear_schedule(0.0 if warmup else 1.0, 1.0, warmup)
    if config.schedule == "constant":
        return rise
    if config.schedule == "linear":
        fall = optax.schedules.linear_schedule(1.0, 0.0, max(config.steps - warmup, 1))
        return optax.schedules.join_schedules([rise, fall], [warmup])
    return optax.schedules.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup else 1.0,
        peak_value=1.0,
        warmup_steps=warmup,
        decay_steps=max(config.steps, warmup + 1),  # a warm-up of all steps is allowed
    )


def log_spaced(per_decade: int, last: int) -> list[int]:
    """Returns steps from 1 to `last`, evenly spaced in their logarithm.

    There are `per_decade` of them between each power of ten and the next.

    Example:
        >>> log_spaced(3, 1_000)
        [1, 2, 5, 10, 22, 46, 100, 215, 464, 1000]
    """
    if not per_decade:
        return []
    count = math.floor(per_decade * math.log10(last) + 1e-9) + 1
    return sorted({round(10 ** (k / per_decade)) for k in range(count)})
