"""Which function of a sequence can the learner be? A decoder-only transformer.

It has three parts that do not know each other: the *read-in* maps tokens to vectors and
adds learned positions; the *body* is a decoder on vectors, causal unless the codec says
which tokens see which, and does not know what its tokens mean; the *read-out* maps
vectors to predictions at the tokens that the codec reads. Instead of decoder layers the
body may have those of an LSTM.

Hidden states are a return value, not a hook: `Output.hidden` is the residual stream,
(layers + 1, batch, tokens, width), where layer 0 is the embedding. `resume` goes on
from an edited state, `read_out` reads any layer, and `patterns` returns what attention
looks at.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from icl import checks
from icl.arrays import real, shown
from icl.codecs import Codec, Pairs, pairs
from icl.model.config import ModelConfig
from icl.model.layers import ALL, Block, LayerNorm, layered, linear, uniform
from icl.model.recurrent import Recurrent
from icl.prompts import Prompts


class Output(NamedTuple):
    """The predictions and hidden states that a transformer returns.

    Attributes:
        predictions: the predictions, (batch, slots); for prompts they are (batch,
            length), where prediction i is made at x_i from i pairs. A codec with
            several outputs, such as logits, adds an axis of them.
        hidden: the residual stream, (layers + 1, batch, tokens, width).
    """

    predictions: Float[Array, "batch slots *outputs"]
    hidden: Float[Array, "layers batch tokens width"]


class Transformer(nnx.Module):
    """A transformer that predicts each part of a sequence from what comes before it.

    Args:
        config: the shape and the variant.
        codec: the codec of its tokens; `Pairs(dim, length)` reads pairs (x, y) and
            predicts every y from the pairs before it.
        rngs: the source of initial parameters, `nnx.Rngs(0)` or `nnx.Rngs(key)`.

    Example:
        >>> from icl import LinearRegression
        >>> task = LinearRegression(dim=3, length=5)
        >>> model = Transformer(ModelConfig(layers=2, width=8), task.codec,
        ...                     rngs=nnx.Rngs(0))
        >>> output = model(task.sample(jax.random.key(1), batch=4))
        >>> output.predictions.shape, output.hidden.shape
        ((4, 5), (3, 4, 9, 8))
    """

    def __init__(self, config: ModelConfig, codec: Codec, *, rngs: nnx.Rngs):
        checks.of_kind("config", config, ModelConfig, "a ModelConfig")
        checks.of_kind("codec", codec, Codec, "a codec, such as Pairs(dim, length)")
        checks.of_kind("rngs", rngs, nnx.Rngs, "a source of keys, such as nnx.Rngs(0)")
        _check_ends(config, codec)
        self.config, self.codec = config, codec
        learned = config.ends == "learned"
        layer = Recurrent if config.body == "lstm" else Block
        self.read_in: Any = _read_in(config, codec, rngs) if learned else None
        self.positions: Any = _positions(config, codec, rngs) if learned else None
        self.body = nnx.List(layered(lambda: layer(config, rngs=rngs), config))
        norm = LayerNorm(config.width, rngs=rngs)
        self.final_norm = norm if config.final_norm else None
        head: Any = linear(config, config.width, codec.outputs, rngs)
        self.head = head if learned and not codec.tied else None

    def __call__(self, batch: Any) -> Output:
        """Returns predictions and hidden states for a batch, such as `Prompts`.

        Raises:
            ValueError: the codec refuses the batch: prompts have another dimension, are
                longer than the table of positions, have shapes that disagree, or hold
                NaN or infinity.
        """
        return self.resume(self._embedded(batch), 0)

    def predict(self, batch: Any) -> Float[Array, "batch slots *outputs"]:
        """Returns the predictions of a call, up to round-off, in less time.

        In the last layer only the tokens that are read make queries and go through the
        MLP; the others are only attended to.

        Raises:
            ValueError: the batch is refused, as in a call.
        """
        hidden = self._embedded(batch)
        mask = self.codec.mask(hidden.shape[1])
        return self._head(self._run_body(hidden, mask, 0, self.codec.read_at)[-1])

    def patterns(self, batch: Any) -> Float[Array, "layers heads batch tokens tokens"]:
        """Returns what attention looks at: (layers, heads, batch, tokens, tokens).

        Entry (l, h, b, i, j) is how much of token j head h of layer l adds up at token
        i. With softmax attention every row sums to 1; with linear attention the entries
        are the scores, which have any sign. Entries are 0 where token i does not see
        token j.

        Raises:
            ValueError: the batch is refused, as in a call; or the body is an LSTM.
        """
        self._check_attends("patterns")
        state = self._embedded(batch)
        mask = self.codec.mask(state.shape[1])
        found = []
        for block in self.body:
            found.append(block.pattern(state, mask))
            state = block(state, mask)
        return jnp.stack(found)

    def embed(
        self,
        sequence: Array,
        positions: Int[Array, "*batch tokens"] | None = None,
    ) -> Float[Array, "batch tokens width"]:
        """Returns tokens as vectors, which are layer 0.

        Tokens are those of the codec: (batch, tokens, entries), or integers
        (batch, tokens) for a discrete codec. Positions, rows of the table that all
        sequences share or (batch, tokens), default to 0, 1, 2, ...

        Raises:
            ValueError: a shape is another, an integer is no token of the codec, a
                position is no row of the table, or there are more tokens than rows
                (numbers are not looked at inside jit).
        """
        self._check_float64()
        if self.codec.discrete:
            most = self.codec.entries
            sequence = checks.indices("sequence", sequence, most, "the codec's tokens")
        if positions is not None and self.positions is not None:
            rows = len(self.positions[...])
            positions = checks.indices(
                "positions", positions, rows, "the rows of the table of positions"
            )
        return self._vectors(sequence, positions)

    def _vectors(self, sequence: Any, positions: Any = None) -> Array:
        """Returns what `embed` does, without a look at the numbers."""
        read = real if self.codec.discrete else checks.floats
        sequence = jnp.asarray(read("sequence", sequence))
        wide = () if self.codec.discrete else (self.codec.entries,)
        if sequence.ndim != 2 + len(wide) or sequence.shape[2:] != wide:
            raise ValueError(
                f"sequence must have axes (batch, tokens, *{wide}), got shape "
                f"{sequence.shape}."
            )
        tokens = sequence.shape[1]
        if positions is None:
            self._check_length(tokens)
            positions = jnp.arange(tokens)
        positions = jnp.asarray(real("positions", positions))
        if positions.ndim == 2:
            sizes = (sequence.shape[0], tokens)
            checks.shape_of("positions", positions, sizes, "(batch, tokens)")
        else:
            checks.shape_of("positions", positions, (tokens,), "(tokens,)")
        if not jnp.issubdtype(positions.dtype, jnp.integer):
            raise ValueError(f"positions must be integers, got {positions.dtype}.")
        if self.positions is None:
            return sequence
        vectors, rows = self.read_in(sequence), self.positions[...][positions]
        return vectors + (rows if rows.ndim == 3 else rows[None])

    def resume(
        self,
        hidden: Float[Array, "batch tokens width"],
        layer: int,
        *,
        mask: Bool[Array, "tokens tokens"] | None = None,
    ) -> Output:
        """Goes on from the residual stream at `layer`, edited or not.

        Args:
            hidden: the state at that layer, as in `Output.hidden[layer]`. It is made
                float32 if its dtype is shorter.
            layer: the layer, from 0 (embedding) to `layers` (only the read-out is
                left).
            mask: says which token (row) sees which (column); each sees at least one.
                None is the mask of the codec, which is causal for `Pairs`.

        Returns:
            An `Output` whose `hidden` starts at `layer`: (layers + 1 - layer, batch,
            tokens, width). Its first entry is the state that was given.

        Raises:
            ValueError: there is no such layer, the state has another width or numbers
                that float32 does not hold; or the mask is not one of True and False, a
                token sees none, or the body is an LSTM.
        """
        self._check_float64()
        most = len(self.body)
        known = isinstance(layer, int | np.integer) and not isinstance(layer, bool)
        if not known or not 0 <= layer <= most:
            raise ValueError(f"layer must be 0 to {most}, got {shown(layer)}.")
        hidden = jnp.asarray(checks.floats("hidden", hidden))
        sizes = (None, None, self.config.width)
        checks.shape_of("hidden", hidden, sizes, "(batch, tokens, width)")
        tokens = hidden.shape[1]
        own = self.codec.mask(tokens)
        given = own if mask is None else self._checked_mask(mask, tokens)
        states = self._run_body(hidden, given, layer)
        return Output(self.read_out(states[-1]), jnp.stack(states))

    def read_out(
        self, hidden: Float[Array, "*axes tokens width"]
    ) -> Float[Array, "..."]:
        """Returns predictions from any layer's states (a "lens"), (*axes, slots)."""
        return self._head(self._states(hidden)[..., self.codec.read_at, :])

    def normalised(
        self, hidden: Float[Array, "*axes tokens width"]
    ) -> Float[Array, "*axes tokens width"]:
        """Returns states after the final norm, if there is one: what the head reads."""
        hidden = self._states(hidden)
        return self.final_norm(hidden) if self.final_norm else hidden

    def predict_at(
        self, prompts: Prompts, queries: Float[Array, "batch length q dim"]
    ) -> Float[Array, "batch length q"]:
        """Returns what would be predicted after each prefix for other next inputs.

        All prefixes of a prompt share one pass: each query joins the sequence as an
        extra token with the position of the x that it stands for. It sees the pairs
        before that x and itself, and no token sees it.

        Args:
            prompts: the prompts, whose first i pairs are the context of query (i, j).
            queries: the inputs x', (batch, length, q, dim).

        Returns:
            The predictions, (batch, length, q); with x' = x they are those of a call.

        Raises:
            ValueError: the prompts are refused, as in a call, or the queries have
                another shape or are not finite.
        """
        if not isinstance(self.codec, Pairs):
            raise ValueError(
                "predict_at asks at other inputs x, and the model's codec is "
                f"{type(self.codec).__name__}, which has none; it needs Pairs."
            )
        self._check_attends("predict_at")
        prompts = self._check(prompts)
        batch, length, dim = prompts.xs.shape
        sizes, axes = (batch, length, None, dim), "(batch, length, q, dim)"
        queries = checks.array(
            "queries", checks.floats("queries", queries), sizes, axes
        )
        mask, positions = _branches(length)
        trunk = pairs.encode(prompts)

        def one_query_per_prefix(xs: Float[Array, "batch length dim"]) -> Array:
            sequence = jnp.concatenate([trunk, pairs.encode_inputs(xs)], axis=1)
            hidden = self._vectors(sequence, positions)
            last = slice(-length, None)
            return self._head(self._run_body(hidden, mask, 0, last)[-1])

        queries = jnp.moveaxis(queries, 2, 0)
        return jnp.moveaxis(jax.lax.map(one_query_per_prefix, queries), 0, -1)

    @property
    def dtype(self) -> Any:
        """The dtype of the parameters, float32 or float64."""
        if self.positions is None:
            return self.body[0].attention.qkv.kernel[...].dtype
        return self.positions[...].dtype

    def _run_body(
        self, state: Array, mask: Array, layer: int, at: slice = ALL
    ) -> list[Array]:
        """Returns the states from `layer` on, the last of them at the tokens `at`."""
        states = [state]
        for index in range(layer, len(self.body)):
            last = index == len(self.body) - 1
            tokens = at if last else ALL
            states.append(_through(self.body[index], states[-1], mask, tokens))
        return states

    def _head(self, state: Array) -> Array:
        if self.read_in is None:
            return -state[..., 0]
        state = self.normalised(state)
        if self.head is None:  # a tied read-out: the table of the read-in gives logits
            return state @ self.read_in.embedding[...].T
        outputs = self.head(state)
        return outputs[..., 0] if self.codec.outputs == 1 else outputs

    def _states(self, hidden: Any) -> Array:
        """Returns states as JAX's floats, and refuses those of another width."""
        self._check_float64()
        hidden = jnp.asarray(checks.floats("hidden", hidden))
        if hidden.ndim < 2 or hidden.shape[-1] != self.config.width:
            raise ValueError(
                f"hidden must have axes (..., tokens, width={self.config.width}), got "
                f"shape {hidden.shape}."
            )
        return hidden

    def _embedded(self, batch: Any) -> Array:
        """Returns layer 0 of a batch, at the positions that its codec says."""
        batch = self._check(batch)
        return self._vectors(self.codec.encode(batch), self.codec.positions(batch))

    def _check(self, batch: Any) -> Any:
        self._check_float64()
        return self.codec.check(batch)

    def _check_length(self, tokens: int) -> None:
        rows = tokens if self.positions is None else len(self.positions[...])
        if tokens > rows:
            raise ValueError(
                f"sequence must have at most {rows} tokens, one for each row of the "
                f"table of positions, got {tokens}; cut it, or give positions."
            )

    def _checked_mask(self, mask: Any, tokens: int) -> Array:
        """Returns a mask, by which each token must see one if attention is a mean."""
        self._check_attends("mask")
        mask = real("mask", mask)
        if mask.dtype != bool:
            raise ValueError(
                f"mask must hold True and False, got an array of {mask.dtype}; "
                "mask.astype(bool) makes one."
            )
        checks.shape_of("mask", mask, (tokens, tokens), "(tokens, tokens)")
        if self.config.attention == "softmax" and not isinstance(mask, Tracer):
            blind = np.flatnonzero(~np.asarray(mask).any(axis=1))
            if blind.size:
                raise ValueError(
                    "mask must let every token (row) see one at least (column), got a "
                    f"row of False for token {blind[0]}."
                )
        return jnp.asarray(mask)

    def _check_attends(self, name: str) -> None:
        if self.config.body == "lstm":
            raise ValueError(
                f"{name} needs a body that attends, and this one is an LSTM; look at "
                "its hidden states, model(prompts).hidden, or train a transformer."
            )

    def _check_float64(self) -> None:
        double = self.dtype == jnp.float64
        if double and jnp.result_type(float) != jnp.float64:
            raise ValueError("this model is float64: use `with jax.enable_x64(True):`.")


