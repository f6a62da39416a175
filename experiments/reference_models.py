"""Which models do the figures look at? At one preset, they share one.

- tiny takes seconds, and shows that everything runs, and nothing else;
- quick has the paper's dimension d = 8, contexts of up to 2d pairs and a narrow model,
  and trains for five minutes on two cores;
- shipped is a model that comes with the package, so that nothing is trained;
- paper has the published settings.

`quick` was chosen among the following models. All have d = 8, batches of 64, one head,
and Adam with b2 = 0.98, a warm-up over 10 % of the steps and then a cosine. The score
is SPD / d to least squares, averaged over n = 1 .. 2d, on 4,000 prompts, with one seed
each.

    layers x width   steps     learning rate   score
    12 x 32          4,000     2e-3            0.037
    12 x 32          4,000     3e-3            0.042
    12 x 32          4,000     6e-3            learns nothing (predicts 0)
    12 x 32          8,000     2e-3, batch 32  0.055
    12 x 32          12,000    2e-3            0.0083   <- quick

At d = 4 (4,000 steps, 3e-3) depth decided: 4 x 64 reached 0.083, 8 x 32, with half as
many parameters, 0.031, and 12 x 32 reached 0.016. Most of what is left is at n = d,
where X is often nearly singular.
"""

from dataclasses import replace

from icl import LinearRegression, ModelConfig, TrainConfig
from icl.sweeps.setting import Setting
from icl.tasks.linear import as_linear

SHIPPED = {
    "d8": Setting(
        task=LinearRegression(dim=8, length=17),
        model=ModelConfig(layers=12, width=64),
        train=TrainConfig(steps=60_000, batch=64, learning_rate=1e-3),
    ),
    "d4": Setting(
        task=LinearRegression(dim=4, length=9),
        model=ModelConfig(layers=12, width=32),
        train=TrainConfig(steps=12_000, batch=64, learning_rate=1e-2, optimizer="muon"),
    ),
}
"""The models that come with the package (`icl.pretrained`), by name."""


def control_of(setting: Setting) -> Setting:
    """Returns the setting of the control model: every prompt has w = (1, ..., 1)."""
    task = replace(as_linear(setting.task), fixed_weights=1.0)
    return Setting(task, setting.model, setting.train, setting.seed)


SHIPPED["d4-control"] = control_of(SHIPPED["d4"])

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
        train=TrainConfig(steps=12_000, batch=64, learning_rate=2e-3),
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
        train=TrainConfig(steps=8_000, batch=64, learning_rate=2e-3),
    ),
    "shipped": SHIPPED["d4"],
    "paper": Setting(
        task=LinearRegression(dim=4, length=40),
        model=ModelConfig.paper(),
        train=TrainConfig.paper(),
    ),
}
"""The models that are probed. The paper probes at d = 4, where more can be read out."""
