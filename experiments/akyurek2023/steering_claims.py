"""The claims of `steering`: does the model use what a probe reads? They are ours.

They are about predictions after edits of hidden states, which `steering_measure`
measures, after the longest context.
"""

from typing import Any

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled, resample
from probes.interventions import Movement, movement

READABLE = 0.1
"""Where a probe's R2 is lower, the least change that it takes is many times as large as
the difference between two prompts, and says nothing about the model."""

NAN = (float("nan"),) * 3
NOTHING = f"In no layer is a probe's R2 {READABLE} or more."


# --- statistics, of one context length ---


def moved(part: xr.Dataset, predictions: xr.DataArray) -> Movement:
    """How far predictions over (prompt,) or (layer, prompt) moved toward the donor's.

    As a regression, it is linear in them: of a difference of predictions it gives the
    difference, resampled in pairs.
    """
    arrays = xr.broadcast(part.untouched, predictions, part.wanted)
    rows = (array.transpose("prompt", ...).values for array in arrays)
    return movement(*rows, seed=int(part.attrs["seed"]))


def errors(part: xr.Dataset) -> Resampled:
    """Squared errors / d: `prediction`, the `untouched` ones, and those of `zero`."""
    predicted = part[["prediction", "untouched"]].assign(zero=0 * part.label)
    squared = (predicted - part.label) ** 2 / part.attrs["dim"]
    seed = int(part.attrs["seed"])
    return resample(squared, ("prompt",), resamples=1_000, seed=seed)


def readable(part: xr.Dataset, quantity: str) -> np.ndarray:
    """The layers in which a probe reads the quantity."""
    return part.layer.values[part.r2.sel(quantity=quantity).values >= READABLE]


# --- claims ---


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Does the model use what is read? After the longest context.

    Layers are chosen on one half of the edited prompts, and judged on the other.
    """
    part = dataset.isel(context=-1)
    half, names = part.sizes["prompt"] // 2, part.quantity.values
    halves = (part.isel(prompt=slice(half)), part.isel(prompt=slice(half, None)))
    written = [_written(i, *halves, name) for i, name in enumerate(names, 1)]
    erased = [_erased(i, *halves, name) for i, name in enumerate(names, 3)]
    return [*written, *erased, _share(5, *halves)]


def _written(number: int, first: xr.Dataset, second: xr.Dataset, name: str) -> Claim:
    text = (
        f"Predictions follow {name} that are written: at the best layer they move "
        "further toward the donor's than after a random change as large, by more than "
        "half of the way."
    )
    rules = {"relation": ">", "threshold": 0.5, "unit": "difference of toward"}
    layers = readable(first, name)

    def gain(part: xr.Dataset, at: Any) -> Movement:
        after = part.prediction.sel(quantity=name, layer=at)
        return moved(part, after.sel(edit="write") - after.sel(edit="write, random"))

    if not layers.size:
        return _claim(number, text, NOTHING, *NAN, **rules)
    layer = layers[gain(first, layers).toward.argmax()]
    return _claim(number, text, _chosen(layer), *gain(second, layer)[:3], **rules)


def _erased(number: int, first: xr.Dataset, second: xr.Dataset, name: str) -> Claim:
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

    def growth(means: xr.Dataset) -> xr.DataArray:
        error = means.prediction.sel(quantity=name)
        return (error.sel(edit="erase") - error.sel(edit="erase, random")) / means.zero

    if not layers.size:
        return _claim(number, text, NOTHING, *NAN, **rules)
    layer = layers[growth(errors(first).means).sel(layer=layers).values.argmax()]
    judged = errors(second).band(lambda means: growth(means).sel(layer=layer))
    return _claim(number, text, _chosen(layer), *judged, **rules)


def _share(number: int, first: xr.Dataset, second: xr.Dataset) -> Claim:
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
) -> Claim:
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
