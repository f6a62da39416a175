# %% [markdown]
"""
# What does a model know before its loss falls? Probing over training

In the course of training the loss of a model falls. Do its hidden states get ready for
this before, or do they hold an answer only when the model gives it? We train a small
transformer, keep checkpoints on the way, and ask at each of them what a probe can read.
"""

# %%
import tempfile
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

from icl import LinearRegression, ModelConfig, TrainConfig, inference, load, train
from icl.targets import learner_weights, moment, target_values
from probes import onset, probe_by_step, random_function

# %% [markdown]
"""
## A run that keeps its checkpoints

Training changes fastest at its beginning. So `checkpoints_per_decade` keeps checkpoints
at steps that are evenly spaced in their logarithm, and `evaluations_per_decade` has the
loss on held-out prompts at the same steps. Each checkpoint is a folder.
"""

# %%
task = LinearRegression(dim=2, length=8)
config = TrainConfig(
    steps=2000,
    batch=64,
    learning_rate=3e-3,
    evaluations_per_decade=4,
    checkpoints_per_decade=4,
    checkpoint_every=2000,
)
folder = Path(tempfile.mkdtemp())
model = ModelConfig(layers=3, width=32)
trained = train(task, model, config, key=jax.random.key(0), directory=folder)

checkpoints = sorted(folder.glob("step_*"))
print("checkpoints after", *(int(each.name[5:]) for each in checkpoints), "steps")

# %% [markdown]
"""
## What is looked for

All models read the same 1,000 prompts, which none was trained on. We look at the last
token, a new x after seven examples. There are four targets:

- the mean of x y over the examples, which one step of gradient descent needs;
- the least-squares weights of the examples;
- the next label, that of the new x, which the model is trained to predict;
- twenty random functions of the new x. Nothing trains the model to compute these, so
  they are a control: they show how much *any* function can be read better or worse
  because the states have changed.
"""

# %%
prompts = task.sample(jax.random.key(1), batch=1000)
values = target_values([moment(), learner_weights()], prompts)
targets = {
    "mean of x y": values["X'y / n"][:, -1],
    "OLS weights": values["w OLS"][:, -1],
    "next label": np.asarray(prompts.ys[:, -1:]),
    "random functions": random_function(np.asarray(prompts.xs[:, -1]), seed=0),
}


def states():
    """Yields the step and the hidden states of each checkpoint, one at a time."""
    for each in checkpoints:
        found = load(each)
        yield found.steps, inference.hidden_states(found.model, prompts)[:, :, -1:]


grid = probe_by_step(states(), targets, keep_resamples=True, progress=False)
print(dict(grid.r2.sizes))

# %% [markdown]
"""
`probe_by_step` is `probe_grid` at every checkpoint, with the same prompts, the same
split and the same resamples. So two steps differ in nothing but the network.

## The loss beside what can be read

The loss is that of the last prediction of a prompt, after seven examples. For each
target we take the layer that is best at the end of training.
"""

# %% alt="Above, the loss by training step. Below, the R2 of four targets by step"
loss = trained.history.held_out_loss.isel(context=-1)
loss = loss.sel(evaluation=loss.evaluation > 0)
figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(6.4, 6.0))
above.plot(loss.evaluation, loss, marker="o", color="black")
above.axhline(task.dim, color="grey", linestyle=":", label="predicting 0")
above.set(ylabel="squared error after 7 examples", ylim=(0, None))
above.legend(fontsize="small")
chosen = {}
for name in targets:
    scores = grid.sel(target=name, token=0)
    chosen[name] = scores.isel(layer=int(scores.r2.isel(step=-1).argmax("layer")))
    below.plot(grid.step, chosen[name].r2, marker="o", label=name)
    below.fill_between(grid.step, chosen[name].r2_low, chosen[name].r2_high, alpha=0.2)
below.set(xscale="log", xlabel="training step", ylabel="R2 on prompts held out")
below.set_ylim(-0.1, 1.05)
below.legend(fontsize="small", loc="upper left")
plt.show()

# %%
print(f"{'step':>5s}  loss  own R2", *(f" {name}" for name in targets))
for step in grid.step.values:
    now = loss.sel(evaluation=step).item()
    row = {name: scores.r2.sel(step=step).item() for name, scores in chosen.items()}
    print(
        f"{step:5d} {now:5.2f} {1 - now / task.dim:7.2f}",
        *(f"{value:{len(name) + 1}.2f}" for name, value in row.items()),
    )

# %% [markdown]
"""
The labels have a variance of 2, so that 1 - loss / 2 is the "own R2", that of the
model's own predictions. At first the loss falls to 2, which is that of predicting 0,
and meanwhile no target gets easier to read. An untrained network holds a little of the
mean of x y and of the weights, because attention with random weights is a kind of
average, and even this gets lost.

Then the label becomes readable, and its R2 stays close to that of the model's own
predictions: the probe finds no answer that the model does not give. The mean of x y and
the weights become readable after the label. So nothing here says that the model first
works out the weights and then applies them (but we look at one token: the weights may
stand at another). The random functions are read about equally well all the time. So the
others have not risen because everything has become easier to read.
"""

# %% [markdown]
"""
## From which step on?

A curve that rises slowly crosses any line somewhere, and where it does so moves with
the sample of prompts. `onset` gives the first checkpoint at which the unexplained share
of a target, 1 - R2, is at most half of what it was at the first checkpoint, with an
interval.
"""

# %%
half = loss.evaluation[loss <= loss[0] / 2][0].item()
print(f"{'the loss has halved':20s} step {half}")
for name, scores in chosen.items():
    found = onset(scores, along="step", share=0.5)
    ends = [float(found[end]) for end in ("onset", "onset_low", "onset_high")]
    first, low, high = (
        f"step {grid.step.values[int(at)]}" if at < np.inf else "never" for at in ends
    )
    print(f"{name:20s} {first:10s} interval: {low} to {high}")

# %% [markdown]
"""
The interval of the label ends before that of the weights begins, so that the label came
first in this run. ("never" is the end of an interval where the curve may not cross the
line at all.) Another seed would learn at other steps. To speak of models of a kind,
train several, join their grids along an axis "seed", and give them to `onset` together.

[Probing over training](../over_training.md) shows the same for a run of another
library.
"""
