# %% [markdown]
"""
# Which learning algorithm is in my model? From zero in five minutes

A transformer reads examples (x1, y1), (x2, y2), ... and predicts the y of a new x. Its
weights do not change while it reads. If its predictions get better with every example,
it has learned something from the prompt, and there must be an algorithm by which it
does so. Which one is it? This tutorial finds out for a model that comes with the
package, in five minutes and without any training.
"""

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

from icl import load_pretrained
from icl.baselines import GradientDescent, LeastSquares, NearestNeighbors, Ridge
from icl.compare import (
    implied_weight_difference,
    implied_weights,
    linearity,
    nearest,
    squared_prediction_difference,
)

trained = load_pretrained("d4")
task, model = trained.task, trained.model
print(f"d = {task.dim} coordinates, prompts of up to {task.length} pairs")
print(f"{model.config.layers} layers of width {model.config.width}")

# %% [markdown]
"""
## What the model was trained on

The task says how a prompt is made. Here the inputs x have four coordinates, and every
prompt has a weight vector w of its own: y = w·x. The model never sees w. We draw
prompts that no training has seen.
"""

# %%
prompts = task.sample(jax.random.key(0), batch=1000)
print("xs     ", prompts.xs.shape, "  prompts, examples, coordinates")
print("ys     ", prompts.ys.shape, "     prompts, examples")
print("weights", prompts.weights.shape, "     prompts, coordinates")

# %% [markdown]
"""
## Does it learn from the prompt?

One call returns a prediction at every x, made from the examples before it. So column i
of the predictions was made from i examples. The predictions of a textbook learner are
an array of the same shape: it is fitted again to the first i examples, for every i.
"""

# %%
predictions = np.asarray(model(prompts).predictions)
learners = {
    "least squares": LeastSquares(),
    "ridge regression, alpha = 1": Ridge(1.0),
    "10 steps of gradient descent": GradientDescent(steps=10, rate=0.02),
    "3 nearest neighbours": NearestNeighbors(3),
}
answers = {name: np.asarray(fit(prompts).predictions) for name, fit in learners.items()}
truth = np.asarray(prompts.ys)

print(f"{'examples':30s}", *(f"{n:6d}" for n in range(0, 9, 2)))
for name, found in {"transformer": predictions, **answers}.items():
    error = ((found - truth) ** 2).mean(axis=0)
    print(f"{name:30.30s}", *(f"{error[n]:6.2f}" for n in range(0, 9, 2)))

# %% [markdown]
"""
The first column is the error without any example, where every learner can only guess 0.
The transformer improves with each example, and its row is almost that of least squares.
But errors alone do not tell learners apart: two of them can be equally wrong and still
answer differently. So we compare the answers.

## Does it answer as a known learner does?

The *squared prediction difference* (SPD) is the mean square of the difference between
two learners' predictions, at the same x and after the same examples. If it is zero, the
two cannot be told apart on these prompts.
"""

# %% alt="Difference between the transformer and four learners, by number of examples"
dim = task.dim
for name, found in answers.items():
    spd = squared_prediction_difference(predictions, found, divide_by=dim)
    (line,) = plt.plot(spd.value, marker="o", label=name)
    plt.fill_between(
        range(len(spd.value)), spd.low, spd.high, color=line.get_color(), alpha=0.2
    )
plt.yscale("log")
plt.xlabel("number of examples in the context")
plt.ylabel("SPD to the transformer, over d")
plt.legend(fontsize="small")
plt.show()

# %% [markdown]
"""
Lower is nearer. At every number of examples but 0, where all learners answer 0, the
transformer is far closer to least squares than to the others. It is farthest from least
squares where there are as many examples as coordinates. There the examples are often
nearly linearly dependent, and a small error in the computation becomes a large error of
the answer. The bands are 95 % intervals over prompts.

## Which learner is the nearest of all?

Perhaps another learner is nearer still: ridge regression with a small penalty, or
gradient descent with many steps. `nearest` tries every family of textbook learners,
each with its best settings, and says whether the winner is separated from the
runner-up, that is, nearer in almost every resample of the prompts. The distances are
averages over 1 to d - 1 examples, where the examples do not determine w yet and
learners differ most.
"""

# %%
found = nearest(predictions, prompts)
print(found)

# %% [markdown]
"""
Read the table from the top. The best members of the first two families differ little
from each other: ridge regression with a tiny penalty *is* nearly least squares, and
since its penalty was chosen to fit, it can come a little nearer. The best members of
gradient descent and of Newton's iteration are at the ends of their grids of settings:
with more steps they become least squares as well. The last three are a hundred times
farther away.

## Is it the same function of the new x?

So far each prompt asked for one prediction after each number of examples. Now we ask
for 64 more, at other inputs, and fit a weight vector to these answers. An R2 says how
well a linear function describes them. Then we compare the fitted weights with those of
least squares.
"""

# %%
few = jax.tree.map(lambda array: array[:100], prompts)
shape = (*few.xs.shape[:2], 64, dim)
queries = task.sample_inputs(jax.random.key(1), shape[:3])
asked = model.predict_at(few, queries)
implied = implied_weights(queries, asked)
linear = linearity(implied)
solution = LeastSquares()(few)
difference = implied_weight_difference(implied.weights, solution.weights, divide_by=dim)
print("examples   R2 of a linear function   distance from the weights of least squares")
for n in (1, 2, 4, 6, 8):
    print(f"{n:8d}   {linear.value[n]:23.3f}   {difference.value[n]:42.4f}")

# %% [markdown]
"""
An R2 of 1 would say that the model is exactly linear in the new x. The small distance
between the fitted weights and those of least squares says that both are nearly the same
linear function. As before, the distance is largest where there are as many examples as
coordinates.

## What we know now, and what we do not

On prompts like those of its training, this model computes the function that
minimum-norm least squares computes, or ridge regression with a tiny penalty. We have
**not** seen *how*: many procedures end in the same answers. Other tutorials look inside
the model: one is about [probes and their controls](false_finding.md), and one about
[editing hidden states](steering.md). And the finding may not hold on other prompts: see
[shifted prompts](shifts.md).

## The same for a model of your own

`nearest` takes anything that predicts: an `icl` model, an array of predictions, or a
function of prompts. So it can also rank a PyTorch model, or a remote service that a
function calls.
"""


# %%
def my_model(prompts):
    """Returns predictions (prompts, examples): here half of the average of x y."""
    products = prompts.xs * prompts.ys[..., None]
    before = np.cumsum(products, axis=1) - products
    weights = before / np.maximum(np.arange(prompts.ys.shape[1]), 1)[:, None]
    return 0.5 * (weights * prompts.xs).sum(axis=-1)


print(nearest(my_model, prompts))

# %% [markdown]
"""
It is nearest to one step of gradient descent. That is what we wrote: one step from w =
0 is a sum of x y, and we took half of their average.
"""
