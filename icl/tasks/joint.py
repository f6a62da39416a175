"""The prompts of another task, in tokens that hold x and y together.

A single layer of linear attention can be a step of gradient descent on such tokens
(`icl.codecs.joint`), whereas on tokens of their own a first layer has to bring each y
to its x.
"""

from dataclasses import dataclass

from jaxtyping import Array, Float, Key

from icl.arrays import shown
from icl.codecs import Codec, JointPairs, Pairs
from icl.prompts import Prompts
from icl.tasks.base import Task, check_is_task


@dataclass(frozen=True)
class JointTokens(Task):
    """A task whose prompts are read as joint tokens (y, x); the last x is the query.

    Attributes:
        task: the task whose prompts are read; its last pair is the query.

    Raises:
        ValueError: the task's batches are no pairs, or it has a single pair.

    Example:
        >>> from icl import LinearRegression
        >>> JointTokens(LinearRegression(dim=10, length=11)).codec.slots.tolist()
        [10]
    """

    task: Task

    def __post_init__(self) -> None:
        check_is_task(self.task)
        if not isinstance(self.task.codec, Pairs) or self.task.length < 2:
            raise ValueError(
                "task must draw prompts of at least two pairs, such as "
                f"LinearRegression(dim=10, length=11), got {shown(self.task)}."
            )

    @property
    def dim(self) -> int:
        """The dimension of x, that of the task."""
        return self.task.dim

    @property
    def length(self) -> int:
        """The number of pairs with the query, that of the task."""
        return self.task.length

    @property
    def codec(self) -> Codec:
        """The codec of joint tokens."""
        return JointPairs(self.dim, self.length)

    def sample_inputs(
        self, key: Key[Array, ""], shape: tuple[int, ...]
    ) -> Float[Array, "... dim"]:
        """Draws inputs, as the task does."""
        return self.task.sample_inputs(key, shape)

    def sample(self, key: Key[Array, ""], *, batch: int) -> Prompts:
        """Draws prompts, as the task does."""
        return self.task.sample(key, batch=batch)
