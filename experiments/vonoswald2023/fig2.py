"""One trained layer of linear self-attention beside one step of gradient descent.

Claim: a layer of linear self-attention that is trained on linear regression becomes a
step of gradient descent: it has the same loss, the same predictions and the same
sensitivity to the query.

Paper: Figure 2 of von Oswald et al. 2023, with its d = 10 and n = 10 pairs.

Run: python -m experiments.vonoswald2023.fig2 quick

How to read it: the left panel shows the loss while the layer learns, the loss of the
constructed layer, and the lowest loss that a gradient step can have (in closed form).
The middle panel shows how far the two layers are apart, in their predictions and in
their derivatives by the query. The right panel shows the loss of layers between the
two, from the trained weights (0) to the constructed ones (1); what is mixed are the
products that a layer is made of, on a common scale. Losses are mean squared errors,
which the paper halves. Bands are 95 % intervals over prompts and seeds.
"""

import sys

import jax
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    canvas,
    draw_band,
)
from experiments.vonoswald2023 import fig2_measure
from experiments.vonoswald2023.fig2_claims import claims, resample
from experiments.vonoswald2023.fig2_measure import Config
from icl.constructed.linear_attention import linear_gradient_descent, optimal_step
from icl.sweeps.store import Models

TIMES = {
    "tiny": "13 s",
    "quick": "3 min, an estimate",
    "paper": "5 min on two cores, not measured",
}


PRESETS = {
    "tiny": Config(
        dim=2,
        pairs=4,
        steps=800,
        batch=128,
        learning_rate=1e-2,
        evaluations=2,
        seeds=2,
        evaluation=Evaluation(prompts=2_000, seed=1, resamples=200),
    ),
    "quick": Config(),
    "paper": Config(
        steps=20_000,
        batch=2_048,
        learning_rate=1e-3,
        evaluation=Evaluation(prompts=50_000, seed=1, resamples=500),
    ),
}


def compute(config: Config, _: Models) -> xr.Dataset:
    """Trains the layers, and compares them with the constructed one.

    Returns:
        A Dataset of squared errors `error` (seed, step, prompt), `error_constructed`
        (prompt,) and `error_blend` (seed, blend, prompt), and of how far trained layers
        are from the constructed one: `prediction` (squared difference), `distance` and
        `cosine` of the derivatives by the query, each (seed, step, prompt).
    """
    rate, optimum = optimal_step(config.dim, config.pairs, width=config.input_width)
    task = fig2_measure.task(config)
    constructed = linear_gradient_descent(1, config.dim, rate, dtype="float32")
    evaluation = config.evaluation
    prompts = task.sample(jax.random.key(evaluation.seed), batch=evaluation.prompts)
    layers = fig2_measure.train(config, task, constructed)
    compared = [
        [fig2_measure.compare(model, constructed, prompts) for model in stages]
        for stages in layers
    ]
    blends = [
        [
            fig2_measure.error(model, prompts)
            for model in fig2_measure.between(stages[-1], constructed)
        ]
        for stages in layers
    ]
    measured = {
        name: (
            ("seed", "step", "prompt"),
            np.array([[at[name] for at in stages] for stages in compared]),
        )
        for name in ("error", "prediction", "distance", "cosine")
    }
    own = fig2_measure.compare(constructed, constructed, prompts)["error"]
    return xr.Dataset(
        {
            **measured,
            "error_constructed": (("prompt",), own),
            "error_blend": (("seed", "blend", "prompt"), np.array(blends)),
        },
        coords={
            "seed": range(config.seeds),
            "step": fig2_measure.updates(config),
            "blend": np.linspace(0, 1, fig2_measure.BLENDS),
        },
        attrs={"optimum": optimum, "resamples": evaluation.resamples},
    )


APART = {
    "prediction": ("squared difference of predictions", GREEN, "s"),
    "distance": ("distance of derivatives", ORANGE, "^"),
    "cosine": ("cosine of derivatives", VERMILLION, "v"),
}
"""How the two layers differ: label, colour and marker of each measure."""


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws losses, distances, and the line between the two layers."""
    resampled = resample(dataset)

    def draw(axes, x, name, **style):
        """Draws one measure with its interval."""
        draw_band(axes, x, resampled.band(lambda means: means[name]), **style)

    step, optimum = dataset.step.values, dataset.attrs["optimum"]
    best = {"color": GREY, "linestyle": "--", "label": "best gradient step (exact)"}
    with canvas(11, 3.6) as figure:
        loss, apart, line = figure.subplots(1, 3)
        draw(loss, step, "error", color=BLACK, marker="o", label="trained")
        own = float(resampled.means.error_constructed)
        loss.axhline(own, color=BLUE, label="constructed")
        loss.axhline(optimum, **best)
        loss.set(title="loss: mean squared error", xlabel="updates")
        for name, (label, color, marker) in APART.items():
            draw(apart, step, name, color=color, marker=marker, label=label)
        apart.set(title="trained layer against constructed layer", xlabel="updates")
        between = {"color": BLACK, "marker": "o", "label": "layers between"}
        draw(line, dataset.blend.values, "error_blend", **between)
        line.axhline(optimum, **best)
        line.set(title="loss between the two layers")
        line.set_xlabel("share of the constructed weights")
        line.set_ylim(0, 1.5 * own)
        for axes in (loss, apart, line):
            axes.legend(fontsize=8)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
