"""Which function of a sequence can the learner be? A decoder-only transformer.

Three parts that do not know each other: the *read-in* (tokens to vectors, plus learned
positions), the *body* (a causal decoder on vectors; it does not know what its tokens
mean) and the *read-out* (vectors to predictions at the x-tokens).

Hidden states are a return value, not a hook: `Output.hidden` is the residual stream,
(layers + 1, batch, tokens, width), layer 0 being the embedding. `resume` goes on from
an edited one and `read_out` reads any layer.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from icl import checks
from icl.codecs import pairs
from icl.model.config import ModelConfig
from icl.model.layers import ALL, Block, LayerNorm, linear, uniform
from icl.tasks.base import Prompts, check_prompts


class Output(NamedTuple):
    """What a transformer returns.

    Attributes:
        predictions: (batch, length); prediction i is made at x_i from i pairs.
        hidden: residual stream, (layers + 1, batch, tokens, width).
    """

    predictions: Float[Array, "batch length"]
    hidden: Float[Array, "layers batch tokens width"]


class Transformer(nnx.Module):
    """A transformer that reads pairs (x, y) and predicts every y from those before it.

    Args:
        config: shape and variant.
        dim: dimension of x.
        length: pairs in the longest prompt; the table of positions has
            2 length - 1 rows.
        rngs: where initial parameters come from, `nnx.Rngs(0)` or `nnx.Rngs(key)`.

    Example:
        >>> from icl import LinearRegression
        >>> model = Transformer(ModelConfig(layers=2, width=8), dim=3, length=5,
        ...                     rngs=nnx.Rngs(0))
        >>> task = LinearRegression(dim=3, length=5)
        >>> output = model(task.sample(jax.random.key(1), batch=4))
        >>> output.predictions.shape, output.hidden.shape
        ((4, 5), (3, 4, 9, 8))
    """

    def __init__(self, config: ModelConfig, *, dim: int, length: int, rngs: nnx.Rngs):
        self.config = config
        self.dim = checks.positive_int("dim", dim)
        self.length = checks.positive_int("length", length)
        self.read_in = linear(config, dim + 1, config.width, rngs)
        table = (pairs.token_count(length), config.width)
        if config.init == "uniform":
            positions = uniform(rngs.params(), table)
        else:
            positions = 0.02 * jax.random.normal(rngs.params(), table)
        self.positions = nnx.Param(positions)
        blocks = [Block(config, rngs=rngs) for _ in range(config.layers)]
        self.body = nnx.List(blocks)
        norm = LayerNorm(config.width, rngs=rngs)
        self.final_norm = norm if config.final_norm else None
        self.head = linear(config, config.width, 1, rngs)

    def __call__(self, prompts: Prompts) -> Output:
        """Predictions and hidden states; prompts may be shorter than the table.

        Raises:
            ValueError: prompts of another dimension, longer than the table of
                positions, of shapes that disagree, or with NaN or infinity.
        """
        prompts = self._check(prompts)
        hidden = self.embed(pairs.encode(prompts))
        return self.resume(hidden, 0)

    def predict(self, prompts: Prompts) -> Float[Array, "batch length"]:
        """The predictions of a call, up to round-off, in less time.

        In the last layer y-tokens are only seen: nothing is read out at them.

        Raises:
            ValueError: as for a call.
        """
        hidden = self.embed(pairs.encode(self._check(prompts)))
        causal = jnp.tri(hidden.shape[1], dtype=bool)
        return self._head(self._run_body(hidden, causal, 0, pairs.INPUTS)[-1])

    def embed(
        self,
        sequence: Float[Array, "batch tokens entries"],
        positions: Int[Array, " tokens"] | None = None,
    ) -> Float[Array, "batch tokens width"]:
        """Tokens as vectors: layer 0. Positions default to 0, 1, 2, ..."""
        if positions is None:
            positions = jnp.arange(sequence.shape[1])
        return self.read_in(sequence) + self.positions[...][positions][None]

    def resume(
        self,
        hidden: Float[Array, "batch tokens width"],
        layer: int,
        *,
        mask: Bool[Array, "tokens tokens"] | None = None,
    ) -> Output:
        """Goes on from the residual stream at `layer`, edited or not.

        Args:
            hidden: state at that layer, as in `Output.hidden[layer]`.
            layer: 0 (embedding) to `layers` (only the read-out is left).
            mask: which token (row) sees which (column), each at least one; None is
                the causal mask.

        Returns:
            `Output` whose `hidden` starts at `layer`: (layers + 1 - layer, batch,
            tokens, width), its first entry being what was given.

        Raises:
            ValueError: no such layer, or a state of another width.
        """
        self._check_float64()
        if not 0 <= layer <= len(self.body):
            raise ValueError(f"layer must be 0 to {len(self.body)}, got {layer!r}.")
        checks.shape_of(
            "hidden", hidden, (None, None, self.config.width), "(batch, tokens, width)"
        )
        causal = jnp.tri(hidden.shape[1], dtype=bool)
        states = self._run_body(hidden, causal if mask is None else mask, layer)
        return Output(self.read_out(states[-1]), jnp.stack(states))

    def read_out(
        self, hidden: Float[Array, "*axes tokens width"]
    ) -> Float[Array, "*axes length"]:
        """Predictions from any layer's state, read at the x-tokens (a "lens")."""
        return self._head(pairs.at_inputs(hidden))

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length q dim"]
    ) -> Float[Array, "batch length q"]:
        """What would be predicted after each prefix if the next input were another?

        All prefixes of a prompt share one pass: each query joins the sequence as an
        extra token with the position of the x it stands for, seeing the pairs before
        that x and itself, and seen by nobody.

        Args:
            prompts: prompts whose first i pairs are the context of query (i, j).
            queries: inputs x', (batch, length, q, dim).

        Returns:
            Predictions, (batch, length, q); with x' = x they are those of a call.

        Raises:
            ValueError: as for a call, or queries of another shape or not finite.
        """
        prompts = self._check(prompts)
        batch, length, dim = prompts.xs.shape
        checks.shape_of(
            "queries", queries, (batch, length, None, dim), "(batch, length, q, dim)"
        )
        checks.all_finite("queries", queries)
        mask, positions = _branches(length)
        trunk = pairs.encode(prompts)

        def one_query_per_prefix(xs: Float[Array, "batch length dim"]) -> Array:
            sequence = jnp.concatenate([trunk, pairs.encode_inputs(xs)], axis=1)
            hidden = self.embed(sequence, positions)
            last = slice(-length, None)
            return self._head(self._run_body(hidden, mask, 0, last)[-1])

        queries = jnp.moveaxis(queries, 2, 0)
        return jnp.moveaxis(jax.lax.map(one_query_per_prefix, queries), 0, -1)

    def _run_body(
        self, state: Array, mask: Array, layer: int, at: slice = ALL
    ) -> list[Array]:
        """The states from `layer` on; that after the last layer at these tokens."""
        states = [state]
        for index in range(layer, len(self.body)):
            last = index == len(self.body) - 1
            states.append(self.body[index](states[-1], mask, at if last else ALL))
        return states

    def _head(self, state: Array) -> Array:
        return self.head(self.final_norm(state) if self.final_norm else state)[..., 0]

    def _check_float64(self) -> None:
        double = self.positions[...].dtype == jnp.float64
        if double and jnp.result_type(float) != jnp.float64:
            raise ValueError("this model is float64: use `with jax.enable_x64(True):`.")

    def _check(self, prompts: Prompts) -> Prompts:
        self._check_float64()
        prompts = check_prompts(prompts)
        _, length, dim = prompts.xs.shape
        if dim != self.dim:
            raise ValueError(
                f"prompts must have dim {self.dim} as the model does, got {dim}."
            )
        if length > self.length:
            raise ValueError(
                f"prompts must have at most {self.length} pairs, the length of the "
                f"model's table of positions, got {length}; cut them or train longer."
            )
        return prompts


def _branches(length: int) -> tuple[Array, Array]:
    """Mask and positions of a sequence followed by one query token per prefix."""
    trunk = pairs.token_count(length)
    x_positions = 2 * jnp.arange(length)
    sees_trunk = jnp.arange(trunk)[None] < x_positions[:, None]
    mask = jnp.block(
        [
            [jnp.tri(trunk, dtype=bool), jnp.zeros((trunk, length), bool)],
            [sees_trunk, jnp.eye(length, dtype=bool)],
        ]
    )
    return mask, jnp.concatenate([jnp.arange(trunk), x_positions])
