# %% [markdown]
"""
# Where does a finding end? Shifted prompts

A model may answer as least squares does on prompts like those of its training, and do
something else on other prompts. Least squares itself is the same on all of them. So the
prompts on which the two differ show what the model has *not* learned.
"""

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

from icl import inference, load_pretrained
from icl.baselines import LeastSquares
from icl.tasks import shifts

trained = load_pretrained("d4")
task, model = trained.task, trained.model
prompts = task.sample(jax.random.key(0), batch=1000)

# %% [markdown]
"""
## The shifts of Garg et al. (2022)

A shift takes prompts and returns other prompts, together with the inputs at which the
learner is asked and the right answers there. These are all shifts of the package. A
shift of your own is a function that returns a `Shifted`.
"""

# %%
for name in shifts.SHIFTS:
    print(name)

# %% [markdown]
"""
## One shift, step by step

Here every x is stretched to three times its length. Errors are divided by the variance
of a label, so that a learner that always answers 0 has an error of about 1.
"""

# %%
shifted = shifts.scaled_inputs(3.0)(prompts, jax.random.key(1))
for name, learner in {"least squares": LeastSquares(), "transformer": model}.items():
    error = shifted.errors(inference.answers(learner, shifted)).mean(axis=0)
    print(f"{name:14s}", *(f"{value:8.4f}" for value in error))

# %% [markdown]
"""
The first column is the error after 0 examples, the next after 1, and so on. Least
squares does not care how long the inputs are. The transformer does.

## All of them
"""

# %% alt="Error of the transformer and of least squares on six kinds of shifted prompts"
chosen = (
    "none",
    "half subspace",
    "skewed",
    "w times 3",
    "x times 3",
    "noisy labels",
)
figure, panels = plt.subplots(2, 3, sharex=True, sharey=True, figsize=(6.4, 4.6))
table = {}
for panel, name in zip(panels.flat, chosen, strict=True):
    shifted = shifts.SHIFTS[name](prompts, jax.random.key(1))
    for label, learner in {"least squares": LeastSquares(), "model": model}.items():
        errors = shifted.errors(inference.answers(learner, shifted))
        panel.plot(np.maximum(errors.mean(axis=0), 1e-5), marker="o", label=label)
        table[name, label] = errors[:, [2, 8]].mean(axis=0)
    panel.set(title=name, yscale="log", ylim=(1e-5, 30), xticks=(0, 4, 8))
figure.supxlabel("number of examples in the context")
figure.supylabel("squared error / variance of a label")
panels[0, 0].legend(fontsize="small")
plt.show()

# %%
print(f"{'':16s} {'after 2 examples':>24s} {'after 8 examples':>24s}")
print(f"{'':16s} " + 2 * f"{'model':>12s}{'least sq.':>12s} ")
for name in chosen:
    ours, theirs = table[name, "model"], table[name, "least squares"]
    print(
        f"{name:16s} "
        + "".join(f"{a:12.4f}{b:12.4f} " for a, b in zip(ours, theirs, strict=True))
    )

# %% [markdown]
"""
Read the table by rows. Where the two columns agree, the model carries the algorithm
over to prompts that it never saw. Where the model's error is much larger, it does not:
longer inputs or larger weights than in training are such cases. With noisy labels,
least squares itself is a bad learner when there are as many examples as coordinates.

So "this model is least squares" is short for "this model answers as least squares does,
on prompts like those of its training". The full figure, with intervals and the claims
of the paper, is made by `python -m experiments.garg2022.shifts shipped`.
"""
