"""Linear probes of weight vectors in the transformer, by layer and token.

Claim: the transformer does not only answer as least squares does. The weight vector of
least squares can be decoded from hidden states, in deep layers, once the examples
determine it.

Paper: Section 5 and Figure 4 of Akyürek et al. 2023, for a linear probe of one token
(claim 25). The paper's own probe averages over tokens and may have a hidden layer:
`fig4`.

Run: python -m experiments.akyurek2023.decoded_weights quick

How to read it: each cell of the maps is a linear probe of one layer at one token, and
its colour is the share of variance (R2) that the probe explains on prompts to which it
was not fitted; white is nothing, and grey is where there is nothing to explain. Colours
are spaced by the square root and end at the largest share of both maps, so that little
is seen, too. Rows
are layers, with the embedding (0) at the bottom; columns are tokens in order. The left
map is for the w that made the labels, the right one for the w that least squares finds
in the examples so far. The panels below show the layer that is best on average over
other prompts, by number of examples. Dashed curves are the ceiling: no reader of n < d
examples explains more than n/d of w. Dotted curves are the same probe for the weights
of other prompts, which must stay at or below zero. Maps are averages over trained
models, if there are several. Bands are 95 % intervals over test prompts, and over seeds
if there are several.
"""

import sys
import warnings
from dataclasses import dataclass
from typing import Any

import jax
import matplotlib
import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.image import AxesImage

from experiments.akyurek2023.decoded_weights_claims import AT, BEST, claims, resampled
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import (
    Evaluation,
    check_test_fraction,
    linear_task,
)
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import (
    mean_over_seeds,
    named_layers,
    over_seeds,
)
from experiments.engine.figures.style import (
    BLUE,
    GREY,
    VERMILLION,
    canvas,
    count_examples,
    draw_band,
    legend_below,
)
from experiments.reference_models import SETTINGS
from icl import Prompts, Transformer, checks, inference, token_contexts, token_names
from icl.baselines import LeastSquares, PosteriorMean
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from probes import probe_grid

TIMES = {
    "tiny": "30 s",
    "quick": "6 min, 1 min once the model is trained",
    "shipped": "1 min",
    "paper": "3 hours on one H100, an estimate",
}
FAINTEST = 0.05
"""The scale of the maps is at least so long, where next to nothing is explained."""

NAMES = {"w": "true weights w", "w_ols": "least-squares weights"}


@dataclass(frozen=True)
class Config:
    """Settings of the map of decoded weights.

    Attributes:
        setting: the model, or the first of several.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
        evaluation: the prompts from which probes are fitted and on which they are
            tested; the tested ones are resampled. Hidden states take
            (layers + 1) x prompts x tokens x width x 4 bytes.
        test_fraction: the share of the prompts on which probes are tested.
        probe_seed: the seed of the split, the control and the resampling.
    """

    setting: Setting
    evaluation: Evaluation = Evaluation()
    test_fraction: float = 0.25
    probe_seed: int = 0
    seeds: int = 1

    def __post_init__(self) -> None:
        task = linear_task(self.setting, own_weights=True)
        checks.positive_int("seeds", self.seeds)
        self.evaluation.require_prompts(8)
        check_test_fraction(self.test_fraction)
        checks.positive_int("task.length", task.length, minimum=2)
        checks.positive_int("probe_seed", self.probe_seed, minimum=0)


PRESETS = {
    "tiny": Config(SETTINGS["tiny"], Evaluation(prompts=64)),
    "quick": Config(SETTINGS["quick"], seeds=3),
    "shipped": Config(SETTINGS["shipped"]),
    "paper": Config(SETTINGS["paper"]),
}


