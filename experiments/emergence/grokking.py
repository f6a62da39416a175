"""Grokking: sums modulo p that a model has not seen are right long after the others.

Claim: a small transformer answers all pairs of its training set long before it answers
the rest, and does so only where weights decay. What comes first on the way is
commutativity: a pair whose mirror image was trained on is right earlier than others.

Paper: Power et al. 2022 and Nanda et al. 2023, on `icl.tasks.ModularAddition`. The
claims have no numbers of these papers, whose models and moduli are larger.

Run: python -m experiments.emergence.grokking quick

How to read it: left and in the middle, the share of right answers by the step of
training, with and without weight decay: of pairs that are trained on; of others whose
mirror image b + a is; and of those where neither is. Thick lines are means over seeds
with 95 % intervals over seeds and pairs, thin ones are single seeds. Right, for the
first model whose weights decay: how well the cosine and sine of 2 pi k (a + b) / p can
be read at "=" behind the last layer, for every frequency k, by linear probes that are
tested on sums a + b to which they were not fitted. The three that are read best at the
end are coloured.
"""

import sys
from dataclasses import dataclass, replace
from functools import partial

import matplotlib.figure
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from experiments.emergence.grokking_claims import KINDS, claims, resample
from experiments.engine.claims.intervals import Resampled
from experiments.engine.figures.checkpoints import (
    ModelAt,
    model_after,
    with_checkpoints,
)
from experiments.engine.figures.command import main
from experiments.engine.figures.figure import Figure
from experiments.engine.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    SHARES,
    VERMILLION,
    canvas,
    draw_band,
    legend_below,
)
from icl import ModelConfig, TrainConfig, checks, inference, sweeps
from icl.codecs import Characters, Lines
from icl.codecs.matching import exact_match
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.targets import modular_targets, target_values
from icl.tasks import ModularAddition
from probes import probe_grid

TIMES = {
    "tiny": "30 s",
    "quick": "8 min, 1 min once the models are trained",
    "paper": "not measured: 30,000 steps of a model of width 128",
}


@dataclass(frozen=True)
class Config:
    """Settings of the models.

    Attributes:
        setting: the first model whose weights decay. Its training keeps checkpoints at
            log-spaced steps.
        seeds: the number of models with weight decay, and of those without. They have
            one training set.
        resamples: bootstrap resamples of the pairs, for intervals.
        probe_seed: the seed of the split of the sums for probes.
    """

    setting: Setting
    seeds: int = 5
    resamples: int = 1_000
    probe_seed: int = 0

    def __post_init__(self) -> None:
        checks.of_kind("task", self.setting.task, ModularAddition, "a ModularAddition")
        checks.positive_int("seeds", self.seeds)
        checks.positive_int("resamples", self.resamples)
        checks.positive_int("probe_seed", self.probe_seed, minimum=0)
        train = self.setting.train
        if not train.weight_decay:
            raise ValueError(
                "train.weight_decay must be above 0: the figure compares models with "
                "and without it."
            )
        if len(train.kept_steps) < 3:
            raise ValueError(
                "training must keep three checkpoints or more, got those after "
                f"{train.kept_steps}; set train.checkpoints_per_decade higher."
            )


QUICK = Setting(
    ModularAddition(41, fraction=0.5),
    ModelConfig(layers=1, width=64, heads=4),
    TrainConfig(
        steps=5_000,
        batch=512,
        weight_decay=1.0,
        schedule="constant",
        warmup=0.0,
        checkpoints_per_decade=8,
    ),
)
PRESETS = {
    "tiny": Config(
        Setting(
            ModularAddition(7, fraction=0.5),
            ModelConfig(layers=1, width=16),
            replace(QUICK.train, steps=40, batch=32, evaluate_every=40),
        ),
        seeds=1,
        resamples=200,
    ),
    "quick": Config(QUICK),
    "paper": Config(
        Setting(
            ModularAddition(113, fraction=0.3),
            ModelConfig(layers=1, width=128, heads=4),
            replace(QUICK.train, steps=30_000, batch=3_831, learning_rate=1e-3),
        )
    ),
}


def setting_of(config: Config, decay: float, seed: int) -> Setting:
    """Returns the model of a weight decay and a seed."""
    first = config.setting
    train = replace(first.train, weight_decay=decay)
    return replace(first, train=train, seed=first.seed + seed)


def decays(config: Config) -> tuple[float, float]:
    """Returns the weight decay of the models, and none."""
    return config.setting.train.weight_decay, 0.0


def settings(config: Config) -> list[Setting]:
    """Returns all models, seed by seed."""
    return [
        setting_of(config, decay, seed)
        for seed in range(config.seeds)
        for decay in decays(config)
    ]


