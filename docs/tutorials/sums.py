# %% [markdown]
"""
# Probes under their ceilings: a model that adds

A probe that reads the weights of a regression is hard to judge: how much of them
*could* be known at a token? For sums this question has an exact answer. We take a small
model that adds, and compare probes of its carries with what any reader of the line
could know.
"""

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

from icl import inference, load_pretrained
from icl.codecs.matching import exact_match
from icl.model.building import build
from icl.targets import prefix_ceilings, sum_targets, target_values
from probes import probe_grid

# %% [markdown]
"""
## The model

Each line is a sum of two numbers with three digits. The answer is written with its
units first, as Lee et al. (2023) propose, so that a carry is needed right after the
digit that makes it. Beside the model stands an untrained one of the same shape.
"""

# %%
trained = load_pretrained("add3")
task = trained.task
names = task.codec.names
print(repr(task.line(128, 367)), "is 128 + 367 = 495")
print("characters:", " ".join(names))

untrained = build(task.codec, trained.model.config, jax.random.key(1))
lines = task.test(1000)  # sums that are not in the training set
networks = {"trained": trained.model, "untrained": untrained}
for name, model in networks.items():
    right = exact_match(inference.predictions(model, lines), lines, model.codec)
    print(f"{name:10s} share of right answers: {right.mean():.3f}")

# %% [markdown]
"""
## What can be known, and where

`prefix_ceilings` goes through all sums of this form and works out how much of a
quantity follows from the characters read so far. Here it is done for the carry out of
the units, "carry 0", and for the one out of the tens, "carry 1".
"""

# %%
carries = [sum_targets(3)[name] for name in ("carry 0", "carry 1")]
ceilings = prefix_ceilings(carries, task.every_sum())
print("character ", *(f"{name:>5s}" for name in names))
for name, values in ceilings.items():
    print(f"{name:10s}", *(f"{value:5.2f}" for value in values))

# %% [markdown]
"""
A ceiling of 1 means that the carry is settled by then. Over all sums, no probe of any
model can score more than the ceiling, at any layer.

## What the model holds
"""

# %% alt="R2 of two carries at each character, with their ceilings, in two networks"
values = target_values(carries, lines)
grids = {}
for name, model in networks.items():
    grids[name] = probe_grid(
        inference.hidden_states(model, lines),
        values,
        tokens=names,
        groups=np.arange(1000),
        ceilings=ceilings,
        progress=False,
    )
until = names.index("s3") + 1  # the end of the line says nothing new
figure, panels = plt.subplots(1, 2, sharey=True)
for panel, carry in zip(panels, values, strict=True):
    panel.plot(ceilings[carry][:until], "k:", label="ceiling")
    for name, grid in grids.items():
        best = grid.r2.sel(target=carry).max("layer").values
        panel.plot(best[:until], marker="o", label=name)
    panel.set(title=carry, ylim=(-0.1, 1.05), xlabel="character")
    panel.set_xticks(range(until), names[:until], fontsize=8)
panels[0].set_ylabel("R2 of the best layer")
panels[0].legend(fontsize="small")
plt.show()

# %%
print("           " + "R2 of the best layer at".center(18))
print("           " + " ".join(f"{place:>5s}" for place in ("b0", "=", "s0", "s1")))
for carry in values:
    for name, grid in grids.items():
        best = grid.r2.sel(target=carry).max("layer")
        found = [best.sel(token=place).item() for place in ("b0", "=", "s0", "s1")]
        print(f"{carry} {name:10s}", *(f"{value:5.2f}" for value in found))

# %% [markdown]
"""
The dotted line is what could be known. (A score a little above it is chance: the
ceiling is that of all sums, and the score is of a sample.) In the trained model each
carry can be read where the model writes the digit of the same column: at = it is about
to write s0, the digit of the units, and at s0 it is about to write s1. There the
untrained network has little.

At other characters the trained model stays far below the ceiling. The carry could be
known there, but a linear probe does not find it. Without the ceiling we could not tell
this case from a carry that nobody can know yet.

The full figure, with several seeds and intervals, is made by `python -m
experiments.lee2023.probed_sums quick`.
"""