@over_seeds
def compute(config: Config, models: Models) -> xr.Dataset:
    """Fits a probe for every layer, token and target: see `probes.probe_grid`.

    The targets are `w`, which is the same at every token, and `w_ols`, which least
    squares finds in the pairs that the token has seen. Beside what `probe_grid` returns
    there are `best_layer`, over (target), which has the highest R2 over tokens on
    other prompts, as many as a quarter of these; and `r2_at`, `r2_resampled_at` and
    `control_r2_at`, over (at, token, target): at that layer, and at the embedding.
    """
    task, model = linear_task(config.setting), models(config.setting).model
    count = config.evaluation.prompts
    prompts, _ = config.evaluation.sample(task, more=max(8, count // 4))
    kept, others = inference.first(prompts, count), _after(prompts, count)
    best = _grid(config, model, others).r2.mean("token").argmax("layer")
    grid = _grid(config, model, kept, keep_resamples=True)
    layers = xr.concat([best, xr.zeros_like(best)], xr.Variable("at", list(AT)))
    at = grid[["r2", "r2_resampled", "control_r2"]].sel(layer=layers)
    return (
        grid.drop_vars("r2_resampled")
        .merge(at.drop_vars("layer").rename({name: f"{name}_at" for name in at}))
        .assign(best_layer=best)
        .assign_attrs(dim=task.dim, noise_std=task.noise_std)
    )


def _after(prompts: Prompts, count: int) -> Prompts:
    """Returns the prompts after the first `count`."""
    return jax.tree.map(lambda array: array[count:], prompts)


def _grid(
    config: Config, model: Transformer, prompts: Prompts, **more: Any
) -> xr.Dataset:
    """Fits probes to some prompts and tests them on some others of these."""
    task, length = linear_task(config.setting), prompts.ys.shape[1]
    bayes = PosteriorMean(task.noise_std, task.weight_std)
    with warnings.catch_warnings():
        # Without examples least squares finds 0: at x1 there is nothing to explain.
        warnings.filterwarnings("ignore", message="Targets that do not vary")
        return probe_grid(
            inference.hidden_states(model, prompts),
            {
                "w": np.asarray(prompts.weights),
                "w_ols": np.asarray(LeastSquares()(prompts).weights),
            },
            contexts=token_contexts(length),
            tokens=token_names(length),
            ceilings={"w": np.asarray(bayes.ceiling(prompts)), "w_ols": 1.0},
            test_fraction=config.test_fraction,
            resamples=config.evaluation.resamples,
            seed=config.probe_seed,
            **more,
        )


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws two heat maps, and below each the best layer by number of examples."""
    with canvas(10, 7) as figure:
        maps, curves = figure.subplots(2, 2, sharey="row", height_ratios=[1.1, 1])
        largest = max(FAINTEST, float(mean_over_seeds(dataset.r2).max()))
        images = [
            _map(axes, dataset.sel(target=target), largest)
            for axes, target in zip(maps, NAMES, strict=True)
        ]
        maps[0].set_ylabel("layer (0 = embedding)")
        figure.colorbar(
            images[-1], ax=list(maps), label="R² on other prompts", pad=0.01
        )
        for axes, target in zip(curves, NAMES, strict=True):
            _curves(axes, dataset.sel(target=target))
        curves[0].set_ylabel("R² on other prompts")
        legend_below(figure, curves[0], ncols=5)
    return figure


def _map(axes: Axes, scores: xr.Dataset, largest: float) -> AxesImage:
    """Draws the R2 of all layers and tokens as a heat map, up to the largest."""
    tokens, layers = scores.token.values, scores.layer.values
    colours = matplotlib.colormaps["Blues"].with_extremes(bad="#dddddd")
    image = axes.imshow(
        mean_over_seeds(scores.r2).clip(0, largest),
        origin="lower",
        aspect="auto",
        norm=PowerNorm(0.5, 0, largest),
        cmap=colours,
    )
    axes.grid(False)
    axes.set_title(NAMES[str(scores.target.item())])
    places = np.arange(len(tokens))
    if len(tokens) > 20:  # names would touch each other: those of labels are enough
        places = places[1::2]
    axes.set_xticks(places, tokens[places], rotation=90, fontsize=8)
    axes.set_yticks(layers if len(layers) <= 9 else layers[::2])
    determined = scores.context.values >= scores.attrs["dim"]
    if determined.any():
        first = int(determined.argmax())
        axes.axvline(first - 0.5, color="black", linewidth=1, linestyle=":")
        # The bottom row is pale, because embeddings of single tokens know no weights.
        axes.text(first - 0.3, 0, "n ≥ d", va="center", fontsize=8)
    return image


def _curves(axes: Axes, scores: xr.Dataset) -> None:
    """Draws the R2 of the best layer by number of examples."""
    bands = resampled(scores).band(lambda means: means.r2.sel(at=BEST))
    control = mean_over_seeds(scores.control_r2_at.sel(at=BEST))
    ceiling = mean_over_seeds(scores.ceiling)
    is_x = scores.token.str.startswith("x").values
    styles = {"y": (~is_x, BLUE, "o"), "x": (is_x, VERMILLION, "s")}
    for kind, (where, color, marker) in styles.items():
        own = [band.isel(token=where) for band in bands]
        n, style = own[0].context, {"color": color, "marker": marker}
        draw_band(axes, n, own, label=f"probe at {kind}-tokens", **style)
        label = f"control at {kind}-tokens"
        axes.plot(n, control.isel(token=where), ":", color=color, label=label)
    axes.plot(scores.context, ceiling, "--", color=GREY, label="ceiling")
    axes.set_title(f"{named_layers(scores.best_layer)}, the best on average")
    axes.set_ylim(max(-0.5, min(-0.1, float(bands[1].min()))), 1.05)
    count_examples(axes, scores.attrs["dim"], low=True)


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
