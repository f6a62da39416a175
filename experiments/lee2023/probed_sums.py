"""Where does a model that adds keep its carries? Probes under exact ceilings.

Claim: a trained transformer has the carry in its hidden states one digit before it
writes the digit that needs it; an untrained one has not, and no probe reads more than
can be known.

Paper: ours, on the models of Lee et al. 2023 (claims L16 and L17); compare Quirke and
Barez 2023.

Run: python -m experiments.lee2023.probed_sums quick

How to read it: each panel is about one quantity, by the character that has just been
read (a2 is the hundreds of the first operand, s0 the units of the answer). Lines are
the share of variance (R2) that a linear probe of a layer explains on sums that it was
not fitted to; the dashed line is the ceiling, what a reader of so many characters can
know, by enumeration of all sums; the dotted line is the best layer of an untrained
model of that shape. Bands are 95 % intervals over sums, and over seeds if there are
several.
"""

import sys
from dataclasses import dataclass, replace
from typing import Any

import jax
import matplotlib.figure
import numpy as np
import xarray as xr

from experiments.engine.figures.command import main
from experiments.engine.figures.evaluation import (
    Evaluation,
    check_test_fraction,
    check_unseen,
)
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.seeds import mean_over_seeds, over_seeds
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    canvas,
    draw_band,
    legend_below,
)
from experiments.lee2023 import formats
from experiments.lee2023.formats_measure import addition_of, setting_of
from experiments.lee2023.probed_sums_claims import TRAINED, UNTRAINED, claims, resampled
from icl import checks, inference
from icl.model.building import build
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.targets import prefix_ceilings, sum_targets, target_values
from probes import probe_grid

TIMES = {
    "tiny": "30 s",
    "quick": "3 min, 1 min once the models are trained",
    "paper": "as long as training the model takes: a GPU",
}


@dataclass(frozen=True)
class Config:
    """Settings of the probes of sums.

    Attributes:
        setting: the model, or the first of several; its lines are padded, with up to 3
            digits, one in a sequence.
        seeds: the number of models; their seeds are that of the setting and the numbers
            after it.
        evaluation: the unseen sums to which probes are fitted and on which they are
            tested.
        test_fraction: the share of the sums on which probes are tested.
        probe_seed: the seed of the split, the control and the resampling.
    """

    setting: Setting
    evaluation: Evaluation = Evaluation()
    test_fraction: float = 0.5
    probe_seed: int = 0
    seeds: int = 1

    def __post_init__(self) -> None:
        checks.positive_int("seeds", self.seeds)
        self.evaluation.require_prompts(8)
        check_test_fraction(self.test_fraction)
        checks.positive_int("probe_seed", self.probe_seed, minimum=0)
        task = addition_of(self.setting)
        checks.positive_int("task.digits", task.digits, maximum=3)
        check_unseen(task, self.evaluation.prompts)
        if not task.codec.labels:
            raise ValueError(
                "task must write padded lines, one in a sequence, got "
                f"layout={task.layout!r}, padded={task.padded}, lines={task.lines}."
            )


QUICK = setting_of(formats.PRESETS["quick"], "reverse", 5_000, 0)
PRESETS = {
    "tiny": Config(
        setting_of(formats.PRESETS["tiny"], "reverse", 500, 0),
        Evaluation(prompts=64, resamples=200),
    ),
    "quick": Config(QUICK, seeds=5),
    "paper": Config(
        Setting(
            replace(addition_of(QUICK), examples=10_000),
            formats.PRESETS["paper"].model,
            formats.PRESETS["paper"].train,
        ),
        Evaluation(prompts=10_000),
    ),
}


@over_seeds
def compute(config: Config, models: Models) -> xr.Dataset:
    """Fits probes to a trained and to an untrained model: see `probes.probe_grid`.

    Returns:
        What `probe_grid` returns for every carry, column sum and digit of the answer,
        with one more axis `model`; `r2_resampled` is over (model, layer, token, target,
        resample).
    """
    setting, task = config.setting, addition_of(config.setting)
    lines = task.test(config.evaluation.prompts, seed=config.evaluation.seed)
    known = sum_targets(task.digits)
    wanted = {
        name: target
        for name, target in known.items()
        if name.partition(" ")[0] in ("carry", "sum", "answer")
    }
    values = target_values(wanted.values(), lines)
    ceilings = prefix_ceilings(wanted.values(), task.every_sum())
    untrained = build(task.codec, setting.model, jax.random.key(setting.seed))
    grids = []
    for model in (models(setting).model, untrained):
        grid = _grid(config, model, lines, values, ceilings)
        grids.append(grid[["r2", "control_r2", "ceiling", "r2_resampled"]])
    return xr.concat(
        grids,
        xr.Variable("model", [TRAINED, UNTRAINED]),
        data_vars="all",
        coords="minimal",
        compat="override",
        combine_attrs="override",
    ).assign_attrs(digits=task.digits, layout=task.layout)


def _grid(
    config: Config, model: Any, lines: Any, values: Any, ceilings: Any
) -> xr.Dataset:
    return probe_grid(
        inference.hidden_states(model, lines),
        values,
        groups=np.arange(len(lines.ids)),  # each sum is another, whatever they share
        tokens=list(model.codec.names),
        ceilings=ceilings,
        test_fraction=config.test_fraction,
        resamples=config.evaluation.resamples,
        seed=config.probe_seed,
        keep_resamples=True,
        progress=False,
    )


# --- the picture ---

COLOURS = (GREY, BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws R2 by character, one panel for each carry and column sum."""
    digits = int(dataset.attrs["digits"])
    names = [f"{what} {i}" for what in ("carry", "sum") for i in range(digits)]
    parts = resampled(dataset)
    tokens = dataset.token.values
    with canvas(3.2 * digits + 0.5, 6) as figure:
        panels = figure.subplots(2, digits, sharex=True, sharey=True, squeeze=False)
        for axes, name in zip(panels.ravel(), names, strict=True):
            for layer in dataset.layer.values.tolist():
                band = parts.band(
                    lambda means, layer=layer, name=name: means.r2.sel(
                        model=TRAINED, layer=layer, target=name
                    )
                )
                colour = COLOURS[layer % len(COLOURS)]
                draw_band(axes, tokens, band, color=colour, label=f"layer {layer}")
            other = mean_over_seeds(dataset.r2.sel(model=UNTRAINED, target=name))
            axes.plot(tokens, other.max("layer"), ":", color=GREY, label="untrained")
            ceiling = mean_over_seeds(dataset.ceiling.sel(model=TRAINED, target=name))
            axes.plot(tokens, ceiling, "--", color=BLACK, label="ceiling")
            axes.set_title(name)
            axes.set_ylim(-0.1, 1.05)
        for axes in panels[-1]:
            axes.set_xticks(np.arange(len(tokens)), tokens, rotation=90, fontsize=8)
        for axes in panels[:, 0]:
            axes.set_ylabel("held-out R²")
        legend_below(figure, panels[0, 0], ncols=6)
    return figure


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
