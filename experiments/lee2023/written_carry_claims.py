"""Does the digit follow a carry that is written? Claim L18, of ours.

The layer is chosen on one half of the edited sums, for every carry, and judged on the
other. The embedding is not among them: all that it holds is the character, so that a
carry written there is another digit to read, and nothing that the model has worked out.
"""

import numpy as np
import xarray as xr

from experiments.engine.claims import intervals
from experiments.engine.claims.claim import Claim
from experiments.engine.claims.intervals import Resampled
from experiments.engine.claims.judge import Judge
from experiments.engine.claims.statistics import SEED, Smallest, Statistic

BEFORE, EQUALS = "before the digit", "at ="
"""The characters whose states are edited."""

READABLE = 0.1
"""The least R2 of a probe whose value is written."""


def resampled(dataset: xr.Dataset) -> Resampled:
    """Returns shares of flipped digits over sums, and those of every resample."""
    return intervals.resample(
        dataset[["flipped"]],
        ("prompt",),
        resamples=int(dataset.attrs["resamples"]),
        seed=int(dataset.attrs["seed"]),
    )


def best_layers(dataset: xr.Dataset, place: str) -> xr.DataArray | None:
    """Returns the layer after the embedding at which most digits flip, by carry.

    It is None where some carry is read in no layer of some seed.
    """
    after = dataset.flipped.sel(place=place, edit="write", layer=slice(1, None))
    if place == EQUALS:
        after = after.sel(column=[0])
    share = after.mean("prompt", skipna=False)
    if SEED in share.dims:
        share = share.mean(SEED, skipna=False)
    if share.isnull().all("layer").any():
        return None
    return share.fillna(-1).idxmax("layer").astype(int)


def chosen(layers: xr.DataArray, place: str, edit: str) -> Statistic:
    """Returns the share of flipped digits at the chosen layer, by column."""

    def share(means: xr.Dataset) -> xr.DataArray:
        found = means.flipped.sel(place=place, edit=edit, column=layers.column)
        return found.sel(layer=layers, drop=True)

    return share


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Returns the claims about carries that are written."""
    half = dataset.sizes["prompt"] // 2
    first, second = (
        dataset.isel(prompt=part) for part in (slice(half), slice(half, None))
    )
    found = {place: best_layers(first, place) for place in (BEFORE, EQUALS)}
    judge = Judge(
        "lee2023",
        "written_carry",
        "ours, after Quirke and Barez 2023",
        resampled=resampled(second),
    )
    here, early = found[BEFORE], found[EQUALS]
    return [
        _flips(judge, "L18a", here, 0.3),
        _beats_chance(judge, "L18b", here),
        judge(
            "L18c",
            "The carry of the units is used from where it can first be read: written "
            "at =, two characters before the digit of the tens, it flips over 30 % of "
            "these digits.",
            (lambda means: chosen(early, EQUALS, "write")(means).squeeze("column"))
            if early is not None
            else float("nan"),
            ">",
            0.3,
            unit="share of flipped digits",
            bar="ours, set after a first look",
            note=_layers(early),
            missing=_missing(dataset, early, reverse=True),
        ),
    ]


def _flips(judge: Judge, id: str, layers: xr.DataArray | None, least: float) -> Claim:
    return judge(
        id,
        "Every carry is used: if its other value is written at the character where the "
        f"next digit is predicted, over {least:.0%} of these digits become those of "
        "the other carry, at the best layer after the embedding.",
        Smallest(chosen(layers, BEFORE, "write"), over="column")
        if layers is not None
        else float("nan"),
        ">",
        least,
        unit="share of flipped digits",
        bar="ours, set after a first look",
        note=_layers(layers),
        missing="" if layers is not None else "A carry is read in no layer.",
    )


def _beats_chance(judge: Judge, id: str, layers: xr.DataArray | None) -> Claim:
    def lead(means: xr.Dataset) -> xr.DataArray:
        assert layers is not None  # for the type checker
        written = chosen(layers, BEFORE, "write")(means)
        return written - chosen(layers, BEFORE, "random")(means)

    return judge(
        id,
        "That is the carry's doing: random changes as large, of the same states, flip "
        "fewer digits, by over 20 %, for every carry.",
        Smallest(lead, over="column"),
        ">",
        0.2,
        unit="difference of shares of flipped digits",
        bar="ours, set after a first look",
        note=_layers(layers),
        missing="" if layers is not None else "A carry is read in no layer.",
    )


def _missing(dataset: xr.Dataset, layers: xr.DataArray | None, reverse: bool) -> str:
    if reverse and dataset.attrs["layout"] != "reverse":
        return "Answers of this run do not begin with units."
    return "" if layers is not None else "A carry is read in no layer at =."


def _layers(layers: xr.DataArray | None) -> str:
    """Returns which layers were chosen, in words."""
    if layers is None:
        return ""
    listed = ", ".join(str(int(layer)) for layer in np.ravel(layers.values))
    return (
        f"Layers by carry, chosen on other sums: {listed}. Intervals hold the probes "
        "and the random directions fixed."
    )
