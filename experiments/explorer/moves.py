"""A prompt of which one point or label is moved, and what learners answer to it.

Shapes: a single prompt has a batch axis of 1; predictions are (length,), and entry i is
made from the first i pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from icl import Prompts, checks, inference
from icl.baselines import GradientDescent, Learner, LeastSquares, Ridge

Answers = Mapping[str, Float[np.ndarray, " n"]]

TRANSFORMER = "transformer"
"""The name of the model among learners."""


@dataclass(frozen=True)
class Move:
    """What is changed in a prompt: a coordinate of one input, and its label.

    Attributes:
        example: the index of the pair, from 0.
        coordinate: the index of the coordinate of x, from 0.
        by_x: what is added to the coordinate.
        by_y: what is added to the label.
    """

    example: int = 0
    coordinate: int = 0
    by_x: float = 0.0
    by_y: float = 0.0

    def applied(self, prompts: Prompts) -> Prompts:
        """Returns the prompts with the move made in each of them.

        A label does not follow its x: the function is not asked again.

        Raises:
            ValueError: the prompts have no such pair or coordinate.
        """
        xs, ys = (np.array(array) for array in (prompts.xs, prompts.ys))
        most = {"example": xs.shape[1] - 1, "coordinate": xs.shape[2] - 1}
        for name, maximum in most.items():
            checks.positive_int(name, getattr(self, name), minimum=0, maximum=maximum)
        xs[:, self.example, self.coordinate] += self.by_x
        ys[:, self.example] += self.by_y
        return prompts._replace(xs=jnp.asarray(xs), ys=jnp.asarray(ys))


def textbook(alpha: float, steps: int, rate: float) -> dict[str, Learner]:
    """Returns the learners beside the model, by name.

    Args:
        alpha: the penalty of ridge regression.
        steps: the number of steps of gradient descent.
        rate: their rate.
    """
    return {
        "least squares": LeastSquares(),
        "ridge": Ridge(alpha),
        "gradient descent": GradientDescent(steps=steps, rate=rate),
    }


def answers(learners: Mapping[str, Any], prompts: Prompts) -> dict[str, np.ndarray]:
    """Returns what each learner predicts in the first prompt, (length,), by name."""
    return {
        name: inference.predictions(learner, prompts)[0]
        for name, learner in learners.items()
    }


def answers_along(
    learners: Mapping[str, Any],
    prompts: Prompts,
    *,
    context: int,
    coordinate: int,
    values: Float[np.ndarray, " q"],
) -> dict[str, np.ndarray]:
    """Returns what each learner predicts while a coordinate of the new x varies, (q,).

    Args:
        learners: those that can be asked at new inputs, by name.
        prompts: the first of them is looked at.
        context: the number of pairs that learners know.
        coordinate: the coordinate of the x after these pairs that takes the values; its
            other coordinates stay as they are.
        values: what the coordinate takes.
    """
    one = inference.first(prompts, 1)
    queries = np.repeat(np.asarray(one.xs)[:, :, None], len(values), axis=2)
    queries[..., coordinate] = values
    queries = jnp.asarray(queries)
    return {
        name: next(iter(inference.predictions_at(learner, one, queries)))[0, context]
        for name, learner in learners.items()
    }
