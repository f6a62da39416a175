"""Sine regression: a layer of linear attention behind an MLP.

Claim: behind an MLP that learns features of x, a layer of linear attention regresses
sines as well as one step of gradient descent on the last layer of the same MLP, which
was trained for that.

Paper: Figure 4 of von Oswald et al. 2023 (claims O10; the floor, O11, is ours).

Run: python -m experiments.vonoswald2023.sine quick

How to read it: on the left is the loss while models learn, a line for each seed, of the
MLP with a layer of attention and of the MLP with a gradient step; dashed lines are
predicting 0, and the floor: one step with the best preconditioner on the true features
sin x and cos x, from w = 0. A model below the floor has learnt something else than one
step. Both have the same learning rate, 0.001; the paper's MLP with a step has 0.0003.
On the right are answers of the first of each to one prompt. A function is
y = A sin(x + phi) with x uniform on (-5, 5). In the paper A and phi are independent; in
its released code they are drawn from one key, so that A = 0.1 + 0.4 phi / pi and there
is one parameter (--coupled). Losses are mean squared errors at the query, which the
paper halves.
"""

import sys
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import Ratio, Statistic
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, canvas
from experiments.vonoswald2023.own_training import Training, Weights, train
from icl import checks
from icl.sweeps.store import Models

TIMES = {
    "tiny": "10 s",
    "quick": "12 min",
    "paper": "15 min on one H100, an estimate",
}

LEARNERS = ("attention", "gradient step")
LINE = np.linspace(-5.0, 5.0, 101)
"""The inputs that are asked about in the picture."""


@dataclass(frozen=True)
class Config:
    """Settings of the two models and of their task.

    Attributes:
        training: how both are trained.
        pairs: the number of pairs in the context; one more x is the query.
        width: the size of the embedding of a token.
        units: the number of units of the MLP.
        coupled: whether the amplitude follows from the phase, as in the released code.
        seeds: the number of models of each kind.
        evaluation: the prompts on which they are compared.
    """

    training: Training
    pairs: int = 10
    width: int = 40
    units: int = 160
    coupled: bool = False
    seeds: int = 3
    evaluation: Evaluation = Evaluation(prompts=10_000, seed=1, resamples=500)

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "pairs", "width", "units", "seeds")
        checks.normalise(self, checks.flag, "coupled")


PRESETS = {
    "tiny": Config(
        Training(steps=20, batch=8, looks=4),
        pairs=4,
        width=4,
        units=8,
        seeds=2,
        evaluation=Evaluation(prompts=48, seed=1, resamples=100),
    ),
    "quick": Config(Training(steps=8_000, batch=512, clip=100.0)),
    "paper": Config(Training(steps=20_000, batch=2_048, clip=100.0), seeds=5),
}


# --- the task and the models ---


def sample(
    config: Config, key: Key[Array, ""], batch: int
) -> tuple[Float[Array, "batch length"], Float[Array, "batch length"]]:
    """Draws inputs and labels; the last pair is the query."""
    of_inputs, of_phase, of_size = jax.random.split(key, 3)
    shape = (batch, config.pairs + 1)
    xs = jax.random.uniform(of_inputs, shape, minval=-5.0, maxval=5.0)
    phase = jax.random.uniform(of_phase, (batch, 1), maxval=jnp.pi)
    size = 0.1 + 0.4 * jax.random.uniform(of_size, (batch, 1))
    if config.coupled:
        size = 0.1 + 0.4 * phase / jnp.pi
    return xs, size * jnp.sin(xs + phase)


