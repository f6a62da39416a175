"""The effect on predictions of a weight vector that is written into hidden states.

Claim: the model uses what a linear probe reads in the states of the examples. If
another prompt's value is written there, predictions move toward those of that prompt's
weights, and if the value is erased, they get worse; both effects are larger than those
of random changes of the same size.

Paper: not in Akyürek et al. 2023, whose probes (section 5) show what can be decoded and
not what is used. The thresholds are ours, set after a first look at the quick model.

Run: python -m experiments.akyurek2023.steering quick

How to read it: after n examples the model predicts at a new x. At one layer the states
of all tokens of the examples are edited together, the state at x is left alone, and the
model goes on from there. Two quantities are read by ridge probes and written: the
weights w, and the labels y1..yn, which say the same by other means. Every prompt has a
donor with weights w'; the labels that are written are those that w' gives at the
prompt's own inputs. The left panels show the R2 of these probes, of a probe that reads
w at x, and of one that reads w in X'y, a simpler summary of the examples. The middle
panels show how far predictions move toward w'.x, in a regression on w'.x and on the
prediction before the edit: 1 means that they follow it wholly, 0 that they ignore the
edit or are merely damaged. The black curve is for all of the donor's states in place of
the prompt's own; no edit of the examples can be expected to do more. A write is the
least change in the norm in which states vary (filled markers) or in Euclidean norm
(hollow markers). The right panels show the error once no linear probe reads the
quantity any more. Dotted curves are for changes as large in random directions, with the
covariance of the states. Nothing is written or erased where R2 is below 0.1. The rows
are for n = d and n = 2d. Bands are 95 % intervals over prompts, and over seeds if there
are several; they hold the probes fixed.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.akyurek2023 import steering_measure
from experiments.akyurek2023.steering_claims import (
    claims,
    moved,
    readable,
    resampled,
    swapped,
)
from experiments.engine.claims.intervals import Resampled
from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import Evaluation, linear_task
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import mean_over_seeds, over_seeds
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    canvas,
    draw_band,
    legend_below,
)
from experiments.reference_models import PROBING
from icl import checks
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

TIMES = {
    "tiny": "30 s",
    "quick": "4 min, 2 min once the model is trained",
    "shipped": "2 min",
    "paper": "3 hours on one H100, an estimate",
}

CONTEXTS = (1, 2)
"""The numbers of examples, in units of d; from n = d on they determine w."""

STYLES: Mapping[str, Mapping[str, Any]] = {
    "weights": {"color": BLUE, "marker": "o"},
    "labels": {"color": ORANGE, "marker": "s"},
}
"""How each of the two quantities that are read and written is drawn."""


@dataclass(frozen=True)
class Config:
    """Settings of the edits.

    Attributes:
        setting: the model, or the first of several.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
        evaluation: the prompts whose states are edited.
        fitted: the number of further prompts, to which probes and erasers are fitted;
            it should be larger than the number of their features, 2n x width. Hidden
            states take (layers + 1) x (prompts + fitted) x tokens x width x 4 bytes,
            twice.
        edit_seed: the seed of the donors, the random directions and the resampling.
    """

    setting: Setting
    evaluation: Evaluation = Evaluation(prompts=1_000)
    fitted: int = 4_000
    edit_seed: int = 0
    seeds: int = 1

    def __post_init__(self) -> None:
        task = linear_task(self.setting, own_weights=True)
        checks.positive_int("seeds", self.seeds)
        self.evaluation.require_prompts(8)
        checks.positive_int("fitted", self.fitted, minimum=8)
        checks.positive_int("edit_seed", self.edit_seed, minimum=0)
        if task.length <= task.dim:
            raise ValueError(
                f"task.length must be above task.dim={task.dim}, for a query "
                f"after as many pairs, got {task.length}."
            )


PRESETS = {
    "tiny": Config(PROBING["tiny"], Evaluation(prompts=250), fitted=250),
    "quick": Config(PROBING["quick"], Evaluation(prompts=500), fitted=2_500, seeds=5),
    "shipped": Config(PROBING["shipped"], Evaluation(prompts=500), fitted=2_500),
    "paper": Config(PROBING["paper"], fitted=16_000),
}


@over_seeds
def compute(config: Config, models: Models) -> xr.Dataset:
    """Returns predictions after every edit: see `steering_measure.measure`."""
    task, model = linear_task(config.setting), models(config.setting).model
    evaluation = config.evaluation
    prompts, _ = evaluation.sample(task, more=config.fitted)
    parts = []
    for n in (times * task.dim for times in CONTEXTS):
        if n < task.length:
            xs, ys = prompts.xs[:, : n + 1], prompts.ys[:, : n + 1]
            asked = prompts._replace(xs=xs, ys=ys)
            part = steering_measure.measure(
                model, asked, evaluation.prompts, config.edit_seed
            )
            parts.append(part.expand_dims(context=[n]))
    joined = xr.concat(parts, "context")
    return joined.assign_attrs(
        dim=task.dim, seed=config.edit_seed, resamples=evaluation.resamples
    )


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws what is read, written and erased by layer, a row for each length."""
    lengths = dataset.context.values
    with canvas(11, 1.2 + 3.2 * len(lengths)) as figure:
        grid = figure.subplots(
            len(lengths), 3, sharex=True, sharey="col", squeeze=False
        )
        for row, n in zip(grid, lengths, strict=True):
            part = dataset.sel(context=n)
            sampled = resampled(part)
            _read(row[0], part)
            _write(row[1], part, sampled)
            _erase(row[2], part, sampled)
            row[0].set_ylabel(f"after n = {n} examples (d = {dataset.attrs['dim']})")
        for axes, title in zip(
            grid[0],
            (
                "read: R² of the probe",
                "write: movement toward w'.x",
                "erase: error² / d",
            ),
            strict=True,
        ):
            axes.set_title(title)
        grid[0, 0].set_ylim(-0.05, 1.05)
        grid[0, 1].set_ylim(-0.3, 1.2)
        grid[0, 2].set_yscale("log")
        for axes in grid[-1]:
            axes.set_xlabel("layer (0 = embedding)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, *grid[0], ncols=3)
    return figure


def _read(axes: Axes, part: xr.Dataset) -> None:
    """Draws the R2 of the probes by layer."""
    for name, style in STYLES.items():
        r2 = mean_over_seeds(part.r2.sel(quantity=name))
        axes.plot(part.layer, r2, label=name, **style)
    dashed: dict[str, Any] = {**STYLES["weights"], "marker": "", "linestyle": "--"}
    r2_at_x = mean_over_seeds(part.r2_at_x)
    axes.plot(part.layer, r2_at_x, label="weights, read at x", **dashed)
    axes.axhline(
        float(part.r2_of_moments.mean()),
        color=GREY,
        linestyle="-.",
        label="weights, read in X'y",
    )


def _write(axes: Axes, part: xr.Dataset, sampled: Resampled) -> None:
    """Draws how far predictions move after each write, by layer."""
    swap = {"color": BLACK, "marker": "D", "label": "the donor's states"}
    draw_band(axes, "layer", sampled.band(swapped), **swap)
    for name, style in STYLES.items():
        layers = readable(part, name)
        for edit, line in {
            "write, Euclidean": {
                "markerfacecolor": "white",
                "linewidth": 0.8,
                "label": f"{name}, by least Euclidean change",
            },
            "write, random": _random_change(name),
            "write": {"label": name},
        }.items():
            at = {"quantity": name, "edit": edit, "layer": layers}
            values = sampled.band(lambda means, at=at: moved(means).sel(at))
            draw_band(axes, layers, values, **{**style, **line})


def _erase(axes: Axes, part: xr.Dataset, sampled: Resampled) -> None:
    """Draws the squared error after each erasure, by layer."""
    axes.axhline(
        float(sampled.means.error_untouched.mean()),
        color=GREY,
        linestyle="--",
        label="without an edit",
    )
    for name, style in STYLES.items():
        layers = readable(part, name)
        for edit, line in {
            "erase, random": _random_change(name),
            "erase": {"label": name},
        }.items():
            at = {"quantity": name, "edit": edit, "layer": layers}
            values = sampled.band(lambda means, at=at: means.error.sel(at))
            draw_band(axes, layers, values, **{**style, **line})


def _random_change(name: str) -> dict[str, Any]:
    """Returns how the curve of a random change is drawn."""
    return {
        "linestyle": ":",
        "marker": "",
        "label": f"{name}, by random change as large",
    }


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
