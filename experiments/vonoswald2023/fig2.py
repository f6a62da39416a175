"""One trained layer of linear self-attention beside one step of gradient descent.

Claim: a layer of linear self-attention that is trained on linear regression becomes a
step of gradient descent: same loss, same predictions, same sensitivity to the query.

Paper: Figure 2 of von Oswald et al. 2023, here with d = 10 and n = 10 pairs as there.

Run: python -m experiments.vonoswald2023.fig2 quick

How to read it: left, the loss while the layer learns, the loss of the constructed one,
and the lowest loss that a gradient step can have (a closed form). Middle, how far the
two layers are apart: their predictions, and their derivatives by the query. Right, the
loss of layers between the two, from the trained weights (0) to the constructed ones
(1); weights are compared as the products that a layer is made of, scaled alike. Losses
are mean squared errors, not halved as in the paper. Bands are 95 % intervals over
prompts.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.models import Models
from icl import checks

if TYPE_CHECKING:
    import jax
    import numpy as np
    import xarray as xr
    from matplotlib.figure import Figure

    from experiments.claims import Claim
    from experiments.intervals import Sampled
    from icl import LinearRegression, Prompts, Transformer

TIMES = {
    "tiny": "15 s",
    "quick": "1 min",
    "paper": "5 min on two cores, not measured",
}


@dataclass(frozen=True)
class Config:
    """Settings of Figure 2.

    Attributes:
        dim: d.
        pairs: n, in the context; one more x is the query.
        input_width: each coordinate of x is uniform on an interval of this width
            around 0.
        steps: updates of Adam, each on fresh prompts.
        batch: prompts per update.
        learning_rate: of Adam, falling to 0 along a cosine.
        evaluations: looks at the layer during training, evenly spread.
        prompts: prompts at each look, the same ones.
        seed: of initial parameters and training prompts.
        evaluation_seed: of the prompts at a look.
        resamples: bootstrap resamples of the prompts.
    """

    dim: int = 10
    pairs: int = 10
    input_width: float = 1.0
    steps: int = 5_000
    batch: int = 512
    learning_rate: float = 3e-3
    evaluations: int = 25
    prompts: int = 20_000
    seed: int = 0
    evaluation_seed: int = 1
    resamples: int = 500

    def __post_init__(self) -> None:
        sizes = ("dim", "pairs", "steps", "batch", "evaluations", "resamples")
        checks.normalise(self, checks.positive_int, *sizes)
        for name in ("input_width", "learning_rate"):
            checks.finite_number(name, getattr(self, name), positive=True)
        checks.positive_int("prompts", self.prompts, minimum=2)
        for name in ("seed", "evaluation_seed"):
            checks.positive_int(name, getattr(self, name), minimum=0)
        if self.evaluations > self.steps:
            raise ValueError(
                f"evaluations must be at most {self.steps}, the number of steps, got "
                f"{self.evaluations}."
            )


PRESETS = {
    "tiny": Config(
        dim=3,
        pairs=4,
        steps=200,
        batch=64,
        evaluations=4,
        prompts=500,
        resamples=200,
    ),
    "quick": Config(),
    "paper": Config(steps=20_000, batch=2_048, learning_rate=1e-3, prompts=50_000),
}
BLENDS = 11
"""Layers from trained to constructed, ends included."""


def compute(config: Config, models: Models) -> "xr.Dataset":
    """Trains the layer, and looks at it beside the constructed one.

    Returns:
        A Dataset of squared errors `error` (step, prompt), `error_constructed`
        (prompt,) and `error_blend` (blend, prompt), and of how far the trained layer is
        from the constructed one: `prediction` (squared difference), `distance` and
        `cosine` of the derivatives by the query, each (step, prompt).
    """
    import jax
    import numpy as np
    import xarray as xr

    from icl.constructed.linear_attention import linear_gradient_descent, optimal_step

    del models
    rate, optimum = optimal_step(config.dim, config.pairs, width=config.input_width)
    task = _task(config)
    constructed = linear_gradient_descent(1, config.dim, rate, dtype="float32")
    prompts = task.sample(jax.random.key(config.evaluation_seed), batch=config.prompts)
    stages = list(_train(config, task, constructed))
    looked = [_look(model, constructed, prompts) for model in stages]
    blends = _between(stages[-1], constructed)
    measured = {
        name: (("step", "prompt"), np.stack([look[name] for look in looked]))
        for name in ("error", "prediction", "distance", "cosine")
    }
    own = _look(constructed, constructed, prompts)["error"]
    return xr.Dataset(
        {
            **measured,
            "error_constructed": (("prompt",), own),
            "error_blend": (
                ("blend", "prompt"),
                np.stack([_error(model, prompts) for model in blends]),
            ),
        },
        coords={
            "step": _updates(config),
            "blend": np.linspace(0, 1, BLENDS),
        },
        attrs={"optimum": optimum, "resamples": config.resamples},
    )


def _task(config: Config) -> "LinearRegression":
    """Inputs uniform on an interval around 0; the last pair is the query."""
    from icl import LinearRegression

    variance = config.input_width**2 / 12
    return LinearRegression(
        dim=config.dim,
        length=config.pairs + 1,
        inputs="uniform",
        covariance=tuple(
            tuple(variance * (i == j) for j in range(config.dim))
            for i in range(config.dim)
        ),
    )


def _updates(config: Config) -> "np.ndarray":
    """Numbers of updates at which the layer is looked at: 0, and evenly from there."""
    import numpy as np

    return np.linspace(0, config.steps, config.evaluations + 1).round().astype(int)


def _with_kernels(model: "Transformer", qkv: "jax.Array", out: "jax.Array"):
    """The one-layer model with other queries, keys, values and output."""
    from flax import nnx

    from icl.checkpoint import flatten, unflatten

    definition, params = nnx.split(model)
    arrays = flatten(params, "params")
    kernels = {"qkv": qkv, "out": out}
    arrays |= {
        f"params.body.0.attention.{name}.kernel": kernel
        for name, kernel in kernels.items()
    }
    return nnx.merge(definition, unflatten(arrays, params, "params"))


def _kernels(model: "Transformer") -> "tuple[jax.Array, jax.Array]":
    attention = model.body[0].attention
    return attention.qkv.kernel[...], attention.out.kernel[...]


def _train(
    config: Config, task: "LinearRegression", skeleton: "Transformer"
) -> "Iterator[Transformer]":
    """The layer at each look, trained from small random weights by Adam.

    Not with `icl.train`, which feeds x and y as tokens of their own: a single layer
    cannot bring them together first.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from icl.constructed.linear_attention import predict_query

    start, data = jax.random.split(jax.random.key(config.seed))
    adam = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))

    def loss(kernels, key):
        prompts = task.sample(key, batch=config.batch)
        guess = predict_query(_with_kernels(skeleton, *kernels), prompts)
        return jnp.mean((guess - prompts.ys[:, -1]) ** 2)

    def update(step, state):
        kernels, moments = state
        gradient = jax.grad(loss)(kernels, jax.random.fold_in(data, step))
        change, moments = adam.update(gradient, moments)
        return optax.apply_updates(kernels, change), moments

    @jax.jit
    def advance(state, first, last):
        return jax.lax.fori_loop(first, last, update, state)

    shapes = [kernel.shape for kernel in _kernels(skeleton)]
    keys = jax.random.split(start, len(shapes))
    kernels = tuple(
        0.1 * jax.random.normal(key, shape)
        for key, shape in zip(keys, shapes, strict=True)
    )
    state, done = (kernels, adam.init(kernels)), 0
    for until in _updates(config).tolist():
        state, done = advance(state, done, until), until
        yield _with_kernels(skeleton, *state[0])


