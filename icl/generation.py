"""What does a model write when it goes on from a prompt? Its greedy answers.

Each character is the most probable one after the prompt and the characters that the
model has written so far. Keys and values are computed again for every character,
because lines are short.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Int

from icl import checks, inference
from icl.codecs import Characters, Lines
from icl.codecs.matching import answer_numbers
from icl.model.transformer import Transformer


def generate(model: Transformer, lines: Lines) -> Int[np.ndarray, "batch tokens"]:
    """Returns lines whose last answers the model has written, as `ids`.

    What stands in the place of the last answer, and behind it, is not read by the
    model. It writes up to the end of the sequence; what comes after the end of an
    answer is its own matter, and whoever reads an answer ignores it. What it writes for
    one line does not depend on the others.

    Args:
        model: a transformer that reads characters.
        lines: the lines; all up to the last answer of each is the prompt.

    Raises:
        ValueError: the model reads no characters, or refuses the lines.
    """
    checks.of_kind("model", model, Transformer, "a transformer")
    codec = model.codec
    checks.of_kind("model.codec", codec, Characters, "a codec of characters")
    assert isinstance(codec, Characters)  # for the type checker
    lines = codec.check(lines)
    numbers = answer_numbers(lines.answers)
    begins = (numbers == numbers.max()).argmax(axis=1)
    filler = jnp.arange(codec.count)[None] >= begins[:, None]
    # An answer that is looked at by mistake would be right; this one is not.
    lines = lines._replace(ids=jnp.where(filler, 0, lines.ids), latents=None)
    graphdef, params = nnx.split(model)
    write = _compiled(graphdef, int(begins.min()))
    parts = inference.slices(lines, begins)
    with jax.default_matmul_precision("highest"):
        return np.concatenate([np.asarray(write(params, *part)) for part in parts])


@lru_cache(maxsize=16)
def _compiled(graphdef: Any, first: int) -> Any:
    """Returns the compiled loop over tokens from `first` on."""

    @jax.jit
    def write(params: Any, lines: Lines, begins: jax.Array) -> jax.Array:
        model = nnx.merge(graphdef, params)
        codec = model.codec

        def put(token: jax.Array, ids: jax.Array) -> jax.Array:
            logits = model.predict(lines._replace(ids=ids))
            said = logits[:, token - 1 - codec.start].argmax(axis=-1)
            written = jnp.where(token >= begins, said, ids[:, token])
            return ids.at[:, token].set(written.astype(ids.dtype))

        return jax.lax.fori_loop(first, codec.count, put, lines.ids)

    return write
