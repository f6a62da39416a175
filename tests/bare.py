"""A model for tests that look at what is around one: it compiles in half the time."""

from icl import ModelConfig

BARE = ModelConfig(
    layers=1,
    width=8,
    mlp_width=0,
    norm="none",
    final_norm=False,
    attention="linear",
    bias=False,
)
