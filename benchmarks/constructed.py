"""How long does a hand-written transformer take?

Ridge regression and one-pass SGD on 8 pairs in d = 4, in float64: 91 and 58 layers.

Ours: a call of `Constructed`, all prompts at once. It is not compiled, and pays for
every operation of every layer. There is no usual tool for this; the usual way to check
such weights is a forward pass in NumPy, layer by layer, with the same matrices: (a) for
one prompt after the other, as the proofs speak of one sequence, and (b) for all prompts
at once, which is the best that NumPy can do. Predictions must agree. The share is of
the rate of float64 products.
"""

from collections.abc import Iterator
from typing import Any, cast

import jax
import numpy as np
from scipy.special import erf, softmax

from benchmarks import limits
from benchmarks.measure import Row, Work, alternate, row, timed
from icl.codecs import pairs
from icl.constructed import Constructed, ridge, sgd_steps
from icl.prompts import Prompts
from icl.tasks.linear import LinearRegression

PROMPTS, DIM, STEPS = 64, 4, 8
ALPHA, RATE = 0.5, 0.03


def main(turns: int) -> Iterator[Row]:
    """Two rows for each algorithm."""
    for made in (ridge(STEPS, DIM, ALPHA), sgd_steps(STEPS, DIM, RATE)):
        yield from measured(made, turns)


def measured(made: Constructed, turns: int) -> Iterator[Row]:
    """The rows of one algorithm."""
    task = LinearRegression(DIM, STEPS + 1)
    prompts = task.sample(jax.random.key(0), batch=PROMPTS)
    layers = matrices(made)

    def ours() -> np.ndarray:
        return np.asarray(made(prompts).predictions)

    def one_by_one() -> np.ndarray:
        pairs = zip(prompts.xs, prompts.ys, strict=True)
        alone = (Prompts(xs[None], ys[None]) for xs, ys in pairs)
        return np.concatenate([forward(made, layers, prompt) for prompt in alone])

    def together() -> np.ndarray:
        return forward(made, layers, prompts)

    answers = ours(), one_by_one(), together()
    difference = max(float(abs(answers[0] - other).max()) for other in answers[1:])
    found = alternate(
        {
            "ours": timed(ours),
            "one by one": timed(one_by_one),
            "together": timed(together),
            "limit": limits.matmul("float64"),
        },
        turns,
    )
    config = made.model.config
    for side in ("one by one", "together"):
        yield row(
            "constructed",
            f"{made.program.name}, d = {DIM}: {config.layers} layers x {config.width}, "
            f"{PROMPTS} prompts",
            found,
            side,
            f"NumPy, layer by layer, prompts {side}",
            work=Work(flops(layers), "float64 matmul, FLOP/s"),
            note=f"predictions agree to {difference:.0e}",
        )


Layer = dict[str, np.ndarray]


def matrices(made: Constructed) -> list[Layer]:
    """The parameters of each layer."""
    with jax.enable_x64(True):
        return [
            {
                name: np.asarray(value[...])
                for part, of in (("attention", "qkv out"), ("mlp", "up down"))
                for linear in of.split()
                for name, value in _linear(getattr(block, part), linear)
            }
            for block in made.model.body
        ]


def _linear(part: Any, name: str) -> Iterator[tuple[str, Any]]:
    linear = getattr(part, name)
    yield name, linear.kernel
    yield f"{name} bias", linear.bias


def forward(made: Constructed, layers: list[Layer], prompts: Prompts) -> np.ndarray:
    """Predictions by Equations 1-4 of Akyürek et al. 2023, in NumPy."""
    sequence = np.asarray(pairs.encode(prompts), float)
    with jax.enable_x64(True):
        positions, kernel, head = (
            np.asarray(value[...])
            for value in (
                made.model.positions,
                made.model.read_in.kernel,
                cast(Any, made.model.head).kernel,
            )
        )
    x = sequence @ kernel + positions
    hidden = np.where(np.tri(x.shape[1], dtype=bool), 0.0, -np.inf)
    for layer in layers:
        x = x + _attention(layer, x, hidden, made.model.config.heads)
        centred = x - x.mean(axis=-1, keepdims=True)
        normed = centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-5)
        units = normed @ layer["up"] + layer["up bias"]
        units = units * (1 + erf(units / 2**0.5)) / 2
        x = x + units @ layer["down"] + layer["down bias"]
    return (x @ head)[:, ::2, 0]


def _attention(
    layer: Layer, x: np.ndarray, hidden: np.ndarray, heads: int
) -> np.ndarray:
    batch, count, _ = x.shape
    joined = x @ layer["qkv"] + layer["qkv bias"]
    split = joined.reshape(batch, count, 3, heads, -1)
    q, k, v = np.moveaxis(split, (2, 3), (0, 2))
    pattern = softmax(q @ k.swapaxes(-1, -2) + hidden, axis=-1)
    mixed = np.moveaxis(pattern @ v, 1, 2).reshape(batch, count, -1)
    return mixed @ layer["out"] + layer["out bias"]


def flops(layers: list[Layer]) -> float:
    """Of the products with these matrices, and of the tokens with each other."""
    count = pairs.token_count(STEPS + 1)
    names = ("qkv", "out", "up", "down")
    weights = sum(layer[name].size for layer in layers for name in names)
    products = sum(2 * count * len(layer["out"]) for layer in layers)
    return 2.0 * PROMPTS * count * (weights + products)