def _between(trained: "Transformer", constructed: "Transformer"):
    """Layers on the line from one to the other.

    Weights with the same products W_Q W_K' and W_V W_O are the same layer, and so are
    those products scaled by s and 1/s: the line is drawn between products, with
    queries and keys of the x rows scaled to a mean diagonal of 1.
    """
    import jax.numpy as jnp
    import numpy as np

    ends = []
    for model in (trained, constructed):
        qkv, out = _kernels(model)
        q, k, v = jnp.split(qkv, 3, axis=1)
        scores, values = q @ k.T, v @ out
        scale = jnp.diagonal(scores)[1:].mean()
        ends.append((scores / scale, values * scale))
    identity = jnp.eye(len(ends[0][0]))
    for share in np.linspace(0, 1, BLENDS):
        scores, values = (
            (1 - share) * a + share * b for a, b in zip(*ends, strict=True)
        )
        qkv = jnp.concatenate([scores, identity, values], axis=1)
        yield _with_kernels(constructed, qkv, identity)


def _error(model: "Transformer", prompts: "Prompts") -> "np.ndarray":
    """Squared error at the query, by prompt."""
    import numpy as np

    from icl.constructed.linear_attention import predict_query

    return np.asarray((predict_query(model, prompts) - prompts.ys[:, -1]) ** 2)


