"""How are layers of linear attention trained, and compared with a constructed one?

A layer is given by its two kernels: one makes queries, keys and values of the joint
tokens, the other maps the values to the output. Several layers are trained side by
side, and looked at while they learn, as `experiments.small_models` does.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import small_models
from experiments.engine.figures.evaluation import Evaluation
from icl import LinearRegression, Prompts, Transformer, checks
from icl.constructed.linear_attention import predict_query
from icl.model.building import with_parameters

BLENDS = 11
"""The number of layers from trained to constructed, ends included."""


@dataclass(frozen=True)
class Config:
    """Settings of Figure 2.

    Attributes:
        dim: the dimension d.
        pairs: the number n of pairs in the context; one more x is the query.
        input_width: each coordinate of x is uniform on an interval of this width
            around 0.
        steps: the number of updates of Adam, each on fresh prompts.
        batch: the number of prompts per update.
        learning_rate: the learning rate of Adam, which falls to 0 along a cosine.
        evaluations: how often layers are measured during training, evenly spread.
        evaluation: the prompts on which they are measured, the same ones every time.
        seeds: the number of layers; 0, 1, ... are the seeds of initial parameters and
            training prompts.
    """

    dim: int = 10
    pairs: int = 10
    input_width: float = 1.0
    steps: int = 5_000
    batch: int = 512
    learning_rate: float = 3e-3
    evaluations: int = 25
    evaluation: Evaluation = Evaluation(prompts=10_000, seed=1, resamples=500)
    seeds: int = 5

    def __post_init__(self) -> None:
        sizes = ("dim", "pairs", "steps", "batch", "evaluations", "seeds")
        checks.normalise(self, checks.positive_int, *sizes)
        for name in ("input_width", "learning_rate"):
            checks.finite_number(name, getattr(self, name), positive=True)
        if self.evaluations > self.steps:
            raise ValueError(
                f"evaluations must be at most {self.steps}, the number of steps, got "
                f"{self.evaluations}."
            )


def task(config: Config) -> LinearRegression:
    """Returns the task, with inputs uniform around 0; the last pair is the query."""
    return uniform(config.dim, config.pairs, config.input_width)


def uniform(dim: int, pairs: int, width: float) -> LinearRegression:
    """Returns linear regression with a query behind so many pairs.

    Each coordinate of x is uniform on an interval of this width around 0.
    """
    return LinearRegression(
        dim=dim,
        length=pairs + 1,
        inputs="uniform",
        covariance=dim * (width**2 / 12,),
    )


def updates(config: Config) -> np.ndarray:
    """Returns the numbers of updates, from 0 on, at which layers are measured."""
    return np.linspace(0, config.steps, config.evaluations + 1).round().astype(int)


def with_kernels(model: Transformer, qkv: jax.Array, out: jax.Array) -> Transformer:
    """Returns the one-layer model with other queries, keys, values and output."""
    kernels = {"qkv": qkv, "out": out}
    return with_parameters(
        model,
        {f"body.0.attention.{n}.kernel": kernel for n, kernel in kernels.items()},
    )


def kernels_of(model: Transformer) -> tuple[jax.Array, jax.Array]:
    """Returns the two kernels of the layer, of its inputs and of its output."""
    attention = model.body[0].attention
    return attention.qkv.kernel[...], attention.out.kernel[...]


def train(
    config: Config, task: LinearRegression, skeleton: Transformer
) -> list[list[Transformer]]:
    """Trains the layers, and returns each as it is whenever it is to be measured.

    Adam starts at small random kernels. All other parameters, such as the read-out,
    are those of `skeleton`.
    """
    shapes = [kernel.shape for kernel in kernels_of(skeleton)]

    def drawn(key):
        """Returns the key of the data, and the kernels that a layer begins with."""
        start, data = jax.random.split(key)
        keys = jax.random.split(start, len(shapes))
        return data, tuple(
            0.1 * jax.random.normal(key, shape)
            for key, shape in zip(keys, shapes, strict=True)
        )

    def loss(kernels, key):
        prompts = task.sample(key, batch=config.batch)
        guess = predict_query(with_kernels(skeleton, *kernels), prompts)
        return jnp.mean((guess - prompts.ys[:, -1]) ** 2)

    each = jnp.stack([jax.random.key(seed) for seed in range(config.seeds)])
    data, kernels = jax.vmap(drawn)(each)
    rate = optax.cosine_decay_schedule(config.learning_rate, config.steps)
    seen = small_models.train(
        loss,
        lambda kernels: kernels,
        kernels,
        data,
        optimizer=optax.adam(rate),
        stops=updates(config).tolist(),
    )
    return [
        [
            with_kernels(skeleton, jnp.asarray(qkv), jnp.asarray(out))
            for qkv, out in zip(*stages, strict=True)
        ]
        for stages in zip(*seen, strict=True)
    ]


def products(model: Transformer) -> tuple[jax.Array, jax.Array]:
    """Returns W_Q W_K' and W_V W_O of the first layer, on a common scale.

    The mean diagonal of the first in the rows of x is 1; what the layer does depends on
    their product alone.
    """
    qkv, out = kernels_of(model)
    q, k, v = jnp.split(qkv, 3, axis=1)
    scores, values = q @ k.T, v @ out
    scale = jnp.diagonal(scores)[1:].mean()
    return scores / scale, values * scale


def between(trained: Transformer, constructed: Transformer) -> Iterator[Transformer]:
    """Yields layers on the line from the trained to the constructed one.

    Weights with the same products W_Q W_K' and W_V W_O are the same layer, and so are
    those products scaled by s and 1/s. So the line is drawn between products, which are
    scaled until the mean diagonal of W_Q W_K' in the rows of x is 1.
    """
    ends = []
    for model in (trained, constructed):
        ends.append(products(model))
    identity = jnp.eye(len(ends[0][0]))
    for share in np.linspace(0, 1, BLENDS):
        scores, values = (
            (1 - share) * a + share * b for a, b in zip(*ends, strict=True)
        )
        qkv = jnp.concatenate([scores, identity, values], axis=1)
        yield with_kernels(constructed, qkv, identity)


def error(model: Transformer, prompts: Prompts) -> np.ndarray:
    """Returns the squared error at the query, by prompt."""
    return np.asarray((predict_query(model, prompts) - prompts.ys[:, -1]) ** 2)


def compare(
    model: Transformer, constructed: Transformer, prompts: Prompts
) -> dict[str, np.ndarray]:
    """Returns a layer's error and its distance from the constructed one, by prompt."""

    def answers(layer: Transformer) -> tuple[jax.Array, jax.Array]:
        """Returns predictions, and their derivatives by the query."""

        def total(query):
            xs = prompts.xs.at[:, -1].set(query)
            guess = predict_query(layer, prompts._replace(xs=xs))
            return guess.sum(), guess

        return jax.grad(total, has_aux=True)(prompts.xs[:, -1])[::-1]

    (guess, slope), (own, own_slope) = answers(model), answers(constructed)
    norms = jnp.linalg.norm(slope, axis=1) * jnp.linalg.norm(own_slope, axis=1)
    found = {
        "error": (guess - prompts.ys[:, -1]) ** 2,
        "prediction": (guess - own) ** 2,
        "distance": jnp.linalg.norm(slope - own_slope, axis=1),
        "cosine": (slope * own_slope).sum(axis=1) / norms,
    }
    return {name: np.asarray(value) for name, value in found.items()}
