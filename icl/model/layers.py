"""What is a transformer made of? Decoder layers, of any variant of `ModelConfig`.

Shapes: a layer maps the residual stream, (batch, tokens, width), to the next one. XLA's
CPU backend is fast with matrices and slow with arrays of more axes, so that `Linear`,
`LayerNorm` and `Attention` fold axes together.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from icl.model import operations
from icl.model.config import ModelConfig

ALL = slice(None)
"""The tokens at which a layer is computed by default: all of them."""


class Linear(nnx.Linear):
    """A linear map of the last axis, with all others folded into one."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, dot_general=operations.product, **settings)

    def __call__(
        self, x: Float[Array, "*axes inputs"]
    ) -> Float[Array, "*axes outputs"]:
        """Applies the map."""
        rows = super().__call__(x.reshape(-1, x.shape[-1]))
        return rows.reshape(*x.shape[:-1], -1)


class LayerNorm(nnx.LayerNorm):
    """LayerNorm of the last axis, with flax's parameters and our arithmetic."""

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
        self.qkv = linear(config, config.width, 3 * inner, rngs, maps=3)
        self.out = linear(config, inner, config.width, rngs)

    def __call__(
        self,
        x: Float[Array, "batch tokens width"],
        mask: Bool[Array, "tokens tokens"],
        at: slice = ALL,
    ) -> Float[Array, "batch some width"]:
        """Returns what the tokens `at` gather from those that the mask allows."""
        scores, v, mask = self._scores(x, mask, at)
        batch, count = x.shape[0], len(mask)
        if self.linear:
            pattern = jnp.where(mask[None], scores, 0)
            mixed = jnp.einsum("bqk,bkc->bqc", pattern, v)
        else:
            mixed = operations.masked_softmax_mean(scores, v, mask)
        mixed = mixed.reshape(batch, self.heads, count, -1).swapaxes(1, 2)
        return self.out(mixed.reshape(batch, count, -1))

    def pattern(
        self, x: Float[Array, "batch tokens width"], mask: Bool[Array, "tokens tokens"]
    ) -> Float[Array, "heads batch tokens tokens"]:
        """Returns how much of each token (column) is added up at each token (row)."""
        scores, _, mask = self._scores(x, mask, ALL)
        if self.linear:
            pattern = jnp.where(mask[None], scores, 0)
        else:
            pattern = jax.nn.softmax(jnp.where(mask[None], scores, -jnp.inf), axis=-1)
        pattern = pattern.reshape(x.shape[0], self.heads, *mask.shape)
        return pattern.swapaxes(0, 1)

    def _scores(
        self,
        x: Float[Array, "batch tokens width"],
        mask: Bool[Array, "tokens tokens"],
        at: slice,
    ) -> tuple[Array, Array, Array]:
        """Returns scores of the tokens `at`, values, and the mask's rows for them."""
        q, k, v = jnp.split(self.qkv(x), 3, axis=-1)
        q, k, v = map(self._apart, (q[:, at], k, v))
        scores = jnp.einsum("bqc,bkc->bqk", q * self.scale, k)
        return scores, v, mask[at]

    def _apart(
        self, x: Float[Array, "batch tokens inner"]
    ) -> Float[Array, "heads tokens head_dim"]:
        """Folds heads into prompts, because XLA is slow with two axes of that kind."""
        batch, count, _ = x.shape
        heads = x.reshape(batch, count, self.heads, self.head_dim).swapaxes(1, 2)
        return heads.reshape(batch * self.heads, count, self.head_dim)


class MLP(nnx.Module):
    """Two layers with a GELU between them."""

    def __init__(self, config: ModelConfig, units: int, *, rngs: nnx.Rngs):
        self.up = linear(config, config.width, units, rngs)
        self.down = linear(config, units, config.width, rngs)
        self.exact = config.activation == "erf"

    def __call__(self, x: Float[Array, "*axes width"]) -> Float[Array, "*axes width"]:
        """Applies both layers to every token."""
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
        """Returns the residual stream after this layer, at these tokens."""
        normed = self._attention_input(x)
        stream = normed if self.replaces_stream else x
        x = stream[:, at] + self.attention(normed, mask, at)
        if self.mlp is None:
            return x
        normed = self.norm_mlp(x) if self.norm_mlp else x
        return (normed if self.replaces_stream else x) + self.mlp(normed)

    def pattern(
        self, x: Float[Array, "batch tokens width"], mask: Bool[Array, "tokens tokens"]
    ) -> Float[Array, "heads batch tokens tokens"]:
        """Returns what attention looks at, given the stream in front of this layer."""
        return self.attention.pattern(self._attention_input(x), mask)

    def _attention_input(self, x: Array) -> Array:
        return self.norm_attention(x) if self.norm_attention else x


def layered(make: Callable[[], Any], config: ModelConfig) -> list[Any]:
    """Returns the layers of a body: a new one each time, or one again and again."""
    if config.shared_layers:
        return [make()] * config.layers
    return [make() for _ in range(config.layers)]


def linear(
    config: ModelConfig, inputs: int, outputs: int, rngs: nnx.Rngs, maps: int = 1
) -> Linear:
    """Returns a linear map, or `maps` of them side by side, initialised one by one."""
    make = partial(Linear, inputs, outputs, use_bias=config.bias, rngs=rngs)
    if config.init == "lecun":
        return make()
    if config.init == "small":
        return make(kernel_init=nnx.initializers.normal(0.1))
    bias = partial(uniform, fan=outputs // maps)
    return make(kernel_init=uniform, bias_init=bias)


def uniform(
    key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32, *, fan: int = 0
) -> Array:
    """Returns the released code's "uniform scaling" U(-1/sqrt k, 1/sqrt k).

    Here k is `fan`, or the number of rows.
    """
    bound = (fan or shape[0]) ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)