def _look(
    model: "Transformer", constructed: "Transformer", prompts: "Prompts"
) -> "dict[str, np.ndarray]":
    """How a layer does, and how far it is from the constructed one, by prompt."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from icl.constructed.linear_attention import predict_query

    def answers(layer: "Transformer") -> "tuple[jax.Array, jax.Array]":
        """Predictions, and their derivatives by the query."""

        def total(query):
            xs = prompts.xs.at[:, -1].set(query)
            guess = predict_query(layer, prompts._replace(xs=xs))
            return guess.sum(), guess

        return jax.grad(total, has_aux=True)(prompts.xs[:, -1])[::-1]

    (guess, slope), (own, own_slope) = answers(model), answers(constructed)
    norms = jnp.linalg.norm(slope, axis=1) * jnp.linalg.norm(own_slope, axis=1)
    found = {
        "error": (guess - prompts.ys[:, -1]) ** 2,
        "prediction": (guess - own) ** 2,
        "distance": jnp.linalg.norm(slope - own_slope, axis=1),
        "cosine": (slope * own_slope).sum(axis=1) / norms,
    }
    return {name: np.asarray(value) for name, value in found.items()}


def plot(dataset: "xr.Dataset") -> "Figure":
    """Losses, distances, and the line between the two layers."""
    from experiments.style import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILLION, canvas

    sampled = _sample(dataset)

    def draw(axes, x, name, **look):
        value, low, high = sampled.band(lambda means: means[name])
        axes.plot(x, value, **look)
        axes.fill_between(x, low, high, color=look["color"], alpha=0.15, lw=0)

    step, optimum = dataset.step.values, dataset.attrs["optimum"]
    with canvas(11, 3.6) as figure:
        loss, apart, line = figure.subplots(1, 3)
        draw(loss, step, "error", color=BLACK, marker="o", label="trained")
        own = float(sampled.means.error_constructed)
        loss.axhline(own, color=BLUE, label="constructed")
        loss.axhline(optimum, color=GREY, linestyle="--", label="optimum (exact)")
        loss.set(title="mean squared error", xlabel="updates")
        draw(
            apart,
            step,
            "prediction",
            color=GREEN,
            marker="s",
            label="predictions, squared difference",
        )
        draw(
            apart,
            step,
            "distance",
            color=ORANGE,
            marker="^",
            label="derivatives, distance",
        )
        draw(
            apart,
            step,
            "cosine",
            color=VERMILLION,
            marker="v",
            label="derivatives, cosine",
        )
        apart.set(title="trained against constructed", xlabel="updates")
        draw(
            line,
            dataset.blend.values,
            "error_blend",
            color=BLACK,
            marker="o",
            label="layers between",
        )
        line.axhline(optimum, color=GREY, linestyle="--", label="optimum (exact)")
        line.set(title="between the two", xlabel="share of the constructed weights")
        line.set_ylim(0, 1.5 * own)
        for axes in (loss, apart, line):
            axes.legend(fontsize=8)
    return figure


def claims(dataset: "xr.Dataset") -> "list[Claim]":
    """What the paper says of the end of training, and the closed form."""
    from experiments.claims import Claim

    optimum = dataset.attrs["optimum"]
    sampled = _sample(dataset.isel(step=-1))

    def claim(number, text, statistic, relation, threshold, unit) -> Claim:
        return Claim.from_resamples(
            f"vonoswald2023.{number}",
            text,
            "von Oswald et al. 2023, Fig. 2",
            value=statistic(sampled.means).values,
            resamples=statistic(sampled.draws).values,
            relation=relation,
            threshold=threshold,
            unit=unit,
            figure="fig2",
        )

    return [
        claim(
            "1",
            f"The constructed layer has the loss of the best gradient step, "
            f"{optimum:.4f} in closed form, to 5 %.",
            lambda means: abs(means.error_constructed / optimum - 1),
            "<",
            0.05,
            "relative difference",
        ),
        claim(
            "2",
            "The trained layer's loss exceeds the constructed one's by less than 1 %.",
            lambda means: means.error / means.error_constructed - 1,
            "<",
            0.01,
            "relative difference, same prompts",
        ),
        claim(
            "3",
            "Trained and constructed layer predict the same: their squared difference "
            "is below 1 % of the loss.",
            lambda means: means.prediction / means.error_constructed,
            "<",
            0.01,
            "mean squared difference / loss",
        ),
        claim(
            "4",
            "Their derivatives by the query point the same way: cosine above 0.99.",
            lambda means: means.cosine,
            ">",
            0.99,
            "mean cosine",
        ),
        claim(
            "5",
            "All layers on the line between the two have the same loss, to 1 %.",
            lambda means: abs(means.error_blend / means.error_constructed - 1).max(
                "blend"
            ),
            "<",
            0.01,
            "largest relative difference, same prompts",
        ),
    ]


def _sample(dataset: "xr.Dataset") -> "Sampled":
    from experiments.intervals import sample

    resamples = int(dataset.attrs["resamples"])
    return sample(dataset, ("prompt",), resamples=resamples)


if __name__ == "__main__":
    from experiments.command import main

    sys.exit(main("experiments.vonoswald2023.fig2"))
