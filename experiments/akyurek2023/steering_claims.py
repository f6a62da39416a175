"""Does the model use what a probe reads? The claims of `steering`, which are ours.

The claims are about predictions after edits of hidden states, which `steering_measure`
measures, after the longest context.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments.engine.claims.claim import Bar, Claim
from experiments.engine.claims.estimates import estimate
from experiments.engine.claims.intervals import Resampled, resample
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.movements import products, toward
from experiments.engine.claims.statistics import SEED
from experiments.engine.figures.seeds import named_layers

READABLE = 0.1
"""The least R2 of a probe whose value is written or erased. Where R2 is lower, a write
takes a change that is many times as large as the difference between two prompts, and
says nothing about the model."""

LOOKED: Bar = "ours, set after a first look"
FIXED = "Intervals hold the probes and the random directions fixed."

NOT_READABLE = f"In no layer is a probe's R2 {READABLE} or more."


# --- statistics, of one context length ---


def resampled(part: xr.Dataset) -> Resampled:
    """Returns the means over prompts that everything follows from, with resamples.

    `error`, `error_untouched` and `error_of_zero` are squared errors / d of predictions
    after the edits, without one, and of predicting 0. The others are means of products
    of what the donor's weights say, and of predictions before and after edits.
    """
    wanted, before, d = part.wanted, part.untouched, part.attrs["dim"]
    found = products(wanted, before, after=part.prediction, swapped=part.swapped)
    found = found.assign(
        error=(part.prediction - part.label) ** 2 / d,
        error_untouched=(before - part.label) ** 2 / d,
        error_of_zero=part.label**2 / d,
    )
    return resample(
        found,
        ("prompt",),
        resamples=int(part.attrs["resamples"]),
        seed=int(part.attrs["seed"]),
    )


def moved(means: xr.Dataset) -> xr.DataArray:
    """Returns how far predictions moved toward the donor's after each edit."""
    return toward(means, "after")


def swapped(means: xr.Dataset) -> xr.DataArray:
    """Returns how far they moved with all of the donor's states."""
    return toward(means, "swapped")


def readable(part: xr.Dataset, quantity: str) -> np.ndarray:
    """Returns the layers in which a probe reads the quantity, whatever the seed."""
    enough = part.r2.sel(quantity=quantity) >= READABLE
    if SEED in enough.dims:
        enough = enough.all(SEED)
    return part.layer.values[enough.values]


# --- claims ---


class Halves(NamedTuple):
    """What was resampled of the edited prompts, in two halves.

    Attributes:
        first: of those on which layers are chosen.
        second: of those on which the chosen layers are judged.
    """

    first: Resampled
    second: Resampled


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the claims that the model uses what is read, for the longest context."""
    part = dataset.isel(context=-1)
    half, names = part.sizes["prompt"] // 2, part.quantity.values
    halves = Halves(
        resampled(part.isel(prompt=slice(half))),
        resampled(part.isel(prompt=slice(half, None))),
    )
    layers = {name: readable(part, name) for name in names}
    judge = Judge("steering", "steering", "ours", resampled=halves.second)
    return [
        *(
            _written(judge, str(i), halves, name, layers[name])
            for i, name in enumerate(names, 1)
        ),
        *(
            _erased(judge, str(i), halves, name, layers[name])
            for i, name in enumerate(names, 3)
        ),
        _labels_tell_most(judge, "5", halves),
    ]


def _written(
    judge: Judge, id: str, halves: Halves, name: str, layers: np.ndarray
) -> Claim:
    """Returns the claim that predictions follow a quantity that is written."""

    def gain(means: xr.Dataset) -> xr.DataArray:
        """Returns how much further a write moves predictions than a random change."""
        moves = moved(means).sel(quantity=name)
        return moves.sel(edit="write") - moves.sel(edit="write, random")

    best = _best(gain(halves.first.means), layers)
    return judge(
        id,
        f"Predictions follow {name} that are written: at the best layer they move "
        "further toward the donor's than after a random change as large, by more than "
        "half of the way.",
        lambda means: gain(means).sel(layer=best),
        ">",
        0.5,
        unit="difference of toward",
        bar=LOOKED,
        note=_chosen(best),
        missing="" if layers.size else NOT_READABLE,
    )


def _erased(
    judge: Judge, id: str, halves: Halves, name: str, layers: np.ndarray
) -> Claim:
    """Returns the claim that predictions get worse if a quantity is erased."""

    def growth(means: xr.Dataset, unit: str = "error_of_zero") -> xr.DataArray:
        """Returns how much further the error grows than after a random change.

        It is in units of the error of predicting 0, or of the model's own error.
        """
        error = means.error.sel(quantity=name)
        excess = error.sel(edit="erase") - error.sel(edit="erase, random")
        return excess / means[unit]

    best = _best(growth(halves.first.means), layers)
    second, note = halves.second, _chosen(best)
    if layers.size:
        own = estimate(
            lambda means: growth(means, "error_untouched").sel(layer=best),
            second.means,
            second.draws,
        )
        note += f" In units of the model's own error, untouched, it is {own}."
    return judge(
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
        missing="" if layers.size else NOT_READABLE,
    )


def _labels_tell_most(judge: Judge, id: str, halves: Halves) -> Claim:
    """Returns the claim that labels are most of what examples tell."""
    by_swap = swapped(halves.first.means)
    enough = by_swap > 0.5
    if SEED in enough.dims:
        enough = enough.all(SEED)
    layers = by_swap.layer.values[enough.values]

    def gain(means: xr.Dataset) -> xr.DataArray:
        """Returns how much further labels move predictions than half of all states."""
        labels = moved(means).sel(quantity="labels", edit="write")
        return (labels - swapped(means) / 2).sel(layer=layers).mean("layer")

    note = f"{named_layers(by_swap.layer[enough.values])}, chosen on other prompts."
    return judge(
        id,
        "Labels are most of what examples tell: over the layers at which all of the "
        "donor's states move predictions by more than half of the way, the labels "
        "alone that its weights give move them by more than half as far.",
        gain,
        ">",
        0,
        unit="toward, less half the swap's",
        bar=LOOKED,
        note=f"{note[0].upper()}{note[1:]} {FIXED}",
        missing="" if layers.size else "No layer does.",
    )


def _best(values: xr.DataArray, layers: np.ndarray) -> xr.DataArray:
    """Returns the layer with the largest value, for the model of each seed."""
    among = values.sel(layer=layers) if layers.size else values
    return among.layer[among.fillna(-np.inf).argmax("layer")].drop_vars("layer")


def _chosen(layer: xr.DataArray) -> str:
    """Returns a note of the layer that a claim is about, in the model of each seed."""
    return f"{named_layers(layer).capitalize()}, chosen on other prompts. {FIXED}"
