"""Which function of a sequence can the learner be? A decoder-only transformer.

Three parts that do not know each other: the *read-in* (tokens to vectors, plus learned
positions), the *body* (a causal decoder on vectors; it does not know what its tokens
mean) and the *read-out* (vectors to predictions at the x-tokens).

Hidden states are a return value, not a hook: `Output.hidden` is the residual stream,
(layers + 1, batch, tokens, width), layer 0 being the embedding. `resume` goes on from
an edited one and `read_out` reads any layer.

The layer of Akyürek et al. 2023 comes in versions that differ: their equations 1-7
(`norm="paper"`), their released code (`norm="code"`) and what everyone else calls
pre-norm (`norm="pre"`). Pre-norm is the default because it trains best: after 2,000
steps at d = 4 (8 layers x 32, one seed, learning rate 2e-3) its SPD / d to least
squares is 0.07, that of "code" 0.14; "paper" and "none" have learned nothing (0.82).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from icl import checks, operations, tokens
from icl.tasks import Prompts, check_prompts

Norm = Literal["pre", "paper", "code", "none"]
ALL = slice(None)
"""Tokens at which a layer is computed: at every one."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape and the variant of a transformer.

    Attributes:
        layers: number of decoder layers.
        width: H, the size of the residual stream.
        heads: M, attention heads per layer.
        head_dim: size of one head; None is width / heads. (The paper's released code
            has width / heads^2, by accident.)
        mlp_width: units of the MLP; None is 4 width, 0 leaves the MLP out.
        norm: where LayerNorm stands. With A attention and F the MLP:
            "pre":   h <- h + A(LN h);  h <- h + F(LN h)
            "paper": h <- h + A(h);     h <- h + F(LN h)  (Eq. 4; LN has no parameters)
            "code":  h <- LN h; h <- h + A(h); h <- LN h; h <- h + F(h)
            "none":  h <- h + A(h);     h <- h + F(h)
        final_norm: a LayerNorm in front of the read-out.
        activation: the MLP's GELU: "tanh" approximation, or exact "erf".
        attention: "softmax", or "linear": scores are used as they are.
        scale_scores: divide scores by sqrt(head_dim); the paper's formula does not.
        init: "lecun" normal kernels and zero biases (flax), or "uniform", the paper's:
            U(-1/sqrt k, 1/sqrt k), k being the number of inputs of a kernel, the
            length of a bias, the rows of the table of positions.

    Raises:
        ValueError: a size below 1, a width that the heads do not divide, an unknown
            variant.
    """

    layers: int = 4
    width: int = 64
    heads: int = 1
    head_dim: int | None = None
    mlp_width: int | None = None
    norm: Norm = "pre"
    final_norm: bool = True
    activation: Literal["tanh", "erf"] = "tanh"
    attention: Literal["softmax", "linear"] = "softmax"
    scale_scores: bool = True
    init: Literal["lecun", "uniform"] = "lecun"

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "layers", "width", "heads")
        if self.head_dim is not None:
            checks.normalise(self, checks.positive_int, "head_dim")
        elif self.width % self.heads:
            raise ValueError(
                f"width must be divisible by heads, got width={self.width} and "
                f"heads={self.heads}; change one of them or give head_dim."
            )
        if self.mlp_width is not None:
            checks.normalise(self, checks.positive_int, "mlp_width", minimum=0)
        checks.one_of("norm", self.norm, get_args(Norm))
        checks.one_of("activation", self.activation, ("tanh", "erf"))
        checks.one_of("attention", self.attention, ("softmax", "linear"))
        checks.one_of("init", self.init, ("lecun", "uniform"))

    @classmethod
    def paper(cls, **changes: Any) -> "ModelConfig":
        """The best model of Akyürek et al. 2023 by validation loss (Table 1).

        16 layers, width 512, 4 heads, in the layer of the released code (which is
        what was trained), with full-width heads. `changes` are other fields.
        """
        settings: dict[str, Any] = {"layers": 16, "width": 512, "heads": 4}
        settings |= {"norm": "code", "final_norm": False, "init": "uniform"}
        return cls(**(settings | changes))


class Output(NamedTuple):
    """What a transformer returns.

    Attributes:
        predictions: (batch, length); prediction i is made at x_i from i pairs.
        hidden: residual stream, (layers + 1, batch, tokens, width).
    """

    predictions: Float[Array, "batch length"]
    hidden: Float[Array, "layers batch tokens width"]


class Linear(nnx.Linear):
    """A linear map of the last axis, with all others folded into one.

    XLA's CPU backend has a fast product of matrices but not of higher arrays.
    """

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, dot_general=operations.product, **settings)

    def __call__(
        self, x: Float[Array, "*axes inputs"]
    ) -> Float[Array, "*axes outputs"]:
        """Applies the map."""
        rows = super().__call__(x.reshape(-1, x.shape[-1]))
        return rows.reshape(*x.shape[:-1], -1)


class LayerNorm(nnx.LayerNorm):
    """LayerNorm of the last axis: flax's parameters, our arithmetic."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, affine: bool = True):
        super().__init__(
            width, epsilon=1e-5, use_bias=affine, use_scale=affine, rngs=rngs
        )

    def __call__(self, x: Float[Array, "*axes width"]) -> Float[Array, "*axes width"]:
        """Applies the normalisation."""
        rows = operations.standardise(x.reshape(-1, x.shape[-1]), self.epsilon)
        if self.scale is not None:
            rows = rows * self.scale[...][None]
        if self.bias is not None:
            rows = rows + self.bias[...][None]
        return rows.reshape(x.shape)


