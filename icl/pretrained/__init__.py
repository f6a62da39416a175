"""Which trained models come with the package?

Every folder beside this file is one, known by its name:

    d8/            for example
        README.md         its card: what it is for, how it was trained, how good it is
        scores.json       the numbers of the card
        golden.npz        a few prompts or lines, and what it predicts in float64
        training.png      its losses, and how good it is
        model.safetensors the model, one file as `Trained.export` writes it

Nothing is downloaded. `python -m experiments.pretrained`, in a clone, made all of it.
"""

import difflib
from pathlib import Path

from icl.arrays import shown
from icl.training import description, export
from icl.training.description import Configs
from icl.training.trained import Trained, load

FOLDER = Path(__file__).parent
CARD = "README.md"
MODEL = "model.safetensors"


def load_pretrained(name: str) -> Trained:
    """A trained model that comes with the package.

    What it is, how it was trained and what it does not do are said by its card,
    `icl.pretrained.card(name)`.

    Args:
        name: one of `icl.pretrained.available()`.

    Raises:
        ValueError: no model of that name; the message lists those there are.
        CheckpointError: its files are not as they were published.

    Example:
        >>> import jax
        >>> trained = load_pretrained("d8")
        >>> prompts = trained.task.sample(jax.random.key(0), batch=4)
        >>> trained.model(prompts).predictions.shape  # at x_1 .. x_17
        (4, 17)
    """
    return load(_folder(name) / MODEL)


def available() -> dict[str, str]:
    """What each model is, by name.

    Example:
        >>> list(available())
        ['add3', 'd4', 'd4-control', 'd8']
    """
    folders = sorted(path.parent for path in FOLDER.glob(f"*/{CARD}"))
    return {folder.name: _title(folder) for folder in folders}


def configs() -> dict[str, Configs]:
    """Returns the task and the configs that each model was trained with, by name.

    No parameters are read.
    """
    return {
        name: description.configs(export.read_about(FOLDER / name / MODEL))
        for name in available()
    }


def card(name: str) -> str:
    """The card of a model, in Markdown.

    Raises:
        ValueError: no model of that name.
    """
    return (_folder(name) / CARD).read_text(encoding="utf-8")


def _title(folder: Path) -> str:
    """What a card's first line says after the name."""
    with (folder / CARD).open(encoding="utf-8") as lines:
        return next(lines).partition(":")[2].strip()


def _folder(name: str) -> Path:
    known = available()
    if not isinstance(name, str) or name not in known:
        listed = "; ".join(f"{one} ({what})" for one, what in known.items())
        near = difflib.get_close_matches(str(name), known, 1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"name must be that of a pretrained model, got {shown(name)}; there are: "
            f"{listed}.{meant}"
        )
    return FOLDER / name