def _through(block: Block | Recurrent, state: Array, mask: Array, at: slice) -> Array:
    """Returns the state after a layer.

    Outside of a compiled program a layer is a program of its own, which all layers
    share: one operation at a time, a new shape would cost a hundred small ones.
    """
    if isinstance(state, Tracer):
        return block(state, mask, at)
    return _compiled(*nnx.split(block), state, mask, (at.start, at.stop, at.step))


@partial(jax.jit, static_argnums=(0, 4))
def _compiled(
    graph: Any, parameters: Any, state: Array, mask: Array, at: tuple[int | None, ...]
) -> Array:
    return nnx.merge(graph, parameters)(state, mask, slice(*at))


def _read_in(config: ModelConfig, codec: Codec, rngs: nnx.Rngs) -> Any:
    if codec.discrete:
        return nnx.Embed(codec.entries, config.width, rngs=rngs)
    return linear(config, codec.entries, config.width, rngs)


def _positions(config: ModelConfig, codec: Codec, rngs: nnx.Rngs) -> nnx.Param:
    table = (codec.places, config.width)
    if config.init == "uniform":
        return nnx.Param(uniform(rngs.params(), table))
    return nnx.Param(0.02 * jax.random.normal(rngs.params(), table))


def _check_ends(config: ModelConfig, codec: Codec) -> None:
    """Refuses a body that cannot read the tokens of a codec as they are."""
    if config.body == "lstm" and not codec.causal:
        raise ValueError(
            f"codec must be causal for an LSTM, whose tokens see those before them, "
            f"got {type(codec).__name__}; use Pairs."
        )
    if config.ends != "tokens":
        return
    if codec.discrete or codec.entries != config.width or codec.outputs != 1:
        raise ValueError(
            f"codec must have vectors of width={config.width} as tokens, and one "
            f"output, because config.ends is 'tokens', got {type(codec).__name__} with "
            f"entries={codec.entries}; give the model that width, or ends='learned'."
        )


def _branches(length: int) -> tuple[Array, Array]:
    """Returns mask and positions of a sequence with one query token per prefix."""
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
