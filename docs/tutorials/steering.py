# %% [markdown]
"""
# Does the model use what a probe reads?

A probe shows that something *can* be read from hidden states. The model may ignore
it all the same. To find out, we write another value into the states, let the model go
on from there, and check whether its prediction follows.
"""

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

from icl import Prompts, inference, load_pretrained
from probes import donors, movement, probe_grid, random_change, write

trained = load_pretrained("d4")
task, model = trained.task, trained.model
drawn = task.sample(jax.random.key(0), batch=1000)
xs, ys, w = np.asarray(drawn.xs), np.asarray(drawn.ys), np.asarray(drawn.weights)
prompts = Prompts(xs, ys, w)
hidden = inference.hidden_states(model, prompts)
before = inference.predictions(model, prompts)[:, -1]
print("layers, prompts, tokens, features:", hidden.shape)

# %% [markdown]
"""
## What we want the model to believe

Each prompt gets a *donor*, another prompt. We want the model to predict as if the
labels had come from the donor's weight vector: y' = w'·x at the prompt's own inputs. At
the last x, which has no label yet, the wanted prediction is w'·x too.
"""

# %%
donor = donors(np.arange(len(w)), seed=0)
wanted = np.einsum("pid,pd->pi", xs, w[donor])
print("label of the first example, in four prompts ", *(f"{y:6.2f}" for y in ys[:4, 0]))
print(
    "what we write in its place                  ",
    *(f"{y:6.2f}" for y in wanted[:4, 0]),
)

# %% [markdown]
"""
## The edit, layer by layer

At one layer we take the states of the tokens of y, fit a linear probe that reads the
labels from them, and change the states *as little as possible* so that the probe reads
the wanted labels. The states of x, and of the last token, are left alone. Beside each
edit stands a control: a change of the same size in a random direction.
"""


# %%
def edited(layer):
    """Returns the states of a layer with other labels, and with random changes."""
    state = hidden[layer]
    at_labels = state[:, 1::2].reshape(len(state), -1)  # a prompt's y-tokens together
    probe = probe_grid(
        at_labels[None, :, None],
        {"labels": ys[:, :-1]},
        coefficients=True,
        control=False,
        progress=False,
    ).sel(layer=0, token=0, target="labels")
    new = write(
        at_labels,
        probe.coef.values,
        probe.intercept.values,
        wanted[:, :-1],
        covariance=np.cov(at_labels.T),
    )
    other = at_labels + random_change(new - at_labels, seed=layer)
    found = []
    for values in (new, other):
        changed = state.copy()
        changed[:, 1::2] = values.reshape(changed[:, 1::2].shape)
        found.append(changed)
    return probe.r2.item(), *found


layers = list(range(0, len(hidden), 2))
r2s, steered, randomly = [], [], []
for layer in layers:
    r2, new, other = edited(layer)
    r2s.append(r2)
    for moves, states in ((steered, new), (randomly, other)):
        after = inference.resumed(model, states, layer)
        moves.append(movement(before, after, wanted[:, -1]))
print("layer  R2 of the probe  moved by the edit         by a random change")
for layer, r2, edit, chance in zip(layers, r2s, steered, randomly, strict=True):
    print(
        f"{layer:5d}  {r2:15.2f}  {edit.toward:5.2f} [{edit.toward_low:5.2f}, "
        f"{edit.toward_high:5.2f}]      {chance.toward:5.2f}"
    )

# %% [markdown]
"""
A movement of 1 means that the prediction went all the way to the wanted one, and 0
means that it did not move toward it. The brackets hold a 95 % interval over prompts.
"""

# %% alt="How far predictions follow an edit of the labels, by layer of the edit"
plt.plot(layers, r2s, "o:", color="grey", label="R2 of the probe that reads labels")
for name, moves in {"edit": steered, "random change": randomly}.items():
    (line,) = plt.plot(layers, [each.toward for each in moves], "o-", label=name)
    low = [each.toward_low for each in moves]
    high = [each.toward_high for each in moves]
    plt.fill_between(layers, low, high, color=line.get_color(), alpha=0.2)
plt.axhline(0, color="black", linewidth=0.8)
plt.xlabel("layer whose states were edited")
plt.ylabel("movement toward the wanted prediction")
plt.legend(fontsize="small")
plt.show()

# %% [markdown]
"""
In the first layers the prediction follows the edit: this is where the model reads the
labels. In the last layers the prediction does not move any more, although the probe
still reads the labels there. By then, what the last token needed has been carried to
it. So **a high R2 does not show that the model uses what is read**: the dotted curve
stays high where the edit does nothing.

## When an edit misleads

- An edit that is too large leaves the region of states that the model knows. Then
  anything may happen. The random change shows how much a change of this size does.
- Where an edit has no effect, the model may keep a second copy elsewhere.
- An edit that works shows that the model's later layers *can* use the direction, for
  these prompts and this network.

The docstrings of `probes.interventions` say more about each of these.
"""
