"""How is a model that comes with the package trained, measured and given a card?

Run: python -m experiments.pretrained

This trains the model, goes on training it, or finds it in the results folder, as every
experiment does. It then gives the model prompts that it never saw, and writes into
icl/pretrained/<name>/ the model with its history and a card whose numbers are all
measured here. `icl.pretrained` says what lies there, and `experiments.pretrained.card`
what the card says. A second run measures the model again, and replaces the files of the
model itself only by those of another model.
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
from experiments.reference_models import SHIPPED
from icl import (
    CheckpointError,
    Trained,
    load,
    save,
)
from icl.sweeps.runtime import set_up_runtime
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models

NAME = "experiments.pretrained"
PACKAGE = Path(__file__).parents[2] / "icl" / "pretrained"

PROMPTS = 4_000
"""The number of fresh prompts that a model is measured on."""

LARGEST = 5_000_000
"""The most bytes that all files of a model may have.

They lie in the repository and in every wheel."""


@dataclass(frozen=True)
class Options:
    """Options of a run that do not change the model.

    Attributes:
        name: the name of the model.
        results: the folder where it is or was trained.
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
        name: the name of the folder.
        setting: the model.
        models: the store where it is trained.
        package: the place of the folder.
        hardware: what it was trained on; None is this machine.
        prompts: the number of prompts to measure on.

    Returns:
        The folder.

    Raises:
        ValueError: the files of the model are too large to be shipped; nothing was
            written.
    """
    trained = models(setting)
    scores, golden = card.measure(trained, prompts), card.golden_predictions(trained)
    about = card.training_record(setting, models, hardware)
    folder = package / name
    replace_model(trained, folder)
    np.savez(folder / "golden.npz", allow_pickle=False, **golden)
    (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    card.draw(trained, scores).savefig(folder / "training.png", dpi=100)
    text = card.card(name, trained, scores, about)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return folder


def replace_model(trained: Trained, folder: Path) -> None:
    """Saves a model in a folder in place of its content, unless that is the same model.

    Raises:
        ValueError: the files of the model are too large to be shipped.
    """
    if _holds(folder, trained):
        return
    # A checkpoint notes the path that it is first written to; this one tells nothing.
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
    """Returns whether a folder holds this very model.

    Files cannot be compared: those of a model that is saved again have other names.
    """
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
    """Publishes one model, and returns the exit status."""
    return guarded(NAME, _action, argv)


def _action(argv: Sequence[str]) -> None:
    """Publishes the model that the flags name."""
    options = read_flags(NAME, __doc__ or "", Options(), argv)
    if options.name not in SHIPPED:
        known = ", ".join(SHIPPED)
        raise ValueError(f"unknown model {options.name!r}; models are {known}.")
    set_up_runtime(options.results)
    models, setting = Models(options.results), SHIPPED[options.name]
    print(publish(options.name, setting, models, hardware=options.hardware))
