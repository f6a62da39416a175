"""How is a model that comes with the package trained, measured and given a card?

Run: python -m experiments.pretrained

This trains the model, goes on training it, or finds it in the results folder, as every
experiment does. It then gives the model prompts that it never saw, and writes into
icl/pretrained/<name>/ the model with its history and a card whose numbers are all
measured here. `icl.pretrained` says what lies there, and `experiments.pretrained.card`
(of models that add, `sums_card`) what the card says. A second run measures the model
again.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.engine.figures.command import guarded
from experiments.engine.figures.flags import read_flags
from experiments.pretrained import card, sums_card
from experiments.reference_models import SHIPPED
from icl import Trained
from icl.files import expanded, rename_whole
from icl.pretrained import MODEL
from icl.sweeps.runtime import set_up_runtime
from icl.sweeps.setting import Setting
from icl.sweeps.store import Models
from icl.tasks import Addition

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
    # What is asked of a model that adds is another matter than of one that regresses.
    page = sums_card if isinstance(setting.task, Addition) else card
    scores, golden = page.measure(trained, prompts), page.golden_predictions(trained)
    about = card.training_record(setting, models, hardware)
    folder = package / name
    with replaced(folder) as draft:
        write_model(trained, draft)
        np.savez(draft / "golden.npz", allow_pickle=False, **golden)
        (draft / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
        page.draw(trained, scores).savefig(draft / "training.png", dpi=100)
        text = page.card(name, trained, scores, about)
        (draft / "README.md").write_text(text, encoding="utf-8")
    return folder


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yields a new folder, which takes the place of the old one once it is complete.

    After an error, such as a full disk, the old one is still there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as scratch:
        draft, old = Path(scratch) / "new", Path(scratch) / "old"
        draft.mkdir()
        yield draft
        if folder.exists():
            folder.rename(old)
        rename_whole(draft, folder)


def write_model(trained: Trained, folder: Path) -> None:
    """Writes a model into a folder. The same model gives the same file.

    Raises:
        ValueError: the file of the model is too large to be shipped.
    """
    size = trained.export(folder / MODEL).stat().st_size
    if size > LARGEST:
        raise ValueError(
            f"the model takes {size:,} bytes and at most {LARGEST:,} are shipped; take "
            "a smaller one or fewer steps (the loss of every step is kept)."
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Publishes one model, and returns the exit status."""
    return guarded(NAME, _action, argv)


def _action(argv: Sequence[str]) -> None:
    """Publishes the model that the flags name."""
    options = read_flags(NAME, __doc__ or "", Options(), argv)
    if options.name not in SHIPPED:
        known = ", ".join(SHIPPED)
        raise ValueError(f"unknown model {options.name!r}; models are {known}.")
    results = expanded(options.results)
    set_up_runtime(results)
    models, setting = Models(results), SHIPPED[options.name]
    print(publish(options.name, setting, models, hardware=options.hardware))