@with_checkpoints
def compute(config: Config, models: Models) -> xr.Dataset:
    """Trains the missing models, and asks them for all pairs at every checkpoint.

    Returns:
        A Dataset of `trained`, `mirrored` and `lone`, whether the answers to these
        pairs are right, over (decay, seed, step) and a dimension of pairs of its own
        each; and `r2` over (step, phase), of the first model.
    """
    sweeps.train_missing(settings(config), models)
    at = partial(model_after, models)
    task, steps = config.setting.task, config.setting.train.kept_steps
    assert isinstance(task, ModularAddition)  # for the type checker
    lines = task.every_sum()
    right = np.array(
        [
            [
                _right_answers(at, setting_of(config, decay, seed), lines)
                for seed in range(config.seeds)
            ]
            for decay in decays(config)
        ],
        np.float32,
    )
    found = {
        kind: (("decay", "seed", "step", f"{kind}_pair"), right[..., pairs])
        for kind, pairs in kinds_of(task).items()
    }
    first = setting_of(config, decays(config)[0], 0)
    grids = [_phases(config, at(first, step), lines) for step in steps]
    return xr.Dataset(
        found | {"r2": xr.concat(grids, "step")},
        coords={
            "decay": list(decays(config)),
            "seed": range(config.seeds),
            "step": steps,
        },
        attrs={
            "resamples": config.resamples,
            "p": task.p,
            "fraction": task.fraction,
            "steps": config.setting.train.steps,
        },
    )


def _right_answers(at: ModelAt, setting: Setting, lines: Lines) -> np.ndarray:
    """Returns whether a model answers rightly, (step, pair), at every checkpoint."""
    codec = setting.task.codec
    assert isinstance(codec, Characters)  # for the type checker
    models = (at(setting, step) for step in setting.train.kept_steps)
    return np.stack(
        [
            exact_match(inference.predictions(model, lines), lines, codec)[:, 0]
            for model in models
        ]
    )


def kinds_of(task: ModularAddition) -> dict[str, np.ndarray]:
    """Returns the rows a p + b of pairs that are trained on, mirrored, and lone."""
    rows = {
        name: a * task.p + b
        for name, lines in (("trained", task.training()), ("unseen", task.test()))
        for a, b in [_operands(lines)]
    }
    a, b = np.divmod(rows["unseen"], task.p)
    mirrored = np.isin(b * task.p + a, rows["trained"])
    parts = (rows["trained"], rows["unseen"][mirrored], rows["unseen"][~mirrored])
    return dict(zip(KINDS, parts, strict=True))


def _operands(lines: Lines) -> tuple[np.ndarray, np.ndarray]:
    """Returns a and b of every line."""
    ids = np.asarray(lines.ids)
    return ids[:, 0], ids[:, 1]


def _phases(config: Config, model: object, lines: Lines) -> xr.DataArray:
    """Returns how well each phase of the sum is read at "=", by sums left out."""
    p = config.setting.task.p
    states = inference.hidden_states(model, lines)[-1:, :, [2]]
    grid = probe_grid(
        states,
        target_values(modular_targets(p).values(), lines),
        groups=sum(_operands(lines)) % p,
        resamples=config.resamples,
        control=False,
        seed=config.probe_seed,
        progress=False,
    )
    phases = grid.r2.isel(layer=0, token=0, drop=True).rename(target="phase")
    return phases.assign_coords(phase=np.arange(1, phases.sizes["phase"] + 1))


# --- the picture ---

COLOURS = {"trained": BLACK, "mirrored": BLUE, "lone": VERMILLION}
LABELS = {
    "trained": "trained on",
    "mirrored": "mirror image trained on",
    "lone": "neither",
}
BEST = (BLUE, VERMILLION, GREEN)


def plot(dataset: xr.Dataset) -> matplotlib.figure.Figure:
    """Draws right answers with and without weight decay, and what probes read."""
    parts = resample(dataset)
    with canvas(12, 4.2) as figure:
        panels = figure.subplots(1, 3)
        for axes, decay in zip(panels, dataset.decay.values.tolist(), strict=False):
            _right(axes, dataset.sel(decay=decay), parts, decay)
        panels[0].set_ylabel("share of right answers")
        _read(panels[2], dataset.r2)
        for axes in panels:
            axes.set(xscale="log", xlabel="step of training", ylim=SHARES)
        legend_below(figure, panels[0], side="left", ncols=3)
        legend_below(figure, panels[2], side="right", ncols=4)
    return figure


def _right(axes: Axes, own: xr.Dataset, parts: Resampled, decay: float) -> None:
    """Draws the share of right answers of one weight decay, by kind of pair."""
    for kind in KINDS:
        colour = COLOURS[kind]
        band = parts.band(lambda means, kind=kind: means[kind].sel(decay=decay))
        each = own[kind].mean(f"{kind}_pair").transpose("step", "seed")
        axes.plot(own.step, each, color=colour, lw=0.5, alpha=0.5)
        draw_band(axes, own.step, band, color=colour, label=LABELS[kind])
    axes.set_title(f"weight decay {decay:g}")


def _read(axes: Axes, r2: xr.DataArray) -> None:
    """Draws how well each phase can be read, those that are read best in colour."""
    best = r2.isel(step=-1).argsort().values[::-1][: len(BEST)].tolist()
    for place in range(r2.sizes["phase"]):
        axes.plot(r2.step, r2.isel(phase=place).clip(min=0), color=GREY, lw=0.5)
    axes.plot([], [], color=GREY, lw=0.5, label="other k")
    for place, colour in zip(best, BEST, strict=False):
        own = r2.isel(phase=place)
        label = f"k = {int(own.phase)}"
        axes.plot(own.step, own.clip(min=0), color=colour, label=label)
    axes.set_title('circles at "=", held-out R² (below 0: 0)')


FIGURE = Figure(__spec__, PRESETS, compute, plot, claims, settings)

if __name__ == "__main__":
    sys.exit(main(FIGURE))
