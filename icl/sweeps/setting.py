"""What does a model depend on? A task, a shape, training settings and a seed.

A `Setting` holds all of these: two settings with the same description are one model.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from icl import checks
from icl.model.config import ModelConfig
from icl.tasks.base import Task, check_is_task
from icl.training.checkpoint import FORMAT
from icl.training.config import TrainConfig
from icl.training.description import changed, describe, fingerprint


@dataclass(frozen=True)
class Setting:
    """The setting of a model, which names the model of an experiment.

    Attributes:
        task: the task that it is trained on.
        model: the shape and variant of the transformer.
        train: the settings of the training run.
        seed: the seed of its initial parameters and its training data.
    """

    task: Task
    model: ModelConfig
    train: TrainConfig
    seed: int = 0

    def __post_init__(self) -> None:
        check_is_task(self.task)
        checks.of_kind("model", self.model, ModelConfig, "a ModelConfig")
        checks.of_kind("train", self.train, TrainConfig, "a TrainConfig")
        checks.normalise(self, checks.positive_int, "seed", minimum=0)

    @cached_property
    def description(self) -> dict[str, Any]:
        """All that made the model, as JSON for `icl.training.description.configs`."""
        return describe(self.task, self.model, self.train) | {"seed": self.seed}

    @cached_property
    def hash(self) -> str:
        """A short name for the model: the hash of all that is not a default."""
        return fingerprint(
            {"format": FORMAT, "seed": self.seed}
            | {
                "task": changed(self.task),
                "model": changed(self.model),
                "train": changed(self.train),
            }
        )

    @property
    def cost(self) -> float:
        """The number of floating-point operations of the matrix products of training.

        It is that of the forward passes, and twice as many for the backward passes.
        """
        codec = self.task.codec
        forward = forward_flops(
            self.model,
            entries=0 if codec.discrete else codec.entries,  # looked up, not multiplied
            tokens=codec.count,
            read=len(range(codec.count)[codec.read_at]),
            outputs=codec.entries if codec.tied else codec.outputs,
        )
        return 3 * forward * self.train.batch * self.train.steps


def forward_flops(
    model: ModelConfig, *, entries: int, tokens: int, read: int, outputs: int = 1
) -> float:
    """Returns the operations of the matrix products of one sequence's forward pass.

    There are two per weight and token, and two per pair of tokens and channel, for
    products of queries with keys and for those of scores with values. All pairs count,
    since masked ones are computed too. In the last layer only tokens that are read go
    on after their queries, keys and values.

    Args:
        model: the shape of the transformer.
        entries: the width of a token.
        tokens: the number of tokens of the sequence.
        read: the number of tokens at which something is predicted.
        outputs: the number of values that are read out at each of these.
    """
    width = model.width
    if model.body == "lstm":  # four gates, each of the input and the state
        layers = 8.0 * tokens * width**2 * model.layers
        return 2.0 * (tokens * width * entries + layers + read * width * outputs)
    if model.ends == "tokens":
        entries, outputs = 0, 0
    channels = model.heads * (model.head_dim or width // model.heads)
    units = 4 * width if model.mlp_width is None else model.mlp_width
    seen = width * entries + model.layers * 3 * width * channels
    layer = width * (channels + 2 * units) + 2 * tokens * channels
    computed = (model.layers - 1) * tokens + read  # tokens, added up over layers
    return 2.0 * (tokens * seen + computed * layer + read * width * outputs)
