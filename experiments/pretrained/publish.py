"""How is a model that comes with the package made? Trained, measured, given a card.

Run: python -m experiments.pretrained

Trains it, goes on, or finds it in the results folder, as every experiment does; asks it
prompts that it never saw; and writes into icl/pretrained/<name>/ the model with its
history and a card whose numbers are all measured here (`icl.pretrained` says what lies
there, `experiments.pretrained.card` what the card says). Run again, it measures again;
the files of the model itself are only replaced by another model.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from experiments.engine.figures.command import guarded
from experiments.engine.figures.flags import read_flags
from experiments.pretrained import card
from icl import (
    CheckpointError,
    LinearRegression,
    ModelConfig,
    TrainConfig,
    Trained,
    load,
    save,
)
from icl.sweeps.runtime import set_up_runtime
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

NAME = "experiments.pretrained"
PACKAGE = Path(__file__).parents[2] / "icl" / "pretrained"

MODELS = {
    "d8": Setting(
        task=LinearRegression(dim=8, length=17),
        model=ModelConfig(layers=12, width=64),
        train=TrainConfig(steps=60_000, batch=64, learning_rate=1e-3),
    )
}
"""What is shipped, by name."""

PROMPTS = 4_000
"""Fresh prompts that a model is measured on."""

LARGEST = 5_000_000
"""Bytes of all files of a model: they lie in the repository and in every wheel."""


@dataclass(frozen=True)
class Options:
    """What does not change the model.

    Attributes:
        name: which model.
        results: folder where it is trained, or was.
        hardware: what it was trained on, for the card; None is this machine.
        debug: show where an error came from.
    """

    name: str = "d8"
    results: Path = Path("results")
    hardware: str | None = None
    debug: bool = False


def publish(
    name: str,
    setting: Setting,
    models: Models,
    *,
    package: Path = PACKAGE,
    hardware: str | None = None,
    prompts: int = PROMPTS,
) -> Path:
    """Trains or finds a model, measures it, and writes its folder.

    Args:
        name: of the folder.
        setting: which model.
        models: where it is trained.
        package: where the folder lies.
        hardware: what it was trained on; None is this machine.
        prompts: how many to measure on.

    Returns:
        The folder.

    Raises:
        ValueError: its files are too large to be shipped; nothing was written.
    """
    trained = models(setting)
    scores, golden = card.measure(trained, prompts), card.remember(trained)
    about = card.background(setting, models, hardware)
    folder = package / name
    put(trained, folder)
    np.savez(folder / "golden.npz", allow_pickle=False, **golden)
    (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    card.draw(trained, scores).savefig(folder / "training.png", dpi=100)
    text = card.card(name, trained, scores, about)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return folder


def put(trained: Trained, folder: Path) -> None:
    """Saves a model in a folder, in place of what is there, unless it is the same.

    Raises:
        ValueError: its files are too large to be shipped.
    """
    if _holds(folder, trained):
        return
    # A checkpoint notes the path that it was first written to: one that tells nothing.
    with tempfile.TemporaryDirectory() as scratch:
        step = save(scratch, trained)
        size = sum(path.stat().st_size for path in step.rglob("*"))
        if size > LARGEST:
            raise ValueError(
                f"the model takes {size:,} bytes and at most {LARGEST:,} are shipped; "
                "take a smaller one or fewer steps (the loss of every step is kept)."
            )
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(step, folder / step.name)


def _holds(folder: Path, trained: Trained) -> bool:
    """Whether this very model lies there: saved again, its files get other names."""
    try:
        there = load(folder)
    except (FileNotFoundError, CheckpointError):
        return False
    settings = attrgetter("task", "model_config", "train_config", "steps")
    if settings(there) != settings(trained):
        return False
    params = nnx.state(there.model), nnx.state(trained.model)
    return jax.tree.all(jax.tree.map(np.array_equal, *params))


def main(argv: Sequence[str] | None = None) -> int:
    """Publishes one model; returns the exit status."""
    return guarded(NAME, _action, argv)


def _action(argv: Sequence[str]) -> None:

    options = read_flags(NAME, __doc__ or "", Options(), argv)
    if options.name not in MODELS:
        known = ", ".join(MODELS)
        raise ValueError(f"unknown model {options.name!r}; models are {known}.")
    set_up_runtime(options.results)
    models, setting = Models(options.results), MODELS[options.name]
    print(publish(options.name, setting, models, hardware=options.hardware))
