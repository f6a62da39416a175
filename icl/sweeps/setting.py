"""Which model? A task, a shape, the settings of its training and a seed.

A `Setting` is all that a model depends on: two equal settings are one model.
"""

from dataclasses import dataclass

from icl import checks
from icl.codecs.pairs import token_count
from icl.model.config import ModelConfig
from icl.tasks.linear import LinearRegression
from icl.training.config import TrainConfig


@dataclass(frozen=True)
class Setting:
    """Which model an experiment looks at.

    Attributes:
        task: what it is trained on.
        model: shape and variant of the transformer.
        train: settings of the training run.
        seed: of its initial parameters and its training data.
    """

    task: LinearRegression
    model: ModelConfig
    train: TrainConfig
    seed: int = 0

    def __post_init__(self) -> None:
        checks.positive_int("seed", self.seed, minimum=0)

    def refuse_fixed_weights(self) -> None:
        """For an experiment that reads weight vectors, or writes them.

        Raises:
            ValueError: all prompts of the task have one.
        """
        if self.task.fixed_weights is not None:
            raise ValueError(
                "task.fixed_weights must be None: where all prompts have one weight "
                "vector, there is none to read and no other to write."
            )

    @property
    def cost(self) -> float:
        """Floating-point operations of the matrix products of its training.

        Those of a forward pass, and twice as many backward.
        """
        length = self.task.length
        forward = forward_flops(self.model, self.task.dim, token_count(length), length)
        return 3 * forward * self.train.batch * self.train.steps


def forward_flops(model: ModelConfig, dim: int, tokens: int, read: int) -> float:
    """Of the matrix products of a forward pass over one sequence.

    Two per weight and token and two per pair of tokens and channel (of queries with
    keys, and of scores with values; all pairs, since masked ones are computed too). In
    the last layer tokens that are not read are only seen: they have queries, keys and
    values, and nothing that follows.

    Args:
        model: shape of the transformer.
        dim: of the inputs.
        tokens: of the sequence.
        read: at how many of them there is a prediction.
    """
    width = model.width
    channels = model.heads * (model.head_dim or width // model.heads)
    units = 4 * width if model.mlp_width is None else model.mlp_width
    seen = width * (dim + 1) + model.layers * 3 * width * channels
    layer = width * (channels + 2 * units) + 2 * tokens * channels
    computed = (model.layers - 1) * tokens + read  # tokens, added up over layers
    return 2.0 * (tokens * seen + computed * layer + read * width)
