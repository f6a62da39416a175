# %% [markdown]
"""
# Is it emergence? A table of your own

Scores of models of several sizes, or of one model at several training steps, sometimes
jump. Is the jump in the model or in the metric? You need no model to ask. A table of
scores is enough to measure the *shape* of the curve. With the outcomes behind the
scores, you can score them again by another metric.
"""

# %%
import csv
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from icl.emergence import Curve, Errors, genuineness, null_quantiles, shape, transition

# %% [markdown]
"""
## A table

Here is a file as you may have it: one row for each model, with its size and its
accuracy. Two numbers describe the shape of the curve. *Linearity* is 1 for a straight
line, and small if all of the rise is in a few steps. *Breakthroughness* is 1 for a
straight line, and large if most of the curve is flat. Noise alone gives a curve some
breakthroughness, so we also print what noise hardly ever exceeds.
"""

# %%
rows = """parameters,accuracy
100000,0.00
500000,0.00
2000000,0.01
10000000,0.00
60000000,0.01
300000000,0.02
2000000000,0.30
10000000000,0.85
60000000000,0.97
"""
path = Path(tempfile.mkdtemp()) / "scores.csv"
path.write_text(rows)
with path.open() as file:
    table = list(csv.DictReader(file))
sizes = np.array([float(row["parameters"]) for row in table])
accuracy = np.array([float(row["accuracy"]) for row in table])
curve = Curve(sizes, accuracy)

found = shape(curve)
sudden = found.normalised_breakthroughness.item()
noise = null_quantiles(len(sizes))
print(f"linearity, 1 for a straight line    {found.normalised_linearity.item():.2f}")
print(f"breakthroughness                    {sudden:.1f}")
print(f"what noise stays below, of 9 points {noise.breakthroughness:.1f}")

# %% [markdown]
"""
The linearity is well below that of a straight line, and the breakthroughness is above
what noise has. So this curve does jump. (From a shell, `python -m
experiments.emergence.curve scores.csv` says the same in words.)

## The same outcomes, scored again

The test of a jump is to score the *same outputs* by another metric. For this, keep the
outcome of every question, and average last. Here we make up such outcomes, for a
learner whose errors are halved at each step. It gets better gradually, and nothing
about it is sudden. It is asked eight questions after each of 300 prompts, some of which
are harder than others.
"""

# %%
rng = np.random.default_rng(0)
steps = 2.0 ** np.arange(9)
hardness = rng.lognormal(size=(300, 1))
noise_of_answers = hardness * rng.normal(size=(300, 8))
errors = Errors(steps, noise_of_answers / steps[:, None, None])  # scale, prompt, query

metrics = {
    "logarithm of the error": errors.log_nmse(),
    "share of right answers": errors.hit(0.1),
    "all eight answers right": errors.all_of(8, epsilon=0.1),
}
for name, metric in metrics.items():
    found = shape(metric, resamples=100)
    print(
        f"{name:24s} linearity {found.normalised_linearity.item():5.2f}  "
        f"breakthroughness {found.normalised_breakthroughness.item():5.2f}"
    )

# %% alt="Three metrics of the same outcomes, by scale, each from its worst to its best"
for name, metric in metrics.items():
    score = metric.values
    share = (score - score[0]) / (score[-1] - score[0])
    plt.plot(steps, share, marker="o", label=name)
plt.xscale("log", base=2)
plt.xlabel("scale: the errors are divided by it")
plt.ylabel("share of the way from worst to best")
plt.legend(fontsize="small")
plt.show()

# %% [markdown]
"""
The logarithm of the error is a straight line. "All eight right" starts flat and then
rises steeply, from the very same numbers. So its jump comes from the metric.

## Four tests at once

`genuineness` runs up to four tests of whether a jump is the model's; the fourth needs
the scores of several seeds. We print the results of two of them. How far does the jump
move when the threshold for a right answer is moved? And how much does the share of
prompts with all eight answers right differ from the product of the shares of right
answers to each question? `transition` says at which scale the curve has risen half of
the way.
"""

# %%
tests = genuineness(errors)
print(
    f"the jump moves with the threshold by {tests.threshold_decades.item():.1f} decades"
)
print(f"exact match differs from a product by {tests.product_gap.item():.2f}")
rise = transition(errors.hit(0.1), low=0.0, high=1.0)
print(f"half of the way is covered at scale   {rise.x50.item():.1f}")

# %% [markdown]
"""
A jump in the model would stay where it is when the threshold for "right" is moved. This
one moves. [The page on emergence](../emergence.md) says what each number means, and
when it misleads.
"""
