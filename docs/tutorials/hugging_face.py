# %% [markdown]
"""
# Probing a Hugging Face model

`probes.torch` takes hidden states out of any PyTorch model, and puts edited ones back.
Here the model is a GPT-2 of the `transformers` library. Its weights are random, so that
nothing is downloaded. We hide something in it, so that we know what the probe has to
find, and where.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from probes import probe_grid, random_change, write
from probes.plot import heatmap
from probes.torch import check_edits, resume, states

torch.set_num_threads(2)
_ = torch.manual_seed(0)
shape = GPT2Config(
    vocab_size=2,
    n_positions=12,
    n_embd=32,
    n_layer=4,
    n_head=2,
    bos_token_id=0,
    eos_token_id=0,
)
gpt2 = GPT2LMHeadModel(shape).eval()
print(f"{sum(p.numel() for p in gpt2.parameters()):,} parameters, all of them random")

# %% [markdown]
"""
## What we hide

The prompts are twelve random bits. We switch the attention off in all blocks but the
second (block 1, counted from 0), and make it strong there. So before block 1 a token
knows only itself. After it, the last token can know how many ones the prompt holds.
"""

# %%
for index, block in enumerate(gpt2.transformer.h):
    block.attn.c_proj.weight.data *= 50 if index == 1 else 0
tokens = torch.randint(2, (1000, 12))
ones = tokens.sum(1, keepdim=True).numpy()
print("a prompt", tokens[0].tolist(), "ones", ones[0].item())

# %% [markdown]
"""
## Hidden states

`states` needs the name of the list of blocks. `check_edits` is a short test that states
can be put back: unchanged states must leave the output as it is, and a large change of
them must change it.
"""

# %%
hidden = states(gpt2, tokens, blocks="transformer.h")
print("layers, prompts, tokens, features:", hidden.shape)
effects = check_edits(gpt2, tokens[:8], blocks="transformer.h")
print(
    f"output moves by {effects.identity.max():.0e} where states are put back unchanged"
)

# %% [markdown]
"""
## Where can the number of ones be read?

We fit one probe for every layer and token. Many prompts have the same number of ones,
but this does not make them belong together: `groups` says that each is a group of its
own.
"""

# %% alt="R2 of the number of ones, for every layer and token"
grid = probe_grid(
    hidden,
    {"ones": ones},
    groups=np.arange(len(ones)),
    coefficients=True,
    progress=False,
)
axes = heatmap(grid, target="ones")
axes.grid(False)
plt.show()

# %%
print("layer  R2 at the last token  R2 of the ones of other prompts")
for layer in grid.layer.values:
    cell = grid.sel(target="ones", token=11, layer=layer)
    print(f"{layer:5d}  {cell.r2.item():20.2f}  {cell.control_r2.item():31.2f}")

# %% [markdown]
"""
The probe finds what we hid, where we hid it: after block 1, which is layer 2 of the
states, and best at the last token, which sees the whole prompt. In earlier layers the
last token knows only itself. That is one bit of twelve, which explains the little that
can be read there. In later layers, earlier tokens have seen a part of the prompt, and
know that part of the sum.

## Does the model use it?

Random weights were trained for nothing, but the output still depends on the states. We
write the opposite number (12 minus the ones) into layer 2 at the last token, let GPT-2
go on, and look at the difference of its two logits. A random change of the same size
stands beside it.
"""

# %%
cell = grid.sel(layer=2, token=11, target="ones")
last = hidden[2][:, 11]
edited = hidden[2].copy()
edited[:, 11] = write(
    last,
    cell.coef.values,
    cell.intercept.values,
    12 - ones,
    covariance=np.cov(last.T),
)
changed = hidden[2] + random_change(edited - hidden[2], seed=0)


def preference(layer_states):
    """Returns how much the model prefers a 1 as the next token."""
    logits = resume(
        gpt2,
        tokens,
        2,
        layer_states,
        blocks="transformer.h",
        read=lambda output: output.logits[:, -1],
    )
    return logits[:, 1] - logits[:, 0]


found = {"unchanged": hidden[2], "opposite number": edited, "random change": changed}
for name, layer_states in found.items():
    follows = np.corrcoef(preference(layer_states), ones[:, 0])[0, 1]
    print(f"{name:16s} correlation of the preference with the ones {follows:5.2f}")

# %% [markdown]
"""
The edit turns the sign of the correlation around, and the random change does not. So
the output depends on the direction that the probe found.

With a real model, only two lines change: load it with `from_pretrained`, and give the
name of its blocks, "model.layers" for Llama, Mistral, Qwen and Gemma, and
"gpt_neox.layers" for Pythia. [The page on PyTorch](../torch.md) says what to do about
padding and about states that do not fit into memory, and how to do the same with
nnsight and TransformerLens.
"""