class Attention(nnx.Module):
    """Multi-head self-attention; one product makes queries, keys and values."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.heads = config.heads
        self.head_dim = config.head_dim or config.width // config.heads
        self.scale = self.head_dim**-0.5 if config.scale_scores else 1.0
        self.linear = config.attention == "linear"
        inner = self.heads * self.head_dim
        self.qkv = _linear(config, config.width, 3 * inner, rngs, maps=3)
        self.out = _linear(config, inner, config.width, rngs)

    def __call__(
        self,
        x: Float[Array, "batch tokens width"],
        mask: Bool[Array, "tokens tokens"],
        at: slice = ALL,
    ) -> Float[Array, "batch some width"]:
        """What tokens (`at`) gather from those the mask lets them see (row, column)."""
        q, k, v = jnp.split(self.qkv(x), 3, axis=-1)
        q, mask = q[:, at], mask[at]
        batch, count, _ = q.shape
        q, k, v = map(self._apart, (q, k, v))
        scores = jnp.einsum("bqc,bkc->bqk", q * self.scale, k)
        if self.linear:
            pattern = jnp.where(mask[None], scores, 0)
            mixed = jnp.einsum("bqk,bkc->bqc", pattern, v)
        else:
            mixed = operations.masked_softmax_mean(scores, v, mask)
        mixed = mixed.reshape(batch, self.heads, count, -1).swapaxes(1, 2)
        return self.out(mixed.reshape(batch, count, -1))

    def _apart(
        self, x: Float[Array, "batch tokens inner"]
    ) -> Float[Array, "heads tokens head_dim"]:
        """Heads as if they were prompts: XLA is slow with two axes of that kind."""
        batch, count, _ = x.shape
        heads = x.reshape(batch, count, self.heads, self.head_dim).swapaxes(1, 2)
        return heads.reshape(batch * self.heads, count, self.head_dim)


class MLP(nnx.Module):
    """Two layers with a GELU between them."""

    def __init__(self, config: ModelConfig, units: int, *, rngs: nnx.Rngs):
        self.up = _linear(config, config.width, units, rngs)
        self.down = _linear(config, units, config.width, rngs)
        self.exact = config.activation == "erf"

    def __call__(self, x: Float[Array, "*axes width"]) -> Float[Array, "*axes width"]:
        """What each token makes of itself."""
        hidden = self.up(x)
        if self.exact:
            return self.down(jax.nn.gelu(hidden, approximate=False))
        return self.down(operations.gelu_tanh(hidden))


class Block(nnx.Module):
    """One decoder layer in any of the four normalisations of `ModelConfig.norm`."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        norm = partial(
            LayerNorm, config.width, affine=config.norm != "paper", rngs=rngs
        )
        self.replaces_stream = config.norm == "code"
        self.attention = Attention(config, rngs=rngs)
        self.norm_attention = norm() if config.norm in ("pre", "code") else None
        units = 4 * config.width if config.mlp_width is None else config.mlp_width
        self.mlp = MLP(config, units, rngs=rngs) if units else None
        self.norm_mlp = norm() if units and config.norm != "none" else None

    def __call__(
        self,
        x: Float[Array, "batch tokens width"],
        mask: Bool[Array, "tokens tokens"],
        at: slice = ALL,
    ) -> Float[Array, "batch some width"]:
        """The residual stream after this layer, at these tokens."""
        normed = self.norm_attention(x) if self.norm_attention else x
        stream = normed if self.replaces_stream else x
        x = stream[:, at] + self.attention(normed, mask, at)
        if self.mlp is None:
            return x
        normed = self.norm_mlp(x) if self.norm_mlp else x
        return (normed if self.replaces_stream else x) + self.mlp(normed)


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
        self.read_in = _linear(config, dim + 1, config.width, rngs)
        table = (tokens.token_count(length), config.width)
        if config.init == "uniform":
            positions = _uniform(rngs.params(), table)
        else:
            positions = 0.02 * jax.random.normal(rngs.params(), table)
        self.positions = nnx.Param(positions)
        blocks = [Block(config, rngs=rngs) for _ in range(config.layers)]
        self.body = nnx.List(blocks)
        norm = LayerNorm(config.width, rngs=rngs)
        self.final_norm = norm if config.final_norm else None
        self.head = _linear(config, config.width, 1, rngs)

    def __call__(self, prompts: Prompts) -> Output:
        """Predictions and hidden states; prompts may be shorter than the table.

        Raises:
            ValueError: prompts of another dimension, longer than the table of
                positions, of shapes that disagree, or with NaN or infinity.
        """
        prompts = self._check(prompts)
        hidden = self.embed(tokens.encode(prompts))
        return self.resume(hidden, 0)

    def predict(self, prompts: Prompts) -> Float[Array, "batch length"]:
        """The predictions of a call, up to round-off, in less time.

        In the last layer y-tokens are only seen: nothing is read out at them.

        Raises:
            ValueError: as for a call.
        """
        hidden = self.embed(tokens.encode(self._check(prompts)))
        causal = jnp.tri(hidden.shape[1], dtype=bool)
        return self._head(self._run_body(hidden, causal, 0, tokens.INPUTS)[-1])

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
        return self._head(tokens.at_inputs(hidden))

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
        trunk = tokens.encode(prompts)

        def one_query_per_prefix(xs: Float[Array, "batch length dim"]) -> Array:
            sequence = jnp.concatenate([trunk, tokens.encode_inputs(xs)], axis=1)
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
    trunk = tokens.token_count(length)
    x_positions = 2 * jnp.arange(length)
    sees_trunk = jnp.arange(trunk)[None] < x_positions[:, None]
    mask = jnp.block(
        [
            [jnp.tri(trunk, dtype=bool), jnp.zeros((trunk, length), bool)],
            [sees_trunk, jnp.eye(length, dtype=bool)],
        ]
    )
    return mask, jnp.concatenate([jnp.arange(trunk), x_positions])


def _linear(
    config: ModelConfig, inputs: int, outputs: int, rngs: nnx.Rngs, maps: int = 1
) -> Linear:
    """A linear map, or `maps` of them side by side, each initialised as if alone."""
    if config.init == "lecun":
        return Linear(inputs, outputs, rngs=rngs)
    bias = partial(_uniform, fan=outputs // maps)
    return Linear(inputs, outputs, kernel_init=_uniform, bias_init=bias, rngs=rngs)


def _uniform(
    key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32, *, fan: int = 0
) -> Array:
    """The released code's "uniform scaling": U(-1/sqrt k, 1/sqrt k).

    k is `fan`, or the number of rows.
    """
    bound = (fan or shape[0]) ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)
