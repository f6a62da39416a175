"""How are the errors of pooled probes drawn? For Figures 4 and 5."""

import matplotlib
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from experiments.akyurek2023.fig4_claims import resampled_errors
from experiments.akyurek2023.fig4_measure import HEADS, TARGETS
from experiments.engine.figures.seeds import mean_over_seeds, named_layers
from experiments.engine.figures.style import (
    BLUE,
    VERMILLION,
    canvas,
    draw_band,
    legend_below,
)


def draw(dataset: xr.Dataset, model: str, *, beside: str) -> Figure:
    """Draws each target's errors by layer, and where the probe of a model looks.

    Lines beside the errors show the best layer of the model `beside`, dashed, and that
    of the untrained model, dotted.
    """
    with canvas(10, 6.4) as figure:
        panels = figure.subplots(2, 2, width_ratios=[1, 1.25])
        images, brightest = [], float(dataset.position_weights.sel(head="mlp").max())
        for (left, right), target in zip(panels, TARGETS, strict=True):
            _errors(left, dataset.sel(target=target), model, beside)
            left.set_title(TARGETS[target])
            own = dataset.sel(model=model, target=target)
            images.append(_map(right, own, brightest))
        figure.colorbar(
            images[-1],
            ax=list(panels[:, 1]),
            label="weight that the probe gives to a token",
            pad=0.01,
        )
        panels[-1, 0].set_xlabel("layer (0 = embedding)")
        panels[-1, 1].set_xlabel("token")
        legend_below(figure, panels[0, 0], ncols=2)
    return figure


def _errors(axes: Axes, scores: xr.Dataset, model: str, beside: str) -> None:
    """Draws the errors of both probes by layer, beside those of other models."""
    styles = {"linear": (BLUE, "o"), "mlp": (VERMILLION, "s")}
    for head, (color, marker) in styles.items():
        own = resampled_errors(scores.sel(model=model, head=head))
        band, label = own.band(lambda means: means.error), f"{HEADS[head]} probe"
        style = {"color": color, "marker": marker, "label": label}
        draw_band(axes, "layer", band, **style)
        for other, line in ((beside, "--"), ("untrained", ":")):
            at = resampled_errors(scores.sel(model=other, head=head)).means
            best = float(at.at_best.mean())
            label = f"{HEADS[head]} probe, best layer of the {other} model"
            axes.axhline(best, color=color, linestyle=line, label=label)
    axes.set_ylim(0, None)
    axes.set_ylabel("error of the probe\n(MSE / variance of the target)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _map(axes: Axes, scores: xr.Dataset, brightest: float) -> AxesImage:
    """Draws where the MLP probe of the best layer looks, by number of examples."""
    layer = scores.best_layer.sel(head="mlp")
    weights = mean_over_seeds(scores.position_weights.sel(head="mlp", layer=layer))
    # The last x is looked at by no probe: its pair has no label yet.
    weights = weights.isel(position=(weights > 0).any("token").values)
    names, tokens = weights.position.values, scores.token.values
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="#eeeeee")
    image = axes.imshow(
        weights.where(weights > 0),  # weights are 0 where the probe may not look
        aspect="auto",
        vmin=0,
        vmax=brightest,
        cmap=colours,
    )
    axes.grid(False)
    axes.set_title(
        f"where the MLP probe of the best layer looks ({named_layers(layer)})"
    )
    step = 1 if len(names) <= 24 else 4
    axes.set_xticks(range(0, len(names), step), names[::step], rotation=90, fontsize=8)
    numbers = [str(n + 1) for n in range(len(tokens))]
    step = 1 if len(tokens) <= 12 else 4
    axes.set_yticks(range(0, len(tokens), step), numbers[::step], fontsize=8)
    axes.set_ylabel("number of examples n")
    return image
