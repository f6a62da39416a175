"""Which models do the figures look at? At one preset, they share one.

- tiny takes seconds, and shows that everything runs, and nothing else;
- quick has the paper's dimension d = 8, contexts of up to 2d pairs and a narrow model,
  and trains in minutes on two cores;
- shipped is a model that comes with the package, so that nothing is trained;
- paper has the published settings.

How `quick` is trained was chosen among the following. All are 12 layers x 32, one head,
at d = 8, with batches of 64 and seed 0; the rate rises over 10 % of the steps and then
falls as a cosine, and gradients are clipped at norm 1, unless it is said otherwise. The
score is SPD / d to least squares, averaged over n = 1 .. 2d, on 4,000 prompts.

    optimiser, rate     steps     score    changed
    Adam 2e-3           4,000     0.037
    Adam 3e-3           4,000     0.042
    Adam 6e-3           4,000     learns nothing (predicts 0)
    Adam 2e-3           12,000    0.0083
    Muon 7e-3           4,000     0.0134   momentum 0.95, q, k and v as one matrix
    Muon 7e-3           4,000     0.0126   momentum 0.95
    Muon 1e-2           4,000     0.0131   momentum 0.95
    Muon 1.5e-2         4,000     0.0163   momentum 0.95
    Muon 1e-2           4,000     0.0108   <- momentum 0.9
    Muon 1e-2           4,000     0.0128   momentum 0.85
    Muon 1e-2           4,000     0.0104   clipped at 0.3
    Muon 1e-2           4,000     0.0160   momentum 0.95, not clipped
    Muon 1e-2           4,000     0.0125   momentum 0.95, all but the body at 0.3 x rate
    Muon 1e-2           4,000     0.0136   momentum 0.95, falls linearly
    Muon 1e-2           4,000     0.0143   momentum 0.95, falls in the second half only
    Muon 1e-2           4,000     0.0139   the same, with averaged weights
    Muon 1e-2           4,000     0.0119   dimensions grow (curriculum)
    Muon 1e-2           4,000     0.0109   output projections begin at 0.2 of their size
    Muon 1e-2           4,000     0.0130   the read-in begins at 3 times its size
    Muon 7e-3           8,000     0.0134   batch 32, momentum 0.95
    Muon 1.4e-2         2,000     0.0144   batch 128, momentum 0.95

One seed each, so that differences of a tenth mean little. Muon acts on the matrices of
the body, Adam on all else (`icl.training.muon`); a step costs 6 % more than Adam's. At
d = 4, after 4,000 steps, the order is the same for one layer (Adam 0.711, Muon at 1e-2
0.583) and for two (0.270, 0.184). Depth decides at d = 4: after 4,000 steps of Adam at
3e-3, 4 x 64 reached 0.083, 8 x 32, with half as many parameters, 0.031, and 12 x 32
reached 0.016. Most of what is left is at n = d, where X is often nearly singular.
"""

from dataclasses import replace

from icl import Curriculum, LinearRegression, ModelConfig, TrainConfig
from icl.sweeps.setting import Setting
from icl.tasks import Addition
from icl.tasks.linear import as_linear

MUON = TrainConfig(batch=64, learning_rate=1e-2, optimizer="muon")
"""The recipe of the small models; `steps` is for each to say."""

SHIPPED = {
    "d8": Setting(
        task=LinearRegression(dim=8, length=17),
        model=ModelConfig(layers=12, width=64),
        train=replace(MUON, steps=50_000, learning_rate=7e-3),
    ),
    "d4": Setting(
        task=LinearRegression(dim=4, length=9),
        model=ModelConfig(layers=12, width=32),
        train=replace(MUON, steps=12_000),
    ),
}
"""The models that come with the package (`icl.pretrained`), by name."""


RELEASED = Setting(
    task=LinearRegression(dim=20, length=41),
    model=ModelConfig(layers=12, width=256, heads=8),
    train=TrainConfig(
        steps=500_000,
        batch=64,
        learning_rate=1e-4,
        schedule="constant",
        warmup=0.0,
        clip=None,
        curriculum=Curriculum.garg(),
    ),
)
"""The standard model of Garg et al. 2022, as their released code trains it, and the one
whose layers Fu et al. 2024 read."""


def control_of(setting: Setting) -> Setting:
    """Returns the setting of the control model: every prompt has w = (1, ..., 1)."""
    task = replace(as_linear(setting.task), fixed_weights=1.0)
    return Setting(task, setting.model, setting.train, setting.seed)


SHIPPED["d4-control"] = control_of(SHIPPED["d4"])

SUMS = Setting(
    task=Addition(layout="reverse", examples=5_000, law="carries"),
    model=ModelConfig(layers=2, width=32, heads=2),
    train=TrainConfig(
        steps=1_000,
        batch=64,
        learning_rate=5e-3,
        warmup=0.05,
        b2=0.99,
        weight_decay=0.1,
        evaluate_every=250,
    ),
)
"""A model that adds: 26,400 parameters, which suffice for sums of three digits."""

SHIPPED["add3"] = SUMS

SETTINGS = {
    "tiny": Setting(
        task=LinearRegression(dim=2, length=5),
        model=ModelConfig(layers=2, width=16),
        train=TrainConfig(
            steps=60,
            batch=16,
            learning_rate=3e-3,
            chunk=20,
            evaluate_every=60,
            held_out=32,
            checkpoint_every=20,
        ),
    ),
    "quick": Setting(
        task=LinearRegression(dim=8, length=17),
        model=ModelConfig(layers=12, width=32, heads=1),
        train=replace(MUON, steps=6_000),
    ),
    "shipped": SHIPPED["d8"],
    "paper": Setting(
        task=LinearRegression(dim=8, length=40),
        model=ModelConfig.paper(),
        train=TrainConfig.paper(),
    ),
}

PROBING = {
    "tiny": SETTINGS["tiny"],
    "quick": Setting(
        task=LinearRegression(dim=4, length=9),
        model=ModelConfig(layers=12, width=32, heads=1),
        train=replace(MUON, steps=4_000),
    ),
    "shipped": SHIPPED["d4"],
    "paper": Setting(
        task=LinearRegression(dim=4, length=40),
        model=ModelConfig.paper(),
        train=TrainConfig.paper(),
    ),
}
"""The models that are probed. The paper probes at d = 4, where more can be read out."""

ADDITION = {
    "tiny": Setting(
        task=Addition(digits=2, layout="reverse", examples=500),
        model=ModelConfig(layers=1, width=16),
        train=replace(
            SETTINGS["tiny"].train,
            batch=32,
            learning_rate=5e-3,
            checkpoint_every=60,
            checkpoints_per_decade=5,
        ),
    ),
    "quick": replace(SUMS, train=replace(SUMS.train, checkpoints_per_decade=10)),
}
"""Models that add, of 26,400 parameters at quick, with checkpoints on a log axis."""
