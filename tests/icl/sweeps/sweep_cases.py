"""A small sweep that the tests of sweeps share, and what they compare."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from icl import (
    LinearRegression,
    ModelConfig,
    TrainConfig,
    sweeps,
)
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.training import checkpoint

BASE = Setting(
    task=LinearRegression(dim=1, length=4),
    model=ModelConfig(layers=1, width=8),
    train=TrainConfig(
        steps=40,
        batch=16,
        learning_rate=1e-2,
        chunk=20,
        evaluate_every=40,
        held_out=32,
        checkpoint_every=20,
    ),
)
NOISE = {"task.noise_std,task.weight_std": ((0.0, 1.0), (0.5, 1.5)), "seed": (0, 1)}
SETTINGS = sweeps.grid(BASE, NOISE)
RATES = {"train.learning_rate": (1e-2, 1e30)}


@dataclass(frozen=True)
class Deadly(LinearRegression):
    """A task that ends the process that draws from it, unless it runs the tests."""

    def sample(self, key, *, batch):
        if os.environ["PROCESS_OF_TESTS"] != str(os.getpid()):
            os._exit(3)
        return super().sample(key, batch=batch)


@dataclass(frozen=True)
class Counting(LinearRegression):
    """A task that fails, and says how many threads XLA computes with."""

    def sample(self, *_, **__):
        names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
        raise ValueError(f"threads: {sum('XLAEigen' in name for name in names)}.")


def states(reports):
    return [report.state for report in reports]


def arrays(results, setting):
    """All that the checkpoint of a finished model holds."""
    stored = checkpoint.read_latest(Models(results).folder(setting))
    assert stored.step == setting.train.steps
    return stored.arrays


def assert_same_bits(results, other, settings):
    for setting in settings:
        one, two = arrays(results, setting), arrays(other, setting)
        assert one.keys() == two.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def timed_steps(results, setting):
    """How many steps were ever trained of a model."""
    return json.loads((Models(results).folder(setting) / "time.json").read_text())[
        "steps"
    ]


def assert_alike(results, other, settings):
    """Batched products add in another order; over 40 steps that grows to this."""
    for setting in settings:
        one, two = arrays(results, setting), arrays(other, setting)
        assert one.keys() == two.keys()
        for name in ("loss", "held_out_loss"):
            a, b = one[f"history.{name}"], two[f"history.{name}"]
            np.testing.assert_allclose(a, b, rtol=2e-4)


def refuse(*_, **__):
    pytest.fail("this is finished, and must not be trained again")


ALL_DONE = str(["done"] * 4)
