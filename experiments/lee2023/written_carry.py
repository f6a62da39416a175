"""Is the carry used that a probe reads? It is written, and the next digit looked at.

Claim: if the other value of a carry is written into the state of one character, the
digit that needs it comes out as if the column had carried so; a random change as large
does not do that.

Paper: ours, on the models of Lee et al. 2023 (claim L18); compare Quirke and Barez
2023.

Run: python -m experiments.lee2023.written_carry quick

How to read it: each panel is about one carry, by the layer whose state is edited. A
linear probe of the carry is fitted to other sums; the least change, in the norm in
which states vary, makes it read the other value, at one character alone: the one at
which the digit that needs the carry is predicted (blue), or the sign = (orange). The
model then goes on. Filled curves are the shares of unseen sums whose next digit becomes
the one that the other carry gives, one more or one less; dotted curves are those after
random changes as large. Layer 0 holds only the character, so that what is written there
is another digit to read; what the model works out begins in layer 1, and claims begin
there (this was decided after a first look). Nothing is written where R2 of the probe is
below 0.1. Bands are 95 % intervals over sums, and over seeds if there are several; they
hold the probes fixed.
"""

import sys
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import over_seeds
from experiments.engine.figures.style import (
    BLUE,
    ORANGE,
    SHARES,
    canvas,
    draw_band,
    legend_below,
)
from experiments.lee2023 import probed_sums
from experiments.lee2023.formats_measure import addition_of
from experiments.lee2023.probed_sums import Config
from experiments.lee2023.written_carry_claims import (
    BEFORE,
    EQUALS,
    READABLE,
    claims,
    resampled,
)
from icl import Transformer, inference
from icl.arithmetic.columns import carries, digits_of
from icl.sweeps.store import Models
from icl.tasks import Addition
from probes import probe_grid
from probes.interventions import random_change, write

TIMES = {
    "tiny": "30 s",
    "quick": "3 min, 1 min once the models are trained",
    "paper": "as long as training the model takes: a GPU",
}
PRESETS = {
    "tiny": probed_sums.PRESETS["tiny"],
    "quick": Config(probed_sums.QUICK, Evaluation(prompts=2_000), seeds=5),
    "paper": probed_sums.PRESETS["paper"],
}

PLACES = (BEFORE, EQUALS)
EDITS = ("write", "random")


@dataclass(frozen=True)
class Column:
    """What is asked of one carry.

    Attributes:
        carry: of every sum, 0 or 1.
        other: the next digit, if the carry were the other one.
        place: the character at which that digit is predicted.
        rows: the characters that are edited, one at a time, in the order of `PLACES`.
    """

    carry: np.ndarray
    other: np.ndarray
    place: int
    rows: tuple[int, int]


@over_seeds
def compute(config: Config, models: Models) -> xr.Dataset:
    """Writes the other value of every carry, and notes what the next digit becomes.

    Probes are fitted to the sums that the configuration does not test on.

    Returns:
        A Dataset with `flipped` over (column, layer, place, edit, prompt), 1 where the
        digit that needs the carry becomes the one that the other carry gives, NaN where
        no probe reads the carry; and `r2` over (column, layer, place).
    """
    task, model = addition_of(config.setting), models(config.setting).model
    lines = task.test(config.evaluation.prompts, seed=config.evaluation.seed)
    hidden = inference.hidden_states(model, lines)
    edited = round(config.test_fraction * hidden.shape[1])
    a, b = (np.asarray((lines.latents or {})[name])[:, 0] for name in "ab")
    parts = [
        _of_column(model, hidden, column_of(task, a, b, i), edited, config.probe_seed)
        for i in range(task.digits)
    ]
    return xr.concat(parts, xr.Variable("column", range(task.digits))).assign_attrs(
        digits=task.digits,
        layout=task.layout,
        resamples=config.evaluation.resamples,
        seed=config.probe_seed,
    )


def column_of(task: Addition, a: np.ndarray, b: np.ndarray, index: int) -> Column:
    """Returns what is asked of the carry out of a column of many sums."""
    carry = carries(a, b, task.digits)[:, index]
    digit = digits_of(a + b, task.digits + 1)[:, index + 1]
    names = list(task.codec.names)
    place = names.index(f"s{index + 1}") - 1
    other = (digit + 1 - 2 * carry) % 10
    return Column(carry, other, place, (place, names.index("=")))


def _of_column(
    model: Transformer, hidden: np.ndarray, column: Column, edited: int, seed: int
) -> xr.Dataset:
    """Edits the states of every layer for one carry."""
    layers = len(hidden)
    flipped = np.full((layers, len(PLACES), len(EDITS), edited), np.nan, np.float32)
    fit = hidden[:, edited:, list(column.rows)]
    grid = probe_grid(
        fit,
        {"carry": column.carry[edited:, None].astype(float)},
        groups=np.arange(fit.shape[1]),  # carries repeat, but no two sums are one
        coefficients=True,
        control=False,
        resamples=1,
        seed=seed,
        progress=False,
    ).isel(target=0)
    for layer, at in np.ndindex(layers, len(PLACES)):
        probe = grid.isel(layer=layer, token=at)
        if float(probe.r2) < READABLE:
            continue
        states = hidden[layer, :edited, : column.place + 1]
        reads = probe.coef.values[:1], probe.intercept.values[:1]
        wanted = 1.0 - column.carry[:edited, None]
        found = _edits(
            states[:, column.rows[at]], fit[layer, :, at], reads, wanted, seed
        )
        for number, state in enumerate(found):
            changed = states.copy()
            changed[:, column.rows[at]] = state
            said = inference.resumed(model, changed, layer).argmax(axis=-1)
            flipped[layer, at, number] = said == column.other[:edited]
    return xr.Dataset(
        {
            "flipped": (("layer", "place", "edit", "prompt"), flipped),
            "r2": (("layer", "place"), grid.r2.values),
        },
        coords={"layer": range(layers), "place": list(PLACES), "edit": list(EDITS)},
    )


def _edits(
    states: np.ndarray,
    fit: np.ndarray,
    reads: tuple[np.ndarray, np.ndarray],
    wanted: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns states that a probe reads as wanted, and states changed at random."""
    covariance = np.cov(fit.T)
    coef, intercept = reads
    written = write(states, coef, intercept, wanted, covariance=covariance)
    change = random_change(written - states, seed=seed, covariance=covariance)
    return written, states + change


# --- the picture ---

COLOURS = {BEFORE: BLUE, EQUALS: ORANGE}
LINES = {"write": "o-", "random": ":"}


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws shares of flipped digits by layer, one panel for each carry."""
    sampled = resampled(dataset)
    columns = dataset.column.values.tolist()
    with canvas(3 * len(columns) + 0.5, 3.4) as figure:
        panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
        for axes, column in zip(panels, columns, strict=True):
            for place, edit in ((p, e) for p in PLACES for e in EDITS):
                at = {"column": column, "place": place, "edit": edit}
                band = sampled.band(lambda means, at=at: means.flipped.sel(at))
                style = {"color": COLOURS[place], "label": f"{edit}, {place}"}
                draw_band(axes, "layer", band, LINES[edit], **style)
            axes.set_title(f"carry {column}")
            axes.set_xlabel("layer (0 = embedding)")
            axes.set_xticks(dataset.layer.values)
            axes.set_ylim(SHARES)
        panels[0].set_ylabel("share of next digits that flip")
        legend_below(figure, panels[0], ncols=4)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
