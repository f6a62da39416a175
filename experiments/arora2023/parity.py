"""Many sparse parities at once: are the frequent ones learnt first?

Claim: a network that is trained on many subtasks learns each of them suddenly, the
frequent ones first, while the mean of their losses falls smoothly.

Paper: the multitask sparse parity of Michaud et al. 2023 (arXiv 2303.13506), which is
where Arora and Goyal's slow and fast skills can be seen in a trained network (claim
13). Sizes are smaller than theirs.

Run: python -m experiments.arora2023.parity quick

How to read it: an input has one control bit for each subtask, of which one is on, and
task bits; its label is the parity of a few task bits, which the subtask chooses.
Subtask i is drawn with a probability of i^-(1 + alpha), and a subtask is learnt once
its loss is below 0.1 bit. Left: the loss of some subtasks by training step, in bits,
and the mean over what is drawn (black). Right: the step at which each is learnt by its
probability, beside the power of -1 that the theory has (arrows: not learnt).
"""

import math
import sys
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import optax
import xarray as xr
from scipy.stats import spearmanr

from experiments import small_models
from experiments.engine.claims.claim import Claim, Interval
from experiments.engine.claims.judge import Judge
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import BLACK, BLUE, GREY, VERMILLION, canvas
from icl import checks
from icl.resampling import interval
from icl.skills import zipf
from icl.sweeps.store import Models

TIMES = {"tiny": "10 s", "quick": "2 min", "paper": "not known: a GPU"}

LEARNT = 0.1
"""A subtask is learnt once its loss is below so many bits."""


@dataclass(frozen=True)
class Config:
    """Settings of the subtasks, and of a network with one hidden layer.

    Attributes:
        subtasks: the number of subtasks.
        bits: the number of task bits.
        parts: the number of bits whose parity a subtask asks for.
        alpha: the exponent of the law of subtasks, less 1.
        width: the number of hidden units.
        steps: the number of updates.
        batch: the number of inputs in each.
        learning_rate: that of Adam.
        every: the number of updates between evaluations.
        asked: the number of inputs of each subtask in an evaluation.
        seed: of everything that is drawn.
    """

    subtasks: int = 60
    bits: int = 30
    parts: int = 2
    alpha: float = 0.4
    width: int = 128
    steps: int = 6_000
    batch: int = 1_000
    learning_rate: float = 3e-3
    every: int = 50
    asked: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        checks.positive_int("subtasks", self.subtasks, minimum=3, maximum=10_000)
        checks.positive_int("bits", self.bits, minimum=2, maximum=10_000)
        checks.positive_int("parts", self.parts, maximum=self.bits)
        most = math.comb(self.bits, self.parts)
        if self.subtasks > most // 2:
            raise ValueError(
                f"subtasks must be at most {most // 2}, half of the sets of "
                f"{self.parts} of {self.bits} bits, got {self.subtasks}."
            )
        checks.finite_number("alpha", self.alpha, positive=True)
        for name in ("width", "batch", "every", "asked"):
            checks.positive_int(name, getattr(self, name), maximum=1_000_000)
        checks.finite_number("learning_rate", self.learning_rate, positive=True)
        checks.positive_int("steps", self.steps, minimum=3 * self.every)
        checks.positive_int("seed", self.seed, minimum=0)


PRESETS = {
    "tiny": Config(
        subtasks=6, bits=6, width=64, steps=300, batch=128, every=50, asked=50
    ),
    "quick": Config(),
    "paper": Config(500, 100, 3, width=500, steps=200_000, batch=20_000,
                    learning_rate=1e-3, every=500),
}  # fmt: skip


def compute(config: Config, _: Models) -> xr.Dataset:
    """Trains the network, and evaluates all subtasks along the way.

    Returns:
        A Dataset of `loss` in bits over (step, subtask), and `probability` over
        subtask.
    """
    law = zipf(config.subtasks, 1 + config.alpha)
    keys = jax.random.split(jax.random.key(config.seed), 3)
    chosen = jnp.asarray(different_subsets(config))
    which = jnp.repeat(jnp.arange(config.subtasks), config.asked)
    asked = inputs(keys[1], which, chosen, config)

    def loss(params, key):
        pick, bits = jax.random.split(key)
        logits = jnp.log(jnp.asarray(law, "float32"))
        drawn = jax.random.categorical(pick, logits, shape=(config.batch,))
        return losses(params, *inputs(bits, drawn, chosen, config)).mean()

    def look(params):
        found = losses(params, *asked).reshape(config.subtasks, config.asked)
        return found.mean(axis=1)

    steps = list(range(config.every, config.steps + 1, config.every))
    found = small_models.train(
        loss,
        look,
        initial(keys[0], config),
        keys[2],
        optimizer=optax.adam(config.learning_rate),
        stops=steps,
    )
    return xr.Dataset(
        {
            "loss": (("step", "subtask"), found / np.log(2)),
            "probability": ("subtask", law),
        },
        coords={"step": steps},
    )


def different_subsets(config: Config) -> np.ndarray:
    """Returns the task bits of every subtask, (subtasks, parts), no two the same.

    A rare subtask with the bits of a frequent one would be learnt along with it.
    """
    rng, found = np.random.default_rng(config.seed), {}
    while len(found) < config.subtasks:
        drawn = rng.choice(config.bits, config.parts, replace=False)
        found[tuple(sorted(drawn.tolist()))] = None
    return np.array(list(found))


