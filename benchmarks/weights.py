"""How long does it take to read a model's implied weights after every prefix?

A transformer of the `quick` shape, untrained (its time does not depend on what it has
learned); 20 d queries after each prefix of a prompt, and a linear function fitted to
what it predicts there.

Ours: `predict_at`, where all prefixes of a prompt share a pass, and one batched fit.
The usual way: a loop over prefixes, each with a forward pass for prompts that end in
the queries, compiled beforehand, and numpy `lstsq` for one prompt after the other. The
weights must agree. The share counts FLOPs of our forward pass alone.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks import limits
from benchmarks.measure import Row, Work, alternate, row, timed
from experiments.reference_models import SETTINGS
from icl import ModelConfig, Transformer
from icl.codecs.pairs import token_count
from icl.compare import implied_weights
from icl.prompts import Prompts
from icl.sweeps.setting import forward_flops

PROMPTS, QUERIES_PER_DIM = 8, 20
SETTING = SETTINGS["quick"]


def main(turns: int) -> Iterator[Row]:
    """One row."""
    task, config = SETTING.task, SETTING.model
    model = Transformer(config, task.codec, rngs=nnx.Rngs(0))
    prompts = task.sample(jax.random.key(0), batch=PROMPTS)
    count = QUERIES_PER_DIM * task.dim
    shape = (PROMPTS, task.length, count)
    queries = task.sample_inputs(jax.random.key(1), shape)
    ask, run = compiled(model)

    def ours() -> np.ndarray:
        return implied_weights(queries, ask(prompts, queries)).weights

    def theirs() -> np.ndarray:
        return prefix_by_prefix(run, prompts, queries)

    fast, slow = ours(), theirs()
    difference = np.linalg.norm(fast - slow) / np.linalg.norm(slow)
    sides = {"ours": timed(ours), "loop": timed(theirs), "limit": limits.matmul()}
    yield row(
        "weights",
        f"{PROMPTS} prompts, d = {task.dim}, {task.length} pairs, {count} queries a "
        f"prefix, {config.layers} x {config.width}",
        alternate(sides, turns),
        "loop",
        "a loop over prefixes: a compiled forward pass, numpy lstsq per prompt",
        work=Work(flops(config, task.dim, *shape), "float32 matmul, FLOP/s"),
        note=f"weights agree to {difference:.1e} of their norm",
    )


def compiled(
    model: Transformer,
) -> tuple[Callable[..., Any], Callable[[Prompts], Any]]:
    """`predict_at` and `predict`, at highest precision."""
    graphdef, params = nnx.split(model)

    @jax.jit
    def ask(params: Any, prompts: Prompts, queries: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return nnx.merge(graphdef, params).predict_at(prompts, queries)

    @jax.jit
    def run(params: Any, prompts: Prompts) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return nnx.merge(graphdef, params).predict(prompts)

    return lambda *given: ask(params, *given), lambda given: run(params, given)


def prefix_by_prefix(
    run: Callable[[Prompts], Any], prompts: Prompts, queries: jax.Array
) -> np.ndarray:
    """The usual way: weights (batch, length, dim)."""
    batch, length, count, dim = queries.shape
    weights = np.zeros((batch, length, dim))
    for context in range(length):
        xs = jnp.repeat(prompts.xs[:, : context + 1], count, axis=0)
        xs = xs.at[:, context].set(queries[:, context].reshape(-1, dim))
        ys = jnp.repeat(prompts.ys[:, : context + 1], count, axis=0)
        predicted = np.asarray(run(Prompts(xs, ys))[:, context], float)
        for prompt, y in enumerate(predicted.reshape(batch, count)):
            x = np.asarray(queries[prompt, context], float)
            weights[prompt, context] = np.linalg.lstsq(x, y, rcond=None)[0]
    return weights


def flops(
    config: ModelConfig, dim: int, prompts: int, length: int, count: int
) -> float:
    """Of the matrix products of `predict_at`.

    A sequence is the prompt and one query after each prefix, and there are `count` of
    them for every prompt.
    """
    tokens = token_count(length) + length
    return (
        prompts
        * count
        * forward_flops(config, entries=dim + 1, tokens=tokens, read=length)
    )
