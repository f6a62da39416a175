"""A trained layer of linear attention, rolled out, on other inputs and wrong labels.

Claim: a layer that was trained to be one step of gradient descent takes the next steps,
too, if it is applied again to its own answer, with damping; and it is that step on
inputs of another range and where labels are wrong.

Paper: Figures 1, 2, 6 and 10 of von Oswald et al. 2023 (claims O8, O9 and O15; O6b is
ours).

Run: python -m experiments.vonoswald2023.one_layer quick

How to read it: on the left the layer is applied again and again, with its change of y
multiplied by 1 or by 0.75, beside gradient descent with the best rate of one step,
damped alike; dashed lines are gradient descent in closed form, from the eigenvalues of
X'X of the same contexts. On about one context in ten thousand steps diverge even with
damping; if it was drawn it carries the mean after 50 applications, and claim O8a is
about the others. What a layer does to x, and what a query's own y does to its scores,
has no effect on the loss of training and is not learnt: both are set to 0 here. In the
middle is the error on inputs of another range than in training, and on the right the
error where some labels of the context are replaced by random ones. Losses are mean
squared errors at the query, which the paper halves. Bands are 95 % intervals over
prompts and seeds.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import xarray as xr
from flax import nnx

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    VERMILLION,
    canvas,
    draw_band,
    legend_below,
)
from experiments.vonoswald2023.fig2_measure import uniform
from experiments.vonoswald2023.layers import LONG, SHORT
from experiments.vonoswald2023.one_layer_claims import (
    APPLIED,
    DAMPINGS,
    LEARNERS,
    WIDTHS,
    claims,
    resample,
)
from icl import ModelConfig, Prompts, TrainConfig, Transformer, checks, sweeps
from icl.constructed.linear_attention import optimal_step
from icl.model.building import arrays_of, with_parameters
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import JointTokens
from icl.theory import context_eigenvalues, steps_risk

TIMES = {
    "tiny": "20 s",
    "quick": "5 min, 1 min once the layers are trained",
    "paper": "20 min on one H100, an estimate",
}

CHUNK = 1_000

MOST = 1e30
"""The largest squared error that is kept. The scores of a trained layer depend a little
on y, so that where it diverges its answers soon leave what float32 holds."""


@dataclass(frozen=True)
class Config:
    """Settings of single layers and of what is asked of them.

    Attributes:
        dim: the dimension d.
        pairs: the number n of pairs in the context; one more x is the query.
        train: the training of each layer.
        seeds: the number of layers, with seeds 0, 1, ...
        evaluation: the prompts.
    """

    dim: int = 10
    pairs: int = 10
    train: TrainConfig = LONG
    seeds: int = 5
    evaluation: Evaluation = Evaluation(prompts=10_000, seed=1, resamples=500)

    def __post_init__(self) -> None:
        checks.normalise(self, checks.positive_int, "dim", "pairs", "seeds")


PRESETS = {
    "tiny": Config(
        dim=2,
        pairs=4,
        train=SHORT,
        seeds=2,
        evaluation=Evaluation(prompts=64, seed=1, resamples=100),
    ),
    "quick": Config(),
    "paper": Config(
        train=replace(LONG, steps=20_000, batch=2_048, checkpoint_every=20_000),
        evaluation=Evaluation(prompts=50_000, seed=1, resamples=500),
    ),
}


def settings(config: Config) -> list[Setting]:
    """Returns the layers."""
    task = JointTokens(uniform(config.dim, config.pairs, 1.0))
    model = ModelConfig.linear_attention(config.dim, 1)
    return [Setting(task, model, config.train, seed) for seed in range(config.seeds)]


def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing layers and measures all: see `measure`."""
    sweeps.train_missing(settings(config), models)
    return measure(config, models)


