"""Whether predictions follow a weight vector that is written into hidden states.

Claim: the model uses what a linear probe reads in the states of the examples: writing
another prompt's value there moves predictions toward those of that prompt's weights,
and erasing it makes them worse, more than random changes of the same size do.

Paper: not in Akyürek et al. 2023, whose probes (section 5) show what can be decoded and
not what is used. The thresholds are ours, set after a first look at the quick model.

Run: python -m experiments.akyurek2023.steering quick

How to read it: after n examples the model is asked at a new x. At one layer the states
of all tokens of the examples are edited together, the state at x is left alone, and the
model goes on from there. Two quantities are read by ridge probes and written: the
weights w, and the labels y1..yn, which say the same by other means. Every prompt has a
donor, with weights w'; the labels written are those that w' gives at the prompt's own
inputs. Left: the R2 of the probes, of one that reads w at x, and of one that reads w in
X'y, a simpler summary of the examples. Middle: how far predictions move toward w'.x, in
a regression on w'.x and the prediction before; 1 follows wholly, 0 ignores or is mere
damage. Black: all of the donor's states are put there; no edit of the examples can be
expected to do more. A write is the least change in the norm in which states vary
(filled) or in Euclidean norm (hollow). Right: the error once no linear probe reads the
quantity any more. Dotted: changes as large in random directions, drawn as states are.
Nothing is written or erased where R2 is below 0.1. Rows are n = d and n = 2d. Bands are
95 % intervals over prompts; they hold the probes fixed.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.reference_models import PROBING
from icl import checks
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.engine.claims.claim import Claim
    from experiments.engine.claims.intervals import Sampled
    from probes.interventions import Movement

TIMES = {
    "tiny": "30 s",
    "quick": "4 min, 2 min once the model is trained",
    "paper": "3 hours on one H100, an estimate",
}

CONTEXTS = (1, 2)
"""Numbers of examples, in units of d: from n = d on they determine w."""

READABLE = 0.1
"""Where a probe's R2 is lower, the least change that it takes is many times as large as
the difference between two prompts, and says nothing about the model."""

NAN = (float("nan"),) * 3
NOTHING = f"In no layer is a probe's R2 {READABLE} or more."


@dataclass(frozen=True)
class Config(Setting):
    """Settings of the edits.

    Attributes:
        prompts: prompts whose states are edited.
        fitted: further prompts, to which probes and erasers are fitted; more than the
            2n x width features that they have. Hidden states take
            (layers + 1) x (prompts + fitted) x tokens x width x 4 bytes, twice.
        evaluation_seed: of the prompts; none of them occur in training.
        edit_seed: of the donors, the random directions and the resampling.
    """

    prompts: int = 1_000
    fitted: int = 4_000
    evaluation_seed: int = 0
    edit_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive_int("prompts", self.prompts, minimum=8)
        checks.positive_int("fitted", self.fitted, minimum=8)
        checks.positive_int("evaluation_seed", self.evaluation_seed, minimum=0)
        checks.positive_int("edit_seed", self.edit_seed, minimum=0)
        if self.task.length <= self.task.dim:
            raise ValueError(
                f"task.length must be above task.dim={self.task.dim}, for a query "
                f"after as many pairs, got {self.task.length}."
            )
        self.refuse_fixed_weights()


PRESETS = {
    "tiny": Config(**vars(PROBING["tiny"]), prompts=250, fitted=250),
    "quick": Config(**vars(PROBING["quick"]), prompts=500, fitted=2_500),
    "paper": Config(**vars(PROBING["paper"]), fitted=16_000),
}


def compute(config: Config, models: Models) -> "xr.Dataset":
    """Predictions after every edit of every layer: see `steering_measure.measure`."""
    import xarray as xr

    from experiments.akyurek2023 import steering_measure
    from icl import inference

    model, task = models(config).model, config.task
    count = config.prompts + config.fitted
    prompts, _ = inference.sample(task, count, config.evaluation_seed)
    parts = []
    for n in (times * task.dim for times in CONTEXTS):
        if n < task.length:
            xs, ys = prompts.xs[:, : n + 1], prompts.ys[:, : n + 1]
            asked = prompts._replace(xs=xs, ys=ys)
            part = steering_measure.measure(
                model, asked, config.prompts, config.edit_seed
            )
            parts.append(part.expand_dims(context=[n]))
    joined = xr.concat(parts, "context")
    return joined.assign_attrs(dim=task.dim, seed=config.edit_seed)


# --- statistics, of one context length ---


def moved(part: "xr.Dataset", predictions: "xr.DataArray") -> "Movement":
    """How far predictions over (prompt,) or (layer, prompt) moved toward the donor's.

    As a regression, it is linear in them: of a difference of predictions it gives the
    difference, resampled in pairs.
    """
    import xarray as xr

    from probes.interventions import movement

    arrays = xr.broadcast(part.untouched, predictions, part.wanted)
    rows = (array.transpose("prompt", ...).values for array in arrays)
    return movement(*rows, seed=int(part.attrs["seed"]))


def errors(part: "xr.Dataset") -> "Sampled":
    """Squared errors / d: `prediction`, the `untouched` ones, and those of `zero`."""
    from experiments.engine.claims.intervals import sample

    predicted = part[["prediction", "untouched"]].assign(zero=0 * part.label)
    squared = (predicted - part.label) ** 2 / part.attrs["dim"]
    seed = int(part.attrs["seed"])
    return sample(squared, ("prompt",), resamples=1_000, seed=seed)


def readable(part: "xr.Dataset", quantity: str) -> "np.ndarray":
    """The layers in which a probe reads the quantity."""
    return part.layer.values[part.r2.sel(quantity=quantity).values >= READABLE]


# --- figure and claims ---


def plot(dataset: "xr.Dataset") -> "Figure":
    """What is read, written and erased by layer; a row for each context length."""
    from matplotlib.ticker import MaxNLocator

    from experiments.engine.figures.style import canvas

    lengths = dataset.context.values
    with canvas(11, 1.2 + 3.2 * len(lengths)) as figure:
        grid = figure.subplots(
            len(lengths), 3, sharex=True, sharey="col", squeeze=False
        )
        for row, n in zip(grid, lengths, strict=True):
            part = dataset.sel(context=n)
            _read(row[0], part)
            _write(row[1], part)
            _erase(row[2], part)
            row[0].set_ylabel(f"after n = {n} examples (d = {dataset.attrs['dim']})")
        for axes, title in zip(
            grid[0],
            ("read: R²", "write: moved toward w'.x", "erase: squared error / d"),
            strict=True,
        ):
            axes.set_title(title)
        grid[0, 0].set_ylim(-0.05, 1.05)
        grid[0, 1].set_ylim(-0.3, 1.2)
        grid[0, 2].set_yscale("log")
        for axes in grid[-1]:
            axes.set_xlabel("layer (0 = embedding)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        labelled: dict[str, Any] = {}
        for axes in grid[0]:
            handles, labels = axes.get_legend_handles_labels()
            labelled |= dict(zip(labels, handles, strict=True))
        figure.legend(labelled.values(), labelled, loc="outside lower center", ncols=3)
    return figure


def _looks() -> dict[str, dict[str, Any]]:
    from experiments.engine.figures.style import BLUE, ORANGE

    return {
        "weights": {"color": BLUE, "marker": "o"},
        "labels": {"color": ORANGE, "marker": "s"},
    }


def _read(axes: "Axes", part: "xr.Dataset") -> None:
    from experiments.engine.figures.style import GREY

    for name, look in _looks().items():
        axes.plot(part.layer, part.r2.sel(quantity=name), label=name, **look)
    look = _looks()["weights"] | {"marker": "", "linestyle": "--"}
    axes.plot(part.layer, part.r2_at_x, label="weights, read at x", **look)
    look = {"color": GREY, "linestyle": "-.", "label": "weights, read in X'y"}
    axes.axhline(float(part.r2_of_moments), **look)


def _write(axes: "Axes", part: "xr.Dataset") -> None:
    from experiments.engine.figures.style import BLACK

    swap = {"color": BLACK, "marker": "D", "label": "all of the donor's states"}
    _band(axes, part.layer.values, moved(part, part.swapped)[:3], swap)
    for name, look in _looks().items():
        layers = readable(part, name)
        after = part.prediction.sel(quantity=name, layer=layers)
        for edit, line in {
            "write, Euclidean": {
                "markerfacecolor": "white",
                "linewidth": 0.8,
                "label": f"{name}, least Euclidean change",
            },
            "write, random": _random(name),
            "write": {"label": name},
        }.items():
            values = moved(part, after.sel(edit=edit))[:3]
            _band(axes, layers, values, look | line)


def _erase(axes: "Axes", part: "xr.Dataset") -> None:
    from experiments.engine.figures.style import GREY

    sampled = errors(part)
    axes.axhline(
        float(sampled.means.untouched), color=GREY, linestyle="--", label="without edit"
    )
    for name, look in _looks().items():
        layers = readable(part, name)
        for edit, line in {
            "erase, random": _random(name),
            "erase": {"label": name},
        }.items():
            at = {"quantity": name, "edit": edit, "layer": layers}
            values = sampled.band(lambda means, at=at: means.prediction.sel(at))
            _band(axes, layers, [value.values for value in values], look | line)


def _random(name: str) -> dict[str, Any]:
    return {"linestyle": ":", "marker": "", "label": f"{name}, random as large"}


def _band(axes: "Axes", layers: Any, values: Any, look: "Mapping[str, Any]") -> None:
    value, low, high = values
    axes.plot(layers, value, **look)
    axes.fill_between(layers, low, high, color=look["color"], alpha=0.15, lw=0)


def claims(dataset: "xr.Dataset") -> "list[Claim]":
    """Does the model use what is read? After the longest context.

    Layers are chosen on one half of the edited prompts, and judged on the other.
    """
    part = dataset.isel(context=-1)
    half, names = part.sizes["prompt"] // 2, part.quantity.values
    halves = (part.isel(prompt=slice(half)), part.isel(prompt=slice(half, None)))
    written = [_written(i, *halves, name) for i, name in enumerate(names, 1)]
    erased = [_erased(i, *halves, name) for i, name in enumerate(names, 3)]
    return [*written, *erased, _share(5, *halves)]


def _written(
    number: int, first: "xr.Dataset", second: "xr.Dataset", name: str
) -> "Claim":
    text = (
        f"Predictions follow {name} that are written: at the best layer they move "
        "further toward the donor's than after a random change as large, by more than "
        "half of the way."
    )
    rules = {"relation": ">", "threshold": 0.5, "unit": "difference of toward"}
    layers = readable(first, name)

    def gain(part: "xr.Dataset", at: Any) -> "Movement":
        after = part.prediction.sel(quantity=name, layer=at)
        return moved(part, after.sel(edit="write") - after.sel(edit="write, random"))

    if not layers.size:
        return _claim(number, text, NOTHING, *NAN, **rules)
    layer = layers[gain(first, layers).toward.argmax()]
    return _claim(number, text, _chosen(layer), *gain(second, layer)[:3], **rules)


def _erased(
    number: int, first: "xr.Dataset", second: "xr.Dataset", name: str
) -> "Claim":
    text = (
        f"Erasing the {name} hurts: at the best layer the error grows further than "
        "after a random change as large, by more than a tenth of what predicting 0 "
        "costs."
    )
    rules = {
        "relation": ">",
        "threshold": 0.1,
        "unit": "difference / error of predicting 0",
    }
    layers = readable(first, name)

    def growth(means: "xr.Dataset") -> "xr.DataArray":
        error = means.prediction.sel(quantity=name)
        return (error.sel(edit="erase") - error.sel(edit="erase, random")) / means.zero

    if not layers.size:
        return _claim(number, text, NOTHING, *NAN, **rules)
    layer = layers[growth(errors(first).means).sel(layer=layers).values.argmax()]
    judged = errors(second).band(lambda means: growth(means).sel(layer=layer))
    return _claim(number, text, _chosen(layer), *judged, **rules)


def _share(number: int, first: "xr.Dataset", second: "xr.Dataset") -> "Claim":
    text = (
        "Labels are most of what examples tell: over the layers at which all of the "
        "donor's states move predictions by more than half of the way, the labels "
        "alone that its weights give move them by more than half as far."
    )
    rules = {"relation": ">", "threshold": 0, "unit": "toward, less half the swap's"}
    decisive = moved(first, first.swapped).toward > 0.5
    layers = first.layer.values[decisive]
    if not layers.size:
        return _claim(number, text, "No layer does.", *NAN, **rules)
    labels = second.prediction.sel(quantity="labels", edit="write")
    after = (labels - second.swapped / 2).sel(layer=layers).mean("layer")
    note = f"Layers {layers[0]} to {layers[-1]}, chosen on other prompts."
    return _claim(number, text, note, *moved(second, after)[:3], **rules)


def _chosen(layer: int) -> str:
    return f"Layer {layer}, chosen on other prompts."


def _claim(
    number: int, text: str, note: str, value: Any, low: Any, high: Any, **rules: Any
) -> "Claim":
    from experiments.engine.claims.claim import Claim

    return Claim(
        f"steering.{number}",
        text,
        "ours",
        value,
        low,
        high,
        figure="steering",
        note=note,
        **rules,
    )


if __name__ == "__main__":
    from experiments.engine.figures.command import main

    sys.exit(main("experiments.akyurek2023.steering"))
