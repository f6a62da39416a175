"""Does training begin with easier prompts, of fewer coordinates and pairs?

A curriculum is a pure function of the step, so that a run that was interrupted goes on
in the same bits. Shapes do not change: coordinates of x that are not yet active are set
to 0 before labels are made, and predictions after the active pairs do not count.
Held-out prompts always have all coordinates and pairs.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icl import checks
from icl.codecs import Pairs
from icl.tasks.base import Task, with_values
from icl.tasks.drawing import compiled_sample, drawn


@dataclass(frozen=True)
class Curriculum:
    """The numbers of coordinates and pairs at each step (Garg et al. 2022, A.2).

    At step s, counted from 0, there are min(dims + dims_by * floor(s / dims_every), d)
    coordinates; pairs follow the same formula. The default is no curriculum; `garg()`
    is the one of that paper.

    Attributes:
        dims: the number of coordinates at the first step; 0 is all of them.
        dims_by: the number of coordinates that each growth adds.
        dims_every: the number of steps between two growths.
        pairs: the number of pairs at the first step; 0 is all of them.
        pairs_by: the number of pairs that each growth adds.
        pairs_every: the number of steps between two growths.

    Raises:
        ValueError: a number is not an integer or is negative, or one other than `dims`
            and `pairs` is 0.

    Example:
        >>> curriculum = Curriculum.garg()
        >>> [int(curriculum.active_dims(s, 20)) for s in (0, 1_999, 2_000, 30_000)]
        [5, 5, 6, 20]
        >>> int(curriculum.active_pairs(4_000, 41))
        15
    """

    dims: int = 0
    dims_by: int = 1
    dims_every: int = 2_000
    pairs: int = 0
    pairs_by: int = 2
    pairs_every: int = 2_000

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dims", "pairs", minimum=0)
        growth = ("dims_by", "dims_every", "pairs_by", "pairs_every")
        checks.normalise(self, checks.positive_int, *growth)

    @classmethod
    def garg(cls) -> "Curriculum":
        """Returns the curriculum of Garg et al. 2022 for linear functions at d = 20."""
        return cls(dims=5, pairs=11)

    def active_dims(self, step: Any, dim: int) -> Any:
        """Returns the number of coordinates at a step, which may be traced."""
        dim = checks.positive_int("dim", dim)
        return _grown(self.dims, self.dims_by, self.dims_every, step, dim)

    def active_pairs(self, step: Any, length: int) -> Any:
        """Returns the number of pairs at a step, which may be traced."""
        length = checks.positive_int("length", length)
        return _grown(self.pairs, self.pairs_by, self.pairs_every, step, length)


def _grown(start: int, by: int, every: int, step: Any, most: int) -> Any:
    if not isinstance(step, jax.Array):  # which may be traced
        step = checks.positive_int("step", step, minimum=0)
    if not start:
        return most
    return jnp.minimum(start + by * (step // every), most)


def check_curriculum(task: Task, curriculum: Curriculum) -> None:
    """Refuses a curriculum that the task does not follow.

    Raises:
        ValueError: the task's batches are no pairs, or fewer than the curriculum
            begins with; it does not mask its inputs, or none of the first pairs counts.
    """
    name = type(task).__name__
    if not (curriculum.dims or curriculum.pairs):
        return
    if not isinstance(task.codec, Pairs):
        raise ValueError(
            f"a curriculum grows dimensions and pairs, and {name} has no pairs (its "
            f"codec is {type(task.codec).__name__}); use Curriculum(), which is none."
        )
    for what, first, most in (
        ("dims", curriculum.dims, task.codec.dim),
        ("pairs", curriculum.pairs, task.length),
    ):
        if first > most:
            raise ValueError(
                f"a curriculum must begin with at most the {most} {what} of {name}, "
                f"got {what}={first}; begin with fewer, or use {what}=0, which is all."
            )
    if curriculum.dims and task.codec.dim > 1:
        masked, key = with_values(task, {"active_dims": 1}), jax.random.key(0)
        try:
            xs = compiled_sample(masked, 2, key)(key).xs
        except Exception as error:  # whatever the task's own code raises
            raise ValueError(
                f"sample of {name} cannot draw with `active_dims` ({error}), which a "
                "curriculum of dimensions sets; keep nothing by the hash of the task, "
                "as jax.jit does with a static argument."
            ) from error
        if np.any(np.asarray(xs)[..., 1:]):
            raise ValueError(
                f"a curriculum of dimensions needs a task that sets coordinates to 0, "
                f"and {name} does not; let its `sample` pass its inputs through "
                "self.mask_inputs(xs) before it makes labels (a task that draws from "
                "another one must mask the inputs itself), or use dims=0."
            )
    weights = drawn(task).weights
    if curriculum.pairs and weights is not None:
        if not weights[:, : curriculum.pairs].any():
            raise ValueError(
                f"a curriculum that begins with {curriculum.pairs} pairs needs one "
                f"among them that counts, and slot_weights of {name} are 0 there; "
                "begin with more, or use pairs=0."
            )