def measure(config: Config, models: Models) -> xr.Dataset:
    """Returns errors of trained layers and of a written one on the same prompts.

    Returns:
        A Dataset with `applied` over (learner, seed, damping, times, prompt), `wider`
        (learner, seed, width, prompt) and `wrong` (learner, seed, corrupted, prompt),
        and the losses of gradient descent in closed form, `theory` (damping, times,
        prompt) and `theory_wider` (width, prompt), by context. `converges` (prompt) is
        1 where gradient descent with the stronger damping does, and otherwise 0. The
        written layer has no seed, and stands in the place of each.
    """
    trained = [models(setting).model for setting in settings(config)]
    written = as_step(trained[0], optimal_step(config.dim, config.pairs)[0])
    prompts, key = config.evaluation.sample(
        uniform(config.dim, config.pairs, 1.0), whole=True
    )
    rows = [trained, [written] * len(trained)]
    one = [[changes_y(layer, 1.0) for layer in row] for row in rows]
    corrupted = sorted({round(config.pairs * i / 10) for i in (0, 2, 4, 6, 8)})

    def errors(layers: Sequence[Sequence[Transformer]], asked: Prompts) -> np.ndarray:
        known: dict[int, np.ndarray] = {}
        for layer in (each for row in layers for each in row):
            known[id(layer)] = known.get(id(layer), rolled(layer, asked, (1,))[0])
        return np.array([[known[id(layer)] for layer in row] for row in layers])

    applied = [
        [_damped(layer, prompts) for layer in row[: 1 if row is rows[1] else None]]
        for row in rows
    ]
    applied[1] *= len(trained)
    spectrum = context_eigenvalues(np.asarray(prompts.xs)[:, :-1])
    rate = optimal_step(config.dim, config.pairs)[0]
    over = ("learner", "seed")
    found = {
        "applied": ((*over, "damping", "times", "prompt"), np.array(applied)),
        "wider": (
            (*over, "width", "prompt"),
            np.stack([errors(one, _wider(prompts, a)) for a in WIDTHS], axis=2),
        ),
        "wrong": (
            (*over, "corrupted", "prompt"),
            np.stack([errors(one, _wrong(prompts, n, key)) for n in corrupted], axis=2),
        ),
        "converges": (
            ("prompt",),
            (rate * min(DAMPINGS) * spectrum.max(axis=1) < 1).astype(float),
        ),
        "theory": (
            ("damping", "times", "prompt"),
            np.array([_descent(spectrum, rate * share) for share in DAMPINGS]),
        ),
        "theory_wider": (
            ("width", "prompt"),
            np.array(
                [
                    steps_risk(spectrum * a**2, np.array([rate]), variance=a**2 / 12)
                    for a in WIDTHS
                ]
            ),
        ),
    }
    coords: dict[str, Any] = {"learner": list(LEARNERS), "width": list(WIDTHS)}
    coords |= {"damping": list(DAMPINGS), "times": list(APPLIED)}
    coords |= {"corrupted": corrupted, "seed": range(config.seeds)}
    return xr.Dataset(found, coords, {"resamples": config.evaluation.resamples})


def changes_y(layer: Transformer, damping: float) -> Transformer:
    """Returns a layer that changes y alone, by this share of what it did.

    What a single layer does to x has no effect on its loss, so that it was not learnt.
    Nor was what a query's own y does to its scores, since this y is 0 in training: its
    weights are those of the start (0.1 here; 0.0135 in the paper, where they hardly
    show). They would matter from the second application on, and are set to 0.
    """
    arrays = arrays_of(layer)
    out, qkv = (
        np.array(arrays[name])
        for name in ("body.0.attention.out.kernel", "body.0.attention.qkv.kernel")
    )
    out[:, 1:] = 0.0
    out[:, 0] *= damping
    qkv[0, : layer.config.width] = 0.0
    return with_parameters(
        layer,
        {
            "body.0.attention.out.kernel": jnp.asarray(out),
            "body.0.attention.qkv.kernel": jnp.asarray(qkv),
        },
    )


def as_step(layer: Transformer, rate: float) -> Transformer:
    """Returns the layer with the weights of a step of gradient descent."""
    width = layer.config.width
    only_x = np.diag([0.0, *np.ones(width - 1)])
    arrays = {
        "qkv": np.hstack([only_x, only_x, np.eye(width)]),
        "out": np.diag([-2 * rate, *np.zeros(width - 1)]),
    }
    names = {f"body.0.attention.{name}.kernel": a for name, a in arrays.items()}
    return with_parameters(
        layer, {name: jnp.asarray(a, jnp.float32) for name, a in names.items()}
    )


