# %% [markdown]
"""
# How to catch a false finding

A probe is a small regression that reads a quantity out of hidden states. It nearly
always finds *something*, and that need not mean that the model has learned anything.
Here are three findings that look good and are false, each with the control that catches
it, and one that survives them all.
"""

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from icl import Prompts, inference, load_pretrained
from icl.model.building import build
from probes import probe_grid, random_function, selectivity

trained = load_pretrained("d4")
task, model = trained.task, trained.model
control = load_pretrained("d4-control").model
untrained = build(task.codec, model.config, jax.random.key(1))

prompts = task.sample(jax.random.key(0), batch=1500)
ys = np.asarray(prompts.ys)
networks = {"trained": model, "untrained": untrained, "trained on one w": control}
states = {
    name: inference.hidden_states(each, prompts)[:, :, -1:]  # at the last token
    for name, each in networks.items()
}
print("layers, prompts, tokens, features:", states["trained"].shape)

# %% [markdown]
"""
There are three networks of the same shape. The first was trained on prompts that each
have a weight vector w of their own, so that it must learn w in its context. The second
was not trained at all. The third was trained on prompts that all have the *same* w: it
had nothing to learn in its context. We look at the last token, a new x that follows
after eight examples.

## Finding 1: "the model keeps the mean of the labels"
"""

# %%
mean_label = ys[:, :-1].mean(axis=1, keepdims=True)
targets = {"mean label": mean_label, "label of the new x": ys[:, -1:]}
grids = {
    name: probe_grid(hidden, targets, progress=False) for name, hidden in states.items()
}
for name, grid in grids.items():
    best = grid.r2.sel(target="mean label").max().item()
    print(f"{name:17s} best R2 of the mean label: {best:.2f}")

# %% [markdown]
"""
In the trained network a linear probe reads a good part of the mean label. But it does
so in the network that **nobody trained**, too. An attention head with random weights
averages what it sees, so the mean of the labels is there for free. The finding is true
of the architecture, and says nothing about learning. The picture shows this target
beside a second one, the label of the new x, in all three networks.
"""

# %% alt="R2 of the mean label and of the next label, by layer, in three networks"
figure, panels = plt.subplots(1, 2, sharey=True)
for panel, target in zip(panels, targets, strict=True):
    for name, grid in grids.items():
        panel.plot(grid.r2.sel(target=target).squeeze(), marker="o", label=name)
    panel.set(title=target, xlabel="layer", ylim=(-0.1, 1.05))
    panel.set_xticks(range(0, 13, 3))
panels[0].set_ylabel("R2 on prompts held out")
panels[0].legend(fontsize="small", loc="upper left")
plt.show()

# %% [markdown]
"""
The label of the new x is another matter. It does not stand in the prompt, and it cannot
be guessed from x alone. Only the network that was trained to learn w in its context
knows it. (The third network answers with the w of its own training, which is of no use
here.)

## Finding 2: "w can be read at layer 0 already"

Layer 0 is the embedding. There, each token holds only itself, and nothing has been
computed. So the model cannot *know* w there. But a probe that is strong enough, and
that is given all tokens, may work w out by itself. Here is one that multiplies
features.
"""

# %%
many = task.sample(jax.random.key(2), batch=3000)
embedding = inference.hidden_states(model, many)[0, :, :-1]
flat = embedding.reshape(1, len(embedding), 1, -1)
# The embedding of x has four directions, and that of y one: keep these 5 of each pair.
directions = np.linalg.svd(flat[0, :, 0] - flat[0, :, 0].mean(axis=0))[2][:40]
small = flat @ directions.T
strong = make_pipeline(
    StandardScaler(), PolynomialFeatures(2), RidgeCV(np.logspace(0, 4, 5))
)
for name, probe in {"linear": None, "products of features": strong}.items():
    grid = probe_grid(
        small,
        {"w": np.asarray(many.weights)},
        probe=probe,
        control=False,
        progress=False,
    )
    print(f"layer 0, {name:20s} R2 of w: {grid.r2.item():.2f}")

# %% [markdown]
"""
The strong probe reads a good part of w where the model has computed nothing. It is the
*probe* that did regression. The control is layer 0 itself: always probe it too, and
prefer probes that fail there, as the linear one does.

## Finding 3: "w can be read", from prompts that share it

Suppose that your data has many prompts but few weight vectors, just as a language model
may see many prompts that are made from one text. If prompts with the same w are both
among those that a probe is fitted to and among those that test it, the probe can learn
the few vectors by heart.
"""

# %%
few = 5
rng = np.random.default_rng(0)
which = rng.integers(few, size=1500)
xs = rng.normal(size=(1500, task.length, task.dim)).astype("float32")
shared = rng.normal(size=(few, task.dim)).astype("float32")[which]
repeated = Prompts(xs, np.einsum("pid,pd->pi", xs, shared), shared)
hidden = inference.hidden_states(untrained, repeated)[1:2, :, 1::2]
hidden = hidden.mean(axis=2, keepdims=True)  # over the tokens of y
try:
    probe_grid(hidden, {"w": shared})
except ValueError as error:
    print("refused:", error)

# %% [markdown]
"""
`probe_grid` does not accept such data unless it is told which prompts belong together.
With `groups`, all prompts of one w are either for fitting or for testing. Below, the
same states are split in both ways. (`groups=np.arange(...)` insists that every prompt
is a group of its own.)
"""

# %%
for name, groups in {"by prompt": np.arange(1500), "by w": which}.items():
    grid = probe_grid(hidden, {"w": shared}, groups=groups, progress=False)
    print(f"untrained network, split {name:9s} R2 of w: {grid.r2.item():5.2f}")

# %% [markdown]
"""
## What survives

The trained network holds the label of a new x. But might the probe read *any* function
of that x as well? `random_function` makes twenty random smooth functions of the new x,
which nothing trained the model to compute. `selectivity` is the difference between the
score of the label and that of these functions, with an interval.
"""

# %%
chance = random_function(np.asarray(prompts.xs[:, -1]), seed=0)
both = probe_grid(
    states["trained"],
    {"label": ys[:, -1:], "random": chance},
    keep_resamples=True,
    progress=False,
)
found = selectivity(both.sel(target="label"), both.sel(target="random"), functions=True)
last = found.isel(layer=-1, token=0)
permuted = both.control_r2.sel(target="label").isel(layer=-1).item()
nobody = grids["untrained"].r2.sel(target="label of the new x").max().item()
low, high = last.selectivity_low.item(), last.selectivity_high.item()
print(f"R2 of the label, last layer               {last.task.item():5.2f}")
print(f"R2 of random functions of x               {last.control.item():5.2f}")
print(f"selectivity, the difference               {last.selectivity.item():5.2f}")
print(f"its 95 % interval                         {low:5.2f} to {high:.2f}")
print(f"R2 of the labels of other prompts         {permuted:5.2f}")
print(f"R2 in the untrained network, best layer   {nobody:5.2f}")

# %% [markdown]
"""
The probe reads the label far better than arbitrary functions of x, it reads nothing of
the labels of other prompts, and in an untrained network it fails at every layer. That
is a finding. Whether the model *uses* what the probe reads is another question, which
the tutorial on [editing hidden states](steering.md) asks.
"""