def initial(key: jax.Array, config: Config) -> dict[str, jax.Array]:
    """Returns the parameters of a network with one hidden layer."""
    first, second = jax.random.split(key)
    size, width = config.subtasks + config.bits, config.width
    return {
        "into": jax.random.normal(first, (size, width)) / np.sqrt(config.parts + 1),
        "shift": jnp.zeros(width),
        "out": jax.random.normal(second, (width,)) / np.sqrt(width),
    }


def inputs(
    key: jax.Array, which: jax.Array, chosen: jax.Array, config: Config
) -> tuple[jax.Array, jax.Array]:
    """Returns inputs (batch, subtasks + bits) and their labels, 0 or 1."""
    bits = jax.random.bernoulli(key, shape=(len(which), config.bits)).astype("float32")
    labels = jnp.take_along_axis(bits, chosen[which], axis=1).sum(axis=1) % 2
    control = jax.nn.one_hot(which, config.subtasks)
    return jnp.concatenate([control, bits], axis=1), labels


def losses(params: dict[str, jax.Array], xs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the cross-entropy of each label, in nats."""
    hidden = jax.nn.relu(xs @ params["into"] + params["shift"][None])
    return optax.sigmoid_binary_cross_entropy(hidden @ params["out"], labels)


# --- claims ---


def learning_steps(dataset: xr.Dataset) -> np.ndarray:
    """Returns the step at which each subtask is learnt; infinite where it is not."""
    below = dataset.loss.values < LEARNT
    first = dataset.step.values[below.argmax(axis=0)]
    return np.where(below.any(axis=0), first, np.inf)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns claims 13 and 13b, about one network."""
    judge = Judge("arora2023", "parity", "Michaud et al. 2023, section 3")
    steps, law = learning_steps(dataset), dataset.probability.values
    count = int(np.isfinite(steps).sum())
    missing = "" if count >= 5 else "Fewer than five subtasks are learnt in this run."

    def order(at: np.ndarray) -> float:
        return float(spearmanr(np.arange(len(law))[at], steps[at]).statistic)

    def slope(at: np.ndarray) -> float:
        known = at[np.isfinite(steps[at])]
        if len(set(known.tolist())) < 3:
            return np.nan
        return float(np.polyfit(np.log(law[known]), np.log(steps[known]), 1)[0])

    shared = f"resampled subtasks of one network, of which {count} are learnt"
    return [
        judge(
            "13",
            "Sparse parity: subtasks are learnt in the order of their frequency: the "
            "rank correlation of rank and step is above 0.8.",
            _over_subtasks(order, len(law), missing),
            ">",
            0.8,
            unit="rank correlation; subtasks that are not learnt come last",
            bar="ours",
            missing=missing,
            interval_over=shared,
        ),
        judge(
            "13b",
            "The step at which a subtask is learnt is inversely proportional to its "
            "frequency: the exponent is -1, to 0.1.",
            _over_subtasks(lambda at: slope(at) + 1, len(law), missing),
            "within",
            0.1,
            unit="exponent + 1",
            bar="ours",
            note="Michaud et al. found -0.81 where their theory has -1.",
            missing=missing,
            interval_over=shared,
        ),
    ]


def _over_subtasks(statistic, count: int, missing: str) -> Interval:
    if missing:
        return Interval(*(3 * [float("nan")]))
    rng, value = np.random.default_rng(0), statistic(np.arange(count))
    draws = np.array([statistic(rng.integers(0, count, count)) for _ in range(500)])
    low, high = interval(draws[np.isfinite(draws)])
    return Interval(value, min(float(low), value), max(float(high), value))


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws losses by step, and the step at which each subtask is learnt."""
    steps, law = learning_steps(dataset), dataset.probability.values
    with canvas(10, 4) as figure:
        left, right = figure.subplots(1, 2)
        shown = np.unique(np.geomspace(1, len(law), 12).round().astype(int)) - 1
        for place, subtask in enumerate(shown.tolist()):
            style = {"color": BLUE, "alpha": 1 - 0.8 * place / len(shown), "lw": 1}
            left.plot(dataset.step, dataset.loss[:, subtask], **style)
        mean = (dataset.loss * dataset.probability).sum("subtask")
        left.plot(dataset.step, mean, color=BLACK, lw=2, label="mean")
        left.set(xscale="log", title="subtasks, the frequent ones dark", ylim=(0, 1.3))
        left.set(xlabel="step of training", ylabel="loss in bits")
        left.legend(fontsize=8)
        known = np.isfinite(steps)
        right.loglog(law[known], steps[known], "o", color=BLUE, ms=4, label="learnt")
        last = float(dataset.step[-1])
        right.loglog(law[~known], np.full((~known).sum(), last), "^", color=VERMILLION,
                     ms=4, label="not learnt")  # fmt: skip
        if known.any():
            line = np.median(steps[known] * law[known]) / law
            inside = line < last
            right.loglog(law[inside], line[inside], "--", color=GREY, label="power -1")
        right.set(title="when is each subtask learnt?", xlabel="probability")
        right.set_ylabel("step")
        right.legend(fontsize=8)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