def rolled(layer: Transformer, prompts: Prompts, times: Sequence[int]) -> np.ndarray:
    """Returns squared errors at the query after so many applications, by prompt.

    Where a layer diverges they are at most `MOST`.
    """
    parts, (graph, parameters) = [], nnx.split(layer)
    for start in range(0, len(prompts.ys), CHUNK):
        at = slice(start, start + CHUNK)
        part = Prompts(prompts.xs[at], prompts.ys[at])
        found = np.asarray(_answers(graph, max(times), parameters, part), float)
        right = np.asarray(part.ys, float)[:, -1]
        parts.append(np.square(found[np.array(times) - 1] - right))
    errors = np.concatenate(parts, axis=1)
    # NaN, too, is what an answer beyond float32 becomes.
    return np.where(errors <= MOST, errors, MOST)


@partial(jax.jit, static_argnums=(0, 1))
def _answers(graph: Any, most: int, parameters: Any, prompts: Prompts) -> jax.Array:
    """Returns the answers after 1, 2, ... applications of a layer, (most, batch)."""
    layer = nnx.merge(graph, parameters)

    def again(state: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        state = layer.resume(state, 0).hidden[-1]
        return state, layer.read_out(state)[:, -1]

    with jax.default_matmul_precision("highest"):
        tokens = layer.codec.encode(prompts)
        return jax.lax.scan(again, tokens, None, length=most)[1]


def _damped(layer: Transformer, prompts: Prompts) -> np.ndarray:
    return np.stack(
        [rolled(changes_y(layer, share), prompts, APPLIED) for share in DAMPINGS]
    )


def _descent(spectrum: np.ndarray, rate: float) -> np.ndarray:
    """Returns the losses of gradient descent after each number of steps."""
    return np.stack(
        [steps_risk(spectrum, np.full(k, rate), variance=1 / 12) for k in APPLIED]
    )


def _wider(prompts: Prompts, width: float) -> Prompts:
    return Prompts(prompts.xs * width, prompts.ys * width)


def _wrong(prompts: Prompts, count: int, key: jax.Array) -> Prompts:
    """Returns prompts whose first labels are random; the order does not matter."""
    noise = jax.random.normal(key, prompts.ys.shape)
    first = jnp.arange(prompts.ys.shape[1]) < count
    return Prompts(prompts.xs, jnp.where(first[None], noise, prompts.ys))


# --- the picture ---


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws the loss by applications, by range and by the number of wrong labels."""
    resampled = resample(dataset)
    with canvas(12, 4) as figure:
        applied, wider, wrong = figure.subplots(1, 3)
        for share, color in zip(DAMPINGS, (VERMILLION, BLACK), strict=True):
            at = {"damping": share}
            own = resampled.band(
                lambda means, at=at: means.applied.sel(learner="trained", **at)
            )
            style = {"color": color, "label": f"trained, damping {share:g}"}
            draw_band(applied, "times", own, "o-", **style)
            theory = resampled.means.theory.sel(at)
            label = f"GD in closed form, damping {share:g}"
            applied.plot(theory.times, theory, "--", color=color, label=label, lw=0.9)
        applied.set(xscale="log", yscale="log", ylim=(1e-2, 1e4))
        applied.set(xlabel="applications of one layer", ylabel="loss")
        for name, axes, dim in (
            ("wider", wider, "width"),
            ("wrong", wrong, "corrupted"),
        ):
            for learner, color in (("trained", BLACK), ("GD", ORANGE)):
                band = resampled.band(
                    lambda means, n=name, one=learner: means[n].sel(learner=one)
                )
                draw_band(axes, dim, band, "o-", color=color, label=learner)
        theory = resampled.means.theory_wider
        wider.plot(theory.width, theory, "--", color=BLUE, label="GD in closed form")
        wider.set(yscale="log", xlabel="range of the inputs / that in training")
        wrong.set(xlabel="labels that are random", ylim=(0, None))
        for axes in (wider, wrong):
            axes.legend(fontsize=8)
        legend_below(figure, applied, side="left", ncols=2)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
