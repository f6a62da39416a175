"""What if the body is no transformer? An LSTM, between the same read-in and read-out.

Fu et al. 2024 hold transformers against it: layers are stacked as they are, so that
layer l reads the outputs of layer l - 1. It has hidden states by layer as a transformer
has, and nothing that attends.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from icl.model.config import ModelConfig
from icl.model.layers import ALL


class Recurrent(nnx.Module):
    """One layer of an LSTM (flax's), which is called as a decoder layer is."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.cell = nnx.OptimizedLSTMCell(config.width, config.width, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "batch tokens width"],
        mask: Bool[Array, "tokens tokens"],
        at: slice = ALL,
    ) -> Float[Array, "batch some width"]:
        """Returns the outputs at these tokens; each token sees all before it.

        The mask is not looked at: `Transformer` refuses any that is not causal.
        """
        del mask
        nothing = jnp.zeros((x.shape[0], x.shape[2]), x.dtype)
        inputs = jnp.swapaxes(x, 0, 1)
        _, outputs = jax.lax.scan(self.cell, (nothing, nothing), inputs)
        return jnp.swapaxes(outputs, 0, 1)[:, at]