def start(
    config: Config, learner: str, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Returns random weights of the embedding and the MLP, and of what is behind."""
    width, units = config.width, config.units
    entries = 2 if learner == "attention" else 1
    shapes = {"embed": (entries, width), "up": (width, units), "down": (units, width)}
    if learner == "attention":
        shapes |= {"query": (width, width), "key": (width, width), "value": (width, 1)}
    drawn = {
        name: random.standard_normal(shape) / shape[0] ** 0.5
        for name, shape in shapes.items()
    }
    drawn |= {"shift": np.zeros(width), "shift_up": np.zeros(units)}
    if learner == "attention":  # which begins near 0, as for linear regression
        return drawn | {name: 0.1 * drawn[name] for name in ("query", "key", "value")}
    return drawn | {"rate": np.array(0.01)}


def features(
    weights: Weights, tokens: Float[Array, "length entries"]
) -> Float[Array, "length width"]:
    """Returns embedded tokens with what the MLP adds to them."""
    state = tokens @ weights["embed"] + weights["shift"][None]
    hidden = jax.nn.gelu(state @ weights["up"] + weights["shift_up"][None])
    return state + hidden @ weights["down"]


def answer(
    learner: str,
    weights: Weights,
    xs: Float[Array, " length"],
    ys: Float[Array, " length"],
) -> Float[Array, ""]:
    """Returns what a learner answers at the last x; its label is not looked at."""
    if learner == "attention":
        ys = ys.at[-1].set(0.0)
        states = features(weights, jnp.stack([ys, xs], axis=1))
        scores = (states[:-1] @ weights["key"]) @ (states[-1] @ weights["query"])
        return scores @ (states[:-1] @ weights["value"])[:, 0] / (len(xs) - 1)
    states = features(weights, xs[:, None])
    step = weights["rate"] * ys[:-1] @ states[:-1] / (len(xs) - 1)
    return step @ states[-1]


def answers(
    learner: str,
    weights: Weights,
    xs: Float[Array, "batch length"],
    ys: Float[Array, "batch length"],
) -> Float[Array, " batch"]:
    """Returns the answers at the last x of each prompt."""
    return jax.vmap(lambda x, y: answer(learner, weights, x, y))(xs, ys)


def floor(xs: np.ndarray, ys: np.ndarray) -> float:
    """Returns the loss of one step on sin x and cos x with the best preconditioner.

    The answer is psi(x_q)' G (1/n) sum y psi(x), which is linear in the four entries of
    G: they are fitted to these prompts.
    """
    psi = np.stack([np.sin(xs), np.cos(xs)], axis=-1)
    mean = np.einsum("bn,bni->bi", ys[:, :-1], psi[:, :-1]) / (xs.shape[1] - 1)
    columns = np.einsum("bi,bj->bij", psi[:, -1], mean).reshape(len(xs), 4)
    left = np.linalg.lstsq(columns, ys[:, -1])[1]
    return float(left[0] / len(xs))


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains both kinds of models, and compares them on the same prompts.

    Returns:
        A Dataset with `loss` over (learner, seed, step), `error` (learner, seed,
        prompt), `zero` (prompt), the squared labels, `apart` (seed, prompt), squared
        differences of the two answers, and, of one prompt, `asked` (learner, at) with
        its pairs and its function.
    """
    del models  # these are of a kind of their own
    draw = jax.jit(lambda key: sample(config, key, config.evaluation.prompts))
    xs, ys = draw(jax.random.key(config.evaluation.seed))
    prompts, right = (np.asarray(xs), np.asarray(ys)), np.asarray(ys, float)[:, -1]
    said = np.stack([_answers_of(config, one, prompts) for one in LEARNERS])
    predicted, asked = np.split(said.astype(float), [len(right)], axis=-1)
    errors, last = np.square(predicted - right), predicted[:, :, -1]
    found = {
        "loss": (("learner", "seed", "step"), errors.mean(axis=-1)),
        "error": (("learner", "seed", "prompt"), errors[:, :, -1]),
        "zero": (("prompt",), right**2),
        "apart": (("seed", "prompt"), np.square(last[0] - last[1])),
        "asked": (("learner", "at"), asked[:, 0, -1]),
        "pairs": (("axis", "pair"), np.stack([xs[0, :-1], ys[0, :-1]])),
    }
    coords = {"learner": list(LEARNERS), "step": config.training.seen, "at": LINE}
    about = {"floor": floor(np.asarray(xs, float), np.asarray(ys, float))}
    about |= {"resamples": config.evaluation.resamples}
    return xr.Dataset(found, coords | {"seed": range(config.seeds)}, about)


def _answers_of(
    config: Config, learner: str, prompts: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Trains models of one kind, and returns what they answer at each look.

    Behind the prompts the first of them is asked about each x of `LINE`: (seeds, looks,
    prompts + line).
    """
    xs, ys = (np.concatenate([a, np.repeat(a[:1], len(LINE), axis=0)]) for a in prompts)
    xs[len(prompts[0]) :, -1] = LINE

    def loss(weights: Weights, key: Key[Array, ""]) -> Array:
        drawn = sample(config, key, config.training.batch)
        return jnp.mean((answers(learner, weights, *drawn) - drawn[1][:, -1]) ** 2)

    return train(
        config.training,
        lambda random: start(config, learner, random),
        loss,
        lambda weights: answers(learner, weights, jnp.asarray(xs), jnp.asarray(ys)),
        config.seeds,
    )


# --- claims ---


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns what the paper says of sines, and where one step must end."""
    sampled = dataset[["error", "zero", "apart"]]
    resamples = int(dataset.attrs["resamples"])
    judge = Judge(
        "vonoswald2023",
        "sine",
        "von Oswald et al. 2023, Fig. 4",
        resampled=intervals.resample(sampled, ("prompt",), resamples=resamples),
    )
    level = dataset.attrs["floor"]

    def error(learner: str) -> Statistic:
        return lambda means: means.error.sel(learner=learner)

    return [
        judge(
            "O10a",
            "Attention behind an MLP has less than a tenth of the loss of predicting "
            "0.",
            Ratio(error("attention"), lambda means: means.zero),
            "<",
            0.1,
            unit="loss / loss of predicting 0",
            bar="ours",
        ),
        judge(
            "O10b",
            "It has the loss of the MLP that was trained with one gradient step, to "
            "20 %.",
            lambda means: error("attention")(means) / error("gradient step")(means) - 1,
            "within",
            0.2,
            unit="relative difference, same prompts",
            bar="ours",
        ),
        judge(
            "O10c",
            "The two answer alike: their squared difference is less than a tenth of "
            "the loss of predicting 0.",
            Ratio(lambda means: means.apart, lambda means: means.zero),
            "<",
            0.1,
            unit="squared difference / loss of predicting 0",
            bar="ours",
        ),
        judge(
            "O11",
            f"It does not do better than one step with the best preconditioner on the "
            f"true features, sin x and cos x: a loss of {level:.5f}.",
            Ratio(error("attention"), lambda _: xr.DataArray(level)),
            ">",
            1.0,
            unit="loss / loss of that step",
            bar="ours",
            source="ours",
            note="The MLP sees y beside x, and so is not bound to what is linear in y.",
        ),
    ]


# --- the picture ---

COLORS = {"attention": BLACK, "gradient step": ORANGE}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws losses by step, and the answers to one prompt."""
    with canvas(10, 4) as figure:
        losses, line = figure.subplots(1, 2)
        for learner, color in COLORS.items():
            part = dataset.sel(learner=learner)
            losses.plot(part.step, part.loss.values.T, color=color, linewidth=0.9)
            losses.plot([], [], color=color, label=f"MLP with {learner}")
            line.plot(part["at"], part.asked, color=color, label=learner)
        zero = float(dataset.zero.mean())
        for level, color, label in (
            (zero, GREY, "predicting 0"),
            (dataset.attrs["floor"], BLUE, "one step on sin x, cos x"),
        ):
            losses.axhline(level, color=color, linestyle="--", label=label)
        losses.set(xlabel="updates", ylabel="mean squared error", yscale="log")
        line.plot(*dataset["pairs"].values, "o", color=GREEN, label="context")
        line.set(xlabel="x", ylabel="answer")
        for axes in (losses, line):
            axes.legend(fontsize=8)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
