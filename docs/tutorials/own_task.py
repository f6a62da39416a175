# %% [markdown]
"""
# A task of your own

The tasks of the package are classes like any other, and yours can stand beside them.
Here we define a task, let `check_task` look at it, train a small transformer on it, and
ask whether it has found the learner that is best for *this* task.
"""

# %%
from dataclasses import dataclass
from itertools import product

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import icl
from icl import ModelConfig, Prompts, TrainConfig, train
from icl.baselines import Learner, LeastSquares, PrefixSolution, Ridge
from icl.compare import families, nearest
from icl.testing import check_task

# %% [markdown]
"""
## The task

Every coordinate of w is +1 or -1, and labels are noisy. With three coordinates there
are eight possible functions, so a few examples should be enough to tell which one made
the labels. A learner that does not know this, such as least squares, needs many more.
"""


# %%
@dataclass(frozen=True)
class Signs(icl.Task):
    """Linear functions whose weights are signs, with noisy labels."""

    dim: int = 3
    length: int = 9
    noise_std: float = 0.5

    def sample(self, key, *, batch):
        for_w, for_x, for_noise = jax.random.split(key, 3)
        w = jax.random.rademacher(for_w, (batch, self.dim), float)
        xs = self.sample_inputs(for_x, (batch, self.length))
        noise = self.noise_std * jax.random.normal(for_noise, (batch, self.length))
        return Prompts(xs, (xs * w[:, None]).sum(-1) + noise, w)

    def sample_inputs(self, key, shape):
        return jax.random.normal(key, (*shape, self.dim))


task = Signs()
check_task(task)
print("check_task found nothing wrong")

# %% [markdown]
"""
`check_task` draws a few batches and says in one sentence what is wrong, if anything is.
This is what it says of a task that draws its noise with NumPy and not from the key:
"""


# %%
rng = np.random.default_rng(0)


@dataclass(frozen=True)
class Impure(Signs):
    def sample(self, key, *, batch):
        prompts = super().sample(key, batch=batch)
        noise = rng.normal(size=prompts.ys.shape)
        return prompts._replace(ys=prompts.ys + noise)


try:
    check_task(Impure())
except ValueError as error:
    print(error)

# %% [markdown]
"""
## Training

A small transformer is enough. The losses below are squared errors on held-out prompts,
by number of examples.
"""

# %%
trained = train(
    task,
    ModelConfig(layers=3, width=32),
    TrainConfig(
        steps=1500,
        batch=64,
        optimizer="muon",
        learning_rate=1e-2,
        evaluate_every=500,
    ),
    key=jax.random.key(1),
)
losses = trained.history.held_out_loss
print("step    examples:", *(f"{n:5d}" for n in (0, 2, 4, 8)))
for step in losses.evaluation.values:
    row = losses.sel(evaluation=step).values
    print(f"{step:5d}            ", *(f"{row[n]:5.2f}" for n in (0, 2, 4, 8)))

# %% [markdown]
"""
## The best learner for this task

With eight candidates the best prediction can be written down: weigh each candidate w by
how well it explains the examples so far, and average what they predict (Bayes' rule). A
learner of your own derives from `Learner`: it has a name, and returns its weights and
predictions after every number of examples at once.
"""


# %%
@dataclass(frozen=True)
class BestForSigns(Learner):
    """Averages all sign vectors, weighed by how likely they make the examples."""

    noise_std: float

    @property
    def name(self):
        return "best for signs"

    def __call__(self, prompts):
        candidates = jnp.array(list(product((-1.0, 1.0), repeat=prompts.xs.shape[-1])))
        guesses = prompts.xs @ candidates.T  # prompts, examples, candidates
        squares = (guesses - prompts.ys[..., None]) ** 2
        misfit = squares.cumsum(axis=1) - squares  # of the examples before
        shares = jax.nn.softmax(-misfit / (2 * self.noise_std**2), axis=-1)
        weights = shares @ candidates
        return PrefixSolution(weights, (weights * prompts.xs).sum(-1))

    def predict_at(self, prompts, queries):
        return jnp.einsum("bld,blqd->blq", self(prompts).weights, queries)


prompts = task.sample(jax.random.key(2), batch=1000)
truth = prompts.ys
answers = {
    "transformer": trained.model(prompts).predictions,
    "best for signs": BestForSigns(task.noise_std)(prompts).predictions,
    "ridge regression": Ridge(task.noise_std**2)(prompts).predictions,
    "least squares": LeastSquares()(prompts).predictions,
}
errors = {name: ((found - truth) ** 2).mean(axis=0) for name, found in answers.items()}
for name, error in errors.items():
    print(f"{name:16s}", *(f"{error[n]:5.2f}" for n in (0, 1, 2, 4, 8)))

# %% alt="Squared error of the transformer and of three learners, by number of examples"
for name, error in errors.items():
    plt.plot(
        error, marker="o", label=name, linewidth=3 if name == "transformer" else 1.5
    )
plt.axhline(task.noise_std**2, color="grey", linestyle=":", label="noise alone")
plt.ylim(0, 4)
plt.xlabel("number of examples in the context")
plt.ylabel("squared error")
plt.legend(fontsize="small")
plt.show()

# %% [markdown]
"""
The dotted line is the noise of the label that is asked for. No learner can have a
smaller error on average. Least squares leaves the picture where there are as many
examples as coordinates, because it fits the noise.

## Which one is it?

`nearest` ranks families of learners, and we add yours to them. We compare after one and
two examples, where the learners differ most.
"""

# %%
found = nearest(
    answers["transformer"],
    prompts,
    {"signs": [BestForSigns(task.noise_std)], **families(task.dim)},
    contexts=(1, 2),
)
print(found)

# %% [markdown]
"""
The winner is the learner that knows which functions the task has. Nobody told the
transformer: it found them out in training. No textbook family comes as near, at any of
its settings.

The task can be used wherever one of the package can: in `save`, `load`, sweeps, probes
and figures. [The page on tasks](../tasks.md) says what else a task may have.
"""
