"""Does the model use what a probe reads? The claims of `steering`, which are ours.

The claims are about predictions after edits of hidden states, which `steering_measure`
measures, after the longest context.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Bar, Claim, Interval
from experiments.engine.claims.estimates import estimate
from experiments.engine.claims.intervals import Resampled, resample
from experiments.engine.claims.judge import Judge
from probes.interventions import Movement, movement

READABLE = 0.1
"""The least R2 of a probe whose value is written or erased. Where R2 is lower, a write
takes a change that is many times as large as the difference between two prompts, and
says nothing about the model."""

LOOKED: Bar = "ours, set after a first look"
FIXED = (
    "prompts, for one trained model; its probes and the random directions are held "
    "fixed"
)

NAN = float("nan")
NOT_READABLE = f"In no layer is a probe's R2 {READABLE} or more."


# --- statistics, of one context length ---


def moved(part: xr.Dataset, predictions: xr.DataArray) -> Movement:
    """Returns how far predictions moved toward the donor's; they may have layers.

    A regression is linear in the predictions: for a difference of predictions it gives
    the difference of movements, resampled in pairs.
    """
    arrays = xr.broadcast(part.untouched, predictions, part.wanted)
    rows = (array.transpose("prompt", ...).values for array in arrays)
    return movement(*rows, seed=int(part.attrs["seed"]))


def errors(part: xr.Dataset) -> Resampled:
    """Returns squared errors / d of `prediction`, of `untouched`, and of `zero`."""
    predicted = part[["prediction", "untouched"]].assign(zero=0 * part.label)
    squared = (predicted - part.label) ** 2 / part.attrs["dim"]
    seed = int(part.attrs["seed"])
    resamples = int(part.attrs["resamples"])
    return resample(squared, ("prompt",), resamples=resamples, seed=seed)


def readable(part: xr.Dataset, quantity: str) -> np.ndarray:
    """Returns the layers in which a probe reads the quantity."""
    return part.layer.values[part.r2.sel(quantity=quantity).values >= READABLE]


# --- claims ---


class Halves(NamedTuple):
    """The edited prompts in two halves.

    Attributes:
        first: those on which layers are chosen.
        second: those on which the chosen layers are judged.
    """

    first: xr.Dataset
    second: xr.Dataset


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the claims that the model uses what is read, for the longest context."""
    part = dataset.isel(context=-1)
    half, names = part.sizes["prompt"] // 2, part.quantity.values
    halves = Halves(part.isel(prompt=slice(half)), part.isel(prompt=slice(half, None)))
    judge = Judge("steering", "steering", "ours")
    return [
        *(_written(judge, str(i), halves, name) for i, name in enumerate(names, 1)),
        *(_erased(judge, str(i), halves, name) for i, name in enumerate(names, 3)),
        _labels_tell_most(judge, "5", halves),
    ]


def _written(judge: Judge, id: str, halves: Halves, name: str) -> Claim:
    """Returns the claim that predictions follow a quantity that is written."""

    def gain(part: xr.Dataset, layers: Any) -> Movement:
        """Returns how much further a write moves predictions than a random change."""
        after = part.prediction.sel(quantity=name, layer=layers)
        return moved(part, after.sel(edit="write") - after.sel(edit="write, random"))

    layers, best, measured = readable(halves.first, name), None, NAN
    if layers.size:
        best = layers[gain(halves.first, layers).toward.argmax()]
        measured = _interval(gain(halves.second, best))
    return judge(
        id,
        f"Predictions follow {name} that are written: at the best layer they move "
        "further toward the donor's than after a random change as large, by more than "
        "half of the way.",
        measured,
        ">",
        0.5,
        unit="difference of toward",
        bar=LOOKED,
        interval_over=FIXED,
        note=_chosen(best),
        missing="" if layers.size else NOT_READABLE,
    )


def _erased(judge: Judge, id: str, halves: Halves, name: str) -> Claim:
    """Returns the claim that predictions get worse if a quantity is erased."""

    def growth(means: xr.Dataset, unit: str = "zero") -> xr.DataArray:
        """Returns how much further the error grows than after a random change.

        It is in units of the error of predicting 0, or of the model's own error.
        """
        error = means.prediction.sel(quantity=name)
        excess = error.sel(edit="erase") - error.sel(edit="erase, random")
        return excess / means[unit]

    layers, best = readable(halves.first, name), None
    if layers.size:
        first = growth(errors(halves.first).means).sel(layer=layers)
        best = layers[first.values.argmax()]
    second, note = errors(halves.second), _chosen(best)
    if layers.size:
        own = estimate(
            lambda means: growth(means, "untouched").sel(layer=best),
            second.means,
            second.draws,
        )
        note += f" In units of the model's own error, untouched, it is {own}."
    return replace(judge, resampled=second)(
        id,
        f"Erasing the {name} hurts: at the best layer the error grows further than "
        "after a random change as large, by more than a tenth of what predicting 0 "
        "costs.",
        lambda means: growth(means).sel(layer=best),
        ">",
        0.1,
        unit="difference / error of predicting 0",
        bar=LOOKED,
        note=note,
        interval_over=FIXED,
        missing="" if layers.size else NOT_READABLE,
    )


def _labels_tell_most(judge: Judge, id: str, halves: Halves) -> Claim:
    """Returns the claim that labels are most of what examples tell."""
    first, second = halves
    layers = first.layer.values[moved(first, first.swapped).toward > 0.5]
    measured, note = NAN, ""
    if layers.size:
        labels = second.prediction.sel(quantity="labels", edit="write")
        after = (labels - second.swapped / 2).sel(layer=layers).mean("layer")
        measured = _interval(moved(second, after))
        note = f"Layers {layers[0]} to {layers[-1]}, chosen on other prompts."
    return judge(
        id,
        "Labels are most of what examples tell: over the layers at which all of the "
        "donor's states move predictions by more than half of the way, the labels "
        "alone that its weights give move them by more than half as far.",
        measured,
        ">",
        0,
        unit="toward, less half the swap's",
        bar=LOOKED,
        interval_over=FIXED,
        note=note,
        missing="" if layers.size else "No layer does.",
    )


def _interval(movement: Movement) -> Interval:
    """Returns how far one array of predictions moved toward the donor's."""
    return Interval(*(float(end) for end in movement[:3]))


def _chosen(layer: int | None) -> str:
    """Returns a note of the layer that a claim is about."""
    return f"Layer {layer}, chosen on other prompts."
