"""Two layers on tokens x1, y1, x2, ...: the first copies, the second takes a step.

Tokens are those of `icl.codecs.pairs`, with a sinusoidal position behind them. The
first layer has softmax attention and the second linear attention, each with keys,
queries and values of its own and without norm or MLP. All tokens see all but the last
one, the query, whose answer is its first entry at the end with the sign turned.

What the first layer copies is measured by derivatives: the size of the mean derivative,
over prompts, of its output at a token by each token of the input. Paper: Figure 5 of
von Oswald et al. 2023.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key

from experiments.engine.figures.evaluation import Evaluation
from experiments.vonoswald2023.fig2_measure import uniform
from experiments.vonoswald2023.own_training import Training, Weights, train
from icl import Prompts, checks
from icl.attention import neighbours
from icl.codecs.pairs import encode
from icl.constructed.linear_attention import optimal_step

WHERE = ("own", "next", "others")

DERIVED = 32
"""The number of prompts over which derivatives are averaged."""


@dataclass(frozen=True)
class Config:
    """Settings of the two layers.

    Attributes:
        dim: the dimension d.
        pairs: the number n of pairs in the context; one more x is the query.
        positions: the width of the sinusoidal positions.
        keys: the size of keys, queries and values.
        training: how they are trained.
        seeds: the number of models.
        evaluation: the prompts on which they are looked at.
    """

    training: Training
    dim: int = 10
    pairs: int = 10
    positions: int = 10
    keys: int = 20
    seeds: int = 5
    evaluation: Evaluation = Evaluation(prompts=2_000, seed=1, resamples=500)

    def __post_init__(self) -> None:
        sizes = ("dim", "pairs", "positions", "keys", "seeds")
        checks.normalise(self, checks.positive_int, *sizes)
        checks.positive_int("pairs", self.pairs, minimum=3)


def sinusoids(tokens: int, width: int) -> Float[np.ndarray, "tokens width"]:
    """Returns positions as sines and cosines of frequencies 1 to 1/100."""
    rates = 100.0 ** -(np.arange(width) // 2 / max(width // 2, 1))
    angles = np.arange(tokens)[:, None] * rates
    return np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles))


def start(config: Config, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns small random weights of both layers."""
    width = config.dim + 1 + config.positions
    shapes = {
        f"{name}{layer}": (config.keys, width) if name == "o" else (width, config.keys)
        for layer in (1, 2)
        for name in "qkvo"
    }
    return {
        name: 0.1 / shape[0] ** 0.5 * random.standard_normal(shape)
        for name, shape in shapes.items()
    }


def tokens_of(config: Config, prompts: Prompts) -> Float[Array, "batch tokens width"]:
    """Returns x1, y1, ..., and the query, each with its position."""
    tokens = encode(prompts)
    where = jnp.asarray(sinusoids(tokens.shape[1], config.positions), tokens.dtype)
    shape = (len(tokens), *where.shape)
    return jnp.concatenate([tokens, jnp.broadcast_to(where, shape)], axis=-1)


def attention(
    weights: Weights, layer: int, state: Float[Array, "tokens width"], softmax: bool
) -> Float[Array, "tokens width"]:
    """Returns what a layer adds to the tokens of one prompt."""
    query, key, value = (state @ weights[f"{name}{layer}"] for name in "qkv")
    scores = query @ key[:-1].T
    if softmax:
        scores = jax.nn.softmax(scores / key.shape[1] ** 0.5, axis=-1)
    return scores @ value[:-1] @ weights[f"o{layer}"]


def answer(weights: Weights, state: Float[Array, "tokens width"]) -> Float[Array, ""]:
    """Returns the answer at the query of one prompt."""
    state = state + attention(weights, 1, state, softmax=True)
    return -(state + attention(weights, 2, state, softmax=False))[-1, 0]


def squared_errors(
    config: Config, weights: Weights, prompts: Prompts
) -> Float[Array, " batch"]:
    """Returns the squared error at the query, by prompt."""
    found = jax.vmap(lambda state: answer(weights, state))(tokens_of(config, prompts))
    return (found - prompts.ys[:, -1]) ** 2


def copied(
    config: Config, weights: Weights, prompts: Prompts
) -> Float[Array, "tokens tokens"]:
    """Returns how much of each token (column) the first layer puts at each (row)."""
    states = tokens_of(config, prompts)

    def derivative(state: Array) -> Array:
        return jax.jacrev(lambda s: attention(weights, 1, s, softmax=True))(state)

    # One prompt after the other: a derivative has (tokens x width)^2 entries.
    mean = jax.lax.map(derivative, states).mean(axis=0)
    return jnp.sqrt(jnp.sum(mean**2, axis=(1, 3)))


def measure(config: Config) -> xr.Dataset:
    """Trains the models and looks at them from time to time.

    Returns:
        A Dataset with `loss` (seed, step), `share` (seed, step, where) and `error`
        (seed, prompt) at the end; the loss of one gradient step, `step_loss`, and that
        of predicting 0, `zero_loss`, are attributes.
    """
    task = uniform(config.dim, config.pairs, 1.0)
    prompts, _ = config.evaluation.sample(task, whole=True)
    few = Prompts(prompts.xs[:DERIVED], prompts.ys[:DERIVED])

    def loss(weights: Weights, key: Key[Array, ""]) -> Array:
        drawn = task.sample(key, batch=config.training.batch)
        return squared_errors(config, weights, drawn).mean()

    def look(weights: Weights) -> tuple[Array, Array]:
        return squared_errors(config, weights, prompts), copied(config, weights, few)

    errors, sizes = train(
        config.training, lambda random: start(config, random), loss, look, config.seeds
    )
    at_inputs = np.arange(2, sizes.shape[-1] - 1, 2)  # which have a token on both sides
    found = neighbours(sizes[:, :, None].astype(float), at=at_inputs)
    shares = np.stack([found.own, found.following, found.others], axis=-1)
    coords = {"where": list(WHERE), "step": config.training.seen}
    about = {
        "step_loss": optimal_step(config.dim, config.pairs)[1],
        "zero_loss": config.dim / 12,
        "resamples": config.evaluation.resamples,
    }
    return xr.Dataset(
        {
            "loss": (("seed", "step"), errors.mean(axis=2)),
            "share": (("seed", "step", "where"), shares),
            "error": (("seed", "prompt"), errors[:, -1]),
        },
        coords=coords | {"seed": range(config.seeds)},
        attrs=about,
    )
